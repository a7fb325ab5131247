package e2e

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"callrecordd/internal/api"
	"callrecordd/internal/app"
	"callrecordd/internal/auth"
	"callrecordd/internal/cdr"
	"callrecordd/internal/recorder"
	"callrecordd/store"
)

// The tenants and people of upstream's tests.
const (
	masterTenant = "4eeb57e9-0000-4000-8000-000000000001"
	usersTenant  = "4eeb57e9-0000-4000-8000-000000000002"
	otherTenant  = "4eeb57e9-0000-4000-8000-000000000003"

	user1 = "11111111-1111-4111-8111-111111111111"
	user2 = "22222222-2222-4222-8222-222222222222"
	user3 = "33333333-3333-4333-8333-333333333333"
)

// lists is the API over a database with calls, without an Asterisk.
type lists struct {
	t       testing.TB
	store   *store.Store
	handler http.Handler
	down    bool // tokens cannot be checked
	url     string
	n       int
}

func newLists(t testing.TB) *lists {
	t.Helper()
	l := &lists{t: t}
	log := slog.New(slog.DiscardHandler)
	var err error
	l.store, err = store.Open(t.Context(), store.Options{Path: filepath.Join(t.TempDir(), "cdr.db"), Now: time.Now, Log: log})
	must(t, err)
	t.Cleanup(func() { must(t, l.store.Close()) })
	l.handler = api.New(api.Options{
		CDRs: app.CDRs(l.store), Tokens: l, Tenants: l, Root: t.TempDir(), Now: time.Now, Log: log,
		Ready: func() (bool, string) { return true, "" },
	}).Handler(api.CallLogd)
	server := httptest.NewServer(l.handler)
	t.Cleanup(server.Close)
	l.url = server.URL
	return l
}

// Check knows tokens by name: master, users and other are of tenants, user1 to
// user3 and alien of people.
func (l *lists) Check(_ context.Context, token string) (auth.Token, error) {
	people := map[string]string{"user1": user1, "user2": user2, "user3": user3, "alien": user3}
	tenants := map[string]string{"master": masterTenant, "other": otherTenant, "alien": otherTenant}
	switch {
	case l.down:
		return auth.Token{}, errors.New("the database is away")
	case people[token] == "" && !slices.Contains([]string{"master", "users", "other"}, token):
		return auth.Token{}, auth.ErrInvalidToken
	}
	tenant := tenants[token]
	if tenant == "" {
		tenant = usersTenant
	}
	acl := []string{"call-logd.#"}
	if people[token] != "" {
		acl = []string{"call-logd.users.me.#"}
	}
	return auth.Token{TenantUUID: tenant, UserUUID: people[token], ACL: acl}, nil
}

func (*lists) Master() string { return masterTenant }

func (*lists) Visible(tenant string) []string {
	if tenant == masterTenant {
		return []string{masterTenant, usersTenant, otherTenant}
	}
	return []string{tenant}
}

// call saves one, an hour after the one before, and returns its id: 1, 2, ….
func (l *lists) call(change func(*cdr.CDR)) int64 {
	l.t.Helper()
	l.n++
	id := fmt.Sprintf("1000.%d", l.n)
	c := cdr.CDR{
		TenantUUID: usersTenant, Start: time.Date(2017, 4, 10, l.n, 0, 0, 0, time.UTC), CallStatus: cdr.StatusUnknown,
		ConversationID: id, LinkedIDs: []string{id}, Uniqueids: []string{id}, Source: cdr.SourceJournal,
		Journal: cdr.JournalRange{ID: 1, First: int64(l.n), Last: int64(l.n)},
	}
	if change != nil {
		change(&c)
	}
	ids, err := l.store.SaveCDRs(l.t.Context(), []cdr.CDR{c}, cdr.Checkpoint{})
	must(l.t, err)
	return ids[0]
}

