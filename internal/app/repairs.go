package app

import (
	"context"
	"errors"
	"slices"
	"time"

	"callrecordd/internal/recorder"
	"callrecordd/internal/recorder/exec"
	"callrecordd/store"
)

// repairsEvery is how often files are looked for whose header could not be
// repaired. What failed again waits twice as long each time: what lacks is mostly
// room on their disk, and each attempt is on record.
const repairsEvery = time.Minute

// attempts says when a file is tried again.
type attempts map[string]attempt

type attempt struct {
	next time.Time
	wait time.Duration
}

// due says whether the file is to be tried now, and notes that it is.
func (t attempts) due(uuid string, now time.Time) bool {
	last := t[uuid]
	if now.Before(last.next) {
		return false
	}
	wait := max(2*last.wait, repairsEvery)
	t[uuid] = attempt{now.Add(wait), wait}
	return true
}

// startRepairs has files repaired that nobody has closed: at the start, and again
// while there are some.
func (a *App) startRepairs() {
	tried := attempts{}
	a.stack.goStep("files that nobody closed", a.failed, func(ctx context.Context) error {
		a.dropSpares(ctx)
		if !a.awaitMachine(ctx) {
			return nil
		}
		tick := time.NewTicker(repairsEvery)
		defer tick.Stop()
		for {
			a.repairAgain(ctx, tried)
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
		}
	})
}

// dropSpares removes what a repair has left behind because we died (exec/repair.go).
func (a *App) dropSpares(ctx context.Context) {
	root := a.opt.Config.Recordings.Root
	spares, err := exec.Spares(root)
	if err != nil {
		a.log.Warn("originals of repaired recordings cannot be looked for", "err", err)
		return
	}
	for _, s := range spares {
		row, err := a.store.Recording(ctx, s.UUID)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, store.ErrNotFound), err == nil && row.TenantUUID != s.TenantUUID:
			a.log.Warn("a file in the folder of repairs is of no recording and stays", "tenant", s.TenantUUID, "recording_uuid", s.UUID)
			continue
		case err == nil && row.State.Open():
			continue // it is looked at with its recording
		case err == nil && row.Cause == recorder.CauseHeaderUnset:
			continue // repairAgain
		case err == nil:
			err = exec.DropSpare(root, row)
		}
		if err != nil {
			a.log.Warn("the original of a repaired recording stays", "recording_uuid", s.UUID, "err", err)
		}
	}
}

// repairAgain has files looked at again that could not be repaired, for want of
// room on their disk or because an older version did not do it.
func (a *App) repairAgain(ctx context.Context, tried attempts) {
	rows, err := a.store.UnclosedRecordings(ctx)
	if err != nil {
		a.log.Warn("files that nobody closed cannot be looked for", "err", err)
		return
	}
	now := time.Now() // waits are the monotonic clock's
	rows = slices.DeleteFunc(rows, func(r recorder.Recording) bool {
		return !exec.Repairable(a.opt.Config.Recordings.Root, r) || !tried.due(r.UUID, now)
	})
	if len(rows) == 0 {
		return
	}
	a.log.Info("files that nobody closed are looked at again", "recordings", len(rows))
	if err := a.reducer.do(ctx, func() { a.reducer.again(rows...) }); err != nil && ctx.Err() == nil {
		a.log.Warn("files that nobody closed are not looked at", "err", err)
	}
}

// awaitMachine waits until Asterisk was seen for the first time: what is read of
// the store before may be deleted by then.
func (a *App) awaitMachine(ctx context.Context) bool {
	tick := time.NewTicker(recoveryEvery)
	defer tick.Stop()
	for {
		if there, err := ask(ctx, a.reducer, func() bool { return a.reducer.machine != nil }); err == nil && there {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}
