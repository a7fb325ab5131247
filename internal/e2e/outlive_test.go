package e2e

import (
	"testing"

	"callrecordd/config"
	"callrecordd/internal/lab"
	"callrecordd/internal/recorder"
)

// A wish by *3 lives on when its talk ends, for longer than the grace time, and
// so must the pause of who has it: nobody has resumed, and no beep has told that
// the recording goes on.
func TestCardNumberAfterAPauseThatOutlivesItsTalk(t *testing.T) {
	t.Parallel()
	s := newStage(t, lab.Config{})
	rules := rulesOf{"alice": onDemand, "bob": onDemand, "carol": inInt}
	// later is what follows when alice is back in a talk.
	later := func(s *stage, caller, c *lab.Call, who string) {
		s.both(caller, "alice", c, who)
		s.wish("alice", recorder.PartyPaused)
		s.idle("alice")
		s.tells(c, who, caller)
		s.resumes(caller, "alice")
		s.over(caller)
		s.gone(c)
	}
	s.secret(t, []situation{{
		name: "blind transfer, answered after three seconds", rules: rules,
		play: func(s *stage) {
			caller, callee := s.paused()
			must(s.t, callee.BlindTransfer(within(s.t), "1003"))
			c := s.rings("carol")
			must(s.t, caller.Talk(within(s.t), slowly))
			must(s.t, c.Answer(within(s.t)))
			c.Play(toneC)
			later(s, caller, c, "carol")
			s.over(callee)
		},
		want: []file{
			{"alice on_demand, bob on_demand", false, []string{"alice+bob", "silence"}},
			{"alice on_demand, carol rule.in.internal", false, []string{"alice+carol"}},
		},
		decided: []string{"began: alice bob", "began: alice carol=rule.in.internal"},
	}, {
		name: "attended transfer by DTMF, answered after three seconds", rules: rules,
		play: func(s *stage) {
			caller, callee := s.paused()
			s.presses(callee, lab.FeatureAttended)
			s.hear(caller, "music")
			s.presses(callee, "1003")
			c := s.rings("carol")
			must(s.t, caller.Talk(within(s.t), slowly))
			must(s.t, c.Answer(within(s.t)))
			c.Play(toneC)
			s.both(callee, "bob", c, "carol")
			s.over(callee)
			later(s, caller, c, "carol")
		},
		want: []file{
			{"alice on_demand, bob on_demand", false, []string{"alice+bob", "silence"}},
			{"bob on_demand, carol rule.in.internal", false, []string{"bob+carol"}},
			{"carol rule.in.internal, alice on_demand", true, []string{"alice+carol"}},
		},
		decided: []string{"began: alice bob", "began: bob carol=rule.in.internal", "changed: alice carol=rule.in.internal"},
	}, {
		name: "parked and retrieved", rules: rules,
		play: func(s *stage) {
			caller, callee := s.paused()
			must(s.t, callee.BlindTransfer(within(s.t), lab.ExtenPark))
			s.hear(caller, "music")
			s.over(callee)
			must(s.t, caller.Talk(within(s.t), slowly))
			d := s.calls("dave", "701")
			later(s, caller, d, "dave")
		},
		want: []file{
			{"alice on_demand, bob on_demand", false, []string{"alice+bob", "silence"}},
			{"alice on_demand", false, []string{"alice+dave"}},
		},
		decided: []string{"began: alice bob", "began: alice dave"},
	}})
}

// A recorder that a pause has stopped is no more, and Asterisk answers the
// question for it with status 500 "Unable to read provided function", which must
// not keep the daemon from coming back.
func TestCardNumberWhenTheDaemonDiesInAPauseThatIsCut(t *testing.T) {
	t.Parallel()
	diesInThePause(t, config.PauseCut, "alice+bob", gap, "alice+carol") // nobody speaks while pressing
}

// A recorder that is started on a leg while a beep is whispered to it comes into
// the list of asterisk#507, and does not hear a party with lower numbers: a new
// recording is renewed after the beep as one that goes on is.
func TestRecorderThatIsStartedDuringABeepHearsTheNewParty(t *testing.T) {
	t.Parallel()
	s := newStage(t, lab.Config{})
	s.run(t, []situation{{
		name: "both have pressed, the first leaves during the beep", rules: rulesOf{"alice": onDemand, "bob": onDemand},
		play: func(s *stage) {
			caller, callee := s.meet("alice", "1002", "bob")
			s.starts(callee, "bob")
			s.adds(caller, "alice", recorder.Active)
			must(s.t, callee.BlindTransfer(within(s.t), "1003"))
			c := s.takes("carol")
			s.both(caller, "alice", c, "carol")
			s.runs("alice", recorder.Live)
			s.say(caller)
			s.say(caller)
			s.over(caller, callee)
			s.gone(c)
		},
		want: []file{
			{"bob on_demand, alice on_demand", false, []string{"alice+bob"}},
			{"alice on_demand", true, []string{gap, "alice+carol"}},
		},
		decided: []string{"began: alice bob", "changed: alice carol"},
	}})
}
