package recorder

import (
	"cmp"
	"slices"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/call"
)

// Channel is a live channel and the recorders of ours that run on it: those of
// its variables CALLRECORD_<uuid> whose id MIXMONITOR(id,filename) answers
// with that recording's file (facts 1).
type Channel struct {
	ID, Name  string
	Recorders []Recorder
}

// Recorder is a running MixMonitor of ours.
type Recorder struct {
	UUID, MixMonitorID string
	Tenant             string // from the file's path
}

// Fate is what becomes of a recording after a gap.
type Fate uint8

// Keep: its recorder runs. Finish: it does not, but there is a file. Lose:
// there is neither.
const (
	Keep Fate = iota + 1
	Finish
	Lose
)

// Found is a recording after a gap, Row brought up to date.
type Found struct {
	Row   Recording
	Fate  Fate
	Cause string // if it turns out to be missing or empty
}

// Plan compares rows that are not final with the channels that live and the
// files that are there (uuid → size in bytes, -1 if a file could not be looked
// at: only a file that is known not to be there is missing). It is pure and total: start-up,
// reconnect and orphan search use it (design 8). A recorder without a row, its
// intent never committed, gets one.
func Plan(now, boot time.Time, rows []Recording, channels []Channel, files map[string]int64) []Found {
	type place struct {
		ch  Channel
		rec Recorder
	}
	running, living := map[string]place{}, living(channels)
	for _, ch := range channels {
		for _, r := range ch.Recorders {
			running[r.UUID] = place{ch, r}
		}
	}
	var out []Found
	known := map[string]bool{}
	for _, row := range rows {
		known[row.UUID] = true
		p, alive := running[row.UUID]
		_, file := files[row.UUID]
		f := Found{Row: row, Cause: CauseDaemonDown}
		switch {
		case !alive && row.cutPaused() && row.Boot.Equal(boot) && living[row.Hook]:
			f.Fate, f.Row.MixMonitorID = Keep, "" // waits for the end of its pause
		case alive:
			f.Fate = Keep
			f.Row.Hook, f.Row.HookName, f.Row.MixMonitorID, f.Row.Boot = p.ch.ID, p.ch.Name, p.rec.MixMonitorID, boot
		case file:
			f.Fate = Finish
		default:
			f.Fate = Lose
		}
		if !row.Boot.Equal(boot) && !alive {
			f.Cause = CauseRestarted
		}
		out = append(out, f)
	}
	for _, ch := range channels {
		for _, r := range ch.Recorders {
			if known[r.UUID] {
				continue
			}
			known[r.UUID] = true
			out = append(out, Found{Fate: Keep, Row: Recording{
				UUID: r.UUID, TenantUUID: r.Tenant, Boot: boot, Hook: ch.ID, HookName: ch.Name,
				Legs: []string{ch.ID}, MixMonitorID: r.MixMonitorID, State: Starting,
				// Who wanted it is lost with the row, that somebody did is not.
				Claims: []Claim{{Leg: ch.ID, Reason: dialplan.Resync, At: now}},
				Detail: "recorder without a row", IntentAt: now,
			}})
		}
	}
	return out
}

// Reconcile applies Plan at start and after every reconnect, before the talks
// that the resync finds are told. Recordings whose recorder runs go on, in the
// talk that has their hook; without one within call.Grace they are stopped.
// channels must tell of the recorders of rows and of Recordings.
func (m *Machine) Reconcile(now time.Time, rows []Recording, channels []Channel, files map[string]int64) []Effect {
	m.now, m.blind = now, false
	defer func() { m.blindAt = time.Time{} }()
	all := slices.Clone(rows)
	known := make(map[string]bool, len(all))
	answered := map[string]bool{} // while channels were looked at: they may not tell of it
	for i, row := range all {
		known[row.UUID] = true
		if r := m.recs[row.UUID]; r != nil {
			answered[row.UUID] = row.MixMonitorID == "" && r.MixMonitorID != ""
			all[i] = r.snapshot() // ours is the newer one
		}
	}
	for _, r := range m.sorted() {
		if (r.active() || r.State == Closing) && !known[r.UUID] {
			all = append(all, r.snapshot())
		}
	}
	m.recollect(now, channels)
	plan := Plan(now, m.cfg.Boot, all, channels, files)
	g := gap{living(channels), recording(plan)}
	for _, f := range plan {
		switch {
		case f.Fate == Keep || !answered[f.Row.UUID]:
			m.apply(endOf(now, f), f, g)
		case !g.living[f.Row.Hook]:
			m.channelGone(now, f.Row.Hook)
		}
	}
	for _, r := range m.sorted() {
		m.inPlace(now, r)
	}
	for _, r := range m.sorted() {
		if r.unsent {
			r.deadline = now
		}
		if r.renewal.why != "" {
			m.steer(now, r) // it has waited for events
		}
	}
	m.forgetLegs(now, g.living)
	return m.take()
}

