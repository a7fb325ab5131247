package call

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Config is what a Model has to be told.
type Config struct {
	// Technologies are those of real legs, e.g. PJSIP. Empty means
	// RealTechnologies().
	Technologies []string
}

// RealTechnologies are the technologies behind which a device or the outside
// world is. Local, Snoop, Surrogate, Announcer, CBAnn, Recorder, UnicastRTP
// and Message channels are Asterisk's own and no legs (design 5).
func RealTechnologies() []string {
	return []string{"PJSIP", "SIP", "IAX2", "DAHDI", "SCCP", "MGCP"}
}

// Model is the state of all calls of one Asterisk. It is not safe for
// concurrent use: linkedids and bridges merge in mid-call, so one goroutine
// reduces all events in order (design 2.1).
type Model struct {
	real     map[string]bool
	channels map[string]*channel
	bridges  map[string]*bridge
	locals   map[string]*[2]string // base name of a Local pair: ids of ;1 and ;2
	talks    map[TalkID]*talk
	byLeg    map[string]TalkID
	// suspended are the talks that have a grace time running: few, so that
	// looking after them costs nothing on a busy PBX.
	suspended map[TalkID]*talk
	last      TalkID
}

type channel struct {
	Channel
	role   Role
	via    []Hop
	called bool // by a dial, ever
	dialed bool // by a dial that it has not answered yet
	bridge string
}

type bridge struct {
	Bridge
	members map[string]bool
}

type talk struct {
	id        TalkID
	legs      map[string]time.Time // uniqueid: when it joined
	suspended time.Time            // zero while two legs are connected
	renamed   bool                 // somebody else is behind a leg since the last change
}

// New returns an empty model.
func New(cfg Config) *Model {
	if len(cfg.Technologies) == 0 {
		cfg.Technologies = RealTechnologies()
	}
	m := &Model{
		real:     make(map[string]bool),
		channels: make(map[string]*channel),
		bridges:  make(map[string]*bridge),
		locals:   make(map[string]*[2]string),
		talks:    make(map[TalkID]*talk),
		byLeg:    make(map[string]TalkID),

		suspended: make(map[TalkID]*talk),
	}
	for _, t := range cfg.Technologies {
		m.real[t] = true
	}
	return m
}

// Real says whether a channel name belongs to a real leg.
func (m *Model) Real(name string) bool {
	tech, _, ok := strings.Cut(name, "/")
	return ok && m.real[tech]
}

// Channel returns the newest snapshot of the channel, if it is alive.
func (m *Model) Channel(id string) (Channel, bool) {
	c, ok := m.channels[id]
	if !ok {
		return Channel{}, false
	}
	return c.Channel, true
}

// Leg returns a real channel that is alive as a leg, with the role and via that
// it has now. Joined is zero while it is in no talk.
func (m *Model) Leg(id string) (Leg, bool) {
	c, ok := m.channels[id]
	if !ok || !m.Real(c.Name) {
		return Leg{}, false
	}
	var joined time.Time
	if t, ok := m.talks[m.byLeg[id]]; ok {
		joined = t.legs[id]
	}
	return c.leg(joined), true
}

func (c *channel) leg(joined time.Time) Leg {
	return Leg{
		ID: c.ID, Name: c.Name, Role: c.role, Via: slices.Clone(c.via),
		CallerName: c.CallerName, CallerNumber: c.CallerNumber,
		Vars: c.Vars, Joined: joined,
	}
}

// Successor returns the channel that bears the name of the given one: after a
// masquerade the old uniqueid ends as <ZOMBIE>, and who has its name now has
// its call, its bridge and its recorders (design 5).
func (m *Model) Successor(id string) (Channel, bool) {
	old, ok := m.channels[id]
	if !ok {
		return Channel{}, false
	}
	for other, c := range m.channels {
		if other != id && c.Name == old.Name {
			return c.Channel, true
		}
	}
	return Channel{}, false
}

// Channels returns the uniqueids of all channels that are alive.
func (m *Model) Channels() map[string]struct{} {
	out := make(map[string]struct{}, len(m.channels))
	for id := range m.channels {
		out[id] = struct{}{}
	}
	return out
}

