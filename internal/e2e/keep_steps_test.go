package e2e

import (
	"bufio"
	"database/sql"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"callrecordd/store"
)

// beginRemoval is what a daemon has done that dies before the file is removed.
func (v *vault) beginRemoval(uuid string) {
	v.t.Helper()
	v.store(func(s *store.Store) {
		begun, err := s.BeginRemovals(v.t.Context(), []string{uuid}, "alice", "request")
		must(v.t, err)
		must(v.t, begun[0].Err)
	})
}

// gigabyte sends a body of that size and returns the status. The server may
// close the connection before it has read all of it.
func (v *vault) gigabyte(method, path string) int {
	v.t.Helper()
	conn, err := net.Dial("tcp", v.address())
	must(v.t, err)
	defer conn.Close()
	must(v.t, conn.SetDeadline(time.Now().Add(patience)))
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: x\r\nX-Auth-Token: %s\r\nContent-Length: %d\r\n\r\n", method, path, v.token, 1<<30)
	go func() {
		block := []byte(strings.Repeat(" ", 1<<20))
		for range 1 << 10 {
			if _, err := conn.Write(block); err != nil {
				return
			}
		}
	}()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	must(v.t, err)
	defer resp.Body.Close()
	return resp.StatusCode
}

// counted checks the one number of a query.
func counted(t testing.TB, want int) func(*sql.Rows) error {
	return func(r *sql.Rows) error {
		t.Helper()
		var got int
		err := r.Scan(&got)
		if got != want {
			t.Errorf("counted %d, want %d", got, want)
		}
		return err
	}
}
