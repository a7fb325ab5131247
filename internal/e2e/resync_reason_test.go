package e2e

import (
	"encoding/json"
	"testing"

	"callrecordd/dialplan"
	"callrecordd/internal/lab"
	"callrecordd/internal/recorder"
)

// A daemon that finds people talking does not know who called whom: either rule
// suffices, for *3 everybody has its own permission, and both is said.
func TestTalkThatIsFoundIsDecidedAsResync(t *testing.T) {
	t.Parallel()
	site := siteAt(t, newPBX(t, lab.Config{})) // it may complain that the manager comes later than the talk
	site.start()
	site.populate()
	s := staged(site)
	s.rules("alice", may(inInt)) // she calls
	s.rules("bob", onDemand)
	s.stop()
	caller, callee := s.meet("alice", "1002", "bob")
	s.start()
	s.runs("alice", recorder.Live)
	var d recorder.DecisionData
	list := s.events(recorder.EventDecision, "")
	if len(list) != 1 {
		t.Fatalf("the decisions are %s", list)
	}
	must(t, json.Unmarshal([]byte(list[0]), &d))
	for i, p := range d.Input.Parties {
		v := d.Decision.Verdicts[i]
		want := dialplan.NoneFlagsOff
		if p.Endpoint == "PJSIP/alice" {
			want = dialplan.RuleInInternal
		}
		if p.Role != dialplan.RoleUnknown || v.Note != dialplan.Resync || v.Reason != want {
			t.Errorf("%s is %s, decided %+v, want %s", p.Endpoint, p.Role, v, want)
		}
	}
	s.adds(callee, "bob", recorder.Active)
	s.pauses(callee, "bob")
	s.tells(callee, "bob", caller)
	s.resumes(callee, "bob")
	s.over(caller)
	s.gone(callee)
	got := s.finals(1)
	if len(got) != 1 || got[0].state != "ready" || s.claimsOf(got[0].claims) != "alice rule.in.internal, bob on_demand" {
		t.Fatalf("the recordings are %+v", got)
	}
	s.hears(s.path(got[0]), toneA, toneB)
	if found := s.digitsOnDisk(); len(found) > 0 {
		t.Errorf("digits are on disk: %q", found)
	}
}

// *3 on a telephone that the directory lacks is refused as that.
func TestPressOfAnUnknownEndpointIsRefused(t *testing.T) {
	t.Parallel()
	s := siteAt(t, newPBX(t, lab.Config{}))
	s.calm()
	s.start() // with an empty directory
	alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0))
	before := s.app.Status().PressesIgnored
	caller, _ := s.talk(alice, bob, "1002")
	s.press(caller)
	s.refused(dialplan.EndpointUnknown, "PJSIP/alice", 1)
	if n := s.app.Status().PressesIgnored - before; n != 1 {
		t.Errorf("%d presses are counted as ignored", n)
	}
	s.hangup(caller)
	if list := s.stored(); len(list) > 0 {
		t.Errorf("the recordings are %+v", list)
	}
}
