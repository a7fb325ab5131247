package e2e

import (
	"testing"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/lab"
)

// Row 1 of recording-rules 7.
func TestCallersOutgoingInternalRuleRecordsTheCall(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.rules("alice", dialplan.Flags{OutgoingInternal: true})
	alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0))
	caller, _ := s.talk(alice, bob, "1002")
	must(t, caller.Talk(within(t), 2*time.Second))
	s.hangup(caller)
	cdr, rec := s.one()
	if rec.State != "ready" || rec.Reason != string(dialplan.RuleOutInternal) {
		t.Errorf("recording is %+v", rec)
	}
	if !cdr.Answered || cdr.CallDirection != "internal" || cdr.SourceExtension != "1001" ||
		cdr.DestinationExtension != "1002" || cdr.SourceUserUUID != s.users["alice"].UUID ||
		cdr.DestinationUserUUID != s.users["bob"].UUID {
		t.Errorf("cdr is %+v", cdr)
	}
	s.hears(s.media(cdr, rec), toneA, toneB)
}
