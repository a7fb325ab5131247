package e2e

import (
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/control"
	"callrecordd/internal/lab"
)

// netted is an extension with the safety net's line in front.
const netted = "6"

func withSafetyLine() lab.Config {
	line := strings.ReplaceAll(dialplan.SafetyLine, "${EXTEN}", "${EXTEN:1}")
	return lab.Config{ExtraDialplan: "[" + lab.ContextUsers + "](+)\nexten => _" + netted + "100X,1," + line +
		"\n same => n,Goto(${EXTEN:1},1)\n"}
}

// mustRecord marks a user and waits until Asterisk knows.
func (s *site) mustRecord(user string) {
	s.t.Helper()
	before := s.netSize()
	s.do("PATCH", control.Path("users", s.users[user].UUID), map[string]any{"must_record": true}, nil)
	s.eventually(user+" is in Asterisk's dialplan", func() error {
		if s.netSize() == before {
			return errors.New("not yet")
		}
		return nil
	})
}

func (s *site) netSize() int {
	s.t.Helper()
	text, err := s.pbx.Console(within(s.t), "dialplan show callrecord-safety-users")
	must(s.t, err)
	return strings.Count(text, "Return(")
}

// passes places a call that lasts three seconds.
func (s *site) passes(from, to *lab.Phone, exten string) {
	s.t.Helper()
	caller, _ := s.talk(from, to, exten)
	must(s.t, caller.Talk(within(s.t), 3*time.Second))
	s.hangup(caller)
}

// claimants are the users and reasons of a recording.
func (s *site) claimants(uuid string) (out []string) {
	s.t.Helper()
	s.query(`SELECT json_extract(value, '$.user_uuid') || ' ' || json_extract(value, '$.reason')
		FROM recordings, json_each(claims) WHERE uuid = ?`, []any{uuid}, func(r *sql.Rows) error {
		var text string
		err := r.Scan(&text)
		out = append(out, text)
		return err
	})
	return out
}

func TestSafetyNetRecordsWhileTheDaemonIsDown(t *testing.T) {
	t.Parallel()
	s := siteAt(t, newPBX(t, withSafetyLine()))
	s.start()
	s.populate()
	alice, bob, carol, dave := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0)), s.phone("carol", lab.AutoAnswer(0)), s.phone("dave", lab.Manual())
	s.mustRecord("alice")
	s.mustRecord("carol")
	s.rules("alice", dialplan.Flags{OutgoingInternal: true})

	// The daemon is there: it decides, and there is one recorder.
	caller, _ := s.talk(alice, bob, netted+"1002")
	s.recording(1)
	if n := s.recorders(); n != 1 {
		t.Errorf("%d recorders run", n)
	}
	must(t, caller.Talk(within(t), 1500*time.Millisecond))
	s.hangup(caller)
	s.passes(dave, carol, netted+"1003") // no rule wants it
	if n := len(s.files()); n != 1 {
		t.Fatalf("%d files", n)
	}

	s.stop()
	log := s.log()
	if events, word := strings.Index(log, `stopped part="ari stream"`), strings.Index(log, `stopped part="word to the safety net"`); events < 0 || word < events {
		t.Error("the net was called while we still started recorders")
	}
	s.passes(alice, bob, netted+"1002")
	_, err := s.pbx.Console(within(t), "dialplan set global "+dialplan.AliveVariable+" 9999999999") // the clock was set back
	must(t, err)
	s.passes(dave, carol, netted+"1003")
	s.passes(dave, bob, netted+"1002") // for neither
	caller, callee := s.talk(alice, bob, netted+"1002")
	must(t, caller.Talk(within(t), 1500*time.Millisecond))
	if n := len(s.files()); n != 4 {
		t.Fatalf("Asterisk alone has made the files %v", s.files())
	}
	s.start()
	s.eventually("the one that runs is adopted", func() error {
		list := s.stored()
		if last := list[len(list)-1]; len(s.events("recording_adopted", last.uuid)) == 0 || last.state != "recording" {
			return fmt.Errorf("rows: %+v", list)
		}
		return nil
	})
	must(t, callee.Talk(within(t), 3*time.Second)) // longer than an orphan lives
	if n := s.recorders(); n != 1 {
		t.Errorf("%d recorders run", n)
	}
	s.hangup(caller)

	list := s.waitCDRs(6)
	for i, want := range []struct {
		from, claim string
		reason      dialplan.Reason
	}{
		{"alice", "alice", dialplan.RuleOutInternal},
		{"dave", "", ""},
		{"alice", "alice", dialplan.SafetyNetMade},
		{"dave", "carol", dialplan.SafetyNetMade},
		{"dave", "", ""},
		{"alice", "", ""}, // of several claims
	} {
		c := list[i]
		if c.SourceUserUUID != s.users[want.from].UUID {
			t.Errorf("call %d is from %s", i, c.SourceName)
		}
		if want.reason == "" && i < 5 {
			if len(c.Recordings) > 0 {
				t.Errorf("call %d has %+v", i, c.Recordings)
			}
			continue
		}
		if len(c.Recordings) != 1 || c.Recordings[0].State != "ready" || c.Recordings[0].Cause != "" {
			t.Errorf("call %d has %+v", i, c.Recordings)
			continue
		}
		rec := c.Recordings[0]
		if got := s.claimants(rec.UUID); i < 5 && (len(got) != 1 || got[0] != s.users[want.claim].UUID+" "+string(want.reason)) {
			t.Errorf("call %d: claims are %v, want %s of %s", i, got, want.reason, want.claim)
		}
		if d := *rec.MediaDuration; i > 0 && i < 5 && (d < 2.5 || d > 5) {
			t.Errorf("call %d: recording of %.1f s", i, d)
		}
		s.hears(s.media(c, rec), toneA, toneB)
	}
	if n := len(s.files()); n != 4 {
		t.Errorf("files: %v", s.files())
	}
	if rows := s.stored(); len(rows) != 4 {
		t.Errorf("rows: %+v", rows)
	}
}

