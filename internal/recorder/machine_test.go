package recorder

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/call"
)

// rig drives a machine by hand and keeps what it does.
type rig struct {
	t   *testing.T
	m   *Machine
	now time.Time
	n   int
	all []Effect
}

var boot = time.Unix(1_700_000_000, 0).UTC()

func id(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

func newRig(t *testing.T) *rig {
	r := &rig{t: t, now: boot.Add(time.Hour)}
	r.m = New(Config{Boot: boot, Tenant: "master", NewUUID: func() string { r.n++; return id(r.n) }})
	return r
}

func (r *rig) step(in Input) []Effect {
	r.t.Helper()
	out := r.m.Step(r.now, in)
	r.all = append(r.all, out...)
	return out
}

func (r *rig) pass(d time.Duration) []Effect { r.now = r.now.Add(d); return r.step(Tick{}) }

// talked is a change with legs named by letter; upper case means that its rules record.
func talked(kind call.ChangeKind, n call.TalkID, legs string) TalkChange {
	c := TalkChange{Change: call.Change{Kind: kind, Talk: n}}
	for i, l := range legs {
		on := l < 'a'
		leg := string(l | 0x20)
		role := dialplan.RolePeer
		if i == 0 {
			role = dialplan.RoleCaller
		}
		c.Change.Legs = append(c.Change.Legs, call.Leg{ID: leg, Name: "PJSIP/" + leg + "-00000001"})
		c.Parties = append(c.Parties, dialplan.Party{
			Leg: leg, Endpoint: "PJSIP/" + leg, Role: role, Kind: dialplan.KindUser,
			UserUUID: "user-" + leg, Tenant: "tenant-" + leg,
			Flags: dialplan.Flags{OutgoingInternal: on, IncomingInternal: on},
		})
	}
	return c
}

func pick[T Effect](list []Effect) []T {
	var out []T
	for _, e := range list {
		if x, ok := e.(T); ok {
			out = append(out, x)
		}
	}
	return out
}

func one[T Effect](t *testing.T, list []Effect) T {
	t.Helper()
	got := pick[T](list)
	if len(got) != 1 {
		t.Fatalf("%d of %T, want 1, in %+v", len(got), *new(T), list)
	}
	return got[0]
}

func none[T Effect](t *testing.T, list []Effect) {
	t.Helper()
	if got := pick[T](list); len(got) != 0 {
		t.Fatalf("unwanted: %+v", got)
	}
}

// last returns the newest row saved of a recording.
func (r *rig) last(uuid string) Recording {
	r.t.Helper()
	rows := pick[Save](r.all)
	for _, s := range slices.Backward(rows) {
		if s.Row.UUID == uuid {
			return s.Row
		}
	}
	r.t.Fatalf("%s was never saved", uuid)
	return Recording{}
}

func (r *rig) live(legs string) string {
	r.t.Helper()
	u := one[Start](r.t, r.step(talked(call.Began, 1, legs))).Row.UUID
	one[WatchFile](r.t, r.step(Started{UUID: u, MixMonitorID: "0x1", At: r.now}))
	r.step(Seen{u})
	r.step(Grew{u})
	return u
}

func TestRecordedCall(t *testing.T) {
	r := newRig(t)
	u := r.live("Ab")
	if row := r.last(u); row.State != Live || row.Hook != "a" || row.TenantUUID != "tenant-a" || !slices.Equal(row.Legs, []string{"a", "b"}) {
		t.Fatalf("%+v", row)
	}
	r.step(talked(call.Suspended, 1, "b"))
	none[Stop](t, r.step(ChannelGone{"a"}))
	r.step(ChannelGone{"b"})
	none[Finalise](t, r.step(talked(call.Ended, 1, "")))
	f := one[Finalise](t, r.all)
	out := r.step(Finalised{UUID: u, Try: f.Try, Found: true, Complete: true, Bytes: 16044, Samples: 8000, Rate: 8000, SHA256: "x"})
	if s := one[Save](t, out); !s.Sync || s.Row.State != Ready || s.Row.Cause != "" || s.Row.Samples != 8000 {
		t.Fatalf("%+v", s)
	}
	none[Alarm](t, r.all)
	if len(r.m.Recordings()) != 0 || len(r.m.recs) != 0 || len(r.m.talks) != 0 {
		t.Error("something is left")
	}
	parties := pick[Parties](r.all)
	if l := parties[len(parties)-1].List; len(l) != 2 || l[0].To.IsZero() || l[1].Endpoint != "PJSIP/b" {
		t.Errorf("%+v", l)
	}
}

func TestNotRecordedIsStored(t *testing.T) {
	r := newRig(t)
	out := r.step(talked(call.Began, 1, "ab"))
	d := one[Log](t, out).Event.Data.(DecisionData)
	if d.Records || len(d.Input.Parties) != 2 || d.Decision.Verdicts[0].Reason != dialplan.NoneFlagsOff {
		t.Fatalf("%+v", d)
	}
	none[Start](t, out)
}

func TestClaimsOverChanges(t *testing.T) {
	for name, tc := range map[string]struct {
		began, then string
		closes      bool
		follows     bool
	}{
		"both claim, one stays":    {"AB", "Ac", false, false},
		"claimant leaves":          {"Ab", "bc", true, false},
		"hook leaves, claim stays": {"AB", "Bc", true, true},
		"other leaves":             {"aB", "cB", false, false},
		"claim appears elsewhere":  {"Ab", "bC", true, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			u := r.live(tc.began)
			out := r.step(talked(call.Changed, 1, tc.then))
			if s := one[Stop](t, out).Row; (s.State == Closing) != tc.closes {
				t.Errorf("%+v is stopped", s) // else only its recorder is renewed
			}
			starts := pick[Start](out)
			if (len(starts) == 1) != tc.follows || tc.follows && starts[0].Row.Follows != u {
				t.Errorf("starts %+v", starts)
			}
		})
	}
}

