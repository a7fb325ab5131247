package recorder

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/call"
)

// desk is a rig with an Asterisk that answers at once, unless told not to.
type desk struct {
	*rig
	hold bool     // answers wait
	held []Input  // for release
	said []string // what was done since the last look
	fail map[string]string
	at   map[string]string // recording → what its recorder does
}

func newDesk(t *testing.T, cfg Config) *desk {
	d := &desk{rig: newRig(t), fail: map[string]string{}, at: map[string]string{}}
	cfg.Boot, cfg.Tenant, cfg.NewUUID = boot, "master", d.m.cfg.NewUUID
	d.m = New(cfg)
	return d
}

func (d *desk) do(effects []Effect) {
	d.all = append(d.all, effects...)
	for _, e := range effects {
		switch e := e.(type) {
		case Start:
			word := "start"
			if e.Append {
				word = "append"
			} else if e.Row.Follows != "" {
				word = "follow"
			}
			d.say(word, Started{UUID: e.Row.UUID, MixMonitorID: "0x1", At: d.now}, nil)
		case WatchFile:
			if !e.Proved {
				d.answer(Grew{e.Row.UUID})
			}
		case Mute:
			word := "unmute"
			if e.On {
				word = "mute"
			}
			d.say(word, Muted{e.Row.UUID, e.Try, e.On, d.now}, MuteFailed{e.Row.UUID, e.Try, e.On, d.fail[word], ""})
		case Stop:
			d.say("stop", StopDone{e.Row.UUID}, StopFailed{e.Row.UUID, d.fail["stop"], ""})
		case Finalise:
			d.answer(Finalised{UUID: e.Row.UUID, Try: e.Try, Found: true, Complete: true, Samples: 8000, Rate: 8000})
		case Tone:
			d.said = append(d.said, string(e.Sound)+" "+strings.Join(e.Legs, ""))
		case Alarm:
			d.said = append(d.said, "alarm "+e.Cause)
		}
	}
}

func (d *desk) say(word string, well, ill Input) {
	d.said = append(d.said, word)
	if d.fail[word] != "" && ill != nil {
		d.answer(ill)
		return
	}
	d.answer(well)
}

func (d *desk) answer(in Input) {
	if d.hold {
		d.held = append(d.held, in)
		return
	}
	d.do(d.m.Step(d.now, in))
}

// release gives the answers that wait, in the order named, or as they came.
func (d *desk) release(order ...int) {
	held := d.held
	d.held, d.hold = nil, false
	if len(order) == 0 {
		for i := range held {
			order = append(order, i)
		}
	}
	for _, i := range order {
		d.do(d.m.Step(d.now, held[i]))
	}
}

// party: n may not, t is a trunk, all others may.
func party(leg string) dialplan.Party {
	p := dialplan.Party{Leg: leg, Kind: dialplan.KindUser, UserUUID: "user-" + leg, Flags: dialplan.Flags{OnDemand: leg != "n"}}
	if leg == "t" {
		p = dialplan.Party{Leg: leg, Kind: dialplan.KindTrunk}
	}
	return p
}

// press does a wish such as "a*": leg, operation; an upper-case leg overrides.
func (d *desk) press(s string) string {
	d.t.Helper()
	leg := strings.ToLower(s[:1])
	q := Request{
		Op:    map[byte]Op{'*': OpToggle, '+': OpStart, '-': OpStop, '=': OpPause, '>': OpResume}[s[1]],
		Party: party(leg), By: dialplan.API, Actor: "user-" + leg, Override: leg != s[:1],
	}
	if q.Op == OpToggle {
		q.By = dialplan.OnDemand
	}
	d.now = d.now.Add(time.Millisecond)
	d.said = nil
	out, effects := d.m.Request(d.now, q)
	d.do(effects)
	words := d.said
	switch {
	case out.NoTalk:
		words = append(words, "no talk")
	case out.NotRecording:
		words = append(words, "not recording")
	case !out.Done:
		words = append(words, string(out.Reason))
	}
	if out.Done == (len(pick[Log](effects)) > 0 && one1(pick[Log](effects)) == EventRefused) {
		d.t.Errorf("%s: done %v, but logged %+v", s, out.Done, pick[Log](effects))
	}
	return strings.Join(words, ", ") + " → " + string(d.m.PartyState(leg))
}

func one1(logs []Log) string { return logs[len(logs)-1].Event.Kind }

