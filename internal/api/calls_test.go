package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/auth"
	"callrecordd/internal/recorder"
)

const (
	userA = "20000000-0000-4000-8000-00000000000a"
	userB = "20000000-0000-4000-8000-00000000000b"
)

// fakeCalls remembers what it was asked.
type fakeCalls struct {
	list  []Call
	asked []CallRequest
	err   error
}

func (f *fakeCalls) Calls(context.Context) ([]Call, error) {
	if errors.Is(f.err, ErrCallsUnavailable) {
		return nil, f.err
	}
	return slices.Clone(f.list), nil
}

func (f *fakeCalls) Request(_ context.Context, q CallRequest) error {
	f.asked = append(f.asked, q)
	return f.err
}

// callWorld is a server of calld with two calls of two tenants.
func callWorld(t *testing.T) (*world, *fakeCalls) {
	t.Helper()
	calls := &fakeCalls{list: []Call{
		{
			ID: "1508.1", TenantUUID: master, UserUUID: userA, LineID: 7, Name: "Alice", Number: "1001", PeerName: "Bob",
			Dialled: "1002", Created: time.Unix(1508, 0), Up: true, Caller: true, TalkingTo: map[string]string{"1508.2": userB},
			State: recorder.Active, RecordingUUID: rec1, RecordingTenant: child,
		},
		{ID: "1508.2", TenantUUID: child, UserUUID: userB, State: recorder.Inactive},
	}}
	w := &world{t: t, tokens: &fakeTokens{known: map[string]auth.Token{
		"all":   {TenantUUID: master, AuthID: "admin", ACL: []string{"calld.#"}},
		"alice": {TenantUUID: master, AuthID: userA, UserUUID: userA, ACL: []string{"calld.users.me.#"}},
		"own":   {TenantUUID: master, AuthID: userA, UserUUID: userA, ACL: []string{"calld.#"}},
		"one":   {TenantUUID: master, AuthID: "x", ACL: []string{"calld.calls.1508_1.record.start.update"}},
	}}}
	s := httptest.NewServer(New(Options{
		Calls: calls, Tokens: w.tokens, Tenants: fakeTenants{master: {master, child}, child: {child}, other: {other}},
		Now: time.Now, Log: slog.New(slog.NewTextHandler(&w.log, nil)),
	}).Handler(Calld))
	t.Cleanup(s.Close)
	w.url = s.URL
	return w, calls
}

