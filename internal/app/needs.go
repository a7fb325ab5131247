package app

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"callrecordd/ari"
	"callrecordd/ari/ami"
	"callrecordd/internal/recorder"
)

// journalModule writes the journal.
const journalModule = "cel_sqlite3_custom.so"

// needsEvery is how often Asterisk is asked for what may come and go with
// `module load` and `manager reload`, without a reconnect.
const needsEvery = 5 * time.Second

// needs is what a connection alone does not prove: that the manager user may
// start recorders, that there are any, and that the journal is written. It is
// found by trying, so that the first call is not the one to show it.
type needs struct {
	wake chan struct{}

	mu                sync.Mutex
	recorder, journal string // what is wrong, and what to do
	root              string // the same of the recordings' root

	disk *disk
}

func newNeeds() *needs { return &needs{wake: make(chan struct{}, 1), disk: newDisk()} }

// again has everything tried soon. It does not block.
func (n *needs) again() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// lacking says what is wrong; either may be more than one thing.
func (n *needs) lacking() (recorder, journal string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.recorder != "" && n.root != "" {
		return n.recorder + "; " + n.root, n.journal
	}
	return n.recorder + n.root, n.journal
}

// parts is lacking, with what concerns the recordings' root apart.
func (n *needs) parts() (recorder, root string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.recorder, n.root
}

func (a *App) startNeeds() {
	a.stack.goStep("asterisk needs", a.failed, func(ctx context.Context) error {
		tick := time.NewTicker(needsEvery)
		defer tick.Stop()
		for ctx.Err() == nil {
			a.tryNeeds(ctx)
			select {
			case <-ctx.Done():
			case <-tick.C:
			case <-a.needs.wake:
			}
		}
		return nil
	})
}

// tryNeeds leaves what it knows if Asterisk does not answer: that it is away
// is told by the connections.
func (a *App) tryNeeds(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, needsEvery)
	defer cancel()
	n := a.needs
	root := n.disk.lackOf(a.opt.Config.Recordings.Root)
	if root == "" {
		root = n.disk.refuses(a.opt.Config.Recordings.Root)
	}
	n.mu.Lock()
	lacks, journal := n.recorder, n.journal
	before := [...]string{n.recorder, n.journal, n.root}
	n.mu.Unlock()
	if a.ami.State().Kind == ami.StateConnected {
		// Asterisk looks for module and class, then for the channel, and
		// only then at the file.
		_, err := a.ami.MixMonitor(ctx, "callrecordd/none", filepath.Join(a.opt.Config.Recordings.Root, "none.wav"), "")
		switch {
		case errors.Is(err, ami.ErrPermission), errors.Is(err, ami.ErrUnknownAction):
			lacks = err.Error() + "; until then nothing is recorded"
		case err == nil, errors.Is(err, ami.ErrNoChannel):
			lacks = ""
		}
	}
	if a.stream.State().Kind == ari.StateConnected {
		_, err := a.ari.Module(ctx, journalModule)
		switch {
		case errors.Is(err, ari.ErrNotFound), errors.Is(err, ari.ErrNotInStasis):
			journal = fmt.Sprintf("Asterisk does not run %s, so it writes nothing into the journal %s: put the module into "+
				"modules.conf and `module load` it; calls that end until then get their CDR from its events alone", journalModule, a.opt.Config.Asterisk.Journal)
		case err == nil:
			journal = ""
		}
	}
	n.mu.Lock()
	n.recorder, n.journal, n.root = lacks, journal, root
	n.mu.Unlock()
	for i, now := range []string{lacks, journal, root} {
		if now != before[i] && now != "" {
			a.log.Error("something is lacking that recording needs", "detail", now)
		} else if now != before[i] {
			a.log.Info("what was lacking is there", "lacked", before[i])
		}
	}
	if lacks == "" && root == "" {
		a.reducer.deliver(recorder.Able{})
	}
}
