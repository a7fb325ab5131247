package retention

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// batch is how many candidates are looked at together.
const batch = 100

// Purger removes what is too old.
type Purger struct {
	Repo     Repo
	Remover  *Remover
	Defaults Days
	Tenants  func() []string
	// Exports removes the exports of a tenant that were requested before the
	// time, or only counts them.
	Exports func(ctx context.Context, tenant string, before time.Time, dry bool) (int, error)
	Now     func() time.Time
	Log     *slog.Logger
}

// MaxDays is the longest time to keep things that a policy may name.
const MaxDays = 1_000_000

// Actor is who removes what is too old, in events.
const Actor = "retention"

// TenantReport is what a run removed, or a dry run would remove.
type TenantReport struct {
	TenantUUID string `json:"tenant_uuid"`
	Recordings int    `json:"recordings"`
	Bytes      int64  `json:"bytes"`
	CDRs       int    `json:"cdrs"`
	Exports    int    `json:"exports"`
	// Held are recordings and CDRs that a legal hold has kept, Failed those
	// that could not be removed; the log tells why.
	Held   int `json:"held"`
	Failed int `json:"failed"`
}

// Run removes what is older than its tenant keeps it: media, then CDRs with
// theirs, then exports (cdr-api 8.5). It works in small batches, and may be
// stopped and run again at any time. With dry nothing is changed.
func (p *Purger) Run(ctx context.Context, dry bool) ([]TenantReport, error) {
	var out []TenantReport
	for _, tenant := range p.Tenants() {
		policy, err := p.Repo.Policy(ctx, tenant)
		if err != nil {
			return out, fmt.Errorf("purge tenant %s: %w", tenant, err)
		}
		run := run{Purger: p, ctx: ctx, dry: dry, days: policy.Or(p.Defaults), report: TenantReport{TenantUUID: tenant}}
		err = run.tenant()
		out = append(out, run.report)
		if err != nil {
			return out, fmt.Errorf("purge tenant %s: %w", tenant, err)
		}
	}
	return out, nil
}

// Bound is before which moment CDRs and recordings began that the next run
// removes; the zero time if they are kept for ever.
type Bound struct{ CDR, Recording time.Time }

// Bounds are those of the tenants, and that of the defaults for "".
type Bounds map[string]Bound

// Of returns that of a tenant, which may be new.
func (b Bounds) Of(tenant string) Bound {
	if at, ok := b[tenant]; ok {
		return at
	}
	return b[""]
}

// Bounds returns what the next run would remove, were it now.
func (p *Purger) Bounds(ctx context.Context) (Bounds, error) {
	of := func(d Days) Bound { return Bound{p.before(d.CDR), p.before(d.Recording)} }
	out := Bounds{"": of(p.Defaults)}
	for _, tenant := range p.Tenants() {
		policy, err := p.Repo.Policy(ctx, tenant)
		if err != nil {
			return nil, fmt.Errorf("read how long tenant %s keeps its calls: %w", tenant, err)
		}
		out[tenant] = of(policy.Or(p.Defaults))
	}
	return out, nil
}

// run is the purge of one tenant. It carries its context because it lives
// exactly as long as one call of Run.
type run struct {
	*Purger
	ctx    context.Context
	dry    bool
	days   Days
	report TenantReport
	// mediaBefore is the bound of recordings, zero if they are kept.
	mediaBefore time.Time
}

// before is the moment that many days ago, zero for 0 days, which is never.
func (p *Purger) before(days int) time.Time {
	if days == 0 {
		return time.Time{}
	}
	return p.Now().AddDate(0, 0, -min(days, MaxDays))
}

func (r *run) tenant() error {
	if r.mediaBefore = r.before(r.days.Recording); !r.mediaBefore.IsZero() {
		if err := r.recordings(); err != nil {
			return err
		}
	}
	if before := r.before(r.days.CDR); !before.IsZero() {
		if err := r.cdrs(before); err != nil {
			return err
		}
	}
	if before := r.before(r.days.Export); !before.IsZero() {
		n, err := r.Exports(r.ctx, r.report.TenantUUID, before, r.dry)
		r.report.Exports = n
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *run) recordings() error {
	var at Place
	for {
		due, err := r.Repo.DueRecordings(r.ctx, r.report.TenantUUID, r.mediaBefore, at, batch)
		if err != nil || len(due) == 0 {
			return err
		}
		at = due[len(due)-1].Next
		if _, err := r.media(due); err != nil {
			return err
		}
	}
}

// media removes files and returns the recordings that still have theirs.
func (r *run) media(due []DueRecording) (kept map[string]bool, err error) {
	kept = map[string]bool{}
	bytes := map[string]int64{}
	var uuids []string
	for _, rec := range due {
		if rec.Held {
			r.report.Held++
			kept[rec.UUID] = true
			continue
		}
		uuids = append(uuids, rec.UUID)
		bytes[rec.UUID] = rec.Bytes
	}
	outcome := func(uuid string, err error) {
		var held *HeldError
		switch {
		case err == nil:
			r.report.Recordings++
			r.report.Bytes += bytes[uuid]
			return
		case errors.As(err, &held): // since it was found
			r.report.Held++
		default:
			r.report.Failed++
			r.Log.Warn("a recording that is too old stays", "recording_uuid", uuid, "err", err)
		}
		kept[uuid] = true
	}
	if r.dry {
		for _, uuid := range uuids {
			outcome(uuid, nil)
		}
		return kept, nil
	}
	return kept, r.Remover.Remove(r.ctx, uuids, Actor, WhyRetention, outcome)
}

func (r *run) cdrs(before time.Time) error {
	var at Place
	for {
		due, err := r.Repo.DueCDRs(r.ctx, r.report.TenantUUID, before, at, batch)
		if err != nil || len(due) == 0 {
			return err
		}
		at = due[len(due)-1].Next
		if err := r.someCDRs(due); err != nil {
			return err
		}
	}
}

func (r *run) someCDRs(due []DueCDR) error {
	var media []DueRecording
	for _, c := range due {
		// A dry run has counted those already that are due by themselves.
		counted := r.dry && !r.mediaBefore.IsZero() && c.Next.At.Before(r.mediaBefore)
		if !c.Held && !counted {
			media = append(media, c.Media...)
		}
	}
	kept, err := r.media(media)
	if err != nil {
		return err
	}
	var ids []int64
	for _, c := range due {
		switch {
		case c.Held:
			r.report.Held++
		case !slices.ContainsFunc(c.Media, func(m DueRecording) bool { return kept[m.UUID] }):
			ids = append(ids, c.ID)
		}
	}
	n := len(ids)
	if !r.dry {
		if n, err = r.Repo.DeleteCDRs(r.ctx, ids, Actor); err != nil {
			return err
		}
	}
	r.report.CDRs += n
	return nil
}
