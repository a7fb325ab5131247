package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/call"
	"callrecordd/internal/cdr"
	"callrecordd/internal/directory"
	"callrecordd/internal/recorder"
	"callrecordd/store"
)

// Talks that nobody here saw, because the daemon or its event stream was away,
// and that were over when it came back. Only the journal tells of them. Those
// that a rule wanted get a row that says so: no such talk is passed over in
// silence (issue 4, Shows 3).

// watch is since when Asterisk's events are seen without a gap.
type watch struct {
	mu    sync.Mutex
	since time.Time // zero while they are not
}

func (w *watch) begin(now time.Time) { w.mu.Lock(); w.since = now; w.mu.Unlock() }

func (w *watch) end() { w.mu.Lock(); w.since = time.Time{}; w.mu.Unlock() }

// on says whether they are seen now.
func (w *watch) on() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.since.IsZero()
}

// throughout says whether all was seen from one time to the other, which is now.
func (w *watch) throughout(from, _ time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.since.IsZero() && w.since.Before(from)
}

// clockSlack is what the times of events, ours and Asterisk's, may differ by.
const clockSlack = time.Second

// missedCalls is the store of the journal's follower. It explains the talks of
// a call before its CDR: the row is attached with the CDR, and if we die in
// between, the same call comes again and the row is found.
type missedCalls struct {
	*store.Store
	app      *App
	patience *patience
	past     *pastBooks
}

// SaveCDR implements cdr.Store.
func (m missedCalls) SaveCDR(ctx context.Context, cdrs []cdr.CDR, at cdr.Checkpoint) error {
	if m.app.rival.there(m.app.opt.Now()) { // it has their recordings, also those of the net
		return m.Store.SaveCDR(ctx, cdrs, at)
	}
	var list []explanation
	for _, c := range cdrs {
		if c.Unwatched {
			if err := m.netted(ctx, c); err != nil {
				return fmt.Errorf("recordings of call %s by the safety net: %w", c.ConversationID, err)
			}
		}
		if m.app.watch.throughout(c.Start, m.app.opt.Now()) {
			continue // we saw the talks, only the net may have been there as well
		}
		for _, t := range c.Talks {
			e, err := m.explain(ctx, c, t)
			if err != nil {
				return fmt.Errorf("talks of call %s that nobody saw: %w", c.ConversationID, err)
			}
			if e.row != nil {
				list = append(list, e)
			}
		}
	}
	if err := m.keep(ctx, list); err != nil {
		return fmt.Errorf("talks that nobody saw: %w", err)
	}
	return m.Store.SaveCDR(ctx, cdrs, at)
}

// explanation is the row of a talk that nobody saw, with the decision that
// would have been.
type explanation struct {
	row *recorder.Recording
	why recorder.DecisionData
}

// explain makes a row for the part of a talk that a rule wanted and nobody saw,
// none if there is no such part.
func (m missedCalls) explain(ctx context.Context, c cdr.CDR, t call.TalkHistory) (e explanation, err error) {
	for _, span := range t.Spans {
		book, err := m.bookAt(ctx, span.From)
		if err != nil {
			return explanation{}, err
		}
		found, decision := missed(book, c.Journal.Boot, span)
		if found == nil {
			continue
		}
		seen, err := m.seen(ctx, c, span)
		if err != nil {
			return explanation{}, err
		}
		switch {
		case seen:
		case e.row != nil:
			e.row.EndedAt = span.To
		default:
			e = explanation{found, decision}
			e.row.UUID, e.why.Talk = m.app.opt.NewUUID(), t.ID
		}
	}
	return e, nil
}

