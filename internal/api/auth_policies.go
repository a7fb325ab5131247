package api

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"callrecordd/internal/auth"
)

type policyJSON struct {
	UUID        string   `json:"uuid"`
	TenantUUID  string   `json:"tenant_uuid"`
	Name        string   `json:"name"`
	Slug        string   `json:"slug"`
	Description *string  `json:"description"`
	ACL         []string `json:"acl"`
	ReadOnly    bool     `json:"read_only"`
	Shared      bool     `json:"shared"`
}

// newPolicyJSON is what clients send of a policy, for the descriptions.
type newPolicyJSON struct {
	Name        string   `json:"name"`
	Slug        string   `json:"slug,omitempty"`
	Description *string  `json:"description"`
	ACL         []string `json:"acl"`
}

// policyList has no filtered, as upstream's; that of a user has.
type policyList struct {
	Items []policyJSON `json:"items"`
	Total int          `json:"total"`
}

type policyPage struct {
	Items    []policyJSON `json:"items"`
	Total    int          `json:"total"`
	Filtered int          `json:"filtered"`
}

// policyBody shows the program's own policies to all tenants, as theirs.
func policyBody(p auth.Policy, rc request) policyJSON {
	out := policyJSON{
		UUID: p.UUID, TenantUUID: p.TenantUUID, Name: p.Name, Slug: p.Slug, Description: orNull(p.Description),
		ACL: p.ACL, ReadOnly: p.Managed, Shared: p.Managed,
	}
	if p.Managed && !slices.Contains(rc.visible, p.TenantUUID) {
		out.TenantUUID = rc.tenant
	}
	if out.ACL == nil {
		out.ACL = []string{}
	}
	return out
}

func policyParams() []param {
	out := append(pageParams(), recurseParam())
	for _, name := range []string{"name", "slug", "uuid"} {
		out = append(out, param{name: name, kind: text, about: "Only those with exactly this."})
	}
	return out
}

func policyOrder(field string) func(a, b auth.Policy) int {
	key := func(p auth.Policy) string {
		switch field {
		case "slug":
			return p.Slug
		case "description":
			return p.Description
		case "uuid":
			return p.UUID
		}
		return p.Name
	}
	return func(a, b auth.Policy) int { return strings.Compare(key(a), key(b)) }
}

// policy is the one in the path: by uuid if a visible tenant has it, by slug
// in the selected tenant alone.
func (s *Server) policy(r *http.Request, rc request) (auth.Policy, error) {
	key := r.PathValue("policy")
	var p auth.Policy
	var err error
	if _, bad := uuid.Parse(key); bad == nil {
		p, err = s.accounts.Accounts.Policy(key, rc.visible)
	} else {
		p, err = s.accounts.Accounts.PolicyBySlug(key, rc.tenant)
	}
	if errors.Is(err, auth.ErrNotFound) {
		return p, noPolicy(key)
	}
	if err == nil {
		err = rc.deniedAs(r, "policy", p.UUID, p.Slug)
	}
	return p, err
}

func (s *Server) listPolicies(w http.ResponseWriter, r *http.Request, rc request) error {
	p := newParams(r.URL.Query())
	l := readListing(p, "name", "slug", "description", "uuid")
	f := auth.PolicyFilter{
		Tenants: rc.scope(p.boolean("recurse", false)), Search: l.search,
		UUID: p.values.Get("uuid"), Name: p.values.Get("name"), Slug: p.values.Get("slug"),
	}
	if err := p.listProblem(); err != nil {
		return err
	}
	found, _ := s.accounts.Accounts.ListPolicies(f)
	out := policyList{Items: []policyJSON{}, Total: len(found)}
	for _, v := range cut(found, l, policyOrder(l.order)) {
		out.Items = append(out.Items, policyBody(v, rc))
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

// readPolicy reads what a client sent, onto p.
func (s *Server) readPolicy(w http.ResponseWriter, r *http.Request) (auth.Policy, error) {
	var p auth.Policy
	f, object, err := readObject(w, r)
	if err != nil {
		return p, err
	}
	if !object {
		return p, &reasoned{status: http.StatusBadRequest, reason: "Invalid value supplied for field: _schema"}
	}
	p = auth.Policy{Name: f.text("name", ""), Slug: f.text("slug", ""), Description: f.text("description", ""), ACL: f.list("acl")}
	if f.wrong != nil {
		return p, &reasoned{status: http.StatusBadRequest, reason: "Invalid value supplied for field: " + f.wrong.field}
	}
	return p, nil
}

func (s *Server) createPolicy(w http.ResponseWriter, r *http.Request, rc request) error {
	p, err := s.readPolicy(w, r)
	if err != nil {
		return err
	}
	p.TenantUUID = rc.tenant
	p, err = s.accounts.Accounts.CreatePolicy(r.Context(), rc.by(), p)
	if err != nil {
		return told(err, rc, "policies")
	}
	writeJSON(w, http.StatusOK, policyBody(p, rc))
	return nil
}

func (s *Server) getPolicy(w http.ResponseWriter, r *http.Request, rc request) error {
	p, err := s.policy(r, rc)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, policyBody(p, rc))
	return nil
}

// editPolicy changes the policy in the path; one that is gone meanwhile is
// unknown.
func (s *Server) editPolicy(r *http.Request, rc request, change func(*auth.Policy) error) (auth.Policy, error) {
	p, err := s.policy(r, rc)
	if err != nil {
		return p, err
	}
	p, err = s.accounts.Accounts.EditPolicy(r.Context(), rc.by(), p.UUID, change)
	if errors.Is(err, auth.ErrNotFound) {
		return p, noPolicy(r.PathValue("policy"))
	}
	return p, told(err, rc, "policies")
}

func (s *Server) putPolicy(w http.ResponseWriter, r *http.Request, rc request) error {
	sent, err := s.readPolicy(w, r)
	if err != nil {
		return err
	}
	p, err := s.editPolicy(r, rc, func(p *auth.Policy) error {
		p.Name, p.Description, p.ACL = sent.Name, sent.Description, sent.ACL
		return nil
	})
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, policyBody(p, rc))
	return nil
}

func (s *Server) deletePolicy(w http.ResponseWriter, r *http.Request, rc request) error {
	p, err := s.policy(r, rc)
	if err == nil {
		err = s.accounts.Accounts.DeletePolicy(r.Context(), rc.by(), p.UUID)
	}
	if errors.Is(err, auth.ErrNotFound) {
		return noPolicy(r.PathValue("policy"))
	}
	if err != nil {
		return told(err, rc, "policies")
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) putAccess(w http.ResponseWriter, r *http.Request, rc request) error {
	access := r.PathValue("access")
	_, err := s.editPolicy(r, rc, func(p *auth.Policy) error {
		if slices.Contains(p.ACL, access) {
			return &reasoned{status: http.StatusConflict, reason: "Policy already associated to " + access}
		}
		p.ACL = append(p.ACL, access)
		return nil
	})
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) deleteAccess(w http.ResponseWriter, r *http.Request, rc request) error {
	access := r.PathValue("access")
	_, err := s.editPolicy(r, rc, func(p *auth.Policy) error {
		i := slices.Index(p.ACL, access)
		if i < 0 {
			return noPolicy(r.PathValue("policy"))
		}
		p.ACL = slices.Delete(p.ACL, i, i+1)
		return nil
	})
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
