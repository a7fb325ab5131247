// Package tones whispers sounds to the parties of live calls: a beep or an
// announcement when a recording begins, an error tone when that is refused
// (design 6, Tones).
//
// A tone is a snoop channel that listens to nothing and whispers towards its
// telephone: the others do not hear it. Neither is it in the file of a recorder
// on that leg, for Asterisk feeds those before it mixes whispers in (measured
// with 22.10, both directions). AMI's option p would block the whole
// connection (asterisk-facts 1).
//
// It imports nothing of ours; ARI is given to it as an interface.
package tones

import (
	"cmp"
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// waiting is how many tones may wait for a leg's present one. More would tell
// about things long past.
const waiting = 4

// hangupTime bounds the removal of a channel, which goes on after a stop.
const hangupTime = 2 * time.Second

// ARI are the requests used. All ids are uniqueids.
type ARI interface {
	// Snoop creates the channel id, which whispers to leg and enters our
	// Stasis application.
	Snoop(ctx context.Context, leg, id string) error
	// Play plays a sound on a channel, as the playback of that id.
	Play(ctx context.Context, channel, playback, sound string) error
	Hangup(ctx context.Context, channel string) error
}

// Config is what New needs. Durations default to the values named.
type Config struct {
	ARI ARI
	// Prefix begins the ids of all our channels, so that another life of the
	// daemon knows them. Two daemons on one Asterisk need two.
	Prefix  string
	NewUUID func() string
	Log     *slog.Logger // discards
	// Early recognises Play's error for a channel not yet in Stasis, Gone that
	// of any request for a channel that does not exist.
	Early, Gone func(error) bool
	Now         func() time.Time // for announcements

	Limit time.Duration // 5 s: the whole life of a tone
	Long  time.Duration // 60 s: that of an announcement
	Sure  time.Duration // 250 ms: an announcement that plays for so long is heard
	Retry time.Duration // 50 ms: for a channel that does not say it is ready
}

// Whisperer plays tones: on one leg one after another, on several at once.
type Whisperer struct {
	cfg    Config
	ctx    context.Context // of all tones
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu     sync.Mutex
	closed bool
	legs   map[string]*queue // there while something plays
	tones  map[string]*tone  // by the id of channel and playback
}

// queue is what is to be heard by a leg.
type queue struct {
	items []item // that wait
	plays item
	cut   context.CancelFunc // of what plays
}

// item is a tone, or an announcement.
type item struct {
	sound string
	*Announcement
}

// tone is one that plays. began, over and failed are of its playback, over also
// of its channel.
type tone struct{ ready, began, over, failed chan struct{} }

// New returns a Whisperer that works until Close.
func New(cfg Config) *Whisperer {
	cfg.Limit = cmp.Or(cfg.Limit, 5*time.Second)
	cfg.Retry = cmp.Or(cfg.Retry, 50*time.Millisecond)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Long = cmp.Or(cfg.Long, time.Minute)
	cfg.Sure = cmp.Or(cfg.Sure, 250*time.Millisecond)
	w := &Whisperer{cfg: cfg, legs: make(map[string]*queue), tones: make(map[string]*tone)}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	return w
}

// Play whispers a sound, such as beep, to a leg and returns at once. If that
// leg has too many waiting it is dropped.
func (w *Whisperer) Play(leg, sound string) { w.add(leg, item{sound: sound}) }

func (w *Whisperer) add(leg string, it item) {
	w.mu.Lock()
	defer w.mu.Unlock()
	q := w.legs[leg]
	switch {
	case w.closed:
	case q != nil && len(q.items) >= waiting:
		w.cfg.Log.Warn("tone dropped, too many wait", "channel", leg, "sound", it.sound)
		if it.Announcement != nil {
			w.work.Go(func() {
				it.tell(Outcome{Failed: true, At: w.cfg.Now(), Detail: "too many sounds wait for this telephone"})
			})
		}
	case q != nil:
		q.items = append(q.items, it)
	default:
		ctx, cut := context.WithCancel(w.ctx)
		q = &queue{plays: it, cut: cut}
		w.legs[leg] = q
		w.work.Go(func() { w.serve(ctx, leg, q) })
	}
}

// serve plays a sound and all that have come for the leg meanwhile.
func (w *Whisperer) serve(ctx context.Context, leg string, q *queue) {
	it := q.plays
	for more := true; more; it, ctx, more = w.next(leg, q) {
		err := w.whisper(ctx, leg, it)
		switch {
		case err == nil, ctx.Err() != nil:
		case w.cfg.Gone(err):
			w.cfg.Log.Debug("no tone, the channel is gone", "channel", leg, "sound", it.sound)
		default:
			w.cfg.Log.Warn("tone could not be whispered", "channel", leg, "sound", it.sound, "err", err)
		}
	}
}

func (w *Whisperer) next(leg string, q *queue) (it item, ctx context.Context, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	q.cut()
	if len(q.items) == 0 || w.closed {
		delete(w.legs, leg)
		return item{}, nil, false
	}
	it, q.items = q.items[0], q.items[1:]
	ctx, q.cut = context.WithCancel(w.ctx)
	q.plays = it
	return it, ctx, true
}

// whisper plays one item to its end. Whatever happens, it leaves no channel.
func (w *Whisperer) whisper(ctx context.Context, leg string, it item) error {
	limit := w.cfg.Limit
	if it.Announcement != nil {
		limit = w.cfg.Long
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	id := w.cfg.Prefix + w.cfg.NewUUID()
	// Also after an error: its answer may have been lost.
	defer w.hangup(id)
	if it.Announcement != nil {
		return w.announce(ctx, leg, id, it)
	}
	t, forget := w.expect(id)
	defer forget()
	if err := w.cfg.ARI.Snoop(ctx, leg, id); err != nil {
		return err
	}
	if err := w.play(ctx, t, id, id, it.sound); err != nil {
		return err
	}
	select {
	case <-t.over:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// expect has the events of a channel and a playback of that id told to a tone.
func (w *Whisperer) expect(id string) (t *tone, forget func()) {
	t = &tone{ready: make(chan struct{}), began: make(chan struct{}), over: make(chan struct{}), failed: make(chan struct{})}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tones[id] = t
	return t, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.tones, id)
	}
}

// play starts the sound once the channel takes it: Asterisk answers to the
// snoop before the channel has entered Stasis.
func (w *Whisperer) play(ctx context.Context, t *tone, channel, playback, sound string) error {
	retry := time.NewTicker(w.cfg.Retry)
	defer retry.Stop()
	ready := t.ready
	for {
		select {
		case <-ready:
			ready = nil // told once
		case <-retry.C: // the event may be lost
		case <-t.over:
			return nil // with its leg
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := w.cfg.ARI.Play(ctx, channel, playback, sound); err == nil || !w.cfg.Early(err) {
			return err
		}
	}
}

func (w *Whisperer) hangup(id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), hangupTime)
	defer cancel()
	if err := w.cfg.ARI.Hangup(ctx, id); err != nil && !w.cfg.Gone(err) {
		w.cfg.Log.Warn("channel of a tone could not be hung up", "channel", id, "err", err)
	}
}

// Ready says that a channel has entered our Stasis application. Channels of
// others are ignored.
func (w *Whisperer) Ready(channel string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t := w.tones[channel]; t != nil {
		closeOnce(t.ready)
	}
}

// Began says that a playback has begun.
func (w *Whisperer) Began(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t := w.tones[id]; t != nil {
		closeOnce(t.began)
	}
}

// Over says that a playback, or a channel, has ended. Those of others are
// ignored.
func (w *Whisperer) Over(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t := w.tones[id]; t != nil {
		closeOnce(t.over)
	}
}

// Failed says that a playback has ended because it could not be played.
func (w *Whisperer) Failed(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t := w.tones[id]; t != nil {
		closeOnce(t.failed)
		closeOnce(t.over)
	}
}

// closeOnce closes ch if it is open; w.mu is held.
func closeOnce(ch chan struct{}) {
	if !closed(ch) {
		close(ch)
	}
}

// Sweep hangs up a channel if an earlier life of the daemon has left it behind,
// and returns at once. All others are left alone.
func (w *Whisperer) Sweep(channel string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if strings.HasPrefix(channel, w.cfg.Prefix) && w.tones[channel] == nil && !w.closed {
		w.work.Go(func() { w.hangup(channel) })
	}
}

// Close ends all tones and waits until their channels are hung up.
func (w *Whisperer) Close(ctx context.Context) error {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.cancel()
	done := make(chan struct{})
	go func() { w.work.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
