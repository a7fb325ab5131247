// Package audit says of every call whether what had to be recorded is in a file.
// What had to be comes from the talks that the journal told, the decisions that
// were stored and the rules in force at the time; what is in a file comes from
// its audio. docs/audit.md has the classes, the tolerances and what cannot be
// known.
//
// It is pure: values in, values out. It must not import anything of ours but
// internal/call, internal/recorder and dialplan.
package audit

import (
	"encoding/json"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/call"
	"callrecordd/internal/recorder"
)

// Class is the verdict about a call, or about a part of it.
type Class string

// The classes. That of a call is the worst of its parts'.
const (
	Covered      Class = "covered"      // all that had to be recorded is in a file
	NotRequired  Class = "not_required" // nothing had to be, and nothing is
	Late         Class = "late"         // the beginning is missing
	Short        Class = "short"        // the end is missing
	Gap          Class = "gap"          // something between is missing
	Empty        Class = "empty"        // there is a file without audio
	Missing      Class = "missing"      // there is no file
	Corrupt      Class = "corrupt"      // the file cannot be read, or is not the one that was recorded
	Deleted      Class = "deleted"      // it was there, and somebody who may has removed it
	Unverifiable Class = "unverifiable" // it cannot be known
	Unexpected   Class = "unexpected"   // recorded though no rule and nobody asked for it
	Imported     Class = "imported"     // made elsewhere: nothing is known of its rules
)

// Classes are all of them, the worst first.
func Classes() []Class {
	return []Class{Missing, Empty, Corrupt, Short, Late, Gap, Unexpected, Unverifiable, Deleted, Covered, NotRequired, Imported}
}

// Bad says that somebody should know: something that had to be in a file is
// not, or the reverse, or nobody can tell.
func (c Class) Bad() bool {
	switch c {
	case Missing, Empty, Corrupt, Short, Late, Gap, Unexpected, Unverifiable:
		return true
	case Covered, NotRequired, Deleted, Imported:
	}
	return false
}

// Tolerances are what is not counted.
type Tolerances struct {
	// Edge is how much may be missing at the beginning, at the end or between: a
	// recorder starts within 20 ms (p99) of the answer, Asterisk writes frames of 20 ms
	// and up to 4096 bytes (256 ms) late, and its clock for the journal and ours for
	// the recorder are read at different moments.
	Edge time.Duration
	// Share of a talk that may be missing on top: telephones' clocks differ, and lost
	// packets leave no frame.
	Share float64
	// Extra is how much longer than it had to a recorder may go on: it is stopped when
	// a talk has had fewer than two legs for 2 s.
	Extra time.Duration
}

// DefaultTolerances are those of the documentation.
func DefaultTolerances() Tolerances {
	return Tolerances{Edge: 500 * time.Millisecond, Share: 0.005, Extra: call.Grace + time.Second}
}

// edge is the tolerance for a talk of that length.
func (t Tolerances) edge(length time.Duration) time.Duration {
	return t.Edge + time.Duration(t.Share*float64(length))
}

// Event is a stored event. Its Data is still encoded.
type Event struct {
	ID int64
	recorder.Event
	Data json.RawMessage
}

// Found is what is known of a recording's file.
type Found struct {
	// Looked: the file was looked at for this audit. Otherwise the other fields are
	// what was measured when it was closed.
	Looked bool
	// Reread: its audio was measured and hashed again.
	Reread bool
	Exists bool
	// Unknown is why it could not be looked at.
	Unknown string
	Bytes   int64
	Samples int64 // per channel, from the audio and not from the header
	Rate    int
	SHA256  string
	// Broken is why the audio cannot be read.
	Broken string
}

// Seconds is how long the audio is.
func (f Found) Seconds() float64 {
	if f.Rate <= 0 {
		return 0
	}
	return float64(f.Samples) / float64(f.Rate)
}

func (f Found) length() time.Duration {
	if f.Rate <= 0 {
		return 0
	}
	return time.Duration(f.Samples) * time.Second / time.Duration(f.Rate)
}

// Authority is who had a recording removed.
type Authority struct {
	At         time.Time
	Actor, Why string
	Event      int64
}

// Recording is a stored recording with its file.
type Recording struct {
	recorder.Recording
	File    Found
	Removed *Authority // with the state deleted, if an event says who
}

// Call is all that is stored of a call.
type Call struct {
	ID                   int64 // of its CDR, 0: recordings without one
	Tenant, Conversation string
	Start, Answer, End   time.Time
	Live, Imported       bool
	Talks                []call.TalkHistory
	Events               []Event
	Recordings           []Recording
}

// Rules resolves the legs of a talk with the directory as it was at a time.
type Rules func(at time.Time, legs []call.Leg) ([]dialplan.Party, error)

// Outage is a time in which something that recording needs was away.
type Outage struct {
	Kind   OutageKind `json:"kind"`
	From   time.Time  `json:"from"`
	To     time.Time  `json:"to"` // zero while it lasts
	Event  int64      `json:"event,omitempty"`
	Detail string     `json:"detail,omitempty"`
	// Unsure: From is the last sign of life before, so it may have begun later.
	Unsure bool `json:"unsure,omitempty"`
}

// OutageKind says what was away.
type OutageKind string

// The kinds.
const (
	DaemonDown OutageKind = "daemon_down"
	EventsGone OutageKind = "events_not_seen" // the connection to Asterisk's events
	// AsteriskGone ends with another start of Asterisk: its calls ended with it.
	AsteriskGone OutageKind = "asterisk_restarted"
	// AsteriskStalled: it stood still, and dropped what came meanwhile. Files have
	// their length all the same.
	AsteriskStalled OutageKind = "asterisk_stalled"

	ManagerGone OutageKind = "manager_away" // the connection to Asterisk's manager
	JournalGap  OutageKind = "journal_gap"
	StorageGone OutageKind = "storage"
	ClockJumped OutageKind = "clock_jumped"
	Alarmed     OutageKind = "alarm"
)

func (o Outage) overlaps(from, to time.Time) bool {
	return o.From.Before(to) && (o.To.IsZero() || o.To.After(from))
}

// Notice is that somebody was told.
type Notice struct {
	At  time.Time `json:"at"`
	How string    `json:"how"` // log, event, webhook NAME
	// State of a webhook's delivery.
	State string `json:"state,omitempty"`
	What  string `json:"what"`
	Event int64  `json:"event,omitempty"`
}

// World is what an audit of calls knows besides them.
type World struct {
	Rules      Rules
	Tolerances Tolerances
	Outages    []Outage // in the order of From
	// Told are notices by recording.
	Told map[string][]Notice
	// User names a user, "" if nobody knows.
	User func(uuid string) string
	// Visible says whether the one who asks may see a tenant; nil: all. Of a call
	// between tenants the other's people and recordings are not shown.
	Visible func(tenant string) bool
}
