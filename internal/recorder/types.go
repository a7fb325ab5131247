package recorder

import (
	"time"

	"callrecordd/dialplan"
)

// State is where a recording's file is in its life (design 8).
type State string

// The states. Ready, Empty, Interrupted, Missing and Deleted are final.
const (
	Starting    State = "starting"
	Live        State = "recording"
	Paused      State = "paused"
	Closing     State = "closing"
	Ready       State = "ready"
	Empty       State = "empty"
	Interrupted State = "interrupted"
	Missing     State = "missing"
	Deleted     State = "deleted"
)

// Open says that it is not final: its recorder may run still, or is about to.
func (s State) Open() bool {
	switch s {
	case Starting, Live, Paused, Closing:
		return true
	case Ready, Empty, Interrupted, Missing, Deleted:
	}
	return false
}

// Claim is one party's wish that the recording exist (design 6).
type Claim struct {
	Leg      string          `json:"leg"` // uniqueid
	UserUUID string          `json:"user_uuid,omitempty"`
	Reason   dialplan.Reason `json:"reason"`
	At       time.Time       `json:"at"`
}

// Recording is one file, one uuid, one row (design 8). Channels are named by
// uniqueid together with Boot, because uniqueids come back after a restart.
type Recording struct {
	UUID, TenantUUID string
	Boot             time.Time // start of the Asterisk that has the channels
	Hook             string    // uniqueid of the channel the recorder sits on
	HookName         string
	Legs             []string // all uniqueids the talk has had
	MixMonitorID     string
	Follows          string // uuid of the recording this one continues or retries
	State            State
	Cause            string // one of the Cause constants, empty if all is well
	Detail           string // for people: error text
	// Claims are those in force; once none is, the last ones that were.
	Claims []Claim
	// Pauses are in their order; the last one lasts while its To is zero.
	Pauses []Pause

	IntentAt, StartedAt, EndedAt time.Time

	Silent  bool  // no RTP arrived while growth was awaited
	Bytes   int64 // size of the file
	Samples int64 // per channel
	Rate    int   // samples per second
	SHA256  string
	CDRID   int64
}

// Call is what its events name as the call: the first leg.
func (r Recording) Call() string {
	if len(r.Legs) > 0 {
		return r.Legs[0]
	}
	return r.Hook
}

// Party is a leg's presence in a recording, To zero while it lasts. Leg and
// From identify it within the recording.
type Party struct {
	Leg, UserUUID, Endpoint string
	From, To                time.Time
}

// Event is an entry of the append-only table of events (design 8). Data must
// marshal to JSON.
type Event struct {
	At                           time.Time
	Kind, Recording, Call, Actor string
	Data                         any
}

// ByRule says whether a rule has made the claim: it lasts as long as the rule
// wants it, or the talk if that is not known any more.
func (c Claim) ByRule() bool { return isRule(c.Reason) }
