package directory

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
)

// Found is what Asterisk was seen to have, the raw material of an import.
type Found struct {
	Endpoints []FoundEndpoint
	Queues    []string // names in app_queue
}

// FoundEndpoint is an endpoint of Asterisk.
type FoundEndpoint struct {
	Name         string // alice or PJSIP/alice
	Context      string
	CallerName   string
	CallerNumber string
	TenantID     string // PJSIP tenantid
	Trunk        bool   // it registers elsewhere or is known by its address
}

// Action says what a proposal would do.
type Action string

// What a proposal may do. Nothing is done about a Notice: a person must look.
const (
	Create Action = "create"
	Modify Action = "change"
	Notice Action = "notice"
)

// Proposal is one step of an import. Exactly one of Tenant, User, Trunk and
// Queue is set, none for a Notice.
type Proposal struct {
	Action Action
	Kind   Kind
	Name   string // what a person calls it
	Why    string // a sentence

	Tenant *Tenant
	User   *User // with Modify: the user with the line added
	Trunk  *Trunk
	Queue  *Queue
	// TenantID is the alias of a tenant that this same plan creates, in place
	// of the entry's TenantUUID.
	TenantID string
}

// Plan is what an import would do, in the order in which it would.
type Plan struct {
	Proposals []Proposal
	Unchanged int // endpoints and queues that the directory knows already
}

// planner builds a Plan.
type planner struct {
	book    *Book
	plan    Plan
	tenants map[string]bool // aliases of the tenants to create
	taken   map[spot]string // extensions → endpoint, within this plan
}

// PlanImport proposes users, trunks, queues and tenants for what the directory
// lacks. It is pure: the same book and findings give the same plan. Endpoints
// that are known stay as they are, whatever Asterisk says about them.
func PlanImport(b *Book, f Found) Plan {
	p := &planner{book: b, tenants: map[string]bool{}, taken: map[spot]string{}}
	endpoints := slices.Clone(f.Endpoints)
	for i := range endpoints {
		if !strings.Contains(endpoints[i].Name, "/") {
			endpoints[i].Name = "PJSIP/" + endpoints[i].Name
		}
	}
	slices.SortFunc(endpoints, func(a, b FoundEndpoint) int { return cmp.Compare(a.Name, b.Name) })
	endpoints = slices.CompactFunc(endpoints, func(a, b FoundEndpoint) bool { return a.Name == b.Name })
	for _, e := range endpoints {
		p.endpoint(e)
	}
	names := slices.Clone(f.Queues)
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if _, ok := b.Queue(name); ok {
			p.plan.Unchanged++
			continue
		}
		p.add(Proposal{
			Action: Create, Kind: KindQueue, Name: name, Queue: &Queue{Name: name, Label: name},
			Why: "app_queue has it, the directory does not",
		})
	}
	return p.plan
}

func (p *planner) add(x Proposal) { p.plan.Proposals = append(p.plan.Proposals, x) }

func (p *planner) notice(e FoundEndpoint, format string, args ...any) {
	p.add(Proposal{Action: Notice, Name: e.Name, Why: fmt.Sprintf(format, args...)})
}

func (p *planner) endpoint(e FoundEndpoint) {
	if err := endpointField("name", e.Name); err != nil {
		p.notice(e, "its name cannot be used: %v", err)
		return
	}
	if who := p.book.Endpoint(e.Name); who.Kind != "unknown" {
		p.plan.Unchanged++
		t, _ := p.book.Tenant(who.TenantUUID)
		if e.TenantID != "" && who.TenantUUID != "" && t.AsteriskID != e.TenantID {
			p.notice(e, "Asterisk says tenantid %q, the directory says tenant %q", e.TenantID, t.Name)
		}
		return
	}
	tenant, alias := p.tenant(e.TenantID)
	if e.Trunk {
		p.add(Proposal{
			Action: Create, Kind: KindTrunk, Name: e.Name, TenantID: alias,
			Trunk: &Trunk{TenantUUID: tenant, Name: bare(e.Name), Endpoint: e.Name},
			Why:   "it registers with a provider or is known by its address, as trunks are",
		})
		return
	}
	p.user(e, tenant, alias)
}

// tenant returns the uuid of the tenant with the alias, or the alias itself if
// the plan has to create it.
func (p *planner) tenant(id string) (uuid, alias string) {
	if id == "" {
		return p.book.Master().UUID, ""
	}
	if t, ok := p.book.TenantByAsteriskID(id); ok {
		return t.UUID, ""
	}
	if !p.tenants[id] {
		p.tenants[id] = true
		p.add(Proposal{
			Action: Create, Kind: KindTenant, Name: id, Tenant: &Tenant{Name: id, AsteriskID: id},
			Why: "endpoints carry it as their tenantid",
		})
	}
	return "", id
}

