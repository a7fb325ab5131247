// Package toggle is the call of `*26`: it answers, switches the caller's rules,
// says what is on now, and hangs up (design 2.6).
//
// It imports nothing of ours but dialplan. Asterisk is reached through Phones,
// the directory through Directory. The dialplan bounds each call from the other
// side, so here nothing has to succeed.
package toggle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"callrecordd/dialplan"
)

const (
	// callTime is how long a call may take from its beginning. It is less than
	// dialplan.SwitchTime: then Asterisk takes the call back.
	callTime = 6 * time.Second
	// flipTime is how much of it may have passed when the rules are switched:
	// the rest is needed to say so.
	flipTime = 3 * time.Second
	// hangupTime bounds the last step, which must not depend on the others.
	hangupTime = time.Second
	// drainTime is how long Close waits for calls to end by themselves: long
	// enough for an answer and a sound of the core set.
	drainTime = 1800 * time.Millisecond
	// maxCalls are served at once; a call beyond is left to the dialplan.
	maxCalls = 64
)

// Phones is what the call needs of Asterisk.
type Phones interface {
	Answer(ctx context.Context, channel string) error
	// Play begins to play a sound. Its end is told through Desk.Played.
	Play(ctx context.Context, channel, playback, sound string) error
	Hangup(ctx context.Context, channel string) error
}

// User is whose telephone calls.
type User struct {
	UUID string
	Keys []string // the lamp keys that stand for it
}

// Directory is what the call needs to know and to change.
type Directory interface {
	// Enabled says whether there is the feature at all.
	Enabled() bool
	// Owner returns the user of an endpoint; ok is false if it is nobody's.
	Owner(endpoint string) (u User, ok bool)
	// Flip switches the rules and says whether they are on now. It changes
	// nothing once ctx has ended.
	Flip(ctx context.Context, user string) (on bool, err error)
}

// Call is a channel that has come to the application for `*26`.
type Call struct {
	Channel  string // uniqueid
	Endpoint string // such as PJSIP/alice
	Key      string // digits of the lamp key that was pressed, else empty
	At       time.Time
}

// Config is what a Desk needs.
type Config struct {
	Phones    Phones
	Directory Directory
	// NoChannel recognises the errors of Phones for a caller who has hung up.
	NoChannel func(error) bool
	NewUUID   func() string
	Log       *slog.Logger
}

// Desk serves the calls.
type Desk struct {
	cfg   Config
	slots chan struct{}
	wg    sync.WaitGroup
	ctx   context.Context // ends the calls that are served
	stop  context.CancelFunc

	mu      sync.Mutex
	closed  bool
	playing map[string]chan struct{} // by playback id
}

// New returns a Desk.
func New(cfg Config) *Desk {
	d := &Desk{cfg: cfg, slots: make(chan struct{}, maxCalls), playing: make(map[string]chan struct{})}
	d.ctx, d.stop = context.WithCancel(context.Background())
	return d
}

// Enter takes a call. It does not block.
func (d *Desk) Enter(c Call) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	select {
	case d.slots <- struct{}{}:
	default:
		d.cfg.Log.Warn("too many calls of *26 at once, one is left to the dialplan", "channel", c.Channel)
		return
	}
	d.wg.Go(func() {
		defer func() { <-d.slots }()
		if err := d.serve(c); d.cfg.NoChannel(err) {
			d.cfg.Log.Debug("the caller of *26 has hung up", "channel", c.Channel)
		} else if err != nil {
			d.cfg.Log.Warn("call of *26 failed", "channel", c.Channel, "endpoint", c.Endpoint, "err", err)
		}
	})
}

// Played tells that a sound has ended, for whatever reason. It does not block.
func (d *Desk) Played(playback string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if done, ok := d.playing[playback]; ok {
		close(done)
		delete(d.playing, playback)
	}
}

// Close takes no more calls and lets those that are served end. It must come
// before the end of what tells Played. A call that takes too long is left to the
// dialplan, so that a stop does not wait for it.
func (d *Desk) Close(ctx context.Context) error {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	late := time.AfterFunc(drainTime, d.stop)
	defer late.Stop()
	defer d.stop()
	done := make(chan struct{})
	go func() {
		d.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("calls of *26 are not over: %w", ctx.Err())
	}
}

// serve is one call. If a step fails the rest is left to the dialplan, which
// says that it is sorry.
func (d *Desk) serve(c Call) error {
	ctx, cancel := context.WithDeadline(d.ctx, c.At.Add(callTime))
	defer cancel()
	if err := d.cfg.Phones.Answer(ctx, c.Channel); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	settled := time.NewTimer(dialplan.SettleTime)
	defer settled.Stop()
	sound := d.outcome(ctx, c)
	select {
	case <-settled.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := d.play(ctx, c.Channel, sound); err != nil {
		return fmt.Errorf("play %s: %w", sound, err)
	}
	end, cancel := context.WithTimeout(context.Background(), hangupTime)
	defer cancel()
	if err := d.cfg.Phones.Hangup(end, c.Channel); err != nil {
		return fmt.Errorf("hang up: %w", err)
	}
	return nil
}

// outcome does what the call is for and returns what to say.
func (d *Desk) outcome(ctx context.Context, c Call) (sound string) {
	log := d.cfg.Log.With("channel", c.Channel, "endpoint", c.Endpoint)
	if !d.cfg.Directory.Enabled() {
		log.Info("*26 is disabled")
		return dialplan.SoundDisabled
	}
	user, ok := d.cfg.Directory.Owner(c.Endpoint)
	if !ok {
		log.Warn("*26 refused: the endpoint is no user's")
		return dialplan.SoundRefused
	}
	if c.Key != "" && !slices.Contains(user.Keys, c.Key) {
		log.Warn("*26 refused: the lamp key is somebody else's", "user_uuid", user.UUID, "key", c.Key)
		return dialplan.SoundRefused
	}
	on, err := d.flip(ctx, c, user)
	if err != nil {
		log.Error("rules could not be switched by *26", "user_uuid", user.UUID, "err", err)
		return dialplan.SoundSorry
	}
	log.Info("rules switched by *26", "user_uuid", user.UUID, "on", on)
	if on {
		return dialplan.SoundOn
	}
	return dialplan.SoundOff
}

// errSlow is a database that takes too long. What it was told may still happen;
// the lamp then shows it.
var errSlow = errors.New("the directory does not answer")

// flip switches the rules, or gives up early enough to say so. A write that
// has begun cannot be called back, and does not look at contexts.
func (d *Desk) flip(ctx context.Context, c Call, u User) (on bool, err error) {
	ctx, cancel := context.WithDeadline(ctx, c.At.Add(flipTime))
	defer cancel()
	type result struct {
		on  bool
		err error
	}
	done := make(chan result, 1)
	go func() {
		on, err := d.cfg.Directory.Flip(ctx, u.UUID)
		done <- result{on, err}
	}()
	select {
	case r := <-done:
		return r.on, r.err
	case <-ctx.Done():
		return false, fmt.Errorf("%w: %w", errSlow, ctx.Err())
	}
}

// play plays a sound to its end.
func (d *Desk) play(ctx context.Context, channel, sound string) error {
	id, done := d.cfg.NewUUID(), make(chan struct{})
	d.mu.Lock()
	d.playing[id] = done
	d.mu.Unlock()
	defer d.forget(id)
	if err := d.cfg.Phones.Play(ctx, channel, id, sound); err != nil {
		return err
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for its end: %w", ctx.Err())
	}
}

func (d *Desk) forget(playback string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.playing, playback)
}
