package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"callrecordd/internal/cdr"
)

// Checkpoint returns how far a journal is consumed, position 0 if it is new.
func (s *Store) Checkpoint(ctx context.Context, journal int64) (cdr.Checkpoint, error) {
	c := cdr.Checkpoint{Journal: journal}
	err := s.read(ctx, func(q querier) error {
		return q.QueryRowContext(ctx, "SELECT position, mark FROM checkpoints WHERE journal = ?", journal).Scan(&c.Position, &c.Mark)
	})
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return c, fmt.Errorf("read checkpoint of journal %d: %w", journal, err)
	}
	return c, nil
}

// newestCheckpoint selects the one that was saved last.
const newestCheckpoint = "SELECT journal, position, mark FROM checkpoints ORDER BY seq DESC, updated_at DESC, journal DESC LIMIT 1"

// LoadCheckpoint returns the checkpoint that was saved last, of whichever
// journal, or the zero Checkpoint if there is none. It implements cdr.Store.
func (s *Store) LoadCheckpoint(ctx context.Context) (cdr.Checkpoint, error) {
	var c cdr.Checkpoint
	err := s.read(ctx, func(q querier) error {
		return q.QueryRowContext(ctx, newestCheckpoint).Scan(&c.Journal, &c.Position, &c.Mark)
	})
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return c, fmt.Errorf("read checkpoint: %w", err)
	}
	return c, nil
}

// saveCheckpoint takes the follower's position as it is. It moves back after a
// journal has lost its newest rows: to keep the higher position would pass over
// the rows that get those ids anew (cdr.GapRowsVanished). The zero one means
// none, as with CDRs that the live model made.
func (t *Tx) saveCheckpoint(c cdr.Checkpoint) error {
	if c == (cdr.Checkpoint{}) {
		return nil
	}
	// Which is the last one is not told by the clock, which may be set back.
	return t.exec(`INSERT INTO checkpoints (journal, position, updated_at, mark, seq)
		SELECT ?, ?, ?, ?, coalesce(max(seq), 0) + 1 FROM checkpoints WHERE true ON CONFLICT DO UPDATE
		SET position = excluded.position, updated_at = excluded.updated_at, mark = excluded.mark, seq = excluded.seq`,
		c.Journal, c.Position, micros(t.now), c.Mark)
}
