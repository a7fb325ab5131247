package audit

import (
	"strings"
	"testing"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/call"
	"callrecordd/internal/recorder"
)

// Each row is a call as somebody may have it, and what an audit must say of it.
func TestClasses(t *testing.T) {
	const ready, empty, missing, interrupted = recorder.Ready, recorder.Empty, recorder.Missing, recorder.Interrupted
	for name, c := range map[string]struct {
		draw    func(*drawing)
		class   Class
		cause   string // "" if there is no finding
		seconds float64
		says    string
	}{
		"recorded as it has to be": {func(d *drawing) {
			d.decided(0, "began", nil, "1.1", "1.2")
			d.recorded(0.02, 20, 19.97, ready, "")
		}, Covered, "", 0, "All 20s that had to be recorded"},
		"no rule, no file": {func(d *drawing) {
			d.flags = dialplan.Flags{}
			d.decided(0, "began", nil, "1.1", "1.2")
		}, NotRequired, "", 0, "no rule asks for it"},
		"no rule, but a file": {func(d *drawing) {
			d.flags = dialplan.Flags{}
			d.decided(0, "began", nil, "1.1", "1.2")
			d.recorded(0, 20, 20, ready, "")
		}, Unexpected, CauseNoRule, 20, "nobody asked for it"},
		"started late, the manager was away": {func(d *drawing) {
			d.decided(0, "began", nil, "1.1", "1.2")
			d.recorded(6, 20, 14, ready, recorder.CauseNoManager)
			d.world.Outages = []Outage{{Kind: ManagerGone, From: at(-3), To: at(6), Event: 99}}
		}, Late, recorder.CauseNoManager, 6, "manager could not be reached, 2026-11-23 11:59:57.0 to 12:00:06.0 UTC"},
		"ended early": {func(d *drawing) {
			d.decided(0, "began", nil, "1.1", "1.2")
			d.recorded(0, 12, 12, ready, recorder.CauseClosedEarly)
		}, Short, recorder.CauseClosedEarly, 8, "The end of the talk"},
		"Asterisk has written less than the recorder ran": {func(d *drawing) {
			d.decided(0, "began", nil, "1.1", "1.2")
			d.recorded(0, 20, 15, ready, "")
		}, Gap, CauseFewFrames, 5, "ran for 20s and wrote 15s"},
		"Asterisk stood still, and the file has its length": {func(d *drawing) {
			d.decided(0, "began", nil, "1.1", "1.2")
			d.recorded(0, 20, 20, ready, "")
			d.world.Outages = []Outage{{Kind: AsteriskStalled, From: at(7), To: at(8.5), Event: 99}}
		}, Unverifiable, string(AsteriskStalled), 0, "stood still"},
		"Asterisk stood still, and the file is shorter": {func(d *drawing) {
			d.decided(0, "began", nil, "1.1", "1.2")
			d.recorded(0, 20, 18.5, ready, "")
			d.world.Outages = []Outage{{Kind: AsteriskStalled, From: at(7), To: at(8.5), Event: 99}}
		}, Gap, CauseFewFrames, 1.5, "ran for 20s and wrote"},
		"Asterisk stood still for a moment": {func(d *drawing) {
			d.decided(0, "began", nil, "1.1", "1.2")
			d.recorded(0, 20, 20, ready, "")
			d.world.Outages = []Outage{{Kind: AsteriskStalled, From: at(7), To: at(7.45), Event: 99}}
		}, Covered, "", 0, "All 20s"},
		"between one recorder and the next": {func(d *drawing) {
			d.decided(0, "began", nil, "1.1", "1.2")
			d.recorded(0, 8, 8, ready, recorder.CauseClosedEarly)
			d.recorded(12, 20, 8, ready, "")
		}, Gap, recorder.CauseClosedEarly, 4, "A part of the talk"},
		"a file without audio": {func(d *drawing) {
			d.decided(0, "began", nil, "1.1", "1.2")
			d.recorded(0, 20, 0, empty, recorder.CauseSilent).Silent = true
		}, Empty, recorder.CauseSilent, 20, "no audio arrived"},
		"the start has failed": {func(d *drawing) {
			d.decided(0, "began", nil, "1.1", "1.2")
			d.recorded(0, 20, 0, missing, recorder.CauseNoSpace)
			d.world.Outages = []Outage{{Kind: StorageGone, From: at(-60), To: at(60), Event: 5}}
		}, Missing, recorder.CauseNoSpace, 20, "disk of the recordings was full"},
		"the daemon was down, and the rules of then wanted it": {func(d *drawing) {
			d.world.Outages = []Outage{{Kind: DaemonDown, From: at(-60), To: at(60), Event: 5, Unsure: true}}
		}, Missing, string(DaemonDown), 20, "callrecordd did not run, 2026-11-23 11:59:00.0 to 12:01:00.0 UTC, or since later"},
		"the daemon was down, and no rule wanted it": {func(d *drawing) { d.flags = dialplan.Flags{} }, NotRequired, "", 0, ""},
		"the daemon came back in the middle": {func(d *drawing) {
			d.world.Outages = []Outage{{Kind: DaemonDown, From: at(-60), To: at(8), Event: 5}}
			d.decided(8, "began", nil, "1.1", "1.2")
			d.recorded(8, 20, 12, ready, "")
		}, Late, string(DaemonDown), 8, "The beginning"},
		"the file is gone, and nobody has removed it": {func(d *drawing) {
			d.decided(0, "began", nil, "1.1", "1.2")
			d.recorded(0, 20, 20, ready, "").File = Found{Looked: true}
		}, Missing, CauseFileGone, 20, "no order to remove it"},
		"removed by somebody who may": {func(d *drawing) {
			d.decided(0, "began", nil, "1.1", "1.2")
			d.recorded(0, 20, 20, recorder.Deleted, "").Removed = &Authority{At: at(99), Actor: "root", Why: "request"}
		}, Deleted, CauseRemoved, 20, "Root has removed the file at 2026-11-23 12:01:39.0 UTC (request)"},
		"removed by nobody": {func(d *drawing) {
			d.decided(0, "began", nil, "1.1", "1.2")
			d.recorded(0, 20, 20, recorder.Deleted, "")
		}, Missing, CauseFileGone, 20, ""},
		"the file was cut off": {func(d *drawing) {
			d.decided(0, "began", nil, "1.1", "1.2")
			r := d.recorded(0, 20, 20, ready, "")
			r.File.Reread, r.File.SHA256, r.File.Samples, r.File.Bytes = true, "wrong", 5*8000, 80044
		}, Corrupt, CauseAltered, 20, "it holds 80044 bytes and 5.0 s of audio"},
		"a byte of the file is another": {func(d *drawing) {
			d.decided(0, "began", nil, "1.1", "1.2")
			r := d.recorded(0, 20, 20, ready, "")
			r.File.Reread, r.File.SHA256 = true, "wrong"
		}, Corrupt, CauseAltered, 20, "not the one that was recorded"},
		"the file cannot be read": {func(d *drawing) {
			d.decided(0, "began", nil, "1.1", "1.2")
			d.recorded(0, 20, 20, ready, "").File.Broken = "not a wav file"
		}, Corrupt, recorder.CauseUnreadable, 20, "not a wav file"},
		"the disk is not mounted": {func(d *drawing) {
			d.decided(0, "began", nil, "1.1", "1.2")
			d.recorded(0, 20, 20, ready, "").File = Found{Unknown: "no such directory"}
		}, Unverifiable, CauseNotReadable, 20, "no such directory"},
		"it is not closed yet": {func(d *drawing) {
			d.decided(0, "began", nil, "1.1", "1.2")
			d.recorded(0, 20, 0, recorder.Closing, "")
		}, Unverifiable, CauseOpen, 20, ""},
		"nothing tells of the talk": {func(d *drawing) { d.call.Talks = nil }, Unverifiable, CauseNoTalks, 0, "is not stored"},
		"an event cannot be read": {func(d *drawing) {
			d.event(0, recorder.EventDecision, "", "no decision")
		}, Unverifiable, CauseUnreadable, 0, ""},
		"the clock was set in the call": {func(d *drawing) {
			d.decided(0, "began", nil, "1.1", "1.2")
			d.recorded(0, 20, 12, ready, "")
			d.world.Outages = []Outage{{Kind: ClockJumped, From: at(9), To: at(10)}}
		}, Unverifiable, string(ClockJumped), 8, "times cannot be compared"},
		"brought in from elsewhere":      {func(d *drawing) { d.call.Imported = true }, Imported, "", 0, "from elsewhere"},
		"recorded by the safety net":     {func(d *drawing) { d.flags = dialplan.Flags{}; d.net(0, 20) }, NotRequired, "", 0, ""},
		"and the net has what had to be": {func(d *drawing) { d.net(0, 20) }, Covered, "", 0, ""},
		"Asterisk died, and the file has what it had written": {func(d *drawing) {
			d.died(4)
			d.decided(0, "began", nil, "1.1", "1.2")
			d.recorded(0, 15, 10.9, interrupted, recorder.CauseHeaderUnset)
			d.world.Outages = []Outage{{Kind: AsteriskGone, From: at(11), To: at(15)}}
		}, Covered, "", 0, ""},
		"Asterisk died, and the file lacks seconds": {func(d *drawing) {
			d.died(4)
			d.decided(0, "began", nil, "1.1", "1.2")
			d.recorded(0, 15, 6, interrupted, recorder.CauseHeaderUnset)
			d.world.Outages = []Outage{{Kind: AsteriskGone, From: at(11), To: at(15), Event: 3}}
		}, Short, recorder.CauseHeaderUnset, 5, ""},
		"there is next to nothing at the beginning, and then nothing": {func(d *drawing) {
			d.decided(0, "began", nil, "1.1", "1.2")
			d.recorded(0.01, 20, 0.25, ready, "")
			d.world.Outages = []Outage{{Kind: ManagerGone, From: at(-2), To: at(-0.1), Event: 3}}
		}, Gap, CauseFewFrames, 19.74, "wrote 0.2 s"},
		"Asterisk died with the daemon, and nothing was written": {func(d *drawing) {
			d.died(0)
			d.decided(0, "began", nil, "1.1", "1.2")
			d.recorded(0, 15, 0, missing, recorder.CauseRestarted)
			d.world.Outages = []Outage{{Kind: AsteriskGone, From: at(9), To: at(15), Event: 3, Unsure: true}}
		}, Missing, recorder.CauseRestarted, 9, ""},
		"the disk was full while the recorder ran": {func(d *drawing) {
			d.decided(0, "began", nil, "1.1", "1.2")
			d.recorded(0, 20, 10, ready, "")
			d.world.Outages = []Outage{{Kind: EventsGone, From: at(19), To: at(25)}, {Kind: StorageGone, From: at(9), To: at(15), Event: 3}}
		}, Gap, string(StorageGone), 10, "could not be written"},
		"the disk was full when the file was begun, which lost its header": {func(d *drawing) {
			d.decided(0, "began", nil, "1.1", "1.2")
			d.recorded(0, 20, 15, interrupted, recorder.CauseHeaderLost)
			d.world.Outages = []Outage{{Kind: StorageGone, From: at(-2), To: at(5), Event: 3}}
		}, Late, recorder.CauseHeaderLost, 5, "was full when the file was begun"},
		"and the daemon was away when the file was closed": {func(d *drawing) {
			d.decided(0, "began", nil, "1.1", "1.2")
			d.recorded(0, 21.5, 20, interrupted, recorder.CauseHeaderLost)
			d.world.Outages = []Outage{{Kind: StorageGone, From: at(-2), To: at(1), Event: 3}, {Kind: DaemonDown, From: at(19), To: at(21.5)}}
		}, Covered, "", 0, ""},
		"and Asterisk stood still later in the call": {func(d *drawing) {
			d.decided(0, "began", nil, "1.1", "1.2")
			d.recorded(0, 20, 18, interrupted, recorder.CauseHeaderLost)
			d.world.Outages = []Outage{{Kind: StorageGone, From: at(-2), To: at(2), Event: 3}, {Kind: AsteriskStalled, From: at(17), To: at(19)}}
		}, Gap, string(StorageGone), 2, ""},
		"the journal lacks the call, decisions tell of it": {func(d *drawing) {
			d.call.Live, d.call.Talks = true, nil
			d.decided(0, "began", nil, "1.1", "1.2")
			d.recorded(0.02, 20, 19.9, ready, "")
		}, Covered, "", 0, ""},
		"recorded on after the talk": {func(d *drawing) {
			d.decided(0, "began", nil, "1.1", "1.2")
			d.recorded(0, 40, 40, ready, "")
		}, Unexpected, CauseNoRule, 17, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDrawing(t, 0, 20, out)
			c.draw(d)
			v := d.verdict()
			if v.Class != c.class || !strings.Contains(strings.ToLower(v.Explanation), strings.ToLower(c.says)) {
				t.Errorf("%s, want %s: %s", v.Class, c.class, v.Explanation)
			}
			if c.cause != "" {
				has(t, v, c.class, c.cause, c.seconds)
				if v.Reason != c.cause {
					t.Errorf("reason %s", v.Reason)
				}
			} else if len(v.Findings) > 0 {
				t.Errorf("findings %+v", v.Findings)
			}
		})
	}
}

