package cdr

import (
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// TestOldRowsArePruned: what is consumed and older than Keep goes, in batches;
// rows of open calls, newer ones and the newest stay.
func TestOldRowsArePruned(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.db")
	journal, store := newPen(t, path, 1), newMemoryStore()
	written := parseAll(t, loadShape(t, "busy"))[0].At
	now := written.Add(48 * time.Hour)
	rows := func() (n int) {
		t.Helper()
		if err := journal.db.QueryRow("SELECT count(*) FROM cel").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	at := func(row celRow, at time.Time) celRow {
		row = row.renumbered("-" + strconv.FormatInt(at.Unix(), 10))
		row["eventtime"] = strconv.FormatInt(at.Unix(), 10) + ".5"
		return row
	}

	old := 0
	for old <= pruneRows {
		suffix := "-" + strconv.Itoa(old)
		for _, row := range loadShape(t, "busy") {
			journal.write(row.renumbered(suffix))
			old++
		}
	}
	journal.exec("INSERT INTO cel (eventtype, eventtime) VALUES ('ANSWER', NULL)") // goes with its neighbours
	journal.write(at(loadShape(t, "busy")[0], written))                            // old, but its call is still open
	recent := loadShape(t, "internal_answered")
	for _, row := range recent {
		journal.write(at(row, now.Add(-time.Hour)))
	}
	f := follower(t, path, store, func(c *FollowerConfig) { c.Keep, c.Now = 24*time.Hour, func() time.Time { return now } })
	defer f.closeJournal()
	drain(t, f)
	if n := rows(); n != old+2+len(recent)-pruneRows {
		t.Errorf("%d rows after the first batch of %d", n, old)
	}
	drain(t, f)
	if n := rows(); n != 2+len(recent) {
		t.Errorf("%d rows after the second batch, want the open call's and all behind it", n)
	}
	saved := len(store.all())

	// The open call ends; but for the newest row, everything is old by now.
	f.Restarted(written.Add(time.Hour))
	now = now.Add(48 * time.Hour)
	drain(t, f)
	drain(t, f)
	if n := rows(); n != 1 || len(store.all()) != saved+1 || f.State().Gaps != 0 {
		t.Errorf("%d rows, %d CDRs, before %d, %+v", n, len(store.all()), saved, f.State())
	}
	if s := f.State(); s.Pruned != int64(old+1+len(recent)) || s.Detail != "read to row "+strconv.FormatInt(s.Position, 10)+", 0 behind" {
		t.Errorf("%+v", s)
	}
}

func TestNothingIsPrunedUnlessAskedFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.db")
	newPen(t, path, 1).write(loadShape(t, "busy")...)
	f := follower(t, path, newMemoryStore())
	defer f.closeJournal()
	drain(t, f)
	if s := f.State(); s.Pruned != 0 {
		t.Errorf("%+v", s)
	}
}
