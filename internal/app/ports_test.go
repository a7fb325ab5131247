package app

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"callrecordd/internal/events"
	"callrecordd/internal/recorder"
	"callrecordd/store"
)

func announcing(t *testing.T) (*store.Store, announcer) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	st, err := store.Open(t.Context(), store.Options{Path: filepath.Join(t.TempDir(), "db"), Now: time.Now, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return st, announcer{store: st, origin: "here", now: time.Now, log: log}
}

// A recording whose intent was never stored, because the database took too long,
// is announced like any other when it is ready.
func TestRecordingWithoutIntentIsAnnounced(t *testing.T) {
	st, a := announcing(t)
	r := recorder.Recording{
		UUID: "r", TenantUUID: "t", Hook: "1.1", HookName: "PJSIP/a-1", Legs: []string{"1.1"}, State: recorder.Ready,
		IntentAt: time.Now(), Boot: time.Now(),
	}
	for range 2 {
		if err := (execStore{st}).SaveRecording(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	list, _, err := a.After(t.Context(), 0, 10)
	if err != nil || len(list) != 1 || len(list[0].Events) != 1 || list[0].Events[0].Name != events.RecordingReady {
		t.Errorf("announced: %+v %v", list, err)
	}
	if got, err := st.Recording(t.Context(), "r"); err != nil || got.State != recorder.Ready {
		t.Errorf("%+v %v", got, err)
	}
}

// An event waits a little for its recording to be stored, but not until the
// time of a clock that was set back.
func TestClockThatWasSetBackHoldsUpNoEvents(t *testing.T) {
	st, a := announcing(t)
	for _, c := range []struct {
		at    time.Time
		waits bool
	}{{time.Now(), true}, {time.Now().Add(time.Hour), false}, {time.Now().Add(-time.Hour), false}} {
		last, err := st.LastEvent(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := st.AppendEvents(t.Context(), recorder.Event{At: c.at, Kind: recorder.EventPaused, Recording: "gone"}); err != nil {
			t.Fatal(err)
		}
		list, more, err := a.After(t.Context(), last, 10)
		if err != nil || more != c.waits || (len(list) == 0) != c.waits {
			t.Errorf("at %s: %d rows, more %t, %v", time.Until(c.at), len(list), more, err)
		}
	}
}
