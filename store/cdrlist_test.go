package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"callrecordd/internal/cdr"
	"callrecordd/internal/recorder"
	"callrecordd/internal/retention"
)

// anyCall draws a call from few values, so that filters meet.
func anyCall(t *rapid.T, n int) cdr.CDR {
	pick := func(name string, values ...string) string { return rapid.SampledFrom(values).Draw(t, name) }
	id := fmt.Sprintf("%d.%d", n, n)
	c := cdr.CDR{
		TenantUUID: pick("tenant", "t", "sub", "far"), CallDirection: pick("direction", directions()...), CallStatus: pick("status", statuses()...),
		Start:      time.Date(2026, 1, 1, 0, 0, rapid.IntRange(0, 40*86400).Draw(t, "start"), 0, time.UTC).Add(time.Duration(n%2) * time.Microsecond),
		SourceName: pick("name", "", "Bob Émile", "alice", "x_%\"'"), SourceExtension: pick("source", "", "1001", "0301234567", "45"),
		DestinationName: pick("callee", "", "alice", "Éva"), DestinationExtension: pick("destination", "1001", "1045", "4510"),
		SourceUserUUID: pick("user", "", "u1", "u2"), DestinationUserUUID: pick("other", "", "u1", "u3"),
		RequestedExtension: pick("requested", "1001", "2000"), RequestedInternalExtension: pick("internal", "", "1001"),
		ConversationID: id, LinkedIDs: []string{id}, Uniqueids: []string{id}, Source: cdr.SourceJournal,
		Journal: cdr.JournalRange{ID: 1, First: int64(n), Last: rapid.Int64Range(0, 1e6).Draw(t, "last")},
	}
	for range rapid.IntRange(0, 2).Draw(t, "participants") {
		c.Participants = append(c.Participants, cdr.Participant{
			UserUUID: pick("participant", "u1", "u2", "u4"), Role: pick("role", "source", "destination"),
			Tags: rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b"}), 0, 2).Draw(t, "tags"),
		})
	}
	return c
}

