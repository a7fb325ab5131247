package e2e

import (
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"callrecordd/config"
	"callrecordd/dialplan"
	"callrecordd/internal/lab"
)

// proxy stands between the daemon and one of Asterisk's interfaces.
type proxy struct {
	listener net.Listener
	target   string
	wg       sync.WaitGroup

	mu    sync.Mutex
	away  bool
	deaf  bool          // answers do not come back
	held  chan struct{} // requests wait until it is closed; nil: they do not
	conns map[net.Conn]bool
}

// newProxy listens until the test ends.
func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p := &proxy{listener: l, target: target, conns: map[net.Conn]bool{}}
	p.wg.Go(p.serve)
	t.Cleanup(func() {
		_ = l.Close()
		p.cut()
		p.wg.Wait()
	})
	return p
}

// behindProxy is a site whose manager can be away. The proxy lets all through.
func behindProxy(t *testing.T, cfg lab.Config) (*site, *proxy) {
	t.Helper()
	pbx := newPBX(t, cfg)
	p := newProxy(t, pbx.AMIAddr)
	s := siteAt(t, pbx, func(c *config.Config) { c.Asterisk.AMIAddress = p.listener.Addr().String() })
	s.start()
	s.populate()
	s.rules("alice", dialplan.Flags{OutgoingInternal: true})
	return s, p
}

func (p *proxy) serve() {
	for {
		near, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		far, err := net.Dial("tcp", p.target)
		if p.away || err != nil {
			_ = near.Close()
			if err == nil {
				_ = far.Close()
			}
			p.mu.Unlock()
			continue
		}
		p.conns[near], p.conns[far] = true, true
		p.mu.Unlock()
		p.wg.Go(func() { p.pass(near, far, true) })
		p.wg.Go(func() { p.pass(far, near, false) })
	}
}

func (p *proxy) pass(from, to net.Conn, requests bool) {
	defer from.Close()
	defer to.Close()
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		p.mu.Lock()
		held, drop := p.held, p.deaf && !requests
		p.mu.Unlock()
		if requests && held != nil {
			<-held
		}
		if drop {
			continue
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// cut ends all connections and takes no more.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = true
	for c := range p.conns {
		_ = c.Close()
	}
	p.conns = map[net.Conn]bool{}
	if p.held != nil {
		close(p.held)
		p.held = nil
	}
}

func (p *proxy) restore() { p.mu.Lock(); p.away = false; p.mu.Unlock() }

// hold keeps requests back until the returned function is called.
func (p *proxy) hold() (release func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	held := make(chan struct{})
	p.held = held
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.held == held {
			close(held)
			p.held = nil
		}
	}
}

func (p *proxy) dropAnswers(on bool) { p.mu.Lock(); p.deaf = on; p.mu.Unlock() }

// cutOff cuts the manager off and waits until the daemon has noticed.
func (s *site) cutOff(p *proxy) {
	s.t.Helper()
	p.cut()
	s.says("no manager interface")
}

// becomes waits until there are n recordings, the newest in that state.
func (s *site) becomes(n int, state string) row {
	s.t.Helper()
	var last row
	s.eventually("recording "+state, func() error {
		list := s.stored()
		if len(list) != n || list[n-1].state != state {
			return fmt.Errorf("%d are wanted, there are %+v", n, list)
		}
		last = list[n-1]
		return nil
	})
	return last
}

// recorders counts the recorders that Asterisk runs for alice's channel.
func (s *site) recorders() int {
	s.t.Helper()
	return s.recordersOf("alice")
}

func (s *site) recordersOf(user string) int {
	s.t.Helper()
	list, err := s.pbx.Console(within(s.t), "core show channels concise")
	must(s.t, err)
	for line := range strings.Lines(list) {
		name, _, _ := strings.Cut(line, "!")
		if !strings.HasPrefix(name, "PJSIP/"+user) {
			continue
		}
		out, err := s.pbx.Console(within(s.t), "mixmonitor list "+name)
		must(s.t, err)
		return strings.Count(out, "/monitor/")
	}
	s.t.Fatalf("%s is in no call: %s", user, list)
	return 0
}

func (s *site) alarms(cause string) (n int) {
	for line := range strings.Lines(s.log()) {
		if strings.Contains(line, "recording needs attention") && strings.Contains(line, "cause="+cause) {
			n++
		}
	}
	return n
}

func TestTalkThatBeginsWhileTheManagerIsAwayIsRecorded(t *testing.T) {
	t.Parallel()
	s, p := behindProxy(t, lab.Config{})
	alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0))
	s.cutOff(p)
	caller, callee := s.talk(alice, bob, "1002")
	s.eventually("the alarm", func() error {
		if n := s.alarms("no_manager"); n != 1 {
			return fmt.Errorf("there are %d", n)
		}
		return nil
	})
	waits := s.becomes(1, "starting")
	must(t, caller.Talk(within(t), 6*time.Second)) // further tries
	p.restore()
	now := s.recording(1)
	must(t, callee.Talk(within(t), 3*time.Second))
	s.hangup(caller)
	cdr, rec := s.one()
	if now.uuid != waits.uuid || rec.UUID != waits.uuid || rec.State != "ready" || rec.Cause != "no_manager" || !strings.HasPrefix(rec.Detail, "started ") {
		t.Errorf("recording is %+v", rec)
	}
	s.hears(s.media(cdr, rec), toneA, toneB)
	if n := s.alarms("no_manager"); n != 1 {
		t.Errorf("%d alarms", n)
	}

	// A talk that also ends meanwhile has one row, which says why.
	s.cutOff(p)
	caller, _ = s.talk(alice, bob, "1002")
	s.hangup(caller)
	if r := s.waitCDRs(2)[1].Recordings; len(r) != 1 || r[0].State != "missing" || r[0].Cause != "no_manager" {
		t.Errorf("recordings are %+v", r)
	}
}

