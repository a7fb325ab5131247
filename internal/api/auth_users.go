package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"callrecordd/internal/auth"
)

// userJSON is an account as clients see it; the directory's users are confd's.
type userJSON struct {
	UUID      string      `json:"uuid"`
	Username  *string     `json:"username"`
	FirstName *string     `json:"firstname"`
	LastName  *string     `json:"lastname"`
	Purpose   string      `json:"purpose"`
	Emails    []emailJSON `json:"emails"`
	Enabled   bool        `json:"enabled"`
	Tenant    string      `json:"tenant_uuid"`
	Method    string      `json:"authentication_method"`
}

type emailJSON struct {
	UUID      string `json:"uuid"`
	Address   string `json:"address"`
	Main      bool   `json:"main"`
	Confirmed bool   `json:"confirmed"`
}

// newUserJSON is what clients send of a user, for the descriptions.
type newUserJSON struct {
	UUID      string  `json:"uuid,omitempty"`
	Username  *string `json:"username"`
	Password  *string `json:"password,omitempty"`
	FirstName *string `json:"firstname"`
	LastName  *string `json:"lastname"`
	Email     *string `json:"email_address,omitempty"`
	Purpose   string  `json:"purpose,omitempty"`
	Enabled   bool    `json:"enabled"`
	Method    string  `json:"authentication_method,omitempty"`
}

type passwordJSON struct {
	Old string `json:"old_password"`
	New string `json:"new_password"`
}

type userList struct {
	Filtered int        `json:"filtered"`
	Total    int        `json:"total"`
	Items    []userJSON `json:"items"`
}

type groupList struct {
	Filtered int   `json:"filtered"`
	Total    int   `json:"total"`
	Items    []any `json:"items"`
}

func userBody(a auth.Account) userJSON {
	out := userJSON{
		UUID: a.UUID, Username: orNull(a.Username), FirstName: orNull(a.FirstName), LastName: orNull(a.LastName),
		Purpose: a.Purpose, Emails: []emailJSON{}, Enabled: a.Enabled, Tenant: a.TenantUUID, Method: a.Method,
	}
	if a.Email != "" {
		out.Emails = append(out.Emails, emailJSON{UUID: a.EmailUUID, Address: a.Email, Main: true, Confirmed: true})
	}
	return out
}

// userFilters are the parameters that a field must equal.
func userFilters(f *auth.AccountFilter) map[string]*string {
	return map[string]*string{
		"uuid": &f.UUID, "username": &f.Username, "firstname": &f.FirstName, "lastname": &f.LastName,
		"purpose": &f.Purpose, "email_address": &f.Email,
		"policy_uuid": &f.PolicyUUID, "has_policy_uuid": &f.PolicyUUID,
		"policy_slug": &f.PolicySlug, "has_policy_slug": &f.PolicySlug,
	}
}

func userParams() []param {
	out := append(pageParams(), recurseParam())
	var names []string
	for name := range userFilters(&auth.AccountFilter{}) {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		out = append(out, param{name: name, kind: text, about: "Only those with exactly this."})
	}
	return out
}

// account is the user in the path, if one of the visible tenants has it.
func (s *Server) account(r *http.Request, rc request) (auth.Account, error) {
	uuid := strings.ToLower(r.PathValue("user"))
	a, err := s.accounts.Accounts.Get(uuid)
	if errors.Is(err, auth.ErrNotFound) || err == nil && !slices.Contains(rc.visible, a.TenantUUID) {
		return a, noUser(uuid)
	}
	return a, err
}

