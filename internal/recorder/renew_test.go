package recorder

import (
	"testing"
	"time"

	"callrecordd/internal/call"
)

func (d *desk) change(kind call.ChangeKind, legs string) {
	d.do(d.m.Step(d.now, talked(kind, 1, legs)))
}

// row is the recording that talk 1 has.
func (d *desk) current() *rec { return d.m.recs[d.m.talks[1].current] }

// renewed counts the events of finished renewals, by their reason.
func (d *desk) renewed(why string) (n int) {
	for _, l := range pick[Log](d.all) {
		if note, ok := l.Event.Data.(Note); ok && l.Event.Kind == EventRenewed && note.Why == why {
			n++
		}
	}
	return n
}

// Who comes into a talk that is recorded is heard whatever the numbers of their
// packets: a new recorder goes on with the same file.
func TestRenewal(t *testing.T) {
	t.Run("another party", func(t *testing.T) {
		d := newDesk(t, Config{})
		d.begin("Ab")
		u := d.current().UUID
		d.change(call.Changed, "Ac")
		d.want(t, "[stop]")
		d.pass2(59 * time.Millisecond)
		d.want(t, "[]")
		d.pass2(time.Millisecond)
		d.want(t, "[append]")
		if r := d.current(); r.UUID != u || !r.hears() || !r.proved || r.State != Live || d.renewed(RenewParty) != 1 {
			t.Errorf("%+v", r)
		}
		d.change(call.Changed, "A")
		d.change(call.Suspended, "A")
		d.change(call.Resumed, "Ab") // who has been away for a while, too
		d.want(t, "[stop]")
		none[Pause](t, d.all)
		none[Alarm](t, d.all)
	})
	t.Run("one of three leaves", func(t *testing.T) {
		d := newDesk(t, Config{})
		d.begin("Abc")
		d.change(call.Changed, "Ab")
		d.want(t, "[stop]")
	})
	t.Run("the same", func(t *testing.T) {
		d := newDesk(t, Config{})
		d.begin("Ab")
		d.change(call.Changed, "Ab")
		d.change(call.Suspended, "Ab")
		d.change(call.Resumed, "Ab")
		d.want(t, "[]")
	})
	t.Run("two changes in quick succession", func(t *testing.T) {
		for name, between := range map[string]func(d *desk){
			"before the stop": func(*desk) {},
			"after the stop":  func(d *desk) { d.release() },
		} {
			d := newDesk(t, Config{})
			d.begin("Ab")
			d.hold = true
			d.change(call.Changed, "Ac")
			between(d)
			d.pass2(40 * time.Millisecond)
			d.change(call.Changed, "Ad")
			if d.hold {
				d.release()
				d.pass2(40 * time.Millisecond)
			}
			d.want(t, "[stop]")
			d.pass2(20 * time.Millisecond)
			d.want(t, "[append]")
			d.pass2(time.Second)
			if d.want(t, "[]"); d.renewed(RenewParty) != 1 {
				t.Error(name, d.renewed(RenewParty))
			}
		}
	})
	t.Run("while the start is open", func(t *testing.T) {
		d := newDesk(t, Config{})
		d.hold = true
		d.begin("Ab")
		d.change(call.Changed, "Ac")
		d.want(t, "[]")
		d.release()
		d.want(t, "[stop]")
		d.pass2(60 * time.Millisecond)
		d.want(t, "[append]")
	})
	t.Run("unhold", func(t *testing.T) {
		d := newDesk(t, Config{})
		d.begin("Ab")
		d.do(d.m.Step(d.now, Unheld{"a"})) // what the hooked leg says is not dropped
		d.do(d.m.Step(d.now, Unheld{"x"}))
		d.want(t, "[]")
		d.do(d.m.Step(d.now, Unheld{"b"}))
		d.want(t, "[]")
		d.pass2(50 * time.Millisecond)
		d.pass2(60 * time.Millisecond)
		if d.want(t, "[stop append]"); d.renewed(RenewUnhold) != 1 {
			t.Error("no event says why")
		}
	})
	t.Run("unhold before a transfer", func(t *testing.T) {
		d := newDesk(t, Config{})
		d.begin("Ab")
		d.do(d.m.Step(d.now, Unheld{"b"}))
		d.change(call.Suspended, "A")
		d.pass2(50 * time.Millisecond)
		d.pass2(time.Second)
		d.want(t, "[mute]")
	})
	t.Run("another bridge", func(t *testing.T) {
		d := newDesk(t, Config{})
		d.begin("Ab")
		d.do(d.m.Step(d.now, Bridged{"b"})) // Local channels are optimised away
		d.pass2(2 * time.Second)
		d.want(t, "[]")
		d.do(d.m.Step(d.now, Bridged{"b"}))
		d.pass2(50 * time.Millisecond)
		d.pass2(60 * time.Millisecond)
		d.want(t, "[stop append]")
		d.do(d.m.Step(d.now, Bridged{"a"})) // it hears a sound first
		d.pass2(999 * time.Millisecond)
		d.want(t, "[]")
		d.pass2(time.Millisecond)
		d.want(t, "[stop]")
		if d.renewed(RenewMoved) != 1 {
			t.Error("no event says why")
		}
	})
	t.Run("not while a tone keeps the old list", func(t *testing.T) {
		d := newDesk(t, Config{})
		d.begin("Ab")
		d.press("b*")
		d.said = nil
		d.change(call.Changed, "Abc")
		d.pass2(900 * time.Millisecond)
		d.want(t, "[]")
		d.pass2(100 * time.Millisecond)
		d.want(t, "[stop]")
	})
	t.Run("a recorder that is started during a tone", func(t *testing.T) {
		d := newDesk(t, Config{})
		d.begin("ab")
		d.press("b*")
		d.press("a*")
		d.said = nil
		d.do(d.m.Step(d.now, ChannelGone{"b"}))
		d.change(call.Changed, "ac")
		d.want(t, "[follow]")
		d.pass2(999 * time.Millisecond)
		d.want(t, "[]")
		d.pass2(time.Millisecond)
		d.pass2(60 * time.Millisecond)
		if d.want(t, "[stop append]"); d.renewed(RenewTone) != 1 {
			t.Error("no event says why")
		}
	})
	t.Run("a tone in the gap makes it vain", func(t *testing.T) {
		d := newDesk(t, Config{})
		d.begin("Nb")
		d.change(call.Changed, "Nc")
		d.want(t, "[stop]")
		if got := d.press("n*"); got != "beeperr n, refused.user → active" {
			t.Error(got)
		}
		d.said = nil
		d.pass2(60 * time.Millisecond)
		d.want(t, "[append]")
		d.pass2(940 * time.Millisecond)
		d.pass2(60 * time.Millisecond)
		d.want(t, "[stop append]")
	})
	t.Run("after a gap", func(t *testing.T) {
		d := newDesk(t, Config{})
		row := Recording{UUID: id(101), State: Live, Hook: "a", Boot: boot, Legs: []string{"a", "b"}, MixMonitorID: "0x7"}
		row.Claims = []Claim{{Leg: "a", Reason: "rule.out.internal"}}
		alive := []Channel{{ID: "a", Recorders: []Recorder{{UUID: id(101), MixMonitorID: "0x7"}}}, {ID: "b"}, {ID: "c"}}
		d.do(d.m.Reconcile(d.now, []Recording{row}, alive, nil))
		d.begin("Ab")
		d.want(t, "[]")
		d.do(d.m.Step(d.now, Blind{}))
		d.change(call.Changed, "Ac")
		d.want(t, "[]")
		d.do(d.m.Reconcile(d.now, nil, alive, nil))
		d.pass2(60 * time.Millisecond)
		d.want(t, "[stop append]")
	})
}

