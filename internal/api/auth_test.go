package api

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"callrecordd/internal/auth"
)

func TestLoginAnswers(t *testing.T) {
	w := newTown(t, Auth, nil)
	a := w.account("mid", "alice")
	w.must(w.accounts.SetPassword(t.Context(), auth.Actor{}, a.UUID, adminPassword))
	post := func(body string, headers ...string) reply {
		return w.ask("POST", "/0.1/token", body, append([]string{"X-Auth-Token", "expired", "Wazo-Tenant", "nowhere"}, headers...)...)
	}
	login := basic("alice", adminPassword)
	var made tokenAnswer
	got := post(`{"backend":"wazo_user","expiration":"3600","unknown":[1]}`, "Authorization", login, "User-Agent", "Wazo Python auth client", "X-Forwarded-For", "203.0.113.9, 192.0.2.7")
	w.into(got, 200, &made)
	if got.header.Get("Wazo-Sessions-Revoked") != "0" || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", got.header)
	}
	want := tokenJSON{
		Token: made.Data.Token, AuthID: a.UUID, XivoUserUUID: &a.UUID, XivoUUID: w.server.accounts.StackUUID,
		IssuedAt: w.now().Local().Format(tokenTime), UTCIssuedAt: "2026-11-24T03:00:00.250000",
		ExpiresAt: new(w.now().Add(time.Hour).Local().Format(tokenTime)), UTCExpiresAt: new("2026-11-24T04:00:00.250000"),
		ACL: auth.DefaultUserPolicy(), SessionUUID: made.Data.SessionUUID, RemoteAddr: "192.0.2.7", UserAgent: "Wazo Python auth client",
		Metadata: metadataJSON{
			UUID: a.UUID, TenantUUID: w.tenants["mid"], AuthID: a.UUID, PBXUserUUID: &a.UUID, XivoUUID: w.server.accounts.StackUUID, Purpose: "user",
		},
	}
	slices.Sort(want.ACL)
	if diff := cmp.Diff(want, made.Data); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// Behind nginx, Latin-1 in the password, upper case in the name.
	latin := "Basic " + strings.TrimPrefix(basic("ALICE", "s\xe9same:ouvre"), "Basic ")
	w.into(w.ask("POST", "/api/auth/0.1/token", `{}`, "Authorization", latin), 200, nil)

	for body, check := range map[string]func(reply){
		``:                          func(r reply) { w.message(r, 400) },
		`{`:                         func(r reply) { w.message(r, 400) },
		`null`:                      func(r reply) { w.message(r, 400) },
		`{} {}`:                     func(r reply) { w.message(r, 400) },
		`[]`:                        func(r reply) { w.reason(r, 400, "Invalid input type") },
		`{"expiration":0}`:          func(r reply) { w.reason(r, 400, "expiration") },
		`{"expiration":"soon"}`:     func(r reply) { w.reason(r, 400, "expiration") },
		`{"expiration":-5}`:         func(r reply) { w.reason(r, 400, "expiration") },
		`{"expiration":315360001}`:  func(r reply) { w.reason(r, 400, "expiration") },
		`{"expiration":null}`:       func(r reply) { w.reason(r, 400, "expiration") },
		`{"access_type":"later"}`:   func(r reply) { w.reason(r, 400, "access_type") },
		`{"access_type":"offline"}`: func(r reply) { w.reason(r, 400, "client_id") },
		`{"refresh_token":"x"}`:     func(r reply) { w.reason(r, 400, "client_id") },
		`{"client_id":""}`:          func(r reply) { w.reason(r, 400, "client_id") },
		`{"client_id":7}`:           func(r reply) { w.reason(r, 400, "client_id") },
		`{"client_id":"` + strings.Repeat("c", 1025) + `"}`:                        func(r reply) { w.reason(r, 400, "client_id") },
		`{"access_type":"offline","client_id":"c","refresh_token":"x"}`:            func(r reply) { w.reason(r, 400, "offline") },
		`{"refresh_token":"x","client_id":"c","saml_session_id":"s"}`:              func(r reply) { w.reason(r, 400, "SAML") },
		`{"refresh_token":"00000000-0000-4000-8000-000000000000","client_id":"c"}`: func(r reply) { w.reason(r, 401, "Authentication Failed") },
		`{"x":"` + strings.Repeat("x", maxBody) + `"}`:                             func(r reply) { w.message(r, 413) },
	} {
		check(post(body, "Authorization", login))
	}
	for what, header := range map[string]string{
		"wrong": basic("alice", "x"), "unknown": basic("mallory", "x"), "nothing": basic("", ""), "none": "",
		"another scheme": "Bearer x", "lower case": strings.Replace(login, "Basic", "basic", 1), "no base64": "Basic ???",
	} {
		t.Run(what, func(*testing.T) { w.reason(post(`{}`, "Authorization", header), 401, "Authentication Failed") })
	}
}

