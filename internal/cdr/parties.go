package cdr

import (
	"cmp"
	"slices"
	"strings"

	"callrecordd/internal/call"
)

// sourceFields: who called (cdr-api 10.4). The name and number are those the
// call shows to others; source_internal_name is the phone's own.
func (d *deriver) sourceFields() {
	c, l, ep := &d.cdr, d.source, d.sourceEP
	c.SourceInternalName = firstOf(l.startName, ep.UserName)
	c.SourceName = firstOf(l.shownName, l.startName, ep.UserName)
	c.SourceExtension = firstOf(l.shownNumber, l.startNumber, ep.Exten)
	if d.originated { // its later caller id is the number that was dialled to reach it
		c.SourceName = firstOf(l.startName, ep.UserName, l.laterName)
		c.SourceExtension = firstOf(l.startNumber, ep.Exten, l.laterNumber)
	}
	if ep.Kind != EndpointUser {
		return
	}
	c.SourceInternalExtension, c.SourceInternalContext = ep.Exten, ep.Context
	c.SourceUserUUID, c.SourceLineID = ep.UserUUID, ep.LineID
}

// requestedFields: what was dialled and the first target it meant (cdr-api
// 10.4). They stay empty for an originated call (10.7).
func (d *deriver) requestedFields() {
	c := &d.cdr
	if d.originated {
		return
	}
	c.RequestedExtension, c.RequestedContext = d.source.exten, d.source.context
	switch t := d.entry; {
	case t.queue != nil:
		c.RequestedName = t.queue.Label
		c.RequestedInternalExtension, c.RequestedInternalContext = t.queue.Exten, t.queue.Context
	case t.group != nil:
		c.RequestedName = t.group.Label
		c.RequestedInternalExtension = firstOf(t.group.Exten, c.RequestedExtension)
		c.RequestedInternalContext = firstOf(t.group.Context, c.RequestedContext)
	default:
		ep, name := d.firstLine()
		if ep.Kind != EndpointTrunk { // outgoing: nobody knows the other side's name
			c.RequestedName = name
		}
		if ep.Kind == EndpointUser {
			c.RequestedUserUUID = ep.UserUUID
			c.RequestedInternalExtension, c.RequestedInternalContext = ep.Exten, ep.Context
		}
	}
}

// firstLine returns the endpoint the call was first made to and its name: the
// user whose extension was called, whether a phone rang or the call was
// forwarded at once; else the first leg that rang, under the name it then had.
func (d *deriver) firstLine() (Endpoint, string) {
	user, ok := d.calledUser()
	if ok {
		d.reached = user
	}
	if len(d.callees) > 0 {
		l := d.callees[0]
		ep := d.lookup.Endpoint(call.Endpoint(l.names[0]))
		if !ok || ep.UserUUID == user.UserUUID {
			return ep, firstOf(l.startName, ep.UserName, l.laterName)
		}
	}
	return user, user.UserName
}

// destinationFields: who was finally reached, or rung last (cdr-api 10.4, 10.6).
func (d *deriver) destinationFields() {
	c := &d.cdr
	c.DestinationDetails = map[string]any{"type": "unknown"}
	switch {
	case d.endsInConference():
		c.DestinationExtension = c.RequestedExtension
		if d.chosen != nil { // a transfer led there
			c.DestinationExtension = firstOf(d.roomExten, c.RequestedExtension)
		}
		c.DestinationDetails = conferenceDetails(d.conference)
		if d.conference != "-" {
			c.DestinationName = d.conference
		}
		return
	case d.chosen == nil:
		c.DestinationExtension = c.RequestedExtension
		c.DestinationName = c.RequestedName
		d.destinationUser(d.reached)
	case d.chosenEP.Kind == EndpointTrunk:
		c.DestinationExtension = d.externalNumber(d.chosen)
	default:
		c.DestinationName, c.DestinationExtension = d.calleeID()
		d.destinationUser(d.chosenEP)
	}
	d.destinationTarget()
}

// destinationTarget lets a group stand for its members, as its clients know
// it; a queue shows the agent and has details unknown (cdr-api 10, shapes).
func (d *deriver) destinationTarget() {
	c := &d.cdr
	group := d.via.group
	switch {
	case d.via.queue != nil:
		c.DestinationDetails = map[string]any{"type": "unknown"}
	case group != nil && !d.originated:
		c.DestinationName = group.Label
		c.DestinationExtension = firstOf(group.Exten, c.RequestedExtension)
		c.DestinationDetails = map[string]any{"type": "group", "group_label": group.Label, "group_id": group.ID}
	}
}

