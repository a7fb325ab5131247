package api

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"callrecordd/internal/auth"
	"callrecordd/internal/recorder"
)

func TestCORS(t *testing.T) {
	w := newWorld(t)
	if r := w.get("/1.0/cdr"); r.header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("without Origin: %v", r.header)
	}
	r := w.get("/1.0/cdr", "Origin", "https://app.example", "X-Auth-Token", "")
	if r.status != 401 || r.header.Get("Access-Control-Allow-Origin") != "https://app.example" || r.header.Get("Vary") != "Origin" {
		t.Errorf("a page must be able to read errors: %d %v", r.status, r.header)
	}
	for path, want := range map[string]string{
		"/1.0/cdr":               "Range, X-Auth-Token",
		"/api/call-logd/1.0/cdr": "Range, X-Auth-Token",
		"/api/confd/1.1/status":  "X-Auth-Token",
		"/api/auth/0.1/status":   "X-Auth-Token, Authorization",
	} {
		r := w.do("OPTIONS", path, "X-Auth-Token", "", "Origin", "https://app.example", "Access-Control-Request-Method", "GET",
			"Access-Control-Request-Headers", "range, x-auth-token,Authorization, X-Other")
		if r.status != 200 || r.header.Get("Access-Control-Allow-Headers") != want || r.body != "" ||
			!strings.Contains(r.header.Get("Access-Control-Allow-Methods"), "DELETE") || !strings.Contains(r.header.Get("Allow"), "OPTIONS") {
			t.Errorf("%s: %d %v", path, r.status, r.header)
		}
	}
	if r := w.do("OPTIONS", "/1.0/nothing", "X-Auth-Token", ""); r.status != 404 {
		t.Errorf("no route: %d", r.status)
	}
}

