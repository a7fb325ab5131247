package app

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"callrecordd/ari/ami"
	"callrecordd/dialplan"
	"callrecordd/internal/directory"
	"callrecordd/internal/recorder/exec"
)

// The safety net: Asterisk records the calls of users who must be recorded
// while we do not see its events. What it has made is taken over
// afterwards (netted.go).

// safetyNet is the net for the users of a directory.
func safetyNet(book *directory.Book, root string) dialplan.SafetyNet {
	net := dialplan.SafetyNet{Root: root}
	for _, u := range book.Contents().Users {
		if !u.MustRecord {
			continue
		}
		must := dialplan.MustRecord{Tenant: u.TenantUUID}
		for _, l := range u.Lines {
			must.Endpoints = append(must.Endpoints, l.Endpoint)
			if l.Exten != "" {
				must.Places = append(must.Places, l.Exten+"@"+l.Context)
			}
		}
		net.Users = append(net.Users, must)
	}
	return net
}

// prepareNet makes the directories: Asterisk would make them readable for
// everybody (asterisk-facts 1). A failure is that of the root, which needs tells.
func (a *App) prepareNet() {
	root := a.opt.Config.Recordings.Root
	for _, tenant := range netTenants(a.directory.Book()) {
		if err := exec.Prepare(root, tenant); err != nil {
			a.log.Warn("the safety net cannot record", "err", err)
		}
	}
}

func netTenants(book *directory.Book) []string {
	var out []string
	for _, u := range book.Contents().Users {
		if u.MustRecord && !slices.Contains(out, u.TenantUUID) {
			out = append(out, u.TenantUUID)
		}
	}
	return out
}

// startAlive keeps telling the net that it is not needed, as long as events are
// seen and the reducer turns.
func (a *App) startAlive() {
	turns := func(ctx context.Context) error { return a.reducer.do(ctx, func() {}) }
	a.stack.goEvery("safety net", dialplan.AliveEvery, func(ctx context.Context) {
		if a.watch.on() && beats(ctx, dialplan.AliveEvery, turns) {
			a.setAlive(ctx)
		}
	})
}

// setAlive tells the net that events are seen now, if somebody needs it.
func (a *App) setAlive(ctx context.Context) {
	now := a.opt.Now()
	if a.tellNet(ctx, now.Unix()) {
		a.told.at(now)
	}
}

// leaveToNet is an orderly stop: the net is needed at once, not only when our
// last word is too old.
func (a *App) leaveToNet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	a.tellNet(ctx, 0)
	return nil
}

// tellNet sets the time at which events were last seen. It says whether the net
// has it, or is for nobody.
func (a *App) tellNet(ctx context.Context, seconds int64) bool {
	if a.ami.State().Kind != ami.StateConnected {
		return false
	}
	if len(netTenants(a.directory.Book())) == 0 {
		return true
	}
	err := a.ami.Setvar(ctx, "", dialplan.AliveVariable, strconv.FormatInt(seconds, 10))
	if err != nil && ctx.Err() == nil {
		a.log.Warn("the safety net cannot be told that we are here; it may record as well", "err", err)
	}
	return err == nil
}

// told is since when the net has been told without a gap that it is not needed.
// Events may be seen all the time and the net work nevertheless: it hears of us
// through the manager, which has a connection of its own.
type told struct {
	mu          sync.Mutex
	since, last time.Time
}

// toldTime is how old its word may be. It counts for AliveTime, in whole seconds
// of Asterisk's clock; a word that is overdue is no longer relied on.
const toldTime = dialplan.AliveTime - dialplan.AliveEvery

// at notes that it was told.
func (t *told) at(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last.IsZero() || now.Sub(t.last).Abs() > toldTime {
		t.since = now
	}
	t.last = now
}

// throughout says whether it knew from one time to the other, which is now.
func (t *told) throughout(from, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.last.IsZero() && t.since.Before(from) && now.Sub(t.last).Abs() <= toldTime
}

// watched says whether the calls between two times were ours alone: all events
// were seen, and the net knew.
func (a *App) watched(from, now time.Time) bool {
	return a.watch.throughout(from, now) && a.told.throughout(from, now)
}

// aliveBeforeLook ends the net's work before running recorders are looked for:
// one that it starts later would not be found, and ours be the second. The
// manager may take a moment longer to come than the events.
func (a *App) aliveBeforeLook(ctx context.Context) {
	if len(netTenants(a.directory.Book())) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, searchTime)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for a.ami.State().Kind != ami.StateConnected {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
	a.setAlive(ctx)
}
