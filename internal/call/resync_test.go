package call

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What was known before a restart of ours is known again, unless Asterisk shows
// that it is out of date.
func TestResyncWithWhatWasKnown(t *testing.T) {
	hops := []Hop{{Queue: "support"}}
	for name, tc := range map[string]struct {
		known Leg
		now   Channel
		role  Role
		via   []Hop
	}{
		"as it was":   {Leg{Name: "PJSIP/bob-00000001", Role: RolePeer, Via: hops}, Channel{Name: "PJSIP/bob-00000001", App: "AppQueue"}, RolePeer, hops},
		"caller":      {Leg{Name: "PJSIP/bob-00000001", Role: RoleCaller}, Channel{Name: "PJSIP/bob-00000001", App: "Dial"}, RoleCaller, nil},
		"picked up":   {Leg{Name: "PJSIP/bob-00000001", Role: RolePeer, Via: hops}, Channel{Name: "PJSIP/carol-00000002", App: "AppQueue"}, RoleUnknown, nil},
		"transferred": {Leg{Name: "PJSIP/bob-00000001", Role: RolePeer, Via: hops}, Channel{Name: "PJSIP/bob-00000001", App: "Dial"}, RoleCaller, nil},
		"never known": {Leg{Name: "PJSIP/bob-00000001", Role: RoleUnknown}, Channel{Name: "PJSIP/bob-00000001", App: "Dial"}, RoleUnknown, nil},
	} {
		m := New(Config{})
		tc.now.ID, tc.now.Up = "b", true
		changes := m.Resync(epoch, Picture{
			Channels: []Channel{{ID: "a", Name: "PJSIP/alice-00000009", Up: true}, tc.now},
			Bridges:  []BridgeState{{Bridge: Bridge{ID: "X"}, Members: []string{"a", "b"}}},
			Known:    map[string]Leg{"b": tc.known, "gone": {Role: RolePeer}},
		})
		if len(changes) != 1 || changes[0].Kind != Began {
			t.Fatalf("%s: %+v", name, changes)
		}
		leg, _ := m.Leg("b")
		if leg.Role != tc.role || !cmp.Equal(leg.Via, tc.via) {
			t.Errorf("%s: %s via %+v", name, leg.Role, leg.Via)
		}
	}
}
