package recorder

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"callrecordd/dialplan"
	"callrecordd/internal/call"
)

// world is an Asterisk and an exec that answer when they like.
type world struct {
	t     *rapid.T
	m     *Machine
	now   time.Time
	n     int
	gone  map[string]bool
	hangs map[string]bool
	talks map[call.TalkID]string
	open  []func() []Input // answers due, each in its turn or out of it
	final map[string]State

	recorders map[string]*spy // those that Asterisk runs
	trouble   bool            // mutes fail
	speaks    Announcements
	pauses    map[string]map[time.Time]Pause

	rows   map[string]Recording // the database
	states map[string]LegState
}

// spy is a recorder as Asterisk has it. Mutes of a recording are performed in
// their order, whenever their answers come.
type spy struct {
	hook  string
	muted bool
}

func (w *world) step(in Input) {
	w.perform(w.m.Step(w.now, in))
	w.invariants()
}

func (w *world) invariants() {
	active := map[call.TalkID]int{}
	for _, r := range w.m.recs {
		if r.active() && r.talk != 0 {
			active[r.talk]++
			if active[r.talk] > 1 {
				w.t.Fatalf("two recordings in talk %d", r.talk)
			}
		}
		t := w.m.talks[r.talk]
		if t == nil || !r.active() || !r.orphanBy.IsZero() {
			continue
		}
		if t.paused() != r.paused() {
			w.t.Fatalf("talk %d paused: %v, its recording: %v", t.id, t.paused(), r.paused())
		}
		// What Asterisk does, once it has answered, is what the talk wants.
		x := w.recorders[r.UUID]
		settled := !r.startOpen && !r.unsent && !r.stopOpen && !r.muting.open && r.muting.due.IsZero() && !r.gone && !r.hanging && !w.gone[r.Hook]
		switch {
		case !settled:
		case x == nil && r.cut && !r.quiet() && w.now.Before(r.again):
			if r.again.Sub(w.now) > w.m.cfg.Renew {
				w.t.Fatalf("a renewal takes until %s: %+v", r.again, r)
			}
		case x == nil && (!r.quiet() || !r.cut):
			w.t.Fatalf("no recorder for %+v", r)
		case x != nil && x.muted != r.quiet():
			w.t.Fatalf("talk %d paused: %v, alone: %v, recorder muted: %v", t.id, t.paused(), r.alone, x.muted)
		case r.alone && !t.suspended:
			w.t.Fatalf("talk %d goes on, its recording does not: %+v", t.id, r)
		case t.suspended && !r.alone && !w.m.cfg.NoMute && (r.aloneAt.IsZero() || r.aloneAt.Sub(w.now) > w.m.cfg.Hush):
			w.t.Fatalf("talk %d is suspended, its recording goes on: %+v", t.id, r)
		case x != nil && w.m.cfg.Cut && t.paused():
			w.t.Fatal("a recorder runs in a cut")
		}
	}
	for _, t := range w.m.talks {
		w.informed(t)
		for _, c := range t.claims {
			if h, ok := w.m.held[c.Leg]; !t.has(c.Leg) || !isRule(c.Reason) && !t.gone[c.Leg] && (!ok || h != c) {
				w.t.Fatalf("claim of nobody: %+v in %+v", c, t)
			}
		}
	}
	for leg := range w.m.held {
		if w.gone[leg] {
			w.t.Fatalf("claim of %s, which is gone", leg)
		}
	}
}

// informed: nobody is recorded without having been told.
func (w *world) informed(t *talk) {
	r := w.m.recs[t.current]
	if w.speaks.Start == "" || r == nil || !r.active() || !r.hears() || t.paused() || t.suspended || !r.orphanBy.IsZero() {
		return
	}
	var there, untold int
	for _, l := range t.legs {
		if !t.gone[l.ID] {
			there++
			if !w.m.told[l.ID] {
				untold++
			}
		}
	}
	if there > 1 && untold > 0 {
		w.t.Fatalf("talk %d is recorded, and %d have not been told: %+v, told %v", t.id, untold, t, w.m.told)
	}
}

