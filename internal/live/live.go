// Package live tells internal/call what ARI says: it turns ARI events and the
// channel and bridge lists of a (re)connect into the model's words.
//
// It imports ari and internal/call only, keeps no state and does no I/O.
package live

import (
	"time"

	"callrecordd/ari"
	"callrecordd/internal/call"
)

// Channel converts a snapshot.
func Channel(c *ari.Channel) call.Channel {
	if c == nil {
		return call.Channel{}
	}
	return call.Channel{
		ID:           c.ID,
		Name:         c.Name,
		Up:           c.State == "Up",
		CallerName:   c.Caller.Name,
		CallerNumber: c.Caller.Number,
		Exten:        c.Dialplan.Exten,
		Context:      c.Dialplan.Context,
		App:          c.Dialplan.AppName,
		AppData:      c.Dialplan.AppData,
		Vars:         c.ChannelVars,
	}
}

// Bridge converts a bridge: parking and waiting hold, ConfBridge confers, all
// else mixes (bridge_type and creator of the ARI bridge model).
func Bridge(b *ari.Bridge) call.Bridge {
	if b == nil {
		return call.Bridge{}
	}
	out := call.Bridge{ID: b.ID}
	switch {
	case b.Type == "holding" || b.Technology == "holding_bridge":
		out.Kind = call.Holding
	case b.Creator == "ConfBridge" || b.Creator == "Page":
		out.Kind = call.Conference
	}
	return out
}

// longest is how much later than it happened an event may arrive. More means
// that the clock was set meanwhile.
const longest = time.Minute

// at is when an event happened: by Asterisk's clock, and as our monotonic clock
// has it, so that what waits for two seconds does so whatever the time is set to.
func at(ev ari.Event) time.Time {
	if ev.Arrived.IsZero() {
		return ev.Timestamp
	}
	took := ev.Arrived.Round(0).Sub(ev.Timestamp)
	if took < 0 || took > longest {
		return ev.Arrived
	}
	return ev.Arrived.Add(-took)
}

// Events converts one ARI event. Most give none or one; an event that carries
// snapshots of several channels refreshes them all.
func Events(ev ari.Event) []call.Event {
	one := func(e call.Event) []call.Event {
		e.At = at(ev)
		return []call.Event{e}
	}
	switch ev.Type {
	case "ChannelCreated":
		return one(call.Event{Kind: call.ChannelStarted, Channel: Channel(ev.Channel)})
	case "ChannelDestroyed":
		return one(call.Event{Kind: call.ChannelEnded, Channel: Channel(ev.Channel), Cause: ev.Cause})
	case "ChannelEnteredBridge":
		return one(call.Event{Kind: call.BridgeEntered, Channel: Channel(ev.Channel), Bridge: Bridge(ev.Bridge)})
	case "ChannelLeftBridge":
		return one(call.Event{Kind: call.BridgeLeft, Channel: Channel(ev.Channel), Bridge: Bridge(ev.Bridge)})
	case "Dial":
		if ev.DialStatus == "" && ev.Peer != nil {
			return one(call.Event{Kind: call.DialBegun, Channel: Channel(ev.Caller), Peer: Channel(ev.Peer)})
		}
		if ev.DialStatus == "ANSWER" && ev.Peer != nil {
			return one(call.Event{Kind: call.DialAnswered, Channel: Channel(ev.Caller), Peer: Channel(ev.Peer)})
		}
	}
	var out []call.Event
	for _, c := range []*ari.Channel{ev.Caller, ev.Peer, ev.Channel} {
		if c != nil {
			out = append(out, one(call.Event{Kind: call.ChannelChanged, Channel: Channel(c)})...)
		}
	}
	return out
}

// Picture converts the lists of channels and bridges read at a connect.
func Picture(channels []ari.Channel, bridges []ari.Bridge) call.Picture {
	var p call.Picture
	for i := range channels {
		p.Channels = append(p.Channels, Channel(&channels[i]))
	}
	for i := range bridges {
		p.Bridges = append(p.Bridges, call.BridgeState{Bridge: Bridge(&bridges[i]), Members: bridges[i].Channels})
	}
	return p
}
