package recorder

import (
	"testing"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/call"
)

// What those who ask are answered, and that nobody else is.

func TestAdministratorsPauseIsNobodysElse(t *testing.T) {
	for _, cfg := range []Config{{}, {Cut: true}} {
		d := newDesk(t, cfg)
		d.begin("Ab")
		d.press("A=")
		for _, press := range []string{"a*", "a>", "b*", "b>"} {
			d.press(press)
			if !d.m.talks[1].paused() {
				t.Fatalf("%s ends the pause of an administrator", press)
			}
		}
		d.press("B>")
		if d.m.talks[1].paused() {
			t.Error("an administrator does not end it")
		}
	}
	d := newDesk(t, Config{})
	d.begin("Ab")
	d.press("A=")
	d.do(d.m.Step(d.now, talked(call.Ended, 1, "")))
	d.said = nil
	d.do(d.m.Step(d.now, talked(call.Began, 2, "Ac")))
	d.want(t, "[start]")
}

// While a start is looked for that was not answered nobody can mute its recorder:
// who pauses is told so, and the next press confirms the wish.
func TestPauseWhileAStartIsLost(t *testing.T) {
	for name, lostFirst := range map[string]bool{"lost, then the pause": true, "the pause, then lost": false} {
		d := newDesk(t, Config{})
		d.begin("ab")
		d.hold = true
		d.press("a*")
		u := d.m.talks[1].current
		d.held = nil
		if lostFirst {
			d.do(d.m.Step(d.now, StartLost{UUID: u}))
		}
		d.press("a*")
		if !lostFirst {
			d.do(d.m.Step(d.now, StartLost{UUID: u}))
		}
		if got := d.said[len(d.said)-1]; got != "beeperr a" || !d.m.talks[1].paused() || !d.m.talks[1].misled {
			t.Errorf("%s: %v", name, d.said)
		}
		if d.press("a*"); !d.m.talks[1].paused() {
			t.Errorf("%s: a press after the error resumes", name)
		}
		d.held = nil
		d.do(d.m.Step(d.now, StartFailed{u, CauseNoAnswer, ""}))
		if !d.m.talks[1].paused() {
			t.Errorf("%s: not paused any more", name)
		}
	}
}

func TestStartAgainAfterAFailedOne(t *testing.T) {
	d := newDesk(t, Config{})
	d.begin("ab")
	d.hold = true
	d.press("a+")
	u := d.m.talks[1].current
	d.held, d.hold = nil, false
	d.do(d.m.Step(d.now, StartFailed{u, CauseNoSpace, ""}))
	if got := d.press("a+"); got != "follow, beep ab → active" {
		t.Errorf("start again: %s", got)
	}
	if got := d.press("a+"); got != " → active" {
		t.Errorf("and again: %s", got)
	}
}

func TestBeepOfAFailedStartDoesNotSoundLater(t *testing.T) {
	for name, fail := range map[string]func(d *desk, u string){
		"it failed": func(d *desk, u string) { d.do(d.m.Step(d.now, StartFailed{u, CauseNoSpace, ""})) },
		"it hung":   func(*desk, string) {},
	} {
		d := newDesk(t, Config{})
		d.begin("ab")
		d.hold = true
		d.press("a+")
		u := d.m.talks[1].current
		d.held, d.hold = nil, false
		fail(d, u)
		d.do(d.m.Step(d.now, ChannelGone{"a"}))
		d.said = nil
		d.do(d.m.Step(d.now.Add(time.Second), talked(call.Changed, 1, "Bc")))
		for _, s := range d.said {
			if s == "beep bc" {
				t.Errorf("%s: a recording by rule beeps: %v", name, d.said)
			}
		}
	}
}