// endOf is when what was found happened: a recording that ended without us
// keeps its end.
func endOf(now time.Time, f Found) time.Time {
	if f.Fate == Keep || f.Row.State == Closing || f.Row.EndedAt.IsZero() {
		return now
	}
	return f.Row.EndedAt
}

// gap is what is there after one: the channels that live, and of them those that
// are the hook of a recording that goes on and hears.
type gap struct {
	living, records map[string]bool
}

// living are the uniqueids of channels: there may be thousands, and as many rows.
func living(channels []Channel) map[string]bool {
	out := make(map[string]bool, len(channels))
	for _, c := range channels {
		out[c.ID] = true
	}
	return out
}

func recording(plan []Found) map[string]bool {
	out := map[string]bool{}
	for _, f := range plan {
		if f.Fate == Keep && f.Row.State != Closing && !f.Row.paused() {
			out[f.Row.Hook] = true
		}
	}
	return out
}

func (m *Machine) apply(now time.Time, f Found, g gap) {
	r := m.recs[f.Row.UUID]
	if r != nil && (r.startOpen || r.cutting() || r.stopOpen || r.unsent || r.State == Closing) {
		// Its results are on the way; only the channel's end may be news.
		if !g.living[r.Hook] {
			m.channelGone(now, r.Hook)
		}
		return
	}
	if r == nil {
		r = &rec{Recording: f.Row, adopted: true}
		r.proved = r.State == Live || r.State == Paused
		r.muting.unsure = true // we may have died in a pause, or with the talk suspended
		if f.Fate == Keep && !r.active() {
			// It was given up, its start being unanswered, and runs all the same.
			r.State, r.failed = Closing, true
		}
		m.add(r)
	} else {
		m.unhook(r)
		r.Recording = f.Row
		m.add(r)
	}
	if f.Fate == Keep {
		m.adopt(now, r)
		return
	}
	r.gone = true
	if r.Cause == "" && !r.proved {
		r.Cause = f.Cause
	}
	if f.Fate == Lose && r.Cause == "" {
		r.Cause = CauseNoFile
	}
	m.leave(r)
	m.keepPause(now, r, g)
	if t := m.talks[r.talk]; t != nil && t.current == r.UUID {
		// The talk may go on without a change of its own.
		t.gone[r.Hook] = t.gone[r.Hook] || !g.living[r.Hook]
		t.recheck = now.Add(m.cfg.Recheck)
		t.lacks(sooner(m.blindAt, now), cmp.Or(r.Cause, f.Cause))
	}
	r.vanished = f.Fate == Lose
	m.close(now, r, f.Cause)
	m.finish(now, r) // a row that was closing before
	if f.Fate == Lose {
		m.withdraw(now, r)
	}
}

// withdraw gives a recording whose file is known not to be there the end that a
// Finalise would report.
func (m *Machine) withdraw(now time.Time, r *rec) {
	r.finalising, r.vanished, r.State = false, false, Missing
	m.final(now, r)
}

func (m *Machine) adopt(now time.Time, r *rec) {
	if r.State == Closing {
		// We died between the wish to stop and the stop.
		m.emit(Save{Row: r.snapshot()})
		m.finish(now, r)
		return
	}
	m.adoptPause(now, r)
	m.emit(Save{Row: r.snapshot()})
	if !r.cutting() {
		m.emit(WatchFile{Row: r.snapshot(), Exists: m.cfg.Exists, Growth: m.cfg.Growth, Proved: r.proved})
	}
	m.log(now, EventAdopted, r, Note{State: r.State, Hook: r.Hook, ID: r.MixMonitorID})
	if t := m.talks[r.talk]; t != nil && t.current == r.UUID && t.has(r.Hook) {
		return
	}
	if !r.proved {
		r.deadline = now.Add(2*m.cfg.Growth + m.cfg.Answer)
	}
	r.orphanBy = now.Add(call.Grace)
}
