package why

import (
	"encoding/json"
	"fmt"
	"strings"

	"callrecordd/dialplan"
	"callrecordd/internal/recorder"
)

// teller puts events into words. It learns from decisions and wishes who is
// behind a leg, for events that name only that.
type teller struct {
	names Names
	legs  map[string]string // name by uniqueid
}

// step is one event in words; ok is false for those that explain nothing.
func (t *teller) step(e Event) (s Step, ok bool, err error) {
	switch e.Kind {
	case recorder.EventDecision:
		var d recorder.DecisionData
		err = json.Unmarshal(e.Data, &d)
		return t.decision(d), true, err
	case recorder.EventOnDemand, recorder.EventRefused, recorder.EventOnDemandEnded:
		var d recorder.RequestData
		err = json.Unmarshal(e.Data, &d)
		return t.wish(e, d), true, err
	case recorder.EventRelease:
		var c recorder.Claim
		err = json.Unmarshal(e.Data, &c)
		return Step{Rule: c.Reason, Text: t.leg(c.Leg) + " does not ask for a recording any more (" + ruleName(c.Reason) + ")."}, true, err
	case recorder.EventPaused, recorder.EventResumed, recorder.EventNotSilent, recorder.EventMutedLate:
		var p recorder.Pause
		err = json.Unmarshal(e.Data, &p)
		return Step{Text: t.pause(e, p)}, true, err
	}
	if text, known := plain(e.Kind); known {
		return Step{Text: text}, true, nil
	}
	var n recorder.Note
	if json.Unmarshal(e.Data, &n) != nil { // another kind's data has another shape
		return Step{}, false, nil
	}
	s, ok = file(e.Kind, n)
	return s, ok, nil
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

// who names a party, and keeps the name for its leg.
func (t *teller) who(p dialplan.Party) string {
	name := ""
	if p.UserUUID != "" {
		if name = t.names.User(p.UserUUID); name == "" {
			name = "user " + p.UserUUID
		}
	} else {
		switch p.Kind {
		case dialplan.KindTrunk:
			name = "the trunk " + p.Endpoint
		case dialplan.KindDevice:
			name = "the telephone " + p.Endpoint
		default:
			name = "the unknown endpoint " + p.Endpoint
		}
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
	s := Step{Rule: d.Reason, Outcome: "done"}
	switch {
	case e.Kind == recorder.EventOnDemandEnded:
		s.Text = capital(who) + " is gone, and with it the wish for a recording."
	case e.Kind == recorder.EventRefused:
		s.Outcome = "refused"
		s.Text = capital(who) + " " + asked(d, e.Actor) + ", and was refused: " + t.refusal(d) + "."
	default:
		s.Text = capital(who) + " " + asked(d, e.Actor) + "."
		if d.Idle {
			s.Text = strings.TrimSuffix(s.Text, ".") + "; nothing was being recorded for it."
		}
	}
	return s
}

func asked(d recorder.RequestData, actor string) string {
	if d.By == dialplan.OnDemand {
		return "pressed the keys for recording on demand (*3)"
	}
	by := ""
	if actor != "" {
		by = " by " + actor
	}
	switch d.Op {
	case recorder.OpStart:
		return "was to be recorded: asked through the API" + by
	case recorder.OpStop:
		return "was not to be recorded any more: asked through the API" + by
	case recorder.OpPause:
		return "was to be paused: asked through the API" + by
	case recorder.OpResume:
		return "was to be recorded again after a pause: asked through the API" + by
	case recorder.OpToggle:
	}
	return "had its recording switched through the API" + by
}

// refusal says why not.
func (t *teller) refusal(d recorder.RequestData) string {
	p := dialplan.Party{}
	if d.Party != nil {
		p = *d.Party
	}
	switch {
	case d.Reason == dialplan.RefusedUser:
		return "the user has no permission to record on demand (online_call_record_enabled is off)"
	case d.Reason == dialplan.RefusedGroup:
		return "the call came through " + t.group(p.Group) + ", which does not allow it (dtmf_record_toggle is off)"
	case d.Reason == dialplan.RefusedQueue:
		return "the call came through " + t.queue(p.Queue) + ", which does not allow it (dtmf_record_toggle is off)"
	case d.Reason == dialplan.RefusedTrunk:
		return "it is a trunk; only users may"
	case d.Reason == dialplan.RefusedPaused:
		return "the other party has paused the recording, and only that party may end the pause"
	case d.Reason == dialplan.NoneConference:
		return "conferences are not recorded"
	case d.NoTalk || d.Reason == dialplan.NoneNoTalk:
		return "it was talking with nobody"
	case d.Reason == dialplan.NoneNoUser:
		return "it is no user's telephone"
	case d.Idle:
		return "nothing is being recorded"
	}
	return "reason " + string(d.Reason)
}

func (t *teller) pause(e Event, p recorder.Pause) string {
	by := t.leg(p.Owner)
	if p.Owner == "" && p.Actor != "" {
		by = p.Actor
	}
	switch e.Kind {
	case recorder.EventPaused:
		return "Paused by " + by + ": the file is silent from here on."
	case recorder.EventResumed:
		return "The pause of " + by + " ended: the file has sound again."
	case recorder.EventNotSilent:
		return "The file is not silent in the pause from " + clock(p.From) + " on. It may hold what should not be heard: listen to it."
	}
	return fmt.Sprintf("The pause from %s on became silent late, %s after it was asked for.", clock(p.From), p.Muted.Sub(p.From).Round(1e6))
}

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
