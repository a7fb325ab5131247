package api

import (
	"fmt"
	"iter"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"callrecordd/internal/auth"
)

// matrix sends what the rows of a route table must refuse, and finds what they
// do not. It is a value of its own so that TestMatricesFindADroppedCheck can
// give it tables with a hole.
type matrix struct {
	*town
	all     map[string]things // by tenant
	formats map[string]string
	made    int // objects that requests have tried to make
}

// formats are what clients ask for.
func formats() map[string]string {
	return map[string]string{"JSON": "application/json", "CSV": "text/csv; charset=utf-8", "media": "audio/wav", "export": "*/*"}
}

func newMatrix(t *testing.T) *matrix {
	t.Helper()
	cdrs := &matrixCDRs{}
	m := &matrix{town: newTown(t, CallLogd, cdrs), all: map[string]things{}, formats: formats()}
	m.feed.Close() // streams end with what there is
	for _, tenant := range []string{"master", "top", "mid", "low", "side"} {
		m.all[tenant] = m.furnish(tenant, cdrs)
	}
	m.tenants["unknown"] = uuid.NewString()
	return m
}

// send is one request to a handler. A panic is an answer as well: 599.
func (m *matrix) send(h http.Handler, method, path, body string, headers ...string) (out reply) {
	defer func() {
		if p := recover(); p != nil {
			out = reply{599, http.Header{}, fmt.Sprint(p)}
		}
	}()
	req := httptest.NewRequestWithContext(m.t.Context(), method, path, strings.NewReader(body))
	for pair := range slices.Chunk(headers, 2) {
		if pair[1] != "" {
			req.Header.Set(pair[0], pair[1])
		}
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	return reply{rec.Code, rec.Header(), rec.Body.String()}
}

// body is what makes a route without anything in its path do something. A new
// one that makes objects stands here, or its tenant is not looked at.
func (m *matrix) body(rt route, x things) string {
	m.made++
	switch string(rt.service) + " " + rt.method + " " + rt.path {
	case "auth POST /users":
		return fmt.Sprintf(`{"username": "made-%d"}`, m.made)
	case "auth PUT /users/{user:uuid}":
		return fmt.Sprintf(`{"username": "stolen-%d"}`, m.made)
	case "auth PUT /users/{user:uuid}/password":
		return `{"old_password": "pw", "new_password": "stolen"}`
	case "auth POST /policies", "auth POST /tenants", "auth PUT /policies/{policy:ref}":
		return fmt.Sprintf(`{"name": "made-%d"}`, m.made)
	case "confd POST /users":
		return fmt.Sprintf(`{"firstname": "made-%d"}`, m.made)
	case "confd POST /groups", "confd POST /queues":
		return fmt.Sprintf(`{"name": "made-%d"}`, m.made)
	case "confd POST /trunks":
		return fmt.Sprintf(`{"endpoint": "PJSIP/made-%d"}`, m.made)
	case "call-logd DELETE /cdr/recordings/media":
		return `{"cdr_ids": [` + x.values["cdr_id"] + `]}`
	case "webhookd POST /subscriptions", "webhookd PUT /subscriptions/{subscription_uuid:uuid}":
		return fmt.Sprintf(`{"name": "made-%d", "service": "http", "events": ["x"], "config": {"url": "https://a.example", "method": "post"}}`, m.made)
	case "confd PUT /recordings/announcements":
		return `{"recording_start": "stolen"}`
	case "call-logd PUT /cdr/{cdr_id:int}/hold":
		return `{"reason": "x"}`
	}
	return `{}`
}

// tenantFindings are what is not as it must be if a token of mid names each
// tenant in each format, about the things of each: what is not its own or below
// it is refused, and of what is not, nothing shows and nothing changes.
func (m *matrix) tenantFindings(rows []route) iter.Seq[string] {
	relations := map[string]string{"none": "", "own": "mid", "child": "low", "sibling": "side", "parent": "top", "grandparent": "master", "unknown": "unknown"}
	visible := map[string][]string{"": {"mid", "low"}, "mid": {"mid", "low"}, "low": {"low"}}
	token := m.hostToken("mid", "#", "call_logd.#")
	h := m.server.handlerOf("", rows)
	return func(yield func(string) bool) {
		before := m.harm()
		for _, rt := range rows {
			if rt.acl == "" {
				continue
			}
			for relation, format := range pairs(relations, m.formats) {
				tenant := relations[relation]
				for _, owner := range slices.Sorted(maps.Keys(m.all)) {
					name := fmt.Sprintf("%s %s %s, %s tenant, %s, thing of %s", rt.service, rt.method, rt.path, relation, format, owner)
					for _, text := range m.ask1(h, rt, m.all[owner], token, tenant, m.formats[format], visible[tenant], owner) {
						if !yield(name + ": " + text) {
							return
						}
					}
				}
			}
		}
		for _, text := range m.harm() {
			if !slices.Contains(before, text) && !yield("was changed: "+text) {
				return
			}
		}
	}
}

// pairs are all pairs of two sets of names, always in the same order.
func pairs(a, b map[string]string) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for _, x := range slices.Sorted(maps.Keys(a)) {
			for _, y := range slices.Sorted(maps.Keys(b)) {
				if !yield(x, y) {
					return
				}
			}
		}
	}
}

