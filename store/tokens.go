package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"callrecordd/internal/auth"
)

const tokenColumns = "id, hash, tenant_uuid, auth_id, user_uuid, description, acl, created_at, expires_at, " +
	"purpose, client_id, remote_addr, user_agent, mobile"

// InsertToken implements auth.Repo. Logins leave no event: there may be
// thousands a day, and the log has them.
func (s *Store) InsertToken(ctx context.Context, k auth.Token, actor string) error {
	err := s.Write(ctx, High, func(t *Tx) error {
		if err := t.exec("INSERT INTO tokens ("+tokenColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			k.ID, k.Hash, k.TenantUUID, k.AuthID, k.UserUUID, k.Description, list(k.ACL),
			micros(k.CreatedAt), nullMicros(k.ExpiresAt), k.Purpose, k.ClientID, k.RemoteAddr, k.UserAgent, k.Mobile); err != nil {
			return err
		}
		if k.Purpose != "" {
			return nil
		}
		return t.note("token.created", actor, k)
	})
	if err != nil {
		return fmt.Errorf("store token: %w", err)
	}
	return nil
}

// TokenByHash implements auth.Repo.
func (s *Store) TokenByHash(ctx context.Context, hash string) (auth.Token, error) {
	ts, err := s.tokens(ctx, " WHERE hash = ?", hash)
	if err != nil {
		return auth.Token{}, err
	}
	if len(ts) == 0 {
		return auth.Token{}, auth.ErrNotFound
	}
	return ts[0], nil
}

// DeleteToken implements auth.Repo. Who logs out leaves no event, like who
// logs in.
func (s *Store) DeleteToken(ctx context.Context, id, actor string) error {
	err := s.Write(ctx, High, func(t *Tx) error {
		var out bool
		err := t.tx.QueryRowContext(t.ctx, "DELETE FROM tokens WHERE id = ? RETURNING purpose <> '' AND auth_id = ?", id, actor).Scan(&out)
		if err != nil || out {
			return err
		}
		return t.note("token.revoked", actor, map[string]string{"id": id})
	})
	return authError("delete token", err)
}

// DeleteTokensOf implements auth.Repo.
func (s *Store) DeleteTokensOf(ctx context.Context, uuid string) (n int, err error) {
	err = s.Write(ctx, High, func(t *Tx) error {
		n, err = t.deleteTokensOf(uuid)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("delete tokens: %w", err)
	}
	return n, nil
}

func (t *Tx) deleteTokensOf(uuid string) (int, error) {
	return t.count("DELETE FROM tokens WHERE ?1 <> '' AND (auth_id = ?1 OR user_uuid = ?1)", uuid)
}

// DeleteExpired implements auth.Repo.
func (s *Store) DeleteExpired(ctx context.Context, at time.Time) error {
	var some bool // so that nothing is written every minute when there is none
	err := s.read(ctx, func(q querier) error {
		return q.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM tokens WHERE expires_at <= ?)", micros(at)).Scan(&some)
	})
	if err == nil && some {
		err = s.Write(ctx, Bulk, func(t *Tx) error { return t.exec("DELETE FROM tokens WHERE expires_at <= ?", micros(at)) })
	}
	if err != nil {
		return fmt.Errorf("delete expired tokens: %w", err)
	}
	return nil
}

// CountTokens implements auth.Repo.
func (s *Store) CountTokens(ctx context.Context, authID string, at time.Time) (n int, err error) {
	err = s.read(ctx, func(q querier) error {
		return q.QueryRowContext(ctx, "SELECT count(*) FROM tokens WHERE auth_id = ? AND (expires_at IS NULL OR expires_at > ?)",
			authID, micros(at)).Scan(&n)
	})
	if err != nil {
		return 0, fmt.Errorf("count tokens: %w", err)
	}
	return n, nil
}

// SetBack implements auth.Repo.
func (s *Store) SetBack(ctx context.Context, d time.Duration) error {
	err := s.Write(ctx, High, func(t *Tx) error {
		return t.exec("UPDATE tokens SET expires_at = expires_at - ? WHERE expires_at IS NOT NULL", d.Microseconds())
	})
	if err != nil {
		return fmt.Errorf("correct the life of tokens: %w", err)
	}
	return nil
}

// Tokens implements auth.Repo.
func (s *Store) Tokens(ctx context.Context, f auth.TokenFilter) ([]auth.Token, error) {
	w := where{}
	w.addIf(f.AuthID != "", "auth_id = ?", f.AuthID)
	w.addIf(f.Tenants != nil, "tenant_uuid IN (SELECT value FROM json_each(?))", list(f.Tenants))
	return s.tokens(ctx, w.String()+" ORDER BY created_at, id", w.args...)
}

func (s *Store) tokens(ctx context.Context, rest string, args ...any) (out []auth.Token, err error) {
	err = s.read(ctx, func(q querier) error {
		out, err = collect(ctx, q, scanToken, "SELECT "+tokenColumns+" FROM tokens"+rest, args...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read tokens: %w", err)
	}
	return out, nil
}

func scanToken(r *sql.Rows) (auth.Token, error) {
	var t auth.Token
	var acl string
	var created int64
	var expires sql.NullInt64
	if err := r.Scan(&t.ID, &t.Hash, &t.TenantUUID, &t.AuthID, &t.UserUUID, &t.Description, &acl, &created, &expires,
		&t.Purpose, &t.ClientID, &t.RemoteAddr, &t.UserAgent, &t.Mobile); err != nil {
		return t, err
	}
	t.CreatedAt, t.ExpiresAt = fromMicros(created), fromMicros(expires.Int64)
	if err := json.Unmarshal([]byte(acl), &t.ACL); err != nil {
		return t, fmt.Errorf("acl of token %s: %w", t.ID, err)
	}
	return t, nil
}

// HasToken is for tests of what is left of a secret: nothing.
