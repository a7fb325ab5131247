package exec

import (
	"context"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"callrecordd/internal/recorder"
)

// start is a recorder.Start that waits for its intent.
type start struct {
	recorder.Start
	intent <-chan struct{} // closed once stored, nil if there is none
}

// stop is a recorder.Stop that waits for the states of legs that go with it.
type stop struct {
	recorder.Stop
	known <-chan struct{} // closed once stored, nil if there are none
}

// retire says that the recording is final; stored is closed when that is stored.
type retire struct {
	row    recorder.Recording
	stored <-chan struct{}
}

// worker performs what needs order for one recording: start, watch, stop,
// finalise. Rows are saved beside it, in an order of their own, so that a slow
// store does not delay a stop; mutes too, so that nothing delays them.
type worker struct {
	e          *Exec
	uuid       string
	wake       chan struct{}
	rows       *serial
	mutes      *serial
	intent     <-chan struct{} // guarded by Exec.mu
	closedSeen atomic.Bool     // inotify has seen the file closed

	mu    sync.Mutex
	queue []any

	floor    int64               // size of the file before what is to be proved
	watch    *watch              // nil unless there is something to prove
	told     bool                // Closed was delivered
	watching bool                // a close is news
	stopped  bool                // a stop was sent, its answer is lost
	stale    string              // id of the recorder that was last stopped
	mended   *recorder.Recording // its header was repaired
	// retiring is closed when the final state is stored, nil before there is
	// one: a new worker would store the rows of a new Reconcile out of order.
	retiring <-chan struct{}
}

func (w *worker) push(x any) {
	w.mu.Lock()
	w.queue = append(w.queue, x)
	w.mu.Unlock()
	w.signal()
}

func (w *worker) pop() any {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) == 0 {
		return nil
	}
	x := w.queue[0]
	w.queue = w.queue[1:]
	return x
}

func (w *worker) pending() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.queue) > 0
}

func (w *worker) signal() {
	select {
	case w.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// deliver tells a result, unless we are closing: then it may be half of one.
func (w *worker) deliver(in recorder.Input) {
	if w.e.ctx.Err() == nil {
		w.e.cfg.Deliver(in)
	}
}

func (w *worker) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for w.e.ctx.Err() == nil {
		if x := w.pop(); x != nil {
			w.perform(x)
			continue
		}
		if w.watching && !w.told && w.closedSeen.Load() {
			w.told, w.watch = true, nil
			w.e.sweeper.remove(w.uuid)
			w.deliver(recorder.Closed{UUID: w.uuid})
			continue
		}
		wait := time.Hour
		if w.watch != nil {
			wait = w.watch.pause(w.e.cfg.Clock())
		}
		timer.Reset(wait)
		select {
		case <-w.wake:
		case <-w.retiring:
			w.dropOriginal()
			if w.retiring = nil; w.e.leave(w) {
				return
			}
		case <-timer.C:
			if w.watch != nil {
				w.check()
			}
		case <-w.e.ctx.Done():
		}
	}
}

func (w *worker) perform(x any) {
	switch x := x.(type) {
	case start:
		w.e.sweeper.remove(w.uuid)
		w.watching = false
		w.start(x)
	case recorder.WatchFile:
		w.begin(x)
	case stop:
		w.e.sweeper.remove(w.uuid)
		w.watch, w.watching = nil, false
		w.await(x.known, "what was asked for")
		w.stop(x.Row)
	case recorder.Finalise:
		w.e.sweeper.remove(w.uuid)
		w.watch, w.watching = nil, false
		w.finalise(x)
	case retire:
		w.retiring = x.stored
		if w.mended != nil {
			w.mended.SHA256, w.mended.State = x.row.SHA256, x.row.State
		}
	}
}

// start makes the directory before Asterisk would, with its umask (facts 1),
// waits a moment for the intent, and starts the recorder.
func (w *worker) start(s start) {
	row, cfg := s.Row, w.e.cfg
	dir, err := w.e.files.prepare(row)
	if err != nil {
		w.deliver(recorder.StartFailed{UUID: row.UUID, Cause: classify(err, recorder.CauseNoDirectory), Detail: err.Error()})
		return
	}
	// Watched before the start, so that no close can be missed.
	w.watchDir(dir)
	options := "i(" + row.Variable() + ")"
	if s.Append {
		options = "a" + options
		w.reopen(row)
	}
	w.await(s.intent, "intent")
	ctx, cancel := context.WithTimeout(w.e.ctx, cfg.Action)
	defer cancel()
	id, err := cfg.AMI.MixMonitor(ctx, row.Hook, w.e.files.abs(row), options)
	if err != nil {
		if cause := w.failure(err, recorder.CauseNoAnswer); cause != recorder.CauseNoAnswer {
			w.deliver(recorder.StartFailed{UUID: row.UUID, Cause: cause, Detail: err.Error()})
			return
		}
		w.find(row, err)
		return
	}
	if id == "" {
		id, _ = w.readBack(row) // it has said why not
	}
	w.deliver(recorder.Started{UUID: row.UUID, MixMonitorID: id, At: cfg.Clock()})
}

// failure names the cause of an error of AMI; lost is that of an action that
// was sent and not answered.
func (w *worker) failure(err error, lost string) string {
	switch cfg := w.e.cfg; {
	case cfg.NoChannel(err):
		return recorder.CauseNoChannel
	case cfg.NotSent(err):
		return recorder.CauseNoManager
	case cfg.Refused(err):
		return recorder.CauseRefused
	}
	return lost
}

// find looks for the recorder of a start without an answer. If it is not there
// at once that is told, and it is looked for a while longer: Asterisk may still
// come to what it was sent, and a recorder nobody knows would go on until the
// hangup.
func (w *worker) find(row recorder.Recording, lost error) {
	cfg := w.e.cfg
	for begun, told := cfg.Clock(), false; ; {
		id, err := w.readBack(row)
		switch {
		case w.e.ctx.Err() != nil:
			return
		case id != "":
			w.deliver(recorder.Started{UUID: row.UUID, MixMonitorID: id, At: cfg.Clock()})
			return
		case err != nil && cfg.NoChannel(err):
			w.deliver(recorder.StartFailed{UUID: row.UUID, Cause: recorder.CauseNoChannel, Detail: err.Error()})
			return
		case cfg.Clock().Sub(begun) >= cfg.LostWait:
			w.deliver(recorder.StartFailed{UUID: row.UUID, Cause: recorder.CauseNoAnswer, Detail: lost.Error()})
			return
		case !told:
			told = true
			w.deliver(recorder.StartLost{UUID: row.UUID, Detail: lost.Error()})
		}
		timer := time.NewTimer(cfg.LostPoll)
		select {
		case <-timer.C:
		case <-w.e.ctx.Done():
		}
		timer.Stop()
	}
}

// readBack finds the id of a recorder whose response was lost: it is only in
// the response and in this variable (facts 1). It is empty if there is none.
// It is asked for briefly: a start and its retry must be through within 6 s.
func (w *worker) readBack(row recorder.Recording) (string, error) {
	ctx, cancel := context.WithTimeout(w.e.ctx, w.e.cfg.Action/5)
	defer cancel()
	id, err := w.e.cfg.ARI.ChannelVar(ctx, row.Hook, row.Variable())
	if err != nil {
		w.e.cfg.Log.Debug("recorder id cannot be read back", "recording", row.UUID, "err", err)
		return "", err
	}
	if id == w.stale && id != "" {
		// That of the recorder before a cut, or by chance of the one after it.
		if alive, known := w.runs(row, id); known && !alive {
			return "", nil
		}
	}
	return id, nil
}

// await waits a moment for something to be stored.
func (w *worker) await(done <-chan struct{}, what string) {
	if done == nil {
		return
	}
	timer := time.NewTimer(w.e.cfg.IntentWait)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C: // audio before paper (design 8)
		w.e.cfg.Log.Warn("the database is late, the recorder does not wait for it", "recording", w.uuid, "what", what)
	case <-w.e.ctx.Done():
	}
}

