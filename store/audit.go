package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	model "callrecordd/internal/call"
	"callrecordd/internal/recorder"
)

// AuditCall is what is stored of a call that an audit looks at.
type AuditCall struct {
	ID                       int64
	TenantUUID, Conversation string
	Start, Answer, End       time.Time
	// Live: the journal lacks it. Imported: it was made elsewhere.
	Live, Imported bool
	Talks          []model.TalkHistory // nil if they are not known
	Recordings     []recorder.Recording
	Events         []Event // of the kinds that were asked for, in the order in which they were stored
}

// AuditQuery selects a part of a tenant's calls that began in a period, in the
// order in which they began.
type AuditQuery struct {
	Since, Until time.Time
	Tenant       string
	After        AuditPlace
	Limit        int
	// Kinds of the events of the calls' channels, MoreKinds those of the recordings
	// whose state is not simply ready.
	Kinds, MoreKinds []string
}

// AuditPlace is behind which call a part begins.
type AuditPlace struct {
	Start time.Time
	ID    int64
}

// AuditCalls returns a part of the calls of a period with all that an audit
// needs of them.
func (s *Store) AuditCalls(ctx context.Context, f AuditQuery) (out []AuditCall, err error) {
	err = s.read(ctx, func(q querier) error {
		if out, err = auditRows(ctx, q, f); err != nil || len(out) == 0 {
			return err
		}
		index := make(map[int64]*AuditCall, len(out))
		ids := make([]int64, 0, len(out))
		for i := range out {
			index[out[i].ID] = &out[i]
			ids = append(ids, out[i].ID)
		}
		recordings, err := collect(ctx, q, scanRecording, recordingSelect+
			" WHERE cdr_id IN (SELECT value FROM json_each(?)) ORDER BY intent_at, uuid", list(ids))
		if err != nil {
			return err
		}
		for _, r := range recordings {
			c := index[r.CDRID]
			c.Recordings = append(c.Recordings, r)
		}
		return auditEvents(ctx, q, f, ids, index)
	})
	if err != nil {
		return nil, fmt.Errorf("read the calls of an audit: %w", err)
	}
	return out, nil
}

func auditRows(ctx context.Context, q querier, f AuditQuery) ([]AuditCall, error) {
	w := where{}
	w.add("c.tenant_uuid = ?", f.Tenant)
	w.add("c.start_at < ?", micros(f.Until))
	w.add("(c.start_at, c.id) > (?, ?)", max(micros(f.After.Start), micros(f.Since)-1), afterID(f))
	return collect(ctx, q, scanAuditCall, `SELECT c.id, c.tenant_uuid, c.conversation_id, c.start_at, c.answer_at, c.end_at, c.source = 'live',
		c.source = 'journal' AND c.journal_id = 0 AND c.journal_last = 0, coalesce(t.doc, '')
		FROM cdrs c INDEXED BY cdrs_tenant_start LEFT JOIN cdr_talks t ON t.cdr_id = c.id`+w.String()+" ORDER BY c.start_at, c.id LIMIT ?", append(w.args, f.Limit)...)
}

// afterID: a place before the period is none.
func afterID(f AuditQuery) int64 {
	if f.After.Start.Before(f.Since) {
		return 1<<63 - 1
	}
	return f.After.ID
}

func scanAuditCall(r *sql.Rows) (c AuditCall, err error) {
	var start int64
	var answer, end sql.NullInt64
	var doc string
	if err := r.Scan(&c.ID, &c.TenantUUID, &c.Conversation, &start, &answer, &end, &c.Live, &c.Imported, &doc); err != nil {
		return c, err
	}
	c.Start, c.Answer, c.End = fromMicros(start), fromMicros(answer.Int64), fromMicros(end.Int64)
	if c.Talks, err = decodeTalks(doc); err != nil {
		return c, fmt.Errorf("talks of cdr %d: %w", c.ID, err)
	}
	return c, nil
}

