package recorder

import (
	"maps"
	"slices"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/call"
)

// wish is a Request while it is being applied.
type wish struct {
	Request
	now     time.Time
	t       *talk
	reason  dialplan.Reason
	changed bool // something is other than before
	idle    bool // there is nothing to pause, resume or stop
	// released are the claims that a stop has ended.
	released []Claim
}

// Request applies a party's wish and says at once what became of it; files and
// tones follow as effects. The same wish twice is done twice, and the second
// time has no effects. A party that is in no talk or may not is refused: it is
// logged, and a user who pressed *3 hears beeperr. Presses of trunks are only
// logged (design 4).
func (m *Machine) Request(now time.Time, q Request) (Outcome, []Effect) {
	m.now = now
	w := &wish{Request: q, now: now, t: m.talkOf(q.Party.Leg)}
	if !q.Override {
		allowed, reason := dialplan.MayToggle(q.Party)
		if w.reason = reason; !allowed {
			if done, ok := m.startedAlready(w); ok {
				return done, nil
			}
			return m.refuse(w)
		}
	}
	if w.t == nil {
		w.reason = dialplan.NoneNoTalk
		if q.Conference {
			w.reason = dialplan.NoneConference
		}
		return m.refuse(w)
	}
	m.touchTalk(w.t)
	done := m.grant(w)
	if c, ok := w.t.claim(q.Party.Leg); ok && done {
		w.reason = c.Reason
	}
	if !done {
		return m.refuse(w)
	}
	if w.changed {
		m.logRequest(w, EventOnDemand)
	}
	m.chime(w.now, w.t)
	return Outcome{Done: true, Reason: w.reason, NotRecording: w.idle, State: m.PartyState(q.Party.Leg), Released: w.released}, m.take()
}

// startedAlready: whoever starts what its own rule records needs no permission,
// and gets nothing that a refusal would have kept from it (recording-rules 4.2).
func (m *Machine) startedAlready(w *wish) (Outcome, bool) {
	if w.Op != OpStart || w.t == nil {
		return Outcome{}, false
	}
	c, ok := w.t.claim(w.Party.Leg)
	return Outcome{Done: true, Reason: c.Reason, State: m.PartyState(w.Party.Leg)}, ok
}

// grant carries the wish out; false with a reason or with idle if it cannot.
func (m *Machine) grant(w *wish) bool {
	switch w.Op {
	case OpStart:
		m.claimFor(w)
		return true
	case OpStop:
		m.unclaim(w)
		return true
	case OpPause:
		return m.pauseTalk(w)
	case OpResume:
		return m.resumeTalk(w)
	case OpToggle:
		return m.toggle(w)
	}
	return false
}

// toggle is the cycle of *3 (design 6).
func (m *Machine) toggle(w *wish) bool {
	_, claimed := w.t.claim(w.Party.Leg)
	switch {
	case !claimed:
		m.claimFor(w)
		return true
	case m.cfg.ToggleStops:
		m.unclaim(w)
		return true
	case w.t.paused() && w.t.misled && w.t.pause.Owner == w.Party.Leg:
		// The pause holds, but sounded like a failure: this press is the same
		// wish again, and its beep must not mean the contrary.
		w.changed, w.t.misled, w.t.beep = true, false, true
		return true
	case w.t.paused():
		return m.resumeTalk(w)
	}
	return m.pauseTalk(w)
}

// claimFor adds a claim that belongs to the leg, and ends the leg's own pause.
// Another's pause stays, and nothing starts before it ends.
func (m *Machine) claimFor(w *wish) {
	leg := w.Party.Leg
	if w.t.paused() && w.t.pause.Owner == w.owner() {
		m.unpause(w)
	}
	if _, ok := m.held[leg]; ok && !w.t.stops[leg] {
		m.startAnew(w)
		return
	}
	delete(w.t.stops, leg)
	m.held[leg] = Claim{Leg: leg, UserUUID: w.Party.UserUUID, Reason: w.By, At: w.now}
	// A person asks anew: earlier failures do not count any more.
	w.t.attempt, w.t.blocked, w.t.firstAt = 0, false, time.Time{}
	w.beeps()
	m.reclaim(w)
}

