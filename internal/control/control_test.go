package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"callrecordd/dialplan"
	"callrecordd/internal/auth"
	"callrecordd/internal/directory"
	"callrecordd/store"
)

// socketPath is short: the kernel allows 107 bytes, and names of tests are long.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cr")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return filepath.Join(dir, "c.sock")
}

func options(t *testing.T) Options {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	st, err := store.Open(t.Context(), store.Options{Path: filepath.Join(t.TempDir(), "db"), Now: time.Now, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	dir, err := directory.New(t.Context(), directory.Options{Repo: st, Now: time.Now, NewUUID: uuid.NewString})
	if err != nil {
		t.Fatal(err)
	}
	return Options{Directory: dir, Tokens: auth.New(st, time.Now, uuid.NewString), Log: log}
}

// serve runs a handler on a socket and returns its path.
func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	path := socketPath(t)
	l, err := Listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: time.Second}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() {
		_ = srv.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return path
}

func connect(t *testing.T, path string) *Client {
	t.Helper()
	c, err := Connect(t.Context(), path, "tester")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// failure checks that err is a Failure of the status with the text in it.
func failure(t *testing.T, err error, status int, text string) {
	t.Helper()
	f, ok := errors.AsType[*Failure](err)
	if !ok || f.Status != status || !strings.Contains(f.Message, text) {
		t.Errorf("got %T %v, want %d with %q", err, err, status, text)
	}
}

func mode(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode()
}

// TestSocketMode changes the umask of the process, so it runs alone.
func TestSocketMode(t *testing.T) {
	for _, mask := range []int{0, 0o022, 0o077, 0o777} {
		path := socketPath(t)
		old := syscall.Umask(mask)
		l, err := Listen(t.Context(), path)
		now := syscall.Umask(old)
		if err != nil {
			t.Fatal(err)
		}
		if now != mask {
			t.Errorf("Listen left the umask at %o", now)
		}
		if m := mode(t, path); m != fs.ModeSocket|0o660 {
			t.Errorf("umask %o: mode %v", mask, m)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the socket is still there after Close: %v", err)
		}
	}
	// There is no moment in which it is more open: bind alone never makes it so.
	path := socketPath(t)
	old := syscall.Umask(0)
	l, err := bind(t.Context(), path)
	syscall.Umask(old)
	if err != nil {
		t.Fatal(err)
	}
	if m := mode(t, path); m != fs.ModeSocket|0o660 {
		t.Errorf("bound with mode %v", m)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestListenReplacesOnlyStaleSockets(t *testing.T) {
	path := socketPath(t)
	l, err := Listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(t.Context(), path); err == nil || !strings.Contains(err.Error(), "another callrecordd listens there") {
		t.Errorf("second listener: %v", err)
	}
	// As after a crash: the file is there, nobody listens.
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Connect(t.Context(), path, "tester"); !errors.Is(err, ErrNoDaemon) {
		t.Errorf("connect to a stale socket: %v", err)
	}
	l, err = Listen(t.Context(), path)
	if err != nil {
		t.Fatalf("stale socket: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Connect(t.Context(), path, "tester"); !errors.Is(err, ErrNoDaemon) {
		t.Errorf("connect to no socket: %v", err)
	}

	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(t.Context(), path); err == nil || !strings.Contains(err.Error(), "no socket; remove it or set state.socket") {
		t.Errorf("file: %v", err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "precious" {
		t.Errorf("the file is gone: %q %v", data, err)
	}
	link := path + "2"
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(t.Context(), link); err == nil {
		t.Error("a link was replaced")
	}
	if _, err := Listen(t.Context(), filepath.Join(path, "x")); err == nil {
		t.Error("below a file")
	}
	if _, err := Listen(t.Context(), filepath.Join(filepath.Dir(path), "absent", "x")); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("folder absent: %v", err)
	}
}

// TestEntities runs the life of entries over the socket and in this process.
func TestEntities(t *testing.T) {
	for name, client := range map[string]func(*testing.T, http.Handler) *Client{
		"socket":     func(t *testing.T, h http.Handler) *Client { return connect(t, serve(t, h)) },
		"in process": func(_ *testing.T, h http.Handler) *Client { return InProcess(h, "tester") },
	} {
		t.Run(name, func(t *testing.T) {
			c := client(t, NewHandler(options(t)))
			do := func(method, path string, in, out any) {
				t.Helper()
				if err := c.Do(t.Context(), method, path, in, out); err != nil {
					t.Fatalf("%s %s: %v", method, path, err)
				}
			}
			var user directory.User
			do("POST", "users", directory.User{
				FirstName: "Alice", LastName: "Arc",
				Lines: []directory.Line{{Endpoint: "PJSIP/alice", Exten: "1001", Context: "users"}},
				Flags: dialplan.Flags{OutgoingInternal: true},
			}, &user)
			if user.ID == 0 || user.UUID == "" || user.TenantUUID == "" || !user.Lines[0].Main {
				t.Errorf("created %+v", user)
			}
			path := Path("users", user.UUID)
			var now directory.User
			do("PATCH", path, json.RawMessage(`{"last_name":"Bow","flags":{"on_demand":true}}`), &now)
			if now.FirstName != "Alice" || now.LastName != "Bow" || len(now.Lines) != 1 ||
				now.Flags != (dialplan.Flags{OutgoingInternal: true, OnDemand: true}) {
				t.Errorf("patched %+v", now)
			}
			// A line is replaced as a whole and keeps nothing of the old one.
			now = directory.User{}
			do("PATCH", path, json.RawMessage(`{"lines":[{"endpoint":"PJSIP/alice2"}]}`), &now)
			if len(now.Lines) != 1 || now.Lines[0].Exten != "" || now.Lines[0].ID == user.Lines[0].ID {
				t.Errorf("lines %+v", now.Lines)
			}
			now = directory.User{}
			do("PATCH", path, json.RawMessage(`{"lines":[],"last_name":""}`), &now)
			if len(now.Lines) != 0 || now.LastName != "" {
				t.Errorf("emptied %+v", now)
			}

			do("POST", "devices", directory.Device{Endpoint: "PJSIP/door"}, nil)
			var devices []directory.Device
			do("GET", "devices", nil, &devices)
			if len(devices) != 1 {
				t.Errorf("devices %v", devices)
			}
			do("DELETE", Path("devices", "PJSIP/door"), nil, nil)
			do("GET", "devices", nil, &devices)
			if len(devices) != 0 || devices == nil {
				t.Errorf("devices %#v", devices)
			}

			do("DELETE", path, nil, nil)
			failure(t, c.Do(t.Context(), "DELETE", path, nil, nil), 404, user.UUID)
			failure(t, c.Do(t.Context(), "PATCH", path, json.RawMessage(`{}`), nil), 404, "not found")
		})
	}
}

func TestRefused(t *testing.T) {
	o := options(t)
	c := connect(t, serve(t, NewHandler(o)))
	var user directory.User
	if err := c.Do(t.Context(), "POST", "users", directory.User{FirstName: "A"}, &user); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		method, path, body string
		status             int
		text               string
	}{
		"unknown field":     {"POST", "users", `{"first_name":"B","records":true}`, 400, `the request cannot be read: unknown field "records"`},
		"unknown flag":      {"PATCH", Path("users", user.UUID), `{"flags":{"outgoing":true}}`, 400, `unknown field "outgoing"`},
		"unknown line part": {"PATCH", Path("users", user.UUID), `{"lines":[{"extension":"1"}]}`, 400, `unknown field "extension"`},
		"wrong type":        {"POST", "users", `{"first_name":7}`, 400, "cannot unmarshal number"},
		"not JSON":          {"POST", "users", `first_name=B`, 400, "the request cannot be read"},
		"empty":             {"POST", "users", ``, 400, "the request is empty"},
		"two objects":       {"POST", "users", `{"first_name":"B"} {}`, 400, "something follows"},
		"invalid":           {"POST", "users", `{"first_name":""}`, 400, "first_name: must not be empty"},
		"bad endpoint":      {"POST", "devices", `{"endpoint":"door"}`, 400, "an endpoint like PJSIP/alice"},
		"conflict":          {"DELETE", Path("tenants", o.Directory.Book().Master().UUID), ``, 409, "master tenant cannot be deleted"},
		"exists":            {"POST", "users", `{"uuid":"` + user.UUID + `","first_name":"B"}`, 409, "exists already"},
		"no such tenant":    {"POST", "tokens", `{"tenant_uuid":"t","description":"","acl":[]}`, 404, `tenant "t" does not exist`},
		"bad life time":     {"POST", "tokens", `{"description":"","acl":["#"],"lifetime":"30d"}`, 400, "use a number with a unit"},
		"no such token":     {"DELETE", Path("tokens", "nobody's"), ``, 404, "no such token"},
		"dots as a key":     {"DELETE", Path("tokens", ".."), ``, 404, "the control socket knows no"},
		"empty key":         {"DELETE", Path("tokens", ""), ``, 404, "the control socket knows no"},
		"devices stay":      {"PATCH", Path("devices", "PJSIP/x"), `{}`, 404, "same version"},
		"unknown resource":  {"GET", "phones", ``, 404, "the control socket knows no GET /v1/phones"},
		"status":            {"GET", "status", ``, 503, "the daemon is not running"},
		"live":              {"GET", "live", ``, 503, "only it knows the calls: start it first"},
		"live request":      {"POST", "live/17.1/stop", ``, 503, "only it knows the calls: start it first"},
		"unknown wish":      {"POST", "live/17.1/erase", ``, 404, "knows no POST /v1/live/17.1/erase"},
		"import":            {"POST", "import/plan", ``, 503, "start it first"},
		"plan with a typo":  {"POST", "import/apply", `{"Proposal":[]}`, 400, `unknown field "Proposal"`},
	} {
		t.Run(name, func(t *testing.T) {
			failure(t, c.raw(t, tt.method, tt.path, strings.NewReader(tt.body)), tt.status, tt.text)
		})
	}
	t.Run("too large", func(t *testing.T) {
		failure(t, c.raw(t, "POST", "users", io.LimitReader(zeros{}, maxBody+1)), 413, "more than 16777216 bytes")
	})
	if got := len(o.Directory.Book().Contents().Users); got != 1 {
		t.Errorf("%d users", got)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// raw sends a body that Do would not.
func (c *Client) raw(t *testing.T, method, path string, body io.Reader) error {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://callrecordd/v1/"+path, body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	f := &Failure{Status: resp.StatusCode}
	if err := json.NewDecoder(resp.Body).Decode(f); err != nil {
		t.Errorf("the answer is no JSON: %v", err)
	}
	return f
}

func TestTokens(t *testing.T) {
	o := options(t)
	c := connect(t, serve(t, NewHandler(o)))
	var made NewToken
	if err := c.Do(t.Context(), "POST", "tokens", TokenRequest{Description: "test", ACL: []string{"call-logd.#"}, Lifetime: "1h"}, &made); err != nil {
		t.Fatal(err)
	}
	token, err := o.Tokens.Check(t.Context(), made.Secret)
	if err != nil || token.ID != made.Token.ID || token.TenantUUID != o.Directory.Book().Master().UUID ||
		token.ExpiresAt.Sub(token.CreatedAt) != time.Hour {
		t.Errorf("%+v, %v", token, err)
	}
	var list json.RawMessage
	if err := c.Do(t.Context(), "GET", "tokens", nil, &list); err != nil || bytes.Contains(list, []byte(made.Secret)) ||
		!bytes.Contains(list, []byte(made.Token.ID)) {
		t.Errorf("%s, %v", list, err)
	}
	if err := c.Do(t.Context(), "DELETE", Path("tokens", made.Token.ID), nil, nil); err != nil {
		t.Error(err)
	}
	if _, err := o.Tokens.Check(t.Context(), made.Secret); !errors.Is(err, auth.ErrInvalidToken) {
		t.Errorf("revoked: %v", err)
	}
	var empty []auth.Token
	if err := c.Do(t.Context(), "GET", "tokens", nil, &empty); err != nil || empty == nil {
		t.Errorf("%#v, %v", empty, err)
	}
}

func TestDaemonParts(t *testing.T) {
	o := options(t)
	o.Status = func() any { return map[string]bool{"ready": true} }
	found := directory.Found{Endpoints: []directory.FoundEndpoint{{Name: "PJSIP/carol", Context: "users"}}, Queues: []string{"support"}}
	var asked error
	o.Discover = func(context.Context) (directory.Found, error) { return found, asked }
	c := connect(t, serve(t, NewHandler(o)))
	var status struct{ Ready bool }
	if err := c.Do(t.Context(), "GET", "status", nil, &status); err != nil || !status.Ready {
		t.Errorf("%v, %v", status, err)
	}
	var plan directory.Plan
	if err := c.Do(t.Context(), "POST", "import/plan", nil, &plan); err != nil || len(plan.Proposals) == 0 {
		t.Fatalf("%+v, %v", plan, err)
	}
	if n := len(o.Directory.Book().Contents().Queues); n != 0 {
		t.Errorf("a plan made %d queues", n)
	}
	var done Applied
	if err := c.Do(t.Context(), "POST", "import/apply", plan, &done); err != nil || done.Changed == 0 {
		t.Errorf("%+v, %v", done, err)
	}
	if _, ok := o.Directory.Book().Queue("support"); !ok {
		t.Error("the queue was not made")
	}
	asked = errors.New("ask Asterisk for its endpoints: connection refused")
	failure(t, c.Do(t.Context(), "POST", "import/plan", nil, nil), 503, "connection refused")
}

// TestStrangeAnswers: something else than a daemon listens there.
func TestStrangeAnswers(t *testing.T) {
	answer := func(status int, body string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body) // the test sees what arrives
		})
	}
	var out struct{}
	c := connect(t, serve(t, answer(502, "<html>")))
	failure(t, c.Do(t.Context(), "GET", "status", nil, &out), 502, "the daemon answered 502 Bad Gateway")
	c = connect(t, serve(t, answer(200, "<html>")))
	if err := c.Do(t.Context(), "GET", "status", nil, &out); err == nil || !strings.Contains(err.Error(), "read the daemon's answer") {
		t.Errorf("got %v", err)
	}
	if err := c.Do(t.Context(), "POST", "users", func() {}, nil); err == nil || !strings.Contains(err.Error(), "encode request") {
		t.Errorf("got %v", err)
	}
}

// TestActor: who did it stands in the event log.
func TestActor(t *testing.T) {
	var got []string
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, actor(r))
		_, _ = io.WriteString(w, "{}") // as above
	})
	for _, who := range []string{"cli:root", ""} {
		if err := InProcess(h, who).Do(t.Context(), "GET", "x", nil, nil); err != nil {
			t.Error(err)
		}
	}
	if len(got) != 2 || got[0] != "cli:root" || got[1] != "cli" {
		t.Errorf("actors %q", got)
	}
}

func TestPath(t *testing.T) {
	elements := []string{"devices", "PJSIP/a b?c#d%2F"}
	if got := Path(elements...); got != "devices/PJSIP%2Fa%20b%3Fc%23d%252F" {
		t.Error(got)
	}
	if elements[1] != "PJSIP/a b?c#d%2F" {
		t.Error("Path changed its arguments")
	}
}

// TestLive: a channel's name has a slash in it, and whoever asks is on record.
func TestLive(t *testing.T) {
	o := options(t)
	o.Live = func(context.Context) (any, error) { return []string{"talk"}, nil }
	o.Request = func(_ context.Context, channel, op, actor string) (any, error) {
		if channel == "PJSIP/bob-00000002" {
			return nil, &Failure{http.StatusConflict, "nobody talks there now"}
		}
		return []string{channel, op, actor}, nil
	}
	c := connect(t, serve(t, NewHandler(o)))
	var talks, got []string
	if err := c.Do(t.Context(), "GET", "live", nil, &talks); err != nil || len(talks) != 1 {
		t.Errorf("%v, %v", talks, err)
	}
	for _, op := range []string{"start", "stop", "pause", "resume"} {
		err := c.Do(t.Context(), "POST", Path("live", "PJSIP/alice-00000001", op), nil, &got)
		if err != nil || strings.Join(got, " ") != "PJSIP/alice-00000001 "+op+" tester" {
			t.Errorf("%s: %v, %v", op, got, err)
		}
	}
	failure(t, c.Do(t.Context(), "POST", Path("live", "PJSIP/bob-00000002", "stop"), nil, &got), 409, "nobody talks")
}
