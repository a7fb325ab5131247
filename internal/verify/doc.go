// Package verify compares what there is with what the ledger proves
// (docs/ledger.md): the chain of the entries, the tree against all signed
// checkpoints and anchors, CDRs, recordings and their files; or an archive with
// the proofs in it. It only reads, and names what does not fit.
//
// It must not import anything of ours but internal/ledger and internal/recorder:
// the database comes through an interface.
package verify

import (
	"context"

	"callrecordd/internal/ledger"
	"callrecordd/internal/recorder"
)

// Extent is how far the ledger goes.
type Extent struct {
	LastID   int64 // of the last entry, 0 if there is none
	Numbered int64 // how many SQLite has ever numbered
}

// Fact is an entry about a recording.
type Fact struct {
	ID, At     int64 // At in microseconds UTC
	Kind, Data string
	Actor      string
}

// Recording is a row, with what the ledger says about it in the order of the
// entries.
type Recording struct {
	UUID, Path string // Path below the root of recordings
	Tenant     string
	State      recorder.State
	IntentAt   int64 // microseconds UTC
	SHA256     string
	Bytes      int64
	Samples    int64
	Rate       int
	CDR        int64  // to which it belongs, 0 if it belongs to none
	Row        string // digest of the rest of the row
	Facts      []Fact
}

// CDR has the digests of a CDR and of its talks.
type CDR struct {
	Digest string `json:"digest"`
	Talks  string `json:"talks"` // empty in older entries
}

// is says whether a row is what an entry says.
func (c CDR) is(row CDR) bool {
	return c.Digest == row.Digest && (c.Talks == "" || c.Talks == row.Talks)
}

// Database is what is read. Its methods may be used concurrently, those of the
// one that Snapshot gives may not.
type Database interface {
	// Snapshot calls fn with the database as it is at one moment.
	Snapshot(ctx context.Context, fn func(Database) error) error
	Extent(ctx context.Context) (Extent, error)
	// Entries calls each with the entries behind the id after, up to until, in
	// their order, and their hashes, nil if one has none. What each gets is valid
	// until it returns.
	Entries(ctx context.Context, after, until int64, each func(e *ledger.Entry, hash []byte) error) error
	// LinkAt returns the last link at or before the id.
	LinkAt(ctx context.Context, id int64) (ledger.Link, error)
	// Checkpoints calls each with the signed notes, by their size.
	Checkpoints(ctx context.Context, each func(size int64, signed string) error) error
	// CDRDigests returns the digests of those of the CDRs that are there.
	CDRDigests(ctx context.Context, ids []int64) (map[int64]CDR, error)
	// CDRIDs calls each with the ids of all CDRs.
	CDRIDs(ctx context.Context, each func(id int64)) error
	// Holds returns the CDRs under legal hold, with the reasons.
	Holds(ctx context.Context) (map[int64]string, error)
	// Vanished returns those of the recordings that have no row, though the last
	// thing that the ledger says of them is not that they were deleted.
	Vanished(ctx context.Context, uuids []string) ([]string, error)
	// Recordings returns those behind a uuid, at most limit, by their uuid.
	Recordings(ctx context.Context, after string, limit int) ([]Recording, error)
	// Recording returns one; ok is false if there is none.
	Recording(ctx context.Context, uuid string) (r Recording, ok bool, err error)
}
