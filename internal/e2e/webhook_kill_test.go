package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"

	"callrecordd/config"
	"callrecordd/dialplan"
	"callrecordd/internal/app"
	"callrecordd/internal/control"
	"callrecordd/internal/lab"
)

// The daemon is killed while a server that is told of events refuses them; the
// next one tells it of all, in order, also of the call that went on meanwhile.
func TestKilledDaemonLosesNoWebhook(t *testing.T) {
	t.Parallel()
	s := siteAt(t, newPBX(t, lab.Config{}), func(c *config.Config) { c.Webhooks.AllowPrivate = true })
	bin := build(t)
	first := s.spawn(bin)
	s.populate()
	s.rules("alice", dialplan.Flags{OutgoingInternal: true})

	var well atomic.Bool
	var told, refused heard
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if !well.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			refused.add(r.Header.Get("X-Callrecordd-Event")+" "+r.Header.Get("webhook-id"), body)
			return
		}
		told.add(r.Header.Get("X-Callrecordd-Event")+" "+r.Header.Get("webhook-id"), body)
	}))
	t.Cleanup(server.Close)
	var hook app.HookStatus
	request := app.HookRequest{TenantUUID: s.users["alice"].TenantUUID, Name: "test", URL: server.URL, Events: []string{"*"}}
	s.do("POST", "webhooks", request, &hook)

	alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0))
	caller, _ := s.talk(alice, bob, "1002")
	s.eventually("the server has refused the start", func() error {
		if len(refused.all()) == 0 {
			return fmt.Errorf("told of nothing")
		}
		return nil
	})
	first.end(t, syscall.SIGKILL)
	s.hangup(caller)
	well.Store(true)
	s.spawn(bin)
	want := []string{"recording_started", "recording_stopped", "recording_ready", "call_log_created", "call_log_user_created", "call_log_user_created"}
	s.eventually("all is told", func() error {
		if got := told.all(); len(got) < len(want) {
			return fmt.Errorf("told of %q", got)
		}
		return nil
	})
	var names []string
	for _, name := range told.all() {
		var event, id string
		_, err := fmt.Sscan(name, &event, &id)
		must(t, err)
		names = append(names, event)
	}
	// The file and the journal are looked at side by side.
	if got := names[0]; got != want[0] || told.all()[0] != refused.all()[0] {
		t.Errorf("the first is %q, was refused as %q", told.all()[0], refused.all()[0])
	}
	if slices.Index(names, "recording_stopped") > slices.Index(names, "recording_ready") {
		t.Errorf("told of %q", names)
	}
	slices.Sort(names)
	slices.Sort(want)
	if !slices.Equal(names, want) {
		t.Errorf("told of %q, want %q", names, want)
	}
	s.eventually("all are noted as delivered", func() error {
		var list []app.HookDelivery
		s.do("GET", control.Path("webhooks", hook.UUID, "deliveries")+"?state=delivered", nil, &list)
		if len(list) != len(want) {
			return fmt.Errorf("%d of %d", len(list), len(want))
		}
		return nil
	})
}