func (w *worker) watchDir(dir string) {
	if err := w.e.watcher.add(dir); err != nil {
		w.e.cfg.Log.Warn("directory cannot be watched, files are polled", "dir", dir, "err", err)
	}
}

// stop first proves that storage answers: on a stalled disk Asterisk would
// freeze the call under its lock (design 9).
func (w *worker) stop(row recorder.Recording) {
	cause, detail := w.probe(row)
	if cause == recorder.CauseStalled {
		w.deliver(recorder.StopFailed{UUID: row.UUID, Cause: cause, Detail: detail})
		return
	}
	if w.stopped {
		// An earlier stop may have worked, its id be another recorder's by now.
		if alive, known := w.recorderAlive(row); known && !alive {
			w.deliver(recorder.StopDone{UUID: row.UUID})
			return
		}
	}
	id := w.idOf(row)
	if id == "" {
		w.deliver(recorder.StopFailed{UUID: row.UUID, Cause: recorder.CauseTimeout, Detail: noID})
		return
	}
	w.stale = id
	ctx, cancel := context.WithTimeout(w.e.ctx, w.e.cfg.Action)
	defer cancel()
	err := w.e.cfg.AMI.StopMixMonitor(ctx, row.Hook, id)
	if err != nil {
		cause := w.failure(err, recorder.CauseTimeout)
		w.stopped = w.stopped || cause == recorder.CauseTimeout
		w.deliver(recorder.StopFailed{UUID: row.UUID, Cause: cause, Detail: err.Error()})
		return
	}
	w.deliver(recorder.StopDone{UUID: row.UUID})
}

// probe writes into the recording's directory; cause is empty if that works.
func (w *worker) probe(row recorder.Recording) (cause, detail string) {
	return w.probeFor(row, w.e.cfg.ProbeWait)
}

// probeFor is probe with a time of its own, after which storage is stalled.
func (w *worker) probeFor(row recorder.Recording, wait time.Duration) (cause, detail string) {
	ctx, cancel := context.WithTimeout(w.e.ctx, wait)
	defer cancel()
	err := w.e.prober.probe(ctx, filepath.Dir(w.e.files.abs(row)))
	if err == nil {
		return "", ""
	}
	return classify(err, ""), err.Error()
}
