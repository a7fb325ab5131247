package ami

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestDialRefused(t *testing.T) {
	f := newFakeAMI(t, nil)
	cfg := f.config()
	cfg.Secret = "wrong"
	_, err := Dial(t.Context(), cfg)
	if !errors.Is(err, ErrAuth) || strings.Contains(fmt.Sprintf("%v %+v %#v", err, cfg, cfg), "wrong") {
		t.Errorf("dial with a wrong secret: %v", err)
	}
	cfg.Address = "127.0.0.1:1"
	if _, err := Dial(t.Context(), cfg); err == nil || errors.Is(err, ErrAuth) {
		t.Errorf("dial nobody: %v", err)
	}
}

func TestDialStalledPeer(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	_, err := Dial(t.Context(), Config{
		Address: "pipe", DialTimeout: 20 * time.Millisecond,
		Dialer: func(context.Context, string, string) (net.Conn, error) { return near, nil },
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("dial a peer that says nothing: %v", err)
	}
}

func TestManyInFlightAnsweredInReverse(t *testing.T) {
	const n = 50
	var held []Message
	f := newFakeAMI(t, func(c *fakeConn, m Message) {
		if held = append(held, m); len(held) < n {
			return
		}
		for i := n - 1; i >= 0; i-- {
			// Byte by byte: answers arrive in split segments.
			text := "Response: Success\nActionID: " + held[i].Get("ActionID") + "\nValue: " + held[i].Get("Variable") + "\n\n"
			for j := range len(text) {
				c.reply(text[j : j+1])
			}
		}
	})
	c := f.dial(func(c *Config) { c.Timeout = 20 * time.Second })
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			want := fmt.Sprint("v", i)
			r, err := c.Do(t.Context(), Action{"Getvar", []Field{{"Variable", want}}})
			if err != nil || r.Get("Value") != want {
				t.Errorf("answer %v, %v, want %s", r, err, want)
			}
		})
	}
	wg.Wait()
}

func TestList(t *testing.T) {
	f := newFakeAMI(t, func(c *fakeConn, m Message) {
		id := "ActionID: " + m.Get("ActionID") + "\n"
		c.ok(m, "EventList: start\n")
		c.reply("Event: Item\n" + id + "N: 1\n\nEvent: Alien\nActionID: x\n\nEvent: Item\nResponse: Success\n" + id + "N: 2\n\n")
		switch m.Get("Action") {
		case "Good":
			c.reply("Event: Done\n" + id + "EventList: Complete\nListItems: 2\n\n")
		case "Short":
			c.reply("Event: Done\n" + id + "EventList: Complete\nListItems: 3\n\n")
		case "Cancelled":
			c.reply("Event: Done\n" + id + "EventList: cancelled\n\n")
		case "Cut":
			c.Close()
		}
	})
	for action, want := range map[string]error{
		"Good": nil, "Short": ErrIncompleteList, "Cancelled": ErrIncompleteList, "Cut": ErrDisconnected,
	} {
		items, err := f.dial(nil).List(t.Context(), Action{Name: action})
		if !errors.Is(err, want) {
			t.Errorf("%s: %v", action, err)
		}
		if want == nil && (len(items) != 2 || items[1].Get("N") != "2") {
			t.Errorf("%s: %v", action, items)
		}
	}
}

func TestDisconnectReleasesAllAtOnce(t *testing.T) {
	arrived := make(chan struct{}, 16)
	f := newFakeAMI(t, func(*fakeConn, Message) { arrived <- struct{}{} })
	c := f.dial(func(c *Config) { c.Timeout = time.Hour })
	results := make(chan error, 3)
	for range 3 {
		go func() {
			_, err := c.Do(t.Context(), Action{Name: "Ping"})
			results <- err
		}()
	}
	for range 3 {
		recv(t, "action", arrived)
	}
	recv(t, "connection", f.conns).Close()
	for range 3 {
		if err := recv(t, "result", results); !errors.Is(err, ErrDisconnected) {
			t.Errorf("in flight: %v", err)
		}
	}
	if _, err := c.Do(t.Context(), Action{Name: "Ping"}); !errors.Is(err, ErrDisconnected) {
		t.Errorf("afterwards: %v", err)
	}
}