func (d *deriver) destinationUser(ep Endpoint) {
	if ep.Kind != EndpointUser {
		return
	}
	c := &d.cdr
	c.DestinationUserUUID, c.DestinationLineID = ep.UserUUID, ep.LineID
	c.DestinationInternalExtension, c.DestinationInternalContext = ep.Exten, ep.Context
	c.DestinationDetails = map[string]any{"type": "user", "user_uuid": ep.UserUUID, "user_name": ep.UserName}
}

// calleeID returns name and number of the chosen callee. The endpoint's own
// caller id comes first; what was dialled stands for it only where the dial
// was for this one, not for a queue or group. After a pickup the leg's first
// caller id is that of the phone which did not answer.
func (d *deriver) calleeID() (name, number string) {
	l, ep := d.chosen, d.chosenEP
	if l.pickedUp || len(l.names) > 1 {
		return firstOf(ep.UserName, l.laterName), firstOf(ep.Exten, l.laterNumber)
	}
	dialled := ""
	if d.via.queue == nil && l.dial != nil && l.dial.exten != anonymousExtension {
		dialled = l.dial.exten
	}
	name = firstOf(l.startName, ep.UserName, l.laterName)
	number = firstOf(l.startNumber, dialled, ep.Exten, l.laterNumber, d.cdr.RequestedExtension)
	return name, number
}

// externalNumber is the number dialled over a trunk: the extension of whoever
// dialled, which people know, else the number in the dial itself. The
// trunk's own caller id comes last: it is usually the firm's main number.
func (d *deriver) externalNumber(l *leg) string {
	if l.dial == nil {
		return firstOf(d.cdr.RequestedExtension, l.laterNumber)
	}
	exten := l.dial.exten
	if _, user := d.userAt(exten, l.dial.context); user || exten == anonymousExtension {
		exten = "" // of somebody here whose calls go out, or of nobody
	}
	return firstOf(exten, numberDialled(l.dial.data, call.Endpoint(l.names[0])),
		d.cdr.RequestedExtension, l.laterNumber)
}

// numberDialled reads 0123 out of PJSIP/0123@trunk or SIP/trunk/0123.
func numberDialled(data, endpoint string) string {
	for device := range strings.SplitSeq(firstArgument(data), "&") {
		_, resource, _ := strings.Cut(device, "/")
		if number, _, ok := strings.Cut(resource, "@"); ok && dials(device, endpoint) {
			return number
		}
		if number, ok := strings.CutPrefix(device, endpoint+"/"); ok && !strings.Contains(number, ":") {
			return number
		}
	}
	return ""
}

// participants lists each user's line once per role. Several legs of a line
// are one participant, answered if one of them was connected (cdr-api 10.8).
func (d *deriver) participants() {
	c := &d.cdr
	d.addParticipant(d.sourceEP, RoleSource, !d.source.connected().IsZero())
	for _, l := range d.legs {
		if !l.real || l == d.source || l.zombie {
			continue
		}
		ep := d.lookup.Endpoint(call.Endpoint(l.name()))
		d.addParticipant(ep, RoleDestination, !l.connected().IsZero())
		if len(l.names) > 1 { // whose phone rang before another took the call
			d.addParticipant(d.lookup.Endpoint(call.Endpoint(l.names[0])), RoleDestination, false)
		}
	}
	d.addParticipant(d.reached, RoleDestination, false)
	slices.SortStableFunc(c.Participants, func(a, b Participant) int {
		return cmp.Compare(b.Role, a.Role) // source first
	})
}

func (d *deriver) addParticipant(ep Endpoint, role string, answered bool) {
	if ep.Kind != EndpointUser {
		return
	}
	c := &d.cdr
	for i := range c.Participants {
		p := &c.Participants[i]
		if p.UserUUID != ep.UserUUID {
			continue
		}
		// One's own second leg (a consultation, a transfer back) makes nobody a
		// destination who is the source already.
		if p.Role == RoleSource || p.LineID == ep.LineID {
			p.Answered = p.Answered || answered
			return
		}
	}
	c.Participants = append(c.Participants, Participant{
		UserUUID: ep.UserUUID, LineID: ep.LineID, Role: role, Tags: slices.Clone(ep.Tags),
		Answered: answered, Requested: role == RoleDestination && ep.UserUUID == c.RequestedUserUUID,
	})
}
