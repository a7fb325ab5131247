package directory

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"callrecordd/dialplan"
)

// Repo is the storage of the directory.
type Repo interface {
	LoadDirectory(ctx context.Context) (Contents, error)
	// SaveDirectory saves all of it or nothing, with an event for each change
	// and the history of the rule fields. It fills in the missing ids of users,
	// lines, groups, queues and trunks in place. An error that wraps
	// ErrConflict means that something to delete is in use.
	SaveDirectory(ctx context.Context, cs *Changeset) error
}

// Options are what a Service needs.
type Options struct {
	Repo    Repo
	Now     func() time.Time
	NewUUID func() string
	// Root is the folder with a folder for each tenant, in which the tenant's own
	// sounds may be. Without it there are none but Asterisk's.
	Root string
	// OnChange, if set, is called after each change, in order, with the books
	// before and after it. It must not call the Service's writing methods.
	OnChange func(before, after *Book)
}

// Service changes the directory, one change at a time, and has its current Book.
type Service struct {
	opt  Options
	mu   sync.Mutex // held while writing
	book atomic.Pointer[Book]
}

// New loads the directory. The first start creates the master tenant and the
// features, enabled.
func New(ctx context.Context, opt Options) (*Service, error) {
	s := &Service{opt: opt}
	c, err := opt.Repo.LoadDirectory(ctx)
	if err != nil {
		return nil, fmt.Errorf("load directory: %w", err)
	}
	s.book.Store(NewBook(c))
	if s.Book().master == "" {
		id := opt.NewUUID()
		if _, err := create(ctx, s, systemActor, tenants, Tenant{UUID: id, Parent: id, Name: "master"}); err != nil {
			return nil, fmt.Errorf("create master tenant: %w", err)
		}
	}
	if _, ok := s.Book().Feature(dialplan.FeatureSwitch); !ok {
		f := Feature{Name: dialplan.FeatureSwitch, Exten: dialplan.DefaultSwitchExten, Enabled: true}
		if _, err := create(ctx, s, systemActor, features, f); err != nil {
			return nil, fmt.Errorf("create feature %s: %w", f.Name, err)
		}
	}
	return s, nil
}

// systemActor has made what was there before anybody did something.
const systemActor = "system"

// Book returns the directory as it is now.
func (s *Service) Book() *Book { return s.book.Load() }

func tenants(c *Contents) *[]Tenant   { return &c.Tenants }
func users(c *Contents) *[]User       { return &c.Users }
func groups(c *Contents) *[]Group     { return &c.Groups }
func queues(c *Contents) *[]Queue     { return &c.Queues }
func trunks(c *Contents) *[]Trunk     { return &c.Trunks }
func devices(c *Contents) *[]Device   { return &c.Devices }
func features(c *Contents) *[]Feature { return &c.Features }

// CreateTenant adds a tenant, below the master tenant unless Parent is set. A
// slug that is missing is made of the name.
// In all Create methods actor is who does it, an empty uuid is filled in, and
// errors are *ErrInvalid or wrap ErrConflict.
func (s *Service) CreateTenant(ctx context.Context, actor string, t Tenant) (Tenant, error) {
	if t.Slug == "" {
		t.Slug = s.Book().FreeSlug(t.Name)
	}
	return create(ctx, s, actor, tenants, t)
}

// EditTenant changes a tenant. In all Edit methods change gets a copy of the
// entry and may leave it half changed if it returns an error; uuid and id
// cannot change. The error wraps ErrNotFound if there is no such entry.
func (s *Service) EditTenant(ctx context.Context, actor, uuid string, change func(*Tenant) error) (Tenant, error) {
	return edit(ctx, s, actor, tenants, Ref{KindTenant, uuid}, change)
}

// DeleteTenant deletes a tenant that owns nothing and has none below it.
func (s *Service) DeleteTenant(ctx context.Context, actor, uuid string) error {
	return remove(ctx, s, actor, tenants, Ref{KindTenant, uuid})
}

// CreateUser adds a user.
func (s *Service) CreateUser(ctx context.Context, actor string, u User) (User, error) {
	return create(ctx, s, actor, users, u)
}

// EditUser changes a user.
func (s *Service) EditUser(ctx context.Context, actor, uuid string, change func(*User) error) (User, error) {
	return edit(ctx, s, actor, users, Ref{KindUser, uuid}, change)
}

// EditFlags changes a user's flags, e.g. by dialling `*26`. Two at once are
// applied one after the other, so no press is lost.
func (s *Service) EditFlags(ctx context.Context, actor, uuid string, change func(dialplan.Flags) dialplan.Flags) (User, error) {
	return s.EditUser(ctx, actor, uuid, func(u *User) error {
		u.Flags = change(u.Flags)
		return nil
	})
}