// keep stores the explanations of a batch of calls at once: after a long
// absence there are many.
func (m missedCalls) keep(ctx context.Context, list []explanation) error {
	if len(list) == 0 {
		return nil
	}
	err := m.Write(ctx, store.Bulk, func(tx *store.Tx) error {
		for _, e := range list {
			note := recorder.Event{Recording: e.row.UUID, Call: e.why.Input.Parties[0].Leg, Actor: "callrecordd"}
			decided, final := note, note
			decided.Kind, decided.Data = recorder.EventDecision, e.why
			final.Kind, final.Data = recorder.EventFinal, recorder.Note{State: e.row.State, Cause: e.row.Cause, Detail: e.row.Detail}
			if err := errors.Join(tx.InsertRecording(*e.row), tx.AppendEvents(decided, final, store.Settle(*e.row))); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	m.app.reached(CrashExplained)
	for _, e := range list {
		m.app.log.Error("a talk that had to be recorded was not: nobody saw it", "recording_uuid", e.row.UUID,
			"from", e.row.IntentAt, "to", e.row.EndedAt, "channel", e.row.HookName, "cause", e.row.Cause)
	}
	return nil
}

// seen says whether a span was decided on when it was, or is in a recording
// that went on.
func (m missedCalls) seen(ctx context.Context, c cdr.CDR, span call.Span) (bool, error) {
	var legs []string
	for _, l := range span.Legs {
		legs = append(legs, l.ID)
		list, err := m.Events(ctx, store.EventFilter{
			Call: l.ID, Kind: recorder.EventDecision, From: span.From.Add(-clockSlack), Until: span.To.Add(clockSlack), Limit: 1,
		})
		if err != nil || len(list) > 0 {
			return len(list) > 0, err
		}
	}
	rows, err := m.RecordingsOf(ctx, c.Journal.Boot, legs)
	return slices.ContainsFunc(rows, func(r recorder.Recording) bool {
		return r.IntentAt.Before(span.To) && (r.EndedAt.IsZero() || r.EndedAt.After(span.From))
	}), err
}

// bookAt is the directory of that time: while the connection to Asterisk is
// away, rules may change.
func (m missedCalls) bookAt(ctx context.Context, at time.Time) (*directory.Book, error) {
	changed, err := m.DirectoryChangedSince(ctx, at)
	if err != nil || !changed {
		return m.app.directory.Book(), err
	}
	return m.past.at(ctx, m.Store, at)
}

// pastBooks keeps the directory of the past that was asked for last: after a long
// absence thousands of calls ask for the same one. It is for one goroutine.
type pastBooks struct {
	from, to time.Time // while it was so
	book     *directory.Book
}

func (p *pastBooks) at(ctx context.Context, s *store.Store, at time.Time) (*directory.Book, error) {
	if p.book != nil && !at.Before(p.from) && at.Before(p.to) {
		return p.book, nil
	}
	from, to, err := s.DirectorySpan(ctx, at)
	if err != nil {
		return nil, err
	}
	book, err := s.BookAt(ctx, at)
	if err != nil {
		return nil, err
	}
	p.from, p.to, p.book = from, to, book
	return book, nil
}

// missed is the row of a span that nobody saw, nil if no rule wanted it.
func missed(book *directory.Book, boot time.Time, span call.Span) (*recorder.Recording, recorder.DecisionData) {
	in := dialplan.Input{Parties: parties(book, span.Legs)}
	d := dialplan.Decide(in)
	wanted := d.Claims()
	if len(wanted) == 0 {
		return nil, recorder.DecisionData{}
	}
	row := &recorder.Recording{
		TenantUUID: book.Master().UUID, Boot: boot, State: recorder.Missing, Cause: recorder.CauseDaemonDown,
		Detail:   "the talk began and ended while Asterisk's events were not seen: the daemon or its connection was away",
		IntentAt: span.From, EndedAt: span.To,
	}
	for i, p := range in.Parties {
		row.Legs = append(row.Legs, p.Leg)
		if p.Leg == wanted[0].Leg {
			row.Hook, row.HookName = p.Leg, span.Legs[i].Name
			if p.Tenant != "" {
				row.TenantUUID = p.Tenant
			}
		}
		if v := d.Verdicts[i]; v.Records {
			row.Claims = append(row.Claims, recorder.Claim{Leg: p.Leg, UserUUID: p.UserUUID, Reason: v.Reason, At: span.From})
		}
	}
	return row, recorder.DecisionData{Change: "found_in_journal", Input: in, Decision: d, Claims: row.Claims, Records: true}
}
