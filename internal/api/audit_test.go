package api

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"callrecordd/internal/audit"
)

// fakeAudit has one call that is not covered, of the child tenant.
type fakeAudit struct {
	asked *AuditQuery
	every bool // each tenant has one
}

func (f fakeAudit) Audit(_ context.Context, q AuditQuery, do func(AuditPart) error) error {
	if f.asked != nil {
		*f.asked = q
	}
	at := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	part := AuditPart{Outages: []audit.Outage{{Kind: audit.DaemonDown, From: at, To: at.Add(time.Minute), Event: 3}}}
	for _, tenant := range q.Tenants {
		if tenant != child && !f.every {
			continue
		}
		v := audit.Verdict{
			CDRID: 7, Conversation: "17.1", Tenant: tenant, Start: at, Answer: at, End: at.Add(time.Minute), Class: audit.Missing, Reason: "daemon_down",
			Parties: []audit.Person{{Leg: "17.1", Endpoint: "PJSIP/alice", Name: "<Alice>"}}, Explanation: "Not in any file.",
			Findings: []audit.Finding{{Class: audit.Missing, From: at, To: at.Add(time.Minute), Seconds: 60, Cause: "daemon_down", Event: 3, Text: "Not in any file."}},
			Required: []audit.Need{}, Covered: []audit.Span{}, Recordings: []audit.File{}, Told: []audit.Notice{}, RequiredSeconds: 60, LackingSeconds: 60,
		}
		part.Calls = append(part.Calls, v)
		part.Sums.Add(v)
	}
	return do(part)
}

func TestCoverage(t *testing.T) {
	w := newWorld(t)
	const path = "/1.0/audit/coverage"
	read := func(query string, headers ...string) (got coverageJSON) {
		t.Helper()
		r := w.get(path+query, headers...)
		if err := json.Unmarshal([]byte(r.body), &got); err != nil || r.status != 200 {
			t.Fatalf("%d %s %v", r.status, r.body, err)
		}
		return got
	}
	if r := w.get(path, "X-Auth-Token", "list"); r.status != 401 {
		t.Errorf("a token for lists only: %d %s", r.status, r.body)
	}
	// A tenant sees its own calls, and those below it only if it asks for them.
	if got := read(""); len(got.Calls) != 0 || got.Summary.Calls != 0 {
		t.Errorf("without recurse: %+v", got)
	}
	if got := read("?recurse=true"); len(got.Calls) != 1 || got.Summary.Bad != 1 || len(got.Tenants) != 1 || len(got.Outages) != 1 {
		t.Errorf("with recurse: %+v", got)
	}
	if got := *w.audit.asked; !got.Until.Equal(w.now) || got.Until.Sub(got.Since) != 24*time.Hour || got.All {
		t.Errorf("asked for %+v", got)
	}
	read("?from=2026-11-01&until=2026-11-02&all=true")
	if got := *w.audit.asked; got.Since.Day() != 1 || got.Until.Day() != 2 || !got.All {
		t.Errorf("asked for %+v", got)
	}
	w.fails(w.get(path+"?from=never"), 400, "invalid-data")
	w.fails(w.get(path+"?format=pdf"), 400, "invalid-data")
	if r := w.get(path+"?recurse=true", "Accept", "text/csv"); !strings.HasPrefix(r.body, "cdr_id,") || strings.Count(r.body, "\n") != 2 {
		t.Errorf("csv: %s", r.body)
	}
	for _, r := range []reply{w.get(path + "?recurse=true&format=html"), w.get(path+"?recurse=true", "Accept", "text/html,application/xml;q=0.9,*/*;q=0.8")} {
		if !strings.HasPrefix(r.body, "<!DOCTYPE html>") || !strings.Contains(r.body, "&lt;Alice&gt;") ||
			!strings.Contains(r.header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("html: %v %s", r.header, r.body)
		}
	}
}
