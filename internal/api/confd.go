package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"callrecordd/internal/directory"
)

// Directory is what confd's resources are kept in; *directory.Service is one.
type Directory interface {
	Book() *directory.Book
	CreateUser(ctx context.Context, actor string, u directory.User) (directory.User, error)
	EditUser(ctx context.Context, actor, uuid string, change func(*directory.User) error) (directory.User, error)
	DeleteUser(ctx context.Context, actor, uuid string) error
	CreateGroup(ctx context.Context, actor string, g directory.Group) (directory.Group, error)
	EditGroup(ctx context.Context, actor, uuid string, change func(*directory.Group) error) (directory.Group, error)
	DeleteGroup(ctx context.Context, actor, uuid string) error
	CreateQueue(ctx context.Context, actor string, q directory.Queue) (directory.Queue, error)
	EditQueue(ctx context.Context, actor, uuid string, change func(*directory.Queue) error) (directory.Queue, error)
	DeleteQueue(ctx context.Context, actor, uuid string) error
	CreateTrunk(ctx context.Context, actor string, t directory.Trunk) (directory.Trunk, error)
	EditTrunk(ctx context.Context, actor, uuid string, change func(*directory.Trunk) error) (directory.Trunk, error)
	DeleteTrunk(ctx context.Context, actor, uuid string) error
	EditTenant(ctx context.Context, actor, uuid string, change func(*directory.Tenant) error) (directory.Tenant, error)
	EditFeature(ctx context.Context, actor, uuid string, change func(*directory.Feature) error) (directory.Feature, error)
}

// resource is one kind of confd's objects. Where create, edit or remove is nil
// there is no such route.
type resource[T any] struct {
	server *Server
	// path is the first part of the routes and word that of the ACLs.
	path, word string
	category   string // as in "User was not found"
	// keys is the kind of what names one in a path: "int", "uuid" or "key".
	keys string
	// master: only tokens of the master tenant; its objects have no tenant.
	master bool
	entity func(*T) entity
	list   func(directory.Contents) []T
	same   func(a, b T) bool
	body   func(T) any
	// columns can be ordered by, the first by default, and filtered by.
	columns []column[T]
	apply   func(*confBody, *T)
	create  func(d Directory, ctx context.Context, actor string, v T) (T, error)
	edit    func(d Directory, ctx context.Context, actor, uuid string, change func(*T) error) (T, error)
	remove  func(d Directory, ctx context.Context, actor, uuid string) error
	// allowed, if set, refuses a change that the access to the route alone does
	// not permit.
	allowed func(rc request, before, after T) error

	index confIndex[T]
}

// entity is what all kinds have. Not every one has each of these.
type entity struct {
	ID           *int64
	UUID, Tenant *string
}

// column is a field that lists are ordered and filtered by.
type column[T any] struct {
	name     string
	text     func(T) string
	number   bool
	searched bool // by ?search=
}

// routes are the rows of the resource.
func (rs *resource[T]) routes() []route {
	id := rs.pathValue()
	one := rs.path + "/{" + id + ":" + rs.keys + "}"
	acl := "confd." + rs.word + "."
	sample := rs.body(*new(T))
	about := rs.category
	columns := make([]string, 0, len(rs.columns))
	for _, c := range rs.columns {
		columns = append(columns, c.name)
	}
	out := []route{
		{
			method: "GET", path: rs.path, acl: acl + "read", summary: "List: " + about,
			query: append([]param{
				{name: "search", kind: text, about: "A part of a text of it, without regard to case and accents."},
				{name: "order", kind: text, choices: columns, about: "By what; the first by default."},
				{name: "direction", kind: text, choices: []string{"asc", "desc"}, about: "Rising (the default) or falling."},
				{name: "limit", kind: integer, about: "How many at most, 1 or more; all by default."},
				{name: "offset", kind: integer, about: "How many to leave out."},
				{name: "recurse", kind: boolean, about: "The tenants below as well."},
			}, rs.filters()...),
			answers: []answerRow{{status: http.StatusOK, about: "Those that match, and how many they are", body: listOf(sample)}},
			handle:  rs.getList,
		},
		{
			method: "GET", path: one, acl: acl + "{" + id + "}.read", summary: "Get: " + about,
			answers: []answerRow{{status: http.StatusOK, about: about, body: sample}}, handle: rs.getOne,
		},
	}
	if rs.create != nil {
		out = append(out, route{
			method: "POST", path: rs.path, acl: acl + "create", summary: "Create: " + about, body: sample,
			answers: []answerRow{{status: http.StatusCreated, about: about, body: sample}}, handle: rs.post,
		})
	}
	gone := []answerRow{{status: http.StatusNoContent, about: "Done"}}
	if rs.edit != nil {
		out = append(out, route{
			method: "PUT", path: one, acl: acl + "{" + id + "}.update", summary: "Change the fields that are sent: " + about,
			body: sample, answers: gone, handle: rs.put,
		})
	}
	if rs.remove != nil {
		out = append(out, route{
			method: "DELETE", path: one, acl: acl + "{" + id + "}.delete", summary: "Delete: " + about, answers: gone, handle: rs.delete,
		})
	}
	for i := range out {
		out[i].service, out[i].master = Confd, rs.master
	}
	return out
}

