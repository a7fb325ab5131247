package e2e

import (
	"testing"

	"callrecordd/internal/lab"
)

// Attended transfers. The consultation is a talk of its own; with the phone's
// REFER it has a leg of its own, by DTMF the one leg of who transfers moves.
func TestAttendedTransfer(t *testing.T) {
	t.Parallel()
	s := newStage(t, lab.Config{})
	// consult is a call from alice to bob, one of whom then asks carol and
	// connects the other with her.
	consult := func(by string) func(*stage) {
		return func(s *stage) {
			caller, callee := s.meet("alice", "1002", "bob")
			first, left, who := callee, caller, "alice"
			if by == "alice" {
				first, left, who = caller, callee, "bob"
			}
			must(s.t, first.Hold(within(s.t)))
			second, c := s.meet(by, "1003", "carol")
			must(s.t, first.AttendedTransfer(within(s.t), second))
			s.both(left, who, c, "carol")
			s.gone(first, second)
			s.over(left)
			s.gone(c)
		}
	}
	feature := func(s *stage) {
		caller, callee := s.meet("alice", "1002", "bob")
		s.presses(callee, lab.FeatureAttended)
		s.hear(caller, "music")
		s.presses(callee, "1003")
		c := s.takes("carol")
		s.both(callee, "bob", c, "carol")
		s.say(callee)
		s.over(callee)
		s.both(caller, "alice", c, "carol")
		s.say(caller) // the first second of alice may be missing: docs/transfers.md
		s.over(caller)
		s.gone(c)
	}
	s.run(t, []situation{{
		name: "by the callee, the consultation is recorded", rules: rulesOf{"bob": outInt},
		play:    consult("bob"),
		want:    []file{{"bob rule.out.internal", false, []string{"bob+carol"}}},
		decided: []string{"began: alice bob", "began: bob=rule.out.internal carol", "changed: alice carol"},
	}, {
		name: "by the callee, who was recorded in both", rules: rulesOf{"bob": inOutInt},
		play: consult("bob"),
		want: []file{
			{"bob rule.in.internal", false, []string{"alice+bob", gap}},
			{"bob rule.out.internal", false, []string{"bob+carol"}},
		},
		decided: []string{"began: alice bob=rule.in.internal", "began: bob=rule.out.internal carol", "changed: alice carol"},
	}, {
		name: "by the callee, the last two have rules", rules: rulesOf{"alice": outInt, "carol": inInt},
		play: consult("bob"),
		want: []file{
			{"alice rule.out.internal, carol rule.in.internal", false, []string{"alice+bob", "alice+music", "alice+carol"}},
			{"carol rule.in.internal", false, []string{"bob+carol"}},
		},
		decided: []string{"began: alice=rule.out.internal bob", "began: bob carol=rule.in.internal", "changed: alice=rule.out.internal carol=rule.in.internal"},
	}, {
		name: "by the caller, the last two were called", rules: rulesOf{"bob": inInt, "carol": inInt},
		play: consult("alice"),
		want: []file{
			{"bob rule.in.internal, carol rule.in.internal", false, []string{"alice+bob", "bob+music", "bob+carol"}},
			{"carol rule.in.internal", false, []string{"alice+carol"}},
		},
		decided: []string{"began: alice bob=rule.in.internal", "began: alice carol=rule.in.internal", "changed: bob=rule.in.internal carol=rule.in.internal"},
	}, {
		name: "by DTMF, who transfers is recorded", rules: rulesOf{"bob": inOutInt},
		play: feature,
		want: []file{
			{"bob rule.in.internal", false, []string{"alice+bob", gap, "bob+carol"}},
		},
		decided: []string{"began: alice bob=rule.in.internal", "changed: bob=rule.in.internal carol", "changed: alice carol"},
	}, {
		name: "by DTMF, the target is recorded", rules: rulesOf{"carol": inInt},
		play: feature,
		want: []file{
			{"carol rule.in.internal", false, []string{"bob+carol", gap, "alice+carol"}},
		},
		decided: []string{"began: alice bob", "changed: bob carol=rule.in.internal", "changed: alice carol=rule.in.internal"},
	}, {
		name: "by DTMF, the target is busy", rules: rulesOf{"bob": inInt},
		play: func(s *stage) {
			caller, callee := s.meet("alice", "1002", "bob")
			s.presses(callee, lab.FeatureAttended)
			s.hear(caller, "music")
			s.presses(callee, "1003")
			must(s.t, s.rings("carol").Reject(within(s.t), 486))
			s.both(caller, "alice", callee, "bob")
			s.say(caller) // a voice may be missing for 1.5 s after a beep, docs/transfers.md
			s.over(caller)
			s.gone(callee)
		},
		want: []file{
			{"bob rule.in.internal", false, []string{"alice+bob", gap, "alice+bob"}},
		},
		decided: []string{"began: alice bob=rule.in.internal"},
	}, {
		name: "by DTMF, all three talk", rules: rulesOf{"carol": inInt},
		play: func(s *stage) {
			caller, callee := s.meet("alice", "1002", "bob")
			s.presses(callee, lab.FeatureAttended)
			s.hear(caller, "music")
			s.presses(callee, "1003")
			c := s.takes("carol")
			s.both(callee, "bob", c, "carol")
			s.presses(callee, lab.FeatureThreeWay)
			s.hear(c, "alice")
			s.hear(caller, "carol")
			s.say(c)
			s.over(callee)
			s.both(caller, "alice", c, "carol")
			s.over(caller)
			s.gone(c)
		},
		want: []file{
			{"carol rule.in.internal", false, []string{"bob+carol", gap}},
			{"carol rule.in.internal", false, []string{"alice+bob+carol", "alice+carol"}},
		},
		decided: []string{"began: alice bob", "changed: bob carol=rule.in.internal", "changed: alice carol=rule.in.internal", "changed: alice carol=rule.in.internal bob", "changed: alice bob", "changed: alice bob carol=rule.in.internal", "changed: alice carol=rule.in.internal"},
	}, {
		name: "INVITE with Replaces, the caller is recorded", rules: rulesOf{"alice": outInt},
		play: func(s *stage) {
			caller, callee := s.meet("alice", "1002", "bob")
			c, err := s.phones["carol"].TakeOver(within(s.t), callee)
			must(s.t, err)
			c.Play(toneC)
			s.both(caller, "alice", c, "carol")
			s.over(caller)
			s.gone(c, callee)
		},
		want: []file{
			{"alice rule.out.internal", false, []string{"alice+bob", gap, "alice+carol"}},
		},
		decided: []string{"began: alice=rule.out.internal bob", "changed: alice=rule.out.internal carol"},
	}, {
		name: "INVITE with Replaces, the replaced was recorded, and so is who replaces", rules: rulesOf{"bob": inInt, "carol": inOutInt},
		play: func(s *stage) {
			caller, callee := s.meet("alice", "1002", "bob")
			c, err := s.phones["carol"].TakeOver(within(s.t), callee)
			must(s.t, err)
			c.Play(toneC)
			s.both(caller, "alice", c, "carol")
			s.over(caller)
			s.gone(c, callee)
		},
		want: []file{
			{"bob rule.in.internal", false, []string{"alice+bob"}},
			{"carol rule.out.internal", true, []string{"alice+carol"}},
		},
		decided: []string{"began: alice bob=rule.in.internal", "changed: alice carol=rule.out.internal"},
	}})
}
