package audit

import (
	"slices"
	"time"

	"callrecordd/internal/recorder"
)

// shares says whether a recording is of the talk that a need is of.
func shares(c cover, n Need) bool {
	return slices.Contains(n.legs, c.Hook) || slices.ContainsFunc(c.Legs, func(l string) bool { return slices.Contains(n.legs, l) })
}

// need looks for a time that had to be in a file.
func (j *judging) need(n Need) {
	v, edge := j.verdict, j.world.Tolerances.edge(n.stretch().length())
	wanted := without([]stretch{n.stretch()}, j.pauses)
	v.RequiredSeconds += total(wanted).Seconds()
	left := wanted
	var mine []cover
	for _, c := range j.covers {
		if shares(c, n) {
			mine = append(mine, c)
			left = without(left, c.parts)
		}
	}
	covered := total(wanted) > total(left)
	small, large := time.Duration(0), time.Duration(0)
	for _, g := range left {
		if g.length() <= edge {
			small += g.length()
			continue
		}
		large += g.length()
		j.lack(n, g, mine, covered, edge)
	}
	if small > 4*edge {
		j.add(Finding{Class: Gap, From: n.From, To: n.To, Seconds: small.Seconds(), Cause: CauseFewFrames}, nil)
	}
	if large == 0 && covered {
		j.stalls(wanted, edge)
	}
}

// stalls finds files that have their length and may lack words all the same: what
// came while Asterisk stood still it has dropped, or not. Where a file is as much
// shorter that is known already.
func (j *judging) stalls(wanted []stretch, edge time.Duration) {
	for _, o := range j.world.Outages {
		if o.Kind != AsteriskStalled {
			continue
		}
		for _, s := range within(wanted, stretch{o.From, o.To}) {
			if s.length() > edge {
				j.add(Finding{Class: Unverifiable, From: s.from, To: s.to, Cause: string(AsteriskStalled), Event: o.Event}, nil)
			}
		}
	}
}

// lack classes a time that is in no file.
func (j *judging) lack(n Need, g stretch, mine []cover, covered bool, edge time.Duration) {
	rest := []stretch{g}
	for i := range mine {
		c := &mine[i]
		class, cause, lost := lostBy(c)
		if !lost {
			continue
		}
		for _, part := range within(rest, c.clock) {
			if part.length() > edge {
				j.add(Finding{Class: class, From: part.from, To: part.to, Seconds: part.length().Seconds(), Cause: cause, Recording: c.UUID}, c)
				rest = without(rest, []stretch{part})
				covered = covered || class == Deleted || class == Corrupt
			}
		}
	}
	for _, part := range rest {
		if part.length() > edge {
			j.position(n, part, mine, covered, edge)
		}
	}
}

// lostBy says what became of a file that had been there, or may be.
func lostBy(c *cover) (Class, string, bool) {
	f := c.File
	switch {
	case c.State == recorder.Deleted && c.Removed != nil:
		return Deleted, CauseRemoved, true
	case c.State == recorder.Deleted:
		return Missing, CauseFileGone, true
	case c.State.Open():
		return Unverifiable, CauseOpen, true
	case f.Unknown != "":
		return Unverifiable, CauseNotReadable, true
	case f.Broken != "":
		return Corrupt, recorder.CauseUnreadable, true
	case c.altered:
		return Corrupt, CauseAltered, true
	case !f.Exists && c.State != recorder.Missing:
		return Missing, CauseFileGone, true
	}
	return "", "", false
}

