package e2e

import (
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// Issue 5, bad input: clients that send their headers one by one and never end
// them hold nobody up, and are shown out.
func TestSlowloris(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	v.put()
	v.run()
	var slow []net.Conn
	for range 200 {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", v.address())
		must(t, err)
		t.Cleanup(func() { _ = c.Close() })
		_, err = io.WriteString(c, "GET /1.0/cdr HTTP/1.1\r\nHost: x\r\nX-A: b\r\n")
		must(t, err)
		slow = append(slow, c)
	}
	begun := time.Now()
	v.ask("GET", "/1.0/cdr", nil).is(t, http.StatusOK, "")
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("others wait for %s", took)
	}
	for _, c := range slow {
		must(t, c.SetReadDeadline(begun.Add(30*time.Second))) // they have ten
		if said, err := io.ReadAll(c); err != nil {
			t.Fatalf("still there after %s: %q, %v", time.Since(begun), said, err)
		}
	}
}
