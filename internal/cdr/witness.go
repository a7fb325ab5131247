package cdr

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"callrecordd/internal/call"
)

// Witness is the second source of CDRs: it keeps what Asterisk's events have
// told of each call, as the rows that the journal should have of it, until the
// journal has them. What the journal lacks (design 9: its disk was full, its
// module not loaded, Asterisk killed before it wrote) can be derived from it.
//
// It is fed with the events of the call model (Apply, Resync) and with the rows
// that the follower reads (Read), and may be used concurrently. Times named now
// are those of its owner's clock; those of events are Asterisk's.
type Witness struct {
	technologies []string

	mu       sync.Mutex
	channels map[string]*witnessed // by uniqueid
	bridges  map[string]map[string]*witnessed
	locals   map[string]*witnessed // first half that was seen of a Local pair, by the name without its half
	calls    map[*testimony]struct{}
	sequence int       // of the next row
	lost     time.Time // since when nothing is seen, zero while it is
	filed    time.Time // when the end of a channel was last read
	boot     time.Time // of the Asterisk that is seen
	early    early     // rows that were read before their channel was seen
}

// witnessed is a channel.
type witnessed struct {
	now    call.Channel
	call   *testimony
	after  *witnessed // whose linkedid it began with, nil for its own
	real   bool
	up     bool
	app    string // listed application that runs
	bridge string
	ended  bool
	filed  bool // its CHAN_END is in the journal
}

// testimony is a call.
type testimony struct {
	channels []*witnessed
	rows     []Row // LinkedID is set when they are asked for
	open     int   // channels that live
	partial  bool  // its beginning, or something in it, was not seen
	killed   bool  // Asterisk died with it
	known    bool  // the journal has a row of it
	told     bool  // it is stored
	boot     time.Time
	last     time.Time
	over     time.Time // when its last channel was seen to end
}

// Evidence is a call that is over and that the journal lacks, or has in part.
type Evidence struct {
	// Channels are the uniqueids of the real channels whose end is not in the
	// journal.
	Channels []string
	// Rows are those that the journal should have. Without any the journal has
	// begun to tell of the call and its follower derives it.
	Rows []Row
	Over time.Time
	// Boot is the start of the Asterisk that had the call.
	Boot time.Time
	// Stalled: no later end of a channel is in the journal either.
	Stalled bool

	call *testimony
}

const (
	// StallTime is how long the end of a channel may take into the journal
	// (design 9).
	StallTime = 10 * time.Second
	// forgetTime is how long a call is kept for rows that come late.
	forgetTime = 10 * time.Minute
)

// NewWitness returns one that has seen nothing. Without technologies those of
// call.RealTechnologies are real.
func NewWitness(technologies []string) *Witness {
	if len(technologies) == 0 {
		technologies = call.RealTechnologies()
	}
	return &Witness{
		technologies: technologies, channels: map[string]*witnessed{}, bridges: map[string]map[string]*witnessed{},
		locals: map[string]*witnessed{}, calls: map[*testimony]struct{}{}, early: newEarly(),
	}
}

// Apply notes an event.
func (w *Witness) Apply(now time.Time, ev call.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.apply(now, ev)
}

func (w *Witness) apply(now time.Time, ev call.Event) {
	if ev.Kind == call.Restarted {
		w.restarted(now)
		return
	}
	w.see(ev, ev.Channel)
	w.see(call.Event{At: ev.At, Kind: call.ChannelChanged}, ev.Peer)
	c := w.channels[ev.Channel.ID]
	switch ev.Kind {
	case call.BridgeEntered:
		w.enter(ev, c)
	case call.BridgeLeft:
		w.leave(ev.At, c)
	case call.DialBegun:
		if p := w.channels[ev.Peer.ID]; p != nil && c != nil && !p.ended {
			if p != c && p.after == nil && !p.leads(c) {
				p.after = c
			}
			w.join(c.call, p.call)
		}
	case call.ChannelEnded:
		if c != nil && !c.ended {
			w.end(now, ev.At, c, ev.Channel.Name, ev.Cause)
		}
	case call.ChannelStarted, call.ChannelChanged, call.DialAnswered, call.PickedUp, call.Restarted:
	}
}

