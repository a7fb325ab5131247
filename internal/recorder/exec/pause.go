package exec

import (
	"context"
	"path/filepath"
	"time"

	"callrecordd/internal/recorder"
)

// mute silences a recorder or lets it hear again. On a stalled disk a mute by
// id would freeze the call: it takes the channel's lock and then waits for the
// writer (facts 1). There all recorders of the channel are muted, which waits
// for nobody, and later let hear again together.
func (w *worker) mute(x recorder.Mute) {
	cfg := w.e.cfg
	id := x.Row.MixMonitorID
	wait := cfg.ProbeWait
	if x.On {
		wait = cfg.MuteProbe // each word meanwhile would be on file
	}
	cause, _ := w.probeFor(x.Row, wait)
	switch {
	case x.On && cause == recorder.CauseStalled:
		w.muteAll, id = true, ""
	case w.muteAll || cause == recorder.CauseStalled:
		id = ""
	}
	ctx, cancel := context.WithTimeout(w.e.ctx, cfg.Action)
	defer cancel()
	if err := cfg.AMI.MixMonitorMute(ctx, x.Row.Hook, id, x.On); err != nil {
		cause := w.failure(err, recorder.CauseTimeout)
		w.deliver(recorder.MuteFailed{UUID: w.uuid, Try: x.Try, On: x.On, Cause: cause, Detail: err.Error()})
		return
	}
	if !x.On {
		w.muteAll = false
	}
	w.deliver(recorder.Muted{UUID: w.uuid, Try: x.Try, On: x.On, At: cfg.Clock()})
}

// reopen prepares for a recorder that appends to a file closed before. The
// news of that close, which may still be on its way, must not be taken for
// that of the next one.
func (w *worker) reopen(row recorder.Recording) {
	w.awaitNews()
	w.closedSeen.Store(false)
	w.told, w.stopped = false, false
	w.floor = 0
	if size, err := w.e.files.size(row); err == nil {
		w.floor = size
	}
}

// awaitNews waits until inotify has told the close, at most for Settle: where
// the directory could not be watched it never comes.
func (w *worker) awaitNews() {
	timer := time.NewTimer(w.e.cfg.Settle)
	defer timer.Stop()
	for !w.closedSeen.Load() {
		select {
		case <-w.wake: // also a queued effect: it waits for its turn
		case <-timer.C:
			return
		case <-w.e.ctx.Done():
			return
		}
	}
}

// tone plays to all legs at once. Nothing waits for it.
func (e *Exec) tone(x recorder.Tone) {
	if e.cfg.Tone == nil {
		return
	}
	for _, leg := range x.Legs {
		e.work.Go(func() { e.cfg.Tone(leg, string(x.Sound)) })
	}
}

// listen looks for the row's pauses in its closed file.
func (w *worker) listen(row recorder.Recording, out *recorder.Finalised) {
	if len(row.Pauses) == 0 {
		return
	}
	found, err := w.e.files.silences(row, out.Samples, out.Rate)
	if err != nil {
		w.e.cfg.Log.Error("pauses cannot be checked", "recording", row.UUID, "file", filepath.Base(row.Path()), "err", err)
		return
	}
	out.Pauses = found
}
