package audit

import (
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// JSON writes a report call by call, so that nobody has all calls at once.
type JSON struct {
	w      io.Writer
	report *Report
	calls  int
}

// NewJSON writes to w. What is not known before the end is read from the report
// then.
func NewJSON(w io.Writer, r *Report) *JSON { return &JSON{w: w, report: r} }

// Begin writes what comes before the calls.
func (j *JSON) Begin() error {
	head, err := json.Marshal(struct {
		Since time.Time `json:"since"`
		Until time.Time `json:"until"`
		Made  time.Time `json:"made"`
	}{j.report.Since.UTC(), j.report.Until.UTC(), j.report.Made.UTC()})
	if err == nil {
		_, err = io.WriteString(j.w, strings.TrimSuffix(string(head), "}")+`,"calls":[`)
	}
	return err
}

// Call writes one.
func (j *JSON) Call(v Verdict) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	sep := "\n"
	if j.calls++; j.calls > 1 {
		sep = ",\n"
	}
	_, err = io.WriteString(j.w, sep+string(b))
	return err
}

// End writes what comes after the calls.
func (j *JSON) End() error {
	outages := j.report.Outages
	if outages == nil {
		outages = []Outage{}
	}
	sums := j.report.Tenants
	if sums == nil {
		sums = Sums{}
	}
	tail, err := json.Marshal(struct {
		Outages []Outage `json:"outages"`
		Tenants Sums     `json:"tenants"`
		Summary Sum      `json:"summary"`
	}{outages, sums, sums.Whole()})
	if err == nil {
		_, err = io.WriteString(j.w, "],\n"+strings.TrimPrefix(string(tail), "{")+"\n")
	}
	return err
}

// CSVHeader names the columns of CSVRows.
func CSVHeader() []string {
	return []string{
		"cdr_id", "conversation_id", "tenant_uuid", "start", "answer", "end", "parties", "call_class", "required_seconds", "lacking_seconds",
		"class", "from", "to", "seconds", "cause", "event", "recording_uuid", "text", "told",
	}
}

// CSVRows has a row for each finding, or one without for a call that has none.
func CSVRows(v Verdict) [][]string {
	var parties []string
	for _, p := range v.Parties {
		parties = append(parties, p.Endpoint)
	}
	call := []string{
		strconv.FormatInt(v.CDRID, 10), v.Conversation, v.Tenant, stamp(v.Start), stamp(v.Answer), stamp(v.End), strings.Join(parties, ";"),
		string(v.Class), decimal(v.RequiredSeconds), decimal(v.LackingSeconds),
	}
	if len(v.Findings) == 0 {
		return [][]string{append(call, string(v.Class), "", "", "", v.Reason, "", "", v.Explanation, "")}
	}
	var out [][]string
	for _, f := range v.Findings {
		event := ""
		if f.Event != 0 {
			event = strconv.FormatInt(f.Event, 10)
		}
		row := append(slices.Clip(call), string(f.Class), stamp(f.From), stamp(f.To), decimal(f.Seconds), f.Cause, event, f.Recording,
			f.Text, strings.Join(toldTexts(f.Told), ";"))
		out = append(out, row)
	}
	return out
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

func decimal(s float64) string { return strconv.FormatFloat(s, 'f', 3, 64) }
