// Package control is the way in for people on the host: JSON over a unix
// socket whose file permission is the authority (design 8). The handler runs
// in the daemon, the Client in the command line; without a daemon the same
// handler is called in-process on the database, under the same lock.
//
// It may import directory and auth; it knows neither SQLite nor Asterisk.
package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"callrecordd/internal/auth"
	"callrecordd/internal/directory"
)

// maxBody bounds what a request may send.
const maxBody = 16 << 20

// actorHeader says who is at the keyboard; the socket's permission says that
// they may.
const actorHeader = "X-Callrecordd-Actor"

// Options are what the handler serves.
type Options struct {
	Directory *directory.Service
	Tokens    *auth.Service
	Accounts  *auth.Accounts
	// Discover asks Asterisk for endpoints and queues; nil without a daemon.
	Discover func(context.Context) (directory.Found, error)
	// Status describes the daemon; nil without one.
	Status func() any
	// Live lists the talks that go on; Request starts, stops, pauses or resumes
	// the recording of the one a channel is in. Nil without a daemon.
	Live    func(context.Context) (any, error)
	Request func(ctx context.Context, channel, op, actor string) (any, error)
	// Routes are those of parts that this package does not know.
	Routes []Route
	Log    *slog.Logger
}

// Route is a command of another part. Its handler gets the body that was sent;
// what it returns is sent as JSON. A *Failure says the status.
type Route struct {
	Pattern string // of net/http, such as GET /v1/exports
	Handle  func(r *http.Request, body []byte) (any, error)
}

// Failure is an error as it travels over the socket.
type Failure struct {
	Status  int    `json:"-"`
	Message string `json:"error"`
}

// Error implements error.
func (f *Failure) Error() string { return f.Message }

// resource is one kind of directory entry on the socket.
type resource struct {
	name   string
	list   func(*directory.Book) any
	create func(ctx context.Context, actor string, body []byte) (any, error)
	edit   func(ctx context.Context, actor, key string, body []byte) (any, error)
	remove func(ctx context.Context, actor, key string) error
}

// entity makes a resource of the three methods that the directory has for
// each kind; those of features cannot be made or deleted. An edit sends only
// the fields that change.
func entity[T any](name string,
	list func(directory.Contents) []T,
	create func(context.Context, string, T) (T, error),
	edit func(context.Context, string, string, func(*T) error) (T, error),
	remove func(context.Context, string, string) error,
) resource {
	r := resource{
		name: name, remove: remove,
		list: func(b *directory.Book) any {
			if l := list(b.Contents()); l != nil {
				return l
			}
			return []T{}
		},
	}
	if create != nil {
		r.create = func(ctx context.Context, actor string, body []byte) (any, error) {
			var v T
			if err := strict(body, &v); err != nil {
				return nil, err
			}
			return create(ctx, actor, v)
		}
	}
	if edit != nil {
		r.edit = func(ctx context.Context, actor, key string, body []byte) (any, error) {
			return edit(ctx, actor, key, func(v *T) error { return patch(body, v) })
		}
	}
	return r
}

func resources(d *directory.Service) []resource {
	return []resource{
		entity("tenants", func(c directory.Contents) []directory.Tenant { return c.Tenants },
			d.CreateTenant, d.EditTenant, d.DeleteTenant),
		entity("users", func(c directory.Contents) []directory.User { return c.Users },
			d.CreateUser, d.EditUser, d.DeleteUser),
		entity("groups", func(c directory.Contents) []directory.Group { return c.Groups },
			d.CreateGroup, d.EditGroup, d.DeleteGroup),
		entity("queues", func(c directory.Contents) []directory.Queue { return c.Queues },
			d.CreateQueue, d.EditQueue, d.DeleteQueue),
		entity("trunks", func(c directory.Contents) []directory.Trunk { return c.Trunks },
			d.CreateTrunk, d.EditTrunk, d.DeleteTrunk),
		entity("devices", func(c directory.Contents) []directory.Device { return c.Devices },
			d.CreateDevice, nil, d.DeleteDevice),
		entity("features", func(c directory.Contents) []directory.Feature { return c.Features },
			nil, d.EditFeature, nil),
	}
}