// startAnew is for a party that has asked before, where every start has failed.
func (m *Machine) startAnew(w *wish) {
	t := w.t
	if !t.blocked {
		return
	}
	t.attempt, t.blocked, t.firstAt = 0, false, time.Time{}
	if m.ensure(w.now, t); t.current != "" {
		w.changed = true
		w.beeps()
	}
}

// owner is whose pause it would be: that of who overrides is an administrator's,
// which no party can end.
func (w *wish) owner() string {
	if w.Override {
		return ""
	}
	return w.Party.Leg
}

// beeps: a start is answered when it has worked.
func (w *wish) beeps() {
	if !w.t.beep && !w.t.paused() {
		w.t.beep, w.t.starter = true, w.Party.Leg
	}
}

// unclaim removes the leg's claims, or with Override or Reach everybody's. A rule does
// not bring them back while this talk lasts. The recording ends with the last
// one, and a pause with the recording.
func (m *Machine) unclaim(w *wish) {
	t := w.t
	if len(t.claims) == 0 {
		w.idle = true
		return
	}
	mine := []string{w.Party.Leg}
	if w.Override || w.Reach {
		mine = nil
		for _, l := range t.legs {
			mine = append(mine, l.ID)
		}
	}
	for _, leg := range mine {
		if c, ok := t.claim(leg); ok {
			w.reason, w.changed = c.Reason, true
			w.released = append(w.released, c)
			delete(m.held, leg)
			t.stops[leg] = true
		}
	}
	if !w.changed {
		return
	}
	m.reclaim(w)
	if len(t.claims) == 0 && t.current == "" { // else one is just merging in
		t.pause, t.beep, t.starter = Pause{}, true, ""
	}
}

// reclaim computes the talk's claims anew and does what follows.
func (m *Machine) reclaim(w *wish) {
	t := w.t
	w.changed = true
	old, uuid := t.claims, t.current
	t.claims = m.claims(w.now, t, dialplan.Decide(dialplan.Input{Parties: t.parties}))
	m.logClaims(w.now, t.legs[0].ID, uuid, old, t.claims)
	m.ensure(w.now, t)
}

func (m *Machine) pauseTalk(w *wish) bool {
	t := w.t
	switch {
	case t.paused():
		return true // it has one owner, the first
	case len(t.claims) == 0:
		w.idle = true
		return false
	}
	// Also if no recorder runs at this moment, because a start has failed or
	// its channel has left: the next one would be as bad as one that runs.
	w.changed = true
	t.pause = Pause{Owner: w.owner(), Actor: w.Actor, From: w.now}
	t.beep, t.misled, t.starter = true, false, ""
	if r := m.recs[t.current]; r != nil {
		m.pauseRec(w.now, t, r)
	}
	m.muteClosing(w.now, t)
	return true
}

func (m *Machine) resumeTalk(w *wish) bool {
	t := w.t
	switch {
	case len(t.claims) == 0:
		w.idle = true
		return false
	case !t.paused():
		return true
	case t.pause.Owner != w.Party.Leg && !w.Override && !w.Reach:
		w.reason = dialplan.RefusedPaused
		return false
	}
	m.unpause(w)
	return true
}

// unpause lets the recorder hear again, or starts the next one.
func (m *Machine) unpause(w *wish) {
	t := w.t
	w.changed = true
	t.pause, t.beep, t.misled, t.starter = Pause{}, true, false, ""
	t.attempt, t.blocked, t.firstAt = 0, false, time.Time{}
	if r := m.recs[t.current]; r != nil {
		m.resumeRec(w.now, r)
	}
	m.ensure(w.now, t)
}