// auditEvents reads those of the channels, and of the recordings that have not
// simply become ready. The time bounds keep out another channel of the same
// uniqueid, which a later Asterisk may have.
func auditEvents(ctx context.Context, q querier, f AuditQuery, ids []int64, index map[int64]*AuditCall) error {
	type found struct {
		cdr int64
		Event
	}
	scan := func(r *sql.Rows) (v found, err error) {
		var at int64
		var data string
		err = r.Scan(&v.cdr, &v.ID, &at, &v.Kind, &v.Recording, &v.Call, &v.Actor, &data)
		v.At, v.Data = fromMicros(at), json.RawMessage(data)
		return v, err
	}
	all, err := collect(ctx, q, scan, `SELECT c.id, e.id, e.at, e.kind, e.recording, e.call, e.actor, e.data
		FROM json_each(?1) j CROSS JOIN cdrs c ON c.id = j.value CROSS JOIN cdr_uniqueids u ON u.cdr_id = c.id
		CROSS JOIN events e INDEXED BY events_call ON e.call = u.uniqueid AND e.call <> ''
		WHERE e.kind IN (SELECT value FROM json_each(?2)) AND e.at >= c.start_at - ?4 AND e.at <= coalesce(c.end_at, c.start_at) + ?5
		UNION
		SELECT r.cdr_id, e.id, e.at, e.kind, e.recording, e.call, e.actor, e.data
		FROM json_each(?1) j CROSS JOIN recordings r ON r.cdr_id = j.value
		CROSS JOIN events e INDEXED BY events_recording ON e.recording = r.uuid AND e.recording <> ''
		WHERE (r.state <> 'ready' OR r.cause <> '') AND e.kind IN (SELECT value FROM json_each(?3))
		ORDER BY 2`, list(ids), list(f.Kinds), list(f.MoreKinds), storySlack.Microseconds(), auditLate.Microseconds())
	if err != nil {
		return err
	}
	for _, e := range all {
		c := index[e.cdr]
		c.Events = append(c.Events, e.Event)
	}
	return nil
}

// auditLate is how long after the end of its source a call may go on: after a
// transfer the others talk on.
const auditLate = 24 * time.Hour

// AuditUnattached returns the recordings of a period that no call has, by the
// time of their intent and behind a place.
func (s *Store) AuditUnattached(ctx context.Context, since, until time.Time, tenants []string, limit int) ([]recorder.Recording, error) {
	w := where{}
	w.add("intent_at >= ?", micros(since))
	w.add("intent_at < ?", micros(until))
	w.add("cdr_id IS NULL")
	if tenants != nil {
		w.add("tenant_uuid IN (SELECT value FROM json_each(?))", list(tenants))
	}
	return s.recordings(ctx, w.String()+" ORDER BY intent_at, uuid LIMIT ?", append(w.args, limit)...)
}

