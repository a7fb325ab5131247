package audit

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/call"
	"callrecordd/internal/recorder"
)

// By is one who wanted a recording.
type By struct {
	Leg      string          `json:"leg"`
	Endpoint string          `json:"endpoint,omitempty"`
	UserUUID string          `json:"user_uuid,omitempty"`
	Name     string          `json:"name,omitempty"`
	Tenant   string          `json:"tenant_uuid,omitempty"`
	Reason   dialplan.Reason `json:"reason"`
}

// Need is a time that had to be in a file.
type Need struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	By   []By      `json:"by"`
	// Judged: of a part of it nobody decided at the time; the rules then in force
	// say so.
	Judged bool `json:"judged,omitempty"`
	// EndUnknown: the talk lasted until To or longer.
	EndUnknown bool `json:"end_unknown,omitempty"`

	talk call.TalkID
	legs []string
}

func (n Need) stretch() stretch { return stretch{n.From, n.To} }

// clocks is what the times of a decision, ours, and of a talk, Asterisk's, may
// differ by before the talk counts as not seen.
const clocks = time.Second

// decisionData is what is read of recorder.DecisionData: the verdicts follow from
// the input.
type decisionData struct {
	Talk   call.TalkID      `json:"talk"`
	Change string           `json:"change"`
	Input  dialplan.Input   `json:"input"`
	Claims []recorder.Claim `json:"claims"`
}

// decision is a stored one.
type decision struct {
	at     time.Time
	data   decisionData
	legs   []string // sorted
	events int      // how many events were stored up to it
}

// told are the events of a call by what they say.
type told struct {
	decisions []decision // events counts from 1
	changes   []change
	holds     []hold
	asked     []request
}

// change is a claim that came or went.
type change struct {
	at     time.Time
	leg    string // of the talk: the event's
	claim  recorder.Claim
	gone   bool
	events int
}

type hold struct {
	at  time.Time
	leg string
	on  bool
}

type request struct {
	at   time.Time
	leg  string
	data recorder.RequestData
}

// The kinds that the live model stores of a leg that is put on hold, and taken
// off it.
const (
	EventHeld   = "leg_held"
	EventUnheld = "leg_unheld"
)

// foundInJournal marks decisions that were made up afterwards, of talks that
// nobody saw: they are judged by the rules here as well.
const foundInJournal = "found_in_journal"

// Kinds are the events of a call's channels that an audit reads.
func Kinds() []string {
	return []string{
		recorder.EventDecision, recorder.EventClaim, recorder.EventRelease, recorder.EventOnDemand, EventHeld, EventUnheld,
	}
}

// read sorts the events. One that cannot be read is an error: what it says may
// have been a claim.
func read(events []Event) (t told, err error) {
	var decidedAt time.Time // what comes and goes with a decision is in it
	for i, e := range events {
		switch e.Kind {
		case recorder.EventDecision:
			decidedAt = e.At
			d := decision{at: e.At, events: i + 1}
			if err = json.Unmarshal(e.Data, &d.data); err == nil && d.data.Change != foundInJournal {
				for _, p := range d.data.Input.Parties {
					d.legs = append(d.legs, p.Leg)
				}
				slices.Sort(d.legs)
				t.decisions = append(t.decisions, d)
			}
		case recorder.EventClaim, recorder.EventRelease:
			c := change{at: e.At, leg: e.Call, gone: e.Kind == recorder.EventRelease, events: i + 1}
			if err = json.Unmarshal(e.Data, &c.claim); err == nil && !decidedAt.Equal(e.At) {
				t.changes = append(t.changes, c)
			}
		case recorder.EventOnDemand:
			r := request{at: e.At, leg: e.Call}
			if err = json.Unmarshal(e.Data, &r.data); err == nil {
				t.asked = append(t.asked, r)
			}
		case EventHeld, EventUnheld:
			t.holds = append(t.holds, hold{e.At, e.Call, e.Kind == EventHeld})
		}
		if err != nil {
			return t, fmt.Errorf("event %d (%s): %w", e.ID, e.Kind, err)
		}
	}
	return t, nil
}

