package cdr

import (
	"context"
	"fmt"
	"time"
)

// Ahead is what a journal has that a checkpoint does not cover.
type Ahead struct {
	// Other says that the checkpoint is of another journal, so nothing of this one
	// is covered.
	Other       bool
	Rows        int64
	First, Last time.Time // of them; zero without rows
	// Lost is how many rows behind the checkpoint were deleted: calls in them cannot
	// be derived any more.
	Lost int64
	// Short is how many rows the checkpoint covers that the journal never had: it
	// was set back or begun anew.
	Short int64
}

// LookAhead reads it. The journal may be in use.
func LookAhead(ctx context.Context, path string, after Checkpoint) (a Ahead, err error) {
	j, err := openJournal(ctx, path)
	if err != nil {
		return a, err
	}
	defer func() { _ = j.close() }() // only read
	position := after.Position
	if a.Other = j.id != after.Journal; a.Other {
		position = 0
	}
	var first, last int64
	err = j.conn.QueryRowContext(ctx, `SELECT coalesce(min(AcctId), 0), coalesce(max(AcctId), 0),
		(SELECT count(*) FROM cel WHERE AcctId > ?) FROM cel`, position).Scan(&first, &last, &a.Rows)
	if err != nil {
		return a, fmt.Errorf("read journal: %w", err)
	}
	if !a.Other {
		a.Lost, a.Short = max(0, first-position-1), max(0, position-last)
	}
	if a.Rows == 0 {
		return a, nil
	}
	for order, to := range map[string]*time.Time{"ASC": &a.First, "DESC": &a.Last} {
		rows, err := j.query(ctx, "WHERE AcctId > ? ORDER BY AcctId "+order+" LIMIT 1", position)
		if err != nil {
			return a, err
		}
		for _, raw := range rows {
			if row, err := ParseRow(raw); err == nil { // one without a time tells none
				*to = row.At
			}
		}
	}
	return a, nil
}