// see brings a channel up to date. One that nobody has announced is not taken
// up: Asterisk's last words about a channel may come after its end.
func (w *Witness) see(ev call.Event, snap call.Channel) {
	c := w.channels[snap.ID]
	if ev.Kind == call.ChannelStarted && (c == nil || c.ended) {
		c = w.begin(ev.At, snap, false)
	}
	if c == nil || c.ended || strings.Contains(snap.Name, transientNameMarker) {
		return
	}
	c.now = snap
	if snap.Up && !c.up {
		c.up = true
		w.write(ev.At, c, Row{Type: eventAnswer})
	}
	if app := strings.ToLower(snap.App); app != c.app && (listed(app) || c.app != "") {
		if c.app != "" {
			w.write(ev.At, c, Row{Type: eventAppEnd, App: c.app})
		}
		if c.app = ""; listed(app) {
			c.app = app
			w.write(ev.At, c, Row{Type: eventAppStart})
		}
	}
}

// listed are the applications that the journal tells of (design 4).
func listed(app string) bool {
	switch app {
	case appDial, appQueue, appVoicemail, appConference, "park", "page", "pickup", "pickupchan":
		return true
	}
	return false
}

func (w *Witness) begin(at time.Time, snap call.Channel, partial bool) *witnessed {
	t := &testimony{open: 1, partial: partial, boot: w.boot}
	c := &witnessed{now: snap, call: t, real: isReal(snap.Name, w.technologies)}
	t.channels = []*witnessed{c}
	w.channels[snap.ID], w.calls[t] = c, struct{}{}
	if read, filed := w.early.take(snap.ID); read {
		t.known, c.filed = true, filed
	}
	w.write(at, c, Row{Type: eventChanStart})
	if base, ok := strings.CutPrefix(snap.Name, localPrefix); ok && len(base) > len(localFirstHalf) {
		base = base[:len(base)-len(localFirstHalf)]
		other := w.locals[base]
		if other == nil || other.ended {
			w.locals[base] = c
		} else {
			delete(w.locals, base)
			w.pair(other, c)
		}
	}
	return c
}

// pair joins the halves of a Local channel: the second follows the first.
func (w *Witness) pair(a, b *witnessed) {
	if isLocalHalf(a.now.Name, localFirstHalf) {
		b.after = a
	} else {
		a.after = b
	}
	w.join(a.call, b.call)
}

// leads says whether the other began behind this one.
func (c *witnessed) leads(other *witnessed) bool {
	for o := other; o != nil; o = o.after {
		if o == c {
			return true
		}
	}
	return false
}

// linked is the linkedid that the channel began with, as far as can be told.
func (c *witnessed) linked() string {
	for c.after != nil {
		c = c.after
	}
	return c.now.ID
}

func (w *Witness) write(at time.Time, c *witnessed, row Row) {
	w.sequence++
	row.ID, row.At = int64(w.sequence), at.Round(0).UTC().Truncate(time.Microsecond)
	row.Channel, row.UniqueID = c.now.Name, c.now.ID
	row.CIDName, row.CIDNum, row.Exten, row.Context = c.now.CallerName, c.now.CallerNumber, c.now.Exten, c.now.Context
	if row.App == "" {
		row.App, row.AppData = c.now.App, c.now.AppData
	}
	c.call.rows = append(c.call.rows, row)
	if row.At.After(c.call.last) {
		c.call.last = row.At
	}
}

