package recorder

import (
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/call"
)

// The causes of a recording that is not simply ready. Those for which Storage
// is true come from exec's own probe write: a retry would meet them again.
const (
	CauseHungUp      = "hung_up"            // the call was over before there was audio
	CauseTalkEnded   = "talk_ended"         // the same by the 2 s rule or the last claim's end
	CauseNoChannel   = "no_channel"         // Asterisk does not know the hooked channel
	CauseNoManager   = "no_manager"         // no connection to Asterisk's manager, nothing was sent
	CauseNoAnswer    = "no_answer"          // no response to the start
	CauseRefused     = "refused"            // Asterisk answered with an error
	CauseTimeout     = "timeout"            // no response to a stop
	CauseNoFile      = "no_file"            // success, but no file (facts 1)
	CauseNoGrowth    = "no_growth"          // RTP arrives, the file stays empty
	CauseNoProof     = "no_proof"           // exec said nothing in time
	CauseClosedEarly = "closed_early"       // somebody else ended the recorder
	CauseSilent      = "silent"             // no RTP, no audio
	CauseNoAudio     = "no_audio"           // a proper file without a sample
	CauseHeaderUnset = "header_unset"       // Asterisk died before it closed the file
	CauseRepaired    = "header_repaired"    // the same, and its header was set right since
	CauseHeaderLost  = "header_lost"        // it had no room for a header, and has got one since
	CauseUnreadable  = "unreadable"         // the file is there but cannot be read
	CauseRestarted   = "asterisk_restarted" // the channels went with the old Asterisk
	CauseDaemonDown  = "daemon_down"        // it happened while nobody watched

	CauseReadOnly    = "read_only"
	CauseNoSpace     = "no_space"
	CausePermission  = "permission"
	CauseNoDirectory = "no_directory"
	CauseStalled     = string(dialplan.StorageStalled)

	CauseMuteFailed = "mute_failed" // a pause or its end could not be carried out
)

// Storage says whether the cause is a directory that cannot take a file.
func Storage(cause string) bool {
	switch cause {
	case CauseReadOnly, CauseNoSpace, CausePermission, CauseNoDirectory, CauseStalled:
		return true
	}
	return false
}

// Input is something the Machine is told: one of the types below.
type Input interface{ input() }

// TalkChange is a change of the call model. Parties are Change.Legs resolved
// with the directory, in the same order; needed with Began, Changed, Resumed.
type TalkChange struct {
	Change  call.Change
	Parties []dialplan.Party
	// Found is set for a talk that was found going on after a gap: since when, at
	// the earliest, it has gone on without anybody here.
	Found time.Time
}

// ChannelHanging says that a channel has been asked to hang up: no stop is
// sent to it any more, for that race can crash Asterisk (asterisk#1673).
type ChannelHanging struct{ Leg string }

// ChannelGone says that a channel is no more. It must come before the changes
// of talks that follow from it. Not for a <ZOMBIE>: that is Moved.
type ChannelGone struct{ Leg string }

// Moved says that a masquerade has taken a recorder to another channel.
type Moved struct{ From, To, ToName string }

// Unheld says that a leg's party has taken the others off hold. Many phones
// number their packets anew from then on.
type Unheld struct{ Leg string }

// Bridged says that a leg has entered a bridge.
type Bridged struct{ Leg string }

// Restarted says that Asterisk has started anew: every channel is gone. NoMute
// is that of Config.
type Restarted struct {
	Boot   time.Time
	NoMute bool
}

// Blind says that events are not seen any more, until the next Reconcile:
// nothing is started on channels that may be gone.
type Blind struct{}

// Reachable says that Asterisk's manager takes actions again.
type Reachable struct{}

// Able says that everything that recording needs is there: what was given up for
// want of it is tried again.
type Able struct{}

// Tick says that the time of NextDeadline has come.
type Tick struct{}

// Started answers Start: Asterisk said success, which proves nothing yet.
type Started struct {
	UUID, MixMonitorID string
	At                 time.Time
}

// StartLost says that no answer to Start has come although it was sent: the
// recorder may run, or come to. It is looked for; Started or StartFailed follows.
type StartLost struct{ UUID, Detail string }

// StartFailed answers Start instead of Started; exactly one of them comes.
// CauseNoManager means that nothing was sent: the same row can be tried again.
type StartFailed struct{ UUID, Cause, Detail string }

// Seen is the first half of the proof that WatchFile asks for: a file exists.
type Seen struct{ UUID string }

// Grew is the second half: there is audio in it.
type Grew struct{ UUID string }

// NotSeen ends the watch: no file in time, with the cause that exec found.
type NotSeen struct{ UUID, Cause, Detail string }