// net is a recording that Asterisk has made by itself.
func (d *drawing) net(from, to float64) {
	r := d.recorded(from, to, to-from, recorder.Ready, "")
	r.Claims = []recorder.Claim{{Leg: "1.1", UserUUID: "alice", Reason: dialplan.SafetyNetMade, At: at(from)}}
}

// died: the journal ends at that time, in the talk.
func (d *drawing) died(s float64) {
	talk := &d.call.Talks[0]
	talk.EndUnknown, talk.Ended, talk.Spans[0].To, d.call.End = true, at(s), at(s), at(s)
}

// What is asked for in a talk after the last that the journal has of it counts.
func TestOnDemandInATalkThatAsterisksDeathEnded(t *testing.T) {
	d := newDrawing(t, 0, 20, dialplan.Flags{OnDemand: true})
	d.died(0)
	d.decided(0, "began", nil, "1.1", "1.2")
	d.event(4, recorder.EventClaim, "", recorder.Claim{Leg: "1.1", UserUUID: "alice", Reason: dialplan.OnDemand, At: at(4)})
	d.recorded(4, 15, 3, recorder.Interrupted, recorder.CauseHeaderUnset)
	d.world.Outages = []Outage{{Kind: AsteriskGone, From: at(11), To: at(15), Event: 3}}
	v := d.verdict()
	has(t, v, Short, recorder.CauseHeaderUnset, 4)
	if v.RequiredSeconds != 7 {
		t.Errorf("%.1f s were needed: %+v", v.RequiredSeconds, v.Required)
	}
}