func TestRenewalAndPause(t *testing.T) {
	for _, cut := range []bool{false, true} {
		t.Run("changed in a pause", func(t *testing.T) {
			d := newDesk(t, Config{Cut: cut})
			d.begin("Ab")
			d.press("a=")
			d.said = nil
			d.change(call.Changed, "Ac")
			d.pass2(time.Minute)
			d.want(t, "[]")
			d.press("a>")
			d.pass2(60 * time.Millisecond)
			d.want(t, map[bool]string{false: "[stop append beep ac]", true: "[append beep ac]"}[cut])
			if p := d.current().Pauses; len(p) != 1 || p[0].Cut != cut || d.renewed(RenewParty) != 1 {
				t.Errorf("%+v", p)
			}
		})
		for _, stopped := range []bool{false, true} {
			t.Run("paused in a renewal", func(t *testing.T) {
				d := newDesk(t, Config{Cut: cut})
				d.begin("Ab")
				d.hold = !stopped
				d.change(call.Changed, "Ac")
				d.want(t, "[stop]")
				if got := d.press("a="); stopped != (got == "beep ac → paused") {
					t.Error(got)
				}
				d.said = nil
				d.release()
				d.pass2(time.Second)
				if !stopped {
					d.want(t, "[beep ac]")
				}
				d.want(t, "[]")
				if got := d.press("a>"); got != "append, beep ac → active" {
					t.Error(got)
				}
				// Nothing was written in the pause: there is nothing to look at.
				if r := d.current(); len(r.Pauses) != 1 || !r.Pauses[0].Cut || r.State != Live || !r.hears() {
					t.Errorf("%+v", r)
				}
			})
		}
	}
}

