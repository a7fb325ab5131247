package app

import (
	"context"
	"encoding/json"
	"time"

	"callrecordd/ari"
	"callrecordd/ari/ami"
	"callrecordd/internal/audit"
	"callrecordd/internal/recorder"
)

// The daemon's own life, noted as events: an audit must know when nobody was
// there to record.

// outageLook is how far before a period an outage is looked for that lasted into it.
const outageLook = 30 * 24 * time.Hour

// outages are those of a period, with the alarms about recordings.
func (a *Audits) outages(ctx context.Context, since, until time.Time) ([]audit.Outage, map[string][]audit.Notice, error) {
	list, err := a.opt.Store.OutageEvents(ctx, since.Add(-outageLook), until.Add(time.Hour))
	if err != nil {
		return nil, nil, err
	}
	events := make([]audit.Event, 0, len(list))
	for _, e := range list {
		data, _ := e.Data.(json.RawMessage) // as store.Event says
		events = append(events, audit.Event{ID: e.ID, Event: e.Event, Data: data})
	}
	all, err := audit.Outages(events, func(id int64) (time.Time, error) { return a.opt.Store.LastAlive(ctx, id) })
	if err != nil {
		return nil, nil, err
	}
	out := []audit.Outage{}
	for _, o := range all {
		if o.From.Before(until) && (o.To.IsZero() || o.To.After(since)) {
			out = append(out, o)
		}
	}
	return out, audit.Alarms(events), nil
}

// manyNotes wait at most for the database; what is more is lost, and the log has it.
const manyNotes = 256

// notes are events of the daemon's life on their way to the store: who has them
// must not wait for it.
type notes chan recorder.Event

// aliveEvery is how often it is noted that we live.
const aliveEvery = 5 * time.Second

// startNotes stores them one by one.
func (a *App) startNotes(ctx context.Context) {
	alive, err := a.store.Alive(ctx)
	if err != nil {
		a.log.Error("how long nobody watched is not known", "err", err)
	}
	a.note(audit.EventDaemonStarted, audit.Started{Version: a.opt.Version, Alive: alive})
	a.stack.goStep("notes", a.failed, func(ctx context.Context) error {
		tick := time.NewTicker(aliveEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case e := <-a.notes:
				a.keepNote(ctx, e)
			case <-tick.C:
				if err := a.store.SetAlive(ctx, a.opt.Now()); err != nil && ctx.Err() == nil {
					a.log.Warn("it cannot be noted that the daemon lives", "err", err)
				}
			}
		}
	})
}

func (a *App) keepNote(ctx context.Context, e recorder.Event) {
	if err := a.store.AppendEvents(ctx, e); err != nil && ctx.Err() == nil {
		a.log.Error("an event of the daemon's life could not be stored", "kind", e.Kind, "err", err)
	}
}

// note stores that something has happened to the daemon itself. It does not wait.
func (a *App) note(kind string, data any) {
	select {
	case a.notes <- recorder.Event{At: a.opt.Now(), Kind: kind, Actor: "callrecordd", Data: data}:
	default:
		a.log.Error("an event of the daemon's life is lost", "kind", kind)
	}
}

// farewell bounds the last word: a database that hangs must not hold up a stop.
const farewell = 500 * time.Millisecond

// noteStop is the last word of an orderly stop.
func (a *App) noteStop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, farewell)
	defer cancel()
	a.keepNote(ctx, recorder.Event{At: a.opt.Now(), Kind: audit.EventDaemonStopped, Actor: "callrecordd", Data: struct{}{}})
}

// noteManager notes that Asterisk's manager has come or gone.
func (a *App) noteManager(s ami.State) {
	up := s.Kind == ami.StateConnected
	if a.managerUp.Swap(up) == up {
		return
	}
	if up {
		a.note(audit.EventManagerSeen, struct{}{})
		return
	}
	a.note(audit.EventManagerUnseen, audit.Unseen{Detail: s.Detail})
}

// seen and unseen note whether Asterisk's events are seen.
func (s *sink) seen(session ari.Session) {
	s.note(audit.EventAsteriskSeen, audit.Seen{Boot: session.Info.StartupTime})
}

func (s *sink) unseen(cause error) {
	detail := ""
	if cause != nil {
		detail = cause.Error()
	}
	s.note(audit.EventAsteriskUnseen, audit.Unseen{Detail: detail})
}
