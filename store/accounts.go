package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"callrecordd/internal/auth"
	"callrecordd/internal/recorder"
)

var (
	_ auth.AccountRepo = (*Store)(nil)
	_ auth.Repo        = (*Store)(nil)
)

// LoadAccounts implements auth.AccountRepo.
func (s *Store) LoadAccounts(ctx context.Context) (accounts []auth.Account, policies []auth.Policy, err error) {
	err = s.read(ctx, func(q querier) error {
		type link struct{ account, policy string }
		links, err := collect(ctx, q, func(r *sql.Rows) (l link, err error) {
			err = r.Scan(&l.account, &l.policy)
			return l, err
		}, "SELECT account_uuid, policy_uuid FROM account_policies ORDER BY account_uuid, policy_uuid")
		if err != nil {
			return err
		}
		has := map[string][]string{}
		for _, l := range links {
			has[l.account] = append(has[l.account], l.policy)
		}
		accounts, err = collect(ctx, q, func(r *sql.Rows) (a auth.Account, err error) {
			var created int64
			err = r.Scan(&a.UUID, &a.TenantUUID, &a.Username, &a.FirstName, &a.LastName, &a.Email, &a.EmailUUID,
				&a.Purpose, &a.Method, &a.Enabled, &a.Password, &created)
			a.CreatedAt, a.Policies = fromMicros(created), has[a.UUID]
			return a, err
		}, `SELECT uuid, tenant_uuid, username, first_name, last_name, email, email_uuid, purpose, method, enabled,
			password, created_at FROM accounts`)
		if err != nil {
			return err
		}
		policies, err = collect(ctx, q, scanPolicy, "SELECT uuid, tenant_uuid, name, slug, description, acl, managed FROM policies")
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read accounts: %w", err)
	}
	return accounts, policies, nil
}

func scanPolicy(r *sql.Rows) (auth.Policy, error) {
	var p auth.Policy
	var acl string
	if err := r.Scan(&p.UUID, &p.TenantUUID, &p.Name, &p.Slug, &p.Description, &acl, &p.Managed); err != nil {
		return p, err
	}
	if err := json.Unmarshal([]byte(acl), &p.ACL); err != nil {
		return p, fmt.Errorf("acl of policy %s: %w", p.UUID, err)
	}
	return p, nil
}

// note appends an event about accounts, unless kind is empty.
func (t *Tx) note(kind, actor string, data any) error {
	if kind == "" {
		return nil
	}
	return t.AppendEvents(recorder.Event{Kind: kind, Actor: actor, Data: data})
}

// SaveAccount implements auth.AccountRepo.
func (s *Store) SaveAccount(ctx context.Context, a auth.Account, actor, event string) error {
	err := s.Write(ctx, High, func(t *Tx) error {
		if err := t.exec(`INSERT INTO accounts (uuid, tenant_uuid, username, first_name, last_name, email, email_uuid,
			purpose, method, enabled, password, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (uuid) DO UPDATE SET username = excluded.username, first_name = excluded.first_name,
			last_name = excluded.last_name, email = excluded.email, email_uuid = excluded.email_uuid,
			purpose = excluded.purpose, method = excluded.method, enabled = excluded.enabled, password = excluded.password`,
			a.UUID, a.TenantUUID, a.Username, a.FirstName, a.LastName, a.Email, a.EmailUUID, a.Purpose, a.Method,
			a.Enabled, a.Password, micros(a.CreatedAt)); err != nil {
			return err
		}
		if err := t.exec("DELETE FROM account_policies WHERE account_uuid = ?", a.UUID); err != nil {
			return err
		}
		for _, p := range a.Policies {
			if err := t.exec("INSERT INTO account_policies VALUES (?, ?)", a.UUID, p); err != nil {
				return err
			}
		}
		return t.note(event, actor, a)
	})
	if err != nil {
		return fmt.Errorf("store account: %w", err)
	}
	return nil
}

// DeleteAccount implements auth.AccountRepo.
func (s *Store) DeleteAccount(ctx context.Context, uuid, actor string) error {
	err := s.Write(ctx, High, func(t *Tx) error {
		if err := t.exec("DELETE FROM tokens WHERE auth_id = ?", uuid); err != nil {
			return err
		}
		if err := t.changed("DELETE FROM accounts WHERE uuid = ?", uuid); err != nil {
			return err
		}
		return t.note("account.deleted", actor, map[string]string{"uuid": uuid})
	})
	return authError("delete account", err)
}

// authError makes ErrNotFound that of auth.
func authError(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrNotFound), errors.Is(err, sql.ErrNoRows):
		return auth.ErrNotFound
	}
	return fmt.Errorf("%s: %w", what, err)
}

