package webhook_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
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

// memoryLog is what was stored of events.
type memoryLog struct {
	mu   sync.Mutex
	rows []events.Entry
}

func (m *memoryLog) After(_ context.Context, row int64, limit int) ([]events.Entry, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rest := m.rows[min(int(row), len(m.rows)):]
	return slices.Clone(rest[:min(limit, len(rest))]), false, nil
}

func (m *memoryLog) Last(context.Context) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return int64(len(m.rows)), nil
}

// desk is the service over a real database.
type desk struct {
	t      *testing.T
	path   string
	store  *store.Store
	tenant string
	other  string
	log    *memoryLog
	feed   *events.Feed
	opt    webhook.Options
	*webhook.Service
	stop func()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newDesk(t *testing.T, change func(*webhook.Options)) *desk {
	t.Helper()
	d := &desk{t: t, path: filepath.Join(t.TempDir(), "db"), log: &memoryLog{}}
	d.opt = webhook.Options{
		Workers: 4, Timeout: 300 * time.Millisecond, Attempts: 2, Keep: time.Hour, AllowPrivate: true, Agent: "test", Now: time.Now,
		NewUUID: uuid.NewString, Log: slog.New(slog.DiscardHandler),
		Sees: func(s webhook.Subscription) ([]string, interface{ Allows(string) bool }) {
			return []string{s.TenantUUID}, auth.Compile(s.ACL, auth.Identity{AuthID: s.AuthID})
		},
	}
	if change != nil {
		change(&d.opt)
	}
	d.start()
	t.Cleanup(func() { d.end() })
	dir, err := directory.New(t.Context(), directory.Options{Repo: d.store, Now: time.Now, NewUUID: uuid.NewString})
	must(t, err)
	d.tenant = dir.Book().Master().UUID
	other, err := dir.CreateTenant(t.Context(), "test", directory.Tenant{Name: "other", Parent: d.tenant})
	must(t, err)
	d.other = other.UUID
	return d
}

// start opens the database and begins to deliver.
func (d *desk) start() {
	d.t.Helper()
	var err error
	d.store, err = store.Open(d.t.Context(), store.Options{Path: d.path, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	must(d.t, err)
	d.feed = events.NewFeed(d.log, 1)
	d.opt.Repo, d.opt.Feed = d.store, d.feed
	d.Service = webhook.New(d.opt)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	d.stop = func() { cancel(); must(d.t, <-done); must(d.t, d.store.Close()) }
}

func (d *desk) end() {
	if d.stop != nil {
		d.stop()
		d.stop = nil
	}
}

// subscribe makes a subscription of a tenant with an ACL.
func (d *desk) subscribe(tenant, url string, acl ...string) webhook.Subscription {
	d.t.Helper()
	s := webhook.Subscription{
		UUID: uuid.NewString(), TenantUUID: tenant, Name: "test", Events: []string{"*"}, ACL: acl, Secret: webhook.NewSecret(),
		Config: webhook.Config{URL: url, Method: "post"},
	}
	must(d.t, d.InsertWebhook(d.t.Context(), s, "test"))
	return s
}

// happens is an event of a tenant; its row is far behind those that the store
// itself notes.
func (d *desk) happens(tenant, name, data string) {
	d.log.mu.Lock()
	for len(d.log.rows) < 100 {
		d.log.rows = append(d.log.rows, events.Entry{Row: int64(len(d.log.rows) + 1)})
	}
	row := int64(len(d.log.rows) + 1)
	d.log.rows = append(d.log.rows, events.Entry{Row: row, Events: []events.Event{{
		ID: events.Position{Row: row}, Name: name, TenantUUID: tenant, RequiredACL: events.Access(name, ""), Data: json.RawMessage(data),
	}}})
	d.log.mu.Unlock()
	d.feed.Wake()
}

// got is a request that a target has got.
type got struct {
	id, event, body string
}

// target is a server that is told of events. answer says how it answers the
// n-th request, from 1.
type target struct {
	*httptest.Server
	mu   sync.Mutex
	all  []got
	t    *testing.T
	keys map[string]string // secret by path
}

func newTarget(t *testing.T, answer func(n int, w http.ResponseWriter, r *http.Request)) *target {
	t.Helper()
	x := &target{t: t}
	x.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		x.mu.Lock()
		x.all = append(x.all, got{r.Header.Get("Webhook-Id"), r.Header.Get("X-Callrecordd-Event"), string(body)})
		n := len(x.all)
		x.mu.Unlock()
		if secret := x.keys[r.URL.Path]; secret != "" {
			x.verify(r, secret, body)
		}
		answer(n, w, r)
	}))
	t.Cleanup(x.Close)
	return x
}

// verify is written as a receiver would.
func (x *target) verify(r *http.Request, secret string, body []byte) {
	key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", r.Header.Get("Webhook-Id"), r.Header.Get("Webhook-Timestamp"), body)
	if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); r.Header.Get("Webhook-Signature") != want {
		x.t.Errorf("signature %s, want %s", r.Header.Get("Webhook-Signature"), want)
	}
}

