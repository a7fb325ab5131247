package api

import (
	"fmt"
	"strings"
	"testing"

	"callrecordd/internal/auth"
)

// A denial counts however the path is written.
func TestDenialIsNotPassedByAnotherSpelling(t *testing.T) {
	w := newConfWorld(t)
	made := confObject(t, w.want(t, w.ask(t, "POST", "/1.1/users", `{"firstname": "Alice"}`), 201))
	id := made["uuid"].(string)
	group := confObject(t, w.want(t, w.ask(t, "POST", "/1.1/groups", `{"name": "sales"}`), 201))
	w.tokens.known["denied"] = auth.Token{
		TenantUUID: w.dir.Book().Master().UUID,
		ACL:        []string{"confd.#", "!confd.users." + id + ".read", fmt.Sprintf("!confd.groups.%v.read", group["id"])},
	}
	for _, path := range []string{
		"/1.1/users/" + id, "/1.1/users/" + strings.ToUpper(id), fmt.Sprintf("/1.1/groups/%v", group["id"]), fmt.Sprintf("/1.1/groups/00%v", group["id"]),
	} {
		w.want(t, w.ask(t, "GET", path, ""), 200)
		w.want(t, w.ask(t, "GET", path, "", "X-Auth-Token", "denied"), 401)
	}
	// By its other name it is the same object.
	for _, path := range []string{fmt.Sprintf("/1.1/users/%v", made["id"]), fmt.Sprintf("/1.1/groups/%v", group["uuid"])} {
		w.want(t, w.ask(t, "GET", path, ""), 200)
		w.want(t, w.ask(t, "GET", path, "", "X-Auth-Token", "denied"), 401)
		w.want(t, w.ask(t, "PUT", path, "{}", "X-Auth-Token", "denied"), 204) // which is not denied
	}
}

// So it does for policies, whose path may be a uuid or a slug.
func TestDenialOfAPolicyIsNotPassedByCapitals(t *testing.T) {
	w := newTown(t, Auth, nil)
	var p policyJSON
	w.into(w.ask("POST", "/0.1/policies", `{"name": "p", "acl": ["a"]}`, "Wazo-Tenant", w.tenants["mid"]), 200, &p)
	token := w.hostToken("mid", "#", "!auth.policies."+p.UUID+".edit")
	mid := []string{"X-Auth-Token", token, "Wazo-Tenant", w.tenants["mid"]}
	if got := w.ask("PUT", "/0.1/policies/"+p.Slug, `{"name": "q"}`, mid...); got.status != 401 {
		t.Errorf("by its slug: %d %s", got.status, got.body)
	}
	for _, id := range []string{p.UUID, strings.ToUpper(p.UUID)} {
		if got := w.ask("PUT", "/0.1/policies/"+id, `{"name": "q"}`, "X-Auth-Token", token); got.status != 401 {
			t.Errorf("%s: %d %s", id, got.status, got.body)
		}
		w.into(w.ask("GET", "/0.1/policies/"+id, "", "X-Auth-Token", token), 200, nil)
	}
}

// Who may change itself may not take the line of somebody else.
func TestUserCannotTakeALine(t *testing.T) {
	w := newConfWorld(t)
	const line = `"lines": [{"endpoint": "PJSIP/bob", "extensions": [{"exten": "1002", "context": "default"}]}]`
	made := confObject(t, w.want(t, w.ask(t, "POST", "/1.1/users", `{"firstname": "Alice"}`), 201))
	id := made["uuid"].(string)
	w.tokens.known["alice"] = auth.Token{
		TenantUUID: w.dir.Book().Master().UUID, UserUUID: id, AuthID: id, ACL: []string{"confd.users.me.read", "confd.users.me.update"},
	}
	path := "/1.1/users/" + id
	w.want(t, w.ask(t, "PUT", path, `{`+line+`}`, "X-Auth-Token", "alice"), 401)
	w.want(t, w.ask(t, "PUT", path, `{"lastname": "A.", "lines": []}`, "X-Auth-Token", "alice"), 204)
	w.want(t, w.ask(t, "PUT", path, `{`+line+`}`), 204)
	w.want(t, w.ask(t, "PUT", path, `{`+line+`}`, "X-Auth-Token", "alice"), 204) // it stays as it is
	w.want(t, w.ask(t, "GET", path, ""), 200, `"lastname":"A."`, "PJSIP/bob")
}

// Links and Location do not repeat what anybody writes into a header.
func TestLinksOfConfdAreNotForged(t *testing.T) {
	w := newConfWorld(t)
	forged := []string{"X-Script-Name", "/evil", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "evil.example"}
	r := w.want(t, w.ask(t, "POST", "/1.1/users", `{"firstname": "Alice"}`, forged...), 201)
	list := w.ask(t, "GET", "/1.1/users", "", forged...)
	if text := r.header.Get("Location") + r.body + list.body; strings.Contains(text, "evil") || strings.Contains(text, "https") {
		t.Errorf("a stranger's headers are in %s", text)
	}
}

// Header and query may name two tokens and two tenants: where the query counts,
// it alone does, and a good header does not help a bad query.
func TestHeaderAndQueryThatDisagree(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		token, tenant, query string
		status               int
		selected             string
	}{
		{"all", "", "?token=nobody", 401, ""},
		{"nobody", "", "?token=all", 200, master},
		{"all", "", "?token=child", 200, child},
		{"child", "", "?token=all", 200, master},
		{"all", child, "?tenant=" + master, 200, master},
		{"all", master, "?tenant=" + child, 200, child},
		{"child", "", "?token=all&tenant=" + child, 200, child},
		{"all", "", "?token=child&tenant=" + master, 401, ""}, // the header's token could
		{"all", master, "?token=child", 401, ""},              // and the query's cannot reach the header's tenant
		{"all", "", "?token=", 200, master},                   // empty is none
	} {
		w.cdrs.query = Query{}
		r := w.get("/1.0/cdr"+c.query, "X-Auth-Token", c.token, "Wazo-Tenant", c.tenant)
		if got := strings.Join(w.cdrs.query.Tenants, " "); r.status != c.status || got != c.selected {
			t.Errorf("%+v: %d, tenants %q %s", c, r.status, got, r.body)
		}
	}
}
