package api

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"callrecordd/internal/auth"
	"callrecordd/internal/directory"
	"callrecordd/internal/events"
	"callrecordd/internal/webhook"
	"callrecordd/store"
)

// town is the auth service over a real database, and every other service with
// it, at its own port. Its tenants: master above top above mid above low, and
// side beside mid.
type town struct {
	t        testing.TB
	url      string
	server   *Server
	accounts *auth.Accounts
	tokens   *auth.Service
	dir      *directory.Service
	calls    *fakeCalls
	keep     *fakeKeep
	why      fakeWhy
	feed     *events.Feed
	hooks    *webhook.Service
	log      *memoryLog
	store    *store.Store
	tenants  map[string]string // by name
	admin    string            // token of the first administrator, in master
	mu       sync.Mutex
	time     time.Time
}

func (w *town) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.time
}

func (w *town) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

const adminPassword = "sésame:ouvre"

func newTown(t testing.TB, service Service, cdrs CDRs) *town {
	t.Helper()
	w := &town{t: t, time: time.Date(2026, 11, 24, 3, 0, 0, 250e6, time.UTC), tenants: map[string]string{}}
	log := slog.New(slog.DiscardHandler)
	st, err := store.Open(t.Context(), store.Options{Path: filepath.Join(t.TempDir(), "db"), Now: w.now, Log: log})
	w.must(err)
	t.Cleanup(func() { w.must(st.Close()) })
	w.store = st
	w.dir, err = directory.New(t.Context(), directory.Options{Repo: st, Now: w.now, NewUUID: uuid.NewString})
	w.must(err)
	w.calls = &fakeCalls{}
	w.tokens = auth.New(st, w.now, uuid.NewString)
	w.tenants["master"] = w.dir.Book().Master().UUID
	w.accounts, err = auth.NewAccounts(t.Context(), auth.AccountsOptions{
		Repo: st, Tokens: w.tokens, Now: w.now, NewUUID: uuid.NewString, Master: w.tenants["master"], Key: []byte("k"),
		UserPolicy: auth.DefaultUserPolicy(), MaxSessions: 5, Lifetime: 2 * time.Hour,
	})
	w.must(err)
	for _, pair := range [][2]string{{"top", "master"}, {"mid", "top"}, {"low", "mid"}, {"side", "top"}} {
		tenant, err := w.dir.CreateTenant(t.Context(), "test", directory.Tenant{Name: pair[0], Parent: w.tenants[pair[1]]})
		w.must(err)
		w.tenants[pair[0]] = tenant.UUID
	}
	w.why = fakeWhy{}
	w.keep = newFakeKeep(t.TempDir(), func() []Record { return nil })
	w.log = &memoryLog{}
	w.feed = events.NewFeed(w.log, 12)
	w.hooks = webhook.New(webhook.Options{Repo: st, Now: w.now, NewUUID: uuid.NewString, Attempts: 3, Log: log})
	w.server = New(Options{
		CDRs: cdrs, Tokens: w.tokens, Tenants: treeOf{w.dir}, Keep: w.keep.keep(), Why: w.why, Audit: fakeAudit{every: true}, Root: t.TempDir(), Now: w.now, Log: log,
		Ready:  func() (bool, string) { return true, "" },
		Health: func() Health { return Health{Asterisk: true, Journal: true, Database: true} }, Metrics: func(io.Writer) error { return nil },
		Config: func() map[string]any { return map[string]any{} },
		Debug:  func(bool, string) {},
		Signer: auth.NewSigner([]byte("key"), w.now), Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Calls: w.calls, Directory: w.dir, Toggle: &fakeToggle{code: "*3"}, Feed: w.feed, Webhooks: w.hooks,
		Accounts: AccountOptions{Accounts: w.accounts, Tokens: w.tokens, Directory: w.dir, UserTenants: st.UserTenants, StackUUID: "5ac00000-0000-4000-8000-000000000000"},
	})
	srv := httptest.NewServer(w.server.Handler(service))
	t.Cleanup(srv.Close)
	w.url = srv.URL
	w.admin = w.hostToken("master", "#")
	return w
}

