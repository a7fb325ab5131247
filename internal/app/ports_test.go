package app

import (
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"callrecordd/internal/directory"
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
	if err != nil || len(list) != 2 || len(list[0].Events) != 0 || len(list[1].Events) != 1 || list[1].Events[0].Name != events.RecordingReady {
		t.Errorf("announced: %+v %v", list, err)
	}
	if got, err := st.Recording(t.Context(), "r"); err != nil || got.State != recorder.Ready {
		t.Errorf("%+v %v", got, err)
	}
}

// A daemon that is killed after it has noted that a recording stops, and before
// the row says so, is followed by one that notes it again. It is told once.
func TestStopThatAKilledDaemonHadNotedIsToldOnce(t *testing.T) {
	st, a := announcing(t)
	r := recorder.Recording{
		UUID: "r", TenantUUID: "t", Hook: "1.1", HookName: "PJSIP/a-1", Legs: []string{"1.1"}, State: recorder.Closing,
		IntentAt: time.Now(), Boot: time.Now(),
	}
	if err := st.InsertIntent(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{recorder.EventStarted, recorder.EventClosing, recorder.EventAdopted, recorder.EventClosing} {
		if err := st.AppendEvents(t.Context(), recorder.Event{At: time.Now(), Kind: kind, Recording: "r"}); err != nil {
			t.Fatal(err)
		}
	}
	list, _, err := a.After(t.Context(), 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, e := range list {
		for _, ev := range e.Events {
			told = append(told, ev.Name)
		}
	}
	if want := []string{events.RecordingStarted, events.RecordingStopped}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

// A tenant's new announcements are told as Wazo's confd tells of them; whatever
// else of a tenant is changed is not.
func TestEditedAnnouncementsAreTold(t *testing.T) {
	st, a := announcing(t)
	dir, err := directory.New(t.Context(), directory.Options{Repo: st, Now: time.Now, NewUUID: uuid.NewString, Root: "/r"})
	if err != nil {
		t.Fatal(err)
	}
	master := dir.Book().Master().UUID
	for _, change := range []func(*directory.Tenant){
		func(t *directory.Tenant) { t.Name = "another" },
		func(t *directory.Tenant) { t.Announce.Start = "custom/recorded" },
	} {
		if _, err := dir.EditTenant(t.Context(), "test", master, func(t *directory.Tenant) error { change(t); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	list, _, err := a.After(t.Context(), 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	var told []events.Event
	for _, e := range list {
		told = append(told, e.Events...)
	}
	if len(told) != 1 || told[0].Name != events.AnnouncementsEdited || told[0].TenantUUID != master ||
		told[0].RequiredACL != "events.config.recordings.announcements.edited" ||
		string(told[0].Data) != `{"recording_start":"custom/recorded","recording_stop":null}` {
		t.Errorf("told: %+v", told)
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
