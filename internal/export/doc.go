// Package export packs recordings into archives for download (cdr-api 7): a
// persisted queue that survives a crash, a few workers, archives that appear
// whole or not at all, and a mail with a link that opens this one export.
//
// Its work must not hurt calls: files are read and written past the page cache
// and with the lowest priority, and a disk that becomes full ends the export
// before it could end a recording.
//
// It must not import anything of ours but internal/recorder and internal/ledger.
// Storage, mail, tokens and proofs come through interfaces.
package export

import (
	"context"
	"errors"
	"fmt"
	"time"

	"callrecordd/internal/recorder"
)

// Errors that can be told apart.
var (
	// ErrNothing: no recording fits what was asked for.
	ErrNothing = errors.New("no recording to export")
	// ErrNotFound: there is no such export.
	ErrNotFound = errors.New("no such export")
)

// Status is where an export is in its life (cdr-api 7.5).
type Status string

// The states of an export.
const (
	Pending    Status = "pending"
	Processing Status = "processing"
	Finished   Status = "finished"
	Failed     Status = "error"
)

// Causes of a failed export.
const (
	CauseNoFile  = "no_file"  // not one of the files could be read
	CauseNoSpace = "no_space" // the disk would have become too full
	CauseFault   = "fault"    // the log tells
)

// Mail is what has become of the mail about an export.
type Mail string

// The states of a mail.
const (
	MailNone   Mail = "" // nobody asked, or it is too early
	MailDue    Mail = "due"
	MailSent   Mail = "sent"
	MailFailed Mail = "failed"
)

// Export is one archive, wanted or made. Files and Bytes say what was asked
// for, and once it is finished what is in it.
type Export struct {
	UUID, TenantUUID string
	UserUUID         string // who asked: a user or an account
	RequestedAt      time.Time
	RequestedBy      string // actor of events
	Status           Status
	Cause            string // of Failed
	Files            int
	Bytes            int64
	Missing          int
	Attempts         int
	// Email is who is told, Link the address of the API in the mail, with
	// prefix, such as https://pbx.example.com/api/call-logd.
	Email, Link string
	Mail        Mail
	MailTries   int
	MailAt      time.Time // not before
}

// Filename is the name under which an export is downloaded (cdr-api 7.5).
func (e Export) Filename() string {
	return fmt.Sprintf("%sUTC-%s.zip", e.RequestedAt.UTC().Format("2006-01-02T15_04_05"), e.UUID)
}

// Item is a recording that an export shall contain.
type Item struct {
	Recording recorder.Recording
	CDRID     int64
}

// Name is that of its entry in the archive (cdr-api 6.1 and 7.6).
func (it Item) Name() string {
	began := it.Recording.StartedAt
	if began.IsZero() {
		began = it.Recording.IntentAt
	}
	return fmt.Sprintf("%d/%sUTC-%d-%s.wav", it.CDRID, began.UTC().Format("2006-01-02T15_04_05"), it.CDRID, it.Recording.UUID)
}

// Filter selects exports; zero fields do not restrict.
type Filter struct {
	UUID    string
	Tenants []string
	Status  Status
	Open    bool      // pending or processing
	MailDue time.Time // whose mail is to be sent at that time
	Before  time.Time // requested before, and no longer open
	Limit   int
}

// Repo is the storage.
type Repo interface {
	// AddExportItems stores items from position first on, before the export.
	AddExportItems(ctx context.Context, uuid string, first int, items []Item) error
	// ExportItems returns them as they are now; what is gone has the state deleted.
	ExportItems(ctx context.Context, uuid string, first, limit int) ([]Item, error)
	CreateExport(ctx context.Context, e Export) error
	SaveExport(ctx context.Context, e Export) error
	DeleteExport(ctx context.Context, e Export, actor string) error
	// Exports returns them in the order in which they were asked for.
	Exports(ctx context.Context, f Filter) ([]Export, error)
	// ResetExports makes those pending that a crash has interrupted.
	ResetExports(ctx context.Context) error
}

// Tokens makes the token of a link: it opens the download of that export and
// nothing else.
type Tokens interface {
	LinkToken(ctx context.Context, e Export, lifetime time.Duration) (string, error)
}

// Mailer sends a mail. An error for which Permanent is true will not go away.
type Mailer interface {
	Send(ctx context.Context, to, subject, body string) error
	Permanent(err error) bool
}
