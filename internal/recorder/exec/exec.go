// Package exec performs the recorder's effects: it starts and stops recorders
// through AMI, proves their files, measures and hashes them, and stores rows
// and events. It is the I/O edge; what to do is decided by package recorder.
//
// It may import internal/recorder and internal/audio; never ari, store or
// internal/app, whose parts it is given as interfaces.
package exec

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"callrecordd/internal/recorder"
)

// AMI are the actions used. channel is a uniqueid, file an absolute path. An
// error that is not a NoChannel one may mean that the response was lost.
type AMI interface {
	MixMonitor(ctx context.Context, channel, file, options string) (id string, err error)
	StopMixMonitor(ctx context.Context, channel, id string) error
	MixMonitorMute(ctx context.Context, channel, id string, on bool) error
}

// ARI are the requests used: a channel's variable or function, empty if
// unset, and the number of RTP packets that a channel has received so far.
type ARI interface {
	ChannelVar(ctx context.Context, id, name string) (string, error)
	RTPReceived(ctx context.Context, id string) (int64, error)
}

// Store keeps rows and events. SaveIntent inserts without fsync; SaveRecording
// upserts, with fsync if the state is final; SaveParties upserts by (uuid, Leg,
// From), SavePause by (UUID, From). All may be called concurrently.
type Store interface {
	SaveIntent(ctx context.Context, r recorder.Recording) error
	SaveRecording(ctx context.Context, r recorder.Recording) error
	SaveParties(ctx context.Context, uuid string, list []recorder.Party) error
	SavePause(ctx context.Context, p recorder.Pause) error
	// AppendEvents appends events and stores the states of legs, in one
	// transaction.
	AppendEvents(ctx context.Context, list []recorder.Event, legs []recorder.LegState) error
}

// Config is what New needs. Durations default to the values named.
type Config struct {
	Root  string // of the tenants' directories, absolute
	AMI   AMI
	ARI   ARI
	Store Store
	Clock func() time.Time // time.Now
	Log   *slog.Logger     // discards
	// Deliver takes results, from many goroutines. It must not wait for the
	// caller of Apply or Close.
	Deliver func(recorder.Input)
	Alarm   func(recorder.Alarm) // optional, besides the log
	// Storage, if set, is told when a folder cannot be used any more, and when it
	// can again.
	Storage func(recorder.StorageState)
	// NoChannel says that an error of AMI or ARI means that the channel does
	// not exist. The default looks for "no such channel" and "not found".
	NoChannel func(error) bool
	// Refused says that an error of AMI is Asterisk's answer, NotSent that the
	// action was never sent. After any other error it may have been carried
	// out. By default all but those of a context are answers.
	Refused, NotSent func(error) bool

	IntentWait time.Duration // 10 ms: then the start is sent all the same
	Action     time.Duration // 2.5 s: AMI and ARI; an Asterisk that needs two is slow, not away
	ProbeWait  time.Duration // 200 ms: then storage is stalled
	MuteProbe  time.Duration // 20 ms: then a mute does not wait for storage
	CloseWait  time.Duration // 5 s: then Asterisk is asked if it still records
	Settle     time.Duration // 300 ms: for the file of a start just answered
	Poll       time.Duration // 50 ms
	LostWait   time.Duration // 10 s: a start without an answer is looked for
	LostPoll   time.Duration // 500 ms: how often
	SaveDelay  time.Duration // 50 ms: before the second try, then doubled

	Sweep        time.Duration // 3 s: between two looks at all files that are being written
	LookWait     time.Duration // 2 s: then the disk hangs
	StorageEvery time.Duration // 2 s: between two tries of a folder that took no file

	probe func(dir string) error                 // tests inject failing storage
	step  func(name string) error                // tests die in the middle of a repair
	lstat func(name string) (fs.FileInfo, error) // and one that hangs
}

