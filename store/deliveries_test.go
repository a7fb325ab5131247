package store

import (
	"fmt"
	"testing"

	"callrecordd/internal/directory"
	"callrecordd/internal/webhook"
)

// TestManyDeliveriesDoNotHoldUpOthers: what a subscription has collected in days
// is replayed and deleted in short transactions, for a call's writes wait behind
// each of them.
func TestManyDeliveriesDoNotHoldUpOthers(t *testing.T) {
	s, c := newStore(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	tenant, err := newDirectory(t, s, c).CreateTenant(t.Context(), "root", directory.Tenant{Name: "acme"})
	must(err)
	const many = 3*fewDeliveries + 1
	var list []webhook.Delivery
	for i := range many {
		list = append(list, webhook.Delivery{UUID: fmt.Sprint(i), Subscription: "s", Event: "x", Payload: []byte("{}"), CreatedAt: c.now(), NextAt: c.now()})
	}
	subscription := webhook.Subscription{UUID: "s", TenantUUID: tenant.UUID}
	must(s.InsertWebhook(t.Context(), subscription, "root"))
	const waits = 2
	must(s.Plan(t.Context(), 1, list, waits))
	count := func(state webhook.State) int {
		t.Helper()
		_, n, err := s.Deliveries(t.Context(), webhook.DeliveryFilter{Subscription: "s", State: state})
		must(err)
		return n
	}
	if n := count(webhook.Pending); n != waits {
		t.Fatalf("%d wait, want %d", n, waits)
	}
	replayed := 0
	if n := commits(t, s, func() { replayed, err = s.Replay(t.Context(), "s", "", "root"); must(err) }); n < 4 {
		t.Errorf("%d were replayed in %d transactions", replayed, n)
	}
	if replayed != many-waits || count(webhook.Pending) != many {
		t.Errorf("%d were replayed, %d wait", replayed, count(webhook.Pending))
	}
	exec(t, s, "UPDATE webhook_deliveries SET state = 'delivered', ended_at = 1 WHERE uuid <> '7'")
	if n := commits(t, s, func() { must(s.DeleteWebhook(t.Context(), "s", "root")) }); n < 5 {
		t.Errorf("it was deleted in %d transactions", n)
	}
	if n := count(""); n != 0 {
		t.Errorf("%d are left", n)
	}
}
