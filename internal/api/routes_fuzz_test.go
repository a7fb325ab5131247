package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// FuzzEveryRoute: whatever query and body a route of any service gets, from one
// who may do everything, the answer is none of a fault, and what says that it is
// JSON is JSON. Parameters and bodies of new rows are in it by themselves.
func FuzzEveryRoute(f *testing.F) {
	cdrs := &matrixCDRs{}
	w := newTown(f, CallLogd, cdrs)
	w.feed.Close() // streams end with what there is
	x := w.furnish("mid", cdrs)
	x.values["token"] = w.hostToken("mid", "call-logd.cdr.read")
	token := w.hostToken("master", "#", "call_logd.#")
	handler := w.server.Handler("")
	routes := w.server.routes()
	for i, rt := range routes {
		var query []string
		for _, p := range rt.query {
			query = append(query, p.name+"=1")
		}
		if data, err := json.Marshal(rt.body); err == nil { // an empty object of its type
			f.Add(uint(i), strings.Join(query, "&"), string(data))
		}
		for _, body := range bodiesOf(rt) {
			f.Add(uint(i), "", body)
		}
	}
	f.Fuzz(func(t *testing.T, n uint, query, body string) {
		rt := routes[n%uint(len(routes))]
		req := httptest.NewRequestWithContext(t.Context(), rt.method, x.path(t, rt), strings.NewReader(body))
		req.URL.RawQuery = query
		req.Header.Set("X-Auth-Token", token)
		out := httptest.NewRecorder()
		handler.ServeHTTP(out, req)
		if out.Code >= http.StatusInternalServerError && !strings.Contains(out.Body.String(), "filesystem-not-found") { // it was removed before
			t.Errorf("%s %s?%s %q: %d %s", rt.method, rt.path, query, body, out.Code, out.Body)
		}
		if out.Header().Get("Content-Type") == "application/json" && rt.method != http.MethodHead && !json.Valid(out.Body.Bytes()) {
			t.Errorf("%s %s?%s %q: %d, no JSON: %s", rt.method, rt.path, query, body, out.Code, out.Body)
		}
	})
}

// bodiesOf are such as clients send to the route.
func bodiesOf(rt route) []string {
	switch {
	case rt.method == http.MethodGet || rt.method == http.MethodHead:
		return nil
	case strings.HasSuffix(rt.path, "/token"):
		return []string{`{"backend": "wazo_user", "expiration": 60, "access_type": "offline", "client_id": "x", "tenant_id": "x"}`, `{"refresh_token": "x", "client_id": "y"}`}
	case strings.Contains(rt.path, "/password"):
		return []string{`{"old_password": "pw", "new_password": ""}`}
	case rt.service == Auth:
		return []string{
			`{"username": "x", "password": "y", "purpose": "user", "enabled": true, "email_address": "a@b.example", "uuid": null, "emails": [{"address": "a@b.example", "main": true}]}`,
			`{"name": "x", "slug": "y", "acl": ["a.#", "!b"], "description": null, "address": {"city": 1}, "phone": "", "parent_uuid": null}`,
		}
	case rt.service == Confd:
		return []string{
			`{"firstname": "x", "lastname": null, "lines": [{"endpoint": "PJSIP/x", "extensions": [{"exten": "1", "context": "c"}]}], "userfield": ""}`,
			`{"name": "x", "label": "y", "call_record_enabled": true, "online_call_record_enabled": false, "call_record_incoming_external_enabled": 1}`,
			`{"exten": "*26", "enabled": true, "options": {"callrecord": "*3"}}`,
		}
	}
	return []string{`{"cdr_ids": [1, 2]}`, `{"reason": "x"}`, `{"cdr_days": 3, "recording_days": null}`, `{"dtmf": "1"}`}
}