// NewHandler serves the socket.
func NewHandler(o Options) http.Handler {
	h := handler{o}
	mux := http.NewServeMux()
	for _, r := range resources(o.Directory) {
		mux.HandleFunc("GET /v1/"+r.name, h.wrap(func(*http.Request, []byte) (any, error) {
			return r.list(o.Directory.Book()), nil
		}))
		if r.create != nil {
			mux.HandleFunc("POST /v1/"+r.name, h.wrap(func(req *http.Request, body []byte) (any, error) {
				return r.create(req.Context(), actor(req), body)
			}))
		}
		if r.remove != nil {
			mux.HandleFunc("DELETE /v1/"+r.name+"/{key...}", h.wrap(func(req *http.Request, _ []byte) (any, error) {
				return nil, r.remove(req.Context(), actor(req), req.PathValue("key"))
			}))
		}
		if r.edit != nil {
			mux.HandleFunc("PATCH /v1/"+r.name+"/{key}", h.wrap(func(req *http.Request, body []byte) (any, error) {
				return r.edit(req.Context(), actor(req), req.PathValue("key"), body)
			}))
		}
	}
	h.accountRoutes(mux)
	mux.HandleFunc("GET /v1/tokens", h.wrap(h.listTokens))
	mux.HandleFunc("POST /v1/tokens", h.wrap(h.createToken))
	mux.HandleFunc("DELETE /v1/tokens/{id}", h.wrap(h.revokeToken))
	mux.HandleFunc("POST /v1/import/plan", h.wrap(h.planImport))
	mux.HandleFunc("POST /v1/import/apply", h.wrap(h.applyImport))
	mux.HandleFunc("GET /v1/live", h.wrap(h.live))
	for _, op := range []string{"start", "stop", "pause", "resume"} {
		mux.HandleFunc("POST /v1/live/{channel}/"+op, h.wrap(func(req *http.Request, _ []byte) (any, error) {
			return h.request(req.Context(), req.PathValue("channel"), op, actor(req))
		}))
	}
	mux.HandleFunc("GET /v1/status", h.wrap(h.status))
	for _, rt := range o.Routes {
		mux.HandleFunc(rt.Pattern, h.wrap(rt.Handle))
	}
	mux.HandleFunc("/", h.wrap(func(req *http.Request, _ []byte) (any, error) {
		return nil, &Failure{http.StatusNotFound, fmt.Sprintf("the control socket knows no %s %s; "+
			"are the daemon and the command line of the same version?", req.Method, req.URL.Path)}
	}))
	return mux
}

type handler struct{ Options }

// Actor is who is at the keyboard, for events.
func Actor(r *http.Request) string { return actor(r) }

func actor(r *http.Request) string {
	if a := r.Header.Get(actorHeader); a != "" {
		return a
	}
	return "cli"
}

// Strict reads a JSON object and refuses unknown keys: a misspelt rule that is silently ignored is a
// call that is not recorded.
func Strict(body []byte, v any) error { return strict(body, v) }

func strict(body []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	switch {
	case errors.Is(err, io.EOF):
		return &Failure{http.StatusBadRequest, "the request is empty; it must be a JSON object"}
	case err != nil:
		return &Failure{http.StatusBadRequest, "the request cannot be read: " + strings.TrimPrefix(err.Error(), "json: ")}
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return &Failure{http.StatusBadRequest, "the request cannot be read: something follows the JSON object"}
	}
	return nil
}

// patch puts what body names into v and leaves the rest. Lines are replaced as
// a whole: the decoder would fill those that are there and keep of each what
// the new one leaves out.
func patch(body []byte, v any) error {
	u, ok := v.(*directory.User)
	if !ok {
		return strict(body, v)
	}
	old := u.Lines
	u.Lines = nil
	err := strict(body, u)
	if u.Lines == nil {
		u.Lines = old
	}
	return err
}

func (h handler) wrap(fn func(*http.Request, []byte) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		var v any
		if err == nil {
			v, err = fn(r, body)
		}
		w.Header().Set("Content-Type", "application/json")
		if err != nil {
			f := h.failure(r, err)
			w.WriteHeader(f.Status)
			v = f
		} else if v == nil {
			v = struct{}{}
		}
		if err := json.NewEncoder(w).Encode(v); err != nil {
			h.Log.Debug("answer to the command line could not be written", "err", err)
		}
	}
}