func (w *Witness) enter(ev call.Event, c *witnessed) {
	if c == nil || c.ended || c.bridge == ev.Bridge.ID {
		return
	}
	w.leave(ev.At, c)
	members := w.bridges[ev.Bridge.ID]
	if members == nil {
		members = map[string]*witnessed{}
		w.bridges[ev.Bridge.ID] = members
	}
	row := Row{Type: eventBridgeEnter, Extra: Extra{BridgeID: ev.Bridge.ID}}
	if ev.Bridge.Kind == call.Holding {
		row.Extra.BridgeTechnology = holdingTechnology
	}
	for _, id := range slices.Sorted(maps.Keys(members)) {
		row.Peers = append(row.Peers, members[id].now.Name)
		if ev.Bridge.Kind != call.Holding { // who waits or is parked does not talk to others there
			w.join(c.call, members[id].call)
		}
	}
	c.bridge, members[c.now.ID] = ev.Bridge.ID, c
	w.write(ev.At, c, row)
}

func (w *Witness) leave(at time.Time, c *witnessed) {
	if c == nil || c.bridge == "" {
		return
	}
	w.write(at, c, Row{Type: eventBridgeExit, Extra: Extra{BridgeID: c.bridge}})
	members := w.bridges[c.bridge]
	if delete(members, c.now.ID); len(members) == 0 {
		delete(w.bridges, c.bridge)
	}
	c.bridge = ""
}

func (w *Witness) end(now, at time.Time, c *witnessed, name string, cause int) {
	w.leave(at, c)
	w.write(at, c, Row{Type: eventHangup, Extra: Extra{HangupCause: cause}})
	if name != "" {
		c.now.Name = name
	}
	w.write(at, c, Row{Type: eventChanEnd})
	c.ended = true
	if c.call.open--; c.call.open == 0 {
		c.call.over = now
	}
}

func (w *Witness) join(into, from *testimony) {
	if into == from {
		return
	}
	into.channels = append(into.channels, from.channels...)
	into.rows = append(into.rows, from.rows...)
	into.open += from.open
	into.partial, into.known = into.partial || from.partial, into.known || from.known
	if from.last.After(into.last) {
		into.last = from.last
	}
	for _, c := range from.channels {
		c.call = into
	}
	delete(w.calls, from)
}

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
func (w *Witness) Read(now time.Time, rows []Row) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, row := range rows {
		if row.UniqueID == "" {
			continue
		}
		c := w.channels[row.UniqueID]
		if c == nil {
			w.early.put(row.UniqueID, row.Type == eventChanEnd)
			continue
		}
		c.call.known = true
		if row.Type == eventChanEnd {
			c.filed, w.filed = true, now
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
		if len(lacking) == 0 || age >= forgetTime {
			w.forget(t)
			continue
		}
		if age < StallTime || t.killed && t.known {
			continue
		}
		e := Evidence{Channels: lacking, Over: t.over, Boot: t.boot, Stalled: !t.killed && w.filed.Before(t.over.Add(StallTime)), call: t}
		if !t.known && !t.told {
			e.Rows = t.testify()
		}
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b Evidence) int { return cmp.Compare(a.Channels[0], b.Channels[0]) })
	return out
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
		w.early.put(c.now.ID, true) // rows may still come
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

// early are uniqueids of rows, with whether the channel's end was among them.
type early struct {
	ended map[string]bool
	order []string
}

func newEarly() early { return early{ended: map[string]bool{}} }

func (e *early) put(id string, ended bool) {
	was, there := e.ended[id]
	e.ended[id] = was || ended
	if there {
		return
	}
	if e.order = append(e.order, id); len(e.order) > earlyRoom {
		delete(e.ended, e.order[0])
		e.order = e.order[1:]
	}
}

func (e *early) take(id string) (read, ended bool) {
	ended, read = e.ended[id]
	return read, ended
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
	seen.Source, seen.ConversationID = SourceLive, c.ConversationID
	seen.LinkedIDs, seen.Uniqueids = union(c.LinkedIDs, seen.LinkedIDs), union(c.Uniqueids, seen.Uniqueids)
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
