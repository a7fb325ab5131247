package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"callrecordd/dialplan"
	"callrecordd/internal/auth"
	"callrecordd/internal/directory"
	"callrecordd/store"
)

// fakeToggle is a code that can be chosen.
type fakeToggle struct {
	code string
	err  error
}

func (f *fakeToggle) ToggleCode(context.Context) (string, error) { return f.code, nil }

func (f *fakeToggle) SetToggleCode(_ context.Context, code, _ string) error {
	if f.err == nil {
		f.code = code
	}
	return f.err
}

// confWorld is a server of confd over a directory on disk.
type confWorld struct {
	*world
	dir    *directory.Service
	toggle *fakeToggle
	child  string
	server http.Handler
	// soundRoot has a folder for each tenant.
	soundRoot string
}

func newConfWorld(t testing.TB) *confWorld {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	st, err := store.Open(t.Context(), store.Options{Path: filepath.Join(t.TempDir(), "db"), Now: time.Now, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	root := t.TempDir()
	next := master // the first that is made
	d, err := directory.New(t.Context(), directory.Options{Repo: st, Root: root, Now: time.Now, NewUUID: func() string {
		out := next
		next = uuid.NewString()
		return out
	}})
	if err != nil {
		t.Fatal(err)
	}
	below, err := d.CreateTenant(t.Context(), "test", directory.Tenant{Name: "child"})
	if err != nil {
		t.Fatal(err)
	}
	top := d.Book().Master().UUID
	w := &confWorld{dir: d, toggle: &fakeToggle{code: "*3"}, child: below.UUID, soundRoot: root, world: &world{
		tokens: &fakeTokens{known: map[string]auth.Token{
			"all":   {TenantUUID: top, AuthID: "admin", ACL: []string{"confd.#"}},
			"child": {TenantUUID: below.UUID, AuthID: "admin", ACL: []string{"confd.#"}},
			"none":  {TenantUUID: top, AuthID: "admin"},
		}},
	}}
	w.server = New(Options{
		Directory: d, Toggle: w.toggle, Tokens: w.tokens, Now: time.Now, Log: log,
		Tenants: fakeTenants{top: {top, below.UUID}, below.UUID: {below.UUID}},
	}).Handler(Confd)
	return w
}

// ask sends a body, or none, and returns the answer. Headers come in pairs.
func (w *confWorld) ask(t testing.TB, method, path, body string, headers ...string) reply {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), method, "http://pbx:9486"+path, strings.NewReader(body))
	req.Header.Set("X-Auth-Token", "all")
	for pair := range slices.Chunk(headers, 2) {
		req.Header.Set(pair[0], pair[1])
	}
	rec := httptest.NewRecorder()
	w.server.ServeHTTP(rec, req)
	return reply{rec.Code, rec.Header(), rec.Body.String()}
}

// want checks the status and that each text is in the answer.
func (w *confWorld) want(t testing.TB, r reply, status int, texts ...string) reply {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(r.body, text) {
			t.Errorf("%q is not in %s", text, r.body)
		}
	}
	if r.status != status {
		t.Errorf("got %d %s, want %d", r.status, r.body, status)
	}
	if r.status >= 400 && r.status != 404 && r.status != 405 {
		var lines []string
		if err := json.Unmarshal([]byte(r.body), &lines); err != nil || len(lines) == 0 {
			t.Errorf("no array of strings: %s", r.body)
		}
	}
	return r
}

func confObject(t testing.TB, r reply) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(r.body), &v); err != nil {
		t.Fatalf("%v: %s", err, r.body)
	}
	return v
}

