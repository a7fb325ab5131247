package app

import (
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"callrecordd/config"
	"callrecordd/internal/auth"
	"callrecordd/internal/directory"
	"callrecordd/internal/webhook"
	"callrecordd/store"
)

// TestWebhookSeesWhatItsMakerMayStillSee: an account that is disabled, has lost
// its policy or is gone, and a token that is gone, are told of nothing.
func TestWebhookSeesWhatItsMakerMayStillSee(t *testing.T) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, now := t.Context(), time.Unix(1_800_000_000, 0)
	clock := func() time.Time { return now }
	log := slog.New(slog.DiscardHandler)
	st, err := store.Open(ctx, store.Options{Path: filepath.Join(t.TempDir(), "db"), Now: clock, Log: log})
	must(err)
	defer func() { must(st.Close()) }()
	dir, err := directory.New(ctx, directory.Options{Repo: st, Now: clock, NewUUID: uuid.NewString})
	must(err)
	master := dir.Book().Master().UUID
	below, err := dir.CreateTenant(ctx, "test", directory.Tenant{Name: "below", Parent: master})
	must(err)
	cfg := config.Default()
	cfg.State.Dir = t.TempDir()
	tokens := auth.New(st, clock, uuid.NewString)
	accounts, err := OpenAccounts(ctx, cfg, st, tokens, dir, clock)
	must(err)
	by := auth.Actor{Name: "test"}
	policy, err := accounts.CreatePolicy(ctx, by, auth.Policy{TenantUUID: master, Name: "events", ACL: []string{"events.#"}})
	must(err)
	account := func(name string) auth.Account {
		a, err := accounts.Create(ctx, by, auth.Account{TenantUUID: below.UUID, Username: name, Purpose: auth.PurposeUser, Method: "default", Enabled: true}, "")
		must(err)
		must(accounts.AddPolicy(ctx, by, a.UUID, policy.UUID))
		return a
	}
	m := &makers{opt: HookOptions{Directory: dir, Accounts: accounts, Tokens: tokens, Now: clock, Log: log}, tokens: map[string]bool{}}
	sees := func(s webhook.Subscription) bool {
		tenants, acl := m.sees(s)
		return slices.Contains(tenants, s.TenantUUID) && acl.Allows("events.calls.x")
	}
	of := func(id string) webhook.Subscription {
		return webhook.Subscription{UUID: uuid.NewString(), TenantUUID: below.UUID, ACL: []string{"events.#"}, AuthID: id}
	}
	disabled, poorer, gone := account("disabled"), account("poorer"), account("gone")
	_, token, err := tokens.Create(ctx, "test", auth.Request{TenantUUID: below.UUID, ACL: []string{"events.#"}})
	must(err)
	_, brief, err := tokens.Create(ctx, "test", auth.Request{TenantUUID: below.UUID, ACL: []string{"events.#"}, Lifetime: time.Minute})
	must(err)
	host := of("")
	all := map[string]webhook.Subscription{
		"disabled": of(disabled.UUID), "poorer": of(poorer.UUID), "gone": of(gone.UUID), "revoked": of(token.ID), "expired": of(brief.ID), "host": host,
	}
	for name, s := range all {
		if !sees(s) {
			t.Errorf("%s sees nothing", name)
		}
	}
	above := of(disabled.UUID)
	if above.TenantUUID = master; sees(above) {
		t.Error("sees a tenant above its maker's")
	}
	_, err = accounts.Edit(ctx, by, disabled.UUID, func(a *auth.Account) error { a.Enabled = false; return nil })
	must(err)
	must(accounts.RemovePolicy(ctx, by, poorer.UUID, policy.UUID))
	must(accounts.Delete(ctx, by, gone.UUID))
	must(tokens.Revoke(ctx, "test", token.ID))
	now = now.Add(2 * time.Minute)
	for name, s := range all {
		if sees(s) != (name == "host") {
			t.Errorf("afterwards %s sees %v", name, sees(s))
		}
	}
}
