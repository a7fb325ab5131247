// Package cdrgen fills databases with made-up calls, for benchmarks and tests
// of lists at ten million rows (issue 5). It writes through the store as the
// daemon does.
package cdrgen

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/cdr"
	"callrecordd/internal/recorder"
	"callrecordd/store"
)

// The shape of the generated companies.
const (
	Tenants = 50 // of unequal size, the first is the largest
	Users   = 2000
	Years   = 10
	numbers = 500_000 // outside
	batch   = 50_000
)

// End is the time of the newest call.
func End() time.Time { return time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC) }

// Tenant is the uuid of a tenant.
func Tenant(i int) string { return fmt.Sprintf("00000000-0000-4000-8000-0000000%05d", i) }

// AllTenants are all of them.
func AllTenants() []string {
	out := make([]string, Tenants)
	for i := range out {
		out[i] = Tenant(i)
	}
	return out
}

// User is the uuid of a user.
func User(i int) string { return fmt.Sprintf("10000000-0000-4000-8000-0000000%05d", i) }

// Tags are those that users may have.
func Tags() []string {
	return []string{"sales", "support", "vip", "night", "east", "west", "board", "intern", "field", "lab"}
}

func firstNames() []string {
	return []string{
		"Anna", "Ben", "Clara", "David", "Émile", "Fatma", "Georg", "Hanna", "Ivan", "Julia", "Karl", "Łucja", "Maria",
		"Nils", "Olga", "Paul",
	}
}

func lastNames() []string {
	return []string{
		"Schmidt", "Nguyen", "García", "Müller", "Rossi", "Novák", "Kowalski", "Dubois", "Jensen", "Silva", "Yılmaz",
		"Popov", "O'Brien", "Haas", "Weber", "Lindqvist", "Tanaka", "Costa",
	}
}

type user struct {
	uuid, name, exten string
	tags              []string
}

type tenant struct {
	uuid  string
	users []user
}

// Generator makes calls, always the same ones.
type Generator struct {
	rnd     *rand.Rand
	tenants []tenant
	shares  []float64 // cumulated
	now     time.Time
	step    time.Duration
	n       int
	callers *rand.Zipf
}

// NewGenerator returns one that spreads n calls over the years.
func NewGenerator(n int) *Generator {
	g := &Generator{rnd: rand.New(rand.NewPCG(1, 2)), now: End().AddDate(-Years, 0, 0)}
	g.step = End().Sub(g.now) / time.Duration(n)
	g.callers = rand.NewZipf(g.rnd, 1.1, 50, numbers-1)
	sum := 0.0
	for i := range Tenants {
		sum += math.Pow(float64(i+1), -0.8)
		g.shares = append(g.shares, sum)
		g.tenants = append(g.tenants, tenant{uuid: Tenant(i)})
	}
	first, last, tags := firstNames(), lastNames(), Tags()
	for i := range Users {
		t := &g.tenants[g.tenant()]
		if i < 2*Tenants { // nobody is alone
			t = &g.tenants[i%Tenants]
		}
		u := user{
			uuid: User(i), exten: fmt.Sprint(1000 + len(t.users)),
			name: first[g.rnd.IntN(len(first))] + " " + last[g.rnd.IntN(len(last))],
		}
		for range g.rnd.IntN(3) {
			u.tags = append(u.tags, tags[g.rnd.IntN(len(tags))])
		}
		t.users = append(t.users, u)
	}
	return g
}

func (g *Generator) tenant() int {
	x := g.rnd.Float64() * g.shares[Tenants-1]
	for i, s := range g.shares {
		if x < s {
			return i
		}
	}
	return Tenants - 1
}

