// Package orphans finds what does not belong together any more: files of
// recordings that no row knows, and rows whose file is gone. A file that was
// renamed or moved is recognised by its hash and put back; one that is named
// like ours becomes a recording again; all others are told, or moved aside.
// Nothing is ever removed, and nothing that was deleted comes back by itself.
//
// It may import internal/recorder, internal/audio and internal/gentle; rows are
// given to it as an interface.
package orphans

import (
	"context"
	"time"

	"callrecordd/internal/recorder"
)

// Mode is what is done with files that no row knows.
type Mode string

// The modes. Report does nothing. Repair puts renamed files back and brings rows
// in line with their files; Adopt also makes rows of files named by a uuid;
// Quarantine also moves all others aside.
const (
	Report     Mode = "report"
	Repair     Mode = "repair"
	Adopt      Mode = "adopt"
	Quarantine Mode = "quarantine"
)

// Verdict is what something was found to be.
type Verdict string

// The verdicts.
const (
	Unknown  Verdict = "unknown"  // no row knows the file
	Renamed  Verdict = "renamed"  // a row's file, under another name or in another folder
	Missing  Verdict = "missing"  // a row whose file is gone
	Found    Verdict = "found"    // a row that was missing, and whose file is there
	Returned Verdict = "returned" // the file of a recording that was deleted
	Away     Verdict = "away"     // a folder that is not there: nothing is said about its files
)

// Done is what was done about it.
type Done string

// What can be done. Nothing: the mode is Report, or there is nothing to do.
const (
	Nothing     Done = ""
	Adopted     Done = "adopted"
	PutBack     Done = "put_back"
	Quarantined Done = "quarantined"
	Marked      Done = "marked"   // the row is missing now
	Restored    Done = "restored" // the row is what it was
	Failed      Done = "failed"
)

// Finding is one of them.
type Finding struct {
	Verdict Verdict `json:"verdict"`
	Done    Done    `json:"done,omitempty"`
	Tenant  string  `json:"tenant_uuid"`
	// Path is below the root, empty if there is no file.
	Path string `json:"path,omitempty"`
	// Recording is the uuid of the row, empty if there is none.
	Recording string `json:"recording_uuid,omitempty"`
	Bytes     int64  `json:"bytes,omitempty"`
	Detail    string `json:"detail,omitempty"`
}

// Result is what a search has found.
type Result struct {
	Began    time.Time `json:"began"`
	Ended    time.Time `json:"ended"`
	Files    int       `json:"files"` // that were looked at
	Rows     int       `json:"rows"`
	Findings []Finding `json:"findings"`
	// More is how many findings are not listed.
	More int `json:"more,omitempty"`
}

// maxFindings bounds what is kept in memory and shown.
const maxFindings = 10_000

// Repo are the rows. Those of FileRows, FileRowsAfter and LostRows have uuid,
// tenant, state, size and hash only.
type Repo interface {
	// FileRows returns those of the recordings that there are.
	FileRows(ctx context.Context, uuids []string) (map[string]recorder.Recording, error)
	// FileRowsAfter returns recordings that must have a file, in the order of
	// their uuids, behind one, at most limit.
	FileRowsAfter(ctx context.Context, after string, limit int) ([]recorder.Recording, error)
	// LostRows returns recordings that are missing and whose hash is known.
	LostRows(ctx context.Context, limit int) ([]recorder.Recording, error)
	// Removing says whether the removal of a recording has not come to its end.
	Removing(ctx context.Context, uuid string) (bool, error)
	// MarkMissing makes a recording missing whose file is gone, unless it has
	// become something else meanwhile.
	MarkMissing(ctx context.Context, uuid, detail, actor string) (done bool, err error)
	// Restore gives a missing recording the state of its file again.
	Restore(ctx context.Context, r recorder.Recording, path, actor string) (done bool, err error)
	// AdoptFile makes a row of a file, unless there is one by now.
	AdoptFile(ctx context.Context, r recorder.Recording, path, actor string) (done bool, err error)
	// NoteFile stores that something was found or done.
	NoteFile(ctx context.Context, f Finding, actor string) error
}
