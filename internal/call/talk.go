package call

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// settle compares the connected components around the touched channels with
// the talks that had to do with them. It looks at nothing else, so an event
// costs what its call is big, not what the PBX is busy.
func (m *Model) settle(at time.Time, touched map[string]bool) []Change {
	if len(touched) == 0 {
		return nil
	}
	groups := m.components(touched)
	var out []Change
	taken := make(map[int]TalkID) // index of a component: the talk it went to
	for _, t := range m.affected(touched, groups) {
		for id := range t.legs {
			if _, alive := m.channels[id]; !alive {
				delete(t.legs, id)
				delete(m.byLeg, id)
			}
		}
		best := m.bestGroup(t, groups, taken)
		if best >= 0 {
			taken[best] = t.id
			out = append(out, m.continueTalk(t, groups[best], at)...)
			continue
		}
		out = append(out, m.loseTalk(t, groups, taken, at)...)
	}
	for i, g := range groups {
		if _, ok := taken[i]; !ok && len(g) >= 2 {
			out = append(out, m.begin(g, at))
		}
	}
	return out
}

// components returns the sets of connected real legs in state Up around the
// touched channels, each sorted, in a reproducible order.
func (m *Model) components(touched map[string]bool) [][]string {
	seen := make(map[string]bool)
	var out [][]string
	for _, start := range slices.Sorted(maps.Keys(touched)) {
		if _, alive := m.channels[start]; !alive || seen[start] {
			continue
		}
		var legs []string
		queue := []string{start}
		seen[start] = true
		for len(queue) > 0 {
			id := queue[0]
			queue = queue[1:]
			c := m.channels[id]
			if c.Up && m.Real(c.Name) {
				legs = append(legs, id)
			}
			for _, n := range m.neighbours(c) {
				if !seen[n] {
					seen[n] = true
					queue = append(queue, n)
				}
			}
		}
		slices.Sort(legs)
		out = append(out, legs)
	}
	return out
}

// neighbours are the channels that c is joined to: those in its mixing bridge
// and the other half of a Local pair (design 2.3).
func (m *Model) neighbours(c *channel) []string {
	var out []string
	if br := m.bridges[c.bridge]; br != nil && br.Kind == Mixing {
		for id := range br.members {
			if _, alive := m.channels[id]; alive && id != c.ID {
				out = append(out, id)
			}
		}
	}
	if other, ok := m.otherHalf(c); ok {
		if _, alive := m.channels[other]; alive {
			out = append(out, other)
		}
	}
	return out
}

// affected returns the talks of all legs concerned, the oldest first: where
// two talks claim the same legs the older one keeps its identity.
func (m *Model) affected(touched map[string]bool, groups [][]string) []*talk {
	ids := make(map[TalkID]bool)
	note := func(leg string) {
		if t, ok := m.byLeg[leg]; ok {
			ids[t] = true
		}
	}
	for leg := range touched {
		note(leg)
	}
	for _, g := range groups {
		for _, leg := range g {
			note(leg)
		}
	}
	var out []*talk
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		out = append(out, m.talks[id])
	}
	return out
}

// bestGroup returns the index of the free component of two or more legs that
// shares the most legs with the talk, or -1.
func (m *Model) bestGroup(t *talk, groups [][]string, taken map[int]TalkID) int {
	best, most := -1, 0
	for i, g := range groups {
		if _, gone := taken[i]; gone || len(g) < 2 {
			continue
		}
		if n := shared(t, g); n > most {
			best, most = i, n
		}
	}
	return best
}

func shared(t *talk, group []string) int {
	n := 0
	for _, leg := range group {
		if _, ok := t.legs[leg]; ok {
			n++
		}
	}
	return n
}

func (m *Model) begin(group []string, at time.Time) Change {
	m.last++
	t := &talk{id: m.last, legs: make(map[string]time.Time)}
	m.talks[t.id] = t
	for _, leg := range group {
		t.legs[leg] = at
		m.byLeg[leg] = t.id
	}
	return m.change(Began, t, at)
}

