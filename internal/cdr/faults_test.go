package cdr

import (
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// counting is a store that tells how often each call was stored under which rows.
func gapsOf(change ...func(*FollowerConfig)) (*[]Gap, func(*FollowerConfig)) {
	gaps := &[]Gap{}
	return gaps, func(c *FollowerConfig) {
		c.OnGap = func(g Gap) { *gaps = append(*gaps, g) }
		for _, f := range change {
			f(c)
		}
	}
}

func reasons(gaps []Gap) []GapReason {
	var out []GapReason
	for _, g := range gaps {
		out = append(out, g.Reason)
	}
	return out
}

// TestEmptiedJournalWhoseIDsComeBackHidesNoCall: all rows were removed and as
// many new ones written between two looks, so its largest id says nothing. Also
// while the daemon was down.
func TestEmptiedJournalWhoseIDsComeBackHidesNoCall(t *testing.T) {
	for _, down := range []bool{false, true} {
		t.Run(map[bool]string{false: "between two looks", true: "while the daemon was down"}[down], func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "master.db")
			journal, store := newPen(t, path, 1), newMemoryStore()
			first := loadShape(t, "internal_answered")
			journal.write(first...)
			gaps, note := gapsOf()
			f := follower(t, path, store, note)
			defer func() { f.closeJournal() }()
			drain(t, f)
			if store.at.Mark == "" || len(store.all()) != 1 {
				t.Fatalf("%+v, %d CDRs", store.at, len(store.all()))
			}
			if down {
				f.closeJournal()
				f = follower(t, path, store, note)
			}
			journal.exec("DELETE FROM cel")
			journal.exec("DELETE FROM sqlite_sequence")
			for i := range 3 {
				for _, row := range loadShape(t, "internal_answered") {
					journal.write(row.renumbered(string(rune('5' + i))))
				}
			}
			drain(t, f)
			if got := store.all(); len(got) != 4 {
				t.Errorf("%d CDRs, want 4", len(got))
			}
			if got := reasons(*gaps); !slices.Equal(got, []GapReason{GapRowsVanished}) {
				t.Errorf("gaps %v", got)
			}
		})
	}
}

// TestPrunedJournalIsNoOther: our own deletion of old rows is no gap, nor is a
// position whose row is not there any more.
func TestPrunedJournalIsNoOther(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.db")
	journal, store := newPen(t, path, 1), newMemoryStore()
	journal.write(loadShape(t, "internal_answered")...)
	gaps, note := gapsOf()
	f := follower(t, path, store, note)
	defer f.closeJournal()
	drain(t, f)
	for _, row := range loadShape(t, "internal_answered") {
		journal.write(row.renumbered("7"))
	}
	journal.exec("DELETE FROM cel WHERE AcctId <= ?", store.at.Position)
	drain(t, f)
	if len(store.all()) != 2 || len(*gaps) != 0 {
		t.Errorf("%d CDRs, gaps %v", len(store.all()), reasons(*gaps))
	}
}

// TestDeletedJournalThatIsMadeAnewIsFollowed: a call that began in the old one is
// one call, and the next one is there.
func TestDeletedJournalThatIsMadeAnewIsFollowed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.db")
	journal, store := newPen(t, path, 1), newMemoryStore()
	rows := loadShape(t, "internal_answered")
	journal.write(rows[:5]...)
	gaps, note := gapsOf()
	f := follower(t, path, store, note)
	defer f.closeJournal()
	drain(t, f)
	for _, file := range []string{path, path + "-wal", path + "-shm"} {
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	if _, err := f.step(t.Context()); err == nil {
		t.Fatal("not noticed")
	} else {
		f.report(err, "")
	}
	again := newPen(t, path, 0) // by Asterisk, which gives it no id
	again.write(rows[5:]...)
	for _, row := range rows {
		again.write(row.renumbered("3"))
	}
	drain(t, f)
	if got := store.all(); len(got) != 2 || got[0].CallStatus != StatusAnswered {
		t.Errorf("%d CDRs, %+v", len(got), got)
	}
	if got := reasons(*gaps); !slices.Equal(got, []GapReason{GapMissing, GapOtherJournal}) {
		t.Errorf("gaps %v", got)
	}
}

// TestReadingAgainDoublesNothing: rows of a call that goes on are read a second
// time when the newest rows of the journal are gone; the CDR is what it would be.
func TestReadingAgainDoublesNothing(t *testing.T) {
	for _, shape := range shapeNames(t) {
		path := filepath.Join(t.TempDir(), "master.db")
		journal, store := newPen(t, path, 1), newMemoryStore()
		rows := loadShape(t, shape)
		half := len(rows) / 2
		journal.write(rows[:half]...)
		f := follower(t, path, store)
		drain(t, f)
		journal.exec("DELETE FROM cel WHERE AcctId = (SELECT max(AcctId) FROM cel)")
		drain(t, f)
		journal.write(rows[half-1:]...)
		drain(t, f)
		f.closeJournal()
		want, ok := Derive(parseAll(t, rows), office{}, nil)
		got := store.all()
		if !ok {
			continue
		}
		if len(got) != 1 || brief(got[0]) != brief(want) {
			t.Errorf("%s: %d CDRs\n%s\nwant\n%s", shape, len(got), brief(got[0]), brief(want))
		}
	}
}

