package app

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/call"
	"callrecordd/internal/cdr"
	"callrecordd/internal/directory"
	"callrecordd/internal/recorder"
	"callrecordd/store"
)

// emptyWAV is the size in bytes of a file without audio.
const emptyWAV = 44

// netted takes over what the net has recorded of a call that is over. The row
// goes first: should we die, the next start finds it open and looks at its file.
// It is looked for in all tenants: who was marked then need not be so now.
func (m missedCalls) netted(ctx context.Context, c cdr.CDR) error {
	book := m.app.directory.Book()
	paths, rows := map[string]string{}, map[string]recorder.Recording{}
	for _, id := range c.Uniqueids {
		uuid := dialplan.SafetyUUID(id)
		for _, tenant := range book.Contents().Tenants {
			key := tenant.UUID + uuid
			paths[key] = filepath.Join(m.app.opt.Config.Recordings.Root, tenant.UUID, "monitor", uuid+".wav")
			rows[key] = nettedRow(book, c, id, uuid, tenant.UUID)
		}
	}
	sizes, failed := m.app.disk.sizes(paths)
	if err := m.unknown(ctx, c, failed); err != nil {
		return err
	}
	for key, size := range sizes {
		row := rows[key]
		if failed[key] != nil {
			continue
		}
		if _, err := m.Recording(ctx, row.UUID); !errors.Is(err, store.ErrNotFound) {
			if err != nil {
				return err
			}
			continue
		}
		if c.Answer.IsZero() && size <= emptyWAV {
			// Asterisk opens the file before anybody answers, and nobody has.
			if err := m.app.disk.remove(paths[key]); err != nil {
				m.app.log.Warn("a file of the safety net without audio stays", "path", paths[key], "err", err)
			}
			continue
		}
		if err := m.takeOver(ctx, row, nettedParties(book, c, row)); err != nil {
			return err
		}
	}
	return nil
}

// unknown is what becomes of files that could not be looked at. A disk that
// hangs is waited for, the call with it. What else is wrong, or lasts, must not
// hold up all calls: it is told, and the CDR goes on without the file.
func (m missedCalls) unknown(ctx context.Context, c cdr.CDR, failed map[string]error) error {
	var err error
	for _, e := range failed {
		if err == nil || errors.Is(e, errDiskHangs) {
			err = e
		}
	}
	if !m.patience.over(m.app.opt.Now(), errors.Is(err, errDiskHangs)) {
		return err
	}
	if err == nil {
		return nil
	}
	m.app.log.Error("it is not known whether the safety net has recorded a call", "call", c.ConversationID, "err", err)
	return m.AppendEvents(ctx, recorder.Event{
		At: m.app.opt.Now(), Kind: "safety_net_unknown", Call: c.ConversationID, Actor: "callrecordd",
		Data: recorder.Note{Detail: fmt.Sprintf("files of the safety net could not be looked at: %v", err)},
	})
}

// hangTime is how long calls wait for a disk that hangs.
const hangTime = 30 * time.Second

// patience is since when the disk has hung.
type patience struct{ since time.Time }

// over says that there is nothing to wait for, or no longer.
func (p *patience) over(now time.Time, hangs bool) bool {
	switch {
	case !hangs:
		p.since = time.Time{}
		return true
	case p.since.IsZero():
		p.since = now
	}
	return now.Sub(p.since).Abs() >= hangTime
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

// again has files looked at again whose recordings have their end.
func (r *reducer) again(rows ...recorder.Recording) {
	if effects := r.machine.Again(r.now(), rows); len(effects) > 0 {
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
