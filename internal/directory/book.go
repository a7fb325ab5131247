package directory

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"callrecordd/dialplan"
)

// Book is a snapshot of the directory with the look-ups of decision time. It
// never changes; nobody may write to the slices it returns.
type Book struct {
	all       Contents
	master    string
	tenants   map[string]int
	users     map[string]int
	userIDs   map[int64]int
	groups    map[string]int
	groupIDs  map[int64]int
	queues    map[string]int
	queueIDs  map[int64]int
	trunks    map[string]int
	queueName map[string]int
	aliases   map[string]int // tenants by AsteriskID
	endpoints map[string]Who
	userAt    map[spot]int
	groupAt   map[spot]int
	queueAt   map[spot]int
	features  map[string]int      // by name
	children  map[string][]string // tenant → tenants below, directly
}

type spot struct{ exten, context string }

// Who is what an endpoint stands for.
type Who struct {
	Kind       dialplan.EndpointKind
	TenantUUID string // empty for devices and unknown endpoints
	User       User   // with dialplan.KindUser only
	Line       Line   // the user's line with this endpoint
	Trunk      Trunk  // with dialplan.KindTrunk only
}

// NewBook makes a Book of contents. It checks nothing: what is doubtful but
// stored must still be usable; where two claim the same, the first has it.
func NewBook(c Contents) *Book {
	b := &Book{
		all: c, tenants: map[string]int{}, users: map[string]int{}, userIDs: map[int64]int{},
		groups: map[string]int{}, groupIDs: map[int64]int{}, queues: map[string]int{}, queueIDs: map[int64]int{},
		trunks: map[string]int{}, queueName: map[string]int{}, aliases: map[string]int{},
		endpoints: map[string]Who{}, userAt: map[spot]int{}, groupAt: map[spot]int{},
		queueAt: map[spot]int{}, children: map[string][]string{}, features: map[string]int{},
	}
	for i, t := range c.Tenants {
		b.tenants[t.UUID] = i
		if t.Parent == t.UUID {
			b.master = t.UUID
		} else {
			b.children[t.Parent] = append(b.children[t.Parent], t.UUID)
		}
		first(b.aliases, t.AsteriskID, i)
	}
	for i, u := range c.Users {
		b.users[u.UUID], b.userIDs[u.ID] = i, i
		for _, l := range u.Lines {
			first(b.endpoints, l.Endpoint, Who{Kind: dialplan.KindUser, TenantUUID: u.TenantUUID, User: u, Line: l})
			first(b.userAt, spot{l.Exten, l.Context}, i)
		}
	}
	for i, g := range c.Groups {
		b.groups[g.UUID], b.groupIDs[g.ID] = i, i
		first(b.groupAt, spot{g.Exten, g.Context}, i)
	}
	for i, q := range c.Queues {
		b.queues[q.UUID], b.queueIDs[q.ID], b.queueName[q.Name] = i, i, i
		first(b.queueAt, spot{q.Exten, q.Context}, i)
	}
	for i, t := range c.Trunks {
		b.trunks[t.UUID] = i
		first(b.endpoints, t.Endpoint, Who{Kind: dialplan.KindTrunk, TenantUUID: t.TenantUUID, Trunk: t})
	}
	for i, f := range c.Features {
		b.features[f.Name] = i
	}
	for _, d := range c.Devices {
		first(b.endpoints, d.Endpoint, Who{Kind: dialplan.KindDevice})
	}
	return b
}

// first sets m[k] unless it is set, or k is empty.
func first[K comparable, V any](m map[K]V, k K, v V) {
	var zero K
	if _, ok := m[k]; !ok && k != zero {
		m[k] = v
	}
}

func at[T any, K comparable](list []T, index map[K]int, k K) (T, bool) {
	i, ok := index[k]
	if !ok {
		var zero T
		return zero, false
	}
	return list[i], true
}

// Endpoint says what an endpoint such as PJSIP/alice is. One that the
// directory lacks has dialplan.KindUnknown.
func (b *Book) Endpoint(endpoint string) Who {
	if w, ok := b.endpoints[endpoint]; ok {
		return w
	}
	return Who{Kind: dialplan.KindUnknown}
}

