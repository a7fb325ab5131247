package e2e

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"callrecordd/config"
	"callrecordd/dialplan"
	"callrecordd/internal/lab"
)

// outageTime is how long something is away in these tests (issue 4, Shows 3).
const outageTime = 10 * time.Second

// outage is five recorded calls into which something bursts.
type outage struct {
	*site
	alice, bob *lab.Phone
	calls      []*lab.Call
	rows       []row // of the five
	began      time.Time
}

// fiveCalls places them; their recordings run and are proved.
func (s *site) fiveCalls() *outage {
	s.t.Helper()
	s.rules("alice", dialplan.Flags{OutgoingInternal: true})
	o := &outage{site: s, alice: s.phone("alice", lab.Manual()), bob: s.phone("bob", lab.AutoAnswer(0))}
	for range 5 {
		caller, _ := s.talk(o.alice, o.bob, "1002")
		o.calls = append(o.calls, caller)
	}
	o.began = time.Now()
	s.eventually("five recordings run", func() error {
		o.rows = s.stored()
		if n := len(s.events("recording_proved", "")); len(o.rows) != 5 || n != 5 {
			return fmt.Errorf("%d of %d are proved", n, len(o.rows))
		}
		return nil
	})
	return o
}

// callsMeanwhile places two calls while something is away, the second of which
// goes on when this returns; the outage has then lasted for its time.
func (o *outage) callsMeanwhile() {
	o.t.Helper()
	until := time.Now().Add(outageTime)
	caller, _ := o.talk(o.alice, o.bob, "1002")
	must(o.t, caller.Talk(within(o.t), 2500*time.Millisecond))
	must(o.t, caller.Hangup(within(o.t)))
	caller, _ = o.talk(o.alice, o.bob, "1002")
	o.calls = append(o.calls, caller)
	must(o.t, caller.Talk(within(o.t), time.Until(until)))
}

// goesOn waits until the five recordings go on, the same as before, and until
// the call that began meanwhile is recorded.
func (o *outage) goesOn() {
	o.t.Helper()
	o.eventually("the recordings go on, and the new call has one", func() error {
		list := o.stored()
		running := 0
		for _, r := range list {
			if r.state == "recording" {
				running++
			}
		}
		for _, r := range o.rows {
			if i := slices.IndexFunc(list, func(now row) bool { return now.uuid == r.uuid }); list[i].state != "recording" {
				return fmt.Errorf("recording %+v", list[i])
			}
		}
		if running != 6 {
			return fmt.Errorf("%d recordings run: %+v", running, list)
		}
		return nil
	})
	must(o.t, o.calls[5].Talk(within(o.t), 2500*time.Millisecond))
}

// over hangs up and checks all seven calls: the five are recorded from end to
// end, in one file each; the one that began meanwhile is recorded; the one that
// the outage swallowed is recorded or has a row with that cause.
func (o *outage) over(cause string) {
	o.t.Helper()
	lasted := time.Since(o.began)
	for _, c := range o.calls {
		must(o.t, c.Hangup(within(o.t)))
	}
	must(o.t, o.pbx.WaitIdle(within(o.t)))
	list := o.waitCDRs(7)
	for i, c := range list {
		if len(c.Recordings) != 1 || c.Recordings[0].Reason != string(dialplan.RuleOutInternal) {
			o.t.Errorf("call %d has the recordings %+v", i, c.Recordings)
			continue
		}
		rec := c.Recordings[0]
		switch {
		case i == 5 && rec.State == "missing":
			if rec.Cause != cause || rec.Detail == "" || rec.MediaDuration != nil {
				o.t.Errorf("the swallowed call has %+v, cause %s is wanted", rec, cause)
			}
		case rec.State != "ready":
			o.t.Errorf("call %d: recording is %+v", i, rec)
		case i < 5:
			if rec.UUID != o.rows[i].uuid || rec.Cause != "" {
				o.t.Errorf("call %d: recording %s has become %+v", i, o.rows[i].uuid, rec)
			}
			o.unbroken(o.media(c, rec), lasted, toneA, toneB)
		default:
			o.hears(o.media(c, rec), toneA, toneB)
		}
	}
	if rec := list[5].Recordings; len(rec) == 1 && rec[0].State != "missing" {
		o.t.Errorf("a call that nobody could record has %+v", rec[0])
	}
}

// hole is what a recording of many calls at once may lack: on a loaded machine
// their telephones stutter. An outage is ten times as long.
const hole = time.Second

// unbroken checks that the file lasts as long as the call and that no tone is
// away for longer than a hole.
func (o *outage) unbroken(path string, lasted time.Duration, hz ...float64) {
	o.t.Helper()
	audio, err := lab.ReadWAV(path)
	must(o.t, err)
	if audio.Duration() < lasted-hole {
		o.t.Errorf("the recording lasts %s, the call %s", audio.Duration(), lasted)
	}
	for _, f := range hz {
		heard := time.Duration(0)
		spans := lab.Tones(audio, []float64{f})
		for _, s := range append(spans, lab.Span{From: audio.Duration()}) {
			if s.From-heard > hole {
				o.t.Errorf("%.0f Hz is not heard from %s to %s of %s", f, heard, s.From, audio.Duration())
			}
			heard = s.To
		}
	}
}