// damage overwrites a part of the journal's file, as a bad disk does.
func damage(t *testing.T, path string, page int64, size int) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	bad := make([]byte, size)
	for i := range bad {
		bad[i] = 0xA5
	}
	if _, err := file.WriteAt(bad, page*4096); err != nil {
		t.Fatal(err)
	}
}

// leaf finds the page of the table that has a row, by its bytes.
func leaf(t *testing.T, path, text string) int64 {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for page := int64(len(data))/4096 - 1; page > 0; page-- {
		if slices.Contains(splitPage(data[page*4096:(page+1)*4096], text), true) {
			return page
		}
	}
	t.Fatalf("no page has %s", text)
	return 0
}

func splitPage(page []byte, text string) []bool {
	for i := 0; i+len(text) <= len(page); i++ {
		if string(page[i:i+len(text)]) == text {
			return []bool{true}
		}
	}
	return nil
}

// TestDamagedPageOfTheJournalStopsNothing: the calls before and behind it have
// their CDR, and the gap is declared once.
func TestDamagedPageOfTheJournalStopsNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.db")
	journal, store := newPen(t, path, 1), newMemoryStore()
	const calls = 60
	for i := range calls {
		for _, row := range loadShape(t, "internal_answered") {
			journal.write(row.renumbered("-call" + jsonNumber(int64(100+i)) + "."))
		}
	}
	journal.exec("PRAGMA wal_checkpoint(TRUNCATE)")
	damage(t, path, leaf(t, path, "-call130."), 4096)
	gaps, note := gapsOf(func(c *FollowerConfig) { c.BatchRows = 50 })
	f := follower(t, path, store, note)
	defer f.closeJournal()
	drain(t, f)
	if got := len(store.all()); got < calls-5 || got > calls {
		t.Errorf("%d of %d calls", got, calls)
	}
	if got := reasons(*gaps); !slices.Equal(got, []GapReason{GapCorrupt}) || !f.State().Ready {
		t.Errorf("gaps %v, %+v", got, f.State())
	}
	for _, row := range loadShape(t, "internal_answered") {
		journal.write(row.renumbered("-after"))
	}
	before := len(store.all())
	drain(t, f)
	if len(store.all()) != before+1 || len(*gaps) != 1 {
		t.Errorf("%d CDRs, then %d; gaps %v", before, len(store.all()), reasons(*gaps))
	}
}

// TestDamagedTailOfTheJournalIsOneGap: nothing behind it can be read, and no row
// can be written there. It is told once, all calls before it have their CDR, and
// a journal in its place is followed.
func TestDamagedTailOfTheJournalIsOneGap(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.db")
	journal, store := newPen(t, path, 1), newMemoryStore()
	for i := range 30 {
		for _, row := range loadShape(t, "internal_answered") {
			journal.write(row.renumbered("-call" + jsonNumber(int64(100+i)) + "."))
		}
	}
	journal.exec("PRAGMA wal_checkpoint(TRUNCATE)")
	damage(t, path, leaf(t, path, "-call129."), 4096)
	gaps, note := gapsOf()
	f := follower(t, path, store, note)
	defer f.closeJournal()
	detail := ""
	for range 20 {
		_, err := f.step(t.Context())
		detail = f.report(err, detail)
	}
	if got := reasons(*gaps); !slices.Equal(got, []GapReason{GapCorrupt}) || f.State().Ready || len(store.all()) < 25 {
		t.Fatalf("gaps %v, %d CDRs, %+v", got, len(store.all()), f.State())
	}
	for _, file := range []string{path, path + "-wal", path + "-shm"} {
		_ = os.Remove(file)
	}
	for _, row := range loadShape(t, "busy") {
		newPenOnce(t, path, 2).write(row)
	}
	before := len(store.all())
	drain(t, f)
	if len(store.all()) != before+1 || !f.State().Ready {
		t.Errorf("%d CDRs, %+v", len(store.all()), f.State())
	}
}

// newPenOnce opens the journal, making it if need be.
func newPenOnce(t *testing.T, path string, id int64) *pen { return newPen(t, path, id) }

// shifted sets the time of rows from one on by so many seconds.
func shifted(t *testing.T, rows []celRow, from int, by time.Duration) []celRow {
	t.Helper()
	out := slices.Clone(rows)
	for i, row := range parseAll(t, rows)[from:] {
		c := celRow{}
		maps.Copy(c, rows[from+i])
		at := row.At.Add(by)
		c["eventtime"] = jsonNumber(at.Unix()) + "." + pad(at.Nanosecond()/1000)
		out[from+i] = c
	}
	return out
}

func pad(micros int) string {
	text := jsonNumber(int64(micros))
	for len(text) < 6 {
		text = "0" + text
	}
	return text
}

