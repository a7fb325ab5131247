package recorder

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"callrecordd/internal/call"
)

// lateNote is the event that says what is missing at the beginning.
func (r *rig) lateNote() (Note, bool) {
	for _, l := range pick[Log](r.all) {
		if l.Event.Kind == EventLate {
			return l.Event.Data.(Note), true
		}
	}
	return Note{}, false
}

// TestTalkFoundGoingOnIsRecordedAndWhatIsMissingIsSaid: after a restart of ours,
// or a gap in the events, with nobody recording it.
func TestTalkFoundGoingOnIsRecordedAndWhatIsMissingIsSaid(t *testing.T) {
	r := newRig(t)
	since := r.now.Add(-90 * time.Second)
	found := talked(call.Began, 1, "Ab")
	found.Found = since
	u := one[Start](t, r.step(found)).Row.UUID
	r.step(Started{UUID: u, MixMonitorID: "0x1", At: r.now})
	r.step(Seen{u})
	r.step(Grew{u})
	n, ok := r.lateNote()
	if !ok || !n.Since.Equal(since) || n.Cause != CauseDaemonDown || !strings.Contains(r.last(u).Detail, "1m30s") {
		t.Errorf("%+v, row %q", n, r.last(u).Detail)
	}
}

// TestTalkSeenFromItsBeginningIsNotLate, nor is one that Asterisk has recorded
// all the time, or whose recording was only wished for now.
func TestTalkSeenFromItsBeginningIsNotLate(t *testing.T) {
	r := newRig(t)
	r.live("Ab")
	if n, ok := r.lateNote(); ok {
		t.Errorf("%+v", n)
	}
	r = newRig(t)
	row := Recording{UUID: id(50), TenantUUID: "master", Boot: boot, Hook: "a", Legs: []string{"a", "b"}, MixMonitorID: "0x1", State: Live, IntentAt: r.now}
	r.all = append(r.all, r.m.Reconcile(r.now, []Recording{row}, []Channel{{ID: "a", Recorders: []Recorder{{UUID: row.UUID, MixMonitorID: "0x1"}}}, {ID: "b"}},
		map[string]int64{row.UUID: 100})...)
	found := talked(call.Began, 1, "Ab")
	found.Found = r.now.Add(-time.Minute)
	none[Start](t, r.step(found))
	if n, ok := r.lateNote(); ok {
		t.Errorf("it was recorded all the time: %+v", n)
	}
	r = newRig(t)
	found = talked(call.Began, 1, "ab")
	found.Found = r.now.Add(-time.Minute)
	r.step(found)
	r.now = r.now.Add(time.Minute)
	u := one[Start](t, r.step(talked(call.Changed, 1, "Ab"))).Row.UUID
	r.step(Started{UUID: u, MixMonitorID: "0x1", At: r.now})
	r.step(Grew{u})
	if n, ok := r.lateNote(); ok {
		t.Errorf("nobody had wished for it: %+v", n)
	}
}

// TestDiskThatComesBackHasTheTalkRecorded: what is late is on record, with the
// cause. Until its folder takes files nothing else has the talk tried again.
func TestDiskThatComesBackHasTheTalkRecorded(t *testing.T) {
	r := newRig(t)
	u := one[Start](t, r.step(talked(call.Began, 1, "Ab"))).Row.UUID
	r.step(Started{UUID: u, MixMonitorID: "0x1", At: r.now})
	r.step(NotSeen{UUID: u, Cause: CauseNoSpace, Detail: "no space left on device"})
	r.step(StopDone{u})
	r.step(Finalised{UUID: u, Try: 1})
	r.now = r.now.Add(5 * time.Second)
	none[Start](t, r.step(Able{}))
	u = one[Start](t, r.step(StorageBack{Tenant: "tenant-a"})).Row.UUID
	r.step(Started{UUID: u, MixMonitorID: "0x1", At: r.now})
	r.step(Grew{u})
	n, ok := r.lateNote()
	if !ok || n.Cause != CauseNoSpace || r.last(u).Detail == "" || r.last(u).State != Live {
		t.Errorf("%+v, %+v", n, r.last(u))
	}
}

// TestModuleThatIsLoadedAgainHasTheTalkRecorded: what was given up is tried again
// when Asterisk is able to, more and more rarely while it still fails, and told once.
func TestModuleThatIsLoadedAgainHasTheTalkRecorded(t *testing.T) {
	r := newRig(t)
	u := one[Start](t, r.step(talked(call.Began, 1, "Ab"))).Row.UUID
	fails := func(u string) []Effect {
		t.Helper()
		r.step(Started{UUID: u, MixMonitorID: "0x1", At: r.now})
		out := r.step(NotSeen{UUID: u, Cause: CauseNoFile})
		out = append(out, r.step(StopDone{u})...)
		return append(out, r.step(Finalised{UUID: u, Try: 1})...)
	}
	fails(one[Start](t, fails(u)).Row.UUID)
	none[Start](t, r.step(Able{})) // at once would be the same
	none[Start](t, r.pass(time.Hour))
	r.now = r.now.Add(5 * time.Second)
	fails(one[Start](t, r.step(Able{})).Row.UUID)
	r.now = r.now.Add(3 * time.Second)
	none[Start](t, r.step(Able{}))
	r.now = r.now.Add(10 * time.Second)
	u = one[Start](t, r.step(Able{})).Row.UUID
	r.step(Started{UUID: u, MixMonitorID: "0x1", At: r.now})
	r.step(Grew{u})
	n, ok := r.lateNote()
	if !ok || n.Cause != CauseNoFile || r.last(u).Detail == "" || r.last(u).State != Live {
		t.Errorf("%+v, %+v", n, r.last(u))
	}
	none[Start](t, r.step(Able{}))
}

