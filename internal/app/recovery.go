package app

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"callrecordd/internal/call"
	"callrecordd/internal/cdr"
	"callrecordd/internal/recorder"
)

// What is made good although nothing tells of it in time: calls that the journal
// lacks, and steps of the clock.

// The kinds of events that this stores.
const (
	eventStalled = "journal_stalled" // Data is Stall
	eventResumed = "journal_resumed"
	eventClock   = "clock_jumped" // Data is ClockJump
)

// Stall is the Data of an event journal_stalled.
type Stall struct {
	// Channels are some of those whose end Asterisk has told of and has not
	// written into the journal, Calls is the number of their calls.
	Channels []string `json:"channels"`
	Calls    int      `json:"calls"`
}

// ClockJump is the Data of an event clock_jumped.
type ClockJump struct {
	From    time.Time `json:"from"`
	Seconds float64   `json:"seconds"` // what it was set forward by, negative for back
}

// stalled is whether the journal is, for people.
type stalled struct {
	mu    sync.Mutex
	calls int
	told  string // what is wrong with the database, of the loop alone
}

// lasts notes how many calls the journal lacks, and returns how many it was before.
// A stall whose calls are forgotten goes on.
func (s *stalled) lasts(calls int, forgotten bool) (was int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if was = s.calls; calls > 0 || !forgotten {
		s.calls = calls
	}
	return was
}

// text is empty unless it is.
func (s *stalled) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls == 0 {
		return ""
	}
	return fmt.Sprintf("journal_stalled: Asterisk has told of the end of %d calls and not written it within %s: "+
		"look at the disk of its log directory, and whether %s is loaded", s.calls, cdr.StallTime, journalModule)
}

// recoveryEvery is how often what the journal lacks is looked for, and the clock
// looked at.
const recoveryEvery = time.Second

func (a *App) startRecovery() {
	a.startRepairs()
	begun, clock := time.Now(), clockWatch{wall: a.opt.Now().Round(0)}
	a.stack.goEvery("recovery", recoveryEvery, func(ctx context.Context) {
		if jump, ok := clock.look(a.opt.Now().Round(0), time.Since(begun)); ok {
			a.clockJumped(ctx, jump)
		}
		a.testify(ctx)
	})
}

// testify stores the CDRs of calls that the journal lacks, and tells when it is
// stalled. While it is being caught up with it may have them.
func (a *App) testify(ctx context.Context) {
	journal := a.follower.State()
	if journal.Ready && journal.Newest > journal.Position {
		return
	}
	missing := a.witness.Missing(a.opt.Now())
	a.tellStall(ctx, missing)
	missing = slices.DeleteFunc(missing, func(e cdr.Evidence) bool { return len(e.Rows) == 0 })
	if len(missing) == 0 {
		return
	}
	var list []cdr.CDR
	book := lookup{a.directory.Book()}
	for _, e := range missing {
		if c, ok := cdr.DeriveSeen(e, book, a.opt.Config.Asterisk.Technologies); ok {
			list = append(list, c)
		}
	}
	if err := a.store.SaveCDR(ctx, list, cdr.Checkpoint{}); err != nil {
		if a.stalled.told != err.Error() && ctx.Err() == nil { // it is tried again each second
			a.stalled.told = err.Error()
			a.log.Error("calls that the journal lacks are not stored yet", "calls", len(list), "err", err)
		}
		return
	}
	a.stalled.told = ""
	a.witness.Told(missing)
	for _, c := range list {
		a.log.Warn("the journal lacks a call: its CDR is from Asterisk's events", "call", c.ConversationID, "start", c.Start)
	}
}

func (a *App) tellStall(ctx context.Context, missing []cdr.Evidence) {
	var data Stall
	for _, e := range missing {
		if !e.Stalled {
			continue
		}
		data.Calls++
		if data.Channels = append(data.Channels, e.Channels...); len(data.Channels) > 10 {
			data.Channels = data.Channels[:10]
		}
	}
	was := a.stalled.lasts(data.Calls, a.witness.Stalled())
	event := recorder.Event{Kind: eventStalled, Actor: "callrecordd", Data: data}
	switch {
	case was == 0 && data.Calls > 0:
		a.log.Error("the journal is stalled", "detail", a.stalled.text(), "channels", data.Channels)
	case was > 0 && a.stalled.text() == "":
		event.Kind, event.Data = eventResumed, nil
		a.log.Info("the journal is written again")
	default:
		return
	}
	if err := a.store.AppendEvents(ctx, event); err != nil {
		a.log.Error("event could not be stored", "kind", event.Kind, "err", err)
	}
}

// unseenSince is since when, at the earliest, a talk has gone on that was found
// going on at now: since events were last seen, and since its second leg was made.
func unseenSince(now, gap time.Time, legs []call.Leg) time.Time {
	var made []time.Time
	for _, l := range legs {
		made = append(made, created(l.ID))
	}
	slices.SortFunc(made, time.Time.Compare)
	since := gap
	if len(made) > 1 && made[1].After(since) {
		since = made[1]
	}
	if since.IsZero() || since.After(now) {
		return now
	}
	return since
}

// clockWatch finds steps of the clock: it and the monotonic clock should go at
// the same pace.
type clockWatch struct {
	wall    time.Time
	elapsed time.Duration
}

// leastJump is what time daemons do not do in a second without a step.
const leastJump = 2 * time.Second

func (w *clockWatch) look(wall time.Time, elapsed time.Duration) (cdr.Jump, bool) {
	by := wall.Sub(w.wall) - (elapsed - w.elapsed)
	before := w.wall
	w.wall, w.elapsed = wall, elapsed
	if by.Abs() < leastJump {
		return cdr.Jump{}, false
	}
	return cdr.Jump{From: before, By: by}, true
}

// distrustTime is how long nothing is removed for want of age after the clock was
// set forward.
const distrustTime = 24 * time.Hour

// clockJumped makes a step of the clock known to those who reckon with times of
// the past.
func (a *App) clockJumped(ctx context.Context, j cdr.Jump) {
	a.log.Warn("the clock was set", "from", j.From, "by", j.By)
	a.follower.ClockJumped(j)
	if j.By > time.Minute && a.keeping != nil {
		a.keeping.distrust(a.opt.Now().Add(distrustTime))
	}
	event := recorder.Event{Kind: eventClock, Actor: "callrecordd", Data: ClockJump{From: j.From, Seconds: j.By.Seconds()}}
	if err := a.store.AppendEvents(ctx, event); err != nil {
		a.log.Error("event could not be stored", "kind", event.Kind, "err", err)
	}
}
