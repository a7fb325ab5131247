package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"callrecordd/internal/recorder"
)

// Setting returns a setting that is kept in the database; ok is false if it
// has never been set.
func (s *Store) Setting(ctx context.Context, key string) (value string, ok bool, err error) {
	err = s.read(ctx, func(q querier) error {
		return q.QueryRowContext(ctx, "SELECT value FROM settings WHERE key = ?", key).Scan(&value)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("read setting %s: %w", key, err)
	}
	return value, true, nil
}

// SetSetting stores a setting on behalf of actor, with an event. Secrets do
// not belong here: the event has the value.
func (s *Store) SetSetting(ctx context.Context, key, value, actor string) error {
	err := s.Write(ctx, High, func(t *Tx) error {
		if err := t.exec(`INSERT INTO settings VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE
			SET value = excluded.value, updated_at = excluded.updated_at, updated_by = excluded.updated_by`,
			key, value, micros(t.now), actor); err != nil {
			return err
		}
		return t.AppendEvents(recorder.Event{
			At: t.now, Kind: "setting.changed", Actor: actor, Data: map[string]string{"key": key, "value": value},
		})
	})
	if err != nil {
		return fmt.Errorf("store setting %s: %w", key, err)
	}
	return nil
}
