package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"callrecordd/internal/directory"
)

func loadTenants(ctx context.Context, q querier) ([]directory.Tenant, error) {
	return collect(ctx, q, func(r *sql.Rows) (t directory.Tenant, err error) {
		err = r.Scan(&t.UUID, &t.Name, &t.Parent, &t.AsteriskID)
		return t, err
	}, "SELECT uuid, name, parent_uuid, asterisk_id FROM tenants ORDER BY uuid <> parent_uuid, name, uuid")
}

func (t *Tx) saveTenant(v directory.Tenant, at time.Time) error {
	if err := t.exec(`INSERT INTO tenants (uuid, name, parent_uuid, asterisk_id) VALUES (?, ?, ?, ?)
		ON CONFLICT (uuid) DO UPDATE SET name = excluded.name, parent_uuid = excluded.parent_uuid,
		asterisk_id = excluded.asterisk_id`, v.UUID, v.Name, v.Parent, v.AsteriskID); err != nil {
		return err
	}
	return t.remember(directory.KindTenant, v.UUID, v, at)
}

// tenantUnused refuses to orphan recordings and calls: nobody could see or
// delete them any more.
func (t *Tx) tenantUnused(uuid string) error {
	var used bool
	err := t.tx.QueryRowContext(t.ctx, `SELECT EXISTS (SELECT 1 FROM recordings WHERE tenant_uuid = ?1)
		OR EXISTS (SELECT 1 FROM cdrs WHERE tenant_uuid = ?1)
		OR EXISTS (SELECT 1 FROM tokens WHERE tenant_uuid = ?1)`, uuid).Scan(&used)
	if err == nil && used {
		err = fmt.Errorf("it still has calls, recordings or tokens: %w", directory.ErrConflict)
	}
	return err
}
