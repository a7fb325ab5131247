package recorder

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/call"
)

// stored are the states of legs as they are in the database.
func (r *rig) stored() []LegState {
	all := map[string]LegState{}
	for _, l := range pick[Legs](r.all) {
		for _, s := range l.Changed {
			if all[s.Leg] = s; s.Gone {
				delete(all, s.Leg)
			}
		}
	}
	var out []LegState
	for _, s := range all {
		out = append(out, s)
	}
	return out
}

// reborn is the next daemon: it knows what was stored and what is there. Roles
// are unknown to show what may not depend on them.
func (d *desk) reborn(cfg Config, legs string, channels ...Channel) *desk {
	d.t.Helper()
	n := newDesk(d.t, cfg)
	n.now = d.now.Add(time.Minute)
	n.n = 500
	n.m.Recall(d.stored())
	n.do(n.m.Reconcile(n.now, d.m.Recordings(), channels, nil))
	if legs != "" {
		c := talked(call.Began, 7, legs)
		for i := range c.Parties {
			c.Parties[i].Role = dialplan.RoleUnknown
		}
		n.do(n.m.Step(n.now, c))
	}
	return n
}

func alive(legs string) (out []Channel) {
	for _, l := range legs {
		out = append(out, Channel{ID: string(l), Name: "PJSIP/" + string(l) + "-00000001"})
	}
	return out
}

func TestPauseWithoutARecorderOutlivesTheDaemon(t *testing.T) {
	d := newDesk(t, Config{})
	d.begin("ABc")
	d.press("a=")
	d.change(call.Changed, "Bc") // owner and hook leave, the pause stays
	for name, gone := range map[string]string{"owner lives": "abc", "owner is gone": "bc"} {
		n := d.reborn(Config{}, "Bc", alive(gone)...)
		if n.want(t, "[]"); !n.m.talks[7].paused() {
			t.Errorf("%s: the pause is lost", name)
		}
		n.pass2(time.Minute)
		if n.want(t, "[]"); n.m.PartyState("b") != PartyPaused {
			t.Errorf("%s: not paused: %s", name, n.m.PartyState("b"))
		}
		if got := n.press("b>"); got != "refused.paused_by_other → paused" {
			t.Errorf("%s: another ends it: %s", name, got)
		}
		if got := n.press("B>"); got != "start, beep bc → active" {
			t.Errorf("%s: an administrator ends it: %s", name, got)
		}
	}
}

func TestClaimWithoutARecorderOutlivesTheDaemon(t *testing.T) {
	d := newDesk(t, Config{})
	d.begin("ab")
	d.press("a*")
	d.change(call.Ended, "")
	n := d.reborn(Config{}, "", alive("a")...)
	n.do(n.m.Step(n.now.Add(time.Minute), talked(call.Began, 8, "ac")))
	if n.want(t, "[start]"); n.m.PartyState("a") != Active {
		t.Errorf("the wish is lost: %s", n.m.PartyState("a"))
	}
}

func TestStopOutlivesTheDaemon(t *testing.T) {
	for name, press := range map[string]string{"by the party": "a-", "by an administrator": "A-"} {
		d := newDesk(t, Config{})
		d.begin("Ab")
		d.press(press)
		n := d.reborn(Config{}, "Ab", alive("ab")...)
		n.pass2(time.Minute)
		if n.want(t, "[]"); n.m.talks[7].current != "" {
			t.Errorf("%s: it is recorded again", name)
		}
		if got := n.press("a+"); got != "start, beep ab → active" {
			t.Errorf("%s: a start after it: %s", name, got)
		}
		// A stop is of its talk: the next one is decided anew.
		n = d.reborn(Config{}, "", alive("ab")...)
		n.pass2(3 * time.Second)
		n.do(n.m.Step(n.now, talked(call.Began, 8, "Ac")))
		n.want(t, "[start]")
	}
}

