// Package backup copies all that an installation keeps into a folder, checks
// such a copy, and puts it back: the database as it was at one moment, the
// recordings that it names, configuration and keys, and a manifest with the
// SHA-256 of each, which is written last.
//
// It imports internal/recorder, for states and paths of recordings, and nothing
// else of ours. The database comes through Database.
package backup

import (
	"context"
	"errors"
	"time"

	"callrecordd/internal/recorder"
)

// Errors that can be told apart.
var (
	// ErrIncomplete: the backup was interrupted before its manifest was written.
	ErrIncomplete = errors.New("the backup is incomplete: it was interrupted; running it again into the same folder goes on with it")
	// ErrNone: there is no backup in the folder.
	ErrNone = errors.New("there is no backup in this folder")
	// ErrForeign: the folder has other things in it.
	ErrForeign = errors.New("the folder is not empty and holds no backup; choose an empty one")
	// ErrOther: the folder has the backup of another database, or of a later one.
	// To go on would remove from it what this database does not know.
	ErrOther = errors.New("the folder has a backup with events that this database lacks: it is of another one, or an older one was put in its place; " +
		"choose another folder, and keep this one")
	// ErrRunning: another backup goes into the same folder.
	ErrRunning = errors.New("another backup into this folder is running")
	// ErrDamaged: the backup is not what its manifest says.
	ErrDamaged = errors.New("the backup is damaged")
	// ErrExists: a restore would overwrite something.
	ErrExists = errors.New("something else is there already")
)

// Facts are what a copy of the database says about itself, and so from where on
// a restored one goes on.
type Facts struct {
	Schema     int64 `json:"schema"`
	CDRs       int64 `json:"cdrs"`
	Recordings int64 `json:"recordings"`
	// LastEvent is the newest row of the event log, the ledger's head.
	LastEvent   int64     `json:"last_event"`
	LastEventAt time.Time `json:"last_event_at,omitzero"`
	// Head is the hash of that row, in hex, and Checkpoint the newest signed note
	// about the ledger; empty if there is none.
	Head       string `json:"ledger_head,omitempty"`
	Checkpoint string `json:"ledger_checkpoint,omitempty"`
	// Journal is the id of Asterisk's journal, JournalPosition the row up to which
	// its calls are in the database. Later ones are derived after a restore.
	Journal         int64 `json:"journal"`
	JournalPosition int64 `json:"journal_position"`
}

// Media is a recording of the copied database that has a file or may have one.
type Media struct {
	UUID   string
	Path   string // below the recordings' root
	State  recorder.State
	Bytes  int64
	SHA256 string // empty if not known yet
}

// final says that nobody writes to the file any more.
func (m Media) final() bool { return m.State == recorder.Ready || m.State == recorder.Empty }

// Database is the database as files.
type Database interface {
	// Copy makes a copy as of one moment; the program that has it open goes on.
	Copy(ctx context.Context, to string, progress func(done, all int)) error
	// Facts reads what a copy says about itself.
	Facts(ctx context.Context, file string) (Facts, error)
	// Continues says whether a copy is of the database of which an earlier copy
	// said that, with all events that were in that one.
	Continues(ctx context.Context, file string, before Facts) (bool, error)
	// Sound has SQLite check a copy.
	Sound(ctx context.Context, file string) error
	// Media yields the recordings of a copy that may have files, by path, and those
	// whose file was there and is missing.
	Media(ctx context.Context, file string, yield func(Media) error) error
	// Now says what the database, which goes on, has by now of a recording: that its
	// file was removed, or the SHA-256 that it has.
	Now(ctx context.Context, uuid string) (sha256 string, removed bool, err error)
}