// refuse logs a refused wish.
func (m *Machine) refuse(w *wish) (Outcome, []Effect) {
	m.logRequest(w, EventRefused)
	// In a conference it does nothing (design 4), nor where digits are pressed
	// for something else.
	elsewhere := w.t == nil && (w.Conference || m.cfg.Digits)
	if w.By == dialplan.OnDemand && w.Party.Kind == dialplan.KindUser && !elsewhere {
		m.tone(w.now, Tone{Legs: []string{w.Party.Leg}, Sound: BeepErr})
	}
	return Outcome{
		Reason: w.reason, NoTalk: w.t == nil, NotRecording: w.idle, State: m.PartyState(w.Party.Leg),
	}, m.take()
}

func (m *Machine) logRequest(w *wish, kind string) {
	ev := Event{At: w.now, Kind: kind, Call: w.Party.Leg, Actor: w.Actor}
	if w.t != nil {
		ev.Recording, ev.Call = w.t.current, w.t.legs[0].ID
	}
	ev.Data = RequestData{
		Leg: w.Party.Leg, Op: w.Op, By: w.By, Reason: w.reason,
		NoTalk: w.t == nil, Idle: w.idle, State: m.PartyState(w.Party.Leg), Party: &w.Party,
	}
	m.emit(Log{ev})
}

// TalkPause is the pause of the talk that a leg is in, also while no recorder
// runs there; false if it is not paused. Of its fields Owner, Actor and From
// are set.
func (m *Machine) TalkPause(leg string) (Pause, bool) {
	t := m.talkOf(leg)
	if t == nil || !t.paused() {
		return Pause{}, false
	}
	return Pause{Owner: t.pause.Owner, Actor: t.pause.Actor, From: t.pause.From}, true
}

// PartyState is the record_state of a leg's party: that of its own claim
// (design 6).
func (m *Machine) PartyState(leg string) PartyState {
	t := m.talkOf(leg)
	if t == nil {
		return Inactive
	}
	if _, ok := t.claim(leg); !ok {
		return Inactive
	}
	if t.paused() {
		return PartyPaused
	}
	return Active
}

// claim is the leg's, the one by *3 or API before that of a rule.
func (t *talk) claim(leg string) (Claim, bool) {
	var out Claim
	for _, c := range t.claims {
		if c.Leg == leg && (out.Leg == "" || !isRule(c.Reason)) {
			out = c
		}
	}
	return out, out.Leg != ""
}

// chime plays the beep or announcement that is due once it is true: after the recorder's start,
// mute or unmute has been answered, a millisecond after the press. Who hears
// that a recording is paused may read out a card number.
func (m *Machine) chime(now time.Time, t *talk) {
	if t == nil || !t.beep && (!t.due || t.suspended || t.paused() && len(t.claims) > 0) {
		return
	}
	r := m.recs[t.current]
	switch {
	case len(t.claims) == 0:
		if m.lingering(t) {
			return // who hears that nothing is recorded any more may rely on it
		}
	case t.paused():
		if m.outOfReach(t) {
			m.mislead(now, t)
			return
		}
		if r != nil && !r.hushed() || m.leaks(t) {
			return
		}
	case r == nil || !r.hears():
		return
	}
	var legs []string
	for _, l := range t.legs {
		if !t.gone[l.ID] {
			legs = append(legs, l.ID)
		}
	}
	if len(legs) < 2 {
		return // the call is ending, or somebody else will come
	}
	m.tell(now, t, legs)
}

// chimes plays what is due now that Asterisk has answered.
func (m *Machine) chimes(now time.Time) {
	var due []call.TalkID
	for id, t := range m.talks {
		if t.beep || t.due {
			due = append(due, id)
		}
	}
	slices.Sort(due)
	for _, id := range due {
		m.chime(now, m.talks[id])
	}
}

// tone whispers to legs. Recorders there, also those that start during it, are
// renewed later, if at all.
func (m *Machine) tone(now time.Time, tone Tone) {
	m.emit(tone)
	maps.DeleteFunc(m.whispers, func(_ string, until time.Time) bool { return !now.Before(until) })
	until := now.Add(m.cfg.Tone)
	if tone.Else != "" {
		until = now.Add(m.cfg.Announcement)
	}
	for _, leg := range tone.Legs {
		if tone.Replaces || until.After(m.whispers[leg]) {
			m.whispers[leg] = until
		}
		if tone.Else != "" {
			m.spoken[leg]++
		}
	}
	for _, r := range m.hooked(tone.Legs...) {
		r.renewal.tone = m.whispers[r.Hook]
	}
}

