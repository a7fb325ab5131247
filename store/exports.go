package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"callrecordd/internal/export"
	"callrecordd/internal/recorder"
)

const exportColumns = "uuid, tenant_uuid, user_uuid, requested_at, requested_by, status, cause, files, bytes, missing, attempts, email, link, mail, mail_tries, mail_at"

func exportArgs(e export.Export) []any {
	return []any{
		e.UUID, e.TenantUUID, e.UserUUID, micros(e.RequestedAt), e.RequestedBy, string(e.Status), e.Cause, e.Files, e.Bytes,
		e.Missing, e.Attempts, e.Email, e.Link, string(e.Mail), e.MailTries, micros(e.MailAt),
	}
}

func scanExport(r *sql.Rows) (e export.Export, err error) {
	var requested, mailAt int64
	err = r.Scan(&e.UUID, &e.TenantUUID, &e.UserUUID, &requested, &e.RequestedBy, &e.Status, &e.Cause, &e.Files, &e.Bytes,
		&e.Missing, &e.Attempts, &e.Email, &e.Link, &e.Mail, &e.MailTries, &mailAt)
	e.RequestedAt, e.MailAt = fromMicros(requested), fromMicros(mailAt)
	return e, err
}

// AddExportItems implements export.Repo.
func (s *Store) AddExportItems(ctx context.Context, uuid string, first int, items []export.Item) error {
	for len(items) > 0 {
		err := s.Write(ctx, Bulk, func(t *Tx) error {
			done := 0
			for begin := time.Now(); done < len(items) && (done == 0 || time.Since(begin) < groupTime); done++ {
				if err := t.exec("INSERT INTO export_items VALUES (?, ?, ?, ?)", uuid, first+done,
					items[done].Recording.UUID, items[done].CDRID); err != nil {
					return err
				}
			}
			first, items = first+done, items[done:]
			return nil
		})
		if err != nil {
			return fmt.Errorf("store items of export %s: %w", uuid, err)
		}
	}
	return nil
}

