package call

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var epoch = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// script turns short lines into events, one every 10 ms:
//
//	+a PJSIP/alice    created          up a          answered
//	dial a b          a dials b        in a X        enters bridge X
//	out a             leaves           -a            destroyed
//	answer a b        b answers a's dial
//	wait 3s           time passes      name a NAME   renamed
type script struct {
	at    time.Time
	names map[string]string
	apps  map[string]string
	in    map[string]string
	evs   []Event
}

func events(lines string) []Event {
	s := &script{at: epoch, names: map[string]string{}, apps: map[string]string{}, in: map[string]string{}}
	for line := range strings.SplitSeq(lines, "\n") {
		if f := strings.Fields(line); len(f) > 0 {
			s.line(f)
		}
	}
	return s.evs
}

func (s *script) snap(id string, up bool) Channel {
	app, data, _ := strings.Cut(s.apps[id], ":")
	return Channel{ID: id, Name: s.names[id], Up: up, App: app, AppData: data, Exten: "x" + id, Context: "users"}
}

func (s *script) line(f []string) {
	ev := Event{At: s.at}
	switch {
	case f[0] == "wait":
		d, _ := time.ParseDuration(f[1])
		s.at = s.at.Add(d)
		return
	case f[0] == "app":
		s.apps[f[1]] = f[2]
		ev.Kind, ev.Channel = ChannelChanged, s.snap(f[1], false)
	case f[0][0] == '+':
		id := f[0][1:]
		s.names[id] = f[1]
		if !strings.HasPrefix(f[1], "Local/") {
			s.names[id] += "-0000000" + id[:1]
		}
		ev.Kind, ev.Channel = ChannelStarted, s.snap(id, false)
	case f[0][0] == '-':
		id := f[0][1:]
		ev.Kind, ev.Channel = ChannelEnded, s.snap(id, false)
		if len(f) > 1 {
			ev.Channel.Name = f[1]
		}
	case f[0] == "up":
		ev.Kind, ev.Channel = ChannelChanged, s.snap(f[1], true)
	case f[0] == "name":
		s.names[f[1]] = f[2]
		ev.Kind, ev.Channel = ChannelChanged, s.snap(f[1], true)
	case f[0] == "dial":
		ev.Kind, ev.Channel, ev.Peer = DialBegun, s.snap(f[1], false), s.snap(f[2], false)
	case f[0] == "in":
		s.in[f[1]] = f[2]
		ev.Kind, ev.Channel, ev.Bridge = BridgeEntered, s.snap(f[1], true), Bridge{ID: f[2]}
		if f[2][0] == 'H' {
			ev.Bridge.Kind = Holding
		}
	case f[0] == "answer":
		ev.Kind, ev.Channel, ev.Peer = DialAnswered, s.snap(f[1], true), s.snap(f[2], true)
	case f[0] == "out":
		ev.Kind, ev.Channel, ev.Bridge = BridgeLeft, s.snap(f[1], true), Bridge{ID: s.in[f[1]]}
	default:
		panic("unknown line " + strings.Join(f, " "))
	}
	s.evs = append(s.evs, ev)
	s.at = s.at.Add(10 * time.Millisecond)
}

// run applies the events, lets all grace times end, and describes the changes.
func run(evs []Event) []string {
	m := New(Config{})
	var changes []Change
	for _, ev := range evs {
		changes = append(changes, m.Apply(ev)...)
	}
	return describe(append(changes, m.Advance(epoch.Add(time.Hour))...))
}

func describe(changes []Change) []string {
	out := []string{}
	for _, c := range changes {
		line := fmt.Sprintf("%d %s", c.Talk, c.Kind)
		for _, l := range c.Legs {
			line += " " + l.ID + ":" + l.Role.String()
			for _, h := range l.Via {
				if h.Queue != "" {
					line += "/" + h.Queue
				}
			}
		}
		if c.MergedInto != 0 {
			line += fmt.Sprintf(" into %d", c.MergedInto)
		}
		out = append(out, line)
	}
	return out
}

const answered = `
	+a PJSIP/alice
	app a Dial
	+b PJSIP/bob
	dial a b
	up b
	up a
	in b X
	in a X
`

