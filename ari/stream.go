package ari

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"callrecordd/ari/internal/backoff"

	"github.com/coder/websocket"
)

const (
	defaultQueue    = 8192
	pingInterval    = 10 * time.Second
	slowRetry       = 30 * time.Second
	readLimit       = 4 << 20
	eventReplaced   = "ApplicationReplaced"
	subprotocolName = "ari"
)

// Sink receives what the stream yields. Its methods are called one at a time,
// from one goroutine, in order.
type Sink interface {
	// Connected is called after each connect, with the event filter in place
	// and before any event of the session: resync here. ctx ends with the
	// session. An error gives the session up; Disconnected is not called then.
	Connected(ctx context.Context, s Session) error
	// Event takes one event. Slowness here fills the queue.
	Event(Event)
	// Disconnected is called once for each Connected that returned nil, after
	// the last event of the session.
	Disconnected(err error)
}

// Session describes a connection that has just been made.
type Session struct {
	Info Info
	// GapSince is the moment up to which no event was missed; zero on the
	// first connect. Events between it and now may be lost: resync.
	GapSince time.Time
	// Reconnects is 0 for the first connection, then 1, 2 …
	Reconnects int
}

// StreamConfig configures a Stream. Only App is required.
type StreamConfig struct {
	// App is the name of our Stasis application.
	App string
	// Disallow are event types that Asterisk shall not send. Those that slip
	// through before the filter is set are dropped here.
	Disallow []string
	// OwnOnly leaves out what happens outside of our application.
	OwnOnly bool
	// Ghost, if set, says whether who holds our application name is known to be no
	// living client: then it is taken over.
	Ghost func(ctx context.Context) bool
	// QueueSize is the number of events between reader and sink, 8192 by default.
	QueueSize int
	Logger    *slog.Logger

	// PingInterval is 10 s by default; two pings without answer end the session.
	PingInterval time.Duration
	// MisconfiguredRetry is the delay after refused credentials, 30 s by default.
	MisconfiguredRetry time.Duration
	// OnState is told each state as it is entered. It must not block.
	OnState func(State)

	// Now, Sleep and Rand replace clock, waiting and jitter in tests.
	Now   func() time.Time
	Sleep func(context.Context, time.Duration) error
	Rand  func() float64
}