// TestACallThatBeganInAnOutageAndEndedInTheNext: Asterisk was back before the daemon
// knew, the call began, and then it was killed with the last rows of the journal. Of
// when the talk ended the first outage says nothing.
func TestACallThatBeganInAnOutageAndEndedInTheNext(t *testing.T) {
	d := newDrawing(t, 0, 20, out)
	d.died(0)
	d.decided(0.4, "began", nil, "1.1", "1.2")
	d.recorded(0.4, 7, 4, recorder.Interrupted, recorder.CauseRepaired)
	d.world.Outages = []Outage{{Kind: AsteriskGone, From: at(-2), To: at(0.4), Event: 3}, {Kind: AsteriskGone, From: at(5.7), To: at(6.2), Event: 4}}
	v := d.verdict()
	has(t, v, Short, recorder.CauseRepaired, 1.3)
	if v.RequiredSeconds < 5.6 || v.RequiredSeconds > 5.8 {
		t.Errorf("%.1f s were needed", v.RequiredSeconds)
	}
}

// TestAPauseBeforeASlowStartHidesNoReason: of the time before the pause nobody
// recorded, and the report said that no reason is stored.
func TestAPauseBeforeASlowStartHidesNoReason(t *testing.T) {
	d := newDrawing(t, 0, 20, out)
	d.decided(0, "began", nil, "1.1", "1.2")
	r := d.recorded(3, 20, 17, recorder.Ready, "")
	r.IntentAt = at(0)
	r.Pauses = []recorder.Pause{{From: at(1.5), To: at(4), Silence: recorder.Silent}}
	has(t, d.verdict(), Late, CauseSlowStart, 1.5)
}

