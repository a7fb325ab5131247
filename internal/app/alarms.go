package app

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"callrecordd/ari"
	"callrecordd/ari/ami"
	"callrecordd/internal/alarm"
	"callrecordd/internal/recorder"
	"callrecordd/store"
)

// All that a person should know now goes through one board (internal/alarm).
// Each change is logged at once; to be stored, and so told to webhooks and
// streams, it waits in a queue, for a database that hangs must hold up nobody.

// The kinds of the stored events; Data is alarm.Change.
const (
	eventAlarmRaised  = "alarm_raised"
	eventAlarmCleared = "alarm_cleared"
)

// alarmRoom is how many changes may wait to be stored.
const alarmRoom = 1024

// alarmsEvery is how often states are looked at.
const alarmsEvery = time.Second

// alarms is the board and what it has told.
type alarms struct {
	*alarm.Board
	queue chan recorder.Event
	log   *slog.Logger
}

func newAlarms(now func() time.Time, log *slog.Logger) *alarms {
	s := &alarms{queue: make(chan recorder.Event, alarmRoom), log: log}
	s.Board = alarm.New(alarm.Options{Now: now, Tell: s.tell})
	return s
}

func (s *alarms) tell(c alarm.Change) {
	e := recorder.Event{At: c.Last, Kind: eventAlarmRaised, Actor: "callrecordd", Data: c}
	level := slog.LevelError
	if c.Severity == alarm.Warning {
		level = slog.LevelWarn
	}
	message := "alarm"
	if c.Cleared {
		e.Kind, level, message = eventAlarmCleared, slog.LevelInfo, "alarm is over"
	}
	if recorder.ValidUUID(c.Subject) {
		e.Recording = c.Subject
	}
	s.log.Log(context.Background(), level, message, "kind", string(c.Kind), "subject", c.Subject, "count", c.Count, //nolint:sloglint // one of two constants
		"detail", c.Detail, "do", c.Do)
	select {
	case s.queue <- e:
	default:
		s.log.Error("an alarm could not be stored: too many wait", "kind", string(c.Kind))
	}
}

// run stores what was told. A database that takes nothing is tried again: what
// waits behind is not more urgent.
func (s *alarms) run(ctx context.Context, st *store.Store) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-s.queue:
			s.store(ctx, st, e)
		}
	}
}

func (s *alarms) store(ctx context.Context, st *store.Store, e recorder.Event) {
	const most = time.Minute
	for wait := time.Second; ; wait = min(2*wait, most) {
		err := st.AppendEvents(ctx, e)
		if err == nil || ctx.Err() != nil {
			return
		}
		s.log.Warn("an alarm is not stored yet", "kind", e.Kind, "err", err)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// recording takes an alarm of the recorder.
func (s *alarms) recording(a recorder.Alarm) {
	detail := a.Cause
	if a.Detail != "" {
		detail += ": " + a.Detail
	}
	s.Happened(kindOf(a), a.Tenant, a.Recording, detail)
}

func kindOf(a recorder.Alarm) alarm.Kind {
	switch {
	case a.Broken:
		return alarm.RecordingBroken
	case a.Cause == recorder.CauseMuteFailed:
		return alarm.PauseFailed
	case a.Cause == recorder.EventNotSilent:
		return alarm.PauseNotSilent
	case a.Cause == recorder.CauseTooLong:
		return alarm.MediaTime
	case a.Cause == recorder.CauseStalled, a.Cause == recorder.CauseTimeout:
		return alarm.StopFailed
	}
	return alarm.RecordingFailed
}

// storage takes what the recorder knows of its folders.
func (s *alarms) storage(st recorder.StorageState) {
	kind := alarm.StorageGone
	if st.Cause == recorder.CauseStalled {
		kind = alarm.StorageStalled
	}
	s.State(kind, st.Dir, st.Detail)
}

// startAlarms keeps the board in line with the states of all parts.
func (a *App) startAlarms() {
	a.stack.goStep("alarms", a.failed, func(ctx context.Context) error { return a.alarms.run(ctx, a.store) })
	a.stack.goEvery("states", alarmsEvery, func(ctx context.Context) {
		a.lookAtStates()
		a.guardCalls(ctx)
	})
}

func (a *App) lookAtStates() {
	s := a.Status()
	lacks := func(kind alarm.Kind, wrong bool, detail string) {
		if !wrong {
			detail = ""
		} else if detail == "" {
			detail = "no reason is known"
		}
		a.alarms.State(kind, "", detail)
	}
	lacks(alarm.EventsAway, s.ARI.Kind != ari.StateConnected, s.ARI.Detail)
	lacks(alarm.ManagerAway, s.AMI.Kind != ami.StateConnected, s.AMI.Detail)
	lacks(alarm.JournalStalled, !s.Journal.Ready, s.Journal.Detail)
	lacks(alarm.Database, s.Database != "", s.Database)
	recorder, root := a.needs.parts()
	lacks(alarm.RecorderLacks, recorder != "", recorder)
	unsigned, unanchored := a.ledgerFaults()
	lacks(alarm.LedgerUnsigned, unsigned != "", unsigned)
	lacks(alarm.LedgerUnanchored, unanchored != "", unanchored)
	a.alarms.State(alarm.StorageGone, a.opt.Config.Recordings.Root, root)
	a.alarms.Expire()
}

// kindNames are all kinds, in order.
func kindNames() []alarm.Kind {
	var out []alarm.Kind
	for _, i := range alarm.Kinds() {
		out = append(out, i.Kind)
	}
	slices.Sort(out)
	return out
}
