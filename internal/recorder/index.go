package recorder

import (
	"cmp"
	"slices"

	"callrecordd/internal/call"
)

// What is found by a leg: with thousands of calls no event may look at all.

// seat gives the talk its legs.
func (m *Machine) seat(t *talk, legs []call.Leg) {
	for _, l := range t.legs {
		ids := slices.DeleteFunc(m.seats[l.ID], func(id call.TalkID) bool { return id == t.id })
		if m.seats[l.ID] = ids; len(ids) == 0 {
			delete(m.seats, l.ID)
		}
	}
	t.legs = legs
	for _, l := range legs {
		ids := append(m.seats[l.ID], t.id)
		slices.Sort(ids)
		m.seats[l.ID] = ids
	}
}

// talksOf are the talks that name the leg, the oldest first. There are several
// while talks merge.
func (m *Machine) talksOf(leg string) []*talk {
	var out []*talk
	for _, id := range m.seats[leg] {
		out = append(out, m.talks[id])
	}
	return out
}

// talkOf is the talk that the leg is in.
func (m *Machine) talkOf(leg string) *talk {
	for _, id := range m.seats[leg] {
		if t := m.talks[id]; !t.gone[leg] {
			return t
		}
	}
	return nil
}

func (m *Machine) add(r *rec) {
	m.recs[r.UUID] = r
	m.hooks[r.Hook] = append(m.hooks[r.Hook], r)
}

func (m *Machine) drop(r *rec) {
	delete(m.recs, r.UUID)
	m.unhook(r)
}

func (m *Machine) unhook(r *rec) {
	list := slices.DeleteFunc(m.hooks[r.Hook], func(o *rec) bool { return o == r })
	if m.hooks[r.Hook] = list; len(list) == 0 {
		delete(m.hooks, r.Hook)
	}
}

// rehook: the recorder sits on another channel.
func (m *Machine) rehook(r *rec, leg string) {
	m.unhook(r)
	r.Hook = leg
	m.hooks[leg] = append(m.hooks[leg], r)
}

// hooked are the recordings whose hook is one of the legs, in the order of
// their uuids.
func (m *Machine) hooked(legs ...string) []*rec {
	var out []*rec
	for _, leg := range legs {
		out = append(out, m.hooks[leg]...)
	}
	slices.SortFunc(out, func(a, b *rec) int { return cmp.Compare(a.UUID, b.UUID) })
	return out
}

func (t *talk) ids() []string {
	out := make([]string, len(t.legs))
	for i, l := range t.legs {
		out[i] = l.ID
	}
	return out
}
