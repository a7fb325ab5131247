package auth_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"callrecordd/internal/auth"
	"callrecordd/internal/directory"
	"callrecordd/store"
)

// site is accounts over a real database, with a clock of its own.
type site struct {
	*auth.Accounts
	t      *testing.T
	tokens *auth.Service
	dir    *directory.Service
	store  *store.Store
	mu     sync.Mutex
	time   time.Time
	reads  atomic.Int64 // of tokens from the database
	opt    auth.AccountsOptions
}

// counted counts the tokens that are read.
type counted struct {
	auth.Repo
	reads *atomic.Int64
}

func (c counted) TokenByHash(ctx context.Context, hash string) (auth.Token, error) {
	c.reads.Add(1)
	return c.Repo.TokenByHash(ctx, hash)
}

func (s *site) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.time
}

func (s *site) pass(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.time = s.time.Add(d)
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, time: time.Date(2026, 11, 24, 3, 0, 0, 0, time.UTC)}
	var err error
	s.store, err = store.Open(t.Context(), store.Options{
		Path: filepath.Join(t.TempDir(), "db"), Now: s.now, Log: slog.New(slog.DiscardHandler),
	})
	s.must(err)
	t.Cleanup(func() { s.must(s.store.Close()) })
	s.dir, err = directory.New(t.Context(), directory.Options{
		Repo: s.store, Now: s.now, NewUUID: uuid.NewString,
		OnChange: func(before, after *directory.Book) {
			for _, u := range before.Contents().Users {
				if _, there := after.User(u.UUID); !there {
					s.tokens.Forget(u.UUID)
				}
			}
		},
	})
	s.must(err)
	s.restart([]byte("key"))
	return s
}

