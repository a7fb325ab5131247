package why

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/recorder"
)

// decision explains each party's verdict and what followed.
func (t *teller) decision(d recorder.DecisionData) Step {
	s := Step{Input: &d.Input}
	var names []string
	for i, p := range d.Input.Parties {
		v := dialplan.Verdict{Leg: p.Leg}
		if i < len(d.Decision.Verdicts) {
			v = d.Decision.Verdicts[i]
		}
		party := t.party(d.Input.Parties, i, v)
		if party.Hidden {
			s.Input = nil
		}
		names = append(names, party.Name)
		s.Parties = append(s.Parties, party)
	}
	for _, c := range d.Claims {
		t.states[c.Leg] = recorder.Active
	}
	because := t.because(&s, d)
	s.Text = fmt.Sprintf("Talk of %s %s. %s: %s.", strings.Join(names, " and "), changes(d.Change), verb(s.Outcome, d.Change), strings.Join(because, "; "))
	return s
}

func verb(o Outcome, change string) string {
	switch {
	case change == foundInJournal:
		return "Nobody saw this talk; by the rules it had to be recorded"
	case o == Recorded:
		return "To be recorded"
	case o == NotShown:
		return "No rule of this tenant records it"
	}
	return "Not recorded"
}

// because fills in the outcome and returns the reasons for it. Only what
// parties that are shown have asked for counts as recorded.
func (t *teller) because(s *Step, d recorder.DecisionData) (out []string) {
	s.Outcome = NotRecorded
	for _, c := range d.Claims {
		if !t.hidden[c.Leg] {
			s.Outcome, s.Rule = Recorded, firstOf(s.Rule, c.Reason)
			out = append(out, t.claim(s.Parties, c))
		}
	}
	if s.Outcome == Recorded {
		return out
	}
	for _, p := range s.Parties {
		text := p.Text
		switch {
		case p.Hidden:
			s.Outcome = NotShown
		case p.Records:
			text += ", but by request its part is not recorded any more"
			fallthrough
		default:
			s.Rule = firstOf(s.Rule, p.Reason)
		}
		out = append(out, text)
	}
	return out
}

func firstOf(a, b dialplan.Reason) dialplan.Reason {
	if a == "" {
		return b
	}
	return a
}

// foundInJournal is the change of a talk that nobody saw.
const foundInJournal = "found_in_journal"

func changes(change string) string {
	switch change {
	case "began", "ended", "resumed", "suspended":
		return change
	case foundInJournal:
		return "found in Asterisk's journal"
	}
	return "has other parties now"
}

// claim says who asks for the recording, and why.
func (t *teller) claim(parties []Judged, c recorder.Claim) string {
	i := slices.IndexFunc(parties, func(p Judged) bool { return p.Leg == c.Leg })
	if i >= 0 && parties[i].Records && parties[i].Reason == c.Reason {
		return parties[i].Text
	}
	switch c.Reason {
	case dialplan.OnDemand:
		return t.leg(c.Leg) + " asked for it with *3 at " + clock(c.At)
	case dialplan.API:
		return "it was asked for " + t.leg(c.Leg) + " through the API at " + clock(c.At)
	default:
		return t.leg(c.Leg) + " has asked since " + clock(c.At) + " (" + reasonText(c.Reason) + ")"
	}
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05 UTC") }

// party says of one party why it wants a recording or not.
func (t *teller) party(parties []dialplan.Party, i int, v dialplan.Verdict) Judged {
	p := parties[i]
	name := t.who(p)
	out := Judged{Leg: p.Leg, Name: name, Role: p.Role}
	if t.hidden[p.Leg] {
		out.Hidden, out.Text = true, "what the rules of "+name+" say is shown to that tenant only"
		return out
	}
	out.UserUUID, out.Records, out.Reason, out.Note = p.UserUUID, v.Records, v.Reason, v.Note
	switch v.Reason {
	case dialplan.AlwaysReason:
		out.Text = t.source(p, name) + " has all its calls recorded (auto_record: always)"
	case dialplan.NeverReason:
		out.Text = t.forbids(parties) + " lets no rule record its calls (auto_record: never)"
	case dialplan.NoneNoUser:
		out.Text = name + " is no user and has no rule"
	case dialplan.EndpointUnknown:
		out.Text = name + " is not in the directory and has no rule"
	case dialplan.NoneFlagsOff:
		out.Text = name + " does not ask for it, " + flags(parties, i) + " off"
	case dialplan.RuleOutInternal, dialplan.RuleOutExternal, dialplan.RuleInInternal, dialplan.RuleInExternal:
		out.Text = name + " asks for it, " + reasonText(v.Reason) + " is on"
	default:
		out.Text = name + ": " + reasonText(v.Reason)
	}
	out.Text += noteText(v.Note)
	return out
}

func noteText(note dialplan.Reason) string {
	switch note {
	case dialplan.EndpointUnknown:
		return " (the other side is in no directory, so the call counts as external)"
	case dialplan.Resync:
		return " (found in the middle of the talk: who had called is not known, either rule counts)"
	default:
		return ""
	}
}

// source is what decided for a party before its user's rules.
func (t *teller) source(p dialplan.Party, name string) string {
	switch _, from := p.Auto(); from {
	case dialplan.SourceTrunk:
		return "the trunk " + p.Endpoint
	case dialplan.SourceQueue:
		return t.queue(p.Queue)
	case dialplan.SourceGroup:
		return t.group(p.Group)
	case dialplan.SourceNone:
	}
	return name
}

// forbids is the first that says never.
func (t *teller) forbids(parties []dialplan.Party) string {
	for _, p := range parties {
		if auto, _ := p.Auto(); auto != dialplan.AutoNever {
			continue
		}
		if t.foreign(p) {
			return foreigner
		}
		return t.source(p, "somebody")
	}
	return "somebody"
}

// flags are the rules that were looked at for a party: by its role, and inside
// or outside by who else is in the talk (dialplan.Decide).
func flags(parties []dialplan.Party, i int) string {
	where := "internal"
	for j, o := range parties {
		if j != i && o.Kind.External() {
			where = "external"
		}
	}
	switch parties[i].Role {
	case dialplan.RoleCaller:
		return "the rule for outgoing " + where + " calls is"
	case dialplan.RolePeer:
		return "the rule for incoming " + where + " calls is"
	case dialplan.RoleUnknown:
	}
	return "the rules for outgoing and incoming " + where + " calls are"
}