// A row is a talk and what happens at each press of its parties.
func TestRequests(t *testing.T) {
	cycle, cut := Config{ToggleStops: true}, Config{Cut: true}
	for name, tc := range map[string]struct {
		cfg   Config
		talk  string
		steps [][2]string
	}{
		"cycle of *3": {Config{}, "ab", [][2]string{
			{"a*", "start, beep ab → active"},
			{"a*", "mute, beep ab → paused"},
			{"a*", "unmute, beep ab → active"},
			{"a*", "mute, beep ab → paused"},
		}},
		"cycle that stops": {cycle, "ab", [][2]string{
			{"a*", "start, beep ab → active"}, {"a*", "stop, beep ab → inactive"}, {"a*", "start, beep ab → active"},
		}},
		"cycle that stops, while paused": {cycle, "ab", [][2]string{
			{"a*", "start, beep ab → active"}, {"a=", "mute, beep ab → paused"}, {"a*", "stop, beep ab → inactive"},
		}},
		"a rule's recording is paused, and stays so": {Config{}, "Ab", [][2]string{
			{"a*", "mute, beep ab → paused"},
			{"b*", " → paused"},
			{"b*", "beeperr b, refused.paused_by_other → paused"},
			{"b+", " → paused"},
			{"b=", " → paused"},
			{"b>", "refused.paused_by_other → paused"},
			{"a*", "unmute, beep ab → active"},
		}},
		"both press: one recording": {Config{}, "ab", [][2]string{
			{"a*", "start, beep ab → active"}, {"b*", "beep ab → active"}, {"a-", " → inactive"}, {"b-", "stop, beep ab → inactive"},
		}},
		"start, stop, start: two files": {Config{}, "ab", [][2]string{
			{"a+", "start, beep ab → active"},
			{"a+", " → active"},
			{"a-", "stop, beep ab → inactive"},
			{"a-", "not recording → inactive"},
			{"a+", "start, beep ab → active"},
		}},
		"stop while paused stops": {Config{}, "ab", [][2]string{
			{"a+", "start, beep ab → active"},
			{"a=", "mute, beep ab → paused"},
			{"a-", "stop, beep ab → inactive"},
			{"a+", "start, beep ab → active"},
		}},
		"stop of a rule's claim": {Config{}, "Ab", [][2]string{
			{"a-", "stop, beep ab → inactive"}, {"a+", "start, beep ab → active"},
		}},
		"stop of one of two": {Config{}, "AB", [][2]string{{"a-", " → inactive"}, {"b-", "stop, beep ab → inactive"}}},
		"override": {Config{}, "nb", [][2]string{
			{"N+", "start, beep nb → active"},
			{"b+", "beep nb → active"},
			{"b=", "mute, beep nb → paused"},
			{"n>", "refused.user → paused"},
			{"N>", "unmute, beep nb → active"},
			{"N-", "stop, beep nb → inactive"},
		}},
		"start resumes only its own pause": {Config{}, "ab", [][2]string{
			{"a+", "start, beep ab → active"},
			{"a=", "mute, beep ab → paused"},
			{"b+", " → paused"},
			{"a+", "unmute, beep ab → active"},
			{"b=", "mute, beep ab → paused"},
			{"a+", " → paused"},
		}},
		"nothing to pause": {Config{}, "ab", [][2]string{{"a=", "not recording → inactive"}, {"a>", "not recording → inactive"}}},
		"refused": {Config{}, "nt", [][2]string{
			{"n*", "beeperr n, refused.user → inactive"},
			{"n+", "refused.user → inactive"},
			{"t*", "refused.trunk → inactive"},
			{"z*", "beeperr z, no talk → inactive"},
			{"z+", "no talk → inactive"},
		}},
		"a party without a claim pauses": {Config{}, "Ab", [][2]string{{"b=", "mute, beep ab → inactive"}, {"b>", "unmute, beep ab → inactive"}}},
		"cut": {cut, "ab", [][2]string{
			{"a*", "start, beep ab → active"},
			{"a*", "stop, beep ab → paused"},
			{"a*", "append, beep ab → active"},
			{"a*", "stop, beep ab → paused"},
			{"a-", "beep ab → inactive"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, tc.cfg)
			d.do(d.m.Step(d.now, talked(call.Began, 1, tc.talk)))
			for i, s := range tc.steps {
				if got := d.press(s[0]); got != s[1] {
					t.Errorf("step %d, %s: %q, want %q", i+1, s[0], got, s[1])
				}
			}
		})
	}
}

func TestRefusalIsStored(t *testing.T) {
	d := newDesk(t, Config{})
	d.do(d.m.Step(d.now, talked(call.Began, 1, "nt")))
	d.press("t*")
	logs := pick[Log](d.all)
	ev := logs[len(logs)-1].Event
	data, _ := ev.Data.(RequestData)
	if ev.Kind != EventRefused || ev.Call != "n" || data.Leg != "t" || data.Op != OpToggle ||
		data.Reason != dialplan.RefusedTrunk || data.Party.Kind != dialplan.KindTrunk {
		t.Errorf("%+v", ev)
	}
}

