// Package tones whispers sounds to the parties of live calls: a beep when a
// recording begins, an error tone when that is refused (design 6, Tones).
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

	Limit time.Duration // 5 s: the whole life of a tone
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
	queues map[string][]string // leg: sounds that wait; there while one plays
	tones  map[string]*tone    // by the id of channel and playback
}

// tone is one that plays.
type tone struct{ ready, over chan struct{} }

// New returns a Whisperer that works until Close.
func New(cfg Config) *Whisperer {
	cfg.Limit = cmp.Or(cfg.Limit, 5*time.Second)
	cfg.Retry = cmp.Or(cfg.Retry, 50*time.Millisecond)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	w := &Whisperer{cfg: cfg, queues: make(map[string][]string), tones: make(map[string]*tone)}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	return w
}

// Play whispers a sound, such as beep, to a leg and returns at once. If that
// leg has too many waiting it is dropped.
func (w *Whisperer) Play(leg, sound string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	queue, busy := w.queues[leg]
	switch {
	case w.closed:
	case len(queue) >= waiting:
		w.cfg.Log.Warn("tone dropped, too many wait", "channel", leg, "sound", sound)
	case busy:
		w.queues[leg] = append(queue, sound)
	default:
		w.queues[leg] = nil
		w.work.Go(func() { w.serve(leg, sound) })
	}
}

// serve plays a sound and all that have come for the leg meanwhile.
func (w *Whisperer) serve(leg, sound string) {
	for more := true; more; sound, more = w.next(leg) {
		err := w.whisper(leg, sound)
		switch {
		case err == nil, w.ctx.Err() != nil:
		case w.cfg.Gone(err):
			w.cfg.Log.Debug("no tone, the channel is gone", "channel", leg, "sound", sound)
		default:
			w.cfg.Log.Warn("tone could not be whispered", "channel", leg, "sound", sound, "err", err)
		}
	}
}

func (w *Whisperer) next(leg string) (sound string, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	queue := w.queues[leg]
	if len(queue) == 0 || w.closed {
		delete(w.queues, leg)
		return "", false
	}
	w.queues[leg] = queue[1:]
	return queue[0], true
}

// whisper plays one sound to its end. Whatever happens, it leaves no channel.
func (w *Whisperer) whisper(leg, sound string) error {
	id := w.cfg.Prefix + w.cfg.NewUUID()
	t := &tone{ready: make(chan struct{}), over: make(chan struct{})}
	w.mu.Lock()
	w.tones[id] = t
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		delete(w.tones, id)
		w.mu.Unlock()
	}()
	ctx, cancel := context.WithTimeout(w.ctx, w.cfg.Limit)
	defer cancel()
	// Also after an error: its answer may have been lost.
	defer w.hangup(id)
	if err := w.cfg.ARI.Snoop(ctx, leg, id); err != nil {
		return err
	}
	if err := w.play(ctx, t, id, sound); err != nil {
		return err
	}
	select {
	case <-t.over:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// play starts the sound once the channel takes it: Asterisk answers to the
// snoop before the channel has entered Stasis.
func (w *Whisperer) play(ctx context.Context, t *tone, id, sound string) error {
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
		if err := w.cfg.ARI.Play(ctx, id, id, sound); err == nil || !w.cfg.Early(err) {
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

// Over says that a playback, or a channel, has ended. Those of others are
// ignored.
func (w *Whisperer) Over(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t := w.tones[id]; t != nil {
		closeOnce(t.over)
	}
}

// closeOnce closes ch if it is open; w.mu is held.
func closeOnce(ch chan struct{}) {
	select {
	case <-ch:
	default:
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
