package audit

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"

	"callrecordd/internal/recorder"
)

// reportOf is an audit of some calls, one of whose parties has a name that a page
// must not take for anything else.
func reportOf(t *testing.T) Report {
	t.Helper()
	r := Report{Since: at(-3600), Until: at(3600), Made: at(4000), Outages: []Outage{{Kind: DaemonDown, From: at(-5), To: at(25), Event: 9, Detail: "it was stopped"}}}
	for i, draw := range []func(*drawing){
		func(d *drawing) {
			d.decided(0, "began", nil, "1.1", "1.2")
			d.recorded(0, 20, 20, recorder.Ready, "")
		},
		func(d *drawing) { d.world.Outages = r.Outages },
		func(d *drawing) {
			d.decided(0, "began", nil, "1.1", "1.2")
			d.recorded(0, 20, 20, recorder.Deleted, "").Removed = &Authority{Actor: "root"}
		},
	} {
		d := newDrawing(t, 0, 20, out)
		d.call.ID = int64(i + 1)
		d.world.User = func(string) string { return `<script>alert("x")</script>` }
		draw(d)
		v := d.verdict()
		sums := Sums{}
		sums.Add(v)
		r.Tenants.Merge(sums)
		r.Put(v)
	}
	return r
}

func TestReportCounts(t *testing.T) {
	r := reportOf(t)
	s := r.Tenants.Whole()
	if s.Calls != 3 || s.Bad != 1 || s.By[Covered] != 1 || s.By[Missing] != 1 || s.By[Deleted] != 1 {
		t.Errorf("%+v", s)
	}
	if s.RequiredSeconds != 60 || s.LackingSeconds != 20 || s.DeletedSeconds != 20 || int(s.Coverage) != 66 {
		t.Errorf("%+v", s)
	}
	if len(r.Calls) != 2 {
		t.Errorf("%d calls are listed", len(r.Calls))
	}
}

func TestHTMLReportIsSelfContainedAndEscaped(t *testing.T) {
	var b bytes.Buffer
	if err := HTML(&b, reportOf(t)); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, never := range []string{"<script", "http://", "https://", "src=", "@import", "url(", "ZgotmplZ", "<no value>"} {
		if strings.Contains(page, never) {
			t.Errorf("the page has %q", never)
		}
	}
	for _, want := range []string{
		"66.67 %", "One call is not as it has to be.", "&lt;script&gt;", `id="call-2"`, `href="#call-2"`, "it was stopped", "callrecordd did not run, 2026-11-23 11:59:55.0 to 12:00:25.0 UTC (it was stopped)",
		"prefers-color-scheme: dark", "@media print", "event 9",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(page, `id="call-1"`) {
		t.Error("a call that is covered is listed")
	}
}

// A person reads sentences, not the words that programs compare.
func TestEveryCauseIsASentence(t *testing.T) {
	for _, cause := range []string{
		recorder.CauseFileGone, recorder.CauseRecorderGone, recorder.CauseTooLong, recorder.CauseHungUp, recorder.CauseTalkEnded, recorder.CauseNoChannel,
		recorder.CauseNoManager, recorder.CauseNoAnswer, recorder.CauseRefused, recorder.CauseTimeout, recorder.CauseNoFile, recorder.CauseNoGrowth,
		recorder.CauseNoProof, recorder.CauseClosedEarly, recorder.CauseSilent, recorder.CauseNoAudio, recorder.CauseHeaderUnset, recorder.CauseRepaired,
		recorder.CauseUnreadable, recorder.CauseRestarted, recorder.CauseDaemonDown, recorder.CauseReadOnly, recorder.CauseNoSpace, recorder.CausePermission,
		recorder.CauseNoDirectory, recorder.CauseStalled, recorder.CauseMuteFailed, recorder.CauseHeaderLost,
	} {
		if !strings.Contains(causeText(cause), " ") {
			t.Errorf("of %s a person reads %q", cause, causeText(cause))
		}
	}
}

// What a person looks for first is above everything that is long.
func TestHTMLReportSaysWhyBeforeItListsCalls(t *testing.T) {
	var b bytes.Buffer
	if err := HTML(&b, reportOf(t)); err != nil {
		t.Fatal(err)
	}
	page, after := b.String(), -1
	for _, want := range []string{
		`id="summary"`, `id="why"`, `<span class="badge missing">missing</span></td><td class="n"><a href="#call-2">1</a></td><td class="n">20s</td><td>callrecordd was not running or not connected.`,
		`<td>The file was removed.</td>`, `id="line"`, `<section class="call" id="call-2">`, `id="outages"`, `id="words"`,
	} {
		i := strings.Index(page, want)
		if i <= after {
			t.Errorf("%q is at %d, after %d", want, i, after)
		}
		after = i
	}
}

func TestJSONAndCSVReports(t *testing.T) {
	r := reportOf(t)
	var b bytes.Buffer
	w := NewJSON(&b, &r)
	err := w.Begin()
	for _, v := range r.Calls {
		if err == nil {
			err = w.Call(v)
		}
	}
	if err == nil {
		err = w.End()
	}
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Calls   []Verdict `json:"calls"`
		Outages []Outage  `json:"outages"`
		Summary Sum       `json:"summary"`
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil || len(got.Calls) != 2 || len(got.Outages) != 1 || got.Summary.Calls != 3 {
		t.Errorf("%v: %s", err, b.String())
	}
	b.Reset()
	rows := csv.NewWriter(&b)
	if err := rows.Write(CSVHeader()); err != nil {
		t.Fatal(err)
	}
	for _, v := range r.Calls {
		if err := rows.WriteAll(CSVRows(v)); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := csv.NewReader(&b).ReadAll(); err != nil || len(all) != 3 { // of equal length, or it is an error
		t.Errorf("%d rows, %v", len(all), err)
	}
}