func TestListCalls(t *testing.T) {
	w, calls := callWorld(t)
	ids := func(path string, headers ...string) string {
		t.Helper()
		var out struct {
			Items []callJSON `json:"items"`
		}
		r := w.get(path, headers...)
		if err := json.Unmarshal([]byte(r.body), &out); err != nil || r.status != 200 {
			t.Fatalf("%s: %d %s", path, r.status, r.body)
		}
		var list []string
		for _, c := range out.Items {
			list = append(list, c.CallID)
		}
		return strings.Join(list, " ")
	}
	for _, c := range []struct{ path, tenant, token, want string }{
		{"/1.0/calls", "", "all", "1508.1"},
		{"/api/calld/1.0/calls", "", "all", "1508.1"},
		{"/1.0/calls?recurse=True", "", "all", "1508.1 1508.2"},
		{"/1.0/calls?recurse=yes", "", "all", "1508.1"}, // calld knows no other word
		{"/1.0/calls", child, "all", "1508.2"},
		{"/1.0/users/me/calls", "", "alice", "1508.1"},
	} {
		if got := ids(c.path, "Wazo-Tenant", c.tenant, "X-Auth-Token", c.token); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
	const want = `{"call_id":"1508.1","caller_id_name":"Alice","caller_id_number":"1001","peer_caller_id_name":"Bob",` +
		`"peer_caller_id_number":"","creation_time":"1970-01-01T00:25:08.000000+00:00","status":"Up","is_caller":true,` +
		`"dialed_extension":"1002","line_id":7,"talking_to":{"1508.2":"` + userB + `"},"tenant_uuid":"` + master + `",` +
		`"user_uuid":"` + userA + `","record_state":"active","recording_uuid":"` + rec1 + `","paused_by":null}` + "\n"
	if r := w.get("/1.0/calls/1508.1"); r.body != want {
		t.Errorf("got  %swant %s", r.body, want)
	}
	w.fails(w.get("/1.0/calls/1508.2"), 404, "no-such-call")
	w.fails(w.get("/1.0/users/me/calls"), 400, "token-with-user-uuid-required")
	calls.err = ErrCallsUnavailable
	w.fails(w.get("/1.0/calls"), 503, "asterisk-ari-unreachable")
}

// Every way to a change of the recording leads to the same request.
func TestRecordRoutes(t *testing.T) {
	w, calls := callWorld(t)
	for _, op := range recordOps() {
		for _, c := range []struct {
			path, token string
			want        CallRequest
		}{
			{"/1.0/calls/1508.1/record/", "all", CallRequest{Actor: "admin", Others: true}},
			{"/api/calld/1.0/calls/1508.1/record/", "all", CallRequest{Actor: "admin", Others: true}},
			{"/1.0/calls/1508.1/record/", "own", CallRequest{Actor: userA}},
			{"/1.0/users/me/calls/1508.1/record/", "alice", CallRequest{Actor: userA}},
			{"/api/calld/1.0/users/me/calls/1508.1/record/", "alice", CallRequest{Actor: userA}},
			{"/api/calld/users/me/calls/1508.1/record/", "alice", CallRequest{Actor: userA}},
			{"/api/calld/user/me/calls/1508.1/record/", "alice", CallRequest{Actor: userA}}, // as published
		} {
			calls.asked = nil
			c.want.ID, c.want.Op = "1508.1", op
			// The JS client says so of empty bodies.
			r := w.do("PUT", c.path+string(op), "X-Auth-Token", c.token, "Content-Type", "application/json")
			if r.status != 204 || r.body != "" || !slices.Equal(calls.asked, []CallRequest{c.want}) {
				t.Errorf("%s%s: %d %q, asked %+v, want %+v", c.path, op, r.status, r.body, calls.asked, c.want)
			}
		}
	}
	for _, path := range []string{"/user/me/calls/1508.1/record/start", "/api/calld/1.0/user/me/calls/1508.1/record/start"} {
		if r := w.do("PUT", path); r.status != 404 {
			t.Errorf("%s: %d", path, r.status)
		}
	}
}

// The order of checks and the bodies are those of recording-rules 4.2 and 4.4.
func TestRecordErrors(t *testing.T) {
	w, calls := callWorld(t)
	for _, c := range []struct {
		path, token, tenant string
		err                 error
		status              int
		id                  string
	}{
		{"/calls/1508.1", "one", "", nil, 204, ""}, // a dot of the id is _ in the ACL
		{"/calls/1508.2", "one", "", nil, 401, "unauthorized"},
		{"/calls/1508.1", "alice", "", nil, 401, "unauthorized"},
		{"/calls/1508.1", "all", other, nil, 401, "unauthorized"},
		{"/calls/1508.2", "all", "", nil, 404, "no-such-call"}, // no recursion
		{"/calls/1508.2", "all", child, nil, 204, ""},
		{"/calls/none", "all", "", &CallRefused{}, 404, "no-such-call"},
		{"/calls/1508.1", "all", "", ErrNoCall, 404, "no-such-call"},
		{"/calls/1508.1", "all", "", fmt.Errorf("x: %w", &CallRefused{dialplan.RefusedQueue}), 403, "recording-unauthorized"},
		{"/calls/1508.1", "all", "", fmt.Errorf("x: %w", ErrRecordingNotOn), 400, "recording-not-started"},
		{"/calls/1508.1", "all", "", ErrCallsUnavailable, 503, "asterisk-ari-unreachable"},
		{"/users/me/calls/1508.1", "all", "", nil, 400, "token-with-user-uuid-required"},
		{"/users/me/calls/none", "alice", "", nil, 404, "no-such-call"},
		{"/users/me/calls/1508.2", "alice", "", nil, 404, "no-such-call"},
		{"/users/me/calls/1508.2", "alice", child, nil, 403, "user-permission-denied"},
	} {
		calls.err = c.err
		r := w.do("PUT", "/1.0"+c.path+"/record/start", "X-Auth-Token", c.token, "Wazo-Tenant", c.tenant)
		if c.id == "" {
			if r.status != c.status {
				t.Errorf("%+v: %d %s", c, r.status, r.body)
			}
			continue
		}
		details := w.fails(r, c.status, c.id)
		if c.id == "recording-unauthorized" && details["call_id"] != "1508.1" {
			t.Errorf("details %v", details)
		}
	}
	calls.err = errors.New("disk on fire")
	if r := w.do("PUT", "/1.0/calls/1508.1/record/start"); r.status != 500 || strings.Contains(r.body, "fire") {
		t.Errorf("%d %s", r.status, r.body)
	}
}

// A talk of two tenants has the recording of one, whose name is not the other's
// to know.
func TestRecordingOfAnotherTenantIsNotNamedInCalls(t *testing.T) {
	w, calls := callWorld(t)
	calls.list[0].RecordingTenant = other
	w.tokens.known["own"] = auth.Token{TenantUUID: master, AuthID: userA, UserUUID: userA, ACL: []string{"calld.#"}}
	for _, path := range []string{"/1.0/calls", "/1.0/calls?recurse=true", "/1.0/calls/1508.1", "/1.0/users/me/calls"} {
		if r := w.get(path, "X-Auth-Token", "own"); r.status != 200 || strings.Contains(r.body, rec1) || !strings.Contains(r.body, `"record_state":"active"`) {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
}

// An administrator ends the wishes of the tenants that are theirs to see, not
// those of the other party's tenant.
func TestRecordingOfAnotherTenantIsNotEndedForIt(t *testing.T) {
	w, calls := callWorld(t)
	for tenant, reach := range map[string]bool{other: false, master: true, child: true, "": true} {
		calls.list[0].RecordingTenant, calls.asked = tenant, nil
		want := []CallRequest{{ID: "1508.1", Op: recorder.OpStop, Actor: "admin", Others: reach}}
		if r := w.do("PUT", "/1.0/calls/1508.1/record/stop"); r.status != 204 || !slices.Equal(calls.asked, want) {
			t.Errorf("recording of %q: %d, asked %+v, want %+v", tenant, r.status, calls.asked, want)
		}
	}
}
