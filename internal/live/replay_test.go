package live_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"callrecordd/ari"
	"callrecordd/internal/call"
	"callrecordd/internal/cdr"
	"callrecordd/internal/live"

	"github.com/google/go-cmp/cmp"
)

// recordVariable makes TestOnAsterisk place every shape and write testdata:
//
//	CALLRECORDD_RECORD=1 go test -tags sqlite_fts5 -run TestOnAsterisk ./internal/live
const recordVariable = "CALLRECORDD_RECORD"

const (
	// moment: the two sources tell moves between bridges in another order, so
	// for a few milliseconds the talks may differ. Spans and holes that short
	// do not count.
	moment = 20 * time.Millisecond
	// slack is how far the sources' clocks may be apart: ARI has milliseconds,
	// and both stamp when they hear of it.
	slack = 50 * time.Millisecond
)

// TestReplay feeds every recorded call through both adapters.
func TestReplay(t *testing.T) {
	for _, sh := range shapes() {
		t.Run(sh.name, func(t *testing.T) {
			compare(t, sh, readLog(t, sh.name+".ari.jsonl"), readLog(t, sh.name+".cel.jsonl"))
		})
	}
}

// TestOnAsterisk does the same with calls placed now, so that the recorded
// ones do not rot.
func TestOnAsterisk(t *testing.T) {
	o := newObserver(t)
	record := os.Getenv(recordVariable) != ""
	for _, sh := range shapes() {
		if !sh.live && !record {
			continue
		}
		t.Run(sh.name, func(t *testing.T) {
			begin := time.Now()
			events, rows := o.observe(t, sh.play)
			t.Logf("placed in %v", time.Since(begin).Round(10*time.Millisecond))
			if record {
				must(t, os.WriteFile(filepath.Join("testdata", sh.name+".ari.jsonl"), events, 0o644))
				must(t, os.WriteFile(filepath.Join("testdata", sh.name+".cel.jsonl"), rows, 0o644))
			}
			compare(t, sh, events, rows)
			if t.Failed() {
				t.Logf("events:\n%s\nrows:\n%s", events, rows)
			}
		})
	}
}

// TestLogsAreClean: no digits pressed, no secrets, no paths, all of them used.
func TestLogsAreClean(t *testing.T) {
	var known []string
	for _, sh := range shapes() {
		known = append(known, sh.name+".ari.jsonl", sh.name+".cel.jsonl")
	}
	forbidden := regexp.MustCompile(`(?i)dtmf|password|secret|api_key|/(tmp|home|root|work|var)/|[0-9a-f]{2}(:[0-9a-f]{2}){5}`)
	files, err := os.ReadDir("testdata")
	must(t, err)
	for _, f := range files {
		data := readLog(t, f.Name())
		if found := forbidden.Find(data); found != nil || len(data) > 200_000 || !slices.Contains(known, f.Name()) {
			t.Errorf("%s of %d bytes: belongs to a shape: %v, contains %q",
				f.Name(), len(data), slices.Contains(known, f.Name()), found)
		}
	}
}

func readLog(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	must(t, err)
	return data
}

func lines(data []byte) [][]byte { return bytes.Split(bytes.TrimSpace(data), []byte("\n")) }

// compare is the test: both sources give the talks the design demands, of the
// same legs at the same times.
func compare(t *testing.T, sh shape, events, rows []byte) {
	t.Helper()
	fromARI, fromCEL := talksOfARI(t, events), talksOfCEL(t, rows)
	for _, source := range []struct {
		name  string
		talks []talk
	}{{"ARI", fromARI}, {"CEL", fromCEL}} {
		var got [][]string
		for _, k := range source.talks {
			var spans []string
			for _, s := range k.spans {
				spans = append(spans, s.text)
			}
			got = append(got, spans)
		}
		if diff := cmp.Diff(sh.want, got); diff != "" {
			t.Errorf("talks of %s (-want +got):\n%s", source.name, diff)
		}
	}
	if diff := cmp.Diff(fromARI, fromCEL, cmp.AllowUnexported(talk{}, span{}),
		cmp.Comparer(func(a, b time.Time) bool { return a.Sub(b).Abs() <= slack })); diff != "" {
		t.Errorf("the sources differ (-ARI +CEL):\n%s", diff)
	}
}

// talk is a call.TalkHistory without its moments.
type talk struct {
	began, ended time.Time
	spans        []span
}

type span struct {
	from, to time.Time
	text     string // endpoints, roles and via
	legs     string // uniqueids and names
}

func talksOfARI(t *testing.T, log []byte) []talk {
	t.Helper()
	var events []call.Event
	for _, raw := range lines(log) {
		ev, err := ari.DecodeEvent(raw)
		must(t, err)
		if ev.Timestamp.IsZero() {
			t.Fatalf("event without a time: %s", raw)
		}
		events = append(events, live.Events(ev)...)
	}
	return talks(t, events)
}

func talksOfCEL(t *testing.T, log []byte) []talk {
	t.Helper()
	adapter := cdr.NewAdapter()
	var events []call.Event
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
		events = append(events, adapter.Apply(row)...)
	}
	return talks(t, events)
}

// talks runs the model to the end of all grace times.
func talks(t *testing.T, events []call.Event) []talk {
	t.Helper()
	m := call.New(call.Config{})
	var changes []call.Change
	for _, ev := range events {
		changes = append(changes, m.Apply(ev)...)
	}
	if left := m.Channels(); len(left) > 0 {
		t.Errorf("the model has channels after the end: %v", left)
	}
	changes = append(changes, m.Advance(events[len(events)-1].At.Add(time.Hour))...)
	var out []talk
	for _, h := range call.History(changes) {
		if k := normal(t, h); len(k.spans) > 0 {
			out = append(out, k)
		}
	}
	return out
}

func normal(t *testing.T, h call.TalkHistory) talk {
	t.Helper()
	k := talk{began: h.Began, ended: h.Ended}
	for _, s := range h.Spans {
		next := span{from: s.From, to: s.To}
		next.text, next.legs = describe(s.Legs)
		last := len(k.spans) - 1
		switch {
		case s.To.Sub(s.From) < moment:
			t.Logf("talk %d: for %v %s", h.ID, s.To.Sub(s.From), next.text)
		case last >= 0 && k.spans[last].legs == next.legs && k.spans[last].text == next.text &&
			next.from.Sub(k.spans[last].to) < moment:
			k.spans[last].to = next.to
		default:
			k.spans = append(k.spans, next)
		}
	}
	return k
}

// describe sorts by role and endpoint: legs that are connected at once join in
// no particular order.
func describe(legs []call.Leg) (text, ids string) {
	var texts, names []string
	for _, l := range legs {
		one := fmt.Sprintf("%s %s", strings.TrimPrefix(l.Endpoint(), "PJSIP/"), l.Role)
		for _, h := range l.Via {
			one += " <" + strings.TrimSpace(h.Queue+" "+h.Exten+"@"+h.Context)
		}
		texts = append(texts, l.Role.String()+one)
		names = append(names, l.ID+"="+l.Name)
	}
	slices.Sort(texts)
	slices.Sort(names)
	for i := range texts {
		for _, r := range []call.Role{call.RoleCaller, call.RolePeer, call.RoleUnknown} {
			texts[i] = strings.TrimPrefix(texts[i], r.String())
		}
	}
	return strings.Join(texts, ", "), strings.Join(names, " ")
}
