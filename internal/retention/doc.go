// Package retention removes what need not be kept any longer, and keeps what
// must be: media that a user deletes, recordings, CDRs and exports that have
// become too old (cdr-api 6.6, 6.7 and 8), and calls under legal hold.
//
// A file is removed in three steps, so that neither a crash nor a refusal of
// the file system loses anything: the recording is marked deleted, the file is
// unlinked, and that it is gone is noted. What was begun is taken up again at
// the next start.
//
// It must not import anything of ours but internal/recorder. Storage comes
// through Repo.
package retention

import (
	"context"
	"errors"
	"fmt"
	"time"

	"callrecordd/internal/recorder"
)

// Errors that can be told apart.
var (
	ErrNotFound = errors.New("not found")
	// ErrNotFinal: the recording has not ended, its file is still written to.
	ErrNotFinal = errors.New("the recording has not ended yet")
	// ErrFile: the file could not be removed. The recording is as it was.
	ErrFile = errors.New("the file cannot be removed")
)

// HeldError says that a CDR is under legal hold.
type HeldError struct {
	CDRID  int64
	Reason string
}

// Error implements error.
func (e *HeldError) Error() string {
	return fmt.Sprintf("CDR %d is under legal hold: %s", e.CDRID, e.Reason)
}

// Why a file was removed, as events say it.
const (
	WhyRequest   = "request"
	WhyRetention = "retention"
)

// Hold keeps a CDR and its recordings from being removed.
type Hold struct {
	CDRID  int64     `json:"cdr_id"`
	Reason string    `json:"reason"`
	By     string    `json:"by"`
	At     time.Time `json:"at"`
}

// Policy is for how many days a tenant keeps things: nil is the default, 0 for
// ever.
type Policy struct {
	CDRDays       *int `json:"cdr_days"`
	ExportDays    *int `json:"export_days"`
	RecordingDays *int `json:"recording_days"`
}

// Wrong says which field of a policy cannot be and why; "" if all can.
func (p Policy) Wrong() (field, why string) {
	for _, x := range []struct {
		name string
		days *int
	}{{"cdr_days", p.CDRDays}, {"export_days", p.ExportDays}, {"recording_days", p.RecordingDays}} {
		if x.days != nil && (*x.days < 0 || *x.days > MaxDays) {
			return x.name, fmt.Sprintf("must be 0 to %d", MaxDays)
		}
	}
	// 0 is for ever; a recording cannot outlive its CDR.
	if c, r := p.CDRDays, p.RecordingDays; c != nil && r != nil && *c > 0 && (*r == 0 || *r > *c) {
		return "recording_days", "must not be longer than cdr_days: a recording goes with its CDR"
	}
	return "", ""
}

// Days is a Policy with the defaults filled in.
type Days struct{ CDR, Export, Recording int }

// Or fills in defaults. That of CDRs is no reason to remove recordings before
// the time that somebody has chosen for them: they go with their CDR.
func (p Policy) Or(d Days) Days {
	or := func(v *int, def int) int {
		if v == nil {
			return def
		}
		return *v
	}
	days := Days{or(p.CDRDays, d.CDR), or(p.ExportDays, d.Export), or(p.RecordingDays, d.Recording)}
	if p.CDRDays == nil && p.RecordingDays != nil && days.CDR > 0 {
		if days.CDR = max(days.CDR, days.Recording); days.Recording == 0 {
			days.CDR = 0
		}
	}
	return days
}

// Removal is a file that is to be removed.
type Removal struct {
	Recording  recorder.Recording // as it was before
	Actor, Why string
}

// Place is where a search for due recordings or CDRs goes on: behind it.
type Place struct {
	At   time.Time
	UUID string
	ID   int64
}

// Media are the recordings of a CDR, the first one first.
type Media struct {
	UUIDs []string
	Hold  *string // the reason, if the CDR is under legal hold
}

// DueRecording is one whose media is too old.
type DueRecording struct {
	UUID  string
	Bytes int64
	Held  bool
	Next  Place
}

// DueCDR is one that is too old.
type DueCDR struct {
	ID   int64
	Held bool
	// Media are its recordings that still have their file.
	Media []DueRecording
	Next  Place
}

// Begun is what became of one recording that was to be marked.
type Begun struct {
	Removal
	Gone bool // it was deleted before
	// Err is why it may not be removed: ErrNotFound, ErrNotFinal or *HeldError.
	Err error
}

// Ended is a removal with its outcome. A Failure makes the recording again what
// it was; empty, the file is gone.
type Ended struct {
	Removal
	Failure string
}

// Repo is the storage.
type Repo interface {
	// BeginRemovals marks recordings deleted, in one short transaction: those at
	// the beginning of uuids, at least one. What it returns is in their order.
	BeginRemovals(ctx context.Context, uuids []string, actor, why string) ([]Begun, error)
	EndRemovals(ctx context.Context, ended []Ended) error
	// Removals are those that were begun and not ended.
	Removals(ctx context.Context) ([]Removal, error)

	Policy(ctx context.Context, tenant string) (Policy, error)
	DueRecordings(ctx context.Context, tenant string, before time.Time, after Place, limit int) ([]DueRecording, error)
	DueCDRs(ctx context.Context, tenant string, before time.Time, after Place, limit int) ([]DueCDR, error)
	// DeleteCDRs deletes rows in short transactions and returns how many: those
	// that have been held meanwhile, or have media, stay.
	DeleteCDRs(ctx context.Context, ids []int64, actor string) (int, error)
}
