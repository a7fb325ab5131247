package exec

import (
	"context"
	"path/filepath"
	"time"

	"callrecordd/internal/recorder"
)

// mute silences a recorder or lets it hear again, always by its id: without one
// Asterisk mutes all recorders of the channel, also those of others. On a stalled
// disk it is refused, for there a mute by id freezes the call: it takes the
// channel's lock and then waits for the writer (facts 1).
func (w *worker) mute(x recorder.Mute) {
	cfg := w.e.cfg
	wait := cfg.ProbeWait
	if x.On {
		wait = cfg.MuteProbe // each word meanwhile would be on file
	}
	fail := func(cause, detail string) {
		w.deliver(recorder.MuteFailed{UUID: w.uuid, Try: x.Try, On: x.On, Cause: cause, Detail: detail})
	}
	if cause, detail := w.probeFor(x.Row, wait); cause == recorder.CauseStalled {
		fail(cause, detail)
		return
	}
	if x.Row.MixMonitorID == "" {
		fail(recorder.CauseRefused, noID)
		return
	}
	ctx, cancel := context.WithTimeout(w.e.ctx, cfg.Action)
	defer cancel()
	if err := cfg.AMI.MixMonitorMute(ctx, x.Row.Hook, x.Row.MixMonitorID, x.On); err != nil {
		fail(w.failure(err, recorder.CauseTimeout), err.Error())
		return
	}
	w.deliver(recorder.Muted{UUID: w.uuid, Try: x.Try, On: x.On, At: cfg.Clock()})
}

// noID is why nothing is asked of a recorder that cannot be named.
const noID = "the id of the recorder is not known, and without it Asterisk would take another one"

// idOf is the id of a recorder, read back if the answer to its start lacked it;
// empty if nobody knows.
func (w *worker) idOf(row recorder.Recording) string {
	if row.MixMonitorID != "" {
		return row.MixMonitorID
	}
	id, _ := w.readBack(row) // it has said why not
	return id
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
