package recorder

import (
	"maps"
	"slices"
	"time"

	"callrecordd/internal/call"
)

// Pause is a stretch of a recording in which nothing was written but silence,
// or with Cut nothing at all. As an effect it stores one, identified by UUID
// and From.
type Pause struct {
	UUID     string    `json:"-"`
	Owner    string    `json:"owner"` // uniqueid of the leg that paused, empty if unknown
	Actor    string    `json:"actor,omitempty"`
	From, To time.Time // To is zero while it lasts
	// Muted is when Asterisk had confirmed the mute; zero if that is not known,
	// To if the pause was over by then. It is not stored.
	Muted   time.Time `json:"muted,omitzero"`
	Cut     bool      `json:"cut,omitempty"`
	Silence Silence   `json:"silence,omitempty"` // empty until the file is closed
	Loudest int       `json:"loudest,omitempty"` // largest absolute sample, of 32768
	Detail  string    `json:"detail,omitempty"`  // for people; not stored
}

// muting is what was asked of a recorder and what it has confirmed. The newest
// wish is sent at once, also behind an unanswered one: exec sends a recording's
// mutes in order, so the last one wins, and only its answer counts.
type muting struct {
	on     bool // confirmed
	unsure bool // nothing is confirmed: adopted, or an attempt has failed
	asked  bool // the newest wish
	try    int
	open   bool // and it has no answer yet
	fails  int  // in a row
	due    time.Time
}

// muteTries: after the second failure the recorder is stopped.
const muteTries = 2

func (t *talk) paused() bool { return !t.pause.From.IsZero() }

// paused says whether the recording is in a pause.
func (r Recording) paused() bool {
	n := len(r.Pauses)
	return n > 0 && r.Pauses[n-1].To.IsZero()
}

func (r Recording) cutPaused() bool {
	return r.State != Closing && r.paused() && r.Pauses[len(r.Pauses)-1].Cut
}

// quiet says whether the recording is to be silent: in a pause, or because
// nobody is there to talk with.
func (r *rec) quiet() bool { return r.paused() || r.alone }

// cutting: its recorder is stopped for a pause or a renewal, or about to be.
func (r *rec) cutting() bool { return r.active() && (r.cut || r.stopOpen) }

// hushed: Asterisk has confirmed that nothing is written but silence.
func (r *rec) hushed() bool {
	return r.cut || r.unsent || !r.startOpen && r.muting.on && !r.muting.open && !r.muting.unsure
}

// hears: it has confirmed that everything is.
func (r *rec) hears() bool {
	return !r.startOpen && !r.unsent && !r.cutting() && !r.muting.on && !r.muting.open && !r.muting.unsure
}

// pauseRec pauses a recording of a paused talk. The mute is the first effect.
func (m *Machine) pauseRec(now time.Time, t *talk, r *rec) {
	if !r.active() || r.paused() {
		return
	}
	from := now
	if n := len(r.Pauses); n > 0 && !from.After(r.Pauses[n-1].From) {
		from = r.Pauses[n-1].From.Add(time.Microsecond) // the store's key and unit
	}
	p := Pause{UUID: r.UUID, Owner: t.pause.Owner, Actor: t.pause.Actor, From: from, Cut: m.cfg.cuts() || r.cut}
	if x := r.muting; x.on && !x.open && !x.unsure {
		p.Muted = from // the talk had nobody to hear
	}
	r.Pauses = append(r.Pauses, p)
	if r.State == Live {
		r.State = Paused
	}
	m.steer(now, r)
	m.emit(Save{Row: r.snapshot()}, p)
	m.logPause(now, EventPaused, r, p)
}

// resumeRec ends a recording's pause.
func (m *Machine) resumeRec(now time.Time, r *rec) {
	if !r.paused() || !r.active() {
		return
	}
	if r.State == Paused {
		r.State = Live
	}
	p := m.endPause(now, r)
	if x := r.muting; x.open && x.asked && p.Muted.IsZero() {
		p.Muted = p.To // its answer is of no use any more, and no beep has been heard
		r.Pauses[len(r.Pauses)-1] = p
	}
	m.steer(now, r)
	m.emit(Save{Row: r.snapshot()})
	m.logPause(now, EventResumed, r, p)
}

