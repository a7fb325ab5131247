package audit

import (
	"slices"
	"time"
)

// stretch is a time from one moment to another.
type stretch struct{ from, to time.Time }

func (s stretch) length() time.Duration { return max(0, s.to.Sub(s.from)) }

// without returns what is left of list, which is in order, without cut.
func without(list, cut []stretch) []stretch {
	for _, c := range cut {
		if !c.from.Before(c.to) {
			continue
		}
		var rest []stretch
		for _, s := range list {
			if !c.from.Before(s.to) || !s.from.Before(c.to) {
				rest = append(rest, s)
				continue
			}
			if s.from.Before(c.from) {
				rest = append(rest, stretch{s.from, c.from})
			}
			if c.to.Before(s.to) {
				rest = append(rest, stretch{c.to, s.to})
			}
		}
		list = rest
	}
	return list
}

// within returns the parts of list that are in s.
func within(list []stretch, s stretch) (out []stretch) {
	for _, l := range list {
		if l.from.Before(s.from) {
			l.from = s.from
		}
		if l.to.After(s.to) {
			l.to = s.to
		}
		if l.from.Before(l.to) {
			out = append(out, l)
		}
	}
	return out
}

// joined sorts list and joins what touches.
func joined(list []stretch) []stretch {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b stretch) int { return a.from.Compare(b.from) })
	var out []stretch
	for _, s := range list {
		if n := len(out); n > 0 && !s.from.After(out[n-1].to) {
			if s.to.After(out[n-1].to) {
				out[n-1].to = s.to
			}
			continue
		}
		out = append(out, s)
	}
	return out
}

func total(list []stretch) (sum time.Duration) {
	for _, s := range list {
		sum += s.length()
	}
	return sum
}
