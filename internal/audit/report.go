package audit

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Sum is what an audit found, of one tenant or of all.
type Sum struct {
	Tenant string        `json:"tenant_uuid,omitempty"`
	Name   string        `json:"tenant,omitempty"`
	Calls  int           `json:"calls"`
	By     map[Class]int `json:"by_class"`
	// RequiredSeconds had to be in files, LackingSeconds of them are not,
	// DeletedSeconds were and have been removed by somebody who may.
	RequiredSeconds float64 `json:"required_seconds"`
	LackingSeconds  float64 `json:"lacking_seconds"`
	DeletedSeconds  float64 `json:"deleted_seconds"`
	// Coverage is in per cent of what had to be, 100 if nothing had to.
	Coverage float64 `json:"coverage_percent"`
	// Bad is how many calls somebody should know of.
	Bad int `json:"bad"`
}

// Add counts a call.
func (s *Sum) Add(v Verdict) {
	if s.By == nil {
		s.By = map[Class]int{}
	}
	s.Calls++
	s.By[v.Class]++
	s.RequiredSeconds += v.RequiredSeconds
	s.LackingSeconds += v.LackingSeconds
	for _, f := range v.Findings {
		if f.Class == Deleted {
			s.DeletedSeconds += f.Seconds
		}
	}
	if v.Class.Bad() {
		s.Bad++
	}
	s.rate()
}

// Merge adds another part.
func (s *Sum) Merge(o Sum) {
	if s.By == nil {
		s.By = map[Class]int{}
	}
	for c, n := range o.By {
		s.By[c] += n
	}
	s.Calls, s.Bad = s.Calls+o.Calls, s.Bad+o.Bad
	s.RequiredSeconds += o.RequiredSeconds
	s.LackingSeconds += o.LackingSeconds
	s.DeletedSeconds += o.DeletedSeconds
	s.rate()
}

func (s *Sum) rate() {
	s.Coverage = 100
	if whole := max(s.RequiredSeconds, s.LackingSeconds); whole > 0 {
		s.Coverage = 100 * (1 - s.LackingSeconds/whole)
	}
}

// Sums are those of tenants.
type Sums []Sum

// Add counts a call with its tenant.
func (l *Sums) Add(v Verdict) { l.of(v.Tenant).Add(v) }

// Merge adds the sums of another part.
func (l *Sums) Merge(o Sums) {
	for _, s := range o {
		mine := l.of(s.Tenant)
		mine.Name = cmp.Or(mine.Name, s.Name)
		mine.Merge(s)
	}
}

func (l *Sums) of(tenant string) *Sum {
	i, found := slices.BinarySearchFunc(*l, tenant, func(s Sum, t string) int { return strings.Compare(s.Tenant, t) })
	if !found {
		*l = slices.Insert(*l, i, Sum{Tenant: tenant, By: map[Class]int{}, Coverage: 100})
	}
	return &(*l)[i]
}

// Whole is the sum of all tenants.
func (l Sums) Whole() Sum {
	out := Sum{By: map[Class]int{}, Coverage: 100}
	for _, s := range l {
		out.Merge(s)
	}
	return out
}

// Report is an audit of a period, to be shown.
type Report struct {
	Since, Until, Made time.Time
	Tenants            Sums
	Outages            []Outage
	// Calls are those that somebody should know of and those that were removed, as
	// many as are kept; Left is how many more there are.
	Calls []Verdict
	Left  int
}

// Keep is how many calls a report lists at most.
const Keep = 5000

// Put counts a call and lists it if it is worth that.
func (r *Report) Put(v Verdict) {
	if !v.Class.Bad() && v.Class != Deleted {
		return
	}
	if len(r.Calls) >= Keep {
		r.Left++
		return
	}
	r.Calls = append(r.Calls, v)
}
