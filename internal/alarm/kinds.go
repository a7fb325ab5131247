// Package alarm keeps what a person should know now: what is wrong, since when,
// how often, what shows it, and what to do. Every alarm of the daemon goes
// through one Board, which tells each change to whoever logs, stores and counts.
//
// It imports nothing of ours: who finds something wrong says so to the Board.
// docs/alarms.md describes the kinds.
package alarm

import "time"

// Kind is what is wrong.
type Kind string

// The kinds. Those that last are raised when something is wrong and cleared
// when it is right again; the others are of something that has happened.
const (
	EventsAway     Kind = "asterisk_events_away"
	ManagerAway    Kind = "asterisk_manager_away"
	RecorderLacks  Kind = "recorder_lacking"
	JournalStalled Kind = "journal_stalled"
	Database       Kind = "database_degraded"
	StorageGone    Kind = "storage_gone"
	StorageStalled Kind = "storage_stalled"
	DiskLow        Kind = "disk_low"
	DiskCritical   Kind = "disk_critical"

	RecordingFailed Kind = "recording_failed"
	RecordingBroken Kind = "recording_broken"
	StopFailed      Kind = "recorder_stop_failed"
	PauseFailed     Kind = "pause_failed"
	PauseNotSilent  Kind = "pause_not_silent"
	MediaTime       Kind = "media_time"
	Unattached      Kind = "recording_unattached"
	MustRecord      Kind = "must_record_unrecorded"
	JournalGap      Kind = "journal_gap"
	FileUnknown     Kind = "file_unknown"
	FileMissing     Kind = "file_missing"
	FileReturned    Kind = "file_returned"

	LedgerUnsigned   Kind = "ledger_unsigned"
	LedgerUnanchored Kind = "ledger_unanchored"
	LedgerShorter    Kind = "ledger_shorter"
)

// Severity is how much an alarm matters.
type Severity string

// The severities. Critical: calls are not recorded, or were not. Warning: they
// are, and somebody should look before that changes.
const (
	Warning  Severity = "warning"
	Critical Severity = "critical"
)

// Info is what is known of a kind.
type Info struct {
	Kind     Kind
	Severity Severity
	// Lasts says that it is a state, cleared by its end. Others are cleared when
	// none has come for a while.
	Lasts bool
	// Patience is how long a state must last before it is an alarm.
	Patience time.Duration
	Means    string // one sentence
	Do       string // what a person does next
}

