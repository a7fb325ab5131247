package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/api"
	"callrecordd/internal/app"
	"callrecordd/internal/audit"
	"callrecordd/internal/lab"
)

// Shows 4 of issue 7: real calls, and what an audit says of each: one that is
// recorded, one that nobody wanted, one while the daemon was down, one whose file
// was cut off afterwards, and one whose file somebody has removed.
func TestAuditOfRealCalls(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.rules("alice", dialplan.Flags{OutgoingInternal: true})
	alice, bob, carol := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0)), s.phone("carol", lab.Manual())
	since := time.Now().Add(-time.Minute)
	var calls []cdrView
	say := func(from *lab.Phone) { calls = append(calls, s.speak(from, bob, "1002")) }
	say(alice)
	say(carol)

	s.stop()
	caller, _ := s.talk(alice, bob, "1002")
	must(t, caller.Talk(within(t), speaking))
	s.hangup(caller)
	s.start()
	calls = append(calls, s.waitCDRs(3)[2])

	say(alice)
	say(alice)
	cut, gone := calls[3].Recordings[0], calls[4].Recordings[0]
	must(t, os.Truncate(filepath.Join(s.cfg.Recordings.Root, s.master(), "monitor", cut.UUID+".wav"), 44+16000)) // one second is left
	s.clientOf(api.CallLogd, "", "", "#").ask(t, "DELETE", fmt.Sprintf("/1.0/cdr/%d/recordings/%s/media", calls[4].ID, gone.UUID), nil, http.StatusNoContent, "")

	var page app.AuditPage
	s.do("POST", "audit", app.AuditRequest{Since: since, Until: time.Now().Add(time.Minute), All: true}, &page)
	got := map[int64]audit.Verdict{}
	for _, v := range page.Calls {
		got[v.CDRID] = v
	}
	for i, want := range []struct {
		class audit.Class
		cause string
		text  string
	}{
		{audit.Covered, string(dialplan.RuleOutInternal), "had to be recorded of the talk of Alice and Bob are in a file"},
		{audit.NotRequired, string(dialplan.NoneFlagsOff), "The talk of Carol and Bob did not have to be recorded"},
		{audit.Missing, "daemon_down", "callrecordd did not run, "},
		{audit.Corrupt, audit.CauseAltered, "the file is not the one that was recorded"},
		{audit.Deleted, audit.CauseRemoved, "has removed the file at"},
	} {
		v := got[calls[i].ID]
		if v.Class != want.class || v.Reason != want.cause || !strings.Contains(strings.ToLower(v.Explanation), strings.ToLower(want.text)) {
			t.Errorf("call %d: %s by %s: %s", i, v.Class, v.Reason, v.Explanation)
		}
	}
	if v := got[calls[3].ID]; len(v.Findings) != 1 || v.LackingSeconds < 0.5 || v.Recordings[0].Seconds != 1 || !v.Recordings[0].Reread {
		t.Errorf("cut off: %+v", v)
	}
	if sum := page.Sums.Whole(); len(page.Calls) != 5 || sum.Calls != 5 || sum.Bad != 2 || sum.Coverage >= 100 {
		t.Errorf("%d calls, %+v", len(page.Calls), sum)
	}
	if len(page.Outages) == 0 || page.Outages[0].Kind != audit.DaemonDown || page.Outages[0].Unsure {
		t.Errorf("outages %+v", page.Outages)
	}
	s.keepsReports(t, since)
}

// keepsReports: the nightly run leaves both forms, its sums and an event.
func (s *site) keepsReports(t *testing.T, since time.Time) {
	t.Helper()
	var made []app.NightlyReport
	s.do("POST", "audit/nightly", app.NightlyRequest{Since: since, Until: time.Now().Add(time.Minute)}, &made)
	if len(made) != 1 || made[0].Calls != 5 || made[0].Bad != 2 {
		t.Fatalf("reports %+v", made)
	}
	text, err := os.ReadFile(made[0].JSON)
	must(t, err)
	var report struct {
		Calls   []audit.Verdict `json:"calls"`
		Summary audit.Sum       `json:"summary"`
	}
	if err := json.Unmarshal(text, &report); err != nil || len(report.Calls) != 3 || report.Summary.Calls != 5 {
		t.Errorf("%v: %s", err, text)
	}
	page, err := os.ReadFile(made[0].HTML)
	must(t, err)
	if !strings.Contains(string(page), "2 calls are not as they have to be.") || filepath.Dir(made[0].HTML) != filepath.Join(s.cfg.AuditDir(), s.master()) {
		t.Errorf("%s: %s", made[0].HTML, page)
	}
	if last := s.app.Status().Audits; len(last) != 1 || last[0].Bad != 2 || last[0].Finished.IsZero() {
		t.Errorf("the status has the audits %+v", last)
	}
	if n := s.count("SELECT count(*) FROM events WHERE kind = 'audit_finished' AND data ->> '$.bad' = 2"); n != 1 {
		t.Errorf("%d events tell of the audit", n)
	}
}
