package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/app"
	"callrecordd/internal/directory"
	"callrecordd/internal/lab"
	"callrecordd/internal/recorder"
	"callrecordd/internal/replay"
	"callrecordd/internal/why"
)

// explained is a call and what is said about it afterwards, in a summary, and
// of its first decision.
type explained struct {
	name  string
	rules map[string]dialplan.Flags
	// queue is what the queue says.
	queue map[string]any
	play  func(s *stage)
	// summary has N for a number and … for what the system says.
	summary string
	outcome why.Outcome
	rule    dialplan.Reason
}

// Shows 4 of issue 6: each call is explained rightly, over HTTP and to the
// command line; and made again under other settings, exactly those calls differ
// that the settings are about.
func TestWhyACallWasRecordedOrNot(t *testing.T) {
	t.Parallel()
	site := siteAt(t, newPBX(t, lab.Config{})) // not calm: a missing file is an alarm
	site.start()
	site.populate()
	s := staged(site)
	var queues []directory.Queue
	s.do("GET", "queues", nil, &queues)
	began := time.Now()
	cdrs := map[string]int64{}
	for _, c := range explainedCalls() {
		t.Run(c.name, func(t *testing.T) {
			s := &stage{site: s.sub(t), phones: s.phones}
			for user := range s.users {
				s.rules(user, c.rules[user])
			}
			s.do("PATCH", "queues/"+queues[0].UUID, c.queue, nil)
			cdr := s.cdrOf(func() {
				c.play(s)
				must(t, s.pbx.WaitIdle(within(t)))
			})
			cdrs[c.name] = cdr.ID
			s.explained(cdr, c)
		})
	}
	if t.Failed() {
		return
	}
	again := func(with *replay.Settings) (out []string) {
		t.Helper()
		var page app.ReplayPage
		s.do("POST", "replay", app.ReplayRequest{Since: began, Until: time.Now(), With: with}, &page)
		if page.Decisions < len(cdrs) || page.Unreadable > 0 || page.Next != "" {
			t.Errorf("%+v", page)
		}
		for _, d := range page.Differences {
			for name, id := range cdrs {
				if id == d.CDRID {
					out = append(out, fmt.Sprintf("%s: %s", name, d.Effect))
				}
			}
		}
		return out
	}
	never, on := dialplan.AutoNever, true
	if got, want := again(&replay.Settings{Queues: map[string]replay.Via{queues[0].UUID: {AutoRecord: &never}}}), []string{
		"by queue's always: would_not_be_recorded", "refused by queue: other_reason",
	}; !slices.Equal(got, want) {
		t.Errorf("the queue says never: %q, want %q", got, want)
	}
	if got, want := again(&replay.Settings{Users: map[string]replay.User{s.users["alice"].UUID: {OnDemand: &on}}}), []string{
		"*3 refused: would_be_allowed",
	}; !slices.Equal(got, want) {
		t.Errorf("alice may press *3: %q, want %q", got, want)
	}
	for user := range s.users {
		s.rules(user, outInt) // alice's, the only caller
	}
	if got, want := again(nil), []string{
		"by callee: other_reason", "by queue's always: other_reason", "refused by queue: would_be_recorded", "no flag on: would_be_recorded",
		"*3 refused: would_be_recorded", "paused by the other party: would_be_recorded", "paused by the other party: would_be_refused",
		"paused by the other party: would_be_refused", "paused by the other party: would_be_refused", "paused by the other party: other_reason",
	}; !slices.Equal(got, want) {
		t.Errorf("under the rules of now:\n%q, want\n%q", got, want)
	}
}