// needs are the times that had to be in a file, in order.
func needs(c Call, t told, w World) ([]Need, error) {
	var out []Need
	for _, talk := range c.Talks {
		var before *piece // of the span before, if its legs were the same
		for _, span := range talk.Spans {
			p, err := piecesOf(span, t, before, w)
			if err != nil {
				return nil, err
			}
			for _, x := range p {
				out = add(out, x, talk, span)
			}
			before = nil
			if n := len(p); n > 0 {
				before = &p[n-1]
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Need) int { return a.From.Compare(b.From) })
	return out, nil
}

// piece is a part of a span in which the same claims were in force.
type piece struct {
	stretch
	legs   []string
	claims []recorder.Claim
	people []dialplan.Party
	judged bool
}

// add makes a need of a piece that somebody wanted, or makes the last one longer.
func add(list []Need, p piece, talk call.TalkHistory, span call.Span) []Need {
	if len(p.claims) == 0 || !p.from.Before(p.to) && !talk.EndUnknown {
		return list
	}
	n := Need{From: p.from, To: p.to, Judged: p.judged, talk: talk.ID, legs: p.legs}
	n.EndUnknown = talk.EndUnknown && p.to.Equal(span.To) && span.To.Equal(talk.Spans[len(talk.Spans)-1].To)
	for _, c := range p.claims {
		n.By = append(n.By, by(c, p.people))
	}
	if i := len(list) - 1; i >= 0 && list[i].talk == n.talk && list[i].To.Equal(n.From) {
		last := &list[i]
		last.To, last.EndUnknown, last.Judged = n.To, n.EndUnknown, last.Judged || n.Judged
		for _, b := range n.By {
			if !slices.Contains(last.By, b) {
				last.By = append(last.By, b)
			}
		}
		for _, l := range n.legs {
			if !slices.Contains(last.legs, l) {
				last.legs = append(last.legs, l)
			}
		}
		return list
	}
	n.legs = slices.Clone(n.legs)
	return append(list, n)
}

func by(c recorder.Claim, people []dialplan.Party) By {
	b := By{Leg: c.Leg, UserUUID: c.UserUUID, Reason: c.Reason}
	for _, p := range people {
		if p.Leg == c.Leg {
			b.Endpoint, b.Tenant = p.Endpoint, p.Tenant
		}
	}
	return b
}

// piecesOf cuts a span where claims came or went. What was decided when it was
// counts; where nobody decided, the rules of that time do.
func piecesOf(span call.Span, t told, before *piece, w World) ([]piece, error) {
	legs := make([]string, 0, len(span.Legs))
	for _, l := range span.Legs {
		legs = append(legs, l.ID)
	}
	slices.Sort(legs)
	of := stretch{span.From, span.To}
	made := decided(legs, of, t.decisions)
	var out []piece
	state, since := piece{stretch: of, legs: legs}, 0
	switch {
	case len(made) > 0 && !made[0].at.After(span.From.Add(clocks)):
		since, state.people = made[0].events, made[0].data.Input.Parties
		var err error
		if state.claims, err = claimsOf(made[0], span, w); err != nil {
			return nil, err
		}
		made = made[1:]
	case before != nil && slices.Equal(before.legs, legs):
		state.claims, state.people, state.judged = before.claims, before.people, before.judged
	default:
		judged, err := judge(span, w)
		if err != nil {
			return nil, err
		}
		state.claims, state.people, state.judged = judged.claims, judged.people, true
		if before != nil {
			state.claims = append(state.claims, held(before.claims, legs)...)
		}
	}
	cut := func(at time.Time) {
		if at.After(state.from) && at.Before(span.To) {
			done := state
			done.to = at
			done.claims = slices.Clone(state.claims)
			out = append(out, done)
			state.from = at
		}
	}
	for _, step := range steps(legs, of, since, made, t.changes) {
		switch {
		case step.made != nil:
			claims, err := claimsOf(*step.made, span, w)
			if err != nil {
				return nil, err
			}
			cut(step.made.at)
			state.claims, state.people, state.judged = claims, step.made.data.Input.Parties, false
		case step.change.gone:
			if i := slices.IndexFunc(state.claims, same(step.change.claim)); i >= 0 {
				cut(step.change.at)
				state.claims = slices.Delete(slices.Clone(state.claims), i, i+1)
			}
		case !slices.ContainsFunc(state.claims, same(step.change.claim)):
			cut(step.change.at)
			state.claims = append(slices.Clone(state.claims), step.change.claim)
		}
	}
	return append(out, state), nil
}

// claimsOf are those that a decision left in force. One that was made without
// knowing who had called took either rule: by now the journal has told.
func claimsOf(d decision, span call.Span, w World) ([]recorder.Claim, error) {
	guessed := slices.ContainsFunc(d.data.Input.Parties, func(p dialplan.Party) bool { return p.Role == dialplan.RoleUnknown })
	known := !slices.ContainsFunc(span.Legs, func(l call.Leg) bool { return l.Role == call.RoleUnknown })
	if !guessed || !known || w.Rules == nil {
		return slices.Clone(d.data.Claims), nil
	}
	judged, err := judge(span, w)
	if err != nil {
		return nil, err
	}
	out := judged.claims
	for _, c := range d.data.Claims {
		if !c.ByRule() {
			out = append(out, c)
		}
	}
	return out, nil
}

func same(c recorder.Claim) func(recorder.Claim) bool {
	return func(o recorder.Claim) bool { return o.Leg == c.Leg && o.Reason == c.Reason && o.At.Equal(c.At) }
}

// held are the claims that belong to a leg, and stay with it.
func held(claims []recorder.Claim, legs []string) (out []recorder.Claim) {
	for _, c := range claims {
		if !c.ByRule() && slices.Contains(legs, c.Leg) {
			out = append(out, c)
		}
	}
	return out
}

// judge applies the rules of the time to a span that nobody decided on.
func judge(span call.Span, w World) (p piece, err error) {
	if w.Rules == nil {
		return p, nil
	}
	if p.people, err = w.Rules(span.From, span.Legs); err != nil {
		return p, err
	}
	d := dialplan.Decide(dialplan.Input{Parties: p.people})
	for i, v := range d.Verdicts {
		if v.Records {
			p.claims = append(p.claims, recorder.Claim{Leg: v.Leg, UserUUID: p.people[i].UserUUID, Reason: v.Reason, At: span.From})
		}
	}
	return p, nil
}

// decided are the decisions about those legs in that time; if there is none with
// the same legs those about one of them: a channel may bear another's id by now.
func decided(legs []string, of stretch, all []decision) (out []decision) {
	near := func(d decision) bool { return !d.at.Before(of.from.Add(-clocks)) && !d.at.After(of.to.Add(clocks)) }
	for _, d := range all {
		if near(d) && slices.Equal(d.legs, legs) {
			out = append(out, d)
		}
	}
	if len(out) > 0 {
		return out
	}
	for _, d := range all {
		if !d.at.Before(of.from.Add(-clocks/4)) && d.at.Before(of.to) &&
			slices.ContainsFunc(d.legs, func(l string) bool { return slices.Contains(legs, l) }) {
			out = append(out, d)
		}
	}
	return out
}

// step is a decision or a change, in the order in which they were stored.
type step struct {
	made   *decision
	change change
	events int
}

// steps are those stored later than since, if that is known, else those since the
// beginning.
func steps(legs []string, of stretch, since int, made []decision, changes []change) []step {
	begun := func(c change) bool {
		if since > 0 {
			return c.events > since
		}
		return !c.at.Before(of.from)
	}
	var out []step
	for i := range made {
		out = append(out, step{made: &made[i], events: made[i].events})
	}
	for _, c := range changes {
		if slices.Contains(legs, c.leg) && begun(c) && c.at.Before(of.to) {
			out = append(out, step{change: c, events: c.events})
		}
	}
	slices.SortFunc(out, func(a, b step) int { return a.events - b.events })
	return out
}
