package store

import (
	"context"
	"fmt"
	"time"
)

// storySlack is by how much the clock of an event, ours, may be behind that of
// its call, Asterisk's.
const storySlack = time.Minute

// callEvents are the ids of a call's events: those of its channels, and those
// of its recordings. A uniqueid means another channel once a later Asterisk has
// a call with the same. What is found out afterwards, such as that nobody saw
// the call, has no bound. ?1 is the CDR, ?2 the slack in microseconds.
const callEvents = `
	SELECT e.id FROM cdrs c JOIN cdr_uniqueids u ON u.cdr_id = c.id
		JOIN events e ON e.call = u.uniqueid AND e.call <> ''
		WHERE c.id = ?1 AND e.at >= c.start_at - ?2 AND e.at < coalesce((
			SELECT min(later.start_at) FROM cdr_uniqueids o JOIN cdrs later ON later.id = o.cdr_id
			WHERE o.uniqueid = u.uniqueid AND later.start_at > c.start_at) - ?2, 9223372036854775807)
	UNION
	SELECT e.id FROM recordings r JOIN events e ON e.recording = r.uuid AND e.recording <> '' WHERE r.cdr_id = ?1`

const storyQuery = "SELECT id, at, kind, recording, call, actor, data FROM events WHERE id IN (" + callEvents + ") ORDER BY id"

// CallEvents returns the events of a call's channels and recordings, in the
// order in which they were stored; none of a CDR that does not exist.
func (s *Store) CallEvents(ctx context.Context, cdrID int64) (out []Event, err error) {
	err = s.read(ctx, func(q querier) error {
		out, err = collect(ctx, q, scanEvent, storyQuery, cdrID, storySlack.Microseconds())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the events of cdr %d: %w", cdrID, err)
	}
	return out, nil
}

// EventPlace is a place in the events in the order of time.
type EventPlace struct {
	At time.Time
	ID int64
}

// kindsQuery reads the index on time, so that what is before and behind the
// period is not looked at.
const kindsQuery = `SELECT id, at, kind, recording, call, actor, data FROM events INDEXED BY events_at
	WHERE (at, id) > (?1, ?2) AND at < ?3 AND kind IN (SELECT value FROM json_each(?4)) ORDER BY at, id LIMIT ?5`

// EventsOfKinds returns at most limit events of some kinds in the order of time,
// behind a place and before a time.
func (s *Store) EventsOfKinds(ctx context.Context, kinds []string, after EventPlace, until time.Time, limit int) (out []Event, err error) {
	err = s.read(ctx, func(q querier) error {
		out, err = collect(ctx, q, scanEvent, kindsQuery, micros(after.At), after.ID, micros(until), list(kinds), limit)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read events from %s until %s: %w", after.At, until, err)
	}
	return out, nil
}

// CDRsOf returns the CDRs of channels, by uniqueid: with several, because a
// later Asterisk has used it again, the last that had begun by then. A channel
// whose call has no CDR is left out.
func (s *Store) CDRsOf(ctx context.Context, channels map[string]time.Time) (map[string]int64, error) {
	out, began := make(map[string]int64, len(channels)), make(map[string]int64, len(channels))
	ids := make([]string, 0, len(channels))
	for id := range channels {
		ids = append(ids, id)
	}
	err := s.read(ctx, func(q querier) error {
		rows, err := q.QueryContext(ctx, `SELECT u.uniqueid, c.id, c.start_at FROM cdr_uniqueids u JOIN cdrs c ON c.id = u.cdr_id
			WHERE u.uniqueid IN (SELECT value FROM json_each(?))`, list(ids))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var uniqueid string
			var id, start int64
			if err := rows.Scan(&uniqueid, &id, &start); err != nil {
				return err
			}
			if start-storySlack.Microseconds() <= micros(channels[uniqueid]) && start >= began[uniqueid] {
				out[uniqueid], began[uniqueid] = id, start
			}
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("find the cdrs of %d channels: %w", len(ids), err)
	}
	return out, nil
}
