package ari

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"callrecordd/ari/internal/backoff"
)

func TestConnectedComesBeforeEventsQueuedMeanwhile(t *testing.T) {
	f := newFakeARI(t)
	sink := newSink()
	resync := make(chan struct{})
	sink.onConnected = func(context.Context, Session) error {
		<-resync
		return nil
	}
	r := start(t, f.client(), sink, nil)
	conn := recv(t, "websocket", f.conns)
	session := recv(t, "session", sink.connected)
	send(t, conn, `{"type":"ChannelVarset"}`)
	send(t, conn, `{"type":"A"}`)
	send(t, conn, `not json`)
	send(t, conn, `{"type":"B","blob":"`+strings.Repeat("x", 64<<10)+`"}`)
	select {
	case e := <-sink.events:
		t.Fatalf("event %s before Connected returned", e.Type)
	default:
	}
	close(resync)
	if !session.GapSince.IsZero() || session.Reconnects != 0 || session.Info.Version != "22.4.1" {
		t.Errorf("session %+v", session)
	}
	for _, want := range []string{"A", "B"} {
		if e := recv(t, "event", sink.events); e.Type != want || e.Arrived.IsZero() {
			t.Errorf("event %q arrived %v, want %q", e.Type, e.Arrived, want)
		}
	}
	if s := r.await(t, StateConnected); s.Reconnects != 0 || s.Gaps != 0 {
		t.Errorf("state %+v", s)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.filter) != 1 || f.filter[0] != "ChannelVarset" {
		t.Errorf("filter %v", f.filter)
	}
	if seen := strings.Join(f.seen, " "); strings.Contains(seen, testPass) || strings.Contains(seen, testUser) {
		t.Errorf("credentials in an address: %s", seen)
	}
}

func TestFaultsShowAsStates(t *testing.T) {
	tests := []struct {
		name, call string
		status     int
		body       string
		want       StateKind
		delay      time.Duration
	}{
		{"wrong password", "GET /applications/callrecordd", 401, `{"message":"Authentication required"}`, StateMisconfigured, 30 * time.Second},
		{"upgrade refused", "GET /events", 401, ``, StateMisconfigured, 30 * time.Second},
		{"read only user", "PUT /applications/callrecordd/eventFilter", 403, `{"message":"Write access denied"}`, StateMisconfigured, 30 * time.Second},
		{"not fully booted", "GET /events", 503, ``, StateUnreachable, 500 * time.Millisecond},
		{"info fails", "GET /asterisk/info", 500, `{}`, StateUnreachable, 500 * time.Millisecond},
		{"no ari", "GET /applications/callrecordd", 404, `<html>Not Found</html>`, StateMissing, 500 * time.Millisecond},
		{"no events module", "GET /events", 404, ``, StateMissing, 500 * time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFakeARI(t)
			f.on(tt.call, answer(tt.status, tt.body))
			sink := newSink()
			r := start(t, f.client(), sink, nil)
			s := r.await(t, tt.want)
			if d := recv(t, "delay", r.delays); d != tt.delay {
				t.Errorf("delay %v, want %v", d, tt.delay)
			}
			if strings.Contains(s.Detail, testPass) || len(s.Detail) < 40 {
				t.Errorf("detail %q", s.Detail)
			}
			f.set(func() { delete(f.override, tt.call) })
			r.await(t, StateConnected)
			if session := recv(t, "session", sink.connected); !session.GapSince.IsZero() {
				t.Errorf("a gap before the first connect: %+v", session)
			}
		})
	}
}

func TestNobodyListensIsUnreachable(t *testing.T) {
	f := newFakeARI(t)
	c := f.client()
	c.base.Host = "127.0.0.1:1"
	r := start(t, c, newSink(), nil)
	r.await(t, StateUnreachable)
	for _, want := range []time.Duration{500, 1000, 2000, 2000, 2000} {
		if d := recv(t, "delay", r.delays); d != want*time.Millisecond {
			t.Errorf("delay %v, want %v", d, want*time.Millisecond)
		}
	}
}

