package main

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"callrecordd/config"
	"callrecordd/internal/app"
	"callrecordd/internal/control"
	"callrecordd/internal/directory"
	"callrecordd/store"
)

// hookRoutes are those of the daemon.
func hookRoutes(st *store.Store, dir *directory.Service) []control.Route {
	return app.NewHooks(app.HookOptions{
		Config: config.Default(), Store: st, Directory: dir, Now: time.Now, NewUUID: uuid.NewString, Log: slog.New(slog.DiscardHandler),
	}).Routes()
}

// TestWebhooks are made, shown and deleted on the host, with a daemon or without.
func TestWebhooks(t *testing.T) {
	both(t, func(t *testing.T, h *host) {
		var made app.HookStatus
		if err := json.Unmarshal([]byte(h.run("webhook", "create", "https://example.com/hook", "--events", "recording_ready,call_log_created", "-o", "json")), &made); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(made.Secret, "whsec_") || len(made.Events) != 2 || made.Config.Method != "post" {
			t.Errorf("made %+v", made)
		}
		for _, args := range [][]string{{"webhook", "list"}, {"webhook", "show", made.UUID}, {"webhook", "show", made.UUID, "-o", "json"}} {
			if out := h.run(args...); !strings.Contains(out, "https://example.com/hook") || strings.Contains(out, "whsec_") {
				t.Errorf("%v:\n%s", args, out)
			}
		}
		if out := h.run("webhook", "deliveries", made.UUID, "--state", "dead", "-o", "json"); strings.TrimSpace(out) != "[]" {
			t.Errorf("deliveries:\n%s", out)
		}
		if out := h.run("webhook", "replay", made.UUID, "-o", "csv"); out != "REPLAYED\n0\n" {
			t.Errorf("replayed:\n%s", out)
		}
		h.fails("there is no delivery", "webhook", "replay", made.UUID, "x")
		h.fails("neither pending", "webhook", "deliveries", made.UUID, "--state", "lost")
		h.fails("webhooks.allow_private", "webhook", "create", "http://127.0.0.1:1/")
		h.fails("is no address", "webhook", "create", "example.com")
		h.fails(`there is no tenant "nobody"`, "webhook", "create", "https://example.com", "--tenant", "nobody")
		h.run("webhook", "delete", made.UUID)
		h.fails("there is no subscription", "webhook", "show", made.UUID)
		h.fails("there is no subscription", "webhook", "delete", made.UUID)
	})
}