func TestOrigin(t *testing.T) {
	s := New(Options{Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}})
	type headers = map[string]string
	for name, c := range map[string]struct {
		remote, host string
		headers      headers
		want         origin
	}{
		"alone": {"192.0.2.1:5000", "pbx:9298", nil, origin{"http", "pbx:9298", "/p", "192.0.2.1"}},
		"a stranger's word": {
			"192.0.2.1:5000", "pbx",
			headers{"X-Script-Name": "/evil", "X-Forwarded-For": "1.2.3.4", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil"},
			origin{"http", "pbx", "/p", "192.0.2.1"},
		},
		"our proxy's word": {
			"10.0.0.1:5000", "pbx",
			headers{"X-Script-Name": "/api/x/", "X-Forwarded-For": "9.9.9.9, 1.2.3.4, 10.2.2.2", "X-Forwarded-Proto": "http, https", "X-Forwarded-Host": "pub.example"},
			origin{"https", "pub.example", "/api/x/p", "1.2.3.4"},
		},
		"nonsense of our proxy": {
			"[::1]:5000", "pbx evil",
			headers{"X-Script-Name": "//evil.example", "X-Forwarded-For": "unknown", "X-Forwarded-Proto": "javascript", "X-Forwarded-Host": "a/b"},
			origin{"http", "localhost", "/p", "::1"},
		},
		"climbing": {"10.0.0.1:1", "pbx", headers{"X-Script-Name": "/a/../b"}, origin{"http", "pbx", "/p", "10.0.0.1"}},
		"mapped":   {"[::ffff:10.0.0.1]:1", "pbx", headers{"X-Forwarded-Proto": "https"}, origin{"https", "pbx", "/p", "::ffff:10.0.0.1"}},
	} {
		r := httptest.NewRequest("GET", "/1.0/cdr", nil)
		r.RemoteAddr, r.Host = c.remote, c.host
		for k, v := range c.headers {
			r.Header.Set(k, v)
		}
		if got := s.originOf(r, "/p"); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestStatusAndConfig(t *testing.T) {
	w := newWorld(t)
	for path, want := range map[string]string{
		"/api/call-logd/1.0/status": `{"bus_consumer":{"status":"fail"},"service_token":{"status":"ok"},"task_queue":{"status":"ok"}}`,
		"/api/calld/1.0/status":     `{"ari":{"status":"ok"},"bus_consumer":{"status":"ok"},"service_token":{"status":"ok"}}`,
		"/api/confd/1.1/status":     `{"rest_api":{"status":"ok"},"service_token":{"status":"ok"}}`,
	} {
		w.health.Journal = false
		if r := w.get(path, "X-Auth-Token", ""); strings.Contains(path, "confd") {
			if r.status != 401 || r.body != `["Unauthorized"]`+"\n" {
				t.Errorf("%s without a token: %d %s", path, r.status, r.body)
			}
		} else {
			w.fails(r, 401, "unauthorized")
		}
		w.tokens.known["status"] = auth.Token{TenantUUID: child, ACL: []string{"*.status.read"}}
		if r := w.get(path, "X-Auth-Token", "status"); r.status != 200 || r.body != want+"\n" {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
	if r := w.do("HEAD", "/api/auth/0.1/status", "X-Auth-Token", ""); r.status != 200 {
		t.Errorf("HEAD: %d", r.status)
	}
	if r := w.get("/api/auth/0.1/status", "X-Auth-Token", ""); r.status != 405 || r.header.Get("Allow") != "HEAD" {
		t.Errorf("GET: %d %v", r.status, r.header)
	}
	w.health.Database = false
	if r := w.do("HEAD", "/api/auth/0.1/status", "X-Auth-Token", ""); r.status != 503 {
		t.Errorf("HEAD without database: %d", r.status)
	}

	w.tokens.known["config"] = auth.Token{TenantUUID: master, ACL: []string{"call_logd.config.read"}}
	w.tokens.known["below"] = auth.Token{TenantUUID: child, ACL: []string{"#"}}
	if r := w.get("/1.0/config", "X-Auth-Token", "config"); r.status != 200 || r.body != `{"debug":false,"log":{"level":"info"}}`+"\n" {
		t.Errorf("config: %d %s", r.status, r.body)
	}
	w.fails(w.get("/1.0/config"), 401, "unauthorized") // call-logd.# is another word
	w.fails(w.get("/1.0/config", "X-Auth-Token", "below"), 401, "unauthorized")
}

// TestTokenAndTenantInQuery: where they are taken they win, elsewhere they are
// nothing (cdr-api 1.4, 1.5).
func TestTokenAndTenantInQuery(t *testing.T) {
	w := newWorld(t)
	media := w.recorded(recorder.Ready, "RIFF")
	w.tokens.known["me"] = auth.Token{TenantUUID: child, UserUUID: other, ACL: []string{"call-logd.users.me.#"}}
	for path, status := range map[string]int{
		media + "?token=child":                       200,
		media + "?token=child&tenant=" + child:       200,
		media + "?token=nobody":                      401,
		media + "?token=child&tenant=" + master:      401,
		"/1.0/cdr?token=child":                       200,
		"/1.0/cdr/7?token=child":                     401,
		"/1.0/users/me" + media[4:] + "?token=child": 401,
		media + "/link?token=child":                  405,
	} {
		if r := w.get(path, "X-Auth-Token", "unknown"); r.status != status {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
	details := w.fails(w.get(media+"?tenant="+other), 401, "unauthorized-tenant")
	if details["tenant_uuid"] != other {
		t.Errorf("details %v", details)
	}
	// The header is checked first, and does not help.
	w.fails(w.get(media+"?tenant="+child, "Wazo-Tenant", other), 401, "unauthorized")
	w.fails(w.get(media+"?tenant="+master, "Wazo-Tenant", child, "X-Auth-Token", "child"), 401, "unauthorized-tenant")
}

func TestSignedLink(t *testing.T) {
	w := newWorld(t)
	media := w.recorded(recorder.Ready, "0123456789")
	for query, status := range map[string]int{
		"": 201, "?lifetime=1": 201, "?lifetime=3600": 201, "?lifetime=0": 400, "?lifetime=3601": 400, "?lifetime=-1": 400, "?lifetime=x": 400,
	} {
		if r := w.do("POST", media+"/link"+query); r.status != status {
			t.Errorf("%s: %d %s", query, r.status, r.body)
		}
	}
	w.fails(w.do("POST", "/1.0/cdr/7/recordings/"+rec2+"/media/link"), 404, "recording-not-found")
	w.fails(w.do("POST", media+"/link", "X-Auth-Token", "list"), 401, "unauthorized")

	r := w.do("POST", "/api/call-logd"+media+"/link", "X-Script-Name", "/pbx", "X-Forwarded-Proto", "https")
	var link linkJSON
	if err := json.Unmarshal([]byte(r.body), &link); err != nil || *link.ExpiresAt != "2026-11-23T10:05:00+00:00" {
		t.Fatalf("%v %s", err, r.body)
	}
	address, err := url.Parse(link.URL)
	if err != nil || address.Scheme != "https" || !strings.HasPrefix(address.Path, "/pbx/api/call-logd/1.0/links/cdr/7/") {
		t.Fatalf("link %s", link.URL)
	}
	path, query := strings.TrimPrefix(address.Path, "/pbx"), "?"+address.RawQuery
	for _, use := range []string{path, strings.TrimPrefix(path, "/api/call-logd")} {
		r := w.get(use+query, "X-Auth-Token", "", "Range", "bytes=2-4")
		if r.status != 206 || r.body != "234" {
			t.Errorf("%s: %d %s", use, r.status, r.body)
		}
	}
	for _, bad := range []string{
		strings.Replace(path, "/cdr/7/", "/cdr/8/", 1) + query, strings.Replace(path, rec1, rec2, 1) + query, path,
		path + strings.Replace(query, "expires=1", "expires=2", 1), path + "?expires=x&signature=y", path + query + "A",
	} {
		w.fails(w.get(bad, "X-Auth-Token", ""), 403, "link-invalid")
	}
	w.now = w.now.Add(5 * time.Minute)
	w.fails(w.get(path+query, "X-Auth-Token", ""), 410, "link-expired")
	w.now = w.now.Add(-time.Minute)
	w.recorded(recorder.Deleted, "")
	w.fails(w.get(path+query, "X-Auth-Token", ""), 400, "recording-media-not-found")
}

// TestLargeBody: what is too long is not read to its end.
func TestLargeBody(t *testing.T) {
	var read error
	h := edge{CallLogd, http.NewServeMux(), bodyTime}
	h.mux.HandleFunc("POST /x", func(_ http.ResponseWriter, r *http.Request) {
		_, read = bufio.NewReader(r.Body).Discard(64 << 20)
	})
	s := httptest.NewServer(h)
	defer s.Close()
	resp, err := http.Post(s.URL+"/x", "application/json", &endless{left: 64 << 20}) //nolint:noctx // ends by itself
	if err == nil {
		resp.Body.Close()
	}
	if read == nil || !strings.Contains(read.Error(), "too large") {
		t.Errorf("a body of 64 MiB: %v", read)
	}
}

type endless struct{ left int }

func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n := min(len(p), e.left)
	e.left -= n
	return n, nil
}

// A client that dribbles a body holds a connection for a time, and no longer;
// others are served meanwhile.
func TestSlowBody(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			writeMessage(w, http.StatusBadRequest, "The body did not come")
		}
	})
	srv := httptest.NewServer(edge{CallLogd, mux, 200 * time.Millisecond})
	t.Cleanup(srv.Close)
	var slow []net.Conn
	for range 50 {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		if _, err := io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"); err != nil {
			t.Fatal(err)
		}
		slow = append(slow, c)
	}
	resp, err := http.Post(srv.URL, "application/json", strings.NewReader("{}")) //nolint:noctx // of a test
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp, err)
	}
	_ = resp.Body.Close()
	for _, c := range slow {
		if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if said, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(said), "HTTP/1.1 400") {
			t.Errorf("%v %q", err, said)
		}
	}
}
