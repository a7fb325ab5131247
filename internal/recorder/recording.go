package recorder

import (
	"fmt"
	"slices"
	"time"
)

// start begins a recording for the talk, on the leg of its first claim.
func (m *Machine) start(now time.Time, t *talk) {
	leg, ok := t.hook()
	if !ok {
		return
	}
	if t.firstAt.IsZero() {
		t.firstAt = now
	}
	r := &rec{talk: t.id, startOpen: true, deadline: now.Add(m.cfg.Answer)}
	r.Recording = Recording{
		UUID: m.cfg.NewUUID(), TenantUUID: m.cfg.Tenant, Boot: m.cfg.Boot,
		Hook: leg.ID, HookName: leg.Name, Follows: t.follows,
		State: Starting, Claims: slices.Clone(t.claims), IntentAt: now,
	}
	if tenant := t.party(t.claims[0].Leg).Tenant; tenant != "" {
		r.TenantUUID = tenant
	}
	for _, l := range t.legs {
		r.Legs = append(r.Legs, l.ID)
	}
	r.renewal.listen(t.legs)
	if until := m.whispers[leg.ID]; now.Before(until) {
		r.renewal.why, r.renewal.at, r.renewal.tone = RenewTone, until, until
	}
	t.current, t.follows = r.UUID, ""
	t.records(r)
	m.toTell(t)
	m.add(r)
	// One whose leg has left the talk ended with it, though nobody has told yet of its
	// hangup.
	if t.cutOff != "" && t.cutOff == r.Follows && t.has(t.cutHook) {
		m.emit(Alarm{
			Recording: r.Follows, Tenant: r.TenantUUID, Cause: CauseClosedEarly, Broken: true,
			Detail: "its file was closed in the middle of the talk; " + r.UUID + " goes on",
		})
	}
	t.cutOff = ""
	m.emit(SaveIntent{r.snapshot()}, Start{Row: r.snapshot()})
	m.present(now, t, r)
}

// close ends an active recording. Its recorder is stopped only if the channel
// lives; a start under way is waited for, since only its answer has the id.
func (m *Machine) close(now time.Time, r *rec, why string) {
	if !r.active() {
		return
	}
	if !r.proved && !r.Silent && r.Cause == "" {
		r.Cause = CauseTalkEnded
		if r.gone || r.hanging {
			r.Cause = CauseHungUp
		}
	}
	m.endPause(now, r)
	r.State, r.EndedAt, r.orphanBy, r.muting.due = Closing, now, time.Time{}, time.Time{}
	r.aloneAt, r.again = time.Time{}, time.Time{}
	if t := m.talks[r.talk]; t != nil && t.current == r.UUID {
		t.current = ""
	}
	r.talk = 0
	var left []Party
	for i := range r.parties {
		if r.parties[i].To.IsZero() {
			r.parties[i].To = now
			left = append(left, r.parties[i])
		}
	}
	m.emit(Save{Row: r.snapshot()})
	if len(left) > 0 {
		m.emit(Parties{UUID: r.UUID, List: left})
	}
	m.log(now, EventClosing, r, Note{State: Closing, Why: why})
	m.finish(now, r)
}

// finish takes the next step of a closing recording: wait for the start's
// answer, stop the recorder, look at the file.
func (m *Machine) finish(now time.Time, r *rec) {
	switch {
	case r.vanished: // there is nothing to look at
	case r.kept != nil:
		m.conclude(now, r)
	case r.finalising || r.stopOpen:
	case r.startOpen && !r.gaveUp:
		if r.deadline.IsZero() {
			r.deadline = now.Add(m.cfg.Answer)
		}
	case r.gone || r.hanging || r.stopped || r.MixMonitorID == "":
		r.finalising, r.deadline = true, time.Time{}
		r.try++
		m.emit(Finalise{Row: r.snapshot(), Try: r.try})
	default:
		r.stopOpen, r.deadline = true, time.Time{}
		m.emit(Stop{r.snapshot()})
	}
}