// endPause notes the end of the last pause, if it lasts: it was resumed, or
// the file ends.
func (m *Machine) endPause(now time.Time, r *rec) Pause {
	if !r.paused() {
		return Pause{}
	}
	p := &r.Pauses[len(r.Pauses)-1]
	p.To, p.UUID = now, r.UUID
	if !p.To.After(p.From) {
		p.To = p.From.Add(time.Microsecond)
	}
	m.emit(*p)
	return *p
}

func (m *Machine) logPause(now time.Time, kind string, r *rec, p Pause) {
	m.emit(Log{Event{At: now, Kind: kind, Recording: r.UUID, Call: r.Legs[0], Actor: p.Actor, Data: p}})
}

// steer makes the recorder do what its pause, its talk and its renewal want. A
// recorder whose start is unanswered has no id yet: it is muted as soon as the
// answer comes, before anything else. What remains is what was said between the
// two, a round trip of AMI; if the answer took longer the check of the closed
// file tells. A channel that hangs up gets no stop (asterisk#1673): it ends by
// itself.
func (m *Machine) steer(now time.Time, r *rec) {
	if r.unsent && !r.quiet() {
		r.deadline = now // the start has waited for the end of the pause
	}
	if !r.active() || r.startOpen || r.unsent || r.gone || r.stopOpen {
		return
	}
	switch {
	case r.cut:
		m.goOn(now, r)
	case m.stands(r) && r.hanging:
	case m.stands(r), m.renewable(now, r):
		r.stopOpen, r.deadline = true, time.Time{}
		m.emit(Stop{r.snapshot()})
	case m.cfg.NoMute:
		r.muting = muting{try: r.muting.try}
	default:
		m.steerMute(now, r)
	}
}

// recalls: its talk was paused before a restart and has not been told again yet.
// The row may be older than that, and an unmute would be followed by a mute.
func (m *Machine) recalls(r *rec) bool {
	return r.adopted && !m.memory.found[r.Hook].Pause.From.IsZero()
}

// stands: its recorder is to be stopped for a while.
func (m *Machine) stands(r *rec) bool { return r.cutPaused() || m.cfg.NoMute && r.quiet() }

func (m *Machine) steerMute(now time.Time, r *rec) {
	x, want := &r.muting, r.quiet()
	switch {
	case x.asked == want && (x.open || !x.due.IsZero()):
		return // under way
	case !x.open && !x.unsure && x.on == want:
		return
	case !want && m.recalls(r):
		return // attach steers it
	}
	if x.asked != want {
		x.asked, x.fails = want, 0
	}
	x.try++
	x.open, x.due = true, now.Add(m.cfg.Answer)
	m.emit(Mute{Row: r.snapshot(), On: want, Try: x.try})
}

func (m *Machine) muted(now time.Time, r *rec, in Muted) {
	x := &r.muting
	if in.Try != x.try || !x.open {
		return
	}
	*x = muting{on: in.On, asked: in.On, try: x.try}
	kind := EventUnmuted
	if in.On {
		kind = EventMuted
	}
	note := Note{State: r.State, ID: r.MixMonitorID}
	if n := len(r.Pauses); in.On && r.paused() && r.Pauses[n-1].Muted.IsZero() {
		p := &r.Pauses[n-1]
		if p.Muted = in.At; p.Muted.Before(p.From) {
			p.Muted = p.From
		}
		note.Detail = r.mutedAfter(*p)
	}
	m.log(now, kind, r, note)
	if r.active() {
		m.steer(now, r)
	}
}

// muteFailed tries once more. Then the recorder is stopped: rather an end of
// the file than a card number in it. The next file begins at resume; after a
// failed unmute, at once.
func (m *Machine) muteFailed(now time.Time, r *rec, in MuteFailed) {
	x := &r.muting
	if in.Try != x.try || !x.open {
		return
	}
	x.open, x.unsure, x.due = false, true, time.Time{}
	if !r.active() {
		return
	}
	m.log(now, EventMuteFailed, r, Note{State: r.State, Cause: in.Cause, Detail: in.Detail})
	x.fails++
	if !x.asked && (in.Cause == CauseNoManager || in.Cause == CauseStalled) {
		// It was not sent, so the recorder is as it was, and hears again when
		// the manager or the disk is back: nothing is on file that must not be.
		if x.due = now.Add(m.patience(m.cfg.StopRetry, x.fails)); x.fails == muteTries {
			m.emit(Alarm{Recording: r.UUID, Cause: CauseMuteFailed, Detail: in.Cause + ": " + in.Detail})
		}
		return
	}
	if x.fails < muteTries {
		x.due = now.Add(m.cfg.MuteRetry)
		return
	}
	if in.Cause != CauseNoChannel { // else it has just hung up
		m.emit(Alarm{Recording: r.UUID, Cause: CauseMuteFailed, Detail: in.Cause + ": " + in.Detail})
	}
	m.giveUp(now, r)
}