func TestStalledInfoEndsTheAttempt(t *testing.T) {
	f := newFakeARI(t)
	f.on("GET /asterisk/info", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	r := start(t, f.client(WithTimeout(50*time.Millisecond)), newSink(), nil)
	if s := r.await(t, StateUnreachable); !strings.Contains(s.Detail, "deadline") {
		t.Errorf("detail %q", s.Detail)
	}
}

func TestAppInUseIsRetriedUntilTheNameIsFree(t *testing.T) {
	f := newFakeARI(t)
	f.foreign = true
	sink := newSink()
	r := start(t, f.client(), sink, nil)
	r.await(t, StateAppInUse)
	select {
	case <-f.conns:
		t.Fatal("the other client was thrown out")
	default:
	}
	f.set(func() { f.foreign = false })
	r.await(t, StateConnected)
}

// A connection that Asterisk keeps though it is no more is waited for in vain.
func TestAppOfAGhostIsTakenOver(t *testing.T) {
	f := newFakeARI(t)
	f.foreign = true
	var dead atomic.Bool
	r := start(t, f.client(), newSink(), func(c *StreamConfig) { c.Ghost = func(context.Context) bool { return dead.Load() } })
	r.await(t, StateAppInUse)
	dead.Store(true)
	r.await(t, StateConnected)
}

func TestReplacedEndsRun(t *testing.T) {
	f := newFakeARI(t)
	sink := newSink()
	r := start(t, f.client(), sink, nil)
	conn := recv(t, "websocket", f.conns)
	send(t, conn, `{"type":"ApplicationReplaced","application":"another"}`)
	send(t, conn, `{"type":"ApplicationReplaced","application":"callrecordd"}`)
	if err := recv(t, "result", r.result); !errors.Is(err, ErrReplaced) {
		t.Errorf("run: %v", err)
	}
	if err := recv(t, "disconnect", sink.disconnected); !errors.Is(err, ErrReplaced) {
		t.Errorf("disconnected: %v", err)
	}
	if s := r.State(); s.Kind != StateReplaced {
		t.Errorf("state %+v", s)
	}
}

func TestCleanCloseIsAGap(t *testing.T) {
	f := newFakeARI(t)
	sink := newSink()
	r := start(t, f.client(), sink, nil)
	conn := recv(t, "websocket", f.conns)
	recv(t, "session", sink.connected)
	send(t, conn, `{"type":"A"}`)
	arrived := recv(t, "event", sink.events).Arrived
	if err := conn.Close(websocket.StatusNormalClosure, "bye"); err != nil {
		t.Logf("close: %v", err)
	}
	if err := recv(t, "disconnect", sink.disconnected); err == nil {
		t.Error("clean close without error")
	}
	session := recv(t, "second session", sink.connected)
	if session.Reconnects != 1 || session.GapSince.Before(arrived.Round(0)) {
		t.Errorf("session %+v, last event %v", session, arrived)
	}
	for {
		if s := r.await(t, StateConnected); s.Reconnects == 1 {
			if s.Gaps != 1 || !s.LastEvent.Equal(arrived) {
				t.Errorf("state %+v", s)
			}
			return
		}
	}
}

func TestOverflowIsADeclaredGap(t *testing.T) {
	f := newFakeARI(t)
	sink := newSink()
	release := make(chan struct{})
	sink.onEvent = func(Event) { <-release }
	start(t, f.client(), sink, func(c *StreamConfig) { c.QueueSize = 4 })
	conn := recv(t, "websocket", f.conns)
	recv(t, "session", sink.connected)
	send(t, conn, `{"type":"E"}`)
	first := recv(t, "first event", sink.events)
	for i := range 6 {
		// The write may fail once the stream has given up.
		_ = conn.Write(t.Context(), websocket.MessageText, fmt.Appendf(nil, `{"type":"E%d"}`, i))
	}
	// The reader gives up while the sink still blocks: the server sees the end.
	recv(t, "end of websocket", closedSignal(f))
	close(release)
	if err := recv(t, "disconnect", sink.disconnected); !errors.Is(err, ErrOverflow) {
		t.Errorf("disconnected: %v", err)
	}
	session := recv(t, "second session", sink.connected)
	if session.GapSince.IsZero() || session.GapSince.Before(first.Arrived) || session.Reconnects != 1 {
		t.Errorf("session %+v, first event %v", session, first.Arrived)
	}
	if n := len(sink.events); n != 0 {
		t.Errorf("%d events delivered after the overflow", n)
	}
}

// closedSignal tells when the fake has no websocket open.
func closedSignal(f *fakeARI) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			f.mu.Lock()
			open := f.open
			f.mu.Unlock()
			if open == 0 || backoff.Sleep(f.t.Context(), time.Millisecond) != nil {
				return
			}
		}
	}()
	return done
}