// TestApplicationLogin is what Wazo's own applications send: a login counts only
// if all of it is answered (auth-and-clients 1.13).
func TestApplicationLogin(t *testing.T) {
	w := newTown(t, Auth, nil)
	user, _, _, _ := w.resources("mid")
	_, err := w.accounts.Create(t.Context(), auth.Actor{}, auth.Account{
		UUID: user.UUID, TenantUUID: w.tenants["mid"], Username: "alice", Purpose: auth.PurposeUser, Method: "default", Enabled: true,
	}, "pw")
	w.must(err)
	var login tokenAnswer
	w.into(w.ask("POST", "/api/auth/0.1/token", `{"backend":"wazo_user","expiration":3600,"access_type":"offline","client_id":"app"}`,
		"Authorization", basic("alice", "pw"), "X-Auth-Token", ""), 200, &login)
	mine := []string{"X-Auth-Token", login.Data.Token, "Content-Type", "application/json"}
	w.into(w.ask("HEAD", "/api/auth/0.1/status", "", mine...), 200, nil)
	var me confUser
	w.into(w.ask("GET", "/api/confd/1.1/users/"+login.Data.Metadata.UUID, "", mine...), 200, &me)
	var infos infosJSON
	w.into(w.ask("GET", "/api/confd/1.1/infos", "", mine...), 200, &infos)
	if me.UUID != user.UUID || infos.UUID != login.Data.XivoUUID || infos.WazoVersion == "" {
		t.Errorf("%+v %+v", me, infos)
	}
	var again tokenAnswer
	w.into(w.ask("POST", "/api/auth/0.1/token", jsonOf(`{'backend':'wazo_user','expiration':3600,'refresh_token':'%s','client_id':'app'}`, login.Data.RefreshToken),
		"X-Auth-Token", ""), 200, &again)
	if again.Data.RefreshToken != "" || again.Data.AuthID != user.UUID {
		t.Errorf("%+v", again.Data)
	}
}

func TestTooManyLogins(t *testing.T) {
	w := newTown(t, Auth, nil)
	a := w.account("mid", "alice")
	for range 5 {
		w.into(w.ask("POST", "/0.1/token", `{}`, "Authorization", basic("alice", "pw")), 200, nil)
	}
	w.reason(w.ask("POST", "/0.1/token", `{}`, "Authorization", basic("alice", "pw")), 429,
		"User "+a.UUID+" has exceeded the maximum number of active sessions")
	for range 10 {
		w.reason(w.ask("POST", "/0.1/token", `{}`, "Authorization", basic("bob", "guess")), 401, "Authentication Failed")
	}
	got := w.ask("POST", "/0.1/token", `{}`, "Authorization", basic("bob", "guess"))
	w.reason(got, 429, "Too many failed logins")
	if got.header.Get("Retry-After") == "" {
		t.Errorf("headers %v", got.header)
	}
}

