package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// AccountRepo is the storage of accounts, policies and refresh tokens. Save
// inserts or replaces. Each change is stored with an event of that kind, or
// with none if the kind is empty.
type AccountRepo interface {
	LoadAccounts(ctx context.Context) ([]Account, []Policy, error)
	SaveAccount(ctx context.Context, a Account, actor, event string) error
	// DeleteAccount deletes its tokens and refresh tokens too.
	DeleteAccount(ctx context.Context, uuid, actor string) error
	SavePolicy(ctx context.Context, p Policy, actor, event string) error
	DeletePolicy(ctx context.Context, uuid, actor string) error

	// RefreshByHash and RefreshOf return an error that wraps ErrNotFound if
	// there is none, DeleteRefresh too.
	RefreshByHash(ctx context.Context, hash string) (Refresh, error)
	RefreshOf(ctx context.Context, account, clientID string) (Refresh, error)
	// SaveRefresh replaces the one of the same account and client. With mobile
	// it first deletes the account's other mobile ones and ends their
	// sessions, whose number it returns.
	SaveRefresh(ctx context.Context, r Refresh, actor string) (ended int, err error)
	DeleteRefresh(ctx context.Context, account, clientID, actor string) error
	Refreshes(ctx context.Context, accounts []string) ([]Refresh, error)
}

// AccountsOptions are what Accounts needs.
type AccountsOptions struct {
	Repo    AccountRepo
	Tokens  *Service
	Now     func() time.Time
	NewUUID func() string
	// Master is the uuid of the master tenant, which owns the policies that
	// come with the program.
	Master string
	// Key is secret: refresh tokens are derived from it, so that the same
	// client gets the same one although only its hash is stored.
	Key []byte
	// UserPolicy is what every account may do.
	UserPolicy []string
	// MaxSessions is how many an account of a person or a program may have.
	MaxSessions int
	// Lifetime is that of tokens for which none is asked.
	Lifetime time.Duration
}

// Accounts knows who can log in, and what they may do then. It keeps accounts
// and policies in memory, and refresh tokens in the database.
type Accounts struct {
	opt      AccountsOptions
	hasher   *hasher
	throttle throttle

	mu       sync.RWMutex // for what follows; held while a change is saved
	accounts map[string]Account
	logins   map[string]string // user name or e-mail in lower case → uuid
	policies map[string]Policy
}

// The policies that come with the program, under the names that Wazo's tools
// know.
const (
	PolicyUser   = "wazo_default_user_policy"
	PolicyAdmin  = "wazo_default_admin_policy"
	PolicyMaster = "wazo_default_master_user_policy"
)

// systemActor does what nobody asked for.
const systemActor = "system"