func TestFiveCallsOutliveAnOutageOfTheEvents(t *testing.T) {
	t.Parallel()
	pbx := newPBX(t, lab.Config{})
	p := newProxy(t, strings.TrimSuffix(strings.TrimPrefix(pbx.ARIURL, "http://"), "/ari"))
	s := siteAt(t, pbx, func(c *config.Config) { c.Asterisk.ARIURL = "http://" + p.listener.Addr().String() })
	s.start()
	s.populate()
	o := s.fiveCalls()
	p.cut()
	s.says("no event stream")
	o.callsMeanwhile()
	p.restore()
	s.ready()
	o.goesOn()
	o.over("daemon_down")
}

func TestFiveCallsOutliveAnOutageOfTheManager(t *testing.T) {
	t.Parallel()
	s, p := behindProxy(t, lab.Config{})
	o := s.fiveCalls()
	s.cutOff(p)
	o.callsMeanwhile()
	p.restore()
	s.ready()
	o.goesOn()
	o.over("no_manager")
}

func TestFiveCallsOutliveTheDaemon(t *testing.T) {
	t.Parallel()
	bin := build(t)
	for name, signal := range map[string]syscall.Signal{"stopped": syscall.SIGTERM, "killed": syscall.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := siteAt(t, newPBX(t, lab.Config{}))
			daemon := s.spawn(bin)
			s.populate()
			o := s.fiveCalls()
			asked := time.Now()
			daemon.end(t, signal)
			t.Logf("%s within %s", name, time.Since(asked).Round(time.Millisecond))
			for _, r := range s.stored() {
				// A confirmation waits up to 50 ms for others to share its commit.
				if r.state != "recording" && (signal == syscall.SIGTERM || r.state != "starting") {
					t.Errorf("the daemon is gone and recording %s is %s", r.uuid, r.state)
				}
			}
			o.callsMeanwhile()
			started := time.Now()
			s.spawn(bin)
			s.eventually("the recordings are adopted", func() error {
				if n := len(s.events("recording_adopted", "")); n != 5 {
					return fmt.Errorf("%d are", n)
				}
				return nil
			})
			t.Logf("five recordings adopted %s after the start", time.Since(started).Round(time.Millisecond))
			o.goesOn()
			o.over("daemon_down")
		})
	}
}

func TestFiveCallsWhenAsteriskDies(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	o := s.fiveCalls()
	must(t, o.calls[0].Talk(within(t), 1500*time.Millisecond))
	must(t, s.pbx.Kill())
	s.says("no event stream from Asterisk")
	// Placed while Asterisk is dead: the telephone asks again and again, so the
	// call comes in as soon as it can. The daemon may be back by then, or not.
	caller, err := o.alice.Dial(within(t), "1002")
	must(t, err)
	must(t, s.pbx.Restart(within(t)))
	callee, err := o.bob.WaitCall(within(t))
	must(t, err)
	must(t, caller.WaitAnswered(within(t)))
	caller.Play(toneA)
	callee.Play(toneB)
	must(t, caller.Talk(within(t), 2500*time.Millisecond))
	s.hangup(caller)
	s.ready()
	list := s.waitCDRs(6)
	for i, c := range list {
		if len(c.Recordings) != 1 {
			t.Errorf("call %d has the recordings %+v", i, c.Recordings)
			continue
		}
		rec := c.Recordings[0]
		switch {
		case i < 5:
			if rec.UUID != o.rows[i].uuid || rec.State != "interrupted" || rec.Cause != "header_repaired" || !c.Answered {
				t.Errorf("call %d: %+v has %+v", i, c, rec)
			}
			s.hears(s.media(c, rec), toneA, toneB)
		case rec.State == "ready":
			s.hears(s.media(c, rec), toneA, toneB)
		case rec.State != "missing" || rec.Cause == "":
			t.Errorf("the call after the restart has %+v", rec)
		}
	}
}

// A daemon that starts while only one of Asterisk's two interfaces answers takes
// up the calls that it finds when the other one does.
func TestDaemonThatStartsWithHalfOfAsterisk(t *testing.T) {
	t.Parallel()
	pbx := newPBX(t, lab.Config{})
	rest := newProxy(t, strings.TrimSuffix(strings.TrimPrefix(pbx.ARIURL, "http://"), "/ari"))
	manager := newProxy(t, pbx.AMIAddr)
	s := siteAt(t, pbx, func(c *config.Config) {
		c.Asterisk.ARIURL = "http://" + rest.listener.Addr().String()
		c.Asterisk.AMIAddress = manager.listener.Addr().String()
	})
	s.start()
	s.populate()
	s.rules("alice", dialplan.Flags{OutgoingInternal: true})
	alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0))
	for n, half := range []struct {
		away  *proxy
		words string
	}{{manager, "no manager interface"}, {rest, "no event stream"}} {
		s.stop()
		half.away.cut()
		s.open()
		s.says(half.words)
		caller, _ := s.talk(alice, bob, "1002")
		half.away.restore()
		s.ready()
		s.runs()
		must(t, caller.Talk(within(t), 1500*time.Millisecond))
		s.hangup(caller)
		if c := s.waitCDRs(n + 1)[n]; len(c.Recordings) != 1 || c.Recordings[0].State != "ready" {
			t.Errorf("%s: %+v", half.words, c.Recordings)
		} else {
			s.hears(s.media(c, c.Recordings[0]), toneA, toneB)
		}
	}
}