func (c StreamConfig) withDefaults() StreamConfig {
	if c.QueueSize <= 0 {
		c.QueueSize = defaultQueue
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.PingInterval <= 0 {
		c.PingInterval = pingInterval
	}
	if c.MisconfiguredRetry <= 0 {
		c.MisconfiguredRetry = slowRetry
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Sleep == nil {
		c.Sleep = backoff.Sleep
	}
	return c
}

// Stream keeps one websocket with the events of all channels and bridges and
// hands them to a Sink in order. Nothing is dropped silently: whatever may have been missed is
// declared in the next Session.
type Stream struct {
	client *Client
	cfg    StreamConfig

	mu    sync.Mutex
	state State
	link  *link // of the present session, nil without one

	// Used by Run's goroutine only.
	sessions int
	gapSince time.Time
}

// NewStream returns a stream over client's Asterisk. Nothing happens before Run.
func NewStream(client *Client, cfg StreamConfig) *Stream {
	s := &Stream{client: client, cfg: cfg.withDefaults()}
	s.state = State{Kind: StateConnecting, Since: s.cfg.Now(), Detail: "not yet connected to Asterisk at " + client.base.Host}
	return s
}

// Run connects, dispatches and reconnects until ctx ends, whose error it then
// returns, or until another client takes our application name (ErrReplaced:
// two daemons would fight for ever, so this one gives way). All other failures
// show in State and are retried. Run must be called once only.
func (s *Stream) Run(ctx context.Context, sink Sink) error {
	s.setState(StateConnecting, "connecting to Asterisk at "+s.client.base.Host)
	delays := backoff.New(s.cfg.Rand)
	for {
		lasted, err := s.session(ctx, sink)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		kind, detail := s.diagnose(err)
		s.setState(kind, detail)
		if kind == StateReplaced {
			return fmt.Errorf("run event stream of application %q: %w", s.cfg.App, err)
		}
		delay := delays.Next(lasted)
		if kind == StateMisconfigured {
			// Quick retries of a wrong password would trip fail2ban.
			delay = s.cfg.MisconfiguredRetry
		}
		if err := s.cfg.Sleep(ctx, delay); err != nil {
			return err
		}
	}
}

// session makes one connection and serves it to its end. It returns how long
// the connection was up and why it ended, never nil: a clean close is a failure.
func (s *Stream) session(ctx context.Context, sink Sink) (time.Duration, error) {
	if err := s.claimName(ctx); err != nil {
		return 0, err
	}
	conn, err := s.dial(ctx)
	if err != nil {
		return 0, err
	}
	l := startLink(ctx, conn, s.cfg)
	defer l.stop()
	s.present(l)
	defer s.present(nil)
	if err := s.open(l, sink); err != nil {
		return 0, l.reason(err)
	}
	start := s.cfg.Now()
	stoppedAt, err := s.dispatch(ctx, l, sink)
	s.gapSince = stoppedAt
	s.mu.Lock()
	s.state.Gaps++
	s.mu.Unlock()
	if ctx.Err() == nil {
		s.setState(StateConnecting, fmt.Sprintf("lost the event stream of Asterisk at %s (%v), reconnecting", s.client.base.Host, err))
	}
	sink.Disconnected(err)
	return s.cfg.Now().Sub(start), err
}

func (s *Stream) present(l *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.link = l
}

// Renew ends the present session, if there is one, for that cause; the next one
// follows as after every end.
func (s *Stream) Renew(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.link != nil {
		s.link.fail(cause)
	}
}

// claimName sees that nobody holds our application name. Connecting anyway
// would throw the other client out, and it us. But Asterisk 22.10 keeps the
// application of a websocket for good if a write to it failed before its reader
// saw the end ("forcefully closed due to fatal write error", measured): to wait for
// that would be to record nothing any more.
func (s *Stream) claimName(ctx context.Context) error {
	_, err := s.client.Application(ctx, s.cfg.App)
	if err == nil {
		if s.cfg.Ghost != nil && s.cfg.Ghost(ctx) {
			s.cfg.Logger.Warn("the application is held by a connection that is no more, and is taken over", "app", s.cfg.App)
			return nil
		}
		return fmt.Errorf("claim application %q: %w", s.cfg.App, ErrAppInUse)
	}
	var e *Error
	if errors.As(err, &e) && e.Status == http.StatusNotFound && !e.html {
		return nil
	}
	return missing(err)
}

// dial opens the websocket. Asterisk authenticates the upgrade like any call.
func (s *Stream) dial(ctx context.Context) (*websocket.Conn, error) {
	ctx, cancel := backoff.Bound(ctx, s.client.timeout)
	defer cancel()
	u := s.client.address([]string{"events"}, url.Values{"app": {s.cfg.App}})
	header := http.Header{}
	s.client.authorize(header)
	conn, resp, err := websocket.Dial(ctx, u.String(), &websocket.DialOptions{
		HTTPClient: s.client.http, HTTPHeader: header, Subprotocols: []string{subprotocolName},
	})
	if err == nil {
		conn.SetReadLimit(readLimit)
		return conn, nil
	}
	fail := &Error{Op: "open event stream", Method: http.MethodGet, Path: u.EscapedPath()}
	if resp != nil && resp.StatusCode != http.StatusSwitchingProtocols {
		fail.Status, fail.Message = resp.StatusCode, http.StatusText(resp.StatusCode)
		return nil, missing(fail)
	}
	return nil, transportError(fail, err)
}

// missing marks a 404 to a path that every Asterisk with ARI has.
func missing(err error) error {
	if errors.Is(err, ErrNotFound) {
		return fmt.Errorf("%w: %w", ErrMissing, err)
	}
	return err
}

// everything are the sources that our application subscribes to: all channels
// and all bridges. A connect with subscribeAll=true would do so by itself, and
// can deadlock Asterisk 22.10 for good if a device state changes at that
// moment: the websocket's thread and res_stasis_device_state then wait for each
// other's lock (measured).
const everything = "channel:,bridge:"

// open completes a connection: info, event filter, subscription, then the
// sink's resync. Events queue up meanwhile.
func (s *Stream) open(l *link, sink Sink) error {
	info, err := s.client.Info(l.ctx)
	if err != nil {
		return missing(err)
	}
	if err := s.client.SetEventFilter(l.ctx, s.cfg.App, s.cfg.Disallow); err != nil {
		return missing(err)
	}
	if !s.cfg.OwnOnly {
		if err := s.client.Subscribe(l.ctx, s.cfg.App, everything); err != nil {
			return missing(err)
		}
	}
	session := Session{Info: info, GapSince: s.gapSince, Reconnects: s.sessions}
	if err := sink.Connected(l.ctx, session); err != nil {
		return fmt.Errorf("resync after connect: %w", err)
	}
	s.mu.Lock()
	s.state.Reconnects = s.sessions
	s.mu.Unlock()
	s.sessions++
	s.setState(StateConnected, fmt.Sprintf("connected to Asterisk %s at %s as application %q",
		info.Version, s.client.base.Host, s.cfg.App))
	return nil
}

// dispatch hands events to the sink until the session ends. What came before
// the end is still delivered, except at shutdown and after an overflow, when
// the sink is late already and a resync follows anyway. It returns the moment
// up to which the sink missed nothing.
func (s *Stream) dispatch(ctx context.Context, l *link, sink Sink) (time.Time, error) {
	for f := range l.queue {
		if ctx.Err() != nil || errors.Is(l.reason(nil), ErrOverflow) {
			return f.at, l.reason(ctx.Err())
		}
		e, err := DecodeEvent(f.raw)
		if err != nil {
			// Not a reason to reconnect: Asterisk would send the same again.
			// The text is not logged because it may contain digits.
			s.cfg.Logger.Error("ari event unreadable", "error", err)
			continue
		}
		e.Arrived = f.at
		s.mu.Lock()
		s.state.LastEvent = f.at
		s.mu.Unlock()
		if e.Type == eventReplaced && (e.Application == "" || e.Application == s.cfg.App) {
			return f.at, ErrReplaced
		}
		if !slices.Contains(s.cfg.Disallow, e.Type) {
			sink.Event(e)
		}
	}
	return l.lastSign(), l.reason(ctx.Err())
}
