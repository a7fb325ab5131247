package e2e

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"

	"callrecordd/config"
	"callrecordd/dialplan"
	"callrecordd/internal/api"
	"callrecordd/internal/control"
	"callrecordd/internal/directory"
	"callrecordd/internal/lab"
	"callrecordd/internal/recorder"
)

// callView is a call as a client of calld sees it.
type callView struct {
	CallID      string            `json:"call_id"`
	UserUUID    string            `json:"user_uuid"`
	Status      string            `json:"status"`
	RecordState string            `json:"record_state"`
	TalkingTo   map[string]string `json:"talking_to"`
}

// calldStage is a stage with clients of calld.
type calldStage struct {
	*stage
	admin   client
	clients map[string]client
}

func newCalldStage(t *testing.T) *calldStage {
	t.Helper()
	return newCalldStageWith(t, ownPorts)
}

func newCalldStageWith(t *testing.T, change func(*config.Config)) *calldStage {
	t.Helper()
	s := stageWith(t, change)
	out := &calldStage{stage: s, admin: s.clientOf(api.Calld, "", "", "calld.#"), clients: map[string]client{}}
	for name, u := range s.users {
		out.clients[name] = s.clientOf(api.Calld, "", u.UUID, "calld.users.me.#")
	}
	return out
}

// callOf is somebody's only call, as GET /calls has it.
func (s *calldStage) callOf(who string) callView {
	s.t.Helper()
	var list struct {
		Items []callView `json:"items"`
	}
	s.admin.read("/1.0/calls", &list)
	for _, c := range list.Items {
		if c.UserUUID == s.users[who].UUID {
			return c
		}
	}
	s.t.Fatalf("%s is in no call of %+v", who, list)
	return callView{}
}

// record is a request of the administrator for somebody's call.
func (s *calldStage) record(who string, op recorder.Op, status int, id string) {
	s.t.Helper()
	s.admin.ask(s.t, "PUT", "/1.0/calls/"+s.callOf(who).CallID+"/record/"+string(op), nil, status, id)
}

// mine is the same of that person.
func (s *calldStage) mine(who string, op recorder.Op, status int, id string) {
	s.t.Helper()
	s.clients[who].ask(s.t, "PUT", "/1.0/users/me/calls/"+s.callOf(who).CallID+"/record/"+string(op), nil, status, id)
}

func (s *calldStage) state(want map[string]string) {
	s.t.Helper()
	for who, state := range want {
		if got := s.callOf(who).RecordState; got != state {
			s.t.Errorf("record_state of %s is %s, want %s", who, got, state)
		}
	}
}

// Rows 21, 25 and 26 of recording-rules 7: who may start and stop on a call
// between users, into a group and into a queue, on either side of it, and that
// a missing permission is told before a missing recording.
func TestRow21And25And26PermissionOverHTTP(t *testing.T) {
	t.Parallel()
	s := newCalldStage(t)
	for _, c := range []struct {
		name, exten   string
		loser, winner string
		allowed       func(own, queue, group bool) bool // of who was called
	}{
		{"user", "1003", "", "carol", func(own, _, _ bool) bool { return own }},
		{"group", lab.ExtenGroup, "bob", "carol", func(_, _, group bool) bool { return group }},
		{"queue", lab.ExtenQueue, "bob", "carol", func(_, queue, _ bool) bool { return queue }},
	} {
		caller := s.calls("alice", c.exten)
		var loser *lab.Call
		if c.loser != "" {
			loser = s.rings(c.loser)
		}
		callee := s.takes(c.winner)
		s.both(caller, "alice", callee, c.winner)
		if loser != nil {
			s.gone(loser)
		}
		for bits := range 8 {
			own, queue, group := bits&1 > 0, bits&2 > 0, bits&4 > 0
			s.rules("alice", dialplan.Flags{OnDemand: own})
			s.rules(c.winner, dialplan.Flags{OnDemand: own})
			s.toggles(queue, group)
			for who, allowed := range map[string]bool{"alice": own, c.winner: c.allowed(own, queue, group)} {
				t.Logf("%s: %s, own %t, queue %t, group %t", c.name, who, own, queue, group)
				if !allowed {
					for _, op := range []recorder.Op{recorder.OpStart, recorder.OpStop, recorder.OpPause, recorder.OpResume} {
						s.record(who, op, 403, "recording-unauthorized")
						s.mine(who, op, 403, "recording-unauthorized")
					}
					continue
				}
				s.record(who, recorder.OpPause, 400, "recording-not-started")
				s.mine(who, recorder.OpResume, 400, "recording-not-started")
				s.mine(who, recorder.OpStart, 204, "")
				s.state(map[string]string{who: "active"})
				s.record(who, recorder.OpStop, 204, "")
				s.state(map[string]string{who: "inactive"})
			}
		}
		s.over(caller)
		s.gone(callee)
		must(t, s.pbx.WaitIdle(within(t)))
	}
}

