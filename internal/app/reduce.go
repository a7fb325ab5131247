package app

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"callrecordd/ari"
	"callrecordd/internal/call"
	"callrecordd/internal/cdr"
	"callrecordd/internal/directory"
	"callrecordd/internal/live"
	"callrecordd/internal/recorder"
	"callrecordd/internal/tones"
)

// reducer is the one goroutine that turns events into effects, in order:
// linkedids and bridges merge in mid-call, so nothing is sharded (design 2.1).
type reducer struct {
	model   *call.Model
	witness *cdr.Witness
	machine *recorder.Machine // nil until Asterisk has been seen once
	boot    time.Time
	ended   []recorder.Recording // wait for the machine

	book func() *directory.Book
	// announcements are those of a tenant.
	announcements func(tenant string) recorder.Announcements
	perform       func([]recorder.Effect)
	// config is that of the machine, but for what only Asterisk and the
	// directory tell.
	config  recorder.Config
	presses *presses
	// pauses is what this Asterisk cannot do about them, empty if nothing.
	pauses  *atomic.Pointer[string]
	tones   *tones.Whisperer
	beeps   bool // tones are wanted
	newUUID func() string
	now     func() time.Time
	log     *slog.Logger

	// steps carries what comes from Asterisk; whoever sends waits, and the
	// stream's own bounded queue takes the load.
	steps   chan func()
	results *mailbox
}

func newReducer(r reducer) *reducer {
	r.steps = make(chan func())
	r.results = newMailbox()
	r.pauses = new(atomic.Pointer[string])
	if r.witness == nil {
		r.witness = cdr.NewWitness(nil)
	}
	return &r
}

// deadlineEvery is how often the next deadline is looked for at most.
const deadlineEvery = 10 * time.Millisecond

// run reduces until ctx ends.
func (r *reducer) run(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var looked time.Time
	for {
		// To look for the next deadline costs with every recording, and events
		// come in bursts: a deadline may be late by as much.
		if wait := deadlineEvery - r.now().Sub(looked); wait > 0 && wait <= deadlineEvery {
			timer.Reset(wait)
		} else {
			looked = r.now()
			timer.Reset(r.untilDeadline())
		}
		select {
		case <-ctx.Done():
			return nil
		case step := <-r.steps:
			step()
		case <-r.results.ready:
			r.takeResults()
		case <-timer.C:
			if r.untilDeadline() > 0 {
				continue // it was only time to look for it
			}
			r.changes(r.model.Advance(r.now()))
			r.step(recorder.Tick{})
		}
	}
}