// Apply moves the model by one event and returns what became of which talks,
// in order. Grace times that ran out before the event are settled first, so
// the result does not depend on when Advance was called in between.
func (m *Model) Apply(ev Event) []Change {
	out := m.Advance(ev.At)
	touched := make(map[string]bool)
	switch ev.Kind {
	case ChannelStarted:
		m.update(ev.Channel, RoleCaller, touched)
	case ChannelChanged:
		m.refresh(ev.Channel, touched)
	case ChannelEnded:
		m.end(ev.Channel, touched)
	case BridgeEntered:
		m.enter(ev.Channel, ev.Bridge, touched)
	case BridgeLeft:
		m.leave(ev.Channel.ID, touched)
		m.refresh(ev.Channel, touched)
	case DialBegun:
		m.dial(ev.Channel, ev.Peer, touched)
	case PickedUp:
		m.refresh(ev.Channel, touched)
		m.pickUp(ev.Channel.ID)
	case DialAnswered:
		m.answer(ev.Channel, ev.Peer, touched)
	case Restarted:
		return append(out, m.restart(ev.At)...)
	}
	return append(out, m.settle(ev.At, touched)...)
}

// refresh takes over a snapshot of a channel that is alive.
func (m *Model) refresh(snap Channel, touched map[string]bool) {
	if _, alive := m.channels[snap.ID]; alive {
		m.update(snap, RoleUnknown, touched)
	}
}

// update takes over a snapshot. A channel that was never announced gets the
// role ifNew; the known role of any other stays.
func (m *Model) update(snap Channel, ifNew Role, touched map[string]bool) {
	if snap.ID == "" {
		return
	}
	c, known := m.channels[snap.ID]
	if !known {
		c = &channel{role: ifNew}
		m.channels[snap.ID] = c
	}
	// A masquerade gives the left-over shell a name that is nobody's; the
	// old name is needed to find who took the call over.
	if known && (snap.Name == "" || strings.HasSuffix(snap.Name, "<ZOMBIE>")) {
		snap.Name = c.Name
	}
	if known && snap.Vars == nil {
		snap.Vars = c.Vars
	}
	if known && c.Name != snap.Name && Endpoint(c.Name) != Endpoint(snap.Name) {
		// A pickup: another endpoint is behind this uniqueid now, and
		// whatever queue or group led here no longer counts (design 5).
		c.via = nil
		if t, ok := m.talks[m.byLeg[snap.ID]]; ok {
			t.renamed = true
		}
		touched[snap.ID] = true
	}
	// A channel that nobody dialled and that becomes somebody's outgoing line
	// has picked up; for a queue's call nothing else says so. Whoever is
	// dialled after all gets its role from that dial.
	if known && !c.called && c.role == RoleCaller && c.App != snap.App && outgoingLine(snap.App) {
		m.pickUp(snap.ID)
	}
	// Being up is never taken back: snapshots of events that overtook each
	// other, and CEL rows without a state, would end talks that go on.
	up := known && c.Up
	if snap.Up && !up || !known {
		touched[snap.ID] = true
	}
	c.Channel = snap
	c.Up = snap.Up || up
	if base, half, ok := localHalf(snap.Name); ok {
		pair := m.locals[base]
		if pair == nil {
			pair = new([2]string)
			m.locals[base] = pair
		}
		pair[half] = snap.ID
	}
}

// outgoingLine says whether the application is what Dial and Queue write on
// the channels that they call.
func outgoingLine(app string) bool { return app == "AppDial" || app == "AppQueue" }

// localHalf splits the name of a Local channel into that of the pair and 0 for
// ;1, the side that was dialled, or 1 for ;2, the side that runs dialplan.
func localHalf(name string) (base string, half int, ok bool) {
	if !strings.HasPrefix(name, "Local/") || len(name) < 2 {
		return "", 0, false
	}
	switch name[len(name)-2:] {
	case ";1":
		return name[:len(name)-2], 0, true
	case ";2":
		return name[:len(name)-2], 1, true
	}
	return "", 0, false
}

// otherHalf returns the uniqueid of the other channel of a Local pair.
func (m *Model) otherHalf(c *channel) (string, bool) {
	base, half, ok := localHalf(c.Name)
	if !ok {
		return "", false
	}
	pair, ok := m.locals[base]
	if !ok || pair[1-half] == "" {
		return "", false
	}
	return pair[1-half], true
}

func (m *Model) enter(snap Channel, b Bridge, touched map[string]bool) {
	m.update(snap, RoleUnknown, touched)
	c, ok := m.channels[snap.ID]
	if !ok {
		return
	}
	if c.bridge != "" && c.bridge != b.ID {
		m.leave(snap.ID, touched)
	}
	br := m.bridges[b.ID]
	if br == nil {
		br = &bridge{Bridge: b, members: make(map[string]bool)}
		m.bridges[b.ID] = br
	}
	// CEL rows do not tell a conference from a three-party call, the running
	// application does; Page is built on ConfBridge.
	if b.Kind == Mixing && (c.App == "ConfBridge" || c.App == "Page") {
		b.Kind = Conference
	}
	if b.Kind != Mixing {
		br.Kind = b.Kind
	}
	br.members[snap.ID] = true
	c.bridge = b.ID
	for id := range br.members {
		touched[id] = true
	}
}