// Bob leaves, Alice goes on to a menu: what she does there must not be in it
// for longer than the outage lasts.
func TestStopWhileTheManagerIsAwayIsMadeUpFor(t *testing.T) {
	t.Parallel()
	s, p := behindProxy(t, lab.Config{ExtraDialplan: "[" + lab.ContextUsers + "](+)\nexten => 1501,1,Dial(PJSIP/bob,60,g)\n same => n,Echo()\n same => n,Hangup()\n"})
	alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0))
	caller, callee := s.talk(alice, bob, "1501")
	s.recording(1)
	s.cutOff(p)
	must(t, callee.Hangup(within(t)))
	rec := s.becomes(1, "closing")
	s.eventually("the stop has failed", func() error {
		if len(s.events("recording_stop_fail", rec.uuid)) == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	if n := s.recorders(); n != 1 {
		t.Errorf("%d recorders run", n)
	}
	p.restore()
	s.becomes(1, "ready")
	if n := s.recorders(); n != 0 {
		t.Errorf("%d recorders run on, and Alice still is in the menu", n)
	}
	s.hangup(caller)
	if _, r := s.one(); r.State != "ready" || r.Cause != "" {
		t.Errorf("recording is %+v", r)
	}
}

func TestLostAnswerToAStart(t *testing.T) {
	t.Parallel()
	s, p := behindProxy(t, lab.Config{})
	alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0))

	// Asterisk has started it: the id is read back from the channel.
	p.dropAnswers(true)
	caller, _ := s.talk(alice, bob, "1002")
	s.recording(1)
	p.dropAnswers(false)
	if n := s.recorders(); n != 1 {
		t.Errorf("%d recorders run", n)
	}
	s.hangup(caller)
	if _, r := s.one(); r.State != "ready" || r.Cause != "" {
		t.Errorf("recording is %+v", r)
	}

	// Asterisk comes to it only after another one was sent: the first is
	// found and stopped.
	release := p.hold()
	caller, _ = s.talk(alice, bob, "1002")
	s.becomes(3, "starting")
	release()
	s.recording(3)
	s.eventually("one recorder is left", func() error {
		if list := s.stored(); s.recorders() != 1 || list[1].state != "ready" {
			return fmt.Errorf("%d run; %+v", s.recorders(), list)
		}
		return nil
	})
	s.hangup(caller)
	list := s.waitCDRs(2)[1].Recordings
	if len(list) != 2 || list[0].State != "ready" || list[1].State != "ready" {
		t.Errorf("recordings are %+v", list)
	}
	if rows := s.stored(); rows[1].cause != "no_answer" || rows[2].follows != rows[1].uuid {
		t.Errorf("rows are %+v", rows)
	}
}

func TestRunningRecorderWithoutARowIsAdopted(t *testing.T) {
	t.Parallel()
	s, p := behindProxy(t, lab.Config{})
	alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0))
	// forget has the row lost, as if it had never been stored.
	forget := func(uuid string) {
		t.Helper()
		s.stop()
		db, err := sql.Open("sqlite3", "file:"+s.cfg.State.Database()+"?mode=rw&_foreign_keys=1")
		must(t, err)
		defer func() { _ = db.Close() }()
		_, err = db.ExecContext(t.Context(), "DELETE FROM recordings WHERE uuid = ?", uuid)
		must(t, err)
	}
	for i, restart := range []func(){
		s.start,
		// The list of variables comes from the manager.
		func() { p.cut(); s.open(); s.says("no manager interface"); p.restore(); s.ready() },
	} {
		caller, _ := s.talk(alice, bob, "1002")
		rec := s.recording(i + 1)
		if i == 1 {
			// Nobody's rule wants it by then: a rule would have a recording of
			// its own started before this one is found.
			s.rules("alice", dialplan.Flags{})
		}
		forget(rec.uuid)
		restart()
		s.eventually("it is adopted", func() error {
			if list := s.stored(); len(list) != i+1 || list[i].uuid != rec.uuid || list[i].state != "recording" {
				return fmt.Errorf("rows are %+v", list)
			}
			return nil
		})
		must(t, caller.Talk(within(t), 3*time.Second)) // longer than an orphan lives
		if n := s.recorders(); n != 1 {
			t.Errorf("%d recorders run", n)
		}
		s.hangup(caller)
		list := s.waitCDRs(i + 1)[i].Recordings
		if len(list) != 1 || list[0].UUID != rec.uuid || list[0].State != "ready" || list[0].Cause != "" {
			t.Fatalf("recordings are %+v", list)
		}
	}
}

func TestMissingRootIsToldAndNotMade(t *testing.T) {
	t.Parallel()
	s := siteAt(t, newPBX(t, lab.Config{}))
	must(t, os.Remove(s.cfg.Recordings.Root))
	s.open()
	s.says(s.cfg.Recordings.Root, "does not exist", "create it")
	s.populate()
	s.rules("alice", dialplan.Flags{OutgoingInternal: true})
	alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0))
	s.missing(alice, bob, 1, 1, "no_directory", "no such file")
	if _, err := os.Stat(s.cfg.Recordings.Root); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the root was made: %v", err)
	}
	must(t, os.Mkdir(s.cfg.Recordings.Root, 0o750))
	s.ready()
	s.recordsNext(alice, bob, 2)
}