// A pause takes nothing from what is covered, whether it is silence or cut out,
// and also while no recorder runs.
func TestPausesNeedNotBeRecorded(t *testing.T) {
	for name, cut := range map[string]bool{"silent": false, "cut out": true} {
		d := newDrawing(t, 0, 30, out)
		d.decided(0, "began", nil, "1.1", "1.2")
		r := d.recorded(0, 30, map[bool]float64{false: 30, true: 20}[cut], recorder.Ready, "")
		r.Pauses = []recorder.Pause{{From: at(10), To: at(20), Cut: cut}}
		if v := d.verdict(); v.Class != Covered || v.RequiredSeconds != 20 {
			t.Errorf("%s: %s, %.1f s: %s", name, v.Class, v.RequiredSeconds, v.Explanation)
		}
	}
	d := newDrawing(t, 0, 30, out)
	d.decided(0, "began", nil, "1.1", "1.2")
	d.event(10, recorder.EventOnDemand, "", recorder.RequestData{Leg: "1.1", Op: recorder.OpPause, State: recorder.PartyPaused})
	d.event(20, recorder.EventOnDemand, "", recorder.RequestData{Leg: "1.1", Op: recorder.OpResume, State: recorder.Active})
	d.recorded(0, 10, 10, recorder.Ready, "")
	d.recorded(20, 30, 10, recorder.Ready, "")
	if v := d.verdict(); v.Class != Covered {
		t.Errorf("no recorder in the pause: %s: %s", v.Class, v.Explanation)
	}
	d.call.Recordings[0].Pauses = []recorder.Pause{{From: at(2), To: at(4), Silence: recorder.NotSilent}}
	has(t, d.verdict(), Unexpected, CausePauseHeard, 2)
}

