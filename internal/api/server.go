package api

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"callrecordd/internal/auth"
	"callrecordd/internal/recorder"
)

// Options are what a Server needs.
type Options struct {
	CDRs    CDRs
	Tokens  Tokens
	Tenants Tenants
	Keep    Keep
	Why     Why
	Audit   Audit
	// Note stores an event durably. Optional: without it who is given audio is on
	// no record.
	Note func(ctx context.Context, e recorder.Event) error
	// Root is the folder with a folder for each tenant.
	Root string
	Now  func() time.Time
	Log  *slog.Logger
	// Ready says whether everything works and, in one line, what does not.
	Ready func() (ok bool, why string)
	// Health is for /status, Config, without secrets, for /config.
	Health func() Health
	// Metrics writes figures for Prometheus.
	Metrics func(io.Writer) error
	Config  func() map[string]any
	// Debug switches debug messages in the log on or off. Config tells of it.
	Debug func(on bool, actor string)
	// Signer signs links.
	Signer *auth.Signer
	// Proxies are those whose word is taken for who asks, and how.
	Proxies []netip.Prefix
	// Accounts is the auth service.
	Accounts AccountOptions
	// Calls are those that go on.
	Calls     Calls
	Directory Directory
	Toggle    ToggleKey
	// Feed has the events, Webhooks who is told of them.
	Feed     Feed
	Webhooks Webhooks
}

// Server answers HTTP requests.
type Server struct {
	cdrs    CDRs
	tokens  Tokens
	tenants Tenants
	keep    Keep
	why     Why
	audit   Audit
	reads   *reads
	root    string
	now     func() time.Time
	log     *slog.Logger
	ready   func() (bool, string)
	health  func() Health
	metrics func(io.Writer) error
	config  func() map[string]any
	debug   func(on bool, actor string)
	signer  *auth.Signer
	proxies []netip.Prefix

	accounts AccountOptions
	calls    Calls

	directory Directory
	toggle    ToggleKey
	feed      Feed
	webhooks  Webhooks
	resources []routed
}

// New returns a server.
func New(o Options) *Server {
	s := &Server{
		cdrs: o.CDRs, tokens: o.Tokens, tenants: o.Tenants, keep: o.Keep, why: o.Why, audit: o.Audit, reads: newReads(o.Note, o.Now), root: o.Root, now: o.Now, log: o.Log, ready: o.Ready,
		health: o.Health, metrics: o.Metrics, config: o.Config, debug: o.Debug, signer: o.Signer, proxies: o.Proxies,
		accounts: o.Accounts, calls: o.Calls, directory: o.Directory, toggle: o.Toggle,
		feed: o.Feed, webhooks: o.Webhooks,
	}
	s.resources = s.confResources()
	return s
}

// Handler serves what a service has at its own port, and everything as Wazo's
// nginx publishes it, below /api/<service> (design 7). Without a service it is
// the latter alone.
func (s *Server) Handler(own Service) http.Handler { return s.handlerOf(own, s.routes()) }

// handlerOf serves a route table.
func (s *Server) handlerOf(own Service, rows []route) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", s.getReady)
	mux.HandleFunc("GET /openapi.json", s.getOpenAPI(rows))
	for _, rt := range rows {
		serve := func(prefix, path string) {
			if strings.HasSuffix(path, "/") {
				path += "{$}" // not all that begins so
			}
			mux.HandleFunc(rt.method+" "+prefix+path, func(w http.ResponseWriter, r *http.Request) {
				s.serve(w, r, rt, prefix)
			})
		}
		serve(rt.service.published(), rt.service.version()+rt.plainPath())
		if rt.service == own {
			serve("", rt.service.version()+rt.plainPath())
		}
		for _, path := range rt.also {
			serve(rt.service.published(), rt.plain(path))
		}
	}
	return edge{own, mux, bodyTime}
}

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

// failure is an error that knows how clients are told. problem is the usual
// one; a service whose errors have another shape has its own.
type failure interface {
	error
	write(w http.ResponseWriter, now time.Time)
}

// serve checks token, ACL and tenant, in this order and before any parameter
// (cdr-api 1.6), and turns errors into answers.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, rt route, prefix string) {
	if !rt.fits(r) {
		writeNoRoute(w)
		return
	}
	rc, err := s.authorize(r, rt)
	if err == nil {
		rc.origin, rc.route = s.originOf(r, prefix), rt
		err = rt.handle(w, r, rc)
	} else if rt.refuse != nil && rt.refuse(w, r, err) {
		return
	}
	var f failure
	var big *http.MaxBytesError
	switch {
	case err == nil:
	case errors.As(err, &f):
		if rt.service == Confd {
			f = inConfd(f)
		}
		f.write(w, s.now())
	case errors.As(err, &big):
		writeMessage(w, http.StatusRequestEntityTooLarge, "The data value transmitted exceeds the capacity limit.")
	default:
		s.log.Error("request failed", "method", r.Method, "route", rt.path, "err", err)
		if rt.service == Confd {
			writeJSON(w, http.StatusInternalServerError, []string{"Unexpected error: Internal Server Error"})
			return
		}
		writeMessage(w, http.StatusInternalServerError, "Internal Server Error")
	}
}

// cdrID is the id in the path, which has been checked.
func cdrID(r *http.Request) int64 {
	id, _ := strconv.ParseInt(r.PathValue("cdr_id"), 10, 64)
	return id
}

func (s *Server) authorize(r *http.Request, rt route) (request, error) {
	if rt.acl == "" {
		return request{}, nil
	}
	required, query := rt.required(r), r.URL.Query()
	secret := r.Header.Get("X-Auth-Token")
	if rt.queryToken && query.Get("token") != "" {
		secret = query.Get("token")
	}
	token, err := s.tokens.Check(r.Context(), secret)
	if errors.Is(err, auth.ErrInvalidToken) {
		return request{}, unauthorized("not_found_or_expired", required, "")
	}
	if err != nil {
		s.log.Error("tokens cannot be checked", "err", err)
		return request{}, tokensUnreachable()
	}
	tenant := r.Header.Get("Wazo-Tenant")
	if !token.Allows(required) {
		return request{}, unauthorized("missing_permission_or_invalid_tenant", required, tenant)
	}
	if tenant == "" {
		tenant = token.TenantUUID
	}
	mine := s.tenants.Visible(token.TenantUUID)
	if !slices.Contains(mine, tenant) {
		if rt.service == Auth { // which tells the two apart
			return request{}, unauthorizedTenant(tenant)
		}
		return request{}, unauthorized("missing_permission_or_invalid_tenant", required, tenant)
	}
	if rt.master && token.TenantUUID != s.tenants.Master() {
		return request{}, unauthorized("missing_permission_or_invalid_tenant", required, tenant)
	}
	if asked := query.Get("tenant"); rt.queryTenant && asked != "" {
		if tenant = asked; !slices.Contains(mine, tenant) {
			return request{}, unauthorizedTenant(tenant)
		}
	}
	return request{token: token, tenant: tenant, visible: s.tenants.Visible(tenant), secret: secret, required: required}, nil
}
