package api

import (
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"callrecordd/internal/auth"
	"callrecordd/internal/cdr"
	"callrecordd/internal/recorder"
)

// outside is what files have that must never be served.
const outside = "none of your business"

// mediaHandler serves one recording of ten bytes; a file beside the root must
// never be served.
func mediaHandler(f *testing.F) http.Handler {
	f.Helper()
	dir := f.TempDir()
	root := filepath.Join(dir, "root")
	monitor := filepath.Join(root, child, "monitor")
	for path, text := range map[string]string{
		filepath.Join(monitor, rec1+".wav"): "0123456789", filepath.Join(dir, "secret"): outside, filepath.Join(root, "secret"): outside,
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			f.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			f.Fatal(err)
		}
	}
	now := func() time.Time { return time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC) }
	return New(Options{
		CDRs: &fakeCDRs{records: []Record{{
			CDR:        cdr.CDR{ID: 7, TenantUUID: child},
			Recordings: []recorder.Recording{{UUID: rec1, TenantUUID: child, CDRID: 7, State: recorder.Ready, SHA256: "abc", StartedAt: now()}},
		}}},
		Tokens:  &fakeTokens{known: map[string]auth.Token{"all": {TenantUUID: master, ACL: []string{"call-logd.#"}}}},
		Tenants: fakeTenants{master: {master, child}}, Root: root, Now: now, Log: slog.New(slog.DiscardHandler),
		Signer: auth.NewSigner(make([]byte, 32), now),
	}).Handler(CallLogd)
}

func FuzzMediaPath(f *testing.F) {
	h := mediaHandler(f)
	for _, path := range []string{
		"/1.0/cdr/7/recordings/" + rec1 + "/media", "/1.0/cdr/7/recordings/../../secret/media", "/1.0/cdr/7/recordings/%2e%2e%2fsecret/media",
		"/1.0/cdr/07/recordings/" + strings.ToUpper(rec1) + "/media", "//1.0//cdr/7", "/1.0/links/cdr/7/recordings/" + rec1 + "/media?expires=1&signature=x",
		"/1.0/cdr/7/recordings/" + rec1 + "\x00/media", "/api/call-logd/1.0/users/me/cdr/7/recordings/" + rec1 + "/media",
	} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		u, err := url.ParseRequestURI("/" + strings.TrimPrefix(path, "/"))
		if err != nil {
			return
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.URL = u
		r.Header.Set("X-Auth-Token", "all")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if strings.Contains(w.Body.String(), outside) || strings.Contains(w.Body.String(), "/monitor/") && !strings.Contains(path, "monitor") {
			t.Errorf("%q: %s", path, w.Body)
		}
		if w.Code >= 500 {
			t.Errorf("%q: %d %s", path, w.Code, w.Body)
		}
	})
}

func FuzzRange(f *testing.F) {
	h := mediaHandler(f)
	for _, s := range []string{"bytes=0-3", "bytes=-1", "bytes=9-", "bytes=0-0,5-5", "bytes=", "x=1-2", "bytes=18446744073709551616-", "bytes= 1 - 2 "} {
		f.Add(s, `"abc"`)
	}
	f.Fuzz(func(t *testing.T, header, ifRange string) {
		r := httptest.NewRequest("GET", "/1.0/cdr/7/recordings/"+rec1+"/media", nil)
		r.Header.Set("X-Auth-Token", "all")
		r.Header.Set("Range", header)
		r.Header.Set("If-Range", ifRange)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		body, err := io.ReadAll(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		switch w.Code {
		case 200:
			if string(body) != "0123456789" {
				t.Errorf("%q: whole file %q", header, body)
			}
		case 206:
			if len(body) == 0 || !strings.Contains("0123456789", string(body)) {
				t.Errorf("%q: part %q", header, body)
			}
		case 416:
			if w.Header().Get("Content-Range") != "bytes */10" {
				t.Errorf("%q: %v", header, w.Header())
			}
		default:
			t.Errorf("%q: %d", header, w.Code)
		}
	})
}

func FuzzForwarded(f *testing.F) {
	s := New(Options{Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	f.Add("pbx:443", "pub.example", "https", "1.2.3.4, 127.0.0.1", "/api/x")
	f.Add("[::1]:443", "a/b", "javascript:", ",,,", "//evil")
	f.Fuzz(func(t *testing.T, host, forwarded, proto, hops, script string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.Host, r.RemoteAddr = host, "127.0.0.1:1"
		for name, value := range map[string]string{
			"X-Forwarded-Host": forwarded, "X-Forwarded-Proto": proto, "X-Forwarded-For": hops, "X-Script-Name": script,
		} {
			r.Header.Set(name, value)
		}
		o := s.originOf(r, "/api/call-logd")
		link, err := url.Parse(o.url("/1.0/exports/1"))
		if err != nil || link.Host != o.host || link.User != nil || link.RawQuery != "" || link.Fragment != "" ||
			!strings.HasSuffix(link.Path, "/api/call-logd/1.0/exports/1") || strings.Contains(link.Path, "..") {
			t.Fatalf("%+v makes %q: %v", o, o.url("/1.0/exports/1"), err)
		}
		if strings.HasPrefix(o.path("/1.0"), "//") || link.Scheme != "http" && link.Scheme != "https" {
			t.Errorf("%+v", o)
		}
		if _, err := netip.ParseAddr(o.client); err != nil {
			t.Errorf("client %q", o.client)
		}
	})
}

func FuzzDisposition(f *testing.F) {
	for _, s := range []string{download, "", `a"b\c.wav`, "é.wav", "a b;c=d", "a\r\nX-Evil: 1", "../x", "%41", "日本"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		text := disposition("attachment", name)
		if strings.ContainsAny(text, "\r\n\x00") {
			t.Errorf("%q: %q", name, text)
		}
		how, params, err := mime.ParseMediaType(text)
		if err != nil || how != "attachment" || params["filename"] != name {
			t.Errorf("%q: %q is read as %v: %v", name, text, params, err)
		}
	})
}