func (s *Server) listUsers(w http.ResponseWriter, r *http.Request, rc request) error {
	p := newParams(r.URL.Query())
	l := readListing(p, "username", "firstname", "lastname")
	f := auth.AccountFilter{Tenants: rc.scope(p.boolean("recurse", false)), Search: l.search}
	for name, field := range userFilters(&f) {
		if v := p.values.Get(name); v != "" {
			*field = v
		}
	}
	if err := p.listProblem(); err != nil {
		return err
	}
	found, total := s.accounts.Accounts.List(f)
	out := userList{Filtered: len(found), Total: total, Items: []userJSON{}}
	for _, a := range cut(found, l, userOrder(l.order)) {
		out.Items = append(out.Items, userBody(a))
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

func userOrder(field string) func(a, b auth.Account) int {
	key := func(a auth.Account) string {
		switch field {
		case "firstname":
			return a.FirstName
		case "lastname":
			return a.LastName
		}
		return a.Username
	}
	return func(a, b auth.Account) int { return strings.Compare(strings.ToLower(key(a)), strings.ToLower(key(b))) }
}

// readUser reads the fields of a user onto a. Absent ones get upstream's
// defaults.
func (f *fields) readUser(a *auth.Account) {
	a.Username, a.FirstName, a.LastName = f.text("username", ""), f.text("firstname", ""), f.text("lastname", "")
	a.Purpose = f.text("purpose", auth.PurposeUser)
	method := "default"
	if a.Purpose != auth.PurposeUser {
		method = "native"
	}
	a.Method, a.Enabled = f.text("authentication_method", method), f.boolean("enabled", true)
	if f.values["username"] == "" {
		f.refuse("username", "Length must be between 1 and 256.", "length", map[string]any{"min": 1, "max": 256})
	}
}

// readBody is readObject for users and tenants.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request, resource string) (fields, error) {
	f, object, err := readObject(w, r)
	if err == nil && !object {
		err = badField(resource, "_schema", "Invalid input type.", "type", "object")
	}
	return f, err
}

func (e *fieldError) told(resource string) error {
	return badField(resource, e.field, e.text, e.constraintID, e.constraint)
}

func (s *Server) createUser(w http.ResponseWriter, r *http.Request, rc request) error {
	f, err := s.readBody(w, r, "users")
	if err != nil {
		return err
	}
	a := auth.Account{TenantUUID: rc.tenant, UUID: strings.ToLower(f.text("uuid", "")), Email: f.text("email_address", "")}
	f.readUser(&a)
	password := f.text("password", "")
	if f.values["password"] == "" {
		f.refuse("password", "Shorter than minimum length 1.", "length", map[string]any{"min": 1})
	}
	if f.wrong != nil {
		return f.wrong.told("users")
	}
	if foreign, err := s.foreign(r.Context(), a); err != nil || foreign {
		return told(cmp.Or(err, error(&auth.ErrTaken{Field: "uuid", Value: a.UUID})), rc, "users")
	}
	a, err = s.accounts.Accounts.Create(r.Context(), rc.by(), a, password)
	if err != nil {
		return told(err, rc, "users")
	}
	writeJSON(w, http.StatusOK, userBody(a))
	return nil
}

// foreign says whether the uuid of a new account is that of another tenant's
// user. An account has its user's uuid, and /users/me looks across tenants: it
// would open that user's calls, also those of one who was deleted.
func (s *Server) foreign(ctx context.Context, a auth.Account) (bool, error) {
	if a.UUID == "" {
		return false, nil
	}
	if u, ok := s.accounts.Directory.Book().User(a.UUID); ok {
		return u.TenantUUID != a.TenantUUID, nil
	}
	tenants, err := s.accounts.UserTenants(ctx, a.UUID)
	if err != nil {
		return false, fmt.Errorf("look for a user who was: %w", err)
	}
	return slices.ContainsFunc(tenants, func(t string) bool { return t != a.TenantUUID }), nil
}

func (s *Server) getUser(w http.ResponseWriter, r *http.Request, rc request) error {
	a, err := s.account(r, rc)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, userBody(a))
	return nil
}

