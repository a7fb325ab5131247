// Package replay makes stored decisions again, under other settings, and says
// what would differ: which calls would be recorded that were not, and which
// press of *3 would be refused that was not.
//
// It is pure: stored decisions and settings in, differences out. It must not
// import anything of ours but internal/recorder and dialplan.
package replay

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/recorder"
)

// Kinds are the events that a Replay reads: decisions, and the wishes that were
// judged by a permission.
func Kinds() []string {
	return []string{recorder.EventDecision, recorder.EventOnDemand, recorder.EventRefused}
}

// Stored is an event of one of the Kinds.
type Stored struct {
	At         time.Time
	Kind, Call string
	Data       json.RawMessage
}

// Effect is how a call would differ.
type Effect string

// The effects: of a decision the first two, of a press of *3 the last two.
// OtherReason has the same outcome, but for another party, by another rule or
// for want of another permission.
const (
	WouldRecord    Effect = "would_be_recorded"
	WouldNotRecord Effect = "would_not_be_recorded"
	OtherReason    Effect = "other_reason"
	WouldAllow     Effect = "would_be_allowed"
	WouldRefuse    Effect = "would_be_refused"
)

// Change is one party's verdict, as it was and as it would be.
type Change struct {
	Leg      string          `json:"leg"` // uniqueid
	Endpoint string          `json:"endpoint"`
	UserUUID string          `json:"user_uuid,omitempty"`
	Name     string          `json:"name,omitempty"` // for people; not filled in here
	Was      dialplan.Reason `json:"was"`
	Would    dialplan.Reason `json:"would_be"`
}

// Difference is a decision that would be another.
type Difference struct {
	At      time.Time `json:"time"`
	Call    string    `json:"call"`             // uniqueid
	CDRID   int64     `json:"cdr_id,omitempty"` // not filled in here
	Effect  Effect    `json:"effect"`
	Parties []Change  `json:"parties"`
}

// Replay makes decisions again.
type Replay struct {
	// Settings gives a party what would be in force for it.
	Settings func(dialplan.Party) dialplan.Party
	// Tenant: only decisions about a party of this one, of all if it is empty.
	Tenant string
}

// Again makes a decision again. counted is false for what is not of the tenant
// and for wishes that no permission has judged, such as an administrator's; d is
// nil if nothing would differ. The error says that the event cannot be read.
func (r Replay) Again(e Stored) (d *Difference, counted bool, err error) {
	if e.Kind == recorder.EventDecision {
		var data recorder.DecisionData
		if err := json.Unmarshal(e.Data, &data); err != nil {
			return nil, false, fmt.Errorf("read the decision of %s about %s: %w", e.At.UTC().Format(time.RFC3339Nano), e.Call, err)
		}
		if len(data.Decision.Verdicts) != len(data.Input.Parties) {
			return nil, false, fmt.Errorf("the decision of %s about %s has %d verdicts about %d parties",
				e.At.UTC().Format(time.RFC3339Nano), e.Call, len(data.Decision.Verdicts), len(data.Input.Parties))
		}
		if !r.concerns(data.Input.Parties...) {
			return nil, false, nil
		}
		return r.decide(e, data), true, nil
	}
	var data recorder.RequestData
	if err := json.Unmarshal(e.Data, &data); err != nil {
		return nil, false, fmt.Errorf("read the wish of %s about %s: %w", e.At.UTC().Format(time.RFC3339Nano), e.Call, err)
	}
	if data.Party == nil || !r.concerns(*data.Party) || data.By != dialplan.OnDemand && !byPermission(data.Reason) {
		return nil, false, nil
	}
	return r.judge(e, data), true, nil
}

func (r Replay) concerns(parties ...dialplan.Party) bool {
	return r.Tenant == "" || slices.ContainsFunc(parties, func(p dialplan.Party) bool { return p.Tenant == r.Tenant })
}

func (r Replay) decide(e Stored, data recorder.DecisionData) *Difference {
	in := dialplan.Input{}
	for _, p := range data.Input.Parties {
		in.Parties = append(in.Parties, r.Settings(p))
	}
	would := dialplan.Decide(in)
	d := &Difference{At: e.At, Call: e.Call, Effect: OtherReason}
	for i, v := range would.Verdicts {
		if was := data.Decision.Verdicts[i]; was.Records != v.Records || was.Reason != v.Reason {
			d.Parties = append(d.Parties, change(in.Parties[i], was.Reason, v.Reason))
		}
	}
	if len(d.Parties) == 0 {
		return nil
	}
	switch now := recorded(data, would); {
	case now && !data.Records:
		d.Effect = WouldRecord
	case !now && data.Records:
		d.Effect = WouldNotRecord
	}
	return d
}

func change(p dialplan.Party, was, would dialplan.Reason) Change {
	return Change{Leg: p.Leg, Endpoint: p.Endpoint, UserUUID: p.UserUUID, Was: was, Would: would}
}

// recorded says whether a talk would be recorded: what people had asked for and
// had stopped by hand is the same, whatever the rules say (recorder's claims).
func recorded(data recorder.DecisionData, would dialplan.Decision) bool {
	ruled := func(leg string) bool {
		return slices.ContainsFunc(data.Claims, func(c recorder.Claim) bool { return c.Leg == leg && c.ByRule() })
	}
	wanted, never := map[string]bool{}, false
	for i, was := range data.Decision.Verdicts {
		v := would.Verdicts[i]
		never = never || v.Reason == dialplan.NeverReason
		wanted[was.Leg] = was.Records
		if stopped := was.Records && !ruled(was.Leg); v.Records && !stopped {
			return true
		}
	}
	// A rule's claim without its rule was kept over a restart, which only never ends.
	return slices.ContainsFunc(data.Claims, func(c recorder.Claim) bool { return !c.ByRule() || !wanted[c.Leg] && !never })
}

// byPermission says whether a wish was refused by dialplan.MayToggle.
func byPermission(r dialplan.Reason) bool {
	switch r {
	case dialplan.RefusedUser, dialplan.RefusedGroup, dialplan.RefusedQueue, dialplan.RefusedTrunk, dialplan.EndpointUnknown, dialplan.NoneNoUser:
		return true
	default:
		return false
	}
}

func (r Replay) judge(e Stored, data recorder.RequestData) *Difference {
	p := r.Settings(*data.Party)
	allowed, would := dialplan.MayToggle(p)
	was, refused := dialplan.OnDemand, e.Kind == recorder.EventRefused
	if refused && (byPermission(data.Reason) || !allowed) {
		was = data.Reason // also if the permission was there, and something else in the way
	}
	if was == would {
		return nil
	}
	d := &Difference{At: e.At, Call: e.Call, Effect: OtherReason, Parties: []Change{change(p, was, would)}}
	switch {
	case allowed:
		d.Effect = WouldAllow
	case !refused:
		d.Effect = WouldRefuse
	}
	return d
}
