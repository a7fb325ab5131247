package api

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"callrecordd/internal/auth"
	"callrecordd/internal/cdr"
	"callrecordd/internal/directory"
	"callrecordd/internal/export"
	"callrecordd/internal/recorder"
	"callrecordd/internal/retention"
	"callrecordd/internal/webhook"
)

// open are the routes that need no token. A route that is here by mistake is
// open to the world, so each has a reason.
func open() map[string]string {
	out := map[string]string{
		"auth HEAD /status":                          "whether it works is no secret",
		"auth GET /backends":                         "what to log in with must be known before",
		"auth POST /token":                           "it is the login",
		"auth GET /token/{token:uuid}":               "who knows a token has it",
		"auth HEAD /token/{token:uuid}":              "who knows a token has it",
		"auth DELETE /token/{token:uuid}":            "who knows a token has it",
		"auth POST /token/{token:uuid}/scopes/check": "who knows a token has it",
		"call-logd GET /links/cdr/{cdr_id:int}/recordings/{recording_uuid:uuid}/media": "the link is signed",
	}
	for _, service := range Services() {
		out[string(service)+" GET /api/api.yml"] = "the description holds nobody's data"
	}
	return out
}

// TestEveryRouteNamesItsACL fails for a route that anybody may use by mistake.
func TestEveryRouteNamesItsACL(t *testing.T) {
	left := open()
	for _, rt := range New(Options{}).routes() {
		name := rt.method + " " + rt.path
		if rt.acl == "" {
			if left[string(rt.service)+" "+name] == "" {
				t.Errorf("%s %s names no ACL", rt.service, name)
			}
			delete(left, string(rt.service)+" "+name)
			continue
		}
		service, _, _ := strings.Cut(rt.acl, ".")
		if strings.ReplaceAll(service, "_", "-") != string(rt.service) {
			t.Errorf("%s %s needs %s, an access of another service", rt.service, name, rt.acl)
		}
		for word := range strings.SplitSeq(rt.acl, ".") {
			if inner, ok := strings.CutPrefix(word, "{"); ok &&
				!slices.ContainsFunc(rt.values(), func(v pathValue) bool { return v.name+"}" == inner }) {
				t.Errorf("%s %s: its path has no %s", rt.service, name, word)
			}
		}
		if rt.handle == nil || rt.summary == "" {
			t.Errorf("%s %s has no handler or no summary", rt.service, name)
		}
	}
	for name := range left {
		t.Errorf("%s is listed as open, and is no route", name)
	}
}

// matrixCDRs has one call with a recording in each tenant.
type matrixCDRs struct {
	CDRs
	records []Record
}

func (m *matrixCDRs) in(tenants []string) (out []Record) {
	for _, r := range m.records {
		if slices.Contains(tenants, r.CDR.TenantUUID) {
			out = append(out, r)
		}
	}
	return out
}

func (m *matrixCDRs) List(_ context.Context, q Query) (Page, error) {
	found := m.in(q.Tenants)
	if q.Me != "" {
		found = nil // the tokens' users have no calls
	}
	return Page{Records: eachOf(found), Total: len(found), Filtered: len(found)}, nil
}

func (m *matrixCDRs) ByID(_ context.Context, id int64, tenants []string) (Record, bool, error) {
	for _, r := range m.in(tenants) {
		if r.CDR.ID == id {
			return r, true, nil
		}
	}
	return Record{}, false, nil
}

func (m *matrixCDRs) Recording(_ context.Context, uuid string) (recorder.Recording, bool, error) {
	for _, r := range m.records {
		if r.Recordings[0].UUID == uuid {
			return r.Recordings[0], true, nil
		}
	}
	return recorder.Recording{}, false, nil
}

// things are a tenant's: the value of each word in braces that a path may
// have, and texts by which its things are known in an answer.
type things struct {
	values map[string]string
	marks  []string
}

