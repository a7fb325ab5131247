package cdr

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

const (
	// pruneRows bounds one deletion, during which Asterisk cannot write
	// (asterisk-facts 4).
	pruneRows  = 500
	pruneEvery = time.Minute // how often old rows are looked for
)

// SetKeep changes FollowerConfig.Keep. It may be called at any time.
func (f *Follower) SetKeep(keep time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cfg.Keep = keep
}

// prune deletes one batch of the rows that are consumed and older than Keep. It
// waits its turn: nothing is deleted while there is something to read. A
// failure costs disk space only, so it is logged and tried again later.
func (f *Follower) prune(ctx context.Context) {
	now := f.cfg.Now()
	f.mu.Lock()
	keep := f.cfg.Keep
	f.mu.Unlock()
	if keep <= 0 || f.behind || now.Sub(f.pruned).Abs() < pruneEvery || f.saved.Journal != f.ids[f.epoch()] {
		return
	}
	n, err := f.journal.prune(ctx, f.saved.Position, now.Add(-keep))
	if err != nil && ctx.Err() == nil {
		f.cfg.Logger.Warn("old journal rows are not deleted", "error", err)
	}
	if n < pruneRows {
		f.pruned = now
	}
	f.mu.Lock()
	f.state.Pruned += int64(n)
	f.mu.Unlock()
}

// prune deletes at most pruneRows of the oldest rows that are older than before
// and not above position, and never the newest row: without AUTOINCREMENT its
// id would come back. Rows without a readable time go with the next older one
// that has one.
func (j *journal) prune(ctx context.Context, position int64, before time.Time) (n int, err error) {
	upTo, err := j.lastBefore(ctx, position, before)
	if err != nil || upTo == 0 {
		return 0, err
	}
	// The pinned connection is read only.
	conn, err := j.db.Conn(ctx)
	if err != nil {
		return 0, fmt.Errorf("open journal to prune it: %w", err)
	}
	defer func() { _ = conn.Close() }() // back to the pool
	// No fsync at each commit: rows that come back after a power cut are deleted again.
	if _, err := conn.ExecContext(ctx, "PRAGMA synchronous=NORMAL"); err != nil {
		return 0, fmt.Errorf("prepare to prune journal: %w", err)
	}
	done, err := conn.ExecContext(ctx, `DELETE FROM cel WHERE AcctId IN (SELECT AcctId FROM cel
		WHERE AcctId <= ? AND AcctId < (SELECT max(AcctId) FROM cel) ORDER BY AcctId LIMIT ?)`, upTo, pruneRows)
	if err != nil {
		return 0, fmt.Errorf("prune journal up to row %d: %w", upTo, err)
	}
	gone, err := done.RowsAffected()
	return int(gone), err
}

// lastBefore returns the largest AcctId among the oldest rows, of those that
// may go, whose time is before the given one; 0 if there is none. It reads no
// more rows than it must to find one with a time.
func (j *journal) lastBefore(ctx context.Context, position int64, before time.Time) (id int64, err error) {
	rows, err := j.conn.QueryContext(ctx, "SELECT AcctId, eventtime FROM cel WHERE AcctId <= ? ORDER BY AcctId", position)
	if err != nil {
		return 0, fmt.Errorf("look for old journal rows: %w", err)
	}
	defer rows.Close()
	for n := 1; rows.Next() && (n <= pruneRows || id == 0); n++ {
		var at sql.NullString
		var row int64
		if err := rows.Scan(&row, &at); err != nil {
			return 0, fmt.Errorf("look for old journal rows: %w", err)
		}
		switch written, err := parseEventTime(at.String); {
		case err != nil:
		case written.Before(before):
			id = row
		default:
			return id, nil
		}
	}
	return id, rows.Err()
}
