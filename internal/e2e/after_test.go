package e2e

import (
	"path/filepath"
	"testing"
	"time"

	"callrecordd/internal/lab"
)

// What follows a recorded talk, or comes instead of one, is in no file.
func TestWhatFollowsATalkIsNotRecorded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const menu, mailbox, slowMenu = "6001", "6002", "6003"
	announcement := filepath.Join(dir, "sounds", "announcement")
	s := newStage(t, lab.Config{Dir: dir, ExtraDialplan: dialplanOf(map[string][]string{
		menu:     {"Dial(PJSIP/bob,60,tTg)", "Background(" + announcement + ")", "WaitExten(30)", "Hangup()"},
		mailbox:  {"Dial(PJSIP/bob,60,tTg)", "VoiceMail(1002@default,s)", "Hangup()"},
		slowMenu: {"Dial(PJSIP/bob,60,tTg)", "Wait(2.5)", "Background(" + announcement + ")", "WaitExten(30)", "Hangup()"},
	})})
	goesOn := func(exten string) func(*stage) {
		return func(s *stage) {
			caller, callee := s.meet("alice", exten, "bob")
			s.over(callee)
			if exten != mailbox {
				s.hear(caller, "announcement")
			}
			must(s.t, caller.Talk(within(s.t), 4*time.Second))
			s.over(caller)
		}
	}
	began := []string{"began: alice=rule.out.internal bob"}
	s.run(t, []situation{{
		name: "a menu two seconds later", rules: rulesOf{"alice": outInt},
		play: goesOn(slowMenu),
		want: []file{{"alice rule.out.internal", false, []string{"alice+bob", gap}}}, decided: began,
	}, {
		name: "a mailbox", rules: rulesOf{"alice": outInt},
		play: goesOn(mailbox),
		want: []file{{"alice rule.out.internal", false, []string{"alice+bob", gap}}}, decided: began,
	}, {
		name: "a menu, the callee was recorded", rules: rulesOf{"bob": inInt},
		play: goesOn(menu),
		want: []file{{"bob rule.in.internal", false, []string{"alice+bob"}}}, decided: []string{"began: alice bob=rule.in.internal"},
	}, {
		name: "nobody answers", rules: rulesOf{"alice": inOutInt, "bob": inOutInt},
		play: func(s *stage) {
			caller := s.calls("alice", "1002")
			callee := s.rings("bob")
			must(s.t, caller.WaitRinging(within(s.t)))
			s.say(caller)
			s.over(caller)
			s.gone(callee)
		},
	}})
}

// What a recorded leg hears within the grace time is music, a menu or a
// conference, and is not in the file.
func TestNothingOfTheGraceTimeIsRecorded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const menu = "6001"
	s := newStage(t, lab.Config{Dir: dir, ExtraDialplan: dialplanOf(map[string][]string{
		menu: {"Dial(PJSIP/bob,60,tTg)", "Background(" + filepath.Join(dir, "sounds", "announcement") + ")", "WaitExten(30)", "Hangup()"},
	})})
	s.run(t, []situation{{
		name: "park, the parked one is recorded", rules: rulesOf{"alice": outInt},
		play: park("dave"),
		want: []file{
			{"alice rule.out.internal", false, []string{"alice+bob", gap}},
			{"alice rule.out.internal", false, []string{"alice+dave"}},
		},
		decided: []string{"began: alice=rule.out.internal bob", "began: alice=rule.out.internal dave"},
	}, {
		name: "a menu at once", rules: rulesOf{"alice": outInt},
		play: func(s *stage) {
			caller, callee := s.meet("alice", menu, "bob")
			s.over(callee)
			s.hear(caller, "announcement")
			must(s.t, caller.Talk(within(s.t), 4*time.Second))
			s.over(caller)
		},
		want:    []file{{"alice rule.out.internal", false, []string{"alice+bob", gap}}},
		decided: []string{"began: alice=rule.out.internal bob"},
	}, {
		name: "a conference", rules: rulesOf{"alice": outInt, "carol": inOutInt},
		play: func(s *stage) {
			other := s.calls("carol", lab.ExtenConference)
			must(s.t, other.WaitAnswered(within(s.t)))
			caller, callee := s.meet("alice", "1002", "bob")
			must(s.t, callee.BlindTransfer(within(s.t), lab.ExtenConference))
			s.both(caller, "alice", other, "carol")
			s.say(caller)
			s.over(caller, other, callee)
		},
		want:    []file{{"alice rule.out.internal", false, []string{"alice+bob", gap}}},
		decided: []string{"began: alice=rule.out.internal bob"},
	}})
}