// furnish puts one thing of each kind into a tenant.
func (w *town) furnish(tenant string, cdrs *matrixCDRs) things {
	w.t.Helper()
	w.keep.records = func() []Record { return cdrs.records }
	start := w.now().Add(-time.Hour)
	id, rec := int64(len(cdrs.records)+1), uuid.NewString()
	cdrs.records = append(cdrs.records, Record{
		CDR: cdr.CDR{ID: id, TenantUUID: w.tenants[tenant], Start: start, SourceName: "caller of " + tenant, CallStatus: "answered"},
		Recordings: []recorder.Recording{{
			UUID: rec, TenantUUID: w.tenants[tenant], CDRID: id, State: recorder.Ready, StartedAt: start, EndedAt: start.Add(time.Second),
		}},
	})
	folder := filepath.Join(w.server.root, w.tenants[tenant], "monitor")
	w.must(os.MkdirAll(folder, 0o750))
	w.must(os.WriteFile(filepath.Join(folder, rec+".wav"), []byte("RIFF audio of "+tenant), 0o600))

	archive := uuid.NewString()
	w.keep.exports = append(w.keep.exports, export.Export{
		UUID: archive, TenantUUID: w.tenants[tenant], UserUUID: "asker-of-" + tenant, Status: export.Finished, RequestedAt: start,
	})
	w.must(os.WriteFile(filepath.Join(w.keep.dir, archive+".zip"), []byte("PK archive of "+tenant), 0o600))
	w.must(w.keep.SetHold(w.t.Context(), id, "hold of "+tenant, "test"))
	days := 90
	w.must(w.keep.SetPolicy(w.t.Context(), w.tenants[tenant], retention.Policy{CDRDays: &days}, "test"))

	a := w.account(tenant, "person-of-"+tenant)
	session, err := w.accounts.Login(w.t.Context(), auth.Login{Username: a.Username, Password: "pw", Offline: true, ClientID: "client-of-" + tenant})
	w.must(err)
	p, err := w.accounts.CreatePolicy(w.t.Context(), auth.Actor{Name: "test"}, auth.Policy{
		TenantUUID: w.tenants[tenant], Name: "policy-of-" + tenant, ACL: []string{"call-logd.cdr.read", "x.y"},
	})
	w.must(err)
	w.must(w.accounts.AddPolicy(w.t.Context(), auth.Actor{Name: "test"}, a.UUID, p.UUID))
	user, group, queue, trunk := w.resources(tenant)
	call := "call-of-" + tenant
	w.calls.list = append(w.calls.list, Call{ID: call, TenantUUID: w.tenants[tenant], State: recorder.Inactive})
	hook := webhook.Subscription{
		UUID: uuid.NewString(), TenantUUID: w.tenants[tenant], Name: "hook-of-" + tenant, Events: []string{"*"}, ACL: []string{"#"},
		Config: webhook.Config{URL: "https://hook-of-" + tenant + ".example", Method: "post"}, Secret: webhook.NewSecret(),
	}
	w.must(w.hooks.InsertWebhook(w.t.Context(), hook, "test"))
	sent := webhook.Delivery{
		UUID: uuid.NewString(), Subscription: hook.UUID, Event: "x", Payload: []byte(`{"of": "event-of-` + tenant + `"}`), State: webhook.Pending, CreatedAt: start,
	}
	w.must(w.hooks.Plan(w.t.Context(), 0, []webhook.Delivery{sent}, 10))
	return things{
		values: map[string]string{
			"subscription_uuid": hook.UUID, "log_uuid": sent.UUID,
			"call_id": call, "users_id": user.UUID, "lines_id": fmt.Sprint(user.Lines[0].ID), "groups_id": group.UUID,
			"queues_id": queue.UUID, "trunks_id": trunk.UUID, "extensions_features_id": w.dir.Book().Contents().Features[0].UUID, "cdr_id": fmt.Sprint(id), "recording_uuid": rec, "user": a.UUID, "user_uuid": a.UUID, "session": session.Token.ID, "policy": p.UUID,
			"tenant": w.tenants[tenant], "client_id": "client-of-" + tenant, "access": "x.y", "export_uuid": archive,
		},
		marks: []string{hook.UUID, hook.Secret, sent.UUID, call, user.UUID, group.UUID, queue.UUID, trunk.UUID, archive, rec, a.UUID, session.Token.ID, p.UUID, w.tenants[tenant], "-of-" + tenant, "of " + tenant},
	}
}