// Kinds are all of them.
func Kinds() []Info {
	return []Info{
		{
			EventsAway, Critical, true, 5 * time.Second,
			"No events come from Asterisk: calls that begin now are recorded when the connection is back.",
			"See that Asterisk runs and that asterisk.ari_url, ari_user and the password are right; callrecordd check names the fault.",
		},
		{
			ManagerAway, Critical, true, 5 * time.Second,
			"Asterisk's manager cannot be reached: no recorder can be started or stopped.",
			"See that manager.conf has our user and listens on asterisk.ami_address; callrecordd check names the fault.",
		},
		{
			RecorderLacks, Critical, true, 0,
			"Asterisk lacks something without which it cannot record.",
			"Do what the detail says, such as loading app_mixmonitor.so or giving the manager user the class system.",
		},
		{
			JournalStalled, Critical, true, 10 * time.Second,
			"Asterisk writes no journal, or it cannot be read: calls get no CDR.",
			"Look at the detail and at the disk of asterisk.journal; callrecordd check tries it with a call.",
		},
		{
			Database, Critical, true, 5 * time.Second,
			"The database of the daemon takes no writes. Calls are recorded all the same; what is to be stored waits.",
			"Look at the disk of state.dir: full, read-only, or another program that holds the file.",
		},
		{
			StorageGone, Critical, true, 0,
			"A folder of the recordings is not there, or not that of before.",
			"Mount the disk, or put the folder back; calls are recorded again as soon as it is there.",
		},
		{
			StorageStalled, Critical, true, 0,
			"The disk of the recordings does not answer. Recorders are not stopped meanwhile, because that would freeze calls.",
			"Look at the disk and at the kernel's log. Recordings belong on a local file system.",
		},
		{
			DiskLow, Warning, true, 0,
			"A disk has little room, by what is free or by how many hours are left at the present rate.",
			"Make room or set a shorter retention (callrecordd retention). Nothing is removed by itself to make room.",
		},
		{
			DiskCritical, Critical, true, 0,
			"A disk is nearly full: recordings, CDRs or the journal will be lost soon.",
			"Make room now. Nothing is removed by itself to make room.",
		},
		{
			RecordingFailed, Critical, false, 0,
			"A recording that had to be there is missing, or was interrupted.",
			"The detail has the cause; callrecordd cdr why CALL tells all that happened.",
		},
		{
			RecordingBroken, Critical, false, 0,
			"A recording broke off in the middle of a call. Another one goes on as soon as that is possible.",
			"The detail has the cause: who has deleted, renamed or closed the file? The gap is in the new recording's events.",
		},
		{
			StopFailed, Warning, false, 0,
			"A recorder could not be stopped and is tried again; it may hear more than it should.",
			"Look at Asterisk's manager and at the disk of the recordings.",
		},
		{
			PauseFailed, Critical, false, 0,
			"A pause, or its end, could not be carried out: words may be on file, or be missing.",
			"The detail has the cause. Listen to the recording before it is given to anybody.",
		},
		{
			PauseNotSilent, Critical, false, 0,
			"There is sound in a file where a pause is.",
			"Listen to the recording; remove it if it has what was not to be recorded (a card number).",
		},
		{
			MediaTime, Warning, false, 0,
			"A file has more audio than its call lasted.",
			"Look for a second recorder in the dialplan that writes to the same file, and at the clock of the machine.",
		},
		{
			Unattached, Warning, false, 0,
			"A recording has no CDR ten minutes after its end.",
			"Look at the state of the journal (callrecordd status).",
		},
		{
			MustRecord, Critical, false, 0,
			"A user who must be recorded talks, and is not recorded.",
			"Do what the other alarms say. With alarms.hang_up the call is ended.",
		},
		{
			JournalGap, Critical, false, 0,
			"The journal of calls has a gap: calls may lack their CDR.",
			"The detail says what has happened to the file.",
		},
		{
			FileUnknown, Warning, false, 0,
			"There is a file among the recordings that no recording knows.",
			"callrecordd recording orphans shows it; --repair, --adopt and --quarantine deal with it.",
		},
		{
			FileMissing, Critical, false, 0,
			"The file of a recording that was ready is not there any more.",
			"Find out who has removed it, and put it back from a backup; callrecordd recording orphans recognises it, whatever its name.",
		},
		{
			FileReturned, Warning, false, 0,
			"The file of a recording that was deleted is there again, perhaps from a backup.",
			"Remove it if it had to be deleted. It is not served, and not resurrected by itself.",
		},
		{
			LedgerUnsigned, Warning, true, time.Minute,
			"No checkpoint of the ledger can be signed: what happens now can be altered afterwards without being found.",
			"The detail has the cause. Restore ledger.key from a backup, or see that the daemon can read it.",
		},
		{
			LedgerUnanchored, Warning, true, time.Minute,
			"The ledger's checkpoints do not reach the anchor file.",
			"See that ledger.anchor can be appended to: the disk, the mode, ReadWritePaths= of the service.",
		},
		{
			LedgerShorter, Critical, false, 0,
			"The database is older than the anchor of its ledger: its newest entries are gone.",
			"If nobody has restored a backup somebody has put back an old database; callrecordd verify names what is missing.",
		},
	}
}

// Of returns what is known of a kind; false if there is no such kind.
func Of(k Kind) (Info, bool) {
	for _, i := range Kinds() {
		if i.Kind == k {
			return i, true
		}
	}
	return Info{}, false
}
