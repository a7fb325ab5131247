package cdr

import (
	"slices"
	"strconv"
)

// target is the queue or group through which somebody was called, neither for
// a call to a line.
type target struct {
	queue *Queue
	group *Group
}

func (t target) tenant() string {
	switch {
	case t.queue != nil:
		return t.queue.TenantUUID
	case t.group != nil:
		return t.group.TenantUUID
	}
	return ""
}

// through returns the queue or group of the dials that led to the leg. A queue
// reached through a group counts as the queue (design 5).
func (d *deriver) through(l *leg) target {
	chain := d.chain(l)
	for _, dial := range chain {
		if dial.app == appQueue {
			return d.queueTarget(firstArgument(dial.data), dial.exten, dial.context)
		}
	}
	for _, dial := range chain {
		if group, ok := d.lookup.Group(dial.exten, dial.context); ok {
			return target{group: &group}
		}
	}
	return target{}
}

// queueTarget describes a queue, known to the directory or not.
func (d *deriver) queueTarget(name, exten, context string) target {
	queue, known := d.lookup.Queue(name)
	if !known {
		queue = Queue{}
	}
	fill(&queue.Label, name)
	fill(&queue.Exten, exten)
	fill(&queue.Context, context)
	return target{queue: &queue}
}

// firstTarget is what was called first. A queue in which nobody has rung yet
// counts, so that a caller who is then sent elsewhere had called the queue.
func (d *deriver) firstTarget() target {
	called := len(d.callees) > 0
	if d.queue != nil && (!called || !d.queue.at.After(d.callees[0].start)) {
		return d.queueTarget(d.queue.data, d.queue.exten, d.queue.context)
	}
	if called {
		return d.through(d.callees[0])
	}
	if group, ok := d.lookup.Group(d.source.exten, d.source.context); ok {
		return target{group: &group}
	}
	return target{}
}

func (d *deriver) lastTarget() target {
	if d.chosen == nil {
		return d.entry
	}
	return d.through(d.chosen)
}

// userAt finds the user who has that extension; nobody has an empty one.
func (d *deriver) userAt(exten, context string) (Endpoint, bool) {
	if exten == "" {
		return Endpoint{}, false
	}
	return d.lookup.UserAt(exten, context)
}

// calledUser returns the user whose extension the call was made to, by the
// first of the extensions on its way that is one: what was dialled, or what a
// DID led to.
func (d *deriver) calledUser() (Endpoint, bool) {
	if ep, ok := d.userAt(d.source.exten, d.source.context); ok {
		return ep, true
	}
	if len(d.callees) == 0 {
		return Endpoint{}, false
	}
	for _, dial := range slices.Backward(d.chain(d.callees[0])) {
		if ep, ok := d.userAt(dial.exten, dial.context); ok {
			return ep, true
		}
	}
	return Endpoint{}, false
}

// endsInConference reports whether a conference was reached last: nobody was
// called, or one of the two went there after they had talked or nobody had
// answered. Who was called into a conference, as by Page, is a callee.
func (d *deriver) endsInConference() bool {
	mine := d.source.confer
	switch l := d.chosen; {
	case d.conference == "":
		return false
	case l == nil:
		return true
	case l.mixed.IsZero():
		return l.confer.IsZero() && !mine.IsZero()
	default:
		return mine.After(l.mixed) || l.confer.After(l.mixed)
	}
}

// conferenceDetails describes ConfBridge's room; only a numeric name can be
// the integer id the interface asks for.
func conferenceDetails(room string) map[string]any {
	details := map[string]any{"type": "conference"}
	if id, err := strconv.ParseInt(room, 10, 64); err == nil {
		details["conference_id"] = id
	}
	return details
}
