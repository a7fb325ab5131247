package store

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	model "callrecordd/internal/call"
	"callrecordd/internal/recorder"
)

func TestLegStates(t *testing.T) {
	s, c := newStore(t)
	now := fromMicros(micros(c.now()))
	full := recorder.LegState{
		Leg: "pbx-1.2", Name: "PJSIP/bob-00000001", Boot: now, At: now, Role: model.RolePeer,
		Via:   []model.Hop{{Queue: "support", Exten: "6000", Context: "users"}, {Group: "g"}},
		Claim: recorder.Claim{Leg: "pbx-1.2", UserUUID: "u", Reason: "on_demand", At: now}, Talking: true, Stopped: true,
		Pause: recorder.Pause{Owner: "pbx-1.1", Actor: "a", From: now}, Misled: true, Told: true,
	}
	plain := recorder.LegState{Leg: "pbx-1.1", Name: "PJSIP/alice-00000001", Boot: now, At: now, Role: model.RoleUnknown}
	save := func(list ...recorder.LegState) {
		t.Helper()
		if err := s.Write(t.Context(), High, func(tx *Tx) error { return tx.SaveLegs(list) }); err != nil {
			t.Fatal(err)
		}
	}
	same := func(want ...recorder.LegState) {
		t.Helper()
		got, err := s.Legs(t.Context())
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v\n%s", err, diff)
		}
	}
	save(full, plain)
	same(plain, full)
	changed := full
	changed.Claim, changed.Pause, changed.Via, changed.Stopped = recorder.Claim{}, recorder.Pause{}, nil, false
	save(changed)
	same(plain, changed)
	save(recorder.LegState{Leg: plain.Leg, Gone: true}, recorder.LegState{Leg: "never stored", Gone: true})
	same(changed)
}
