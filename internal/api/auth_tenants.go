package api

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strings"

	"callrecordd/internal/directory"
)

// tenantJSON is a tenant as clients see it (auth-and-clients 1.8).
type tenantJSON struct {
	UUID       string      `json:"uuid"`
	ParentUUID string      `json:"parent_uuid"`
	Name       string      `json:"name"`
	Slug       string      `json:"slug"`
	Contact    *string     `json:"contact"`
	Phone      *string     `json:"phone"`
	Method     string      `json:"default_authentication_method"`
	Domains    []string    `json:"domain_names"`
	Address    addressJSON `json:"address"`
}

type addressJSON struct {
	Line1   *string `json:"line_1"`
	Line2   *string `json:"line_2"`
	City    *string `json:"city"`
	State   *string `json:"state"`
	Country *string `json:"country"`
	ZipCode *string `json:"zip_code"`
}

// newTenantJSON is what clients send of a tenant, for the descriptions.
type newTenantJSON struct {
	UUID    string      `json:"uuid,omitempty"`
	Name    string      `json:"name"`
	Slug    string      `json:"slug,omitempty"`
	Contact *string     `json:"contact"`
	Phone   *string     `json:"phone"`
	Address addressJSON `json:"address"`
}

type tenantList struct {
	Filtered int          `json:"filtered"`
	Total    int          `json:"total"`
	Items    []tenantJSON `json:"items"`
}

// tenantBody gives a tenant from before there were slugs the one it would get.
func tenantBody(b *directory.Book, t directory.Tenant) tenantJSON {
	a := t.Details.Address
	return tenantJSON{
		UUID: t.UUID, ParentUUID: t.Parent, Name: t.Name, Slug: cmp.Or(t.Slug, b.FreeSlug(t.Name)),
		Contact: orNull(t.Details.Contact), Phone: orNull(t.Details.Phone), Method: "native", Domains: []string{},
		Address: addressJSON{
			orNull(a.Line1), orNull(a.Line2), orNull(a.City), orNull(a.State), orNull(a.Country), orNull(a.ZipCode),
		},
	}
}

func tenantParams() []param {
	out := append(pageParams(), recurseParam(),
		param{name: "uuids", kind: uuidText, array: true, about: "Only these; may be repeated."})
	for _, name := range []string{"name", "slug", "uuid", "domain_name"} {
		out = append(out, param{name: name, kind: text, about: "Only those with exactly this."})
	}
	return out
}

// listTenants shows the whole subtree always; recurse is taken and ignored.
func (s *Server) listTenants(w http.ResponseWriter, r *http.Request, rc request) error {
	p := newParams(r.URL.Query())
	l := readListing(p, "name", "slug")
	p.boolean("recurse", true)
	var uuids []string
	for _, v := range p.values["uuids"] {
		uuids = append(uuids, strings.Split(v, ",")...)
	}
	if len(uuids) > 25 {
		p.wrong["uuids"] = []any{map[string]any{
			"constraint_id": "length", "constraint": map[string]any{"max": 25}, "message": "Longer than maximum length 25.",
		}}
	}
	if err := p.listProblem(); err != nil {
		return err
	}
	book := s.accounts.Directory.Book()
	var found []tenantJSON
	for _, uuid := range rc.visible {
		if t, ok := book.Tenant(uuid); ok {
			found = append(found, tenantBody(book, t))
		}
	}
	out := tenantList{Total: len(found), Items: []tenantJSON{}}
	q := p.values
	found = slices.DeleteFunc(found, func(t tenantJSON) bool {
		return differs(q.Get("uuid"), t.UUID) || differs(q.Get("name"), t.Name) || differs(q.Get("slug"), t.Slug) ||
			q.Get("domain_name") != "" || // none has any
			len(uuids) > 0 && !slices.Contains(uuids, t.UUID) || !mentioned(l.search, t.Name, t.Slug)
	})
	out.Filtered = len(found)
	out.Items = append(out.Items, cut(found, l, func(a, b tenantJSON) int {
		if l.order == "slug" {
			return strings.Compare(a.Slug, b.Slug)
		}
		return strings.Compare(a.Name, b.Name)
	})...)
	writeJSON(w, http.StatusOK, out)
	return nil
}