// Rows 22 to 24 and 28, 29: start needs no permission where a rule records, all
// else does; what is done twice is done once; record_state; and what is stored
// of it, in order.
func TestRow22To24And28And29OverHTTP(t *testing.T) {
	t.Parallel()
	s := newCalldStage(t)
	s.rules("alice", dialplan.Flags{OutgoingInternal: true})
	s.rules("bob", dialplan.Flags{OnDemand: true})
	caller, callee := s.meet("alice", "1002", "bob")
	first := s.runs("alice", recorder.Live).UUID
	s.record("alice", recorder.OpStart, 204, "") // row 22
	for _, op := range []recorder.Op{recorder.OpStop, recorder.OpPause, recorder.OpResume} {
		s.record("alice", op, 403, "recording-unauthorized") // row 23
		s.mine("alice", op, 403, "recording-unauthorized")
	}
	s.state(map[string]string{"alice": "active", "bob": "inactive"}) // row 28

	// Row 24, by somebody who may. A second wish is no second recording.
	for range 2 {
		s.mine("bob", recorder.OpStart, 204, "")
		s.state(map[string]string{"alice": "active", "bob": "active"})
	}
	for range 2 {
		s.mine("bob", recorder.OpPause, 204, "")
		s.state(map[string]string{"alice": "paused", "bob": "paused"})
	}
	s.runs("bob", recorder.Paused)
	for range 2 {
		s.mine("bob", recorder.OpResume, 204, "")
		s.state(map[string]string{"alice": "active", "bob": "active"})
	}
	if now := s.runs("bob", recorder.Live).UUID; now != first {
		t.Errorf("recording %s has become %s", first, now)
	}
	s.say(caller)
	for range 2 { // the rule of alice goes on
		s.mine("bob", recorder.OpStop, 204, "")
		s.state(map[string]string{"alice": "active", "bob": "inactive"})
	}
	for range 2 { // an administrator ends it for all
		s.record("bob", recorder.OpStop, 204, "")
		s.state(map[string]string{"alice": "inactive", "bob": "inactive"})
	}
	s.mine("bob", recorder.OpStart, 204, "") // stop and start are two files
	second := s.runs("bob", recorder.Live).UUID
	if second == first {
		t.Error("the file goes on after a stop")
	}
	s.say(caller)
	s.over(caller)
	s.gone(callee)
	if n := len(s.waitCDRs(1)[0].Recordings); n != 2 || len(s.files()) != 2 {
		t.Errorf("%d recordings and %d files, want 2", n, len(s.files()))
	}

	// Row 29: started once Asterisk has started it, paused and stopped when they
	// are asked for, and a hang-up stops nothing on demand.
	kinds := func(uuid string) (out []string) {
		s.query(`SELECT kind, coalesce(json_extract(data, '$.op'), '') FROM events WHERE recording = ? ORDER BY id`, []any{uuid}, func(r *sql.Rows) error {
			var kind, op string
			err := r.Scan(&kind, &op)
			switch kind {
			case recorder.EventIntent, recorder.EventStarted, recorder.EventPaused, recorder.EventResumed, recorder.EventFinal:
				out = append(out, kind)
			case recorder.EventOnDemand:
				out = append(out, op)
			}
			return err
		})
		return out
	}
	for uuid, want := range map[string][]string{
		first: {
			"recording_intent", "recording_started", "start", "recording_paused", "pause", "recording_resumed", "resume", "stop", "recording_final",
		},
		// The wish was there before the recording was.
		second: {"recording_intent", "recording_started", "recording_final"},
	} {
		got := kinds(uuid)
		got = slices.Compact(slices.DeleteFunc(got, func(k string) bool { return uuid == second && k == "start" })) // a tone renews a recorder
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("events of %s:\n%q, want\n%q", uuid, got, want)
		}
	}
}

