package ami

import (
	"context"
	"crypto/md5" //nolint:gosec // The protocol's challenge is MD5.
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"callrecordd/ari/internal/backoff"
)

const (
	defaultTimeout     = 3 * time.Second
	defaultDialTimeout = 15 * time.Second // three answers
	pingInterval       = 10 * time.Second
	slowRetry          = 30 * time.Second
	maxMisses          = 2
)

// Config configures a Conn or Client. Address, User and Secret are required.
type Config struct {
	// Address is host:port, such as 127.0.0.1:5038.
	Address string
	// User and Secret are those of manager.conf. They are not printed.
	User, Secret string
	// Timeout is the deadline of an action whose context has none, 3 s by default.
	Timeout time.Duration
	// DialTimeout bounds connecting and login, 15 s by default.
	DialTimeout time.Duration
	// PingInterval is how long nothing may come before a ping, 10 s by
	// default; two pings without answer end the connection.
	PingInterval time.Duration
	// MisconfiguredRetry is the Client's delay after a refused login, 30 s by default.
	MisconfiguredRetry time.Duration
	Logger             *slog.Logger
	// OnState is told each state of a Client as it is entered. It must not block.
	OnState func(State)

	// Dialer replaces the TCP dialer, for TLS or tests.
	Dialer func(ctx context.Context, network, address string) (net.Conn, error)
	// Now, Sleep and Rand replace clock, waiting and jitter in tests.
	Now   func() time.Time
	Sleep func(context.Context, time.Duration) error
	Rand  func() float64
}

// String hides user and secret.
func (c Config) String() string { return "ami at " + c.Address }

// GoString hides user and secret.
func (c Config) GoString() string { return c.String() }

// LogValue hides user and secret.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