// Claims by *3 belong to the leg and live across talks, until it ends.
func TestOnDemandClaimFollowsItsLeg(t *testing.T) {
	d := newDesk(t, Config{})
	d.do(d.m.Step(d.now, talked(call.Began, 1, "ab")))
	d.press("a*")
	d.said = nil
	d.do(d.m.Step(d.now, TalkChange{Change: call.Change{Kind: call.Ended, Talk: 1}}))
	d.do(d.m.Step(d.now, talked(call.Began, 2, "ac")))
	if got := fmt.Sprint(d.said); got != "[stop start]" || d.m.PartyState("a") != Active {
		t.Errorf("%s, %s", got, d.m.PartyState("a"))
	}
	d.said = nil
	d.do(d.m.Step(d.now, ChannelGone{"a"}))
	d.do(d.m.Step(d.now, talked(call.Changed, 2, "cd")))
	if len(d.said) != 0 || len(d.m.held) != 0 {
		t.Error(d.said, d.m.held)
	}
	if i := slices.IndexFunc(pick[Log](d.all), func(l Log) bool {
		r, ok := l.Event.Data.(RequestData)
		return ok && l.Event.Kind == EventOnDemandEnded && r.Reason == dialplan.ClaimantLeft
	}); i < 0 {
		t.Error("claimant_left is not logged")
	}
}

// The pause of a claim that lives on lives on with it, until its leg ends.
func TestPauseOfAClaimOutlivesItsTalk(t *testing.T) {
	d := newDesk(t, Config{})
	d.begin("ab")
	d.press("a*")
	d.press("a*")
	d.change(call.Ended, "")
	d.said = nil
	d.do(d.m.Step(d.now, talked(call.Began, 2, "ac")))
	if d.want(t, "[]"); d.m.PartyState("a") != PartyPaused {
		t.Error(d.m.PartyState("a"))
	}
	if got := d.press("a*"); got != "start, beep ac → active" {
		t.Error(got)
	}
	d.press("a*")
	d.do(d.m.Step(d.now, TalkChange{Change: call.Change{Kind: call.Ended, Talk: 2}}))
	d.do(d.m.Step(d.now, ChannelGone{"a"}))
	if len(d.m.pausedLegs) != 0 {
		t.Errorf("kept: %v", d.m.pausedLegs)
	}
}

// A rule's claim does not outlive its talk, nor does its pause: the next talk is
// a new decision (design 6).
func TestPauseOfARuleEndsWithItsTalk(t *testing.T) {
	d := newDesk(t, Config{})
	d.begin("Ab")
	d.press("a*")
	d.change(call.Ended, "")
	d.said = nil
	d.do(d.m.Step(d.now, talked(call.Began, 2, "Ac")))
	d.want(t, "[start]")
}

func TestOnDemandClaimFollowsTheTransfer(t *testing.T) {
	for _, ended := range []bool{true, false} {
		d := newDesk(t, Config{FollowTransfer: true})
		d.do(d.m.Step(d.now, talked(call.Began, 1, "ab")))
		d.press("a*")
		d.said = nil
		if ended {
			d.do(d.m.Step(d.now, ChannelGone{"a"}))
		}
		d.do(d.m.Step(d.now, talked(call.Changed, 1, "bc")))
		if got := strings.Join(d.said, " "); got != map[bool]string{true: "follow", false: "stop follow"}[ended] {
			t.Error(got)
		}
		if d.m.PartyState("b") != Active || d.m.PartyState("c") != Inactive {
			t.Error(d.m.PartyState("b"), d.m.PartyState("c"))
		}
	}
}

// A rule that a party has stopped does not come back with the next leg, but it
// does in the next talk.
func TestStoppedRuleStaysStopped(t *testing.T) {
	d := newDesk(t, Config{})
	d.do(d.m.Step(d.now, talked(call.Began, 1, "Ab")))
	d.press("a-")
	d.said = nil
	d.do(d.m.Step(d.now, talked(call.Changed, 1, "Abc")))
	if len(d.said) != 0 {
		t.Error(d.said)
	}
	d.do(d.m.Step(d.now, TalkChange{Change: call.Change{Kind: call.Ended, Talk: 1}}))
	d.do(d.m.Step(d.now, talked(call.Began, 2, "Ac")))
	if fmt.Sprint(d.said) != "[start]" {
		t.Error(d.said)
	}
}
