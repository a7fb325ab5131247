package recorder

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/call"
)

func (d *desk) begin(legs string) {
	d.do(d.m.Step(d.now, talked(call.Began, 1, legs)))
	d.said = nil
}

func (d *desk) want(t *testing.T, want string) {
	t.Helper()
	if got := fmt.Sprint(d.said); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	d.said = nil
}

func TestMuteIsTheFirstEffect(t *testing.T) {
	d := newDesk(t, Config{})
	d.begin("Ab")
	_, effects := d.m.Request(d.now, Request{Op: OpPause, Party: party("a"), By: dialplan.API, Actor: "alice"})
	mute, ok := effects[0].(Mute)
	if !ok || !mute.On || mute.Row.MixMonitorID != "0x1" || mute.Row.State != Paused {
		t.Fatalf("%+v", effects)
	}
	if s := one[Save](t, effects).Row; s.State != Paused || len(s.Pauses) != 1 {
		t.Errorf("%+v", s)
	}
	if p := one[Pause](t, effects); p.UUID != mute.Row.UUID || p.Owner != "a" || p.Actor != "alice" || !p.From.Equal(d.now) || !p.To.IsZero() {
		t.Errorf("%+v", p)
	}
	none[Tone](t, effects) // the beep waits for Asterisk's answer
	one[Tone](t, d.m.Step(d.now, Muted{mute.Row.UUID, mute.Try, true, d.now}))
}

// Whatever the order of answers, the last press counts.
func TestQuickPresses(t *testing.T) {
	for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 2, 0}, {0, 2, 1}} {
		d := newDesk(t, Config{})
		d.begin("Ab")
		d.hold = true
		d.press("a*")
		d.press("a*")
		d.press("a*")
		if len(d.held) != 3 {
			t.Fatal(d.held)
		}
		d.said = nil
		d.release(order...)
		d.want(t, "[beep ab]")
		if r := d.m.recs[d.m.talks[1].current]; !r.hushed() || r.State != Paused || len(r.Pauses) != 2 || r.muting.open {
			t.Errorf("%v: %+v", order, r)
		}
	}
	t.Run("cut", func(t *testing.T) {
		d := newDesk(t, Config{Cut: true})
		d.begin("Ab")
		d.hold = true
		d.press("a*")
		d.press("a*")
		d.release()
		d.want(t, "[append beep ab]")
		if r := d.m.recs[d.m.talks[1].current]; !r.hears() || r.State != Live {
			t.Errorf("%+v", r)
		}
	})
}

func TestPauseBeforeTheStartIsAnswered(t *testing.T) {
	for _, cut := range []bool{false, true} {
		d := newDesk(t, Config{Cut: cut})
		d.hold = true
		d.press("a+") // no talk
		d.begin("ab")
		d.press("a*")
		d.press("a*")
		d.said = nil
		d.release()
		d.want(t, map[bool]string{false: "[mute beep ab]", true: "[stop beep ab]"}[cut])
		if r := d.m.recs[d.m.talks[1].current]; !r.hushed() {
			t.Errorf("%+v", r)
		}
	}
}

func TestNothingStartsInAPause(t *testing.T) {
	d := newDesk(t, Config{})
	d.begin("ABc")
	first := d.m.talks[1].current
	d.press("a*")
	d.said = nil
	d.do(d.m.Step(d.now, talked(call.Changed, 1, "BCd"))) // owner and hook leave, a rule comes
	d.want(t, "[stop]")
	d.do(d.m.Step(d.now.Add(time.Minute), Tick{}))
	d.press("c*")
	d.want(t, "[beeperr c]")
	if s := d.m.PartyState("b"); s != PartyPaused {
		t.Error(s)
	}
	if got := d.press("B>"); got != "follow, beep bcd → active" {
		t.Error(got)
	}
	if r := d.m.recs[d.m.talks[1].current]; r.Follows != first || len(r.Pauses) != 0 {
		t.Errorf("%+v", r)
	}
	if p := d.last(first).Pauses; len(p) != 1 || p[0].To.IsZero() {
		t.Errorf("the first file's pause ends with it: %+v", p)
	}
}