func (r *reducer) untilDeadline() time.Duration {
	next := r.model.NextDeadline()
	if r.machine != nil {
		if t, ok := r.machine.NextDeadline(); ok && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	if next.IsZero() {
		return time.Hour
	}
	return max(0, next.Sub(r.now()))
}

// do runs fn in the reducer's goroutine and waits for it. It returns ctx's
// error if the reducer did not get to it.
func (r *reducer) do(ctx context.Context, fn func()) error {
	done := make(chan struct{})
	select {
	case r.steps <- func() { fn(); close(done) }:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// deliver takes a result of exec. It never blocks: exec must be able to report
// while the reducer hands it new effects.
func (r *reducer) deliver(in recorder.Input) { r.results.put(in) }

func (r *reducer) takeResults() {
	for _, in := range r.results.take() {
		r.step(in)
	}
}

func (r *reducer) step(in recorder.Input) {
	if r.machine == nil {
		return
	}
	if effects := r.machine.Step(r.now(), in); len(effects) > 0 {
		r.perform(effects)
	}
}

// event applies one ARI event.
func (r *reducer) event(ev ari.Event) {
	if ev.Type == "ChannelHangupRequest" && ev.Channel != nil {
		r.step(recorder.ChannelHanging{Leg: ev.Channel.ID})
	}
	if ev.Type == "ChannelUnhold" && ev.Channel != nil {
		r.step(recorder.Unheld{Leg: ev.Channel.ID})
	}
	r.noteHold(ev)
	for _, e := range live.Events(ev) {
		if e.Kind == call.ChannelEnded {
			r.channelEnded(e.Channel)
		}
		r.witness.Apply(r.now(), e)
		r.changes(r.model.Apply(e))
	}
	if ev.Type == "ChannelEnteredBridge" && ev.Channel != nil {
		r.step(recorder.Bridged{Leg: ev.Channel.ID})
	}
	whispered(r.tones, ev)
	if channel, ok := r.presses.by(ev); ok {
		r.pressed(channel)
	}
}

// channelEnded tells the machine before the talks that follow from it: a
// <ZOMBIE> is only the shell of a channel that goes on elsewhere.
func (r *reducer) channelEnded(c call.Channel) {
	if strings.HasSuffix(c.Name, "<ZOMBIE>") {
		if next, ok := r.model.Successor(c.ID); ok {
			r.step(recorder.Moved{From: c.ID, To: next.ID, ToName: next.Name})
			return
		}
	}
	r.step(recorder.ChannelGone{Leg: c.ID})
}

func (r *reducer) changes(changes []call.Change) { r.found(changes, nil) }

// found tells changes; since says of a talk that was found going on how long it
// may have gone on without anybody here, nil if it was not found.
func (r *reducer) found(changes []call.Change, since func([]call.Leg) time.Time) {
	for _, c := range changes {
		r.log.Debug("talk", "talk", uint64(c.Talk), "change", c.Kind.String(), "legs", legNames(c.Legs))
		in := recorder.TalkChange{Change: c, Parties: parties(r.book(), c.Legs)}
		if since != nil && c.Kind == call.Began {
			in.Found = since(c.Legs)
		}
		r.step(in)
	}
}

func legNames(legs []call.Leg) []string {
	out := make([]string, len(legs))
	for i, l := range legs {
		out[i] = l.Name
	}
	return out
}

// snapshot is what a (re)connect found.
type snapshot struct {
	boot     time.Time
	version  string
	picture  call.Picture
	rows     []recorder.Recording
	legs     []recorder.LegState
	channels []recorder.Channel
	files    map[string]int64
	unseen   time.Time // since when no events were seen, zero at the first connect
}

// resync makes model and machine agree with what Asterisk says is there:
// start-up and reconnect are the same (design 8).
func (r *reducer) resync(s snapshot) {
	now := r.now()
	noMute := r.mutes(s.version)
	switch {
	case r.machine == nil:
		cfg := r.config
		cfg.NoMute = noMute
		cfg.Boot, cfg.NewUUID, cfg.Tenant, cfg.Announcements = s.boot, r.newUUID, r.book().Master().UUID, r.announcements
		r.machine = recorder.New(cfg)
		r.machine.Recall(s.legs) // later we know more than the store
		s.picture.Known = known(s.legs, s.boot)
	case !s.boot.Equal(r.boot):
		r.log.Warn("asterisk has been restarted", "since", s.boot)
		r.step(recorder.Restarted{Boot: s.boot, NoMute: noMute})
		r.witness.Apply(now, call.Event{At: now, Kind: call.Restarted})
		r.changes(r.model.Apply(call.Event{At: now, Kind: call.Restarted}))
	}
	r.boot = s.boot
	r.witness.Resync(now, s.boot, s.picture)
	for _, c := range s.picture.Channels {
		r.tones.Sweep(c.ID)
	}
	if effects := r.machine.Reconcile(now, s.rows, s.channels, s.files); len(effects) > 0 {
		r.perform(effects)
	}
	r.finish(r.ended...)
	r.ended = nil
	r.found(r.model.Resync(now, s.picture), func(legs []call.Leg) time.Time { return unseenSince(now, s.unseen, legs) })
}

// known are the legs of this Asterisk as the model has them.
func known(legs []recorder.LegState, boot time.Time) map[string]call.Leg {
	out := make(map[string]call.Leg, len(legs))
	for _, s := range legs {
		if s.Boot.Equal(boot) {
			out[s.Leg] = call.Leg{ID: s.Leg, Name: s.Name, Role: s.Role, Via: s.Via}
		}
	}
	return out
}

// mailbox is an unbounded queue whose producers never wait. What is in it is
// bounded by the recordings in flight, each of which awaits a few results.
type mailbox struct {
	mu    sync.Mutex
	items []recorder.Input
	ready chan struct{}
}

func newMailbox() *mailbox { return &mailbox{ready: make(chan struct{}, 1)} }

func (m *mailbox) put(in recorder.Input) {
	m.mu.Lock()
	m.items = append(m.items, in)
	m.mu.Unlock()
	select {
	case m.ready <- struct{}{}:
	default:
	}
}

func (m *mailbox) take() []recorder.Input {
	m.mu.Lock()
	defer m.mu.Unlock()
	items := m.items
	m.items = nil
	return items
}