// Who presses *3 asks from then on until it is stopped.
func TestOnDemandIsNeededFromThePressOn(t *testing.T) {
	draw := func() *drawing {
		d := newDrawing(t, 0, 30, dialplan.Flags{OnDemand: true})
		d.decided(0, "began", nil, "1.1", "1.2")
		claim := recorder.Claim{Leg: "1.1", UserUUID: "alice", Reason: dialplan.OnDemand, At: at(10)}
		d.event(10, recorder.EventClaim, "", claim)
		d.event(20, recorder.EventRelease, "", claim)
		return d
	}
	d := draw()
	d.recorded(10.1, 20, 9.9, recorder.Ready, "")
	if v := d.verdict(); v.Class != Covered || v.RequiredSeconds != 10 {
		t.Errorf("%s, %.1f s: %s", v.Class, v.RequiredSeconds, v.Explanation)
	}
	has(t, draw().verdict(), Missing, CauseNotStarted, 10)
	d = draw()
	d.recorded(0, 20, 20, recorder.Ready, "")
	has(t, d.verdict(), Unexpected, CauseNoRule, 9.45)
}

// A recorder that was started in the middle of a talk, when nobody knew who had
// called, recorded a call that no rule wanted: the journal knows who had.
func TestRecordedByAGuessIsUnexpected(t *testing.T) {
	d := newDrawing(t, 0, 30, dialplan.Flags{IncomingInternal: true})
	in := dialplan.Input{Parties: d.people(legs("1.1", "1.2"))}
	for i := range in.Parties {
		in.Parties[i].Role = dialplan.RoleUnknown
	}
	claim := recorder.Claim{Leg: "1.1", UserUUID: "alice", Reason: dialplan.RuleInInternal, At: at(5)}
	d.event(5, recorder.EventDecision, "", recorder.DecisionData{Talk: 1, Change: "began", Input: in, Decision: dialplan.Decide(in), Claims: []recorder.Claim{claim}, Records: true})
	d.event(5, recorder.EventClaim, "", claim)
	d.recorded(5, 30, 25, recorder.Ready, "")
	has(t, d.verdict(), Unexpected, CauseNoRule, 25)
	d.flags = dialplan.Flags{OutgoingInternal: true}
	has(t, d.verdict(), Late, CauseSeenLate, 5)
}

// A recorder that an ending Asterisk has closed was not ended by somebody else.
func TestRecorderClosedByAnEndingAsteriskIsNotEndedBySomebodyElse(t *testing.T) {
	for _, gone := range []bool{true, false} {
		d := newDrawing(t, 0, 20, out)
		d.decided(0, "began", nil, "1.1", "1.2")
		d.recorded(0, 20, 0, recorder.Empty, recorder.CauseClosedEarly)
		want := recorder.CauseClosedEarly
		if gone {
			d.world.Outages = []Outage{{Kind: AsteriskGone, From: at(20.1), To: at(22), Event: 9}}
			want = string(AsteriskGone)
		}
		has(t, d.verdict(), Empty, want, 20)
	}
}

