package store

import (
	"context"
	"database/sql"
	"time"

	"callrecordd/internal/directory"
)

func loadTrunks(ctx context.Context, q querier) ([]directory.Trunk, error) {
	return collect(ctx, q, func(r *sql.Rows) (v directory.Trunk, err error) {
		err = r.Scan(&v.ID, &v.UUID, &v.TenantUUID, &v.Name, &v.Endpoint, &v.AutoRecord)
		return v, err
	}, "SELECT id, uuid, tenant_uuid, name, endpoint, auto_record FROM trunks ORDER BY id")
}

func (t *Tx) saveTrunk(v *directory.Trunk, at time.Time) error {
	id, err := t.upsert(`trunks (id, uuid, tenant_uuid, name, endpoint, auto_record) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (uuid) DO UPDATE SET tenant_uuid = excluded.tenant_uuid, name = excluded.name,
		endpoint = excluded.endpoint, auto_record = excluded.auto_record`, nullID(v.ID), v.UUID, v.TenantUUID, v.Name, v.Endpoint, string(v.AutoRecord))
	if err != nil {
		return err
	}
	v.ID = id
	return t.remember(directory.KindTrunk, v.UUID, v, at)
}

func loadDevices(ctx context.Context, q querier) ([]directory.Device, error) {
	return collect(ctx, q, func(r *sql.Rows) (v directory.Device, err error) {
		err = r.Scan(&v.Endpoint)
		return v, err
	}, "SELECT endpoint FROM devices ORDER BY endpoint")
}

func (t *Tx) saveDevice(v directory.Device, at time.Time) error {
	if err := t.exec("INSERT INTO devices (endpoint) VALUES (?) ON CONFLICT DO NOTHING", v.Endpoint); err != nil {
		return err
	}
	return t.remember(directory.KindDevice, v.Endpoint, v, at)
}
