package exec

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"callrecordd/internal/recorder"
)

// queued is a log of events that stores nothing by itself.
func queued() *eventLog {
	return &eventLog{
		log: slog.New(slog.DiscardHandler), clock: time.Now,
		wake: make(chan struct{}, 1), legs: map[string]recorder.LegState{},
	}
}

// Legs that come and go while the database takes no writes leave nothing behind.
func TestLegThatWasNeverStored(t *testing.T) {
	born, gone := recorder.LegState{Leg: "1.1", New: true}, recorder.LegState{Leg: "1.1", Gone: true}
	changed := recorder.LegState{Leg: "1.1", Stopped: true}
	for name, tc := range map[string]struct {
		before, while []recorder.LegState // of the failed try
		left          string
	}{
		"between two tries":     {nil, []recorder.LegState{born, changed, gone}, "[]"},
		"during a try":          {[]recorder.LegState{born}, []recorder.LegState{gone}, "[]"},
		"changed during a try":  {[]recorder.LegState{born}, []recorder.LegState{changed, gone}, "[]"},
		"gone, told once more":  {[]recorder.LegState{gone}, []recorder.LegState{born, gone}, "[1.1 true]"},
		"it lives":              {[]recorder.LegState{born}, []recorder.LegState{changed}, "[1.1 false]"},
		"stored long ago":       {nil, []recorder.LegState{changed, gone}, "[1.1 true]"},
		"stored, changed since": {[]recorder.LegState{changed}, []recorder.LegState{gone}, "[1.1 true]"},
	} {
		l := queued()
		l.add(nil, tc.before)
		_, failed := l.batch()
		for _, s := range tc.while {
			l.add(nil, []recorder.LegState{s})
		}
		l.again(failed)
		left := []string{}
		_, legs := l.batch()
		for _, s := range legs {
			left = append(left, fmt.Sprint(s.Leg, " ", s.Gone))
		}
		if got := fmt.Sprint(left); got != tc.left {
			t.Errorf("%s: %s, want %s", name, got, tc.left)
		}
	}
}

// However much has waited, a transaction is short, for intents wait for it; and
// the states are stored no later than the events that they come with.
func TestManyLegsAreStoredInShortTransactions(t *testing.T) {
	l := queued()
	const legs = 2*batchSize + 10
	for n := range legs {
		l.add([]recorder.Event{{Kind: "x"}}, []recorder.LegState{{Leg: fmt.Sprint(n)}})
	}
	stored, told := 0, 0
	for {
		events, states := l.batch()
		if len(events)+len(states) == 0 {
			break
		}
		if len(events) > batchSize || len(states) > batchSize {
			t.Errorf("%d events and %d states at once", len(events), len(states))
		}
		if stored += len(states); len(events) > 0 && stored < legs {
			t.Errorf("events are stored before %d states", legs-stored)
		}
		told += len(events)
	}
	if stored != legs || told != legs {
		t.Errorf("%d states and %d events of %d", stored, told, legs)
	}
}

// TestDatabaseThatIsLockedForAMinuteLosesNoEvent: they are tried until they are
// stored, in their order, and ten thousand recordings of a crash have room.
func TestDatabaseThatIsLockedForAMinuteLosesNoEvent(t *testing.T) {
	r := newRig(t, func(c *Config) { c.SaveDelay = time.Microsecond })
	r.a.mu.Lock()
	r.a.appendBroken = 20 * saveTries
	r.a.mu.Unlock()
	const n = 30_000
	var all []recorder.Effect
	for i := range n {
		all = append(all, recorder.Log{Event: recorder.Event{Kind: fmt.Sprint(i)}})
	}
	r.apply(all...)
	eventually(t, "all events are stored", func() bool {
		r.a.mu.Lock()
		defer r.a.mu.Unlock()
		return len(r.a.events) >= n
	})
	for i, e := range r.a.events {
		if e.Kind != fmt.Sprint(i) {
			t.Fatalf("event %d is %s", i, e.Kind)
		}
	}
}
