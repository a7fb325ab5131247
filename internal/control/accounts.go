package control

import (
	"net/http"
	"slices"

	"callrecordd/internal/auth"
	"callrecordd/internal/directory"
)

// NewAccount asks for an account with a password.
type NewAccount struct {
	auth.Account
	Password string `json:"password"` // empty: it cannot log in
}

// NewPassword sets the password of an account.
type NewPassword struct {
	Password string `json:"password"`
}

// accountRoutes are those of accounts and policies. Who may open the socket may
// give away everything.
func (h handler) accountRoutes(mux *http.ServeMux) {
	for pattern, fn := range map[string]func(*http.Request, []byte) (any, error){
		"GET /v1/accounts":                             h.listAccounts,
		"POST /v1/accounts":                            h.createAccount,
		"PATCH /v1/accounts/{uuid}":                    h.editAccount,
		"DELETE /v1/accounts/{uuid}":                   h.deleteAccount,
		"PUT /v1/accounts/{uuid}/password":             h.setPassword,
		"PUT /v1/accounts/{uuid}/policies/{policy}":    h.addPolicy,
		"DELETE /v1/accounts/{uuid}/policies/{policy}": h.removePolicy,
		"GET /v1/accounts/{uuid}/sessions":             h.listSessions,
		"GET /v1/accounts/{uuid}/refresh":              h.listRefresh,
		"DELETE /v1/accounts/{uuid}/refresh/{client}":  h.deleteRefresh,
		"GET /v1/policies":                             h.listPolicies,
		"POST /v1/policies":                            h.createPolicy,
		"PATCH /v1/policies/{uuid}":                    h.editPolicy,
		"DELETE /v1/policies/{uuid}":                   h.deletePolicy,
	} {
		mux.HandleFunc(pattern, h.wrap(fn))
	}
}

// host is who sits at the machine itself.
func host(r *http.Request) auth.Actor { return auth.Actor{Name: actor(r)} }

// tenant is the one that was named, or the master tenant.
func (h handler) tenant(uuid string) (string, error) {
	book := h.Directory.Book()
	if uuid == "" {
		return book.Master().UUID, nil
	}
	if _, ok := book.Tenant(uuid); !ok {
		return "", &directory.ErrInvalid{Field: "tenant_uuid", Text: "there is no tenant " + uuid}
	}
	return uuid, nil
}

func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func (h handler) listAccounts(*http.Request, []byte) (any, error) {
	list, _ := h.Accounts.List(auth.AccountFilter{})
	return notNil(list), nil
}

func (h handler) createAccount(r *http.Request, body []byte) (any, error) {
	req := NewAccount{Account: auth.Account{Enabled: true}}
	if err := strict(body, &req); err != nil {
		return nil, err
	}
	var err error
	if req.TenantUUID, err = h.tenant(req.TenantUUID); err != nil {
		return nil, err
	}
	if req.Purpose == "" {
		req.Purpose = auth.PurposeUser
	}
	if req.Method == "" {
		req.Method = "default"
	}
	policies := slices.Clone(req.Policies)
	a, err := h.Accounts.Create(r.Context(), host(r), req.Account, req.Password)
	for _, p := range policies {
		if err == nil {
			err = h.Accounts.AddPolicy(r.Context(), host(r), a.UUID, p)
		}
	}
	if err != nil {
		return nil, err
	}
	return h.Accounts.Get(a.UUID)
}

func (h handler) editAccount(r *http.Request, body []byte) (any, error) {
	return h.Accounts.Edit(r.Context(), host(r), r.PathValue("uuid"), func(a *auth.Account) error { return strict(body, a) })
}

func (h handler) deleteAccount(r *http.Request, _ []byte) (any, error) {
	return nil, h.Accounts.Delete(r.Context(), host(r), r.PathValue("uuid"))
}

func (h handler) setPassword(r *http.Request, body []byte) (any, error) {
	var req NewPassword
	if err := strict(body, &req); err != nil {
		return nil, err
	}
	return nil, h.Accounts.SetPassword(r.Context(), host(r), r.PathValue("uuid"), req.Password)
}

func (h handler) addPolicy(r *http.Request, _ []byte) (any, error) {
	return nil, h.Accounts.AddPolicy(r.Context(), host(r), r.PathValue("uuid"), r.PathValue("policy"))
}

func (h handler) removePolicy(r *http.Request, _ []byte) (any, error) {
	return nil, h.Accounts.RemovePolicy(r.Context(), host(r), r.PathValue("uuid"), r.PathValue("policy"))
}

func (h handler) listSessions(r *http.Request, _ []byte) (any, error) {
	list, err := h.Accounts.Sessions(r.Context(), r.PathValue("uuid"), nil)
	return notNil(list), err
}

func (h handler) listRefresh(r *http.Request, _ []byte) (any, error) {
	list, err := h.Accounts.Refreshes(r.Context(), []string{r.PathValue("uuid")})
	return notNil(list), err
}

func (h handler) deleteRefresh(r *http.Request, _ []byte) (any, error) {
	return nil, h.Accounts.DeleteRefresh(r.Context(), host(r), r.PathValue("uuid"), r.PathValue("client"))
}

func (h handler) listPolicies(*http.Request, []byte) (any, error) {
	list, _ := h.Accounts.ListPolicies(auth.PolicyFilter{})
	return notNil(list), nil
}

func (h handler) createPolicy(r *http.Request, body []byte) (any, error) {
	var p auth.Policy
	if err := strict(body, &p); err != nil {
		return nil, err
	}
	var err error
	if p.TenantUUID, err = h.tenant(p.TenantUUID); err != nil {
		return nil, err
	}
	return h.Accounts.CreatePolicy(r.Context(), host(r), p)
}

func (h handler) editPolicy(r *http.Request, body []byte) (any, error) {
	return h.Accounts.EditPolicy(r.Context(), host(r), r.PathValue("uuid"), func(p *auth.Policy) error { return strict(body, p) })
}

func (h handler) deletePolicy(r *http.Request, _ []byte) (any, error) {
	return nil, h.Accounts.DeletePolicy(r.Context(), host(r), r.PathValue("uuid"))
}
