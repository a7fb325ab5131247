package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"callrecordd/internal/ledger"
	"callrecordd/internal/recorder"
)

// Event is a stored event. Its Data is a json.RawMessage.
type Event struct {
	ID int64
	recorder.Event
}

// EventFilter selects events; zero fields do not restrict.
type EventFilter struct {
	Recording, Call string
	Kind            string // the kind itself or, if it ends with a dot, all below it
	From, Until     time.Time
	After           int64 // id: only later ones
	Limit           int
}

// AppendEvents adds events to the append-only table, chained to those before
// (docs/ledger.md). Their Data must marshal to JSON. A zero At is now.
func (t *Tx) AppendEvents(events ...recorder.Event) error {
	for _, e := range events {
		data, err := json.Marshal(e.Data)
		if err != nil {
			return fmt.Errorf("encode event %s: %w", e.Kind, err)
		}
		if e.At.IsZero() {
			e.At = t.now
		}
		if err := t.appendEntry(ledger.Entry{
			At: micros(e.At), Kind: valid(e.Kind), Recording: valid(e.Recording), Call: valid(e.Call), Actor: valid(e.Actor), Data: string(data),
		}); err != nil {
			return fmt.Errorf("store event %s: %w", e.Kind, err)
		}
		*t.noted = true
	}
	return nil
}

// valid is a text without what JSON cannot say: a proof has it as JSON.
func valid(text string) string { return strings.ToValidUTF8(text, "\ufffd") }

// tellAppended passes on that events have been committed.
func (s *Store) tellAppended() {
	if !s.noted {
		return
	}
	s.noted = false
	select {
	case s.appended <- struct{}{}:
	default: // it is known already
	}
}

// Appended tells that events have been committed since it was last read. It is
// for one reader.
func (s *Store) Appended() <-chan struct{} { return s.appended }

// LastEvent is the id of the newest event, 0 if there is none.
func (s *Store) LastEvent(ctx context.Context) (id int64, err error) {
	err = s.read(ctx, func(q querier) error {
		return q.QueryRowContext(ctx, "SELECT coalesce(max(id), 0) FROM events").Scan(&id)
	})
	if err != nil {
		return 0, fmt.Errorf("read the newest event: %w", err)
	}
	return id, nil
}

// EventsAfter returns the events behind one, at most limit of them. Of kinds
// that are not named it returns no data: they are only there to be passed.
func (s *Store) EventsAfter(ctx context.Context, id int64, kinds []string, limit int) (out []Event, err error) {
	err = s.read(ctx, func(q querier) (err error) {
		out, err = collect(ctx, q, scanEvent, `SELECT id, at, kind, recording, call, actor,
			iif(kind IN (SELECT value FROM json_each(?)), data, 'null') FROM events WHERE id > ? ORDER BY id LIMIT ?`,
			list(kinds), id, limit)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read events behind %d: %w", id, err)
	}
	return out, nil
}

// SawBefore says whether there is an event of that kind of the recording before
// the one with the id.
func (s *Store) SawBefore(ctx context.Context, id int64, kind, recording string) (there bool, err error) {
	err = s.read(ctx, func(q querier) error {
		return q.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM events WHERE recording = ? AND recording <> '' AND kind = ? AND id < ?)",
			recording, kind, id).Scan(&there)
	})
	if err != nil {
		return false, fmt.Errorf("look for event %s of recording %s: %w", kind, recording, err)
	}
	return there, nil
}

// Events that come with the rows that they are about, in one transaction: who
// is told of them finds those.
const (
	EventSettled = "recording_settled" // the file's life is over; Data is Settled
	EventCDR     = "cdr_saved"         // Data is CDRSaved
)

// Events with the same Data as EventSettled, of which nobody is told: a
// recording had ended when its row came to be, such as an imported one, or its
// file is another one now, such as after a repair.
const (
	EventImported = "recording_imported"
	EventRestated = "recording_restated"
)

// Settled is the Data of EventSettled: what the ledger proves of the file. It is
// lower-case hex; before version 14 of the schema there was none of a file.
type Settled struct {
	State   recorder.State `json:"state"`
	Cause   string         `json:"cause,omitempty"`
	SHA256  string         `json:"sha256,omitempty"`
	Bytes   int64          `json:"bytes"`
	Samples int64          `json:"samples"`
	Rate    int            `json:"rate"`
	Proves  bool           `json:"proves"` // of this version: SHA256 is empty because there is none
	// Tenant is whose it is, and with it in which folder; older entries lack it.
	Tenant string `json:"tenant,omitempty"`
	// Row is the digest of the rest of the row (rowText); older entries lack it.
	Row string `json:"row,omitempty"`
}