func (w *world) perform(effects []Effect) {
	for _, e := range effects {
		switch e := e.(type) {
		case Tone:
			if e.Else == "" {
				continue
			}
			if tells := map[Occasion]Sound{TellsStart: w.speaks.Start, TellsStop: w.speaks.Stop}; tells[e.Occasion] != e.Sound || e.Recording == "" {
				w.t.Fatalf("an announcement of nothing: %+v", e)
			}
			for _, leg := range e.Legs {
				w.later(Whispered{leg})
			}
		case Start:
			if t := w.m.talks[w.m.recs[e.Row.UUID].talk]; t != nil && t.paused() && !e.Append {
				w.t.Fatal("a start in a pause")
			}
			u := e.Row.UUID
			if w.m.recs[u].quiet() && e.Append {
				w.t.Fatalf("a recorder goes on where there is nothing to record: %+v", e.Row)
			}
			if w.recorders[u] != nil {
				w.t.Fatalf("two recorders for one file: %+v", e.Row)
			}
			a := w.choose(Started{UUID: u, MixMonitorID: "0x1", At: w.now},
				StartFailed{u, CauseNoAnswer, ""}, StartFailed{u, CauseNoManager, ""}, StartLost{u, ""}, StartFailed{u, CauseNoChannel, ""}, StartFailed{u, CauseNoSpace, ""})
			if _, ok := a.(Started); ok {
				w.recorders[u] = &spy{hook: e.Row.Hook}
			}
			w.later(a)
		case Mute:
			if w.gone[e.Row.Hook] {
				w.t.Fatalf("mute on a channel that is gone: %+v", e.Row)
			}
			u := e.Row.UUID
			if w.m.cfg.NoMute {
				w.t.Fatal("a mute of whichever recorder is the first")
			}
			a := w.choose(Muted{u, e.Try, e.On, w.now})
			if w.trouble {
				a = w.choose(a, MuteFailed{u, e.Try, e.On, CauseTimeout, ""}, MuteFailed{u, e.Try, e.On, CauseRefused, ""}, MuteFailed{u, e.Try, e.On, CauseNoManager, ""})
			}
			if x := w.recorders[u]; x != nil {
				if _, ok := a.(Muted); ok {
					x.muted = e.On
				}
			}
			w.later(a)
		case Pause:
			if w.pauses[e.UUID] == nil {
				w.pauses[e.UUID] = map[time.Time]Pause{}
			}
			w.pauses[e.UUID][e.From] = e
		case WatchFile:
			u := e.Row.UUID
			w.answer(u, Grew{u}, NotSeen{u, CauseNoFile, ""}, NotGrown{u, CauseNoGrowth, ""}, SilentRTP{u})
			w.answer(u, Seen{u}, Closed{u})
		case Stop:
			if w.gone[e.Row.Hook] {
				w.t.Fatalf("stop on a channel that is gone: %+v", e.Row)
			}
			if w.hangs[e.Row.Hook] {
				w.t.Fatalf("stop on a channel that hangs up: %+v", e.Row)
			}
			u := e.Row.UUID
			a := w.choose(StopDone{u}, StopFailed{u, CauseStalled, ""}, StopFailed{u, CauseNoManager, ""}, StopFailed{u, CauseRefused, ""}, StopFailed{u, CauseTimeout, ""})
			if a == (StopDone{u}) || a == (StopFailed{u, CauseRefused, ""}) ||
				a == (StopFailed{u, CauseTimeout, ""}) && rapid.Bool().Draw(w.t, "stopped") {
				delete(w.recorders, u)
			}
			w.later(a)
		case Finalise:
			u := e.Row.UUID
			w.answer(u, Finalised{UUID: u, Try: e.Try}, Finalised{UUID: u, Try: e.Try, Found: true, Complete: true, Samples: 9},
				Finalised{UUID: u, Try: e.Try, Found: true})
		case AwaitStorage:
			w.later(StorageBack{e.Row.TenantUUID})
		case SaveIntent:
			w.final[e.Row.UUID], w.rows[e.Row.UUID] = e.Row.State, e.Row
		case Save:
			w.final[e.Row.UUID], w.rows[e.Row.UUID] = e.Row.State, e.Row
		case Legs:
			for _, s := range e.Changed {
				if w.states[s.Leg] = s; s.Gone {
					delete(w.states, s.Leg)
				}
			}
		}
	}
}

func (w *world) answer(_ string, choices ...Input) { w.later(w.choose(choices...)) }

func (w *world) choose(choices ...Input) Input {
	return rapid.SampledFrom(choices).Draw(w.t, "answer")
}

