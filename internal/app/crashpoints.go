package app

import (
	"context"

	"callrecordd/internal/cdr"
	"callrecordd/internal/recorder"
	"callrecordd/internal/recorder/exec"
)

// CrashPoint is a moment between two steps of which the first is done and the
// second is not: what Asterisk does, what its disk has and what we have stored
// differ, and a daemon that ends there must be made good for by the next one
// (issue 7, "bad days"). Options.Reached is told of each.
type CrashPoint string

// The crash points, in the order in which a call reaches them. "Intent, action,
// confirm, file, event, checkpoint" are the steps of design 2 and 8.
const (
	CrashWanted     CrashPoint = "wanted"      // a recorder is, the intent is not stored
	CrashIntended   CrashPoint = "intended"    // the intent is stored, the action not sent
	CrashStarted    CrashPoint = "started"     // Asterisk records, we have not taken its answer
	CrashUntold     CrashPoint = "untold"      // the decision's events are not stored
	CrashTold       CrashPoint = "told"        // they are
	CrashConfirmed  CrashPoint = "confirmed"   // that it runs is stored
	CrashMuted      CrashPoint = "muted"       // the recorder hears nothing, that is not stored
	CrashPaused     CrashPoint = "paused"      // the pause is stored
	CrashClosing    CrashPoint = "closing"     // the wish to stop is stored, the stop is on its way
	CrashStopped    CrashPoint = "stopped"     // the file is closed, that is not stored
	CrashMeasured   CrashPoint = "measured"    // the file is measured, synced and hashed, that is not stored
	CrashSettled    CrashPoint = "settled"     // what became of the file is stored
	CrashDerived    CrashPoint = "derived"     // the CDR is derived, neither it nor the checkpoint is stored
	CrashExplained  CrashPoint = "explained"   // the row of a talk that nobody saw is stored, its CDR is not
	CrashCheckpoint CrashPoint = "checkpoint"  // CDR and checkpoint are stored
	CrashBeforeStop CrashPoint = "before_stop" // an orderly stop has begun
)

// CrashPoints are all of them.
func CrashPoints() []CrashPoint {
	return []CrashPoint{
		CrashWanted, CrashIntended, CrashStarted, CrashUntold, CrashTold, CrashConfirmed, CrashMuted, CrashPaused,
		CrashClosing, CrashStopped, CrashMeasured, CrashSettled, CrashDerived, CrashExplained, CrashCheckpoint, CrashBeforeStop,
	}
}

// reached tells of a crash point, if somebody wants to know.
func (a *App) reached(p CrashPoint) {
	if a.opt.Reached != nil && p != "" {
		a.opt.Reached(p)
	}
}

// toldAMI tells of the actions of the recorder.
type toldAMI struct {
	exec.AMI
	app *App
}

func (t toldAMI) MixMonitor(ctx context.Context, channel, file, options string) (string, error) {
	id, err := t.AMI.MixMonitor(ctx, channel, file, options)
	t.app.reached(CrashStarted)
	return id, err
}

func (t toldAMI) StopMixMonitor(ctx context.Context, channel, id string) error {
	err := t.AMI.StopMixMonitor(ctx, channel, id)
	t.app.reached(CrashStopped)
	return err
}

func (t toldAMI) MixMonitorMute(ctx context.Context, channel, id string, on bool) error {
	err := t.AMI.MixMonitorMute(ctx, channel, id, on)
	t.app.reached(CrashMuted)
	return err
}

// toldStore tells of what the recorder stores.
type toldStore struct {
	exec.Store
	app *App
}

func (t toldStore) SaveIntent(ctx context.Context, r recorder.Recording) error {
	t.app.reached(CrashWanted)
	err := t.Store.SaveIntent(ctx, r)
	t.app.reached(CrashIntended)
	return err
}

func (t toldStore) SaveRecording(ctx context.Context, r recorder.Recording) error {
	before, after := CrashPoint(""), CrashPoint("")
	switch r.State {
	case recorder.Live:
		after = CrashConfirmed
	case recorder.Closing:
		after = CrashClosing
	case recorder.Ready, recorder.Empty, recorder.Interrupted:
		before, after = CrashMeasured, CrashSettled
	default: // the others lie between points of their own
	}
	t.app.reached(before)
	err := t.Store.SaveRecording(ctx, r)
	t.app.reached(after)
	return err
}

func (t toldStore) SavePause(ctx context.Context, p recorder.Pause) error {
	err := t.Store.SavePause(ctx, p)
	t.app.reached(CrashPaused)
	return err
}

func (t toldStore) AppendEvents(ctx context.Context, list []recorder.Event, legs []recorder.LegState) error {
	t.app.reached(CrashUntold)
	err := t.Store.AppendEvents(ctx, list, legs)
	t.app.reached(CrashTold)
	return err
}

// toldCalls tells of the CDRs that the journal's follower stores.
type toldCalls struct {
	cdr.Store
	app *App
}

func (t toldCalls) SaveCDR(ctx context.Context, cdrs []cdr.CDR, at cdr.Checkpoint) error {
	t.app.reached(CrashDerived)
	err := t.Store.SaveCDR(ctx, cdrs, at)
	t.app.reached(CrashCheckpoint)
	return err
}
