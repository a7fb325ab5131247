package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"callrecordd/internal/control"
	"callrecordd/internal/directory"
)

const (
	directoryUsers  = 10_000
	directoryGroups = 1_000
	// recordBar is how many CDRs a second a daemon gives to clients that open a
	// connection for each, pageBar how long a list may take (issue 6).
	recordBar = 3_000
	pageBar   = 20 // ms
)

// accounts measures what tokens and the directory cost over HTTP, as Wazo's
// clients ask: each request on a connection of its own. What the check of a
// token costs by itself is a Go benchmark of internal/auth, and what it costs a
// request one of internal/e2e.
func accounts(ctx context.Context, s *suite) (err error) {
	v, err := s.vault(ctx, "accounts")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.child.stop()) }()
	if err := v.records(ctx); err != nil {
		return err
	}
	if err := v.revoked(ctx); err != nil {
		return err
	}
	return v.directory(ctx)
}

// newToken makes a token of the master tenant.
func (v *vault) newToken(ctx context.Context, acl ...string) (string, error) {
	var token control.NewToken
	if err := v.ctl.Do(ctx, "POST", "tokens", control.TokenRequest{Description: "bench", ACL: acl}, &token); err != nil {
		return "", fmt.Errorf("make a token: %w", err)
	}
	return token.Secret, nil
}

// once sends a request on a connection of its own.
func (v *vault) once(ctx context.Context, method, path, token string) (status int, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, method, v.url+path, http.NoBody)
	if err != nil {
		return 0, nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	req.Close = true
	req.Header.Set("X-Auth-Token", token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, body, errors.Join(err, resp.Body.Close())
}

// must is once for a request that must succeed.
func (v *vault) must(ctx context.Context, method, path, token string) ([]byte, error) {
	status, body, err := v.once(ctx, method, path, token)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%s %s: %d %s", method, path, status, body)
	}
	return body, err
}

// perSecond is how often a path is answered to clients that do not wait.
func (v *vault) perSecond(ctx context.Context, path, token string) (rate float64, n int, err error) {
	const clients = 8
	host, request := v.plain(path, token)
	end := time.Now().Add(either(v.suite, 5*time.Second, time.Second))
	begun := time.Now()
	var done atomic.Int64
	errs := make([]error, clients)
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			for time.Now().Before(end) && errs[i] == nil {
				errs[i] = knock(ctx, host, request)
				done.Add(1)
			}
		})
	}
	all.Wait()
	return float64(done.Load()) / time.Since(begun).Seconds(), int(done.Load()), errors.Join(errs...)
}

// knock sends a request on a connection of its own and reads what comes. It is
// as little work as can be: the cores are the daemon's as well.
func knock(ctx context.Context, host string, request []byte) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", host)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write(request); err != nil {
		return err
	}
	var head [13]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return err
	}
	if string(head[:]) != "HTTP/1.1 200 " {
		return fmt.Errorf("answer %q", head)
	}
	_, err = io.Copy(io.Discard, conn)
	return err
}

// plain is a GET as Wazo's clients send it.
func (v *vault) plain(path, token string) (host string, request []byte) {
	host = strings.TrimPrefix(v.url, "http://")
	return host, []byte("GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\nAccept-Encoding: identity\r\nConnection: close\r\n" +
		"User-agent: bench\r\nX-Auth-Token: " + token + "\r\nAccept: application/json\r\n\r\n")
}

