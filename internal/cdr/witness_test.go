package cdr

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"callrecordd/internal/call"
)

// stand is a witness with a call between alice and bob.
type stand struct {
	t  *testing.T
	w  *Witness
	at time.Time
	n  int
}

func newStand(t *testing.T) *stand {
	return &stand{t: t, w: NewWitness(nil), at: time.Unix(1700000000, 0)}
}

func (s *stand) apply(kind call.Kind, c, peer call.Channel, bridge string) {
	s.at = s.at.Add(100 * time.Millisecond)
	s.w.Apply(s.at, call.Event{At: s.at, Kind: kind, Channel: c, Peer: peer, Bridge: call.Bridge{ID: bridge}})
}

// talk has alice call bob and returns their channels while they talk.
func (s *stand) talk() (a, b call.Channel) {
	s.n++
	bridge := fmt.Sprintf("bridge-%d", s.n)
	a = call.Channel{ID: fmt.Sprintf("1700000000.%d", 2*s.n), Name: fmt.Sprintf("PJSIP/alice-%08x", 2*s.n), CallerNumber: "2001", Exten: "2002", Context: "users"}
	b = call.Channel{ID: fmt.Sprintf("1700000000.%d", 2*s.n+1), Name: fmt.Sprintf("PJSIP/bob-%08x", 2*s.n+1), CallerNumber: "2002", Exten: "s", Context: "users"}
	s.apply(call.ChannelStarted, a, call.Channel{}, "")
	a.App, a.AppData = "Dial", "PJSIP/bob,30"
	s.apply(call.ChannelChanged, a, call.Channel{}, "")
	s.apply(call.ChannelStarted, b, call.Channel{}, "")
	s.apply(call.DialBegun, a, b, "")
	a.Up, b.Up = true, true
	s.apply(call.DialAnswered, a, b, "")
	s.apply(call.BridgeEntered, a, call.Channel{}, bridge)
	s.apply(call.BridgeEntered, b, call.Channel{}, bridge)
	return a, b
}

// recordedTalk is a witness that has seen the call of which the journal's rows are
// on file, while they talk.
func recordedTalk(t *testing.T) (s *stand, rows []celRow, a, b call.Channel) {
	t.Helper()
	s, rows = newStand(t), loadShape(t, "internal_answered")
	first := parseAll(t, rows)[0]
	s.n, s.at = -1, first.At // the ids of that call
	if a, b = s.talk(); a.ID != first.UniqueID {
		t.Fatalf("%s is not %s", a.ID, first.UniqueID)
	}
	return s, rows, a, b
}

func (s *stand) hangUp(a, b call.Channel) {
	s.apply(call.ChannelEnded, b, call.Channel{}, "")
	s.apply(call.ChannelEnded, a, call.Channel{}, "")
}

func (s *stand) derived(list []Evidence) []CDR {
	var out []CDR
	for _, e := range list {
		if c, ok := DeriveSeen(e, office{}, nil); ok {
			out = append(out, c)
		}
	}
	return out
}

func ends(channels ...call.Channel) []Row {
	var out []Row
	for _, c := range channels {
		out = append(out, Row{Type: eventChanEnd, UniqueID: c.ID, LinkedID: c.ID})
	}
	return out
}

// TestOnlyWhatTheJournalLacksIsMissed: a call whose ends are in the journal is
// no gap, whether they were read before or after their events.
func TestOnlyWhatTheJournalLacksIsMissed(t *testing.T) {
	s := newStand(t)
	a, b := s.talk()
	s.w.Read([]Row{{Type: eventChanStart, UniqueID: a.ID}})
	s.hangUp(a, b)
	s.w.Read(ends(a, b))
	early := call.Channel{ID: "1700000000.90", Name: "PJSIP/carol-00000090"}
	s.w.Read(ends(early)) // faster than the events
	s.apply(call.ChannelStarted, early, call.Channel{}, "")
	s.apply(call.ChannelEnded, early, call.Channel{}, "")
	// One half of it only: the other was over before events were seen again.
	local := call.Channel{ID: "1700000000.91", Name: "Local/2002@users-00000001;1"}
	s.apply(call.ChannelStarted, local, call.Channel{}, "")
	s.apply(call.ChannelEnded, local, call.Channel{}, "")
	if list := s.w.Missing(s.at.Add(time.Minute)); len(list) != 0 {
		t.Errorf("%+v", list)
	}
	if len(s.w.calls)+len(s.w.channels)+len(s.w.bridges)+len(s.w.locals) != 0 {
		t.Errorf("not forgotten: %d calls, %d channels, %d bridges, %d halves", len(s.w.calls), len(s.w.channels), len(s.w.bridges), len(s.w.locals))
	}
}