// resources makes one of each kind of the directory.
func (w *town) resources(tenant string) (directory.User, directory.Group, directory.Queue, directory.Trunk) {
	w.t.Helper()
	ctx, in, name := w.t.Context(), w.tenants[tenant], "phone_of_"+tenant
	user, err := w.dir.CreateUser(ctx, "test", directory.User{
		TenantUUID: in, FirstName: "phone of " + tenant, Lines: []directory.Line{{Endpoint: "PJSIP/" + name, Main: true}},
	})
	w.must(err)
	group, err := w.dir.CreateGroup(ctx, "test", directory.Group{TenantUUID: in, Name: name})
	w.must(err)
	queue, err := w.dir.CreateQueue(ctx, "test", directory.Queue{TenantUUID: in, Name: name})
	w.must(err)
	trunk, err := w.dir.CreateTrunk(ctx, "test", directory.Trunk{TenantUUID: in, Name: name, Endpoint: "PJSIP/trunk_" + tenant})
	w.must(err)
	return user, group, queue, trunk
}

// path is the route's, with the things of a tenant in it.
func (x things) path(t *testing.T, rt route) string {
	t.Helper()
	out := rt.service.published() + rt.service.version() + rt.plainPath()
	for _, v := range rt.values() {
		value, ok := x.values[v.name]
		if !ok {
			t.Fatalf("%s %s: say in furnish what {%s} of a tenant is", rt.method, rt.path, v.name)
		}
		out = strings.ReplaceAll(out, "{"+v.name+"}", value)
	}
	return out
}

// formats are what clients ask for.
func formats() map[string]string {
	return map[string]string{"JSON": "application/json", "CSV": "text/csv; charset=utf-8", "media": "audio/wav", "export": "*/*"}
}

// TestTenantMatrix sends every route of the table, with each tenant that a
// token of mid may name, in each format: what is not its own or below it is
// refused, and of what is not, nothing shows. New rows are in it by themselves.
func TestTenantMatrix(t *testing.T) {
	cdrs := &matrixCDRs{}
	w := newTown(t, CallLogd, cdrs)
	w.feed.Close() // streams end with what there is
	all := map[string]things{}
	for _, tenant := range []string{"master", "top", "mid", "low", "side"} {
		all[tenant] = w.furnish(tenant, cdrs)
	}
	w.tenants["unknown"] = uuid.NewString()
	token := w.hostToken("mid", "#", "call_logd.#")
	handler := w.server.Handler("")
	send := func(rt route, path, tenant, accept string) reply {
		req := httptest.NewRequestWithContext(t.Context(), rt.method, path, strings.NewReader("{}"))
		req.Header.Set("X-Auth-Token", token)
		req.Header.Set("Accept", accept)
		if tenant != "" {
			req.Header.Set("Wazo-Tenant", tenant)
		}
		out := httptest.NewRecorder()
		handler.ServeHTTP(out, req)
		return reply{out.Code, out.Header(), out.Body.String()}
	}
	relations := map[string]string{"none": "", "own": "mid", "child": "low", "sibling": "side", "parent": "top", "grandparent": "master", "unknown": "unknown"}
	visible := map[string][]string{"": {"mid", "low"}, "mid": {"mid", "low"}, "low": {"low"}}
	for _, rt := range w.server.routes() {
		if rt.acl == "" || rt.master {
			continue
		}
		for relation, tenant := range relations {
			for format, accept := range formats() {
				name := fmt.Sprintf("%s %s %s, %s tenant, %s", rt.service, rt.method, rt.path, relation, format)
				for owner, x := range all {
					// What changes something is only tried where it must not.
					seen := slices.Contains(visible[tenant], owner)
					if seen && rt.method != http.MethodGet {
						continue
					}
					path := x.path(t, rt)
					if rt.method == http.MethodGet {
						path += "?recurse=true"
					}
					got := send(rt, path, w.tenants[tenant], accept)
					refused := relation != "none" && relation != "own" && relation != "child"
					if (got.status == http.StatusUnauthorized) != refused && (refused || got.status != http.StatusNotFound) {
						t.Errorf("%s: %d %s", name, got.status, got.body)
					}
					if !seen && rt.names("cdr_id", "recording_uuid", "export_uuid", "user", "session", "policy", "tenant", "call_id", "users_id", "lines_id", "groups_id", "queues_id", "trunks_id", "subscription_uuid") && harmful(got.status, rt) {
						t.Errorf("%s, thing of %s: %d %s", name, owner, got.status, got.body)
					}
					for other, y := range all {
						if slices.Contains(visible[tenant], other) {
							continue
						}
						for _, mark := range y.marks {
							// A tenant says what it is below of, and no more.
							body := strings.ReplaceAll(got.body, `"parent_uuid":"`+mark+`"`, "")
							if strings.Contains(body, mark) && !strings.Contains(path, mark) && mark != w.tenants[tenant] {
								t.Errorf("%s, thing of %s: shows %s of %s: %s", name, owner, mark, other, got.body)
							}
						}
					}
				}
			}
		}
	}
	// Nothing of the others was changed by what was sent above.
	if len(w.keep.removed) > 0 || len(w.keep.holds) != len(all) {
		t.Errorf("removed %v, held %v", w.keep.removed, w.keep.holds)
	}
	for _, owner := range []string{"master", "top", "side"} {
		x := all[owner].values
		if p := w.keep.policies[w.tenants[owner]]; p.CDRDays == nil {
			t.Errorf("retention of %s: %+v", owner, p)
		}
		if a, err := w.accounts.Get(x["user"]); err != nil || !slices.Contains(a.Policies, x["policy"]) {
			t.Errorf("account of %s: %+v, %v", owner, a, err)
		}
		if p, err := w.accounts.Policy(x["policy"], nil); err != nil || len(p.ACL) != 2 {
			t.Errorf("policy of %s: %+v, %v", owner, p, err)
		}
		if list, err := w.accounts.Sessions(t.Context(), x["user"], nil); err != nil || len(list) != 1 {
			t.Errorf("sessions of %s: %v, %v", owner, list, err)
		}
		if list, err := w.accounts.Refreshes(t.Context(), []string{x["user"]}); err != nil || len(list) != 1 {
			t.Errorf("refresh tokens of %s: %v, %v", owner, list, err)
		}
	}
}

