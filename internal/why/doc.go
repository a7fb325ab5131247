// Package why says in plain words why a call was recorded or not: from the
// decisions and events that were stored when they happened, never from the
// settings of today. What was not stored is said to be unknown.
//
// It is pure: values in, values out. It must not import anything of ours but
// internal/recorder and dialplan, whose events it reads.
package why

import (
	"encoding/json"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/recorder"
)

// Names finds what people call things, by uuid; "" if nobody knows.
type Names struct {
	User, Queue, Group func(uuid string) string
}

// Sight says what the one who asks may see. A call between tenants is one call,
// but the rules of a user and the recordings that they make are its own
// tenant's (design 5).
type Sight struct {
	Tenant, Recording func(uuid string) bool
}

// Event is a stored event. Its Data is still encoded.
type Event struct {
	recorder.Event
	Data json.RawMessage
}

// Judged is one party of a talk as it was judged.
type Judged struct {
	Leg      string        `json:"leg"` // uniqueid
	Name     string        `json:"name"`
	UserUUID string        `json:"user_uuid,omitempty"`
	Role     dialplan.Role `json:"role"`
	// Hidden parties are another tenant's: nothing is said about their rules.
	Hidden  bool            `json:"hidden,omitempty"`
	Records bool            `json:"records"`
	Reason  dialplan.Reason `json:"reason,omitempty"`
	Note    dialplan.Reason `json:"note,omitempty"`
	Text    string          `json:"text"`
}

// Outcome is what became of a decision, of somebody's wish or of a recording.
type Outcome string

// The outcomes of decisions and wishes. That of a recording which has ended is
// its state. NotShown is a decision that only the rules of another tenant may
// have made.
const (
	Recorded    Outcome = "recorded"
	NotRecorded Outcome = "not_recorded"
	NotShown    Outcome = "not_shown"
	Done        Outcome = "done"
	Refused     Outcome = "refused"
	Failed      Outcome = "failed"
)

// Step is one thing that happened.
type Step struct {
	At time.Time `json:"time"`
	// Kind is that of the event (recorder.EventDecision and so on).
	Kind          string          `json:"kind"`
	Outcome       Outcome         `json:"outcome,omitempty"`
	Rule          dialplan.Reason `json:"rule,omitempty"`
	RecordingUUID string          `json:"recording_uuid,omitempty"`
	Actor         string          `json:"actor,omitempty"`
	Text          string          `json:"text"`
	Parties       []Judged        `json:"parties,omitempty"`
	// Input is all that a decision depended on, so that it can be made again;
	// nil if a part of it is another tenant's.
	Input *dialplan.Input `json:"input,omitempty"`
}

// Answer is the whole story of a call: a sentence or two for somebody in a
// hurry, then everything in the order in which it was stored.
type Answer struct {
	Summary string `json:"summary"`
	Steps   []Step `json:"steps"`
}

// Explain tells the story of a call from the events of its channels and
// recordings, in the order in which they were stored. An event that cannot be
// read is told as such: it must not hide the others.
func Explain(events []Event, names Names, sight Sight) Answer {
	t := teller{names: names, sight: sight, legs: map[string]string{}, hidden: map[string]bool{}, states: map[string]recorder.PartyState{}}
	out := Answer{Steps: []Step{}}
	for _, e := range events {
		secret := e.Recording != "" && !sight.Recording(e.Recording)
		s, ok, err := t.step(e)
		if err != nil {
			s, ok = Step{Text: "This version of callrecordd cannot read this event."}, true
		}
		if secret && (err != nil || !aboutParties(e.Kind)) || !ok {
			continue
		}
		if s.At, s.Kind, s.Actor = e.At, e.Kind, e.Actor; !secret {
			s.RecordingUUID = e.Recording
		}
		out.Steps = append(out.Steps, s)
	}
	out.Summary = summary(out.Steps)
	return out
}

// aboutParties are events of which a part concerns the asker though their
// recording does not: what of them may be told is decided party by party.
func aboutParties(kind string) bool {
	switch kind {
	case recorder.EventDecision, recorder.EventOnDemand, recorder.EventRefused, recorder.EventOnDemandEnded, recorder.EventRelease:
		return true
	}
	return false
}