// restart is what a new start of the daemon has of accounts.
func (s *site) restart(key []byte) {
	s.t.Helper()
	s.tokens = auth.New(counted{s.store, &s.reads}, s.now, uuid.NewString)
	s.opt = auth.AccountsOptions{
		Repo: s.store, Tokens: s.tokens, Now: s.now, NewUUID: uuid.NewString, Master: s.dir.Book().Master().UUID,
		Key: key, UserPolicy: []string{"call-logd.users.me.#"}, MaxSessions: 3, Lifetime: time.Hour,
	}
	var err error
	s.Accounts, err = auth.NewAccounts(s.t.Context(), s.opt)
	s.must(err)
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

var host = auth.Actor{Name: "cli"}

// person makes an account with the password pw.
func (s *site) person(name string, change ...func(*auth.Account)) auth.Account {
	s.t.Helper()
	a := auth.Account{TenantUUID: s.opt.Master, Username: name, Purpose: auth.PurposeUser, Method: "default", Enabled: true}
	for _, c := range change {
		c(&a)
	}
	a, err := s.Create(s.t.Context(), host, a, "pw")
	s.must(err)
	return a
}

func (s *site) login(name string, change ...func(*auth.Login)) (auth.Session, error) {
	l := auth.Login{Username: name, Password: "pw", RemoteAddr: "192.0.2.1"}
	for _, c := range change {
		c(&l)
	}
	return s.Login(s.t.Context(), l)
}

func (s *site) in(name string, change ...func(*auth.Login)) auth.Session {
	s.t.Helper()
	session, err := s.login(name, change...)
	s.must(err)
	return session
}

func (s *site) valid(x auth.Session) bool {
	s.t.Helper()
	_, err := s.tokens.Check(s.t.Context(), x.Secret.Reveal())
	if err != nil && !errors.Is(err, auth.ErrInvalidToken) {
		s.t.Fatal(err)
	}
	return err == nil
}

func password(p string) func(*auth.Login) { return func(l *auth.Login) { l.Password = p } }

func offline(client string) func(*auth.Login) {
	return func(l *auth.Login) { l.Offline, l.ClientID = true, client }
}

func refresh(x auth.Session, client string) func(*auth.Login) {
	return func(l *auth.Login) {
		*l = auth.Login{RefreshToken: x.Refresh.Reveal(), ClientID: client, RemoteAddr: l.RemoteAddr}
	}
}

func TestLogin(t *testing.T) {
	s := newSite(t)
	a := s.person("Alice", func(a *auth.Account) { a.Email = "alice@example.com" })
	for _, name := range []string{"Alice", "alice", "ALICE@example.com"} {
		x := s.in(name)
		if tok := x.Token; tok.AuthID != a.UUID || tok.UserUUID != a.UUID || tok.TenantUUID != s.opt.Master ||
			!tok.Allows("call-logd.users."+a.UUID+".cdr.read") || tok.Allows("call-logd.cdr.read") || !tok.ExpiresAt.Equal(s.now().Add(time.Hour)) {
			t.Errorf("%s: %+v", name, tok)
		}
		s.must(s.tokens.RevokeSecret(t.Context(), x.Secret.Reveal()))
	}
	s.person("off", func(a *auth.Account) { a.Enabled = false })
	_, err := s.Create(t.Context(), host, auth.Account{TenantUUID: s.opt.Master, Username: "none", Purpose: "user", Method: "default", Enabled: true}, "")
	s.must(err)
	for what, l := range map[string]auth.Login{
		"unknown": {Username: "mallory", Password: "pw"}, "wrong": {Username: "alice", Password: "Pw"},
		"disabled": {Username: "off", Password: "pw"}, "no password": {Username: "none", Password: "pw"},
		"empty password": {Username: "none"}, "nothing": {}, "no refresh token": {RefreshToken: "x", ClientID: "c"},
	} {
		if _, err := s.Login(t.Context(), l); !errors.Is(err, auth.ErrLogin) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Who is not there costs as much as who is, so that the time does not tell: a
// hash of 19 MiB each.
func TestUnknownAccountTakesAsLong(t *testing.T) {
	s := newSite(t)
	s.person("alice")
	for _, name := range []string{"alice", "mallory"} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := s.login(name, password("wrong")); !errors.Is(err, auth.ErrLogin) {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n < 19<<20 {
			t.Errorf("the refusal of %s took %d bytes, less than a hash", name, n)
		}
	}
}

func TestRefreshTokens(t *testing.T) {
	s := newSite(t)
	ctx := t.Context()
	a := s.person("exporter")
	x := s.in("exporter", offline("c"))
	if again := s.in("exporter", offline("c")); again.Refresh.Reveal() != x.Refresh.Reveal() || again.Refresh.Reveal() == "" {
		t.Error("the same client got another refresh token")
	}
	if other := s.in("exporter", offline("d")); other.Refresh.Reveal() == x.Refresh.Reveal() {
		t.Error("another client got the same")
	}
	id, err := uuid.Parse(x.Refresh.Reveal())
	if err != nil || id.Version() != 4 || id.Variant() != uuid.RFC4122 {
		t.Errorf("%v is no random uuid: %v", id, err)
	}
	s.endAll(a)
	use := func(client string) error {
		got, err := s.login("", refresh(x, client))
		if err == nil && (got.Refresh.Reveal() != "" || got.Token.AuthID != a.UUID) {
			t.Errorf("got %+v", got)
		}
		s.endAll(a)
		return err
	}
	s.must(use("c"))
	if err := use("d"); !errors.Is(err, auth.ErrLogin) {
		t.Errorf("another client's: %v", err)
	}
	edit := func(change func(*auth.Account)) {
		_, err := s.Edit(ctx, host, a.UUID, func(a *auth.Account) error { change(a); return nil })
		s.must(err)
	}
	edit(func(a *auth.Account) { a.Enabled = false })
	if err := use("c"); !errors.Is(err, auth.ErrLogin) {
		t.Errorf("disabled: %v", err)
	}
	edit(func(a *auth.Account) { a.Enabled = true })
	s.must(use("c"))
	s.restart([]byte("key"))
	s.must(use("c"))
	s.restart([]byte("another key"))
	s.must(use("c"))
	edit(func(a *auth.Account) { a.Username = "renamed" })
	if err := use("c"); !errors.Is(err, auth.ErrLogin) {
		t.Errorf("renamed: %v", err)
	}
	edit(func(a *auth.Account) { a.Username = "exporter" })
	list, err := s.Refreshes(ctx, []string{a.UUID})
	if err != nil || len(list) != 2 || list[0].ClientID != "c" || list[0].TenantUUID != s.opt.Master {
		t.Errorf("%+v, %v", list, err)
	}
	live := s.in("", refresh(x, "c"))
	s.must(s.DeleteRefresh(ctx, host, a.UUID, "c"))
	if err := s.DeleteRefresh(ctx, host, a.UUID, "c"); !errors.Is(err, auth.ErrNotFound) {
		t.Errorf("deleted twice: %v", err)
	}
	if !s.valid(live) {
		t.Error("a token that was made of a refresh token died with it")
	}
	if err := use("c"); !errors.Is(err, auth.ErrLogin) {
		t.Errorf("deleted: %v", err)
	}
}

// endAll ends all sessions of an account.
func (s *site) endAll(a auth.Account) {
	s.t.Helper()
	_, err := s.tokens.DropUser(s.t.Context(), a.UUID)
	s.must(err)
}

func TestMobileRefreshTokensReplaceEachOther(t *testing.T) {
	s := newSite(t)
	s.person("alice")
	mobile := func(l *auth.Login) { l.Mobile = true }
	desk := s.in("alice", offline("desk"))
	first := s.in("alice", offline("phone1"), mobile)
	second := s.in("alice", offline("phone2"), mobile)
	if second.Ended != 1 || s.valid(first) || !s.valid(desk) || !s.valid(second) {
		t.Errorf("ended %d, first %v, desk %v, second %v", second.Ended, s.valid(first), s.valid(desk), s.valid(second))
	}
	if _, err := s.login("", refresh(first, "phone1")); !errors.Is(err, auth.ErrLogin) {
		t.Errorf("the first telephone's: %v", err)
	}
	if x, err := s.login("", refresh(second, "phone2")); err != nil || !x.Token.Mobile {
		t.Errorf("the second's: %+v, %v", x, err)
	}
}

func TestThrottle(t *testing.T) {
	s := newSite(t)
	s.person("alice")
	s.person("bob")
	for range 10 {
		if _, err := s.login("alice", password("guess")); !errors.Is(err, auth.ErrLogin) {
			t.Fatal(err)
		}
	}
	_, err := s.login("alice")
	if wait, ok := auth.Throttled(err); !ok || wait <= 0 || wait > 10*time.Second {
		t.Errorf("after ten guesses: %v", err)
	}
	s.in("bob")
	s.pass(11 * time.Second)
	s.in("alice") // which also forgives what was before
	for range 10 {
		if _, err := s.login("alice", password("guess")); !errors.Is(err, auth.ErrLogin) {
			t.Fatal(err)
		}
	}
	s.pass(-time.Hour) // a clock that goes back neither forgives nor locks out for long
	if _, ok := auth.Throttled(func() error { _, err := s.login("alice"); return err }()); !ok {
		t.Error("the clock forgave")
	}

	// Many names from one address.
	for i := range 60 {
		_, err = s.login(fmt.Sprint("name", i), password("guess"))
	}
	if _, ok := auth.Throttled(err); !ok {
		t.Errorf("after 60 names: %v", err)
	}
	if _, ok := auth.Throttled(func() error { _, err := s.login("bob"); return err }()); !ok {
		t.Error("the address may go on with another name")
	}
	s.in("bob", func(l *auth.Login) { l.RemoteAddr = "192.0.2.2" })
}

// A hundred guesses at once are not all tried.
func TestThrottleInParallel(t *testing.T) {
	s := newSite(t)
	s.person("alice")
	var tried atomic.Int64
	var wg sync.WaitGroup
	for range 60 {
		wg.Go(func() {
			if _, err := s.login("alice", password("guess")); errors.Is(err, auth.ErrLogin) {
				tried.Add(1)
			}
		})
	}
	wg.Wait()
	if n := tried.Load(); n > 11 {
		t.Errorf("%d guesses were tried", n)
	}
}

func TestSessionLimit(t *testing.T) {
	s := newSite(t)
	a := s.person("alice")
	for range 3 {
		s.in("alice")
	}
	_, err := s.login("alice")
	var many *auth.ErrTooManySessions
	if !errors.As(err, &many) || many.Error() != "User "+a.UUID+" has exceeded the maximum number of active sessions" {
		t.Errorf("a fourth session: %v", err)
	}
	_, err = s.login("alice", func(l *auth.Login) { l.Offline, l.ClientID = true, "phone" })
	if list, err2 := s.Refreshes(t.Context(), []string{a.UUID}); !errors.As(err, &many) || err2 != nil || len(list) != 0 {
		t.Errorf("a refused login has left %d refresh tokens: %v %v", len(list), err, err2)
	}
	s.pass(time.Hour) // they have expired, swept or not
	s.in("alice")
	s.person("daemon", func(a *auth.Account) { a.Purpose, a.Method = auth.PurposeInternal, "native" })
	for range 5 {
		s.in("daemon")
	}
	list, err := s.Sessions(t.Context(), a.UUID, nil)
	if err != nil || len(list) != 1 {
		t.Errorf("%d sessions, %v", len(list), err)
	}
}

func TestTokensDieWithTheirAccount(t *testing.T) {
	for what, end := range map[string]func(s *site, a auth.Account) error{
		"deleted": func(s *site, a auth.Account) error { return s.Delete(s.t.Context(), host, a.UUID) },
		"disabled": func(s *site, a auth.Account) error {
			_, err := s.Edit(s.t.Context(), host, a.UUID, func(a *auth.Account) error { a.Enabled = false; return nil })
			return err
		},
		"password": func(s *site, a auth.Account) error { return s.SetPassword(s.t.Context(), host, a.UUID, "new") },
		"directory user deleted": func(s *site, a auth.Account) error {
			return s.dir.DeleteUser(s.t.Context(), "cli", a.UUID)
		},
		"session ended": func(s *site, a auth.Account) error {
			list, err := s.Sessions(s.t.Context(), a.UUID, []string{a.TenantUUID})
			if err != nil {
				return err
			}
			return s.EndSession(s.t.Context(), host, a.UUID, list[0].ID, nil)
		},
	} {
		t.Run(what, func(t *testing.T) {
			s := newSite(t)
			u, err := s.dir.CreateUser(t.Context(), "cli", directory.User{FirstName: "Alice"})
			s.must(err)
			a := s.person("alice", func(a *auth.Account) { a.UUID = u.UUID })
			x := s.in("alice")
			for range 2 { // read from the database, then from memory
				if !s.valid(x) {
					t.Fatal("a new token is not valid")
				}
			}
			s.must(end(s, a))
			if s.valid(x) {
				t.Error("the next request was not refused")
			}
			s.restart([]byte("key"))
			if s.valid(x) {
				t.Error("the token is back after a restart")
			}
		})
	}
}

// A token of a directory user that was made on the host dies with the user.
func TestHostTokenDiesWithItsUser(t *testing.T) {
	s := newSite(t)
	u, err := s.dir.CreateUser(t.Context(), "cli", directory.User{FirstName: "Alice"})
	s.must(err)
	secret, _, err := s.tokens.Create(t.Context(), "cli", auth.Request{TenantUUID: s.opt.Master, UserUUID: u.UUID, ACL: []string{"#"}})
	s.must(err)
	x := auth.Session{Secret: secret}
	if !s.valid(x) {
		t.Fatal("not valid")
	}
	s.must(s.dir.DeleteUser(t.Context(), "cli", u.UUID))
	if s.valid(x) {
		t.Error("it lives on")
	}
}

func TestClockJumps(t *testing.T) {
	s := newSite(t)
	s.person("alice")
	x := s.in("alice") // for an hour
	other := s.in("alice", func(l *auth.Login) { l.Lifetime = 3 * time.Hour })
	if !s.valid(x) {
		t.Fatal("not valid")
	}
	s.pass(61 * time.Minute)
	if s.valid(x) || !s.valid(other) {
		t.Error("after 61 minutes")
	}
	s.pass(-2 * time.Hour)
	if s.valid(x) {
		t.Error("a clock set back brought an expired token back")
	}
	if !s.valid(other) {
		t.Error("a clock set back ended a token")
	}
	// It has the 119 minutes left that it had before.
	s.pass(118 * time.Minute)
	if !s.valid(other) {
		t.Error("a clock set back has shortened a life")
	}
	s.pass(2 * time.Minute)
	if s.valid(other) {
		t.Error("a clock set back has lengthened a life")
	}
	// A clock that was far ahead by mistake leaves no mark.
	s.pass(20 * 365 * 24 * time.Hour)
	if s.valid(other) {
		t.Error("in twenty years")
	}
	s.pass(-20 * 365 * 24 * time.Hour)
	if !s.valid(s.in("alice")) {
		t.Error("nobody can log in any more")
	}
	s.must(s.tokens.Sweep(t.Context()))
	list, err := s.tokens.List(t.Context(), auth.TokenFilter{})
	if err != nil || len(list) != 1 {
		t.Errorf("%d tokens are left, %v", len(list), err)
	}
}

func TestWarmCheckReadsNothing(t *testing.T) {
	s := newSite(t)
	s.person("alice")
	x := s.in("alice")
	s.valid(x)
	before := s.reads.Load()
	for range 100 {
		if tok, err := s.tokens.Check(t.Context(), x.Secret.Reveal()); err != nil || !tok.Allows("call-logd.users.me.cdr.read") {
			t.Fatal(err)
		}
	}
	if n := s.reads.Load() - before; n != 0 {
		t.Errorf("%d reads", n)
	}
}

// Revoking and checking at the same time must not leave a dead token in the
// cache.
func TestRevokeWhileChecked(t *testing.T) {
	s := newSite(t)
	for range 30 {
		secret, token, err := s.tokens.Create(t.Context(), "cli", auth.Request{TenantUUID: s.opt.Master})
		s.must(err)
		x := auth.Session{Secret: secret, Token: token}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 20 {
					_, _ = s.tokens.Check(context.Background(), x.Secret.Reveal())
				}
			})
		}
		s.must(s.tokens.Revoke(t.Context(), "cli", x.Token.ID))
		if s.valid(x) {
			t.Error("valid after Revoke has returned")
		}
		wg.Wait()
		if s.valid(x) {
			t.Error("valid again")
		}
	}
}