func (x *target) requests() []got {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.all)
}

// eventually waits until a state is there.
func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	deadline, tick := time.After(20*time.Second), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for !check() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not in time", what)
		}
	}
}

// list are the deliveries of a subscription, the oldest first.
func (d *desk) list(s webhook.Subscription) []webhook.Delivery {
	d.t.Helper()
	list, _, err := d.Deliveries(d.t.Context(), webhook.DeliveryFilter{Subscription: s.UUID, Ascending: true})
	must(d.t, err)
	return list
}

// settled waits until so many deliveries have ended.
func (d *desk) settled(s webhook.Subscription, n int) []webhook.Delivery {
	d.t.Helper()
	var list []webhook.Delivery
	eventually(d.t, fmt.Sprintf("%d deliveries", n), func() bool {
		list = d.list(s)
		return len(list) == n && !slices.ContainsFunc(list, func(x webhook.Delivery) bool { return x.State == webhook.Pending })
	})
	return list
}

func ok(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }

// TestDelivery: those who subscribed are told in order and once, signed, of what
// their tenant and ACL allow, and of nothing that was before.
func TestDelivery(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	x := newTarget(t, ok)
	d.log.rows = []events.Entry{{Row: 1, Events: []events.Event{{ID: events.Position{Row: 1}, Name: "old", TenantUUID: d.tenant, Data: json.RawMessage("1")}}}}
	all := d.subscribe(d.tenant, x.URL+"/all", "events.#")
	x.keys = map[string]string{"/all": all.Secret}
	other := d.subscribe(d.other, x.URL+"/other", "events.#")
	calls := d.subscribe(d.tenant, x.URL+"/calls", "events.call_log.created")
	for i := range 20 {
		d.happens(d.tenant, events.RecordingReady, fmt.Sprintf(`{"n":%d}`, i))
	}
	d.happens(d.tenant, events.CallLogCreated, `{"id": 7}`)
	list := d.settled(all, 21)
	if n := len(d.settled(calls, 1)); n != 1 || len(d.list(other)) != 0 {
		t.Errorf("%d deliveries of the narrow ACL, %d of the other tenant", n, len(d.list(other)))
	}
	var ids []string
	for _, r := range x.requests() {
		if r.event == events.RecordingReady {
			if want := fmt.Sprintf(`{"n":%d}`, len(ids)); r.body != want {
				t.Errorf("got %s in place of %s", r.body, want)
			}
			ids = append(ids, r.id)
		}
	}
	if slices.Sort(ids); len(slices.Compact(ids)) != 20 {
		t.Errorf("%d different ids", len(ids))
	}
	for _, x := range list {
		if x.State != webhook.Delivered || x.Attempts != 1 || x.Status != 204 || x.EndedAt.IsZero() {
			t.Errorf("%+v", x)
		}
	}
}

// TestTargetThatFailsFirst gets the event again, with the same id, before the
// next one.
func TestTargetThatFailsFirst(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	x := newTarget(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		if n == 1 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	s := d.subscribe(d.tenant, x.URL, "#")
	d.happens(d.tenant, events.RecordingReady, `"first"`)
	d.happens(d.tenant, events.RecordingReady, `"second"`)
	list := d.settled(s, 2)
	r := x.requests()
	if len(r) != 3 || r[0] != r[1] || r[2].body != `"second"` || r[2].id == r[1].id || list[0].Attempts != 2 || list[0].Detail != "" {
		t.Errorf("got %+v, %+v", r, list)
	}
}

// TestBadTargets: a server that hangs, one that redirects to itself, one that
// says no, one that is not there: each is given up after the attempts, the
// others are not held up, and all can be sent again.
func TestBadTargets(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	healed := make(chan struct{})
	x := newTarget(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		select {
		case <-healed:
			return
		default:
		}
		switch r.URL.Path {
		case "/hangs":
			<-r.Context().Done()
		case "/redirects":
			http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
		case "/refuses":
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, "internal secret")
		}
	})
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, gone.Close())
	want := map[string]string{
		x.URL + "/hangs": "no answer: ", x.URL + "/redirects": "answered 307: redirects are not followed",
		x.URL + "/refuses": "answered 403", "http://" + gone.Addr().String(): "no answer: ",
	}
	subs := map[string]webhook.Subscription{}
	for url := range want {
		subs[url] = d.subscribe(d.tenant, url, "#")
	}
	good := d.subscribe(d.tenant, x.URL+"/good", "#")
	d.happens(d.tenant, events.RecordingReady, "{}")
	d.settled(good, 1)
	for url, s := range subs {
		dead := d.settled(s, 1)[0]
		if dead.State != webhook.Dead || dead.Attempts != 2 || !strings.HasPrefix(dead.Detail, want[url]) || strings.Contains(dead.Detail, "secret") {
			t.Errorf("%s: %+v", url, dead)
		}
	}
	redirected := 0
	for _, r := range x.requests() {
		redirected += strings.Count(r.event, events.RecordingReady)
	}
	if redirected != 7 { // two each of three, one to the good one
		t.Errorf("%d requests", redirected)
	}
	close(healed)
	for url, s := range subs {
		if strings.HasPrefix(url, x.URL) {
			before := d.list(s)[0].UUID
			n, err := d.Replay(t.Context(), s.UUID, "", "test")
			must(t, err)
			if after := d.settled(s, 1)[0]; n != 1 || after.State != webhook.Delivered || after.UUID != before {
				t.Errorf("%s was replayed to %+v", url, after)
			}
		}
	}
	if _, err := d.Replay(t.Context(), good.UUID, uuid.NewString(), "test"); err == nil {
		t.Error("a delivery that is not there was replayed")
	}
}

