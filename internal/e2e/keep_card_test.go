package e2e

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"callrecordd/config"
	"callrecordd/dialplan"
	"callrecordd/internal/lab"
)

// The curl lines of the seed document, as printed there.
const (
	seedMedia  = `curl --insecure -X GET --header 'Accept: audio/wav' --header 'X-Auth-Token: <ACCESS TOKEN>' 'https://<WAZO STACK HOSTNAME>/api/call-logd/1.0/cdr/2060/recordings/5ea37d0b-0823-4d2b-a18c-b9082e551b50/media' --output <MY FILE.wav>`
	seedExport = `curl --insecure -X POST --header 'Content-Type: application/json' --header 'Accept: application/json' --header 'Wazo-Tenant: <TENANT UUID>' --header 'X-Auth-Token: ACCESS TOKEN' -d '{}' 'https://<WAZO STACK HOSTNAME>/api/call-logd/1.0/cdr/recordings/media/export?from=2021-04-01T00%3A00%3A00-0500&until=2021-05-01T00%3A00%3A00-0500&recurse=false&email=<USERNAME%40DOMAIN>'`
	seedStatus = `curl --insecure -X GET --header 'Accept: application/json' --header 'X-Auth-Token: <ACCESS TOKEN>' 'https://<WAZO STACK HOSTNAME>/api/call-logd/1.0/exports/<EXPORT UUID>'`
)

// Shows 2: the seed's lines against a real call. Only what stands for a value is
// replaced, and the dates of the export, which is for calls of today. Before the
// daemon stands what stands before every Wazo: a proxy that has TLS.
func TestSeedsCurlLines(t *testing.T) {
	t.Parallel()
	box := newMailbox(t)
	s := newSite(t, func(c *config.Config) {
		c.Mail.Host, c.Mail.Port, c.Mail.TLS, c.Exports.KeepFree = "127.0.0.1", box.addr.Port, config.TLSNone, 0
	})
	s.rules("alice", dialplan.Flags{OutgoingInternal: true})
	alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0))
	call, _ := s.talk(alice, bob, "1002")
	time.Sleep(1500 * time.Millisecond) // what is talked about, not what is waited for
	s.hangup(call)
	cdr, rec := s.one()
	target, err := url.Parse("http://" + s.address())
	must(t, err)
	proxy := httptest.NewTLSServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host
	}})
	t.Cleanup(proxy.Close)
	dir := t.TempDir()
	run := func(line string, more ...string) string {
		t.Helper()
		line = strings.NewReplacer(append(more, "<ACCESS TOKEN>", s.token, "X-Auth-Token: ACCESS TOKEN", "X-Auth-Token: "+s.token,
			"<WAZO STACK HOSTNAME>", proxy.Listener.Addr().String(), "<TENANT UUID>", cdr.TenantUUID, "<USERNAME%40DOMAIN>", "carol%40example.com",
			"cdr/2060/", fmt.Sprintf("cdr/%d/", cdr.ID), "5ea37d0b-0823-4d2b-a18c-b9082e551b50", rec.UUID, "<MY FILE.wav>", "my.wav")...).Replace(line)
		cmd := exec.CommandContext(within(t), "sh", "-c", line)
		cmd.Dir = dir
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v %s", line, err, out)
		}
		return string(out)
	}
	run(seedMedia)
	s.hears(filepath.Join(dir, "my.wav"), toneA, toneB)
	if out := run(seedExport); !strings.Contains(out, `"no-recording-to-export"`) {
		t.Errorf("of April 2021: %s", out)
	}
	day := func(days int) string { return time.Now().AddDate(0, 0, days).Format("2006-01-02") }
	out := run(seedExport, "2021-04-01", day(-2), "2021-05-01", day(2))
	m := regexp.MustCompile(`^\{"uuid":"([0-9a-f-]{36})"\}\s*$`).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("export: %s", out)
	}
	s.eventually("the export is finished", func() error {
		if out := run(seedStatus, "<EXPORT UUID>", m[1]); !strings.Contains(out, `"status":"finished"`) {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	s.eventually("the mail has come", func() error {
		if n := len(box.letters()); n != 1 {
			return fmt.Errorf("%d mails", n)
		}
		return nil
	})
	link := (&vault{site: s}).linkIn(box.letters()[0].data)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // as curl --insecure
	resp, err := client.Get(link.String())
	must(t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	must(t, err)
	entries := unzip(t, data)
	if len(entries) != 1 || entries[fmt.Sprintf("%d/%s", cdr.ID, rec.Filename)] == nil {
		t.Fatalf("the archive behind %s has %d entries", link, len(entries))
	}
	for _, wav := range entries {
		path := filepath.Join(dir, "entry.wav")
		must(t, os.WriteFile(path, wav, 0o600))
		s.hears(path, toneA, toneB)
	}
}
