package recorder

import (
	"testing"

	"callrecordd/dialplan"
	"callrecordd/internal/call"
)

// Through the API somebody else's call is changed with the party's own
// permission, for all parties; and who is recorded by a rule may start without.
func TestReach(t *testing.T) {
	ask := func(d *desk, leg string, op Op) Outcome {
		d.said = nil
		out, effects := d.m.Request(d.now, Request{Op: op, Party: party(leg), By: dialplan.API, Actor: "admin", Reach: true})
		d.do(effects)
		return out
	}
	d := newDesk(t, Config{})
	d.do(d.m.Step(d.now, talked(call.Began, 1, "Nb")))
	for _, op := range []Op{OpStop, OpPause, OpResume} {
		if out := ask(d, "n", op); out.Done || out.Reason != dialplan.RefusedUser || out.State != Active {
			t.Errorf("%s without permission: %+v", op, out)
		}
	}
	if out := ask(d, "n", OpStart); !out.Done || out.State != Active || len(d.said) > 0 {
		t.Errorf("start of what a rule records: %+v, %q", out, d.said)
	}
	d.press("n=")
	if got := d.press("b="); got != "mute, beep nb → inactive" {
		t.Errorf("pause: %s", got)
	}
	if out := ask(d, "b", OpResume); !out.Done || out.NotRecording {
		t.Errorf("resume: %+v", out)
	}
	if out := ask(d, "b", OpStop); !out.Done || d.m.PartyState("n") != Inactive {
		t.Errorf("stop: %+v, n is %s", out, d.m.PartyState("n"))
	}
	if out := ask(d, "n", OpStart); out.Done || out.Reason != dialplan.RefusedUser {
		t.Errorf("start after that: %+v", out)
	}
}
