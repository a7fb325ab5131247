package store

import (
	"context"
	"database/sql"
	"time"

	"callrecordd/internal/directory"
)

func loadFeatures(ctx context.Context, q querier) ([]directory.Feature, error) {
	return collect(ctx, q, func(r *sql.Rows) (v directory.Feature, err error) {
		err = r.Scan(&v.ID, &v.UUID, &v.Name, &v.Exten, &v.Enabled)
		return v, err
	}, "SELECT id, uuid, name, exten, enabled FROM features ORDER BY id")
}

func (t *Tx) saveFeature(v *directory.Feature, at time.Time) error {
	id, err := t.upsert(`features (id, uuid, name, exten, enabled) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (uuid) DO UPDATE SET exten = excluded.exten, enabled = excluded.enabled`,
		nullID(v.ID), v.UUID, v.Name, v.Exten, v.Enabled)
	if err != nil {
		return err
	}
	v.ID = id
	return t.remember(directory.KindFeature, v.UUID, v, at)
}
