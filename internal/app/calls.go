package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/api"
	"callrecordd/internal/call"
	"callrecordd/internal/recorder"
)

// apiCalls is what the API asks about calls that go on.
type apiCalls struct{ app *App }

// Calls implements api.Calls.
func (c apiCalls) Calls(ctx context.Context) ([]api.Call, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	var list []api.Call
	var known bool
	err := c.app.reducer.do(ctx, func() {
		if known = c.app.reducer.machine != nil; known {
			list = c.app.reducer.calls()
		}
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("ask for the calls: %w", err)
	case !known:
		return nil, api.ErrCallsUnavailable
	}
	return list, nil
}

// Request implements api.Calls. A recording belongs to a talk, so before two
// talk there is nothing to start; that is answered like a pause of nothing.
func (c apiCalls) Request(ctx context.Context, q api.CallRequest) error {
	_, err := c.app.RequestLive(ctx, LiveRequest{Channel: q.ID, Op: q.Op, Actor: q.Actor, Reach: q.Others})
	refused, isRefused := errors.AsType[*Refused](err)
	switch {
	case err == nil, errors.Is(err, ErrNoTalk) && q.Op == recorder.OpStop:
		return nil
	case isRefused:
		return &api.CallRefused{Reason: refused.Reason}
	case errors.Is(err, ErrNoChannel):
		return api.ErrNoCall
	case errors.Is(err, ErrNotRecording), errors.Is(err, ErrNoTalk):
		return api.ErrRecordingNotOn
	case errors.Is(err, ErrNoAsterisk):
		return api.ErrCallsUnavailable
	}
	return err
}

// calls are all real legs, those that ring as well.
func (r *reducer) calls() []api.Call {
	talks := make(map[string]call.Talk)
	for _, t := range r.model.Talks() {
		for _, l := range t.Legs {
			talks[l.ID] = t
		}
	}
	recordings := make(map[string]recorder.Recording)
	for _, rec := range r.machine.Recordings() {
		if rec.State != recorder.Closing {
			recordings[rec.Hook] = rec
		}
	}
	out := []api.Call{}
	for id := range r.model.Channels() {
		if leg, ok := r.model.Leg(id); ok {
			out = append(out, r.call(leg, talks[id], recordings))
		}
	}
	slices.SortFunc(out, func(a, b api.Call) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(len(a.ID), len(b.ID)), cmp.Compare(a.ID, b.ID))
	})
	return out
}

func (r *reducer) call(leg call.Leg, t call.Talk, recordings map[string]recorder.Recording) api.Call {
	book := r.book()
	channel, _ := r.model.Channel(leg.ID)
	who := book.Endpoint(leg.Endpoint())
	out := api.Call{
		ID: leg.ID, TenantUUID: cmp.Or(who.TenantUUID, book.Master().UUID), UserUUID: who.User.UUID, LineID: who.Line.ID,
		Name: leg.CallerName, Number: leg.CallerNumber, Dialled: channel.Exten, Created: created(leg.ID),
		Up: channel.Up, Caller: role(leg.Role) == dialplan.RoleCaller, State: r.machine.PartyState(leg.ID),
		TalkingTo: make(map[string]string),
	}
	for _, other := range t.Legs {
		if rec, ok := recordings[other.ID]; ok {
			out.RecordingUUID, out.RecordingTenant = rec.UUID, rec.TenantUUID
		}
		if other.ID == leg.ID {
			continue
		}
		if len(out.TalkingTo) == 0 {
			out.PeerName, out.PeerNumber = other.CallerName, other.CallerNumber
		}
		out.TalkingTo[other.ID] = book.Endpoint(other.Endpoint()).User.UUID
	}
	if pause, ok := r.machine.TalkPause(leg.ID); ok {
		out.PauseBy = pause.Actor
	}
	return out
}

// created is in a uniqueid: [system-]seconds.number.
func created(uniqueid string) time.Time {
	at := uniqueid[strings.LastIndexByte(uniqueid, '-')+1:]
	text, _, _ := strings.Cut(at, ".")
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}
