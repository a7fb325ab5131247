package app

import (
	"context"
	"slices"
	"sync"
	"time"

	"callrecordd/internal/auth"
	"callrecordd/internal/webhook"
)

// makersKept is how long it is believed that a token is there: so long after it
// was revoked its subscriptions may be told of events.
const makersKept = 5 * time.Second

// makers knows what subscriptions may be told of: what the token that made them
// could see, as far as whoever that was may still see it.
type makers struct {
	opt HookOptions

	mu     sync.Mutex
	at     time.Time
	tokens map[string]bool // that are valid, at that time
}

// allower is an ACL, or several that must all allow.
type allower interface{ Allows(required string) bool }

type both [2]allower

func (b both) Allows(required string) bool { return b[0].Allows(required) && b[1].Allows(required) }

// sees implements webhook.Options.Sees.
func (m *makers) sees(s webhook.Subscription) ([]string, interface{ Allows(string) bool }) {
	tenants := []string{s.TenantUUID}
	if s.Recurse {
		tenants = m.opt.Directory.Book().Subtree(s.TenantUUID)
	}
	then := auth.Compile(s.ACL, auth.Identity{AuthID: s.AuthID})
	if s.AuthID == "" { // made on the host, whose administrator ends it
		return tenants, then
	}
	if tenant, now, ok := m.opt.Accounts.AccessOf(s.AuthID); ok {
		visible := m.opt.Directory.Book().Subtree(tenant)
		tenants = slices.DeleteFunc(tenants, func(t string) bool { return !slices.Contains(visible, t) })
		return tenants, both{then, now}
	}
	if m.valid(s.AuthID) {
		return tenants, then
	}
	return nil, then
}

// valid says whether a token that belongs to no account is there: its own id is
// its account.
func (m *makers) valid(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.opt.Now()
	if now.Sub(m.at).Abs() > makersKept {
		clear(m.tokens)
		m.at = now
	}
	if ok, known := m.tokens[id]; known {
		return ok
	}
	ctx, cancel := context.WithTimeout(context.Background(), makersKept)
	defer cancel()
	list, err := m.opt.Tokens.List(ctx, auth.TokenFilter{AuthID: id})
	if err != nil {
		m.opt.Log.Error("the token that made a webhook cannot be looked for, so it is told of nothing", "auth_id", id, "err", err)
		return false
	}
	ok := slices.ContainsFunc(list, func(t auth.Token) bool { return t.ExpiresAt.IsZero() || now.Before(t.ExpiresAt) })
	m.tokens[id] = ok
	return ok
}