// AuditTenants returns the tenants that have calls, sorted, also those that the
// directory has no more.
func (s *Store) AuditTenants(ctx context.Context) (out []string, err error) {
	err = s.read(ctx, func(q querier) error {
		out, err = collect(ctx, q, one[string], "SELECT uuid FROM cdr_tenants ORDER BY uuid")
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read which tenants have calls: %w", err)
	}
	return out, nil
}

// DirectoryChanges returns the times at which the directory has changed in a
// period, in order: between two of them it is the same.
func (s *Store) DirectoryChanges(ctx context.Context, since, until time.Time) (out []time.Time, err error) {
	err = s.read(ctx, func(q querier) error {
		list, err := collect(ctx, q, one[int64], `SELECT valid_from FROM directory_history WHERE valid_from > ?1 AND valid_from <= ?2
			UNION SELECT valid_to FROM directory_history WHERE valid_to > ?1 AND valid_to <= ?2 ORDER BY 1`, micros(since), micros(until))
		for _, at := range list {
			out = append(out, fromMicros(at))
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read when the directory changed: %w", err)
	}
	return out, nil
}

// AuditTold is that somebody was told of a recording that failed.
type AuditTold struct {
	Recording, Name, State string
	At                     time.Time
}

// AuditDeliveries returns the deliveries about recordings that failed in a
// period, to webhooks.
func (s *Store) AuditDeliveries(ctx context.Context, since, until time.Time) (out []AuditTold, err error) {
	err = s.read(ctx, func(q querier) error {
		out, err = collect(ctx, q, func(r *sql.Rows) (v AuditTold, err error) {
			var at int64
			err = r.Scan(&v.Recording, &v.Name, &v.State, &at)
			v.At = fromMicros(at)
			return v, err
		}, `SELECT coalesce(d.payload ->> '$.data.recording_uuid', ''), w.name, d.state, coalesce(d.ended_at, d.created_at)
			FROM webhook_deliveries d JOIN webhooks w ON w.uuid = d.webhook_uuid
			WHERE d.event = 'recording_failed' AND d.created_at >= ? AND d.created_at < ? ORDER BY d.id`, micros(since), micros(until))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read who was told of failures: %w", err)
	}
	return out, nil
}

// LastAlive is when the daemon that ran before the one whose start is an event
// stored its last event, zero if none had run before.
func (s *Store) LastAlive(ctx context.Context, id int64) (at time.Time, err error) {
	var us int64
	err = s.read(ctx, func(q querier) error {
		return q.QueryRowContext(ctx, `SELECT coalesce((SELECT at FROM events WHERE id < ?1 AND actor IN ('', 'callrecordd')
				AND at < (SELECT at FROM events WHERE id = ?1) ORDER BY id DESC LIMIT 1), 0)
			* EXISTS (SELECT 1 FROM events INDEXED BY events_outages WHERE id < ?1 AND kind = 'daemon_started' AND kind IN `+outageKinds+")", id).Scan(&us)
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("read the last event before the start %d: %w", id, err)
	}
	return fromMicros(us), nil
}

// SetAlive notes that the daemon lives. It is not fsynced.
func (s *Store) SetAlive(ctx context.Context, at time.Time) error {
	err := s.Write(ctx, SoonUnsynced, func(t *Tx) error {
		return t.exec("INSERT INTO daemon_alive VALUES (1, ?) ON CONFLICT DO UPDATE SET at = excluded.at", micros(at))
	})
	if err != nil {
		return fmt.Errorf("note that the daemon lives: %w", err)
	}
	return nil
}

// Alive is when a daemon was alive last, zero if none ever was.
func (s *Store) Alive(ctx context.Context) (at time.Time, err error) {
	var us int64
	err = s.read(ctx, func(q querier) error {
		return q.QueryRowContext(ctx, "SELECT coalesce((SELECT at FROM daemon_alive), 0)").Scan(&us)
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("read when the daemon was alive last: %w", err)
	}
	return fromMicros(us), nil
}

// outageKinds is as the index events_outages has it, or it would not be used.
const outageKinds = `('daemon_started', 'daemon_stopped', 'asterisk_seen',
  'asterisk_unseen', 'manager_seen', 'manager_unseen', 'journal_gap', 'journal_stalled', 'journal_resumed', 'clock_jumped', 'alarm_raised', 'alarm_cleared', 'asterisk_stalled')`

// OutageEvents returns the events of a period of which outages are made, in
// order.
func (s *Store) OutageEvents(ctx context.Context, since, until time.Time) (out []Event, err error) {
	err = s.read(ctx, func(q querier) error {
		out, err = collect(ctx, q, scanEvent, `SELECT id, at, kind, recording, call, actor, data FROM events INDEXED BY events_outages
			WHERE kind IN `+outageKinds+` AND at >= ? AND at < ? ORDER BY at, id`, micros(since), micros(until))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read events of outages: %w", err)
	}
	return out, nil
}

// AuditSaved is what an audit of a tenant came to.
type AuditSaved struct {
	TenantUUID             string
	Since, Until, Finished time.Time
	// Sum is kept as JSON; it comes back as json.RawMessage.
	Sum any
}

// SaveAudit stores what an audit came to, with its event.
func (s *Store) SaveAudit(ctx context.Context, a AuditSaved, event recorder.Event) error {
	doc, err := json.Marshal(a.Sum)
	if err == nil {
		err = s.Write(ctx, Soon, func(t *Tx) error {
			if err := t.exec("INSERT INTO audits (tenant_uuid, since_at, until_at, finished_at, doc) VALUES (?, ?, ?, ?, ?)",
				a.TenantUUID, micros(a.Since), micros(a.Until), micros(t.now), string(doc)); err != nil {
				return err
			}
			return t.AppendEvents(event)
		})
	}
	if err != nil {
		return fmt.Errorf("store the audit of tenant %s: %w", a.TenantUUID, err)
	}
	return nil
}

// LastAudits returns the last audit of each tenant.
func (s *Store) LastAudits(ctx context.Context) (out []AuditSaved, err error) {
	err = s.read(ctx, func(q querier) error {
		out, err = collect(ctx, q, func(r *sql.Rows) (a AuditSaved, err error) {
			var since, until, finished int64
			var doc string
			err = r.Scan(&a.TenantUUID, &since, &until, &finished, &doc)
			a.Since, a.Until, a.Finished, a.Sum = fromMicros(since), fromMicros(until), fromMicros(finished), json.RawMessage(doc)
			return a, err
		}, `SELECT tenant_uuid, since_at, until_at, finished_at, doc FROM audits
			WHERE id IN (SELECT max(id) FROM audits GROUP BY tenant_uuid) ORDER BY tenant_uuid`)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the last audits: %w", err)
	}
	return out, nil
}
