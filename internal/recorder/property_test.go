package recorder

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"callrecordd/internal/call"
)

// world is an Asterisk and an exec that answer when they like.
type world struct {
	t     *rapid.T
	m     *Machine
	now   time.Time
	n     int
	gone  map[string]bool
	talks map[call.TalkID]string
	open  []func() []Input // answers due, each in its turn or out of it
	final map[string]State
}

func (w *world) step(in Input) {
	w.perform(w.m.Step(w.now, in))
	active := map[call.TalkID]int{}
	for _, r := range w.m.recs {
		if r.active() && r.talk != 0 {
			active[r.talk]++
			if active[r.talk] > 1 {
				w.t.Fatalf("two recordings in talk %d", r.talk)
			}
		}
	}
}

func (w *world) perform(effects []Effect) {
	for _, e := range effects {
		switch e := e.(type) {
		case Start:
			w.answer(e.Row.UUID, Started{UUID: e.Row.UUID, MixMonitorID: "0x1", At: w.now},
				StartFailed{e.Row.UUID, CauseNoAnswer, ""}, StartFailed{e.Row.UUID, CauseNoManager, ""},
				StartLost{e.Row.UUID, ""}, StartFailed{e.Row.UUID, CauseNoChannel, ""}, StartFailed{e.Row.UUID, CauseNoSpace, ""})
		case WatchFile:
			u := e.Row.UUID
			w.answer(u, Grew{u}, NotSeen{u, CauseNoFile, ""}, NotGrown{u, CauseNoGrowth, ""}, SilentRTP{u})
			w.answer(u, Seen{u}, Closed{u})
		case Stop:
			if w.gone[e.Row.Hook] {
				w.t.Fatalf("stop on a channel that is gone: %+v", e.Row)
			}
			u := e.Row.UUID
			w.answer(u, StopDone{u}, StopFailed{u, CauseStalled, ""}, StopFailed{u, CauseNoManager, ""}, StopFailed{u, CauseRefused, ""})
		case Finalise:
			u := e.Row.UUID
			w.answer(u, Finalised{UUID: u, Try: e.Try}, Finalised{UUID: u, Try: e.Try, Found: true, Complete: true, Samples: 9},
				Finalised{UUID: u, Try: e.Try, Found: true})
		case SaveIntent:
			w.final[e.Row.UUID] = e.Row.State
		case Save:
			w.final[e.Row.UUID] = e.Row.State
		}
	}
}

func (w *world) answer(_ string, choices ...Input) {
	c := rapid.SampledFrom(choices).Draw(w.t, "answer")
	w.open = append(w.open, func() []Input { return []Input{c} })
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

func (w *world) legs(t *rapid.T, not call.TalkID) string {
	var out string
	for _, l := range "abcdef" {
		used := w.gone[string(l)]
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

func (w *world) act(t *rapid.T) {
	id := call.TalkID(rapid.IntRange(1, 3).Draw(t, "talk"))
	_, there := w.talks[id]
	switch rapid.IntRange(0, 8).Draw(t, "act") {
	case 8:
		w.step(Reachable{})
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
		leg := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f"}).Draw(t, "leg")
		if rapid.Bool().Draw(t, "hang") {
			w.step(ChannelHanging{leg})
		}
		w.gone[leg] = true
		w.step(ChannelGone{leg})
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
			t: t, now: boot, gone: map[string]bool{}, talks: map[call.TalkID]string{}, final: map[string]State{},
		}
		w.m = New(Config{Boot: boot, NewUUID: func() string { w.n++; return id(w.n) }})
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			w.act(t)
		}
		for _, leg := range []string{"a", "b", "c", "d", "e", "f"} {
			w.gone[leg] = true
			w.step(ChannelGone{leg})
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
		if len(w.m.recs) != 0 || len(w.m.talks) != 0 {
			t.Fatalf("left: %v %v", w.m.recs, w.m.talks)
		}
	})
}