// ExportItems implements export.Repo.
func (s *Store) ExportItems(ctx context.Context, uuid string, first, limit int) ([]export.Item, error) {
	var out []export.Item
	err := s.read(ctx, func(q querier) (err error) {
		out, err = collect(ctx, q, func(r *sql.Rows) (it export.Item, err error) {
			var began, intent, ended int64
			err = r.Scan(&it.Recording.UUID, &it.CDRID, &it.Recording.TenantUUID, &it.Recording.State, &it.Recording.Cause,
				&began, &intent, &ended, &it.Recording.Bytes)
			it.Recording.StartedAt, it.Recording.IntentAt = fromMicros(began), fromMicros(intent)
			it.Recording.EndedAt = fromMicros(ended)
			return it, err
		}, `SELECT recording_uuid, i.cdr_id, coalesce(tenant_uuid, ''), coalesce(state, 'deleted'), coalesce(cause, ''),
			coalesce(started_at, 0), coalesce(intent_at, 0), coalesce(ended_at, 0), coalesce(bytes, 0)
			FROM export_items i LEFT JOIN recordings ON uuid = recording_uuid
			WHERE export_uuid = ? AND pos >= ? AND pos < ? ORDER BY pos`, uuid, first, first+limit)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read items of export %s: %w", uuid, err)
	}
	return out, nil
}

// CreateExport implements export.Repo.
func (s *Store) CreateExport(ctx context.Context, e export.Export) error {
	err := s.Write(ctx, High, func(t *Tx) error {
		if err := t.exec("INSERT INTO exports ("+exportColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			exportArgs(e)...); err != nil {
			return err
		}
		return t.exportEvent("export.created", e, e.RequestedBy)
	})
	if err != nil {
		return fmt.Errorf("store export %s: %w", e.UUID, err)
	}
	return nil
}

func (t *Tx) exportEvent(kind string, e export.Export, actor string) error {
	return t.AppendEvents(recorder.Event{Kind: kind, Actor: actor, Data: map[string]any{
		"export": e.UUID, "tenant_uuid": e.TenantUUID, "status": e.Status, "cause": e.Cause,
		"files": e.Files, "bytes": e.Bytes, "missing": e.Missing,
	}})
}

// SaveExport implements export.Repo.
func (s *Store) SaveExport(ctx context.Context, e export.Export) error {
	err := s.Write(ctx, High, func(t *Tx) error {
		var before export.Status
		if err := t.tx.QueryRowContext(t.ctx, "SELECT status FROM exports WHERE uuid = ?", e.UUID).Scan(&before); err != nil {
			return err
		}
		if err := t.changed(`UPDATE exports SET status = ?, cause = ?, files = ?, bytes = ?, missing = ?, attempts = ?,
			mail = ?, mail_tries = ?, mail_at = ? WHERE uuid = ?`, string(e.Status), e.Cause, e.Files, e.Bytes, e.Missing,
			e.Attempts, string(e.Mail), e.MailTries, micros(e.MailAt), e.UUID); err != nil {
			return err
		}
		if before == e.Status {
			return nil
		}
		return t.exportEvent("export.updated", e, "callrecordd")
	})
	if err != nil {
		return fmt.Errorf("store export %s: %w", e.UUID, err)
	}
	return nil
}

// DeleteExport implements export.Repo.
func (s *Store) DeleteExport(ctx context.Context, e export.Export, actor string) error {
	err := s.Write(ctx, High, func(t *Tx) error {
		if err := t.exec("DELETE FROM exports WHERE uuid = ?", e.UUID); err != nil {
			return err
		}
		// Those of the links in its mails.
		if err := t.exec("DELETE FROM tokens WHERE auth_id = ?", e.UUID); err != nil {
			return err
		}
		return t.exportEvent("export.deleted", e, actor)
	})
	if err == nil {
		err = s.deleteItems(ctx, "WHERE export_uuid = ?", e.UUID)
	}
	if err != nil {
		return fmt.Errorf("delete export %s: %w", e.UUID, err)
	}
	return nil
}

// orphanItems are those of exports that are not there. It looks at one item of
// each export: a start waits for it, and there may be a million.
const orphanItems = `WHERE export_uuid IN (
	WITH RECURSIVE ids(x) AS (SELECT min(export_uuid) FROM export_items
		UNION ALL SELECT (SELECT min(export_uuid) FROM export_items WHERE export_uuid > x) FROM ids WHERE x IS NOT NULL)
	SELECT x FROM ids WHERE x NOT IN (SELECT uuid FROM exports))`

func deleteItemsQuery(which string) string {
	return "DELETE FROM export_items WHERE (export_uuid, pos) IN (SELECT export_uuid, pos FROM export_items i " + which + " LIMIT ?)"
}

// deleteItems deletes those items, a few at a time.
func (s *Store) deleteItems(ctx context.Context, which string, args ...any) error {
	const few = 500
	for {
		var n int64
		err := s.Write(ctx, Bulk, func(t *Tx) error {
			res, err := t.run(deleteItemsQuery(which), append(slices.Clone(args), few))
			if err == nil {
				n, err = res.RowsAffected()
			}
			return err
		})
		if err != nil || n < few {
			return err
		}
	}
}

// ResetExports implements export.Repo. Items without their export are those of
// one that is being created or was never finished: nobody may create one now.
func (s *Store) ResetExports(ctx context.Context) error {
	err := s.deleteItems(ctx, orphanItems)
	if err == nil {
		err = s.Write(ctx, High, func(t *Tx) error {
			return t.exec("UPDATE exports SET status = 'pending' WHERE status = 'processing'")
		})
	}
	if err != nil {
		return fmt.Errorf("reset exports: %w", err)
	}
	return nil
}

// Exports implements export.Repo.
func (s *Store) Exports(ctx context.Context, f export.Filter) ([]export.Export, error) {
	w := where{}
	w.addIf(f.UUID != "", "uuid = ?", f.UUID)
	w.addIf(f.Tenants != nil, "tenant_uuid IN (SELECT value FROM json_each(?))", list(f.Tenants))
	w.addIf(f.Open, "status IN ('pending', 'processing')")
	w.addIf(f.Status != "", "status = ?", string(f.Status))
	w.addIf(!f.MailDue.IsZero(), "mail = 'due' AND mail_at <= ?", micros(f.MailDue))
	w.addIf(!f.Before.IsZero(), "requested_at < ? AND status IN ('finished', 'error')", micros(f.Before))
	limit := f.Limit
	if limit <= 0 {
		limit = -1
	}
	var out []export.Export
	err := s.read(ctx, func(q querier) (err error) {
		out, err = collect(ctx, q, scanExport, "SELECT "+exportColumns+" FROM exports"+w.String()+
			" ORDER BY requested_at, uuid LIMIT ?", append(w.args, limit)...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read exports: %w", err)
	}
	return out, nil
}
