package recorder

import (
	"strings"
	"testing"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/call"
)

// waiting is a talk whose recording waits for Asterisk's manager.
func (r *rig) waiting(legs string) string {
	r.t.Helper()
	u := one[Start](r.t, r.step(talked(call.Began, 1, legs))).Row.UUID
	out := r.step(StartFailed{u, CauseNoManager, "not sent"})
	if a := one[Alarm](r.t, out); a.Cause != CauseNoManager || a.Recording != u {
		r.t.Errorf("%+v", a)
	}
	none[Start](r.t, out)
	if row := r.last(u); row.State != Starting {
		r.t.Errorf("%+v", row)
	}
	return u
}

// Defect 1: AMI is away when the talk begins.
func TestStartWaitsForTheManager(t *testing.T) {
	t.Run("tried again, more and more rarely, in one row", func(t *testing.T) {
		r := newRig(t)
		u := r.waiting("Ab")
		before := len(r.all)
		for _, after := range []time.Duration{5, 10, 20, 40, 60, 60} {
			none[Start](t, r.pass(after*time.Second-time.Millisecond))
			if s := one[Start](t, r.pass(time.Millisecond)); s.Row.UUID != u {
				t.Fatalf("%+v", s)
			}
			r.step(StartFailed{u, CauseNoManager, "not sent"})
		}
		none[Alarm](t, r.all[before:])
		none[SaveIntent](t, r.all[before:])
	})
	t.Run("at once when it is back", func(t *testing.T) {
		r := newRig(t)
		u := r.waiting("Ab")
		r.now = r.now.Add(2 * time.Second)
		one[Start](t, r.step(Reachable{}))
		one[WatchFile](t, r.step(Started{UUID: u, MixMonitorID: "0x1", At: r.now}))
		r.step(Grew{u})
		r.step(ChannelGone{"a"})
		f := one[Finalise](t, r.all)
		r.step(Finalised{UUID: u, Try: f.Try, Found: true, Complete: true, Samples: 9})
		row := r.last(u)
		if row.State != Ready || row.Cause != CauseNoManager || !strings.HasPrefix(row.Detail, "started 2s late") {
			t.Errorf("that the beginning is missing is not told: %+v", row)
		}
	})
	t.Run("the talk ends first", func(t *testing.T) {
		r := newRig(t)
		u := r.waiting("Ab")
		none[Stop](t, r.step(talked(call.Ended, 1, "")))
		f := one[Finalise](t, r.all)
		out := r.step(Finalised{UUID: u, Try: f.Try})
		none[Alarm](t, out) // there was one
		if row := r.last(u); row.State != Missing || row.Cause != CauseNoManager {
			t.Errorf("%+v", row)
		}
		none[Start](t, r.step(Reachable{}))
		if len(r.m.recs) != 0 {
			t.Error("stuck")
		}
	})
	t.Run("nobody wants it any more", func(t *testing.T) {
		r := newRig(t)
		r.waiting("Ab")
		r.step(talked(call.Changed, 1, "cb"))
		none[Start](t, r.step(Reachable{}))
		none[Stop](t, r.all)
	})
	t.Run("the channel is found gone", func(t *testing.T) {
		r := newRig(t)
		u := r.waiting("Ab")
		one[Start](t, r.step(Reachable{}))
		r.step(StartFailed{u, CauseNoChannel, "no such channel"})
		f := one[Finalise](t, r.all)
		r.step(Finalised{UUID: u, Try: f.Try})
		if row := r.last(u); row.Cause != CauseNoManager {
			t.Errorf("what it missed is put down to a hangup: %+v", row)
		}
	})
	t.Run("not while events are not seen", func(t *testing.T) {
		r := newRig(t)
		u := r.waiting("Ab")
		r.step(Blind{})
		none[Start](t, r.pass(time.Minute))
		none[Start](t, r.step(Reachable{}))
		r.m.Reconcile(r.now, nil, []Channel{{ID: "a"}, {ID: "b"}}, nil)
		if s := one[Start](t, r.pass(0)); s.Row.UUID != u {
			t.Errorf("%+v", s)
		}
	})
}

