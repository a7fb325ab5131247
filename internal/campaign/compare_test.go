package campaign

import (
	"strings"
	"testing"
	"time"

	"callrecordd/internal/bench/load"
)

// TestCompareFindsEachLie: a campaign in which all is as it should be passes,
// and each thing that is wrong is found and named.
// That the audit cannot know is only taken if it is so.
func TestAuditMayNotSayThatItCannotKnow(t *testing.T) {
	said := Verdict{Class: "unverifiable", Reason: "asterisk_stalled"}
	froze := []Incident{{Fault: standsStill}}
	for name, c := range map[string]struct {
		of   Case
		want bool
	}{
		"it stood still":                 {Case{Audit: []Verdict{said}, Meanwhile: froze, Truth: Truth{Required: time.Second}}, true},
		"it did not":                     {Case{Audit: []Verdict{said}, Meanwhile: []Incident{{Fault: "ari-cut"}}, Truth: Truth{Required: time.Second}}, false},
		"nothing had to be recorded":     {Case{Audit: []Verdict{said}, Meanwhile: froze}, false},
		"for another reason":             {Case{Audit: []Verdict{{Class: "unverifiable"}}, Meanwhile: froze, Truth: Truth{Required: time.Second}}, false},
		"the audit says something of it": {Case{Audit: []Verdict{{Class: "covered"}}, Meanwhile: froze, Truth: Truth{Required: time.Second}}, false},
	} {
		if got := c.of.untold(); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestCompareFindsEachLie(t *testing.T) {
	const seed, calls = 3, 60
	begun := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	type world struct {
		phones   []load.Call
		cdrs     []CDR
		verdicts []Verdict
	}
	healthy := func() (w world) {
		for n := range calls {
			d := draw(seed, n)
			p := load.Call{Exten: d.Exten, Invite: begun.Add(time.Duration(n) * time.Second)}
			p.Ringing = p.Invite.Add(ms)
			p.Over = p.Invite.Add(d.Talk + time.Second)
			if d.Ending == Talks {
				p.Answered = p.Invite.Add(2 * ms)
			}
			// There are no files, so all that is wanted is missing.
			v := Verdict{CDR: int64(n), Class: "not_required"}
			if d.Ending == Talks && (d.ByRule || len(d.Presses) > 0) {
				v.Class = "missing"
			}
			w.phones = append(w.phones, p)
			w.cdrs = append(w.cdrs, CDR{ID: int64(n), Exten: d.Exten, Start: p.Invite})
			w.verdicts = append(w.verdicts, v)
		}
		return w
	}
	for _, c := range []struct {
		name  string
		spoil func(*world)
		want  string // in the report; empty: it passes
	}{
		{"nothing", func(*world) {}, ""},
		{"no CDR", func(w *world) { w.cdrs = w.cdrs[1:] }, "0 CDRs"},
		{"two CDRs", func(w *world) { w.cdrs = append(w.cdrs, CDR{ID: 1000, Exten: w.cdrs[0].Exten}) }, "2 CDRs"},
		{"a CDR of no call", func(w *world) { w.cdrs = append(w.cdrs, CDR{ID: 1000, Exten: "1100"}) }, "of no call"},
		{"a class that is wrong", func(w *world) {
			for i := range w.verdicts {
				if w.verdicts[i].Class == "missing" {
					w.verdicts[i].Class = "covered"
					return
				}
			}
		}, "the audit says covered"},
		{"a call that the audit passes over", func(w *world) { w.verdicts = w.verdicts[1:] }, "says 0 things"},
	} {
		w := healthy()
		c.spoil(&w)
		r := compare(seed, w.phones, w.cdrs, nil, w.verdicts, nil)
		var b strings.Builder
		r.Text(&b)
		if r.Passed() != (c.want == "") || !strings.Contains(b.String(), c.want) || r.Placed != calls {
			t.Errorf("%s: passed: %t\n%s", c.name, r.Passed(), b.String())
		}
		for _, a := range r.Agreement {
			if c.want == "" && (a.Precision() != 1 || a.Recall() != 1) {
				t.Errorf("%s: %+v", c.name, a)
			}
		}
	}
}

// TestFreezeBehindTheAnswerToABye: Asterisk has said good-bye and stood still
// before it ended the call, whose end the PBX has a second later.
func TestFreezeBehindTheAnswerToABye(t *testing.T) {
	bye := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		over, froze time.Duration
		want        bool
	}{
		"right behind it": {ms, 2 * ms, true},
		"in between":      {900 * ms, ms, true},
		"long after":      {ms, 200 * ms, false},
		"before":          {ms, -2 * time.Second, false},
	} {
		e := evidence{incidents: []Incident{{Fault: standsStill, At: bye.Add(c.froze), Until: bye.Add(c.froze + time.Second)}}}
		if got := e.lingers(load.Call{Bye: bye, Over: bye.Add(c.over)}); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
