package app

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"callrecordd/config"
	"callrecordd/dialplan"
	"callrecordd/internal/call"
	"callrecordd/internal/cdr"
	"callrecordd/internal/directory"
	"callrecordd/store"
)

// The net works when it was not told in time, although all events were seen.
func TestCallsAreNotWatchedWhileTheNetIsNotTold(t *testing.T) {
	begin := time.Unix(1_800_000_000, 0)
	at := func(s int) time.Time { return begin.Add(time.Duration(s) * time.Second) }
	var a App
	a.watch.begin(at(-1))
	if a.watched(at(0), at(1)) {
		t.Error("nobody has told the net")
	}
	for _, s := range []int{0, 5, 10, 15} {
		a.told.at(at(s))
	}
	if !a.watched(at(2), at(19)) || a.watched(at(-1), at(19)) {
		t.Error("told from 0 to 15")
	}
	if a.watched(at(2), at(26)) {
		t.Error("the last word is too old")
	}
	a.told.at(at(40)) // the manager was away
	if a.watched(at(30), at(41)) || a.watched(at(2), at(41)) || !a.watched(at(41), at(43)) {
		t.Error("told again since 40")
	}
	a.watch.end()
	if a.watched(at(41), at(43)) {
		t.Error("no events")
	}
}

// netRig is a daemon without Asterisk whose follower saves a call.
type netRig struct {
	*testing.T
	app   *App
	calls missedCalls
	file  string // of the net, for the call
	call  cdr.CDR
	clock *atomic.Int64 // seconds; the reducer reads it as well
}

func newNetRig(t *testing.T, answered bool, content int) *netRig {
	t.Helper()
	r := &netRig{T: t, clock: new(atomic.Int64)}
	r.clock.Store(1_800_000_000)
	now := func() time.Time { return time.Unix(r.clock.Load(), 0) }
	log := slog.New(slog.DiscardHandler)
	st, err := store.Open(t.Context(), store.Options{Path: filepath.Join(t.TempDir(), "db"), Now: now, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	dir, err := directory.New(t.Context(), directory.Options{Repo: st, Now: now, NewUUID: uuid.NewString})
	if err != nil {
		t.Fatal(err)
	}
	var cfg config.Config
	cfg.Recordings.Root = t.TempDir()
	r.app = &App{opt: Options{Config: cfg, Now: now}, log: log, store: st, directory: dir, disk: newDisk()}
	r.app.reducer = newReducer(reducer{now: now, log: log, model: call.New(call.Config{})})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = r.app.reducer.run(ctx) })
	t.Cleanup(wg.Wait)
	t.Cleanup(cancel)
	r.calls = missedCalls{st, r.app, new(patience), new(pastBooks)}
	master := dir.Book().Master().UUID
	r.call = cdr.CDR{
		TenantUUID: master, Start: now().Add(-time.Minute), End: now(), CallDirection: cdr.DirectionInternal, CallStatus: cdr.StatusUnknown,
		ConversationID: "1.1", LinkedIDs: []string{"1.1"}, Uniqueids: []string{"1.1", "1.2"}, Source: cdr.SourceJournal,
		DestinationDetails: map[string]any{"type": "unknown"}, Unwatched: true,
	}
	if answered {
		r.call.Answer, r.call.CallStatus = r.call.Start, cdr.StatusAnswered
	}
	r.file = filepath.Join(cfg.Recordings.Root, master, "monitor", dialplan.SafetyUUID("1.1")+".wav")
	if err := os.MkdirAll(filepath.Dir(r.file), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.file, make([]byte, content), 0o600); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *netRig) save() error {
	return r.calls.SaveCDR(r.Context(), []cdr.CDR{r.call}, cdr.Checkpoint{Journal: 1, Position: 1})
}

// row says whether the net's recording has one.
func (r *netRig) row() bool {
	r.Helper()
	_, err := r.app.store.Recording(r.Context(), dialplan.SafetyUUID("1.1"))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		r.Fatal(err)
	}
	return err == nil
}

func (r *netRig) unknown() int {
	r.Helper()
	list, err := r.app.store.Events(r.Context(), store.EventFilter{Kind: "safety_net_unknown", Limit: 10})
	if err != nil {
		r.Fatal(err)
	}
	return len(list)
}

// Who was marked during the call need not be so any more.
func TestNetFileOfATenantWithoutMarkedUsersIsTakenOver(t *testing.T) {
	r := newNetRig(t, true, 1000)
	if err := r.save(); err != nil || !r.row() {
		t.Error(err, "row:", r.row())
	}
}

func TestNetFileOfACallThatNobodyAnswered(t *testing.T) {
	r := newNetRig(t, false, emptyWAV)
	if err := r.save(); err != nil || r.row() {
		t.Error(err, "row:", r.row())
	}
	if _, err := os.Stat(r.file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file without audio stays: %v", err)
	}
	r = newNetRig(t, false, 1000) // whatever the journal lacks: there is audio
	if err := r.save(); err != nil || !r.row() {
		t.Error(err, "row:", r.row())
	}
}

func TestNetFileThatCannotBeLookedAtHoldsUpNoCDR(t *testing.T) {
	r := newNetRig(t, true, 1000)
	r.app.disk.stat = func(string) (fs.FileInfo, error) { return nil, fs.ErrPermission }
	if err := r.save(); err != nil || r.row() || r.unknown() != 1 {
		t.Error(err, r.row(), r.unknown())
	}
}

func TestNetFilesOnADiskThatHangsAreWaitedForAWhile(t *testing.T) {
	r := newNetRig(t, true, 1000)
	r.app.disk.busy.Store(true)
	for range 3 {
		if err := r.save(); !errors.Is(err, errDiskHangs) {
			t.Fatal(err)
		}
		r.clock.Add(int64(hangTime.Seconds()) / 3)
	}
	if r.unknown() != 0 {
		t.Error("told too early")
	}
	if err := r.save(); err != nil || r.unknown() != 1 {
		t.Error(err, r.unknown())
	}
	r.app.disk.busy.Store(false)
	r.call.LinkedIDs, r.call.ConversationID = []string{"2.1"}, "2.1"
	if err := r.save(); err != nil || !r.row() || r.calls.patience.since != (time.Time{}) {
		t.Error(err, r.row(), r.calls.patience)
	}
}
