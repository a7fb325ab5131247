package e2e

import (
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"callrecordd/config"
	"callrecordd/dialplan"
	"callrecordd/internal/lab"
)

// manager stands for systemd: it takes what a service tells of itself.
type manager struct {
	path string

	mu   sync.Mutex
	told []string
}

func newManager(t *testing.T) *manager {
	t.Helper()
	dir, err := os.MkdirTemp("", "sd") // the test's own is too long for a socket
	must(t, err)
	m := &manager{path: filepath.Join(dir, "notify")}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path, Net: "unixgram"})
	must(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			m.mu.Lock()
			m.told = append(m.told, string(buf[:n]))
			m.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
		_ = os.RemoveAll(dir)
	})
	return m
}

func (m *manager) env() string { return "NOTIFY_SOCKET=" + m.path }

// all are the messages so far.
func (m *manager) all() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.told)
}

// hears waits for n messages after the first skip that begin so.
func (m *manager) hears(s *site, skip, n int, prefix string) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("%d times %q", n, prefix), func() error {
		got := 0
		for _, text := range m.all()[skip:] {
			if strings.HasPrefix(text, prefix) {
				got++
			}
		}
		if got < n {
			return fmt.Errorf("told %q", m.all()[skip:])
		}
		return nil
	})
}

// A database that takes no writes is told and costs no restart: recording goes
// on, and the watchdog is fed.
func TestUnwritableDatabaseIsDegradedNotDead(t *testing.T) {
	t.Parallel()
	bin := build(t)
	s := siteAt(t, newPBX(t, lab.Config{}))
	m := newManager(t)
	daemon := s.spawn(bin, m.env(), "WATCHDOG_USEC=1500000")
	s.populate()
	s.rules("alice", dialplan.Flags{OutgoingInternal: true})
	m.hears(s, 0, 1, "READY=1\nSTATUS=")
	m.hears(s, 0, 3, "WATCHDOG=1")
	readyz := func() int { return s.get("/readyz", nil).StatusCode }
	s.eventually("the API says that all is well", func() error {
		if code := readyz(); code != http.StatusOK {
			return fmt.Errorf("status %d", code)
		}
		return nil
	})
	db, err := sql.Open("sqlite3", "file:"+s.cfg.State.Database()+"?_busy_timeout=10000")
	must(t, err)
	defer func() { _ = db.Close() }()
	conn, err := db.Conn(t.Context())
	must(t, err)
	_, err = conn.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	must(t, err)
	skip := len(m.all())
	m.hears(s, skip, 1, "STATUS=degraded: database")
	if code := readyz(); code != http.StatusServiceUnavailable {
		t.Errorf("readyz answers %d", code)
	}
	skip = len(m.all())
	m.hears(s, skip, 3, "WATCHDOG=1")
	select {
	case <-daemon.done:
		t.Fatalf("the daemon has ended: %v", daemon.err)
	default:
	}
	_, err = conn.ExecContext(t.Context(), "ROLLBACK")
	must(t, err)
	must(t, conn.Close())
	m.hears(s, len(m.all()), 1, "STATUS=recording by rule and on demand")
	if code := readyz(); code != http.StatusOK {
		t.Errorf("readyz answers %d", code)
	}
	s.recordsNext(s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0)), 1)
	skip = len(m.all())
	daemon.end(t, syscall.SIGTERM)
	m.hears(s, skip, 1, "STOPPING=1")
}

// writes replaces the configuration file.
func (s *site) writes(text string) {
	s.t.Helper()
	must(s.t, os.WriteFile(filepath.Join(filepath.Dir(s.cfg.State.Dir), "callrecordd.yaml"), []byte(text), 0o600))
}

