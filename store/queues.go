package store

import (
	"context"
	"database/sql"
	"time"

	"callrecordd/internal/directory"
)

func loadQueues(ctx context.Context, q querier) ([]directory.Queue, error) {
	return collect(ctx, q, func(r *sql.Rows) (v directory.Queue, err error) {
		err = r.Scan(&v.ID, &v.UUID, &v.TenantUUID, &v.Name, &v.Label, &v.Exten, &v.Context, &v.DTMFRecordToggle, &v.AutoRecord)
		return v, err
	}, "SELECT id, uuid, tenant_uuid, name, label, exten, context, dtmf_record_toggle, auto_record FROM queues ORDER BY id")
}

func (t *Tx) saveQueue(v *directory.Queue, at time.Time) error {
	id, err := t.upsert(`queues (id, uuid, tenant_uuid, name, label, exten, context, dtmf_record_toggle, auto_record)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (uuid) DO UPDATE SET tenant_uuid = excluded.tenant_uuid,
		name = excluded.name, label = excluded.label, exten = excluded.exten, context = excluded.context,
		dtmf_record_toggle = excluded.dtmf_record_toggle, auto_record = excluded.auto_record`,
		nullID(v.ID), v.UUID, v.TenantUUID, v.Name, v.Label, v.Exten, v.Context, v.DTMFRecordToggle, string(v.AutoRecord))
	if err != nil {
		return err
	}
	v.ID = id
	return t.remember(directory.KindQueue, v.UUID, v, at)
}