// NewAccounts loads accounts and policies and makes sure that the policies of
// the program are there, as this version has them.
func NewAccounts(ctx context.Context, opt AccountsOptions) (*Accounts, error) {
	a := &Accounts{
		opt: opt, hasher: newHasher(),
		accounts: map[string]Account{}, logins: map[string]string{}, policies: map[string]Policy{},
	}
	accounts, policies, err := opt.Repo.LoadAccounts(ctx)
	if err != nil {
		return nil, fmt.Errorf("load accounts: %w", err)
	}
	for _, p := range policies {
		a.policies[p.UUID] = p
	}
	for _, v := range accounts {
		a.accounts[v.UUID] = v
		a.index(v)
	}
	for _, p := range []Policy{
		{Slug: PolicyUser, Description: "What every account may do", ACL: opt.UserPolicy},
		{Slug: PolicyAdmin, Description: "Administrators of a tenant", ACL: []string{"auth.#", "call-logd.#", "calld.#", "confd.#"}},
		{Slug: PolicyMaster, Description: "Everything", ACL: []string{"#"}},
	} {
		if err := a.ensure(ctx, p); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// ensure keeps a policy of the program as it should be.
func (a *Accounts) ensure(ctx context.Context, p Policy) error {
	p.Name, p.TenantUUID, p.Managed = p.Slug, a.opt.Master, true
	p.normalize()
	if err := p.check(); err != nil {
		return fmt.Errorf("policy %s: %w", p.Name, err)
	}
	for _, old := range a.policies {
		if old.Managed && old.Slug == p.Slug {
			if slices.Equal(old.ACL, p.ACL) && old.Description == p.Description {
				return nil
			}
			p.UUID = old.UUID
		}
	}
	if p.UUID == "" {
		p.UUID = a.opt.NewUUID()
	}
	if err := a.opt.Repo.SavePolicy(ctx, p, systemActor, "policy.changed"); err != nil {
		return fmt.Errorf("policy %s: %w", p.Name, err)
	}
	a.policies[p.UUID] = p
	return nil
}

func (a *Accounts) index(v Account) {
	for _, login := range []string{v.Username, v.Email} {
		if login != "" {
			a.logins[strings.ToLower(login)] = v.UUID
		}
	}
}

func (a *Accounts) unindex(v Account) {
	for _, login := range []string{v.Username, v.Email} {
		if login = strings.ToLower(login); a.logins[login] == v.UUID {
			delete(a.logins, login)
		}
	}
}

// Bootstrap makes the first administrator if there is no account at all, and
// returns its name and password, or empty text. The password is not kept.
func (a *Accounts) Bootstrap(ctx context.Context) (username, password string, err error) {
	a.mu.RLock()
	empty := len(a.accounts) == 0
	master := ""
	for _, p := range a.policies {
		if p.Managed && p.Slug == PolicyMaster {
			master = p.UUID
		}
	}
	a.mu.RUnlock()
	if !empty {
		return "", "", nil
	}
	username, password = "admin", a.opt.NewUUID()
	v, err := a.Create(ctx, Actor{Name: systemActor}, Account{
		TenantUUID: a.opt.Master, Username: username, Purpose: PurposeInternal, Method: "native", Enabled: true,
	}, password)
	if err == nil {
		err = a.AddPolicy(ctx, Actor{Name: systemActor}, v.UUID, master)
	}
	if err != nil {
		return "", "", fmt.Errorf("create the first administrator: %w", err)
	}
	return username, password, nil
}

// AccountFilter selects accounts; empty fields do not restrict.
type AccountFilter struct {
	Tenants                                []string // nil: of all
	UUID, Username, FirstName, LastName    string
	Purpose, Email, PolicyUUID, PolicySlug string
	Search                                 string
}

// List returns the accounts that match, by name, and how many the tenants have.
func (a *Accounts) List(f AccountFilter) (found []Account, total int) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	in := members(f.Tenants)
	search := strings.ToLower(f.Search)
	for _, v := range a.accounts {
		if f.Tenants != nil && !in[v.TenantUUID] {
			continue
		}
		total++
		if a.matches(v, f) && (search == "" || mentions(search, v.Username, v.FirstName, v.LastName, v.Email)) {
			found = append(found, v.clone())
		}
	}
	slices.SortFunc(found, func(x, y Account) int {
		return cmp.Or(strings.Compare(strings.ToLower(x.Username), strings.ToLower(y.Username)), strings.Compare(x.UUID, y.UUID))
	})
	return found, total
}

func members(list []string) map[string]bool {
	in := make(map[string]bool, len(list))
	for _, v := range list {
		in[v] = true
	}
	return in
}

func mentions(search string, texts ...string) bool {
	return slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(strings.ToLower(t), search) })
}

func (a *Accounts) matches(v Account, f AccountFilter) bool {
	for _, pair := range [][2]string{
		{f.UUID, v.UUID},
		{strings.ToLower(f.Username), strings.ToLower(v.Username)},
		{f.FirstName, v.FirstName},
		{f.LastName, v.LastName},
		{f.Purpose, v.Purpose},
		{strings.ToLower(f.Email), strings.ToLower(v.Email)},
	} {
		if pair[0] != "" && pair[0] != pair[1] {
			return false
		}
	}
	if f.PolicyUUID != "" && !slices.Contains(v.Policies, f.PolicyUUID) {
		return false
	}
	return f.PolicySlug == "" || slices.ContainsFunc(v.Policies, func(p string) bool { return a.policies[p].Slug == f.PolicySlug })
}

func noAccount(uuid string) error { return fmt.Errorf("account %q: %w", uuid, ErrNotFound) }

// Get returns the account with the uuid; the error wraps ErrNotFound.
func (a *Accounts) Get(uuid string) (Account, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	v, ok := a.accounts[uuid]
	if !ok {
		return Account{}, noAccount(uuid)
	}
	return v.clone(), nil
}