func TestTwoSecondRuleStopsByID(t *testing.T) {
	r := newRig(t)
	u := r.live("Ab")
	r.step(talked(call.Suspended, 1, "ab"))
	s := one[Stop](t, r.step(talked(call.Ended, 1, "")))
	if s.Row.MixMonitorID != "0x1" || s.Row.Hook != "a" {
		t.Fatalf("%+v", s)
	}
	one[Alarm](t, r.step(StopFailed{UUID: u, Cause: CauseStalled}))
	if at, ok := r.m.NextDeadline(); !ok || at != r.now.Add(5*time.Second) {
		t.Error(at, ok)
	}
	one[Stop](t, r.pass(5*time.Second))
	one[Finalise](t, r.step(StopDone{u}))
}

func TestHangupDuringStart(t *testing.T) {
	for name, tc := range map[string]struct {
		answer func(u string) Input
		result Finalised
		want   State
	}{
		"answered, empty file": {func(u string) Input { return Started{UUID: u, MixMonitorID: "0x1"} }, Finalised{Found: true, Complete: true}, Empty},
		"answered, no file":    {func(u string) Input { return Started{UUID: u, MixMonitorID: "0x1"} }, Finalised{}, Missing},
		"no such channel":      {func(u string) Input { return StartFailed{u, CauseNoChannel, ""} }, Finalised{}, Missing},
		"never answered":       {nil, Finalised{}, Missing},
	} {
		for _, goneFirst := range []bool{true, false} {
			t.Run(fmt.Sprint(name, goneFirst), func(t *testing.T) {
				r := newRig(t)
				u := one[Start](t, r.step(talked(call.Began, 1, "Ab"))).Row.UUID
				if goneFirst {
					r.step(ChannelGone{"a"})
				}
				if tc.answer != nil {
					r.step(tc.answer(u))
				}
				r.step(ChannelGone{"a"})
				r.step(ChannelGone{"b"})
				r.step(talked(call.Ended, 1, ""))
				r.pass(6 * time.Second)
				f := one[Finalise](t, r.all)
				tc.result.UUID, tc.result.Try = u, f.Try
				r.step(tc.result)
				if row := r.last(u); row.State != tc.want || row.Cause != CauseHungUp {
					t.Errorf("%s %s", row.State, row.Cause)
				}
				none[Alarm](t, r.all)
				none[Stop](t, r.all)
				if len(r.m.recs) != 0 {
					t.Error("stuck")
				}
			})
		}
	}
}

