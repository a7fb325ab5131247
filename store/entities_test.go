package store

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"callrecordd/dialplan"
	"callrecordd/internal/cdr"
	"callrecordd/internal/directory"
	"callrecordd/internal/recorder"
)

var _ cdr.Store = (*Store)(nil)

func newDirectory(t *testing.T, s *Store, c *clock) *directory.Service {
	t.Helper()
	n := 0
	d, err := directory.New(t.Context(), directory.Options{
		Repo: s, Now: c.now, NewUUID: func() string { n++; return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDirectoryRoundTrip(t *testing.T) {
	s, c := newStore(t)
	d := newDirectory(t, s, c)
	ctx := t.Context()
	tenant, err := d.CreateTenant(ctx, "root", directory.Tenant{Name: "acme", AsteriskID: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	u, err := d.CreateUser(ctx, "root", directory.User{
		TenantUUID: tenant.UUID, FirstName: "Alice", UserField: "sales,vip", Flags: dialplan.Flags{OnDemand: true},
		Lines: []directory.Line{{Endpoint: "PJSIP/alice", Exten: "2001", Context: "users"}, {Endpoint: "PJSIP/alice2"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.CreateGroup(ctx, "root", directory.Group{Name: "g", Exten: "3000", Context: "users", DTMFRecordToggle: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.CreateQueue(ctx, "root", directory.Queue{Name: "q", Label: "Queue"}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.CreateTrunk(ctx, "root", directory.Trunk{Endpoint: "PJSIP/out"}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.CreateDevice(ctx, "root", directory.Device{Endpoint: "PJSIP/door"}); err != nil {
		t.Fatal(err)
	}
	// The line that stays keeps its id although it moves.
	if _, err := d.EditUser(ctx, "root", u.UUID, func(u *directory.User) error {
		u.Lines = []directory.Line{{Endpoint: "PJSIP/new"}, {Endpoint: "PJSIP/alice", Main: true}}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if got := d.Book().Endpoint("PJSIP/alice").Line.ID; got != u.Lines[0].ID {
		t.Errorf("line id %d, was %d", got, u.Lines[0].ID)
	}
	want := d.Book().Contents()
	got, err := s.LoadDirectory(ctx)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("loaded (-want +got), %v:\n%s", err, diff)
	}
	then, err := s.BookAt(ctx, c.now())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.Users, then.Contents().Users); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	es, err := s.Events(ctx, EventFilter{Kind: "directory."})
	if err != nil || len(es) != 9 || es[8].Kind != "directory.user.changed" || es[8].Actor != "root" {
		t.Errorf("%d events, %v: %+v", len(es), err, es)
	}
	if err := s.InsertIntent(ctx, recorder.Recording{UUID: "r", TenantUUID: tenant.UUID, State: "starting"}); err != nil {
		t.Fatal(err)
	}
	if err := d.DeleteUser(ctx, "root", u.UUID); err != nil {
		t.Fatal(err)
	}
	if err := d.DeleteTenant(ctx, "root", tenant.UUID); !errors.Is(err, directory.ErrConflict) {
		t.Errorf("deleting a tenant with recordings: %v", err)
	}
}

func TestFlagsInForceAtATime(t *testing.T) {
	s, c := newStore(t)
	d := newDirectory(t, s, c)
	begin := c.now()
	u, err := d.CreateUser(t.Context(), "root", directory.User{FirstName: "Alice"})
	if err != nil {
		t.Fatal(err)
	}
	set := func(on bool) {
		if _, err := d.EditFlags(t.Context(), "alice", u.UUID, func(f dialplan.Flags) dialplan.Flags {
			f.IncomingInternal = on
			return f
		}); err != nil {
			t.Fatal(err)
		}
	}
	c.add(time.Minute)
	set(true)
	c.add(time.Minute)
	set(false)
	c.add(-30 * time.Second) // the clock was put back
	set(true)
	c.add(10 * time.Minute)
	if err := d.DeleteUser(t.Context(), "root", u.UUID); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		at   time.Duration
		want bool
	}{{0, false}, {time.Minute - time.Microsecond, false}, {time.Minute, true}, {2*time.Minute - time.Microsecond, true}, {3 * time.Minute, true}} {
		f, err := s.FlagsAt(t.Context(), u.UUID, begin.Add(tt.at))
		if err != nil || f.IncomingInternal != tt.want {
			t.Errorf("after %s: %v, %v, want %v", tt.at, f.IncomingInternal, err, tt.want)
		}
	}
	for _, at := range []time.Time{begin.Add(-time.Second), c.now()} {
		_, err := s.FlagsAt(t.Context(), u.UUID, at)
		as(t, err, ErrNotFound)
	}
}

var (
	boot  = time.Date(2026, 11, 23, 8, 0, 0, 250e6, time.UTC)
	start = time.Date(2026, 11, 23, 9, 0, 0, 5000, time.UTC)
)

func recording(uuid string, legs ...string) recorder.Recording {
	return recorder.Recording{
		UUID: uuid, TenantUUID: "t", Boot: boot, Hook: legs[0], HookName: "PJSIP/alice-00000001", Legs: legs,
		MixMonitorID: "0x1", State: "recording", IntentAt: start, StartedAt: start.Add(time.Millisecond),
		Claims: []recorder.Claim{{Leg: legs[0], UserUUID: "u", Reason: dialplan.OnDemand, At: start}},
	}
}

func call(linkedid string, uniqueids ...string) cdr.CDR {
	return cdr.CDR{
		TenantUUID: "t", Start: start, Answer: start.Add(time.Second), End: start.Add(time.Minute),
		CallDirection: "inbound", CallStatus: "answered", ConversationID: linkedid,
		DestinationDetails: map[string]any{"type": "user", "user_uuid": "bob"}, DestinationExtension: "2002",
		DestinationName: "Bob Émile", DestinationUserUUID: "bob", DestinationLineID: 4,
		RequestedExtension: "2002", SourceName: "Alice", SourceExtension: "0301234567",
		Participants: []cdr.Participant{
			{UserUUID: "bob", LineID: 4, Role: "destination", Tags: []string{"vip", "sales"}, Answered: true, Requested: true},
		},
		Journal:   cdr.JournalRange{ID: 7, First: 10, Last: 20, Boot: boot.Truncate(time.Second)},
		LinkedIDs: []string{linkedid}, Uniqueids: uniqueids, Source: "journal",
	}
}

func save(t *testing.T, s *Store, position int64, cs ...cdr.CDR) []int64 {
	t.Helper()
	ids, err := s.SaveCDRs(t.Context(), cs, cdr.Checkpoint{Journal: 7, Position: position})
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func get(t *testing.T, s *Store, id int64) CDR {
	t.Helper()
	c, err := s.CDR(t.Context(), id, []string{"t"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRecordingRoundTrip(t *testing.T) {
	s, _ := newStore(t)
	ctx := t.Context()
	want := recording("r1", "1.1", "1.2")
	if err := s.InsertIntent(ctx, want); err != nil {
		t.Fatal(err)
	}
	if err := s.InsertIntent(ctx, want); err == nil {
		t.Error("two recordings have one uuid")
	}
	if got, err := s.OpenRecordings(ctx); err != nil || cmp.Diff([]recorder.Recording{want}, got) != "" {
		t.Errorf("open: %v\n%s", err, cmp.Diff([]recorder.Recording{want}, got))
	}
	want.State, want.Claims, want.EndedAt = "ready", nil, start.Add(time.Minute)
	want.Bytes, want.Samples, want.Rate, want.SHA256, want.Silent = 44, 2, 8000, "ab", true
	want.Legs = []string{"1.1", "1.3"}
	if err := s.UpdateRecording(ctx, want); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Recording(ctx, "r1"); err != nil || cmp.Diff(want, got) != "" {
		t.Errorf("updated: %v\n%s", err, cmp.Diff(want, got))
	}
	if got, err := s.OpenRecordings(ctx); len(got) != 0 || err != nil {
		t.Errorf("open: %v, %v", got, err)
	}
	if got, err := s.Unattached(ctx, want.EndedAt.Add(time.Second)); len(got) != 1 || err != nil {
		t.Errorf("unattached: %v, %v", got, err)
	}
	parties := []recorder.Party{{Leg: "1.1", UserUUID: "u", Endpoint: "PJSIP/alice", From: start}}
	if err := s.SaveParties(ctx, "r1", parties); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Parties(ctx, "r1"); err != nil || cmp.Diff(parties, got) != "" {
		t.Errorf("parties %v, %v", got, err)
	}
	third := recorder.Party{Leg: "1.3", Endpoint: "PJSIP/carol", From: start.Add(time.Second)}
	parties[0].To = start.Add(2 * time.Second)
	for _, delta := range [][]recorder.Party{{third}, parties} { // a third joins, the first leaves
		if err := s.SaveParties(ctx, "r1", delta); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := s.Parties(ctx, "r1"); err != nil || cmp.Diff(append(parties, third), got) != "" {
		t.Errorf("parties after a third one joined: %v, %v", got, err)
	}
	pauses := []recorder.Pause{
		{UUID: "r1", Owner: "1.1", Actor: "alice", From: start, To: start.Add(time.Second), Silence: recorder.NotSilent, Loudest: 17},
		{UUID: "r1", Owner: "1.2", From: start.Add(2 * time.Second), To: start.Add(3 * time.Second), Cut: true},
		{UUID: "r1", Owner: "1.1", From: start.Add(3 * time.Second)},
	}
	first := pauses[0]
	first.To, first.Silence, first.Loudest = time.Time{}, "", 0
	second := pauses[1]
	second.To = time.Time{} // its end is never told
	for _, p := range []recorder.Pause{first, pauses[0], second, pauses[2]} {
		if err := s.SavePause(ctx, p); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := s.Pauses(ctx, "r1"); err != nil || cmp.Diff(pauses, got) != "" {
		t.Errorf("pauses %+v, %v", got, err)
	}
	if got, err := s.Recording(ctx, "r1"); err != nil || cmp.Diff(pauses, got.Pauses) != "" {
		t.Errorf("pauses of the recording %+v, %v", got.Pauses, err)
	}
	_, err := s.Recording(ctx, "none")
	as(t, err, ErrNotFound)
	as(t, s.UpdateRecording(ctx, recording("none", "1.1")), ErrNotFound)
}

func TestCDRRoundTripAndUpsert(t *testing.T) {
	s, _ := newStore(t)
	c := call("1.1", "1.1", "1.2")
	ids := save(t, s, 20, c)
	if again := save(t, s, 20, c); again[0] != ids[0] {
		t.Errorf("the second time it has id %d, not %d", again[0], ids[0])
	}
	c.ID = ids[0]
	if diff := cmp.Diff(c, get(t, s, ids[0]).CDR, cmp.Transformer("utc", time.Time.UTC)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	p, err := s.ListCDRs(t.Context(), Filter{Tenants: []string{"t"}})
	if err != nil || len(p.Items) != 1 || p.Total != 1 || p.Filtered != 1 {
		t.Errorf("list: %d of %d of %d, %v", len(p.Items), p.Filtered, p.Total, err)
	}
	// The same ids after a restart of Asterisk are another call.
	other := call("1.1", "1.1")
	other.Journal.Boot = boot.Add(time.Hour)
	if got := save(t, s, 30, other); got[0] == ids[0] {
		t.Error("a call of another boot replaced it")
	}
	// A live one knows less than the journal.
	live := call("1.1", "1.1")
	live.Source, live.DestinationName = cdr.SourceLive, "?"
	if got := save(t, s, 30, live); got[0] != ids[0] || get(t, s, ids[0]).DestinationName != c.DestinationName {
		t.Error("a live cdr replaced the journal's")
	}
	if _, err := s.CDR(t.Context(), ids[0], []string{"other"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("another tenant sees it: %v", err)
	}
}

// TestKnownCallKeepsItsWords: a call that is handed over again after a restart
// of the daemon is the one that was saved, whatever the directory says today; a
// late row derives it again under the same id.
func TestKnownCallKeepsItsWords(t *testing.T) {
	s, _ := newStore(t)
	id := save(t, s, 20, call("1.1", "1.1"))[0]
	if err := s.InsertIntent(t.Context(), recording("r", "1.1")); err != nil {
		t.Fatal(err)
	}
	renamed := call("1.1", "1.1")
	renamed.DestinationName, renamed.TenantUUID = "Robert", "u"
	if again := save(t, s, 20, renamed); again[0] != id {
		t.Errorf("id %d, want %d", again[0], id)
	}
	if got := get(t, s, id); got.DestinationName != "Bob Émile" || len(got.Recordings) != 1 {
		t.Errorf("the same rows again: %+v", got)
	}
	renamed.TenantUUID, renamed.Journal.Last = "t", 25
	if again := save(t, s, 25, renamed); again[0] != id {
		t.Errorf("after a late row: id %d, want %d", again[0], id)
	}
	if got := get(t, s, id); got.DestinationName != "Robert" || got.Journal.Last != 25 || len(got.Recordings) != 1 {
		t.Errorf("after a late row: %+v", got)
	}
}

func TestUnattachedIsToldOnce(t *testing.T) {
	s, c := newStore(t)
	ctx := t.Context()
	for _, uuid := range []string{"told", "new", "silent"} {
		r := recording(uuid, "5."+uuid)
		if err := s.InsertIntent(ctx, r); err != nil {
			t.Fatal(err)
		}
		r.State, r.EndedAt = recorder.Ready, start
		if uuid == "silent" {
			r.State, r.Cause = recorder.Missing, recorder.CauseHungUp
		}
		if err := s.UpdateRecording(ctx, r); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.AppendEvents(ctx, recorder.Event{Kind: EventUnattached, Recording: "told", Actor: "callrecordd"}); err != nil {
		t.Fatal(err)
	}
	list, err := s.Unattached(ctx, c.now())
	if err != nil || len(list) != 1 || list[0].UUID != "new" {
		t.Errorf("%+v, %v", list, err)
	}
}

// The checkpoint never goes before a CDR that is behind it. A batch may be stored
// in parts, whenever it takes longer than a short transaction (so on a loaded
// machine this test saw the first of two calls stored, rightly): then the
// checkpoint stays, the batch comes again, and no call is doubled.
func TestCheckpointAndCDRAreOneTransaction(t *testing.T) {
	s, _ := newStore(t)
	if cp, err := s.LoadCheckpoint(t.Context()); cp != (cdr.Checkpoint{}) || err != nil {
		t.Errorf("first checkpoint %v, %v", cp, err)
	}
	save(t, s, 20, call("1.1", "1.1"))
	total := func() int {
		t.Helper()
		p, err := s.ListCDRs(t.Context(), Filter{Tenants: []string{"t"}})
		if err != nil {
			t.Fatal(err)
		}
		return p.Total
	}
	bad := call("2.1", "2.1")
	bad.CallStatus = "nonsense"
	batch := []cdr.CDR{bad}
	if _, err := s.SaveCDRs(t.Context(), batch, cdr.Checkpoint{Journal: 7, Position: 40}); err == nil {
		t.Fatal("nonsense was saved")
	}
	if cp, err := s.LoadCheckpoint(t.Context()); err != nil || cp.Position != 20 || total() != 1 {
		t.Errorf("checkpoint %v, %d cdrs, %v", cp, total(), err)
	}
	batch = nil
	for i := range 200 { // some milliseconds, so in parts
		id := fmt.Sprintf("3.%d", i)
		batch = append(batch, call(id, id))
	}
	for range 2 {
		if _, err := s.SaveCDRs(t.Context(), append(slices.Clone(batch), bad), cdr.Checkpoint{Journal: 7, Position: 400}); err == nil {
			t.Fatal("nonsense was saved")
		}
		if cp, err := s.LoadCheckpoint(t.Context()); err != nil || cp.Position != 20 {
			t.Errorf("checkpoint %v, %v", cp, err)
		}
	}
	bad.CallStatus = batch[0].CallStatus
	save(t, s, 400, append(batch, bad)...)
	if cp, err := s.LoadCheckpoint(t.Context()); err != nil || cp.Position != 400 || total() != 202 {
		t.Errorf("checkpoint %v, %d cdrs of 202, %v", cp, total(), err)
	}
	save(t, s, 15) // the journal has lost its newest rows
	if cp, err := s.Checkpoint(t.Context(), 7); cp.Position != 15 || err != nil {
		t.Errorf("checkpoint %v, %v", cp, err)
	}
}

func TestRecordingsAttachInBothOrders(t *testing.T) {
	s, _ := newStore(t)
	ctx := t.Context()
	foreign := recording("r0", "1.2")
	foreign.Boot = boot.Add(-time.Hour)
	for _, r := range []recorder.Recording{recording("r1", "1.2", "9.9"), recording("r2", "8.8", "1.1"), foreign} {
		if err := s.InsertIntent(ctx, r); err != nil {
			t.Fatal(err)
		}
	}
	id := save(t, s, 20, call("1.1", "1.1", "1.2"))[0]
	if err := s.InsertIntent(ctx, recording("r3", "1.1")); err != nil {
		t.Fatal(err)
	}
	if err := s.InsertIntent(ctx, recording("r4", "5.5")); err != nil {
		t.Fatal(err)
	}
	if err := s.UpdateRecording(ctx, recording("r4", "5.5", "1.2")); err != nil {
		t.Fatal(err)
	}
	if err := s.UpdateRecording(ctx, recording("r1", "1.2")); err != nil { // knows no CDRID
		t.Fatal(err)
	}
	var got []string
	for _, r := range get(t, s, id).Recordings {
		got = append(got, r.UUID)
	}
	if diff := cmp.Diff([]string{"r1", "r2", "r3", "r4"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if r, err := s.Recording(ctx, "r0"); r.CDRID != 0 || err != nil {
		t.Errorf("a recording of another boot is attached to %d, %v", r.CDRID, err)
	}
}

func TestTwoCDRsBecomeOneCall(t *testing.T) {
	s, _ := newStore(t)
	ids := save(t, s, 20, call("1.1", "1.1"), call("2.1", "2.1"))
	if err := s.InsertIntent(t.Context(), recording("r", "2.1")); err != nil {
		t.Fatal(err)
	}
	c := call("1.1", "1.1", "2.1")
	c.LinkedIDs = []string{"1.1", "2.1"}
	if got := save(t, s, 30, c); got[0] != ids[0] {
		t.Errorf("id %d, want %d", got[0], ids[0])
	}
	if got := get(t, s, ids[0]); len(got.Recordings) != 1 || len(got.LinkedIDs) != 2 {
		t.Errorf("merged: %+v", got)
	}
	p, err := s.ListCDRs(t.Context(), Filter{Tenants: []string{"t"}})
	if err != nil || p.Total != 1 || p.Filtered != 1 || len(p.Items) != 1 {
		t.Errorf("list: %d of %d of %d, %v", len(p.Items), p.Filtered, p.Total, err)
	}
}

func TestListCDRs(t *testing.T) {
	s, _ := newStore(t)
	calls := make([]cdr.CDR, 5)
	for i := range calls {
		calls[i] = call(fmt.Sprintf("%d.1", i+1), fmt.Sprintf("%d.1", i+1))
		calls[i].Start = start.Add(time.Duration(i/2) * time.Minute) // 1,2 and 3,4 tie
	}
	calls[1].CallStatus = "blocked"
	calls[2].TenantUUID = "sub"
	calls[3].SourceName, calls[3].SourceExtension, calls[3].SourceUserUUID = `100%_"x`, "2003", "carol"
	calls[3].Participants = append(calls[3].Participants, cdr.Participant{UserUUID: "dave", Role: "destination", Tags: []string{"x"}})
	calls[4].Answer, calls[4].RequestedExtension = time.Time{}, "2005"
	save(t, s, 1, calls...)
	if err := s.InsertIntent(t.Context(), recording("r", "4.1")); err != nil {
		t.Fatal(err)
	}
	yes, no := true, false
	both := []string{"t", "sub"}
	for _, tt := range []struct {
		name            string
		f               Filter
		want            []int64
		total, filtered int
	}{
		{"no tenant sees nothing", Filter{Tenants: []string{}}, nil, 0, 0},
		{"default hides blocked, newest first, ties by id", Filter{}, []int64{5, 4, 3, 1}, 5, 4},
		{"one tenant", Filter{Tenants: []string{"t"}}, []int64{5, 4, 1}, 4, 3},
		{"blocked too", Filter{Blocked: true}, []int64{5, 4, 3, 2, 1}, 5, 5},
		{"status", Filter{CallStatus: "blocked"}, []int64{2}, 5, 1},
		{"page keeps the counts", Filter{Limit: 2, Offset: 1}, []int64{4, 3}, 5, 4},
		{"cursor", Filter{After: &Cursor{start.Add(time.Minute), 4}}, []int64{3, 1}, 5, 4},
		{"ascending", Filter{Ascending: true}, []int64{1, 3, 4, 5}, 5, 4},
		{"half-open", Filter{From: start, Until: start.Add(time.Minute)}, []int64{1}, 5, 1},
		{"answered, nulls last", Filter{Order: "answered"}, []int64{4, 3, 1, 5}, 5, 4},
		{"search folds case, also É", Filter{Search: "bob é"}, []int64{5, 4, 3, 1}, 5, 4},
		{"search is literal", Filter{Search: `0%_"X`}, []int64{4}, 5, 1},
		{"short search is literal", Filter{Search: "%_"}, []int64{4}, 5, 1},
		{"search a number", Filter{Search: "12345"}, []int64{5, 3, 1}, 5, 3},
		{"number", Filter{Number: "2003"}, []int64{4}, 5, 1},
		{"number is whole", Filter{Number: "200"}, nil, 5, 0},
		{"number begins", Filter{Number: "030_"}, []int64{5, 3, 1}, 5, 3},
		{"number ends", Filter{Number: "_003"}, []int64{4}, 5, 1},
		{"source user", Filter{UserUUIDs: []string{"carol"}}, []int64{4}, 5, 1},
		{"not an intermediate user", Filter{UserUUIDs: []string{"dave"}}, nil, 5, 0},
		{"me is any participant", Filter{Me: "dave"}, []int64{4}, 1, 1},
		{"tags of several participants", Filter{Tags: []string{"vip", "x"}}, []int64{4}, 5, 1},
		{"recorded", Filter{Recorded: &yes}, []int64{4}, 5, 1},
		{"not recorded", Filter{Recorded: &no}, []int64{5, 3, 1}, 5, 3},
		{"no ids", Filter{IDs: []int64{}}, nil, 5, 0},
		{"ids", Filter{IDs: []int64{1, 2, 99}}, []int64{1}, 5, 1},
		{"from id", Filter{FromID: 4}, []int64{5, 4}, 5, 2},
		{"conversation", Filter{ConversationID: "3.1"}, []int64{3}, 5, 1},
		{"distinct", Filter{DistinctPeer: true}, []int64{5, 4}, 5, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.f.Tenants == nil {
				tt.f.Tenants = both
			}
			p, err := s.ListCDRs(t.Context(), tt.f)
			if err != nil {
				t.Fatal(err)
			}
			var got []int64
			for _, c := range p.Items {
				got = append(got, c.ID)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" || p.Total != tt.total || p.Filtered != tt.filtered {
				t.Errorf("total %d, filtered %d, want %d, %d; (-want +got):\n%s", p.Total, p.Filtered, tt.total, tt.filtered, diff)
			}
		})
	}
	for _, o := range Orders() {
		if _, err := s.ListCDRs(t.Context(), Filter{Tenants: both, Order: o}); err != nil {
			t.Errorf("order %s: %v", o, err)
		}
	}
	if _, err := s.ListCDRs(t.Context(), Filter{Tenants: both, Order: "id; DROP TABLE cdrs"}); err == nil {
		t.Error("an unknown order was accepted")
	}
}