// silentFor waits until the daemon's last word to the net is as old.
func (s *site) silentFor(want time.Duration) {
	s.t.Helper()
	s.eventually("the daemon's last word is too old", func() error {
		text, err := s.pbx.Console(within(s.t), "dialplan show globals")
		must(s.t, err)
		m := regexp.MustCompile(dialplan.AliveVariable + `=(\d+)`).FindStringSubmatch(text)
		if m == nil {
			return fmt.Errorf("no %s in %s", dialplan.AliveVariable, text)
		}
		seconds, err := strconv.ParseInt(m[1], 10, 64)
		must(s.t, err)
		if age := time.Since(time.Unix(seconds, 0)); age < want {
			return fmt.Errorf("it is %s old", age)
		}
		return nil
	})
}

// A daemon that was killed could not say so: its word is too old after 15 s.
func TestSafetyNetAfterAKill(t *testing.T) {
	t.Parallel()
	bin := build(t)
	s := siteAt(t, newPBX(t, withSafetyLine()))
	daemon := s.spawn(bin)
	s.populate()
	alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0))
	s.mustRecord("alice")
	daemon.end(t, syscall.SIGKILL)
	s.silentFor(dialplan.AliveTime + time.Second)
	s.passes(alice, bob, netted+"1002")
	s.spawn(bin)
	c, rec := s.one()
	if rec.State != "ready" || rec.Reason != string(dialplan.SafetyNetMade) {
		t.Errorf("recording is %+v", rec)
	}
	s.hears(s.media(c, rec), toneA, toneB)
}

// The manager alone is away: the daemon sees the calls and cannot start anything,
// nor tell the net. So Asterisk records, and the daemon must come to know.
func TestSafetyNetWhileTheManagerIsAway(t *testing.T) {
	t.Parallel()
	s, p := behindProxy(t, withSafetyLine())
	alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0))
	s.mustRecord("alice")
	s.cutOff(p)
	s.silentFor(dialplan.AliveTime + 2*time.Second)
	s.passes(alice, bob, netted+"1002")
	caller, callee := s.talk(alice, bob, netted+"1002")
	must(t, caller.Talk(within(t), 2*time.Second))
	if n := s.recorders(); n != 1 {
		t.Fatalf("%d recorders run while the manager is away", n)
	}
	p.restore()
	s.eventually("the one that runs is adopted", func() error {
		if n := s.recorders(); n > 1 { // none for the moment of a renewal
			t.Fatalf("%d recorders run", n)
		}
		list := s.stored()
		if last := list[len(list)-1]; len(s.events("recording_adopted", last.uuid)) == 0 || last.state != "recording" {
			return fmt.Errorf("rows: %+v", list)
		}
		return nil
	})
	must(t, callee.Talk(within(t), 3*time.Second)) // longer than an orphan lives
	if n := s.recorders(); n != 1 {
		t.Errorf("%d recorders run", n)
	}
	s.hangup(caller)
	for i, c := range s.waitCDRs(2) {
		var whole, waited int
		for _, rec := range c.Recordings {
			switch {
			case rec.State == "ready" && rec.Cause == "":
				whole++
				s.hears(s.media(c, rec), toneA, toneB)
			case rec.State == "missing" && rec.Cause == "no_manager":
				waited++ // what we could not start
			}
		}
		if whole != 1 || waited != 1 || len(c.Recordings) != 2 {
			t.Errorf("call %d has %+v", i, c.Recordings)
		}
	}
	if n := len(s.files()); n != 2 {
		t.Errorf("files: %v", s.files())
	}
}