func TestTokenChecks(t *testing.T) {
	w := newTown(t, Auth, nil)
	token := w.hostToken("mid", "call-logd.cdr.read", "users.me.#")
	path := "/0.1/token/" + token
	none := "/0.1/token/" + uuid.NewString()
	for query, status := range map[string]int{
		"": 204, "?scope=call-logd.cdr.read": 204, "?scope=call-logd.cdr.12.read": 403, "?scope=": 403, "?scope=%C3%A9": 403,
		"?scope=users.me.123": 204, "?tenant=" + w.tenants["low"]: 204, "?tenant=" + w.tenants["side"]: 403,
		"?scope=call-logd.cdr.read&tenant=" + w.tenants["mid"]: 204, "?tenant=" + uuid.NewString(): 403,
		"?scope=other&tenant=" + w.tenants["mid"]: 403,
	} {
		if got := w.ask("HEAD", path+query, "", "X-Auth-Token", ""); got.status != status || got.body != "" {
			t.Errorf("HEAD %s: %d %q, want %d", query, got.status, got.body, status)
		}
	}
	w.reason(w.ask("GET", path+"?scope=a.b", "", "X-Auth-Token", ""), 403, "Unauthorized for a.b")
	w.reason(w.ask("GET", path+"?tenant="+w.tenants["side"], ""), 403, "Unauthorized for tenant "+w.tenants["side"])
	w.reason(w.ask("GET", none, ""), 404, "No such token")
	if got := w.ask("HEAD", none, ""); got.status != 404 {
		t.Errorf("HEAD of no token: %d", got.status)
	}
	if got := w.ask("GET", "/0.1/token/me", ""); got.status != 404 || !strings.Contains(got.header.Get("Content-Type"), "html") {
		t.Errorf("no uuid: %d %s", got.status, got.body)
	}
	var seen tokenAnswer
	w.into(w.ask("GET", "/0.1/token/"+strings.ToUpper(token), "", "X-Auth-Token", ""), 200, &seen)
	if seen.Data.Token != token || !strings.HasSuffix(seen.Data.UTCIssuedAt, ":00.000000") || seen.Data.ExpiresAt != nil {
		t.Errorf("%+v", seen.Data)
	}

	scopes := path + "/scopes/check"
	var out scopesAnswer
	w.into(w.ask("POST", scopes, `{"scopes":["call-logd.cdr.read","x"],"tenant_uuid":null}`), 200, &out)
	if diff := cmp.Diff(map[string]bool{"call-logd.cdr.read": true, "x": false}, out.Scopes); diff != "" {
		t.Error(diff)
	}
	if got := w.ask("POST", scopes, `{"scopes":[]}`); strings.TrimSpace(got.body) != `{"scopes":{}}` {
		t.Errorf("no scopes: %s", got.body)
	}
	w.reason(w.ask("POST", scopes, `{"scopes":["a",true]}`), 400, "scopes")
	w.reason(w.ask("POST", scopes, `{}`), 400, "scopes")
	w.reason(w.ask("POST", scopes, `{"scopes":["a"],"tenant_uuid":"`+w.tenants["top"]+`"}`), 403, "Unauthorized for tenant")
	w.reason(w.ask("POST", none+"/scopes/check", `{"scopes":["a"]}`), 404, "No such token")

	for range 2 { // the second time too
		if got := w.ask("DELETE", path, "", "X-Auth-Token", ""); got.status != 200 || strings.TrimSpace(got.body) != `{"data":{"message":"success"}}` {
			t.Errorf("delete: %d %s", got.status, got.body)
		}
	}
	w.reason(w.ask("GET", path, ""), 404, "No such token")
	if got := w.ask("GET", "/0.1/users", "", "X-Auth-Token", token); got.status != 401 {
		t.Errorf("a revoked token: %d", got.status)
	}
	if got := w.ask("HEAD", "/0.1/status", "", "X-Auth-Token", ""); got.status != 200 {
		t.Errorf("status: %d", got.status)
	}
	if got := w.ask("GET", "/0.1/status", ""); got.status != 405 {
		t.Errorf("GET status: %d", got.status)
	}
	if got := w.ask("GET", "/0.1/backends", "", "X-Auth-Token", ""); strings.TrimSpace(got.body) != `{"data":["wazo_user"]}` {
		t.Errorf("backends: %s", got.body)
	}
}

