package call

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkApply measures an event of a usual call while 300 others are up:
// what the one reducing goroutine spends on it (design 2.1).
func BenchmarkApply(b *testing.B) {
	m := New(Config{})
	for i := range 300 {
		for _, ev := range oneCall(fmt.Sprintf("up%d", i))[:8] {
			m.Apply(ev)
		}
	}
	log := oneCall("x")
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		m.Apply(log[i%len(log)])
	}
}

// oneCall is an answered call of two legs; the first eight events leave it up.
func oneCall(prefix string) []Event {
	a := Channel{ID: prefix + "a", Name: "PJSIP/alice-" + prefix + "a", App: "Dial"}
	p := Channel{ID: prefix + "b", Name: "PJSIP/bob-" + prefix + "b"}
	upA, upP := a, p
	upA.Up, upP.Up = true, true
	bridge := Bridge{ID: prefix}
	at := func(e Event) Event { e.At = epoch.Add(time.Second); return e }
	return []Event{
		at(Event{Kind: ChannelStarted, Channel: a}),
		at(Event{Kind: ChannelStarted, Channel: p}),
		at(Event{Kind: DialBegun, Channel: a, Peer: p}),
		at(Event{Kind: ChannelChanged, Channel: p}),
		at(Event{Kind: ChannelChanged, Channel: upP}),
		at(Event{Kind: ChannelChanged, Channel: upA}),
		at(Event{Kind: BridgeEntered, Channel: upP, Bridge: bridge}),
		at(Event{Kind: BridgeEntered, Channel: upA, Bridge: bridge}),
		at(Event{Kind: BridgeLeft, Channel: upP, Bridge: bridge}),
		at(Event{Kind: BridgeLeft, Channel: upA, Bridge: bridge}),
		at(Event{Kind: ChannelEnded, Channel: upP}),
		at(Event{Kind: ChannelEnded, Channel: upA}),
	}
}
