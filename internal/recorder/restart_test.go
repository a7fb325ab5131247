package recorder

import (
	"maps"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"callrecordd/internal/call"
)

// restart replaces the daemon: the next one knows what was stored, and what
// Asterisk says is there. Talks are told anew, as they are by then. What was
// paused stays so, what was stopped does not begin again, who wanted it still
// does.
func (w *world) restart(t *rapid.T) {
	old := w.m
	w.m = New(old.cfg)
	w.m.Recall(slices.Collect(maps.Values(w.states)))
	w.open, w.hangs = nil, map[string]bool{}
	w.now = w.now.Add(time.Duration(rapid.IntRange(0, 3000).Draw(t, "down, ms")) * time.Millisecond)
	var rows []Recording
	files := map[string]int64{}
	for _, u := range slices.Sorted(maps.Keys(w.rows)) {
		if r := w.rows[u]; slices.Contains([]State{Starting, Live, Paused, Closing}, r.State) {
			rows = append(rows, r)
			files[u] = 100
		}
	}
	var channels []Channel
	for _, leg := range []string{"a", "b", "c", "d", "e", "f"} {
		if w.gone[leg] {
			continue
		}
		c := Channel{ID: leg, Name: "PJSIP/" + leg + "-00000001"}
		for _, u := range slices.Sorted(maps.Keys(w.recorders)) {
			if w.recorders[u].hook == leg {
				c.Recorders = append(c.Recorders, Recorder{UUID: u, MixMonitorID: "0x3", Tenant: "master"})
			}
		}
		channels = append(channels, c)
	}
	w.perform(w.m.Reconcile(w.now, rows, channels, files))
	for _, id := range slices.Sorted(maps.Keys(w.talks)) {
		legs := strings.Map(func(r rune) rune {
			if w.gone[strings.ToLower(string(r))] {
				return -1
			}
			return r
		}, w.talks[id])
		if w.talks[id] = legs; len(legs) < 2 {
			delete(w.talks, id)
			continue
		}
		w.step(talked(call.Began, id, legs))
	}
	w.remembers(old)
}

func (w *world) remembers(old *Machine) {
	for leg, c := range old.held {
		if now := w.m.held[leg]; !w.gone[leg] && now != c {
			w.t.Fatalf("the claim %+v is %+v after a restart", c, now)
		}
	}
	for id, t := range w.m.talks {
		was := old.talks[id]
		if was == nil {
			continue
		}
		for _, l := range t.legs {
			if was.has(l.ID) && !was.gone[l.ID] && was.paused() && !t.paused() {
				w.t.Fatalf("talk %d is not paused after a restart", id)
			}
			if was.has(l.ID) && was.stops[l.ID] && !t.stops[l.ID] {
				w.t.Fatalf("the stop of %s is forgotten by a restart", l.ID)
			}
		}
	}
	for leg := range old.pausedLegs {
		if t := w.m.talkOf(leg); !w.gone[leg] && (t == nil && w.m.pausedLegs[leg].From.IsZero() || t != nil && !t.paused()) {
			w.t.Fatalf("%s does not bring its pause along after a restart", leg)
		}
	}
}