// After a transfer another talk goes on in another recording of the same call.
func TestTransfersHaveSeveralRecordings(t *testing.T) {
	d := newDrawing(t, 0, 10, out)
	d.call.Talks[0].Spans = append(d.call.Talks[0].Spans, call.Span{From: at(10), To: at(30), Legs: legs("1.1", "1.3")})
	d.call.Talks[0].Ended, d.call.End = at(30), at(30)
	d.decided(0, "began", nil, "1.1", "1.2")
	d.decided(10, "changed", nil, "1.1", "1.3")
	d.recorded(0, 10, 10, recorder.Ready, "")
	r := d.recorded(10.1, 30, 19.9, recorder.Ready, "")
	r.Follows, r.Legs = d.call.Recordings[0].UUID, []string{"1.1", "1.3"}
	if v := d.verdict(); v.Class != Covered || v.RequiredSeconds != 30 {
		t.Errorf("%s, %.1f s: %s", v.Class, v.RequiredSeconds, v.Explanation)
	}
	// Another talk's recording covers nothing of this one.
	d.call.Recordings[1].Legs, d.call.Recordings[1].Hook = []string{"9.8", "9.9"}, "9.9"
	has(t, d.verdict(), Short, CauseReplaced, 20)
}

// A telephone on hold sends nothing, and Asterisk writes nothing then.
func TestHoldIsNoLoss(t *testing.T) {
	d := newDrawing(t, 0, 30, out)
	d.decided(0, "began", nil, "1.1", "1.2")
	d.recorded(0, 30, 22, recorder.Ready, "")
	has(t, d.verdict(), Gap, CauseFewFrames, 8)
	d.event(10, EventHeld, "", struct{}{})
	d.event(18, EventUnheld, "", struct{}{})
	if v := d.verdict(); v.Class != Covered {
		t.Errorf("%s: %s", v.Class, v.Explanation)
	}
}

// Of a recorder that was found running only the end is known.
func TestAdoptedRecorderIsPlacedByItsEnd(t *testing.T) {
	d := newDrawing(t, 0, 30, out)
	d.decided(0, "began", nil, "1.1", "1.2")
	r := d.recorded(20, 33, 29.9, recorder.Ready, "") // its end was found later
	r.StartedAt = time.Time{}
	if v := d.verdict(); v.Class != Covered {
		t.Errorf("%s: %s", v.Class, v.Explanation)
	}
	// Its row is from before its start, and its start was not stored.
	r.IntentAt = at(0.01)
	if v := d.verdict(); v.Class != Covered {
		t.Errorf("%s: %s", v.Class, v.Explanation)
	}
	r.Samples, r.File.Samples = 20*8000, 20*8000
	has(t, d.verdict(), Gap, CauseFewFrames, 10)
}

// A recording that no call has is told of.
func TestRecordingWithoutACall(t *testing.T) {
	d := newDrawing(t, 0, 30, out)
	d.recorded(0, 30, 30, recorder.Ready, "")
	d.call.ID, d.call.Talks = 0, nil
	has(t, d.verdict(), Unverifiable, CauseNoRecord, 0)
	d.call.Recordings[0].State, d.call.Recordings[0].Cause = recorder.Missing, recorder.CauseNoSpace
	has(t, d.verdict(), Missing, recorder.CauseNoSpace, 30)
}

// Of a call between tenants the other's people and recordings are not shown.
func TestOtherTenantsAreNotShown(t *testing.T) {
	d := newDrawing(t, 0, 30, out)
	d.decided(0, "began", nil, "1.1", "1.2")
	d.recorded(0, 20, 20, recorder.Ready, recorder.CauseClosedEarly)
	d.world.Told["00000000-0000-4000-8000-000000000001"] = []Notice{{At: at(21), How: "webhook crm", State: "delivered"}}
	v := d.verdict()
	has(t, v, Short, recorder.CauseClosedEarly, 10)
	if len(v.Told) != 1 || !strings.Contains(v.Explanation, "Told: webhook crm at 2026-11-23 12:00:21.0 UTC (delivered)") {
		t.Errorf("told %+v: %s", v.Told, v.Explanation)
	}
	d.world.Visible = func(tenant string) bool { return tenant == "other" }
	v = d.verdict()
	has(t, v, Short, recorder.CauseClosedEarly, 10)
	if text := dump(t, v); strings.Contains(text, "alice") || strings.Contains(text, "Alice") || strings.Contains(text, "8000-000000000001") {
		t.Errorf("shown: %s", text)
	}
}