func TestLateAnswerIsCountedNotDelivered(t *testing.T) {
	var slow Message
	f := newFakeAMI(t, func(c *fakeConn, m Message) {
		if m.Get("Action") == "Slow" {
			slow = m
			return
		}
		c.ok(slow, "")
		c.ok(m, "Value: mine\n")
	})
	c := f.dial(nil)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.Do(ctx, Action{Name: "Slow"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("slow: %v", err)
	}
	r, err := c.Do(t.Context(), Action{Name: "Quick"})
	if err != nil || r.Get("Value") != "mine" || c.Late() != 1 {
		t.Errorf("quick: %v, %v, %d late", r, err, c.Late())
	}
}

func TestRefusals(t *testing.T) {
	tests := []struct {
		action, message string
		want            error
		hint            string
	}{
		{"MixMonitor", "Permission denied", ErrPermission, "write class system"},
		{"StopMixMonitor", "Permission denied", ErrPermission, "call or system"},
		{"MixMonitor", "Invalid/unknown command: MixMonitor. Use Action: ListCommands", ErrUnknownAction, "app_mixmonitor"},
		{"MixMonitor", "No such channel", ErrNoChannel, "No such channel"},
	}
	for _, tt := range tests {
		f := newFakeAMI(t, func(c *fakeConn, m Message) { c.fail(m, tt.message) })
		_, err := f.dial(nil).Do(t.Context(), Action{Name: tt.action})
		var e *ActionError
		if !errors.As(err, &e) || e.Action != tt.action || !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.hint) {
			t.Errorf("%s, %s: %v", tt.action, tt.message, err)
		}
	}
}

func TestHalfOpenIsFoundByPing(t *testing.T) {
	f := newFakeAMI(t, func(*fakeConn, Message) {})
	c := f.dial(func(c *Config) { c.PingInterval = 10 * time.Millisecond })
	recv(t, "end", c.Done())
	if !errors.Is(c.Err(), ErrSilent) {
		t.Errorf("ended by %v", c.Err())
	}
}

func TestPingKeepsAQuietConnection(t *testing.T) {
	pings := make(chan struct{}, 4096)
	f := newFakeAMI(t, func(c *fakeConn, m Message) {
		c.ok(m, "Ping: Pong\n")
		pings <- struct{}{}
	})
	c := f.dial(func(c *Config) { c.PingInterval = 50 * time.Millisecond })
	for range 5 {
		recv(t, "ping", pings)
	}
	if c.Err() != nil {
		t.Errorf("ended by %v", c.Err())
	}
}

func TestUnsendableActionsAreNotSent(t *testing.T) {
	f := newFakeAMI(t, func(c *fakeConn, m Message) { c.ok(m, "") })
	c := f.dial(nil)
	for _, fields := range [][]Field{{{"A", "x\r\nAction: Command"}}, {{"A", strings.Repeat("x", 1022)}}, {{"", "x"}}} {
		if _, err := c.Do(t.Context(), Action{"Setvar", fields}); !errors.Is(err, ErrInvalidField) {
			t.Errorf("%.40q: %v", fields, err)
		}
	}
	if len(f.seen) != 2 {
		t.Errorf("sent %v", f.seen)
	}
}

func TestCommand(t *testing.T) {
	f := newFakeAMI(t, func(c *fakeConn, m Message) { c.ok(m, "Output: a\nOutput: b\n") })
	if out, err := f.dial(nil).Command(t.Context(), "core show version"); err != nil || strings.Join(out, "|") != "a|b" {
		t.Errorf("output %q, %v", out, err)
	}
}