type treeOf struct{ dir *directory.Service }

func (t treeOf) Visible(tenant string) []string { return t.dir.Book().Subtree(tenant) }
func (t treeOf) Master() string                 { return t.dir.Book().Master().UUID }

// hostToken makes a token of a tenant that may do what is in acl.
func (w *town) hostToken(tenant string, acl ...string) string {
	w.t.Helper()
	secret, _, err := w.tokens.Create(w.t.Context(), "test", auth.Request{TenantUUID: w.tenants[tenant], UserUUID: uuid.NewString(), ACL: acl})
	w.must(err)
	return secret.Reveal()
}

// account makes one of a tenant, with the password pw.
func (w *town) account(tenant, name string) auth.Account {
	w.t.Helper()
	a, err := w.accounts.Create(w.t.Context(), auth.Actor{Name: "test"}, auth.Account{
		TenantUUID: w.tenants[tenant], Username: name, Purpose: auth.PurposeUser, Method: "default", Enabled: true,
	}, "pw")
	w.must(err)
	return a
}

// ask sends a request as Wazo's clients do: each on its own connection.
// Headers come in pairs; one with an empty value is left out.
func (w *town) ask(method, path, body string, headers ...string) reply {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, strings.NewReader(body))
	w.must(err)
	req.Close = true
	req.Header.Set("X-Auth-Token", w.admin)
	req.Header.Set("Accept", "application/json")
	for pair := range slices.Chunk(headers, 2) {
		req.Header.Set(pair[0], pair[1])
		if pair[1] == "" {
			req.Header.Del(pair[0])
		}
	}
	resp, err := http.DefaultClient.Do(req)
	w.must(err)
	data, err := io.ReadAll(resp.Body)
	w.must(err)
	w.must(resp.Body.Close())
	return reply{resp.StatusCode, resp.Header, string(data)}
}

// into decodes an answer of the status.
func (w *town) into(r reply, status int, v any) {
	w.t.Helper()
	if r.status != status {
		w.t.Fatalf("got %d %s, want %d", r.status, r.body, status)
	}
	if v != nil {
		if err := json.Unmarshal([]byte(r.body), v); err != nil {
			w.t.Fatalf("%s: %v", r.body, err)
		}
	}
}

// reason checks an error of form B.
func (w *town) reason(r reply, status int, text string) {
	w.t.Helper()
	var e struct {
		Reason     []string
		Timestamp  []float64
		StatusCode int `json:"status_code"`
	}
	if err := json.Unmarshal([]byte(r.body), &e); err != nil || r.status != status || e.StatusCode != status ||
		len(e.Reason) != 1 || !strings.Contains(e.Reason[0], text) || len(e.Timestamp) != 1 {
		w.t.Errorf("got %d %s, want %d with the reason %q", r.status, r.body, status, text)
	}
}

// problem checks an error of form A and returns its details.
func (w *town) problem(r reply, status int, id, resource string) map[string]any {
	w.t.Helper()
	var e struct {
		Message   any
		ID        string `json:"error_id"`
		Details   map[string]any
		Timestamp float64
		Resource  string
	}
	if err := json.Unmarshal([]byte(r.body), &e); err != nil || r.status != status || e.ID != id || e.Resource != resource ||
		e.Message == nil || e.Timestamp == 0 || e.Details == nil {
		w.t.Errorf("got %d %s, want %d %s of %s (%v)", r.status, r.body, status, id, resource, err)
	}
	return e.Details
}

// message checks an error of form D.
func (w *town) message(r reply, status int) {
	w.t.Helper()
	var e map[string]any
	if err := json.Unmarshal([]byte(r.body), &e); err != nil || r.status != status || len(e) != 1 || e["message"] == "" {
		w.t.Errorf("got %d %s, want %d and a message", r.status, r.body, status)
	}
}

func basic(user, password string) string {
	req := http.Request{Header: http.Header{}}
	req.SetBasicAuth(user, password)
	return req.Header.Get("Authorization")
}

func jsonOf(format string, args ...any) string {
	return fmt.Sprintf(strings.ReplaceAll(format, "'", `"`), args...)
}
