package store

import (
	"encoding/json"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	model "callrecordd/internal/call"
	"callrecordd/internal/cdr"
	"callrecordd/internal/recorder"
)

// What an audit looks at comes back as it was stored, part by part, and of no
// other tenant or time.
func TestAuditCalls(t *testing.T) {
	s, _ := newStore(t)
	talks := []model.TalkHistory{{
		ID: 3, Began: start, Ended: start.Add(time.Minute), EndUnknown: true, Spans: []model.Span{{From: start, To: start.Add(time.Minute), Legs: []model.Leg{
			{ID: "1.1", Name: "PJSIP/a-0000000a", Joined: start},
			{ID: "1.2", Name: "PJSIP/b-0000000b", Joined: start, Role: model.RolePeer, Via: []model.Hop{{Queue: "q", Group: "g", Exten: "1", Context: "c"}}},
		}}},
	}}
	one, two, three := call("1.1", "1.1", "1.2"), call("2.1", "2.1"), call("3.1", "3.1")
	one.Talks, two.Start, three.TenantUUID = talks, start.Add(time.Second), "other"
	three.Uniqueids = []string{"3.1"}
	ids := make([]int64, 0, 3)
	for i, c := range []cdr.CDR{one, two, three} {
		c.Journal.First, c.Journal.Last = int64(i+1), int64(i+1)
		got, err := s.SaveCDRs(t.Context(), []cdr.CDR{c}, cdr.Checkpoint{Journal: 1, Position: int64(i + 1)})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, got...)
	}
	for _, e := range []recorder.Event{
		{At: start, Kind: "decision", Call: "1.2", Data: 1},
		{At: start, Kind: "other", Call: "1.2", Data: 2},
		{At: start.Add(-time.Hour), Kind: "decision", Call: "1.1", Data: 3},
		{At: start.Add(time.Hour), Kind: "decision", Call: "1.1", Data: 4},
	} {
		if err := s.AppendEvents(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	tenants, err := s.AuditTenants(t.Context())
	if err != nil || cmp.Diff([]string{"other", "t"}, tenants) != "" {
		t.Errorf("tenants %v, %v", tenants, err)
	}
	q := AuditQuery{Since: start, Until: start.Add(time.Minute), Tenant: "t", Limit: 1, Kinds: []string{"decision"}}
	list, err := s.AuditCalls(t.Context(), q)
	if err != nil || len(list) != 1 || list[0].ID != ids[0] {
		t.Fatalf("%+v, %v", list, err)
	}
	if diff := cmp.Diff(talks, list[0].Talks); diff != "" {
		t.Error(diff)
	}
	var data []string
	for _, e := range list[0].Events {
		data = append(data, string(e.Data.(json.RawMessage)))
	}
	if diff := cmp.Diff([]string{"1", "4"}, data); diff != "" {
		t.Error(diff)
	}
	q.After = AuditPlace{list[0].Start, list[0].ID}
	if list, err = s.AuditCalls(t.Context(), q); err != nil || len(list) != 1 || list[0].ID != ids[1] || list[0].Talks != nil {
		t.Fatalf("%+v, %v", list, err)
	}
	q.After = AuditPlace{list[0].Start, list[0].ID}
	if list, err = s.AuditCalls(t.Context(), q); err != nil || len(list) != 0 {
		t.Fatalf("%+v, %v", list, err)
	}
}

func TestAlive(t *testing.T) {
	s, _ := newStore(t)
	for _, want := range []time.Time{{}, start, start.Add(time.Minute)} {
		if !want.IsZero() {
			if err := s.SetAlive(t.Context(), want); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := s.Alive(t.Context()); err != nil || !got.Equal(want) {
			t.Errorf("%s, %v, want %s", got, err, want)
		}
	}
}

// A database that an earlier build made has its index without the newest kind.
func TestOutagesOfADatabaseFromBeforeStalls(t *testing.T) {
	path := filepath.Join(t.TempDir(), "callrecordd.db")
	s := open(t, options(path))
	exec(t, s, "DROP INDEX events_outages")
	exec(t, s, "CREATE INDEX events_outages ON events(at, id) WHERE kind IN ('daemon_started')")
	exec(t, s, "DELETE FROM goose_db_version WHERE version_id >= 18")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, options(path))
	if _, err := s.OutageEvents(t.Context(), start, start.Add(time.Hour)); err != nil {
		t.Error(err)
	}
}

// The last sign of life of a daemon that was killed, and the events of its life.
func TestLastAlive(t *testing.T) {
	s, _ := newStore(t)
	for i, e := range []recorder.Event{
		{Kind: "directory", Actor: "root"},
		{Kind: "daemon_started", Actor: "callrecordd"},
		{Kind: "decision"},
		{Kind: "user.changed", Actor: "root"},
		{Kind: "new daemon's", Actor: "callrecordd"},
		{Kind: "daemon_started", Actor: "callrecordd"},
	} {
		e.At, e.Data = start.Add(time.Duration(i)*time.Minute), 0
		if e.Kind == "new daemon's" { // its start is stored a little late
			e.At = e.At.Add(time.Hour / 2)
		}
		if err := s.AppendEvents(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	list, err := s.OutageEvents(t.Context(), start, start.Add(time.Hour))
	if err != nil || len(list) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	for i, want := range []time.Time{{}, start.Add(2 * time.Minute)} {
		if got, err := s.LastAlive(t.Context(), list[i].ID); err != nil || !got.Equal(want) {
			t.Errorf("before start %d: %s, %v", i, got, err)
		}
	}
}
