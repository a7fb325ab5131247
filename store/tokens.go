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

const tokenColumns = "id, hash, tenant_uuid, auth_id, user_uuid, description, acl, created_at, expires_at"

// InsertToken implements auth.Repo.
func (s *Store) InsertToken(ctx context.Context, k auth.Token, actor string) error {
	err := s.Write(ctx, High, func(t *Tx) error {
		if err := t.exec("INSERT INTO tokens ("+tokenColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
			k.ID, k.Hash, k.TenantUUID, k.AuthID, k.UserUUID, k.Description, list(k.ACL),
			micros(k.CreatedAt), nullMicros(k.ExpiresAt)); err != nil {
			return err
		}
		return t.AppendEvents(recorder.Event{Kind: "token.created", Actor: actor, Data: k})
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

// DeleteToken implements auth.Repo.
func (s *Store) DeleteToken(ctx context.Context, id, actor string) error {
	err := s.Write(ctx, High, func(t *Tx) error {
		if err := t.changed("DELETE FROM tokens WHERE id = ?", id); err != nil {
			return err
		}
		return t.AppendEvents(recorder.Event{Kind: "token.revoked", Actor: actor, Data: map[string]string{"id": id}})
	})
	if errors.Is(err, ErrNotFound) {
		return auth.ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("delete token: %w", err)
	}
	return nil
}

// Tokens implements auth.Repo.
func (s *Store) Tokens(ctx context.Context) ([]auth.Token, error) {
	return s.tokens(ctx, " ORDER BY created_at, id")
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
	if err := r.Scan(&t.ID, &t.Hash, &t.TenantUUID, &t.AuthID, &t.UserUUID, &t.Description, &acl, &created, &expires); err != nil {
		return t, err
	}
	t.CreatedAt, t.ExpiresAt = fromMicros(created), fromMicros(expires.Int64)
	if err := json.Unmarshal([]byte(acl), &t.ACL); err != nil {
		return t, fmt.Errorf("acl of token %s: %w", t.ID, err)
	}
	return t, nil
}
