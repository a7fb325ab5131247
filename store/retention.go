package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"callrecordd/internal/recorder"
	"callrecordd/internal/retention"
)

// Policy implements retention.Repo. A tenant without a row has an empty one.
func (s *Store) Policy(ctx context.Context, tenant string) (p retention.Policy, err error) {
	err = s.read(ctx, func(q querier) error {
		return q.QueryRowContext(ctx, "SELECT cdr_days, export_days, recording_days FROM retention WHERE tenant_uuid = ?",
			tenant).Scan(&p.CDRDays, &p.ExportDays, &p.RecordingDays)
	})
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return p, fmt.Errorf("read retention of tenant %s: %w", tenant, err)
	}
	return p, nil
}

// SetPolicy replaces a tenant's policy on behalf of actor.
func (s *Store) SetPolicy(ctx context.Context, tenant string, p retention.Policy, actor string) error {
	err := s.Write(ctx, High, func(t *Tx) error {
		if err := t.exec(`INSERT INTO retention VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET cdr_days = excluded.cdr_days,
			export_days = excluded.export_days, recording_days = excluded.recording_days,
			updated_at = excluded.updated_at, updated_by = excluded.updated_by`,
			tenant, p.CDRDays, p.ExportDays, p.RecordingDays, micros(t.now), actor); err != nil {
			return err
		}
		return t.AppendEvents(recorder.Event{Kind: "retention.changed", Actor: actor, Data: struct {
			TenantUUID string `json:"tenant_uuid"`
			retention.Policy
		}{tenant, p}})
	})
	if err != nil {
		return fmt.Errorf("store retention of tenant %s: %w", tenant, err)
	}
	return nil
}

// Hold returns the legal hold of a CDR; ok is false if there is none.
func (s *Store) Hold(ctx context.Context, cdrID int64) (h retention.Hold, ok bool, err error) {
	var at int64
	err = s.read(ctx, func(q querier) error {
		return q.QueryRowContext(ctx, "SELECT cdr_id, reason, held_at, held_by FROM cdr_holds WHERE cdr_id = ?", cdrID).
			Scan(&h.CDRID, &h.Reason, &at, &h.By)
	})
	h.At = fromMicros(at)
	if errors.Is(err, sql.ErrNoRows) {
		return h, false, nil
	}
	if err != nil {
		return h, false, fmt.Errorf("read hold of cdr %d: %w", cdrID, err)
	}
	return h, true, nil
}

// SetHold puts a CDR under legal hold on behalf of actor, or changes the reason.
// The error wraps ErrNotFound if there is no such CDR.
func (s *Store) SetHold(ctx context.Context, cdrID int64, reason, actor string) error {
	return s.changeHold(ctx, cdrID, "cdr.held", reason, actor, func(t *Tx) error {
		return t.changed(`INSERT INTO cdr_holds SELECT id, ?, ?, ? FROM cdrs WHERE id = ? ON CONFLICT DO UPDATE
			SET reason = excluded.reason, held_at = excluded.held_at, held_by = excluded.held_by`,
			reason, micros(s.opt.Now()), actor, cdrID)
	})
}

// ReleaseHold ends a legal hold on behalf of actor. The error wraps ErrNotFound
// if there is none.
func (s *Store) ReleaseHold(ctx context.Context, cdrID int64, reason, actor string) error {
	return s.changeHold(ctx, cdrID, "cdr.released", reason, actor, func(t *Tx) error {
		return t.changed("DELETE FROM cdr_holds WHERE cdr_id = ?", cdrID)
	})
}

func (s *Store) changeHold(ctx context.Context, cdrID int64, kind, reason, actor string, change func(*Tx) error) error {
	err := s.Write(ctx, High, func(t *Tx) error {
		if err := change(t); err != nil {
			return err
		}
		return t.AppendEvents(recorder.Event{Kind: kind, Actor: actor, Data: map[string]any{"cdr": cdrID, "reason": reason}})
	})
	if err != nil {
		return fmt.Errorf("hold of cdr %d: %w", cdrID, err)
	}
	return nil
}
