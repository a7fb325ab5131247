package alarm

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// Alarm is one that is up.
type Alarm struct {
	Kind     Kind     `json:"kind"`
	Severity Severity `json:"severity"`
	// Subject is what it is about: a folder, or the uuid of the newest recording.
	Subject string `json:"subject,omitempty"`
	// Tenant is the uuid of whom it concerns, empty if that is everybody.
	Tenant string    `json:"tenant_uuid,omitempty"`
	Since  time.Time `json:"since"`
	Last   time.Time `json:"last"`  // when it was last found
	Count  int       `json:"count"` // how often since then; 1 for a state
	Detail string    `json:"detail"`
	Do     string    `json:"do"`
}

// Change is an alarm that was raised, or with Cleared is over.
type Change struct {
	Alarm
	Cleared bool `json:"cleared,omitempty"`
}

// Options are what New needs.
type Options struct {
	Now func() time.Time
	// Hold is how long what has happened stays up after the last time (1 h).
	Hold time.Duration
	// Tell is told each change, in order. It must not call the Board, nor wait.
	Tell func(Change)
}

// key tells alarms apart: states by what they are about, what happens by tenant.
type key struct {
	kind Kind
	of   string
}

// Board has the alarms that are up.
type Board struct {
	opt Options

	mu     sync.Mutex
	up     map[key]*Alarm
	wrong  map[key]time.Time // states that are wrong, and since when
	totals map[Kind]int64
}

// New returns a Board without alarms.
func New(o Options) *Board {
	o.Hold = cmp.Or(o.Hold, time.Hour)
	if o.Tell == nil {
		o.Tell = func(Change) {}
	}
	return &Board{opt: o, up: map[key]*Alarm{}, wrong: map[key]time.Time{}, totals: map[Kind]int64{}}
}

// Happened raises an alarm of something that has happened to a subject of a
// tenant. Each is told; those of one kind and tenant are one alarm that is up.
// A kind that does not exist is a mistake of the caller and is ignored.
func (b *Board) Happened(kind Kind, tenant, subject, detail string) {
	info, ok := Of(kind)
	if !ok {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.opt.Now()
	k := key{kind, tenant}
	a := b.up[k]
	if a == nil {
		a = &Alarm{Kind: kind, Severity: info.Severity, Tenant: tenant, Since: now, Do: info.Do}
		b.up[k] = a
	}
	a.Last, a.Subject, a.Detail = now, subject, detail
	a.Count++
	b.totals[kind]++
	b.opt.Tell(Change{Alarm: *a})
}

// State says how something is: an empty detail is that all is well. It is an
// alarm once it has been wrong for the patience of its kind, and told then, and
// when it is over; meanwhile the newest detail is kept.
func (b *Board) State(kind Kind, subject, detail string) {
	info, ok := Of(kind)
	if !ok {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.opt.Now()
	k := key{kind, subject}
	a := b.up[k]
	if detail == "" {
		delete(b.wrong, k)
		if a != nil {
			b.clear(k, now)
		}
		return
	}
	if a != nil {
		a.Last, a.Detail = now, detail
		return
	}
	since, known := b.wrong[k]
	if !known {
		since = now
		b.wrong[k] = now
	}
	if now.Sub(since) < info.Patience {
		return
	}
	a = &Alarm{
		Kind: kind, Severity: info.Severity, Subject: subject, Since: since, Last: now, Count: 1, Detail: detail, Do: info.Do,
	}
	b.up[k] = a
	b.totals[kind]++
	b.opt.Tell(Change{Alarm: *a})
}

// Expire clears what happened long ago. Call it now and then.
func (b *Board) Expire() {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.opt.Now()
	for k, a := range b.up {
		// A clock that was set back must not keep it for ever.
		if info, _ := Of(k.kind); !info.Lasts && now.Sub(a.Last).Abs() >= b.opt.Hold {
			b.clear(k, now)
		}
	}
}

// clear ends an alarm; b.mu is held.
func (b *Board) clear(k key, now time.Time) {
	a := *b.up[k]
	delete(b.up, k)
	a.Last = now
	b.opt.Tell(Change{Alarm: a, Cleared: true})
}

// Up are the alarms that are up: the critical ones first, then the oldest.
func (b *Board) Up() []Alarm {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]Alarm, 0, len(b.up))
	for _, a := range b.up {
		out = append(out, *a)
	}
	rank := func(a Alarm) int {
		if a.Severity == Critical {
			return 0
		}
		return 1
	}
	slices.SortFunc(out, func(a, b Alarm) int {
		return cmp.Or(rank(a)-rank(b), a.Since.Compare(b.Since), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Subject, b.Subject))
	})
	return out
}

// Totals are how often each kind was raised since the start; all kinds are in it.
func (b *Board) Totals() map[Kind]int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := map[Kind]int64{}
	for _, i := range Kinds() {
		out[i.Kind] = b.totals[i.Kind]
	}
	return out
}