func TestReloadInTheMiddleOfACall(t *testing.T) {
	t.Parallel()
	bin := build(t)
	s := siteAt(t, newPBX(t, lab.Config{}), func(c *config.Config) { c.Log.Level = "info" })
	m := newManager(t)
	daemon := s.spawn(bin, m.env())
	s.populate()
	s.rules("alice", dialplan.Flags{OutgoingInternal: true})
	s.rules("bob", dialplan.Flags{OnDemand: true})
	alice, bob, carol := s.phone("alice", lab.Manual()), s.phone("bob", lab.Manual()), s.phone("carol", lab.AutoAnswer(0))
	bob.OnIncoming(lab.AutoAnswer(0))
	ruled, _ := s.talk(alice, carol, "1003")
	began := time.Now()
	first := s.recording(1)
	wished, _ := s.talk(bob, carol, "1003")
	s.press(wished)
	second := s.recording(2)

	reload := func(text string) (log string) {
		t.Helper()
		s.writes(text)
		before, skip := len(s.log()), len(m.all())
		must(t, daemon.cmd.Process.Signal(syscall.SIGHUP))
		m.hears(s, skip, 1, "RELOADING=1\nMONOTONIC_USEC=")
		m.hears(s, skip, 1, "READY=1\nSTATUS=")
		return s.log()[before:]
	}
	says := func(log string, words ...string) {
		t.Helper()
		for _, w := range words {
			if !strings.Contains(log, w) {
				t.Errorf("the log does not say %q: %s", w, log)
			}
		}
	}

	// A file with a fault changes nothing.
	faulty := strings.Replace(s.cfg.YAML(), "level: info", "level: loud", 1)
	line := 1 + strings.Count(faulty[:strings.Index(faulty, "level: loud")], "\n")
	log := reload(strings.Replace(faulty, "cycle: pause", "cycle: stop", 1))
	says(log, "the old settings go on", "callrecordd.yaml", fmt.Sprintf("line %d: log.level", line), "loud")

	next := s.cfg
	next.Log.Level, next.OnDemand.Cycle = "debug", config.CycleStop
	next.HTTP.Listen = []string{"127.0.0.1:1"}
	log = reload(next.YAML())
	says(log, "configuration reloaded", "log.level", "on_demand.cycle", "these settings need a restart", "http.listen")
	if strings.Contains(log, "recordings.pause") {
		t.Errorf("what has not changed is told: %s", log)
	}
	s.press(wished) // ends it: cycle is stop now
	s.eventually("the recording on demand is over", func() error {
		for _, r := range s.stored() {
			if r.uuid == second.uuid && r.state == "ready" {
				return nil
			}
		}
		return errors.New("it goes on")
	})
	if !strings.Contains(s.log(), `"level":"DEBUG"`) {
		t.Error("the log has not become more talkative")
	}
	must(t, ruled.Talk(within(t), time.Second))
	lasted := time.Since(began)
	must(t, wished.Hangup(within(t)))
	s.hangup(ruled)
	for _, c := range s.waitCDRs(2) { // at the old address
		if len(c.Recordings) != 1 || c.Recordings[0].State != "ready" {
			t.Errorf("call %+v", c)
		} else if c.Recordings[0].UUID == first.uuid {
			throughout(t, s.media(c, c.Recordings[0]), lasted, toneA, toneB)
		}
	}
}

// stopTime is how long an orderly stop may take, calls of *26 included.
const stopTime = 2 * time.Second

func TestStopInTheMiddleOfStar26(t *testing.T) {
	t.Parallel()
	bin := build(t)
	s := siteAt(t, newStarPBX(t))
	daemon := s.spawn(bin)
	s.populate()
	s.hasFeatures()
	alice := s.phone("alice", lab.Manual())
	c, err := alice.Dial(within(t), "*26")
	must(t, err)
	must(t, c.WaitAnswered(within(t)))
	asked := time.Now()
	daemon.end(t, syscall.SIGTERM)
	took := time.Since(asked)
	t.Logf("stopped within %s", took.Round(time.Millisecond))
	if daemon.err != nil || took > stopTime {
		t.Errorf("the stop took %s and ended with %v", took, daemon.err)
	}
	must(t, c.WaitEnded(within(t)))
	s.told(c, dialplan.SoundOn)
	s.flagsOnDisk("alice", allFlags)
}
