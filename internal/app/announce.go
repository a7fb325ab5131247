package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"callrecordd/internal/alarm"
	"callrecordd/internal/api"
	"callrecordd/internal/directory"
	"callrecordd/internal/events"
	"callrecordd/internal/export"
	"callrecordd/internal/recorder"
	"callrecordd/store"
)

// announcer makes of stored rows what others are told (docs/events.md).
type announcer struct {
	store     *store.Store
	directory *directory.Service
	origin    string
	now       func() time.Time
	log       *slog.Logger
}

// rowTime is how long an event waits for the row of its recording: the start of
// a recorder does not wait for its intent to be stored (design 8).
const rowTime = 10 * time.Second

// errNoRow: the row may still come.
var errNoRow = errors.New("the recording is not stored yet")

// announced are the kinds of rows that announce something.
func announced() []string {
	return []string{
		recorder.EventStarted, recorder.EventPaused, recorder.EventResumed, recorder.EventClosing,
		store.EventSettled, store.EventCDR, "export.created", "export.updated", eventAlarmRaised, eventAlarmCleared, directory.EventTenantChanged,
	}
}

// Last implements events.Log.
func (a announcer) Last(ctx context.Context) (int64, error) { return a.store.LastEvent(ctx) }

// After implements events.Log.
func (a announcer) After(ctx context.Context, row int64, limit int) (out []events.Entry, more bool, err error) {
	list, err := a.store.EventsAfter(ctx, row, announced(), limit)
	if err != nil {
		return nil, false, err
	}
	for _, e := range list {
		told, err := a.events(ctx, e)
		switch {
		case errors.Is(err, errNoRow) && a.now().Sub(e.At).Abs() < rowTime: // a clock may be set back
			return out, true, nil
		case errors.Is(err, store.ErrNotFound):
			a.log.Debug("an event is not announced: what it is about is gone", "id", e.ID, "kind", e.Kind, "err", err)
		case undecodable(err):
			// It will not become better, and those behind it must be told.
			a.log.Error("an event is not announced: what is stored of it cannot be read", "id", e.ID, "kind", e.Kind, "err", err)
		case err != nil:
			return nil, false, fmt.Errorf("announce event %d: %w", e.ID, err)
		}
		for i := range told {
			told[i].ID = events.Position{Row: e.ID, Part: i}
			told[i].OriginUUID, told[i].Timestamp = a.origin, e.At
			told[i].RequiredACL = events.Access(told[i].Name, told[i].UserUUID)
		}
		out = append(out, events.Entry{Row: e.ID, Events: told})
	}
	return out, false, nil
}

// events are what a row announces. The error wraps store.ErrNotFound if what it
// is about is not there.
func (a announcer) events(ctx context.Context, e store.Event) ([]events.Event, error) {
	switch e.Kind {
	case recorder.EventStarted:
		// A recorder that is renewed, or goes on after a cut, is no other recording.
		if again, err := a.store.SawBefore(ctx, e.ID, e.Kind, e.Recording); err != nil || again {
			return nil, err
		}
		return a.recording(ctx, e, events.RecordingStarted, store.Settled{})
	case recorder.EventPaused:
		return a.recording(ctx, e, events.RecordingPaused, store.Settled{})
	case recorder.EventResumed:
		return a.recording(ctx, e, events.RecordingResumed, store.Settled{})
	case recorder.EventClosing:
		// What never ran does not stop, and what a killed daemon had already noted
		// does not stop again.
		if ran, err := a.store.SawBefore(ctx, e.ID, recorder.EventStarted, e.Recording); err != nil || !ran {
			return nil, err
		}
		if again, err := a.store.SawBefore(ctx, e.ID, e.Kind, e.Recording); err != nil || again {
			return nil, err
		}
		return a.recording(ctx, e, events.RecordingStopped, store.Settled{})
	case store.EventSettled:
		var s store.Settled
		if err := decode(e, &s); err != nil {
			return nil, err
		}
		if s.State == recorder.Ready {
			return a.recording(ctx, e, events.RecordingReady, s)
		}
		return a.recording(ctx, e, events.RecordingFailed, s)
	case store.EventCDR:
		var c store.CDRSaved
		if err := decode(e, &c); err != nil {
			return nil, err
		}
		return a.cdr(ctx, c)
	case "export.created":
		return a.export(ctx, e, events.ExportCreated)
	case "export.updated":
		return a.export(ctx, e, events.ExportUpdated)
	case eventAlarmRaised:
		return a.alarm(e, events.AlarmRaised)
	case eventAlarmCleared:
		return a.alarm(e, events.AlarmCleared)
	case directory.EventTenantChanged:
		return announcementsEdited(e)
	}
	return nil, nil
}

// undecodable says that stored JSON is not what it should be.
func undecodable(err error) bool {
	_, syntax := errors.AsType[*json.SyntaxError](err)
	_, kind := errors.AsType[*json.UnmarshalTypeError](err)
	return syntax || kind
}

// announcementsEdited tells that a tenant's parties are told by other sounds.
func announcementsEdited(e store.Event) ([]events.Event, error) {
	var change struct {
		Key           string
		Before, After directory.Tenant
	}
	if err := decode(e, &change); err != nil || change.Before.Announce == change.After.Announce {
		return nil, err
	}
	out, err := event(events.AnnouncementsEdited, change.Key, "", api.AnnouncementsEventData(change.After.Announce))
	return []events.Event{out}, err
}

