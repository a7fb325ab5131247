package e2e

import (
	"database/sql"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/lab"
)

// A database that takes no writes: said so, and nothing is switched later.
func TestStar26WhenTheDatabaseHangs(t *testing.T) {
	t.Parallel()
	s := newStarSite(t)
	alice := s.phone("alice", lab.Manual())
	db, err := sql.Open("sqlite3", "file:"+s.cfg.State.Database()+"?_busy_timeout=5000")
	must(t, err)
	defer func() { must(t, db.Close()) }()
	conn, err := db.Conn(t.Context())
	must(t, err)
	_, err = conn.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	must(t, err)
	s.answers(alice, "*26", dialplan.SoundSorry)
	// A change that changes nothing waits for its turn, and so for the end of
	// the one that hangs.
	s.patch("alice", map[string]any{"first_name": "Alice"})
	_, err = conn.ExecContext(t.Context(), "ROLLBACK")
	must(t, err)
	must(t, conn.Close())
	s.flags("alice", noFlags)
	s.answers(alice, "*26", dialplan.SoundOn)
}

func TestStar26WithoutTheIncludeSaysSo(t *testing.T) {
	t.Parallel()
	s := siteAt(t, newPBX(t, lab.Config{FeaturesPath: "/nonexistent/features.conf"}))
	s.start() // recording does not need it
	s.eventually("the status tells what is missing", func() error {
		if got := s.app.Status().Features; !strings.Contains(got, "#tryinclude") || !strings.Contains(got, s.cfg.State.Features()) {
			return fmt.Errorf("features: %q", got)
		}
		return nil
	})
	if n := strings.Count(s.pbx.Log(), "Reloading module 'pbx_config.so'"); n != 1 {
		t.Errorf("%d reloads, want one", n)
	}
}

func TestStar26ReloadNeedsClassSystem(t *testing.T) {
	t.Parallel()
	s := siteAt(t, newPBX(t, lab.Config{AMIWrite: "call"}))
	s.open()
	s.eventually("the status tells what is missing", func() error {
		if got := s.app.Status().Features; !strings.Contains(got, "Reload") || !strings.Contains(got, "write class system") {
			return fmt.Errorf("features: %q", got)
		}
		return nil
	})
}

// An Asterisk that cannot list its device states has lamps all the same.
func TestStar26LampsWithoutAList(t *testing.T) {
	t.Parallel()
	s := siteAt(t, newPBX(t, lab.Config{NoLoad: []string{"res_manager_devicestate.so"}}))
	s.start()
	s.populate()
	s.hasFeatures()
	s.rules("alice", allFlags)
	bob := s.phone("bob", lab.Manual())
	must(t, s.lamp(bob, "*261001").Wait(within(t), lab.LampOn))
	must(t, s.lamp(bob, "*261002").Wait(within(t), lab.LampOff))
	s.rules("alice", noFlags)
	must(t, s.lamp(bob, "*261001").Wait(within(t), lab.LampOff))
}

// The call ends in time whatever becomes of the daemon.
// A prompt that is longer than the time left for it, as in another language, was
// begun again and again, and the call never ended.
func TestStar26EndsThoughItsPromptIsLong(t *testing.T) {
	t.Parallel()
	bin := build(t)
	s := siteAt(t, newPBX(t, lab.Config{Sounds: spoken, SoundSeconds: 5}))
	daemon := s.spawn(bin)
	s.populate()
	s.hasFeatures()
	alice := s.phone("alice", lab.Manual())
	must(t, daemon.cmd.Process.Signal(syscall.SIGSTOP))
	defer func() { _ = daemon.cmd.Process.Signal(syscall.SIGCONT) }()
	begin := time.Now()
	c, err := alice.Dial(within(t), "*26")
	must(t, err)
	must(t, c.WaitTone(within(t), spoken[dialplan.SoundSorry]))
	must(t, c.WaitEnded(within(t)))
	if took := time.Since(begin); took > maxSwitch {
		t.Errorf("the call took %s", took)
	}
}

func TestStar26OfADaemonThatHangs(t *testing.T) {
	t.Parallel()
	bin := build(t)
	s := siteAt(t, newStarPBX(t))
	daemon := s.spawn(bin)
	s.populate()
	s.hasFeatures()
	alice := s.phone("alice", lab.Manual())
	press := func() *lab.Call {
		t.Helper()
		c, err := alice.Dial(within(t), "*26")
		must(t, err)
		return c
	}
	// ends waits for Asterisk's own words and the end.
	ends := func(what string, c *lab.Call, begin time.Time) {
		t.Helper()
		must(t, c.WaitTone(within(t), spoken[dialplan.SoundSorry]))
		must(t, c.WaitEnded(within(t)))
		took := time.Since(begin)
		t.Logf("%s: the call took %s", what, took)
		if took > maxSwitch {
			t.Errorf("%s: the call took %s", what, took)
		}
	}
	signal := func(sig syscall.Signal) {
		t.Helper()
		must(t, daemon.cmd.Process.Signal(sig))
	}
	again := func() {
		t.Helper()
		signal(syscall.SIGCONT)
		s.eventually("the daemon goes on", func() error {
			return s.client.Do(t.Context(), "GET", "status", nil, nil)
		})
	}

	signal(syscall.SIGSTOP)
	begin := time.Now()
	c := press()
	ends("stopped before", c, begin)
	s.told(c, dialplan.SoundSorry)
	again()
	// If the call that is over had been served now, this would say off.
	s.answers(alice, "*26", dialplan.SoundOn)

	begin = time.Now()
	c = press()
	must(t, c.WaitAnswered(within(t)))
	signal(syscall.SIGSTOP)
	ends("stopped once it had answered", c, begin)
	s.told(c, dialplan.SoundSorry)
	again()

	s.rules("alice", noFlags)
	begin = time.Now()
	c = press()
	must(t, c.WaitTone(within(t), spoken[dialplan.SoundOn]))
	signal(syscall.SIGSTOP)
	ends("stopped while it spoke", c, begin)
	s.told(c, dialplan.SoundOn, dialplan.SoundSorry)
	again()
	s.flags("alice", allFlags)

	begin = time.Now()
	c = press()
	must(t, c.WaitTone(within(t), spoken[dialplan.SoundOff]))
	daemon.end(t, syscall.SIGKILL)
	ends("killed while it spoke", c, begin)
	daemon = s.spawn(bin)
	s.answers(alice, "*26", dialplan.SoundOn)
}
