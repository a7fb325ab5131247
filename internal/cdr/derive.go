package cdr

import (
	"maps"
	"slices"
	"time"

	"callrecordd/internal/call"
)

// Derive makes the CDR of one call out of all its rows, which are in the order
// of the journal. It is pure: the same rows and directory give the same CDR.
// ok is false for a call without any real leg, which gets no CDR (design 5).
// ID and Journal.ID and Journal.Boot are the caller's to fill in. Without
// technologies those of call.RealTechnologies count.
func Derive(rows []Row, lookup Lookup, technologies []string) (c CDR, ok bool) {
	if len(technologies) == 0 {
		technologies = call.RealTechnologies()
	}
	d := deriver{story: tell(rows, technologies), lookup: lookup}
	if !d.cast() {
		return CDR{}, false
	}
	d.cdr.Source = SourceJournal
	d.cdr.CallStatus = StatusUnknown
	d.identify(rows)
	d.times()
	d.direct()
	d.sourceFields()
	d.requestedFields()
	d.destinationFields()
	d.participants()
	d.status()
	d.tenant()
	d.cdr.Talks = Talks(rows, technologies)
	return d.cdr, true
}

// deriver is one derivation in progress.
type deriver struct {
	*story
	lookup     Lookup
	cdr        CDR
	originated bool // placed by Asterisk over a Local channel (cdr-api 10.7)

	source   *leg
	callees  []*leg // real legs that were called or took the call, in order
	chosen   *leg   // the callee who was finally reached, or last rung; may be nil
	sourceEP Endpoint
	chosenEP Endpoint // zero without chosen
	// entry is what was called in the first place, via what led to chosen.
	entry, via target
	// reached is the user whose extension was called. No channel need show it:
	// the phone may not be registered, or the call forwarded at once.
	reached Endpoint
}

// cast finds who called whom; false without a real leg.
func (d *deriver) cast() bool {
	first := slices.IndexFunc(d.legs, func(l *leg) bool { return l.real })
	if first < 0 {
		return false
	}
	d.source = d.legs[first]
	d.originated = d.source.dial != nil && isLocalHalf(d.legs[0].names[0], localFirstHalf)
	var siblings *leg
	if d.originated {
		siblings = d.source.dial.by
		d.source = d.answeredOf(siblings, d.source)
	}
	d.sourceEP = d.lookup.Endpoint(call.Endpoint(d.source.names[0]))
	var talkers []*leg
	for _, l := range d.legs {
		switch {
		case !l.real || l == d.source || siblings != nil && l.dial != nil && l.dial.by == siblings:
		case l.dialled(), l.pickedUp, d.retrieves(l): // the latter two had begun calls of their own
			d.callees = append(d.callees, l)
		case !l.mixed.IsZero():
			talkers = append(talkers, l)
		}
	}
	if len(d.callees) == 0 && d.conference == "" { // joined by somebody else's program
		d.callees = talkers
	}
	d.choose()
	d.entry, d.via = d.firstTarget(), d.lastTarget()
	return true
}

// retrieves reports whether the leg took a parked call. The caller who takes
// back whom he had parked is still the caller.
func (d *deriver) retrieves(l *leg) bool {
	return l.retrieved && call.Endpoint(l.name()) != call.Endpoint(d.source.names[0])
}

// answeredOf returns the first leg that caller dialled and that was connected.
func (d *deriver) answeredOf(caller, otherwise *leg) *leg {
	for _, l := range d.legs {
		if l.real && l.dial != nil && l.dial.by == caller && !l.mixed.IsZero() {
			return l
		}
	}
	return otherwise
}

// choose picks the callee the call is about in the end: the last one who was
// connected, so that a transfer shows its target, else the last one rung.
func (d *deriver) choose() {
	for _, l := range d.callees {
		switch {
		case d.chosen == nil,
			!l.mixed.IsZero() && !l.mixed.Before(d.chosen.mixed),
			l.mixed.IsZero() && d.chosen.mixed.IsZero():
			d.chosen = l
		}
	}
	if d.chosen != nil {
		d.chosenEP = d.lookup.Endpoint(call.Endpoint(d.chosen.name()))
	}
}