func TestPressOutsideATalk(t *testing.T) {
	for name, tc := range map[string]struct {
		digits, conference bool
		tone               int
		reason             dialplan.Reason
	}{
		"by the feature line":       {false, false, 1, dialplan.NoneNoTalk},
		"by digits, as in a menu":   {true, false, 0, dialplan.NoneNoTalk},
		"in a conference":           {false, true, 0, dialplan.NoneConference},
		"in a conference by digits": {true, true, 0, dialplan.NoneConference},
	} {
		m := New(Config{Digits: tc.digits})
		out, effects := m.Request(boot, Request{Op: OpToggle, Party: party("a"), By: dialplan.OnDemand, Conference: tc.conference})
		if out.Done || !out.NoTalk || out.Reason != tc.reason || len(pick[Tone](effects)) != tc.tone {
			t.Errorf("%s: %+v %+v", name, out, effects)
		}
		if q := one[Log](t, effects).Event.Data.(RequestData); q.Reason != tc.reason {
			t.Errorf("%s: stored as %q", name, q.Reason)
		}
	}
}

func TestStopSaysWhoseWishesItEnds(t *testing.T) {
	d := newDesk(t, Config{})
	d.begin("AB")
	out, _ := d.m.Request(d.now, Request{Op: OpStop, Party: party("a"), By: dialplan.API, Override: true})
	if len(out.Released) != 2 || out.Released[1].Leg != "b" {
		t.Errorf("%+v", out.Released)
	}
}

// An Asterisk that cannot mute one recorder would mute another one.
func TestNothingIsMutedWithoutMuteByID(t *testing.T) {
	d := newDesk(t, Config{NoMute: true})
	d.begin("Ab")
	if got := d.press("a="); got != "stop, beep ab → paused" {
		t.Error(got)
	}
	if got := d.press("a>"); got != "append, beep ab → active" {
		t.Error(got)
	}
	d.said = nil
	d.change(call.Suspended, "A") // alone: no music, no menu
	d.pass2(60 * time.Millisecond)
	d.change(call.Resumed, "Ab")
	d.want(t, "[stop append]")
	none[Mute](t, d.all)
	t.Run("stop fails", func(t *testing.T) {
		d := newDesk(t, Config{NoMute: true})
		d.begin("Ab")
		d.fail["stop"] = CauseStalled
		d.change(call.Suspended, "A")
		d.pass2(60 * time.Millisecond)
		d.fail["stop"] = ""
		d.pass2(5 * time.Second)
		d.want(t, "[stop stop]")
		none[Mute](t, d.all)
	})
	t.Run("pause cannot be made", func(t *testing.T) {
		d := newDesk(t, Config{NoMute: true})
		d.begin("Ab")
		d.fail["stop"] = CauseStalled
		d.press("a=")
		if d.said[len(d.said)-1] != "beeperr a" {
			t.Error(d.said)
		}
		none[Mute](t, d.all)
	})
}

// The beep of a stop waits until the recorder has stopped.
func TestBeepOfAStopIsTrue(t *testing.T) {
	d := newDesk(t, Config{})
	d.begin("ab")
	d.press("a+")
	d.fail["stop"] = CauseStalled
	d.press("a-")
	d.want(t, "[stop alarm storage_stalled]")
	d.fail["stop"] = ""
	d.pass2(5 * time.Second)
	d.want(t, "[stop beep ab]")
}

// A file that does not grow under a high load may grow when that is over: a talk
// is not given up for it.
func TestTalkIsTriedAgainAfterFilesThatDoNotGrow(t *testing.T) {
	r := newRig(t)
	start := one[Start](t, r.step(talked(call.Began, 1, "Ab")))
	for _, wait := range []time.Duration{0, 5 * time.Second, 10 * time.Second} {
		u := start.Row.UUID
		r.step(Started{UUID: u, MixMonitorID: "0x1", At: r.now})
		out := r.step(NotGrown{u, CauseNoGrowth, "rtp arrives"})
		if one[Stop](t, out); wait > 0 {
			none[Start](t, out)
			out = r.pass(wait)
		}
		r.step(StopDone{u})
		start = one[Start](t, out)
	}
	r.step(Started{UUID: start.Row.UUID, MixMonitorID: "0x1", At: r.now})
	r.step(Grew{start.Row.UUID})
	if row := r.last(start.Row.UUID); row.State != Live {
		t.Errorf("%+v", row)
	}
}