func (c Config) withDefaults() Config {
	c.IntentWait = cmp.Or(c.IntentWait, 10*time.Millisecond)
	c.Action = cmp.Or(c.Action, 2500*time.Millisecond)
	c.ProbeWait = cmp.Or(c.ProbeWait, 200*time.Millisecond)
	c.MuteProbe = cmp.Or(c.MuteProbe, 20*time.Millisecond)
	c.CloseWait = cmp.Or(c.CloseWait, 5*time.Second)
	c.Settle = cmp.Or(c.Settle, 300*time.Millisecond)
	c.Poll = cmp.Or(c.Poll, 50*time.Millisecond)
	c.LostWait = cmp.Or(c.LostWait, 10*time.Second)
	c.LostPoll = cmp.Or(c.LostPoll, 500*time.Millisecond)
	c.SaveDelay = cmp.Or(c.SaveDelay, 50*time.Millisecond)
	c.Sweep = cmp.Or(c.Sweep, 3*time.Second)
	c.LookWait = cmp.Or(c.LookWait, 2*time.Second)
	c.StorageEvery = cmp.Or(c.StorageEvery, 2*time.Second)
	if c.Refused == nil {
		c.Refused = func(err error) bool {
			return !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled)
		}
	}
	if c.NotSent == nil {
		c.NotSent = func(error) bool { return false }
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.NoChannel == nil {
		c.NoChannel = func(err error) bool {
			s := strings.ToLower(err.Error())
			return strings.Contains(s, "no such channel") || strings.Contains(s, "not found")
		}
	}
	return c
}

// hashers bounds how many files are read at a time, for they share the disk
// with the recorders.
const hashers = 4

// Exec performs effects: in order for each recording, in parallel otherwise.
type Exec struct {
	cfg     Config
	files   files
	prober  *prober
	watcher *watcher // nil if inotify is not to be had: polling remains
	events  *eventLog
	hashing chan struct{}
	turns   chan struct{} // to hash: one processor is left to those who cannot wait

	ctx    context.Context // of all work but the saving of rows
	cancel context.CancelFunc
	work   sync.WaitGroup
	saving sync.WaitGroup

	sweeper *sweeper

	mu       sync.Mutex
	workers  map[string]*worker
	awaiting map[string]bool // tenants whose folder is waited for
	closed   bool
}

// New returns an Exec that runs until Close. It fails for a configuration
// without the parts it needs; a bad root shows when it is used. It never makes
// the root: what is missing may be a disk that is not mounted.
func New(cfg Config) (*Exec, error) {
	if cfg.AMI == nil || cfg.ARI == nil || cfg.Store == nil || cfg.Deliver == nil || cfg.Root == "" {
		return nil, errors.New("recorder exec: root, ami, ari, store and deliver are needed")
	}
	cfg = cfg.withDefaults()
	if cfg.probe == nil {
		cfg.probe = writeProbe
	}
	if cfg.step == nil {
		cfg.step = func(string) error { return nil }
	}
	if cfg.lstat == nil {
		cfg.lstat = os.Lstat
	}
	e := &Exec{
		cfg: cfg, files: files{cfg.Root, newHomes(cfg.Clock)}, prober: newProber(cfg.probe),
		hashing: make(chan struct{}, hashers), workers: map[string]*worker{},
		awaiting: map[string]bool{}, turns: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)-1)),
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	var err error
	if e.watcher, err = newWatcher(e.fileClosed); err != nil {
		cfg.Log.Warn("no inotify, files are polled", "err", err)
	}
	e.events = newEventLog(cfg.Store, cfg.Log, cfg.Clock, cfg.SaveDelay)
	e.sweeper = newSweeper(e)
	e.work.Go(e.sweeper.run)
	return e, nil
}