// Next makes the next call and, for one in five, its recording.
func (g *Generator) Next() (cdr.CDR, *recorder.Recording) {
	g.n++
	g.now = g.now.Add(time.Duration(g.rnd.Float64() * 2 * float64(g.step)))
	start := g.now.Truncate(time.Microsecond)
	t := g.tenants[g.tenant()]
	a, b := t.users[g.rnd.IntN(len(t.users))], t.users[g.rnd.IntN(len(t.users))]
	id := fmt.Sprintf("%d.%d", start.Unix(), g.n)
	c := cdr.CDR{
		TenantUUID: t.uuid, Start: start, End: start.Add(time.Duration(5+g.rnd.IntN(600)) * time.Second),
		CallStatus: cdr.StatusUnknown, ConversationID: id, LinkedIDs: []string{id}, Uniqueids: []string{id},
		DestinationDetails: map[string]any{"type": "unknown"}, Source: cdr.SourceJournal,
		Journal: cdr.JournalRange{ID: 1, First: int64(g.n), Last: int64(g.n)},
	}
	g.parties(&c, a, b)
	switch x := g.rnd.Float64(); {
	case x < 0.75:
		c.CallStatus, c.Answer = cdr.StatusAnswered, start.Add(4*time.Second)
	case x < 0.8:
		c.CallStatus = cdr.StatusVoicemail
	case x < 0.82:
		c.CallStatus = cdr.StatusBlocked
	}
	if g.rnd.IntN(5) > 0 {
		return c, nil
	}
	return c, &recorder.Recording{
		UUID: fmt.Sprintf("20000000-0000-4000-8000-%012d", g.n), TenantUUID: t.uuid, Hook: id, HookName: "PJSIP/x-1",
		State: recorder.Ready, IntentAt: start, StartedAt: start.Add(4 * time.Second), EndedAt: c.End, Bytes: 44, Samples: 8000,
		Rate: 8000, Claims: []recorder.Claim{{Leg: id, UserUUID: a.uuid, Reason: dialplan.Reason("rule.out.internal"), At: start}},
	}
}

// parties lets a call b, or one of them somebody outside.
func (g *Generator) parties(c *cdr.CDR, a, b user) {
	who := g.callers.Uint64()
	outside := fmt.Sprintf("0%09d", 300_000_000+who*7919%600_000_000)
	switch x := g.rnd.Float64(); {
	case x < 0.4:
		c.CallDirection = cdr.DirectionInternal
		source(c, a)
		destination(c, b)
	case x < 0.75:
		c.CallDirection = cdr.DirectionInbound
		c.SourceExtension = outside
		if who%3 == 0 {
			c.SourceName = "Firma " + outside[4:8]
		}
		destination(c, b)
	default:
		c.CallDirection = cdr.DirectionOutbound
		source(c, a)
		c.RequestedExtension, c.DestinationExtension = outside, outside
	}
}

func source(c *cdr.CDR, u user) {
	c.SourceName, c.SourceInternalName, c.SourceExtension, c.SourceInternalExtension = u.name, u.name, u.exten, u.exten
	c.SourceInternalContext, c.SourceUserUUID, c.SourceLineID = "default", u.uuid, 1
	c.Participants = append(c.Participants, cdr.Participant{UserUUID: u.uuid, Role: "source", Tags: u.tags})
}

func destination(c *cdr.CDR, u user) {
	c.DestinationName, c.DestinationExtension, c.DestinationInternalExtension = u.name, u.exten, u.exten
	c.DestinationInternalContext, c.DestinationUserUUID, c.DestinationLineID = "default", u.uuid, 1
	c.RequestedName, c.RequestedExtension, c.RequestedInternalExtension = u.name, u.exten, u.exten
	c.RequestedInternalContext, c.RequestedUserUUID = "default", u.uuid
	c.Participants = append(c.Participants, cdr.Participant{UserUUID: u.uuid, Role: "destination", Tags: u.tags, Requested: true})
}

// Fill stores n calls and tells now and then how many there are. What is there
// already of an earlier attempt stays.
func Fill(ctx context.Context, s *store.Store, n int, told func(done int)) error {
	g := NewGenerator(n)
	all, err := s.ListCDRs(ctx, store.Filter{Tenants: AllTenants(), Blocked: true, Limit: 1})
	if err != nil {
		return fmt.Errorf("generate calls: %w", err)
	}
	for range all.Total {
		g.Next()
	}
	for done := all.Total; done < n; {
		var cdrs []cdr.CDR
		var recordings []recorder.Recording
		for range min(batch, n-done) {
			c, r := g.Next()
			cdrs = append(cdrs, c)
			if r != nil {
				recordings = append(recordings, *r)
			}
		}
		if err := fill(ctx, s, cdrs, recordings); err != nil {
			return fmt.Errorf("generate calls: %w", err)
		}
		if done += len(cdrs); done%(4*batch) == 0 {
			told(done)
		}
	}
	return nil
}

func fill(ctx context.Context, s *store.Store, cdrs []cdr.CDR, recordings []recorder.Recording) error {
	return s.Write(ctx, store.Bulk, func(t *store.Tx) error {
		for _, r := range recordings { // first, as in life
			if err := t.InsertGenerated(r); err != nil {
				return err
			}
		}
		_, err := t.SaveManyCDRs(cdrs)
		return err
	})
}
