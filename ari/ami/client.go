package ami

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"callrecordd/ari/internal/backoff"
)

// StateKind is the closed enumeration of a Client's conditions.
type StateKind string

// The conditions of a Client.
const (
	StateConnecting    StateKind = "connecting"
	StateConnected     StateKind = "connected"
	StateMisconfigured StateKind = "misconfigured"
	StateUnreachable   StateKind = "unreachable"
)

// State is the condition of a Client, for readiness, metrics and `check`.
type State struct {
	Kind StateKind
	// Since is when Kind began.
	Since time.Time
	// Reconnects counts connections after the first.
	Reconnects int
	// Late counts answers that came after their waiter had given up.
	Late int64
	// Detail is a sentence that says what to do.
	Detail string
}

// Client keeps a Conn alive. It is safe for concurrent use.
type Client struct {
	address string
	// dial is a closure so that no print of a Client shows the secret.
	dial    func(context.Context) (*Conn, error)
	retry   time.Duration
	logger  *slog.Logger
	onState func(State)
	now     func() time.Time
	sleep   func(context.Context, time.Duration) error
	random  func() float64

	conn  atomic.Pointer[Conn]
	mu    sync.Mutex
	state State
	// late is the sum over ended connections.
	late int64
}

// NewClient returns a Client of the manager interface at cfg.Address. Nothing
// happens before Run.
func NewClient(cfg Config) *Client {
	cfg = cfg.withDefaults()
	return &Client{
		address: cfg.Address,
		dial:    func(ctx context.Context) (*Conn, error) { return Dial(ctx, cfg) },
		retry:   cfg.MisconfiguredRetry,
		logger:  cfg.Logger, onState: cfg.OnState,
		now: cfg.Now, sleep: cfg.Sleep, random: cfg.Rand,
		state: State{Kind: StateConnecting, Since: cfg.Now(), Detail: "not yet connected to Asterisk's manager at " + cfg.Address},
	}
}

// State returns the present condition.
func (c *Client) State() State {
	conn := c.conn.Load()
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.state
	s.Late = c.late
	if conn != nil {
		s.Late += conn.Late()
	}
	return s
}

// Run connects and reconnects until ctx ends, whose error it returns. Failures
// show in State. Run must be called once only.
func (c *Client) Run(ctx context.Context) error {
	delays := backoff.New(c.random)
	for sessions := 0; ; {
		var lasted time.Duration
		conn, err := c.dial(ctx)
		if err == nil {
			lasted, err = c.serve(ctx, conn, sessions)
			sessions++
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		delay := delays.Next(lasted)
		if errors.Is(err, ErrAuth) {
			// Quick retries of a wrong secret would trip fail2ban.
			delay = c.retry
			c.setState(StateMisconfigured, fmt.Sprintf("Asterisk's manager at %s refuses our login: make user and secret in "+
				"manager.conf and in callrecordd's configuration the same and permit this host, then reload the manager", c.address))
		} else {
			c.setState(StateUnreachable, fmt.Sprintf("no manager interface at %s (%v): see that Asterisk runs and that "+
				"manager.conf has enabled=yes and this address", c.address, err))
		}
		if err := c.sleep(ctx, delay); err != nil {
			return err
		}
	}
}

// serve offers conn to callers until it ends; sessions is the number of
// connections before it.
func (c *Client) serve(ctx context.Context, conn *Conn, sessions int) (time.Duration, error) {
	start := c.now()
	c.conn.Store(conn)
	c.mu.Lock()
	c.state.Reconnects = sessions
	c.mu.Unlock()
	c.setState(StateConnected, fmt.Sprintf("connected to Asterisk's manager %s at %s", conn.Version(), c.address))
	select {
	case <-ctx.Done():
	case <-conn.Done():
	}
	c.conn.Store(nil)
	err := conn.Err()
	conn.Close()
	c.mu.Lock()
	c.late += conn.Late()
	c.mu.Unlock()
	return c.now().Sub(start), err
}

// setState enters a condition, logs it if it is new and tells the observer.
func (c *Client) setState(kind StateKind, detail string) {
	c.mu.Lock()
	fresh := c.state.Kind != kind || c.state.Detail != detail
	if c.state.Kind != kind {
		c.state.Kind, c.state.Since = kind, c.now()
	}
	c.state.Detail = detail
	c.mu.Unlock()
	if fresh {
		level := slog.LevelWarn
		if kind == StateConnected {
			level = slog.LevelInfo
		}
		c.logger.Log(context.Background(), level, "ami state", "state", string(kind), "detail", detail)
	}
	if c.onState != nil {
		c.onState(c.State())
	}
}

// Do is Conn.Do on the present connection; without one it is ErrNotSent at once.
func (c *Client) Do(ctx context.Context, a Action) (Response, error) {
	conn := c.conn.Load()
	if conn == nil {
		return Response{}, fmt.Errorf("ami action %s: %w", a.Name, ErrNotSent)
	}
	return conn.Do(ctx, a)
}

// List is Conn.List on the present connection; without one it is ErrNotSent at once.
func (c *Client) List(ctx context.Context, a Action) ([]Message, error) {
	conn := c.conn.Load()
	if conn == nil {
		return nil, fmt.Errorf("ami action %s: %w", a.Name, ErrNotSent)
	}
	return conn.List(ctx, a)
}

// Command runs a CLI command and returns the lines of its output.
func (c *Client) Command(ctx context.Context, command string) ([]string, error) {
	return command1(ctx, c, command)
}