// The row of a recording may be older than the stop.
func TestClaimOfARowThatWasWithdrawn(t *testing.T) {
	d := newDesk(t, Config{})
	d.begin("ab")
	d.press("a+")
	row := d.last(id(1))
	row.MixMonitorID = "0x1"
	d.press("a-")
	n := newDesk(t, Config{})
	n.m.Recall(d.stored())
	n.do(n.m.Reconcile(n.now, []Recording{row}, []Channel{
		{ID: "a", Recorders: []Recorder{{UUID: row.UUID, MixMonitorID: "0x1"}}}, {ID: "b"},
	}, map[string]int64{row.UUID: 100}))
	n.do(n.m.Step(n.now, talked(call.Began, 1, "ab")))
	if len(n.m.talks[1].claims) != 0 || !slices.Contains(n.said, "stop") {
		t.Errorf("%v: %+v", n.said, n.m.talks[1].claims)
	}
}

// What a talk that goes on had decided is not decided anew by a restart.
func TestRulesThatChangedBeforeARestart(t *testing.T) {
	d := newDesk(t, Config{})
	d.begin("Ab")
	row := d.last(id(1))
	n := newDesk(t, Config{})
	n.m.Recall(d.stored())
	n.do(n.m.Reconcile(n.now, []Recording{row}, []Channel{
		{ID: "a", Recorders: []Recorder{{UUID: row.UUID, MixMonitorID: "0x1"}}}, {ID: "b"},
	}, map[string]int64{row.UUID: 100}))
	n.do(n.m.Step(n.now, talked(call.Began, 1, "ab"))) // her rule is off by now
	if n.m.talks[1].current != row.UUID {
		t.Errorf("%v", n.said)
	}
	n.do(n.m.Step(n.now, talked(call.Changed, 1, "ac")))
	if n.m.talks[1].current != "" {
		t.Error("a change of the talk is a decision")
	}
}

// A recording that ended in the gap, and whose row knows of a pause, pauses
// nobody who was told to be elsewhere since, nor whose own recording goes on.
func TestPauseOfADeadRecordingMutesNoOtherTalk(t *testing.T) {
	paused := Recording{
		UUID: id(101), State: Paused, Hook: "a", Boot: boot, Legs: []string{"a", "b", "c", "e"}, MixMonitorID: "0x7",
		Pauses: []Pause{{UUID: id(101), Owner: "a", From: boot.Add(time.Minute)}},
		Claims: []Claim{{Leg: "a", Reason: dialplan.RuleOutInternal}},
	}
	other := Recording{
		UUID: id(102), State: Live, Hook: "b", Boot: boot, Legs: []string{"b", "x"}, MixMonitorID: "0x8",
		Claims: []Claim{{Leg: "b", Reason: dialplan.RuleOutInternal}},
	}
	d := newDesk(t, Config{})
	d.m.Recall([]LegState{{Leg: "e", Boot: boot, At: boot.Add(2 * time.Minute), Talking: true}})
	d.do(d.m.Reconcile(d.now, []Recording{paused, other}, append(alive("cexyz"),
		Channel{ID: "b", Recorders: []Recorder{{UUID: id(102), MixMonitorID: "0x8"}}}), map[string]int64{id(101): 100, id(102): 100}))
	for n, legs := range []string{"Bx", "Ey", "Cz"} {
		d.do(d.m.Step(d.now, talked(call.Began, call.TalkID(n+1), legs)))
	}
	for n, want := range map[call.TalkID]bool{1: false, 2: false, 3: true} {
		if got := d.m.talks[n].paused(); got != want {
			t.Errorf("talk %d is paused: %v, want %v: %v", n, got, want, d.said)
		}
	}
}

func TestStatesOfLegsGoWithTheirChannels(t *testing.T) {
	d := newDesk(t, Config{})
	d.begin("Ab")
	if n := len(pick[Legs](d.all)); n != 1 {
		t.Errorf("a call is written about %d times at its beginning", n)
	}
	d.press("a*")
	for i, l := range pick[Legs](d.all) {
		for _, s := range l.Changed {
			if s.New != (i == 0) {
				t.Errorf("new: %v in %+v", s.New, s)
			}
		}
	}
	d.do(d.m.Step(d.now, ChannelGone{"a"}))
	d.do(d.m.Step(d.now, ChannelGone{"b"}))
	d.change(call.Ended, "")
	if left := d.stored(); len(left) != 0 {
		t.Errorf("%+v", left)
	}
	// Those whose channels ended in a gap, and those of another Asterisk.
	n := newDesk(t, Config{})
	n.m.Recall([]LegState{{Leg: "x", Boot: boot}, {Leg: "y", Boot: boot.Add(-time.Hour), Stopped: true, Talking: true}})
	out := n.m.Reconcile(n.now, nil, alive("z"), nil)
	if l := one[Legs](t, out).Changed; len(l) != 2 || !l[0].Gone || !l[1].Gone {
		t.Errorf("%+v", l)
	}
}

