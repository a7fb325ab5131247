package cdr

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// ready opens the journal if need be, and if somebody has written makes sure
// that it is still the one the position belongs to. It returns a *journalError
// for a gap that lasts; a gap after which reading goes on is declared here.
func (f *Follower) ready(ctx context.Context) (changed bool, err error) {
	if f.journal != nil {
		err := f.journal.replaced()
		if failed, ok := errors.AsType[*journalError](err); ok && failed.reason == GapReplaced {
			f.closeJournal() // the new file's id and rows decide what it is
		} else if err != nil {
			return false, err
		}
	}
	if f.journal == nil {
		if f.journal, err = openJournal(ctx, f.cfg.Path); err != nil {
			return false, err
		}
	}
	if changed, err = f.journal.changed(ctx); err != nil || !changed {
		return changed, err
	}
	return true, f.resume(ctx)
}

// resume sets the position in a journal that was just opened and recognises
// one that is not what it was (asterisk-facts 4). The rows of calls that are
// still open are kept: their channels may go on in the new journal.
func (f *Follower) resume(ctx context.Context) error {
	id, newest, err := f.journal.position(ctx)
	if err != nil {
		return err
	}
	f.written = newest
	first := len(f.ids) == 0
	if first {
		f.ids = []int64{id}
		if f.saved.Journal == id || f.saved == (Checkpoint{}) {
			f.position, f.mark = f.saved.Position, f.saved.Mark
		}
	}
	other, err := f.journal.isOther(ctx, f.mark)
	if err != nil {
		return err
	}
	switch {
	case first && f.saved != (Checkpoint{}) && f.saved.Journal != id, f.ids[f.epoch()] != id:
		f.startOver(id, GapOtherJournal, fmt.Sprintf(
			"journal %s is another one than before (id %d, was %d): rows written to the old one after row %d are unknown",
			f.cfg.Path, id, f.saved.Journal, max(f.position, f.saved.Position)))
	case newest < f.position:
		f.startOver(id, GapRowsVanished, fmt.Sprintf(
			"journal %s ends with row %d, but row %d had been read: rows have been removed",
			f.cfg.Path, newest, f.position))
	case other:
		f.startOver(id, GapRowsVanished, fmt.Sprintf(
			"journal %s has another row %d than the one that had been read: rows have been removed and their ids are used again",
			f.cfg.Path, f.position))
	}
	return nil
}

// startOver declares the gap and reads the journal from its beginning: a call
// that is derived again is the same CDR.
func (f *Follower) startOver(id int64, reason GapReason, detail string) {
	f.declare(reason, detail)
	f.cfg.Logger.Warn("journal starts over", "reason", string(reason), "detail", detail)
	f.gap = "" // reading goes on: the gap is over
	f.ids = append(f.ids, id)
	f.position, f.mark, f.behind, f.force = 0, "", true, true
}

// read takes over one batch of rows.
func (f *Follower) read(ctx context.Context) error {
	raws, err := f.journal.after(ctx, f.position, f.cfg.BatchRows)
	switch {
	case err == nil:
		f.behind = len(raws) == f.cfg.BatchRows
	case !corrupt(err):
		return err
	case len(raws) == 0:
		return f.skipCorrupt(ctx, err)
	default:
		f.behind = true // those before the damage; it is next
	}
	rows := f.parse(raws)
	earlier, err := f.earlier(ctx, rows)
	if err != nil {
		return err
	}
	for _, row := range earlier {
		f.add(row)
	}
	for _, row := range rows {
		f.book.pass(row.At)
		f.add(row)
	}
	if f.cfg.Witness != nil {
		f.cfg.Witness.Read(rows)
	}
	if len(raws) > 0 {
		last := raws[len(raws)-1]
		f.position, f.mark = last.ID, markOf(last)
	}
	return nil
}

func (f *Follower) add(row Row) {
	f.book.add(f.epoch(), row)
	if row.At.After(f.newest) {
		f.newest = row.At
	}
}

// parse decodes rows and counts those it skips.
func (f *Follower) parse(raws []RawRow) []Row {
	rows := make([]Row, 0, len(raws))
	var malformed, unknown int64
	for _, raw := range raws {
		row, err := ParseRow(raw)
		switch {
		case err == nil:
			rows = append(rows, row)
		case errors.Is(err, ErrUnknownEvent):
			unknown++
		default:
			malformed++
			f.cfg.Logger.Debug("journal row skipped", "error", err)
		}
	}
	f.mu.Lock()
	f.state.RowsRead += int64(len(raws))
	f.state.Malformed += malformed
	f.state.Unknown += unknown
	f.mu.Unlock()
	return rows
}

// earlier returns the rows before the batch that belong to calls of it but are
// not in the book: because the call had been closed and saved (a late row), or
// because it began below the position at which this process began to read.
func (f *Follower) earlier(ctx context.Context, batch []Row) ([]Row, error) {
	found := map[int64]Row{}
	known := map[string]struct{}{}
	want := f.strangers(batch, known)
	for len(want) > 0 && f.position > 0 {
		raws, err := f.journal.about(ctx, max(0, f.position-f.cfg.LateRows), f.position, want)
		if corrupt(err) {
			f.cfg.Logger.Warn("earlier rows of a call cannot be read: the journal is damaged", "error", err)
		} else if err != nil {
			return nil, err
		}
		want = nil
		for _, raw := range raws {
			row, err := ParseRow(raw)
			if err != nil {
				continue // counted when it was read the first time
			}
			found[row.ID] = row
			for _, id := range []string{row.LinkedID, row.UniqueID} {
				if !f.knows(known, id) {
					known[id] = struct{}{}
					want = append(want, id)
				}
			}
		}
	}
	rows := slices.Collect(maps.Values(found))
	slices.SortFunc(rows, func(a, b Row) int { return compareKeys(entryKey{0, a.ID}, entryKey{0, b.ID}) })
	return rows, nil
}

// strangers returns the ids in the batch that must have had rows before it:
// those that do not begin with a CHAN_START of their own. known takes up all
// ids of the batch.
func (f *Follower) strangers(batch []Row, known map[string]struct{}) []string {
	var want []string
	for _, row := range batch {
		begins := row.Type == eventChanStart
		if !f.knows(known, row.LinkedID) && (!begins || row.LinkedID != row.UniqueID) {
			want = append(want, row.LinkedID)
		}
		if !f.knows(known, row.UniqueID) && !begins && row.UniqueID != row.LinkedID {
			want = append(want, row.UniqueID)
		}
		known[row.LinkedID], known[row.UniqueID] = struct{}{}, struct{}{}
	}
	return want
}

func (f *Follower) knows(known map[string]struct{}, id string) bool {
	_, inBatch := known[id]
	return id == "" || inBatch || f.book.byLinked[id] != nil || f.book.byUnique[id] != nil
}

func (f *Follower) closeJournal() {
	if f.journal == nil {
		return
	}
	if err := f.journal.close(); err != nil {
		f.cfg.Logger.Debug("close journal", "error", err)
	}
	f.journal = nil
}
