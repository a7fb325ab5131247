package api

import (
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"callrecordd/internal/auth"
)

// Options are what a Server needs.
type Options struct {
	CDRs    CDRs
	Tokens  Tokens
	Tenants Tenants
	Keep    Keep
	// Root is the folder with a folder for each tenant.
	Root string
	Now  func() time.Time
	Log  *slog.Logger
	// Ready says whether everything works and, in one line, what does not.
	Ready func() (ok bool, why string)
}

// Server answers HTTP requests.
type Server struct {
	cdrs    CDRs
	tokens  Tokens
	tenants Tenants
	keep    Keep
	root    string
	now     func() time.Time
	log     *slog.Logger
	ready   func() (bool, string)
}

// New returns a server.
func New(o Options) *Server {
	return &Server{cdrs: o.CDRs, tokens: o.Tokens, tenants: o.Tenants, keep: o.Keep, root: o.Root, now: o.Now, log: o.Log, ready: o.Ready}
}

// request is what authentication found out about a request.
type request struct {
	token auth.Token
	// tenant is the selected one, visible it and its descendants.
	tenant  string
	visible []string
}

// route is one line of the route table.
type route struct {
	method, path string
	// acl may hold path values in braces; dots in a value become underscores
	// (cdr-api 1.8).
	acl string
	// query: ?token= and ?tenant= count, before the headers (cdr-api 1.4).
	query  bool
	handle func(http.ResponseWriter, *http.Request, request) error
}

func (s *Server) routes() []route {
	return append([]route{
		{"GET", "/1.0/cdr", "call-logd.cdr.read", true, s.listCDRs},
		{"GET", "/1.0/cdr/{cdr_id}", "call-logd.cdr.{cdr_id}.read", false, s.getCDR},
		{
			"GET", "/1.0/cdr/{cdr_id}/recordings/{recording_uuid}/media",
			"call-logd.cdr.{cdr_id}.recordings.{recording_uuid}.media.read", true, s.getMedia,
		},
	}, s.keepRoutes()...)
}

// prefixes are the places where the routes are found: at the service's own
// port as Wazo has them, and as its nginx publishes them (design 7).
func prefixes() []string { return []string{"", "/api/call-logd"} }

// Handler serves all routes.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", s.getReady)
	for _, rt := range s.routes() {
		for _, prefix := range prefixes() {
			mux.HandleFunc(rt.method+" "+prefix+rt.path, func(w http.ResponseWriter, r *http.Request) {
				s.serve(w, r, rt)
			})
		}
	}
	return unrouted{mux}
}

// unrouted gives requests that fit no route the answers that clients know
// (cdr-api 1.12) in place of the mux's own.
type unrouted struct{ mux *http.ServeMux }

func (u unrouted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h, pattern := u.mux.Handler(r)
	if pattern != "" {
		u.mux.ServeHTTP(w, r)
		return
	}
	said := verdict{header: make(http.Header)}
	h.ServeHTTP(&said, r)
	if said.status != http.StatusMethodNotAllowed {
		writeNoRoute(w)
		return
	}
	w.Header().Set("Allow", said.header.Get("Allow"))
	writeMessage(w, http.StatusMethodNotAllowed, "The method is not allowed for the requested URL.")
}

// verdict keeps what the mux would answer, without the body.
type verdict struct {
	header http.Header
	status int
}

func (v *verdict) Header() http.Header         { return v.header }
func (v *verdict) WriteHeader(status int)      { v.status = status }
func (v *verdict) Write(p []byte) (int, error) { return len(p), nil }

// getReady is for load balancers and monitoring: no token, and nothing but
// whether all is well goes to strangers.
func (s *Server) getReady(w http.ResponseWriter, _ *http.Request) {
	ok, why := s.ready()
	if !ok {
		s.log.Debug("not ready", "why", why)
		writeMessage(w, http.StatusServiceUnavailable, "not ready: see callrecordd status or the log")
		return
	}
	writeMessage(w, http.StatusOK, "ready")
}

// serve checks token, ACL and tenant, in this order and before any parameter
// (cdr-api 1.6), and turns errors into answers. Ids that are none make no path
// of ours, whoever asks.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, rt route) {
	if !pathFits(r) {
		writeNoRoute(w)
		return
	}
	rc, err := s.authorize(r, rt)
	if err == nil {
		err = rt.handle(w, r, rc)
	}
	var p *problem
	switch {
	case err == nil:
	case errors.As(err, &p):
		writeProblem(w, p, s.now())
	default:
		s.log.Error("request failed", "method", r.Method, "path", r.URL.Path, "err", err)
		writeMessage(w, http.StatusInternalServerError, "Internal Server Error")
	}
}

