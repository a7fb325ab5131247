package audit

import (
	"slices"
	"time"

	"callrecordd/internal/recorder"
)

// extra looks for audio that nobody had asked for.
func (j *judging) extra(c cover, list []Need) {
	if permitted(c.Recording.Recording) || c.altered {
		return
	}
	tol := j.world.Tolerances
	var allowed []stretch
	for _, n := range list {
		to := n.To.Add(tol.Extra)
		if n.EndUnknown {
			to = later(to, c.clock.to.Add(time.Hour))
		}
		allowed = append(allowed, stretch{n.From.Add(-tol.edge(n.stretch().length())), to})
	}
	over := without(c.parts, joined(allowed))
	if total(over) <= tol.Edge {
		return
	}
	f := Finding{Class: Unexpected, From: over[0].from, To: over[len(over)-1].to, Seconds: total(over).Seconds(), Cause: CauseNoRule, Recording: c.UUID}
	if o, ok := j.outage(f.From, f.To, []OutageKind{DaemonDown, EventsGone, ManagerGone, StorageGone}); ok && len(list) > 0 {
		f.Cause, f.Event = string(o.Kind), o.Event
	}
	j.add(f, &c)
}

// heard looks for sound in what was to be silent.
func (j *judging) heard(c cover) {
	for _, p := range c.Pauses {
		if p.Silence == recorder.NotSilent && len(c.parts) > 0 {
			j.add(Finding{
				Class: Unexpected, From: p.From, To: p.To, Seconds: p.To.Sub(p.From).Seconds(), Cause: CausePauseHeard, Recording: c.UUID,
			}, &c)
		}
	}
}

// alteration tells of a file that is another one, also if all of its time is there.
func (j *judging) alteration(c cover) {
	if !c.altered || slices.ContainsFunc(j.verdict.Findings, func(f Finding) bool { return f.Recording == c.UUID && f.Class == Corrupt }) {
		return
	}
	j.add(Finding{Class: Corrupt, From: c.clock.from, To: c.clock.to, Cause: CauseAltered, Recording: c.UUID}, &c)
}
