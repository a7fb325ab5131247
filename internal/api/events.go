package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"time"

	"callrecordd/internal/auth"
	"callrecordd/internal/events"
)

// Feed is what is followed by streams.
type Feed interface {
	events.Source
	// Join takes a place for an account among those that follow; ok is false if
	// there is none, or the account has its share.
	Join(who string) (leave func(), ok bool)
	// Last is the newest row.
	Last(ctx context.Context) (int64, error)
	// Done is closed when the daemon stops.
	Done() <-chan struct{}
}

const (
	// beat is how often it is looked whether the client is there and still may.
	beat = 5 * time.Second
	// slowReader is how long a client of a stream may take nothing.
	slowReader = 10 * time.Second
)

// Why a stream ends.
var (
	errRevoked  = errors.New("the token has expired or was revoked")
	errStopping = errors.New("the daemon stops")
)

// eventRoutes are the rows of streams.
func (s *Server) eventRoutes() []route {
	return []route{
		{
			service: CallLogd, method: "GET", path: "/events", acl: "call-logd.events.read", queryToken: true, queryTenant: true,
			summary: "Follow events, as server-sent events",
			query: []param{
				{name: "event", kind: text, array: true, about: "Only events of these names."},
				{name: "recurse", kind: boolean, about: "Those of the tenants below as well."},
				{name: "last_event_id", kind: text, about: "Go on behind this event, as the header Last-Event-ID does."},
			},
			answers: []answerRow{{status: http.StatusOK, about: "Events, until one side ends it", media: []string{eventStream}}},
			handle:  s.sendEvents,
		},
		{
			service: Websocketd, method: "GET", path: "/", also: []string{""}, acl: "websocketd", queryToken: true,
			summary: "Follow events, as Wazo's websocketd has them",
			query: []param{
				{name: "version", kind: integer, about: "Of the protocol: 1 or 2; 1 is the default."},
				{name: "recurse", kind: boolean, about: "Those of the tenants below as well; so it is for the master tenant."},
			},
			answers: []answerRow{{status: http.StatusSwitchingProtocols, about: "A websocket"}},
			handle:  s.websocket, refuse: s.refuseWebsocket,
		},
	}
}

const eventStream = "text/event-stream"

func tooManyStreams() *problem {
	return &problem{
		http.StatusServiceUnavailable, "too-many-streams", "Too many clients, or too many of this account, follow events: end one, or raise http.streams", nil,
	}
}

// viewer is who follows: all of it is looked up anew for each event, so that
// what is revoked counts at once.
type viewer struct {
	s        *Server
	secret   string
	required string // access that keeps the stream open
	tenant   string // empty: the token's
	recurse  bool
	names    []string
}

func (v viewer) filter(ctx context.Context) (events.Filter, error) {
	token, err := v.s.tokens.Check(ctx, v.secret)
	if errors.Is(err, auth.ErrInvalidToken) || err == nil && !token.Allows(v.required) {
		return events.Filter{}, errRevoked
	}
	if err != nil {
		return events.Filter{}, err
	}
	tenant := v.tenant
	if tenant == "" {
		tenant = token.TenantUUID
	}
	if !slices.Contains(v.s.tenants.Visible(token.TenantUUID), tenant) {
		return events.Filter{}, errRevoked
	}
	f := events.Filter{Tenants: []string{tenant}, ACL: token.Access(), Names: v.names}
	if v.recurse {
		f.Tenants = v.s.tenants.Visible(tenant)
	}
	return f, nil
}

// behindAll is the place behind all that is there.
func (s *Server) behindAll(ctx context.Context) (events.Position, error) {
	last, err := s.feed.Last(ctx)
	return events.Position{Row: last, Part: math.MaxInt32}, err
}

// resumeAt is where a client goes on. An id from the future, such as that of a
// database that was restored since, is the present.
func (s *Server) resumeAt(r *http.Request, p *params) (events.Position, error) {
	now, err := s.behindAll(r.Context())
	text := r.Header.Get("Last-Event-ID")
	if text == "" {
		text = p.values.Get("last_event_id")
	}
	if err != nil || text == "" {
		return now, err
	}
	at, err := events.Parse(text)
	if err != nil {
		p.typeError("last_event_id", "Not the id of an event.", "id")
		return now, nil
	}
	if now.Before(at) {
		return now, nil
	}
	return at, nil
}

// sendEvents is for curl and browsers' EventSource.
func (s *Server) sendEvents(w http.ResponseWriter, r *http.Request, rc request) error {
	p := newParams(queryOf(r))
	v := viewer{s: s, secret: rc.secret, required: rc.required, tenant: rc.tenant, recurse: p.boolean("recurse", false), names: p.words("event")}
	if len(v.names) == 0 {
		v.names = []string{events.Any}
	}
	from, err := s.resumeAt(r, p)
	if err != nil {
		return err
	}
	if problem := p.problem(); problem != nil {
		return problem
	}
	h := w.Header()
	h.Set("Content-Type", eventStream)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would keep events back
	if r.Method == http.MethodHead { // there is no end to wait for
		w.WriteHeader(http.StatusOK)
		return nil
	}
	leave, ok := s.feed.Join(rc.token.AuthID)
	if !ok {
		return tooManyStreams()
	}
	defer leave()
	if out, ok := w.(*patient); ok {
		out.stall = slowReader
	}
	out := eventWriter{w: w, flush: http.NewResponseController(w).Flush}
	w.WriteHeader(http.StatusOK)
	if err := out.write("retry: 3000\n\n"); err != nil {
		return nil
	}
	tick := time.NewTicker(beat)
	defer tick.Stop()
	err = events.Follower{
		From: from, Filter: v.filter,
		Emit: func(_ context.Context, e events.Event) error {
			data, err := json.Marshal(e)
			if err != nil {
				return err
			}
			return out.write(fmt.Sprintf("id: %s\nevent: %s\ndata: %s\n\n", e.ID, e.Name, data))
		},
		Idle: func(ctx context.Context, news <-chan struct{}) error {
			return s.idle(ctx, news, tick.C, func() error {
				if _, err := v.filter(ctx); err != nil {
					return err
				}
				return out.write(":\n\n")
			})
		},
	}.Follow(r.Context(), s.feed)
	s.log.Debug("a stream of events has ended", "why", err)
	if errors.Is(err, errRevoked) || errors.Is(err, errStopping) {
		_ = out.write(fmt.Sprintf("event: end\ndata: {\"reason\":%q}\n\n", err)) // the client may be gone
	}
	return nil // it is told already
}

// idle waits until there may be news, and calls alive now and then.
func (s *Server) idle(ctx context.Context, news <-chan struct{}, tick <-chan time.Time, alive func() error) error {
	select {
	case <-s.feed.Done():
		return errStopping
	default:
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-s.feed.Done():
		return errStopping
	case <-news:
		return nil
	case <-tick:
		return alive()
	}
}

// eventWriter sends each piece at once.
type eventWriter struct {
	w     http.ResponseWriter
	flush func() error
}

func (o eventWriter) write(text string) error {
	if _, err := o.w.Write([]byte(text)); err != nil {
		return err
	}
	return o.flush()
}