func TestMerge(t *testing.T) {
	begin := func(t *testing.T, paused, other string) *desk {
		d := newDesk(t, Config{})
		d.begin(paused)
		d.press("a=")
		d.do(d.m.Step(d.now, talked(call.Began, 2, other)))
		d.said = nil
		return d
	}
	end := TalkChange{Change: call.Change{Kind: call.Ended, Talk: 1, MergedInto: 2}}
	for name, tc := range map[string]struct {
		other, all string
		endFirst   bool
		want       string
	}{
		"survivor records, end first":    {"Cd", "AbCd", true, "[mute stop]"},
		"survivor records, change first": {"Cd", "AbCd", false, "[mute stop]"},
		"survivor does not, end first":   {"cd", "Abcd", true, "[]"},
		"survivor does not, change":      {"cd", "Abcd", false, "[]"}, // nor is anybody renewed in a pause
	} {
		t.Run(name, func(t *testing.T) {
			d := begin(t, "Ab", tc.other)
			if tc.endFirst {
				d.do(d.m.Step(d.now, end))
			}
			d.do(d.m.Step(d.now, talked(call.Changed, 2, tc.all)))
			if !tc.endFirst {
				d.do(d.m.Step(d.now, end))
			}
			d.want(t, tc.want)
			if s := d.m.PartyState("a"); s != PartyPaused {
				t.Error(s)
			}
			d.pass2(time.Second) // the tone of the pause
			if got := d.press("a>"); got != "stop → active" {
				t.Error(got)
			}
			d.said = nil
			d.pass2(60 * time.Millisecond)
			d.want(t, "[append beep abcd]")
		})
	}
}

func TestMuteFails(t *testing.T) {
	d := newDesk(t, Config{})
	d.begin("Ab")
	first := d.m.talks[1].current
	d.fail["mute"] = CauseRefused
	d.press("a=")
	d.want(t, "[mute]")
	d.pass2(200 * time.Millisecond)
	d.want(t, "[mute alarm mute_failed stop beeperr a]")
	d.fail["mute"] = ""
	if got := d.press("a>"); got != "follow, beep ab → active" {
		t.Error(got)
	}
	if r := d.m.recs[d.m.talks[1].current]; r.Follows != first {
		t.Errorf("%+v", r)
	}
	t.Run("once", func(t *testing.T) {
		d := newDesk(t, Config{})
		d.begin("Ab")
		d.fail["mute"] = CauseTimeout
		d.press("a=")
		d.fail["mute"] = ""
		d.said = nil
		d.pass2(200 * time.Millisecond)
		d.want(t, "[mute beep ab]")
	})
	t.Run("unmute", func(t *testing.T) {
		d := newDesk(t, Config{})
		d.begin("Ab")
		d.press("a=")
		d.fail["unmute"] = CauseRefused
		d.press("a>")
		d.said = nil
		d.pass2(200 * time.Millisecond)
		d.want(t, "[unmute alarm mute_failed stop follow beep ab]")
	})
	t.Run("no answer", func(t *testing.T) {
		d := newDesk(t, Config{})
		d.begin("Ab")
		d.hold = true
		d.press("a=")
		d.said = nil
		d.pass2(5 * time.Second)
		d.pass2(200 * time.Millisecond)
		d.want(t, "[mute]")
		d.pass2(5 * time.Second)
		d.want(t, "[alarm mute_failed stop beeperr a]")
	})
	t.Run("cut on a stalled disk", func(t *testing.T) {
		d := newDesk(t, Config{Cut: true})
		d.begin("Ab")
		d.fail["stop"] = CauseStalled
		d.hold = true
		d.press("a=")
		d.want(t, "[stop]")
		d.release()
		d.want(t, "[mute alarm mute_failed stop alarm storage_stalled beeperr a]")
		d.fail["stop"] = ""
		d.pass2(5 * time.Second)
		d.want(t, "[stop]")
	})
}

