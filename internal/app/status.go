package app

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"callrecordd/ari"
	"callrecordd/ari/ami"
	"callrecordd/internal/alarm"
	"callrecordd/internal/cdr"
)

// Status describes the daemon for `callrecordd status`, the service manager
// and /readyz.
type Status struct {
	Version string    `json:"version"`
	Since   time.Time `json:"since"`
	Ready   bool      `json:"ready"`
	// Summary is one line for people.
	Summary   string    `json:"summary"`
	Addresses []string  `json:"addresses"` // of the HTTP API
	ARI       ari.State `json:"ari"`
	AMI       ami.State `json:"ami"`
	Journal   cdr.State `json:"journal"`
	// PressesIgnored is how often since Since the code for recording on demand
	// came from a channel that is no user's telephone, such as a trunk's.
	PressesIgnored int64 `json:"presses_ignored"`
	// Recorder is empty while Asterisk can record, else what it lacks.
	Recorder string `json:"recorder,omitempty"`
	// Database is empty while it takes writes, else what is wrong with it.
	Database string `json:"database,omitempty"`
	// Features is empty while Asterisk has the dialplan of *26, else what is
	// wrong. Recording works without it, so it does not count for Ready.
	Features string `json:"features,omitempty"`
	// Pauses is empty while Asterisk can mute one recorder alone, else how they
	// are made. They work, so it does not count for Ready.
	Pauses string `json:"pauses,omitempty"`
	// Ledger is its newest checkpoint, or why there is none. Recording works
	// without it, so it does not count for Ready.
	Ledger string `json:"ledger"`
	// Audits are the last nightly ones, of each tenant.
	Audits []LastAudit `json:"audits,omitempty"`
	// Alarms are those that are up, Disks those that calls depend on. They do not
	// count for Ready, which is whether calls are recorded now.
	Alarms []alarm.Alarm `json:"alarms"`
	Disks  []DiskStatus  `json:"disks"`
}

// Status asks every part.
func (a *App) Status() Status {
	s := Status{Version: a.opt.Version, Since: a.started, Addresses: a.Addresses(), Features: a.features.lacking()}
	s.Audits = a.audits.Last()
	s.ARI, s.AMI, s.Journal = a.stream.State(), a.ami.State(), a.follower.State()
	s.Ledger = a.ledgerStatus()
	s.PressesIgnored = a.reducer.presses.ignored.Load()
	s.Alarms, s.Disks = a.alarms.Up(), a.disks.status()
	if p := a.reducer.pauses.Load(); p != nil {
		s.Pauses = *p
	}
	var wrong []string
	if s.Database = a.database.wrong(a.opt.Now()); s.Database != "" {
		wrong = append(wrong, "database: "+s.Database)
	}
	if s.ARI.Kind != ari.StateConnected {
		wrong = append(wrong, "ARI: "+s.ARI.Detail)
	}
	if s.AMI.Kind != ami.StateConnected {
		wrong = append(wrong, "AMI: "+s.AMI.Detail)
	}
	var unwritten string
	if s.Recorder, unwritten = a.needs.lacking(); s.Recorder != "" {
		wrong = append(wrong, "recorder: "+s.Recorder)
	}
	if unwritten != "" && s.Journal.Ready {
		s.Journal.Ready, s.Journal.Detail = false, unwritten
	}
	if lacks := a.stalled.text(); lacks != "" && s.Journal.Ready {
		s.Journal.Ready, s.Journal.Detail = false, lacks
	}
	if !s.Journal.Ready {
		wrong = append(wrong, "journal: "+s.Journal.Detail)
	}
	s.Ready = len(wrong) == 0
	s.Summary = "recording by rule and on demand"
	if !s.Ready {
		s.Summary = "degraded: " + strings.Join(wrong, "; ")
	}
	return s
}

// ready answers /readyz.
func (a *App) ready() (ok bool, why string) {
	s := a.Status()
	return s.Ready, s.Summary
}

// heartbeat is how often the status line of the service manager is renewed.
const heartbeat = 5 * time.Second

// startHeartbeat keeps the service manager informed. The watchdog is fed only
// while the reducer takes its turn: a loop that is stuck is worth a restart, a
// database that cannot be written or an Asterisk that is away are not.
func (a *App) startHeartbeat() {
	every := heartbeat
	if w := a.opt.WatchdogEvery; w > 0 {
		every = min(every, w/3)
	}
	turns := func(ctx context.Context) error { return a.reducer.do(ctx, func() {}) }
	a.stack.goEvery("heartbeat", every, func(ctx context.Context) {
		if beats(ctx, every, turns) && a.opt.WatchdogEvery > 0 {
			a.opt.Notify("WATCHDOG=1")
		}
		a.opt.Notify(fmt.Sprintf("STATUS=%s", a.Status().Summary))
	})
}

// beats says whether the loop takes a step within that time.
func beats(ctx context.Context, within time.Duration, turns func(context.Context) error) bool {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return turns(ctx) == nil
}

// database is what the last probe of the database showed. Whoever asks for the
// state reads this: a disk that hangs must not hang those who ask, the watchdog
// least of all, and strangers at /readyz must not cause writes.
type database struct {
	mu    sync.Mutex
	asked time.Time // of a probe that has not been answered, else zero
	err   error
}

// slowProbe is how long a probe may take before that is a fault of its own.
const slowProbe = 2 * time.Second

func (d *database) wrong(now time.Time) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case !d.asked.IsZero() && now.Sub(d.asked) > slowProbe:
		return "no answer since " + d.asked.Format(time.TimeOnly) + ": look at the disk it is on"
	case d.err != nil:
		return d.err.Error()
	}
	return ""
}

func (d *database) set(asked time.Time, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked, d.err = asked, err
}

// startProbe writes to the database every now and then.
func (a *App) startProbe() {
	a.stack.goStep("database probe", a.failed, func(ctx context.Context) error {
		tick := time.NewTicker(heartbeat)
		defer tick.Stop()
		var err error
		for {
			a.database.set(a.opt.Now(), err)
			err = a.store.Probe(ctx)
			if ctx.Err() != nil {
				return nil
			}
			a.database.set(time.Time{}, err)
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
		}
	})
}
