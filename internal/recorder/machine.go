package recorder

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"callrecordd/internal/call"
)

// Config is what a Machine needs. Durations default to the values named.
type Config struct {
	Boot    time.Time     // start of the running Asterisk
	NewUUID func() string // a fresh lower-case uuid for each call
	Tenant  string        // uuid for claimants without a tenant (master)

	// Exists (1.5 s) and Growth (3.2 s) bound the proof. Growth is below the
	// 4 s of the requirement so that a retry, which needs RetryGrowth (2.5 s,
	// for Asterisk may hold back 32 KiB = 2.05 s), ends within Total (5.7 s);
	// what is left of the 6 s of the requirement is for the stop and the file.
	Exists, Growth, RetryGrowth, Total time.Duration
	Answer                             time.Duration // start without a result (5 s)
	Recheck                            time.Duration // unexplained end of a recorder (1 s)
	StopRetry                          time.Duration // after a refused stop (5 s)
	MuteRetry                          time.Duration // after a failed mute (200 ms)
	Renew                              time.Duration // between the two recorders of a renewal (60 ms)
	Hush                               time.Duration // from a suspended talk to the mute (50 ms)
	Tone                               time.Duration // bounds the time a tone takes (1 s)
	Announcement                       time.Duration // and an announcement (60 s)
	// StartRetry (5 s) is the time before a start that nobody answered is
	// tried again. It doubles with each try, up to MaxRetry (60 s), as does
	// StopRetry while Asterisk's manager is away.
	StartRetry, MaxRetry time.Duration
	Lost                 time.Duration // a start without an answer is looked for (15 s)

	ToggleStops    bool // *3 ends a recording instead of pausing it
	FollowTransfer bool // an on-demand claim stays with those who remain
	Cut            bool // a pause stops the recorder, its end appends to the file
	// Announcements are those of a tenant as they are now; nil: nobody has any.
	Announcements func(tenantUUID string) Announcements
	// NoMute: this Asterisk cannot mute one recorder, only whichever is the
	// channel's first. So all that would mute stops and appends instead.
	NoMute bool
	// Digits: presses are found among all digits, also those that are meant for
	// a menu or a conference.
	Digits bool
}

// cuts says how a pause is made.
func (c Config) cuts() bool { return c.Cut || c.NoMute }

func (c Config) withDefaults() Config {
	c.Exists = cmp.Or(c.Exists, 1500*time.Millisecond)
	c.Growth = cmp.Or(c.Growth, 3200*time.Millisecond)
	c.RetryGrowth = cmp.Or(c.RetryGrowth, 2500*time.Millisecond)
	c.Total = cmp.Or(c.Total, 5700*time.Millisecond)
	c.Answer = cmp.Or(c.Answer, 5*time.Second)
	c.Recheck = cmp.Or(c.Recheck, time.Second)
	c.StopRetry = cmp.Or(c.StopRetry, 5*time.Second)
	c.MuteRetry = cmp.Or(c.MuteRetry, 200*time.Millisecond)
	c.Renew = cmp.Or(c.Renew, 60*time.Millisecond)
	c.Hush = cmp.Or(c.Hush, 50*time.Millisecond)
	c.Tone = cmp.Or(c.Tone, time.Second)
	c.Announcement = cmp.Or(c.Announcement, time.Minute)
	c.StartRetry = cmp.Or(c.StartRetry, 5*time.Second)
	c.MaxRetry = cmp.Or(c.MaxRetry, time.Minute)
	c.Lost = cmp.Or(c.Lost, 15*time.Second)
	return c
}

