package cdr

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

type fataler interface {
	Helper()
	Fatal(args ...any)
}

func follower(t fataler, path string, store Store, change ...func(*FollowerConfig)) *Follower {
	t.Helper()
	cfg := FollowerConfig{Path: path, Store: store, Lookup: func() Lookup { return office{} }}
	for _, c := range change {
		c(&cfg)
	}
	f, err := NewFollower(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// drain steps until there is nothing more to do.
func drain(t fataler, f *Follower) {
	t.Helper()
	for {
		more, err := f.step(context.Background())
		f.report(err, "")
		if err != nil {
			t.Fatal(err)
		}
		if !more {
			return
		}
	}
}

// traffic interleaves calls of those shapes, as several calls at a time do.
func traffic(t testing.TB, names []string, order func(n int) int) []celRow {
	var calls [][]celRow
	for i, name := range names {
		var rows []celRow
		for _, row := range loadShape(t, name) {
			rows = append(rows, row.renumbered("-"+string(rune('a'+i))))
		}
		calls = append(calls, rows)
	}
	var mixed []celRow
	for len(calls) > 0 {
		i := order(len(calls))
		mixed = append(mixed, calls[i][0])
		if calls[i] = calls[i][1:]; len(calls[i]) == 0 {
			calls = append(calls[:i], calls[i+1:]...)
		}
	}
	return mixed
}

// TestSplitsAndRestarts: however the rows arrive, in whatever batches they are
// read, and wherever the daemon dies, the same CDRs are there, one each.
func TestSplitsAndRestarts(t *testing.T) {
	dir := t.TempDir()
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		// One seed instead of a draw for each row: hundreds of draws shrink badly.
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "order"), 0))
		names := shapeNames(t)
		random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		names = names[:6]
		rows := traffic(t, names, random.IntN)
		name := filepath.Join(dir, jsonNumber(int64(run)))
		journal := newPen(t, name, 42)
		defer func() { _ = journal.db.Close() }()
		journal.exec("PRAGMA synchronous=OFF")

		store := newMemoryStore()
		f := follower(rt, name, store, func(c *FollowerConfig) { c.BatchRows = rapid.IntRange(1, 60).Draw(rt, "batch") })
		for rest := rows; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(rt, "rows")
			journal.write(rest[:n]...)
			rest = rest[n:]
			drain(rt, f)
			if rapid.Bool().Draw(rt, "restart") {
				f.closeJournal()
				f = follower(rt, name, store, func(c *FollowerConfig) { c.BatchRows = rapid.IntRange(1, 60).Draw(rt, "batch") })
			}
		}
		drain(rt, f)
		defer f.closeJournal()

		reference := newMemoryStore()
		g := follower(rt, name, reference, func(c *FollowerConfig) { c.BatchRows = 10_000 })
		drain(rt, g)
		defer g.closeJournal()
		if got, want := store.all(), reference.all(); !reflect.DeepEqual(got, want) {
			rt.Fatalf("got %d cdrs\n%+v\nwant %d\n%+v", len(got), got, len(want), want)
		}
		want := len(names)
		if slices.Contains(names, "snoop") {
			want--
		}
		if len(store.all()) != want {
			rt.Fatalf("%d cdrs, want %d", len(store.all()), want)
		}
		if f.State().OpenCalls != 0 {
			rt.Fatalf("%d calls left open", f.State().OpenCalls)
		}
	})
}

func TestLateRowDerivesTheCallAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.db")
	journal, store := newPen(t, path, 1), newMemoryStore()
	rows := loadShape(t, "internal_answered")
	late := len(rows) - 4 // a row before the end
	journal.write(append(append([]celRow{}, rows[:late]...), rows[late+1:]...)...)
	f := follower(t, path, store, func(c *FollowerConfig) { c.BatchRows = 5 })
	defer f.closeJournal()
	drain(t, f)
	before := store.all()
	journal.write(rows[late])
	drain(t, f)
	after := store.all()
	if len(before) != 1 || len(after) != 1 {
		t.Fatalf("%d, then %d cdrs", len(before), len(after))
	}
	if after[0].Journal.First != 1 || after[0].Journal.Last != int64(len(rows)) {
		t.Errorf("range %+v", after[0].Journal)
	}
	if brief(after[0]) != brief(before[0]) {
		t.Errorf("got\n%s\nwant\n%s", brief(after[0]), brief(before[0]))
	}
}

