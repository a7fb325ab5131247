package api

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"callrecordd/dialplan"
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

	w.why[id] = append(talkOf(w.tenants[tenant], "user-of-"+tenant, rec,
		dialplan.Party{Leg: "17.1", Kind: dialplan.KindUser, UserUUID: "user-of-" + tenant, Tenant: w.tenants[tenant], Role: dialplan.RoleCaller},
		dialplan.Party{
			Leg: "17.2", Kind: dialplan.KindUser, UserUUID: "user-of-side", Tenant: w.tenants["side"], Role: dialplan.RolePeer,
			Queue: "queue-of-side", QueueAuto: dialplan.AutoAlways,
		},
	), finalOf("rec-of-side"))

	archive := uuid.NewString()
	w.keep.exports = append(w.keep.exports, export.Export{
		UUID: archive, TenantUUID: w.tenants[tenant], UserUUID: "asker-of-" + tenant, Status: export.Finished, RequestedAt: start,
	})
	w.must(os.WriteFile(filepath.Join(w.keep.dir, archive+".zip"), []byte("PK archive of "+tenant), 0o600))
	w.must(w.keep.SetHold(w.t.Context(), id, "hold of "+tenant, "test"))
	days := 90
	w.must(w.keep.SetPolicy(w.t.Context(), w.tenants[tenant], retention.Policy{CDRDays: &days}, "test"))

	_, err := w.dir.EditTenant(w.t.Context(), "test", w.tenants[tenant], func(t *directory.Tenant) error {
		t.Announce.Start = "sound-of-" + tenant
		return nil
	})
	w.must(err)

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
		UUID: uuid.NewString(), Subscription: hook.UUID, Event: "x", Payload: []byte(`{"id": "1-0", "tenant_uuid": "` + w.tenants[tenant] + `", "required_acl": "events.calls.x", "data": {"of": "event-of-` + tenant + `"}}`), State: webhook.Pending, CreatedAt: start,
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
func (x things) path(t testing.TB, rt route) string {
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

// TestAccountOfAnotherTenantsUser: with the uuid of another tenant's user an
// account would be that user at /users/me.
func TestAccountOfAnotherTenantsUser(t *testing.T) {
	cdrs := &matrixCDRs{}
	w := newTown(t, Auth, cdrs)
	user, _, _, _ := w.resources("side")
	body := `{"username": "thief", "password": "pw", "uuid": "` + user.UUID + `"}`
	upper := strings.Replace(body, user.UUID, strings.ToUpper(user.UUID), 1)
	if got := w.ask("POST", "/0.1/users", upper, "X-Auth-Token", w.hostToken("mid", "#")); got.status != http.StatusConflict {
		t.Errorf("created with another tenant's user, in capitals: %d %s", got.status, got.body)
	}
	if got := w.ask("POST", "/0.1/users", body, "X-Auth-Token", w.hostToken("mid", "#")); got.status != http.StatusConflict {
		t.Errorf("created with another tenant's user: %d %s", got.status, got.body)
	}
	if got := w.ask("POST", "/0.1/users", body, "X-Auth-Token", w.hostToken("side", "#")); got.status != http.StatusOK {
		t.Errorf("not created for its own: %d %s", got.status, got.body)
	}
}