// DeleteUser deletes a user with its lines. Its calls and recordings stay.
func (s *Service) DeleteUser(ctx context.Context, actor, uuid string) error {
	return remove(ctx, s, actor, users, Ref{KindUser, uuid})
}

// CreateGroup adds a group.
func (s *Service) CreateGroup(ctx context.Context, actor string, g Group) (Group, error) {
	return create(ctx, s, actor, groups, g)
}

// EditGroup changes a group.
func (s *Service) EditGroup(ctx context.Context, actor, uuid string, change func(*Group) error) (Group, error) {
	return edit(ctx, s, actor, groups, Ref{KindGroup, uuid}, change)
}

// DeleteGroup deletes a group.
func (s *Service) DeleteGroup(ctx context.Context, actor, uuid string) error {
	return remove(ctx, s, actor, groups, Ref{KindGroup, uuid})
}

// CreateQueue adds a queue.
func (s *Service) CreateQueue(ctx context.Context, actor string, q Queue) (Queue, error) {
	return create(ctx, s, actor, queues, q)
}

// EditQueue changes a queue.
func (s *Service) EditQueue(ctx context.Context, actor, uuid string, change func(*Queue) error) (Queue, error) {
	return edit(ctx, s, actor, queues, Ref{KindQueue, uuid}, change)
}

// DeleteQueue deletes a queue.
func (s *Service) DeleteQueue(ctx context.Context, actor, uuid string) error {
	return remove(ctx, s, actor, queues, Ref{KindQueue, uuid})
}

// CreateTrunk adds a trunk.
func (s *Service) CreateTrunk(ctx context.Context, actor string, t Trunk) (Trunk, error) {
	return create(ctx, s, actor, trunks, t)
}

// EditTrunk changes a trunk.
func (s *Service) EditTrunk(ctx context.Context, actor, uuid string, change func(*Trunk) error) (Trunk, error) {
	return edit(ctx, s, actor, trunks, Ref{KindTrunk, uuid}, change)
}

// DeleteTrunk deletes a trunk: its endpoint is unknown from then on.
func (s *Service) DeleteTrunk(ctx context.Context, actor, uuid string) error {
	return remove(ctx, s, actor, trunks, Ref{KindTrunk, uuid})
}

// CreateDevice says that an endpoint is internal and nobody's.
func (s *Service) CreateDevice(ctx context.Context, actor string, d Device) (Device, error) {
	return create(ctx, s, actor, devices, d)
}

// DeleteDevice takes that back.
func (s *Service) DeleteDevice(ctx context.Context, actor, endpoint string) error {
	return remove(ctx, s, actor, devices, Ref{KindDevice, endpoint})
}

// EditFeature changes the number of a feature, or whether it is enabled.
func (s *Service) EditFeature(ctx context.Context, actor, uuid string, change func(*Feature) error) (Feature, error) {
	return edit(ctx, s, actor, features, Ref{KindFeature, uuid}, change)
}

func find[T any, P entity[T]](list []T, r Ref) (T, bool) {
	for i := range list {
		if P(&list[i]).ref() == r {
			return list[i], true
		}
	}
	var zero T
	return zero, false
}

func create[T any, P entity[T]](ctx context.Context, s *Service, actor string, list func(*Contents) *[]T, v T) (T, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v = clone(v)
	if P(&v).ref().Key == "" {
		P(&v).setUUID(s.opt.NewUUID())
	}
	P(&v).prepare(s.Book().master)
	var none T
	P(&v).keepID(none)
	r, now := P(&v).ref(), s.Book().Contents()
	if _, ok := find[T, P](*list(&now), r); ok {
		return v, fmt.Errorf("%s %s exists already: %w", r.Kind, r.Key, ErrConflict)
	}
	cs := &Changeset{Actor: actor, Changes: []Change{{Kind: event(r.Kind, "created"), Key: r.Key}}}
	*list(&cs.Save) = []T{v}
	cs.Changes[0].After = &(*list(&cs.Save))[0] // with the id it will get
	if err := s.commit(ctx, cs); err != nil {
		return v, fmt.Errorf("create %s: %w", r.Kind, err)
	}
	return (*list(&cs.Save))[0], nil
}

func edit[T any, P entity[T]](ctx context.Context, s *Service, actor string, list func(*Contents) *[]T, r Ref, change func(*T) error) (T, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.Book().Contents()
	old, ok := find[T, P](*list(&now), r)
	if !ok {
		return old, r.notFound()
	}
	v := clone(old)
	if err := change(&v); err != nil {
		return old, err
	}
	if r.Kind != KindDevice {
		P(&v).setUUID(r.Key)
	}
	P(&v).prepare(s.Book().master)
	P(&v).keepID(old)
	if reflect.DeepEqual(old, v) {
		return old, nil
	}
	cs := &Changeset{Actor: actor, Changes: []Change{{Kind: event(r.Kind, "changed"), Key: r.Key, Before: old}}}
	*list(&cs.Save) = []T{v}
	cs.Changes[0].After = &(*list(&cs.Save))[0]
	if err := s.commit(ctx, cs); err != nil {
		return old, fmt.Errorf("change %s: %w", r.Kind, err)
	}
	return (*list(&cs.Save))[0], nil
}