// Machine turns what happens in talks and to recorders into effects. It has no
// lock: one goroutine owns it. The same steps give the same effects.
type Machine struct {
	cfg   Config
	talks map[call.TalkID]*talk
	recs  map[string]*rec
	// held are the claims by *3 and API. They belong to a leg and outlive
	// talks, so they are kept beside them (design 6).
	held map[string]Claim
	// pausedLegs are those that bring a pause into their next talk: their
	// recorder was found ended after a gap in the middle of it, or their claim
	// has outlived the talk that they paused.
	pausedLegs map[string]Pause
	whispers   map[string]time.Time // legs to which a tone is whispered until then
	told       map[string]bool      // legs that have been told of a recording, see announce.go
	spoken     map[string]int       // legs: announcements whose end has not been told
	memory     memory
	seats      map[string][]call.TalkID // leg: its talks
	hooks      map[string][]*rec        // leg: the recordings whose hook it is
	now        time.Time                // of the step
	out        []Effect
	// blind: see Blind. Rechecks of talks wait for Reconcile.
	blind   bool
	blindAt time.Time // since when
}

// rec is a recording that is not final, or that is but whose start is still
// unanswered: a late answer means that a recorder runs which must be stopped.
type rec struct {
	Recording
	talk    call.TalkID // 0: none
	parties []Party

	gone, hanging bool // the hooked channel is
	startOpen     bool // Start has no answer yet
	gaveUp        bool // and is no longer waited for
	stopOpen      bool // Stop has no answer yet
	stopped       bool // nothing is left to stop
	finalising    bool
	vanished      bool          // its file is known not to be there
	try           int           // number of the Finalise whose result counts
	proved        bool          // the file has grown
	failed        bool          // never proved: without audio it is missing
	broke         bool          // it was proved, and broke off
	drift         time.Duration // by how much its file is longer than its time
	adopted       bool
	muting        muting
	cut           bool // its file is closed for a while: no recorder runs
	cutAt         time.Time
	appends       bool // Start is to append, after a cut
	renewal       renewal
	alone         bool      // the hooked leg is: nothing it hears is to be recorded
	aloneAt       time.Time // when that will be so
	again         time.Time // when it is to be steered again

	unsent    bool       // Start waits for a connection, nothing was sent
	waits     int        // starts that could not be sent
	lost      bool       // Start was sent, its answer is looked for
	stopTries int        // stops that may not have stopped it
	stopCause string     // of the last of them
	alarmed   string     // the cause for which there was an alarm
	kept      *Finalised // waits for what explains the close

	orphanBy time.Time // must be part of a talk by then
	rang     time.Time // when it last was heard to wait for one
	deadline time.Time // of whatever is open
}

func (r *rec) active() bool {
	return r.State == Starting || r.State == Live || r.State == Paused
}

// New returns a machine without talks.
func New(cfg Config) *Machine {
	return &Machine{
		cfg:   cfg.withDefaults(),
		talks: map[call.TalkID]*talk{},
		recs:  map[string]*rec{},
		held:  map[string]Claim{},

		pausedLegs: map[string]Pause{},
		whispers:   map[string]time.Time{},
		told:       map[string]bool{},
		spoken:     map[string]int{},
		memory:     newMemory(),
		seats:      map[string][]call.TalkID{},
		hooks:      map[string][]*rec{},
	}
}

// Configure takes over the choices ToggleStops, FollowTransfer and Cut. They
// count from the next press or pause on.
func (m *Machine) Configure(c Config) {
	m.cfg.ToggleStops, m.cfg.FollowTransfer, m.cfg.Cut = c.ToggleStops, c.FollowTransfer, c.Cut
}

// Recordings returns those that are not final, in the order of their uuids.
func (m *Machine) Recordings() []Recording {
	var out []Recording
	for _, r := range m.sorted() {
		if r.active() || r.State == Closing {
			out = append(out, r.snapshot())
		}
	}
	return out
}

// Step applies one input at a time that never goes back. Results for unknown
// recordings are ignored: they arrive in any order, also after the end.
func (m *Machine) Step(now time.Time, in Input) []Effect {
	m.now = now
	switch in := in.(type) {
	case TalkChange:
		m.talkChange(now, in)
		if t := m.talks[in.Change.Talk]; t != nil && t.due {
			m.chime(now, t)
		}
	case ChannelHanging:
		m.hanging(now, in.Leg)
	case ChannelGone:
		m.channelGone(now, in.Leg)
		m.chimes(now)
	case Moved:
		m.moved(now, in)
		m.chimes(now)
	case Unheld:
		m.unheld(now, in.Leg)
	case Bridged:
		m.bridged(now, in.Leg)
	case Restarted:
		m.restarted(now, in)
	case Blind:
		m.blind = true
		m.blindAt = sooner(m.blindAt, now)
	case Announced:
		m.announced(in)
	case Whispered:
		m.whispered(now, in.Leg)
	case Reachable:
		m.reachable(now)
	case Able:
		m.able(now)
	case Tick:
		m.expire(now)
	default:
		m.result(now, in)
		m.chimes(now)
	}
	return m.take()
}