// Row 27: somebody else's call, a Local channel, no call at all, another
// tenant's call; and who has no tenant's or user's call.
func TestRow27WhoseCallOverHTTP(t *testing.T) {
	t.Parallel()
	s := newCalldStage(t)
	s.everybody(dialplan.Flags{OnDemand: true})
	var child directory.Tenant
	s.do("POST", "tenants", directory.Tenant{Name: "child"}, &child)
	caller := s.calls("alice", lab.ExtenForward) // bob, through a Local channel that stays
	callee := s.takes("bob")
	s.both(caller, "alice", callee, "bob")
	id := s.callOf("alice").CallID
	start := func(c client, me, id string, status int, text string) {
		t.Helper()
		c.ask(t, "PUT", "/1.0/"+me+"calls/"+id+"/record/start", nil, status, text)
	}
	start(s.clients["bob"], "users/me/", id, 403, "user-permission-denied")
	start(s.clients["bob"], "", id, 401, "unauthorized")
	start(s.admin, "users/me/", id, 400, "token-with-user-uuid-required")
	start(s.admin, "", "1.1", 404, "no-such-call")
	out, err := s.pbx.Console(within(t), "core show channels concise")
	must(t, err)
	locals := 0
	for line := range strings.Lines(out) {
		if f := strings.Split(strings.TrimSpace(line), "!"); strings.HasPrefix(line, "Local/") {
			locals++
			start(s.admin, "", f[len(f)-1], 404, "no-such-call")
			start(s.clients["alice"], "users/me/", f[len(f)-1], 404, "no-such-call")
		}
	}
	if locals != 2 {
		t.Errorf("there are %d Local channels in\n%s", locals, out)
	}
	below := s.clientOf(api.Calld, child.UUID, "", "calld.#")
	start(below, "", id, 404, "no-such-call")
	above := s.admin
	above.tenant = child.UUID
	start(above, "", id, 404, "no-such-call") // the call is not in the tenant that was asked for
	above.tenant = "00000000-0000-4000-8000-00000000dead"
	start(above, "", id, 401, "unauthorized")
	s.state(map[string]string{"alice": "inactive", "bob": "inactive"})

	// A user of the tenant below is found there, and by the one above.
	s.do("PATCH", control.Path("users", s.users["bob"].UUID), map[string]any{"tenant_uuid": child.UUID}, nil)
	var list struct {
		Items []callView `json:"items"`
	}
	seen := func(c client, path string, want ...string) {
		t.Helper()
		c.read(path, &list)
		var got []string
		for _, v := range list.Items {
			for name, u := range s.users {
				if u.UUID == v.UserUUID {
					got = append(got, name)
				}
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s lists the calls of %v, want %v", path, got, want)
		}
	}
	seen(s.admin, "/1.0/calls", "alice")
	seen(s.admin, "/1.0/calls?recurse=true", "alice", "bob")
	seen(below, "/1.0/calls", "bob")
	seen(s.clients["alice"], "/1.0/users/me/calls", "alice")
	s.over(caller)
	s.gone(callee)
	s.none(1)
}

// A ringing call is listed; there is no talk that could be recorded yet.
func TestRingingCallOverHTTP(t *testing.T) {
	t.Parallel()
	s := newCalldStage(t)
	s.rules("alice", onDemand)
	caller := s.calls("alice", "1002")
	callee := s.rings("bob")
	s.eventually("both calls are listed", func() error {
		var list struct {
			Items []callView `json:"items"`
		}
		s.admin.read("/1.0/calls", &list)
		if len(list.Items) != 2 || list.Items[0].Status != "Ring" || list.Items[1].Status != "Ringing" {
			return fmt.Errorf("there are %+v", list)
		}
		return nil
	})
	s.mine("alice", recorder.OpStop, 204, "")
	s.mine("alice", recorder.OpStart, 400, "recording-not-started")
	must(t, callee.Answer(within(t)))
	callee.Play(voices()["bob"])
	s.both(caller, "alice", callee, "bob")
	s.mine("alice", recorder.OpStart, 204, "")
	s.runs("alice", recorder.Live)
	if c := s.callOf("alice"); c.Status != "Up" || c.TalkingTo[s.callOf("bob").CallID] != s.users["bob"].UUID {
		t.Errorf("the call is %+v", c)
	}
	s.say(caller)
	s.over(caller)
	s.gone(callee)
	if n := len(s.waitCDRs(1)[0].Recordings); n != 1 {
		t.Errorf("%d recordings", n)
	}
}