// Create makes an account with the password, or with none that can log in if
// it is empty. Errors are *ErrInvalid or *ErrTaken.
func (a *Accounts) Create(ctx context.Context, by Actor, v Account, password string) (Account, error) {
	if v.UUID == "" {
		v.UUID = a.opt.NewUUID()
	}
	v.UUID, v.Policies, v.CreatedAt = strings.ToLower(v.UUID), nil, a.opt.Now()
	if v.Email != "" {
		v.EmailUUID = a.opt.NewUUID()
	}
	if err := v.check(); err != nil {
		return v, fmt.Errorf("create account: %w", err)
	}
	if password != "" { // before the lock: it takes long
		var err error
		if v.Password, err = a.hasher.hash(ctx, password); err != nil {
			return v, fmt.Errorf("create account: %w", err)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.accounts[v.UUID]; ok {
		return v, fmt.Errorf("create account: %w", &ErrTaken{"uuid", v.UUID})
	}
	if err := a.free(v); err != nil {
		return v, fmt.Errorf("create account: %w", err)
	}
	if err := a.save(ctx, by, v, "account.created"); err != nil {
		return v, err
	}
	return v.clone(), nil
}

// free checks that nobody else, in whatever tenant, has one of the logins.
func (a *Accounts) free(v Account) error {
	if owner, ok := a.logins[strings.ToLower(v.Username)]; ok && owner != v.UUID && v.Username != "" {
		return &ErrTaken{"username", v.Username}
	}
	if owner, ok := a.logins[strings.ToLower(v.Email)]; ok && owner != v.UUID && v.Email != "" {
		return &ErrTaken{"email_address", v.Email}
	}
	return nil
}

// save stores an account and then has it in memory. a.mu is held.
func (a *Accounts) save(ctx context.Context, by Actor, v Account, event string) error {
	if err := a.opt.Repo.SaveAccount(ctx, v, by.Name, event); err != nil {
		return fmt.Errorf("save account %s: %w", v.UUID, err)
	}
	if old, ok := a.accounts[v.UUID]; ok {
		a.unindex(old)
	}
	a.accounts[v.UUID] = v.clone()
	a.index(v)
	return nil
}

// Edit changes an account. Its uuid, tenant, password and policies stay. To
// disable it ends its sessions.
func (a *Accounts) Edit(ctx context.Context, by Actor, uuid string, change func(*Account) error) (Account, error) {
	v, err := a.edit(ctx, by, uuid, change)
	if err == nil && !v.Enabled {
		err = a.endSessions(ctx, uuid)
	}
	return v, err
}

func (a *Accounts) edit(ctx context.Context, by Actor, uuid string, change func(*Account) error) (Account, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	old, ok := a.accounts[uuid]
	if !ok {
		return old, noAccount(uuid)
	}
	v := old.clone()
	if err := change(&v); err != nil {
		return old, err
	}
	v.UUID, v.TenantUUID, v.Password, v.Policies, v.CreatedAt = old.UUID, old.TenantUUID, old.Password, old.Policies, old.CreatedAt
	if v.Email == "" {
		v.EmailUUID = ""
	} else if v.Email != old.Email {
		v.EmailUUID = a.opt.NewUUID()
	}
	if err := v.check(); err != nil {
		return old, fmt.Errorf("change account: %w", err)
	}
	if err := a.free(v); err != nil {
		return old, fmt.Errorf("change account: %w", err)
	}
	return v, a.save(ctx, by, v, "account.changed")
}

// Delete deletes an account; its tokens are refused from then on.
func (a *Accounts) Delete(ctx context.Context, by Actor, uuid string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	v, ok := a.accounts[uuid]
	if !ok {
		return noAccount(uuid)
	}
	if err := a.opt.Repo.DeleteAccount(ctx, uuid, by.Name); err != nil {
		return fmt.Errorf("delete account %s: %w", uuid, err)
	}
	a.unindex(v)
	delete(a.accounts, uuid)
	return a.endSessions(ctx, uuid) // the rows are gone, the cache is not
}

// endSessions ends all sessions of an account that has been changed. It does so
// even if who asked for the change is gone: half of it would be no change.
func (a *Accounts) endSessions(ctx context.Context, uuid string) error {
	_, err := a.opt.Tokens.DropUser(context.WithoutCancel(ctx), uuid)
	return err
}

// SetPassword changes a password and ends all sessions. An empty one means
// that nobody can log in any more.
func (a *Accounts) SetPassword(ctx context.Context, by Actor, uuid, password string) error {
	stored := ""
	if password != "" {
		var err error
		if stored, err = a.hasher.hash(ctx, password); err != nil {
			return err
		}
	}
	a.mu.Lock()
	v, ok := a.accounts[uuid]
	err := noAccount(uuid)
	if ok {
		v = v.clone()
		v.Password = stored
		err = a.save(ctx, by, v, "account.password_changed")
	}
	a.mu.Unlock()
	if err == nil {
		err = a.endSessions(ctx, uuid)
	}
	return err
}

// ChangePassword is SetPassword for who knows the old one. A wrong one is
// ErrLogin, and counts as a failed login.
func (a *Accounts) ChangePassword(ctx context.Context, by Actor, uuid, oldPassword, newPassword, remote string) error {
	v, err := a.Get(uuid)
	if err != nil {
		return err
	}
	if newPassword == "" {
		return length("new_password", newPassword, 1, maxLogin)
	}
	ok, err := a.try(ctx, cmp.Or(v.Username, v.Email), remote, v.Password, oldPassword)
	if err != nil {
		return err
	}
	if !ok {
		return ErrLogin
	}
	return a.SetPassword(ctx, by, uuid, newPassword)
}

// AddPolicy gives an account a policy; one it has already is no error. Nobody
// gives what they do not have: *ErrEscalation.
func (a *Accounts) AddPolicy(ctx context.Context, by Actor, account, policy string) error {
	return a.associate(ctx, by, account, policy, func(v *Account, p Policy) (bool, error) {
		if err := by.mayAdd(p.ACL); err != nil {
			return false, err
		}
		if slices.Contains(v.Policies, policy) {
			return false, nil
		}
		v.Policies = append(v.Policies, policy)
		return true, nil
	})
}

// RemovePolicy takes a policy from an account. The error wraps ErrNotFound if
// the account does not have it.
func (a *Accounts) RemovePolicy(ctx context.Context, by Actor, account, policy string) error {
	return a.associate(ctx, by, account, policy, func(v *Account, p Policy) (bool, error) {
		if err := by.mayRemove(p.ACL); err != nil {
			return false, err
		}
		i := slices.Index(v.Policies, policy)
		if i < 0 {
			return false, noPolicy(policy)
		}
		v.Policies = slices.Delete(v.Policies, i, i+1)
		return true, nil
	})
}

func (a *Accounts) associate(ctx context.Context, by Actor, account, policy string, change func(*Account, Policy) (bool, error)) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	v, ok := a.accounts[account]
	if !ok {
		return noAccount(account)
	}
	p, ok := a.policies[policy]
	if !ok {
		return noPolicy(policy)
	}
	v = v.clone()
	changed, err := change(&v, p)
	if err != nil {
		return fmt.Errorf("policy %s of account %s: %w", policy, account, err)
	}
	if !changed {
		return nil
	}
	return a.save(ctx, by, v, "account.policies_changed")
}

// acl is what an account may do, sorted. a.mu is held for reading.
func (a *Accounts) acl(v Account) []string {
	out := slices.Clone(a.opt.UserPolicy)
	for _, p := range v.Policies {
		out = append(out, a.policies[p].ACL...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// AccessOf returns the tenant of an account and what it may do now; ok is false
// if there is no such account, or it is disabled.
func (a *Accounts) AccessOf(uuid string) (tenant string, acl *ACL, ok bool) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	v, ok := a.accounts[uuid]
	if !ok || !v.Enabled {
		return "", nil, false
	}
	return v.TenantUUID, Compile(a.acl(v), Identity{AuthID: uuid}), true
}

// IsAdmin says whether an account has the policy of administrators.
func (a *Accounts) IsAdmin(uuid string) bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return slices.ContainsFunc(a.accounts[uuid].Policies, func(p string) bool {
		return a.policies[p].Managed && a.policies[p].Slug != PolicyUser
	})
}

// notFound says whether an error means that there is nothing.
func notFound(err error) bool { return errors.Is(err, ErrNotFound) }