// Row 39 of recording-rules 7: each flag takes true and false and nothing else;
// what is not sent stays.
func TestRow39UserValidation(t *testing.T) {
	w := newConfWorld(t)
	r := w.want(t, w.ask(t, "POST", "/1.1/users", `{"firstname": "Alice", "lastname": null, "online_call_record_enabled": null,
		"call_record_enabled": null, "unknown": [1], "lines": [{"endpoint": "PJSIP/alice", "extensions": [{"exten": "1001", "context": "users"}]}]}`), 201)
	alice := confObject(t, r)
	path := "/1.1/users/" + alice["uuid"].(string)
	if r.header.Get("Location") != "http://pbx:9486"+path {
		t.Errorf("Location %s", r.header.Get("Location"))
	}
	four := []string{
		"call_record_outgoing_internal_enabled", "call_record_outgoing_external_enabled",
		"call_record_incoming_internal_enabled", "call_record_incoming_external_enabled",
	}
	for _, name := range append(four, "online_call_record_enabled", "call_record_enabled") {
		if alice[name] != false {
			t.Errorf("%s is %v at the start", name, alice[name])
		}
		for _, bogus := range []string{`"yes"`, `"true"`, `1`, `123`, `null`, `{}`, `[]`} {
			w.want(t, w.ask(t, "PUT", path, `{"`+name+`": `+bogus+`}`), 400, `"Input Error - `+name+`: ['`)
			if bogus == "null" && !slices.Contains(four, name) {
				continue
			}
			w.want(t, w.ask(t, "POST", "/1.1/users", `{"firstname": "B", "`+name+`": `+bogus+`}`), 400, name)
		}
	}
	for i, name := range append(four, "online_call_record_enabled") {
		r := w.want(t, w.ask(t, "PUT", path, `{"`+name+`": true}`), 204)
		if r.body != "" {
			t.Errorf("a body: %s", r.body)
		}
		now := confObject(t, w.ask(t, "GET", path, ""))
		for j, other := range append(four, "online_call_record_enabled") {
			if now[other] != (j <= i) {
				t.Errorf("after %s: %s is %v", name, other, now[other])
			}
		}
	}
	for _, body := range []string{"", "null", "[]", `"x"`, "{", `{"firstname": 5}`, `{"firstname": null}`, `{"firstname": ""}`, `{"lines": 5}`, `{"lines": [{"endpoint": "x y"}]}`} {
		w.want(t, w.ask(t, "PUT", path, body), 400, "Input Error - ")
	}
	w.want(t, w.ask(t, "POST", "/1.1/users", `{"lastname": "B"}`), 400, "Input Error - firstname: ['Missing data for required field.']")
	w.want(t, w.ask(t, "POST", "/1.1/users", `{"firstname": "B", "lines": [{"name": "alice"}]}`), 400, "Resource Error - User already exists")
	// By id as well, and published.
	id := fmt.Sprint(alice["id"])
	w.want(t, w.ask(t, "GET", "/api/confd/1.1/users/"+id, ""), 200, `"firstname":"Alice"`, `"href":"http://pbx:9486/api/confd/1.1/users/`)
	w.want(t, w.ask(t, "GET", "/1.1/lines", ""), 200, `"total":1`, `"endpoint":"PJSIP/alice"`, `"exten":"1001"`, `"firstname":"Alice"`)
	if r := w.ask(t, "HEAD", path, ""); r.status != 200 {
		t.Errorf("HEAD: %d", r.status)
	}
	w.want(t, w.ask(t, "DELETE", path, ""), 204)
	w.want(t, w.ask(t, "GET", path, ""), 404, `["Resource Not Found - User was not found ('uuid': '`)
	w.want(t, w.ask(t, "GET", "/1.1/users/4711", ""), 404, `["Resource Not Found - User was not found ('id': 4711)"]`)
}

