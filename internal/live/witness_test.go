package live_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"callrecordd/ari"
	"callrecordd/internal/call"
	"callrecordd/internal/cdr"
	"callrecordd/internal/live"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// nobody is a directory that knows the labs' telephones by their names.
type nobody struct{}

func (nobody) Endpoint(endpoint string) cdr.Endpoint {
	_, name, _ := strings.Cut(endpoint, "/")
	if name == "trunk" {
		return cdr.Endpoint{Kind: cdr.EndpointTrunk, TenantUUID: "t"}
	}
	return cdr.Endpoint{Kind: cdr.EndpointUser, UserUUID: "u-" + name, UserName: name, TenantUUID: "t"}
}
func (nobody) UserAt(string, string) (cdr.Endpoint, bool) { return cdr.Endpoint{}, false }
func (nobody) Queue(string) (cdr.Queue, bool)             { return cdr.Queue{}, false }
func (nobody) Group(string, string) (cdr.Group, bool)     { return cdr.Group{}, false }
func (nobody) MasterTenant() string                       { return "t" }

// TestACallThatTheJournalLacksIsInTheList: of every kind of call, Asterisk's
// events alone give one CDR, with the same parties, times and outcome as the
// journal's rows.
func TestACallThatTheJournalLacksIsInTheList(t *testing.T) {
	for _, sh := range shapes() {
		t.Run(sh.name, func(t *testing.T) {
			want := fromRows(t, readLog(t, sh.name+".cel.jsonl"))
			got := fromEvents(t, readLog(t, sh.name+".ari.jsonl"))
			if len(got) != len(want) {
				t.Fatalf("%d CDRs, the journal has %d", len(got), len(want))
			}
			for i := range want {
				if diff := cmp.Diff(want[i], got[i], cmpopts.IgnoreFields(cdr.CDR{}, ignored(sh.name)...),
					cmp.Comparer(func(a, b time.Time) bool { return a.Sub(b).Abs() <= slack })); diff != "" {
					t.Errorf("(-journal +events):\n%s", diff)
				}
			}
		})
	}
}

// ignored is what events do not tell.
func ignored(shape string) []string {
	out := []string{"Source", "Journal"}
	return append(out, lacking[shape]...)
}

// lacking: a leg that Asterisk itself dials for a transfer seems to begin a call
// of its own, and a callee who is sent on keeps the role in which it was called.
// Who talked when is the same (TestTalksOfACallThatTheJournalLacks).
var lacking = map[string][]string{"feature_attended": {"LinkedIDs"}, "blind_by_caller": {"Talks"}, "redirect_callee": {"Talks"}}

// TestTalksOfACallThatTheJournalLacks: the audit demands by who talked with whom
// from when to when, also behind a transfer that the journal has no row of.
func TestTalksOfACallThatTheJournalLacks(t *testing.T) {
	for _, shape := range []string{"blind_by_caller", "redirect_callee"} {
		want, got := fromRows(t, readLog(t, shape+".cel.jsonl")), fromEvents(t, readLog(t, shape+".ari.jsonl"))
		if len(want) != 1 || len(got) != 1 || len(want[0].Talks) != 1 || len(want[0].Talks[0].Spans) != 2 {
			t.Fatalf("%s: %+v, %+v", shape, want, got)
		}
		if diff := cmp.Diff(want[0].Talks, got[0].Talks, cmpopts.IgnoreFields(call.Leg{}, "Role", "Via"),
			cmp.Comparer(func(a, b time.Time) bool { return a.Sub(b).Abs() <= slack })); diff != "" {
			t.Errorf("%s (-journal +events):\n%s", shape, diff)
		}
	}
}

func fromRows(t *testing.T, log []byte) []cdr.CDR {
	t.Helper()
	calls := map[string][]cdr.Row{}
	joined := map[string]string{} // uniqueid or linkedid → call
	for i, raw := range lines(log) {
		var c map[string]string
		must(t, json.Unmarshal(raw, &c))
		row, err := cdr.ParseRow(cdr.RawRow{
			ID: int64(i + 1), EventType: c["eventtype"], EventTime: c["eventtime"], CIDName: c["cidname"],
			CIDNum: c["cidnum"], Exten: c["exten"], Context: c["context"], ChanName: c["channame"],
			AppName: c["appname"], AppData: c["appdata"], UniqueID: c["uniqueid"], LinkedID: c["linkedid"],
			Peer: c["peer"], Extra: c["extra"],
		})
		must(t, err)
		of := joined["u"+row.UniqueID]
		if other := joined["l"+row.LinkedID]; of == "" {
			of = other
		} else if other != "" && other != of { // two calls have become one
			calls[of] = append(calls[of], calls[other]...)
			delete(calls, other)
			for k, v := range joined {
				if v == other {
					joined[k] = of
				}
			}
		}
		if of == "" {
			of = row.LinkedID
		}
		joined["u"+row.UniqueID], joined["l"+row.LinkedID] = of, of
		calls[of] = append(calls[of], row)
	}
	var out []cdr.CDR
	for _, rows := range calls {
		slices.SortFunc(rows, func(a, b cdr.Row) int { return int(a.ID - b.ID) })
		if c, ok := cdr.Derive(rows, nobody{}, nil); ok {
			out = append(out, c)
		}
	}
	return ordered(out)
}

func fromEvents(t *testing.T, log []byte) []cdr.CDR {
	t.Helper()
	w := cdr.NewWitness(nil)
	var now time.Time
	for _, raw := range lines(log) {
		ev, err := ari.DecodeEvent(raw)
		must(t, err)
		now = ev.Timestamp
		for _, e := range live.Events(ev) {
			w.Apply(now, e)
		}
	}
	if list := w.Missing(now.Add(cdr.StallTime - time.Second)); len(list) > 0 {
		t.Errorf("missed too soon: %+v", list)
	}
	var out []cdr.CDR
	list := w.Missing(now.Add(cdr.StallTime + time.Second))
	for _, e := range list {
		if c, ok := cdr.DeriveSeen(e, nobody{}, nil); ok {
			out = append(out, c)
		}
	}
	w.Told(list)
	for _, e := range w.Missing(now.Add(2 * cdr.StallTime)) {
		if len(e.Rows) > 0 {
			t.Error("told twice")
		}
	}
	return ordered(out)
}

func ordered(list []cdr.CDR) []cdr.CDR {
	slices.SortFunc(list, func(a, b cdr.CDR) int { return strings.Compare(a.ConversationID, b.ConversationID) })
	return list
}

// TestTimesOfEventsDoNotFollowTheClock: two seconds are two seconds, also if the
// clock is set by an hour while somebody talks.
func TestTimesOfEventsDoNotFollowTheClock(t *testing.T) {
	arrived := time.Now()
	for name, tc := range map[string]struct{ clock, want time.Duration }{
		"as usual":       {-3 * time.Millisecond, -3 * time.Millisecond},
		"held up":        {-20 * time.Second, -20 * time.Second},
		"set back":       {time.Hour, 0}, // before the event arrived
		"set forward":    {-time.Hour, 0},
		"set back a bit": {time.Second, 0},
	} {
		ev := ari.Event{Type: "ChannelDestroyed", Arrived: arrived, Timestamp: arrived.Add(tc.clock).Round(0), Channel: &ari.Channel{ID: "1"}}
		got := live.Events(ev)
		if d := got[0].At.Sub(arrived); d != tc.want {
			t.Errorf("%s: %v after it arrived, want %v", name, d, tc.want)
		}
		if got[0].At.String() == got[0].At.Round(0).String() {
			t.Errorf("%s: the time follows the clock", name)
		}
	}
}