// result applies a result of exec.
func (m *Machine) result(now time.Time, in Input) {
	switch in := in.(type) {
	case Started:
		m.with(in.UUID, func(r *rec) { m.started(now, r, in) })
	case StartLost:
		m.with(in.UUID, func(r *rec) { m.startLost(now, r, in) })
	case StartFailed:
		m.with(in.UUID, func(r *rec) { m.startFailed(now, r, in) })
	case Seen:
		m.with(in.UUID, func(r *rec) { m.log(now, EventSeen, r, Note{}) })
	case Grew:
		m.with(in.UUID, func(r *rec) { m.grew(now, r) })
	case SilentRTP:
		m.with(in.UUID, func(r *rec) { m.silent(now, r) })
	case NotSeen:
		m.with(in.UUID, func(r *rec) { m.unproved(now, r, in.Cause, in.Detail) })
	case NotGrown:
		m.with(in.UUID, func(r *rec) { m.unproved(now, r, in.Cause, in.Detail) })
	case Closed:
		m.with(in.UUID, func(r *rec) { m.closed(now, r) })
	case StopDone:
		m.with(in.UUID, func(r *rec) { m.stopDone(now, r) })
	case StopFailed:
		m.with(in.UUID, func(r *rec) { m.stopFailed(now, r, in) })
	case Muted:
		m.with(in.UUID, func(r *rec) { m.muted(now, r, in) })
	case MuteFailed:
		m.with(in.UUID, func(r *rec) { m.muteFailed(now, r, in) })
	case Finalised:
		m.with(in.UUID, func(r *rec) { m.finalised(now, r, in) })
	case Broken:
		m.with(in.UUID, func(r *rec) { m.broken(now, r, in) })
	case StorageBack:
		m.storageBack(now, in)
	}
}

func (m *Machine) with(uuid string, f func(*rec)) {
	if r := m.recs[uuid]; r != nil {
		f(r)
	}
}

func (m *Machine) started(now time.Time, r *rec, in Started) {
	if !r.startOpen {
		return
	}
	r.startOpen, r.MixMonitorID = false, in.MixMonitorID
	if r.StartedAt.IsZero() { // else its file goes on
		r.StartedAt = in.At
	}
	if r.Cause == CauseNoManager {
		r.Detail = fmt.Sprintf("started %s late: %s", in.At.Sub(r.IntentAt).Round(100*time.Millisecond), r.Detail)
		m.log(now, EventLate, r, Note{Cause: r.Cause, Detail: r.Detail, Since: r.IntentAt})
	}
	m.log(now, EventStarted, r, Note{ID: in.MixMonitorID, Hook: r.Hook})
	if !r.active() {
		m.startedLate(now, r)
		return
	}
	if m.steer(now, r); r.stopOpen {
		r.deadline = time.Time{}
		m.emit(Save{Row: r.snapshot()})
		return // stopped again: there is nothing to prove
	}
	w := m.proof(now, r)
	m.promote(r)
	m.emit(Save{Row: r.snapshot()}, w)
	m.chime(now, m.talks[r.talk])
}

// proof asks for what is still to be seen of a recorder that runs.
func (m *Machine) proof(now time.Time, r *rec) WatchFile {
	w := WatchFile{Row: r.snapshot(), Exists: m.cfg.Exists, Growth: m.cfg.Growth, Proved: r.proved}
	if r.proved {
		return w
	}
	r.deadline = now.Add(2*m.cfg.Growth + m.cfg.Answer)
	if t := m.talks[r.talk]; t != nil && t.attempt > 0 {
		w.Growth = max(m.cfg.RetryGrowth, min(w.Growth, m.cfg.Total-now.Sub(t.firstAt)))
	}
	return w
}

// startedLate stops a recorder whose start was answered when nobody wanted it
// any more, also if the row has been given up: its audio is looked at again.
func (m *Machine) startedLate(now time.Time, r *rec) {
	if r.gone && r.State != Closing {
		m.drop(r)
		return
	}
	if r.finalising && r.gone {
		return
	}
	r.State, r.finalising, r.gaveUp = Closing, false, false
	r.try++ // the result of a Finalise before the stop does not count
	m.finish(now, r)
}

func (m *Machine) promote(r *rec) {
	if r.State == Starting && !r.startOpen && (r.proved || r.Silent) {
		r.State, r.deadline = Live, time.Time{}
		m.noteLate(r)
		if r.paused() {
			r.State = Paused
		}
	}
}

func (m *Machine) grew(now time.Time, r *rec) {
	if r.proved || !r.active() {
		r.proved = true
		return
	}
	r.proved, r.Silent = true, false
	if t := m.talks[r.talk]; t != nil {
		t.attempt, t.firstAt, t.revived = 0, time.Time{}, 0
		m.goesOn(now, t, r)
	}
	m.promote(r)
	m.emit(Save{Row: r.snapshot()})
	m.log(now, EventProved, r, Note{State: r.State})
}