func TestFailedStart(t *testing.T) {
	t.Run("no file twice within 6 s", func(t *testing.T) {
		r := newRig(t)
		begun := r.now
		u1 := one[Start](t, r.step(talked(call.Began, 1, "Ab"))).Row.UUID
		r.step(Started{UUID: u1, MixMonitorID: "0x1", At: r.now})
		r.now = r.now.Add(1500 * time.Millisecond)
		out := r.step(NotSeen{u1, CauseNoFile, ""})
		one[Stop](t, out)
		retry := one[Start](t, out).Row
		if retry.Follows != u1 {
			t.Fatalf("%+v", retry)
		}
		f := one[Finalise](t, r.step(StopDone{u1}))
		one[Alarm](t, r.step(Finalised{UUID: u1, Try: f.Try}))
		w := one[WatchFile](t, r.step(Started{UUID: retry.UUID, MixMonitorID: "0x2", At: r.now}))
		if end := r.now.Add(w.Growth).Sub(begun); end > 6*time.Second {
			t.Errorf("verdict after %v", end)
		}
		out = r.step(NotSeen{retry.UUID, CauseNoFile, ""})
		none[Start](t, out)
		f = one[Finalise](t, r.step(StopDone{retry.UUID}))
		r.step(Finalised{UUID: retry.UUID, Try: f.Try})
		if row := r.last(retry.UUID); row.State != Missing || row.Cause != CauseNoFile {
			t.Errorf("%+v", row)
		}
		none[Start](t, r.step(talked(call.Resumed, 1, "Ab")))
	})
	for _, cause := range []string{CauseReadOnly, CauseNoSpace, CausePermission, CauseNoDirectory} {
		t.Run(cause, func(t *testing.T) {
			r := newRig(t)
			u := one[Start](t, r.step(talked(call.Began, 1, "Ab"))).Row.UUID
			out := r.step(StartFailed{u, cause, "why"})
			none[Start](t, out)
			f := one[Finalise](t, out)
			out = r.step(Finalised{UUID: u, Try: f.Try, Found: true})
			one[Alarm](t, out)
			if row := one[Save](t, out).Row; row.State != Missing || row.Cause != cause {
				t.Errorf("%+v", row)
			}
		})
	}
	t.Run("full growth window, retry within 6 s", func(t *testing.T) {
		r := newRig(t)
		begun := r.now
		u := one[Start](t, r.step(talked(call.Began, 1, "Ab"))).Row.UUID
		w := one[WatchFile](t, r.step(Started{UUID: u, MixMonitorID: "0x1", At: r.now}))
		r.now = r.now.Add(w.Growth)
		again := one[Start](t, r.step(NotGrown{u, CauseNoGrowth, ""})).Row.UUID
		w = one[WatchFile](t, r.step(Started{UUID: again, MixMonitorID: "0x2", At: r.now}))
		if end := r.now.Add(w.Growth).Sub(begun); end > 6*time.Second {
			t.Errorf("verdict after %v", end)
		}
	})
}

func TestSilentIsNoAlarm(t *testing.T) {
	r := newRig(t)
	u := one[Start](t, r.step(talked(call.Began, 1, "Ab"))).Row.UUID
	r.step(Started{UUID: u, MixMonitorID: "0x1"})
	r.step(SilentRTP{u})
	if row := r.last(u); !row.Silent || row.State != Live {
		t.Fatalf("%+v", row)
	}
	r.step(Grew{u})
	if r.last(u).Silent {
		t.Error("still silent")
	}
	none[Alarm](t, r.all)
}

func TestLateStartIsStopped(t *testing.T) {
	r := newRig(t)
	u := one[Start](t, r.step(talked(call.Began, 1, "Ab"))).Row.UUID
	f := one[Finalise](t, r.pass(5*time.Second))
	r.step(Finalised{UUID: u, Try: f.Try})
	if r.last(u).State != Missing {
		t.Fatal(r.last(u))
	}
	one[Stop](t, r.step(Started{UUID: u, MixMonitorID: "0x9"}))
	f = one[Finalise](t, r.step(StopDone{u}))
	r.step(Finalised{UUID: u, Try: f.Try, Found: true, Complete: true, Samples: 5})
	if row := r.last(u); row.State != Ready || row.Cause != CauseNoAnswer {
		t.Error(row)
	}
}

func TestClosedByOthersContinues(t *testing.T) {
	r := newRig(t)
	u := r.live("Ab")
	out := r.step(Closed{u})
	one[Finalise](t, out)
	none[Start](t, out)
	if s := one[Start](t, r.pass(time.Second)); s.Row.Follows != u {
		t.Error(s)
	}
}

func TestMerged(t *testing.T) {
	t.Run("change first", func(t *testing.T) {
		r := newRig(t)
		r.live("Ab")
		r.step(talked(call.Began, 2, "cd"))
		r.step(talked(call.Changed, 2, "Abcd"))
		r.step(TalkChange{Change: call.Change{Kind: call.Ended, Talk: 1, MergedInto: 2}})
		if s := one[Stop](t, r.all).Row; s.State != Live { // c and d are new
			t.Errorf("%+v", s)
		}
		if len(pick[Start](r.all)) != 1 {
			t.Error("second file")
		}
	})
	t.Run("end first", func(t *testing.T) {
		r := newRig(t)
		u := r.live("Ab")
		r.step(talked(call.Began, 2, "cd"))
		r.step(TalkChange{Change: call.Change{Kind: call.Ended, Talk: 1, MergedInto: 2}})
		if s := one[Stop](t, r.step(talked(call.Changed, 2, "Abcd"))).Row; s.State != Live {
			t.Errorf("%+v", s)
		}
		none[Stop](t, r.pass(10*time.Second))
		if len(pick[Start](r.all)) != 1 || len(r.last(u).Legs) != 4 {
			t.Error("second file", r.last(u))
		}
	})
}