func TestUsersOverHTTP(t *testing.T) {
	w := newTown(t, Auth, nil)
	var made userJSON
	w.into(w.ask("POST", "/0.1/users", `{"username":"bob","password":"pw","email_address":"bob@example.com","firstname":null,"tenant_uuid":"ignored"}`,
		"Wazo-Tenant", w.tenants["mid"]), 200, &made)
	want := userJSON{
		UUID: made.UUID, Username: new("bob"), Purpose: "user", Enabled: true, Tenant: w.tenants["mid"], Method: "default",
		Emails: []emailJSON{{UUID: made.Emails[0].UUID, Address: "bob@example.com", Main: true, Confirmed: true}},
	}
	if diff := cmp.Diff(want, made); diff != "" {
		t.Errorf("created (-want +got):\n%s", diff)
	}
	path := "/0.1/users/" + made.UUID
	for body, field := range map[string]string{
		`{"username":7}`: "username", `{"username":""}`: "username", `{"username":"x","password":""}`: "password",
		`{"username":"x","purpose":"god"}`: "purpose", `{"username":"x","enabled":"perhaps"}`: "enabled", `{}`: "username",
		`{"username":"x","uuid":"1"}`: "uuid", `{"username":"x","email_address":"x"}`: "email_address", `[]`: "_schema",
	} {
		details := w.problem(w.ask("POST", "/0.1/users", body), 400, "invalid-data", "users")
		if d, ok := details[field].(map[string]any); !ok || d["message"] == "" || d["constraint_id"] == "" {
			t.Errorf("%s: details %v", body, details)
		}
	}
	w.message(w.ask("POST", "/0.1/users", `{"username":`), 400)
	for body, field := range map[string]string{
		`{"username":"BOB"}`: "username", `{"username":"x","email_address":"Bob@Example.com"}`: "email_address",
		`{"username":"y","uuid":"` + made.UUID + `"}`: "uuid",
	} {
		details := w.problem(w.ask("POST", "/0.1/users", body), 409, "conflict", "users")
		if d, ok := details[field].(map[string]any); !ok || d["constraint_id"] != "unique" {
			t.Errorf("%s: details %v", body, details)
		}
	}
	var list userList
	w.into(w.ask("GET", "/0.1/users?username=bob&recurse=True", ""), 200, &list)
	if diff := cmp.Diff([]userJSON{want}, list.Items); diff != "" || list.Filtered != 1 {
		t.Errorf("%+v\n%s", list, diff)
	}
	w.into(w.ask("GET", "/0.1/users?recurse=False", ""), 200, &list)
	if len(list.Items) != 0 || list.Total != 0 {
		t.Errorf("without recurse %+v", list)
	}
	for range 3 {
		w.account("mid", uuid.NewString())
	}
	w.account("mid", "Zoe")
	w.into(w.ask("GET", "/0.1/users?recurse=yes&order=username&direction=desc&limit=1&offset=0&search=o", ""), 200, &list)
	if len(list.Items) != 1 || *list.Items[0].Username != "Zoe" || list.Total != 5 || list.Filtered != 2 {
		t.Errorf("%+v", list)
	}
	w.problem(w.ask("GET", "/0.1/users?order=uuid&limit=-1", ""), 400, "invalid-list-param", "users")

	w.into(w.ask("PUT", path, `{"username":"robert","firstname":"Bob","lastname":"B"}`), 200, &made)
	if *made.Username != "robert" || *made.FirstName != "Bob" || len(made.Emails) != 1 {
		t.Errorf("%+v", made)
	}
	w.problem(w.ask("PUT", path, `{"username":"zoe"}`), 409, "conflict", "users")
	session := func(password string) string {
		var out tokenAnswer
		w.into(w.ask("POST", "/0.1/token", `{}`, "Authorization", basic("robert", password)), 200, &out)
		return out.Data.Token
	}
	token := session("pw")
	w.reason(w.ask("PUT", path+"/password", `{"old_password":"no","new_password":"pw2"}`, "X-Auth-Token", token), 401, "Authentication Failed")
	w.problem(w.ask("PUT", path+"/password", `{"old_password":"pw"}`, "X-Auth-Token", token), 400, "invalid-data", "users")
	w.into(w.ask("PUT", path+"/password", `{"old_password":"pw","new_password":"pw2"}`, "X-Auth-Token", token), 204, nil)
	if got := w.ask("GET", path+"/sessions", "", "X-Auth-Token", token); got.status != 401 {
		t.Errorf("a session survived the change of the password: %d", got.status)
	}
	token = session("pw2")
	var sessions sessionList
	w.into(w.ask("GET", path+"/sessions", "", "X-Auth-Token", token), 200, &sessions)
	if len(sessions.Items) != 1 || sessions.Total != 1 || sessions.Items[0].UserUUID != made.UUID {
		t.Errorf("%+v", sessions)
	}
	w.into(w.ask("GET", "/0.1/sessions?recurse=true", ""), 200, &sessions)
	if len(sessions.Items) != 1 {
		t.Errorf("%+v", sessions)
	}
	w.into(w.ask("DELETE", path+"/sessions/"+sessions.Items[0].UUID, "", "X-Auth-Token", token), 204, nil)
	w.into(w.ask("PUT", path, `{"username":"robert","enabled":false}`), 200, &made)
	w.reason(w.ask("POST", "/0.1/token", `{}`, "Authorization", basic("robert", "pw2")), 401, "Authentication Failed")
	for _, sub := range []string{"/groups", "/policies", "/tokens"} {
		if got := w.ask("GET", path+sub, ""); got.status != 200 || !strings.Contains(got.body, `"items":[]`) {
			t.Errorf("%s: %d %s", sub, got.status, got.body)
		}
	}
	w.into(w.ask("DELETE", path, ""), 204, nil)
	for _, method := range []string{"GET", "PUT", "DELETE"} {
		if d := w.problem(w.ask(method, path, `{"username":"x"}`), 404, "unknown-user", "users"); d["uuid"] != made.UUID {
			t.Errorf("details %v", d)
		}
	}
	// Who may not has the usual answer, and another's tenant its own.
	w.problem(w.ask("GET", "/0.1/users", "", "X-Auth-Token", w.hostToken("mid", "x")), 401, "unauthorized", "")
	d := w.problem(w.ask("GET", "/0.1/users", "", "X-Auth-Token", w.hostToken("mid", "#"), "Wazo-Tenant", w.tenants["top"]), 401, "unauthorized-tenant", "")
	if d["tenant_uuid"] != w.tenants["top"] {
		t.Errorf("details %v", d)
	}
}

