package api

import (
	"context"
	"iter"
	"net/http"
	"strings"
	"testing"

	"callrecordd/internal/auth"
)

// tenantless are the rows whose answer no tenant changes, and why.
func tenantless() map[string]string {
	return map[string]string{
		"call-logd GET /status":                             "how the parts are",
		"calld GET /status":                                 "how the parts are",
		"confd GET /status":                                 "how the parts are",
		"confd GET /infos":                                  "the version",
		"webhookd GET /status":                              "how the parts are",
		"webhookd GET /subscriptions/services":              "the same for everybody",
		"call-logd GET /events":                             "looked up anew for each event (TestEventStream)",
		"websocketd GET /":                                  "looked up anew for each event (TestWebsocketd)",
		"auth GET /users/me/tokens":                         "the token's own",
		"auth DELETE /users/me/tokens/{client_id}":          "the token's own",
		"calld GET /users/me/calls":                         "the token's own, in whatever tenant",
		"calld PUT /users/me/calls/{call_id}/record/start":  "the token's own, in whatever tenant",
		"calld PUT /users/me/calls/{call_id}/record/stop":   "the token's own, in whatever tenant",
		"calld PUT /users/me/calls/{call_id}/record/pause":  "the token's own, in whatever tenant",
		"calld PUT /users/me/calls/{call_id}/record/resume": "the token's own, in whatever tenant",
		"call-logd GET /users/me/cdr":                       "the token's own, in whatever tenant",
		"call-logd GET /users/me/cdr/{cdr_id:int}/recordings/{recording_uuid:uuid}/media":       "the token's own, in whatever tenant",
		"call-logd POST /users/me/cdr/{cdr_id:int}/recordings/{recording_uuid:uuid}/media/link": "the token's own, in whatever tenant",
	}
}

// anyToken takes the ACL check away: whoever has a token may do everything.
type anyToken struct{ Tokens }

func (a anyToken) Check(ctx context.Context, secret string) (auth.Token, error) {
	t, err := a.Tokens.Check(ctx, secret)
	return auth.Token{ID: t.ID, TenantUUID: t.TenantUUID, AuthID: t.AuthID, UserUUID: t.UserUUID, ACL: []string{"#"}}, err
}

// noToken takes the check of tokens away.
type noToken struct {
	Tokens
	tenant string
}

func (a noToken) Check(context.Context, string) (auth.Token, error) {
	return auth.Token{TenantUUID: a.tenant, ACL: []string{"#"}}, nil
}

// everything takes the tenants' borders away.
type everything struct {
	Tenants
	all []string
}

func (e everything) Visible(string) []string { return e.all }

func first(findings iter.Seq[string]) string {
	for text := range findings {
		return text
	}
	return ""
}

// Shows 3 of issue 6: each check of the route table is taken away, one at a
// time, and the matrices must find the hole. So nobody can remove one, or
// forget it for a new route, unseen.
func TestMatricesFindADroppedCheck(t *testing.T) {
	all := newMatrix(t)
	all.formats = map[string]string{"JSON": "application/json"}
	left, holes := tenantless(), 0
	found := func(what string, rt route, findings iter.Seq[string]) {
		t.Helper()
		holes++
		if first(findings) == "" {
			t.Errorf("%s %s %s: nothing tells that %s", rt.service, rt.method, rt.path, what)
		}
	}
	for i, rt := range guarded(all.server.routes()) {
		m := all
		acl := func(route) string { return rt.acl }
		open, weak, query, anybody := rt, rt, rt, rt
		open.acl, weak.acl, query.queryToken, anybody.master = "", "other.thing", true, false
		found("it needs no token", rt, m.aclFindings([]route{open}, acl))
		found("its ACL is another", rt, m.aclFindings([]route{weak}, acl))
		if !rt.queryToken {
			found("a token in the query counts", rt, m.aclFindings([]route{query}, acl))
		}
		if rt.master {
			found("it is not for the master tenant alone", rt, m.tenantFindings([]route{anybody}))
			continue
		}
		name := string(rt.service) + " " + rt.method + " " + rt.path
		if left[name] != "" {
			delete(left, name)
			continue
		}
		if strings.HasSuffix(rt.path, "/sessions/{session:uuid}") {
			// The answer does not tell: only the sessions that are gone do, and
			// those of everybody are gone then.
			m = newMatrix(t)
			m.formats = all.formats
			rt = guarded(m.server.routes())[i]
		}
		wide := rt
		wide.handle = func(w http.ResponseWriter, r *http.Request, rc request) error {
			rc.tenant, rc.visible = m.tenants["side"], nil
			for _, name := range []string{"master", "top", "mid", "low", "side"} {
				rc.visible = append(rc.visible, m.tenants[name])
			}
			return rt.handle(w, r, rc)
		}
		found("its tenants are all", rt, m.tenantFindings([]route{wide}))
	}
	for name := range left {
		t.Errorf("%s is listed as without tenants, and is no route", name)
	}
	t.Logf("%d holes were made and found", holes)
}

// The checks that all routes share are taken away as well, where they come from.
func TestMatricesFindADroppedSharedCheck(t *testing.T) {
	acl := func(rt route) string { return rt.acl }
	for what, drop := range map[string]func(m *matrix, s *Server){
		"tokens are not looked at": func(m *matrix, s *Server) { s.tokens = noToken{s.tokens, m.tenants["mid"]} },
		"ACLs are not looked at":   func(_ *matrix, s *Server) { s.tokens = anyToken{s.tokens} },
		"every tenant sees every other": func(m *matrix, s *Server) {
			s.tenants = everything{s.tenants, treeOf{m.dir}.Visible(m.tenants["master"])}
		},
	} {
		t.Run(what, func(t *testing.T) {
			m := newMatrix(t)
			m.formats = map[string]string{"JSON": "application/json"}
			rows := guarded(m.server.routes())
			drop(m, m.server)
			if first(m.aclFindings(rows, acl)) == "" && first(m.tenantFindings(rows)) == "" {
				t.Error("nothing tells")
			}
		})
	}
}