func (w *world) later(c Input) {
	w.open = append(w.open, func() []Input {
		if c, ok := c.(Closed); ok && w.recorders[c.UUID] != nil {
			delete(w.recorders, c.UUID)
		}
		return []Input{c}
	})
}

// press is a wish of a party: most are pauses and resumes, in a hurry.
func (w *world) press(t *rapid.T) {
	leg := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "who")
	q := Request{
		Op:       rapid.SampledFrom([]Op{OpToggle, OpToggle, OpStart, OpStop, OpPause, OpResume}).Draw(t, "op"),
		Party:    dialplan.Party{Leg: leg, Kind: dialplan.KindUser, Flags: dialplan.Flags{OnDemand: leg != "d"}},
		By:       rapid.SampledFrom([]dialplan.Reason{dialplan.OnDemand, dialplan.API}).Draw(t, "by"),
		Override: rapid.IntRange(0, 4).Draw(t, "override") == 0,
	}
	out, effects := w.m.Request(w.now, q)
	w.perform(effects)
	w.invariants()
	if !out.Done || q.Op == OpToggle {
		return
	}
	again, effects := w.m.Request(w.now, q)
	if !again.Done || len(effects) != 0 {
		w.t.Fatalf("%s twice: %+v, %+v", q.Op, again, effects)
	}
}

func (w *world) respond(i int) {
	f := w.open[i]
	w.open = slices.Delete(w.open, i, i+1)
	for _, in := range f() {
		w.step(in)
		if in, ok := in.(StartLost); ok {
			w.answer(in.UUID, Started{UUID: in.UUID, MixMonitorID: "0x2", At: w.now}, StartFailed{in.UUID, CauseNoAnswer, ""})
		}
	}
}

func (w *world) merge(id, into call.TalkID, changeFirst bool) {
	legs := w.talks[id] + w.talks[into]
	if id == into || w.talks[id] == "" || w.talks[into] == "" {
		return
	}
	legs = strings.Map(func(r rune) rune {
		if w.gone[strings.ToLower(string(r))] {
			return -1
		}
		return r
	}, legs)
	if len(legs) < 2 {
		return
	}
	delete(w.talks, id)
	w.talks[into] = legs
	if changeFirst {
		w.step(talked(call.Changed, into, legs))
	}
	w.step(TalkChange{Change: call.Change{Kind: call.Ended, Talk: id, MergedInto: into}})
	if !changeFirst {
		w.step(talked(call.Changed, into, legs))
	}
}

func (w *world) goes(leg string) {
	w.gone[leg] = true
	for u, x := range w.recorders {
		if x.hook == leg {
			delete(w.recorders, u)
		}
	}
	w.step(ChannelGone{leg})
}

func (w *world) legs(t *rapid.T, not call.TalkID) string {
	var out string
	for _, l := range "abcdef" {
		used := w.gone[string(l)] || w.hangs[string(l)]
		for id, legs := range w.talks {
			used = used || id != not && strings.ContainsRune(strings.ToLower(legs), l)
		}
		if used || !rapid.Bool().Draw(t, "in") {
			continue
		}
		if rapid.Bool().Draw(t, "wants") {
			l -= 0x20
		}
		out += string(l)
	}
	return out
}

// breaks is what the watch of running recordings may tell at any time, of any.
func (w *world) breaks(t *rapid.T) {
	var list []string
	for _, r := range w.m.sorted() {
		list = append(list, r.UUID)
	}
	if len(list) > 0 {
		cause := rapid.SampledFrom([]string{CauseFileGone, CauseRecorderGone, CauseNoGrowth, CauseNoSpace, CauseNoDirectory}).Draw(t, "cause")
		w.step(Broken{UUID: rapid.SampledFrom(list).Draw(t, "which"), Cause: cause, Since: w.now.Add(-time.Second)})
	}
}