// TestClockSetDuringACallDoesNotChangeHowLongItWas: by an hour, back or forward.
// The step back shows in the rows, the step forward somebody must have watched.
func TestClockSetDuringACallDoesNotChangeHowLongItWas(t *testing.T) {
	rows := loadShape(t, "internal_answered")
	plain, _ := Derive(parseAll(t, rows), office{}, nil)
	parsed := parseAll(t, rows)
	middle := slices.IndexFunc(parsed, func(r Row) bool { return r.Type == eventBridgeExit })
	for name, tc := range map[string]struct {
		by      time.Duration
		watched bool
	}{
		"back, watched": {-time.Hour, true}, "back, unseen": {-time.Hour, false}, "forward, watched": {time.Hour, true},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "master.db")
			journal, store := newPen(t, path, 1), newMemoryStore()
			f := follower(t, path, store)
			defer f.closeJournal()
			if tc.watched {
				f.ClockJumped(Jump{From: parsed[middle-1].At.Add(10 * time.Millisecond), By: tc.by})
			}
			journal.write(shifted(t, rows, middle, tc.by)...)
			drain(t, f)
			got := store.all()
			if len(got) != 1 {
				t.Fatalf("%d CDRs", len(got))
			}
			talked, want := got[0].End.Sub(got[0].Answer), plain.End.Sub(plain.Answer)
			between := parsed[middle].At.Sub(parsed[middle-1].At)
			if !got[0].Start.Equal(plain.Start) || talked > want+time.Second || talked < want-between-time.Second {
				t.Errorf("%v long, want %v", talked, want)
			}
		})
	}
}

// TestClockSetBackSplitsNoCall: the time of Asterisk's start is crossed a second
// time, by a call of the same Asterisk.
func TestClockSetBackSplitsNoCall(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.db")
	journal, store := newPen(t, path, 1), newMemoryStore()
	rows := loadShape(t, "internal_answered")
	parsed := parseAll(t, rows)
	begun := parsed[0].At
	now := begun.Add(2 * time.Hour)
	f := follower(t, path, store, func(c *FollowerConfig) { c.Now = func() time.Time { return now } })
	defer f.closeJournal()
	boot := begun.Add(parsed[len(parsed)-1].At.Sub(begun) / 2) // in the middle of the call to come
	f.Restarted(boot)
	var early []celRow
	for _, row := range shifted(t, rows, 0, time.Hour) { // before the clock is set back
		early = append(early, row.renumbered("-early"))
	}
	journal.write(early...)
	drain(t, f)
	for _, row := range rows {
		journal.write(row)
		drain(t, f)
	}
	got := store.all()
	if len(got) != 2 {
		t.Fatalf("%d CDRs: %+v", len(got), got)
	}
	for _, c := range got {
		if !c.Journal.Boot.Equal(boot) {
			t.Errorf("call %s is of boot %v, want %v", c.ConversationID, c.Journal.Boot, boot)
		}
	}
}

// TestPowerCutLosesTheJournalsTailAndNoLaterCall: the journal's disk had not its
// newest rows, which we had read; their ids come back. Each call whose rows are
// all there has exactly one CDR.
func TestPowerCutLosesTheJournalsTailAndNoLaterCall(t *testing.T) {
	dir := t.TempDir()
	for run := range 8 {
		random := rand.New(rand.NewPCG(uint64(run), 3))
		path := filepath.Join(dir, jsonNumber(int64(run)))
		journal, store := newPen(t, path, 42), newMemoryStore()
		before := traffic(t, shapeNames(t)[:5], random.IntN)
		journal.write(before...)
		f := follower(t, path, store, func(c *FollowerConfig) { c.BatchRows = 7 })
		drain(t, f)
		f.closeJournal()
		kept := random.IntN(len(before))
		journal.exec("DELETE FROM cel WHERE AcctId > ?", kept)
		journal.exec("UPDATE sqlite_sequence SET seq = ?", kept)
		var later []celRow
		for i := range 1 + random.IntN(4) {
			for _, row := range loadShape(t, "internal_answered") {
				later = append(later, row.renumbered("-later"+jsonNumber(int64(i))))
			}
		}
		journal.write(later...)
		f = follower(t, path, store, func(c *FollowerConfig) { c.BatchRows = 7 })
		f.Restarted(time.Unix(1_800_000_000, 0)) // the machine was off
		drain(t, f)
		f.closeJournal()
		seen := map[string]int{}
		for _, c := range store.all() {
			for _, id := range c.LinkedIDs {
				seen[id]++
			}
		}
		for _, row := range slices.Concat(before, later) {
			if row["linkedid"] == row["uniqueid"] && seen[row["linkedid"]] > 1 {
				t.Errorf("run %d: call %s has %d CDRs", run, row["linkedid"], seen[row["linkedid"]])
			}
		}
		for _, row := range later {
			if seen[row["linkedid"]] != 1 {
				t.Fatalf("run %d: %d rows kept of %d: call %s has %d CDRs", run, kept, len(before), row["linkedid"], seen[row["linkedid"]])
			}
		}
	}
}
