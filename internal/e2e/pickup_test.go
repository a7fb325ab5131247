package e2e

import (
	"testing"
	"time"

	"callrecordd/internal/lab"
)

func TestPickup(t *testing.T) {
	t.Parallel()
	s := newStage(t, lab.Config{})
	pickup := func(called, code string) func(*stage) {
		return func(s *stage) {
			caller := s.calls("alice", called)
			ringing := s.rings("bob")
			must(s.t, caller.WaitRinging(within(s.t))) // before that there is nothing to pick up
			c := s.calls("dave", code)
			s.both(caller, "alice", c, "dave")
			s.gone(ringing)
			s.over(caller)
			s.gone(c)
		}
	}
	s.run(t, []situation{{
		name: "directed, the picker is recorded", rules: rulesOf{"dave": inInt},
		play: pickup("1002", lab.PrefixPickup+"1002"),
		want: []file{{"dave rule.in.internal", false, []string{"alice+dave"}}}, decided: []string{"began: alice dave=rule.in.internal"},
	}, {
		name: "directed, the called person would have been", rules: rulesOf{"bob": inInt},
		play:    pickup("1002", lab.PrefixPickup+"1002"),
		decided: []string{"began: alice dave"},
	}, {
		name: "of the group, the picker is recorded", rules: rulesOf{"dave": inInt},
		play: pickup("1002", lab.ExtenPickupGroup),
		want: []file{{"dave rule.in.internal", false, []string{"alice+dave"}}}, decided: []string{"began: alice dave=rule.in.internal"},
	}, {
		name: "of the group, the called person would have been", rules: rulesOf{"bob": inInt},
		play:    pickup("1002", lab.ExtenPickupGroup),
		decided: []string{"began: alice dave"},
	}, {
		name: "the caller is recorded, whoever picks up", rules: rulesOf{"alice": outInt},
		play: pickup("1002", lab.PrefixPickup+"1002"),
		want: []file{{"alice rule.out.internal", false, []string{"alice+dave"}}}, decided: []string{"began: alice=rule.out.internal dave"},
	}, {
		name: "by INVITE with Replaces, of a ringing phone", rules: rulesOf{"bob": inInt, "dave": inInt},
		play: func(s *stage) {
			caller := s.calls("alice", "1002")
			ringing := s.rings("bob")
			must(s.t, caller.WaitRinging(within(s.t))) // before that there is nothing to pick up
			c, err := s.phones["dave"].TakeOver(within(s.t), ringing)
			must(s.t, err)
			c.Play(voices()["dave"])
			s.both(caller, "alice", c, "dave")
			s.gone(ringing)
			s.over(caller)
			s.gone(c)
		},
		want: []file{{"dave rule.in.internal", false, []string{"alice+dave"}}}, decided: []string{"began: alice dave=rule.in.internal"},
	}})
}

// park is a call that bob parks and somebody retrieves, later than the grace time.
func park(retriever string) func(*stage) {
	return func(s *stage) {
		caller, callee := s.meet("alice", "1002", "bob")
		must(s.t, callee.BlindTransfer(within(s.t), lab.ExtenPark))
		s.hear(caller, "music")
		s.over(callee)
		must(s.t, caller.Talk(within(s.t), 2500*time.Millisecond))
		c := s.calls(retriever, "701")
		s.both(c, retriever, caller, "alice")
		s.over(c)
		s.gone(caller)
	}
}

// Parking, hold and silence.
func TestParkAndHold(t *testing.T) {
	t.Parallel()
	s := newStage(t, lab.Config{})
	// hold: the phone of who takes back counts its packets anew, as many do.
	hold := func(by string, dtx bool) func(*stage) {
		return func(s *stage) {
			caller, callee := s.meet("alice", "1002", "bob")
			holder, held, who := caller, callee, "alice"
			if by == "bob" {
				holder, held, who = callee, caller, "bob"
			}
			if dtx {
				held.StopRTP() // before there is anything in the file
			}
			must(s.t, holder.Hold(within(s.t)))
			s.hear(held, "music")
			must(s.t, held.Talk(within(s.t), 3*time.Second))
			holder.ContinueAt(1)
			must(s.t, holder.Unhold(within(s.t)))
			s.hear(held, who)
			held.Play(voices()[map[bool]string{true: "alice", false: "bob"}[held == caller]])
			s.both(caller, "alice", callee, "bob")
			s.over(caller)
			s.gone(callee)
		}
	}
	both := []string{"began: alice=rule.out.internal bob"}
	s.run(t, []situation{{
		name: "park, retrieved by another phone", rules: rulesOf{"bob": inInt, "dave": outInt},
		play: park("dave"),
		want: []file{
			{"bob rule.in.internal", false, []string{"alice+bob"}},
			{"dave rule.out.internal", false, []string{"alice+dave"}},
		},
		decided: []string{"began: alice bob=rule.in.internal", "began: alice dave=rule.out.internal"},
	}, {
		name: "park, retrieved by the same phone", rules: rulesOf{"bob": inInt},
		play:    park("bob"),
		want:    []file{{"bob rule.in.internal", false, []string{"alice+bob"}}},
		decided: []string{"began: alice bob=rule.in.internal", "began: alice bob"},
	}, {
		name: "hold by the recorded party", rules: rulesOf{"alice": outInt},
		play: hold("alice", false), want: []file{{"alice rule.out.internal", false, []string{"alice+bob", "bob", "alice+bob"}}}, decided: both,
	}, {
		name: "hold of the recorded party", rules: rulesOf{"alice": outInt},
		play: hold("bob", false), want: []file{{"alice rule.out.internal", false, []string{"alice+bob", "alice+music", "alice+bob"}}}, decided: both,
	}, {
		name: "hold by the recorded party, the other sends nothing", rules: rulesOf{"alice": outInt},
		play: hold("alice", true), want: []file{{"alice rule.out.internal", false, []string{"alice+bob"}}}, decided: both, gaps: true,
	}, {
		name: "nobody sends anything for a while", rules: rulesOf{"alice": outInt},
		play: func(s *stage) {
			caller, callee := s.meet("alice", "1002", "bob")
			caller.StopRTP()
			callee.StopRTP()
			must(s.t, caller.Talk(within(s.t), 4*time.Second)) // longer than a recorder may take to prove itself
			caller.Play(toneA)
			callee.Play(toneB)
			s.both(caller, "alice", callee, "bob")
			s.over(caller)
			s.gone(callee)
		},
		want: []file{{"alice rule.out.internal", false, []string{"alice+bob"}}}, decided: both, gaps: true,
	}})
}
