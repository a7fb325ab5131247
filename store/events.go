package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"time"

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

// AppendEvents adds events to the append-only table. Their Data must marshal
// to JSON. A zero At is now.
func (t *Tx) AppendEvents(events ...recorder.Event) error {
	for _, e := range events {
		data, err := json.Marshal(e.Data)
		if err != nil {
			return fmt.Errorf("encode event %s: %w", e.Kind, err)
		}
		if e.At.IsZero() {
			e.At = t.now
		}
		if err := t.exec("INSERT INTO events (at, kind, recording, call, actor, data) VALUES (?, ?, ?, ?, ?, ?)",
			micros(e.At), e.Kind, e.Recording, e.Call, e.Actor, string(data)); err != nil {
			return fmt.Errorf("store event %s: %w", e.Kind, err)
		}
	}
	return nil
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
