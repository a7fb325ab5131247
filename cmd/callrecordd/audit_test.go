package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"callrecordd/config"
	"callrecordd/dialplan"
	"callrecordd/internal/app"
	"callrecordd/internal/audit"
	"callrecordd/internal/call"
	"callrecordd/internal/cdr"
	"callrecordd/internal/control"
	"callrecordd/internal/recorder"
)

// An administrator asks for yesterday: a call that its rule had to record and
// nobody did, for nobody was there, and one that no rule wanted.
func TestAudit(t *testing.T) {
	h := newHost(t)
	cfg := config.Default()
	cfg.State, cfg.Recordings.Root = h.state, t.TempDir()
	h.daemon(func(o *control.Options) {
		o.Routes = app.NewAudits(app.AuditOptionsOf(cfg, h.store, o.Directory, time.Now)).Routes()
	})
	st := h.store
	alice := h.user("user", "create", "--first-name", "Alice", "--line", "PJSIP/alice=1001@users", "--record", "outgoing-internal")
	h.user("user", "create", "--first-name", "Bob", "--line", "PJSIP/bob=1002@users")
	began := time.Now().Add(time.Minute).Truncate(time.Millisecond)
	talk := func(at time.Time, from, to string) cdr.CDR {
		id := strings.ReplaceAll(at.Format("150405.000"), ".", "")
		end := at.Add(20 * time.Second)
		return cdr.CDR{
			TenantUUID: alice.TenantUUID, Start: at, Answer: at, End: end, CallStatus: cdr.StatusAnswered, ConversationID: id,
			LinkedIDs: []string{id}, Uniqueids: []string{id, id + "b"}, Source: cdr.SourceJournal, Journal: cdr.JournalRange{ID: 1, First: at.UnixMilli(), Last: at.UnixMilli()},
			Talks: []call.TalkHistory{{ID: 1, Began: at, Ended: end, Spans: []call.Span{{From: at, To: end, Legs: []call.Leg{
				{ID: id, Name: from + "-0000000a"}, {ID: id + "b", Name: to + "-0000000b", Role: call.RolePeer},
			}}}}},
		}
	}
	ids, err := st.SaveCDRs(t.Context(), []cdr.CDR{talk(began, "PJSIP/alice", "PJSIP/bob"), talk(began.Add(time.Minute), "PJSIP/bob", "PJSIP/alice")}, cdr.Checkpoint{})
	if err := errors.Join(err, st.AppendEvents(t.Context(),
		recorder.Event{At: began.Add(-time.Minute), Kind: audit.EventDaemonStopped, Actor: "callrecordd", Data: 0},
		recorder.Event{At: began.Add(time.Hour), Kind: audit.EventDaemonStarted, Actor: "callrecordd", Data: 0})); err != nil {
		t.Fatal(err)
	}
	period := []string{"audit", "--since", began.Add(-time.Hour).Format(time.RFC3339), "--until", began.Add(time.Hour).Format(time.RFC3339)}
	var report struct {
		Calls   []audit.Verdict `json:"calls"`
		Summary audit.Sum       `json:"summary"`
		Outages []audit.Outage  `json:"outages"`
	}
	read := func(args ...string) {
		t.Helper()
		if err := json.Unmarshal([]byte(h.run(append(append([]string{"-o", "json"}, period...), args...)...)), &report); err != nil {
			t.Fatal(err)
		}
	}
	read()
	if c := report.Calls; len(c) != 1 || c[0].CDRID != ids[0] || c[0].Class != audit.Missing || c[0].Reason != "daemon_down" || c[0].LackingSeconds != 20 ||
		report.Summary.Calls != 2 || len(report.Outages) == 0 {
		t.Errorf("%+v", report)
	}
	if by := report.Calls[0].Required[0].By; len(by) != 1 || by[0].Name != "Alice" || by[0].Reason != dialplan.RuleOutInternal {
		t.Errorf("wanted by %+v", by)
	}
	if read("--all"); len(report.Calls) != 2 || report.Calls[1].Class != audit.NotRequired {
		t.Errorf("%+v", report.Calls)
	}
	for format, want := range map[string]string{
		"table": "all: 0.000 % of 20s covered; 2 calls: 1 missing, 1 not_required", "text": "callrecordd did not run, ", "csv": "daemon_down", "html": "One call is not as it has to be.",
	} {
		if out := h.run(append([]string{"-o", format}, period...)...); !strings.Contains(out, want) {
			t.Errorf("%s lacks %q: %s", format, want, out)
		}
	}
	if out := h.run(append(period, "--tenant", "master")...); !strings.Contains(out, "1 missing") {
		t.Errorf("of the tenant: %s", out)
	}
	if out, _, err := h.try(append(period, "--fail")...); !errors.Is(err, errTold) || !strings.Contains(out, "1 missing") {
		t.Errorf("--fail: %v %s", err, out)
	}
	h.nightly(t, period, cfg)
}

// nightly keeps reports and removes those that are too old.
func (h *host) nightly(t *testing.T, period []string, cfg config.Config) {
	t.Helper()
	old := filepath.Join(cfg.AuditDir(), "gone", "old.html")
	longAgo := time.Now().AddDate(-3, 0, 0)
	if err := errors.Join(os.MkdirAll(filepath.Dir(old), 0o750), os.WriteFile(old, nil, 0o600), os.Chtimes(old, longAgo, longAgo)); err != nil {
		t.Fatal(err)
	}
	h.fails("not as html", append([]string{"-o", "html"}, append(period, "--nightly")...)...)
	var made []app.NightlyReport
	report := func(period []string, bad int) {
		t.Helper()
		out := h.run(append([]string{"-o", "json"}, append(period, "--nightly")...)...)
		if err := json.Unmarshal([]byte(out), &made); err != nil || len(made) != 1 || made[0].Bad != bad || made[0].Name != "master" {
			t.Fatalf("%v: %s", err, out)
		}
	}
	report([]string{"audit", "--since", "2020-01-01", "--until", "2020-01-02"}, 0) // its name also where there was no call
	report(period, 1)
	for _, path := range []string{made[0].HTML, made[0].JSON} {
		if info, err := os.Stat(path); err != nil || info.Size() == 0 || info.Mode().Perm() != 0o640 {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Errorf("the old report: %v", err)
	}
}
