package cdr

import (
	"slices"
	"strings"
	"time"

	"callrecordd/internal/call"
)

// story is what happened in a call, leg by leg, before anybody is looked up in
// the directory.
type story struct {
	legs       []*leg // in the order of their first rows
	byID       map[string]*leg
	first      time.Time
	last       time.Time
	queue      *appUse   // first use of Queue
	voicemail  string    // mailbox reached, "-" if unnamed, empty if none
	conference string    // ConfBridge's room, "-" if unnamed, empty if none
	roomExten  string    // where ConfBridge was entered
	forwarded  time.Time // first forward
	linkedIDs  map[string]struct{}
}

type appUse struct {
	at             time.Time
	data           string
	exten, context string
}

// leg is a channel of the call, real or Local.
type leg struct {
	id    string
	names []string // every name it had; a masquerade gives it another
	real  bool
	start time.Time
	end   time.Time
	// zombie: it ended under a name that another channel had taken from it.
	zombie   bool
	pickedUp bool
	tookOver *leg // the leg whose ringing it ended by a pickup, if that is another
	// retrieved: it took a parked call.
	retrieved bool
	// startName and startNumber are its caller id when it was created, for a
	// dialled leg that of the endpoint; laterName and laterNumber are the
	// first ones afterwards, for a dialled leg the number that was dialled.
	startName, startNumber string
	laterName, laterNumber string
	// shownName and shownNumber are the caller id it last had when an
	// application began: the one an outgoing call shows.
	shownName, shownNumber string
	exten, context         string // where it entered the dialplan, s left out
	ownLinkedID            bool   // it began a call of its own
	dial                   *dialling
	mixed                  time.Time // first time in a mixing bridge
	confer                 time.Time // first time in ConfBridge's bridge
}

// dialling is the caller's side of the dial that created a leg.
type dialling struct {
	by             *leg   // nil if the caller's rows are missing
	app, data      string // the Dial or Queue
	exten, context string
}

func tell(rows []Row, technologies []string) *story {
	s := &story{byID: map[string]*leg{}, linkedIDs: map[string]struct{}{}}
	adapter := NewAdapter()
	for _, row := range rows {
		if s.first.IsZero() || row.At.Before(s.first) {
			s.first = row.At
		}
		if row.At.After(s.last) {
			s.last = row.At
		}
		s.linkedIDs[row.LinkedID] = struct{}{}
		events := adapter.Apply(row)
		if row.Type == eventLinkedIDEnd || row.UniqueID == "" {
			continue
		}
		s.note(s.leg(row, technologies), row)
		for _, event := range events {
			s.event(event)
		}
	}
	return s
}

// leg finds the row's leg. Rows of a channel whose CHAN_START is missing count
// too: half a call is better than none.
func (s *story) leg(row Row, technologies []string) *leg {
	l, known := s.byID[row.UniqueID]
	if !known {
		l = &leg{
			id: row.UniqueID, start: row.At, startName: row.CIDName, startNumber: row.CIDNum,
			real: isReal(row.Channel, technologies), ownLinkedID: row.LinkedID == row.UniqueID,
		}
		s.byID[row.UniqueID] = l
		s.legs = append(s.legs, l)
	}
	return l
}

func isReal(name string, technologies []string) bool {
	technology, _, _ := strings.Cut(name, "/")
	return slices.ContainsFunc(technologies, func(t string) bool { return strings.EqualFold(t, technology) })
}

func (s *story) note(l *leg, row Row) {
	if len(l.names) == 0 || l.name() != row.Channel && !strings.Contains(row.Channel, transientNameMarker) {
		l.names = append(l.names, row.Channel)
	}
	fill(&l.laterName, row.CIDName)
	fill(&l.laterNumber, row.CIDNum)
	if l.exten == "" && row.Exten != anonymousExtension && row.Exten != hangupExtension {
		l.exten, l.context = row.Exten, row.Context
	}
	fill(&l.context, row.Context)
	switch row.Type {
	case eventAppStart:
		s.app(l, row)
	case eventForward:
		if s.forwarded.IsZero() {
			s.forwarded = row.At
		}
	case eventPickup:
		if picker := s.byID[row.Extra.PickedUpBy]; picker != nil && picker != l {
			picker.tookOver = l
		}
	case eventParkEnd:
		if retriever := s.named(row.Extra.Retriever); retriever != nil {
			retriever.retrieved = true
		}
	case eventChanEnd:
		l.end, l.zombie = row.At, strings.HasSuffix(row.Channel, zombieSuffix)
	}
}

