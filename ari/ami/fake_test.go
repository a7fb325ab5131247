package ami

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

const (
	testUser   = "callrecordd"
	testSecret = "s3cr3t-never-printed"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeAMI is a scripted manager interface.
type fakeAMI struct {
	t  *testing.T
	ln net.Listener
	wg sync.WaitGroup
	// handle answers everything but the login; reply sends its text as it is.
	handle func(c *fakeConn, m Message)
	// conns yields each connection that has logged in.
	conns chan *fakeConn
	// login, if set, is the answer to Login.
	login string

	mu   sync.Mutex
	seen []Message
	open map[net.Conn]bool
}

type fakeConn struct {
	net.Conn
	t *testing.T
}

func (c *fakeConn) reply(text string) { _, _ = c.Write([]byte(strings.ReplaceAll(text, "\n", "\r\n"))) }

// ok answers m with Success and further lines.
func (c *fakeConn) ok(m Message, more string) {
	c.reply("Response: Success\nActionID: " + m.Get("ActionID") + "\n" + more + "\n")
}

func (c *fakeConn) fail(m Message, message string) {
	c.reply("Response: Error\nActionID: " + m.Get("ActionID") + "\nMessage: " + message + "\n\n")
}

func newFakeAMI(t *testing.T, handle func(*fakeConn, Message)) *fakeAMI {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeAMI{t: t, ln: ln, handle: handle, conns: make(chan *fakeConn, 16), open: map[net.Conn]bool{}}
	f.wg.Go(f.accept)
	t.Cleanup(func() {
		_ = ln.Close()
		f.mu.Lock()
		for c := range f.open {
			_ = c.Close()
		}
		f.mu.Unlock()
		f.wg.Wait()
	})
	return f
}

func (f *fakeAMI) accept() {
	for {
		nc, err := f.ln.Accept()
		if err != nil {
			return
		}
		f.mu.Lock()
		f.open[nc] = true
		f.mu.Unlock()
		f.wg.Go(func() { f.serve(&fakeConn{nc, f.t}) })
	}
}

func (f *fakeAMI) serve(c *fakeConn) {
	defer c.Close()
	// The first event follows the banner in one segment, as from Asterisk.
	c.reply("Asterisk Call Manager/9.0.0\nEvent: FullyBooted\nStatus: Fully Booted\n\n")
	rd := NewReader(c)
	for {
		m, err := rd.ReadMessage()
		if err != nil {
			return
		}
		f.mu.Lock()
		f.seen = append(f.seen, m)
		f.mu.Unlock()
		switch m.Get("Action") {
		case "Challenge":
			c.ok(m, "Challenge: 4711\n")
		case "Login":
			sum := md5.Sum([]byte("4711" + testSecret))
			switch {
			case f.login != "":
				c.fail(m, f.login)
				return
			case m.Get("Key") != hex.EncodeToString(sum[:]) || m.Get("Username") != testUser || m.Get("Events") != "off":
				c.fail(m, "Authentication failed")
				return
			}
			c.ok(m, "Message: Authentication accepted\n")
			f.conns <- c
		default:
			f.handle(c, m)
		}
	}
}

func (f *fakeAMI) config() Config {
	return Config{Address: f.ln.Addr().String(), User: testUser, Secret: testSecret}
}

func (f *fakeAMI) dial(change func(*Config)) *Conn {
	f.t.Helper()
	cfg := f.config()
	if change != nil {
		change(&cfg)
	}
	c, err := Dial(f.t.Context(), cfg)
	if err != nil {
		f.t.Fatalf("dial: %v", err)
	}
	f.t.Cleanup(c.Close)
	return c
}

func recv[T any](t *testing.T, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(20 * time.Second):
		t.Fatalf("no %s", what)
		panic("unreachable")
	}
}

// running is a Client under test whose waits take no time.
type running struct {
	*Client
	states chan State
	delays chan time.Duration
	result chan error
	cancel context.CancelFunc
}

func (f *fakeAMI) run(change func(*Config)) *running {
	f.t.Helper()
	r := &running{states: make(chan State, 4096), delays: make(chan time.Duration, 4096), result: make(chan error, 1)}
	cfg := f.config()
	cfg.OnState = func(s State) { r.states <- s }
	cfg.Rand = func() float64 { return 1 }
	cfg.Sleep = func(ctx context.Context, d time.Duration) error {
		select {
		case r.delays <- d:
			return ctx.Err()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if change != nil {
		change(&cfg)
	}
	r.Client = NewClient(cfg)
	ctx, cancel := context.WithCancel(f.t.Context())
	r.cancel = cancel
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.result <- r.Run(ctx)
	}()
	f.t.Cleanup(func() {
		cancel()
		recv(f.t, "end of Run", done)
	})
	return r
}

func (r *running) await(t *testing.T, kind StateKind) State {
	t.Helper()
	for {
		if s := recv(t, "state "+string(kind), r.states); s.Kind == kind {
			return s
		}
	}
}
