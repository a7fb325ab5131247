package call

import (
	"maps"
	"slices"
	"time"
)

// Picture is what Asterisk says is there, at a connect or after a gap.
type Picture struct {
	Channels []Channel
	Bridges  []BridgeState
	// Known are roles and via from before a restart of ours, by uniqueid.
	Known map[string]Leg
}

// BridgeState is a bridge and the uniqueids in it.
type BridgeState struct {
	Bridge
	Members []string
}

// Resync makes the model agree with the picture and returns what became of
// which talks. Channels that nobody announced and that are not Known get
// RoleUnknown: their dial was never seen, so either flag of their user suffices
// (issue 4, Reconcile).
func (m *Model) Resync(at time.Time, p Picture) []Change {
	var out []Change
	alive := make(map[string]bool, len(p.Channels))
	byID := make(map[string]Channel, len(p.Channels))
	for _, c := range p.Channels {
		alive[c.ID] = true
		byID[c.ID] = c
	}
	for _, id := range slices.Sorted(maps.Keys(m.channels)) {
		if !alive[id] {
			out = append(out, m.Apply(Event{At: at, Kind: ChannelEnded, Channel: m.channels[id].Channel})...)
		}
	}
	for _, c := range p.Channels {
		out = append(out, m.Advance(at)...)
		touched := make(map[string]bool)
		_, met := m.channels[c.ID]
		m.update(c, RoleUnknown, touched)
		if known, ok := p.Known[c.ID]; ok && !met {
			m.recall(c, known)
		}
		out = append(out, m.settle(at, touched)...)
	}
	in := make(map[string]bool)
	for _, b := range p.Bridges {
		for _, id := range b.Members {
			in[id] = true
			c, ok := m.channels[id]
			if !ok || c.bridge == b.ID {
				continue
			}
			out = append(out, m.Apply(Event{At: at, Kind: BridgeEntered, Channel: byID[id], Bridge: b.Bridge})...)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(m.channels)) {
		if c := m.channels[id]; c.bridge != "" && !in[id] {
			out = append(out, m.Apply(Event{At: at, Kind: BridgeLeft, Channel: byID[id], Bridge: Bridge{ID: c.bridge}})...)
		}
	}
	return out
}

// recall gives a channel the role and via that it had. It has dialled since if
// it was a peer and runs Dial or Queue itself, as after a transfer, and another
// endpoint behind it has picked it up.
func (m *Model) recall(now Channel, known Leg) {
	c := m.channels[now.ID]
	switch {
	case known.Role == RoleUnknown || Endpoint(known.Name) != Endpoint(now.Name):
	case now.App == "Dial" || now.App == "Queue":
		c.role = RoleCaller
	default:
		c.role, c.via, c.called = known.Role, slices.Clone(known.Via), known.Role == RolePeer
	}
}