func TestOwnerThatHasMoved(t *testing.T) {
	d := newDesk(t, Config{})
	d.begin("Ab")
	d.press("a*")
	d.do(d.m.Step(d.now, Moved{From: "a", To: "z", ToName: "PJSIP/a-00000001"}))
	d.do(d.m.Step(d.now, talked(call.Changed, 1, "Zb")))
	if p := d.last(id(1)).Pauses[0]; p.Owner != "z" {
		t.Errorf("the stored pause is of %q", p.Owner)
	}
	d.pass2(2 * time.Second)
	if got := d.press("z>"); got != "unmute, beep zb → active" && got != "stop → active" {
		t.Errorf("resume by the owner's new leg: %s", got)
	}
}

// What a list of all live calls asks of the machine.
func BenchmarkStateOfAllParties(b *testing.B) {
	for _, n := range []int{300, 3000} {
		m := New(Config{Boot: boot, NewUUID: func() string { return "x" }})
		for i := range n {
			c := talked(call.Began, call.TalkID(i+1), "ab")
			for j := range c.Change.Legs {
				c.Change.Legs[j].ID = fmt.Sprint(i, "-", j)
				c.Parties[j].Leg = c.Change.Legs[j].ID
			}
			m.Step(boot, c)
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				for i := range n {
					m.PartyState(fmt.Sprint(i, "-0"))
					m.PartyState(fmt.Sprint(i, "-1"))
				}
			}
		})
	}
}

// The row of the pause may not be stored yet when the daemon dies, the state of
// the legs is: then the recorder is mute, and is to stay so.
func TestPauseThatItsRowDoesNotKnow(t *testing.T) {
	d := newDesk(t, Config{})
	d.begin("Ab")
	row := d.last(id(1))
	row.MixMonitorID = "0x1"
	d.press("a=")
	n := newDesk(t, Config{})
	n.m.Recall(d.stored())
	n.do(n.m.Reconcile(n.now, []Recording{row}, []Channel{
		{ID: "a", Recorders: []Recorder{{UUID: row.UUID, MixMonitorID: "0x1"}}}, {ID: "b"},
	}, map[string]int64{row.UUID: 100}))
	n.pass2(60 * time.Millisecond)
	n.want(t, "[]")
	n.do(n.m.Step(n.now, talked(call.Began, 1, "Ab")))
	if n.want(t, "[mute]"); n.m.PartyState("a") != PartyPaused {
		t.Error(n.m.PartyState("a"))
	}
	if got := n.press("a>"); got != "unmute, beep ab → active" {
		t.Error(got)
	}
}

// Who was led to somebody else while the daemon was down is in a new talk.
func TestStopIsNotCarriedIntoAnotherTalk(t *testing.T) {
	d := newDesk(t, Config{})
	d.begin("Ab")
	d.press("a-")
	n := d.reborn(Config{}, "", alive("ac")...)
	n.do(n.m.Step(n.now, talked(call.Began, 8, "Ac")))
	n.want(t, "[start]")
}

// What was decided goes on after a restart, but for a never: then no rule records.
func TestNeverAfterARestart(t *testing.T) {
	d := newDesk(t, Config{})
	d.begin("Ab")
	row := d.last(id(1))
	n := newDesk(t, Config{})
	n.m.Recall(d.stored())
	n.do(n.m.Reconcile(n.now, []Recording{row}, []Channel{
		{ID: "a", Recorders: []Recorder{{UUID: row.UUID, MixMonitorID: "0x1"}}}, {ID: "b"},
	}, map[string]int64{row.UUID: 100}))
	c := talked(call.Began, 1, "Ab")
	c.Parties[1].Queue, c.Parties[1].QueueAuto = "q", dialplan.AutoNever
	n.do(n.m.Step(n.now, c))
	if talk := n.m.talks[1]; talk.current != "" || len(talk.claims) != 0 {
		t.Errorf("%v: %+v", n.said, talk.claims)
	}
}
