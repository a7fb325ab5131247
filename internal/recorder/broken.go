package recorder

import (
	"maps"
	"slices"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/call"
)

// What becomes of a talk whose recording breaks off, or cannot begin for the
// disk: another one goes on as soon as that can be, and what is on no file
// between them is noted.

// Broken says that a recording which was proved is not written any more; Since
// is when its file had last grown.
type Broken struct {
	UUID, Cause, Detail string
	Since               time.Time
}

func (Broken) input() {}

// StorageBack says that a tenant's folder takes files again. It answers
// AwaitStorage.
type StorageBack struct{ Tenant string }

func (StorageBack) input() {}

// AwaitStorage asks to be told when the folder of the row's tenant takes files.
// It may be asked for any number of times and is answered once.
type AwaitStorage struct{ Row Recording }

func (AwaitStorage) effect() {}

// StorageState says that a folder cannot be used, for a cause that Storage
// knows, or, without Detail, that it can again.
type StorageState struct{ Dir, Cause, Detail string }

// The causes of a recording that breaks off.
const (
	CauseFileGone     = "file_gone"     // deleted, renamed or replaced while it was written
	CauseRecorderGone = "recorder_gone" // Asterisk does not run the recorder any more
)

// The events of it.
const (
	EventBroken = "recording_broken" // Data is Note
	EventGap    = "recording_gap"    // of the one that goes on; Data is Gap
)

// Gap is what is on no file between two recordings of a talk.
type Gap struct {
	From    time.Time `json:"from"`
	To      time.Time `json:"to"`
	Cause   string    `json:"cause"`
	Detail  string    `json:"detail,omitempty"`
	Follows string    `json:"follows,omitempty"`
}

// broken ends a recording that is not written any more. One that is being
// stopped, renewed or hung up is on its way to an end of its own.
func (m *Machine) broken(now time.Time, r *rec, in Broken) {
	if !r.active() || r.startOpen || r.cutting() || r.gone || r.hanging {
		return
	}
	r.Cause, r.Detail, r.broke, r.alarmed = in.Cause, in.Detail, true, in.Cause
	m.log(now, EventBroken, r, Note{State: r.State, Hook: r.Hook, Cause: in.Cause, Detail: in.Detail})
	m.emit(Alarm{Recording: r.UUID, Cause: in.Cause, Detail: in.Detail, Broken: true})
	t := m.talks[r.talk]
	if t != nil && t.current != r.UUID {
		t = nil
	}
	m.leave(r)
	m.close(now, r, EventBroken)
	if t == nil {
		return
	}
	since := in.Since
	if since.IsZero() || since.After(now) || since.Before(r.StartedAt) {
		since = now
	}
	if t.gap.From.IsZero() {
		t.gap = Gap{From: since, Cause: in.Cause, Detail: in.Detail}
	}
	if Storage(in.Cause) {
		m.awaitStorage(t, r)
		return
	}
	m.ensure(now, t)
}

// explained: the file was closed because its channel was hung up.
func (t *talk) explained() { t.cutOff = "" }

// awaitStorage has no recorder started for the talk before the folder takes a
// file: each would only leave another row that is missing.
func (m *Machine) awaitStorage(t *talk, r *rec) {
	t.blocked, t.awaits = true, r.TenantUUID
	m.emit(AwaitStorage{Row: r.snapshot()})
}

// storageBack starts what has waited for a folder.
func (m *Machine) storageBack(now time.Time, in StorageBack) {
	for _, id := range slices.Sorted(maps.Keys(m.talks)) {
		t := m.talks[id]
		if t.awaits != in.Tenant {
			continue
		}
		t.awaits, t.blocked, t.attempt, t.firstAt = "", false, 0, time.Time{}
		m.ensure(now, t)
	}
}

// goesOn notes what is on no file, when the recording that goes on is proved.
func (m *Machine) goesOn(now time.Time, t *talk, r *rec) {
	g := t.gap
	if g.From.IsZero() {
		return
	}
	t.gap = Gap{}
	g.To, g.Follows = r.StartedAt, r.Follows
	if g.To.Before(g.From) {
		g.To = now
	}
	if r.Detail == "" {
		r.Detail = "the talk was not on file for " + g.To.Sub(g.From).Round(100*time.Millisecond).String() + " before: " + g.Cause
	}
	m.emit(Log{Event{At: now, Kind: EventGap, Recording: r.UUID, Call: r.Call(), Data: g}})
}

// Bare is a talk that somebody wants recorded and that is on no file.
type Bare struct {
	Talk    call.TalkID
	Parties []dialplan.Party
	Since   time.Time
	// Recording is the uuid of the last try, empty before the first.
	Recording string
}

// Bare returns the talks that are wanted on file and are not. A recorder that
// was started and has not proved itself yet counts for none.
func (m *Machine) Bare(now time.Time) []Bare {
	var out []Bare
	for _, id := range slices.Sorted(maps.Keys(m.talks)) {
		t := m.talks[id]
		r := m.recs[t.current]
		on := r != nil && r.active() && (r.proved || r.Silent)
		if on || len(t.claims) == 0 || t.paused() || t.suspended {
			t.bare = time.Time{}
			continue
		}
		if t.bare.IsZero() {
			t.bare = now
		}
		b := Bare{Talk: t.id, Parties: slices.Clone(t.parties), Since: t.bare, Recording: t.follows}
		if r != nil {
			b.Recording = r.UUID
		}
		out = append(out, b)
	}
	return out
}

// slack is by how much a file may differ from its time without a word. Shorter
// than that is usual where nobody sends (facts 1), and noted all the same.
const slack = 3 * time.Second

// timed compares a file with the clock. One that is too long has two writers,
// or the clock was set; one that is too short has a detail of its own if the
// disk is the cause.
func (m *Machine) timed(r *rec, in Finalised) {
	for _, c := range r.Claims {
		if c.Reason == dialplan.SafetyNetMade || c.Reason == dialplan.Resync {
			return // when it really began is not known
		}
	}
	switch {
	case in.Drift > slack:
		detail := "the file has " + in.Drift.Round(100*time.Millisecond).String() + " more audio than its time"
		if r.Detail == "" {
			r.Detail = detail
		}
		m.emit(Alarm{Recording: r.UUID, Cause: CauseTooLong, Detail: detail})
	case in.Drift < -slack && r.Detail == "":
		r.Detail = "the file has " + (-in.Drift).Round(100*time.Millisecond).String() +
			" less audio than its time: nothing was sent, or not all was written"
	}
}

// CauseTooLong is the cause of an alarm: a file has more audio than its time.
const CauseTooLong = "too_long"