func TestPoliciesOverHTTP(t *testing.T) {
	w := newTown(t, Auth, nil)
	var made policyJSON
	w.into(w.ask("POST", "/0.1/policies", `{"name":"a policy","description":null,"acl":["b","a","a"]}`, "Wazo-Tenant", w.tenants["mid"]), 200, &made)
	want := policyJSON{UUID: made.UUID, TenantUUID: w.tenants["mid"], Name: "a policy", Slug: "apolicy", ACL: []string{"a", "b"}}
	if diff := cmp.Diff(want, made); diff != "" {
		t.Errorf("created (-want +got):\n%s", diff)
	}
	path := "/0.1/policies/" + made.UUID
	for body, field := range map[string]string{
		`{}`: "name", `{"name":""}`: "name", `{"name":7}`: "name", `{"name":"` + strings.Repeat("n", 81) + `"}`: "name",
		`{"name":"x","acl":"#"}`: "acl", `{"name":"x","acl":[1]}`: "acl", `{"name":"x","slug":"!"}`: "slug", `[]`: "_schema",
	} {
		w.reason(w.ask("POST", "/0.1/policies", body), 400, "Invalid value supplied for field: "+field)
	}
	mid := []string{"Wazo-Tenant", w.tenants["mid"]}
	w.reason(w.ask("POST", "/0.1/policies", `{"name":"a policy"}`, mid...), 409, `Policy "a policy" already exists`)
	w.reason(w.ask("POST", "/0.1/policies", `{"name":"other","slug":"apolicy"}`, mid...), 409, "already exists")
	some := w.hostToken("mid", "auth.#", "call-logd.#")
	d := w.problem(w.ask("POST", "/0.1/policies", `{"name":"x","acl":["call-logd.cdr.read","#"]}`, "X-Auth-Token", some), 401, "unauthorized", "")
	if d["required_access"] != "#" {
		t.Errorf("details %v", d)
	}
	for _, r := range []reply{w.ask("PUT", path+"/acl/a.%23", "", mid...), w.ask("PUT", path+"/acl/c", "", mid...), w.ask("DELETE", path+"/acl/c", "", mid...)} {
		w.into(r, 204, nil)
	}
	w.reason(w.ask("PUT", path+"/acl/a", "", mid...), 409, "Policy already associated to a")
	w.reason(w.ask("DELETE", path+"/acl/c", "", mid...), 404, "No such policy")
	w.into(w.ask("GET", "/0.1/policies/apolicy", "", mid...), 200, &made)
	if !slices.Equal(made.ACL, []string{"a", "a.#", "b"}) {
		t.Errorf("%+v", made)
	}
	w.reason(w.ask("GET", "/0.1/policies/apolicy", ""), 404, "No such policy apolicy") // another tenant's slug
	var list policyList
	w.into(w.ask("GET", "/0.1/policies?search=a+pol&recurse=True", ""), 200, &list)
	if len(list.Items) != 1 || list.Total != 1 {
		t.Errorf("%+v", list)
	}
	w.into(w.ask("GET", "/0.1/policies?order=name", "", mid...), 200, &list)
	if list.Total != 4 || list.Items[1].Slug != "wazo_default_admin_policy" || !list.Items[1].ReadOnly || !list.Items[1].Shared ||
		list.Items[1].TenantUUID != w.tenants["mid"] {
		t.Errorf("%+v", list)
	}
	w.reason(w.ask("DELETE", "/0.1/policies/wazo_default_admin_policy", ""), 403, "Forbidden")
	a := w.account("mid", "alice")
	given := "/0.1/users/" + a.UUID + "/policies/"
	for range 2 { // the second time changes nothing
		w.into(w.ask("PUT", given+made.UUID, ""), 204, nil)
	}
	w.problem(w.ask("PUT", given+"wazo_default_master_user_policy", "", "X-Auth-Token", some), 401, "unauthorized", "")
	var page policyPage
	w.into(w.ask("GET", "/0.1/users/"+a.UUID+"/policies", ""), 200, &page)
	if page.Total != 1 || page.Filtered != 1 || page.Items[0].UUID != made.UUID {
		t.Errorf("%+v", page)
	}
	w.reason(w.ask("PUT", given+uuid.NewString(), ""), 404, "No such policy")
	w.problem(w.ask("PUT", "/0.1/users/"+uuid.NewString()+"/policies/"+made.UUID, ""), 404, "unknown-user", "users")
	w.into(w.ask("DELETE", given+made.UUID, ""), 204, nil)
	w.reason(w.ask("DELETE", given+made.UUID, ""), 404, "No such policy")
	w.into(w.ask("PUT", path, `{"name":"renamed","acl":["z"]}`), 200, &made)
	if made.Name != "renamed" || made.Slug != "apolicy" || !slices.Equal(made.ACL, []string{"z"}) {
		t.Errorf("%+v", made)
	}
	w.into(w.ask("DELETE", path, ""), 204, nil)
	w.reason(w.ask("GET", path, ""), 404, "No such policy "+made.UUID)
}