func (s *story) app(l *leg, row Row) {
	if s.forwarded.IsZero() { // afterwards it is the forwarder's caller id
		over(&l.shownName, row.CIDName)
		over(&l.shownNumber, row.CIDNum)
	}
	switch strings.ToLower(row.App) {
	case appQueue:
		if s.queue == nil {
			s.queue = &appUse{at: row.At, data: firstArgument(row.AppData), exten: row.Exten, context: row.Context}
		}
	case appVoicemail:
		mailbox, _, _ := strings.Cut(firstArgument(row.AppData), "&")
		fill(&s.voicemail, orDash(mailbox))
	case appConference:
		fill(&s.conference, orDash(firstArgument(row.AppData)))
		if row.Exten != anonymousExtension {
			fill(&s.roomExten, row.Exten)
		}
	}
}

func (s *story) event(event call.Event) {
	l := s.byID[event.Channel.ID]
	switch event.Kind {
	case call.BridgeEntered:
		switch {
		case event.Bridge.Kind == call.Mixing && l.mixed.IsZero():
			l.mixed = event.At
		case event.Bridge.Kind == call.Conference && l.confer.IsZero():
			l.confer = event.At
		}
	case call.PickedUp:
		l.pickedUp = true
	case call.DialBegun:
		c := event.Channel
		s.byID[event.Peer.ID].dial = &dialling{by: l, app: strings.ToLower(c.App), data: c.AppData, exten: c.Exten, context: c.Context}
	case call.ChannelStarted, call.ChannelChanged, call.ChannelEnded, call.BridgeLeft, call.Restarted, call.DialAnswered:
		// The rows themselves say more about these.
	}
}

// name is the name the leg has now.
func (l *leg) name() string { return l.names[len(l.names)-1] }

// connected is when the leg was first in a bridge that is no waiting room.
func (l *leg) connected() time.Time {
	if l.mixed.IsZero() || !l.confer.IsZero() && l.confer.Before(l.mixed) {
		return l.confer
	}
	return l.mixed
}

// dialled reports whether somebody called the leg; a leg whose dialler is not
// known still shows it by not having begun the call.
func (l *leg) dialled() bool { return l.dial != nil || !l.ownLinkedID }

// pair returns the other half of a Local channel, nil if there is none.
func (s *story) pair(l *leg) *leg {
	name := l.names[0]
	switch {
	case isLocalHalf(name, localSecondHalf):
		name = strings.TrimSuffix(name, localSecondHalf) + localFirstHalf
	case isLocalHalf(name, localFirstHalf):
		name = strings.TrimSuffix(name, localFirstHalf) + localSecondHalf
	default:
		return nil
	}
	for _, other := range s.legs {
		if other.names[0] == name {
			return other
		}
	}
	return nil
}

// named returns the leg that bears the name now, nil if there is none.
func (s *story) named(name string) *leg {
	for _, l := range slices.Backward(s.legs) {
		if l.name() == name {
			return l
		}
	}
	return nil
}

// chain returns the dials that led to the leg, nearest first, through Local
// pairs (design 5); for one who picked up those of the leg that rang.
func (s *story) chain(l *leg) []*dialling {
	var dials []*dialling
	if l.tookOver != nil {
		l = l.tookOver
	}
	for range s.legs { // a chain is no longer than the call has legs
		if l == nil || l.dial == nil {
			break
		}
		dials = append(dials, l.dial)
		l = l.dial.by
		if l != nil && isLocalHalf(l.names[0], localSecondHalf) {
			l = s.pair(l)
		}
	}
	return dials
}

// bearer returns the leg that took over the leg's name in a masquerade.
func (s *story) bearer(l *leg) *leg {
	for _, other := range s.legs {
		if other != l && slices.Contains(other.names, l.name()) {
			return other
		}
	}
	return nil
}

func firstArgument(data string) string {
	argument, _, _ := strings.Cut(data, ",")
	return strings.TrimSpace(argument)
}

func orDash(s string) string { return firstOf(s, "-") }

// fill sets the field if it is still empty.
func fill(field *string, value string) {
	if *field == "" {
		*field = value
	}
}

// over sets the field if there is a value.
func over(field *string, value string) {
	if value != "" {
		*field = value
	}
}

// firstOf returns the first value that is not empty.
func firstOf(values ...string) string {
	for _, value := range values {
		if value != "" {
			return value
		}
	}
	return ""
}
