package cdr

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/mattn/go-sqlite3"
)

// What is done about a journal that is damaged, or that is not what it was
// although it is still the same file.

// corrupt says whether SQLite has found the file damaged.
func corrupt(err error) bool {
	failed, ok := errors.AsType[sqlite3.Error](err)
	return ok && failed.Code == sqlite3.ErrCorrupt
}

// skipped bounds how far behind a damage readable rows are looked for: a page
// of the table holds some tens of rows.
const skipped = 1 << 20

// skipCorrupt goes on behind rows that cannot be read. The gap is declared. If
// nothing can be read any more that is one too, and lasts: new rows may come.
func (f *Follower) skipCorrupt(ctx context.Context, cause error) error {
	bad, good := f.position, int64(0)
	for step := int64(1); step <= skipped; step *= 2 {
		readable, err := f.readable(ctx, f.position+step)
		if err != nil {
			return err
		}
		if readable {
			good = f.position + step
			break
		}
		bad = f.position + step
	}
	if good == 0 {
		return &journalError{GapCorrupt, fmt.Sprintf("journal %s is damaged, nothing behind row %d can be read (%v): "+
			"stop Asterisk, move the file away and run callrecordd setup; until then calls get their CDR from Asterisk's events alone",
			f.cfg.Path, f.position, cause)}
	}
	for good-bad > 1 {
		middle := bad + (good-bad)/2
		readable, err := f.readable(ctx, middle)
		if err != nil {
			return err
		}
		if readable {
			good = middle
		} else {
			bad = middle
		}
	}
	detail := fmt.Sprintf("journal %s is damaged: rows %d to %d cannot be read", f.cfg.Path, f.position+1, good)
	f.declare(GapCorrupt, detail)
	f.cfg.Logger.Warn("journal is read on behind a damage", "detail", detail)
	f.gap = "" // reading goes on: the gap is over
	f.position, f.mark, f.behind, f.force = good, "", true, true
	return nil
}

// readable says whether there is a row behind that position that can be read.
func (f *Follower) readable(ctx context.Context, position int64) (bool, error) {
	raws, err := f.journal.after(ctx, position, 1)
	if err != nil && !corrupt(err) {
		return false, err
	}
	return len(raws) == 1 && err == nil, nil
}

// markOf is the mark of a row.
func markOf(row RawRow) string {
	return fmt.Sprintf("%d %s %s %s", row.ID, row.EventTime, row.UniqueID, row.EventType)
}

// mark returns that of the last row up to a position, empty if there is none.
func (j *journal) mark(ctx context.Context, position int64) (string, error) {
	rows, err := j.query(ctx, "WHERE AcctId <= ? ORDER BY AcctId DESC LIMIT 1", position)
	if err != nil || len(rows) == 0 {
		return "", err
	}
	return markOf(rows[0]), nil
}

// isOther says whether the row of a mark is not what it was. One that is not
// there proves nothing unless an older one is: old rows are deleted.
func (j *journal) isOther(ctx context.Context, mark string) (bool, error) {
	text, _, _ := strings.Cut(mark, " ")
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return false, nil //nolint:nilerr // no mark: nothing can be told
	}
	rows, err := j.query(ctx, "WHERE AcctId <= ? ORDER BY AcctId DESC LIMIT 1", id)
	if corrupt(err) {
		return false, nil
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return false, err
	}
	return len(rows) == 1 && markOf(rows[0]) != mark, nil
}