// record adds a recording to a call.
func (l *lists) record(id int64, uuid string, state recorder.State) {
	l.t.Helper()
	start := time.Date(2017, 4, 10, int(id), 0, len(uuid)%7, 0, time.UTC)
	must(l.t, l.store.InsertIntent(l.t.Context(), recorder.Recording{
		UUID: uuid, TenantUUID: usersTenant, Hook: fmt.Sprintf("1000.%d", id), State: state,
		IntentAt: start, StartedAt: start, EndedAt: start.Add(time.Minute),
	}))
}

// from gives a call its source, to its chosen destination.
func from(c *cdr.CDR, user string, tags ...string) {
	c.SourceUserUUID = user
	c.Participants = append(c.Participants, cdr.Participant{UserUUID: user, Role: "source", Tags: tags})
}

func to(c *cdr.CDR, user string, tags ...string) {
	c.DestinationUserUUID = user
	c.Participants = append(c.Participants, cdr.Participant{UserUUID: user, Role: "destination", Tags: tags, Answered: true})
}

func (l *lists) get(token, path string, headers ...string) (int, http.Header, string) {
	l.t.Helper()
	req, err := http.NewRequestWithContext(l.t.Context(), http.MethodGet, l.url+"/1.0"+path, nil)
	must(l.t, err)
	if token != "" {
		req.Header.Set("X-Auth-Token", token)
	}
	for pair := range slices.Chunk(headers, 2) {
		req.Header.Set(pair[0], pair[1])
	}
	res, err := http.DefaultClient.Do(req)
	must(l.t, err)
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	must(l.t, err)
	return res.StatusCode, res.Header, string(body)
}

// listed is an answer of a list.
type listed struct {
	Items           []map[string]any
	Total, Filtered int
	NextCursor      *string `json:"next_cursor"`
}

func (p listed) ids() []int64 {
	out := []int64{}
	for _, item := range p.Items {
		out = append(out, int64(item["id"].(float64)))
	}
	return out
}

func (l *lists) list(token, path string, headers ...string) listed {
	l.t.Helper()
	status, _, body := l.get(token, path, headers...)
	var p listed
	if err := json.Unmarshal([]byte(body), &p); err != nil || status != http.StatusOK {
		l.t.Fatalf("%s: %d %s %v", path, status, body, err)
	}
	return p
}

// has checks which calls a list has, in their order.
func (l *lists) has(token, path string, total, filtered int, ids ...int64) {
	l.t.Helper()
	p := l.list(token, path)
	if p.Total != total || p.Filtered != filtered || !slices.Equal(p.ids(), append([]int64{}, ids...)) {
		l.t.Errorf("%s: total %d, filtered %d, ids %v; want %d, %d, %v", path, p.Total, p.Filtered, p.ids(), total, filtered, ids)
	}
}

// failure is an error's answer.
type failure struct {
	Message string
	ErrorID string `json:"error_id"`
	Details map[string]any
}

func (l *lists) fails(token, path string, want int, headers ...string) failure {
	l.t.Helper()
	status, header, body := l.get(token, path, headers...)
	var f failure
	if err := json.Unmarshal([]byte(body), &f); err != nil || status != want || header.Get("Content-Type") != "application/json" {
		l.t.Errorf("%s: %d %s %v, want %d", path, status, body, err, want)
	}
	return f
}

func (l *lists) csv(token, path string, headers ...string) []map[string]string {
	l.t.Helper()
	status, header, body := l.get(token, path, headers...)
	if status != http.StatusOK || header.Get("Content-Type") != "text/csv; charset=utf-8" ||
		header.Get("Content-Disposition") != "attachment; filename=cdr.csv" {
		l.t.Fatalf("%s: %d %v %s", path, status, header, body)
	}
	rows, err := csv.NewReader(strings.NewReader(body)).ReadAll()
	must(l.t, err)
	out := []map[string]string{}
	for _, row := range rows[1:] {
		m := make(map[string]string)
		for i, name := range rows[0] {
			if _, twice := m[name]; twice {
				l.t.Errorf("%s: column %s twice", path, name)
			}
			m[name] = row[i]
		}
		out = append(out, m)
	}
	return out
}

func start2017() time.Time { return time.Date(2017, 4, 10, 0, 0, 0, 0, time.UTC) }

func second(n int) time.Duration { return time.Duration(n) * time.Second }