// listOf is a list of such objects, for the descriptions.
func listOf(sample any) any {
	return reflect.Zero(reflect.StructOf([]reflect.StructField{
		{Name: "Total", Type: reflect.TypeFor[int](), Tag: `json:"total"`},
		{Name: "Items", Type: reflect.SliceOf(reflect.TypeOf(sample)), Tag: `json:"items"`},
	})).Interface()
}

// pathValue names the one that is meant in a path.
func (rs *resource[T]) pathValue() string { return strings.ReplaceAll(rs.word, ".", "_") + "_id" }

func (rs *resource[T]) filters() []param {
	var out []param
	for _, c := range rs.columns {
		out = append(out, param{name: c.name, kind: text, about: "Exactly this."})
	}
	return out
}

// find is the object of the path if it is in a visible tenant.
func (rs *resource[T]) find(r *http.Request, rc request) (T, string, error) {
	key := r.PathValue(rs.pathValue())
	name, shown := "id", key // as Python writes a number and a text
	number, err := strconv.ParseInt(key, 10, 64)
	if err != nil {
		name, number = "uuid", -1
		if parsed, err := uuid.Parse(key); err == nil { // clients may write it in capitals
			key = parsed.String()
		}
		shown = "'" + key + "'"
	}
	list := rs.list(rs.server.directory.Book().Contents())
	for i := range list {
		e := rs.entity(&list[i])
		if (e.UUID != nil && *e.UUID == key || e.ID != nil && *e.ID == number) && rs.visible(e, rc.visible) {
			id := ""
			if e.ID != nil {
				id = strconv.FormatInt(*e.ID, 10)
			}
			return list[i], deref(e.UUID), rc.deniedAs(r, rs.pathValue(), id, deref(e.UUID))
		}
	}
	return *new(T), "", &confError{http.StatusNotFound, []string{
		fmt.Sprintf("Resource Not Found - %s was not found ('%s': %s)", rs.category, name, shown),
	}}
}

func (rs *resource[T]) visible(e entity, tenants []string) bool {
	return e.Tenant == nil || slices.Contains(tenants, *e.Tenant)
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func (rs *resource[T]) getOne(w http.ResponseWriter, r *http.Request, rc request) error {
	v, _, err := rs.find(r, rc)
	if err != nil {
		return err
	}
	row := rs.render(v)
	writeBytes(w, http.StatusOK, row.linked(nil, quoted(rc.base())))
	return nil
}

func (rs *resource[T]) post(w http.ResponseWriter, r *http.Request, rc request) error {
	b, err := readConf(w, r)
	if err != nil {
		return err
	}
	b.creating = true
	var v T
	*rs.entity(&v).Tenant = rc.tenant
	rs.apply(b, &v)
	if err := b.problem(); err != nil {
		return err
	}
	if v, err = rs.create(rs.server.directory, r.Context(), rc.token.AuthID, v); err != nil {
		return rs.told(err)
	}
	row, base := rs.render(v), rc.base()
	w.Header().Set("Location", base+row.link)
	writeBytes(w, http.StatusCreated, row.linked(nil, quoted(base)))
	return nil
}

func (rs *resource[T]) put(w http.ResponseWriter, r *http.Request, rc request) error {
	_, id, err := rs.find(r, rc)
	if err != nil {
		return err
	}
	b, err := readConf(w, r)
	if err != nil {
		return err
	}
	if _, err := rs.edit(rs.server.directory, r.Context(), rc.token.AuthID, id, func(v *T) error {
		if e := rs.entity(v); !rs.visible(e, rc.visible) { // it has moved since
			return directory.ErrNotFound
		}
		before := *v
		rs.apply(b, v)
		if err := b.problem(); err != nil || rs.allowed == nil {
			return err
		}
		return rs.allowed(rc, before, *v)
	}); err != nil {
		return rs.told(err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (rs *resource[T]) delete(w http.ResponseWriter, r *http.Request, rc request) error {
	_, id, err := rs.find(r, rc)
	if err != nil {
		return err
	}
	if err := rs.remove(rs.server.directory, r.Context(), rc.token.AuthID, id); err != nil {
		return rs.told(err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// told puts errors of the directory into confd's words. Who else has what is
// taken is not told: that may be another tenant's.
func (rs *resource[T]) told(err error) error {
	var invalid *directory.ErrInvalid
	switch {
	case errors.As(err, &invalid):
		return inputError(confField(invalid.Field), invalid.Text)
	case errors.Is(err, directory.ErrConflict):
		return &confError{http.StatusBadRequest, []string{
			"Resource Error - " + rs.category + " already exists, or a name, an extension or an endpoint of it is taken",
		}}
	case errors.Is(err, directory.ErrNotFound):
		return &confError{http.StatusNotFound, []string{"Resource Not Found - " + rs.category + " was not found"}}
	}
	return err
}

// confField is the name that clients have for a field of the directory.
func confField(name string) string {
	switch name {
	case "first_name":
		return "firstname"
	case "last_name":
		return "lastname"
	case "user_field":
		return "userfield"
	}
	return name
}