func (p *planner) user(e FoundEndpoint, tenant, alias string) {
	line := Line{Endpoint: e.Name, Exten: e.CallerNumber, Context: e.Context, Main: true}
	why := "it looks like a phone"
	if place("", line.Exten, line.Context) != nil || line.Exten == "" {
		line.Exten, line.Context = "", ""
		why += "; no extension: its caller id has no number that could be one"
	}
	at := spot{line.Exten, line.Context}
	if u, ok := p.book.UserAt(line.Exten, line.Context); ok && line.Exten != "" && alias == "" && u.TenantUUID == tenant {
		u = clone(u)
		line.Main = false
		u.Lines = append(u.Lines, line)
		p.add(Proposal{
			Action: Modify, Kind: KindUser, Name: u.Name(), User: &u,
			Why: fmt.Sprintf("%s has the same extension %s@%s: one more line of this user", e.Name, line.Exten, line.Context),
		})
		return
	}
	if other := p.holder(at); other != "" {
		why += fmt.Sprintf("; without the extension %s@%s, which %s has", at.exten, at.context, other)
		line.Exten, line.Context = "", ""
	} else if at.exten != "" {
		p.taken[at] = e.Name
	}
	u := &User{TenantUUID: tenant, FirstName: bare(e.Name), Lines: []Line{line}}
	if name := strings.Fields(e.CallerName); len(name) > 0 {
		u.FirstName, u.LastName = name[0], strings.Join(name[1:], " ")
	}
	p.add(Proposal{Action: Create, Kind: KindUser, Name: u.Name(), User: u, TenantID: alias, Why: why})
}

// holder names who has an extension already, in the directory or in this plan.
func (p *planner) holder(at spot) string {
	if at.exten == "" {
		return ""
	}
	if u, ok := p.book.UserAt(at.exten, at.context); ok {
		return "user " + u.Name()
	}
	if g, ok := p.book.GroupAt(at.exten, at.context); ok {
		return "group " + g.Name
	}
	if q, ok := p.book.QueueAt(at.exten, at.context); ok {
		return "queue " + q.Name
	}
	return p.taken[at]
}

func bare(endpoint string) string {
	if _, name, ok := strings.Cut(endpoint, "/"); ok {
		return name
	}
	return endpoint
}

// Apply carries out a plan as a whole or not at all, on behalf of actor, and
// returns how many entries it created or changed. If the directory has changed
// in the meantime so that the plan no longer fits, the error says so.
func (s *Service) Apply(ctx context.Context, actor string, p Plan) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cs := &Changeset{Actor: actor}
	aliases := map[string]string{}
	for _, x := range p.Proposals {
		s.apply(cs, x, aliases)
	}
	if len(cs.Changes) == 0 {
		return 0, nil
	}
	if err := s.commit(ctx, cs); err != nil {
		return 0, fmt.Errorf("import: %w", err)
	}
	return len(cs.Changes), nil
}

func (s *Service) apply(cs *Changeset, x Proposal, aliases map[string]string) {
	b := s.Book()
	tenant := func(uuid string) string {
		if x.TenantID != "" {
			return aliases[x.TenantID]
		}
		return uuid
	}
	change := Change{Kind: event(x.Kind, "imported")}
	switch {
	case x.Tenant != nil:
		t := *x.Tenant
		t.UUID = s.opt.NewUUID()
		t.prepare(b.master)
		aliases[t.AsteriskID] = t.UUID
		cs.Save.Tenants = append(cs.Save.Tenants, t)
		change.Key, change.After = t.UUID, t
	case x.User != nil:
		u := clone(*x.User)
		u.TenantUUID = tenant(u.TenantUUID)
		if old, ok := b.User(u.UUID); ok {
			u.keepID(old)
			change.Before = old
			// Two new lines of one user come as two proposals.
			if i := slices.IndexFunc(cs.Save.Users, func(v User) bool { return v.UUID == u.UUID }); i >= 0 {
				cs.Save.Users[i].Lines = append(cs.Save.Users[i].Lines, u.Lines[len(old.Lines):]...)
				return
			}
		} else {
			u.UUID = s.opt.NewUUID()
		}
		u.prepare(b.master)
		cs.Save.Users = append(cs.Save.Users, u)
		change.Key, change.After = u.UUID, u
	case x.Trunk != nil:
		t := *x.Trunk
		t.UUID, t.TenantUUID = s.opt.NewUUID(), tenant(t.TenantUUID)
		t.prepare(b.master)
		cs.Save.Trunks = append(cs.Save.Trunks, t)
		change.Key, change.After = t.UUID, t
	case x.Queue != nil:
		q := *x.Queue
		q.UUID, q.TenantUUID = s.opt.NewUUID(), tenant(q.TenantUUID)
		q.prepare(b.master)
		cs.Save.Queues = append(cs.Save.Queues, q)
		change.Key, change.After = q.UUID, q
	default:
		return
	}
	cs.Changes = append(cs.Changes, change)
}