func TestRenewalFails(t *testing.T) {
	begin := func(t *testing.T, cause string) (*desk, string) {
		d := newDesk(t, Config{})
		d.begin("Ab")
		d.fail["stop"] = cause
		u := d.current().UUID
		d.change(call.Changed, "Ac")
		return d, u
	}
	stopFails := func(d *desk) (n int) {
		for _, l := range pick[Log](d.all) {
			if l.Event.Kind == EventStopFailed {
				n++
			}
		}
		return n
	}
	for _, cause := range []string{CauseStalled, CauseNoManager} {
		t.Run(cause, func(t *testing.T) {
			d, u := begin(t, cause)
			d.want(t, "[stop]")
			w := pick[WatchFile](d.all)
			if r := d.current(); r.UUID != u || !r.hears() || !w[len(w)-1].Proved {
				t.Errorf("its recorder runs on, and is watched: %+v, %+v", r, w)
			}
			d.pass2(5 * time.Second)
			d.pass2(9 * time.Second)
			d.want(t, "[stop]") // and more and more rarely
			d.fail["stop"] = ""
			d.do(d.m.Step(d.now, Reachable{}))
			d.pass2(60 * time.Millisecond)
			d.want(t, "[stop append]")
			if n := stopFails(d); n != 1 {
				t.Errorf("told %d times", n)
			}
			none[Alarm](t, d.all)
		})
	}
	t.Run("it was not there", func(t *testing.T) {
		d, _ := begin(t, CauseRefused)
		d.pass2(60 * time.Millisecond)
		d.want(t, "[stop append]")
	})
	t.Run("no answer to the stop", func(t *testing.T) {
		d, u := begin(t, CauseTimeout)
		if r := d.current(); r.Follows != u || !r.hears() {
			t.Errorf("%+v", r)
		}
		d.want(t, "[stop stop alarm timeout follow]")
	})
	t.Run("the append is refused", func(t *testing.T) {
		d, u := begin(t, "")
		d.hold = true
		d.pass2(60 * time.Millisecond)
		d.held = []Input{StartFailed{u, CauseRefused, "no"}}
		d.release()
		d.want(t, "[stop append follow]")
		if r := d.current(); r.Follows != u || !r.hears() {
			t.Errorf("%+v", r)
		}
	})
	t.Run("the appended part does not grow", func(t *testing.T) {
		d, u := begin(t, "")
		d.hold = true
		d.pass2(60 * time.Millisecond)
		d.do(d.m.Step(d.now, d.held[0]))
		d.held = []Input{NotGrown{u, CauseNoGrowth, "no"}}
		d.release()
		d.want(t, "[stop append stop follow]")
	})
}

// A hangup in the middle of a renewal is an ordinary end: the file is complete.
func TestHangupInARenewal(t *testing.T) {
	for name, play := range map[string]func(d *desk){
		"before the stop's answer": func(d *desk) {
			d.do(d.m.Step(d.now, ChannelHanging{"a"}))
			d.do(d.m.Step(d.now, ChannelGone{"a"}))
			d.release()
		},
		"in the gap": func(d *desk) {
			d.release()
			d.do(d.m.Step(d.now, ChannelHanging{"a"}))
			d.pass2(time.Second)
			d.do(d.m.Step(d.now, ChannelGone{"a"}))
		},
		"the talk ends in the gap": func(d *desk) {
			d.release()
			d.do(d.m.Step(d.now, TalkChange{Change: call.Change{Kind: call.Ended, Talk: 1}}))
		},
		"before the append": func(d *desk) {
			d.release()
			d.hold = true
			d.pass2(60 * time.Millisecond)
			d.held = []Input{StartFailed{id(1), CauseNoChannel, ""}}
			d.release()
			d.do(d.m.Step(d.now, ChannelGone{"a"}))
		},
		"the stop is told so": func(d *desk) {
			d.held = []Input{StopFailed{id(1), CauseNoChannel, ""}}
			d.release()
			d.pass2(time.Second)
			d.do(d.m.Step(d.now, ChannelGone{"a"}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, Config{})
			d.begin("Ab")
			u := d.current().UUID
			d.hold = true
			d.change(call.Changed, "Ac")
			play(d)
			d.do(d.m.Step(d.now, ChannelGone{"c"}))
			d.do(d.m.Step(d.now, TalkChange{Change: call.Change{Kind: call.Ended, Talk: 1}}))
			if row := d.last(u); row.State != Ready || row.Cause != "" || len(d.m.recs) != 0 {
				t.Errorf("%+v", row)
			}
			if n := len(pick[Stop](d.all)); n != 1 {
				t.Errorf("%d stops", n)
			}
			none[Alarm](t, d.all)
			for _, l := range pick[Log](d.all) {
				if l.Event.Kind == EventStartFailed {
					t.Errorf("%+v", l)
				}
			}
		})
	}
}