func (m *Machine) take() []Effect {
	m.keep()
	out := m.out
	m.out = nil
	return out
}

func (m *Machine) emit(list ...Effect) {
	for _, e := range list {
		if a, ok := e.(Alarm); ok && m.recs[a.Recording] != nil {
			a.Tenant = m.recs[a.Recording].TenantUUID
			e = a
		}
		m.out = append(m.out, e)
	}
}

// sorted returns the recordings in a fixed order: effects must not depend on
// the order of a map, or a replay would differ.
func (m *Machine) sorted() []*rec {
	return m.sortedIf(func(*rec) bool { return true })
}

// sortedIf is sorted of those that keep wants; there may be hundreds of others.
func (m *Machine) sortedIf(keep func(*rec) bool) []*rec {
	var out []*rec
	for _, r := range m.recs {
		if keep(r) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b *rec) int { return cmp.Compare(a.UUID, b.UUID) })
	return out
}

// NextDeadline returns when the next Tick is due, false if none is.
func (m *Machine) NextDeadline() (time.Time, bool) {
	var next time.Time
	for _, r := range m.recs {
		next = sooner(next, r.deadline)
		next = sooner(next, r.muting.due)
		next = sooner(next, r.aloneAt)
		next = sooner(next, r.again)
		next = sooner(next, r.orphanBy)
	}
	if !m.blind {
		next = sooner(next, m.memory.by)
		for _, t := range m.talks {
			next = sooner(next, t.recheck)
		}
	}
	return next, !next.IsZero()
}

// sooner is the earlier one of two times; the zero time is none.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func due(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }

