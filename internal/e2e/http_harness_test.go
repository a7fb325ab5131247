package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"callrecordd/config"
	"callrecordd/internal/api"
	"callrecordd/internal/control"
)

// ownPorts gives each service a port of its own, as Wazo's clients expect.
func ownPorts(c *config.Config) {
	c.HTTP.ListenCalld, c.HTTP.ListenConfd = []string{"127.0.0.1:0"}, []string{"127.0.0.1:0"}
}

// client is a client of one service with a token.
type client struct {
	s       *site
	service api.Service
	token   string
	tenant  string // Wazo-Tenant, if any
}

// client makes a token of a tenant (the master tenant by default), and of a
// user if there is one.
func (s *site) clientOf(service api.Service, tenant, user string, acl ...string) client {
	s.t.Helper()
	var token control.NewToken
	s.do("POST", "tokens", control.TokenRequest{TenantUUID: tenant, UserUUID: user, Description: "client", ACL: acl}, &token)
	return client{s: s, service: service, token: token.Secret}
}

// send asks at the service's own port and returns status and body.
func (c client) send(method, path string, body any) (int, string) {
	c.s.t.Helper()
	var text []byte
	if body != nil {
		var err error
		text, err = json.Marshal(body)
		must(c.s.t, err)
	}
	req, err := http.NewRequestWithContext(within(c.s.t), method, "http://"+c.s.app.Address(c.service)+path, bytes.NewReader(text))
	must(c.s.t, err)
	req.Header.Set("X-Auth-Token", c.token)
	if c.tenant != "" {
		req.Header.Set("Wazo-Tenant", c.tenant)
	}
	resp, err := http.DefaultClient.Do(req)
	must(c.s.t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	must(c.s.t, err)
	return resp.StatusCode, string(answer)
}

// ask sends a request whose answer must have that status, and text in it.
func (c client) ask(t testing.TB, method, path string, body any, status int, text string) string {
	t.Helper()
	got, answer := c.send(method, path, body)
	if got != status || !strings.Contains(answer, text) {
		t.Errorf("%s %s: %d %s, want %d with %q", method, path, got, answer, status, text)
	}
	return answer
}

// read asks for JSON.
func (c client) read(path string, out any) {
	c.s.t.Helper()
	status, answer := c.send("GET", path, nil)
	if status != http.StatusOK {
		c.s.t.Fatalf("GET %s: %d %s", path, status, answer)
	}
	must(c.s.t, json.Unmarshal([]byte(answer), out))
}

// raw is a body as it is sent.
func raw(body string) json.RawMessage { return json.RawMessage(body) }
