package why

import (
	"encoding/json"
	"strings"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/recorder"
)

// teller puts events into words. It learns from decisions and wishes who is
// behind a leg, for events that name only that.
type teller struct {
	names  Names
	sight  Sight
	legs   map[string]string              // name by uniqueid
	hidden map[string]bool                // legs of other tenants
	states map[string]recorder.PartyState // of each leg's own wish, as far as it is known
}

// foreigner is what a party of a tenant is called that the asker does not see.
const foreigner = "somebody of another tenant"

// step is one event in words; ok is false for those that explain nothing and
// those that are another tenant's.
func (t *teller) step(e Event) (s Step, ok bool, err error) {
	switch e.Kind {
	case recorder.EventDecision:
		var d recorder.DecisionData
		if err = json.Unmarshal(e.Data, &d); err == nil {
			s = t.decision(d)
		}
		return s, true, err
	case recorder.EventOnDemand, recorder.EventRefused, recorder.EventOnDemandEnded:
		var d recorder.RequestData
		err = json.Unmarshal(e.Data, &d)
		s = t.wish(e, d)
		return s, !t.hidden[d.Leg], err
	case recorder.EventRelease:
		var c recorder.Claim
		err = json.Unmarshal(e.Data, &c)
		return Step{Rule: c.Reason, Text: capital(t.leg(c.Leg)) + " does not ask for a recording any more (" + reasonText(c.Reason) + ")."}, !t.hidden[c.Leg], err
	case recorder.EventPaused, recorder.EventResumed, recorder.EventNotSilent, recorder.EventMutedLate:
		var p recorder.Pause
		err = json.Unmarshal(e.Data, &p)
		return Step{Text: t.pause(e, p)}, true, err
	}
	if e.Kind == fileRemoved {
		return Step{Text: removed(e.Data)}, true, nil
	}
	if text, known := plain(e.Kind); known {
		return Step{Text: text}, true, nil
	}
	if !aboutFile(e.Kind) {
		return Step{}, false, nil
	}
	var n recorder.Note
	err = json.Unmarshal(e.Data, &n)
	return file(e.Kind, n), true, err
}

// leg is who is behind a uniqueid.
func (t *teller) leg(id string) string {
	if name := t.legs[id]; name != "" {
		return name
	}
	if id == "" {
		return "somebody"
	}
	return "channel " + id
}

// foreign parties are those of tenants that the asker does not see.
func (t *teller) foreign(p dialplan.Party) bool { return p.Tenant != "" && !t.sight.Tenant(p.Tenant) }

// who names a party, and keeps the name for its leg.
func (t *teller) who(p dialplan.Party) string {
	name := ""
	switch {
	case t.foreign(p):
		t.hidden[p.Leg] = true
		name = foreigner
	case p.UserUUID != "":
		if name = t.names.User(p.UserUUID); name == "" {
			name = "user " + p.UserUUID
		}
	case p.Kind == dialplan.KindTrunk:
		name = "the trunk " + p.Endpoint
	case p.Kind == dialplan.KindDevice:
		name = "the telephone " + p.Endpoint
	default:
		name = "the unknown endpoint " + p.Endpoint
	}
	t.legs[p.Leg] = name
	return name
}

func (t *teller) queue(uuid string) string { return named("the queue", t.names.Queue(uuid), uuid) }

func (t *teller) group(uuid string) string { return named("the group", t.names.Group(uuid), uuid) }

func named(kind, name, uuid string) string {
	if name == "" {
		return kind + " " + uuid
	}
	return kind + " " + name
}

// wish is a press of *3 or a request.
func (t *teller) wish(e Event, d recorder.RequestData) Step {
	who := t.leg(d.Leg)
	if d.Party != nil {
		who = t.who(*d.Party)
	}
	s := Step{Rule: d.Reason, Outcome: Done}
	was := t.states[d.Leg]
	if d.State != "" {
		t.states[d.Leg] = d.State
	}
	switch e.Kind {
	case recorder.EventOnDemandEnded:
		s.Text = capital(who) + " is gone, and with it the wish for a recording."
	case recorder.EventRefused:
		s.Outcome = Refused
		s.Text = capital(who) + " " + asked(d, e.Actor) + ", and was refused: " + t.refusal(d) + "."
	default:
		s.Text = capital(who) + " " + asked(d, e.Actor) + became(d, was) + "."
	}
	return s
}

func asked(d recorder.RequestData, actor string) string {
	if d.By == dialplan.OnDemand {
		return "pressed *3"
	}
	by := ""
	if actor != "" {
		by = " by " + actor
	}
	switch d.Op {
	case recorder.OpStart:
		return "was to be recorded: asked for through the API" + by
	case recorder.OpStop:
		return "was not to be recorded any more: asked for through the API" + by
	case recorder.OpPause:
		return "was to be paused: asked for through the API" + by
	case recorder.OpResume:
		return "was to be recorded again after a pause: asked for through the API" + by
	case recorder.OpToggle:
	}
	return "had its recording switched through the API" + by
}

// became says what a press of *3 did, by the state of the party's own wish
// before and after it.
func became(d recorder.RequestData, was recorder.PartyState) string {
	if d.By != dialplan.OnDemand {
		return ""
	}
	switch {
	case d.State == recorder.PartyPaused && was == recorder.Active:
		return ": the recording is paused"
	case d.State == recorder.PartyPaused:
		return ": it asks for a recording, which is paused at this time"
	case d.State == recorder.Active && was == recorder.PartyPaused:
		return ": the recording goes on"
	case d.State == recorder.Active:
		return ": the call is to be recorded from now on"
	case d.State == recorder.Inactive:
		return ": it does not ask for a recording any more"
	}
	return ", which was allowed"
}

// refusal says why not.
func (t *teller) refusal(d recorder.RequestData) string {
	p := dialplan.Party{}
	if d.Party != nil {
		p = *d.Party
	}
	switch {
	case d.Reason == dialplan.RefusedGroup:
		return "the call came through " + t.group(p.Group) + ", which does not allow it (dtmf_record_toggle is off)"
	case d.Reason == dialplan.RefusedQueue:
		return "the call came through " + t.queue(p.Queue) + ", which does not allow it (dtmf_record_toggle is off)"
	case d.NoTalk && d.Reason == dialplan.NoneConference:
		return reasonText(d.Reason)
	case d.NoTalk:
		return reasonText(dialplan.NoneNoTalk)
	case d.Idle:
		return "nothing is being recorded"
	}
	return reasonText(d.Reason)
}

func (t *teller) pause(e Event, p recorder.Pause) string {
	by := t.leg(p.Owner)
	if p.Owner == "" && p.Actor != "" {
		by = p.Actor
	}
	switch {
	case e.Kind == recorder.EventPaused && p.Cut:
		return "Paused by " + by + ": the file goes on after the pause, which is not in it."
	case e.Kind == recorder.EventPaused:
		return "Paused by " + by + ": the file is silent from here on."
	case e.Kind == recorder.EventResumed && p.Cut:
		return "The pause of " + by + " ended: the file goes on."
	case e.Kind == recorder.EventResumed:
		return "The pause of " + by + " ended: the file has sound again."
	case e.Kind == recorder.EventNotSilent:
		return "The file is not silent in the pause from " + clock(p.From) + " on. It may hold what should not be heard: listen to it."
	}
	if p.Detail != "" {
		return "The pause from " + clock(p.From) + " on began late: " + p.Detail + "."
	}
	return "The pause from " + clock(p.From) + " on became silent late, " + p.Muted.Sub(p.From).Round(time.Millisecond).String() + " after it was asked for."
}

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
