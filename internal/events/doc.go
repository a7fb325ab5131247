// Package events is what others are told: the names, the filter, and the feed
// that brings what the store has committed to those who follow it, in its
// order. Nothing is announced that is not stored, and whoever has seen an
// event's id can go on behind it. docs/events.md describes the events.
//
// It imports nothing of ours: internal/app makes events of stored rows.
package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The names. Those of Wazo's bus have its payloads, with keys of ours besides.
const (
	RecordingStarted   = "recording_started"
	RecordingPaused    = "recording_paused"
	RecordingResumed   = "recording_resumed"
	RecordingStopped   = "recording_stopped"
	RecordingReady     = "recording_ready"  // ours
	RecordingFailed    = "recording_failed" // ours
	CallLogCreated     = "call_log_created"
	CallLogUserCreated = "call_log_user_created"
	CallLogUpdated     = "call_log_updated" // ours: derived anew
	ExportCreated      = "call_logd_export_created"
	ExportUpdated      = "call_logd_export_updated"
	AlarmRaised        = "alarm_raised"  // ours
	AlarmCleared       = "alarm_cleared" // ours

	AnnouncementsEdited = "recordings_announcements_edited"
)

// Names are all of them.
func Names() []string {
	return []string{
		RecordingStarted, RecordingPaused, RecordingResumed, RecordingStopped, RecordingReady, RecordingFailed,
		CallLogCreated, CallLogUserCreated, CallLogUpdated, ExportCreated, ExportUpdated, AlarmRaised, AlarmCleared,
		AnnouncementsEdited,
	}
}

// Any is the name that stands for all.
const Any = "*"

// Event is an event as it is sent.
type Event struct {
	// ID is its place, as a text that Parse reads.
	ID          Position        `json:"id"`
	Name        string          `json:"name"`
	OriginUUID  string          `json:"origin_uuid"`
	TenantUUID  string          `json:"tenant_uuid"`
	Timestamp   time.Time       `json:"timestamp"`
	RequiredACL string          `json:"required_acl"`
	Data        json.RawMessage `json:"data"`
	// UserUUID is the user it is about, empty if nobody is.
	UserUUID string `json:"-"`
}

// Access is what may be seen of an event of that name about that user, or none.
func Access(name, userUUID string) string {
	switch name {
	case CallLogCreated:
		return "events.call_log.created"
	case CallLogUpdated:
		return "events.call_log.updated"
	case CallLogUserCreated:
		return "events.call_log.user." + userUUID + ".created"
	case ExportCreated:
		return "events.call_logd.export.created"
	case ExportUpdated:
		return "events.call_logd.export.updated"
	case AlarmRaised:
		return "events.alarms.raised"
	case AlarmCleared:
		return "events.alarms.cleared"
	case AnnouncementsEdited:
		return "events.config.recordings.announcements.edited"
	}
	if userUUID == "" {
		userUUID = "unknown"
	}
	return "events.calls." + userUUID
}

// Position is a place in the feed: a stored row, and one of the events that it
// stands for.
type Position struct {
	Row  int64
	Part int
}

// ErrPosition is a text that is no Position.
var ErrPosition = errors.New("no id of an event")

// String is the form that Parse reads.
func (p Position) String() string { return strconv.FormatInt(p.Row, 10) + "-" + strconv.Itoa(p.Part) }

// MarshalText implements encoding.TextMarshaler.
func (p Position) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *Position) UnmarshalText(text []byte) (err error) {
	*p, err = Parse(string(text))
	return err
}

// Parse reads a Position.
func Parse(text string) (Position, error) {
	row, part, ok := strings.Cut(text, "-")
	r, err := strconv.ParseUint(row, 10, 63)
	n, err2 := strconv.ParseUint(part, 10, 31)
	p := Position{int64(r), int(n)}
	if !ok || err != nil || err2 != nil || p.String() != text {
		return Position{}, fmt.Errorf("%w: %q", ErrPosition, text)
	}
	return p, nil
}

// Before says whether p comes before q.
func (p Position) Before(q Position) bool {
	return p.Row < q.Row || p.Row == q.Row && p.Part < q.Part
}

// Access list of whoever follows.
type allower interface{ Allows(required string) bool }

// Filter is what somebody may and wants to see.
type Filter struct {
	Tenants []string
	ACL     allower
	Names   []string // Any is all
	// UserUUID restricts to events about that user; empty does not.
	UserUUID string
}

// Passes says whether the event is for them. A denial in the ACL wins, as
// everywhere.
func (f Filter) Passes(e Event) bool {
	return slices.Contains(f.Tenants, e.TenantUUID) &&
		(slices.Contains(f.Names, Any) || slices.Contains(f.Names, e.Name)) &&
		(f.UserUUID == "" || f.UserUUID == e.UserUUID) &&
		f.ACL.Allows(e.RequiredACL)
}
