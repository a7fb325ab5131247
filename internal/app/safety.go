package app

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"callrecordd/ari/ami"
	"callrecordd/dialplan"
	"callrecordd/internal/call"
	"callrecordd/internal/cdr"
	"callrecordd/internal/directory"
	"callrecordd/internal/recorder"
	"callrecordd/internal/recorder/exec"
	"callrecordd/store"
)

// The safety net: Asterisk records the calls of users who must be recorded
// while we do not see its events. What it has made is taken over afterwards.

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
// seen and the reducer turns. At an orderly stop it is needed at once.
func (a *App) startAlive() {
	a.stack.goStep("safety net", a.failed, func(ctx context.Context) error {
		tick := time.NewTicker(dialplan.AliveEvery)
		defer tick.Stop()
		turns := func(ctx context.Context) error { return a.reducer.do(ctx, func() {}) }
		for {
			select {
			case <-ctx.Done():
				end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
				defer cancel()
				a.setAlive(end, 0)
				return nil
			case <-tick.C:
			}
			if a.watch.on() && beats(ctx, dialplan.AliveEvery, turns) {
				a.setAlive(ctx, a.opt.Now().Unix())
			}
		}
	})
}

// setAlive tells the net when events were last seen, if somebody needs it.
func (a *App) setAlive(ctx context.Context, seconds int64) {
	if len(netTenants(a.directory.Book())) == 0 || a.ami.State().Kind != ami.StateConnected {
		return
	}
	if err := a.ami.Setvar(ctx, "", dialplan.AliveVariable, strconv.FormatInt(seconds, 10)); err != nil && ctx.Err() == nil {
		a.log.Warn("the safety net cannot be told that we are here; it may record as well", "err", err)
	}
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
	a.setAlive(ctx, a.opt.Now().Unix())
}

// netted takes over what the net has recorded of a call that is over. The row
// goes first: should we die, the next start finds it open and looks at its file.
func (m missedCalls) netted(ctx context.Context, c cdr.CDR) error {
	book := m.app.directory.Book()
	paths, rows := map[string]string{}, map[string]recorder.Recording{}
	for _, id := range c.Uniqueids {
		uuid := dialplan.SafetyUUID(id)
		for _, tenant := range netTenants(book) {
			key := tenant + uuid
			paths[key] = filepath.Join(m.app.opt.Config.Recordings.Root, tenant, "monitor", uuid+".wav")
			rows[key] = nettedRow(book, c, id, uuid, tenant)
		}
	}
	sizes, failed := m.app.disk.sizes(paths)
	for key := range sizes {
		row := rows[key]
		if err := failed[key]; err != nil {
			return err
		}
		if _, err := m.Recording(ctx, row.UUID); !errors.Is(err, store.ErrNotFound) {
			if err != nil {
				return err
			}
			continue
		}
		if err := m.takeOver(ctx, row, nettedParties(book, c, row)); err != nil {
			return err
		}
	}
	return nil
}

func (m missedCalls) takeOver(ctx context.Context, row recorder.Recording, list []recorder.Party) error {
	m.app.log.Warn("the safety net has recorded a call", "recording_uuid", row.UUID, "channel", row.HookName)
	err := m.Write(ctx, store.High, func(tx *store.Tx) error {
		return errors.Join(tx.InsertRecording(row), tx.SaveParties(row.UUID, list), tx.AppendEvents(recorder.Event{
			Kind: recorder.EventAdopted, Recording: row.UUID, Call: row.Hook, Actor: "asterisk",
			Data: recorder.Note{State: row.State, Hook: row.Hook, Why: string(dialplan.SafetyNetMade)},
		}))
	})
	if err != nil {
		return err
	}
	r := m.app.reducer
	return r.do(ctx, func() { r.finish(row) })
}

// finish has the files of recordings looked at that ended without us. Before
// Asterisk has been seen they wait: the look under way may not know of them.
func (r *reducer) finish(rows ...recorder.Recording) {
	if r.machine == nil {
		r.ended = append(r.ended, rows...)
		return
	}
	if effects := r.machine.Finish(r.now(), rows); len(effects) > 0 {
		r.perform(effects)
	}
}

// nettedRow is the recording that the net made on a channel.
func nettedRow(book *directory.Book, c cdr.CDR, hook, uuid, tenant string) recorder.Recording {
	row := recorder.Recording{
		UUID: uuid, TenantUUID: tenant, Boot: c.Journal.Boot, Hook: hook, Legs: []string{hook}, State: recorder.Live,
		Detail: "recorded by Asterisk alone while the daemon was away", IntentAt: c.Start, StartedAt: c.Start, EndedAt: c.End,
	}
	began := false
	for _, s := range spansOf(c, hook) {
		if !began {
			row.IntentAt, row.StartedAt, began = s.From, s.From, true
		}
		row.EndedAt = s.To
		for _, l := range s.Legs {
			if l.ID == hook {
				row.HookName = l.Name
			}
			if !slices.Contains(row.Legs, l.ID) {
				row.Legs = append(row.Legs, l.ID)
			}
			if u := book.Endpoint(l.Endpoint()).User; u.MustRecord && !claims(row, l.ID) {
				row.Claims = append(row.Claims, recorder.Claim{Leg: l.ID, UserUUID: u.UUID, Reason: dialplan.SafetyNetMade, At: s.From})
			}
		}
	}
	if len(row.Claims) == 0 { // who must be recorded was dialled and did not answer
		row.Claims = []recorder.Claim{{Leg: hook, Reason: dialplan.SafetyNetMade, At: row.IntentAt}}
	}
	return row
}

func claims(row recorder.Recording, leg string) bool {
	return slices.ContainsFunc(row.Claims, func(c recorder.Claim) bool { return c.Leg == leg })
}

// spansOf are the times that a leg talked.
func spansOf(c cdr.CDR, leg string) (out []call.Span) {
	for _, t := range c.Talks {
		for _, s := range t.Spans {
			if slices.ContainsFunc(s.Legs, func(l call.Leg) bool { return l.ID == leg }) {
				out = append(out, s)
			}
		}
	}
	return out
}

func nettedParties(book *directory.Book, c cdr.CDR, row recorder.Recording) []recorder.Party {
	var out []recorder.Party
	for _, s := range spansOf(c, row.Hook) {
		for _, l := range s.Legs {
			out = append(out, recorder.Party{
				Leg: l.ID, UserUUID: book.Endpoint(l.Endpoint()).User.UUID, Endpoint: l.Endpoint(), From: s.From, To: s.To,
			})
		}
	}
	return out
}