// position classes a time in which nobody recorded, by where in the talk it is.
func (j *judging) position(n Need, g stretch, mine []cover, covered bool, edge time.Duration) {
	f := Finding{From: g.from, To: g.to, Seconds: g.length().Seconds()}
	var near *cover // whose recorder ran then, or should have
	for i := range mine {
		c := &mine[i]
		if c.meant().Before(g.to.Add(edge)) && c.clock.to.After(g.from.Add(-edge)) && (near == nil || worse(c, near)) {
			near = c
		}
	}
	switch {
	case !covered && near != nil && near.File.Exists && near.File.Samples == 0:
		f.Class = Empty
	case !covered:
		f.Class = Missing
	case !g.from.After(n.From.Add(edge)) && !last(mine, g):
		f.Class = Late
	case near != nil && len(near.parts) > 0 && (near.State == recorder.Ready || near.Cause == recorder.CauseHeaderLost) && near.clock.to.After(g.to.Add(-edge)):
		// The recorder ran to the end and wrote less: nobody can say where it lacks.
		f.Class, f.Cause = Gap, CauseFewFrames
		if o, ok := j.outage(near.clock.from, near.clock.to, []OutageKind{StorageGone}); ok {
			f.Cause, f.Event = string(o.Kind), o.Event
		}
	case !g.to.Before(n.To.Add(-edge)):
		f.Class = Short
	default:
		f.Class = Gap
	}
	if near != nil {
		f.Recording = near.UUID
	}
	j.because(&f, near, mine, edge)
	j.add(f, near)
}

// last says whether there is audio before a time and none after it: then it is the
// end that is missing, however little there is.
func last(mine []cover, g stretch) bool {
	before, after := false, false
	for _, c := range mine {
		for _, p := range c.parts {
			before = before || !p.to.After(g.from.Add(time.Millisecond))
			after = after || !p.from.Before(g.to.Add(-time.Millisecond))
		}
	}
	return before && !after
}

// worse prefers the recording that has something to say.
func worse(a, b *cover) bool { return a.Cause != "" && b.Cause == "" }

// because finds out why nothing was recorded.
func (j *judging) because(f *Finding, near *cover, mine []cover, edge time.Duration) {
	if f.Cause != "" {
		return
	}
	if near != nil && near.Cause != "" {
		f.Cause = near.Cause
	}
	order := []OutageKind{AsteriskGone, StorageGone, Alarmed} // a recorder that runs needs nobody else
	if near == nil || len(near.parts) == 0 || f.Class == Late || slices.ContainsFunc(mine, func(c cover) bool {
		return c.clock.from.After(f.From) && c.clock.from.Before(f.To.Add(edge))
	}) {
		order = []OutageKind{DaemonDown, AsteriskGone, EventsGone, ManagerGone, StorageGone, Alarmed}
	}
	if f.Cause == "" || f.Cause == recorder.CauseDaemonDown || f.Cause == recorder.CauseNoManager ||
		f.Cause == recorder.CauseHeaderLost || recorder.Storage(f.Cause) {
		if o, ok := j.outage(f.From, f.To, order); ok {
			f.Event = o.Event
			if f.Cause == "" {
				f.Cause = string(o.Kind)
			}
		}
	}
	if f.Cause == recorder.CauseClosedEarly { // by an Asterisk that was ending
		if o, ok := j.outage(f.From, f.To.Add(edge), []OutageKind{AsteriskGone}); ok {
			f.Cause, f.Event = string(o.Kind), o.Event
		}
	}
	switch {
	case f.Cause != "":
	case near != nil && near.File.Samples == 0 && near.Silent:
		f.Cause = recorder.CauseSilent
	case f.Class == Late && near != nil && near.StartedAt.Sub(near.IntentAt) > j.world.Tolerances.Edge/2:
		f.Cause = CauseSlowStart
	case f.Class == Late && near != nil && near.Follows == "" && near.IntentAt.Sub(f.From) > edge/2:
		f.Cause = CauseSeenLate
	case len(mine) == 0:
		f.Cause = CauseNotStarted
	default:
		f.Cause = CauseReplaced
	}
}

// outage is one of the time, of the first kind of order that there is.
func (j *judging) outage(from, to time.Time, order []OutageKind) (Outage, bool) {
	for _, kind := range order {
		for _, o := range j.world.Outages {
			if o.Kind == kind && o.overlaps(from.Add(-clocks), to) {
				return o, true
			}
		}
	}
	return Outage{}, false
}
