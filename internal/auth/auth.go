// Package auth knows who may do what: accounts with their passwords, policies,
// tokens and refresh tokens (UUIDv4 secrets of which only the SHA-256 is kept,
// design 7), and the ACL language of the Wazo platform. Service checks tokens,
// Accounts gives them to people.
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
	"sync"
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

// Token is what is kept about a token. The secret is not part of it. A token
// that somebody got by logging in is a session, and ID is the session's uuid.
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

	// Of sessions only:
	Purpose    string `json:"purpose,omitempty"`   // of the account; empty: made on the host
	ClientID   string `json:"client_id,omitempty"` // of the refresh token it came with or from
	RemoteAddr string `json:"remote_addr,omitempty"`
	UserAgent  string `json:"user_agent,omitempty"`
	Mobile     bool   `json:"mobile,omitempty"`

	compiled *ACL
}

// Allows says whether the token may do what requires the access.
func (t Token) Allows(required string) bool { return t.Access().Allows(required) }

// Access is the token's ACL, ready to be asked.
func (t Token) Access() *ACL {
	if t.compiled != nil {
		return t.compiled
	}
	return Compile(t.ACL, Identity{AuthID: t.AuthID, SessionUUID: t.ID})
}

// TokenFilter selects tokens; empty fields do not restrict.
type TokenFilter struct {
	AuthID  string
	Tenants []string // nil: of all
}

// Repo is the storage of tokens. TokenByHash and DeleteToken return an error
// that wraps ErrNotFound if there is none.
type Repo interface {
	InsertToken(ctx context.Context, t Token, actor string) error
	TokenByHash(ctx context.Context, hash string) (Token, error)
	DeleteToken(ctx context.Context, id, actor string) error
	// DeleteTokensOf deletes those of an account and those that stand for the
	// directory user of that uuid, and says how many there were.
	DeleteTokensOf(ctx context.Context, uuid string) (int, error)
	// DeleteExpired deletes tokens that expire at the time or before.
	DeleteExpired(ctx context.Context, at time.Time) error
	// CountTokens counts those of an account that are valid at the time.
	CountTokens(ctx context.Context, authID string, at time.Time) (int, error)
	// SetBack makes all tokens expire earlier by d.
	SetBack(ctx context.Context, d time.Duration) error
	Tokens(ctx context.Context, f TokenFilter) ([]Token, error)
}

// Service creates and checks tokens.
type Service struct {
	repo    Repo
	now     func() time.Time
	newUUID func() string
	cache   tokenCache
	clock   watch
	opening sync.Mutex // from counting sessions to adding one
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
	return s.insert(ctx, actor, Token{
		TenantUUID: r.TenantUUID, AuthID: r.AuthID, UserUUID: r.UserUUID,
		Description: r.Description, ACL: slices.Clone(r.ACL),
	}, r.Lifetime)
}

// insert gives the token its ids, times and secret.
func (s *Service) insert(ctx context.Context, actor string, t Token, lifetime time.Duration) (Secret, Token, error) {
	now, err := s.tick(ctx)
	if err != nil {
		return "", Token{}, fmt.Errorf("create token: %w", err)
	}
	secret := Secret(s.newUUID())
	t.ID, t.CreatedAt, t.Hash = s.newUUID(), now, hash(string(secret))
	if t.AuthID == "" {
		t.AuthID = t.ID
	}
	if lifetime > 0 {
		t.ExpiresAt = t.CreatedAt.Add(lifetime)
	}
	if err := s.repo.InsertToken(ctx, t, actor); err != nil {
		return "", Token{}, fmt.Errorf("create token: %w", err)
	}
	return secret, t, nil
}

func badAccess(a string) bool {
	return strings.Trim(a, "!") == "" || strings.ContainsFunc(a, unicode.IsSpace)
}

const uuidLength = len("00000000-0000-4000-8000-000000000000")

// Check returns the token with the given secret, or ErrInvalidToken. Any other
// error means that it could not be checked. A token that has been checked
// before needs no reading from the database; one that is revoked is refused as
// soon as Revoke or DropUser has returned.
func (s *Service) Check(ctx context.Context, secret string) (Token, error) {
	if len(secret) != uuidLength {
		return Token{}, ErrInvalidToken
	}
	now, err := s.tick(ctx)
	if err != nil {
		return Token{}, fmt.Errorf("check token: %w", err)
	}
	want := sha256.Sum256([]byte(secret))
	t, ok, generation := s.cache.get(want)
	if !ok {
		if t, err = s.read(ctx, want); err != nil {
			return Token{}, err
		}
		s.cache.put(want, t, generation)
	}
	if !t.ExpiresAt.IsZero() && !now.Before(t.ExpiresAt) {
		return Token{}, ErrInvalidToken
	}
	return t, nil
}

func (s *Service) read(ctx context.Context, sum [sha256.Size]byte) (Token, error) {
	want := hex.EncodeToString(sum[:])
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
	t.compiled = t.Access()
	return t, nil
}

// Revoke deletes the token with the given id on behalf of actor. The error
// wraps ErrNotFound if there is none.
func (s *Service) Revoke(ctx context.Context, actor, id string) error {
	err := s.repo.DeleteToken(ctx, id, actor)
	s.cache.drop(func(t Token) bool { return t.ID == id })
	if err != nil {
		return fmt.Errorf("revoke token %s: %w", id, err)
	}
	return nil
}

// RevokeSecret deletes the token with the given secret, if there is one.
func (s *Service) RevokeSecret(ctx context.Context, secret string) error {
	t, err := s.Check(ctx, secret)
	if err == nil {
		err = s.Revoke(ctx, t.AuthID, t.ID)
	}
	if errors.Is(err, ErrInvalidToken) || errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// DropUser ends all tokens of an account and all that stand for the directory
// user of that uuid, and says how many there were.
func (s *Service) DropUser(ctx context.Context, uuid string) (int, error) {
	n, err := s.repo.DeleteTokensOf(ctx, uuid)
	s.Forget(uuid)
	if err != nil {
		return n, fmt.Errorf("end the tokens of %s: %w", uuid, err)
	}
	return n, nil
}

// List returns tokens, oldest first.
func (s *Service) List(ctx context.Context, f TokenFilter) ([]Token, error) {
	ts, err := s.repo.Tokens(ctx, f)
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	return ts, nil
}

// Sweep deletes what has expired. Call it every minute or so.
func (s *Service) Sweep(ctx context.Context) error {
	now, err := s.tick(ctx)
	if err == nil {
		err = s.repo.DeleteExpired(ctx, now)
	}
	if err != nil {
		return fmt.Errorf("delete expired tokens: %w", err)
	}
	s.cache.drop(func(t Token) bool { return !t.ExpiresAt.IsZero() && !now.Before(t.ExpiresAt) })
	return nil
}

func hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}