func (m *Model) leave(id string, touched map[string]bool) {
	c, ok := m.channels[id]
	if !ok || c.bridge == "" {
		return
	}
	touched[id] = true
	if br := m.bridges[c.bridge]; br != nil {
		for member := range br.members {
			touched[member] = true
		}
		delete(br.members, id)
		if len(br.members) == 0 {
			delete(m.bridges, c.bridge)
		}
	}
	c.bridge = ""
}

func (m *Model) end(snap Channel, touched map[string]bool) {
	c, ok := m.channels[snap.ID]
	if !ok {
		return
	}
	m.leave(snap.ID, touched)
	touched[snap.ID] = true
	if other, ok := m.otherHalf(c); ok {
		touched[other] = true
	}
	if base, half, ok := localHalf(c.Name); ok {
		if pair := m.locals[base]; pair != nil {
			pair[half] = ""
			if pair[1-half] == "" {
				delete(m.locals, base)
			}
		}
	}
	if strings.HasSuffix(snap.Name, "<ZOMBIE>") {
		m.succeed(snap.ID, touched)
	}
	delete(m.channels, snap.ID)
}

// succeed hands a leg's place in its talk to the channel that bears its name
// now: a redirected leg goes on in a new channel and takes hook and recorder
// along, and only a shell called <ZOMBIE> is destroyed (asterisk-facts 5).
func (m *Model) succeed(old string, touched map[string]bool) {
	t, inTalk := m.talks[m.byLeg[old]]
	next, found := m.Successor(old)
	if !inTalk || !found {
		return
	}
	t.legs[next.ID] = t.legs[old]
	delete(t.legs, old)
	delete(m.byLeg, old)
	m.byLeg[next.ID] = t.id
	t.renamed = true
	touched[next.ID] = true
}

// dial records the roles (design 5). The caller of a dial that nobody made, an
// originate, is empty.
func (m *Model) dial(caller, peer Channel, touched map[string]bool) {
	m.update(caller, RoleCaller, touched)
	m.update(peer, RolePeer, touched)
	p, ok := m.channels[peer.ID]
	if !ok {
		return
	}
	c, ok := m.channels[caller.ID]
	if !ok {
		p.role, p.via = RoleCaller, nil
		return
	}
	via := []Hop{hopOf(c.Channel)}
	if other, ok := m.otherHalf(c); ok {
		via = append(via, m.channels[other].via...)
	} else {
		c.via = nil
	}
	c.role = RoleCaller
	p.role, p.via, p.called, p.dialed = RolePeer, via, true, true
}

// answer ends a dial. One whose beginning nobody saw is caught up on.
func (m *Model) answer(caller, peer Channel, touched map[string]bool) {
	m.refresh(caller, touched)
	m.refresh(peer, touched)
	p, alive := m.channels[peer.ID]
	if !alive {
		return
	}
	if _, alive = m.channels[caller.ID]; alive && p.role == RoleUnknown {
		m.dial(caller, peer, touched)
	} else if alive && !p.dialed {
		m.pickUp(peer.ID)
	}
	p.dialed = false
}

// pickUp makes the channel the called party of a dial that meant another.
func (m *Model) pickUp(id string) {
	if c, alive := m.channels[id]; alive {
		c.role, c.via = RolePeer, nil
	}
}

func hopOf(c Channel) Hop {
	h := Hop{Exten: c.Exten, Context: c.Context, Group: c.Vars["CALLRECORD_GROUP"]}
	if c.App == "Queue" {
		h.Queue, _, _ = strings.Cut(c.AppData, ",")
	}
	return h
}

func (m *Model) restart(at time.Time) []Change {
	var out []Change
	for _, id := range slices.Sorted(maps.Keys(m.talks)) {
		out = append(out, m.finish(m.talks[id], at, 0))
	}
	fresh := New(Config{Technologies: slices.Collect(maps.Keys(m.real))})
	fresh.last = m.last
	*m = *fresh
	return out
}

// Confers says whether the channel is in a conference, which is no talk.
func (m *Model) Confers(id string) bool {
	c, ok := m.channels[id]
	if !ok {
		return false
	}
	b := m.bridges[c.bridge]
	return b != nil && b.Kind == Conference
}
