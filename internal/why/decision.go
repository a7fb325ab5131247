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
	s := Step{Outcome: "not_recorded", Input: &d.Input}
	var names []string
	for i, p := range d.Input.Parties {
		v := dialplan.Verdict{Leg: p.Leg}
		if i < len(d.Decision.Verdicts) {
			v = d.Decision.Verdicts[i]
		}
		names = append(names, t.who(p))
		s.Parties = append(s.Parties, Party{
			Leg: p.Leg, Name: names[i], UserUUID: p.UserUUID, Role: p.Role, Records: v.Records, Reason: v.Reason, Note: v.Note,
			Text: t.verdict(d.Input.Parties, i, v),
		})
	}
	var because []string
	if d.Records {
		s.Outcome = "recorded"
		for _, c := range d.Claims {
			s.Rule = firstOf(s.Rule, c.Reason)
			because = append(because, t.claim(s.Parties, c))
		}
	} else {
		for _, p := range s.Parties {
			s.Rule = firstOf(s.Rule, p.Reason)
			because = append(because, p.Text)
		}
	}
	verb := map[bool]string{true: "Recorded", false: "Not recorded"}[d.Records]
	if d.Change == "found_in_journal" {
		verb = "Nobody saw this talk; by the rules it had to be recorded"
	}
	s.Text = fmt.Sprintf("Talk of %s %s. %s: %s.", strings.Join(names, " and "), changes(d.Change), verb, strings.Join(because, "; "))
	return s
}

func firstOf(a, b dialplan.Reason) dialplan.Reason {
	if a == "" {
		return b
	}
	return a
}

func changes(change string) string {
	switch change {
	case "began", "ended", "resumed", "suspended":
		return change
	case "found_in_journal":
		return "found in Asterisk's journal"
	}
	return "has other parties now"
}

// claim says who asks for the recording, and why.
func (t *teller) claim(parties []Party, c recorder.Claim) string {
	i := slices.IndexFunc(parties, func(p Party) bool { return p.Leg == c.Leg })
	if i >= 0 && parties[i].Records && parties[i].Reason == c.Reason {
		return parties[i].Text
	}
	switch c.Reason {
	case dialplan.OnDemand:
		return t.leg(c.Leg) + " asked for it with *3 at " + clock(c.At)
	case dialplan.API:
		return "it was asked for " + t.leg(c.Leg) + " through the API at " + clock(c.At)
	}
	return t.leg(c.Leg) + " has asked since " + clock(c.At) + " (" + ruleName(c.Reason) + ")"
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05 UTC") }

// verdict says of one party why it wants a recording or not.
func (t *teller) verdict(parties []dialplan.Party, i int, v dialplan.Verdict) string {
	p := parties[i]
	who := t.who(p)
	text := ""
	switch v.Reason {
	case dialplan.AlwaysReason:
		text = t.via(p, dialplan.AutoAlways) + " has all its calls recorded (auto_record: always)"
	case dialplan.NeverReason:
		text = t.forbids(parties) + " lets no rule record its calls (auto_record: never)"
	case dialplan.NoneNoUser:
		text = who + " is no user and has no rule"
	case dialplan.EndpointUnknown:
		text = who + " is not in the directory and has no rule"
	case dialplan.NoneFlagsOff:
		text = who + " does not ask for it, " + flags(parties, i) + " off"
	case dialplan.RuleOutInternal, dialplan.RuleOutExternal, dialplan.RuleInInternal, dialplan.RuleInExternal:
		text = who + " asks for it, " + ruleName(v.Reason) + " is on"
	default:
		text = who + ": " + string(v.Reason)
	}
	switch v.Note {
	case dialplan.EndpointUnknown:
		text += " (the other side is in no directory, so the call counts as external)"
	case dialplan.Resync:
		text += " (found in the middle of the talk: who had called is not known, either rule counts)"
	}
	return text
}

// via is what led to a party or what it is, of which that is said.
func (t *teller) via(p dialplan.Party, says dialplan.AutoRecord) string {
	switch {
	case p.Kind == dialplan.KindTrunk && p.TrunkAuto == says:
		return "the trunk " + p.Endpoint
	case p.Queue != "" && p.QueueAuto == says:
		return t.queue(p.Queue)
	case p.Group != "" && p.GroupAuto == says:
		return t.group(p.Group)
	}
	return t.who(p)
}

// forbids is the first that says never.
func (t *teller) forbids(parties []dialplan.Party) string {
	for _, p := range parties {
		if slices.Contains([]dialplan.AutoRecord{p.TrunkAuto, p.QueueAuto, p.GroupAuto}, dialplan.AutoNever) {
			return t.via(p, dialplan.AutoNever)
		}
	}
	return "somebody"
}

// flags are the rules that were looked at for a party: by its role, and inside
// or outside by who else is in the talk (dialplan.Decide).
func flags(parties []dialplan.Party, i int) string {
	where := "internal"
	for j, o := range parties {
		if j != i && (o.Kind == dialplan.KindTrunk || o.Kind == dialplan.KindUnknown) {
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

func ruleName(r dialplan.Reason) string {
	switch r {
	case dialplan.RuleOutInternal:
		return "the rule for outgoing internal calls"
	case dialplan.RuleOutExternal:
		return "the rule for outgoing external calls"
	case dialplan.RuleInInternal:
		return "the rule for incoming internal calls"
	case dialplan.RuleInExternal:
		return "the rule for incoming external calls"
	case dialplan.OnDemand:
		return "recording on demand"
	case dialplan.API:
		return "a request through the API"
	case dialplan.AlwaysReason:
		return "auto_record: always"
	}
	return string(r)
}