// Party fills in what the directory knows about a leg's endpoint; leg, role,
// queue and group are the caller's to add.
func (b *Book) Party(endpoint string) dialplan.Party {
	w := b.Endpoint(endpoint)
	return dialplan.Party{
		Endpoint: endpoint, Kind: w.Kind, UserUUID: w.User.UUID, Tenant: w.TenantUUID, Flags: w.User.Flags,
		TrunkAuto: w.Trunk.AutoRecord,
	}
}

// Contents returns everything in the book.
func (b *Book) Contents() Contents { return b.all }

// Master returns the master tenant.
func (b *Book) Master() Tenant { t, _ := b.Tenant(b.master); return t }

// Tenant returns the tenant with the uuid.
func (b *Book) Tenant(uuid string) (Tenant, bool) { return at(b.all.Tenants, b.tenants, uuid) }

// TenantByAsteriskID returns the tenant of PJSIP's tenantid.
func (b *Book) TenantByAsteriskID(id string) (Tenant, bool) {
	return at(b.all.Tenants, b.aliases, id)
}

// maxSlug is the length of a tenant's slug at most (auth-and-clients 1.8).
const maxSlug = 10

// FreeSlug makes a slug of a tenant's name that no tenant has.
func (b *Book) FreeSlug(name string) string {
	base := strings.Map(func(r rune) rune {
		if r == '_' || r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r)) {
			return r
		}
		return -1
	}, name)
	base = base[:min(len(base), maxSlug)]
	if base == "" {
		base = "tenant"
	}
	slug := base
	for n := 2; slices.ContainsFunc(b.all.Tenants, func(t Tenant) bool { return t.Slug == slug }); n++ {
		suffix := strconv.Itoa(n)
		slug = base[:min(len(base), maxSlug-len(suffix))] + suffix
	}
	return slug
}

// Subtree returns the uuids of a tenant and all tenants below it, that one
// first: the visible tenants of cdr-api 1.9. It is nil for an unknown tenant.
func (b *Book) Subtree(uuid string) []string {
	if _, ok := b.tenants[uuid]; !ok {
		return nil
	}
	out := []string{uuid}
	for i := 0; i < len(out); i++ {
		for _, c := range b.children[out[i]] {
			if !slices.Contains(out, c) {
				out = append(out, c)
			}
		}
	}
	return out
}

// User returns the user with the uuid.
func (b *Book) User(uuid string) (User, bool) { return at(b.all.Users, b.users, uuid) }

// UserByID returns the user with the integer id.
func (b *Book) UserByID(id int64) (User, bool) { return at(b.all.Users, b.userIDs, id) }

// UserAt returns the user who is called at exten@context.
func (b *Book) UserAt(exten, context string) (User, bool) {
	return at(b.all.Users, b.userAt, spot{exten, context})
}

// Group returns the group with the uuid.
func (b *Book) Group(uuid string) (Group, bool) { return at(b.all.Groups, b.groups, uuid) }

// GroupByID returns the group with the integer id.
func (b *Book) GroupByID(id int64) (Group, bool) { return at(b.all.Groups, b.groupIDs, id) }

// GroupAt returns the group that is called at exten@context.
func (b *Book) GroupAt(exten, context string) (Group, bool) {
	return at(b.all.Groups, b.groupAt, spot{exten, context})
}

// Queue returns the queue with the name it has in app_queue.
func (b *Book) Queue(name string) (Queue, bool) { return at(b.all.Queues, b.queueName, name) }

// QueueByUUID returns the queue with the uuid.
func (b *Book) QueueByUUID(uuid string) (Queue, bool) { return at(b.all.Queues, b.queues, uuid) }

// QueueByID returns the queue with the integer id.
func (b *Book) QueueByID(id int64) (Queue, bool) { return at(b.all.Queues, b.queueIDs, id) }

// QueueAt returns the queue that is called at exten@context.
func (b *Book) QueueAt(exten, context string) (Queue, bool) {
	return at(b.all.Queues, b.queueAt, spot{exten, context})
}

// Feature returns the feature with the name, such as dialplan.FeatureSwitch.
func (b *Book) Feature(name string) (Feature, bool) { return at(b.all.Features, b.features, name) }

// Trunk returns the trunk with the uuid.
func (b *Book) Trunk(uuid string) (Trunk, bool) { return at(b.all.Trunks, b.trunks, uuid) }