func TestTalks(t *testing.T) {
	tests := []struct {
		name, script string
		want         []string
	}{
		{"answered call", answered + "out b\n-b\nout a\n-a", []string{
			"1 began a:caller b:peer", "1 suspended a:caller b:peer", "1 ended",
		}},
		{"unanswered call is no talk", "+a PJSIP/alice\n+b PJSIP/bob\ndial a b\n-b\n-a", []string{}},
		{"voicemail after a talk is not in it", answered + "out b\n-b\nout a\nwait 5s\n-a", []string{
			"1 began a:caller b:peer", "1 suspended a:caller b:peer", "1 ended a:caller",
		}},
		{"a leg between two bridges keeps the talk", answered + "out b\nin b Y\nout a\nin a Y\n-a\n-b", []string{
			"1 began a:caller b:peer", "1 suspended a:caller b:peer", "1 resumed a:caller b:peer",
			"1 suspended b:peer", "1 ended",
		}},
		{"parking is no talk", "+a PJSIP/alice\n+b PJSIP/bob\nup a\nup b\nin a H1\nin b H1", []string{}},
		{"a conference is no talk", `+a PJSIP/alice
			app a ConfBridge
			up a
			in a X
			+b PJSIP/bob
			app b ConfBridge
			up b
			in b X`, []string{}},
		{"queue through a Local pair", `+a PJSIP/alice
			app a Queue:support,tT
			+l Local/1002@users-1;1
			+m Local/1002@users-1;2
			dial a l
			app m Dial
			+b PJSIP/bob
			dial m b
			up b
			in m Y
			in b Y
			up a
			in l X
			in a X
			-a
			-b`, []string{
			"1 began a:caller b:peer/support", "1 suspended b:peer/support", "1 ended",
		}},
		{"local optimisation changes nothing", `+a PJSIP/alice
			+l Local/1002@users-1;1
			+m Local/1002@users-1;2
			dial a l
			+b PJSIP/bob
			dial m b
			up a
			in a X
			in l X
			in m Y
			in b Y
			out m
			in a Y
			-m
			-l
			-a
			-b`, []string{
			"1 began a:caller b:peer", "1 suspended a:caller b:peer", "1 resumed a:caller b:peer",
			"1 suspended b:peer", "1 ended",
		}},
		{"blind transfer by the caller", answered + `out a
			-a
			app b Dial
			+c PJSIP/carol
			dial b c
			up c
			out b
			in c Y
			in b Y
			-c
			-b`, []string{
			"1 began a:caller b:peer", "1 suspended a:caller b:peer", "1 changed b:caller c:peer",
			"1 suspended b:caller", "1 ended",
		}},
		{"attended transfer joins the older talk", answered + `+d PJSIP/bob
			+c PJSIP/carol
			dial d c
			up c
			up d
			in d Y
			in c Y
			out b
			out d
			in a Y
			-d
			-b
			-a
			-c`, []string{
			"1 began a:caller b:peer", "2 began d:caller c:peer", "1 suspended a:caller b:peer",
			"2 suspended d:caller c:peer", "1 changed a:caller c:peer", "2 ended d:caller c:peer into 1",
			"1 suspended c:peer", "1 ended",
		}},
		{"pickup puts another endpoint behind the leg", answered + "name b PJSIP/carol-0000000c\n-a\n-b", []string{
			"1 began a:caller b:peer", "1 changed a:caller b:peer", "1 suspended b:peer", "1 ended",
		}},
		{"who answers without having been dialled has picked up", `+a PJSIP/alice
			app a Queue:support,tT
			+b PJSIP/bob
			dial a b
			+c PJSIP/carol
			up c
			answer a c
			-b
			up a
			in c X
			in a X
			-a
			-c`, []string{
			"1 began a:caller c:peer", "1 suspended c:peer", "1 ended",
		}},
		{"who becomes the line of a queue has picked up", `+a PJSIP/alice
			app a Queue:support,tT
			+b PJSIP/bob
			dial a b
			+c PJSIP/carol
			app c PickupChan
			up c
			app c AppQueue
			up a
			in c X
			in a X`, []string{"1 began a:caller c:peer"}},
		{"an application run by a feature code leaves the via alone", `+a PJSIP/alice
			app a Queue:support,tT
			+b PJSIP/bob
			app b AppQueue
			dial a b
			up a
			answer a b
			in b X
			in a X
			app b UserEvent
			app b AppQueue
			out a
			in a X`, []string{
			"1 began a:caller b:peer/support", "1 suspended a:caller b:peer/support", "1 resumed a:caller b:peer/support",
		}},
		{"who answers keeps what led there", `+a PJSIP/alice
			app a Queue:support,tT
			+b PJSIP/bob
			dial a b
			answer a b
			in a X
			in b X`, []string{"1 began a:caller b:peer/support"}},
		{"last words about a channel do not bring it back", answered + "-b\nup b\nout b\nup b\n-a\nup a", []string{
			"1 began a:caller b:peer", "1 suspended a:caller", "1 ended",
		}},
		{"a redirected leg goes on as its successor", answered + `out b
			+s Surrogate/bob
			name s PJSIP/bob-0000000b
			-b Surrogate/bob<ZOMBIE>
			in s X
			-a
			-s`, []string{
			"1 began a:caller b:peer", "1 suspended a:caller b:peer", "1 changed a:caller s:caller",
			"1 suspended s:caller", "1 ended",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, run(events(tt.script))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRestartEndsEveryTalk(t *testing.T) {
	m := New(Config{})
	for _, ev := range events(answered) {
		m.Apply(ev)
	}
	got := describe(m.Apply(Event{At: epoch.Add(time.Minute), Kind: Restarted}))
	if diff := cmp.Diff([]string{"1 ended a:caller b:peer"}, got); diff != "" {
		t.Error(diff)
	}
	if n := len(m.Channels()); n != 0 {
		t.Errorf("%d channels left after a restart", n)
	}
}

func TestResyncFindsTalksWithUnknownRoles(t *testing.T) {
	m := New(Config{})
	got := describe(m.Resync(epoch, Picture{
		Channels: []Channel{{ID: "a", Name: "PJSIP/alice-1", Up: true}, {ID: "b", Name: "PJSIP/bob-2", Up: true}},
		Bridges:  []BridgeState{{Bridge: Bridge{ID: "X"}, Members: []string{"a", "b"}}},
	}))
	if diff := cmp.Diff([]string{"1 began a:unknown b:unknown"}, got); diff != "" {
		t.Error(diff)
	}
	got = describe(m.Resync(epoch.Add(time.Second), Picture{}))
	if want := "1 ended"; !slices.Contains(got, want) {
		t.Errorf("after an empty picture: %v, want %q among them", got, want)
	}
}

// genLog draws a random but possible log: channels come, are answered, move
// between bridges and go.
func genLog(rt *rapid.T, prefix string) []Event {
	var evs []Event
	at := epoch
	alive := []string{}
	serial := 0
	for range rapid.IntRange(1, 40).Draw(rt, "steps") {
		at = at.Add(time.Duration(rapid.IntRange(0, 900).Draw(rt, "ms")) * time.Millisecond)
		if len(alive) == 0 || rapid.IntRange(0, 4).Draw(rt, "new") == 0 {
			serial++
			id := fmt.Sprintf("%s%d", prefix, serial)
			tech := rapid.SampledFrom([]string{"PJSIP/u", "Local/x@y"}).Draw(rt, "tech")
			alive = append(alive, id)
			evs = append(evs, Event{At: at, Kind: ChannelStarted, Channel: Channel{ID: id, Name: tech + id + "-0001"}})
			continue
		}
		id := rapid.SampledFrom(alive).Draw(rt, "channel")
		ev := Event{At: at, Channel: Channel{ID: id, Name: "PJSIP/u" + id + "-0001", Up: true}}
		ev.Kind = rapid.SampledFrom([]Kind{ChannelChanged, BridgeEntered, BridgeEntered, BridgeLeft, ChannelEnded}).Draw(rt, "kind")
		if ev.Kind == BridgeEntered {
			ev.Bridge.ID = prefix + rapid.SampledFrom([]string{"X", "Y"}).Draw(rt, "bridge")
		}
		if ev.Kind == ChannelEnded {
			alive = slices.DeleteFunc(alive, func(s string) bool { return s == id })
		}
		evs = append(evs, ev)
	}
	return evs
}

// TestSplitGivesTheSameTalks: reading a log in pieces, with the clock ticking
// in between, changes nothing.
func TestSplitGivesTheSameTalks(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		evs := genLog(rt, "c")
		want := run(evs)
		m := New(Config{})
		var changes []Change
		for i, ev := range evs {
			changes = append(changes, m.Apply(ev)...)
			if i+1 < len(evs) && rapid.Bool().Draw(rt, "tick") {
				changes = append(changes, m.Advance(evs[i+1].At.Add(-time.Nanosecond))...)
			}
		}
		got := describe(append(changes, m.Advance(epoch.Add(time.Hour))...))
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatal(diff)
		}
	})
}

// TestInterleavedCallsDoNotTouchEachOther: two calls told one after the other
// or in any mixture that keeps each one's order have the same talks.
func TestInterleavedCallsDoNotTouchEachOther(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		a, b := genLog(rt, "a"), genLog(rt, "b")
		mixed := append(slices.Clone(a), b...)
		slices.SortStableFunc(mixed, func(x, y Event) int { return x.At.Compare(y.At) })
		alone := append(withoutNumbers(run(a)), withoutNumbers(run(b))...)
		together := withoutNumbers(run(mixed))
		slices.Sort(alone)
		slices.Sort(together)
		if diff := cmp.Diff(alone, together); diff != "" {
			rt.Fatal(diff)
		}
	})
}