// Row 40: the deprecated flag writes all four and reads their AND; beside any of
// them it is refused.
func TestRow40DeprecatedFlag(t *testing.T) {
	w := newConfWorld(t)
	u := confObject(t, w.want(t, w.ask(t, "POST", "/1.1/users", `{"firstname": "Alice", "call_record_enabled": true}`), 201))
	path := "/1.1/users/" + u["uuid"].(string)
	flags := func() dialplan.Flags { v, _ := w.dir.Book().User(u["uuid"].(string)); return v.Flags }
	all := dialplan.Flags{OutgoingInternal: true, OutgoingExternal: true, IncomingInternal: true, IncomingExternal: true}
	if u["call_record_enabled"] != true || flags() != all {
		t.Errorf("created with %+v: %v", flags(), u)
	}
	w.want(t, w.ask(t, "PUT", path, `{"call_record_incoming_external_enabled": false}`), 204)
	w.want(t, w.ask(t, "GET", path, ""), 200, `"call_record_enabled":false`, `"call_record_incoming_internal_enabled":true`)
	w.want(t, w.ask(t, "PUT", path, `{"call_record_enabled": false}`), 204)
	if flags() != (dialplan.Flags{}) {
		t.Errorf("flags %+v", flags())
	}
	for _, one := range []string{"outgoing_internal", "outgoing_external", "incoming_internal", "incoming_external"} {
		body := `{"call_record_enabled": false, "call_record_` + one + `_enabled": false}`
		w.want(t, w.ask(t, "PUT", path, body), 400, "Input Error - call_record_enabled", one)
		w.want(t, w.ask(t, "POST", "/1.1/users", strings.Replace(body, "{", `{"firstname": "B", `, 1)), 400, one)
	}
	// So what GET answers cannot be sent back as it is, but without that key.
	body := confObject(t, w.ask(t, "GET", path, ""))
	data, _ := json.Marshal(body)
	w.want(t, w.ask(t, "PUT", path, string(data)), 400, "call_record_enabled")
	delete(body, "call_record_enabled")
	data, _ = json.Marshal(body)
	w.want(t, w.ask(t, "PUT", path, string(data)), 204)
}

// Row 41: the permission of groups and queues, and beyond Wazo auto_record, go
// round and are false and inherit at first; a change of one leaves the rest.
func TestRow41GroupsAndQueues(t *testing.T) {
	w := newConfWorld(t)
	for _, c := range []struct{ path, key string }{{"/1.1/groups/", "uuid"}, {"/1.1/groups/", "id"}, {"/1.1/queues/", "id"}, {"/1.1/queues/", "uuid"}} {
		exten := fmt.Sprint(len(w.dir.Book().Contents().Groups)+len(w.dir.Book().Contents().Queues)) + "00"
		made := confObject(t, w.want(t, w.ask(t, "POST", strings.TrimSuffix(c.path, "/"),
			`{"name": "s`+exten+`", "label": "Sales", "extensions": [{"exten": "`+exten+`", "context": "users"}]}`), 201,
			`"dtmf_record_toggle":false`, `"auto_record":"inherit"`))
		path := c.path + fmt.Sprint(made[c.key])
		w.want(t, w.ask(t, "PUT", path, `{"dtmf_record_toggle": true, "dtmf_record_callee_enabled": true}`), 204)
		w.want(t, w.ask(t, "GET", path, ""), 200, `"dtmf_record_toggle":true`, `"label":"Sales"`, `"exten":"`+exten+`"`, `"auto_record":"inherit"`)
		w.want(t, w.ask(t, "PUT", path, `{"auto_record": "always"}`), 204)
		w.want(t, w.ask(t, "GET", path, ""), 200, `"dtmf_record_toggle":true`, `"auto_record":"always"`)
		for _, bogus := range []string{`"true"`, `1`, `null`, `{}`} {
			w.want(t, w.ask(t, "PUT", path, `{"dtmf_record_toggle": `+bogus+`}`), 400, "Input Error - dtmf_record_toggle")
		}
		for _, bogus := range []string{`"sometimes"`, `true`, `null`, `""`} {
			w.want(t, w.ask(t, "PUT", path, `{"auto_record": `+bogus+`}`), 400, "Input Error - auto_record")
		}
		w.want(t, w.ask(t, "PUT", path, `{"extensions": []}`), 204)
		w.want(t, w.ask(t, "GET", path, ""), 200, `"extensions":[]`)
	}
	trunk := confObject(t, w.want(t, w.ask(t, "POST", "/1.1/trunks", `{"endpoint": "PJSIP/provider"}`), 201, `"auto_record":"inherit"`))
	w.want(t, w.ask(t, "PUT", "/1.1/trunks/"+trunk["uuid"].(string), `{"auto_record": "never"}`), 204)
	if who := w.dir.Book().Party("PJSIP/provider"); who.TrunkAuto != dialplan.AutoNever {
		t.Errorf("the trunk's party is %+v", who)
	}
	w.want(t, w.ask(t, "GET", "/1.1/queues/abc", ""), 404, "<!doctype html>")
}