// names says whether the path has one of the values.
func (rt route) names(names ...string) bool {
	return slices.ContainsFunc(rt.values(), func(v pathValue) bool { return slices.Contains(names, v.name) })
}

// harmful says whether an answer about a thing that is not visible is another
// than that it is not there. To end a session that is not there is no error.
func harmful(status int, rt route) bool {
	if strings.HasSuffix(rt.path, "/sessions/{session:uuid}") && status == http.StatusNoContent {
		return false
	}
	return status < 400
}

// TestACLMatrix sends every route with a token that may do everything but that.
func TestACLMatrix(t *testing.T) {
	cdrs := &matrixCDRs{}
	w := newTown(t, CallLogd, cdrs)
	w.feed.Close()
	x := w.furnish("master", cdrs)
	for _, rt := range w.server.routes() {
		if rt.acl == "" {
			continue
		}
		path := x.path(t, rt)
		required := rt.acl
		for name, value := range x.values {
			required = strings.ReplaceAll(required, "{"+name+"}", auth.EscapeWord(value))
		}
		for _, token := range []string{w.hostToken("master", "#", "call_logd.#", "!"+required), w.hostToken("master", required+".more", "other.#"), "", uuid.NewString()} {
			if got := w.ask(rt.method, path, "{}", "X-Auth-Token", token); got.status != http.StatusUnauthorized {
				t.Errorf("%s %s with a token that lacks %s: %d %s", rt.method, path, required, got.status, got.body)
			}
		}
		if rt.method == http.MethodGet {
			if got := w.ask(rt.method, path, "", "X-Auth-Token", w.hostToken("master", required)); got.status >= 400 &&
				(got.status != http.StatusNotFound || !strings.Contains(rt.path, "/users/me/")) && // the call is not the token's user's
				(got.status != http.StatusUpgradeRequired || rt.service != Websocketd) { // without a websocket
				t.Errorf("%s %s with a token that has %s: %d %s", rt.method, path, required, got.status, got.body)
			}
		}
	}
}

// TestAccountOfAnotherTenantsUser: with the uuid of another tenant's user an
// account would be that user at /users/me.
func TestAccountOfAnotherTenantsUser(t *testing.T) {
	cdrs := &matrixCDRs{}
	w := newTown(t, Auth, cdrs)
	user, _, _, _ := w.resources("side")
	body := `{"username": "thief", "password": "pw", "uuid": "` + user.UUID + `"}`
	if got := w.ask("POST", "/0.1/users", body, "X-Auth-Token", w.hostToken("mid", "#")); got.status != http.StatusConflict {
		t.Errorf("created with another tenant's user: %d %s", got.status, got.body)
	}
	if got := w.ask("POST", "/0.1/users", body, "X-Auth-Token", w.hostToken("side", "#")); got.status != http.StatusOK {
		t.Errorf("not created for its own: %d %s", got.status, got.body)
	}
}