// TestTargetInside: a name that resolves to this machine is refused when the
// connection is made, and nothing reaches it.
func TestTargetInside(t *testing.T) {
	t.Parallel()
	d := newDesk(t, func(o *webhook.Options) { o.AllowPrivate, o.Attempts = false, 1 })
	x := newTarget(t, ok)
	s := d.subscribe(d.tenant, strings.Replace(x.URL, "127.0.0.1", "localhost", 1), "#")
	d.happens(d.tenant, events.RecordingReady, "{}")
	dead := d.settled(s, 1)[0]
	if dead.State != webhook.Dead || !strings.Contains(dead.Detail, "refused address") || len(x.requests()) != 0 {
		t.Errorf("%+v, %d requests", dead, len(x.requests()))
	}
}

// TestRestartResumesDeliveries: what was not delivered when the daemon ended is
// afterwards, in order, with the same ids; also events that nobody had looked at.
func TestRestartResumesDeliveries(t *testing.T) {
	t.Parallel()
	d := newDesk(t, func(o *webhook.Options) { o.Timeout = 10 * time.Second })
	arrived, free := make(chan struct{}, 1), make(chan struct{})
	x := newTarget(t, func(n int, _ http.ResponseWriter, r *http.Request) {
		if n == 1 {
			arrived <- struct{}{}
			select {
			case <-r.Context().Done():
			case <-free:
			}
		}
	})
	t.Cleanup(func() { close(free) })
	s := d.subscribe(d.tenant, x.URL, "#")
	d.happens(d.tenant, events.RecordingStarted, `"1"`)
	d.happens(d.tenant, events.RecordingReady, `"2"`)
	<-arrived
	eventually(t, "both are planned", func() bool { return len(d.list(s)) == 2 })
	before := d.list(s)
	d.end()
	d.log.mu.Lock() // while nobody is there
	row := int64(len(d.log.rows) + 1)
	d.log.rows = append(d.log.rows, events.Entry{Row: row, Events: []events.Event{{
		ID: events.Position{Row: row}, Name: events.CallLogCreated, TenantUUID: d.tenant, RequiredACL: "x", Data: json.RawMessage(`"3"`),
	}}})
	d.log.mu.Unlock()
	d.start()
	after := d.settled(s, 3)
	var bodies []string
	for _, r := range x.requests()[1:] {
		bodies = append(bodies, r.body)
	}
	if strings.Join(bodies, "") != `"1""2""3"` || after[0].UUID != before[0].UUID || after[1].UUID != before[1].UUID || after[0].Attempts != 1 {
		t.Errorf("got %q, before %+v, after %+v", bodies, before, after)
	}
}

// TestQueueIsBounded: for a server that is away for long the rest is given up at
// once, and can be looked at.
func TestQueueIsBounded(t *testing.T) {
	t.Parallel()
	d := newDesk(t, func(o *webhook.Options) { o.Workers = 0 })
	s := d.subscribe(d.tenant, "http://192.0.2.1", "#")
	var list []webhook.Delivery
	for range 5 {
		list = append(list, webhook.Delivery{UUID: uuid.NewString(), Subscription: s.UUID, Event: "x", Payload: []byte("{}"), CreatedAt: time.Now()})
	}
	must(t, d.store.Plan(t.Context(), 0, list, 3))
	states := map[webhook.State]int{}
	for _, x := range d.list(s) {
		states[x.State]++
	}
	if states[webhook.Pending] != 3 || states[webhook.Dead] != 2 {
		t.Errorf("%v", states)
	}
	// What has ended goes when it is old, what waits stays.
	for _, before := range []time.Time{time.Now().Add(-time.Hour), time.Now().Add(time.Hour)} {
		if more, err := d.store.PurgeDeliveries(t.Context(), before); err != nil || more {
			t.Errorf("purge: %v %v", more, err)
		}
	}
	if n := len(d.list(s)); n != 3 {
		t.Errorf("%d are left", n)
	}
}