func explainedCalls() []explained {
	call := func(s *stage) (caller, callee *lab.Call) { return s.meet("alice", "1002", "bob") }
	plain := func(s *stage) {
		caller, callee := call(s)
		s.over(caller)
		s.gone(callee)
	}
	queued := func(press bool) func(*stage) {
		return func(s *stage) {
			caller := s.calls("alice", lab.ExtenQueue)
			loser := s.rings("bob")
			winner := s.takes("carol")
			s.both(caller, "alice", winner, "carol")
			s.gone(loser)
			if press {
				s.denied(winner, "carol", dialplan.RefusedQueue)
			}
			s.over(caller)
			s.gone(winner)
		}
	}
	inherit := map[string]any{"auto_record": dialplan.AutoInherit, "dtmf_record_toggle": false}
	const (
		talk     = "Talk of Alice and Bob began. "
		complete = " The file is complete: N bytes."
		noFlags  = "Not recorded: Alice does not ask for it, the rule for outgoing internal calls is off; " +
			"Bob does not ask for it, the rule for incoming internal calls is off."
	)
	return []explained{{
		name: "by caller", rules: rulesOf{"alice": outInt}, queue: inherit, play: plain, outcome: why.Recorded, rule: dialplan.RuleOutInternal,
		summary: talk + "To be recorded: Alice asks for it, the rule for outgoing internal calls is on." + complete,
	}, {
		name: "by callee", rules: rulesOf{"bob": inInt}, queue: inherit, play: plain, outcome: why.Recorded, rule: dialplan.RuleInInternal,
		summary: talk + "To be recorded: Bob asks for it, the rule for incoming internal calls is on." + complete,
	}, {
		name: "by queue's always", queue: map[string]any{"auto_record": dialplan.AutoAlways}, play: queued(false),
		outcome: why.Recorded, rule: dialplan.AlwaysReason,
		summary: "Talk of Alice and Carol began. To be recorded: the queue support has all its calls recorded (auto_record: always)." + complete,
	}, {
		name: "refused by queue", rules: rulesOf{"carol": onDemand}, queue: inherit, play: queued(true),
		outcome: why.NotRecorded, rule: dialplan.NoneFlagsOff,
		summary: "Talk of Alice and Carol began. " + strings.ReplaceAll(noFlags, "Bob", "Carol") + " Carol pressed *3, and was refused: " +
			"the call came through the queue support, which does not allow it (dtmf_record_toggle is off).",
	}, {
		name: "no flag on", queue: inherit, play: plain, outcome: why.NotRecorded, rule: dialplan.NoneFlagsOff, summary: talk + noFlags,
	}, {
		name: "*3 refused", queue: inherit, outcome: why.NotRecorded, rule: dialplan.NoneFlagsOff,
		play: func(s *stage) {
			caller, callee := call(s)
			s.denied(caller, "alice", dialplan.RefusedUser)
			s.over(caller)
			s.gone(callee)
		},
		summary: talk + noFlags + " Alice pressed *3, and was refused: the user has no permission to record on demand (online_call_record_enabled is off).",
	}, {
		name: "paused by the other party", rules: rulesOf{"alice": onDemand, "bob": onDemand}, queue: inherit,
		outcome: why.NotRecorded, rule: dialplan.NoneFlagsOff,
		play: func(s *stage) {
			caller, callee := call(s)
			s.starts(caller, "alice")
			s.pauses(caller, "alice")
			s.adds(callee, "bob", recorder.PartyPaused)
			s.denied(callee, "bob", dialplan.RefusedPaused)
			s.over(caller)
			s.gone(callee)
		},
		summary: "Alice pressed *3: the call is to be recorded from now on. Bob pressed *3, and was refused: the other party has paused " +
			"the recording, and only that party or an administrator may end the pause." + complete,
	}, {
		name: "missing file", rules: rulesOf{"alice": outInt}, queue: inherit, outcome: why.Recorded, rule: dialplan.RuleOutInternal,
		play: func(s *stage) {
			// The last of all: a file is where the folder of the recordings was.
			folder := filepath.Join(s.cfg.Recordings.Root, s.users["alice"].TenantUUID, "monitor")
			must(s.t, os.Rename(folder, folder+".away"))
			must(s.t, os.WriteFile(folder, nil, 0o600))
			plain(s)
		},
		summary: talk + "To be recorded: Alice asks for it, the rule for outgoing internal calls is on. " +
			"There is no file, though there should be: the folder of the recordings was not there (…).",
	}}
}

// explained checks what is said about a call.
func (s *stage) explained(cdr cdrView, c explained) {
	s.t.Helper()
	pattern := regexp.MustCompile("^" + strings.NewReplacer("N bytes", `\d+ bytes`, "…", ".+").Replace(regexp.QuoteMeta(c.summary)) + "$")
	var got why.Answer
	s.eventually("the call is explained", func() error {
		got = why.Answer{}
		resp := s.get(fmt.Sprintf("/1.0/cdr/%d/why", cdr.ID), nil)
		must(s.t, json.NewDecoder(resp.Body).Decode(&got))
		if resp.StatusCode != http.StatusOK || !pattern.MatchString(got.Summary) {
			return fmt.Errorf("%s %s", resp.Status, got.Summary)
		}
		return nil
	})
	i := slices.IndexFunc(got.Steps, func(x why.Step) bool { return x.Kind == recorder.EventDecision })
	if i < 0 {
		s.t.Fatalf("there is no decision: %+v", got.Steps)
	}
	if d := got.Steps[i]; d.Outcome != c.outcome || d.Rule != c.rule || d.Input == nil || len(d.Input.Parties) != 2 || len(d.Parties) != 2 {
		s.t.Errorf("the decision is %+v", d)
	}
	var told why.Answer
	s.do("GET", fmt.Sprintf("cdrs/%d/why", cdr.ID), nil, &told)
	if told.Summary != got.Summary || len(told.Steps) != len(got.Steps) {
		s.t.Errorf("the command line is told %+v", told)
	}
	for _, step := range told.Steps {
		s.t.Logf("%s %s", step.At.Format("15:04:05.000"), step.Text)
	}
}