// continueTalk gives the talk the legs of a component.
func (m *Model) continueTalk(t *talk, group []string, at time.Time) []Change {
	same := len(group) == len(t.legs) && shared(t, group) == len(group)
	resumed := !t.suspended.IsZero()
	renamed := t.renamed
	t.suspended, t.renamed = time.Time{}, false
	delete(m.suspended, t.id)
	if !same {
		for leg := range t.legs {
			if !slices.Contains(group, leg) {
				delete(t.legs, leg)
				delete(m.byLeg, leg)
			}
		}
		for _, leg := range group {
			if _, ok := t.legs[leg]; !ok {
				t.legs[leg] = at
			}
			m.byLeg[leg] = t.id
		}
	}
	switch {
	case !same || renamed:
		return []Change{m.change(Changed, t, at)}
	case resumed:
		return []Change{m.change(Resumed, t, at)}
	}
	return nil
}

// loseTalk is for a talk that found no component of its own.
func (m *Model) loseTalk(t *talk, groups [][]string, taken map[int]TalkID, at time.Time) []Change {
	for i, g := range groups {
		if winner, ok := taken[i]; ok && shared(t, g) > 0 {
			// The winner has the shared legs already.
			return []Change{m.finish(t, at, winner)}
		}
	}
	if len(t.legs) == 0 {
		return []Change{m.finish(t, at, 0)}
	}
	if !t.suspended.IsZero() {
		return nil
	}
	t.suspended = at
	m.suspended[t.id] = t
	return []Change{m.change(Suspended, t, at)}
}

func (m *Model) finish(t *talk, at time.Time, winner TalkID) Change {
	c := m.change(Ended, t, at)
	c.MergedInto = winner
	for leg := range t.legs {
		if m.byLeg[leg] == t.id {
			delete(m.byLeg, leg)
		}
	}
	delete(m.talks, t.id)
	delete(m.suspended, t.id)
	return c
}

// change describes the talk as it is now.
func (m *Model) change(kind ChangeKind, t *talk, at time.Time) Change {
	return Change{At: at, Kind: kind, Talk: t.id, Legs: m.legs(t)}
}

// legs are those of the talk whose channels are alive, callers first, then in
// the order in which they joined.
func (m *Model) legs(t *talk) []Leg {
	out := make([]Leg, 0, len(t.legs))
	for id, joined := range t.legs {
		if c, alive := m.channels[id]; alive {
			out = append(out, c.leg(joined))
		}
	}
	slices.SortFunc(out, func(a, b Leg) int {
		return cmp.Or(cmp.Compare(a.Role, b.Role), a.Joined.Compare(b.Joined), cmp.Compare(a.ID, b.ID))
	})
	return out
}

// Talks returns all talks, in the order in which they began.
func (m *Model) Talks() []Talk {
	out := make([]Talk, 0, len(m.talks))
	for _, id := range slices.Sorted(maps.Keys(m.talks)) {
		t := m.talks[id]
		out = append(out, Talk{ID: id, Legs: m.legs(t), Suspended: !t.suspended.IsZero()})
	}
	return out
}

// Advance ends the talks whose grace time ran out at or before now.
func (m *Model) Advance(now time.Time) []Change {
	var due []*talk
	for _, t := range m.suspended {
		if !t.suspended.Add(Grace).After(now) {
			due = append(due, t)
		}
	}
	slices.SortFunc(due, func(a, b *talk) int {
		return cmp.Or(a.suspended.Compare(b.suspended), cmp.Compare(a.id, b.id))
	})
	var out []Change
	for _, t := range due {
		out = append(out, m.finish(t, t.suspended.Add(Grace), 0))
	}
	return out
}

// NextDeadline returns when Advance has something to do, or the zero time.
func (m *Model) NextDeadline() time.Time {
	var next time.Time
	for _, t := range m.suspended {
		if end := t.suspended.Add(Grace); next.IsZero() || end.Before(next) {
			next = end
		}
	}
	return next
}