// TestFullDiskOfTheJournalIsToldAndTheCallKept: after ten seconds, and that it is
// written again is known by the next call.
func TestFullDiskOfTheJournalIsToldAndTheCallKept(t *testing.T) {
	s := newStand(t)
	a, b := s.talk()
	s.at = s.at.Add(5 * time.Second)
	s.hangUp(a, b)
	over := s.at
	if list := s.w.Missing(over.Add(9 * time.Second)); len(list) != 0 {
		t.Fatalf("before its time: %+v", list)
	}
	list := s.w.Missing(over.Add(11 * time.Second))
	if len(list) != 1 || !list[0].Stalled || len(list[0].Channels) != 2 {
		t.Fatalf("%+v", list)
	}
	cdrs := s.derived(list)
	if len(cdrs) != 1 {
		t.Fatalf("%+v", list)
	}
	c := cdrs[0]
	if c.Source != SourceLive || c.SourceUserUUID != "u-alice" || c.DestinationUserUUID != "u-bob" || c.CallStatus != StatusAnswered ||
		c.ConversationID != a.ID || !c.End.Equal(over) || c.End.Sub(c.Answer) < 5*time.Second {
		t.Errorf("%+v", c)
	}
	again := s.derived(s.w.Missing(over.Add(12 * time.Second)))
	if len(again) != 1 {
		t.Error("lost although nobody has stored it")
	}
	s.w.Told(list)
	if again := s.derived(s.w.Missing(over.Add(13 * time.Second))); len(again) != 0 {
		t.Error("told twice")
	}
	s.at = over.Add(20 * time.Second)
	a, b = s.talk()
	s.hangUp(a, b)
	s.w.Read(ends(a, b))
	if list := s.w.Missing(s.at.Add(11 * time.Second)); len(list) != 1 || list[0].Stalled {
		t.Errorf("still stalled: %+v", list)
	}
	if s.w.Missing(over.Add(forgetTime)); len(s.w.calls) != 0 {
		t.Error("kept for ever")
	}
}

// TestKilledAsteriskLeavesACompleteCall: it ended when it was last seen, not with
// the last thing that happened in it.
func TestKilledAsteriskLeavesACompleteCall(t *testing.T) {
	s := newStand(t)
	boot := s.at.Add(-time.Hour)
	s.w.Resync(s.at, boot, call.Picture{})
	s.talk()
	died := s.at.Add(10 * time.Minute)
	s.w.Lose(died)
	s.at = died.Add(time.Minute)
	s.w.Apply(s.at, call.Event{At: s.at, Kind: call.Restarted})
	s.w.Resync(s.at, s.at, call.Picture{})
	list := s.w.Missing(s.at.Add(11 * time.Second))
	cdrs := s.derived(list)
	if len(cdrs) != 1 || !cdrs[0].End.Equal(died) || !cdrs[0].Journal.Boot.Equal(boot) || list[0].Stalled {
		t.Errorf("%+v", cdrs)
	}
}

// TestHalfACallInTheJournalIsMadeWhole: its rows end where the disk was full.
// What the events say makes it whole; rows that come after all count more.
func TestHalfACallInTheJournalIsMadeWhole(t *testing.T) {
	s, rows, a, b := recordedTalk(t)
	s.at = s.at.Add(time.Minute)
	s.hangUp(a, b)
	over := s.at

	path := filepath.Join(t.TempDir(), "master.db")
	journal, store := newPen(t, path, 1), newMemoryStore()
	journal.write(rows[:3]...)
	now := over.Add(time.Hour)
	f := follower(t, path, store, func(c *FollowerConfig) {
		c.Witness, c.Live, c.Now = s.w, nothing{now}, func() time.Time { return now }
	})
	defer f.closeJournal()
	drain(t, f)
	got := store.all()
	if len(got) != 1 || got[0].Source != SourceLive || got[0].CallStatus != StatusAnswered || !got[0].End.Equal(over) {
		t.Fatalf("%+v", got)
	}
	for _, e := range s.w.Missing(over.Add(11 * time.Second)) {
		if len(e.Rows) > 0 {
			t.Error("derived by two")
		}
	}
	journal.write(rows[3:]...)
	drain(t, f)
	if got := store.all(); len(got) != 1 || got[0].Source != SourceJournal {
		t.Errorf("%+v", got)
	}
}