func withoutNumbers(lines []string) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		_, out[i], _ = strings.Cut(l, " ")
		if head, _, ok := strings.Cut(out[i], " into "); ok {
			out[i] = head
		}
	}
	return out
}

// TestTalkInvariants: a talk that goes on has two different legs, no leg is in
// two talks, and nothing is left when all channels are gone.
func TestTalkInvariants(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := New(Config{})
		evs := genLog(rt, "c")
		open := map[TalkID]bool{}
		check := func(changes []Change) {
			for _, c := range changes {
				open[c.Talk] = c.Kind != Ended
				if c.Kind == Ended {
					delete(open, c.Talk)
				}
				if (c.Kind == Began || c.Kind == Changed || c.Kind == Resumed) && len(c.Legs) < 2 {
					rt.Fatalf("talk %d %s with %d legs", c.Talk, c.Kind, len(c.Legs))
				}
			}
			seen := map[string]TalkID{}
			for id, tk := range m.talks {
				for leg := range tk.legs {
					if other, dup := seen[leg]; dup {
						rt.Fatalf("leg %s in talks %d and %d", leg, other, id)
					}
					seen[leg] = id
				}
			}
		}
		for _, ev := range evs {
			check(m.Apply(ev))
		}
		end := evs[len(evs)-1].At
		for id := range m.channels {
			check(m.Apply(Event{At: end, Kind: ChannelEnded, Channel: Channel{ID: id}}))
		}
		check(m.Advance(end.Add(Grace)))
		if len(open) > 0 || len(m.talks) > 0 || len(m.byLeg) > 0 || len(m.bridges) > 0 || len(m.locals) > 0 {
			rt.Fatalf("left over: %v %v %v %v %v", open, m.talks, m.byLeg, m.bridges, m.locals)
		}
	})
}

