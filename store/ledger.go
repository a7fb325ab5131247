package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"callrecordd/internal/ledger"
	"callrecordd/internal/recorder"
)

// EventLedgerBegun is the event from which on the ledger proves rows. Data is
// LedgerBegun.
const EventLedgerBegun = "ledger.begun"

// LedgerBegun says what there was before: no digest of it is in the ledger.
type LedgerBegun struct {
	LastCDR    int64 `json:"last_cdr"`   // id
	Recordings int64 `json:"recordings"` // that had ended and were not deleted
}

// appendEntry stores an entry behind the last one, which is read anew by each
// transaction and each part of one that can be undone by itself: so a head in
// memory cannot be wrong. Its ID is given to it.
func (t *Tx) appendEntry(e ledger.Entry) error {
	if t.last == nil {
		last, err := t.lastLink()
		if err != nil {
			return fmt.Errorf("read the end of the ledger: %w", err)
		}
		t.last = &last
	}
	next := ledger.Link{ID: t.last.ID + 1}
	e.ID = next.ID
	var hash any // NULL while there are rows of before that have none
	if t.last.Chained {
		var chain ledger.Chainer
		next.Hash, next.Chained = chain.Hash(t.last.Hash, &e), true
		hash = next.Hash[:]
	}
	if err := t.exec("INSERT INTO events (id, at, kind, recording, call, actor, data, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		e.ID, e.At, e.Kind, e.Recording, e.Call, e.Actor, e.Data, hash); err != nil {
		return err
	}
	*t.last = next
	return nil
}

func (t *Tx) lastLink() (ledger.Link, error) {
	st, err := t.prepared("SELECT id, hash FROM events ORDER BY id DESC LIMIT 1")
	if err != nil {
		return ledger.Link{}, err
	}
	l, err := scanLink(st.QueryRowContext(t.ctx))
	if errors.Is(err, sql.ErrNoRows) {
		return ledger.Link{Chained: true}, nil // the first one
	}
	return l, err
}

// scanner is a row of either kind.
type scanner interface{ Scan(to ...any) error }

func scanLink(row scanner) (l ledger.Link, err error) {
	var hash []byte
	if err := row.Scan(&l.ID, &hash); err != nil || hash == nil {
		return l, err
	}
	// One that somebody has spoilt must not keep events from being stored:
	// callrecordd verify finds it.
	copy(l.Hash[:], hash)
	l.Chained = true
	return l, nil
}

const entryColumns = "id, at, kind, recording, call, actor, data"

func scanEntry(r scanner) (e ledger.Entry, err error) {
	err = r.Scan(&e.ID, &e.At, &e.Kind, &e.Recording, &e.Call, &e.Actor, &e.Data)
	return e, err
}

// BeginLedger notes, once in the life of the database, what there is that the
// ledger does not prove. It is for the start, before anything is recorded.
func (s *Store) BeginLedger(ctx context.Context) error {
	var begun bool
	err := s.read(ctx, func(q querier) error {
		return q.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM ledger_begun)").Scan(&begun)
	})
	if err == nil && begun {
		return nil
	}
	if err == nil {
		err = s.Write(ctx, High, (*Tx).beginLedger)
	}
	if err != nil {
		return fmt.Errorf("begin the ledger: %w", err)
	}
	return nil
}

func (t *Tx) beginLedger() error {
	var d LedgerBegun
	if err := errors.Join(
		t.scan(&d.LastCDR, "SELECT coalesce(max(id), 0) FROM cdrs"),
		t.scan(&d.Recordings, "SELECT count(*) FROM recordings WHERE "+finalMedia),
	); err != nil {
		return err
	}
	if err := t.AppendEvents(recorder.Event{Kind: EventLedgerBegun, Actor: "callrecordd", Data: d}); err != nil {
		return err
	}
	return t.exec("INSERT INTO ledger_begun VALUES (1, ?)", t.last.ID)
}

// chainPart is how many rows are read at once to get their hash.
const chainPart = 200

// ChainEvents gives rows of before the ledger their hashes, the oldest first, as
// idle work in short transactions, and returns how many. Once it has returned
// without an error every new event has its hash from the beginning.
func (s *Store) ChainEvents(ctx context.Context) (n int64, err error) {
	after, done, err := s.lastChained(ctx)
	for !done && err == nil {
		var part int64
		err = s.Write(ctx, Idle, func(t *Tx) error {
			part, done = 0, false
			at := after
			for {
				links, err := t.chainSome(at, chainPart)
				if err != nil {
					return err
				}
				part += int64(len(links))
				if len(links) > 0 {
					at = links[len(links)-1].ID
				}
				if done = len(links) < chainPart; done || !t.mayGoOn() {
					after = at
					return nil
				}
			}
		})
		n += part
		if ctx.Err() != nil {
			err = ctx.Err()
		}
	}
	if err != nil {
		return n, fmt.Errorf("chain events of before: %w", err)
	}
	return n, nil
}

// lastChained is the id of the last row with a hash; rows behind it have none.
// done is true if there are no such rows.
func (s *Store) lastChained(ctx context.Context) (id int64, done bool, err error) {
	err = s.read(ctx, func(q querier) error {
		var low, high int64 // the last with a hash is in [low, high)
		if err := q.QueryRowContext(ctx, "SELECT coalesce(max(id), 0) + 1 FROM events").Scan(&high); err != nil {
			return err
		}
		end := high - 1
		for low+1 < high {
			middle := low + (high-low)/2
			var has bool
			// Rows have no gaps, but if one had, what is before it counts.
			err := q.QueryRowContext(ctx, "SELECT hash IS NOT NULL FROM events WHERE id <= ? ORDER BY id DESC LIMIT 1", middle).Scan(&has)
			if err != nil && !errors.Is(err, sql.ErrNoRows) {
				return err
			}
			if has || errors.Is(err, sql.ErrNoRows) {
				low = middle
			} else {
				high = middle
			}
		}
		id, done = low, low == end
		return nil
	})
	return id, done, err
}