// TestCallThatOnlyLacksItsLastRowEndsForALateFollower: both ends are in the
// journal, its last row is not, and the witness has forgotten the call by the
// time a follower that was slow asks for it.
func TestCallThatOnlyLacksItsLastRowEndsForALateFollower(t *testing.T) {
	s, rows, a, b := recordedTalk(t)
	s.hangUp(a, b)
	s.w.Read(ends(a, b))
	now := s.at.Add(time.Minute)
	if missing := s.w.Missing(now); len(missing) > 0 {
		t.Fatalf("%+v", missing)
	}
	path := filepath.Join(t.TempDir(), "master.db")
	journal, store := newPen(t, path, 1), newMemoryStore()
	journal.write(rows[:len(rows)-1]...)
	f := follower(t, path, store, func(c *FollowerConfig) {
		c.Witness, c.Now = s.w, func() time.Time { return now }
	})
	defer f.closeJournal()
	drain(t, f)
	if got := store.all(); len(got) != 1 || got[0].CallStatus != StatusAnswered {
		t.Errorf("%+v", got)
	}
}

// nothing is a live model without channels.
type nothing struct{ at time.Time }

func (n nothing) Channels() (map[string]struct{}, time.Time, bool) {
	return map[string]struct{}{}, n.at, true
}

// TestCallsFoundGoingOnAreWitnessedInPart: what began before our time is no
// better than the journal.
func TestCallsFoundGoingOnAreWitnessedInPart(t *testing.T) {
	s := newStand(t)
	a := call.Channel{ID: "1700000000.1", Name: "PJSIP/alice-00000001", Up: true}
	b := call.Channel{ID: "1700000000.2", Name: "PJSIP/bob-00000002", Up: true}
	p := call.Picture{Channels: []call.Channel{a, b}, Bridges: []call.BridgeState{{Bridge: call.Bridge{ID: "x"}, Members: []string{a.ID, b.ID}}}}
	s.w.Resync(s.at, s.at, p)
	s.w.Lose(s.at)
	s.w.Resync(s.at.Add(time.Second), s.at, p) // and again after a gap
	s.hangUp(a, b)
	if _, ok := s.w.About([]string{a.ID, b.ID}); ok {
		t.Error("taken for the whole")
	}
	if got := s.derived(s.w.Missing(s.at.Add(time.Minute))); len(got) != 1 || got[0].CallStatus != StatusAnswered {
		t.Errorf("%+v", got)
	}
}

// TestJournalThatLagsIsToldAsStalled: ends of older calls still come in, each of
// them too late. Nobody loses a call by it.
func TestJournalThatLagsIsToldAsStalled(t *testing.T) {
	s := newStand(t)
	var ended [][2]call.Channel
	stalled := false
	for range 20 {
		a, b := s.talk()
		s.hangUp(a, b)
		ended = append(ended, [2]call.Channel{a, b})
		if n := len(ended) - 4; n >= 0 { // twenty seconds late
			s.w.Read(ends(ended[n][0], ended[n][1]))
		}
		s.at = s.at.Add(5 * time.Second)
		for _, e := range s.w.Missing(s.at) {
			stalled = stalled || e.Stalled
		}
	}
	if !stalled {
		t.Error("not told")
	}
	for _, c := range ended {
		s.w.Read(ends(c[0], c[1]))
	}
	if list := s.w.Missing(s.at); len(list) != 0 {
		t.Errorf("%+v", list)
	}
}

// TestAStallWithoutFurtherCallsIsNotOver: at night nobody calls, and that the call
// is forgotten does not mean that the journal is written again.
func TestAStallWithoutFurtherCallsIsNotOver(t *testing.T) {
	s := newStand(t)
	a, b := s.talk()
	s.hangUp(a, b)
	over := s.at
	if s.w.Missing(over.Add(forgetTime)); len(s.w.calls) != 0 || !s.w.Stalled() {
		t.Error("it is written again, as if by itself")
	}
	s.at = over.Add(time.Hour)
	a, b = s.talk()
	s.hangUp(a, b)
	if s.w.Read(ends(a, b)); s.w.Stalled() {
		t.Error("a later end is in it")
	}
}
