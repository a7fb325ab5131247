package recorder

import (
	"testing"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/call"
)

// took keeps effects that did not come of a step.
func (r *rig) took(out []Effect) []Effect { r.all = append(r.all, out...); return out }

// netOn is a recorder of the safety net on a leg.
func netOn(leg string) (uuid string, channels []Channel) {
	uuid = dialplan.SafetyUUID(leg)
	return uuid, []Channel{
		{ID: "b", Name: "PJSIP/b-00000001"},
		{ID: leg, Name: "PJSIP/" + leg + "-00000001", Recorders: []Recorder{{UUID: uuid, MixMonitorID: "0x9", Tenant: "master"}}},
	}
}

// Asterisk has recorded while the manager was away, and our start has waited.
func TestRecorderOfTheNetTakesThePlaceOfAStartThatWaits(t *testing.T) {
	for name, back := range map[string]func(*rig, []Channel) []Effect{
		"the manager comes back": func(r *rig, c []Channel) []Effect {
			return append(r.took(r.m.Adopt(r.now, nil, c)), r.step(Reachable{})...)
		},
		"both come back": func(r *rig, c []Channel) []Effect {
			return append(r.took(r.m.Reconcile(r.now, nil, c, nil)), r.step(Reachable{})...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			waits := r.waiting("Ab")
			net, channels := netOn("a")
			r.now = r.now.Add(2 * time.Second)
			out := back(r, channels)
			none[Start](t, out)
			f := one[Finalise](t, out)
			if f.Row.UUID != waits || f.Row.Cause != CauseNoManager {
				t.Errorf("%+v", f.Row)
			}
			none[Alarm](t, r.step(Finalised{UUID: waits, Try: f.Try}))
			before := len(r.all)
			r.step(Grew{net})
			r.pass(10 * time.Second)
			none[Stop](t, r.all[before:])
			row := r.last(net)
			if row.State != Live || len(row.Claims) != 1 || row.Claims[0].Reason == dialplan.Resync {
				t.Errorf("%+v", row)
			}
		})
	}
}

// The net starts its recorder before anybody answers.
func TestRecorderOfTheNetWaitsForTheAnswer(t *testing.T) {
	r := newRig(t)
	net, channels := netOn("a")
	mute := one[Mute](t, r.took(r.m.Reconcile(r.now, nil, channels, nil)))
	r.step(Muted{UUID: net, Try: mute.Try})
	r.pass(call.Grace)
	one[WatchFile](t, r.step(NotGrown{net, CauseNoGrowth, "44 bytes"}))
	for range 3 {
		r.pass(call.Grace)
		r.step(NotGrown{net, CauseNoGrowth, "44 bytes"})
	}
	none[Stop](t, r.all)
	none[Start](t, r.step(talked(call.Began, 1, "Ab")))
	one[Stop](t, r.all) // renewed for the other party, who is new to it
	r.step(StopDone{net})
	if s := one[Start](t, r.pass(100*time.Millisecond)); !s.Append || s.Row.UUID != net {
		t.Errorf("%+v", s)
	}
	r.step(Started{UUID: net, MixMonitorID: "0xa", At: r.now})
	r.step(Grew{net})
	r.pass(10 * time.Second)
	if row := r.last(net); row.State != Live {
		t.Errorf("%+v", row)
	}
	if n := len(pick[Stop](r.all)); n != 1 {
		t.Errorf("%d stops", n)
	}
	one[Stop](t, r.step(talked(call.Ended, 1, "")))
}

// We took it over, and died before its file was looked at.
func TestRecordingOfTheNetKeepsItsEnd(t *testing.T) {
	r := newRig(t)
	end := r.now.Add(-time.Minute)
	row := Recording{
		UUID: dialplan.SafetyUUID("x"), TenantUUID: "master", Boot: r.m.cfg.Boot, Hook: "x", State: Live,
		StartedAt: end.Add(-time.Minute), EndedAt: end,
	}
	f := one[Finalise](t, r.took(r.m.Reconcile(r.now, []Recording{row}, nil, map[string]int64{row.UUID: 5000})))
	if !f.Row.EndedAt.Equal(end) {
		t.Errorf("it ends at %s instead of %s", f.Row.EndedAt, end)
	}
}