// records measures GET /cdr/{id}, in turn with a route that needs no token.
func (v *vault) records(ctx context.Context) error {
	line, err := json.Marshal(call(1))
	if err != nil {
		return fmt.Errorf("encode a call: %w", err)
	}
	if err := v.command(ctx, strings.NewReader(string(line)+"\n"), "cdr", "import", "--create-tenants", "-"); err != nil {
		return err
	}
	var r ratios
	total := 0
	for round := range either(v.suite, 5, 1) + 1 {
		ours, n, err := v.perSecond(ctx, "/1.0/cdr/1", v.token)
		if err != nil {
			return err
		}
		open, _, err := v.perSecond(ctx, "/api/auth/0.1/backends", v.token)
		if err != nil {
			return err
		}
		if round > 0 { // the first warms everything up
			total += n
			r.add(ours, open)
		}
	}
	f := Figure{Group: "accounts", Name: "GET /cdr/{id}, each on its own connection", Value: median(r.with), Unit: "1/s", N: total}.
		against(median(r.without), "GET /backends, which needs no token")
	v.add(f.bar(fmt.Sprintf("≥ %d 1/s", recordBar), f.Value >= recordBar))
	return nil
}

// revoked counts requests that were answered with a token whose revocation had
// been answered before.
func (v *vault) revoked(ctx context.Context) error {
	n := either(v.suite, 500, 50)
	late := 0
	for range n {
		token, err := v.newToken(ctx, "call-logd.#")
		if err != nil {
			return err
		}
		for range 2 { // read from the database, then from memory
			if _, err := v.must(ctx, "GET", "/1.0/cdr/1", token); err != nil {
				return err
			}
		}
		if _, err := v.must(ctx, "DELETE", "/api/auth/0.1/token/"+token, ""); err != nil {
			return err
		}
		status, _, err := v.once(ctx, "GET", "/1.0/cdr/1", token)
		if err != nil {
			return err
		}
		if status != http.StatusUnauthorized {
			late++
		}
	}
	v.add(Figure{Group: "accounts", Name: "requests answered after the token's revocation", Value: float64(late), Unit: "", N: n}.atMost(0))
	return nil
}

// lookups are the requests of the directory that are measured.
func lookups() [][2]string {
	return [][2]string{
		{"a page of users", "/users?limit=100&offset=5000&order=lastname"},
		{"all users", "/users"},
		{"users searched", "/users?search=bench%20500&limit=100"},
		{"users searched in vain", "/users?search=nobody"},
		{"groups", "/groups"},
		{"groups searched", "/groups?search=group%2099"},
	}
}

// directory measures lists and searches of a large directory, beside an empty
// one.
func (v *vault) directory(ctx context.Context) error {
	token, err := v.newToken(ctx, "confd.#")
	if err != nil {
		return err
	}
	empty, err := v.lookUp(ctx, token)
	if err != nil {
		return err
	}
	users, groups := either(v.suite, directoryUsers, 500), either(v.suite, directoryGroups, 50)
	for i := range groups { // first: each of them is a directory of its own
		g := directory.Group{Name: fmt.Sprintf("group %d", i)}
		if err := v.ctl.Do(ctx, "POST", "groups", g, nil); err != nil {
			return fmt.Errorf("make group %d: %w", i, err)
		}
	}
	if err := importUsers(ctx, v.ctl, users); err != nil {
		return err
	}
	full, err := v.lookUp(ctx, token)
	if err != nil {
		return err
	}
	for _, l := range lookups() {
		ms := full[l[0]]
		f := Figure{
			Group: "accounts", Name: fmt.Sprintf("%s, of %d users and %d groups, p99", l[0], users, groups), Value: quantile(ms, .99), Unit: "ms",
			N: len(ms), Note: "median " + number(median(ms)) + " ms",
		}.against(quantile(empty[l[0]], .99), "an empty directory")
		v.add(f.bar(fmt.Sprintf("≤ %d ms", pageBar), f.Value <= pageBar))
	}
	return nil
}

// lookUp measures each request, in turn.
func (v *vault) lookUp(ctx context.Context, token string) (map[string][]float64, error) {
	out := map[string][]float64{}
	for range either(v.suite, 300, 20) {
		for _, l := range lookups() {
			host, request := v.plain("/api/confd/1.1"+l[1], token)
			begun := time.Now()
			if err := knock(ctx, host, request); err != nil {
				return nil, fmt.Errorf("%s: %w", l[0], err)
			}
			out[l[0]] = append(out[l[0]], millis(time.Since(begun)))
		}
	}
	return out, nil
}