// differs says whether a value is asked for and this is another.
func differs(want, is string) bool { return want != "" && want != is }

// theTenant is the one in the path, if it is visible.
func (s *Server) theTenant(r *http.Request, rc request) (directory.Tenant, error) {
	uuid := strings.ToLower(r.PathValue("tenant"))
	t, ok := s.accounts.Directory.Book().Tenant(uuid)
	if !ok || !slices.Contains(rc.visible, uuid) {
		return t, noTenant(uuid)
	}
	return t, nil
}

// readTenant reads what a client sent, onto t.
func (f *fields) readTenant(t *directory.Tenant) {
	t.Name = f.text("name", t.Name)
	t.Details = directory.TenantDetails{Contact: f.text("contact", ""), Phone: f.text("phone", "")}
	address, isObject := f.values["address"].(map[string]any)
	if f.values["address"] != nil && !isObject {
		f.refuse("address", "Not a valid object.", "type", "object")
	}
	a := fields{values: address}
	t.Details.Address = directory.Address{
		Line1: a.text("line_1", ""), Line2: a.text("line_2", ""), City: a.text("city", ""),
		State: a.text("state", ""), Country: a.text("country", ""), ZipCode: a.text("zip_code", ""),
	}
	if a.wrong != nil {
		f.refuse("address", a.wrong.text, a.wrong.constraintID, a.wrong.constraint)
	}
}

func (s *Server) createTenant(w http.ResponseWriter, r *http.Request, rc request) error {
	f, err := s.readBody(w, r, "tenants")
	if err != nil {
		return err
	}
	t := directory.Tenant{UUID: strings.ToLower(f.text("uuid", "")), Parent: rc.tenant, Slug: f.text("slug", "")}
	f.readTenant(&t)
	if f.wrong != nil {
		return f.wrong.told("tenants")
	}
	t, err = s.accounts.Directory.CreateTenant(r.Context(), rc.token.AuthID, t)
	if err != nil {
		return toldTenant(err, t.UUID)
	}
	writeJSON(w, http.StatusOK, tenantBody(s.accounts.Directory.Book(), t))
	return nil
}

func (s *Server) getTenant(w http.ResponseWriter, r *http.Request, rc request) error {
	t, err := s.theTenant(r, rc)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, tenantBody(s.accounts.Directory.Book(), t))
	return nil
}

func (s *Server) putTenant(w http.ResponseWriter, r *http.Request, rc request) error {
	t, err := s.theTenant(r, rc)
	if err != nil {
		return err
	}
	f, err := s.readBody(w, r, "tenants")
	if err != nil {
		return err
	}
	t, err = s.accounts.Directory.EditTenant(r.Context(), rc.token.AuthID, t.UUID, func(t *directory.Tenant) error {
		f.readTenant(t)
		if f.wrong != nil {
			return f.wrong.told("tenants")
		}
		return nil
	})
	if told, ok := errors.AsType[*about](err); ok {
		return told
	}
	if err != nil {
		return toldTenant(err, t.UUID)
	}
	writeJSON(w, http.StatusOK, tenantBody(s.accounts.Directory.Book(), t))
	return nil
}

func (s *Server) deleteTenant(w http.ResponseWriter, r *http.Request, rc request) error {
	t, err := s.theTenant(r, rc)
	if err != nil {
		return err
	}
	if t.UUID == rc.tenant || t.UUID == rc.token.TenantUUID {
		return &about{problem{
			status: http.StatusForbidden, id: "deleting-own-tenant-forbidden",
			message: "Deleting its own tenant is forbidden: \"" + t.UUID + "\"", details: map[string]any{"tenant_uuid": t.UUID},
		}, "tenants"}
	}
	book := s.accounts.Directory.Book()
	if len(book.Subtree(t.UUID)) > 1 {
		return &about{problem{
			status: http.StatusBadRequest, id: "tenant-with-children",
			message: "Unauthorized delete of tenant : \"" + t.UUID + "\" ; since it has at least one child",
			details: map[string]any{"uuid": t.UUID},
		}, "tenants"}
	}
	if err := s.accounts.Directory.DeleteTenant(r.Context(), rc.token.AuthID, t.UUID); err != nil {
		return toldTenant(err, t.UUID)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
