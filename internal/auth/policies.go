package auth

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
)

func noPolicy(uuid string) error { return fmt.Errorf("policy %q: %w", uuid, ErrNotFound) }

// PolicyFilter selects policies; empty fields do not restrict. Managed ones
// are seen by all tenants.
type PolicyFilter struct {
	Tenants          []string // nil: of all
	UUID, Name, Slug string
	Search           string
}

// ListPolicies returns the policies that match, by name, and how many the
// tenants see.
func (a *Accounts) ListPolicies(f PolicyFilter) (found []Policy, total int) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	in := members(f.Tenants)
	search := strings.ToLower(f.Search)
	for _, p := range a.policies {
		if f.Tenants != nil && !in[p.TenantUUID] && !p.Managed {
			continue
		}
		total++
		if (f.UUID == "" || f.UUID == p.UUID) && (f.Name == "" || f.Name == p.Name) && (f.Slug == "" || f.Slug == p.Slug) &&
			(search == "" || mentions(search, p.Name, p.Description, p.Slug)) {
			found = append(found, p.clone())
		}
	}
	sortPolicies(found)
	return found, total
}

func sortPolicies(list []Policy) {
	slices.SortFunc(list, func(x, y Policy) int {
		return cmp.Or(strings.Compare(x.Name, y.Name), strings.Compare(x.UUID, y.UUID))
	})
}

// PoliciesOf returns the policies that an account was given, by name.
func (a *Accounts) PoliciesOf(account string) []Policy {
	a.mu.RLock()
	defer a.mu.RUnlock()
	var out []Policy
	for _, p := range a.accounts[account].Policies {
		out = append(out, a.policies[p].clone())
	}
	sortPolicies(out)
	return out
}

// Policy returns the policy with the uuid, if one of the tenants sees it; the
// error wraps ErrNotFound. Nil tenants are all.
func (a *Accounts) Policy(uuid string, tenants []string) (Policy, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	p, ok := a.policies[strings.ToLower(uuid)]
	if !ok || tenants != nil && !p.Managed && !slices.Contains(tenants, p.TenantUUID) {
		return Policy{}, noPolicy(uuid)
	}
	return p.clone(), nil
}

// PolicyBySlug returns the tenant's policy with the slug, or the program's.
func (a *Accounts) PolicyBySlug(slug, tenant string) (Policy, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	for _, p := range a.policies {
		if p.Slug == slug && (p.TenantUUID == tenant || p.Managed) {
			return p.clone(), nil
		}
	}
	return Policy{}, noPolicy(slug)
}

// CreatePolicy makes a policy. A slug that is missing is made of the name. The
// error is *ErrInvalid, *ErrTaken or *ErrEscalation.
func (a *Accounts) CreatePolicy(ctx context.Context, by Actor, p Policy) (Policy, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p = p.clone()
	p.UUID, p.Managed = a.opt.NewUUID(), false
	if p.Slug == "" {
		p.Slug = a.freeSlug(p)
	}
	p.normalize()
	if err := first([]error{p.check(), a.freePolicy(p), by.mayAdd(p.ACL)}); err != nil {
		return p, fmt.Errorf("create policy: %w", err)
	}
	return p, a.savePolicy(ctx, by, p, "policy.created")
}

// freeSlug is the name's slug, with something random behind it if it is taken.
func (a *Accounts) freeSlug(p Policy) string {
	slug := slugOf(p.Name)
	if len(slug) > maxSlug {
		slug = slug[:maxSlug]
	}
	p.Slug = slug
	if slug == "" || a.slugTaken(p) {
		slug = slug[:min(len(slug), maxSlug-3)] + a.opt.NewUUID()[:3]
	}
	return slug
}

func (a *Accounts) slugTaken(p Policy) bool {
	for _, other := range a.policies {
		if other.UUID != p.UUID && (other.TenantUUID == p.TenantUUID || other.Managed) && other.Slug == p.Slug {
			return true
		}
	}
	return false
}

func (a *Accounts) freePolicy(p Policy) error {
	if a.slugTaken(p) {
		return &ErrTaken{"slug", p.Slug}
	}
	for _, other := range a.policies {
		if other.UUID != p.UUID && (other.TenantUUID == p.TenantUUID || other.Managed) && other.Name == p.Name {
			return &ErrTaken{"name", p.Name}
		}
	}
	return nil
}

func (a *Accounts) savePolicy(ctx context.Context, by Actor, p Policy, event string) error {
	if err := a.opt.Repo.SavePolicy(ctx, p, by.Name, event); err != nil {
		return fmt.Errorf("save policy %s: %w", p.UUID, err)
	}
	a.policies[p.UUID] = p.clone()
	return nil
}

// EditPolicy changes a policy; uuid, tenant and slug stay. Tokens that were
// made before keep what they have. Errors are those of CreatePolicy,
// ErrReadOnly, or wrap ErrNotFound.
func (a *Accounts) EditPolicy(ctx context.Context, by Actor, uuid string, change func(*Policy) error) (Policy, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	old, ok := a.policies[uuid]
	switch {
	case !ok:
		return old, noPolicy(uuid)
	case old.Managed:
		return old, fmt.Errorf("change policy %s: %w", old.Name, ErrReadOnly)
	}
	p := old.clone()
	if err := change(&p); err != nil {
		return old, err
	}
	p.UUID, p.TenantUUID, p.Slug, p.Managed = old.UUID, old.TenantUUID, old.Slug, false
	p.normalize()
	gone := slices.DeleteFunc(denials(old.ACL), func(x string) bool { return slices.Contains(p.ACL, x) })
	if err := first([]error{p.check(), a.freePolicy(p), by.mayAdd(p.ACL), by.mayRemove(gone)}); err != nil {
		return old, fmt.Errorf("change policy %s: %w", old.Name, err)
	}
	return p, a.savePolicy(ctx, by, p, "policy.changed")
}

// DeletePolicy deletes a policy and takes it from all who have it.
func (a *Accounts) DeletePolicy(ctx context.Context, by Actor, uuid string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	p, ok := a.policies[uuid]
	switch {
	case !ok:
		return noPolicy(uuid)
	case p.Managed:
		return fmt.Errorf("delete policy %s: %w", p.Name, ErrReadOnly)
	}
	if err := by.mayRemove(denials(p.ACL)); err != nil {
		return fmt.Errorf("delete policy %s: %w", p.Name, err)
	}
	if err := a.opt.Repo.DeletePolicy(ctx, uuid, by.Name); err != nil {
		return fmt.Errorf("delete policy %s: %w", p.Name, err)
	}
	delete(a.policies, uuid)
	for id, v := range a.accounts {
		if i := slices.Index(v.Policies, uuid); i >= 0 {
			v = v.clone()
			v.Policies = slices.Delete(v.Policies, i, i+1)
			a.accounts[id] = v
		}
	}
	return nil
}