func (d *desk) pass2(by time.Duration) {
	d.now = d.now.Add(by)
	d.do(d.m.Step(d.now, Tick{}))
}

// Who has heard beeperr for a pause presses again: that must not be a resume, for
// its beep would be taken for that of the pause.
func TestPressAfterAPauseThatSoundedLikeAFailure(t *testing.T) {
	d := newDesk(t, Config{})
	d.begin("Ab")
	d.fail["mute"] = CauseTimeout
	d.press("a*")
	d.said = nil
	d.pass2(200 * time.Millisecond)
	d.want(t, "[mute alarm mute_failed stop beeperr a]")
	for _, step := range [][2]string{
		{"a*", "beep ab → paused"},
		{"a*", "follow, beep ab → active"},
	} {
		if got := d.press(step[0]); got != step[1] {
			t.Errorf("%s: %s, want %s", step[0], got, step[1])
		}
	}
}

// A recorder that could not be stopped yet hears the talk as well as the current
// one: it is muted too, and before that nobody is told that the pause holds.
func TestPauseMutesTheRecorderThatCouldNotBeStopped(t *testing.T) {
	d := newDesk(t, Config{})
	d.begin("Ab")
	d.fail["stop"] = CauseTimeout
	d.press("a-")
	d.press("a+")
	if got := d.press("a="); got != "mute, mute, beep ab → paused" {
		t.Error(got)
	}
	d.press("a>")
	d.fail["mute"] = CauseTimeout
	if got := d.press("a="); got != "mute → paused" { // the other one is mute already
		t.Error(got)
	}
}

// A recorder whose renewal was under way when the pause came, and which may run
// on, is muted.
func TestPauseWhileTheStopOfARenewalTimesOut(t *testing.T) {
	d := newDesk(t, Config{})
	d.begin("Ab")
	d.hold = true
	d.fail["stop"] = CauseTimeout
	d.now = d.now.Add(3 * time.Second)
	d.change(call.Changed, "Ac")
	d.press("a=")
	d.said = nil
	d.release()
	if i, j := slices.Index(d.said, "mute"), slices.Index(d.said, "stop"); i < 0 || i > j {
		t.Errorf("%q: not muted before the next stop", d.said)
	}
	if i, j := slices.Index(d.said, "mute"), slices.Index(d.said, "beep ac"); j < i {
		t.Errorf("%q: told as paused, while a recorder may hear", d.said)
	}
}

// A recorder that was mute when the daemon died hears again, whatever for.
func TestAdoptedRecorderHearsAgain(t *testing.T) {
	d := newDesk(t, Config{})
	d.begin("Ab")
	d.change(call.Suspended, "A")
	d.pass2(60 * time.Millisecond)
	row := d.last(id(1))
	row.MixMonitorID = "0x1"
	n := newDesk(t, Config{})
	n.fail["unmute"] = CauseNoManager // the event stream is often back first
	n.do(n.m.Reconcile(n.now, []Recording{row}, []Channel{
		{ID: "a", Recorders: []Recorder{{UUID: row.UUID, MixMonitorID: "0x1"}}}, {ID: "b"},
	}, map[string]int64{row.UUID: 100}))
	n.do(n.m.Step(n.now, talked(call.Began, 1, "Ab")))
	n.want(t, "[unmute]")
	n.fail["unmute"] = ""
	n.do(n.m.Step(n.now, Reachable{}))
	if n.want(t, "[unmute]"); !n.m.recs[row.UUID].hears() {
		t.Error("it does not hear")
	}
}

