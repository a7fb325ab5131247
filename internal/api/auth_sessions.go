package api

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"callrecordd/internal/auth"
)

func pageParams() []param {
	return []param{
		{name: "limit", kind: integer, about: "How many at most; 0, the default, is no limit."},
		{name: "offset", kind: integer, about: "How many to leave out."},
		{name: "order", kind: text, about: "The field to sort by."},
		{name: "direction", kind: text, choices: []string{"asc", "desc"}, about: "How to sort; asc is the default."},
		{name: "search", kind: text, about: "Only those that have this text in them."},
	}
}

func recurseParam() param {
	return param{name: "recurse", kind: boolean, about: "The tenants below as well."}
}

func refreshParams() []param {
	return append(pageParams(), param{name: "client_id", kind: text, about: "Only of this client."},
		param{name: "mobile", kind: boolean, about: "Only those of mobiles, or of all others."})
}

// scope is the tenants that a list shows.
func (rc request) scope(recurse bool) []string {
	if recurse {
		return rc.visible
	}
	return []string{rc.tenant}
}

// by is who asks for a change, and what they can give.
func (rc request) by() auth.Actor {
	return auth.Actor{Name: rc.token.AuthID, Access: rc.token.Access()}
}

type refreshList struct {
	Total    int           `json:"total"`
	Filtered int           `json:"filtered"`
	Items    []refreshJSON `json:"items"`
}

type refreshJSON struct {
	ClientID   string         `json:"client_id"`
	CreatedAt  string         `json:"created_at"`
	Mobile     bool           `json:"mobile"`
	UserUUID   string         `json:"user_uuid"`
	TenantUUID string         `json:"tenant_uuid"`
	Metadata   map[string]any `json:"metadata"`
}

func (s *Server) listRefresh(w http.ResponseWriter, r *http.Request, rc request) error {
	p := newParams(r.URL.Query())
	tenants := rc.scope(p.boolean("recurse", false))
	accounts, _ := s.accounts.Accounts.List(auth.AccountFilter{Tenants: tenants})
	var uuids []string
	for _, a := range accounts {
		uuids = append(uuids, a.UUID)
	}
	return s.writeRefresh(w, r, p, uuids)
}

func (s *Server) listMyRefresh(w http.ResponseWriter, r *http.Request, rc request) error {
	return s.writeRefresh(w, r, newParams(r.URL.Query()), []string{rc.token.AuthID})
}

func (s *Server) listUserRefresh(w http.ResponseWriter, r *http.Request, rc request) error {
	a, err := s.account(r, rc)
	if err != nil {
		return err
	}
	return s.writeRefresh(w, r, newParams(r.URL.Query()), []string{a.UUID})
}

