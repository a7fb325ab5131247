package audit

import (
	"slices"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/call"
)

// talksOf are the talks as far as decisions tell of them: of calls whose journal
// is not there, and of those from before the talks were stored. Each lasts until
// the next decision about it; the last one until the end of the call, if nothing
// is known of it.
func talksOf(list []decision, end time.Time) []call.TalkHistory {
	var out []call.TalkHistory
	at := func(id call.TalkID) int {
		i := slices.IndexFunc(out, func(t call.TalkHistory) bool { return t.ID == id })
		if i < 0 {
			out = append(out, call.TalkHistory{ID: id})
			i = len(out) - 1
		}
		return i
	}
	for _, d := range list {
		t := &out[at(d.data.Talk)]
		if n := len(t.Spans); n > 0 {
			t.Spans[n-1].To = d.at
		} else {
			t.Began = d.at
		}
		t.Spans = append(t.Spans, call.Span{From: d.at, To: later(end, d.at), Legs: legsOf(d.data.Input.Parties)})
		t.Ended = later(end, d.at)
	}
	return out
}

func legsOf(list []dialplan.Party) []call.Leg {
	out := make([]call.Leg, 0, len(list))
	for _, p := range list {
		l := call.Leg{ID: p.Leg, Name: p.Endpoint, Role: call.RoleCaller}
		switch p.Role {
		case dialplan.RolePeer:
			l.Role = call.RolePeer
		case dialplan.RoleUnknown:
			l.Role = call.RoleUnknown
		case dialplan.RoleCaller:
		}
		out = append(out, l)
	}
	return out
}
