package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"

	"callrecordd/internal/cdr"
	"callrecordd/internal/recorder"
)

// Import is a call from elsewhere. One with an id keeps it; of others Key, a
// hash of what it consists of, tells whether it is there already.
type Import struct {
	CDR        cdr.CDR
	Key        []byte
	Recordings []recorder.Recording
}

// Imported is what became of one: its id, or why it was refused.
type Imported struct {
	ID      int64
	Known   bool // it was there
	Refused string
}

// ImportCDRs stores calls from elsewhere on behalf of actor, in short
// transactions. What is there already stays, but gets recordings that it lacks.
// All is on the disk when it returns; until then nothing is lost that could not
// be imported again, so there is one fsync at the end.
func (s *Store) ImportCDRs(ctx context.Context, list []Import, actor string) ([]Imported, error) {
	var out []Imported
	for len(out) < len(list) {
		var part []Imported
		err := s.Write(ctx, Idle, func(t *Tx) (err error) {
			part, err = t.importCDRs(list[len(out):], actor)
			return err
		})
		if err != nil {
			return out, fmt.Errorf("import cdrs: %w", err)
		}
		out = append(out, part...)
	}
	return out, s.probe(ctx, Bulk)
}

// importTerms is of how many calls the terms are made at once: all others wait
// meanwhile.
const importTerms = 50

func cdrsOf(list []Import) iter.Seq[*cdr.CDR] {
	return func(yield func(*cdr.CDR) bool) {
		for i := range list {
			if !yield(&list[i].CDR) {
				return
			}
		}
	}
}

// importCDRs stores as many of them as may be, at least one.
func (t *Tx) importCDRs(list []Import, actor string) ([]Imported, error) {
	if err := t.beginBulk(); err != nil {
		return nil, err
	}
	var out []Imported
	var note CDRsImported
	for i := range list {
		if i > 0 && !t.mayGoOn() {
			break
		}
		if i%importTerms == 0 {
			if err := t.prepareTerms(cdrsOf(list[i:min(i+importTerms, len(list))])); err != nil {
				return nil, err
			}
		}
		done, err := t.importCDR(list[i])
		if err != nil {
			return nil, err
		}
		if done.Refused == "" && !done.Known {
			saved, err := t.saved(&list[i].CDR, done.ID, true)
			if err != nil {
				return nil, err
			}
			if note.Calls++; note.Calls == 1 {
				note.First = done.ID
			}
			note.Last = done.ID
			note.CDRs = append(note.CDRs, saved)
		}
		out = append(out, done)
	}
	if err := t.endBulk(true); err != nil || note.Calls == 0 {
		return out, err
	}
	return out, t.AppendEvents(recorder.Event{Kind: EventCDRsImported, Actor: actor, Data: note})
}

func (t *Tx) importCDR(im Import) (Imported, error) {
	done, err := t.importKnown(im)
	if err != nil || done.Refused != "" {
		return done, err
	}
	var lacks []recorder.Recording
	for _, r := range im.Recordings {
		var other sql.NullInt64
		err := t.scan(&other, "SELECT cdr_id FROM recordings WHERE uuid = ?", r.UUID)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			lacks = append(lacks, r)
		case err != nil:
			return Imported{}, fmt.Errorf("look for recording %s: %w", r.UUID, err)
		case !done.Known || other.Int64 != done.ID:
			return Imported{Refused: fmt.Sprintf("recording %s belongs to another call", r.UUID)}, nil
		}
	}
	if !done.Known {
		if done.ID, err = t.saveNewCDR(&im.CDR, len(lacks) > 0); err != nil {
			return done, err
		}
		if im.CDR.ID == 0 { // otherwise that tells whether it is there
			if err := t.exec("INSERT INTO cdr_imports VALUES (?, ?)", im.Key, done.ID); err != nil {
				return done, err
			}
		}
	}
	for _, r := range lacks {
		if err := t.insertRecording(r, done.ID); err != nil {
			return done, fmt.Errorf("store recording %s: %w", r.UUID, err)
		}
	}
	return done, nil
}

// importKnown finds the row of a call that is there already.
func (t *Tx) importKnown(im Import) (done Imported, err error) {
	if im.CDR.ID != 0 {
		done.ID = im.CDR.ID
		err = t.scan(&done.Known, "SELECT tenant_uuid = ? AND start_at = ? AND conversation_id = ? FROM cdrs WHERE id = ?",
			im.CDR.TenantUUID, micros(im.CDR.Start), im.CDR.ConversationID, im.CDR.ID)
		if err == nil && !done.Known {
			done.Refused = fmt.Sprintf("another call has the id %d", im.CDR.ID)
		}
	} else {
		err = t.scan(&done.ID, "SELECT cdr_id FROM cdr_imports WHERE key = ?", im.Key)
		done.Known = err == nil
	}
	if errors.Is(err, sql.ErrNoRows) {
		return Imported{}, nil
	}
	return done, err
}

// scan reads the one value of a query that stays prepared; sql.ErrNoRows if
// there is none.
func (t *Tx) scan(to any, query string, args ...any) error {
	t.ran++
	st, err := t.prepared(query)
	if err != nil {
		return err
	}
	return st.QueryRowContext(t.ctx, args...).Scan(to)
}