func TestRestartOfAsteriskEndsOpenCalls(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.db")
	journal, store := newPen(t, path, 1), newMemoryStore()
	rows := loadShape(t, "internal_answered")
	journal.write(rows[:7]...) // both are talking
	f := follower(t, path, store)
	defer f.closeJournal()
	drain(t, f)
	if n := len(store.all()); n != 0 || f.State().OpenCalls != 1 {
		t.Fatalf("%d cdrs, %+v", n, f.State())
	}
	last := parseAll(t, rows[:7])[6].At
	f.Restarted(last.Add(-time.Hour)) // an older start ends nothing
	drain(t, f)
	if len(store.all()) != 0 {
		t.Fatal("ended by an older start")
	}
	f.Restarted(last.Add(time.Second))
	drain(t, f)
	all := store.all()
	if len(all) != 1 || !all[0].End.Equal(last) || all[0].CallStatus != StatusAnswered || f.State().OpenCalls != 0 {
		t.Fatalf("%+v", all)
	}
}

// TestClockSetBack: a start of Asterisk that is later than now ends no call, and
// says nothing about who wrote a row; neither does one that has been dealt with
// end calls that began before it by a clock that was then set back.
func TestClockSetBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.db")
	journal, store := newPen(t, path, 1), newMemoryStore()
	rows := loadShape(t, "internal_answered")
	journal.write(rows[:7]...) // both are talking
	now := parseAll(t, rows)[6].At.Add(time.Second)
	f := follower(t, path, store, func(c *FollowerConfig) { c.Now = func() time.Time { return now } })
	defer f.closeJournal()
	f.Restarted(now.Add(-2 * time.Hour))
	drain(t, f)
	f.Restarted(now.Add(time.Hour))
	drain(t, f)
	if len(store.all()) != 0 || f.State().OpenCalls != 1 {
		t.Fatalf("a start in the future has ended the call: %+v", f.State())
	}
	journal.write(rows[7:]...)
	drain(t, f)
	if all := store.all(); len(all) != 1 || !all[0].Journal.Boot.IsZero() {
		t.Fatalf("%+v", all)
	}

	f.Restarted(now) // the clock is right again
	drain(t, f)
	for _, row := range rows[:7] {
		journal.write(row.renumbered("-later"))
	}
	drain(t, f)
	if n := f.State().OpenCalls; n != 1 {
		t.Errorf("%d open calls: the call began after that start was dealt with", n)
	}
}

// TestLinkedIDEndInMidCall: the retriever of a parked call moves to the parked
// one's linkedid, which ends his own while both are about to talk.
func TestLinkedIDEndInMidCall(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.db")
	journal, store := newPen(t, path, 1), newMemoryStore()
	rows := loadRows(t, filepath.Join(filepath.Dir(recordedCalls), "park.cel.jsonl"))
	middle := slices.IndexFunc(rows, func(r celRow) bool { return r["eventtype"] == eventLinkedIDEnd }) + 1
	f := follower(t, path, store)
	defer f.closeJournal()
	for i, row := range rows {
		journal.write(row)
		drain(t, f)
		if n := len(store.all()); n != 0 && i < len(rows)-1 {
			t.Fatalf("%d CDRs after row %d, the linkedid ended with row %d of %d", n, i+1, middle, len(rows))
		}
	}
	if all := store.all(); len(all) != 1 || len(all[0].LinkedIDs) != 2 || middle >= len(rows) {
		t.Errorf("%d CDRs, the linkedid ended with row %d of %d", len(all), middle, len(rows))
	}
}

// TestIDsThatComeBackAreAnotherCall: after a restart within a second Asterisk
// uses the same uniqueids (asterisk-facts 5).
func TestIDsThatComeBackAreAnotherCall(t *testing.T) {
	b := newBook()
	at := time.Unix(1700000000, 0)
	row := Row{ID: 1, Type: eventChanStart, At: at, UniqueID: "1.0", LinkedID: "1.0", Channel: "PJSIP/alice-00000000"}
	b.add(0, row)
	b.addBoot(at.Add(time.Second))
	row.ID, row.At = 2, at.Add(2*time.Second)
	b.add(0, row)
	if done := b.finished(); len(b.groups) != 2 || len(done) != 1 || done[0].first().id != 1 {
		t.Errorf("%d calls, %d finished", len(b.groups), len(done))
	}
}

