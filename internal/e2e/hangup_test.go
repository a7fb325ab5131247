package e2e

import (
	"strings"
	"testing"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/lab"
)

// The channel vanishes between the event of its answer and our action, or the
// file is milliseconds old when it is closed.
func TestHangupDuringTheStart(t *testing.T) {
	t.Parallel()
	const calls, atOnce = 20, 4
	s := newSite(t)
	s.rules("alice", dialplan.Flags{OutgoingInternal: true})
	s.rules("bob", dialplan.Flags{IncomingInternal: true})
	alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0))
	for i := range calls {
		caller, err := alice.Dial(within(t), "1002")
		must(t, err)
		callee, err := bob.WaitCall(within(t))
		must(t, err)
		must(t, caller.WaitAnswered(within(t)))
		must(t, callee.WaitAnswered(within(t))) // its acknowledgement has come
		first := caller
		if i%2 == 1 {
			first = callee
		}
		// At once, within 50 ms, and later, when there is a file.
		must(t, caller.Talk(within(t), time.Duration(i/atOnce)*20*time.Millisecond*time.Duration(i/atOnce)))
		must(t, first.Hangup(within(t)))
		must(t, caller.WaitEnded(within(t)))
		must(t, callee.WaitEnded(within(t)))
	}
	must(t, s.pbx.WaitIdle(within(t)))
	states := map[string]int{}
	unbridged := 0
	for _, c := range s.waitCDRs(calls) {
		// Asterisk answers the caller before it connects the two: who hangs up
		// in between was in no talk, and the call is an unanswered one.
		if !c.Answered && len(c.Recordings) == 0 {
			unbridged++
			continue
		}
		if !c.Answered || c.SourceExtension != "1001" || c.DestinationExtension != "1002" || len(c.Recordings) > 1 {
			t.Errorf("call is %+v", c)
		}
	}
	if unbridged > atOnce {
		t.Errorf("%d calls were never connected, %d were hung up at once", unbridged, atOnce)
	}
	for _, r := range s.stored() {
		states[strings.TrimSuffix(r.state+" "+r.cause, " ")]++
		switch {
		case r.state == "ready", r.state == "empty":
		case r.state == "missing" && (r.cause == "hung_up" || r.cause == "talk_ended"):
		default:
			t.Errorf("recording is %+v", r)
		}
	}
	t.Logf("%d calls: %v", calls, states)
	if strings.Contains(s.log(), "recording alarm") {
		t.Error("a hangup has raised an alarm")
	}
	if j := s.app.Status().Journal; j.OpenCalls != 0 {
		t.Errorf("%d calls are stuck", j.OpenCalls)
	}
	s.recordsNext(alice, bob, calls+1)
}
