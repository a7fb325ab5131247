package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"callrecordd/internal/recorder"
	"callrecordd/internal/retention"
)

// finalMedia holds for recordings that have ended and may have a file.
const finalMedia = "state IN ('ready', 'empty', 'interrupted', 'missing')"

// BeginRemovals implements retention.Repo.
func (s *Store) BeginRemovals(ctx context.Context, uuids []string, actor, why string) ([]retention.Begun, error) {
	var out []retention.Begun
	err := s.Write(ctx, removalLane(len(uuids)), func(t *Tx) error {
		out = nil
		for begin := time.Now(); len(out) < len(uuids) && (len(out) == 0 || time.Since(begin) < groupTime); {
			b, err := t.beginRemoval(uuids[len(out)], actor, why)
			if err != nil {
				return err
			}
			out = append(out, b)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("mark recordings deleted: %w", err)
	}
	return out, nil
}

// removalLane is High for one: somebody waits.
func removalLane(n int) Priority {
	if n == 1 {
		return High
	}
	return Bulk
}

func (t *Tx) beginRemoval(uuid, actor, why string) (b retention.Begun, err error) {
	found, err := collect(t.ctx, t.tx, scanRecording, recordingSelect+" WHERE uuid = ?", uuid)
	if err != nil {
		return b, fmt.Errorf("read recording %s: %w", uuid, err)
	}
	if len(found) == 0 {
		b.Err = retention.ErrNotFound
		return b, nil
	}
	b.Removal = retention.Removal{Recording: found[0], Actor: actor, Why: why}
	switch b.Recording.State {
	case recorder.Deleted:
		b.Gone = true
		return b, nil
	case recorder.Starting, recorder.Live, recorder.Paused, recorder.Closing:
		b.Err = retention.ErrNotFinal
		return b, nil
	case recorder.Ready, recorder.Empty, recorder.Interrupted, recorder.Missing:
	}
	if err := t.notHeld(b.Recording.CDRID); err != nil {
		if _, held := errors.AsType[*retention.HeldError](err); held {
			b.Err = err
			return b, nil
		}
		return b, err
	}
	if err := t.exec("UPDATE recordings SET state = 'deleted' WHERE uuid = ?", uuid); err != nil {
		return b, err
	}
	if err := t.exec("INSERT INTO removals VALUES (?, ?, ?, ?, ?)",
		uuid, string(b.Recording.State), actor, why, micros(t.now)); err != nil {
		return b, err
	}
	return b, t.AppendEvents(recorder.Event{
		Kind: "recording.delete_begun", Recording: uuid, Actor: actor, Data: map[string]any{"cdr": b.Recording.CDRID, "why": why},
	})
}

// notHeld returns a *retention.HeldError if the CDR is under legal hold.
func (t *Tx) notHeld(cdrID int64) error {
	held := &retention.HeldError{CDRID: cdrID}
	err := t.tx.QueryRowContext(t.ctx, "SELECT reason FROM cdr_holds WHERE cdr_id = ?", cdrID).Scan(&held.Reason)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for a hold: %w", err)
	}
	return held
}

// EndRemovals implements retention.Repo.
func (s *Store) EndRemovals(ctx context.Context, ended []retention.Ended) error {
	lane := removalLane(len(ended))
	for len(ended) > 0 {
		done := 0
		err := s.Write(ctx, lane, func(t *Tx) error {
			done = 0
			for begin := time.Now(); done < len(ended) && (done == 0 || time.Since(begin) < groupTime); done++ {
				if err := t.endRemoval(ended[done]); err != nil {
					return fmt.Errorf("recording %s: %w", ended[done].Recording.UUID, err)
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("end removals: %w", err)
		}
		ended = ended[done:]
	}
	return nil
}

func (t *Tx) endRemoval(e retention.Ended) error {
	r := e.Recording
	res, err := t.run("DELETE FROM removals WHERE recording_uuid = ?", []any{r.UUID})
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err // ended already: the start and a request may both bring it to an end
	}
	event := recorder.Event{
		Kind: "recording.deleted", Recording: r.UUID, Actor: e.Actor,
		Data: map[string]any{"cdr": r.CDRID, "why": e.Why, "was": r.State, "sha256": r.SHA256, "bytes": r.Bytes},
	}
	if e.Failure != "" {
		if err := t.exec("UPDATE recordings SET state = ? WHERE uuid = ?", string(r.State), r.UUID); err != nil {
			return err
		}
		event.Kind = "recording.delete_failed"
		event.Data = map[string]any{"cdr": r.CDRID, "why": e.Why, "error": e.Failure}
	}
	return t.AppendEvents(event)
}

// MediaOf returns those of the CDRs that belong to one of the tenants, with
// their recordings that do, and holds.
func (s *Store) MediaOf(ctx context.Context, ids []int64, tenants []string) (map[int64]retention.Media, error) {
	out := map[int64]retention.Media{}
	err := s.read(ctx, func(q querier) error {
		_, err := collect(ctx, q, func(r *sql.Rows) (none struct{}, err error) {
			var id int64
			var m retention.Media
			if err := r.Scan(&id, &m.Hold); err != nil {
				return none, err
			}
			out[id] = m
			return none, nil
		}, `SELECT c.id, h.reason FROM cdrs c LEFT JOIN cdr_holds h ON h.cdr_id = c.id
			WHERE c.id IN (SELECT value FROM json_each(?)) AND +c.tenant_uuid IN (SELECT value FROM json_each(?))`, list(ids), list(tenants))
		if err != nil {
			return err
		}
		_, err = collect(ctx, q, func(r *sql.Rows) (none struct{}, err error) {
			var id int64
			var uuid string
			if err := r.Scan(&id, &uuid); err != nil {
				return none, err
			}
			if m, ok := out[id]; ok {
				m.UUIDs = append(m.UUIDs, uuid)
				out[id] = m
			}
			return none, nil
		}, `SELECT cdr_id, uuid FROM recordings WHERE cdr_id IN (SELECT value FROM json_each(?))
			AND +tenant_uuid IN (SELECT value FROM json_each(?)) ORDER BY cdr_id, intent_at, uuid`, list(ids), list(tenants))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read media of %d cdrs: %w", len(ids), err)
	}
	return out, nil
}

// Removals implements retention.Repo.
func (s *Store) Removals(ctx context.Context) ([]retention.Removal, error) {
	var out []retention.Removal
	err := s.read(ctx, func(q querier) (err error) {
		out, err = collect(ctx, q, func(r *sql.Rows) (rm retention.Removal, err error) {
			err = r.Scan(&rm.Recording.UUID, &rm.Recording.State, &rm.Actor, &rm.Why, &rm.Recording.TenantUUID,
				&rm.Recording.CDRID, &rm.Recording.SHA256, &rm.Recording.Bytes)
			return rm, err
		}, `SELECT recording_uuid, was, actor, why, tenant_uuid, coalesce(cdr_id, 0), sha256, bytes
			FROM removals JOIN recordings ON uuid = recording_uuid ORDER BY asked_at, uuid`)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read removals: %w", err)
	}
	return out, nil
}

// slack is how much later than its call a recording may have begun, for the
// search for old ones: they are indexed by their own time.
const slack = 7 * 24 * time.Hour

// DueRecordings implements retention.Repo.
func (s *Store) DueRecordings(ctx context.Context, tenant string, before time.Time, after retention.Place, limit int) ([]retention.DueRecording, error) {
	var out []retention.DueRecording
	err := s.read(ctx, func(q querier) (err error) {
		out, err = collect(ctx, q, func(r *sql.Rows) (d retention.DueRecording, err error) {
			var at int64
			err = r.Scan(&d.UUID, &d.Bytes, &d.Held, &at)
			d.Next = retention.Place{At: fromMicros(at), UUID: d.UUID}
			return d, err
		}, `SELECT r.uuid, r.bytes, h.cdr_id IS NOT NULL, r.intent_at
			FROM recordings r INDEXED BY recordings_media LEFT JOIN cdrs c ON c.id = r.cdr_id LEFT JOIN cdr_holds h ON h.cdr_id = r.cdr_id
			WHERE r.tenant_uuid = ? AND r.`+finalMedia+` AND (r.intent_at, r.uuid) > (?, ?) AND r.intent_at < ?
			AND coalesce(c.start_at, r.intent_at) < ? ORDER BY r.intent_at, r.uuid LIMIT ?`,
			tenant, micros(after.At), after.UUID, micros(before.Add(slack)), micros(before), limit)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("find recordings that are too old: %w", err)
	}
	return out, nil
}

// DueCDRs implements retention.Repo. A CDR stays while another tenant has media
// of it, or a recording of it has not ended.
func (s *Store) DueCDRs(ctx context.Context, tenant string, before time.Time, after retention.Place, limit int) ([]retention.DueCDR, error) {
	var out []retention.DueCDR
	err := s.read(ctx, func(q querier) (err error) {
		out, err = collect(ctx, q, func(r *sql.Rows) (d retention.DueCDR, err error) {
			var at int64
			err = r.Scan(&d.ID, &d.Held, &at)
			d.Next = retention.Place{At: fromMicros(at), ID: d.ID}
			return d, err
		}, `SELECT c.id, h.cdr_id IS NOT NULL, c.start_at FROM cdrs c LEFT JOIN cdr_holds h ON h.cdr_id = c.id
			WHERE c.tenant_uuid = ? AND c.start_at >= ? AND c.start_at < ? AND (c.start_at, c.id) > (?, ?) AND NOT EXISTS (
				SELECT 1 FROM recordings r WHERE r.cdr_id = c.id AND r.state <> 'deleted'
				AND (r.tenant_uuid <> c.tenant_uuid OR NOT r.`+finalMedia+`))
			ORDER BY c.start_at, c.id LIMIT ?`,
			tenant, micros(after.At), micros(before), micros(after.At), after.ID, limit)
		if err != nil {
			return err
		}
		byID := map[int64]*retention.DueCDR{}
		ids := make([]int64, 0, len(out))
		for i := range out {
			byID[out[i].ID] = &out[i]
			ids = append(ids, out[i].ID)
		}
		_, err = collect(ctx, q, func(r *sql.Rows) (none struct{}, err error) {
			var id int64
			var d retention.DueRecording
			if err := r.Scan(&id, &d.UUID, &d.Bytes); err != nil {
				return none, err
			}
			byID[id].Media = append(byID[id].Media, d)
			return none, nil
		}, "SELECT cdr_id, uuid, bytes FROM recordings WHERE cdr_id IN (SELECT value FROM json_each(?)) AND "+finalMedia, list(ids))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("find CDRs that are too old: %w", err)
	}
	return out, nil
}

// DeleteCDRs implements retention.Repo.
func (s *Store) DeleteCDRs(ctx context.Context, ids []int64, actor string) (int, error) {
	deleted := 0
	for len(ids) > 0 {
		n := 0
		err := s.Write(ctx, Bulk, func(t *Tx) error {
			n = 0
			done := 0
			for begin := time.Now(); done < len(ids) && (done == 0 || time.Since(begin) < groupTime); done++ {
				gone, err := t.deleteCDR(ids[done], actor)
				if err != nil {
					return fmt.Errorf("cdr %d: %w", ids[done], err)
				}
				if gone {
					n++
				}
			}
			ids = ids[done:]
			return nil
		})
		if err != nil {
			return deleted, fmt.Errorf("delete cdrs: %w", err)
		}
		deleted += n
	}
	return deleted, nil
}

// deleteCDR deletes a CDR with its deleted recordings, unless it is held or has
// others.
func (t *Tx) deleteCDR(id int64, actor string) (bool, error) {
	st, err := t.prepared(`SELECT conversation_id, tenant_uuid, start_at FROM cdrs
		WHERE id = ? AND NOT EXISTS (SELECT 1 FROM cdr_holds WHERE cdr_id = cdrs.id)
		AND NOT EXISTS (SELECT 1 FROM recordings WHERE cdr_id = cdrs.id AND (state <> 'deleted'
			OR EXISTS (SELECT 1 FROM removals WHERE recording_uuid = uuid)))`)
	if err != nil {
		return false, err
	}
	var call string
	var data struct {
		CDR        int64  `json:"cdr"`
		TenantUUID string `json:"tenant_uuid"`
		Start      int64  `json:"start_at"`
	}
	err = st.QueryRowContext(t.ctx, id).Scan(&call, &data.TenantUUID, &data.Start)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	data.CDR = id
	if err == nil {
		err = t.AppendEvents(recorder.Event{Kind: "cdr.deleted", Call: call, Actor: actor, Data: data})
	}
	if err != nil {
		return false, err
	}
	if err := t.exec("DELETE FROM recordings WHERE cdr_id = ?", id); err != nil {
		return false, err
	}
	return true, t.changed("DELETE FROM cdrs WHERE id = ?", id)
}
