package ari

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"
)

const (
	testApp  = "callrecordd"
	testUser = "joe"
	testPass = "s3cr3t-never-printed"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeARI is a scripted Asterisk. Its answers can be overridden per
// "METHOD path" to make faults.
type fakeARI struct {
	t    *testing.T
	base *url.URL
	// conns yields each websocket as it is accepted.
	conns chan *websocket.Conn
	stop  chan struct{}

	mu       sync.Mutex
	override map[string]http.HandlerFunc
	open     int
	foreign  bool
	deaf     bool
	filter   []string
	seen     []string
}

func newFakeARI(t *testing.T) *fakeARI {
	t.Helper()
	f := &fakeARI{t: t, conns: make(chan *websocket.Conn, 16), stop: make(chan struct{}), override: map[string]http.HandlerFunc{}}
	srv := httptest.NewServer(f)
	f.base, _ = url.Parse(srv.URL)
	t.Cleanup(func() {
		close(f.stop)
		srv.Close()
	})
	return f
}

func (f *fakeARI) client(opts ...Option) *Client {
	c := New(f.base, Credentials{testUser, testPass}, opts...)
	f.t.Cleanup(c.CloseIdleConnections)
	return c
}

func (f *fakeARI) on(call string, h http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.override[call] = h
}

func (f *fakeARI) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

func (f *fakeARI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call := r.Method + " " + strings.TrimPrefix(r.URL.EscapedPath(), "/ari")
	f.mu.Lock()
	f.seen = append(f.seen, r.Method+" "+r.URL.String())
	h := f.override[call]
	exists := f.open > 0 || f.foreign
	f.mu.Unlock()
	user, pass, _ := r.BasicAuth()
	switch {
	case h != nil:
		h(w, r)
	case user != testUser || pass != testPass:
		answer(401, `{"message":"Authentication required"}`)(w, r)
	case call == "GET /events":
		f.events(w, r)
	case call == "GET /asterisk/info":
		answer(200, `{"system":{"version":"22.4.1","entity_id":"aa"},"config":{"name":"pbx"},
			"status":{"startup_time":"2026-11-22T10:00:00.123+0100","last_reload_time":"2026-11-22T11:00:00.000+0100"}}`)(w, r)
	case call == "GET /applications/"+testApp && exists:
		f.application(w)
	case call == "POST /applications/"+testApp+"/subscription" && exists && r.URL.Query().Get("eventSource") == "channel:,bridge:":
		f.application(w)
	case call == "PUT /applications/"+testApp+"/eventFilter" && exists:
		f.setFilter(r)
		f.application(w)
	default:
		answer(404, `{"message":"Application not found"}`)(w, r)
	}
}

func (f *fakeARI) events(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Has("subscribeAll") || r.URL.Query().Get("app") != testApp {
		w.WriteHeader(400)
		return
	}
	// Asterisk registers the application before it answers the upgrade.
	f.set(func() { f.open++ })
	defer f.set(func() { f.open-- })
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"ari"}})
	if err != nil {
		return
	}
	defer func() { _ = conn.CloseNow() }()
	f.mu.Lock()
	deaf := f.deaf
	f.mu.Unlock()
	gone := make(<-chan struct{})
	if !deaf {
		// Reads, so that pings are answered and the end is seen.
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		gone = conn.CloseRead(ctx).Done()
	}
	f.conns <- conn
	select {
	case <-gone:
	case <-f.stop:
	}
}

func (f *fakeARI) setFilter(r *http.Request) {
	var body struct{ Disallowed []struct{ Type string } }
	_ = json.NewDecoder(r.Body).Decode(&body)
	f.set(func() {
		f.filter = nil
		for _, d := range body.Disallowed {
			f.filter = append(f.filter, d.Type)
		}
	})
}

func (f *fakeARI) application(w http.ResponseWriter) {
	type item struct {
		Type string `json:"type"`
	}
	body := map[string]any{"name": testApp, "channel_ids": []string{}, "events_allowed": []item{}}
	f.mu.Lock()
	list := []item{}
	for _, t := range f.filter {
		list = append(list, item{t})
	}
	f.mu.Unlock()
	body["events_disallowed"] = list
	_ = json.NewEncoder(w).Encode(body)
}

func send(t *testing.T, conn *websocket.Conn, event string) {
	t.Helper()
	if err := conn.Write(t.Context(), websocket.MessageText, []byte(event)); err != nil {
		t.Fatalf("send event: %v", err)
	}
}

// recv takes the next value or fails: the only wait in these tests.
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

// fakeSink puts what it is told into channels; hooks may block or fail.
type fakeSink struct {
	connected    chan Session
	events       chan Event
	disconnected chan error
	onConnected  func(context.Context, Session) error
	onEvent      func(Event)
}

func newSink() *fakeSink {
	return &fakeSink{
		connected: make(chan Session, 64), events: make(chan Event, 4096), disconnected: make(chan error, 64),
	}
}

func (s *fakeSink) Connected(ctx context.Context, session Session) error {
	s.connected <- session
	if s.onConnected != nil {
		return s.onConnected(ctx, session)
	}
	return nil
}

func (s *fakeSink) Event(e Event) {
	s.events <- e
	if s.onEvent != nil {
		s.onEvent(e)
	}
}

func (s *fakeSink) Disconnected(err error) { s.disconnected <- err }

// running is a stream under test.
type running struct {
	*Stream
	sink   *fakeSink
	states chan State
	delays chan time.Duration
	cancel context.CancelFunc
	result chan error
}

// start runs a stream whose waits take no time.
func start(t *testing.T, c *Client, sink *fakeSink, change func(*StreamConfig)) *running {
	t.Helper()
	r := &running{
		sink: sink, states: make(chan State, 4096), delays: make(chan time.Duration, 4096), result: make(chan error, 1),
	}
	cfg := StreamConfig{
		App: testApp, Disallow: []string{"ChannelVarset"}, Rand: func() float64 { return 1 },
		OnState: func(s State) { r.states <- s },
		Sleep: func(ctx context.Context, d time.Duration) error {
			r.delays <- d
			return ctx.Err()
		},
	}
	if change != nil {
		change(&cfg)
	}
	r.Stream = NewStream(c, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	r.cancel = cancel
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.result <- r.Run(ctx, sink)
	}()
	t.Cleanup(func() {
		cancel()
		recv(t, "end of Run", done)
	})
	return r
}

// await waits for a state.
func (r *running) await(t *testing.T, kind StateKind) State {
	t.Helper()
	for {
		s := recv(t, "state "+string(kind), r.states)
		if s.Kind == kind {
			return s
		}
	}
}

var errResync = errors.New("resync failed")