// release drops the claim of a leg that is gone; with FollowTransfer those who
// remain in its talk inherit it.
func (m *Machine) release(now time.Time, leg string) {
	delete(m.pausedLegs, leg)
	delete(m.whispers, leg)
	delete(m.spoken, leg)
	c, ok := m.held[leg]
	if !ok {
		return
	}
	delete(m.held, leg)
	m.emit(Log{Event{At: now, Kind: EventOnDemandEnded, Call: leg, Data: RequestData{
		Leg: leg, By: c.Reason, Reason: dialplan.ClaimantLeft,
	}}})
	if t := m.talkOf(leg); t != nil && m.cfg.FollowTransfer {
		t.heirs = append(t.heirs, c)
	}
}

// inherit hands the claims of legs that have left to those that were in the
// talk before and still are, if the configuration says so. A leg that goes on
// elsewhere keeps its own.
func (m *Machine) inherit(now time.Time, t *talk, legs []call.Leg) {
	if !m.cfg.FollowTransfer {
		return
	}
	stays := func(leg string) bool {
		return slices.ContainsFunc(legs, func(l call.Leg) bool { return l.ID == leg })
	}
	for _, l := range t.legs {
		if c, ok := m.held[l.ID]; ok && !stays(l.ID) {
			t.heirs = append(t.heirs, c)
		}
	}
	heirs := t.heirs
	t.heirs = nil
	for _, c := range heirs {
		for _, l := range t.legs {
			if _, has := m.held[l.ID]; !has && stays(l.ID) && !t.gone[l.ID] {
				m.held[l.ID] = Claim{Leg: l.ID, UserUUID: t.party(l.ID).UserUUID, Reason: c.Reason, At: now}
			}
		}
	}
}

// moveOwners renames a leg that a masquerade has moved.
func (m *Machine) moveOwners(from, to string) {
	if p, ok := m.pausedLegs[from]; ok {
		delete(m.pausedLegs, from)
		m.pausedLegs[to] = p
	}
	if s, ok := m.memory.found[from]; ok {
		delete(m.memory.found, from)
		s.Leg = to
		m.memory.found[to] = s
	}
	m.memory.touched[from] = true
	m.touch(to)
	for _, leg := range slices.Sorted(maps.Keys(m.pausedLegs)) {
		if p := m.pausedLegs[leg]; p.Owner == from {
			p.Owner = to
			m.pausedLegs[leg] = p
			m.touch(leg)
		}
	}
	for leg, s := range m.memory.found {
		if s.Pause.Owner == from {
			s.Pause.Owner = to
			m.memory.found[leg] = s
		}
	}
	for _, id := range slices.Sorted(maps.Keys(m.talks)) { // the owner may have left the talk
		t := m.talks[id]
		if t.stops[from] {
			delete(t.stops, from)
			t.stops[to] = true
		}
		if t.paused() && t.pause.Owner == from {
			t.pause.Owner = to
			m.touchTalk(t)
		}
	}
	for _, r := range m.sorted() {
		if r.paused() && r.Pauses[len(r.Pauses)-1].Owner == from {
			p := &r.Pauses[len(r.Pauses)-1]
			p.Owner, p.UUID = to, r.UUID
			m.emit(*p)
		}
	}
}

// forgetLegs drops what belongs to legs that ended in a gap.
func (m *Machine) forgetLegs(now time.Time, living map[string]bool) {
	for _, leg := range slices.Sorted(maps.Keys(m.held)) {
		if !living[leg] {
			m.release(now, leg)
		}
	}
	maps.DeleteFunc(m.pausedLegs, func(leg string, _ Pause) bool { return !living[leg] })
	maps.DeleteFunc(m.told, func(leg string, _ bool) bool { return !living[leg] })
	maps.DeleteFunc(m.spoken, func(leg string, _ int) bool { return !living[leg] })
}