// NotGrown ends the watch: RTP arrives, but the file stays empty.
type NotGrown struct{ UUID, Cause, Detail string }

// SilentRTP says that no RTP came in the window. Not an alarm; Grew may follow.
type SilentRTP struct{ UUID string }

// Closed says that the file was closed, by whomever; told at most once.
type Closed struct{ UUID string }

// StopDone answers Stop: the file is complete.
type StopDone struct{ UUID string }

// StopFailed answers Stop instead. CauseStalled, CauseTimeout and
// CauseNoManager mean that the recorder may still run, every other cause
// that it is not there.
type StopFailed struct{ UUID, Cause, Detail string }

// Muted answers Mute, with its Try: from At on the recorder hears nothing, or
// everything.
type Muted struct {
	UUID string
	Try  int
	On   bool
	At   time.Time
}

// MuteFailed answers Mute instead; what the recorder hears is not known.
type MuteFailed struct {
	UUID          string
	Try           int
	On            bool
	Cause, Detail string
}

// Finalised answers Finalise, with its Try.
type Finalised struct {
	UUID          string
	Try           int
	Found         bool // there is a file
	Complete      bool // its header was written at close and agrees with its size
	Bytes         int64
	Samples       int64
	Rate          int
	SHA256        string // lower-case hex
	Cause, Detail string // why a file that is there could not be read
	// Drift is by how much its audio is longer than its time by the clock, less
	// what was cut out; negative if it is shorter. 0 if that cannot be said.
	Drift time.Duration
	// Pauses are those of the row with Silence and Loudest as found.
	Pauses []Pause
	// Repaired says that nobody closed the file and that a copy with a right
	// header is in its place, of which all else tells.
	Repaired       bool
	OriginalBytes  int64
	OriginalSHA256 string
	// Headless says that the file, or the original, has audio and no header: there
	// was no room for it when it was begun.
	Headless bool
}

func (TalkChange) input()     {}
func (ChannelHanging) input() {}
func (ChannelGone) input()    {}
func (Moved) input()          {}
func (Unheld) input()         {}
func (Bridged) input()        {}
func (Restarted) input()      {}
func (Blind) input()          {}
func (Reachable) input()      {}
func (Able) input()           {}
func (Tick) input()           {}
func (Started) input()        {}
func (StartLost) input()      {}
func (StartFailed) input()    {}
func (Seen) input()           {}
func (Grew) input()           {}
func (NotSeen) input()        {}
func (NotGrown) input()       {}
func (SilentRTP) input()      {}
func (Closed) input()         {}
func (StopDone) input()       {}
func (StopFailed) input()     {}
func (Muted) input()          {}
func (MuteFailed) input()     {}
func (Finalised) input()      {}

// Effect is something to be done: one of the types below. Effects of one
// recording are to be performed in order, those of different ones in parallel.
type Effect interface{ effect() }

// SaveIntent commits the row without fsync before Start (design 8).
type SaveIntent struct{ Row Recording }

// Save commits the row. Sync is set for final states: such a row is tried until
// it is stored, and survives a power cut.
type Save struct {
	Row  Recording
	Sync bool
}

// Parties upserts child rows of a recording, by (UUID, Leg, From).
type Parties struct {
	UUID string
	List []Party
}

// Start starts a recorder on Row.Hook into the row's file, or with Append at
// its end: a recording that goes on after a cut or with a new recorder.
type Start struct {
	Row    Recording
	Append bool
}

// WatchFile proves a started recording: its file must be there within Exists
// and have grown within Growth. Proved asks only for its close.
type WatchFile struct {
	Row            Recording
	Exists, Growth time.Duration
	Proved         bool
}

// Stop stops the recorder Row.MixMonitorID on Row.Hook.
type Stop struct{ Row Recording }

// Finalise waits until the file is closed, then measures and hashes it.
type Finalise struct {
	Row Recording
	Try int
}

// Mute silences the recorder Row.MixMonitorID on Row.Hook, both directions, or
// lets it hear again: the file keeps its time line. Answers may come in any
// order; the highest Try counts.
type Mute struct {
	Row Recording
	On  bool
	Try int
}

// Tone whispers a sound to legs.
type Tone struct {
	Legs  []string // uniqueids
	Sound Sound
	// Else is what is played where an announcement cannot be. It is empty for all
	// other sounds; what became of an announcement is told by Announced, and its
	// end on each leg by Whispered.
	Else Sound
	// Replaces says that an announcement that plays, or waits, is not true any more.
	Replaces bool
	// The following are of announcements alone.
	Occasion        Occasion
	Recording, Call string
	Parties         []dialplan.Party // of the talk, for who its legs are
}

// Legs stores what a new daemon must know of legs, together with the events that
// come with it.
type Legs struct{ Changed []LegState }

