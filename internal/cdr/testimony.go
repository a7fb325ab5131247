package cdr

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"callrecordd/internal/call"
)

// What a witness says of calls, and how it bears gaps.

// Lose notes that from now on nothing is seen.
func (w *Witness) Lose(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lost.IsZero() {
		w.lost = now
	}
}

// restarted ends all calls: when they were last known to go on.
func (w *Witness) restarted(now time.Time) {
	at := now
	if !w.lost.IsZero() {
		at = w.lost
	}
	for t := range w.calls {
		for _, c := range t.channels {
			if !c.ended {
				t.killed = true
				w.end(now, later(at, t.last), c, "", 0)
			}
		}
	}
	w.bridges, w.locals, w.lost = map[string]map[string]*witnessed{}, map[string]*witnessed{}, time.Time{}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Resync makes good what was not seen: channels of the picture that are new
// began, and others ended, in the gap. boot is the start of the Asterisk that is
// seen from now on; if it is another one, Restarted comes first.
func (w *Witness) Resync(now, boot time.Time, p call.Picture) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.boot = boot
	gap := w.lost
	w.lost = time.Time{}
	alive := map[string]call.Channel{}
	for _, c := range p.Channels {
		alive[c.ID] = c
	}
	for _, id := range slices.Sorted(maps.Keys(w.channels)) {
		c := w.channels[id]
		if c.ended {
			continue
		}
		if !gap.IsZero() {
			c.call.partial = true
		}
		if _, there := alive[id]; !there {
			w.end(now, later(gap, c.call.last), c, "", 0)
		}
	}
	for _, c := range p.Channels {
		if was := w.channels[c.ID]; was == nil || was.ended {
			w.begin(now, c, true)
		}
		w.apply(now, call.Event{At: now, Kind: call.ChannelChanged, Channel: c})
	}
	for _, b := range p.Bridges {
		for _, id := range b.Members {
			if c, ok := alive[id]; ok {
				w.apply(now, call.Event{At: now, Kind: call.BridgeEntered, Channel: c, Bridge: b.Bridge})
			}
		}
	}
}

// Read notes rows that the journal has.
func (w *Witness) Read(rows []Row) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, row := range rows {
		if row.UniqueID == "" {
			continue
		}
		c := w.channels[row.UniqueID]
		if c == nil {
			w.early.put(row.UniqueID, trace{ended: row.Type == eventChanEnd})
			continue
		}
		c.call.known = true
		if row.Type == eventChanEnd {
			c.filed, w.filed = true, later(w.filed, c.over)
		}
	}
}

// Missing returns the calls of real channels that were over StallTime before
// now and whose end is not in the journal. Rows are handed over until Told.
func (w *Witness) Missing(now time.Time) []Evidence {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []Evidence
	for t := range w.calls {
		if t.over.IsZero() || t.open > 0 {
			continue
		}
		age := now.Sub(t.over)
		lacking := t.lacking()
		if len(lacking) == 0 && age >= 2*StallTime || age >= forgetTime {
			if len(lacking) > 0 && !t.killed {
				w.never = later(w.never, t.over)
			}
			w.forget(t)
			continue
		}
		if len(lacking) == 0 || age < StallTime || t.killed && t.known {
			continue
		}
		e := Evidence{Channels: lacking, Over: t.over, Boot: t.boot, Stalled: !t.killed && w.filed.Before(t.over), call: t}
		if !t.known && !t.told {
			e.Rows = t.testify()
		}
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b Evidence) int { return cmp.Compare(a.Channels[0], b.Channels[0]) })
	return out
}

// Stalled says that the journal lacks the end of a call that is forgotten, and
// that no later one is in it: without calls nothing shows that it is written again.
func (w *Witness) Stalled() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.filed.Before(w.never)
}

// Told says that what was handed over is stored.
func (w *Witness) Told(list []Evidence) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range list {
		e.call.told = true
	}
}

// lacking are the real channels whose end the journal does not have.
func (t *testimony) lacking() []string {
	var out []string
	for _, c := range t.channels {
		if c.real && !c.filed {
			out = append(out, c.now.ID)
		}
	}
	slices.Sort(out)
	return out
}

func (w *Witness) forget(t *testimony) {
	delete(w.calls, t)
	for _, c := range t.channels {
		if w.channels[c.now.ID] == c {
			delete(w.channels, c.now.ID)
		}
		w.early.put(c.now.ID, trace{ended: true, forgotten: true}) // rows may still come
		if base, ok := localPair(c.born); ok && w.locals[base] == c {
			delete(w.locals, base) // its other half was never seen
		}
	}
}