func (w *world) act(t *rapid.T) {
	id := call.TalkID(rapid.IntRange(1, 3).Draw(t, "talk"))
	_, there := w.talks[id]
	leg := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f"}).Draw(t, "leg")
	switch rapid.IntRange(0, 18).Draw(t, "act") {
	case 18:
		w.breaks(t)
	case 13:
		w.step(Reachable{})
	case 14:
		w.step(rapid.SampledFrom([]Input{Unheld{leg}, Bridged{leg}}).Draw(t, "what"))
	case 15:
		w.hangs[leg] = true
		w.step(ChannelHanging{leg})
	case 16:
		w.now = w.now.Add(time.Duration(rapid.IntRange(0, 120).Draw(t, "ms")) * time.Millisecond)
		w.step(Tick{})
	case 17:
		w.restart(t)
	case 0, 1, 2:
		legs := w.legs(t, id)
		if len(legs) < 2 {
			return
		}
		kind := call.Began
		if there {
			kind = rapid.SampledFrom([]call.ChangeKind{call.Changed, call.Resumed}).Draw(t, "kind")
		}
		w.talks[id] = legs
		w.step(talked(kind, id, legs))
	case 3:
		if there {
			w.step(talked(call.Suspended, id, w.talks[id]))
		}
	case 4:
		if there {
			delete(w.talks, id)
			into := call.TalkID(rapid.IntRange(0, 3).Draw(t, "into"))
			if into == id {
				into = 0
			}
			w.step(TalkChange{Change: call.Change{Kind: call.Ended, Talk: id, MergedInto: into}})
		}
	case 5:
		w.goes(leg)
	case 8, 9, 10, 11:
		w.press(t)
	case 12:
		w.merge(id, call.TalkID(rapid.IntRange(1, 3).Draw(t, "survivor")), rapid.Bool().Draw(t, "change first"))
	case 6:
		w.now = w.now.Add(time.Duration(rapid.IntRange(0, 3000).Draw(t, "ms")) * time.Millisecond)
		w.step(Tick{})
	default:
		if len(w.open) > 0 {
			w.respond(rapid.IntRange(0, len(w.open)-1).Draw(t, "which"))
		}
	}
}

func TestEveryRecordingEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{
			t: t, now: boot, gone: map[string]bool{}, hangs: map[string]bool{}, talks: map[call.TalkID]string{}, final: map[string]State{},
			recorders: map[string]*spy{}, pauses: map[string]map[time.Time]Pause{},
			rows: map[string]Recording{}, states: map[string]LegState{},
			trouble: rapid.Bool().Draw(t, "trouble"),
			speaks:  rapid.SampledFrom([]Announcements{{}, {Start: "hello"}, {Stop: "bye"}, {Start: "hello", Stop: "bye"}}).Draw(t, "speaks"),
		}
		w.m = New(Config{
			Boot: boot, NewUUID: func() string { w.n++; return id(w.n) },
			Cut: rapid.Bool().Draw(t, "cut"), ToggleStops: rapid.Bool().Draw(t, "stops"), FollowTransfer: rapid.Bool().Draw(t, "follow"),
			NoMute: rapid.IntRange(0, 3).Draw(t, "no mute") == 0,
			Tenant: "master", Announcements: func(string) Announcements { return w.speaks },
		})
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			w.act(t)
		}
		for _, leg := range []string{"a", "b", "c", "d", "e", "f"} {
			w.goes(leg)
		}
		for id := range call.TalkID(4) {
			w.step(TalkChange{Change: call.Change{Kind: call.Ended, Talk: id}})
		}
		for round := 0; ; round++ {
			if len(w.open) > 0 {
				w.respond(rapid.IntRange(0, len(w.open)-1).Draw(t, "rest"))
			} else if at, ok := w.m.NextDeadline(); ok {
				w.now = at
				w.step(Tick{})
			} else {
				break
			}
			if round > 1000 {
				t.Fatal("it does not come to rest")
			}
		}
		for u, s := range w.final {
			switch s {
			case Ready, Empty, Interrupted, Missing:
			default:
				t.Fatalf("%s ends as %s", u, s)
			}
		}
		if len(w.m.recs) != 0 || len(w.m.talks) != 0 || len(w.m.held) != 0 || len(w.states) != 0 || len(w.m.seats) != 0 || len(w.m.hooks) != 0 || len(w.m.told) != 0 || len(w.m.spoken) != 0 {
			t.Fatalf("left: %v %v %v %v %v %v", w.m.recs, w.m.talks, w.m.held, w.states, w.m.told, w.m.spoken)
		}
		for u, list := range w.pauses {
			for _, p := range list {
				if p.To.IsZero() {
					t.Fatalf("a pause of %s never ends: %+v", u, p)
				}
			}
		}
	})
}
