package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"callrecordd/internal/call"
	"callrecordd/internal/directory"
	"callrecordd/internal/recorder"
)

// TestClockWatchFindsSteps: and neither a slow tick nor a daemon of time that
// slews.
func TestClockWatchFindsSteps(t *testing.T) {
	wall := time.Date(2026, 12, 1, 3, 0, 0, 0, time.UTC)
	w := clockWatch{wall: wall}
	var elapsed time.Duration
	pass := func(clock, mono time.Duration) (time.Duration, bool) {
		wall, elapsed = wall.Add(clock), elapsed+mono
		j, ok := w.look(wall, elapsed)
		return j.By, ok
	}
	for range 100 {
		if by, ok := pass(time.Second, time.Second+500*time.Microsecond); ok {
			t.Fatalf("slewing is a step of %v", by)
		}
	}
	if by, ok := pass(time.Minute, time.Minute); ok {
		t.Errorf("a slow tick is a step of %v", by)
	}
	if by, ok := pass(time.Hour+time.Second, time.Second); !ok || by != time.Hour {
		t.Errorf("forward: %v, %v", by, ok)
	}
	if by, ok := pass(time.Second, time.Second); ok {
		t.Errorf("told again: %v", by)
	}
	if by, ok := pass(time.Second-time.Hour, time.Second); !ok || by != -time.Hour {
		t.Errorf("back: %v, %v", by, ok)
	}
}

// TestNothingIsRemovedWhileTheClockIsInDoubt: what is removed a day too early is
// gone.
func TestNothingIsRemovedWhileTheClockIsInDoubt(t *testing.T) {
	var k Keeping
	now := time.Now()
	if !k.trusts(now) {
		t.Error("in doubt from the start")
	}
	k.distrust(now.Add(distrustTime))
	if k.trusts(now.Add(distrustTime - time.Second)) {
		t.Error("trusted too soon")
	}
	if !k.trusts(now.Add(distrustTime + time.Second)) {
		t.Error("never trusted again")
	}
}

func TestUnseenSince(t *testing.T) {
	now := time.Unix(1_700_000_100, 0)
	legs := []call.Leg{{ID: "1700000010.1"}, {ID: "sys-1700000030.2"}, {ID: "1700000050.3"}}
	for _, tc := range []struct {
		gap  time.Time
		legs []call.Leg
		want int64
	}{
		{time.Time{}, legs, 1_700_000_030},                 // two are needed
		{time.Unix(1_700_000_060, 0), legs, 1_700_000_060}, // until then they were seen
		{time.Unix(1_700_000_020, 0), legs, 1_700_000_030},
		{time.Time{}, []call.Leg{{ID: "x"}, {ID: "y"}}, now.Unix()},
		{time.Time{}, []call.Leg{{ID: "1800000000.1"}, {ID: "1800000000.2"}}, now.Unix()}, // the clock was set back
	} {
		if got := unseenSince(now, tc.gap, tc.legs); got.Unix() != tc.want {
			t.Errorf("%v, %+v: %d, want %d", tc.gap, tc.legs, got.Unix(), tc.want)
		}
	}
}

// TestOneBrokenEventDoesNotSilenceAllOthers: what is stored of it cannot be read,
// and those behind it are told.
func TestOneBrokenEventDoesNotSilenceAllOthers(t *testing.T) {
	now := time.Date(2026, 12, 1, 3, 0, 0, 0, time.UTC)
	st, dir, _ := missedPeople(t, func() time.Time { return now })
	a := announcer{store: st, directory: dir, now: func() time.Time { return now }, log: slog.New(slog.DiscardHandler)}
	row := recorder.Recording{UUID: "11111111-1111-4111-8111-111111111111", TenantUUID: dir.Book().Master().UUID, Hook: "1.1", State: recorder.Starting, IntentAt: now}
	if err := st.InsertIntent(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	row.State = recorder.Ready
	for _, data := range []json.RawMessage{json.RawMessage(`{"state":7}`), json.RawMessage(`"x"`)} {
		if err := st.AppendEvents(t.Context(), recorder.Event{Kind: "recording_settled", Recording: row.UUID, Data: data}); err != nil {
			t.Fatal(err)
		}
	}
	if err := st.UpdateRecording(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	got, more, err := a.After(t.Context(), 0, 1000)
	if err != nil || more {
		t.Fatal(more, err)
	}
	told := 0
	for _, e := range got {
		told += len(e.Events)
	}
	if last, err := st.LastEvent(t.Context()); err != nil || got[len(got)-1].Row != last || told != 1 {
		t.Errorf("%d told up to row %d of %d, %v", told, got[len(got)-1].Row, last, err)
	}
}

// TestLongAbsenceLoadsThePastDirectoryOnce: thousands of missed calls ask for it.
func TestLongAbsenceLoadsThePastDirectoryOnce(t *testing.T) {
	now := time.Date(2026, 12, 1, 3, 0, 0, 0, time.UTC)
	st, dir, alice := missedPeople(t, func() time.Time { return now })
	begun := now
	for range 3 {
		now = now.Add(time.Hour)
		if _, err := dir.EditUser(t.Context(), "test", alice, func(u *directory.User) error { u.Flags.OutgoingInternal = !u.Flags.OutgoingInternal; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	past := new(pastBooks)
	flag := func(at time.Time) (bool, *directory.Book) {
		t.Helper()
		book, err := past.at(t.Context(), st, at)
		if err != nil {
			t.Fatal(err)
		}
		u, _ := book.User(alice)
		return u.Flags.OutgoingInternal, book
	}
	_, first := flag(begun.Add(time.Hour + time.Minute))
	for m := range 50 {
		if on, book := flag(begun.Add(time.Hour + time.Duration(m)*time.Minute)); !on || book != first {
			t.Fatalf("minute %d: %v, loaded anew: %v", m, on, book != first)
		}
	}
	if on, _ := flag(begun.Add(2*time.Hour + time.Minute)); on {
		t.Error("the directory of another hour")
	}
	if on, _ := flag(begun.Add(time.Minute)); on {
		t.Error("the directory of before")
	}
}

// TestFullDiskIsNotedAndItsEnd: but a root that only its tenants' folders let us
// write below is no lack.
func TestFullDiskIsNotedAndItsEnd(t *testing.T) {
	d := newDisk()
	var fails error
	d.probe = func(string) error { return fails }
	root := t.TempDir()
	if lack := d.refuses(root); lack != "" {
		t.Error(lack)
	}
	fails = errors.New("no space left on device")
	if lack := d.refuses(root); lack == "" {
		t.Error("a full disk is none")
	}
	fails = fmt.Errorf("probe: %w", context.DeadlineExceeded)
	if lack := d.refuses(root); lack == "" {
		t.Error("no answer is one")
	}
	fails = nil
	if lack := d.refuses(root); lack != "" {
		t.Error(lack)
	}
}