// Defect 1: AMI is away when the talk ends.
func TestStopIsTriedUntilItSucceeds(t *testing.T) {
	stop := func(t *testing.T) (*rig, string) {
		r := newRig(t)
		u := r.live("Ab")
		one[Stop](t, r.step(talked(call.Ended, 1, "")))
		one[Alarm](t, r.step(StopFailed{u, CauseNoManager, ""}))
		none[Finalise](t, r.all)
		return r, u
	}
	t.Run("again and again", func(t *testing.T) {
		r, u := stop(t)
		for _, after := range []time.Duration{5, 10, 20, 40, 60, 60} {
			none[Stop](t, r.pass(after*time.Second-time.Millisecond))
			one[Stop](t, r.pass(time.Millisecond))
			none[Alarm](t, r.step(StopFailed{u, CauseNoManager, ""}))
		}
		one[Stop](t, r.step(Reachable{}))
		one[Finalise](t, r.step(StopDone{u}))
	})
	t.Run("the channel ends", func(t *testing.T) {
		r, _ := stop(t)
		one[Finalise](t, r.step(ChannelGone{"a"}))
		none[Stop](t, r.step(Reachable{}))
	})
	t.Run("the channel is in hangup", func(t *testing.T) {
		r, _ := stop(t)
		r.step(ChannelHanging{"a"})
		out := r.step(Reachable{})
		none[Stop](t, out)
		one[Finalise](t, out)
	})
	t.Run("not while events are not seen", func(t *testing.T) {
		r, _ := stop(t)
		r.step(Blind{})
		none[Stop](t, r.pass(time.Minute))
		r.m.Reconcile(r.now, nil, []Channel{{ID: "a"}}, nil)
		one[Stop](t, r.pass(time.Minute))
	})
}

// Defect 3: two recorders must neither write one file nor go on unseen.
func TestLostStartIsReplacedAndStoppedWhenFound(t *testing.T) {
	r := newRig(t)
	u := one[Start](t, r.step(talked(call.Began, 1, "Ab"))).Row.UUID
	out := r.step(StartLost{u, "no answer"})
	again := one[Start](t, out).Row
	if again.Follows != u || again.UUID == u {
		t.Fatalf("%+v", again)
	}
	none[Finalise](t, out) // its file may still come
	one[WatchFile](t, r.step(Started{UUID: again.UUID, MixMonitorID: "0x2", At: r.now}))
	r.step(Grew{again.UUID})
	if s := one[Stop](t, r.step(Started{UUID: u, MixMonitorID: "0x1", At: r.now})); s.Row.UUID != u || s.Row.MixMonitorID != "0x1" {
		t.Fatalf("%+v", s)
	}
	f := one[Finalise](t, r.step(StopDone{u}))
	r.step(Finalised{UUID: u, Try: f.Try, Found: true, Complete: true, Samples: 9})
	if row := r.last(u); row.State != Ready || row.Cause != CauseNoAnswer {
		t.Errorf("%+v", row)
	}
	if r.last(again.UUID).State != Live {
		t.Error("the other one has ended too")
	}
}

func TestLostStartsAreRetriedWhileTheTalkLasts(t *testing.T) {
	r := newRig(t)
	u := one[Start](t, r.step(talked(call.Began, 1, "Ab"))).Row.UUID
	u = one[Start](t, r.step(StartLost{u, ""})).Row.UUID
	for _, after := range []time.Duration{5, 10, 20} {
		none[Start](t, r.step(StartLost{u, ""}))
		none[Start](t, r.pass(after*time.Second-time.Millisecond))
		s := one[Start](t, r.pass(time.Millisecond)).Row
		if s.Follows != u {
			t.Fatalf("%+v", s)
		}
		u = s.UUID
	}
}

// Defect 2: the intent is not in the store, so its caller may not know of it.
func TestReconnectLooksForTheMachinesOwnRecordings(t *testing.T) {
	r := newRig(t)
	u := r.live("Ab")
	r.step(Blind{})
	own := r.m.Recordings()
	if len(own) != 1 || own[0].UUID != u {
		t.Fatalf("%+v", own)
	}
	out := r.m.Reconcile(r.now, own, []Channel{{ID: "a", Recorders: []Recorder{{UUID: u, MixMonitorID: "0x1"}}}}, nil)
	none[Finalise](t, out)
	none[Alarm](t, out)
}

// Defect 2: the answer to a start comes between the look and its use.
func TestRecorderAnsweredDuringTheLookIsNotLost(t *testing.T) {
	r := newRig(t)
	u := one[Start](t, r.step(talked(call.Began, 1, "Ab"))).Row.UUID
	r.step(Blind{})
	own := r.m.Recordings()
	r.step(Started{UUID: u, MixMonitorID: "0x1", At: r.now})
	none[Finalise](t, r.m.Reconcile(r.now, own, []Channel{{ID: "a"}, {ID: "b"}}, nil))
	if len(r.m.Recordings()) != 1 {
		t.Error("it was given up")
	}
	one[Finalise](t, r.m.Reconcile(r.now, own, []Channel{{ID: "b"}}, nil)) // its channel is gone
}