func (m *Machine) expire(now time.Time) {
	overdue := func(r *rec) bool {
		return due(r.orphanBy, now) || due(r.deadline, now) || due(r.muting.due, now) || due(r.aloneAt, now) || due(r.again, now)
	}
	for _, r := range m.sortedIf(overdue) {
		if due(r.orphanBy, now) {
			r.orphanBy = time.Time{}
			m.orphan(now, r)
		}
		if due(r.deadline, now) {
			r.deadline = time.Time{}
			m.overdue(now, r)
		}
		if due(r.muting.due, now) {
			r.muting.due = time.Time{}
			m.muteDue(now, r)
		}
		if due(r.aloneAt, now) {
			r.aloneAt = time.Time{}
			m.hush(now, r)
		}
		if due(r.again, now) {
			r.again = time.Time{}
			m.steer(now, r)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(m.talks)) {
		t := m.talks[id]
		if due(t.recheck, now) && !m.blind {
			t.recheck = time.Time{}
			m.ensure(now, t)
		}
	}
	if due(m.memory.by, now) && !m.blind {
		m.forgetTalks()
	}
}

// orphan ends a recording that no talk has claimed in time.
func (m *Machine) orphan(now time.Time, r *rec) {
	if t := m.talks[r.talk]; t != nil && t.current == r.UUID {
		m.ensure(now, t)
		return
	}
	if m.rings(r) {
		r.rang, r.orphanBy = now, now.Add(call.Grace)
		return
	}
	m.close(now, r, "no_talk")
}

// overdue is the last resort if exec owes an answer or a stop was refused.
func (m *Machine) overdue(now time.Time, r *rec) {
	switch {
	case r.active() && r.unsent:
		m.startAgain(now, r)
	case r.State == Closing && r.stopTries > 0 && m.blind:
		// The channel may be in hangup, and we would not know.
		r.deadline = now.Add(m.cfg.StopRetry)
	case r.active() && r.startOpen:
		r.gaveUp = true
		m.fail(now, r, CauseNoAnswer, "no result of the start")
	case r.State == Starting:
		m.fail(now, r, CauseNoProof, "no result of the watch")
	case r.State == Closing:
		r.gaveUp = r.startOpen
		m.finish(now, r)
	}
}

// snapshot is a copy that later steps do not touch.
func (r *rec) snapshot() Recording {
	row := r.Recording
	row.Legs = slices.Clone(r.Legs)
	row.Claims = slices.Clone(r.Claims)
	row.Pauses = slices.Clone(r.Pauses)
	return row
}

func (m *Machine) log(now time.Time, kind string, r *rec, n Note) {
	m.emit(Log{Event{At: now, Kind: kind, Recording: r.UUID, Call: r.Call(), Data: n}})
}

func (m *Machine) hanging(now time.Time, leg string) {
	for _, r := range m.hooked(leg) {
		r.hanging = true
		if r.State == Closing && r.Cause == CauseClosedEarly {
			r.Cause = CauseHungUp
			if r.kept != nil {
				m.conclude(now, r)
			}
		}
	}
	for _, t := range m.talksOf(leg) {
		t.gone[leg] = true
		t.explained()
	}
}

// channelGone ends what sits on the leg: no stop is sent, Asterisk closes the
// file by itself at hangup (facts 1).
func (m *Machine) channelGone(now time.Time, leg string) {
	m.release(now, leg)
	delete(m.told, leg)
	m.memory.touched[leg] = true
	delete(m.memory.found, leg)
	for _, t := range m.talksOf(leg) {
		t.gone[leg] = true
		t.explained()
	}
	for _, r := range m.hooked(leg) {
		r.gone = true
		switch {
		case r.active():
			m.leave(r)
			m.close(now, r, CauseHungUp)
		case r.State == Closing:
			if r.Cause == CauseClosedEarly {
				r.Cause = CauseHungUp
			}
			r.stopOpen = false
			m.finish(now, r)
		default: // final, a late start can no longer be running
			m.drop(r)
		}
	}
}

// leave remembers in the talk what a continuation will follow.
func (m *Machine) leave(r *rec) {
	if t := m.talks[r.talk]; t != nil && t.current == r.UUID {
		t.follows = r.UUID
	}
}

func (m *Machine) moved(now time.Time, in Moved) {
	if c, ok := m.held[in.From]; ok {
		delete(m.held, in.From)
		c.Leg = in.To
		m.held[in.To] = c
	}
	m.moveTold(in.From, in.To)
	m.moveOwners(in.From, in.To)
	for _, r := range m.hooked(in.From) {
		if !r.active() && r.State != Closing {
			continue
		}
		m.rehook(r, in.To)
		r.HookName, r.gone, r.hanging = in.ToName, false, false
		r.renewal.movedTo(in.From, in.To)
		if !slices.Contains(r.Legs, in.To) {
			r.Legs = append(r.Legs, in.To)
		}
		if r.active() {
			// The talk learns of the new leg in an event of its own.
			r.orphanBy = now.Add(call.Grace)
		}
		m.emit(Save{Row: r.snapshot()})
		m.log(now, EventMoved, r, Note{Hook: in.To, Why: in.From})
		if r.cut {
			m.steer(now, r) // its next recorder has waited for the new leg
		}
	}
}

func (m *Machine) restarted(now time.Time, in Restarted) {
	m.cfg.Boot, m.cfg.NoMute = in.Boot, in.NoMute
	m.talks, m.seats = map[call.TalkID]*talk{}, map[string][]call.TalkID{}
	m.forgetAll()
	m.held, m.pausedLegs, m.told = map[string]Claim{}, map[string]Pause{}, map[string]bool{}
	clear(m.spoken)
	for _, r := range m.sorted() {
		r.gone, r.stopOpen, r.gaveUp = true, false, true
		if r.Cause == "" && !r.proved {
			r.Cause = CauseRestarted
		}
		switch {
		case r.active():
			m.close(now, r, CauseRestarted)
		case r.State == Closing:
			m.finish(now, r)
		default:
			m.drop(r)
		}
	}
}