// TestRepairedFileIsInterruptedAndBothHashesAreOnRecord.
func TestRepairedFileIsInterruptedAndBothHashesAreOnRecord(t *testing.T) {
	r := newRig(t)
	u := r.live("Ab")
	r.step(Restarted{Boot: r.now})
	out := r.step(Finalised{
		UUID: u, Try: 1, Found: true, Repaired: true, Bytes: 100, Samples: 28, Rate: 8000, SHA256: "new", OriginalBytes: 101, OriginalSHA256: "old",
	})
	row := one[Save](t, out).Row
	if row.State != Interrupted || row.Cause != CauseRepaired || row.SHA256 != "new" || row.Samples != 28 {
		t.Errorf("%+v", row)
	}
	for _, l := range pick[Log](out) {
		if n, _ := l.Event.Data.(Note); l.Event.Kind == EventRepaired && n.SHA256 == "new" && n.OriginalSHA256 == "old" && n.OriginalBytes == 101 {
			return
		}
	}
	t.Errorf("no word of the original: %+v", out)
}

// TestFileWithoutRoomForItsHeader: what it lacks is another part than that of a
// file whose writer died.
func TestFileWithoutRoomForItsHeader(t *testing.T) {
	r := newRig(t)
	u := r.live("Ab")
	r.step(Restarted{Boot: r.now})
	row := one[Save](t, r.step(Finalised{UUID: u, Try: 1, Found: true, Repaired: true, Headless: true, Samples: 28, Rate: 8000})).Row
	if row.State != Interrupted || row.Cause != CauseHeaderLost || row.Samples != 28 {
		t.Errorf("%+v", row)
	}
}

// crashed are rows that were open, of which every second has a file and every
// tenth a channel that lives and records.
func crashed(n int) (rows []Recording, channels []Channel, files map[string]int64) {
	files = map[string]int64{}
	for i := range n {
		hook := fmt.Sprintf("1700000000.%d", 2*i)
		row := Recording{
			UUID: id(i), TenantUUID: "master", Boot: boot, Hook: hook, HookName: fmt.Sprintf("PJSIP/a-%08x", i), MixMonitorID: "0x1",
			Legs: []string{hook, fmt.Sprintf("1700000000.%d", 2*i+1)}, State: Live, IntentAt: boot, StartedAt: boot,
		}
		if i%2 == 0 {
			files[row.UUID] = 1000
		}
		if i%10 == 0 {
			channels = append(channels, Channel{ID: hook, Name: row.HookName, Recorders: []Recorder{{UUID: row.UUID, MixMonitorID: "0x1", Tenant: "master"}}})
		}
		rows = append(rows, row)
	}
	return rows, channels, files
}

// BenchmarkReconcile: ten thousand open rows, as after a bad crash of a large
// system (issue 7: 2 s, with what is around it).
func BenchmarkReconcile(b *testing.B) {
	rows, channels, files := crashed(10_000)
	b.ReportAllocs()
	for b.Loop() {
		m := New(Config{Boot: boot, Tenant: "master", NewUUID: func() string { return id(0) }})
		if out := m.Reconcile(boot.Add(time.Hour), rows, channels, files); len(out) < len(rows) {
			b.Fatal(len(out))
		}
	}
}

// TestTenThousandOpenRowsAreReconciledInTime: each comes to its end, or is
// watched on. Twice as many take twice as long, not four times.
func TestTenThousandOpenRowsAreReconciledInTime(t *testing.T) {
	took := func(n int) time.Duration {
		rows, channels, files := crashed(n)
		m := New(Config{Boot: boot, Tenant: "master", NewUUID: func() string { return id(0) }})
		begun := time.Now()
		out := m.Reconcile(boot.Add(time.Hour), rows, channels, files)
		d := time.Since(begun)
		kept, looked, lost := len(pick[WatchFile](out)), len(pick[Finalise](out)), 0
		for _, s := range pick[Save](out) {
			if s.Row.State == Missing {
				lost++
			}
		}
		if kept != n/10 || looked != n/2-n/10 || lost != n/2 {
			t.Errorf("%d of %d watched on, %d looked at, %d missing", kept, n, looked, lost)
		}
		return d
	}
	if d := took(10_000); d > 2*time.Second {
		t.Errorf("took %v", d)
	}
}

// TestRecorderThatEndedWhileNobodyWatchedIsFollowedAndTheHoleIsSaid: Asterisk's
// events were away, and with them whoever ended the recorder.
func TestRecorderThatEndedWhileNobodyWatchedIsFollowedAndTheHoleIsSaid(t *testing.T) {
	r := newRig(t)
	u := r.live("Ab")
	gone := r.now
	r.step(Blind{})
	r.now = r.now.Add(20 * time.Second)
	r.all = append(r.all, r.m.Reconcile(r.now, nil, []Channel{{ID: "a"}, {ID: "b"}}, map[string]int64{u: 1000})...)
	next := one[Start](t, r.pass(2*time.Second)).Row
	if next.Follows != u {
		t.Errorf("it follows %q, not %s", next.Follows, u)
	}
	r.step(Started{UUID: next.UUID, MixMonitorID: "0x2", At: r.now})
	r.step(Grew{next.UUID})
	if n, ok := r.lateNote(); !ok || !n.Since.Equal(gone) || n.Cause == "" || r.last(next.UUID).Detail == "" {
		t.Errorf("%+v", n)
	}
}
