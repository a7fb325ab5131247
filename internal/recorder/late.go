package recorder

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// What is recorded late is better than not at all, and the part that is missing
// is on record.

// lack is since when a talk that is to be recorded has not been, and why.
type lack struct {
	since time.Time
	cause string
}

// lacks notes that the talk is not recorded from then on.
func (t *talk) lacks(since time.Time, cause string) {
	if t.lack.since.IsZero() {
		t.lack = lack{since, cause}
	}
}

// noteLate is told when a recording is known to run: what its talk lacked before
// is over.
func (m *Machine) noteLate(r *rec) {
	t := m.talks[r.talk]
	if t == nil || t.current != r.UUID || t.lack.since.IsZero() {
		return
	}
	was := t.lack
	t.lack = lack{}
	from := r.StartedAt
	if from.IsZero() {
		from = r.IntentAt
	}
	missing := from.Sub(was.since)
	if missing < 2*m.cfg.Recheck { // as long as it takes to go on after a recorder's end
		return
	}
	detail := fmt.Sprintf("not recorded for %s before: %s", missing.Round(100*time.Millisecond), was.cause)
	if was.cause == CauseDaemonDown {
		detail = fmt.Sprintf("found going on; what was said before, for %s at the most, is not recorded", missing.Round(100*time.Millisecond))
	}
	if r.Detail == "" {
		r.Detail = detail
	}
	m.log(m.now, EventLate, r, Note{Cause: was.cause, Detail: detail, Since: was.since})
}

// jitter is by how much a file may be longer than its time for no reason.
const jitter = 100 * time.Millisecond

// heardLate corrects when a recorder began by what is in its file: we may have stood
// still, or Asterisk have taken its time, between its start and its answer. It cannot
// have begun before it was asked to.
func (r *rec) heardLate(in *Finalised) {
	if in.Drift < jitter || r.StartedAt.IsZero() {
		return
	}
	if early := min(in.Drift, r.StartedAt.Sub(r.IntentAt)); early >= jitter {
		r.StartedAt = r.StartedAt.Add(-early)
		in.Drift -= early
	}
}

// able tries again what was given up, more and more rarely while it still fails.
// What waits for a folder is told by StorageBack.
func (m *Machine) able(now time.Time) {
	for _, id := range slices.Sorted(maps.Keys(m.talks)) {
		t := m.talks[id]
		if !t.blocked || t.awaits != "" || len(t.claims) == 0 || m.blind || now.Sub(t.blockedAt) < m.patience(m.cfg.StartRetry, t.revived) {
			continue
		}
		t.revived++
		t.blocked = false
		m.ensure(now, t)
	}
}
