package api

import (
	"context"
	"encoding/json"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"callrecordd/internal/auth"
	"callrecordd/internal/cdr"
	"callrecordd/internal/recorder"
)

const (
	master = "00000000-0000-4000-8000-000000000001"
	child  = "00000000-0000-4000-8000-000000000002"
	other  = "00000000-0000-4000-8000-000000000003"
	rec1   = "10000000-0000-4000-8000-00000000000a"
	rec2   = "10000000-0000-4000-8000-00000000000b"
)

// fakeCDRs remembers what it was asked.
type fakeCDRs struct {
	query           Query
	items           []Record // that a list has
	total, filtered int
	records         []Record
	err             error
}

func (f *fakeCDRs) List(_ context.Context, q Query) (Page, error) {
	f.query = q
	return Page{Total: f.total, Filtered: f.filtered, Records: eachOf(f.items)}, f.err
}

func eachOf(list []Record) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for _, r := range list {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func (f *fakeCDRs) ByID(_ context.Context, id int64, tenants []string) (Record, bool, error) {
	for _, r := range f.records {
		if r.CDR.ID == id && slices.Contains(tenants, r.CDR.TenantUUID) {
			return r, true, f.err
		}
	}
	return Record{}, false, f.err
}

func (f *fakeCDRs) Recording(_ context.Context, uuid string) (recorder.Recording, bool, error) {
	for _, r := range f.records {
		for _, rec := range r.Recordings {
			if rec.UUID == uuid {
				return rec, true, f.err
			}
		}
	}
	return recorder.Recording{}, false, f.err
}

type fakeTokens struct {
	known map[string]auth.Token
	err   error
}

func (f *fakeTokens) Check(_ context.Context, token string) (auth.Token, error) {
	if f.err != nil {
		return auth.Token{}, f.err
	}
	if t, ok := f.known[token]; ok {
		return t, nil
	}
	return auth.Token{}, auth.ErrInvalidToken
}

type fakeTenants map[string][]string

func (f fakeTenants) Visible(tenant string) []string { return f[tenant] }
func (f fakeTenants) Master() string                 { return master }

// prefixes are the places where the routes of call-logd are found: at its own
// port, and as Wazo's nginx publishes them.
func prefixes() []string { return []string{"", "/api/call-logd"} }

// world is a server with everything behind it.
type world struct {
	t      *testing.T
	cdrs   *fakeCDRs
	tokens *fakeTokens
	keep   *fakeKeep
	why    fakeWhy
	audit  fakeAudit
	root   string
	ready  string // why not, empty if it is
	health Health
	debug  bool
	actor  string // who has switched it
	now    time.Time
	log    strings.Builder
	noted  []recorder.Event // of audio that was given
	lost   error            // instead
	url    string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		t: t, cdrs: &fakeCDRs{}, root: t.TempDir(), now: time.Date(2026, 11, 23, 10, 0, 0, 250e6, time.UTC),
		health: Health{Asterisk: true, Journal: true, Database: true},
		tokens: &fakeTokens{known: map[string]auth.Token{
			"all":   {TenantUUID: master, ACL: []string{"call-logd.#"}},
			"child": {TenantUUID: child, ACL: []string{"call-logd.#"}},
			"list":  {TenantUUID: master, ACL: []string{"call-logd.cdr.read"}},
		}},
	}
	w.why, w.audit = fakeWhy{}, fakeAudit{asked: new(AuditQuery)}
	w.keep = newFakeKeep(t.TempDir(), func() []Record { return w.cdrs.records })
	server := New(Options{
		CDRs: w.cdrs, Tokens: w.tokens, Keep: w.keep.keep(), Why: w.why, Audit: w.audit, Root: w.root,
		Tenants: fakeTenants{master: {master, child}, child: {child}, other: {other}},
		Note: func(_ context.Context, e recorder.Event) error {
			if w.lost == nil {
				w.noted = append(w.noted, e)
			}
			return w.lost
		},
		Now:    func() time.Time { return w.now },
		Log:    slog.New(slog.NewTextHandler(&w.log, nil)),
		Ready:  func() (bool, string) { return w.ready == "", w.ready },
		Health: func() Health { return w.health },
		Metrics: func(out io.Writer) error {
			_, err := io.WriteString(out, "callrecordd_ready 1\n")
			return err
		},
		Config:  func() map[string]any { return map[string]any{"debug": w.debug, "log": map[string]any{"level": "info"}} },
		Debug:   func(on bool, actor string) { w.debug, w.actor = on, actor },
		Signer:  auth.NewSigner([]byte("0123456789abcdef0123456789abcdef"), func() time.Time { return w.now }),
		Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	})
	s := httptest.NewServer(checked(t, server, server.Handler(CallLogd)))
	t.Cleanup(s.Close)
	w.url = s.URL
	return w
}

// reply is an answer, read to its end.
type reply struct {
	status int
	header http.Header
	body   string
}

// do asks with the token "all"; headers come in pairs and override it.
func (w *world) do(method, path string, headers ...string) reply {
	w.t.Helper()
	return w.send(method, path, "", headers...)
}

// send is do with a body.
func (w *world) send(method, path, body string, headers ...string) reply {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("X-Auth-Token", "all")
	for pair := range slices.Chunk(headers, 2) {
		req.Header.Set(pair[0], pair[1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		w.t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(answer)}
}

func (w *world) get(path string, headers ...string) reply {
	w.t.Helper()
	return w.do("GET", path, headers...)
}

// fails checks status and error id and returns the details.
func (w *world) fails(r reply, status int, id string) map[string]any {
	w.t.Helper()
	var p struct {
		ID      string         `json:"error_id"`
		Details map[string]any `json:"details"`
	}
	if err := json.Unmarshal([]byte(r.body), &p); err != nil || r.status != status || p.ID != id {
		w.t.Errorf("got %d %s, want %d %s (%v)", r.status, r.body, status, id, err)
	}
	return p.Details
}

// recorded puts call 7 of the child tenant there, with a recording of the given
// state and the given file, and returns the path of its media.
func (w *world) recorded(state recorder.State, content string) string {
	w.t.Helper()
	start := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	w.cdrs.records = []Record{
		{
			CDR: cdr.CDR{ID: 7, TenantUUID: child, Start: start, CallStatus: "answered"},
			Recordings: []recorder.Recording{{
				UUID: rec1, TenantUUID: child, CDRID: 7, State: state, StartedAt: start, EndedAt: start.Add(time.Second), SHA256: "abc123",
			}},
		},
		{CDR: cdr.CDR{ID: 8, TenantUUID: master, Start: start}},
	}
	if content != "" {
		if err := os.WriteFile(w.file(), []byte(content), 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	return "/1.0/cdr/7/recordings/" + rec1 + "/media"
}

// file is where recorded's file is; its folder is made.
func (w *world) file() string {
	w.t.Helper()
	dir := filepath.Join(w.root, child, "monitor")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		w.t.Fatal(err)
	}
	return filepath.Join(dir, rec1+".wav")
}
