package auth

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Login is an attempt to get a token: by refresh token and client id if both
// are there, else by user name and password.
type Login struct {
	Username, Password     string
	RefreshToken, ClientID string
	Offline                bool // asks for a refresh token too
	Mobile                 bool
	Lifetime               time.Duration // 0: the default
	RemoteAddr, UserAgent  string
}

// Session is what a login gives.
type Session struct {
	Secret  Secret
	Token   Token
	Refresh Secret // only if asked for
	// Ended is how many other sessions it has ended.
	Ended int
}

// Login checks and gives a token. The ACL is what the account may do now and
// stays as it is for the life of the token. The error is ErrLogin whatever was
// wrong, *ErrThrottled, *ErrTooManySessions, or says that it could not be
// checked.
func (a *Accounts) Login(ctx context.Context, l Login) (Session, error) {
	var v Account
	var err error
	if l.RefreshToken != "" && l.ClientID != "" {
		v, l.Mobile, err = a.byRefresh(ctx, l)
	} else {
		v, err = a.byPassword(ctx, l)
	}
	if err != nil {
		return Session{}, err
	}
	var out Session
	undo := func() error { return nil }
	if l.Offline { // first: a telephone's ends the session that it replaces
		if out.Refresh, out.Ended, undo, err = a.offline(ctx, v, l); err != nil {
			return Session{}, err
		}
	}
	a.mu.RLock()
	acl := a.acl(v)
	a.mu.RUnlock()
	limit := a.opt.MaxSessions
	if v.Purpose == PurposeInternal {
		limit = 0
	}
	out.Secret, out.Token, err = a.opt.Tokens.open(ctx, Token{
		TenantUUID: v.TenantUUID, AuthID: v.UUID, UserUUID: v.userUUID(), ACL: acl, Purpose: v.Purpose,
		ClientID: l.ClientID, RemoteAddr: l.RemoteAddr, UserAgent: l.UserAgent, Mobile: l.Mobile,
	}, cmp.Or(l.Lifetime, a.opt.Lifetime), limit)
	if err != nil { // who may have no further session gets no key to one
		return Session{}, errors.Join(err, undo())
	}
	// The account may have been changed while its password was looked at: what
	// ends sessions would have missed this one.
	if now, ok := a.byLogin(cmp.Or(v.Username, v.Email)); !ok || now.UUID != v.UUID || now.Password != v.Password {
		return Session{}, cmp.Or(errors.Join(a.opt.Tokens.Revoke(ctx, systemActor, out.Token.ID), undo()), ErrLogin)
	}
	return out, nil
}

// open is insert for sessions, of which an account may have limit (0: any).
func (s *Service) open(ctx context.Context, t Token, lifetime time.Duration, limit int) (Secret, Token, error) {
	s.opening.Lock()
	defer s.opening.Unlock()
	if limit > 0 {
		n, err := s.repo.CountTokens(ctx, t.AuthID, s.now())
		if err != nil {
			return "", Token{}, fmt.Errorf("count sessions of %s: %w", t.AuthID, err)
		}
		if n >= limit {
			return "", Token{}, &ErrTooManySessions{UUID: t.AuthID}
		}
	}
	return s.insert(ctx, t.AuthID, t, lifetime)
}

// byLogin finds the enabled account with the user name or e-mail address.
func (a *Accounts) byLogin(login string) (Account, bool) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	v, ok := a.accounts[a.logins[strings.ToLower(login)]]
	if !ok || !v.Enabled || login == "" {
		return Account{}, false
	}
	return v.clone(), true
}

func (a *Accounts) byPassword(ctx context.Context, l Login) (Account, error) {
	if l.Username == "" || l.Password == "" {
		return Account{}, ErrLogin
	}
	v, _ := a.byLogin(l.Username)
	// Who does not exist has no password, which takes as long to find wrong.
	ok, err := a.try(ctx, l.Username, l.RemoteAddr, v.Password, l.Password)
	if err != nil {
		return Account{}, err
	}
	if !ok {
		return Account{}, ErrLogin
	}
	return v, nil
}

// try compares a password, unless too many were wrong lately. The count is
// looked at and kept while the slot is held, so that a hundred guesses at once
// are not all tried.
func (a *Accounts) try(ctx context.Context, login, remote, stored, password string) (bool, error) {
	account, address := "account "+strings.ToLower(login), addressKey(remote)
	allowed := func() error {
		now := a.opt.Now()
		return cmp.Or(a.throttle.allow(account, accountLimit(), now), a.throttle.allow(address, addressLimit(), now))
	}
	if err := allowed(); err != nil {
		return false, err
	}
	return a.hasher.verify(ctx, stored, password, allowed, func(ok bool) {
		if ok {
			a.throttle.forgive(account)
			return
		}
		now := a.opt.Now()
		a.throttle.failed(account, accountLimit(), now)
		a.throttle.failed(address, addressLimit(), now)
	})
}