func remove[T any, P entity[T]](ctx context.Context, s *Service, actor string, list func(*Contents) *[]T, r Ref) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.Book().Contents()
	old, ok := find[T, P](*list(&now), r)
	if !ok {
		return r.notFound()
	}
	if err := s.Book().inUse(r); err != nil {
		return err
	}
	cs := &Changeset{
		Actor: actor, Delete: []Ref{r},
		Changes: []Change{{Kind: event(r.Kind, "deleted"), Key: r.Key, Before: old}},
	}
	if err := s.commit(ctx, cs); err != nil {
		return fmt.Errorf("delete %s: %w", r.Kind, err)
	}
	return nil
}

// EventTenantChanged is the kind of the event that keeps a Change of a tenant.
const EventTenantChanged = "directory.tenant.changed"

func event(k Kind, what string) string { return "directory." + string(k) + "." + what }

// clone copies the lines of a user: the caller's or the Book's must not change.
func clone[T any](v T) T {
	if u, ok := any(&v).(*User); ok {
		u.Lines = append([]Line(nil), u.Lines...)
	}
	return v
}

// inUse says why a tenant cannot be deleted.
func (b *Book) inUse(r Ref) error {
	if r.Kind != KindTenant {
		return nil
	}
	if r.Key == b.master {
		return fmt.Errorf("the master tenant cannot be deleted: %w", ErrConflict)
	}
	n := map[string]int{}
	for _, t := range b.all.Tenants {
		n[t.Parent]++
	}
	for _, v := range b.all.Users {
		n[v.TenantUUID]++
	}
	for _, v := range b.all.Groups {
		n[v.TenantUUID]++
	}
	for _, v := range b.all.Queues {
		n[v.TenantUUID]++
	}
	for _, v := range b.all.Trunks {
		n[v.TenantUUID]++
	}
	if n[r.Key] > 0 {
		return fmt.Errorf("tenant %s still has %d tenants, users, groups, queues or trunks: %w", r.Key, n[r.Key], ErrConflict)
	}
	return nil
}

// commit checks and saves a change and puts the new Book in place. s.mu is held.
func (s *Service) commit(ctx context.Context, cs *Changeset) error {
	before := s.Book()
	cs.At = s.opt.Now()
	changed := map[Ref]bool{}
	next := merge(before.Contents(), cs, changed)
	if err := checkAll(next, changed, s.opt.Root); err != nil {
		return err
	}
	if err := s.opt.Repo.SaveDirectory(ctx, cs); err != nil {
		return err
	}
	after := NewBook(merge(before.Contents(), cs, changed)) // now with ids
	s.book.Store(after)
	if s.opt.OnChange != nil {
		s.opt.OnChange(before, after)
	}
	return nil
}

// merge returns base with the changes applied and notes in changed what was.
func merge(base Contents, cs *Changeset, changed map[Ref]bool) Contents {
	gone := map[Ref]bool{}
	for _, r := range cs.Delete {
		gone[r] = true
	}
	return Contents{
		Tenants:  mergeList[Tenant](base.Tenants, cs.Save.Tenants, gone, changed),
		Users:    mergeList[User](base.Users, cs.Save.Users, gone, changed),
		Groups:   mergeList[Group](base.Groups, cs.Save.Groups, gone, changed),
		Queues:   mergeList[Queue](base.Queues, cs.Save.Queues, gone, changed),
		Trunks:   mergeList[Trunk](base.Trunks, cs.Save.Trunks, gone, changed),
		Devices:  mergeList[Device](base.Devices, cs.Save.Devices, gone, changed),
		Features: mergeList[Feature](base.Features, cs.Save.Features, gone, changed),
	}
}

func mergeList[T any, P entity[T]](base, save []T, gone, changed map[Ref]bool) []T {
	replaced := map[Ref]int{}
	for i := range save {
		r := P(&save[i]).ref()
		replaced[r], changed[r] = i, true
	}
	out := make([]T, 0, len(base)+len(save))
	for _, v := range base {
		r := P(&v).ref()
		if i, ok := replaced[r]; ok {
			v = save[i]
			delete(replaced, r)
		}
		if !gone[r] {
			out = append(out, v)
		}
	}
	for i := range save {
		if _, isNew := replaced[P(&save[i]).ref()]; isNew {
			out = append(out, save[i])
		}
	}
	return out
}
