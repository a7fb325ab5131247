package recorder

import (
	"maps"
	"slices"
	"time"

	"callrecordd/internal/call"
)

// LegState is what a new daemon cannot learn from Asterisk about a leg: who
// dialled whom, and what its party has asked for (design 8). It is stored with
// the event of whatever changed it, and lives as long as the channel.
type LegState struct {
	Leg, Name string    // uniqueid and name of the channel
	Boot      time.Time // start of the Asterisk that has it
	At        time.Time // when this was so
	New       bool      // nothing of it was told to the store before
	Gone      bool      // the channel is no more, and neither is its state
	Role      call.Role
	Via       []call.Hop
	Claim     Claim // by *3 or API; without a leg there is none
	// Talking says that it is in a talk. Stopped, Misled and, then, Pause are
	// of that talk.
	Talking bool
	Stopped bool  // a stop has ended the claim of its rule
	Pause   Pause // Owner, Actor and From; without From there is none
	Misled  bool  // the owner of the pause has heard an error for it
	Told    bool  // its party has been told that it is recorded
}

// says compares all but the time.
func (s LegState) says(o LegState) bool {
	return s.Name == o.Name && s.Boot.Equal(o.Boot) && s.Role == o.Role && slices.Equal(s.Via, o.Via) &&
		s.Claim == o.Claim && s.Talking == o.Talking && s.Stopped == o.Stopped && s.Misled == o.Misled && s.Told == o.Told &&
		s.Pause.Owner == o.Pause.Owner && s.Pause.Actor == o.Pause.Actor && s.Pause.From.Equal(o.Pause.From)
}

// memory is what is known of legs beyond their talks.
type memory struct {
	stored  map[string]LegState // as it was last told to the store
	touched map[string]bool     // may differ from it; true: the channel is gone
	// found are the states from before a restart of ours, of legs whose talk
	// has not been told again yet. Who is in none by then has left it.
	found map[string]LegState
	by    time.Time
}

func newMemory() memory {
	return memory{stored: map[string]LegState{}, touched: map[string]bool{}, found: map[string]LegState{}}
}

// touch has the leg's state compared with what is stored of it.
func (m *Machine) touch(leg string) {
	if _, noted := m.memory.touched[leg]; !noted {
		m.memory.touched[leg] = false
	}
}

func (m *Machine) touchTalk(t *talk) {
	for _, l := range t.legs {
		m.touch(l.ID)
	}
}

// keep stores the states that have changed.
func (m *Machine) keep() {
	k := &m.memory
	var list []LegState
	for _, leg := range slices.Sorted(maps.Keys(k.touched)) {
		old, stored := k.stored[leg]
		s, some := m.legState(leg)
		switch {
		case k.touched[leg] || !some:
			if !stored {
				continue
			}
			delete(k.stored, leg)
			s = LegState{Leg: leg, Boot: old.Boot, Gone: true}
		case stored && s.says(old):
			continue
		default:
			k.stored[leg], s.New = s, !stored
		}
		s.At = m.now
		list = append(list, s)
	}
	clear(k.touched)
	if len(list) > 0 {
		m.emit(Legs{list})
	}
}

// legState is a leg's state now, false if there is nothing to be stored. Role
// and via of a leg between two talks are those it had.
func (m *Machine) legState(leg string) (LegState, bool) {
	s, stored := m.memory.stored[leg]
	some := stored
	s.Leg, s.Boot, s.At = leg, m.cfg.Boot, m.now
	s.Claim, s.Told = m.held[leg], m.told[leg]
	if f, waits := m.memory.found[leg]; waits {
		f.Leg, f.Boot, f.At, f.Claim, f.Told = leg, s.Boot, s.At, s.Claim, s.Told
		return f, true
	}
	s.Talking, s.Stopped, s.Pause, s.Misled = false, false, m.pausedLegs[leg], false
	t := m.talkOf(leg)
	if of := m.talksOf(leg); t == nil && stored && len(of) > 0 {
		t = of[0] // it is hanging up, and lives until it is told as gone
	}
	if t != nil {
		l := t.legs[slices.IndexFunc(t.legs, func(l call.Leg) bool { return l.ID == leg })]
		s.Name, s.Role, s.Via, s.Talking = l.Name, l.Role, l.Via, true
		s.Stopped, s.Pause, s.Misled = t.stops[leg], t.pause, t.misled
		some = true
	}
	s.Pause = Pause{Owner: s.Pause.Owner, Actor: s.Pause.Actor, From: s.Pause.From}
	return s, some || s.Told || s.Claim.Leg != "" || !s.Pause.From.IsZero()
}

// Recall takes up the states that are stored. It is for a new machine, before
// its first Reconcile, which drops those of channels that have ended.
func (m *Machine) Recall(legs []LegState) {
	for _, s := range legs {
		m.memory.stored[s.Leg] = s
		if s.Boot.Equal(m.cfg.Boot) {
			m.memory.found[s.Leg] = s
			if s.Told {
				m.told[s.Leg] = true
			}
		}
	}
}

// recollect takes up what Recall has been told of those who still live. The
// talks are told at once; who is between two bridges has as long as any leg.
func (m *Machine) recollect(now time.Time, channels []Channel) {
	k := &m.memory
	alive := make(map[string]bool, len(channels))
	for _, c := range channels {
		alive[c.ID] = true
	}
	for leg, s := range k.found {
		switch {
		case !alive[leg]:
			delete(k.found, leg)
			continue
		case s.Claim.Leg != "":
			m.held[leg] = s.Claim
		}
		if !s.Talking {
			delete(k.found, leg)
			if !s.Pause.From.IsZero() {
				m.pausedLegs[leg] = s.Pause
			}
		}
	}
	for leg := range k.stored {
		if !alive[leg] {
			k.touched[leg] = true
		}
	}
	if len(k.found) > 0 {
		k.by = now.Add(call.Grace)
	}
}

// recallTalk gives a talk that is told again what its legs have brought along. A
// pause is taken from any of them, rather once too often. A stop is only if all
// were talking: otherwise one has come meanwhile, and this is another talk.
func (m *Machine) recallTalk(t *talk) {
	t.again = !slices.ContainsFunc(t.legs, func(l call.Leg) bool {
		_, ok := m.memory.found[l.ID]
		return !ok
	})
	for _, l := range t.legs {
		s := m.memory.found[l.ID]
		delete(m.memory.found, l.ID)
		if s.Stopped && t.again {
			t.stops[l.ID] = true
		}
		if !s.Pause.From.IsZero() && !t.paused() {
			t.pause, t.misled = s.Pause, s.Misled
		}
	}
}

// forgetTalks is the end of the time in which talks are told again: of a talk
// that is no more only what outlives it remains, as in endTalk.
func (m *Machine) forgetTalks() {
	k := &m.memory
	for leg, s := range k.found {
		if _, held := m.held[leg]; held && s.Pause.Owner == leg && !s.Pause.From.IsZero() {
			m.pausedLegs[leg] = s.Pause
		}
		m.touch(leg)
	}
	clear(k.found)
	k.by = time.Time{}
}

// forgetAll: every channel is gone.
func (m *Machine) forgetAll() {
	for leg := range m.memory.stored {
		m.memory.touched[leg] = true
	}
	clear(m.memory.found)
	m.memory.by = time.Time{}
}