// byRefresh needs no throttle: a refresh token cannot be guessed, and looking
// for one costs next to nothing.
func (a *Accounts) byRefresh(ctx context.Context, l Login) (v Account, mobile bool, err error) {
	want := hash(l.RefreshToken)
	r, err := a.opt.Repo.RefreshByHash(ctx, want)
	if notFound(err) {
		return v, false, ErrLogin
	}
	if err != nil {
		return v, false, fmt.Errorf("look for refresh token: %w", err)
	}
	v, ok := a.byLogin(r.Login)
	if !ok || v.UUID != r.AccountUUID || r.ClientID != l.ClientID ||
		subtle.ConstantTimeCompare([]byte(want), []byte(r.Hash)) != 1 {
		return Account{}, false, ErrLogin
	}
	return v, r.Mobile, nil
}

// offline returns the refresh token of the account and client: the one it has,
// or for a mobile a new one in place of all others. undo deletes one that was
// not there before.
func (a *Accounts) offline(ctx context.Context, v Account, l Login) (secret Secret, ended int, undo func() error, err error) {
	old, err := a.opt.Repo.RefreshOf(ctx, v.UUID, l.ClientID)
	if err != nil && !notFound(err) {
		return "", 0, nil, fmt.Errorf("look for refresh token: %w", err)
	}
	undo = func() error { return nil }
	if err != nil {
		undo = func() error { return a.opt.Repo.DeleteRefresh(ctx, v.UUID, l.ClientID, systemActor) }
	}
	if err == nil && !l.Mobile {
		secret = a.derive(v.UUID, l.ClientID, old.Nonce)
		// Unless the key is another now, or the account was renamed.
		if hash(string(secret)) == old.Hash && strings.EqualFold(old.Login, l.Username) {
			return secret, 0, undo, nil
		}
	}
	nonce := a.opt.NewUUID()
	secret = a.derive(v.UUID, l.ClientID, nonce)
	ended, err = a.opt.Repo.SaveRefresh(ctx, Refresh{
		Hash: hash(string(secret)), Nonce: nonce, AccountUUID: v.UUID, ClientID: l.ClientID,
		Login: l.Username, Mobile: l.Mobile, CreatedAt: a.opt.Now(),
	}, v.UUID)
	if err != nil {
		return "", 0, nil, fmt.Errorf("save refresh token: %w", err)
	}
	if ended > 0 {
		a.opt.Tokens.cache.drop(func(t Token) bool { return t.AuthID == v.UUID })
	}
	return secret, ended, undo, nil
}

// derive makes the refresh token, in the form of a random uuid.
func (a *Accounts) derive(account, clientID, nonce string) Secret {
	mac := hmac.New(sha256.New, a.opt.Key)
	for _, part := range []string{account, nonce, clientID} { // only the last has any length
		_, _ = mac.Write([]byte(part + "\x00")) // never fails
	}
	id := uuid.UUID(mac.Sum(nil)[:16])
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80 // version 4, variant 10
	return Secret(id.String())
}

// Sessions returns the tokens of an account or, with an empty uuid, of all
// accounts of the tenants, oldest first. Those made on the host are none.
func (a *Accounts) Sessions(ctx context.Context, account string, tenants []string) ([]Token, error) {
	list, err := a.opt.Tokens.List(ctx, TokenFilter{AuthID: account, Tenants: tenants})
	now := a.opt.Now()
	return slices.DeleteFunc(list, func(t Token) bool {
		return t.Purpose == "" || !t.ExpiresAt.IsZero() && !now.Before(t.ExpiresAt)
	}), err
}

// EndSession ends the session with the id if it is one of account, or of any
// if that is empty, and in the tenants. The error wraps ErrNotFound.
func (a *Accounts) EndSession(ctx context.Context, by Actor, account, id string, tenants []string) error {
	list, err := a.Sessions(ctx, account, tenants)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(list, func(t Token) bool { return t.ID == id }) {
		return fmt.Errorf("session %q: %w", id, ErrNotFound)
	}
	return a.opt.Tokens.Revoke(ctx, by.Name, id)
}

// Throttled says whether an error is one of too many failures.
func Throttled(err error) (time.Duration, bool) {
	if t, ok := errors.AsType[*ErrThrottled](err); ok {
		return t.Wait, true
	}
	return 0, false
}

// DeleteRefresh deletes the refresh token of a client. Tokens made from it
// live on. The error wraps ErrNotFound.
func (a *Accounts) DeleteRefresh(ctx context.Context, by Actor, account, clientID string) error {
	if err := a.opt.Repo.DeleteRefresh(ctx, account, clientID, by.Name); err != nil {
		return fmt.Errorf("delete refresh token of %s for %q: %w", account, clientID, err)
	}
	return nil
}

// Refreshes returns the refresh tokens of accounts, oldest first.
func (a *Accounts) Refreshes(ctx context.Context, accounts []string) ([]Refresh, error) {
	list, err := a.opt.Repo.Refreshes(ctx, accounts)
	if err != nil {
		return nil, fmt.Errorf("list refresh tokens: %w", err)
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	for i := range list {
		list[i].TenantUUID = a.accounts[list[i].AccountUUID].TenantUUID
	}
	return list, nil
}
