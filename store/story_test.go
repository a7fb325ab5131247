package store

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"callrecordd/internal/cdr"
	"callrecordd/internal/recorder"
)

// storyCall is a call of two channels, an hour's minute long.
func storyCall(start time.Time, boot time.Time, ids ...string) cdr.CDR {
	return cdr.CDR{
		TenantUUID: "t", Start: start, End: start.Add(time.Minute), CallStatus: cdr.StatusAnswered, ConversationID: ids[0],
		LinkedIDs: ids[:1], Uniqueids: ids, Journal: cdr.JournalRange{ID: 1, Boot: boot}, Source: cdr.SourceJournal,
	}
}

// The story of a call has what happened on its channels and to its recordings,
// also later, and nothing of a call of another Asterisk with the same uniqueids.
func TestCallEvents(t *testing.T) {
	s, c := newStore(t)
	start := fromMicros(micros(c.now()))
	boot := start.Add(-time.Hour)
	next := start.Add(2 * time.Hour) // the clock was set back, and Asterisk begins to count anew
	ids, err := s.SaveCDRs(t.Context(), []cdr.CDR{
		storyCall(start, boot, "17.1", "17.2"), storyCall(next, next.Add(-time.Second), "17.1", "17.2"), storyCall(start, boot, "17.3", "17.4"),
	}, cdr.Checkpoint{})
	if err != nil {
		t.Fatal(err)
	}
	const uuid = "10000000-0000-4000-8000-00000000000a"
	err = s.Write(t.Context(), High, func(tx *Tx) error {
		r := recorder.Recording{UUID: uuid, TenantUUID: "t", Boot: boot, Hook: "17.1", Legs: []string{"17.1"}, State: recorder.Ready, IntentAt: start, CDRID: ids[0]}
		if err := tx.InsertRecording(r); err != nil {
			return err
		}
		return tx.exec("UPDATE recordings SET cdr_id = ? WHERE uuid = ?", ids[0], uuid)
	})
	if err != nil {
		t.Fatal(err)
	}
	event := func(at time.Time, kind, call, rec string) recorder.Event {
		return recorder.Event{At: at, Kind: kind, Call: call, Recording: rec, Data: struct{}{}}
	}
	if err := s.AppendEvents(
		t.Context(),
		event(start.Add(-time.Hour), "before", "17.1", ""),
		event(start.Add(-time.Second), "a", "17.1", ""), // the clocks differ
		event(start.Add(time.Second), "b", "17.2", uuid),
		event(start.Add(time.Second), "of another call", "17.3", ""),
		event(start.Add(time.Hour), "c", "17.1", ""),
		event(next.Add(time.Second), "of the other Asterisk", "17.1", ""),
		event(start.Add(100*time.Hour), "d", "", uuid),
	); err != nil {
		t.Fatal(err)
	}
	for i, want := range map[int][]string{0: {"a", "b", "c", "d"}, 1: {"of the other Asterisk"}, 2: {"of another call"}} {
		list, err := s.CallEvents(t.Context(), ids[i])
		var got []string
		for _, e := range list {
			if !slices.Contains([]string{EventCDR, EventImported, EventAttached}, e.Kind) { // each time that one is stored
				got = append(got, e.Kind)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("call %d (-want +got): %v\n%s", i, err, diff)
		}
	}
	if list, err := s.CallEvents(t.Context(), 4711); len(list) > 0 || err != nil {
		t.Errorf("a CDR that does not exist: %v, %v", list, err)
	}
	found, err := s.CDRsOf(t.Context(), map[string]time.Time{"17.1": start, "17.2": next.Add(time.Second), "17.4": start, "17.9": start})
	if diff := cmp.Diff(map[string]int64{"17.1": ids[0], "17.2": ids[1], "17.4": ids[2]}, found); diff != "" || err != nil {
		t.Errorf("the calls of channels (-want +got): %v\n%s", err, diff)
	}
}

// Decisions are read page by page, in the order of time; pages do not overlap
// and lack nothing, although events of one moment are on both sides of a bound.
func TestEventsOfKindsByPages(t *testing.T) {
	s, c := newStore(t)
	start := fromMicros(micros(c.now()))
	var list []recorder.Event
	for i := range 20 {
		kind := []string{"decision", "other"}[i%2]
		list = append(list, recorder.Event{At: start.Add(time.Duration(i/5) * time.Second), Kind: kind, Data: i})
	}
	slices.Reverse(list[5:15]) // they are not stored in the order of time
	if err := s.AppendEvents(t.Context(), list...); err != nil {
		t.Fatal(err)
	}
	var got []string
	after := EventPlace{At: start.Add(time.Second)} // that moment's are in, those before are not
	for {
		page, err := s.EventsOfKinds(t.Context(), []string{"decision"}, after, start.Add(3*time.Second), 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page {
			got = append(got, fmt.Sprint(e.At.Sub(start)))
			after = EventPlace{e.At, e.ID}
		}
		if len(page) < 2 {
			break
		}
	}
	if diff := cmp.Diff([]string{"1s", "1s", "2s", "2s", "2s"}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestNoQueryOfOneCallScansTheEvents: the indexes on call and recording are
// partial, and SQLite left them unused when a query did not say so, which with
// ten million events is a matter of seconds.
func TestNoQueryOfOneCallScansTheEvents(t *testing.T) {
	s, _ := newStore(t)
	ofRecording, recordingArgs := EventFilter{Recording: "r"}.query()
	ofCall, callArgs := EventFilter{Call: "c"}.query()
	for query, args := range map[string][]any{
		storyQuery:  {1, 2},
		kindsQuery:  {1, 2, 3, `["decision"]`, 5},
		ofRecording: recordingArgs,
		ofCall:      callArgs,
	} {
		scansNone(t, s, []string{"events", "e", "r", "c", "u", "o"}, query, args...)
	}
}

// TestAStartDoesNotReadAllItemsOfExports: it waits until the items of exports that
// were never finished are gone, and there may be a million of others.
func TestAStartDoesNotReadAllItemsOfExports(t *testing.T) {
	s, _ := newStore(t)
	scansNone(t, s, []string{"i", "export_items"}, "SELECT export_uuid, pos FROM export_items i "+orphanItems+" LIMIT ?", 500)
}

// scansNone fails if a query goes through one of the tables from end to end.
func scansNone(t *testing.T, s *Store, tables []string, query string, args ...any) {
	t.Helper()
	var plan []string
	err := s.read(t.Context(), func(q querier) (err error) {
		plan, err = collect(t.Context(), q, func(r *sql.Rows) (detail string, err error) {
			var id, parent, unused int
			return detail, r.Scan(&id, &parent, &unused, &detail)
		}, "EXPLAIN QUERY PLAN "+query, args...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		for _, step := range plan {
			if wrong := "SCAN " + table; step == wrong || strings.HasPrefix(step, wrong+" ") {
				t.Errorf("%s\n%s", query, strings.Join(plan, "; "))
			}
		}
	}
}
