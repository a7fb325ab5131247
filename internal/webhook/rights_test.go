package webhook_test

import (
	"log/slog"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"callrecordd/internal/auth"
	"callrecordd/internal/events"
	"callrecordd/internal/webhook"
	"callrecordd/store"
)

// TestWebhookEndsWithTheRightsOfItsMaker: what waits when the rights end is not
// sent any more, and the next target gets nothing either.
func TestWebhookEndsWithTheRightsOfItsMaker(t *testing.T) {
	t.Parallel()
	var ended atomic.Bool
	d := newDesk(t, func(o *webhook.Options) {
		sees := o.Sees
		o.Sees = func(s webhook.Subscription) ([]string, interface{ Allows(string) bool }) {
			if ended.Load() {
				return nil, auth.Compile(nil, auth.Identity{})
			}
			return sees(s)
		}
		o.Attempts = 5
	})
	tried := make(chan struct{}, 10)
	x := newTarget(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		tried <- struct{}{}
	})
	s := d.subscribe(d.tenant, x.URL, "#")
	d.happens(d.tenant, events.RecordingReady, `{"n": 1}`)
	<-tried // it is under way, and will be tried again
	ended.Store(true)
	before := len(x.requests())
	list := d.settled(s, 1)
	if list[0].State != webhook.Dead || list[0].Detail == "" {
		t.Errorf("%+v", list[0])
	}
	if after := len(x.requests()); after > before+1 { // one may have been on its way
		t.Errorf("%d requests after the rights had ended", after-before)
	}
}

// TestChangedWebhookSendsNoOldEventBeyondItsNewMakersAccess: deliveries that wait
// go to the new address only as far as who has changed it may see them.
func TestChangedWebhookSendsNoOldEventBeyondItsNewMakersAccess(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	d.end() // nothing is delivered yet
	var err error
	d.store, err = store.Open(t.Context(), store.Options{Path: d.path, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	d.opt.Repo = d.store
	d.Service = webhook.New(d.opt)
	old := newTarget(t, ok)
	s := d.subscribe(d.tenant, old.URL, "events.#")
	payload := func(acl string) []byte {
		return []byte(`{"id":"1-0","name":"x","tenant_uuid":"` + d.tenant + `","required_acl":"` + acl + `","data":{"acl":"` + acl + `"}}`)
	}
	var list []webhook.Delivery
	for _, acl := range []string{"events.call_log.created", "events.calls.secret"} {
		list = append(list, webhook.Delivery{
			UUID: uuid.NewString(), Subscription: s.UUID, Event: "x", Payload: payload(acl), CreatedAt: time.Now(), NextAt: time.Now(),
		})
	}
	must(t, d.store.Plan(t.Context(), 0, list, 10))
	x := newTarget(t, ok)
	s.Config.URL, s.ACL = x.URL, []string{"events.call_log.#"}
	must(t, d.store.UpdateWebhook(t.Context(), s, "test"))
	must(t, d.store.Close())
	d.start()
	d.settled(s, 2)
	var bodies []string
	for _, r := range x.requests() {
		bodies = append(bodies, r.body)
	}
	if !slices.Equal(bodies, []string{`{"acl":"events.call_log.created"}`}) || len(old.requests()) != 0 {
		t.Errorf("the new address got %q, the old one %v", bodies, old.requests())
	}
}
