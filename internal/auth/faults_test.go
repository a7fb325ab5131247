package auth_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"callrecordd/internal/auth"
)

// Whose clock was set back waits as long as before, not until it is as late
// again.
func TestClockSetBackLocksNobodyOut(t *testing.T) {
	s := newSite(t)
	s.person("alice")
	guess := func() error { _, err := s.login("alice", password("guess")); return err }
	for range 10 {
		if err := guess(); !errors.Is(err, auth.ErrLogin) {
			t.Fatal(err)
		}
	}
	s.pass(-time.Hour)
	if wait, throttled := auth.Throttled(guess()); !throttled || wait > 10*time.Second {
		t.Errorf("an hour back: throttled %t for %s", throttled, wait)
	}
	s.pass(11 * time.Second)
	s.in("alice")
}

// A clock that jumps ahead forgives, as time does, and no more than that.
func TestClockSetForwardForgivesOnce(t *testing.T) {
	s := newSite(t)
	s.person("alice")
	s.pass(24 * time.Hour)
	var err error
	for range 11 {
		_, err = s.login("alice", password("guess"))
	}
	if _, throttled := auth.Throttled(err); !throttled {
		t.Errorf("after eleven guesses in the future: %v", err)
	}
}

// Who has an IPv6 network has 2^64 addresses to guess from.
func TestThrottleCountsAnIPv6NetworkAsOne(t *testing.T) {
	s := newSite(t)
	s.person("alice")
	from := func(address string) func(*auth.Login) { return func(l *auth.Login) { l.RemoteAddr = address } }
	for i := range 50 {
		if _, err := s.login(fmt.Sprint("name", i), from(fmt.Sprintf("2001:db8:0:1::%x", i+1))); !errors.Is(err, auth.ErrLogin) {
			t.Fatal(err)
		}
	}
	for address, refused := range map[string]bool{
		"2001:db8:0:1:ffff::1": true, "2001:db8:0:2::1": false, "192.0.2.1": false, "::ffff:192.0.2.1": false,
	} {
		_, err := s.login("alice", from(address), func(l *auth.Login) { l.Password = "guess" })
		if _, throttled := auth.Throttled(err); throttled != refused {
			t.Errorf("from %s: %v", address, err)
		}
	}
}

// goneAfterSave is storage whose client hangs up when an account is saved.
type goneAfterSave struct {
	auth.AccountRepo
	hangUp context.CancelFunc
}

func (g goneAfterSave) SaveAccount(ctx context.Context, a auth.Account, actor, event string) error {
	defer g.hangUp()
	return g.AccountRepo.SaveAccount(ctx, a, actor, event)
}

// Sessions end with a change of the password or of the account, though whoever
// has asked for it did not wait for the answer.
func TestSessionsEndThoughWhoAskedIsGone(t *testing.T) {
	for what, change := range map[string]func(context.Context, *site, auth.Account) error{
		"password": func(ctx context.Context, s *site, a auth.Account) error {
			return s.SetPassword(ctx, host, a.UUID, "new")
		},
		"disabled": func(ctx context.Context, s *site, a auth.Account) error {
			_, err := s.Edit(ctx, host, a.UUID, func(a *auth.Account) error { a.Enabled = false; return nil })
			return err
		},
	} {
		t.Run(what, func(t *testing.T) {
			s := newSite(t)
			a := s.person("alice")
			x := s.in("alice")
			ctx, hangUp := context.WithCancel(t.Context())
			defer hangUp()
			s.opt.Repo = goneAfterSave{s.store, hangUp}
			var err error
			s.Accounts, err = auth.NewAccounts(t.Context(), s.opt)
			s.must(err)
			s.must(change(ctx, s, a))
			if s.valid(x) {
				t.Error("the session goes on")
			}
		})
	}
}

// A telephone's new session is not among those that it ends.
func TestMobileLoginKeepsItsOwnSession(t *testing.T) {
	s := newSite(t)
	s.person("alice")
	mobile := func(l *auth.Login) { l.Mobile = true }
	for range 3 { // more often than there may be sessions
		x := s.in("alice", offline("phone"), mobile)
		if !s.valid(x) {
			t.Error("the session has ended before it began")
		}
	}
}

// A refresh token ends with its account, and does not come back with another of
// the same name.
func TestRefreshTokenOfADeletedAccount(t *testing.T) {
	s := newSite(t)
	a := s.person("exporter")
	x := s.in("exporter", offline("c"))
	s.must(s.Delete(t.Context(), host, a.UUID))
	for _, what := range []string{"deleted", "made anew"} {
		if _, err := s.login("", refresh(x, "c")); !errors.Is(err, auth.ErrLogin) {
			t.Errorf("%s: %v", what, err)
		}
		if what == "deleted" {
			s.person("exporter")
		}
	}
	if y := s.in("exporter", offline("c")); y.Refresh.Reveal() == x.Refresh.Reveal() {
		t.Error("the new account got the old one's refresh token")
	}
}