// Row 42: *26 is found, switched and renumbered by the master tenant alone.
func TestRow42FeatureExtensions(t *testing.T) {
	w := newConfWorld(t)
	list := w.want(t, w.ask(t, "GET", "/1.1/extensions/features?feature=callrecord", ""), 200, `"total":1`, `"exten":"*26"`, `"rel":"extensions_features"`)
	var page struct {
		Items []struct{ UUID, Feature string } `json:"items"`
	}
	if err := json.Unmarshal([]byte(list.body), &page); err != nil || page.Items[0].Feature != dialplan.FeatureSwitch {
		t.Fatal(list.body)
	}
	path := "/1.1/extensions/features/" + page.Items[0].UUID
	w.want(t, w.ask(t, "GET", "/1.1/extensions/features?search=call", ""), 200, `"total":1`)
	w.want(t, w.ask(t, "GET", "/1.1/extensions/features?feature=call", ""), 200, `"total":0`)
	for _, on := range []string{`false`, `"true"`, `"0"`, `1`} { // lenient
		w.want(t, w.ask(t, "PUT", path, `{"enabled": `+on+`}`), 204)
		want := strings.Contains(on, "1") || strings.Contains(on, "true")
		if f, _ := w.dir.Book().Feature(dialplan.FeatureSwitch); f.Enabled != want || f.Exten != "*26" {
			t.Errorf("%s: %+v", on, f)
		}
	}
	for _, bogus := range []string{`{"enabled": null}`, `{"enabled": "invalid"}`, `{"enabled": []}`, `{"enabled": {}}`, `{"exten": "abc"}`, `{"exten": null}`, `{"exten": ""}`, `5`} {
		w.want(t, w.ask(t, "PUT", path, bogus), 400, "Input Error - ")
	}
	w.want(t, w.ask(t, "PUT", path, `{"exten": "*81"}`), 204)
	w.want(t, w.ask(t, "GET", path, ""), 200, `"exten":"*81"`)
	if _, err := w.dir.CreateGroup(t.Context(), "test", directory.Group{Name: "g", Exten: "*77", Context: "users"}); err != nil {
		t.Fatal(err)
	}
	w.want(t, w.ask(t, "PUT", path, `{"exten": "*77"}`), 400, "Resource Error - FeatureExtension already exists")
	for _, child := range []reply{
		w.ask(t, "GET", "/1.1/extensions/features", "", "X-Auth-Token", "child"),
		w.ask(t, "GET", path, "", "X-Auth-Token", "child"),
		w.ask(t, "PUT", path, `{"enabled": true}`, "X-Auth-Token", "child"),
		w.ask(t, "GET", "/1.1/asterisk/features/applicationmap", "", "X-Auth-Token", "child"),
		w.ask(t, "GET", path, "", "X-Auth-Token", "none"),
		w.ask(t, "GET", path, "", "X-Auth-Token", "unknown"),
	} {
		w.want(t, child, 401, "Unauthorized")
	}
	w.want(t, w.ask(t, "GET", path, "", "Wazo-Tenant", w.child), 200) // the token's own tenant counts
	for _, r := range []reply{w.ask(t, "POST", "/1.1/extensions/features", "{}"), w.ask(t, "DELETE", path, "")} {
		w.want(t, r, 405, `{"message":`)
	}
	w.want(t, w.ask(t, "GET", "/1.1/extensions/features/"+uuid.NewString(), ""), 404, "Resource Not Found - FeatureExtension")
	w.want(t, w.ask(t, "GET", "/1.1/extensions/features/5", ""), 404, "<!doctype html>")
}