// What a leg hears that is alone for a moment is not recorded.
func TestHush(t *testing.T) {
	t.Run("alone, then with the same", func(t *testing.T) {
		d := newDesk(t, Config{})
		d.begin("Ab")
		d.change(call.Suspended, "A")
		d.pass2(49 * time.Millisecond)
		d.want(t, "[]")
		d.pass2(time.Millisecond)
		d.want(t, "[mute]")
		d.change(call.Resumed, "Ab")
		d.want(t, "[unmute]")
		none[Pause](t, d.all)
		if r := d.current(); r.State != Live || !r.hears() {
			t.Errorf("%+v", r)
		}
	})
	t.Run("then with another", func(t *testing.T) {
		d := newDesk(t, Config{})
		d.begin("Ab")
		d.change(call.Suspended, "A")
		d.pass2(100 * time.Millisecond)
		d.change(call.Changed, "Ac")
		d.pass2(60 * time.Millisecond)
		d.want(t, "[mute stop append]")
		if !d.current().hears() {
			t.Errorf("%+v", d.current())
		}
	})
	t.Run("an ordinary end costs nothing", func(t *testing.T) {
		for _, last := range []Input{ChannelHanging{"a"}, ChannelGone{"a"}} {
			d := newDesk(t, Config{})
			d.begin("Ab")
			d.change(call.Suspended, "A")
			d.pass2(25 * time.Millisecond)
			d.do(d.m.Step(d.now, last))
			d.pass2(time.Second)
			d.want(t, "[]")
		}
	})
	t.Run("in a pause, and a pause in it", func(t *testing.T) {
		for _, cut := range []bool{false, true} {
			d := newDesk(t, Config{Cut: cut})
			d.begin("Ab")
			d.press("a=")
			d.said = nil
			d.change(call.Suspended, "A")
			d.pass2(100 * time.Millisecond)
			d.press("a>")
			d.want(t, "[]") // neither heard nor confirmed before somebody is there
			d.change(call.Resumed, "Ab")
			d.want(t, map[bool]string{false: "[unmute beep ab]", true: "[append beep ab]"}[cut])
			d.change(call.Suspended, "A")
			d.pass2(100 * time.Millisecond)
			d.want(t, "[mute]")
			d.press("a=")
			d.said = nil
			d.change(call.Resumed, "Ab")
			d.want(t, "[]")
			if got := d.press("a>"); got != map[bool]string{false: "unmute, beep ab → active", true: "append, beep ab → active"}[cut] {
				t.Error(got)
			}
		}
	})
	t.Run("during a renewal", func(t *testing.T) {
		d := newDesk(t, Config{})
		d.begin("Ab")
		d.hold = true
		d.change(call.Changed, "Ac")
		d.change(call.Suspended, "A")
		d.pass2(100 * time.Millisecond)
		d.release()
		d.pass2(time.Second)
		d.want(t, "[stop]")
		d.change(call.Resumed, "Ac")
		d.want(t, "[append]")
	})
	t.Run("it fails", func(t *testing.T) {
		d := newDesk(t, Config{})
		d.begin("Ab")
		d.fail["mute"] = CauseRefused
		d.change(call.Suspended, "A")
		d.pass2(100 * time.Millisecond)
		d.pass2(200 * time.Millisecond)
		d.want(t, "[mute mute alarm mute_failed stop]")
		d.change(call.Resumed, "Ab")
		d.want(t, "[follow]")
	})
	t.Run("before the start is answered", func(t *testing.T) {
		d := newDesk(t, Config{})
		d.hold = true
		d.begin("Ab")
		d.change(call.Suspended, "A")
		d.pass2(100 * time.Millisecond)
		d.release()
		d.want(t, "[mute]")
	})
}

func TestPauseOfATalkWithoutARecorder(t *testing.T) {
	d := newDesk(t, Config{})
	d.begin("ABc")
	if _, ok := d.m.TalkPause("b"); ok {
		t.Error("it is not paused")
	}
	d.press("b=")
	at := d.now
	d.change(call.Changed, "Bc") // the hooked leg leaves
	if p, ok := d.m.TalkPause("c"); !ok || p.Owner != "b" || p.Actor != "user-b" || !p.From.Equal(at) || d.m.talks[1].current != "" {
		t.Errorf("%+v %v", p, ok)
	}
	if s := d.m.PartyState("b"); s != PartyPaused {
		t.Error(s)
	}
}
