package webhook_test

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"callrecordd/internal/events"
	"callrecordd/internal/webhook"
	"callrecordd/store"
)

// TestAddressIsNotInTheLog: the path of a target is often what lets one in.
func TestAddressIsNotInTheLog(t *testing.T) {
	t.Parallel()
	var log lines
	d := newDesk(t, func(o *webhook.Options) { o.Attempts, o.Log = 1, slog.New(slog.NewTextHandler(&log, nil)) })
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, gone.Close())
	s := d.subscribe(d.tenant, "http://"+gone.Addr().String()+"/services/T0KEN?key=K3Y", "#")
	d.happens(d.tenant, events.RecordingReady, "{}")
	dead := d.settled(s, 1)[0]
	said := log.String() + dead.Detail
	if !strings.Contains(log.String(), "given up") || !strings.Contains(said, "connection refused") || strings.Contains(said, "T0KEN") || strings.Contains(said, "K3Y") {
		t.Errorf("said: %s", said)
	}
}

// lines are those of a log.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// TestClockThatWasSetBackHoldsUpNoDelivery: what was to be tried again at a time
// that is now far away is tried again at once.
func TestClockThatWasSetBackHoldsUpNoDelivery(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	x := newTarget(t, ok)
	s := d.subscribe(d.tenant, x.URL, "#")
	must(t, d.store.Plan(t.Context(), 0, []webhook.Delivery{{
		UUID: uuid.NewString(), Subscription: s.UUID, Event: "x", Payload: []byte(`{"id":"1-0","tenant_uuid":"` + d.tenant + `","required_acl":"x"}`), CreatedAt: time.Now(), NextAt: time.Now().Add(24 * time.Hour),
	}}, 10))
	d.happens(d.tenant, events.RecordingReady, "{}") // wakes it
	if list := d.settled(s, 2); list[0].State != webhook.Delivered || list[1].State != webhook.Delivered {
		t.Errorf("%+v", list)
	}
}

// TestManySubscribersArePlannedInParts, so that calls do not wait for a
// transaction with ten thousand deliveries.
func TestManySubscribersArePlannedInParts(t *testing.T) {
	t.Parallel()
	var parts planned
	d := newDesk(t, nil)
	d.end()
	parts.Store, _ = store.Open(t.Context(), store.Options{Path: d.path, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() { must(t, parts.Close()) })
	d.opt.Repo, d.opt.Feed, d.opt.Workers = &parts, d.feed, 0
	d.Service = webhook.New(d.opt)
	const subscribers, rows = 30, 50
	for range subscribers {
		d.subscribe(d.tenant, "http://192.0.2.1", "#")
	}
	for range rows {
		d.happens(d.tenant, events.RecordingReady, "{}")
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	eventually(t, "all are planned", func() bool {
		_, n, err := parts.Deliveries(t.Context(), webhook.DeliveryFilter{Limit: 1})
		must(t, err)
		return n == subscribers*rows
	})
	stop()
	must(t, <-done)
	if n := parts.most.Load(); n > 100+subscribers {
		t.Errorf("a transaction has %d deliveries", n)
	}
	if at, err := parts.Cursor(t.Context()); err != nil || at != 100+rows {
		t.Errorf("the cursor is at %d, %v", at, err)
	}
}

// planned knows the largest part that was planned.
type planned struct {
	*store.Store
	most atomic.Int64
}

func (p *planned) Plan(ctx context.Context, cursor int64, list []webhook.Delivery, most int) error {
	p.most.Store(max(p.most.Load(), int64(len(list))))
	return p.Store.Plan(ctx, cursor, list, most)
}
