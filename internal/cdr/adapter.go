package cdr

import (
	"slices"
	"strings"
	"time"

	"callrecordd/internal/call"
)

// Adapter turns CEL rows into the events of the call model, so that the model
// sees the same talks afterwards as it did live (design 2.2). Rows are applied
// in the order of their AcctId. What CEL does not say is inferred: who dialled
// whom (see dialer) and what kind a bridge is of.
//
// An Adapter forgets a channel with its CHAN_END. It is not safe for
// concurrent use.
type Adapter struct {
	channels map[string]*channelState
	bridges  map[string]*bridgeState
	sequence uint64 // of application starts, to tell the most recent one
}

type channelState struct {
	snapshot call.Channel
	linkedID string
	apps     []runningApp // innermost last
	bridge   string       // id of the bridge it is in
	cause    int
}

type runningApp struct {
	name     string // lower case
	sequence uint64
	caller   call.Channel // the channel as it was when the application began
}

type bridgeState struct {
	kind    call.BridgeKind
	members map[string]struct{}
}

// NewAdapter returns an Adapter that knows no channels.
func NewAdapter() *Adapter {
	return &Adapter{channels: map[string]*channelState{}, bridges: map[string]*bridgeState{}}
}

// Restart forgets all channels, as Asterisk did at that time.
func (a *Adapter) Restart(at time.Time) []call.Event {
	a.channels, a.bridges = map[string]*channelState{}, map[string]*bridgeState{}
	return []call.Event{{At: at, Kind: call.Restarted}}
}

// Apply returns what the row reports, in order; nothing for rows the model has
// no use for.
func (a *Adapter) Apply(row Row) []call.Event {
	state, events := a.touch(row)
	if state == nil {
		return nil
	}
	one := func(kind call.Kind) call.Event {
		return call.Event{At: row.At, Kind: kind, Channel: state.snapshot}
	}
	switch row.Type {
	case eventAnswer:
		state.snapshot.Up = true
		events = append(events, one(call.ChannelChanged))
	case eventAppStart:
		a.startApp(state, row)
		events = append(events, one(call.ChannelChanged))
	case eventAppEnd:
		endApp(state, row.App)
	case eventBridgeEnter:
		event := one(call.BridgeEntered)
		event.Bridge = a.enter(state, row)
		events = append(events, event)
	case eventBridgeExit:
		event := one(call.BridgeLeft)
		event.Bridge = a.leave(state, row.Extra.BridgeID)
		events = append(events, event)
	case eventPickup:
		// CEL reports it on the channel that was ringing. Asterisk swaps names
		// and uniqueids along with the channels, so the one that picked up goes
		// on under its own.
		if picker, ok := a.channels[row.Extra.PickedUpBy]; ok {
			state = picker
		}
		events = append(events, one(call.PickedUp))
	case eventHangup:
		state.cause = row.Extra.HangupCause
	case eventChanEnd:
		event := one(call.ChannelEnded)
		event.Channel.Name = row.Channel // with <ZOMBIE>: the model must see it
		event.Cause = state.cause
		events = append(events, event)
		a.leave(state, "")
		delete(a.channels, row.UniqueID)
	}
	return events
}

// touch finds the row's channel and brings its snapshot up to date. It returns
// nil for rows that are about no channel, or only about the end of one whose
// beginning is not known. A channel found in mid-life is taken as answered if
// it enters a bridge: its ANSWER row is before our time.
func (a *Adapter) touch(row Row) (*channelState, []call.Event) {
	if row.Type == eventLinkedIDEnd || row.UniqueID == "" {
		return nil, nil
	}
	state, known := a.channels[row.UniqueID]
	if known {
		state.linkedID = row.LinkedID
		if !state.update(row) {
			return state, nil
		}
		return state, []call.Event{{At: row.At, Kind: call.ChannelChanged, Channel: state.snapshot}}
	}
	switch row.Type {
	case eventChanEnd, eventHangup, eventAppEnd, eventBridgeExit:
		return nil, nil
	}
	state = &channelState{linkedID: row.LinkedID, snapshot: call.Channel{
		ID: row.UniqueID, Name: row.Channel, Up: row.Type == eventBridgeEnter,
		CallerName: row.CIDName, CallerNumber: row.CIDNum, Exten: row.Exten, Context: row.Context,
	}}
	a.channels[row.UniqueID] = state
	events := []call.Event{{At: row.At, Kind: call.ChannelStarted, Channel: state.snapshot}}
	if caller, ok := a.dialer(row); ok && row.Type == eventChanStart {
		events = append(events, call.Event{
			At: row.At, Kind: call.DialBegun, Channel: caller, Peer: state.snapshot,
		})
	}
	return state, events
}

// update takes over what the row says and reports whether the channel bears
// another name: a masquerade, which no row of its own announces.
func (s *channelState) update(row Row) (renamed bool) {
	set := func(field *string, value string) {
		if value != "" {
			*field = value
		}
	}
	set(&s.snapshot.CallerName, row.CIDName)
	set(&s.snapshot.CallerNumber, row.CIDNum)
	set(&s.snapshot.Exten, row.Exten)
	set(&s.snapshot.Context, row.Context)
	// AppDial and AppQueue mark a line that Dial or Queue called. They have no
	// APP_START, and tell of a pickup before the PICKUP row, which may be late.
	if len(s.apps) == 0 && strings.HasPrefix(row.App, "App") {
		s.snapshot.App, s.snapshot.AppData = row.App, row.AppData
	}
	if row.Channel == s.snapshot.Name || strings.Contains(row.Channel, transientNameMarker) {
		return false
	}
	s.snapshot.Name = row.Channel
	return true
}

