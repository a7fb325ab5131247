package recorder

import (
	"maps"
	"slices"
	"time"

	"callrecordd/dialplan"
)

// What a machine does while Asterisk's manager is away, or its answers are.

// patience is the time before a further try: first, doubled with each try that
// has failed, up to MaxRetry.
func (m *Machine) patience(first time.Duration, failed int) time.Duration {
	wait := first
	for range failed - 1 {
		if wait *= 2; wait >= m.cfg.MaxRetry {
			return m.cfg.MaxRetry
		}
	}
	return wait
}

// awaitConnection keeps a recording whose start could not be sent. Since
// nothing was sent the same row and file serve for all tries: a long outage
// makes one row a talk, not one a try. Only the first failure is an alarm.
func (m *Machine) awaitConnection(now time.Time, r *rec, in StartFailed) {
	r.startOpen, r.unsent = false, true
	r.waits++
	r.deadline = now.Add(m.patience(m.cfg.StartRetry, r.waits))
	if r.alarmed == in.Cause {
		return
	}
	r.Cause, r.Detail, r.alarmed = in.Cause, in.Detail, in.Cause
	m.log(now, EventStartFailed, r, Note{Cause: in.Cause, Detail: in.Detail})
	m.emit(Save{Row: r.snapshot()}, Alarm{Recording: r.UUID, Cause: in.Cause, Detail: in.Detail})
}

// startAgain sends the start that could not be sent. It waits while nobody
// sees whether the channel lives and the talk goes on, and while it is paused.
func (m *Machine) startAgain(now time.Time, r *rec) {
	if t := m.talks[r.talk]; m.blind || t == nil || t.suspended || t.paused() {
		r.deadline = now.Add(m.cfg.Recheck)
		return
	}
	r.unsent, r.startOpen, r.deadline = false, true, now.Add(m.cfg.Answer)
	m.emit(Start{Row: r.snapshot(), Append: r.appends})
}

// startLost gives a start up that was sent but not answered: the talk's next
// try is another recording, for two recorders must never write one file. The
// row stays open until it is known whether its recorder runs; then it is
// stopped by its id.
func (m *Machine) startLost(now time.Time, r *rec, in StartLost) {
	if !r.startOpen || r.lost {
		return
	}
	r.lost, r.deadline = true, now.Add(m.cfg.Lost)
	if r.active() {
		m.fail(now, r, CauseNoAnswer, in.Detail)
	}
}

// reachable has at once what waits for Asterisk's manager.
func (m *Machine) reachable(now time.Time) {
	for _, r := range m.sorted() {
		switch {
		case r.active() && r.unsent:
			r.waits, r.deadline = min(r.waits, 1), now
		case r.active() && !r.muting.due.IsZero() && !r.muting.open:
			r.muting.fails, r.muting.due = 0, now
		case r.active() && r.renewal.why != "":
			r.renewal.at = time.Time{}
			m.steer(now, r)
		case r.State == Closing && r.stopTries > 0 && !r.deadline.IsZero():
			r.stopTries, r.deadline = 1, now
		}
	}
	for _, t := range m.talks {
		if t.attempt > 1 && !t.recheck.IsZero() {
			t.recheck = now
		}
	}
	m.expire(now)
}

// Adopt takes over recorders that run although nobody here knows of them: the
// intent was never stored, or the row was given up (rows). Unlike Reconcile it
// says nothing about any other recording.
func (m *Machine) Adopt(now time.Time, rows []Recording, channels []Channel) []Effect {
	m.now = now
	if m.blind {
		return nil // the next Reconcile finds them
	}
	for _, f := range Plan(now, m.cfg.Boot, rows, channels, nil) {
		if m.recs[f.Row.UUID] != nil || f.Fate != Keep {
			continue
		}
		m.apply(now, f, gap{living: living(channels)})
		m.join(now, m.recs[f.Row.UUID])
	}
	return m.take()
}

// Finish takes over recordings that were made and ended without anybody here:
// their files are looked at, and nothing else.
func (m *Machine) Finish(now time.Time, rows []Recording) []Effect {
	for _, row := range rows {
		if m.recs[row.UUID] != nil {
			continue
		}
		f := Found{Row: row, Fate: Finish, Cause: CauseDaemonDown}
		m.apply(endOf(now, f), f, gap{})
		if r := m.recs[row.UUID]; r != nil {
			r.alarmed = row.Cause // it was told, by whoever has found it first
		}
	}
	return m.take()
}

// Again looks once more at the files of recordings that have their end and whose
// headers could not be repaired. What is stored of them stays until there is
// something better: a copy of the database that is made meanwhile must not have a
// recording open whose end the ledger proves.
func (m *Machine) Again(now time.Time, rows []Recording) []Effect {
	rows = slices.Clone(rows)
	for i := range rows {
		rows[i].State, rows[i].Detail = Live, "" // the same way as before
	}
	return slices.DeleteFunc(m.Finish(now, rows), func(e Effect) bool {
		save, ok := e.(Save)
		return ok && save.Row.State == Closing
	})
}

// inPlace has an adopted recording take the place of one of its talk whose start
// has only waited: Asterisk recorded meanwhile, and two recorders are too many.
func (m *Machine) inPlace(now time.Time, r *rec) {
	if !r.active() || m.talks[r.talk] != nil {
		return
	}
	for _, id := range slices.Sorted(maps.Keys(m.talks)) {
		t := m.talks[id]
		waits := m.recs[t.current]
		if !t.has(r.Hook) || waits == nil || waits == r || !waits.unsent || waits.appends {
			continue
		}
		waits.Detail = "recorded by Asterisk alone in " + r.UUID + ": " + waits.Detail
		m.close(now, waits, "recorded")
		m.attach(now, t, r)
		known := slices.Clone(t.claims)
		t.claims = slices.DeleteFunc(t.claims, func(c Claim) bool {
			return c.Reason == dialplan.Resync && slices.ContainsFunc(known, func(o Claim) bool { return o.Leg == c.Leg && o.Reason != c.Reason })
		})
		m.ensure(now, t)
		return
	}
}

// rings says whether a recorder of the safety net waits for its talk: Asterisk
// starts it before anybody answers.
func (m *Machine) rings(r *rec) bool {
	return r.active() && !r.proved && m.talks[r.talk] == nil && r.UUID == dialplan.SafetyUUID(r.Hook) && m.talkOf(r.Hook) == nil
}

// join attaches an adopted recording to the talk that goes on without one.
func (m *Machine) join(now time.Time, r *rec) {
	m.inPlace(now, r)
	for _, id := range slices.Sorted(maps.Keys(m.talks)) {
		if t := m.talks[id]; r.active() && t.has(r.Hook) && t.current == "" {
			m.attach(now, t, r)
			m.ensure(now, t)
			return
		}
	}
}
