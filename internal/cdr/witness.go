package cdr

import (
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
	filed    time.Time // the latest end of a channel that is in the journal
	never    time.Time // of the calls that are forgotten and whose end was not: the latest
	boot     time.Time // of the Asterisk that is seen
	early    early     // rows that were read before their channel was seen
}

// witnessed is a channel.
type witnessed struct {
	now    call.Channel
	born   string // the name it began with
	call   *testimony
	after  *witnessed // whose linkedid it began with, nil for its own
	real   bool
	up     bool
	app    string // listed application that runs
	bridge string
	parked bool // it waits in a holding bridge, or did until it meets somebody
	pages  bool // it ran Page
	called bool // by nobody that is known, as those are that are paged
	picks  bool // it ran Pickup or PickupChan
	picked bool // and has taken a call
	ended  bool
	over   time.Time // when that was seen
	filed  bool      // its CHAN_END is in the journal
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
		if p := w.channels[ev.Peer.ID]; p != nil && c == nil {
			p.called = true
		}
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
	case call.DialAnswered:
		w.answered(ev.At, c, w.channels[ev.Peer.ID])
	case call.ChannelStarted, call.ChannelChanged, call.PickedUp, call.Restarted:
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
			c.pages = c.pages || app == "page"
			c.picks = c.picks || app == "pickup" || app == "pickupchan"
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
	c := &witnessed{now: snap, born: snap.Name, call: t, real: isReal(snap.Name, w.technologies)}
	t.channels = []*witnessed{c}
	w.channels[snap.ID], w.calls[t] = c, struct{}{}
	if read, filed := w.early.take(snap.ID); read {
		t.known, c.filed = true, filed
	}
	w.write(at, c, Row{Type: eventChanStart})
	if base, ok := localPair(snap.Name); ok {
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

// localPair is the name of a Local channel without its half.
func localPair(name string) (base string, ok bool) {
	base, ok = strings.CutPrefix(name, localPrefix)
	if !ok || len(base) <= len(localFirstHalf) {
		return "", false
	}
	return base[:len(base)-len(localFirstHalf)], true
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
		switch ev.Bridge.Kind { // who waits, is parked or confers there is no part of another's call
		case call.Mixing:
			w.meet(ev.At, c, members[id])
		case call.Conference:
			w.page(c, members[id])
			w.page(members[id], c)
		case call.Holding:
		}
	}
	if ev.Bridge.Kind == call.Holding {
		c.parked = true
	}
	c.bridge, members[c.now.ID] = ev.Bridge.ID, c
	w.write(ev.At, c, row)
}

// meet joins the calls of two who talk. If one of them was parked the other has
// retrieved it, unless it had been called.
func (w *Witness) meet(at time.Time, a, b *witnessed) {
	for _, pair := range [][2]*witnessed{{a, b}, {b, a}} {
		if pair[1].picks && !pair[0].picks {
			w.answered(at, pair[0], pair[1])
		}
	}
	w.join(a.call, b.call)
	if b.parked {
		a, b = b, a
	}
	if a.parked && !b.parked && b.after == nil {
		w.write(at, a, Row{Type: eventParkEnd, Extra: Extra{Retriever: b.now.Name}})
	}
	a.parked, b.parked = false, false
}

// page joins whom a channel has paged to it: they meet in a conference of its own.
func (w *Witness) page(by, c *witnessed) {
	if by.pages && c.called && c.after == nil && !c.leads(by) {
		c.after = by
		w.join(by.call, c.call)
	}
}

// answered notes a pickup: who answers the dial of a channel and was not dialled
// has taken the place of one that rang.
func (w *Witness) answered(at time.Time, c, p *witnessed) {
	if c == nil || p == nil || p.after != nil || p == c || p.ended || p.picked {
		return
	}
	p.picked = true
	ringing := c
	for _, o := range c.call.channels {
		if o.after == c && !o.up && (ringing == c || !o.ended) {
			ringing = o
		}
	}
	w.join(c.call, p.call)
	w.write(at, ringing, Row{Type: eventPickup, Extra: Extra{PickedUpBy: p.now.ID}})
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
	c.ended, c.over = true, now
	if c.filed {
		w.filed = later(w.filed, now)
	}
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