// The code of *3 can be chosen; what its press does cannot.
func TestApplicationMap(t *testing.T) {
	w := newConfWorld(t)
	const path = "/1.1/asterisk/features/applicationmap"
	w.want(t, w.ask(t, "GET", path, ""), 200, `{"options":{"togglerecord":"*3,self,UserEvent(CallRecordToggle)"}}`)
	w.want(t, w.ask(t, "PUT", path, `{"options": {"togglerecord": "*5,self,UserEvent(CallRecordToggle)"}}`), 204)
	w.want(t, w.ask(t, "GET", path, ""), 200, `"*5,self,`)
	for _, bogus := range []string{
		``, `{}`, `{"options": null}`, `{"options": {}}`, `{"options": []}`, `{"options": {"togglerecord": null}}`, `{"options": {"togglerecord": 5}}`,
		`{"options": {"togglerecord": "*5"}}`, `{"options": {"togglerecord": ""}}`, `{"options": {"togglerecord": "*5,self,System(reboot)"}}`,
		`{"options": {"togglerecord": ",self,UserEvent(CallRecordToggle)"}}`, `{"options": {"togglerecord": "a b,self,UserEvent(CallRecordToggle)"}}`,
		`{"options": {"togglerecord": "` + strings.Repeat("5", 300) + `"}}`,
		`{"options": {"togglerecord": "*5,self,UserEvent(CallRecordToggle)", "other": "*6,self,NoOp"}}`,
	} {
		w.want(t, w.ask(t, "PUT", path, bogus), 400, "Input Error")
	}
	w.toggle.err = fmt.Errorf("%w: elsewhere", ErrToggleFixed)
	w.want(t, w.ask(t, "PUT", path, `{"options": {"togglerecord": "*6,self,UserEvent(CallRecordToggle)"}}`), 400, "Resource Error")
	if w.toggle.code != "*5" {
		t.Errorf("the code is %s", w.toggle.code)
	}
}