// muteDue is the time of a retry, or that of an answer exec owes.
func (m *Machine) muteDue(now time.Time, r *rec) {
	if x := r.muting; x.open {
		m.muteFailed(now, r, MuteFailed{UUID: r.UUID, Try: x.try, On: x.asked, Cause: CauseNoAnswer, Detail: "no result of the mute"})
		return
	}
	m.steer(now, r)
}

// giveUp ends a recording whose recorder does not obey.
func (m *Machine) giveUp(now time.Time, r *rec) {
	t := m.talks[r.talk]
	m.leave(r)
	m.close(now, r, CauseMuteFailed)
	if t == nil || t.current != "" {
		return
	}
	m.mislead(now, t)
	m.ensure(now, t)
}

// mislead answers a pause with an error where a beep would say that it works.
func (m *Machine) mislead(now time.Time, t *talk) {
	if !t.paused() || !t.beep || !t.has(t.pause.Owner) {
		return
	}
	t.beep, t.misled = false, true
	m.touchTalk(t)
	m.tone(now, Tone{Legs: []string{t.pause.Owner}, Sound: BeepErr})
}

// cutDone: the file is closed, for the time of a pause or of a renewal.
func (m *Machine) cutDone(now time.Time, r *rec) {
	r.stopOpen, r.cut, r.cutAt, r.MixMonitorID = false, true, now, ""
	if r.paused() {
		m.markCut(r)
		m.log(now, EventMuted, r, Note{State: r.State})
	}
	m.steer(now, r)
	m.emit(Save{Row: r.snapshot()})
	m.chime(now, m.talks[r.talk])
}

// markCut: a pause that has met a renewal has no place in the file.
func (m *Machine) markCut(r *rec) {
	p := &r.Pauses[len(r.Pauses)-1]
	if p.Cut {
		return
	}
	p.Cut, p.UUID = true, r.UUID
	m.emit(*p)
}

// cutFailed: a recorder that is not there is as good as stopped. One that may
// still run is muted and stopped for good if that was for a pause.
func (m *Machine) cutFailed(now time.Time, r *rec, in StopFailed) {
	maybe := in.Cause == CauseStalled || in.Cause == CauseTimeout || in.Cause == CauseNoManager
	if r.stopped || !maybe {
		r.stopped = true // also by somebody else meanwhile
		r.hanging = r.hanging || in.Cause == CauseNoChannel
		m.cutDone(now, r)
		return
	}
	if !r.paused() && r.alone && m.cfg.NoMute && in.Cause != CauseTimeout {
		r.alone, r.aloneAt = false, now.Add(m.cfg.StopRetry)
		m.emit(m.proof(now, r)) // the stop has ended the watch
		return
	}
	if !r.cutPaused() {
		m.renewFailed(now, r, in)
		return
	}
	r.Pauses[len(r.Pauses)-1].Cut = false // it has to be looked at
	m.muteLast(r)
	m.emit(Alarm{Recording: r.UUID, Cause: CauseMuteFailed, Detail: in.Cause + ": " + in.Detail})
	m.giveUp(now, r)
}

// muteLast mutes a recorder that is to be stopped but may run on.
func (m *Machine) muteLast(r *rec) {
	if m.cfg.NoMute {
		return
	}
	x := &r.muting
	x.try++
	x.open, x.asked, x.due = true, true, time.Time{}
	m.emit(Mute{Row: r.snapshot(), On: true, Try: x.try})
}

// lingers says whether a recorder of the talk's legs runs on that nobody wants
// any more: its stop has failed, or the answer to its start is still to come.
func (r *rec) lingers(t *talk) bool {
	return r.State == Closing && !t.gone[r.Hook] && !r.gone && !r.hanging && !r.stopped &&
		!r.finalising && (r.MixMonitorID != "" || r.startOpen)
}

// muteClosing: a pause is of the talk, not only of its current recording.
func (m *Machine) muteClosing(now time.Time, t *talk) {
	for _, r := range m.hooked(t.ids()...) {
		if r.lingers(t) && r.MixMonitorID != "" && !r.hushed() {
			m.muteLast(r)
		}
	}
}

