// Package why says in plain words why a call was recorded or not: from the
// decisions and events that were stored when they happened, never from the
// settings of today. What was not stored is said to be unknown.
//
// It is pure: values in, values out. It must not import anything of ours but
// internal/recorder and dialplan, whose events it reads.
package why

import (
	"encoding/json"
	"fmt"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/recorder"
)

// Names finds what people call things, by uuid; "" if nobody knows.
type Names struct {
	User, Queue, Group func(uuid string) string
}

// Event is a stored event. Its Data is still encoded.
type Event struct {
	recorder.Event
	Data json.RawMessage
}

// Party is one party of a talk as it was judged.
type Party struct {
	Leg      string          `json:"leg"` // uniqueid
	Name     string          `json:"name"`
	UserUUID string          `json:"user_uuid,omitempty"`
	Role     dialplan.Role   `json:"role"`
	Records  bool            `json:"records"`
	Reason   dialplan.Reason `json:"reason"`
	Note     dialplan.Reason `json:"note,omitempty"`
	Text     string          `json:"text"`
}

// Step is one thing that happened, in the order of time.
type Step struct {
	At time.Time `json:"time"`
	// Kind is that of the event (recorder.EventDecision and so on).
	Kind string `json:"kind"`
	// Outcome is "recorded" or "not_recorded" of a decision, "done" or
	// "refused" of somebody's wish, the state of a recording that has ended.
	Outcome       string          `json:"outcome,omitempty"`
	Rule          dialplan.Reason `json:"rule,omitempty"`
	RecordingUUID string          `json:"recording_uuid,omitempty"`
	Actor         string          `json:"actor,omitempty"`
	Text          string          `json:"text"`
	Parties       []Party         `json:"parties,omitempty"`
	// Input is all that a decision depended on, so that it can be made again.
	Input *dialplan.Input `json:"input,omitempty"`
}

// Answer is the whole story of a call.
type Answer struct {
	Summary string `json:"summary"`
	Steps   []Step `json:"steps"`
}

// Explain tells the story of a call from the events of its channels and
// recordings, in the order in which they were stored. visible says whose
// recordings the asker may know of. The error says which event cannot be read.
func Explain(events []Event, names Names, visible func(recording string) bool) (Answer, error) {
	t := teller{names: names, legs: map[string]string{}}
	out := Answer{Steps: []Step{}}
	for _, e := range events {
		if e.Recording != "" && !visible(e.Recording) {
			if e.Kind != recorder.EventDecision {
				continue
			}
			e.Recording = ""
		}
		s, ok, err := t.step(e)
		if err != nil {
			return Answer{}, fmt.Errorf("explain event %s of %s: %w", e.Kind, e.At.UTC().Format(time.RFC3339Nano), err)
		}
		if ok {
			s.At, s.Kind, s.RecordingUUID, s.Actor = e.At, e.Kind, e.Recording, e.Actor
			out.Steps = append(out.Steps, s)
		}
	}
	out.Summary = summary(out.Steps)
	return out, nil
}
