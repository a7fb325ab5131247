package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"callrecordd/internal/directory"
)

func loadTenants(ctx context.Context, q querier) ([]directory.Tenant, error) {
	return collect(ctx, q, func(r *sql.Rows) (t directory.Tenant, err error) {
		var details string
		if err := r.Scan(&t.UUID, &t.Name, &t.Parent, &t.AsteriskID, &t.Slug, &details, &t.Announce.Start, &t.Announce.Stop); err != nil {
			return t, err
		}
		if err := json.Unmarshal([]byte(details), &t.Details); err != nil {
			return t, fmt.Errorf("details of tenant %s: %w", t.UUID, err)
		}
		return t, nil
	}, "SELECT uuid, name, parent_uuid, asterisk_id, slug, details, announce_start, announce_stop FROM tenants ORDER BY uuid <> parent_uuid, name, uuid")
}

func (t *Tx) saveTenant(v directory.Tenant, at time.Time) error {
	details, err := json.Marshal(v.Details)
	if err != nil {
		return fmt.Errorf("encode details of tenant %s: %w", v.UUID, err)
	}
	if err := t.exec(`INSERT INTO tenants (uuid, name, parent_uuid, asterisk_id, slug, details, announce_start, announce_stop)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (uuid) DO UPDATE SET name = excluded.name, parent_uuid = excluded.parent_uuid,
		asterisk_id = excluded.asterisk_id, slug = excluded.slug, details = excluded.details,
		announce_start = excluded.announce_start, announce_stop = excluded.announce_stop`,
		v.UUID, v.Name, v.Parent, v.AsteriskID, v.Slug, string(details), v.Announce.Start, v.Announce.Stop); err != nil {
		return err
	}
	return t.remember(directory.KindTenant, v.UUID, v, at)
}

// tenantUnused refuses to orphan recordings and calls: nobody could see or
// delete them any more. It says what is still there.
func (t *Tx) tenantUnused(uuid string) error {
	var left string
	err := t.tx.QueryRowContext(t.ctx, `SELECT coalesce(group_concat(what, ', '), '') FROM (
		SELECT 'calls' AS what WHERE EXISTS (SELECT 1 FROM cdrs WHERE tenant_uuid = ?1)
		UNION ALL SELECT 'recordings' WHERE EXISTS (SELECT 1 FROM recordings WHERE tenant_uuid = ?1)
		UNION ALL SELECT 'exports' WHERE EXISTS (SELECT 1 FROM exports WHERE tenant_uuid = ?1)
		UNION ALL SELECT 'accounts' WHERE EXISTS (SELECT 1 FROM accounts WHERE tenant_uuid = ?1)
		UNION ALL SELECT 'policies' WHERE EXISTS (SELECT 1 FROM policies WHERE tenant_uuid = ?1)
		UNION ALL SELECT 'tokens' WHERE EXISTS (SELECT 1 FROM tokens WHERE tenant_uuid = ?1))`, uuid).Scan(&left)
	if err == nil && left != "" {
		err = fmt.Errorf("it still has %s: %w", left, directory.ErrConflict)
	}
	return err
}