func (m *Machine) silent(now time.Time, r *rec) {
	if r.proved || r.Silent || !r.active() {
		return
	}
	r.Silent = true
	m.promote(r)
	m.emit(Save{Row: r.snapshot()})
	m.log(now, EventSilent, r, Note{State: r.State})
}

func (m *Machine) unproved(now time.Time, r *rec, cause, detail string) {
	if m.rings(r) || now.Sub(r.rang) < m.cfg.Growth {
		m.emit(m.proof(now, r)) // it hears nothing before the talk
		return
	}
	if !r.proved && !r.cutting() {
		m.fail(now, r, cause, detail)
	}
}

func (m *Machine) startFailed(now time.Time, r *rec, in StartFailed) {
	if !r.startOpen {
		return
	}
	if in.Cause == CauseNoManager && r.active() && !r.gone && !r.hanging {
		m.awaitConnection(now, r, in)
		return
	}
	r.startOpen, r.stopped = false, true
	switch {
	case r.active():
		m.fail(now, r, in.Cause, in.Detail)
	case r.State == Closing:
		if r.Cause == "" || r.Cause == CauseTalkEnded && in.Cause == CauseNoChannel {
			r.Cause = CauseHungUp
		}
		m.finish(now, r)
	default:
		m.drop(r)
	}
}

// fail ends a start that was not proved, stopping it by its id if there is
// one, and retries it once unless the directory itself cannot take a file. A
// channel that is gone is a hangup and no failure, but is looked at again: the
// talk may go on.
func (m *Machine) fail(now time.Time, r *rec, cause, detail string) {
	if !r.active() {
		return
	}
	hungUp := r.gone || r.hanging || cause == CauseNoChannel
	r.Cause, r.Detail, r.failed = cause, detail, !hungUp
	switch {
	case hungUp && r.waits > 0:
		r.Cause = CauseNoManager // for the longest time
	case hungUp:
		r.Cause = CauseHungUp
	}
	why := "start_failed"
	if hungUp && r.appends {
		why = r.Cause // the file is there, only the hangup was faster
	} else {
		m.log(now, EventStartFailed, r, Note{Cause: r.Cause, Detail: detail})
	}
	t := m.talks[r.talk]
	if t != nil && t.current != r.UUID {
		t = nil
	}
	m.leave(r)
	m.close(now, r, why)
	if t == nil {
		return
	}
	t.attempt++
	t.lacks(r.IntentAt, r.Cause)
	if t.revived > 0 {
		r.alarmed = r.Cause // by an attempt before
	}
	switch {
	case (cause == CauseNoAnswer || cause == CauseNoGrowth) && t.attempt > 1:
		// Whatever keeps Asterisk from answering or writing, such as a load that
		// is too high, may end while they talk.
		t.recheck = now.Add(m.patience(m.cfg.StartRetry, t.attempt-1))
		if cause == CauseNoAnswer || t.attempt > 2 {
			r.alarmed = cause // by an attempt before
		}
	case Storage(cause) || t.attempt > 1:
		t.blocked, t.blockedAt = true, now
		if Storage(cause) {
			m.awaitStorage(t, r)
		}
		if t.starter != "" {
			t.beep, t.starter = false, "" // nothing has worked
		}
	case hungUp:
		t.recheck = now.Add(m.cfg.Recheck)
	default:
		m.ensure(now, t)
	}
}

// closed handles a file that was closed. If nobody asked for it the channel
// is usually in hangup and its event still on the way, so what the talk needs
// is looked at a little later.
func (m *Machine) closed(now time.Time, r *rec) {
	r.stopped = true
	if !r.active() || r.cutting() {
		return
	}
	if !r.gone && !r.hanging && r.Cause == "" {
		r.Cause = CauseClosedEarly
	}
	if t := m.talks[r.talk]; t != nil && t.current == r.UUID {
		t.recheck = now.Add(m.cfg.Recheck)
		t.lacks(now, CauseClosedEarly)
		if r.Cause == CauseClosedEarly && r.proved { // else its verdict is an alarm
			t.cutOff, t.cutHook = r.UUID, r.Hook
		}
	}
	m.leave(r)
	m.close(now, r, "file_closed")
}

func (m *Machine) stopDone(now time.Time, r *rec) {
	r.stopped = true
	if r.stopOpen && r.active() {
		m.cutDone(now, r)
	} else if r.stopOpen {
		r.stopOpen = false
		m.finish(now, r)
	}
}