// leaks says whether some recorder may still hear the talk that is paused.
func (m *Machine) leaks(t *talk) bool {
	return slices.ContainsFunc(m.hooked(t.ids()...), func(r *rec) bool { return r.lingers(t) && !r.hushed() })
}

// lingering says whether any does.
func (m *Machine) lingering(t *talk) bool {
	return slices.ContainsFunc(m.hooked(t.ids()...), func(r *rec) bool { return r.lingers(t) })
}

// outOfReach: a recorder may run of whose start no answer has come, and for as
// long as it is looked for nobody can mute it.
func (m *Machine) outOfReach(t *talk) bool {
	return slices.ContainsFunc(m.hooked(t.ids()...), func(r *rec) bool { return r.lost && r.startOpen && r.lingers(t) })
}

// joinPause makes one of a talk's pause and that of a recording which has come
// into it.
func (m *Machine) joinPause(now time.Time, t *talk, r *rec) {
	switch {
	case r.paused() && !t.paused():
		t.pause = r.Pauses[len(r.Pauses)-1]
	case t.paused():
		m.pauseRec(now, t, r)
	}
	m.steer(now, r)
}

// mergePause: if either side of a merge is paused, the whole is.
func (m *Machine) mergePause(now time.Time, survivor, ended *talk) {
	if survivor.paused() || !ended.paused() {
		return
	}
	survivor.pause, survivor.misled = ended.pause, ended.misled
	if r := m.recs[survivor.current]; r != nil {
		m.pauseRec(now, survivor, r)
	}
	m.muteClosing(now, survivor)
}

// inheritPause looks for a pause that the talk's legs bring along: from a talk
// that is becoming part of this one, all of whose legs are here, before it is
// told as ended; or from before a gap.
func (m *Machine) inheritPause(now time.Time, t *talk) {
	for _, id := range slices.Sorted(maps.Keys(m.talks)) {
		o := m.talks[id]
		if !t.paused() && o != t && o.paused() && o.within(t) {
			t.pause = o.pause
		}
	}
	for _, l := range t.legs {
		if p, ok := m.pausedLegs[l.ID]; ok {
			delete(m.pausedLegs, l.ID)
			if !t.paused() {
				t.pause = p
			}
		}
	}
	if !t.paused() {
		return
	}
	if r := m.recs[t.current]; r != nil {
		m.pauseRec(now, t, r)
	}
	m.muteClosing(now, t)
}

func (t *talk) within(other *talk) bool {
	some := false
	for _, l := range t.legs {
		if t.gone[l.ID] {
			continue
		}
		if some = true; !other.has(l.ID) {
			return false
		}
	}
	return some
}

// adoptPause takes up the pause of a row after a gap. Whether we died before
// or after the mute is not known, so it is asked for again.
func (m *Machine) adoptPause(now time.Time, r *rec) {
	if n := len(r.Pauses); r.paused() && r.Pauses[n-1].Muted.IsZero() && r.adopted {
		r.Pauses[n-1].Muted = r.Pauses[n-1].From // not known, and not that of the next mute
	}
	if r.State == Paused && !r.paused() {
		p := Pause{UUID: r.UUID, From: now, Cut: m.cfg.cuts()}
		r.Pauses = append(r.Pauses, p)
		m.emit(p)
	}
	r.cut = r.cutPaused() && r.MixMonitorID == ""
	if r.State == Live && r.paused() {
		r.State = Paused
	}
	m.steer(now, r)
}

// keepPause remembers that the talk of a recording which ended in a gap is
// paused, unless the talk itself is known. What is stored of a leg since the
// pause says more. Of others all can be meant who were ever there, but for
// those whose own recording goes on.
func (m *Machine) keepPause(now time.Time, r *rec, g gap) {
	if !r.paused() || m.talks[r.talk] != nil {
		return
	}
	p := r.Pauses[len(r.Pauses)-1]
	for _, leg := range r.Legs {
		s, stored := m.memory.stored[leg]
		if !g.living[leg] || g.records[leg] || stored && (!s.Talking || !s.At.Before(p.From)) {
			continue
		}
		if f, ok := m.memory.found[leg]; ok {
			s = f
		}
		s.Leg, s.Talking, s.Pause = leg, true, p
		m.memory.found[leg], m.memory.by = s, now.Add(call.Grace)
	}
}
