// Package auth knows tokens and what they allow: UUIDv4 secrets of which only
// the SHA-256 is kept (design 7), and the ACL language of the Wazo platform.
//
// It must not import anything of ours but dialplan. Storage comes through Repo.
package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
)

// ErrInvalidToken is what every token gets that is not known, has expired or
// is no token at all. Which of them it was is nobody's business.
var ErrInvalidToken = errors.New("invalid token")

// ErrNotFound is returned by Revoke for an id that no token has.
var ErrNotFound = errors.New("no such token")

// Secret is the token itself. It prints as *** wherever it is formatted, so
// that it cannot slip into a log or an error.
type Secret string

// Reveal returns the token's text, for the one answer that must contain it.
func (s Secret) Reveal() string { return string(s) }

// String implements fmt.Stringer.
func (Secret) String() string { return "***" }

// GoString implements fmt.GoStringer.
func (Secret) GoString() string { return `"***"` }

// MarshalText implements encoding.TextMarshaler, which JSON and slog use.
func (Secret) MarshalText() ([]byte, error) { return []byte("***"), nil }

// Token is what is kept about a token. The secret is not part of it.
type Token struct {
	ID          string    `json:"id"` // uuid, public: names the token in lists
	TenantUUID  string    `json:"tenant_uuid"`
	AuthID      string    `json:"auth_id"`             // account; the word `me` in an ACL
	UserUUID    string    `json:"user_uuid,omitempty"` // directory user, empty if none
	Description string    `json:"description"`
	ACL         []string  `json:"acl"`
	CreatedAt   time.Time `json:"created_at"`
	ExpiresAt   time.Time `json:"expires_at,omitzero"` // zero: never
	Hash        string    `json:"-"`                   // SHA-256 of the secret, hex
}

// Allows says whether the token may do what requires the access.
func (t Token) Allows(required string) bool { return Allows(t.ACL, required, t.AuthID) }

// Repo is the storage of tokens. TokenByHash and DeleteToken return an error
// that wraps ErrNotFound if there is none.
type Repo interface {
	InsertToken(ctx context.Context, t Token, actor string) error
	TokenByHash(ctx context.Context, hash string) (Token, error)
	DeleteToken(ctx context.Context, id, actor string) error
	Tokens(ctx context.Context) ([]Token, error)
}

// Service creates and checks tokens.
type Service struct {
	repo    Repo
	now     func() time.Time
	newUUID func() string
}

// New returns a Service. newUUID must return random (version 4) uuids: they
// are the secrets.
func New(repo Repo, now func() time.Time, newUUID func() string) *Service {
	return &Service{repo: repo, now: now, newUUID: newUUID}
}

// Request describes a token to create.
type Request struct {
	TenantUUID  string
	AuthID      string // empty: the token's own id
	UserUUID    string
	Description string
	ACL         []string
	Lifetime    time.Duration // 0: for ever
}

// Create makes a token on behalf of actor and returns its secret, which is
// shown once and never again.
func (s *Service) Create(ctx context.Context, actor string, r Request) (Secret, Token, error) {
	switch {
	case r.TenantUUID == "":
		return "", Token{}, errors.New("create token: a token belongs to a tenant, and none was named")
	case r.Lifetime < 0:
		return "", Token{}, fmt.Errorf("create token: the life time %s is negative", r.Lifetime)
	case slices.ContainsFunc(r.ACL, badAccess):
		return "", Token{}, errors.New("create token: an access of the ACL is empty or has blanks in it")
	}
	secret := Secret(s.newUUID())
	t := Token{
		ID: s.newUUID(), TenantUUID: r.TenantUUID, AuthID: r.AuthID, UserUUID: r.UserUUID,
		Description: r.Description, ACL: slices.Clone(r.ACL), CreatedAt: s.now(), Hash: hash(string(secret)),
	}
	if t.AuthID == "" {
		t.AuthID = t.ID
	}
	if r.Lifetime > 0 {
		t.ExpiresAt = t.CreatedAt.Add(r.Lifetime)
	}
	if err := s.repo.InsertToken(ctx, t, actor); err != nil {
		return "", Token{}, fmt.Errorf("create token: %w", err)
	}
	return secret, t, nil
}

func badAccess(a string) bool {
	return strings.Trim(a, "!") == "" || strings.ContainsFunc(a, unicode.IsSpace)
}

// Check returns the token with the given secret, or ErrInvalidToken. Any other
// error means that it could not be checked.
func (s *Service) Check(ctx context.Context, secret string) (Token, error) {
	if len(secret) != len("00000000-0000-0000-0000-000000000000") {
		return Token{}, ErrInvalidToken
	}
	want := hash(secret)
	t, err := s.repo.TokenByHash(ctx, want)
	if errors.Is(err, ErrNotFound) {
		return Token{}, ErrInvalidToken
	}
	if err != nil {
		return Token{}, fmt.Errorf("check token: %w", err)
	}
	// The index found the row by its hash, which tells nothing about the
	// secret; the comparison itself still takes the same time always.
	if subtle.ConstantTimeCompare([]byte(want), []byte(t.Hash)) != 1 {
		return Token{}, ErrInvalidToken
	}
	if !t.ExpiresAt.IsZero() && !s.now().Before(t.ExpiresAt) {
		return Token{}, ErrInvalidToken
	}
	return t, nil
}

// Revoke deletes the token with the given id on behalf of actor. The error
// wraps ErrNotFound if there is none.
func (s *Service) Revoke(ctx context.Context, actor, id string) error {
	if err := s.repo.DeleteToken(ctx, id, actor); err != nil {
		return fmt.Errorf("revoke token %s: %w", id, err)
	}
	return nil
}

// List returns all tokens, oldest first, expired ones too.
func (s *Service) List(ctx context.Context) ([]Token, error) {
	ts, err := s.repo.Tokens(ctx)
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	return ts, nil
}

func hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}
