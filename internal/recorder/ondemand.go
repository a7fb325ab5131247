package recorder

import "callrecordd/dialplan"

// Op is what a Request asks for.
type Op string

// The operations. Toggle is a press of *3; the others come from people at the
// command line and, later, from the API.
const (
	OpToggle Op = "toggle"
	OpStart  Op = "start"
	OpStop   Op = "stop"
	OpPause  Op = "pause"
	OpResume Op = "resume"
)

// Request is one party's wish about the recording of the talk it is in.
type Request struct {
	Op Op
	// Party is the party whose claim is meant, resolved with the directory as
	// it is now: permission is judged at the press, not at the answer.
	Party dialplan.Party
	// By is dialplan.OnDemand (*3) or dialplan.API.
	By dialplan.Reason
	// Actor is who asked, for the events: a user's uuid or "root".
	Actor string
	// Override asks with permission over other people's calls: no MayToggle,
	// stop removes all claims, resume ends anybody's pause.
	Override bool
	// Conference says that the party is in one, which is no talk.
	Conference bool
	// Reach asks for somebody else's call through the API: the party's own
	// permission is asked for, but stop removes all claims and resume ends
	// anybody's pause (design 6).
	Reach bool
}

// Outcome is what became of a Request.
type Outcome struct {
	// Done says that the talk is as was asked for, also if it was before.
	Done bool
	// Reason is why not, or under which claim it was done.
	Reason dialplan.Reason
	// NoTalk says that the party is in no talk, NotRecording that there is
	// nothing to pause, resume or stop.
	NoTalk, NotRecording bool
	// State is the party's afterwards: inactive, active or paused (design 6).
	State PartyState
	// Released are the claims that a stop has ended.
	Released []Claim
}

// PartyState is record_state of a call object: that of the party's own claim.
type PartyState string

// The states of a party.
const (
	Inactive    PartyState = "inactive"
	Active      PartyState = "active"
	PartyPaused PartyState = "paused"
)

// Sound is a tone that parties hear, by Asterisk's name of the file.
type Sound string

// The tones (design 6).
const (
	Beep    Sound = "beep"
	BeepErr Sound = "beeperr"
)

// RequestData is the data of the events of on-demand recording.
type RequestData struct {
	Leg    string          `json:"leg"`
	Op     Op              `json:"op,omitempty"`
	By     dialplan.Reason `json:"by,omitempty"`
	Reason dialplan.Reason `json:"reason,omitempty"` // why not, or under which claim
	NoTalk bool            `json:"no_talk,omitempty"`
	Idle   bool            `json:"not_recording,omitempty"`
	// State is the party's afterwards; events of older versions lack it.
	State PartyState      `json:"state,omitempty"`
	Party *dialplan.Party `json:"party,omitempty"`
}