// Whatever happens to calls and recordings, what lists are made from is what
// would be derived from the calls now.
func TestListsStayRight(t *testing.T) {
	s, _ := newStore(t)
	purger := newPurger(t, s)
	rapid.Check(t, func(rt *rapid.T) {
		exec(t, s, "DELETE FROM cdr_holds")
		exec(t, s, "DELETE FROM recordings")
		exec(t, s, "DELETE FROM cdrs")
		n := 0
		save := func(rt *rapid.T, many bool) {
			var calls []cdr.CDR
			for range rapid.IntRange(1, 5).Draw(rt, "calls") {
				n++
				// Some are derived again, some turn out to be one with an older one.
				which := rapid.IntRange(1, n).Draw(rt, "which")
				c := anyCall(rt, which)
				if rapid.IntRange(0, 9).Draw(rt, "merge") == 0 {
					c.LinkedIDs = append(c.LinkedIDs, fmt.Sprintf("%d.%d", n, n))
				}
				calls = append(calls, c)
			}
			err := s.Write(t.Context(), Bulk, func(tx *Tx) error {
				if many {
					_, err := tx.SaveManyCDRs(calls)
					return err
				}
				for i := range calls {
					if _, _, err := tx.saveCDR(&calls[i]); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				rt.Fatal(err)
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"save": func(rt *rapid.T) { save(rt, false) },
			"many": func(rt *rapid.T) { save(rt, true) },
			"record": func(rt *rapid.T) {
				hook := rapid.IntRange(1, n+1).Draw(rt, "hook")
				r := recorder.Recording{
					UUID: fmt.Sprint("r", rapid.IntRange(0, 1000).Draw(rt, "uuid")), TenantUUID: "t", State: recorder.Ready,
					Hook: fmt.Sprintf("%d.%d", hook, hook),
				}
				if err := s.InsertIntent(t.Context(), r); err != nil && !strings.Contains(err.Error(), "UNIQUE") {
					rt.Fatal(err)
				}
			},
			"forget a recording": func(*rapid.T) {
				exec(t, s, "DELETE FROM recordings WHERE uuid = (SELECT min(uuid) FROM recordings)")
			},
			"delete": func(rt *rapid.T) {
				exec(t, s, "DELETE FROM cdrs WHERE id = (SELECT id FROM cdrs WHERE id NOT IN (SELECT cdr_id FROM cdr_holds) ORDER BY id LIMIT 1 OFFSET ?)",
					rapid.IntRange(0, 5).Draw(rt, "which"))
			},
			"import": func(rt *rapid.T) { importSome(rt, s) },
			"hold": func(rt *rapid.T) {
				err := s.SetHold(t.Context(), rapid.Int64Range(1, 30).Draw(rt, "cdr"), "court", "test")
				if err != nil && !errors.Is(err, ErrNotFound) {
					rt.Fatal(err)
				}
			},
			"purge": func(rt *rapid.T) {
				now := time.Date(2026, 1, rapid.IntRange(1, 45).Draw(rt, "day"), 12, 0, 0, 0, time.UTC)
				purger.Now = func() time.Time { return now }
				purger.Defaults = retention.Days{CDR: rapid.IntRange(0, 3).Draw(rt, "cdr days"), Recording: rapid.IntRange(0, 3).Draw(rt, "recording days")}
				held := count(t, s, "SELECT count(*) FROM cdr_holds JOIN cdrs ON id = cdr_id")
				for range 2 { // a call may have waited for another tenant's media
					if _, err := purger.Run(t.Context(), false); err != nil {
						rt.Fatal(err)
					}
				}
				if left := count(t, s, "SELECT count(*) FROM cdr_holds JOIN cdrs ON id = cdr_id"); left != held {
					rt.Fatalf("%d of %d held calls are left", left, held)
				}
				before := micros(now.AddDate(0, 0, -purger.Defaults.CDR))
				if n := count(t, s, `SELECT count(*) FROM cdrs c WHERE start_at < ? AND id NOT IN (SELECT cdr_id FROM cdr_holds)
					AND NOT EXISTS (SELECT 1 FROM recordings r WHERE r.cdr_id = c.id AND r.tenant_uuid <> c.tenant_uuid AND state <> 'deleted')`,
					before); purger.Defaults.CDR > 0 && n > 0 {
					rt.Fatalf("%d calls are left that are too old", n)
				}
			},
			"": func(rt *rapid.T) {
				if wrong, err := s.VerifyLists(t.Context()); err != nil || len(wrong) > 0 {
					rt.Fatal(wrong, err)
				}
			},
		})
	})
}

// newPurger removes what is too old, of all tenants.
func newPurger(t *testing.T, s *Store) *retention.Purger {
	log := slog.New(slog.DiscardHandler)
	return &retention.Purger{
		Repo: s, Remover: retention.NewRemover(s, recordingsRoot(t), log), Log: log,
		Tenants: func() []string { return []string{"t", "sub", "far"} },
		Exports: func(context.Context, string, time.Time, bool) (int, error) { return 0, nil },
	}
}

// recordingsRoot has the folders of those tenants.
func recordingsRoot(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, tenant := range []string{"t", "sub", "far"} {
		if err := os.MkdirAll(filepath.Join(root, tenant, "monitor"), 0o750); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// importSome brings in calls, some with an id, some with a recording, some
// that are there already.
func importSome(rt *rapid.T, s *Store) {
	var list []Import
	for range rapid.IntRange(1, 4).Draw(rt, "imports") {
		n := rapid.IntRange(1, 40).Draw(rt, "import")
		im := Import{CDR: anyCall(rt, n)}
		im.CDR.ID = int64(n) * rapid.Int64Range(0, 1).Draw(rt, "with id")
		im.Key = fmt.Append(nil, "key ", n, im.CDR.ID)
		im.CDR.LinkedIDs, im.CDR.Uniqueids, im.CDR.Source = nil, nil, cdr.SourceJournal
		if rapid.Bool().Draw(rt, "recorded") {
			im.Recordings = []recorder.Recording{{UUID: fmt.Sprint("i", n), TenantUUID: im.CDR.TenantUUID, State: recorder.Ready}}
		}
		list = append(list, im)
	}
	if _, err := s.ImportCDRs(rt.Context(), list, "test"); err != nil {
		rt.Fatal(err)
	}
}

func count(t *testing.T, s *Store, query string, args ...any) (n int) {
	t.Helper()
	if err := s.read(t.Context(), func(q querier) error { return q.QueryRowContext(t.Context(), query, args...).Scan(&n) }); err != nil {
		t.Fatal(err)
	}
	return n
}

// What FindCDRs finds is what a plain look at every call finds, whatever the
// filter, in every order and in pages of any size.
func TestFindIsWhatALookAtEveryCallFinds(t *testing.T) {
	s, _ := newStore(t)
	rnd := rand.New(rand.NewPCG(3, 4))
	gen := rapid.Custom(func(rt *rapid.T) cdr.CDR { return anyCall(rt, rapid.IntRange(1, 1e9).Draw(rt, "n")) })
	var calls []cdr.CDR
	for i := range 300 {
		c := gen.Example(i)
		id := fmt.Sprintf("7.%d", i)
		c.ConversationID, c.LinkedIDs, c.Uniqueids = id, []string{id}, []string{id}
		calls = append(calls, c)
	}
	if err := s.Write(t.Context(), Bulk, func(tx *Tx) error { _, err := tx.SaveManyCDRs(calls); return err }); err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		if err := s.InsertIntent(t.Context(), recorder.Recording{
			UUID: fmt.Sprint("r", i), TenantUUID: "t", State: recorder.Ready, Hook: fmt.Sprintf("7.%d", i*4),
		}); err != nil {
			t.Fatal(err)
		}
	}
	if wrong, err := s.VerifyLists(t.Context()); err != nil || len(wrong) > 0 {
		t.Fatal(wrong, err)
	}
	all, err := s.ListCDRs(t.Context(), Filter{Tenants: []string{"t", "sub", "far"}, Blocked: true})
	if err != nil || len(all.Items) != len(calls) {
		t.Fatalf("%d of %d calls, %v", len(all.Items), len(calls), err)
	}
	for range 4000 {
		f := anyFilter(rnd)
		var want []int64
		total := 0
		for _, c := range all.Items { // newest first
			if !slices.Contains(f.Tenants, c.TenantUUID) {
				continue
			}
			if f.Me == "" || slices.ContainsFunc(c.Participants, func(p cdr.Participant) bool { return p.UserUUID == f.Me }) {
				total++
				if plain(f, c, all.Items) {
					want = append(want, c.ID)
				}
			}
		}
		if f.Ascending {
			slices.Reverse(want)
		}
		filtered := len(want)
		if f.After != nil {
			want = slices.DeleteFunc(want, func(id int64) bool {
				i := slices.IndexFunc(all.Items, func(c CDR) bool { return c.ID == id })
				c := all.Items[i].Start.Compare(f.After.Start)
				if c == 0 {
					c = int(id - f.After.ID)
				}
				return c == 0 || (c < 0) == f.Ascending
			})
		}
		want = want[min(f.Offset, len(want)):]
		if f.Limit > 0 {
			want = want[:min(f.Limit, len(want))]
		}
		got, err := s.FindCDRs(t.Context(), f)
		if err != nil {
			t.Fatalf("%+v: %v", f, err)
		}
		if got.Total != total || got.Filtered != filtered || !slices.Equal(got.IDs, want) {
			t.Fatalf("%+v: total %d, filtered %d, ids %v; want %d, %d, %v", f, got.Total, got.Filtered, got.IDs, total, filtered, want)
		}
	}
}

func anyFilter(rnd *rand.Rand) Filter {
	one := func(values ...string) string { return values[rnd.IntN(len(values))] }
	some := func() bool { return rnd.IntN(5) == 0 }
	f := Filter{Ascending: rnd.IntN(2) == 0, Limit: rnd.IntN(12), Offset: rnd.IntN(2) * rnd.IntN(9)}
	for _, tenant := range []string{"t", "sub", "far", "none"} {
		if rnd.IntN(3) > 0 {
			f.Tenants = append(f.Tenants, tenant)
		}
	}
	at := func() time.Time {
		return time.Date(2026, 1, 1, rnd.IntN(2)*rnd.IntN(24), 0, rnd.IntN(40)*86400, 0, time.UTC)
	}
	if some() {
		f.From = at()
	}
	if some() {
		f.Until = at()
	}
	if some() {
		f.FromID = int64(rnd.IntN(300))
	}
	if some() {
		f.Search = one("alice", "ALI", "é", "émile", "%", "_%", `"`, "10", "100", "45", "zz", "' OR 1", "\x00", "\xff",
			"ali*", "^ali", "alice OR bob", "alice AND 10", "NOT zz", "NEAR(ali ce)", `"alice"`, "text:alice", "-alice", "{text} : ali", "(ali")
	}
	if some() {
		f.Number = one("1001", "_45", "45_", "_45_", "_1001", "1001_", "9")
	}
	if some() {
		f.CallDirection = one("internal", "inbound", "outbound")
	}
	if some() {
		f.CallStatus = one(statuses()...)
	}
	f.Blocked = some()
	if some() {
		f.Tags = [][]string{{"a"}, {"a", "b"}, {"no"}}[rnd.IntN(3)]
	}
	if some() {
		f.UserUUIDs = [][]string{{"u1"}, {"u1", "u3"}, {"no"}, {"no", "u2"}}[rnd.IntN(4)]
	}
	if some() {
		f.Me = one("u1", "u4", "no")
	}
	if some() {
		yes := rnd.IntN(2) == 0
		f.Recorded = &yes
	}
	if some() {
		f.RequestedInternalExtension = one("1001", "1")
	}
	f.DistinctPeer = some()
	if rnd.IntN(12) == 0 {
		f.ConversationID = fmt.Sprintf("7.%d", rnd.IntN(300))
	}
	if rnd.IntN(12) == 0 {
		f.IDs = []int64{3, 5, 9, 70, 71, 72, 73, 4000}
	}
	if some() {
		f.After = &Cursor{Start: at(), ID: int64(rnd.IntN(300))}
		f.Offset = 0
	}
	return f
}

// plain says whether a call passes the filter, as cdr-api 3 says it.
func plain(f Filter, c CDR, all []CDR) bool {
	fold := func(s string) bool { return strings.Contains(strings.ToLower(s), strings.ToLower(f.Search)) }
	number := func(s string) bool {
		bare := strings.Trim(f.Number, "_")
		begins, ends := strings.HasPrefix(f.Number, "_"), strings.HasSuffix(f.Number, "_")
		switch {
		case begins && ends:
			return strings.Contains(s, bare)
		case begins:
			return strings.HasSuffix(s, bare)
		case ends:
			return strings.HasPrefix(s, bare)
		}
		return s == bare
	}
	tagged := func(tag string) bool {
		return slices.ContainsFunc(c.Participants, func(p cdr.Participant) bool { return slices.Contains(p.Tags, tag) })
	}
	ofUser := func(u string) bool { return u != "" && (c.SourceUserUUID == u || c.DestinationUserUUID == u) }
	switch {
	case !f.From.IsZero() && c.Start.Before(f.From), !f.Until.IsZero() && !c.Start.Before(f.Until), c.ID < f.FromID,
		f.CallDirection != "" && c.CallDirection != f.CallDirection,
		f.CallStatus != "" && c.CallStatus != f.CallStatus, f.CallStatus == "" && !f.Blocked && c.CallStatus == "blocked",
		f.Recorded != nil && *f.Recorded != (len(c.Recordings) > 0),
		f.ConversationID != "" && c.ConversationID != f.ConversationID, f.IDs != nil && !slices.Contains(f.IDs, c.ID),
		f.RequestedInternalExtension != "" && c.RequestedInternalExtension != f.RequestedInternalExtension,
		len(f.UserUUIDs) > 0 && !slices.ContainsFunc(f.UserUUIDs, ofUser),
		f.Search != "" && !fold(c.SourceName) && !fold(c.SourceExtension) && !fold(c.DestinationName) && !fold(c.DestinationExtension),
		f.Number != "" && !number(c.SourceExtension) && !number(c.DestinationExtension),
		slices.ContainsFunc(f.Tags, func(tag string) bool { return !tagged(tag) }),
		f.DistinctPeer && !newestOfAPeer(c, all):
		return false
	}
	return true
}

func newestOfAPeer(c CDR, all []CDR) bool {
	peers := func(c CDR) (out []string) {
		for _, p := range c.Participants {
			peer := c.SourceExtension
			if p.Role == "source" {
				peer = c.RequestedExtension
			}
			out = append(out, p.UserUUID+" "+peer)
		}
		return out
	}
	return slices.ContainsFunc(peers(c), func(peer string) bool {
		return !slices.ContainsFunc(all, func(o CDR) bool { return o.ID > c.ID && slices.Contains(peers(o), peer) })
	})
}
