package audit

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/call"
	"callrecordd/internal/recorder"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// at is so many seconds after noon.
func at(s float64) time.Time { return noon.Add(time.Duration(s * float64(time.Second))) }

// drawing is a call from which what is stored is made.
type drawing struct {
	t        interface{ Fatalf(string, ...any) }
	from, to float64 // of the talk
	flags    dialplan.Flags
	call     Call
	world    World
}

// newDrawing is a talk of Alice, whose flags count, and Bob.
func newDrawing(t interface{ Fatalf(string, ...any) }, from, to float64, flags dialplan.Flags) *drawing {
	d := &drawing{t: t, from: from, to: to, flags: flags}
	d.call = Call{
		ID: 7, Tenant: "master", Conversation: "1.1", Start: at(from - 2), Answer: at(from), End: at(to),
		Talks: []call.TalkHistory{{ID: 1, Began: at(from), Ended: at(to), Spans: []call.Span{{From: at(from), To: at(to), Legs: legs("1.1", "1.2")}}}},
	}
	d.world = World{
		Tolerances: DefaultTolerances(), Told: map[string][]Notice{},
		Rules: func(_ time.Time, legs []call.Leg) ([]dialplan.Party, error) { return d.people(legs), nil },
		User:  func(uuid string) string { return map[string]string{"alice": "Alice"}[uuid] },
	}
	return d
}

func legs(ids ...string) []call.Leg {
	out := make([]call.Leg, 0, len(ids))
	for i, id := range ids {
		l := call.Leg{ID: id, Name: "PJSIP/leg" + id + "-0000000a", Role: call.RolePeer}
		if i == 0 {
			l.Role = call.RoleCaller
		}
		out = append(out, l)
	}
	return out
}

// people: 1.1 is Alice, all others nobody's telephone.
func (d *drawing) people(legs []call.Leg) []dialplan.Party {
	out := make([]dialplan.Party, 0, len(legs))
	for _, l := range legs {
		p := dialplan.Party{Leg: l.ID, Endpoint: l.Endpoint(), Role: dialplan.RolePeer, Kind: dialplan.KindDevice}
		if l.Role == call.RoleCaller {
			p.Role = dialplan.RoleCaller
		}
		if l.ID == "1.1" {
			p.Kind, p.UserUUID, p.Tenant, p.Flags = dialplan.KindUser, "alice", "master", d.flags
		}
		out = append(out, p)
	}
	return out
}

func (d *drawing) event(s float64, kind, recording string, data any) int64 {
	text, err := json.Marshal(data)
	if err != nil {
		d.t.Fatalf("%v", err)
	}
	id := int64(len(d.call.Events) + 1)
	d.call.Events = append(d.call.Events, Event{ID: id, Event: recorder.Event{At: at(s), Kind: kind, Recording: recording, Call: "1.1"}, Data: text})
	return id
}

// decided stores a decision about the legs at that time, and returns its claims.
func (d *drawing) decided(s float64, change string, extra []recorder.Claim, ids ...string) []recorder.Claim {
	in := dialplan.Input{Parties: d.people(legs(ids...))}
	data := recorder.DecisionData{Talk: 1, Change: change, Input: in, Decision: dialplan.Decide(in), Claims: extra}
	for i, v := range data.Decision.Verdicts {
		if v.Records {
			data.Claims = append(data.Claims, recorder.Claim{Leg: v.Leg, UserUUID: in.Parties[i].UserUUID, Reason: v.Reason, At: at(s)})
		}
	}
	data.Records = len(data.Claims) > 0
	d.event(s, recorder.EventDecision, "", data)
	for _, c := range data.Claims {
		d.event(s, recorder.EventClaim, "", c)
	}
	return data.Claims
}

// recorded is a recording from one time to the other with so much audio.
func (d *drawing) recorded(from, to, audio float64, state recorder.State, cause string) *Recording {
	uuid := fmt.Sprintf("00000000-0000-4000-8000-%012d", len(d.call.Recordings)+1)
	samples := int64(audio * 8000)
	r := Recording{
		Recording: recorder.Recording{
			UUID: uuid, TenantUUID: "master", Hook: "1.1", Legs: []string{"1.1", "1.2"}, State: state, Cause: cause,
			IntentAt: at(from - 0.005), StartedAt: at(from), EndedAt: at(to), Bytes: 44 + 2*samples, Samples: samples, Rate: 8000, SHA256: "right",
			Claims: []recorder.Claim{{Leg: "1.1", UserUUID: "alice", Reason: dialplan.RuleOutInternal, At: at(from)}},
		},
		File: Found{Looked: true, Exists: state != recorder.Missing && state != recorder.Deleted, Bytes: 44 + 2*samples, Samples: samples, Rate: 8000, SHA256: "right"},
	}
	d.call.Recordings = append(d.call.Recordings, r)
	return &d.call.Recordings[len(d.call.Recordings)-1]
}

func (d *drawing) verdict() Verdict {
	v, err := Judge(d.call, d.world)
	if err != nil {
		d.t.Fatalf("%v", err)
	}
	return v
}

// out are flags that record every call that Alice makes.
var out = dialplan.Flags{OutgoingInternal: true, OutgoingExternal: true}

func has(t *testing.T, v Verdict, class Class, cause string, seconds float64) {
	t.Helper()
	for _, f := range v.Findings {
		if f.Class == class && f.Cause == cause && f.Seconds > seconds-0.1 && f.Seconds < seconds+0.1 {
			return
		}
	}
	t.Errorf("no %s of %.1f s by %s in %+v", class, seconds, cause, v.Findings)
}

func dump(t *testing.T, v Verdict) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