func TestTenantsOverHTTP(t *testing.T) {
	w := newTown(t, Auth, nil)
	var list tenantList
	w.into(w.ask("GET", "/0.1/tenants", "", "Wazo-Tenant", w.tenants["top"]), 200, &list)
	var names []string
	for _, v := range list.Items {
		names = append(names, v.Name)
	}
	if !slices.Equal(names, []string{"low", "mid", "side", "top"}) || list.Total != 4 || list.Filtered != 4 {
		t.Errorf("%v %+v", names, list)
	}
	w.into(w.ask("GET", "/0.1/tenants?name=mid&uuids="+w.tenants["mid"]+"&uuids="+w.tenants["low"], ""), 200, &list)
	if list.Total != 5 || list.Filtered != 1 || list.Items[0].ParentUUID != w.tenants["top"] {
		t.Errorf("%+v", list)
	}
	w.problem(w.ask("GET", "/0.1/tenants?direction=up", ""), 400, "invalid-list-param", "users")
	var made tenantJSON
	w.into(w.ask("POST", "/0.1/tenants", `{"name":"A new tenant","phone":"1","address":{"city":"Q"}}`, "Wazo-Tenant", w.tenants["mid"]), 200, &made)
	want := tenantJSON{
		UUID: made.UUID, ParentUUID: w.tenants["mid"], Name: "A new tenant", Slug: "Anewtenant", Phone: new("1"), Method: "native",
		Domains: []string{}, Address: addressJSON{City: new("Q")},
	}
	if diff := cmp.Diff(want, made); diff != "" {
		t.Errorf("created (-want +got):\n%s", diff)
	}
	path := "/0.1/tenants/" + made.UUID
	for body, field := range map[string]string{
		`{"name":""}`: "name", `{"name":7}`: "name", `{"name":"x","slug":"a b"}`: "slug", `{"name":"x","address":1}`: "address", `[]`: "_schema",
	} {
		if d := w.problem(w.ask("POST", "/0.1/tenants", body), 400, "invalid-data", "tenants"); d[field] == nil {
			t.Errorf("%s: details %v", body, d)
		}
	}
	w.problem(w.ask("POST", "/0.1/tenants", `{"name":"x","slug":"Anewtenant"}`), 409, "conflict", "tenants")
	w.problem(w.ask("POST", "/0.1/tenants", `{"name":"x","uuid":"`+made.UUID+`"}`), 409, "conflict", "tenants")
	w.into(w.ask("PUT", path, `{"name":"renamed","contact":null}`), 200, &made)
	if made.Name != "renamed" || made.Slug != "Anewtenant" || made.Phone != nil {
		t.Errorf("%+v", made)
	}
	w.problem(w.ask("GET", "/0.1/tenants/"+uuid.NewString(), ""), 404, "unknown-tenant", "tenants")
	w.problem(w.ask("DELETE", "/0.1/tenants/"+w.tenants["mid"], ""), 400, "tenant-with-children", "tenants")
	w.problem(w.ask("DELETE", "/0.1/tenants/"+w.tenants["master"], ""), 403, "deleting-own-tenant-forbidden", "tenants")
	a := w.account("low", "alice")
	d := w.ask("DELETE", "/0.1/tenants/"+w.tenants["low"], "", "Wazo-Tenant", w.tenants["mid"])
	w.problem(d, 409, "conflict", "tenants")
	if !strings.Contains(d.body, "it still has accounts") {
		t.Errorf("%s", d.body)
	}
	w.into(w.ask("DELETE", "/0.1/users/"+a.UUID, ""), 204, nil)
	w.into(w.ask("DELETE", path, ""), 204, nil)
	w.problem(w.ask("DELETE", path, ""), 404, "unknown-tenant", "tenants")
}