// EventAttached says to which CDR a recording belongs from now on. Data is Attached.
const EventAttached = "recording_attached"

// Attached is the Data of EventAttached.
type Attached struct {
	CDR int64 `json:"cdr"`
}

// noteAttached appends EventAttached of recordings.
func (t *Tx) noteAttached(cdrID int64, uuids ...string) error {
	for _, uuid := range uuids {
		if err := t.AppendEvents(recorder.Event{Kind: EventAttached, Recording: uuid, Actor: "callrecordd", Data: Attached{cdrID}}); err != nil {
			return err
		}
	}
	return nil
}

// uuids runs a statement that returns some, and stays prepared.
func (t *Tx) uuids(query string, args ...any) (out []string, err error) {
	t.ran++
	st, err := t.prepared(query)
	if err != nil {
		return nil, err
	}
	rows, err := st.QueryContext(t.ctx, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		uuid, err := one[string](rows)
		if err != nil {
			return nil, err
		}
		out = append(out, uuid)
	}
	return out, rows.Err()
}

// CDRSaved is the Data of EventCDR. New is false if the CDR of a call has been
// derived anew. Digest is that of the row (cdrText), Talks that of the row of
// cdr_talks, or noTalks; older entries lack them.
type CDRSaved struct {
	ID     int64  `json:"cdr"`
	New    bool   `json:"new"`
	Digest string `json:"digest,omitempty"`
	Talks  string `json:"talks,omitempty"`
}

// Settle is the event of a recording whose state is final.
func Settle(r recorder.Recording) recorder.Event {
	return recorder.Event{Kind: EventSettled, Recording: r.UUID, Call: r.Call(), Actor: "callrecordd", Data: Settled{
		State: r.State, Cause: r.Cause, SHA256: r.SHA256, Bytes: r.Bytes, Samples: r.Samples, Rate: r.Rate, Proves: true, Tenant: r.TenantUUID,
		Row: rowDigest(r),
	}}
}

// AppendEvents adds events in one durable transaction, which they may share
// with other writes.
func (s *Store) AppendEvents(ctx context.Context, events ...recorder.Event) error {
	return s.Write(ctx, Soon, func(t *Tx) error { return t.AppendEvents(events...) })
}

// Events returns events in the order in which they were stored.
func (s *Store) Events(ctx context.Context, f EventFilter) ([]Event, error) {
	query, args := f.query()
	var out []Event
	err := s.read(ctx, func(q querier) (err error) {
		out, err = collect(ctx, q, scanEvent, query, args...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	return out, nil
}

func (f EventFilter) query() (string, []any) {
	w := where{}
	// What looks superfluous lets SQLite use the indexes, which are partial.
	w.addIf(f.Recording != "", "recording = ? AND recording <> ''", f.Recording)
	w.addIf(f.Call != "", "call = ? AND call <> ''", f.Call)
	if strings.HasSuffix(f.Kind, ".") {
		w.add("substr(kind, 1, ?) = ?", len(f.Kind), f.Kind)
	} else {
		w.addIf(f.Kind != "", "kind = ?", f.Kind)
	}
	w.addIf(!f.From.IsZero(), "at >= ?", micros(f.From))
	w.addIf(!f.Until.IsZero(), "at < ?", micros(f.Until))
	w.addIf(f.After != 0, "id > ?", f.After)
	limit := f.Limit
	if limit <= 0 {
		limit = -1
	}
	return "SELECT id, at, kind, recording, call, actor, data FROM events" + w.String() + " ORDER BY id LIMIT ?", append(w.args, limit)
}

func scanEvent(r *sql.Rows) (Event, error) {
	var e Event
	var at int64
	var data string
	err := r.Scan(&e.ID, &at, &e.Kind, &e.Recording, &e.Call, &e.Actor, &data)
	e.At, e.Data = fromMicros(at), json.RawMessage(data)
	return e, err
}

// where collects conditions that must all hold.
type where struct {
	conds []string
	args  []any
}

func (w *where) add(cond string, args ...any) {
	w.conds = append(w.conds, cond)
	w.args = append(w.args, args...)
}

func (w *where) addIf(ok bool, cond string, args ...any) {
	if ok {
		w.add(cond, args...)
	}
}

// String returns the WHERE clause, empty without conditions.
func (w *where) String() string {
	if len(w.conds) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.conds, " AND ")
}

// list makes one argument of many: use it with `IN (SELECT value FROM
// json_each(?))`, which has no limit and needs one prepared statement.
func list[T any](v []T) string {
	b, err := json.Marshal(v)
	if err != nil || v == nil {
		return "[]" // strings and integers always marshal
	}
	return string(b)
}