func (c Config) withDefaults() Config {
	for _, d := range []struct {
		value *time.Duration
		std   time.Duration
	}{
		{&c.Timeout, defaultTimeout},
		{&c.DialTimeout, defaultDialTimeout},
		{&c.PingInterval, pingInterval},
		{&c.MisconfiguredRetry, slowRetry},
	} {
		if *d.value <= 0 {
			*d.value = d.std
		}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Dialer == nil {
		c.Dialer = (&net.Dialer{}).DialContext
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Sleep == nil {
		c.Sleep = backoff.Sleep
	}
	return c
}

// Action is a request. ActionID is added when it is sent.
type Action struct {
	Name   string
	Fields []Field
}

// Response is the answer to an action.
type Response struct{ Message }

// result is what a waiter gets, exactly once.
type result struct {
	response Response
	items    []Message
	err      error
}

// waiter is an action in flight.
type waiter struct {
	action string
	list   bool
	items  []Message
	done   chan result
}

// Conn is one logged-in connection. It is safe for concurrent use; actions are
// pipelined. It must be closed.
type Conn struct {
	nc      net.Conn
	reader  *Reader
	timeout time.Duration
	version string
	prefix  string
	seq     atomic.Uint64
	late    atomic.Int64
	reads   atomic.Int64
	// ctx ends with the connection, its cause says why.
	ctx    context.Context
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup

	writing sync.Mutex
	mu      sync.Mutex
	// pending is nil once the connection has failed.
	pending map[string]*waiter
}

// Dial connects to cfg.Address and logs in by MD5 challenge with events off.
// Refused credentials are ErrAuth. ctx bounds the dial only, not the connection.
func Dial(ctx context.Context, cfg Config) (*Conn, error) {
	cfg = cfg.withDefaults()
	ctx, cancel := context.WithTimeout(ctx, cfg.DialTimeout)
	defer cancel()
	nc, err := cfg.Dialer(ctx, "tcp", cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("dial ami at %s: %w", cfg.Address, err)
	}
	c := &Conn{
		nc: nc, reader: NewReader(nc), timeout: cfg.Timeout,
		// A random prefix: answers to an earlier connection must never match.
		prefix: rand.Text()[:8] + "-", pending: map[string]*waiter{},
	}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	if err := c.handshake(ctx, cfg); err != nil {
		c.Close()
		return nil, fmt.Errorf("log in to ami at %s: %w", cfg.Address, err)
	}
	c.wg.Go(func() { c.keepAlive(cfg.PingInterval) })
	return c, nil
}

// handshake reads the banner and logs in. It does not wait for FullyBooted,
// which a session with events off is not sent.
func (c *Conn) handshake(ctx context.Context, cfg Config) error {
	// Closing unblocks the banner's read when ctx ends.
	release := context.AfterFunc(ctx, func() { c.fail(context.Cause(ctx)) })
	defer release()
	version, err := c.reader.Banner()
	if err != nil {
		return errors.Join(err, context.Cause(c.ctx))
	}
	c.version = version
	c.wg.Go(c.readLoop)
	challenge, err := c.Do(ctx, Action{"Challenge", []Field{{"AuthType", "MD5"}}})
	if err != nil {
		return err
	}
	// There is no fall back to the plain secret: whoever refuses the challenge
	// would get it.
	sum := md5.Sum([]byte(challenge.Get("Challenge") + cfg.Secret)) //nolint:gosec // The protocol's choice.
	_, err = c.Do(ctx, Action{"Login", []Field{
		{"AuthType", "MD5"}, {"Username", cfg.User}, {"Key", hex.EncodeToString(sum[:])}, {"Events", "off"},
	}})
	if refused, ok := errors.AsType[*ActionError](err); ok {
		return fmt.Errorf("%w: %s", ErrAuth, refused.Message)
	}
	return err
}

// Version returns the version of the protocol, such as "9.0.0".
func (c *Conn) Version() string { return c.version }

// Late counts answers that came after their waiter had given up.
func (c *Conn) Late() int64 { return c.late.Load() }

// Done is closed when the connection has ended; Err then says why.
func (c *Conn) Done() <-chan struct{} { return c.ctx.Done() }

// Err returns why the connection ended, nil while it stands.
func (c *Conn) Err() error { return context.Cause(c.ctx) }

// Close ends the connection and waits for its goroutines. Actions in flight
// get ErrDisconnected.
func (c *Conn) Close() {
	c.fail(net.ErrClosed)
	c.wg.Wait()
}

// fail ends the connection for cause and releases all waiters at once.
func (c *Conn) fail(cause error) {
	c.cancel(cause)
	_ = c.nc.Close()
	c.mu.Lock()
	pending := c.pending
	c.pending = nil
	c.mu.Unlock()
	for _, w := range pending {
		w.done <- result{err: c.disconnected(w.action)}
	}
}

func (c *Conn) disconnected(action string) error {
	return fmt.Errorf("ami action %s: %w: %w", action, ErrDisconnected, context.Cause(c.ctx))
}

// Do sends an action and waits for its answer. "Response: Error" is an
// *ActionError, a lost connection ErrDisconnected; a deadline that passes is
// ctx's error, and the answer that comes later is counted, not delivered.
func (c *Conn) Do(ctx context.Context, a Action) (Response, error) {
	r := c.roundTrip(ctx, a, false)
	return r.response, r.err
}

// List sends an action that answers with a list and returns its items, without
// start and end. A cancelled or short list is ErrIncompleteList with what came.
func (c *Conn) List(ctx context.Context, a Action) ([]Message, error) {
	r := c.roundTrip(ctx, a, true)
	return r.items, r.err
}

// Command runs a CLI command and returns the lines of its output.
func (c *Conn) Command(ctx context.Context, command string) ([]string, error) {
	return command1(ctx, c, command)
}

func command1(ctx context.Context, d doer, command string) ([]string, error) {
	r, err := d.Do(ctx, Action{"Command", []Field{{"Command", command}}})
	return r.All("Output"), err
}

// doer is what Conn and Client have in common.
type doer interface {
	Do(ctx context.Context, a Action) (Response, error)
}

func (c *Conn) roundTrip(ctx context.Context, a Action, list bool) result {
	ctx, cancel := backoff.Bound(ctx, c.timeout)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return result{err: fmt.Errorf("ami action %s: %w", a.Name, err)}
	}
	id := c.prefix + strconv.FormatUint(c.seq.Add(1), 10)
	wire, err := a.wire(id)
	if err != nil {
		return result{err: err}
	}
	w := &waiter{action: a.Name, list: list, done: make(chan result, 1)}
	c.mu.Lock()
	open := c.pending != nil
	if open {
		c.pending[id] = w
	}
	c.mu.Unlock()
	if !open {
		return result{err: fmt.Errorf("ami action %s: %w: %w", a.Name, ErrNotSent, context.Cause(c.ctx))}
	}
	c.send(wire)
	select {
	case r := <-w.done:
		return r
	case <-ctx.Done():
	}
	c.mu.Lock()
	delete(c.pending, id)
	c.mu.Unlock()
	select {
	case r := <-w.done: // It came in the same moment.
		return r
	default:
		return result{err: fmt.Errorf("ami action %s: %w", a.Name, ctx.Err())}
	}
}

// wire is the action as sent: Action, ActionID, then the fields in order.
func (a Action) wire(id string) ([]byte, error) {
	m := append(Message{{"Action", a.Name}, {"ActionID", id}}, a.Fields...)
	for _, f := range m {
		if f.Key == "" || len(f.Key)+len(f.Value)+2 > maxSent {
			return nil, fmt.Errorf("ami action %s: %w: %q is empty or too long for asterisk", a.Name, ErrInvalidField, f.Key)
		}
	}
	b, err := m.Append(nil)
	if err != nil {
		return nil, fmt.Errorf("ami action %s: %w", a.Name, err)
	}
	return b, nil
}

// send writes one message. A write that fails may have been partial, so the
// connection is of no more use; fail then answers our waiter too.
func (c *Conn) send(wire []byte) {
	c.writing.Lock()
	defer c.writing.Unlock()
	err := c.nc.SetWriteDeadline(time.Now().Add(c.timeout))
	if err == nil {
		_, err = c.nc.Write(wire)
	}
	if err != nil {
		c.fail(fmt.Errorf("write: %w", err))
	}
}

func (c *Conn) readLoop() {
	for {
		m, err := c.reader.ReadMessage()
		if err != nil {
			c.fail(fmt.Errorf("read: %w", err))
			return
		}
		c.reads.Add(1)
		c.take(m)
	}
}

// take gives a message to whom it belongs. A message that is both Event and
// Response (OriginateResponse) is an event.
func (c *Conn) take(m Message) {
	id := m.Get("ActionID")
	event := m.Has("Event")
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.pending[id]
	if w == nil {
		if !event || strings.HasPrefix(id, c.prefix) {
			c.late.Add(1)
		}
		return
	}
	if r, done := w.take(m, event); done {
		delete(c.pending, id)
		w.done <- r
	}
}

// take returns the result once m completes it.
func (w *waiter) take(m Message, event bool) (result, bool) {
	switch {
	case !event && strings.EqualFold(m.Get("Response"), "Error"):
		return result{response: Response{m}, err: &ActionError{Action: w.action, Message: m.Get("Message")}}, true
	case !event:
		return result{response: Response{m}}, !w.list
	case !w.list:
		return result{}, false
	}
	switch strings.ToLower(m.Get("EventList")) {
	case "complete":
		r := result{items: w.items}
		if n, err := strconv.Atoi(m.Get("ListItems")); err == nil && n != len(w.items) {
			r.err = fmt.Errorf("ami action %s: %w: %d of %d items", w.action, ErrIncompleteList, len(w.items), n)
		}
		return r, true
	case "cancelled", "canceled":
		return result{items: w.items, err: fmt.Errorf("ami action %s: %w: cancelled", w.action, ErrIncompleteList)}, true
	}
	if w.items = append(w.items, m); len(w.items) > maxList {
		return result{err: fmt.Errorf("ami action %s: %w: list above %d items", w.action, ErrTooLong, maxList)}, true
	}
	return result{}, false
}

// keepAlive pings when nothing came for an interval. After a miss it asks
// again at once; whatever Asterisk sends is a sign of life.
func (c *Conn) keepAlive(every time.Duration) {
	for misses := 0; misses < maxMisses; {
		seen := c.reads.Load()
		if misses == 0 && backoff.Sleep(c.ctx, every) != nil {
			return
		}
		if c.reads.Load() != seen {
			misses = 0
			continue
		}
		ctx, cancel := context.WithTimeout(c.ctx, every)
		_, _ = c.Do(ctx, Action{Name: "Ping"})
		cancel()
		if c.ctx.Err() != nil {
			return
		}
		if c.reads.Load() == seen {
			misses++
		} else {
			misses = 0
		}
	}
	c.fail(ErrSilent)
}