func (s *Server) writeRefresh(w http.ResponseWriter, r *http.Request, p *params, accounts []string) error {
	l := readListing(p, "created_at", "client_id", "mobile")
	client, mobile := p.values.Get("client_id"), p.boolean("mobile", false)
	if err := p.listProblem(); err != nil {
		return err
	}
	list, err := s.accounts.Accounts.Refreshes(r.Context(), accounts)
	if err != nil {
		return err
	}
	out := refreshList{Total: len(list), Items: []refreshJSON{}}
	list = slices.DeleteFunc(list, func(v auth.Refresh) bool {
		return client != "" && v.ClientID != client || p.values.Has("mobile") && v.Mobile != mobile ||
			!strings.Contains(strings.ToLower(v.ClientID), strings.ToLower(l.search))
	})
	out.Filtered = len(list)
	for _, v := range cut(list, l, refreshOrder(l.order)) {
		out.Items = append(out.Items, refreshJSON{
			ClientID: v.ClientID, CreatedAt: *timestamp(v.CreatedAt), Mobile: v.Mobile, UserUUID: v.AccountUUID,
			TenantUUID: v.TenantUUID, Metadata: map[string]any{},
		})
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

func refreshOrder(field string) func(a, b auth.Refresh) int {
	return func(a, b auth.Refresh) int {
		switch field {
		case "client_id":
			return strings.Compare(a.ClientID, b.ClientID)
		case "mobile":
			return cmp.Compare(number(a.Mobile), number(b.Mobile))
		}
		return a.CreatedAt.Compare(b.CreatedAt)
	}
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (s *Server) deleteMyRefresh(w http.ResponseWriter, r *http.Request, rc request) error {
	return s.dropRefresh(w, r, rc, rc.token.AuthID)
}

func (s *Server) deleteUserRefresh(w http.ResponseWriter, r *http.Request, rc request) error {
	a, err := s.account(r, rc)
	if err != nil {
		return err
	}
	return s.dropRefresh(w, r, rc, a.UUID)
}

func (s *Server) dropRefresh(w http.ResponseWriter, r *http.Request, rc request, account string) error {
	client := r.PathValue("client_id")
	err := s.accounts.Accounts.DeleteRefresh(r.Context(), rc.by(), account, client)
	if errors.Is(err, auth.ErrNotFound) {
		return &about{problem{
			status: http.StatusNotFound, id: "cannot-find-refresh-token-matching-client-id",
			message: "unknown refresh_token for client_id \"" + client + "\"", details: map[string]any{"client_id": client},
		}, "tokens"}
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

type sessionList struct {
	Items    []sessionJSON `json:"items"`
	Total    int           `json:"total"`
	Filtered int           `json:"filtered"`
}

type sessionJSON struct {
	UUID       string  `json:"uuid"`
	UserUUID   string  `json:"user_uuid"`
	TenantUUID string  `json:"tenant_uuid"`
	Mobile     bool    `json:"mobile"`
	CreatedAt  string  `json:"created_at"`
	ExpiresAt  *string `json:"expires_at"`
	RemoteAddr string  `json:"remote_addr"`
	UserAgent  string  `json:"user_agent"`
}

func (s *Server) listSessions(w http.ResponseWriter, r *http.Request, rc request) error {
	p := newParams(r.URL.Query())
	return s.writeSessions(w, r, p, "", rc.scope(p.boolean("recurse", false)))
}

func (s *Server) listUserSessions(w http.ResponseWriter, r *http.Request, rc request) error {
	a, err := s.account(r, rc)
	if err != nil {
		return err
	}
	return s.writeSessions(w, r, newParams(r.URL.Query()), a.UUID, nil)
}

func (s *Server) writeSessions(w http.ResponseWriter, r *http.Request, p *params, account string, tenants []string) error {
	l := readListing(p)
	if err := p.listProblem(); err != nil {
		return err
	}
	list, err := s.accounts.Accounts.Sessions(r.Context(), account, tenants)
	if err != nil {
		return err
	}
	out := sessionList{Items: []sessionJSON{}, Total: len(list), Filtered: len(list)}
	for _, t := range cut(list, l, func(a, b auth.Token) int { return a.CreatedAt.Compare(b.CreatedAt) }) {
		out.Items = append(out.Items, sessionJSON{
			UUID: t.ID, UserUUID: t.AuthID, TenantUUID: t.TenantUUID, Mobile: t.Mobile, CreatedAt: *timestamp(t.CreatedAt),
			ExpiresAt: timestamp(t.ExpiresAt.Truncate(time.Second)), RemoteAddr: t.RemoteAddr, UserAgent: t.UserAgent,
		})
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

func (s *Server) deleteSession(w http.ResponseWriter, r *http.Request, rc request) error {
	return s.endSession(w, r, rc, "", rc.visible)
}

func (s *Server) deleteUserSession(w http.ResponseWriter, r *http.Request, rc request) error {
	a, err := s.account(r, rc)
	if err != nil {
		return err
	}
	return s.endSession(w, r, rc, a.UUID, nil)
}

// endSession is content with a session that has ended already, as upstream is.
func (s *Server) endSession(w http.ResponseWriter, r *http.Request, rc request, account string, tenants []string) error {
	err := s.accounts.Accounts.EndSession(r.Context(), rc.by(), account, strings.ToLower(r.PathValue("session")), tenants)
	if err != nil && !errors.Is(err, auth.ErrNotFound) {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
