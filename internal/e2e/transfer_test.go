package e2e

import (
	"testing"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/lab"
)

// rulesOf is short for the flags of a few users.
type rulesOf = map[string]dialplan.Flags

var inOutInt = dialplan.Flags{OutgoingInternal: true, IncomingInternal: true}

const outsideNumber = lab.PrefixOut + "0309876543"

// Blind transfers, by the phone's REFER unless the name says otherwise.
func TestBlindTransfer(t *testing.T) {
	t.Parallel()
	s := newStage(t, lab.Config{})
	// blind is a call from alice to bob that one of them transfers.
	blind := func(by, exten string, then func(s *stage, left *lab.Call, who string)) func(*stage) {
		return func(s *stage) {
			caller, callee := s.meet("alice", "1002", "bob")
			leaves, left, who := callee, caller, "alice"
			if by == "alice" {
				leaves, left, who = caller, callee, "bob"
			}
			must(s.t, leaves.BlindTransfer(within(s.t), exten))
			then(s, left, who)
			s.over(leaves)
		}
	}
	to := func(target string) func(*stage, *lab.Call, string) {
		return func(s *stage, left *lab.Call, who string) {
			c := s.takes(target)
			s.both(left, who, c, target)
			s.over(left)
			s.gone(c)
		}
	}
	feature := func(exten string, then func(*stage, *lab.Call, string)) func(*stage) {
		return func(s *stage) {
			caller, callee := s.meet("alice", "1002", "bob")
			s.presses(callee, lab.FeatureBlind)
			s.hear(caller, "music")
			s.presses(callee, exten)
			then(s, caller, "alice")
			s.gone(callee)
		}
	}
	slow := func(s *stage, left *lab.Call, who string) {
		c := s.rings("carol")
		must(s.t, left.Talk(within(s.t), 3*time.Second))
		must(s.t, c.Answer(within(s.t)))
		c.Play(toneC)
		s.both(left, who, c, "carol")
		s.over(left)
		s.gone(c)
	}

	s.run(t, []situation{{
		name: "by the callee, the caller is recorded", rules: rulesOf{"alice": outInt},
		play:    blind("bob", "1003", to("carol")),
		want:    []file{{"alice rule.out.internal", false, []string{"alice+bob", gap, "alice+carol"}}},
		decided: []string{"began: alice=rule.out.internal bob", "changed: alice=rule.out.internal carol"},
	}, {
		name: "by the callee, who was recorded", rules: rulesOf{"bob": inInt},
		play:    blind("bob", "1003", to("carol")),
		want:    []file{{"bob rule.in.internal", false, []string{"alice+bob"}}},
		decided: []string{"began: alice bob=rule.in.internal", "changed: alice carol"},
	}, {
		name: "by the callee, who was recorded, to one who is", rules: rulesOf{"bob": inInt, "carol": inInt},
		play: blind("bob", "1003", to("carol")),
		want: []file{
			{"bob rule.in.internal", false, []string{"alice+bob"}},
			{"carol rule.in.internal", true, []string{"alice+carol"}},
		},
		decided: []string{"began: alice bob=rule.in.internal", "changed: alice carol=rule.in.internal"},
	}, {
		name: "by the caller, who was recorded", rules: rulesOf{"alice": outInt},
		play:    blind("alice", "1003", to("carol")),
		want:    []file{{"alice rule.out.internal", false, []string{"alice+bob"}}},
		decided: []string{"began: alice=rule.out.internal bob", "changed: bob carol"},
	}, {
		name: "by the caller, the callee is recorded for being called", rules: rulesOf{"bob": inInt},
		play:    blind("alice", "1003", to("carol")),
		want:    []file{{"bob rule.in.internal", false, []string{"alice+bob", gap}}},
		decided: []string{"began: alice bob=rule.in.internal", "changed: bob carol"},
	}, {
		name: "by the caller, the callee is recorded either way", rules: rulesOf{"bob": inOutInt},
		play:    blind("alice", "1003", to("carol")),
		want:    []file{{"bob rule.out.internal", false, []string{"alice+bob", gap, "bob+carol"}}},
		decided: []string{"began: alice bob=rule.in.internal", "changed: bob=rule.out.internal carol"},
	}, {
		name: "the target wants it", rules: rulesOf{"carol": inInt},
		play:    blind("bob", "1003", to("carol")),
		want:    []file{{"carol rule.in.internal", false, []string{"alice+carol"}}},
		decided: []string{"began: alice bob", "changed: alice carol=rule.in.internal"},
	}, {
		name: "all want it, the first claimant leaves", rules: rulesOf{"alice": inOutInt, "bob": inOutInt, "carol": inOutInt},
		play: blind("alice", "1003", to("carol")),
		want: []file{
			{"alice rule.out.internal, bob rule.in.internal", false, []string{"alice+bob"}},
			{"bob rule.out.internal, carol rule.in.internal", true, []string{"bob+carol"}},
		},
		decided: []string{"began: alice=rule.out.internal bob=rule.in.internal", "changed: bob=rule.out.internal carol=rule.in.internal"},
	}, {
		name: "both want it, the second claimant leaves", rules: rulesOf{"alice": outInt, "bob": inInt},
		play:    blind("bob", "1003", to("carol")),
		want:    []file{{"alice rule.out.internal", false, []string{"alice+bob", gap, "alice+carol"}}},
		decided: []string{"began: alice=rule.out.internal bob=rule.in.internal", "changed: alice=rule.out.internal carol"},
	}, {
		name: "the target answers after more than two seconds", rules: rulesOf{"alice": outInt},
		play: blind("bob", "1003", slow),
		want: []file{
			{"alice rule.out.internal", false, []string{"alice+bob", gap}},
			{"alice rule.out.internal", false, []string{"alice+carol"}},
		},
		decided: []string{"began: alice=rule.out.internal bob", "began: alice=rule.out.internal carol"},
	}, {
		name: "the target is busy", rules: rulesOf{"alice": outInt},
		play: blind("bob", "1003", func(s *stage, left *lab.Call, _ string) {
			must(s.t, s.rings("carol").Reject(within(s.t), 486))
			s.gone(left)
		}),
		want:    []file{{"alice rule.out.internal", false, []string{"alice+bob", gap}}},
		decided: []string{"began: alice=rule.out.internal bob"},
	}, {
		name: "the target does not answer", rules: rulesOf{"alice": outInt},
		play: blind("bob", "1003", func(s *stage, left *lab.Call, _ string) {
			c := s.rings("carol")
			must(s.t, left.Talk(within(s.t), 3*time.Second))
			s.over(left)
			s.gone(c)
		}),
		want:    []file{{"alice rule.out.internal", false, []string{"alice+bob", gap}}},
		decided: []string{"began: alice=rule.out.internal bob"},
	}, {
		name: "to the outside, internal calls are recorded", rules: rulesOf{"alice": outInt},
		play:    blind("bob", outsideNumber, to("trunk-a")),
		want:    []file{{"alice rule.out.internal", false, []string{"alice+bob", gap}}},
		decided: []string{"began: alice=rule.out.internal bob", "changed: alice trunk-a"},
	}, {
		name: "to the outside, external calls are recorded", rules: rulesOf{"alice": outExt},
		play:    blind("bob", outsideNumber, to("trunk-a")),
		want:    []file{{"alice rule.out.external", false, []string{"alice+trunk-a"}}},
		decided: []string{"began: alice bob", "changed: alice=rule.out.external trunk-a"},
	}, {
		name: "to a group, one of whom is recorded", rules: rulesOf{"carol": inInt},
		play: func(s *stage) {
			caller, callee := s.meet("alice", "1004", "dave")
			must(s.t, callee.BlindTransfer(within(s.t), lab.ExtenGroup))
			loser := s.rings("bob")
			c := s.takes("carol")
			s.gone(loser)
			s.both(caller, "alice", c, "carol")
			s.over(c)
			s.gone(caller, callee)
		},
		want:    []file{{"carol rule.in.internal", false, []string{"alice+carol"}}},
		decided: []string{"began: alice dave", "changed: alice carol=rule.in.internal"},
	}, {
		name: "by DTMF, the caller is recorded", rules: rulesOf{"alice": outInt},
		play:    feature("1003", to("carol")),
		want:    []file{{"alice rule.out.internal", false, []string{"alice+bob", held, gap, "alice+carol"}}},
		decided: []string{"began: alice=rule.out.internal bob", "changed: alice=rule.out.internal carol"},
	}, {
		name: "by DTMF, the callee was recorded", rules: rulesOf{"bob": inInt},
		play:    feature("1003", to("carol")),
		want:    []file{{"bob rule.in.internal", false, []string{"alice+bob", gap}}},
		decided: []string{"began: alice bob=rule.in.internal", "changed: alice carol"},
	}})
}

// Asterisk drops what a new party says if its RTP sequence numbers are lower
// than those of the party before, for as long as any recorder stays on the leg
// (asterisk#507): on a real PBX every second transfer.
func TestWhoTakesOverIsHeardWhateverTheSequenceNumbers(t *testing.T) {
	t.Parallel()
	s := newStage(t, lab.Config{})
	s.run(t, []situation{{
		name: "blind transfer", rules: rulesOf{"alice": outInt},
		play: func(s *stage) {
			s.phones["bob"].BeginAt(30000)
			s.phones["carol"].BeginAt(100)
			caller, callee := s.meet("alice", "1002", "bob")
			must(s.t, callee.BlindTransfer(within(s.t), "1003"))
			c := s.takes("carol")
			s.both(caller, "alice", c, "carol")
			s.over(caller, callee)
			s.gone(c)
		},
		want:    []file{{"alice rule.out.internal", false, []string{"alice+bob", gap, "alice+carol"}}},
		decided: []string{"began: alice=rule.out.internal bob", "changed: alice=rule.out.internal carol"},
	}})
}
