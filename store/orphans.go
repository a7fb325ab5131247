package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"callrecordd/internal/recorder"
)

// What the search for orphans (internal/orphans) asks and changes.

// The events of it. Those of a row come with it in one transaction.
const (
	EventFileGone    = "recording.file_gone"    // the row is missing now
	EventFileFound   = "recording.file_found"   // a missing row is what it was; Data names the file
	EventFileAdopted = "recording.file_adopted" // a row was made of a file
	EventFileUnknown = "file_unknown"           // a file without a row was dealt with
)

// fileColumns are what is known of a recording's file.
const fileColumns = "SELECT uuid, tenant_uuid, state, bytes, sha256 FROM recordings"

func scanFileRow(rows *sql.Rows) (r recorder.Recording, err error) {
	err = rows.Scan(&r.UUID, &r.TenantUUID, &r.State, &r.Bytes, &r.SHA256)
	return r, err
}

func (s *Store) fileRows(ctx context.Context, rest string, args ...any) (out []recorder.Recording, err error) {
	err = s.read(ctx, func(q querier) error {
		out, err = collect(ctx, q, scanFileRow, fileColumns+rest, args...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read what is known of files: %w", err)
	}
	return out, nil
}

// FileRows returns those of the recordings that there are, with uuid, tenant,
// state, size and hash.
func (s *Store) FileRows(ctx context.Context, uuids []string) (map[string]recorder.Recording, error) {
	list, err := s.fileRows(ctx, " WHERE uuid IN (SELECT value FROM json_each(?))", list(uuids))
	out := make(map[string]recorder.Recording, len(list))
	for _, r := range list {
		out[r.UUID] = r
	}
	return out, err
}

// FileRowsAfter returns recordings that must have a file, behind one, in the
// order of their uuids, as FileRows does.
func (s *Store) FileRowsAfter(ctx context.Context, after string, limit int) ([]recorder.Recording, error) {
	return s.fileRows(ctx, " WHERE uuid > ? AND state IN ('ready', 'empty', 'interrupted') ORDER BY uuid LIMIT ?", after, limit)
}

// LostRows returns recordings that are missing although their file was measured
// once.
func (s *Store) LostRows(ctx context.Context, limit int) ([]recorder.Recording, error) {
	return s.fileRows(ctx, " WHERE state = 'missing' AND sha256 <> '' ORDER BY uuid LIMIT ?", limit)
}

// Removing says whether the removal of a recording has not come to its end.
func (s *Store) Removing(ctx context.Context, uuid string) (there bool, err error) {
	err = s.read(ctx, func(q querier) error {
		return q.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM removals WHERE recording_uuid = ?)", uuid).Scan(&there)
	})
	if err != nil {
		return false, fmt.Errorf("look for the removal of recording %s: %w", uuid, err)
	}
	return there, nil
}

// alter changes a recording if it is in one of the states, and says whether it
// was.
func (s *Store) alter(ctx context.Context, uuid string, states []recorder.State, change func(*Tx, recorder.Recording) error) (done bool, err error) {
	err = s.Write(ctx, Bulk, func(t *Tx) error {
		done = false
		found, err := collect(t.ctx, t.tx, scanRecording, recordingSelect+" WHERE uuid = ?", uuid)
		if err != nil || len(found) == 0 || !slices.Contains(states, found[0].State) {
			return err
		}
		done = true
		return change(t, found[0])
	})
	if err != nil {
		return false, fmt.Errorf("change recording %s: %w", uuid, err)
	}
	return done, nil
}

// MarkMissing makes a recording missing whose file is gone. What was measured of
// the file stays: by that it is found again.
func (s *Store) MarkMissing(ctx context.Context, uuid, detail, actor string) (done bool, err error) {
	had := []recorder.State{recorder.Ready, recorder.Empty, recorder.Interrupted}
	return s.alter(ctx, uuid, had, func(t *Tx, r recorder.Recording) error {
		was := r.State
		r.State, r.Cause, r.Detail = recorder.Missing, recorder.CauseFileGone, detail
		if err := t.UpdateRecording(r); err != nil {
			return err
		}
		return t.AppendEvents(recorder.Event{
			Kind: EventFileGone, Recording: uuid, Actor: actor,
			Data: map[string]any{"was": was, "cdr": r.CDRID, "sha256": r.SHA256, "bytes": r.Bytes},
		})
	})
}

// Restore gives a missing recording what was measured of its file, which was
// found at path.
func (s *Store) Restore(ctx context.Context, m recorder.Recording, path, actor string) (done bool, err error) {
	return s.alter(ctx, m.UUID, []recorder.State{recorder.Missing}, func(t *Tx, r recorder.Recording) error {
		r.State, r.Cause, r.Detail = m.State, m.Cause, ""
		r.Bytes, r.Samples, r.Rate, r.SHA256 = m.Bytes, m.Samples, m.Rate, m.SHA256
		if err := t.UpdateRecording(r); err != nil {
			return err
		}
		return t.AppendEvents(recorder.Event{
			Kind: EventFileFound, Recording: r.UUID, Actor: actor,
			Data: map[string]any{"state": m.State, "cdr": r.CDRID, "path": path, "sha256": m.SHA256, "bytes": m.Bytes},
		})
	})
}

// AdoptFile makes a row of a file at path, unless there is one. If the events
// still know of the recording it gets the call that they name, and with it the
// CDR; else nobody is told again that it has none.
func (s *Store) AdoptFile(ctx context.Context, m recorder.Recording, path, actor string) (done bool, err error) {
	err = s.Write(ctx, Bulk, func(t *Tx) error {
		done = false
		var there bool
		if err := t.scan(&there, "SELECT EXISTS (SELECT 1 FROM recordings WHERE uuid = ?)", m.UUID); err != nil || there {
			return err
		}
		var leg string
		err := t.scan(&leg, "SELECT call FROM events WHERE recording = ? AND recording <> '' AND call <> '' AND kind = ? ORDER BY id LIMIT 1",
			m.UUID, recorder.EventIntent)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			if err := t.AppendEvents(recorder.Event{Kind: EventUnattached, Recording: m.UUID, Actor: actor, Data: []string{}}); err != nil {
				return err
			}
		case err != nil:
			return err
		default:
			m.Hook, m.Legs = leg, []string{leg}
		}
		done = true
		begun := m
		begun.State = recorder.Closing // that it is final is told by the update
		if err := t.InsertRecording(begun); err != nil {
			return err
		}
		if err := t.UpdateRecording(m); err != nil {
			return err
		}
		return t.AppendEvents(recorder.Event{
			Kind: EventFileAdopted, Recording: m.UUID, Call: leg, Actor: actor,
			Data: map[string]any{"path": path, "state": m.State, "sha256": m.SHA256, "bytes": m.Bytes},
		})
	})
	if err != nil {
		return false, fmt.Errorf("adopt file %s: %w", path, err)
	}
	return done, nil
}
