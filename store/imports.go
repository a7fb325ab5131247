package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

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
		err := s.Write(ctx, Intent, func(t *Tx) error {
			part = nil
			var first, last, stored int64
			for begin := time.Now(); len(out)+len(part) < len(list) && (len(part) == 0 || time.Since(begin) < groupTime); {
				done, err := t.importCDR(list[len(out)+len(part)])
				if err != nil {
					return err
				}
				if done.Refused == "" && !done.Known {
					if stored++; stored == 1 {
						first = done.ID
					}
					last = done.ID
				}
				part = append(part, done)
			}
			if stored == 0 {
				return nil
			}
			return t.AppendEvents(recorder.Event{
				Kind: "cdr.imported", Actor: actor, Data: map[string]int64{"calls": stored, "first": first, "last": last},
			})
		})
		if err != nil {
			return out, fmt.Errorf("import cdrs: %w", err)
		}
		out = append(out, part...)
	}
	return out, s.Probe(ctx)
}

func (t *Tx) importCDR(im Import) (Imported, error) {
	for _, r := range im.Recordings {
		var other sql.NullInt64
		err := t.scan(&other, "SELECT cdr_id FROM recordings WHERE uuid = ?", r.UUID)
		if err == nil && (im.CDR.ID == 0 && !other.Valid || im.CDR.ID != 0 && other.Int64 != im.CDR.ID) {
			return Imported{Refused: fmt.Sprintf("recording %s belongs to another call", r.UUID)}, nil
		}
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return Imported{}, fmt.Errorf("look for recording %s: %w", r.UUID, err)
		}
	}
	done, err := t.importRow(im)
	if err != nil || done.Refused != "" {
		return done, err
	}
	for _, r := range im.Recordings {
		var there bool
		if err := t.scan(&there, "SELECT count(*) FROM recordings WHERE uuid = ?", r.UUID); err != nil {
			return done, fmt.Errorf("look for recording %s: %w", r.UUID, err)
		}
		if there {
			continue
		}
		if err := t.InsertRecording(r); err != nil {
			return done, err
		}
		if err := t.exec("UPDATE recordings SET cdr_id = ? WHERE uuid = ?", done.ID, r.UUID); err != nil {
			return done, err
		}
	}
	return done, nil
}

// importRow finds or stores the row.
func (t *Tx) importRow(im Import) (done Imported, err error) {
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
	if err == nil || !errors.Is(err, sql.ErrNoRows) {
		return done, err
	}
	if done.ID, err = t.saveCDRRow(&im.CDR, nil); err != nil {
		return done, err
	}
	if err := t.insertCDRChildren(&im.CDR, done.ID); err != nil {
		return done, err
	}
	return done, t.exec("INSERT INTO cdr_imports VALUES (?, ?)", im.Key, done.ID)
}

// scan reads the one value of a query that stays prepared; sql.ErrNoRows if
// there is none.
func (t *Tx) scan(to any, query string, args ...any) error {
	st, err := t.prepared(query)
	if err != nil {
		return err
	}
	return st.QueryRowContext(t.ctx, args...).Scan(to)
}
