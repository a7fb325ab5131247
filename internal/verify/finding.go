package verify

import (
	"fmt"
	"time"
)

// Kind names what was found.
type Kind string

// The kinds of findings.
const (
	EntryAltered       Kind = "entry_altered"
	EntriesMissing     Kind = "entries_missing"
	EntryInserted      Kind = "entry_inserted"
	NotChained         Kind = "not_chained"
	Unsigned           Kind = "unsigned"
	LedgerCut          Kind = "ledger_cut"
	CheckpointMismatch Kind = "checkpoint_mismatch"
	CheckpointForged   Kind = "checkpoint_forged"
	AnchorMismatch     Kind = "anchor_mismatch"
	AnchorAhead        Kind = "anchor_ahead"
	AnchorForged       Kind = "anchor_forged"
	CDRAltered         Kind = "cdr_altered"
	CDRRemoved         Kind = "cdr_removed"
	CDRInserted        Kind = "cdr_inserted"
	CDRPutBack         Kind = "cdr_put_back"
	HoldAltered        Kind = "hold_altered"
	RecordingAltered   Kind = "recording_altered"
	RecordingRemoved   Kind = "recording_removed"
	RecordingInserted  Kind = "recording_inserted"
	RecordingPutBack   Kind = "recording_put_back"
	FileAltered        Kind = "file_altered"
	FileMissing        Kind = "file_missing"
	FileLeft           Kind = "file_left"
	FileUnreadable     Kind = "file_unreadable"
	ProofInvalid       Kind = "proof_invalid"
	Unproved           Kind = "unproved"
)

// Finding is one thing that does not fit. What names it: an entry, a CDR, a
// recording, a file, a checkpoint.
type Finding struct {
	Kind    Kind   `json:"kind"`
	What    string `json:"what"`
	ID      string `json:"id"`
	Meaning string `json:"meaning"`
	Do      string `json:"do"`
}

// advice is what to do about a kind.
func advice(k Kind) string {
	switch k {
	case HoldAltered, EntryAltered, EntriesMissing, EntryInserted, CheckpointMismatch, CDRAltered, CDRRemoved, CDRInserted, CDRPutBack,
		RecordingAltered, RecordingRemoved, RecordingInserted, RecordingPutBack:
		return "somebody or something other than callrecordd has written to the database: keep this copy as evidence, " +
			"find out who could write to it at that time, and compare with a backup that verifies clean"
	case NotChained:
		return "let the daemon run, which does it in the background, and verify again"
	case Unsigned:
		return "if the daemon cannot read its key (callrecordd status tells), mend that; if it can, the checkpoints were taken away: " +
			"compare with the anchor file, and with a backup that verifies clean"
	case LedgerCut, AnchorAhead, AnchorMismatch:
		return "this is not the database that was anchored, or not all of it: find the one that was in use, or a newer backup; " +
			"what is missing between can still be in the recordings' files and in archives"
	case CheckpointForged, AnchorForged:
		return "check that the public key is that of this PBX (callrecordd ledger key); if it is, the checkpoint was made by somebody else or damaged"
	case FileAltered:
		return "do not rely on this file: look for another copy in backups and archives, and find out who could write to it"
	case FileMissing:
		return "put it back from a backup or an archive, and find out who could delete it there"
	case FileLeft:
		return "it should not be there any more: find out who put it back, and remove it"
	case FileUnreadable:
		return "run this as a user who may read the files, and check the disk"
	case ProofInvalid:
		return "do not rely on this archive: ask for a new one, and compare"
	case Unproved:
		return "nothing here shows whether it is what was recorded: verify the database and the files themselves"
	}
	return ""
}

func find(k Kind, what, id, meaning string, args ...any) Finding {
	return Finding{Kind: k, What: what, ID: id, Meaning: fmt.Sprintf(meaning, args...), Do: advice(k)}
}

// moment is a time for people.
func moment(micros int64) string { return day(time.UnixMicro(micros)) }

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// Report is what was verified, and what was found.
type Report struct {
	Clean       bool  `json:"clean"`
	Entries     int64 `json:"entries"`
	Checkpoints int   `json:"checkpoints"`
	Anchors     int   `json:"anchors"`
	// SinceCheckpoint is how many entries are newer than the last checkpoint: the
	// chain alone covers them.
	SinceCheckpoint int64 `json:"entries_since_checkpoint"`
	CDRs            int64 `json:"cdrs"`
	Recordings      int64 `json:"recordings"`
	Files           int64 `json:"files"`
	Bytes           int64 `json:"bytes"`
	// Those from before the ledger: nothing proves them.
	UnprovedCDRs       int64     `json:"unproved_cdrs"`
	UnprovedRecordings int64     `json:"unproved_recordings"`
	Findings           []Finding `json:"findings"`
	// More is how many findings are left out: they would not fit into memory.
	More int64 `json:"more_findings,omitempty"`
}

// maxFindings bounds memory when everything is wrong.
const maxFindings = 10_000

func (r *Report) add(list ...Finding) {
	for _, f := range list {
		if len(r.Findings) >= maxFindings {
			r.More++
			continue
		}
		r.Findings = append(r.Findings, f)
	}
}
