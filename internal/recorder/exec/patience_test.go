package exec

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"callrecordd/internal/recorder"
)

// shelf is a store that takes nothing for a while, and one kind of events never.
type shelf struct {
	Store
	shut  time.Time
	fails int // writes, after which it takes all
	bad   string

	mu     sync.Mutex
	events []recorder.Event
}

var errShut = errors.New("database is locked")

func (s *shelf) AppendEvents(_ context.Context, list []recorder.Event, _ []recorder.LegState) error {
	if time.Now().Before(s.shut) {
		return errShut
	}
	if slices.ContainsFunc(list, func(e recorder.Event) bool { return e.Kind == s.bad }) {
		return errors.New("constraint failed")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails--; s.fails >= 0 {
		return errShut
	}
	s.events = append(s.events, list...)
	return nil
}

func logOf(s *shelf) *eventLog {
	return newEventLog(s, slog.New(slog.DiscardHandler), time.Now, 50*time.Millisecond)
}

// kinds are those stored, in order.
func (s *shelf) kinds() (out []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		out = append(out, e.Kind)
	}
	return out
}

// Who wanted a recording, and why there was none, is told though the database
// was away for an hour; it was lost after three seconds.
func TestEventsWaitForADatabaseThatTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{shut: time.Now().Add(time.Hour)}
		l := logOf(s)
		var want []string
		for n := range 600 {
			kind := fmt.Sprint("event ", n)
			want = append(want, kind)
			l.add([]recorder.Event{{Kind: kind}}, nil)
			time.Sleep(time.Second)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		l.close()
		if got := s.kinds(); !slices.Equal(got, want) {
			t.Errorf("%d events are stored, of %d: %q", len(got), len(want), got[:min(3, len(got))])
		}
	})
}

// An event that cannot be stored holds up no other, takes none along, and its
// place says so.
func TestEventThatCannotBeStoredIsDeclaredAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{shut: time.Now().Add(time.Minute), bad: "bad"}
		l := logOf(s)
		for _, kind := range []string{"a", "b", "bad", "c", "d"} {
			l.add([]recorder.Event{{Kind: kind}}, nil)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		l.close()
		if got := s.kinds(); !slices.Equal(got, []string{"a", "b", eventsLost, "c", "d"}) {
			t.Errorf("stored: %q", got)
		}
	})
}

// It may come back at any moment, also between the last try and the word that an
// event was given up.
func TestDatabaseThatComesBackAtAnyMomentLosesNoEvent(t *testing.T) {
	for fails := range 5 * saveTries {
		synctest.Test(t, func(t *testing.T) {
			s := &shelf{fails: fails}
			l := logOf(s)
			l.add([]recorder.Event{{Kind: "a"}}, nil)
			time.Sleep(time.Hour)
			synctest.Wait()
			l.close()
			if got := s.kinds(); !slices.Equal(got, []string{"a"}) {
				t.Errorf("after %d writes that failed: %q", fails, got)
			}
		})
	}
}

// What there is no room for is a gap with its number, not a silent one.
func TestEventsBeyondTheRoomAreDeclared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{shut: time.Now().Add(time.Minute)}
		l := logOf(s)
		const all = eventRoom + 1000
		for range all {
			l.add([]recorder.Event{{Kind: "x"}}, nil)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		l.close()
		stored, lost := 0, 0
		for _, e := range s.events {
			if e.Kind == eventsLost {
				lost += e.Data.(map[string]int)["count"]
				continue
			}
			stored++
		}
		if stored+lost != all || stored < eventRoom-batchSize {
			t.Errorf("%d stored and %d lost of %d", stored, lost, all)
		}
	})
}

// stubborn is a store that takes intents and parties only after many tries.
type stubborn struct {
	Store
	mu     sync.Mutex
	refuse int
	stored []string
}

func (s *stubborn) take(what string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse--; s.refuse >= 0 {
		return errShut
	}
	s.stored = append(s.stored, what)
	return nil
}

func (s *stubborn) SaveIntent(context.Context, recorder.Recording) error { return s.take("intent") }

func (s *stubborn) SaveParties(_ context.Context, _ string, list []recorder.Party) error {
	return s.take("parties " + list[0].Leg)
}

// Who was in a talk is said once, so it is not given up as a state is that the
// next one replaces.
func TestPartiesOfATalkOutlastADatabaseThatIsAway(t *testing.T) {
	s := &stubborn{refuse: saveTries + 5}
	r := newRig(t, func(c *Config) {
		c.SaveDelay, s.Store = time.Microsecond, c.Store
		c.Store = s
	})
	final := r.row
	final.State = recorder.Ready
	r.apply(recorder.SaveIntent{Row: r.row}, recorder.Parties{UUID: r.row.UUID, List: []recorder.Party{{Leg: "1.1"}}},
		recorder.Parties{UUID: r.row.UUID, List: []recorder.Party{{Leg: "1.2"}}}, recorder.Save{Row: final, Sync: true})
	r.waitFor(func() bool { r.e.mu.Lock(); defer r.e.mu.Unlock(); return len(r.e.workers) == 0 })
	r.close()
	if want := []string{"intent", "parties 1.1", "parties 1.2"}; !slices.Equal(s.stored, want) || len(r.a.rows) != 1 {
		t.Errorf("stored: %q and %d rows", s.stored, len(r.a.rows))
	}
}

// A stop that somebody has asked for is stored before it is done: it was
// forgotten by a daemon that died in between, and the next one recorded again.
func TestStopIsStoredBeforeItIsDone(t *testing.T) {
	var mu sync.Mutex
	var order []string
	did := func(what string) { mu.Lock(); order = append(order, what); mu.Unlock() }
	s := &legStore{did: did}
	r := newRig(t, func(c *Config) {
		c.IntentWait, s.Store = 5*time.Second, c.Store
		c.Store = s
		c.AMI = &stopAMI{c.AMI, did}
	})
	if _, err := r.e.files.prepare(r.row); err != nil {
		t.Fatal(err)
	}
	closing := r.row
	closing.State, closing.MixMonitorID = recorder.Closing, "0x1"
	r.apply(recorder.Stop{Row: closing}, recorder.Save{Row: closing}, recorder.Legs{Changed: []recorder.LegState{{Leg: "1.1", Stopped: true}}})
	want[recorder.StopDone](r)
	r.close()
	if len(order) != 3 || order[0] != "states" {
		t.Errorf("%q", order)
	}
}

// legStore takes its time for the states of legs.
type legStore struct {
	Store
	did func(string)
}

func (s *legStore) AppendEvents(_ context.Context, _ []recorder.Event, legs []recorder.LegState) error {
	<-time.After(20 * time.Millisecond)
	if len(legs) > 0 {
		s.did("states")
	}
	return nil
}

func (s *legStore) SaveRecording(ctx context.Context, r recorder.Recording) error {
	s.did("row " + string(r.State))
	return s.Store.SaveRecording(ctx, r)
}

type stopAMI struct {
	AMI
	did func(string)
}

func (a *stopAMI) StopMixMonitor(ctx context.Context, channel, id string) error {
	a.did("stop")
	return a.AMI.StopMixMonitor(ctx, channel, id)
}
