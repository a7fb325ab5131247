package cdrgen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/call"
	"callrecordd/internal/cdr"
	"callrecordd/internal/recorder"
	"callrecordd/store"
)

// auditedVersion changes with what is generated for audits.
const auditedVersion = 2

// oneMissing of so many recordings is.
const oneMissing = 1000

// EnsureAudited makes a state directory whose database has so many calls with
// all that an audit looks at, as the daemon stores it: talks, decisions, claims
// and recordings, one of a thousand of them missing.
func EnsureAudited(ctx context.Context, rows int, say func(string)) (string, error) {
	lists, err := Path(rows)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(filepath.Dir(filepath.Dir(lists)), "audits", fmt.Sprintf("v%d-%d", auditedVersion, rows))
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return dir, err
	}
	tmp := dir + ".part"
	if err := errors.Join(os.RemoveAll(tmp), os.MkdirAll(tmp, 0o750)); err != nil {
		return "", fmt.Errorf("create the folder of a generated database: %w", err)
	}
	s, err := Open(ctx, filepath.Join(tmp, "callrecordd.db"))
	if err != nil {
		return "", err
	}
	if err := errors.Join(fillAudited(ctx, s, rows, say), s.Close()); err != nil {
		return "", fmt.Errorf("generate %d calls with their decisions: %w", rows, err)
	}
	return dir, os.Rename(tmp, dir)
}

func fillAudited(ctx context.Context, s *store.Store, rows int, say func(string)) error {
	const batch = 10_000
	g, began := NewGenerator(rows), time.Now()
	for done := 0; done < rows; done += batch {
		err := s.Write(ctx, store.Bulk, func(t *store.Tx) error {
			var cdrs []cdr.CDR
			for range min(batch, rows-done) {
				c, r := g.Next()
				if err := audited(t, &c, r); err != nil {
					return err
				}
				cdrs = append(cdrs, c)
			}
			_, err := t.SaveManyCDRs(cdrs)
			return err
		})
		if err != nil {
			return err
		}
		if done%(10*batch) == 0 {
			say(strconv.Itoa(done) + " calls, " + strconv.Itoa(int(float64(done)/time.Since(began).Seconds())) + " a second")
		}
	}
	return nil
}

// audited completes a call, and stores what was decided of it and recorded.
func audited(t *store.Tx, c *cdr.CDR, r *recorder.Recording) error {
	if c.Answer.IsZero() {
		return nil
	}
	a, b := c.ConversationID, c.ConversationID+"9"
	c.Uniqueids = []string{a, b}
	c.Talks = []call.TalkHistory{{ID: 1, Began: c.Answer, Ended: c.End, Spans: []call.Span{{From: c.Answer, To: c.End, Legs: []call.Leg{
		{ID: a, Name: "PJSIP/caller-0000000a"}, {ID: b, Name: "PJSIP/callee-0000000b", Role: call.RolePeer},
	}}}}}
	in := dialplan.Input{Parties: []dialplan.Party{
		{Leg: a, Endpoint: "PJSIP/caller", Role: dialplan.RoleCaller, Kind: dialplan.KindUser, UserUUID: c.SourceUserUUID, Tenant: c.TenantUUID, Flags: dialplan.Flags{OutgoingInternal: r != nil}},
		{Leg: b, Endpoint: "PJSIP/callee", Role: dialplan.RolePeer, Kind: dialplan.KindUser, UserUUID: c.DestinationUserUUID, Tenant: c.TenantUUID},
	}}
	decision := recorder.DecisionData{Talk: 1, Change: "began", Input: in, Decision: dialplan.Decide(in), Records: r != nil}
	if r == nil {
		return t.AppendEvents(recorder.Event{At: c.Answer, Kind: recorder.EventDecision, Call: a, Data: decision})
	}
	claim := recorder.Claim{Leg: a, UserUUID: c.SourceUserUUID, Reason: dialplan.RuleOutInternal, At: c.Answer}
	decision.Claims = []recorder.Claim{claim}
	r.Hook, r.Legs, r.Claims, r.IntentAt, r.StartedAt = a, []string{a, b}, decision.Claims, c.Answer, c.Answer.Add(5*time.Millisecond)
	length := r.EndedAt.Sub(r.StartedAt)
	r.Samples = int64(length.Seconds() * float64(r.Rate))
	r.Bytes, r.SHA256 = 44+2*r.Samples, "0000000000000000000000000000000000000000000000000000000000000000"
	if c.Journal.First%oneMissing == 0 {
		r.State, r.Cause, r.Bytes, r.Samples = recorder.Missing, recorder.CauseNoFile, 0, 0
	}
	event := func(at time.Time, kind string, data any) recorder.Event {
		return recorder.Event{At: at, Kind: kind, Recording: r.UUID, Call: a, Data: data}
	}
	return errors.Join(t.InsertRecording(*r), t.AppendEvents(
		recorder.Event{At: c.Answer, Kind: recorder.EventDecision, Call: a, Data: decision},
		recorder.Event{At: c.Answer, Kind: recorder.EventClaim, Call: a, Data: claim},
		event(c.Answer, recorder.EventIntent, recorder.Note{State: recorder.Starting, Hook: a}),
		event(r.StartedAt, recorder.EventStarted, recorder.Note{Hook: a}),
		event(r.StartedAt, recorder.EventSeen, recorder.Note{}),
		event(r.StartedAt, recorder.EventProved, recorder.Note{State: recorder.Live}),
		event(c.End, recorder.EventClosing, recorder.Note{State: recorder.Closing}),
		event(c.End, recorder.EventFinal, recorder.Note{State: r.State, Bytes: r.Bytes, Samples: r.Samples, SHA256: r.SHA256}),
		store.Settle(*r),
	))
}