// Defect 5: a recorder without a row goes on with the talk it is in.
func TestRecorderWithoutARowIsAdopted(t *testing.T) {
	found := []Channel{{ID: "a", Name: "PJSIP/a-00000001", Recorders: []Recorder{{UUID: id(100), MixMonitorID: "0x9", Tenant: id(7)}}}}
	check := func(t *testing.T, r *rig) {
		t.Helper()
		none[Stop](t, r.pass(time.Minute))
		none[Start](t, r.all)
		row := r.last(id(100))
		if row.State != Live || row.TenantUUID != id(7) || len(row.Claims) != 1 || row.Claims[0].Reason != dialplan.Resync {
			t.Errorf("%+v", row)
		}
		if r.m.recs[id(100)].talk != 1 {
			t.Error("it is in no talk")
		}
	}
	unknown := talked(call.Began, 1, "ab")
	for i := range unknown.Parties {
		unknown.Parties[i].Role = dialplan.RoleUnknown
	}
	t.Run("at the start", func(t *testing.T) {
		r := newRig(t)
		r.all = r.m.Reconcile(r.now, nil, found, nil)
		r.step(Grew{id(100)})
		r.step(unknown)
		check(t, r)
	})
	t.Run("when the manager comes back", func(t *testing.T) {
		r := newRig(t)
		r.step(unknown)
		r.all = append(r.all, r.m.Adopt(r.now, nil, found)...)
		r.step(Grew{id(100)})
		check(t, r)
		none[WatchFile](t, r.m.Adopt(r.now, nil, found))
	})
	t.Run("its row was given up", func(t *testing.T) {
		r := newRig(t)
		row := Recording{UUID: id(100), Hook: "a", Boot: boot, State: Missing, Cause: CauseNoAnswer}
		if s := one[Stop](t, r.m.Adopt(r.now, []Recording{row}, found)); s.Row.MixMonitorID != "0x9" {
			t.Errorf("%+v", s)
		}
		f := one[Finalise](t, r.step(StopDone{id(100)}))
		r.step(Finalised{UUID: id(100), Try: f.Try, Found: true, Complete: true, Samples: 9})
		if row := r.last(id(100)); row.State != Ready || row.Cause != CauseNoAnswer {
			t.Errorf("%+v", row)
		}
	})
}

// Defect 6: what a talk remembers is bounded by its own legs.
func TestTalkForgetsForeignLegs(t *testing.T) {
	r := newRig(t)
	r.live("Ab")
	for range 3 {
		r.step(ChannelGone{"x"})
	}
	r.step(talked(call.Changed, 1, "Abc"))
	r.step(ChannelGone{"c"})
	r.step(talked(call.Changed, 1, "Ab"))
	if n := len(r.m.talks[1].gone); n != 0 {
		t.Errorf("%d legs are remembered", n)
	}
}

// Defect 8: the file is closed and looked at before the hangup is told.
func TestQuickHangupIsNotClosedEarly(t *testing.T) {
	for name, tc := range map[string]struct {
		in    Input
		cause string
	}{
		"hangup request": {ChannelHanging{"a"}, CauseHungUp},
		"end":            {ChannelGone{"a"}, CauseHungUp},
		"neither":        {nil, CauseClosedEarly},
	} {
		for _, found := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				r := newRig(t)
				u := one[Start](t, r.step(talked(call.Began, 1, "Ab"))).Row.UUID
				r.step(Started{UUID: u, MixMonitorID: "0x1", At: r.now})
				f := one[Finalise](t, r.step(Closed{u}))
				out := r.step(Finalised{UUID: u, Try: f.Try, Found: found, Complete: true})
				none[Alarm](t, out)
				none[Save](t, out)
				if tc.in != nil {
					r.step(tc.in)
				} else {
					out = r.pass(time.Second)
				}
				row := r.last(u)
				if row.Cause != tc.cause || row.State != Missing && row.State != Empty {
					t.Errorf("%+v", row)
				}
				if tc.in != nil {
					none[Alarm](t, r.all)
				} else if !found {
					one[Alarm](t, out)
				}
			})
		}
	}
}