// Apply queues effects and returns at once. After Close it does nothing.
func (e *Exec) Apply(effects []recorder.Effect) {
	for _, eff := range effects {
		switch eff := eff.(type) {
		case recorder.AwaitStorage:
			e.awaitStorage(eff.Row)
		case recorder.Save:
			e.sweeper.update(eff.Row)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return
	}
	var news []recorder.Event
	var legs []recorder.LegState
	known := statesOf(effects)
	for _, eff := range effects {
		switch eff := eff.(type) {
		case recorder.Log:
			news = append(news, eff.Event)
		case recorder.Legs:
			legs = append(legs, eff.Changed...)
		case recorder.Alarm:
			e.alarm(eff)
		case recorder.SaveIntent:
			w := e.worker(eff.Row.UUID)
			w.intent = e.save(w, "intent", true, func(ctx context.Context) error { return e.cfg.Store.SaveIntent(ctx, eff.Row) })
		case recorder.Save:
			w := e.worker(eff.Row.UUID)
			if eff.Row.State == recorder.Closing {
				w.rows.do(func() { w.await(known, "what was asked for") })
			}
			stored := e.save(w, "row", eff.Sync, func(ctx context.Context) error { return e.cfg.Store.SaveRecording(ctx, eff.Row) })
			if eff.Sync {
				w.push(retire{eff.Row, stored})
			}
		case recorder.Parties:
			w := e.worker(eff.UUID)
			e.save(w, "parties", true, func(ctx context.Context) error { return e.cfg.Store.SaveParties(ctx, eff.UUID, eff.List) })
		case recorder.Start:
			w := e.worker(eff.Row.UUID)
			w.push(start{eff, w.intent})
		case recorder.Mute:
			w := e.worker(eff.Row.UUID)
			w.mutes.do(func() { w.mute(eff) })
		case recorder.Pause:
			w := e.worker(eff.UUID)
			// The verdict is written once, at the end, as the final row is.
			e.save(w, "pause", eff.Silence != "", func(ctx context.Context) error { return e.cfg.Store.SavePause(ctx, eff) })
		case recorder.WatchFile:
			e.worker(eff.Row.UUID).push(eff)
		case recorder.Stop:
			e.worker(eff.Row.UUID).push(stop{eff, known})
		case recorder.Finalise:
			e.worker(eff.Row.UUID).push(eff)
		}
	}
	if known == nil {
		e.events.add(news, legs)
	} else {
		e.events.add(news, legs, known)
	}
}

// Stored waits until the states of legs of all that was applied are stored, and
// with them what somebody has asked for. The error is that of ctx.
func (e *Exec) Stored(ctx context.Context) error {
	select {
	case <-e.events.stored():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("states of legs are not stored yet: %w", ctx.Err())
	}
}

// statesOf is closed when the states of legs among the effects are stored, nil
// if there are none: that a stop was asked for is known before it is done, or a
// daemon that dies in between is followed by one that records again.
func statesOf(effects []recorder.Effect) chan struct{} {
	for _, eff := range effects {
		if legs, ok := eff.(recorder.Legs); ok && len(legs.Changed) > 0 {
			return make(chan struct{})
		}
	}
	return nil
}

func (e *Exec) alarm(a recorder.Alarm) {
	e.cfg.Log.Error("recording needs attention", "recording", a.Recording, "cause", a.Cause, "detail", a.Detail)
	if e.cfg.Alarm != nil {
		e.cfg.Alarm(a)
	}
}

// worker returns the one of a recording; e.mu is held.
func (e *Exec) worker(uuid string) *worker {
	w := e.workers[uuid]
	if w == nil {
		w = &worker{e: e, uuid: uuid, wake: make(chan struct{}, 1), rows: &serial{wg: &e.saving}, mutes: &serial{wg: &e.work}}
		e.workers[uuid] = w
		e.work.Go(w.run)
	}
	return w
}

// leave removes a worker that has nothing to do any more.
func (e *Exec) leave(w *worker) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if w.pending() {
		return false
	}
	delete(e.workers, w.uuid)
	e.sweeper.forget(w.uuid)
	return true
}

func (e *Exec) fileClosed(uuid string) {
	e.mu.Lock()
	w := e.workers[uuid]
	e.mu.Unlock()
	if w != nil {
		w.closedSeen.Store(true)
		w.signal()
	}
}

// Close ends the work, leaves recorders running (the next start adopts them)
// and waits until rows and events are stored, at most until ctx is done.
func (e *Exec) Close(ctx context.Context) error {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.cancel()
	e.watcher.close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.work.Wait()
		e.saving.Wait()
		e.events.close()
		e.prober.wait()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close recorder exec: %w", ctx.Err())
	}
}