func (t *Tx) chainSome(after int64, limit int) ([]ledger.Link, error) {
	st, err := t.prepared("SELECT id, hash FROM events WHERE id <= ? ORDER BY id DESC LIMIT 1")
	if err != nil {
		return nil, err
	}
	last, err := scanLink(st.QueryRowContext(t.ctx, after))
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, err
	}
	before := last.Hash
	entries, err := collect(t.ctx, t.tx, func(r *sql.Rows) (ledger.Entry, error) { return scanEntry(r) },
		"SELECT "+entryColumns+" FROM events WHERE id > ? ORDER BY id LIMIT ?", after, limit)
	if err != nil {
		return nil, err
	}
	var chain ledger.Chainer
	var out []ledger.Link
	for i := range entries {
		before = chain.Hash(before, &entries[i])
		if err := t.exec("UPDATE events SET hash = ? WHERE id = ?", before[:], entries[i].ID); err != nil {
			return nil, err
		}
		out = append(out, ledger.Link{ID: entries[i].ID, Hash: before, Chained: true})
	}
	return out, nil
}

// LedgerLinks returns the hashes of the entries behind one, at most limit.
func (s *Store) LedgerLinks(ctx context.Context, after int64, limit int) (out []ledger.Link, err error) {
	err = s.read(ctx, func(q querier) error {
		out, err = collect(ctx, q, func(r *sql.Rows) (ledger.Link, error) { return scanLink(r) },
			"SELECT id, hash FROM events WHERE id > ? ORDER BY id LIMIT ?", after, limit)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the ledger behind entry %d: %w", after, err)
	}
	for i := range out {
		if !out[i].Chained {
			return out[:i], nil
		}
	}
	return out, nil
}

// LedgerBlocks returns all blocks, in their order.
func (s *Store) LedgerBlocks(ctx context.Context) (out []ledger.Block, err error) {
	err = s.read(ctx, func(q querier) error {
		out, err = collect(ctx, q, func(r *sql.Rows) (b ledger.Block, err error) {
			var no int64
			var hash []byte
			err = r.Scan(&no, &b.LastID, &hash)
			copy(b.Hash[:], hash)
			return b, err
		}, "SELECT no, last_id, hash FROM ledger_blocks ORDER BY no")
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read blocks of the ledger: %w", err)
	}
	return out, nil
}

// SaveLedgerBlocks adds blocks, of which the first has that number.
func (s *Store) SaveLedgerBlocks(ctx context.Context, first int64, blocks []ledger.Block) error {
	err := s.Write(ctx, Idle, func(t *Tx) error {
		for i, b := range blocks {
			if err := t.exec("INSERT INTO ledger_blocks VALUES (?, ?, ?)", first+int64(i), b.LastID, b.Hash[:]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store %d blocks of the ledger: %w", len(blocks), err)
	}
	return nil
}

// SaveLedgerCheckpoint stores a signed checkpoint. It and all that it counts are
// on the disk when it returns.
func (s *Store) SaveLedgerCheckpoint(ctx context.Context, size int64, signed string) error {
	err := s.Write(ctx, High, func(t *Tx) error {
		return t.exec("INSERT INTO ledger_checkpoints VALUES (?, ?)", size, signed)
	})
	if err != nil {
		return fmt.Errorf("store a checkpoint of %d entries: %w", size, err)
	}
	return nil
}

// LastLedgerCheckpoint returns the newest one; its size is 0 if there is none.
func (s *Store) LastLedgerCheckpoint(ctx context.Context) (size int64, signed string, err error) {
	err = s.read(ctx, func(q querier) error {
		return q.QueryRowContext(ctx, "SELECT size, note FROM ledger_checkpoints ORDER BY size DESC LIMIT 1").Scan(&size, &signed)
	})
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, "", fmt.Errorf("read the newest checkpoint: %w", err)
	}
	return size, signed, nil
}

// ledgerFacts are the kinds of the entries that say what a recording's file is.
const ledgerFacts = "('" + EventSettled + "', '" + EventImported + "', '" + EventRestated + "')"

// RecordingEntry returns the newest entry that says what the file of a recording
// is, and the link before it; ok is false if there is none.
func (s *Store) RecordingEntry(ctx context.Context, uuid string) (e ledger.Entry, before ledger.Link, ok bool, err error) {
	err = s.read(ctx, func(q querier) error {
		e, err = scanEntry(q.QueryRowContext(ctx, "SELECT "+entryColumns+` FROM events WHERE recording = ? AND recording <> ''
			AND kind IN `+ledgerFacts+" ORDER BY id DESC LIMIT 1", uuid))
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		ok = true
		before, err = scanLink(q.QueryRowContext(ctx, "SELECT id, hash FROM events WHERE id < ? ORDER BY id DESC LIMIT 1", e.ID))
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	if err != nil {
		return e, before, false, fmt.Errorf("read what the ledger says of recording %s: %w", uuid, err)
	}
	return e, before, ok, nil
}