// SavePolicy implements auth.AccountRepo.
func (s *Store) SavePolicy(ctx context.Context, p auth.Policy, actor, event string) error {
	err := s.Write(ctx, High, func(t *Tx) error {
		if err := t.exec(`INSERT INTO policies (uuid, tenant_uuid, name, slug, description, acl, managed)
			VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (uuid) DO UPDATE SET name = excluded.name, slug = excluded.slug,
			description = excluded.description, acl = excluded.acl, managed = excluded.managed`,
			p.UUID, p.TenantUUID, p.Name, p.Slug, p.Description, list(p.ACL), p.Managed); err != nil {
			return err
		}
		return t.note(event, actor, p)
	})
	if err != nil {
		return fmt.Errorf("store policy: %w", err)
	}
	return nil
}

// DeletePolicy implements auth.AccountRepo.
func (s *Store) DeletePolicy(ctx context.Context, uuid, actor string) error {
	err := s.Write(ctx, High, func(t *Tx) error {
		if err := t.changed("DELETE FROM policies WHERE uuid = ?", uuid); err != nil {
			return err
		}
		return t.note("policy.deleted", actor, map[string]string{"uuid": uuid})
	})
	return authError("delete policy", err)
}

const refreshColumns = "hash, nonce, account_uuid, client_id, login, mobile, created_at"

func scanRefresh(r *sql.Rows) (v auth.Refresh, err error) {
	var created int64
	err = r.Scan(&v.Hash, &v.Nonce, &v.AccountUUID, &v.ClientID, &v.Login, &v.Mobile, &created)
	v.CreatedAt = fromMicros(created)
	return v, err
}

func (s *Store) refresh(ctx context.Context, rest string, args ...any) (out []auth.Refresh, err error) {
	err = s.read(ctx, func(q querier) error {
		out, err = collect(ctx, q, scanRefresh, "SELECT "+refreshColumns+" FROM refresh_tokens"+rest, args...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read refresh tokens: %w", err)
	}
	return out, nil
}

func (s *Store) oneRefresh(ctx context.Context, rest string, args ...any) (auth.Refresh, error) {
	found, err := s.refresh(ctx, rest, args...)
	if err == nil && len(found) == 0 {
		err = auth.ErrNotFound
	}
	if err != nil {
		return auth.Refresh{}, err
	}
	return found[0], nil
}

// RefreshByHash implements auth.AccountRepo.
func (s *Store) RefreshByHash(ctx context.Context, hash string) (auth.Refresh, error) {
	return s.oneRefresh(ctx, " WHERE hash = ?", hash)
}

// RefreshOf implements auth.AccountRepo.
func (s *Store) RefreshOf(ctx context.Context, account, clientID string) (auth.Refresh, error) {
	return s.oneRefresh(ctx, " WHERE account_uuid = ? AND client_id = ?", account, clientID)
}

// Refreshes implements auth.AccountRepo.
func (s *Store) Refreshes(ctx context.Context, accounts []string) ([]auth.Refresh, error) {
	return s.refresh(ctx, " WHERE account_uuid IN (SELECT value FROM json_each(?)) ORDER BY created_at, account_uuid, client_id",
		list(accounts))
}

// SaveRefresh implements auth.AccountRepo.
func (s *Store) SaveRefresh(ctx context.Context, r auth.Refresh, actor string) (ended int, err error) {
	err = s.Write(ctx, High, func(t *Tx) error {
		if r.Mobile {
			if ended, err = t.count("DELETE FROM tokens WHERE auth_id = ? AND mobile = 1 AND purpose <> ''", r.AccountUUID); err != nil {
				return err
			}
			if err := t.exec("DELETE FROM refresh_tokens WHERE account_uuid = ? AND mobile = 1", r.AccountUUID); err != nil {
				return err
			}
		}
		if err := t.exec("INSERT OR REPLACE INTO refresh_tokens ("+refreshColumns+") VALUES (?, ?, ?, ?, ?, ?, ?)",
			r.Hash, r.Nonce, r.AccountUUID, r.ClientID, r.Login, r.Mobile, micros(r.CreatedAt)); err != nil {
			return err
		}
		return t.note("refresh_token.created", actor, r)
	})
	if err != nil {
		return 0, fmt.Errorf("store refresh token: %w", err)
	}
	return ended, nil
}

// count is exec that returns how many rows it has changed.
func (t *Tx) count(query string, args ...any) (int, error) {
	res, err := t.run(query, args)
	if err != nil {
		return 0, err
	}
	n, err := res.RowsAffected()
	return int(n), err
}

// DeleteRefresh implements auth.AccountRepo.
func (s *Store) DeleteRefresh(ctx context.Context, account, clientID, actor string) error {
	err := s.Write(ctx, High, func(t *Tx) error {
		if err := t.changed("DELETE FROM refresh_tokens WHERE account_uuid = ? AND client_id = ?", account, clientID); err != nil {
			return err
		}
		return t.note("refresh_token.deleted", actor, map[string]string{"user_uuid": account, "client_id": clientID})
	})
	return authError("delete refresh token", err)
}