// stopFailed tries again later if the recorder may still run.
func (m *Machine) stopFailed(now time.Time, r *rec, in StopFailed) {
	if !r.stopOpen {
		return
	}
	r.stopOpen = false
	if r.renewal.tries == 0 { // else that is on record
		m.log(now, EventStopFailed, r, Note{Cause: in.Cause, Detail: in.Detail})
	}
	if r.active() {
		m.cutFailed(now, r, in)
		return
	}
	if in.Cause == CauseStalled || in.Cause == CauseTimeout || in.Cause == CauseNoManager {
		if t := m.talkOf(r.Hook); t != nil && t.paused() && !r.muting.open && !r.hushed() {
			m.muteLast(r)
		}
		r.stopTries++
		r.deadline = now.Add(m.cfg.StopRetry)
		if in.Cause == CauseNoManager { // Reachable will tell of its end
			r.deadline = now.Add(m.patience(m.cfg.StopRetry, r.stopTries))
		}
		if r.stopCause != in.Cause {
			r.stopCause = in.Cause
			m.emit(Alarm{Recording: r.UUID, Cause: in.Cause, Detail: in.Detail})
		}
		return
	}
	r.stopped = true
	m.finish(now, r)
}

// finalised gives the recording its final state.
func (m *Machine) finalised(now time.Time, r *rec, in Finalised) {
	if r.State != Closing || !r.finalising || in.Try != r.try {
		return
	}
	r.finalising = false
	// Asterisk closes the file before its events of the hangup are here.
	explained := r.EndedAt.Add(m.cfg.Recheck)
	if state, cause := verdict(r, in); state != Ready && cause == CauseClosedEarly && now.Before(explained) {
		r.kept, r.deadline = &in, explained
		return
	}
	m.settle(now, r, in)
}

// conclude applies the result that waited for an explanation.
func (m *Machine) conclude(now time.Time, r *rec) {
	in := *r.kept
	r.kept, r.deadline = nil, time.Time{}
	m.settle(now, r, in)
}

// settle applies what was found in the file.
func (m *Machine) settle(now time.Time, r *rec, in Finalised) {
	r.Bytes, r.Samples, r.Rate, r.SHA256 = in.Bytes, in.Samples, in.Rate, in.SHA256
	r.State, r.Cause = verdict(r, in)
	if in.Detail != "" {
		r.Detail = in.Detail
	}
	r.heardLate(&in)
	r.drift = in.Drift
	m.timed(r, in)
	m.listened(now, r, in.Pauses)
	if in.Repaired {
		m.log(now, EventRepaired, r, Note{
			State: r.State, Detail: in.Detail, Bytes: in.Bytes, Samples: in.Samples, SHA256: in.SHA256,
			OriginalBytes: in.OriginalBytes, OriginalSHA256: in.OriginalSHA256,
		})
	}
	m.final(now, r)
}

// verdict says what a closed file makes of its recording, and why.
func verdict(r *rec, in Finalised) (State, string) {
	or := func(cause string) string {
		if r.Cause != "" {
			return r.Cause
		}
		return cause
	}
	switch {
	case !in.Found:
		return Missing, or(CauseNoFile)
	case in.Cause != "":
		return Interrupted, in.Cause
	case in.Samples == 0 && r.failed:
		return Missing, or(CauseNoFile)
	case in.Samples == 0 && r.Silent:
		return Empty, or(CauseSilent)
	case in.Samples == 0:
		return Empty, or(CauseNoAudio)
	case in.Repaired && in.Headless:
		return Interrupted, CauseHeaderLost
	case in.Repaired:
		return Interrupted, CauseRepaired
	case !in.Complete:
		return Interrupted, CauseHeaderUnset
	case r.failed, r.broke:
		return Ready, r.Cause // audio after all; say what it went through
	case r.Cause == CauseNoManager:
		return Ready, r.Cause // the beginning is missing
	}
	return Ready, ""
}

// final stores the end of a recording. What a hangup cut short is no alarm.
func (m *Machine) final(now time.Time, r *rec) {
	m.emit(Save{Row: r.snapshot(), Sync: true})
	m.log(now, EventFinal, r, Note{
		State: r.State, Cause: r.Cause, Detail: r.Detail,
		Bytes: r.Bytes, Samples: r.Samples, SHA256: r.SHA256, Drift: r.drift.Milliseconds(),
	})
	cut := r.Cause == CauseHungUp || r.Cause == CauseTalkEnded
	if (r.State == Interrupted || r.State == Missing && !cut) && r.alarmed != r.Cause {
		m.emit(Alarm{Recording: r.UUID, Cause: r.Cause, Detail: r.Detail})
	}
	if !r.startOpen || r.gone {
		m.drop(r)
	}
}
