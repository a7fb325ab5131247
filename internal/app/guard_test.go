package app

import (
	"testing"
	"time"

	"callrecordd/config"
	"callrecordd/dialplan"
	"callrecordd/internal/recorder"
)

// guardRig asks once a second about one talk of a must-record user and another one.
type guardRig struct {
	guard
	now  time.Time
	cfg  config.Alarms
	bare []recorder.Bare
}

func newGuardRig(change func(*config.Alarms)) *guardRig {
	g := &guardRig{guard: guard{talks: map[string]*bareTalk{}}, now: time.Unix(1_700_000_000, 0), cfg: config.Default().Alarms}
	change(&g.cfg)
	g.bare = []recorder.Bare{{Talk: 1, Since: g.now, Recording: "r", Parties: []dialplan.Party{
		{Leg: "a", Kind: dialplan.KindUser, UserUUID: "must", Tenant: "t"},
		{Leg: "b", Kind: dialplan.KindUser, UserUUID: "may", Tenant: "t"},
		{Leg: "c", Kind: dialplan.KindTrunk},
	}}}
	return g
}

// second is what is done in the next one: A alarm, T tone, H hang-up.
func (g *guardRig) second() (did string) {
	g.now = g.now.Add(time.Second)
	for _, x := range g.decide(g.now, g.cfg, g.bare, func(u string) bool { return u == "must" }) {
		did += x.leg
		if x.alarm {
			did += "A"
		}
		if x.tone {
			did += "T"
		}
		if x.hangUp {
			did += "H"
		}
	}
	return did
}

func (g *guardRig) seconds(n int) (out []string) {
	for range n {
		out = append(out, g.second())
	}
	return out
}

func check(t *testing.T, got []string, want map[int]string) {
	t.Helper()
	for i, did := range got {
		if did != want[i+1] {
			t.Errorf("second %d: %q, wanted %q", i+1, did, want[i+1])
		}
	}
}

func TestACallIsNeverEndedWithoutTheSetting(t *testing.T) {
	g := newGuardRig(func(*config.Alarms) {})
	check(t, g.seconds(600), map[int]string{10: "aA"})
}

func TestToneOfAFailureIsHeardOnce(t *testing.T) {
	g := newGuardRig(func(c *config.Alarms) { c.Tone = true })
	check(t, g.seconds(60), map[int]string{10: "aATbT"})
}

func TestAMustRecordCallIsEndedAfterATone(t *testing.T) {
	g := newGuardRig(func(c *config.Alarms) { c.HangUp = true })
	check(t, g.seconds(60), map[int]string{10: "aAT", 12: "aH"})
}

func TestACallThatIsRecordedInTimeIsNotEnded(t *testing.T) {
	g := newGuardRig(func(c *config.Alarms) { c.HangUp = true })
	check(t, g.seconds(11), map[int]string{10: "aAT"})
	bare := g.bare
	g.bare = nil // it is on file at the last moment
	check(t, g.seconds(10), nil)
	bare[0].Since = g.now // and breaks off again: all its time once more
	g.bare = bare
	check(t, g.seconds(12), map[int]string{10: "aAT", 12: "aH"})
}
