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
		return q.QueryRowContext(ctx, "SELECT position FROM checkpoints WHERE journal = ?", journal).Scan(&c.Position)
	})
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return c, fmt.Errorf("read checkpoint of journal %d: %w", journal, err)
	}
	return c, nil
}

// newestCheckpoint selects the one that was saved last.
const newestCheckpoint = "SELECT journal, position FROM checkpoints ORDER BY updated_at DESC, journal DESC LIMIT 1"

// LoadCheckpoint returns the checkpoint that was saved last, of whichever
// journal, or the zero Checkpoint if there is none. It implements cdr.Store.
func (s *Store) LoadCheckpoint(ctx context.Context) (cdr.Checkpoint, error) {
	var c cdr.Checkpoint
	err := s.read(ctx, func(q querier) error {
		return q.QueryRowContext(ctx, newestCheckpoint).Scan(&c.Journal, &c.Position)
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
	return t.exec(`INSERT INTO checkpoints VALUES (?, ?, ?) ON CONFLICT DO UPDATE
		SET position = excluded.position, updated_at = excluded.updated_at`,
		c.Journal, c.Position, micros(t.now))
}