func decode(e store.Event, v any) error {
	raw, _ := e.Data.(json.RawMessage)
	if err := json.Unmarshal(raw, v); err != nil {
		return fmt.Errorf("data of %s: %w", e.Kind, err)
	}
	return nil
}

func event(name, tenant, user string, data any) (events.Event, error) {
	js, err := json.Marshal(data)
	return events.Event{Name: name, TenantUUID: tenant, UserUUID: user, Data: js}, err
}

func (a announcer) recording(ctx context.Context, e store.Event, name string, s store.Settled) ([]events.Event, error) {
	r, err := a.store.Recording(ctx, e.Recording)
	if errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("%w: %w", errNoRow, err)
	}
	if err != nil {
		return nil, err
	}
	user, err := a.userOf(ctx, r)
	if err != nil {
		return nil, err
	}
	out, err := event(name, r.TenantUUID, user, api.RecordingEventData(name, r, user, s.State, s.Cause))
	return []events.Event{out}, err
}

// userOf is the user on whose channel a recording was made; a trunk has none.
func (a announcer) userOf(ctx context.Context, r recorder.Recording) (string, error) {
	for _, c := range r.Claims {
		if c.Leg == r.Hook && c.UserUUID != "" {
			return c.UserUUID, nil
		}
	}
	parties, err := a.store.Parties(ctx, r.UUID)
	for _, p := range parties {
		if p.Leg == r.Hook && p.UserUUID != "" {
			return p.UserUUID, err
		}
	}
	return "", err
}

// cdr announces a call, and to each user in it the user's own view. A user of
// another tenant sees the call, nobody else of that tenant does (design 5).
func (a announcer) cdr(ctx context.Context, saved store.CDRSaved) ([]events.Event, error) {
	book := a.directory.Book()
	c, err := a.store.CDR(ctx, saved.ID, book.Subtree(book.Master().UUID))
	if err != nil {
		return nil, err
	}
	record := api.Record{CDR: c.CDR, Recordings: c.Recordings}
	name := events.CallLogCreated
	if !saved.New {
		name = events.CallLogUpdated
	}
	whole, err := event(name, c.TenantUUID, "", api.CDREventData(record, book.Subtree(c.TenantUUID)))
	out := []events.Event{whole}
	if err != nil || !saved.New {
		return out, err
	}
	seen := map[string]bool{}
	for _, p := range c.Participants {
		if p.UserUUID == "" || seen[p.UserUUID] {
			continue
		}
		seen[p.UserUUID] = true
		tenant := c.TenantUUID
		if u, ok := book.User(p.UserUUID); ok {
			tenant = u.TenantUUID
		}
		own, err := event(events.CallLogUserCreated, tenant, p.UserUUID, api.UserCDREventData(record, tenant))
		if err != nil {
			return nil, err
		}
		out = append(out, own)
	}
	return out, nil
}

// export announces the state that the row speaks of; the export may be farther
// by now.
func (a announcer) export(ctx context.Context, e store.Event, name string) ([]events.Event, error) {
	var was struct {
		UUID    string        `json:"export"`
		Status  export.Status `json:"status"`
		Cause   string        `json:"cause"`
		Files   int           `json:"files"`
		Bytes   int64         `json:"bytes"`
		Missing int           `json:"missing"`
	}
	if err := decode(e, &was); err != nil {
		return nil, err
	}
	list, err := a.store.Exports(ctx, export.Filter{UUID: was.UUID})
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("export %s: %w", was.UUID, store.ErrNotFound)
	}
	x := list[0]
	x.Status, x.Cause, x.Files, x.Bytes, x.Missing = was.Status, was.Cause, was.Files, was.Bytes, was.Missing
	out, err := event(name, x.TenantUUID, "", api.ExportEventData(x))
	return []events.Event{out}, err
}

// alarm announces one to its tenant; what concerns everybody is the master's.
func (a announcer) alarm(e store.Event, name string) ([]events.Event, error) {
	var c alarm.Change
	if err := decode(e, &c); err != nil {
		return nil, err
	}
	tenant := c.Tenant
	if tenant == "" {
		tenant = a.directory.Book().Master().UUID
	}
	out, err := event(name, tenant, "", c)
	return []events.Event{out}, err
}

// tellEvery is how long what is committed waits at the most until others are
// told: each look costs as much as a commit.
const tellEvery = 200 * time.Millisecond

// startEvents starts what tells others.
func (a *App) startEvents() {
	cfg := a.opt.Config
	log := a.log.With("part", "events")
	a.feed = events.NewFeed(announcer{a.store, a.directory, a.stackUUID, a.opt.Now, log}, cfg.HTTP.Streams)
	a.stack.goStep("events", a.failed, func(ctx context.Context) error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-a.store.Appended():
				a.feed.Wake()
			}
			select { // calls make a commit every few milliseconds
			case <-ctx.Done():
				return nil
			case <-time.After(tellEvery):
			}
		}
	})
	a.hooks = NewHooks(HookOptions{
		Config: cfg, Store: a.store, Directory: a.directory, Accounts: a.accounts, Tokens: a.tokens, Feed: a.feed, Version: a.opt.Version, Now: a.opt.Now, NewUUID: a.opt.NewUUID, Log: log,
	})
	a.stack.goStep("webhooks", a.failed, a.hooks.Run)
}