func (s *Server) putUser(w http.ResponseWriter, r *http.Request, rc request) error {
	a, err := s.account(r, rc)
	if err != nil {
		return err
	}
	f, err := s.readBody(w, r, "users")
	if err != nil {
		return err
	}
	var sent auth.Account
	f.readUser(&sent)
	if f.wrong != nil {
		return f.wrong.told("users")
	}
	a, err = s.accounts.Accounts.Edit(r.Context(), rc.by(), a.UUID, func(a *auth.Account) error {
		a.Username, a.FirstName, a.LastName, a.Enabled = sent.Username, sent.FirstName, sent.LastName, sent.Enabled
		if f.has("purpose") {
			a.Purpose = sent.Purpose
		}
		if f.has("authentication_method") {
			a.Method = sent.Method
		}
		return nil
	})
	if err != nil {
		return told(err, rc, "users")
	}
	writeJSON(w, http.StatusOK, userBody(a))
	return nil
}

func (s *Server) deleteUser(w http.ResponseWriter, r *http.Request, rc request) error {
	a, err := s.account(r, rc)
	if err == nil {
		err = s.accounts.Accounts.Delete(r.Context(), rc.by(), a.UUID)
	}
	if errors.Is(err, auth.ErrNotFound) {
		return noUser(a.UUID)
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) putPassword(w http.ResponseWriter, r *http.Request, rc request) error {
	a, err := s.account(r, rc)
	if err != nil {
		return err
	}
	f, err := s.readBody(w, r, "users")
	if err != nil {
		return err
	}
	for _, name := range []string{"old_password", "new_password"} {
		if f.text(name, "") == "" {
			f.refuse(name, "Missing data for required field.", "required", "required")
		}
	}
	if f.wrong != nil {
		return f.wrong.told("users")
	}
	err = s.accounts.Accounts.ChangePassword(r.Context(), rc.by(), a.UUID, f.text("old_password", ""), f.text("new_password", ""), rc.origin.client)
	if err != nil {
		return told(err, rc, "users")
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) listUserPolicies(w http.ResponseWriter, r *http.Request, rc request) error {
	a, err := s.account(r, rc)
	if err != nil {
		return err
	}
	p := newParams(r.URL.Query())
	l := readListing(p, "name", "slug", "description", "uuid")
	if err := p.listProblem(); err != nil {
		return err
	}
	all := s.accounts.Accounts.PoliciesOf(a.UUID)
	out := policyPage{Total: len(all), Items: []policyJSON{}}
	all = slices.DeleteFunc(all, func(p auth.Policy) bool { return !mentioned(l.search, p.Name, p.Slug, p.Description) })
	out.Filtered = len(all)
	for _, p := range cut(all, l, policyOrder(l.order)) {
		out.Items = append(out.Items, policyBody(p, rc))
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

func mentioned(search string, texts ...string) bool {
	return slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(strings.ToLower(t), strings.ToLower(search)) })
}

func (s *Server) putUserPolicy(w http.ResponseWriter, r *http.Request, rc request) error {
	return s.changeUserPolicy(w, r, rc, func(account, policy string) error {
		return s.accounts.Accounts.AddPolicy(r.Context(), rc.by(), account, policy)
	})
}

func (s *Server) deleteUserPolicy(w http.ResponseWriter, r *http.Request, rc request) error {
	return s.changeUserPolicy(w, r, rc, func(account, policy string) error {
		return s.accounts.Accounts.RemovePolicy(r.Context(), rc.by(), account, policy)
	})
}

func (s *Server) changeUserPolicy(w http.ResponseWriter, r *http.Request, rc request, change func(account, policy string) error) error {
	a, err := s.account(r, rc)
	if err != nil {
		return err
	}
	p, err := s.policy(r, rc)
	if err != nil {
		return err
	}
	if err := change(a.UUID, p.UUID); errors.Is(err, auth.ErrNotFound) {
		return noPolicy(r.PathValue("policy"))
	} else if err != nil {
		return told(err, rc, "policies")
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// listUserGroups is for tools that show a user as a whole. Accounts have no
// groups here.
func (s *Server) listUserGroups(w http.ResponseWriter, r *http.Request, rc request) error {
	if _, err := s.account(r, rc); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, groupList{Items: []any{}})
	return nil
}
