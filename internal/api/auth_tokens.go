package api

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"callrecordd/internal/auth"
)

// loginJSON is the body of a login, for the descriptions.
type loginJSON struct {
	Backend      string `json:"backend,omitempty"`
	Expiration   int    `json:"expiration,omitempty"`
	AccessType   string `json:"access_type,omitempty"`
	ClientID     string `json:"client_id,omitempty"`
	RefreshToken string `json:"refresh_token,omitempty"`
}

type backendsJSON struct {
	Data []string `json:"data"`
}

type messageAnswer struct {
	Data struct {
		Message string `json:"message"`
	} `json:"data"`
}

type scopesJSON struct {
	Scopes     []string `json:"scopes"`
	TenantUUID *string  `json:"tenant_uuid"`
}

type scopesAnswer struct {
	Scopes map[string]bool `json:"scopes"`
}

// tokenAnswer is a token as clients see it (auth-and-clients 1.4).
type tokenAnswer struct {
	Data tokenJSON `json:"data"`
}

type tokenJSON struct {
	Token        string       `json:"token"`
	AuthID       string       `json:"auth_id"`
	XivoUserUUID *string      `json:"xivo_user_uuid"`
	XivoUUID     string       `json:"xivo_uuid"`
	IssuedAt     string       `json:"issued_at"`
	ExpiresAt    *string      `json:"expires_at"`
	UTCIssuedAt  string       `json:"utc_issued_at"`
	UTCExpiresAt *string      `json:"utc_expires_at"`
	ACL          []string     `json:"acl"`
	Metadata     metadataJSON `json:"metadata"`
	SessionUUID  string       `json:"session_uuid"`
	RemoteAddr   string       `json:"remote_addr"`
	UserAgent    string       `json:"user_agent"`
	RefreshToken string       `json:"refresh_token,omitempty"`
}

type metadataJSON struct {
	UUID        string  `json:"uuid"`
	TenantUUID  string  `json:"tenant_uuid"`
	AuthID      string  `json:"auth_id"`
	PBXUserUUID *string `json:"pbx_user_uuid"`
	XivoUUID    string  `json:"xivo_uuid"`
	Purpose     string  `json:"purpose"`
	Admin       bool    `json:"admin"`
}

// tokenTime is a time without zone, with six decimals always.
const tokenTime = "2006-01-02T15:04:05.000000"

func (s *Server) tokenBody(t auth.Token, secret string) tokenAnswer {
	out := tokenJSON{
		Token: secret, AuthID: t.AuthID, XivoUserUUID: orNull(t.UserUUID), XivoUUID: s.accounts.StackUUID,
		IssuedAt: t.CreatedAt.Local().Format(tokenTime), UTCIssuedAt: t.CreatedAt.UTC().Format(tokenTime),
		ACL: t.ACL, SessionUUID: t.ID, RemoteAddr: t.RemoteAddr, UserAgent: t.UserAgent,
		Metadata: metadataJSON{
			UUID: t.AuthID, TenantUUID: t.TenantUUID, AuthID: t.AuthID, PBXUserUUID: orNull(t.UserUUID),
			XivoUUID: s.accounts.StackUUID, Purpose: cmp.Or(t.Purpose, auth.PurposeInternal),
			Admin: s.accounts.Accounts.IsAdmin(t.AuthID),
		},
	}
	if !t.ExpiresAt.IsZero() { // those made on the host may live for ever
		local, utc := t.ExpiresAt.Local().Format(tokenTime), t.ExpiresAt.UTC().Format(tokenTime)
		out.ExpiresAt, out.UTCExpiresAt = &local, &utc
	}
	if out.ACL == nil {
		out.ACL = []string{}
	}
	return tokenAnswer{out}
}

func (s *Server) backends(w http.ResponseWriter, _ *http.Request, _ request) error {
	writeJSON(w, http.StatusOK, backendsJSON{Data: []string{"wazo_user"}})
	return nil
}

// maxLifetime is ten years, in seconds.
const maxLifetime = 315_360_000

// createToken is a login. Tokens and tenants in headers do not matter here: a
// client sends what it has, and an old one must not keep it from a new one.
func (s *Server) createToken(w http.ResponseWriter, r *http.Request, rc request) error {
	l, err := readLogin(w, r, rc.origin.client)
	if err != nil {
		return err
	}
	session, err := s.accounts.Accounts.Login(r.Context(), l)
	if err != nil {
		told := told(err, request{}, "")
		if known, ok := errors.AsType[*reasoned](told); ok {
			s.log.Info("login refused", "login", l.Username, "client_id", l.ClientID, "remote_addr", l.RemoteAddr,
				"user_agent", l.UserAgent, "why", known.reason)
		}
		return told
	}
	s.log.Info("login", "account", session.Token.AuthID, "client_id", l.ClientID, "remote_addr", l.RemoteAddr,
		"user_agent", l.UserAgent, "session", session.Token.ID)
	body := s.tokenBody(session.Token, session.Secret.Reveal())
	body.Data.RefreshToken = session.Refresh.Reveal()
	w.Header().Set("Wazo-Sessions-Revoked", strconv.Itoa(session.Ended))
	writeJSON(w, http.StatusOK, body)
	return nil
}