// ask1 sends one request of the tenant matrix, by header, and by query where
// that counts, and returns what is wrong with the answers.
func (m *matrix) ask1(h http.Handler, rt route, x things, token, tenant, accept string, visible []string, owner string) (wrong []string) {
	// What changes something is only tried where it must not.
	seen := slices.Contains(visible, owner)
	if seen && rt.method != http.MethodGet {
		return nil
	}
	path := x.path(m.t, rt) + "?recurse=true"
	m.keep.query = Query{}
	answers := []reply{m.send(h, rt.method, path, m.body(rt, x), "X-Auth-Token", token, "Accept", accept, "Wazo-Tenant", m.tenants[tenant])}
	if rt.queryTenant && tenant != "" {
		answers = append(answers, m.send(h, rt.method, path+"&tenant="+m.tenants[tenant], "", "X-Auth-Token", token, "Accept", accept))
	}
	for _, got := range answers {
		refused := visible == nil || masterOnly(rt)
		if (got.status == http.StatusUnauthorized) != refused && (refused || got.status != http.StatusNotFound) {
			wrong = append(wrong, fmt.Sprintf("%d %s", got.status, got.body))
		}
		if !seen && m.names(rt) && harmful(got.status, rt) {
			wrong = append(wrong, fmt.Sprintf("%d %s", got.status, got.body))
		}
		for _, other := range slices.Sorted(maps.Keys(m.all)) {
			if slices.Contains(visible, other) {
				continue
			}
			if slices.Contains(m.keep.query.Tenants, m.tenants[other]) {
				wrong = append(wrong, "exports from "+other)
			}
			for _, mark := range m.all[other].marks {
				// A tenant says what it is below of, and no more.
				body := strings.ReplaceAll(got.body, `"parent_uuid":"`+mark+`"`, "")
				if rt.path == "/tenants" && rt.method == http.MethodPost {
					body = got.body // it makes one below the tenant
				}
				if strings.Contains(body, mark) && !strings.Contains(path, mark) && mark != m.tenants[tenant] {
					wrong = append(wrong, fmt.Sprintf("shows %s of %s: %s", mark, other, got.body))
				}
			}
		}
	}
	return wrong
}

// names says whether the request is about a thing of a tenant's.
func (m *matrix) names(rt route) bool {
	if rt.service == CallLogd && rt.path == "/cdr/recordings/media" {
		return true
	}
	// Somebody who is nobody's has a list of calls, an empty one.
	return slices.ContainsFunc(rt.values(), func(v pathValue) bool { return v.name != "user_uuid" })
}

// harmful says whether an answer about a thing that is not visible is another
// than that it is not there. To end a session that is not there is no error.
func harmful(status int, rt route) bool {
	if strings.HasSuffix(rt.path, "/sessions/{session:uuid}") && status == http.StatusNoContent {
		return false
	}
	return status < 400 || status == http.StatusForbidden && !strings.HasPrefix(rt.path, "/users/me/") || status == http.StatusConflict
}