func TestHangupInAPause(t *testing.T) {
	for _, answered := range []bool{true, false} {
		for _, cut := range []bool{true, false} {
			d := newDesk(t, Config{Cut: cut})
			d.begin("Ab")
			u := d.m.talks[1].current
			d.hold = !answered
			d.press("a=")
			d.said = nil
			d.do(d.m.Step(d.now, ChannelHanging{"a"}))
			d.do(d.m.Step(d.now, ChannelGone{"a"}))
			d.do(d.m.Step(d.now, ChannelGone{"b"}))
			d.do(d.m.Step(d.now, TalkChange{Change: call.Change{Kind: call.Ended, Talk: 1}}))
			d.release()
			d.want(t, "[]")
			row := d.last(u)
			if row.State != Ready || len(row.Pauses) != 1 || row.Pauses[0].To.IsZero() || len(d.m.recs)+len(d.m.talks) != 0 {
				t.Errorf("answered %v, cut %v: %+v", answered, cut, row)
			}
		}
	}
}

// What a restart of the daemon finds paused stays paused.
func TestPausedAfterARestart(t *testing.T) {
	row := func(state State, p ...Pause) Recording {
		return Recording{
			UUID: id(101), State: state, Hook: "a", Boot: boot, Legs: []string{"a", "b"}, Pauses: p, MixMonitorID: "0x7",
			Claims: []Claim{{Leg: "a", Reason: dialplan.RuleOutInternal}},
		}
	}
	alive := []Channel{{ID: "a", Recorders: []Recorder{{UUID: id(101), MixMonitorID: "0x7"}}}, {ID: "b"}}
	dead := []Channel{{ID: "a"}, {ID: "b"}}
	open := Pause{UUID: id(101), Owner: "a", From: boot}
	cut := open
	cut.Cut = true
	over := open
	over.To = boot.Add(time.Second)
	for name, tc := range map[string]struct {
		row      Recording
		channels []Channel
		found    string
		resume   string
	}{
		"muted":                         {row(Paused, open), alive, "[mute]", "unmute, beep ab → active"},
		"died before the pause's row":   {row(Paused), alive, "[mute]", "refused.paused_by_other → paused"},
		"recorder has ended":            {row(Paused, open), dead, "[]", "follow, beep ab → active"},
		"cut":                           {row(Paused, cut), dead, "[]", "append, beep ab → active"},
		"cut, died before the stop":     {row(Paused, cut), alive, "[stop]", "append, beep ab → active"},
		"resumed, died before unmuting": {row(Live, over), alive, "[unmute]", " → active"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, Config{})
			effects := d.m.Reconcile(d.now, []Recording{tc.row}, tc.channels, map[string]int64{id(101): 100})
			d.do(effects)
			d.do(d.m.Step(d.now, talked(call.Began, 1, "Ab")))
			d.want(t, tc.found)
			d.do(d.m.Step(d.now.Add(time.Minute), Tick{}))
			d.want(t, "[]")
			if tc.resume == "follow, beep ab → active" {
				// It has no recorder to follow any more that the machine knew.
				tc.resume = "start, beep ab → active"
			}
			if got := d.press("a>"); got != tc.resume {
				t.Errorf("%q, want %q", got, tc.resume)
			}
		})
	}
}

func TestPauseThatIsNotSilent(t *testing.T) {
	d := newDesk(t, Config{})
	d.begin("Ab")
	u := d.m.talks[1].current
	d.press("a=")
	d.press("a>")
	d.hold = true
	d.do(d.m.Step(d.now, ChannelGone{"a"}))
	f := d.held[0].(Finalised)
	f.Pauses = d.last(u).Pauses
	f.Pauses[0].Silence, f.Pauses[0].Loudest = NotSilent, 1234
	d.said = nil
	out := d.m.Step(d.now, f)
	d.do(out)
	d.want(t, "[alarm pause_not_silent]")
	if p := one[Pause](t, out); p.Loudest != 1234 || p.UUID != u {
		t.Errorf("%+v", p)
	}
	if _, ok := out[0].(Pause); !ok {
		t.Error("the pause must be stored before the final row, which ends the recording's worker")
	}
	if s := one[Save](t, out).Row; s.Pauses[0].Silence != NotSilent || s.State != Ready {
		t.Errorf("%+v", s)
	}
}
