package tones

import (
	"context"
	"errors"
	"time"
)

// Announcement is a sound that is worth a word about who has heard it.
type Announcement struct {
	// Sound is played, or Else if there is no such sound.
	Sound, Else string
	// Tell is called, from a goroutine of its own, when it is heard, and when it
	// is over: exactly once with Over or Failed.
	Tell func(Outcome)
}

// Outcome is what has become of an announcement: it has begun unless it is Over
// or Failed.
type Outcome struct {
	At     time.Time
	Over   bool   // it was heard, as a whole unless Detail says why not
	Failed bool   // it was not heard; Detail says why and what was instead
	Detail string // for people
}

// What ends an announcement early.
const (
	hungUp   = "the call was over"
	replaced = "it was no longer true"
	stopped  = "callrecordd was stopped"
	tooLong  = "it took too long"
)

// Announce whispers an announcement to a leg, after what plays there, and
// returns at once.
func (w *Whisperer) Announce(leg string, a Announcement) {
	w.add(leg, item{sound: a.Sound, Announcement: &a})
}

// Cut ends the announcements of a leg, one that plays and those that wait: they
// are not true any more. Tones go on.
func (w *Whisperer) Cut(leg string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	q := w.legs[leg]
	if q == nil {
		return
	}
	var stay []item
	for _, it := range q.items {
		if it.Announcement == nil {
			stay = append(stay, it)
			continue
		}
		w.work.Go(func() { it.tell(Outcome{Failed: true, At: w.cfg.Now(), Detail: replaced}) })
	}
	q.items = stay
	if q.plays.Announcement != nil {
		q.cut()
	}
}

func (it item) tell(o Outcome) {
	if it.Announcement != nil && it.Tell != nil {
		it.Tell(o)
	}
}

// announce plays an announcement on a snoop channel of that id, and says what
// has become of it. Asterisk tells that a sound is not there only after it has
// told that it plays, so what is heard is what has played for a while.
func (w *Whisperer) announce(ctx context.Context, leg, id string, it item) error {
	t, forget := w.expect(id)
	defer forget()
	err := w.cfg.ARI.Snoop(ctx, leg, id)
	if err == nil {
		err = w.play(ctx, t, id, id, it.sound)
	}
	if err != nil {
		it.tell(Outcome{Failed: true, At: w.cfg.Now(), Detail: w.reason(ctx, err)})
		return err
	}
	heard := w.listen(ctx, t, it)
	over := Outcome{Over: heard, Failed: !heard, At: w.cfg.Now()}
	switch {
	case closed(t.failed) && !heard:
		return w.instead(ctx, id, it)
	case closed(t.failed):
		over.Detail = hungUp
	case !closed(t.over):
		over.Detail = w.reason(ctx, ctx.Err())
	}
	it.tell(over)
	return ctx.Err()
}

// listen waits for the end of what plays, and says whether it was heard.
func (w *Whisperer) listen(ctx context.Context, t *tone, it item) (heard bool) {
	var at time.Time
	sure := time.NewTimer(w.cfg.Sure)
	sure.Stop()
	defer sure.Stop()
	tell := func() {
		if !heard {
			heard = true
			it.tell(Outcome{At: at})
		}
	}
	began := t.began
	for {
		select {
		case <-began:
			began, at = nil, w.cfg.Now()
			sure.Reset(w.cfg.Sure)
		case <-sure.C:
			tell()
		case <-t.over:
			if at.IsZero() {
				at = w.cfg.Now() // it was short, and both were told at once
			}
			if !closed(t.failed) {
				tell()
			}
			return heard
		case <-ctx.Done():
			return heard
		}
	}
}

func closed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// instead plays what is to be heard where an announcement cannot be.
func (w *Whisperer) instead(ctx context.Context, channel string, it item) error {
	at, detail := w.cfg.Now(), "asterisk cannot play it; it was replaced by "+it.Else
	defer func() { it.tell(Outcome{Failed: true, At: at, Detail: detail}) }()
	playback := w.cfg.Prefix + w.cfg.NewUUID()
	t, forget := w.expect(playback)
	defer forget()
	closeOnce(t.ready)
	err := w.play(ctx, t, channel, playback, it.Else)
	switch {
	case err != nil && w.cfg.Gone(err):
		detail = hungUp // which is why it could not be played
		return err
	case err != nil:
		detail = "asterisk can play neither it nor " + it.Else
		return err
	}
	w.cfg.Log.Warn("an announcement cannot be played: does its file exist, and can Asterisk read it?", "sound", it.sound, "instead", it.Else)
	select {
	case <-t.over:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// reason says why an announcement ended early.
func (w *Whisperer) reason(ctx context.Context, err error) string {
	switch {
	case w.ctx.Err() != nil:
		return stopped
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return tooLong
	case ctx.Err() != nil:
		return replaced
	case w.cfg.Gone(err):
		return hungUp
	}
	return "asterisk has refused it: " + err.Error()
}