func (d *deriver) identify(rows []Row) {
	c := &d.cdr
	c.LinkedIDs = slices.Sorted(maps.Keys(d.linkedIDs))
	c.Uniqueids = slices.Sorted(maps.Keys(d.byID))
	c.ConversationID = c.LinkedIDs[0]
	c.Journal.First, c.Journal.Last = rows[0].ID, rows[0].ID
	for _, row := range rows {
		c.Journal.First = min(c.Journal.First, row.ID)
		c.Journal.Last = max(c.Journal.Last, row.ID)
	}
}

// times sets start, answer and end (cdr-api 10.5). The end is the source's,
// also if others talk on after a transfer; without its CHAN_END (Asterisk
// died) it is the time of the last row.
func (d *deriver) times() {
	c := &d.cdr
	c.Start, c.End = d.first, d.source.end
	if d.source.zombie { // a masquerade: the party goes on as another channel
		if heir := d.bearer(d.source); heir != nil {
			c.End = heir.end
		}
	}
	if c.End.IsZero() {
		c.End = d.last
	}
	c.Answer = d.answer()
}

func (d *deriver) answer() time.Time {
	callee := d.calleeConnected()
	switch {
	case d.originated:
		// The source is in a bridge with the Local channel before anybody
		// else has even been called.
		own := d.source.connected()
		if callee.IsZero() || own.IsZero() || own.After(callee) {
			return time.Time{}
		}
		return callee
	case d.voicemail != "" && callee.IsZero() && d.conference == "":
		// Voicemail behind a Local channel: the bridge leads to no person.
		return time.Time{}
	}
	return d.source.connected()
}

// calleeConnected is when the first callee was connected, zero if none was.
func (d *deriver) calleeConnected() time.Time {
	var first time.Time
	for _, l := range d.callees {
		if !l.mixed.IsZero() && (first.IsZero() || l.mixed.Before(first)) {
			first = l.mixed
		}
	}
	return first
}

// direct sets the direction: a call that left through a trunk is outbound, also
// if the other side was then transferred to somebody here. A forward to an
// external number leaves it as it was (cdr-api 10.5, forwarded calls).
func (d *deriver) direct() {
	left := slices.ContainsFunc(d.callees, func(l *leg) bool {
		return d.lookup.Endpoint(call.Endpoint(l.name())).Kind == EndpointTrunk && !d.wasForwardedTo(l)
	})
	switch {
	case d.sourceEP.Kind == EndpointTrunk && !d.originated:
		d.cdr.CallDirection = DirectionInbound
	case left, d.sourceEP.Kind == EndpointTrunk:
		d.cdr.CallDirection = DirectionOutbound
	default:
		d.cdr.CallDirection = DirectionInternal
	}
}

// wasForwardedTo reports whether the call had been made to somebody else: the
// phone forwarded it, which CEL tells, or the dialplan of the extension of a
// user who then was not the one to ring.
func (d *deriver) wasForwardedTo(l *leg) bool {
	if !d.forwarded.IsZero() && !l.start.Before(d.forwarded) {
		return true
	}
	ep := d.lookup.Endpoint(call.Endpoint(l.names[0]))
	return slices.ContainsFunc(d.chain(l), func(dial *dialling) bool {
		user, ok := d.userAt(dial.exten, dial.context)
		return ok && user.UserUUID != ep.UserUUID
	})
}

// status: blocked needs a word from the dialplan that plain Asterisk does not
// have, so it does not occur here. Busy and rejected calls are unknown too.
func (d *deriver) status() {
	c := &d.cdr
	switch {
	case !c.Answer.IsZero():
		c.CallStatus = StatusAnswered
	case d.voicemail != "":
		c.CallStatus = StatusVoicemail
		c.DestinationDetails = map[string]any{"type": "voicemail"}
		if d.voicemail != "-" {
			c.DestinationDetails["voicemail_name"] = d.voicemail
		}
	}
}

// tenant: the source user's, else the answering user's, else the trunk's, else
// that of whatever was called, else master (design 5).
func (d *deriver) tenant() {
	var source, answering string
	if d.sourceEP.Kind == EndpointUser {
		source = d.sourceEP.TenantUUID
	}
	switch {
	case d.chosenEP.Kind == EndpointUser:
		answering = d.chosenEP.TenantUUID
	case d.reached.Kind == EndpointUser:
		answering = d.reached.TenantUUID
	}
	d.cdr.TenantUUID = firstOf(source, answering, d.sourceEP.TenantUUID, d.chosenEP.TenantUUID,
		d.entry.tenant(), d.lookup.MasterTenant())
}
