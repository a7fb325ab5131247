package app

import (
	"cmp"

	"callrecordd/dialplan"
	"callrecordd/internal/call"
	"callrecordd/internal/directory"
)

// parties resolves the legs of a talk with the directory as it is now: rules
// are read at the decision, running calls stay as they are.
func parties(book *directory.Book, legs []call.Leg) []dialplan.Party {
	out := make([]dialplan.Party, 0, len(legs))
	for _, l := range legs {
		queue, group := via(book, l.Via)
		out = append(out, party(book, l.ID, l.Endpoint(), role(l.Role), queue, group))
	}
	return out
}

// party is a leg as the rules see it, led there by that queue and that group.
func party(book *directory.Book, leg, endpoint string, role dialplan.Role, queue directory.Queue, group directory.Group) dialplan.Party {
	p := book.Party(endpoint)
	p.Leg, p.Role = leg, role
	p.Queue, p.QueueToggle, p.QueueAuto = queue.UUID, queue.DTMFRecordToggle, queue.AutoRecord
	p.Group, p.GroupToggle, p.GroupAuto = group.UUID, group.DTMFRecordToggle, group.AutoRecord
	if p.Tenant == "" { // a device, whose recording belongs to who sent the call there
		p.Tenant = cmp.Or(queue.TenantUUID, group.TenantUUID)
	}
	return p
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

// via returns the queue and the group that led to a leg, empty if none. A queue
// counts wherever in the chain of dials it is, so one that was reached through
// a group is the queue; of groups the nearest counts (design 5).
func via(book *directory.Book, hops []call.Hop) (queue directory.Queue, group directory.Group) {
	for _, h := range hops {
		if q, ok := book.Queue(h.Queue); ok && h.Queue != "" && queue.UUID == "" {
			queue = q
		}
		if g, ok := book.GroupAt(h.Exten, h.Context); ok && group.UUID == "" {
			group = g
		}
	}
	return queue, group
}
