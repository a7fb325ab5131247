package api

import (
	"context"
	"encoding/csv"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"callrecordd/internal/audit"
)

// Audit says of calls whether what had to be recorded is in a file.
type Audit interface {
	// Audit hands over an audit part by part.
	Audit(ctx context.Context, q AuditQuery, do func(AuditPart) error) error
}

// AuditQuery selects calls by when they began.
type AuditQuery struct {
	Since, Until time.Time
	// Tenants are those whose calls are looked at, Visible those whose people and
	// recordings may be shown.
	Tenants, Visible []string
	All              bool
}

// AuditPart is a part of an audit.
type AuditPart struct {
	Calls   []audit.Verdict
	Sums    audit.Sums
	Outages []audit.Outage
}

// coverageJSON is a report as JSON.
type coverageJSON struct {
	Since   time.Time       `json:"since"`
	Until   time.Time       `json:"until"`
	Made    time.Time       `json:"made"`
	Calls   []audit.Verdict `json:"calls"`
	Outages []audit.Outage  `json:"outages"`
	Tenants audit.Sums      `json:"tenants"`
	Summary audit.Sum       `json:"summary"`
}

const htmlType = "text/html; charset=utf-8"

// auditRoutes have no counterpart in Wazo.
func (s *Server) auditRoutes() []route {
	return []route{{
		service: CallLogd, method: "GET", path: "/audit/coverage", acl: "call-logd.audit.coverage.read",
		summary: "Say which calls that had to be recorded are not, and why",
		query: []param{
			{name: "from", kind: datetime, about: "The call began at this time or later; without it, 24 hours before until."},
			{name: "until", kind: datetime, about: "The call began before this time; without it, now."},
			{name: "to", kind: datetime, about: "The same as until."},
			{name: "recurse", kind: boolean, about: "The tenants below as well."},
			{name: "all", kind: boolean, about: "List calls that are as they have to be as well."},
			{name: "format", kind: text, choices: []string{"csv", "html", "json"}, about: "CSV or a page for people in place of JSON."},
		},
		answers: []answerRow{{
			status: http.StatusOK, about: "The calls that somebody should know of, and how much is covered", body: coverageJSON{},
			media: []string{"application/json", csvType, htmlType},
		}},
		handle: s.getCoverage,
	}}
}

func (s *Server) getCoverage(w http.ResponseWriter, r *http.Request, rc request) error {
	p := newParams(queryOf(r))
	q := AuditQuery{Since: p.datetime("from"), Until: p.datetime("until"), Tenants: []string{rc.tenant}, All: p.boolean("all", false)}
	if to := p.datetime("to"); q.Until.IsZero() {
		q.Until = to
	}
	if p.boolean("recurse", false) {
		q.Tenants = rc.visible
	}
	q.Visible = q.Tenants
	format := p.choice("format", acceptable(r), "csv", "html", "json")
	if problem := p.problem(); problem != nil {
		return problem
	}
	if q.Until.IsZero() {
		q.Until = s.now()
	}
	if q.Since.IsZero() {
		q.Since = q.Until.Add(-24 * time.Hour)
	}
	report := audit.Report{Since: q.Since, Until: q.Until, Made: s.now()}
	run := func(call func(audit.Verdict) error) error {
		if !q.Since.Before(q.Until) {
			return nil // no call is both
		}
		return s.audit.Audit(r.Context(), q, func(part AuditPart) error {
			report.Outages = append(report.Outages, part.Outages...)
			report.Tenants.Merge(part.Sums)
			for _, v := range part.Calls {
				if err := call(v); err != nil {
					return err
				}
			}
			return nil
		})
	}
	out := &late{w: w}
	switch format {
	case "csv":
		out.header("Content-Type", csvType)
		rows := csv.NewWriter(out)
		err := rows.Write(audit.CSVHeader())
		if err == nil {
			err = run(func(v audit.Verdict) error { return rows.WriteAll(audit.CSVRows(v)) })
		}
		rows.Flush()
		return out.finish(err)
	case "html":
		out.header("Content-Type", htmlType)
		// The page has no script and nothing from elsewhere, and shall get none.
		out.header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		if err := run(func(v audit.Verdict) error { report.Put(v); return nil }); err != nil {
			return out.finish(err)
		}
		return out.finish(audit.HTML(out, report))
	}
	out.header("Content-Type", "application/json")
	js := audit.NewJSON(out, &report)
	if err := js.Begin(); err != nil {
		return out.finish(err)
	}
	if err := run(js.Call); err != nil {
		return out.finish(err)
	}
	return out.finish(js.End())
}

// acceptable is the form that the client prefers, if it names one.
func acceptable(r *http.Request) string {
	if wantsCSV(r) {
		return "csv"
	}
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept"), ","), ",") {
		name, _, err := mime.ParseMediaType(part)
		switch {
		case err != nil:
		case name == "text/html": // browsers name it first
			return "html"
		case slices.Contains([]string{"application/json", "application/*", "*/*"}, name):
			return "json"
		}
	}
	return "json"
}