// TestSeed sends what the published steps make wazo-auth-cli and the weekly
// script send (auth-and-clients 1.2 and 1.3), request for request.
func TestSeed(t *testing.T) {
	cdrs := &matrixCDRs{}
	w := newTown(t, Auth, cdrs)
	_, err := w.accounts.Create(t.Context(), auth.Actor{}, auth.Account{
		TenantUUID: w.tenants["master"], Username: "root", Purpose: auth.PurposeInternal, Method: "native", Enabled: true,
	}, adminPassword)
	w.must(err)
	root, err := w.accounts.Get(func() string { l, _ := w.accounts.List(auth.AccountFilter{Username: "root"}); return l[0].UUID }())
	w.must(err)
	all, err := w.accounts.PolicyBySlug(auth.PolicyMaster, w.tenants["master"])
	w.must(err)
	w.must(w.accounts.AddPolicy(t.Context(), auth.Actor{}, root.UUID, all.UUID))

	// Every command logs in, does its work and logs out.
	command := func(work func(token string)) {
		t.Helper()
		var login tokenAnswer
		w.into(w.ask("POST", "/0.1/token", `{"expiration": 3600, "backend": "wazo_user"}`, "X-Auth-Token", "", "Authorization", basic("root", adminPassword)), 200, &login)
		work(login.Data.Token)
		w.into(w.ask("DELETE", "/0.1/token/"+login.Data.Token, "", "X-Auth-Token", login.Data.Token), 200, nil)
	}
	var user userJSON
	command(func(token string) {
		w.into(w.ask("POST", "/0.1/users", `{"username": "exporter", "password": "secret"}`, "X-Auth-Token", token), 200, &user)
	})
	var policy policyJSON
	command(func(token string) {
		w.into(w.ask("POST", "/0.1/policies", jsonOf(`{'description': null, 'acl': ['call-logd.cdr.recordings.media.export.create', 'auth.tenants.read'], 'name': 'recording_exporter'}`),
			"X-Auth-Token", token), 200, &policy)
	})
	command(func(token string) { // by name, which looks both up first
		var users userList
		w.into(w.ask("GET", "/0.1/users?username=exporter&recurse=True", "", "X-Auth-Token", token), 200, &users)
		var policies policyList
		w.into(w.ask("GET", "/0.1/policies?search=recording_exporter&recurse=True", "", "X-Auth-Token", token), 200, &policies)
		if users.Items[0].UUID != user.UUID || policies.Items[0].Name != "recording_exporter" {
			t.Fatalf("%+v %+v", users, policies)
		}
		w.into(w.ask("PUT", "/0.1/users/"+user.UUID+"/policies/"+policy.UUID, "", "X-Auth-Token", token), 204, nil)
	})

	// `token create --access_type offline`: two logins as the exporter.
	var first, offline tokenAnswer
	me := []string{"Authorization", basic("exporter", "secret")}
	w.into(w.ask("POST", "/0.1/token", `{"expiration": 3600}`, append(me, "X-Auth-Token", "")...), 200, &first)
	w.into(w.ask("POST", "/0.1/token", jsonOf(`{'expiration': 3600, 'client_id': 'exporter', 'access_type': 'offline'}`),
		append(me, "X-Auth-Token", first.Data.Token)...), 200, &offline)
	w.into(w.ask("DELETE", "/0.1/token/"+first.Data.Token, "", "X-Auth-Token", first.Data.Token), 200, nil)
	if offline.Data.RefreshToken == "" || first.Data.RefreshToken != "" {
		t.Fatalf("%+v", offline.Data)
	}

	// The script, every week.
	for range 3 {
		var weekly tokenAnswer
		w.into(w.ask("POST", "/0.1/token", jsonOf(`{'backend': 'wazo_user', 'expiration': 60, 'client_id': 'exporter', 'refresh_token': '%s', 'access_type': 'online'}`, offline.Data.RefreshToken),
			"X-Auth-Token", "", "Authorization", "Basic Og==", "User-Agent", "Wazo Python auth client"), 200, &weekly)
		if weekly.Data.RefreshToken != "" || !slices.Contains(weekly.Data.ACL, "call-logd.cdr.recordings.media.export.create") {
			t.Errorf("%+v", weekly.Data)
		}
		check := "/0.1/token/" + weekly.Data.Token + "?" + url.Values{
			"scope": {"call-logd.cdr.recordings.media.export.create"}, "tenant": {w.tenants["low"]},
		}.Encode()
		if got := w.ask("HEAD", check, "", "X-Auth-Token", ""); got.status != http.StatusNoContent {
			t.Errorf("the export would be refused: %d", got.status)
		}
		w.into(w.ask("GET", "/0.1/tenants", "", "X-Auth-Token", weekly.Data.Token), 200, nil)
		if got := w.ask("GET", "/api/call-logd/1.0/cdr", "", "X-Auth-Token", weekly.Data.Token); got.status != 401 {
			t.Errorf("the exporter may read CDRs: %d", got.status)
		}
		w.into(w.ask("DELETE", "/0.1/token/"+weekly.Data.Token, "", "X-Auth-Token", ""), 200, nil)
		if got := w.ask("HEAD", check, "", "X-Auth-Token", ""); got.status != http.StatusNotFound {
			t.Errorf("a revoked token: %d", got.status)
		}
	}

	// `token refresh list` and `delete`.
	var refresh refreshList
	w.into(w.ask("GET", "/0.1/users/me/tokens", "", "X-Auth-Token", offline.Data.Token), 200, &refresh)
	if refresh.Total != 1 || refresh.Items[0].ClientID != "exporter" || refresh.Items[0].UserUUID != user.UUID || refresh.Items[0].Metadata == nil {
		t.Errorf("%+v", refresh)
	}
	w.into(w.ask("GET", "/0.1/tokens?recurse=true&search=EXP&mobile=false&order=client_id", ""), 200, &refresh)
	if refresh.Filtered != 1 {
		t.Errorf("%+v", refresh)
	}
	w.into(w.ask("DELETE", "/0.1/users/"+user.UUID+"/tokens/exporter", ""), 204, nil)
	d := w.problem(w.ask("DELETE", "/0.1/users/me/tokens/exporter", "", "X-Auth-Token", offline.Data.Token), 404, "cannot-find-refresh-token-matching-client-id", "tokens")
	if d["client_id"] != "exporter" {
		t.Errorf("details %v", d)
	}
	w.reason(w.ask("POST", "/0.1/token", jsonOf(`{'client_id': 'exporter', 'refresh_token': '%s'}`, offline.Data.RefreshToken),
		"Authorization", "Basic Og=="), 401, "Authentication Failed")
}