// harm is what became of other tenants: it must say the same before and after.
func (m *matrix) harm() (out []string) {
	note := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if len(m.keep.removed) > 0 || len(m.keep.holds) != len(m.all) {
		note("removed %v, held %v", m.keep.removed, m.keep.holds)
	}
	for _, owner := range []string{"master", "side", "top"} {
		x := m.all[owner].values
		tenant, _ := m.dir.Book().Tenant(m.tenants[owner])
		note("the tenant is %+v", tenant)
		if p := m.keep.policies[m.tenants[owner]]; p.CDRDays == nil {
			note("retention of %s: %+v", owner, p)
		}
		if a, err := m.accounts.Get(x["user"]); err != nil || !slices.Contains(a.Policies, x["policy"]) {
			note("account of %s: %+v, %v", owner, a, err)
		}
		if p, err := m.accounts.Policy(x["policy"], nil); err != nil || len(p.ACL) != 2 {
			note("policy of %s: %+v, %v", owner, p, err)
		}
		if list, err := m.accounts.Sessions(m.t.Context(), x["user"], nil); err != nil || len(list) != 1 {
			note("sessions of %s: %v, %v", owner, list, err)
		}
		if list, err := m.accounts.Refreshes(m.t.Context(), []string{x["user"]}); err != nil || len(list) != 1 {
			note("refresh tokens of %s: %v, %v", owner, list, err)
		}
	}
	return out
}

// aclFindings are the rows that a token may use that may do everything but
// that, a token of something else, no token or one that is none; or that the
// right token may not read; or that take a token from the query.
func (m *matrix) aclFindings(rows []route, access func(rt route) string) iter.Seq[string] {
	x := m.all["master"]
	h := m.server.handlerOf("", rows)
	return func(yield func(string) bool) {
		for _, rt := range rows {
			required := access(rt)
			for name, value := range x.values {
				required = strings.ReplaceAll(required, "{"+name+"}", auth.EscapeWord(value))
			}
			path := x.path(m.t, rt)
			name := fmt.Sprintf("%s %s", rt.method, path)
			for _, lacks := range []func() string{
				func() string { return m.hostToken("master", "#", "call_logd.#", "!"+required) },
				func() string { return m.hostToken("master", required+".more", "other.#") },
				func() string { return "" }, uuid.NewString,
			} {
				token := lacks()
				if got := m.send(h, rt.method, path, "{}", "X-Auth-Token", token); got.status != http.StatusUnauthorized &&
					!yield(fmt.Sprintf("%s with a token that lacks %s: %d %s", name, required, got.status, got.body)) {
					return
				}
			}
			if !tokenInQuery(rt) {
				if got := m.send(h, rt.method, path+"?token="+m.hostToken("master", "#", "call_logd.#"), "{}"); got.status != http.StatusUnauthorized &&
					!yield(fmt.Sprintf("%s with a token in the query: %d %s", name, got.status, got.body)) {
					return
				}
			}
			if rt.method == http.MethodGet {
				if got := m.send(h, rt.method, path, "", "X-Auth-Token", m.hostToken("master", required)); got.status >= 400 &&
					(got.status != http.StatusNotFound || !strings.Contains(rt.path, "/users/me/")) && // the call is not the token's user's
					got.status != http.StatusUpgradeRequired && // it is no websocket
					!yield(fmt.Sprintf("%s with a token that has %s: %d %s", name, required, got.status, got.body)) {
					return
				}
			}
		}
	}
}

// masterOnly and tokenInQuery are what auth-and-clients 1.10, 1.12 and 3 say of
// the rows; the table must agree. Browsers can send no header with a stream.
func masterOnly(rt route) bool {
	return rt.path == "/config" || rt.path == "/metrics" || strings.HasPrefix(rt.path, "/extensions/features") || strings.HasPrefix(rt.path, "/asterisk/")
}

func tokenInQuery(rt route) bool {
	return rt.service == Websocketd && rt.path == "/" || rt.service == CallLogd && rt.method == http.MethodGet && slices.Contains([]string{
		"/cdr", "/events", "/users/{user_uuid:uuid}/cdr", "/users/me/cdr", "/exports/{export_uuid:uuid}/download",
		"/cdr/{cdr_id:int}/recordings/{recording_uuid:uuid}/media",
	}, rt.path)
}

// guarded are the rows that need a token.
func guarded(rows []route) []route {
	return slices.DeleteFunc(slices.Clone(rows), func(rt route) bool { return rt.acl == "" })
}

// TestTenantMatrix sends every route of the table, with each tenant that a
// token of mid may name, in each format. New rows are in it by themselves.
func TestTenantMatrix(t *testing.T) {
	m := newMatrix(t)
	for text := range m.tenantFindings(m.server.routes()) {
		t.Error(text)
	}
}

// TestACLMatrix sends every route with tokens that may not.
func TestACLMatrix(t *testing.T) {
	m := newMatrix(t)
	for text := range m.aclFindings(guarded(m.server.routes()), func(rt route) string { return rt.acl }) {
		t.Error(text)
	}
}