func TestGaps(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.db")
	store := newMemoryStore()
	var gaps []GapReason
	f := follower(t, path, store, func(c *FollowerConfig) {
		c.OnGap = func(g Gap) { gaps = append(gaps, g.Reason) }
	})
	defer f.closeJournal()
	detail := ""
	step := func() error {
		for {
			more, err := f.step(t.Context())
			detail = f.report(err, detail)
			if !more || err != nil {
				return err
			}
		}
	}
	if err := step(); err == nil || !strings.HasPrefix(f.State().Detail, "cel_sqlite3_custom is not loaded") || f.State().Ready {
		t.Fatalf("missing: %v, %+v", err, f.State())
	}
	_ = step() // the same gap is declared once
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Fatal("the journal was created")
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := step(); err == nil || !strings.Contains(err.Error(), "has no table cel") {
		t.Fatalf("empty: %v", err)
	}
	journal := newPen(t, path, 1)
	journal.write(loadShape(t, "internal_answered")...)
	if err := step(); err != nil || !f.State().Ready || len(store.all()) != 1 {
		t.Fatalf("created: %v, %+v", err, f.State())
	}
	journal.exec("DELETE FROM cel WHERE AcctId > 3")
	if err := step(); err != nil {
		t.Fatal(err)
	}
	other := newPen(t, path+".new", 2)
	other.write(loadShape(t, "busy")[0].renumbered("9"))
	other.exec("PRAGMA wal_checkpoint(TRUNCATE)")
	for _, file := range []string{path, path + "-wal", path + "-shm"} {
		_ = os.Remove(file)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	if err := step(); err != nil {
		t.Fatal(err)
	}
	want := []GapReason{GapMissing, GapNoTable, GapRowsVanished, GapOtherJournal}
	if !reflect.DeepEqual(gaps, want) || store.at.Journal != 2 {
		t.Errorf("gaps %v, checkpoint %+v", gaps, store.at)
	}
}

func TestGapWhileTheDaemonWasDown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.db")
	newPen(t, path, 2).write(loadShape(t, "busy")...)
	store := newMemoryStore()
	store.at = Checkpoint{Journal: 1, Position: 500}
	f := follower(t, path, store)
	defer f.closeJournal()
	drain(t, f)
	if f.State().Gaps != 1 || len(store.all()) != 1 || store.at.Journal != 2 {
		t.Errorf("%+v, checkpoint %+v", f.State(), store.at)
	}
}

func TestFailingStoreLosesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.db")
	newPen(t, path, 1).write(loadShape(t, "internal_answered")...)
	store := newMemoryStore()
	store.fail = 2
	f := follower(t, path, store)
	defer f.closeJournal()
	for range 2 {
		if _, err := f.step(t.Context()); err == nil {
			t.Fatal("no error")
		}
	}
	drain(t, f)
	if len(store.all()) != 1 || f.State().RowsRead > 20 {
		t.Errorf("%d cdrs, %+v", len(store.all()), f.State())
	}
}

func TestSkippedRowsAreCounted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.db")
	journal, store := newPen(t, path, 1), newMemoryStore()
	journal.exec("INSERT INTO cel (eventtype, eventtime) VALUES (NULL, x'00ff'), ('ANSWER', 5.5)")
	journal.write(celRow{"eventtype": "OTHER", "eventtime": "1700000000.0", "linkedid": "1", "uniqueid": "1", "channame": "x"})
	journal.write(loadShape(t, "busy")...)
	f := follower(t, path, store)
	defer f.closeJournal()
	drain(t, f)
	if s := f.State(); s.Malformed != 2 || s.Unknown != 1 || len(store.all()) != 1 || !s.Ready {
		t.Errorf("%+v", s)
	}
}

type liveChannels map[string]struct{}

func (l liveChannels) Channels() (map[string]struct{}, time.Time, bool) {
	return l, time.Unix(1700001000, 0), true
}

func TestLiveModelEndsCallsNobodyHas(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.db")
	journal, store := newPen(t, path, 1), newMemoryStore()
	journal.write(loadShape(t, "internal_answered")[:7]...)
	now, alive := time.Unix(1700001000, 0), liveChannels{"1700000000.1": {}}
	f := follower(t, path, store, func(c *FollowerConfig) {
		c.Live, c.Now = alive, func() time.Time { return now }
	})
	defer f.closeJournal()
	drain(t, f)
	if len(store.all()) != 0 {
		t.Fatal("ended although a channel is alive")
	}
	delete(alive, "1700000000.1")
	now = now.Add(sweepEvery)
	drain(t, f)
	if len(store.all()) != 1 {
		t.Fatal("not ended")
	}
}

func TestPositionIsSavedWithoutCDRs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.db")
	journal, store := newPen(t, path, 1), newMemoryStore()
	for range 2 * checkpointEvery / 3 {
		journal.write(loadShape(t, "snoop")...)
	}
	f := follower(t, path, store)
	defer f.closeJournal()
	drain(t, f)
	if store.at.Position < checkpointEvery || len(store.all()) != 0 {
		t.Errorf("%+v", store.at)
	}
}

func TestRunFollowsUntilCancelled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.db")
	journal, store := newPen(t, path, 1), newMemoryStore()
	f := follower(t, path, store, func(c *FollowerConfig) { c.Poll = time.Millisecond })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	journal.write(loadShape(t, "busy")...)
	<-store.saved
	journal.write(loadShape(t, "internal_answered")[0].renumbered("9"))
	f.Restarted(time.Unix(1700009000, 0))
	<-store.saved
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if len(store.all()) != 2 {
		t.Errorf("%d cdrs", len(store.all()))
	}
}

func TestNewFollowerWantsItsParts(t *testing.T) {
	if _, err := NewFollower(FollowerConfig{Path: "x"}); err == nil {
		t.Error("accepted")
	}
}
