package live_test

import (
	"testing"

	"callrecordd/ari"
	"callrecordd/internal/call"
	"callrecordd/internal/live"

	"github.com/google/go-cmp/cmp"
)

func TestBridge(t *testing.T) {
	tests := []struct {
		name string
		in   ari.Bridge
		want call.BridgeKind
	}{
		{"two legs", ari.Bridge{Technology: "simple_bridge", Type: "mixing", Class: "basic"}, call.Mixing},
		{"native RTP", ari.Bridge{Technology: "native_rtp", Type: "mixing", Class: "basic"}, call.Mixing},
		{"three legs without ConfBridge", ari.Bridge{Technology: "softmix", Type: "mixing", Class: "basic"}, call.Mixing},
		{"ConfBridge and Page", ari.Bridge{Technology: "softmix", Type: "mixing", Class: "base", Creator: "ConfBridge"}, call.Conference},
		{"parking", ari.Bridge{Technology: "holding_bridge", Type: "holding", Class: "base", Creator: "Parking"}, call.Holding},
		{"BridgeWait", ari.Bridge{Technology: "holding_bridge", Type: "holding", Class: "base", Creator: "BridgeWait"}, call.Holding},
		{"nothing is known", ari.Bridge{}, call.Mixing},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.in.ID = "b"
			if diff := cmp.Diff(call.Bridge{ID: "b", Kind: tt.want}, live.Bridge(&tt.in)); diff != "" {
				t.Error(diff)
			}
		})
	}
	if live.Bridge(nil) != (call.Bridge{}) {
		t.Error("no bridge is something")
	}
}

// TestBridgesOfAsterisk: the kinds are what a real Asterisk's bridges are.
func TestBridgesOfAsterisk(t *testing.T) {
	for name, want := range map[string][]call.BridgeKind{
		"answered":            {call.Mixing},
		"conference":          {call.Conference},
		"page":                {call.Conference},
		"park":                {call.Mixing, call.Holding},
		"blind_to_conference": {call.Mixing, call.Conference},
		"voicemail":           nil,
	} {
		t.Run(name, func(t *testing.T) {
			found := map[call.BridgeKind]bool{}
			for _, raw := range lines(readLog(t, name+".ari.jsonl")) {
				ev, err := ari.DecodeEvent(raw)
				must(t, err)
				if ev.Type == "ChannelEnteredBridge" {
					found[live.Bridge(ev.Bridge).Kind] = true
				}
			}
			expected := map[call.BridgeKind]bool{}
			for _, k := range want {
				expected[k] = true
			}
			if diff := cmp.Diff(expected, found); diff != "" {
				t.Error(diff)
			}
		})
	}
}
