package app

import (
	"callrecordd/dialplan"
	"callrecordd/internal/call"
	"callrecordd/internal/directory"
)

// parties resolves the legs of a talk with the directory as it is now: rules
// are read at the decision, running calls stay as they are.
func parties(book *directory.Book, legs []call.Leg) []dialplan.Party {
	out := make([]dialplan.Party, 0, len(legs))
	for _, l := range legs {
		p := book.Party(l.Endpoint())
		p.Leg = l.ID
		p.Role = role(l.Role)
		p.Queue, p.Group = via(book, l.Via)
		out = append(out, p)
	}
	return out
}

func role(r call.Role) dialplan.Role {
	switch r {
	case call.RolePeer:
		return dialplan.RolePeer
	case call.RoleUnknown:
		return dialplan.RoleUnknown
	case call.RoleCaller:
	}
	return dialplan.RoleCaller
}

// via returns the uuids of the queue and the group that led to a leg. A queue
// counts wherever in the chain of dials it is, so one that was reached through
// a group is the queue; of groups the nearest counts (design 5).
func via(book *directory.Book, hops []call.Hop) (queue, group string) {
	for _, h := range hops {
		if q, ok := book.Queue(h.Queue); ok && h.Queue != "" && queue == "" {
			queue = q.UUID
		}
		if g, ok := book.GroupAt(h.Exten, h.Context); ok && group == "" {
			group = g.UUID
		}
	}
	return queue, group
}