func (a *Adapter) startApp(state *channelState, row Row) {
	name := strings.ToLower(row.App)
	state.snapshot.App, state.snapshot.AppData = row.App, row.AppData
	a.sequence++
	started := runningApp{name: name, sequence: a.sequence, caller: state.snapshot}
	if n := len(state.apps); n > 0 && state.apps[n-1].name == name {
		state.apps[n-1] = started // its APP_END is missing
		return
	}
	state.apps = append(state.apps, started)
}

func endApp(state *channelState, app string) {
	name := strings.ToLower(app)
	for i, app := range slices.Backward(state.apps) {
		if app.name == name {
			state.apps = state.apps[:i]
			break
		}
	}
	state.snapshot.App, state.snapshot.AppData = "", ""
	if n := len(state.apps); n > 0 {
		state.snapshot.App, state.snapshot.AppData = state.apps[n-1].caller.App, state.apps[n-1].caller.AppData
	}
}

func (s *channelState) runs(app string) bool {
	for _, running := range s.apps {
		if running.name == app {
			return true
		}
	}
	return false
}

// dialer infers who dialled the channel that starts with this row, because CEL
// has no dial event: a channel which is not a Local ;2 and does not start a
// linkedid of its own was dialled by a channel of that linkedid that runs Dial
// or Queue. Several may: the one whose Dial names the endpoint is right; else
// it is a queue's member (members stand in no application data); else the most
// recent Dial.
func (a *Adapter) dialer(row Row) (call.Channel, bool) {
	if row.LinkedID == row.UniqueID || isLocalHalf(row.Channel, localSecondHalf) {
		return call.Channel{}, false
	}
	endpoint := call.Endpoint(row.Channel)
	var best runningApp
	bestRank := 0
	for id, state := range a.channels {
		if id == row.UniqueID || state.linkedID != row.LinkedID || state.bridge != "" {
			continue // who is in a bridge has been answered and dials no more
		}
		for _, app := range state.apps {
			rank := dialRank(app, endpoint)
			if rank > bestRank || rank == bestRank && rank > 0 && app.sequence > best.sequence {
				best, bestRank = app, rank
				// A transfer from one Dial to the next has no APP_START: it is
				// the same application. Only the extension shows it.
				best.caller.Exten, best.caller.Context = state.snapshot.Exten, state.snapshot.Context
			}
		}
	}
	return best.caller, bestRank > 0
}

func dialRank(app runningApp, endpoint string) int {
	switch {
	case app.name == appDial && dials(app.caller.AppData, endpoint):
		return 3
	case app.name == appQueue:
		return 2
	case app.name == appDial:
		return 1
	}
	return 0
}

// dials reports whether the data of a Dial names the endpoint: PJSIP/bob,
// PJSIP/bob/sip:bob@10.0.0.1, PJSIP/0123@trunk or Local/2@ctx/n.
func dials(data, endpoint string) bool {
	devices, _, _ := strings.Cut(data, ",")
	want := strings.ToLower(endpoint)
	for device := range strings.SplitSeq(strings.ToLower(devices), "&") {
		if device == want || strings.HasPrefix(device, want+"/") {
			return true
		}
		technology, resource, _ := strings.Cut(device, "/")
		if _, trunk, ok := strings.Cut(resource, "@"); ok && technology+"/"+trunk == want {
			return true
		}
	}
	return false
}

func isLocalHalf(name, half string) bool {
	return strings.HasPrefix(name, localPrefix) && strings.HasSuffix(name, half)
}

// enter moves the channel into the row's bridge. A bridge is what its
// technology or its first member's application says; that stays so for those
// who come later without it, such as a conference's announcer.
func (a *Adapter) enter(state *channelState, row Row) call.Bridge {
	id := row.Extra.BridgeID
	if id == "" {
		id = a.bridgeOf(row)
	}
	a.leave(state, "")
	bridge, known := a.bridges[id]
	if !known {
		bridge = &bridgeState{members: map[string]struct{}{}}
		a.bridges[id] = bridge
	}
	switch {
	case row.Extra.BridgeTechnology == holdingTechnology:
		bridge.kind = call.Holding
	case state.runs(appConference) || strings.EqualFold(row.App, appConference):
		bridge.kind = call.Conference
	}
	bridge.members[row.UniqueID] = struct{}{}
	state.bridge = id
	return call.Bridge{ID: id, Kind: bridge.kind}
}

// bridgeOf names the bridge of a row whose extra is broken: that of one of the
// peers, else one of its own.
func (a *Adapter) bridgeOf(row Row) string {
	for _, peer := range row.Peers {
		for _, state := range a.channels {
			if state.snapshot.Name == peer && state.bridge != "" {
				return state.bridge
			}
		}
	}
	return "of:" + row.UniqueID
}

// leave takes the channel out of its bridge, or only out of the one named: an
// exit may be told after the entry into the next bridge.
func (a *Adapter) leave(state *channelState, id string) call.Bridge {
	if id == "" {
		id = state.bridge
	}
	if id == state.bridge {
		state.bridge = ""
	}
	left := call.Bridge{ID: id}
	bridge, known := a.bridges[id]
	if !known {
		return left
	}
	left.Kind = bridge.kind
	delete(bridge.members, state.snapshot.ID)
	if len(bridge.members) == 0 {
		delete(a.bridges, id)
	}
	return left
}
