package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"callrecordd/internal/events"
)

// Wazo's close codes, and one of ours.
const (
	closeNoToken     websocket.StatusCode = 4001
	closeAuthFailed  websocket.StatusCode = 4002
	closeAuthExpired websocket.StatusCode = 4003
	closeProtocol    websocket.StatusCode = 4004
	closeTooSlow     websocket.StatusCode = 4008
)

const (
	// maxCommand bounds what a client sends, maxSubscribed to how many names.
	maxCommand    = 4 << 10
	maxSubscribed = 100
	// dragging is how long a client may take over an event without being told
	// that it is too slow.
	dragging = slowReader / 2
)

var (
	errProtocol = errors.New("the server did not understand the frame")
	errTooSlow  = errors.New("the client takes events too slowly")
	errBadToken = errors.New("the new token is not valid")
)

// command is what a client sends.
type command struct {
	Op   string `json:"op"`
	Data *struct {
		EventName *string `json:"event_name"`
		Token     *string `json:"token"`
		Payload   *string `json:"payload"`
	} `json:"data"`
}

// frame is what the server sends.
type frame struct {
	Op   string `json:"op"`
	Code int    `json:"code"`
	Data any    `json:"data"`
}

func isUpgrade(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

func accept(w http.ResponseWriter, r *http.Request) (*websocket.Conn, error) {
	// Pages of any origin may connect, as upstream: they need a token, and
	// browsers send none by themselves.
	return websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
}

// refuseWebsocket tells a client by a close code, which is all that pages see,
// that it may not follow.
func (s *Server) refuseWebsocket(w http.ResponseWriter, r *http.Request, err error) (told bool) {
	refused, ok := errors.AsType[*problem](err)
	if !ok || refused.status != http.StatusUnauthorized || !isUpgrade(r) {
		return false
	}
	conn, err := accept(w, r)
	if err != nil {
		return true // Accept has answered
	}
	code, why := closeAuthFailed, "authentication failed"
	if r.Header.Get("X-Auth-Token") == "" && r.URL.Query().Get("token") == "" {
		code, why = closeNoToken, "no token"
	}
	_ = conn.Close(code, why) // the client may be gone, which is its own affair
	return true
}

// websocket is Wazo's websocketd: init, subscribe, start, event, token, ping.
func (s *Server) websocket(w http.ResponseWriter, r *http.Request, rc request) error {
	if !isUpgrade(r) {
		w.Header().Set("Upgrade", "websocket")
		return &problem{http.StatusUpgradeRequired, "websocket-required", "This is a websocket", nil}
	}
	p := newParams(queryOf(r))
	recurse := p.boolean("recurse", rc.token.TenantUUID == s.tenants.Master())
	version := p.count("version", 1)
	leave, ok := s.feed.Join(rc.token.AuthID)
	if !ok {
		return tooManyStreams()
	}
	defer leave()
	conn, err := accept(w, r)
	if err != nil {
		s.log.Debug("a websocket was not accepted", "err", err)
		return nil // Accept has answered
	}
	conn.SetReadLimit(maxCommand)
	if p.problem() != nil || version < 1 || version > 2 {
		_ = conn.Close(closeProtocol, "version 1 and 2 are known")
		return nil
	}
	session := &session{
		s: s, conn: conn, version: version, started: make(chan struct{}),
		viewer: viewer{s: s, secret: rc.secret, required: rc.required, recurse: recurse},
	}
	why := session.run(r.Context())
	s.log.Debug("a websocket of events has ended", "why", why)
	code, reason := closing(why)
	_ = conn.Close(code, reason) // it may be closed already
	return nil
}

// closing is how the client is told why.
func closing(why error) (websocket.StatusCode, string) {
	switch {
	case errors.Is(why, errRevoked):
		return closeAuthExpired, "authentication expired"
	case errors.Is(why, errBadToken):
		return closeAuthFailed, "authentication failed"
	case errors.Is(why, errProtocol):
		return closeProtocol, why.Error()
	case errors.Is(why, errTooSlow):
		return closeTooSlow, "too slow: connect again"
	case errors.Is(why, errStopping):
		return websocket.StatusGoingAway, "the server stops"
	}
	return websocket.StatusInternalError, ""
}

// session is one client of the websocket.
type session struct {
	s       *Server
	conn    *websocket.Conn
	version int
	started chan struct{} // closed when the client wants events

	mu     sync.Mutex
	viewer viewer
	begun  bool
	from   events.Position // set when it has begun
}

// run returns why it is over; the connection is open then, so that the client
// can be told. What is sent has the context of the request: one that ends with
// the session would cut the connection.
func (n *session) run(request context.Context) error {
	ctx, cancel := context.WithCancelCause(request)
	defer cancel(nil)
	if err := n.send(request, frame{Op: "init", Data: map[string]int{"version": n.version}}); err != nil {
		return err
	}
	go func() { cancel(n.read(request)) }() // ends with the connection
	tick := time.NewTicker(beat)
	defer tick.Stop()
	idle := func(_ context.Context, news <-chan struct{}) error {
		return n.s.idle(ctx, news, tick.C, func() error { return n.alive(request) })
	}
	err := n.await(ctx, idle)
	if err == nil {
		err = events.Follower{
			From: n.from, Filter: n.filter, Idle: idle,
			Emit: func(_ context.Context, e events.Event) error { return n.emit(request, e) },
		}.Follow(ctx, n.s.feed)
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// await waits for the start.
func (n *session) await(ctx context.Context, idle func(context.Context, <-chan struct{}) error) error {
	for {
		select {
		case <-n.started:
			return nil
		default:
		}
		if err := idle(ctx, n.started); err != nil {
			return err
		}
	}
}

// alive looks whether the client is there and still may.
func (n *session) alive(ctx context.Context) error {
	if _, err := n.filter(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, slowReader)
	defer cancel()
	return n.conn.Ping(ctx)
}

func (n *session) filter(ctx context.Context) (events.Filter, error) {
	n.mu.Lock()
	v := n.viewer
	v.names = slices.Clone(v.names)
	n.mu.Unlock()
	return v.filter(ctx)
}

func (n *session) emit(ctx context.Context, e events.Event) error {
	begun := time.Now()
	var err error
	if n.version == 1 {
		err = n.send(ctx, e)
	} else {
		err = n.send(ctx, frame{Op: "event", Data: e})
	}
	if err == nil && time.Since(begun) > dragging {
		return errTooSlow
	}
	return err
}

// send gives the client slowReader; after that the connection is cut, for a
// close frame could not be sent either.
func (n *session) send(ctx context.Context, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, slowReader)
	defer cancel()
	return n.conn.Write(ctx, websocket.MessageText, data)
}

// read does what the client says until something ends it.
func (n *session) read(ctx context.Context) error {
	for {
		kind, data, err := n.conn.Read(ctx)
		if err != nil {
			return err
		}
		c, err := parseCommand(kind == websocket.MessageText, data)
		if err != nil {
			return err
		}
		if err := n.do(ctx, c); err != nil {
			return err
		}
	}
}

// parseCommand reads a frame; every error is errProtocol.
func parseCommand(text bool, data []byte) (command, error) {
	var c command
	if !text || json.Unmarshal(data, &c) != nil {
		return c, errProtocol
	}
	has := func(value func() *string) bool { return c.Data != nil && value() != nil }
	ok := false
	switch c.Op {
	case "subscribe":
		ok = has(func() *string { return c.Data.EventName })
	case "token":
		ok = has(func() *string { return c.Data.Token })
	case "ping":
		ok = has(func() *string { return c.Data.Payload })
	case "start":
		ok = true
	}
	if !ok {
		return c, errProtocol
	}
	return c, nil
}

// do obeys a command. In version 1 a session that has started is sent nothing
// but events.
func (n *session) do(ctx context.Context, c command) error {
	n.mu.Lock()
	answers := !n.begun || n.version == 2
	n.mu.Unlock()
	answer := frame{Op: c.Op}
	switch c.Op {
	case "subscribe":
		if err := n.subscribe(*c.Data.EventName); err != nil {
			return err
		}
	case "token":
		if err := n.renew(ctx, *c.Data.Token); err != nil {
			return err
		}
	case "ping":
		answer, answers = frame{Op: "pong", Data: map[string]string{"payload": *c.Data.Payload}}, n.version == 2
	case "start":
		return n.start(ctx)
	}
	if !answers {
		return nil
	}
	return n.send(ctx, answer)
}

func (n *session) subscribe(name string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case slices.Contains(n.viewer.names, name):
	case len(n.viewer.names) >= maxSubscribed:
		return errProtocol
	default:
		n.viewer.names = append(n.viewer.names, name)
	}
	return nil
}

// renew goes on with another token, and sees what that may.
func (n *session) renew(ctx context.Context, secret string) error {
	n.mu.Lock()
	v := n.viewer
	n.mu.Unlock()
	v.secret = secret
	if _, err := v.filter(ctx); err != nil {
		return errBadToken
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.viewer.secret = secret
	return nil
}

// start answers before the first event can come, and what happens after the
// answer is an event.
func (n *session) start(ctx context.Context) error {
	from, err := n.s.behindAll(ctx)
	if err != nil {
		return err
	}
	if err := n.send(ctx, frame{Op: "start"}); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.begun {
		n.begun, n.from = true, from
		close(n.started)
	}
	return nil
}