func (h handler) failure(r *http.Request, err error) *Failure {
	var f *Failure
	var invalid *directory.ErrInvalid
	var badAccount *auth.ErrInvalid
	var taken *auth.ErrTaken
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &large):
		return &Failure{http.StatusRequestEntityTooLarge, fmt.Sprintf("the request has more than %d bytes", large.Limit)}
	case errors.As(err, &invalid), errors.As(err, &badAccount):
		return &Failure{http.StatusBadRequest, err.Error()}
	case errors.Is(err, directory.ErrNotFound), errors.Is(err, auth.ErrNotFound):
		return &Failure{http.StatusNotFound, err.Error()}
	case errors.Is(err, directory.ErrConflict), errors.Is(err, auth.ErrReadOnly), errors.As(err, &taken):
		return &Failure{http.StatusConflict, err.Error()}
	}
	h.Log.Error("command failed", "method", r.Method, "path", r.URL.Path, "err", err)
	return &Failure{http.StatusInternalServerError, err.Error()}
}

// TokenRequest asks for a token. Lifetime is a Go duration, empty for ever.
type TokenRequest struct {
	TenantUUID  string   `json:"tenant_uuid"` // empty: the master tenant
	UserUUID    string   `json:"user_uuid,omitempty"`
	Description string   `json:"description"`
	ACL         []string `json:"acl"`
	Lifetime    string   `json:"lifetime,omitempty"`
}

// NewToken is the one answer that contains a token's secret.
type NewToken struct {
	Secret string     `json:"token"`
	Token  auth.Token `json:"about"`
}

func (h handler) listTokens(r *http.Request, _ []byte) (any, error) {
	list, err := h.Tokens.List(r.Context(), auth.TokenFilter{})
	if list == nil {
		list = []auth.Token{}
	}
	return list, err
}

func (h handler) createToken(r *http.Request, body []byte) (any, error) {
	var req TokenRequest
	if err := strict(body, &req); err != nil {
		return nil, err
	}
	book := h.Directory.Book()
	if req.TenantUUID == "" {
		req.TenantUUID = book.Master().UUID
	}
	if _, ok := book.Tenant(req.TenantUUID); !ok {
		return nil, &Failure{http.StatusNotFound, fmt.Sprintf("tenant %q does not exist", req.TenantUUID)}
	}
	var lifetime time.Duration
	if req.Lifetime != "" {
		var err error
		if lifetime, err = time.ParseDuration(req.Lifetime); err != nil {
			return nil, &Failure{http.StatusBadRequest, fmt.Sprintf("lifetime %q: use a number with a unit, e.g. 24h", req.Lifetime)}
		}
	}
	secret, token, err := h.Tokens.Create(r.Context(), actor(r), auth.Request{
		TenantUUID: req.TenantUUID, UserUUID: req.UserUUID, Description: req.Description,
		ACL: req.ACL, Lifetime: lifetime,
	})
	if err != nil {
		return nil, err
	}
	return NewToken{secret.Reveal(), token}, nil
}

func (h handler) revokeToken(r *http.Request, _ []byte) (any, error) {
	return nil, h.Tokens.Revoke(r.Context(), actor(r), r.PathValue("id"))
}

// noDaemon answers what only the daemon can.
func noDaemon(why string) error {
	return &Failure{http.StatusServiceUnavailable, "the daemon is not running, and " + why + ": start it first"}
}

func (h handler) live(r *http.Request, _ []byte) (any, error) {
	if h.Live == nil {
		return nil, noDaemon("only it knows the calls")
	}
	return h.Live(r.Context())
}

func (h handler) request(ctx context.Context, channel, op, actor string) (any, error) {
	if h.Request == nil {
		return nil, noDaemon("only it knows the calls")
	}
	return h.Request(ctx, channel, op, actor)
}

func (h handler) planImport(r *http.Request, _ []byte) (any, error) {
	if h.Discover == nil {
		return nil, noDaemon("only it is connected to Asterisk")
	}
	found, err := h.Discover(r.Context())
	if err != nil {
		return nil, &Failure{http.StatusServiceUnavailable, err.Error()}
	}
	return directory.PlanImport(h.Directory.Book(), found), nil
}

// Applied answers an import.
type Applied struct {
	Changed int `json:"changed"`
}

func (h handler) applyImport(r *http.Request, body []byte) (any, error) {
	var plan directory.Plan
	if err := strict(body, &plan); err != nil {
		return nil, err
	}
	n, err := h.Directory.Apply(r.Context(), actor(r), plan)
	return Applied{n}, err
}

func (h handler) status(*http.Request, []byte) (any, error) {
	if h.Status == nil {
		return nil, &Failure{http.StatusServiceUnavailable, "the daemon is not running"}
	}
	return h.Status(), nil
}
