package api

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/recorder"
	"callrecordd/internal/why"
)

// fakeWhy are the events of CDRs.
type fakeWhy map[int64][]why.Event

func (f fakeWhy) Events(_ context.Context, id int64) ([]why.Event, error) { return f[id], nil }

func (f fakeWhy) Names() why.Names {
	called := func(uuid string) string { return "name of " + uuid }
	return why.Names{User: called, Queue: called, Group: called}
}

func storedEvent(kind, recording string, data any) why.Event {
	text, err := json.Marshal(data)
	if err != nil {
		text = []byte(`"` + err.Error() + `"`)
	}
	at := time.Date(2026, 11, 23, 9, 0, 1, 0, time.UTC)
	return why.Event{Event: recorder.Event{At: at, Kind: kind, Recording: recording, Call: "17.1"}, Data: text}
}

// talkOf is a decision about parties, by the rules, with a recording and a
// press of *3 that says by whom in detail.
func talkOf(tenant, actor, recording string, parties ...dialplan.Party) []why.Event {
	d := recorder.DecisionData{Change: "began", Input: dialplan.Input{Parties: parties}, Decision: dialplan.Decide(dialplan.Input{Parties: parties})}
	for _, v := range d.Decision.Claims() {
		d.Claims, d.Records = append(d.Claims, recorder.Claim{Leg: v.Leg, Reason: v.Reason}), true
	}
	out := []why.Event{storedEvent(recorder.EventDecision, recording, d), finalOf(recording)}
	for _, p := range parties {
		e := storedEvent(recorder.EventRefused, recording, recorder.RequestData{Leg: p.Leg, Op: recorder.OpStart, By: dialplan.API, Reason: dialplan.RefusedUser, Party: &p})
		if e.Actor = p.UserUUID; p.Tenant == tenant {
			e.Actor = actor
		}
		out = append(out, e)
	}
	return out
}

func finalOf(recording string) why.Event {
	return storedEvent(recorder.EventFinal, recording, recorder.Note{State: recorder.Missing, Cause: recorder.CauseNoFile, Detail: "detail of " + recording})
}

func TestWhy(t *testing.T) {
	w := newWorld(t)
	w.recorded(recorder.Missing, "")
	const foreign = "10000000-0000-4000-8000-0000000000ff"
	w.why[7] = append(talkOf(child, "a", rec1,
		dialplan.Party{Leg: "17.1", Kind: dialplan.KindUser, UserUUID: "alice", Tenant: child, Role: dialplan.RoleCaller, Flags: dialplan.Flags{OutgoingInternal: true}},
		dialplan.Party{Leg: "17.2", Kind: dialplan.KindUser, UserUUID: "mallory", Tenant: master, Role: dialplan.RolePeer, Flags: dialplan.Flags{IncomingInternal: true}},
	), finalOf(foreign))
	const path = "/1.0/cdr/7/why"
	w.fails(w.get("/1.0/cdr/9/why"), 404, "cdr-not-found-with-given-id")
	w.fails(w.get("/1.0/cdr/8/why", "X-Auth-Token", "child"), 404, "cdr-not-found-with-given-id")
	if r := w.get(path, "X-Auth-Token", "list"); r.status != 401 {
		t.Errorf("a token for lists only: %d %s", r.status, r.body)
	}
	read := func(headers ...string) (whyJSON, string) {
		t.Helper()
		r := w.get(path, headers...)
		var got whyJSON
		if err := json.Unmarshal([]byte(r.body), &got); err != nil || r.status != 200 || got.CDRID != 7 || len(got.Steps) == 0 {
			t.Fatalf("%d %s %v", r.status, r.body, err)
		}
		return got, r.body
	}
	all, _ := read()
	if s := all.Steps[0]; s.Input == nil || len(s.Input.Parties) != 2 || s.Rule != dialplan.RuleOutInternal || s.At == nil || *s.At != "2026-11-23T09:00:01+00:00" {
		t.Errorf("the decision is %+v", s)
	}
	own, body := read("X-Auth-Token", "child")
	if s := own.Steps[0]; s.Input != nil || s.Outcome != why.Recorded || s.RecordingUUID != rec1 {
		t.Errorf("the decision is %+v", s)
	}
	for _, secret := range []string{"mallory", foreign, string(dialplan.RuleInInternal)} {
		if strings.Contains(body, secret) {
			t.Errorf("shows %s to another tenant: %s", secret, body)
		}
	}
	w.why[8] = nil
	if r := w.get("/1.0/cdr/8/why"); r.status != 200 || !strings.Contains(r.body, `"steps":[]`) || !strings.Contains(r.body, "Nothing was decided") {
		t.Errorf("a call without events: %d %s", r.status, r.body)
	}
}