// Log appends an event.
type Log struct{ Event Event }

// Alarm is something that a person should know now. Broken says that a recording
// broke off in the middle of a talk.
type Alarm struct {
	Recording, Cause, Detail string
	Tenant                   string // uuid, of the recording
	Broken                   bool
}

func (SaveIntent) effect() {}
func (Save) effect()       {}
func (Parties) effect()    {}
func (Start) effect()      {}
func (WatchFile) effect()  {}
func (Stop) effect()       {}
func (Finalise) effect()   {}
func (Mute) effect()       {}
func (Pause) effect()      {}
func (Tone) effect()       {}
func (Legs) effect()       {}
func (Log) effect()        {}
func (Alarm) effect()      {}

// The kinds of events that the machine logs.
const (
	EventDecision    = "decision"            // Data is DecisionData
	EventClaim       = "claim"               // Data is Claim
	EventRelease     = "claim_released"      // Data is Claim
	EventIntent      = "recording_intent"    // with the row, by the store; Data is Note from here on
	EventStarted     = "recording_started"   // Asterisk has answered
	EventSeen        = "recording_seen"      // the file exists
	EventProved      = "recording_proved"    // the file has grown
	EventSilent      = "recording_silent"    // no RTP in the window
	EventStartFailed = "recording_failed"    // a start without proof
	EventClosing     = "recording_closing"   // stop sent or close awaited
	EventStopFailed  = "recording_stop_fail" // a stop was refused or lost
	EventFinal       = "recording_final"     // ready, empty, interrupted, missing
	EventRepaired    = "recording_repaired"  // its header was; Note has the hashes of both files
	EventAdopted     = "recording_adopted"   // found running after a gap
	EventLate        = "recording_late"      // it runs, and did not before although it should; Note.Since
	EventMoved       = "recording_moved"     // a masquerade took it along
	EventPaused      = "recording_paused"    // asked for; Data is Pause
	EventResumed     = "recording_resumed"   // asked for; Data is Pause
	EventMuted       = "recording_muted"     // the recorder hears nothing any more
	EventUnmuted     = "recording_unmuted"   // the recorder hears again
	EventHushed      = "recording_hushed"    // the hooked leg is alone: muted until it is not
	EventRenewed     = "recording_renewed"   // a new recorder goes on with the file; Note.Why is RenewParty, ...
	EventMuteFailed  = "recording_mute_fail" // a mute was refused or lost
	EventNotSilent   = "pause_not_silent"    // found in the file; Data is Pause
	EventMutedLate   = "pause_muted_late"    // its silence began late; Data is Pause

	EventOnDemand      = "on_demand"         // a wish was granted; Data is RequestData
	EventRefused       = "on_demand_refused" // it was not; Data is RequestData
	EventOnDemandEnded = "on_demand_ended"   // the claimant's leg is gone; Data is RequestData
)

// Why a recorder is renewed.
const (
	RenewParty  = "other_party" // somebody else is heard
	RenewUnhold = "unhold"      // the same phone may have numbered its packets anew
	RenewTone   = "tone"        // it was started while a tone was whispered to its leg
	RenewMoved  = "moved"       // a leg has gone to another bridge, and heard something there
)

// DecisionData is stored with every decision, "not recorded" included, so that
// it can be explained and replayed: dialplan.Decide(Input) is Decision.
type DecisionData struct {
	Talk     call.TalkID       `json:"talk"`
	Change   string            `json:"change"`
	Input    dialplan.Input    `json:"input"`
	Decision dialplan.Decision `json:"decision"`
	Claims   []Claim           `json:"claims"` // in force afterwards
	Records  bool              `json:"records"`
}

// Note is the data of the other events.
type Note struct {
	State   State  `json:"state,omitempty"`
	Hook    string `json:"hook,omitempty"`
	ID      string `json:"mixmonitor_id,omitempty"`
	Follows string `json:"follows,omitempty"`
	Why     string `json:"why,omitempty"`
	Cause   string `json:"cause,omitempty"`
	Detail  string `json:"detail,omitempty"`
	Bytes   int64  `json:"bytes,omitempty"`
	Samples int64  `json:"samples,omitempty"`
	SHA256  string `json:"sha256,omitempty"`
	// The file as its writer had left it, of EventRepaired.
	OriginalBytes  int64  `json:"original_bytes,omitempty"`
	OriginalSHA256 string `json:"original_sha256,omitempty"`

	// Stored, of EventIntent: it is in one transaction with the row. Older ones
	// were not.
	Stored bool `json:"stored,omitempty"`

	Since time.Time `json:"since,omitzero"` // of EventLate
	// Drift is by how many milliseconds the file is longer than its time.
	Drift int64 `json:"drift_ms,omitempty"`
}