func TestHalfOpenConnectionIsFoundByPing(t *testing.T) {
	f := newFakeARI(t)
	f.deaf = true
	sink := newSink()
	start(t, f.client(), sink, func(c *StreamConfig) { c.PingInterval = 20 * time.Millisecond })
	recv(t, "session", sink.connected)
	if err := recv(t, "disconnect", sink.disconnected); !errors.Is(err, ErrSilent) {
		t.Errorf("disconnected: %v", err)
	}
}

func TestPingKeepsAQuietConnection(t *testing.T) {
	f := newFakeARI(t)
	sink := newSink()
	pings := make(chan time.Time, 4096)
	start(t, f.client(), sink, func(c *StreamConfig) {
		c.PingInterval = time.Second / 20
		c.Now = func() time.Time {
			now := time.Now()
			pings <- now
			return now
		}
	})
	recv(t, "session", sink.connected)
	for range 10 {
		recv(t, "pong", pings)
	}
	if len(sink.disconnected) != 0 {
		t.Errorf("disconnected: %v", <-sink.disconnected)
	}
}

func TestFailedResyncIsRetriedWithTheSameGap(t *testing.T) {
	f := newFakeARI(t)
	sink := newSink()
	sink.onConnected = func(_ context.Context, s Session) error {
		if len(sink.connected) == 2 {
			return errResync
		}
		return nil
	}
	r := start(t, f.client(), sink, nil)
	conn := recv(t, "websocket", f.conns)
	r.await(t, StateConnected)
	_ = conn.CloseNow()
	r.await(t, StateUnreachable)
	r.await(t, StateConnected)
	for {
		if s := r.State(); s.Reconnects == 1 && s.Kind == StateConnected {
			break
		}
		r.await(t, StateConnected)
	}
	first, second, third := recv(t, "session", sink.connected), recv(t, "session", sink.connected), recv(t, "session", sink.connected)
	if !first.GapSince.IsZero() || second.GapSince.IsZero() || !third.GapSince.Equal(second.GapSince) || third.Reconnects != 1 {
		t.Errorf("sessions %+v, %+v, %+v", first, second, third)
	}
	if len(sink.disconnected) != 1 {
		t.Errorf("%d disconnects for two successful sessions and one still up", len(sink.disconnected))
	}
}

func TestShutdownReturnsTheContextsError(t *testing.T) {
	f := newFakeARI(t)
	sink := newSink()
	r := start(t, f.client(), sink, nil)
	r.await(t, StateConnected)
	r.cancel()
	if err := recv(t, "result", r.result); !errors.Is(err, context.Canceled) {
		t.Errorf("run: %v", err)
	}
	if err := recv(t, "disconnect", sink.disconnected); !errors.Is(err, context.Canceled) {
		t.Errorf("disconnected: %v", err)
	}
}