// pathFits checks the path values that the route has: integers without sign
// and hyphenated uuids, which is what upstream's routes accept.
func pathFits(r *http.Request) bool {
	if v := r.PathValue("cdr_id"); v != "" {
		if _, err := strconv.ParseUint(v, 10, 63); err != nil {
			return false
		}
	}
	for _, name := range []string{"recording_uuid", "export_uuid"} {
		v := r.PathValue(name)
		if _, err := uuid.Parse(v); v != "" && (err != nil || len(v) != len(uuid.Nil.String())) {
			return false
		}
	}
	return true
}

// cdrID is the id in the path, which has been checked.
func cdrID(r *http.Request) int64 {
	id, _ := strconv.ParseInt(r.PathValue("cdr_id"), 10, 64)
	return id
}

func (s *Server) authorize(r *http.Request, rt route) (request, error) {
	required := requiredACL(rt.acl, r)
	secret, tenant, byQuery := r.Header.Get("X-Auth-Token"), r.Header.Get("Wazo-Tenant"), false
	if query := r.URL.Query(); rt.query {
		if query.Has("token") {
			secret = query.Get("token")
		}
		if query.Has("tenant") {
			tenant, byQuery = query.Get("tenant"), true
		}
	}
	token, err := s.tokens.Check(r.Context(), secret)
	if errors.Is(err, auth.ErrInvalidToken) {
		return request{}, unauthorized("not_found_or_expired", required, "")
	}
	if err != nil {
		return request{}, err
	}
	if !token.Allows(required) {
		return request{}, unauthorized("missing_permission_or_invalid_tenant", required, tenant)
	}
	if tenant == "" {
		tenant = token.TenantUUID
	}
	if !slices.Contains(s.tenants.Visible(token.TenantUUID), tenant) {
		if byQuery {
			return request{}, &problem{
				http.StatusUnauthorized, "unauthorized-tenant", "Unauthorized tenant", map[string]any{"tenant_uuid": tenant},
			}
		}
		return request{}, unauthorized("missing_permission_or_invalid_tenant", required, tenant)
	}
	return request{token: token, tenant: tenant, visible: s.tenants.Visible(tenant)}, nil
}

func requiredACL(pattern string, r *http.Request) string {
	parts := strings.Split(pattern, ".")
	for i, p := range parts {
		if strings.HasPrefix(p, "{") {
			parts[i] = auth.EscapeWord(r.PathValue(strings.Trim(p, "{}")))
		}
	}
	return strings.Join(parts, ".")
}

const defaultLimit = 1000

func (s *Server) listCDRs(w http.ResponseWriter, r *http.Request, rc request) error {
	p := newParams(r.URL.Query())
	q := Query{
		Tenants: []string{rc.tenant},
		From:    p.datetime("from"),
		Until:   p.datetime("until"),
		Limit:   p.count("limit", defaultLimit),
		Offset:  p.count("offset", 0),
	}
	q.Descending = p.choice("direction", "desc", "asc", "desc") == "desc"
	if p.boolean("recurse", false) {
		q.Tenants = rc.visible
	}
	if problem := p.problem(); problem != nil {
		return problem
	}
	page, err := s.cdrs.List(r.Context(), q)
	if err != nil {
		return err
	}
	out := struct {
		Items    []cdrJSON `json:"items"`
		Total    int       `json:"total"`
		Filtered int       `json:"filtered"`
	}{Items: make([]cdrJSON, 0, len(page.Items)), Total: page.Total, Filtered: page.Filtered}
	for _, item := range page.Items {
		out.Items = append(out.Items, toJSON(item, q.Tenants))
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

func (s *Server) getCDR(w http.ResponseWriter, r *http.Request, rc request) error {
	id := cdrID(r)
	record, ok, err := s.cdrs.ByID(r.Context(), id, rc.visible)
	if err != nil {
		return err
	}
	if !ok {
		return cdrNotFound(id)
	}
	writeJSON(w, http.StatusOK, toJSON(record, rc.visible))
	return nil
}
