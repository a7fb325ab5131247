// Package cdr turns Asterisk's CEL journal into call detail records.
//
// Derive and the Adapter are pure: rows go in, a CDR or call events come out.
// Follower is the only part that does I/O: it reads the journal that Asterisk
// writes (design 2.8) and hands finished calls to a Store.
//
// The package may import internal/call and nothing else of ours: the directory
// and the store are behind the small interfaces Lookup and Store.
package cdr

import (
	"time"

	"callrecordd/internal/call"
)

// Values of CDR.CallDirection.
const (
	DirectionInternal = "internal"
	DirectionInbound  = "inbound"
	DirectionOutbound = "outbound"
)

// Values of CDR.CallStatus.
const (
	StatusAnswered  = "answered"
	StatusUnknown   = "unknown"
	StatusVoicemail = "voicemail"
	StatusBlocked   = "blocked"
)

// Values of CDR.Source.
const (
	// SourceJournal marks a CDR derived from Asterisk's CEL rows.
	SourceJournal = "journal"
	// SourceLive marks a CDR of a call the journal lacks (design 9).
	SourceLive = "live"
)

// Values of Participant.Role.
const (
	RoleSource      = "source"
	RoleDestination = "destination"
)

// CDR is one call. Its fields mean what cdr-api 4 and 10.4 say. A zero time, an
// empty string and a LineID of 0 stand for null.
type CDR struct {
	ID            int64  // given by the store, 0 before
	TenantUUID    string // design 5
	Start         time.Time
	End           time.Time
	Answer        time.Time // when the parties were first connected (cdr-api 10.5)
	CallDirection string    // internal, inbound, outbound
	CallStatus    string    // answered, unknown, voicemail, blocked

	// ConversationID is the smallest linkedid in string order (cdr-api 4).
	ConversationID string
	// DestinationDetails always has the key type (user, group, conference,
	// voicemail, unknown) and those of the keys of cdr-api 4 that are known.
	DestinationDetails map[string]any

	DestinationExtension         string
	DestinationInternalContext   string
	DestinationInternalExtension string
	DestinationName              string
	DestinationUserUUID          string
	DestinationLineID            int64

	RequestedName              string
	RequestedContext           string
	RequestedExtension         string
	RequestedInternalContext   string
	RequestedInternalExtension string
	RequestedUserUUID          string

	SourceExtension         string
	SourceInternalContext   string
	SourceInternalName      string
	SourceInternalExtension string
	SourceName              string
	SourceUserUUID          string
	SourceLineID            int64

	Participants []Participant
	// Journal are the rows it was derived from, zero for a live CDR.
	Journal JournalRange
	// LinkedIDs and Uniqueids are those of the call, sorted, without
	// duplicates. Two CDRs of one journal never share a linkedid, so the store
	// finds the row to replace by them.
	LinkedIDs []string
	Uniqueids []string
	Source    string // journal or live
	// Unwatched: the call was not watched throughout. It is not stored.
	Unwatched bool
	// Talks are who talked from when to when, for the audit.
	Talks []call.TalkHistory
}

// JournalRange says which rows of which journal a CDR comes from. Rows of
// other calls may lie between First and Last.
type JournalRange struct {
	ID    int64 // PRAGMA user_version of the journal file
	First int64 // smallest AcctId
	Last  int64 // largest AcctId
	// Boot is the start of the Asterisk that wrote the rows, zero if unknown:
	// together with it a uniqueid is unique (asterisk-facts 5).
	Boot time.Time
}

// Participant is a user's part in a call.
type Participant struct {
	UserUUID  string
	LineID    int64
	Role      string // source or destination
	Tags      []string
	Answered  bool
	Requested bool // the user who was dialled in the first place
}

// Checkpoint is how far a journal has been consumed: every row with an AcctId
// up to and including Position is (low watermark).
type Checkpoint struct {
	Journal  int64 // PRAGMA user_version of the journal file
	Position int64
	// Mark tells the last of those rows from any other with the same id: ids come
	// back in a journal that was emptied (asterisk-facts 4). Empty if not known.
	Mark string
}