func TestReconcile(t *testing.T) {
	row := func(n int, s State, hook string) Recording {
		return Recording{
			UUID: id(n), State: s, Hook: hook, Boot: boot, Legs: []string{hook, "b"},
			Claims: []Claim{{Leg: hook, Reason: dialplan.RuleOutInternal}},
		}
	}
	r := newRig(t)
	out := r.m.Reconcile(r.now, []Recording{
		row(101, Live, "a"), row(102, Live, "x"), row(103, Starting, "y"), row(104, Closing, "z"), row(105, Live, "q"),
	}, []Channel{
		{ID: "a", Name: "PJSIP/a-1", Recorders: []Recorder{{UUID: id(101), MixMonitorID: "0x7"}}},
		{ID: "q", Name: "PJSIP/q-1", Recorders: []Recorder{{UUID: id(105), MixMonitorID: "0x8"}, {UUID: id(106), MixMonitorID: "0x9"}}},
	}, map[string]int64{id(101): 5, id(102): 44, id(104): 99})
	r.all = out
	if got := len(pick[Finalise](out)); got != 2 {
		t.Errorf("%d files to look at", got)
	}
	if l := r.last(id(103)); l.State != Missing || l.Cause != CauseDaemonDown {
		t.Errorf("%+v", l)
	}
	c := talked(call.Began, 1, "ab") // the flags are off by now, the roles unknown
	for i := range c.Parties {
		c.Parties[i].Role = dialplan.RoleUnknown
	}
	out = r.step(c)
	none[Start](t, out)
	none[Stop](t, out)
	if stops := pick[Stop](r.pass(2 * time.Second)); len(stops) != 2 || stops[0].Row.MixMonitorID != "0x8" {
		t.Errorf("orphans: %+v", stops)
	}
	// A reconnect with nothing new changes nothing.
	none[Stop](t, r.m.Reconcile(r.now, nil, []Channel{{ID: "a", Recorders: []Recorder{{UUID: id(101), MixMonitorID: "0x7"}}}, {ID: "q"}}, nil))
	// One in which the recorder died, but not the talk, does.
	out = r.m.Reconcile(r.now, nil, []Channel{{ID: "a"}, {ID: "q"}}, map[string]int64{id(101): -1})
	if one[Finalise](t, out).Row.UUID != id(101) {
		t.Error(out)
	}
	if s := one[Start](t, r.pass(time.Second)).Row; s.Follows != id(101) || s.Hook != "a" {
		t.Errorf("%+v", s)
	}
	r.step(Started{UUID: id(1), MixMonitorID: "0xa"})
	if out := r.step(ChannelGone{"a"}); one[Finalise](t, out).Row.UUID != id(1) {
		t.Error(out)
	}
}

// A file that is closed while no events come is no reason to start on a channel
// that may be gone: Asterisk may have died.
func TestNothingStartsBlindly(t *testing.T) {
	r := newRig(t)
	u := r.live("Ab")
	r.step(Blind{})
	r.step(Closed{u})
	none[Start](t, r.pass(time.Minute))
	if at, ok := r.m.NextDeadline(); ok && at.Before(r.now) {
		t.Errorf("deadline %s is never met", at)
	}
	r.m.Reconcile(r.now, nil, []Channel{{ID: "a", Name: "PJSIP/a-00000001"}}, map[string]int64{u: 100})
	if s := one[Start](t, r.pass(2*time.Second)); s.Row.Follows != u {
		t.Errorf("the talk that goes on is recorded by %+v", s.Row)
	}
}

func TestRestartedAndMoved(t *testing.T) {
	r := newRig(t)
	u := r.live("Ab")
	r.step(Moved{From: "a", To: "s", ToName: "Surrogate/a"})
	none[Stop](t, r.step(talked(call.Changed, 1, "Sb")))
	if r.last(u).Hook != "s" {
		t.Error(r.last(u))
	}
	one[Finalise](t, r.step(Restarted{Boot: boot.Add(time.Minute)}))
	none[Stop](t, r.all)
}

func TestStoragesAndNames(t *testing.T) {
	if Storage(CauseNoFile) || !Storage(CauseStalled) {
		t.Error("storage")
	}
	for s, want := range map[string]bool{id(1): true, "": false, "../../../etc/passwd,b-000000000000000": false, "0000000A-0000-4000-8000-000000000000": false} {
		if ValidUUID(s) != want {
			t.Error(s)
		}
	}
	row := Recording{UUID: id(1), TenantUUID: id(2)}
	if row.Path() != id(2)+"/monitor/"+id(1)+".wav" || row.Variable() != "CALLRECORD_00000000_0000_4000_8000_000000000001" {
		t.Error(row.Path(), row.Variable())
	}
}