// Lists: search without regard to accents, order, direction, limit, offset,
// exact filters, and the tenants below.
func TestConfdLists(t *testing.T) {
	w := newConfWorld(t)
	for i, name := range []string{"Zoë Arc", "adam Bolt", "Émile Čech", "Bea Doe", "Carl Éon"} {
		first, last, _ := strings.Cut(name, " ")
		u := directory.User{FirstName: first, LastName: last, Lines: []directory.Line{{Endpoint: fmt.Sprintf("PJSIP/%d", i), Exten: fmt.Sprint(1000 + i), Context: "users"}}}
		if i == 4 {
			u.TenantUUID = w.child
		}
		if _, err := w.dir.CreateUser(t.Context(), "test", u); err != nil {
			t.Fatal(err)
		}
	}
	list := func(query string, headers ...string) string {
		t.Helper()
		r := w.want(t, w.ask(t, "GET", "/1.1/users"+query, "", headers...), 200)
		var page struct {
			Total int `json:"total"`
			Items []struct {
				FirstName string           `json:"firstname"`
				Links     []map[string]any `json:"links"`
			} `json:"items"`
		}
		if err := json.Unmarshal([]byte(r.body), &page); err != nil {
			t.Fatalf("%v: %s", err, r.body)
		}
		out := []string{fmt.Sprint(page.Total)}
		for _, u := range page.Items {
			out = append(out, u.FirstName)
			if len(u.Links) != 1 {
				t.Errorf("links %v", u.Links)
			}
		}
		return strings.Join(out, " ")
	}
	for _, c := range []struct{ query, want string }{
		{"", "4 adam Bea Émile Zoë"},
		{"?direction=desc", "4 Zoë Émile Bea adam"},
		{"?order=lastname", "4 Zoë adam Émile Bea"},
		{"?order=id&direction=desc&limit=2&offset=1", "4 Émile adam"},
		{"?offset=9", "4"},
		{"?search=EMILE", "1 Émile"},
		{"?search=zo%C3%AB%20a", "1 Zoë"},
		{"?search=cech", "1 Émile"},
		{"?search=100&limit=1", "4 adam"},
		{"?search=nobody", "0"},
		{"?exten=1001", "1 adam"},
		{"?firstname=Adam", "0"},
		{"?recurse=true&search=eon", "1 Carl"},
		{"?recurse=True", "5 adam Bea Carl Émile Zoë"},
		{"?recurse=False&unknown=5", "4 adam Bea Émile Zoë"},
	} {
		if got := list(c.query); got != c.want {
			t.Errorf("%s: %s, want %s", c.query, got, c.want)
		}
	}
	if got := list("", "Wazo-Tenant", w.child); got != "1 Carl" {
		t.Errorf("the tenant below: %s", got)
	}
	if got := list("?recurse=true", "X-Auth-Token", "child"); got != "1 Carl" {
		t.Errorf("of the tenant below: %s", got)
	}
	for _, bogus := range []string{"limit=0", "limit=-1", "limit=x", "offset=-1", "order=flags", "order=", "direction=up", "recurse=maybe"} {
		w.want(t, w.ask(t, "GET", "/1.1/users?"+bogus, ""), 400, "Input Error - "+strings.Split(bogus, "=")[0])
	}
	// Item routes see the tenant and those below, and nobody else's.
	var top, below directory.User
	for _, u := range w.dir.Book().Contents().Users {
		if u.TenantUUID == w.child {
			below = u
		} else {
			top = u
		}
	}
	w.want(t, w.ask(t, "PUT", "/1.1/users/"+below.UUID, `{"lastname": "Eon"}`), 204)
	for _, method := range []string{"GET", "PUT", "DELETE"} {
		w.want(t, w.ask(t, method, "/1.1/users/"+top.UUID, "{}", "X-Auth-Token", "child"), 404, "Resource Not Found")
	}
	// A change is in the next list, of every order.
	if got := list("?recurse=true&order=lastname&direction=desc&limit=1"); got != "5 Carl" {
		t.Errorf("after the change: %s", got)
	}
	made := confObject(t, w.ask(t, "POST", "/1.1/users", `{"firstname": "Below"}`, "Wazo-Tenant", w.child))
	if made["tenant_uuid"] != w.child {
		t.Errorf("made %v", made)
	}
	w.want(t, w.ask(t, "GET", "/1.1/users", "", "Wazo-Tenant", uuid.NewString()), 401, "Unauthorized")
}

// FuzzConfBody: whatever is sent, the answer is one that clients know, and what
// is refused changes nothing.
func FuzzConfBody(f *testing.F) {
	for _, seed := range []string{`{"call_record_enabled": true}`, `{"lines": [{"name": "x"}]}`, `{"firstname": "\u0000"}`, `[]`, `{"extensions": [{}]}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		b, err := readConf(httptest.NewRecorder(), httptest.NewRequest("PUT", "/", bytes.NewReader([]byte(body))))
		if err != nil {
			return
		}
		var u directory.User
		applyConfUser(b, &u)
		if err := b.problem(); err == nil && dialplan.Lit(u.Flags) && !strings.Contains(body, "true") {
			t.Errorf("%s has switched rules on: %+v", body, u)
		}
	})
}