func readLogin(w http.ResponseWriter, r *http.Request, client string) (auth.Login, error) {
	var l auth.Login
	f, object, err := readObject(w, r)
	switch {
	case err != nil:
		return l, err
	case !object:
		return l, &reasoned{status: http.StatusBadRequest, reason: "{'_schema': ['Invalid input type.']}"}
	}
	f.text("backend", "")
	f.text("tenant_id", "")
	f.text("domain_name", "")
	l.Lifetime = time.Duration(f.number("expiration", 0, 1, maxLifetime)) * time.Second
	l.Offline = f.choice("access_type", "online", "online", "offline") == "offline"
	l.ClientID, l.RefreshToken = f.text("client_id", ""), f.text("refresh_token", "")
	if n := utf8.RuneCountInString(l.ClientID); n > 1024 || n == 0 && f.values["client_id"] != nil {
		f.refuse("client_id", "Length must be between 1 and 1024.", "length", nil)
	}
	if f.wrong != nil {
		return l, &reasoned{status: http.StatusBadRequest, reason: fmt.Sprintf("{'%s': ['%s']}", f.wrong.field, f.wrong.text)}
	}
	for _, rule := range []struct {
		broken bool
		text   string
	}{
		{l.Offline && l.RefreshToken != "", "cannot use the \"access_type\" \"offline\" with a refresh token"},
		{l.Offline && l.ClientID == "", "\"client_id\" must be specified when using \"access_type\" is \"offline\""},
		{l.RefreshToken != "" && l.ClientID == "", "\"client_id\" must be specified when using a \"refresh_token\""},
		{l.RefreshToken != "" && f.text("saml_session_id", "") != "", "cannot use a refresh token with a SAML session"},
	} {
		if rule.broken {
			return l, &reasoned{status: http.StatusBadRequest, reason: "{'_schema': ['" + rule.text + "']}"}
		}
	}
	l.Username, l.Password = basicAuth(r)
	l.Mobile = strings.EqualFold(r.Header.Get("Wazo-Session-Type"), "mobile")
	l.RemoteAddr, l.UserAgent = client, r.UserAgent()
	return l, nil
}

// basicAuth reads user name and password, as UTF-8 or else as Latin-1.
func basicAuth(r *http.Request) (username, password string) {
	encoded, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Basic ")
	if !ok {
		return "", ""
	}
	data, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if err != nil {
		return "", ""
	}
	text := string(data)
	if !utf8.Valid(data) {
		latin := make([]rune, len(data))
		for i, b := range data {
			latin[i] = rune(b)
		}
		text = string(latin)
	}
	username, password, _ = strings.Cut(text, ":")
	return username, password
}

func checkParams() []param {
	return []param{
		{name: "scope", kind: text, about: "An access that it must have."},
		{name: "tenant", kind: uuidText, about: "A tenant that it must reach."},
	}
}

// findToken is the token in the path, if it may do what is asked for.
func (s *Server) findToken(r *http.Request) (auth.Token, error) {
	t, err := s.token(r)
	if err != nil {
		return t, err
	}
	query := r.URL.Query()
	if scope := query.Get("scope"); query.Has("scope") && !t.Allows(scope) {
		return t, &reasoned{status: http.StatusForbidden, reason: "Unauthorized for " + scope}
	}
	if tenant := query.Get("tenant"); tenant != "" && !slices.Contains(s.tenants.Visible(t.TenantUUID), tenant) {
		return t, &reasoned{status: http.StatusForbidden, reason: "Unauthorized for tenant " + tenant}
	}
	return t, nil
}

func (s *Server) token(r *http.Request) (auth.Token, error) {
	t, err := s.accounts.Tokens.Check(r.Context(), strings.ToLower(r.PathValue("token")))
	if errors.Is(err, auth.ErrInvalidToken) {
		return t, &reasoned{status: http.StatusNotFound, reason: "No such token"}
	}
	return t, err
}

func (s *Server) getToken(w http.ResponseWriter, r *http.Request, _ request) error {
	t, err := s.findToken(r)
	if err != nil {
		return err
	}
	t.CreatedAt, t.ExpiresAt = t.CreatedAt.Truncate(time.Second), t.ExpiresAt.Truncate(time.Second)
	writeJSON(w, http.StatusOK, s.tokenBody(t, strings.ToLower(r.PathValue("token"))))
	return nil
}

func (s *Server) headToken(w http.ResponseWriter, r *http.Request, _ request) error {
	if _, err := s.findToken(r); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) deleteToken(w http.ResponseWriter, r *http.Request, _ request) error {
	if err := s.accounts.Tokens.RevokeSecret(r.Context(), strings.ToLower(r.PathValue("token"))); err != nil {
		return err
	}
	var out messageAnswer
	out.Data.Message = "success"
	writeJSON(w, http.StatusOK, out)
	return nil
}

func (s *Server) checkScopes(w http.ResponseWriter, r *http.Request, _ request) error {
	f, object, err := readObject(w, r)
	if err != nil {
		return err
	}
	scopes, tenant := f.list("scopes"), f.text("tenant_uuid", "")
	if !object || f.wrong != nil || !f.has("scopes") {
		return &reasoned{status: http.StatusBadRequest, reason: "{'scopes': ['Not a valid list of strings.']}"}
	}
	t, err := s.token(r)
	if err != nil {
		return err
	}
	if tenant != "" && !slices.Contains(s.tenants.Visible(t.TenantUUID), tenant) {
		return &reasoned{status: http.StatusForbidden, reason: "Unauthorized for tenant " + tenant}
	}
	out := scopesAnswer{Scopes: make(map[string]bool, len(scopes))}
	for _, scope := range scopes {
		out.Scopes[scope] = t.Allows(scope)
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}