// About returns the rows of the call that has one of the channels, if it was
// seen from its beginning to its end without a gap and has all of them.
func (w *Witness) About(uniqueids []string) ([]Row, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var t *testimony
	for _, id := range uniqueids {
		c := w.channels[id]
		if c == nil || t != nil && c.call != t {
			return nil, false
		}
		t = c.call
	}
	if t == nil || t.partial || t.open > 0 {
		return nil, false
	}
	return t.testify(), true
}

// testify returns the rows in their order, with the linkedids that their
// channels began with.
func (t *testimony) testify() []Row {
	linked := map[string]string{}
	for _, c := range t.channels {
		linked[c.now.ID] = c.linked()
	}
	rows := slices.Clone(t.rows)
	for i := range rows {
		rows[i].LinkedID = linked[rows[i].UniqueID]
	}
	slices.SortFunc(rows, func(a, b Row) int { return cmp.Compare(a.ID, b.ID) })
	return rows
}

// earlyRoom bounds the ids that are remembered of rows whose channel was not
// seen: the journal is often faster than the events, by milliseconds.
const earlyRoom = 4096

// early are uniqueids of rows whose channel is not, or no longer, known.
type early struct {
	ids   map[string]trace
	order []string
}

// trace is what is remembered of such a channel.
type trace struct {
	ended     bool // its end is among the rows that were read
	forgotten bool // its call has been over for longer than StallTime
}

func newEarly() early { return early{ids: map[string]trace{}} }

func (e *early) put(id string, what trace) {
	was, there := e.ids[id]
	e.ids[id] = trace{ended: was.ended || what.ended, forgotten: was.forgotten || what.forgotten}
	if there {
		return
	}
	if e.order = append(e.order, id); len(e.order) > earlyRoom {
		delete(e.ids, e.order[0])
		e.order = e.order[1:]
	}
}

func (e *early) take(id string) (read, ended bool) {
	was, read := e.ids[id]
	return read, was.ended
}

// over says whether the channels ended so long ago that their ends should be in
// the journal.
func (w *Witness) over(now time.Time, uniqueids ...map[string]struct{}) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, ids := range uniqueids {
		for id := range ids {
			c := w.channels[id]
			if c == nil && w.early.ids[id].forgotten {
				continue // a follower that was slow, or failed for a while, asks late
			}
			if c == nil || c.call.open > 0 || now.Sub(c.call.over) < StallTime {
				return false
			}
		}
	}
	return true
}

// endStalled ends the calls whose last rows the journal lacks although they have
// been over for a while.
func (f *Follower) endStalled() {
	now := f.cfg.Now()
	if f.cfg.Witness == nil || f.behind || now.Sub(f.asked).Abs() < time.Second {
		return
	}
	f.asked = now
	for g := range f.book.groups {
		if len(g.open)+len(g.closed) > 0 && f.cfg.Witness.over(now, g.open, g.closed) {
			g.gone = true
		}
	}
}

// complete has a call of which the journal lacks the end told by the witness, if
// that saw all of it: rows were lost on a full disk, or with an Asterisk that
// was killed. Should they come after all, the CDR is derived from them again.
func (f *Follower) complete(c *CDR, g *group, lookup Lookup) {
	if f.cfg.Witness == nil || len(g.open) == 0 {
		return
	}
	rows, ok := f.cfg.Witness.About(c.Uniqueids)
	if !ok {
		return
	}
	seen, ok := Derive(rows, lookup, f.cfg.Technologies)
	if !ok {
		return
	}
	seen.LinkedIDs, seen.Uniqueids = union(c.LinkedIDs, seen.LinkedIDs), union(c.Uniqueids, seen.Uniqueids)
	seen.Source, seen.ConversationID = SourceLive, seen.LinkedIDs[0]
	*c = seen
}

func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// DeriveSeen makes the CDR of a call that the journal lacks. ok is false for a
// call that gets none.
func DeriveSeen(e Evidence, lookup Lookup, technologies []string) (c CDR, ok bool) {
	if len(e.Rows) == 0 {
		return CDR{}, false
	}
	c, ok = Derive(e.Rows, lookup, technologies)
	c.Source, c.Journal = SourceLive, JournalRange{Boot: e.Boot}
	return c, ok
}
