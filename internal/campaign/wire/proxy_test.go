package wire

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// echo answers each line with itself.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
	return l.Addr().String()
}

func proxy(t *testing.T, target string) *Proxy {
	t.Helper()
	p, err := New(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// TestABadLine: a stalled line loses nothing, a cut one ends what it carries
// and takes nothing until it is mended.
func TestABadLine(t *testing.T) {
	p := proxy(t, echo(t))
	dial := func() (net.Conn, *bufio.Reader) {
		c, err := net.Dial("tcp", p.Addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		return c, bufio.NewReader(c)
	}
	says := func(c net.Conn, r *bufio.Reader, line string) {
		t.Helper()
		if _, err := io.WriteString(c, line); err != nil {
			t.Fatal(err)
		}
		if got, err := r.ReadString('\n'); got != line {
			t.Fatalf("%q comes back as %q, %v", line, got, err)
		}
	}
	c, r := dial()
	says(c, r, "all is well\n")
	p.Stall(true)
	answered := make(chan string, 1)
	go func() { got, _ := r.ReadString('\n'); answered <- got }()
	if _, err := io.WriteString(c, "late\n"); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-answered:
		t.Fatalf("%q comes through a stalled line", got)
	case <-time.After(100 * time.Millisecond):
	}
	p.Stall(false)
	if got := <-answered; got != "late\n" {
		t.Fatalf("after the stall %q comes", got)
	}
	p.Cut()
	if _, err := r.ReadByte(); err == nil {
		t.Fatal("a cut line carries on")
	}
	c, r = dial()
	if _, err := r.ReadByte(); err == nil {
		t.Fatal("a cut line takes a connection")
	}
	_ = c
	p.Restore()
	c, r = dial()
	says(c, r, "all is well again\n")
}

// TestFlood: the events of the flood arrive whole between those of the server,
// which all arrive as well.
func TestFlood(t *testing.T) {
	const own, flood = 200, 5000
	long := strings.Repeat("x", 70000) // in frames with all three lengths
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		for i := range own {
			text := []string{"own", long[:500], long}[i%3]
			if c.Write(r.Context(), websocket.MessageText, []byte(text)) != nil {
				return
			}
		}
		_, _, _ = c.Read(r.Context()) // until the other side goes
	}))
	defer s.Close()
	p := proxy(t, strings.TrimPrefix(s.URL, "http://"))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := p.Flood(ctx, []byte("x"), 1, 0); !errors.Is(err, ErrNoStream) {
		t.Errorf("a flood without a websocket: %v", err)
	}
	c, _, err := websocket.Dial(ctx, "ws://"+p.Addr(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.CloseNow() }()
	c.SetReadLimit(1 << 20)
	got := map[string]int{}
	read := func() {
		_, text, err := c.Read(ctx)
		if err != nil {
			t.Fatalf("after %d messages: %v", len(got), err)
		}
		got[string(text)]++
	}
	read() // now there is a websocket
	done := make(chan error, 1)
	go func() {
		n, err := p.Flood(ctx, []byte(`{"type":"flood"}`), flood, 0)
		if err == nil && n != flood {
			err = errors.New("not all were sent")
		}
		done <- err
	}()
	for range own + flood - 1 {
		read()
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got[`{"type":"flood"}`] != flood || got["own"]+got[long]+got[long[:500]] != own {
		t.Errorf("%d kinds of messages came, %d of the flood", len(got), got[`{"type":"flood"}`])
	}
}