// TestAnswerAfterResync: the dial was missed, its end tells as much.
func TestAnswerAfterResync(t *testing.T) {
	s := &script{at: epoch, names: map[string]string{"a": "PJSIP/alice-1", "b": "PJSIP/bob-1"}, apps: map[string]string{"a": "Queue:support"}, in: map[string]string{}}
	m := New(Config{})
	changes := m.Resync(epoch, Picture{Channels: []Channel{s.snap("a", true), s.snap("b", false)}})
	for _, line := range []string{"answer a b", "in a X", "in b X"} {
		s.line(strings.Fields(line))
	}
	for _, ev := range s.evs {
		changes = append(changes, m.Apply(ev)...)
	}
	if diff := cmp.Diff([]string{"1 began a:caller b:peer/support"}, describe(changes)); diff != "" {
		t.Error(diff)
	}
}

// TestLegNow: who somebody is at the moment at which a button is pressed.
func TestLegNow(t *testing.T) {
	m := New(Config{})
	apply := func(lines string) {
		for _, ev := range events(lines) {
			m.Apply(ev)
		}
	}
	apply(`+a PJSIP/alice
		app a Queue:support,tT
		+l Local/1002@users-1;1
		+m Local/1002@users-1;2
		dial a l
		+b PJSIP/bob
		dial m b
		+s Snoop/a`)
	if leg, ok := m.Leg("b"); !ok || leg.Role != RolePeer || leg.Endpoint() != "PJSIP/bob" || !leg.Joined.IsZero() ||
		!slices.ContainsFunc(leg.Via, func(h Hop) bool { return h.Queue == "support" }) {
		t.Errorf("before the talk bob's leg is %+v, %t", leg, ok)
	}
	for _, id := range []string{"l", "m", "s", "nobody"} {
		if leg, ok := m.Leg(id); ok {
			t.Errorf("%s is a leg: %+v", id, leg)
		}
	}
	if talks := m.Talks(); len(talks) != 0 {
		t.Errorf("talks: %+v", talks)
	}
	m = New(Config{})
	apply(answered)
	leg, ok := m.Leg("a")
	talks := m.Talks()
	if !ok || len(talks) != 1 || talks[0].ID != 1 || talks[0].Suspended || len(talks[0].Legs) != 2 {
		t.Fatalf("leg %+v, %t; talks %+v", leg, ok, talks)
	}
	if diff := cmp.Diff(talks[0].Legs[0], leg); diff != "" || leg.Joined.IsZero() {
		t.Errorf("alone and in the talk (-want +got):\n%s", diff)
	}
	apply(answered + "out b")
	if talks := m.Talks(); len(talks) != 1 || !talks[0].Suspended {
		t.Errorf("with one leg: %+v", talks)
	}
}
