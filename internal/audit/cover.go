package audit

import (
	"slices"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/call"
	"callrecordd/internal/recorder"
)

// cover is what a recording's file holds, as time of day.
type cover struct {
	*Recording
	parts []stretch
	// clock is when its recorder ran, by the daemon's word.
	clock stretch
	// altered: the file is not the one that was recorded.
	altered bool
}

// begin is when the recorder began.
func begin(r recorder.Recording) time.Time {
	if r.StartedAt.IsZero() {
		return r.IntentAt
	}
	return r.StartedAt
}

// meant is when the recorder was to begin: Asterisk may have taken its time.
func (c cover) meant() time.Time {
	if c.IntentAt.IsZero() || c.IntentAt.After(c.clock.from) {
		return c.clock.from
	}
	return c.IntentAt
}

// covers places the audio of each recording on the clock: from its start on, for
// as long as there is audio. Of a recorder that was found running only the end
// may be known, and that only as far as talks tell it: who was away has found it
// later. Of a file that was begun on a full disk it is the end as well, unless
// Asterisk stood still since, and may have lost audio then. A pause that was cut out
// takes no audio. While a leg was on hold Asterisk may have written nothing, so
// audio that lacks is put there.
func covers(list []Recording, talks []call.TalkHistory, holds []stretch, stood func(stretch) bool) []cover {
	out := make([]cover, 0, len(list))
	for i := range list {
		r := &list[i]
		c := cover{Recording: r, clock: stretch{begin(r.Recording), r.EndedAt}}
		if r.EndedAt.IsZero() {
			c.clock.to = c.clock.from.Add(r.File.length())
		}
		c.altered = r.File.Reread && r.SHA256 != "" && r.File.SHA256 != r.SHA256
		if audio := r.File.length(); audio > 0 && r.File.Exists && r.File.Broken == "" && r.State != recorder.Deleted && !c.altered {
			c.parts = c.place(audio, talks, holds, stood)
		}
		out = append(out, c)
	}
	return out
}

func (c cover) place(audio time.Duration, talks []call.TalkHistory, holds []stretch, stood func(stretch) bool) []stretch {
	if c.StartedAt.IsZero() && !c.EndedAt.IsZero() {
		end := c.ended(talks)
		// Its row may be from before its start, or from when it was found.
		if c.IntentAt.Add(audio).After(end.Add(clocks)) {
			return []stretch{{end.Add(-audio), end}}
		}
	}
	if c.Cause == recorder.CauseHeaderLost && !c.EndedAt.IsZero() && !stood(c.clock) {
		if end := c.ended(talks); end.Sub(c.clock.from) > audio {
			return []stretch{{end.Add(-audio), end}} // what came before there was room lacks
		}
	}
	if lacks := c.clock.length() - audio; lacks > 0 {
		audio += min(lacks, total(within(holds, c.clock)))
	}
	var parts []stretch
	at := c.clock.from
	for _, p := range c.Pauses {
		if !p.Cut || p.To.IsZero() || !p.From.After(at) {
			continue
		}
		heard := min(audio, p.From.Sub(at))
		parts = append(parts, stretch{at, at.Add(heard)})
		if audio -= heard; audio <= 0 {
			return parts
		}
		at = p.To
	}
	return append(parts, stretch{at, at.Add(audio)})
}

// ended is when its audio ended: EndedAt may be from when it was found closed.
func (c cover) ended(talks []call.TalkHistory) time.Time {
	if end := c.talked(talks); !end.IsZero() && end.Before(c.EndedAt) {
		return end
	}
	return c.EndedAt
}

// talked is when the last talk of a recording ended, zero if that is not known.
func (c cover) talked(talks []call.TalkHistory) (end time.Time) {
	for _, t := range talks {
		for _, s := range t.Spans {
			if slices.ContainsFunc(s.Legs, func(l call.Leg) bool { return l.ID == c.Hook || slices.Contains(c.Legs, l.ID) }) {
				if t.EndUnknown {
					return time.Time{}
				}
				end = later(end, s.To)
			}
		}
	}
	return end
}

// pauses are the times in which nothing had to be recorded because somebody had
// asked for that: those of the recordings, and those that were asked for while
// no recorder ran.
func pauses(c Call, t told) []stretch {
	var out []stretch
	for _, r := range c.Recordings {
		for _, p := range r.Pauses {
			to := p.To
			if to.IsZero() {
				to = later(r.EndedAt, p.From)
			}
			out = append(out, stretch{p.From, to})
		}
	}
	var since time.Time
	for _, a := range t.asked {
		switch {
		case a.data.State == recorder.PartyPaused && since.IsZero():
			since = a.at
		case a.data.State != recorder.PartyPaused && !since.IsZero():
			out, since = append(out, stretch{since, a.at}), time.Time{}
		}
	}
	if !since.IsZero() {
		out = append(out, stretch{since, later(lastEnd(c), since)})
	}
	return joined(out)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// lastEnd is the last that is known of the call.
func lastEnd(c Call) time.Time {
	end := later(c.End, c.Start)
	for _, t := range c.Talks {
		end = later(end, t.Ended)
		for _, s := range t.Spans {
			end = later(end, s.To)
		}
	}
	for _, r := range c.Recordings {
		end = later(end, r.EndedAt)
	}
	return end
}

// onHold are the times in which a leg was.
func onHold(c Call, t told) []stretch {
	since := map[string]time.Time{}
	var out []stretch
	for _, h := range t.holds {
		from, on := since[h.leg]
		switch {
		case h.on && !on:
			since[h.leg] = h.at
		case !h.on && on:
			out = append(out, stretch{from, h.at})
			delete(since, h.leg)
		}
	}
	for _, from := range since {
		out = append(out, stretch{from, lastEnd(c)})
	}
	return joined(out)
}

// permitted recordings need no rule: Asterisk made them while the daemon was
// away, of somebody who must be recorded, or nobody knows any more who had
// wanted one that runs.
func permitted(r recorder.Recording) bool {
	return slices.ContainsFunc(r.Claims, func(c recorder.Claim) bool {
		return c.Reason == dialplan.SafetyNetMade || c.Reason == dialplan.Resync
	})
}
