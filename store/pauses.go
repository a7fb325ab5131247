package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"callrecordd/internal/recorder"
)

// pausesOf selects the pauses of the recording that a query is at.
const pausesOf = `(SELECT json_group_array(json_object('owner', owner, 'actor', actor, 'from', from_at, 'to', to_at,
	'cut', cut, 'silence', silence, 'loudest', loudest) ORDER BY from_at) FROM recording_pauses
	WHERE recording_uuid = uuid)`

// pause is the stored form of recorder.Pause.
type pause struct {
	Owner, Actor string
	From         int64
	To           *int64
	Cut          int64
	Silence      recorder.Silence
	Loudest      int
}

// SavePause upserts a pause of a recording by UUID and From, without fsync. A
// recording is in one pause at a time: a new one ends any other.
func (s *Store) SavePause(ctx context.Context, p recorder.Pause) error {
	return s.Write(ctx, Intent, func(t *Tx) error { return t.SavePause(p) })
}

// SavePause is Store.SavePause within a transaction.
func (t *Tx) SavePause(p recorder.Pause) error {
	err := t.changed(`UPDATE recording_pauses SET owner = ?, actor = ?, to_at = ?, cut = ?, silence = ?, loudest = ?
		WHERE recording_uuid = ? AND from_at = ?`,
		p.Owner, p.Actor, nullMicros(p.To), p.Cut, string(p.Silence), p.Loudest, p.UUID, micros(p.From))
	if errors.Is(err, ErrNotFound) {
		err = t.exec("UPDATE recording_pauses SET to_at = ? WHERE recording_uuid = ? AND to_at IS NULL",
			micros(p.From), p.UUID)
		if err == nil {
			err = t.exec(`INSERT INTO recording_pauses (recording_uuid, owner, actor, from_at, to_at, cut, silence, loudest)
				VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, p.UUID, p.Owner, p.Actor, micros(p.From), nullMicros(p.To), p.Cut,
				string(p.Silence), p.Loudest)
		}
	}
	if err != nil {
		return fmt.Errorf("store pause of recording %s: %w", p.UUID, err)
	}
	return nil
}

// Pauses returns the pauses of a recording, in order.
func (s *Store) Pauses(ctx context.Context, recording string) (out []recorder.Pause, err error) {
	err = s.read(ctx, func(q querier) error {
		lists, err := collect(ctx, q, func(r *sql.Rows) ([]recorder.Pause, error) {
			var js string
			if err := r.Scan(&js); err != nil {
				return nil, err
			}
			return decodePauses(recording, js)
		}, "SELECT "+pausesOf+" FROM (SELECT ? AS uuid)", recording)
		for _, l := range lists {
			out = append(out, l...)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read pauses of recording %s: %w", recording, err)
	}
	return out, nil
}

func decodePauses(recording, js string) (out []recorder.Pause, err error) {
	var list []pause
	if err := json.Unmarshal([]byte(js), &list); err != nil {
		return nil, err
	}
	for _, p := range list {
		x := recorder.Pause{
			UUID: recording, Owner: p.Owner, Actor: p.Actor, From: fromMicros(p.From),
			Cut: p.Cut != 0, Silence: p.Silence, Loudest: p.Loudest,
		}
		if p.To != nil {
			x.To = fromMicros(*p.To)
		}
		out = append(out, x)
	}
	return out, nil
}
