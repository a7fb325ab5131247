package e2e

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"callrecordd/config"
	"callrecordd/dialplan"
	"callrecordd/internal/lab"
	"callrecordd/internal/recorder"
)

// left checks that the events tell of n wishes that ended with their legs.
func (s *stage) left(t *testing.T, n int) {
	t.Helper()
	list := s.events(recorder.EventOnDemandEnded, "")
	if len(list) != n {
		t.Errorf("%d wishes have ended with their legs, want %d: %s", len(list), n, list)
	}
	for _, data := range list {
		var d recorder.RequestData
		must(t, json.Unmarshal([]byte(data), &d))
		if d.Reason != dialplan.ClaimantLeft || d.By != dialplan.OnDemand {
			t.Errorf("a wish ended as %s", data)
		}
	}
}

// blindly is a call from alice to bob, one of whom presses *3, that bob
// transfers to carol.
func (s *stage) blindly(presser string, then func(s *stage, caller, c *lab.Call)) {
	caller, callee := s.meet("alice", "1002", "bob")
	s.starts(map[string]*lab.Call{"alice": caller, "bob": callee}[presser], presser)
	must(s.t, callee.BlindTransfer(within(s.t), "1003"))
	c := s.takes("carol")
	s.both(caller, "alice", c, "carol")
	if then != nil {
		then(s, caller, c)
	}
	s.over(caller, callee)
	s.gone(c)
}

// A wish by *3 belongs to the leg of who pressed: it goes with that leg from
// talk to talk and ends with it.
func TestOnDemandInTransfers(t *testing.T) {
	t.Parallel()
	s := newStage(t, lab.Config{})
	two := rulesOf{"alice": onDemand, "bob": onDemand}
	began, moved := "began: alice bob", "changed: alice carol"
	s.run(t, []situation{{
		name: "blind, the one who stays has pressed", rules: two,
		play:    func(s *stage) { s.blindly("alice", nil) },
		want:    []file{{"alice on_demand", false, []string{"alice+bob", gap, "alice+carol"}}},
		decided: []string{began, moved},
	}, {
		name: "blind, the one who transfers has pressed", rules: two,
		play: func(s *stage) {
			s.blindly("bob", func(s *stage, _, _ *lab.Call) { s.idle("alice") })
		},
		want:    []file{{"bob on_demand", false, []string{"alice+bob"}}},
		decided: []string{began, moved},
	}, {
		name: "blind, both have pressed, the first leaves", rules: two,
		play: func(s *stage) {
			caller, callee := s.meet("alice", "1002", "bob")
			s.starts(callee, "bob")
			s.adds(caller, "alice", recorder.Active)
			s.say(caller) // for longer than the beep
			must(s.t, callee.BlindTransfer(within(s.t), "1003"))
			c := s.takes("carol")
			s.both(caller, "alice", c, "carol")
			s.runs("alice", recorder.Live)
			s.say(caller)
			s.over(caller, callee)
			s.gone(c)
		},
		want: []file{
			{"bob on_demand, alice on_demand", false, []string{"alice+bob"}},
			{"alice on_demand", true, []string{"alice+carol"}},
		},
		decided: []string{began, moved},
	}, {
		name: "blind, both have pressed, the second leaves", rules: two,
		play: func(s *stage) {
			caller, callee := s.meet("alice", "1002", "bob")
			s.starts(caller, "alice")
			s.adds(callee, "bob", recorder.Active)
			s.say(caller)
			must(s.t, callee.BlindTransfer(within(s.t), "1003"))
			c := s.takes("carol")
			s.both(caller, "alice", c, "carol")
			s.over(caller, callee)
			s.gone(c)
		},
		want:    []file{{"alice on_demand", false, []string{"alice+bob", gap, "alice+carol"}}},
		decided: []string{began, moved},
	}, {
		name: "attended, the one who stays has pressed", rules: two,
		play: func(s *stage) {
			caller, callee := s.meet("alice", "1002", "bob")
			s.starts(caller, "alice")
			must(s.t, callee.Hold(within(s.t)))
			second, c := s.meet("bob", "1003", "carol")
			must(s.t, callee.AttendedTransfer(within(s.t), second))
			s.both(caller, "alice", c, "carol")
			s.gone(callee, second)
			s.over(caller)
			s.gone(c)
		},
		want:    []file{{"alice on_demand", false, []string{"alice+bob", "alice+music", gap, "alice+carol"}}},
		decided: []string{began, "began: bob carol", moved},
	}, {
		name: "attended, the one who transfers has pressed in the consultation", rules: two,
		play: func(s *stage) {
			caller, callee := s.meet("alice", "1002", "bob")
			must(s.t, callee.Hold(within(s.t)))
			second, c := s.meet("bob", "1003", "carol")
			s.presses(second, "*3")
			s.runs("carol", recorder.Live)
			s.say(second)
			must(s.t, callee.AttendedTransfer(within(s.t), second))
			s.both(caller, "alice", c, "carol")
			s.gone(callee, second)
			s.idle("alice")
			s.over(caller)
			s.gone(c)
		},
		want:    []file{{"bob on_demand", false, []string{"bob+carol"}}},
		decided: []string{began, "began: bob carol", moved},
	}, {
		name: "by DTMF, the one who transfers has pressed", rules: two,
		play: func(s *stage) {
			caller, callee := s.meet("alice", "1002", "bob")
			s.starts(callee, "bob")
			s.presses(callee, lab.FeatureAttended)
			s.hear(caller, "music")
			s.presses(callee, "1003")
			c := s.takes("carol")
			s.both(callee, "bob", c, "carol")
			s.wish("bob", recorder.Active)
			s.say(callee)
			s.over(callee)
			s.both(caller, "alice", c, "carol")
			s.idle("alice")
			s.over(caller)
			s.gone(c)
		},
		want:    []file{{"bob on_demand", false, []string{"alice+bob", gap, "bob+carol"}}},
		decided: []string{began, "changed: bob carol", moved},
	}, {
		name: "parked and retrieved, the parked one has pressed", rules: two, gaps: true,
		play: func(s *stage) {
			caller, callee := s.meet("alice", "1002", "bob")
			s.starts(caller, "alice")
			must(s.t, callee.BlindTransfer(within(s.t), lab.ExtenPark))
			s.hear(caller, "music")
			s.over(callee)
			must(s.t, caller.Talk(within(s.t), slowly))
			c := s.calls("dave", "701")
			s.both(c, "dave", caller, "alice")
			s.wish("alice", recorder.Active)
			s.runs("alice", recorder.Live)
			s.say(c)
			s.over(c)
			s.gone(caller)
		},
		want: []file{
			{"alice on_demand", false, []string{"alice+bob", gap}},
			{"alice on_demand", false, []string{"alice+dave"}},
		},
		decided: []string{began, "began: alice dave"},
	}, {
		name: "parked and retrieved by the one who has pressed", rules: two,
		play: func(s *stage) {
			caller, callee := s.meet("alice", "1002", "bob")
			s.starts(callee, "bob")
			must(s.t, callee.BlindTransfer(within(s.t), lab.ExtenPark))
			s.hear(caller, "music")
			s.over(callee)
			must(s.t, caller.Talk(within(s.t), slowly))
			c := s.calls("bob", "701")
			s.both(c, "bob", caller, "alice")
			s.idle("alice")
			s.wish("bob", recorder.Inactive)
			s.over(c)
			s.gone(caller)
		},
		want:    []file{{"bob on_demand", false, []string{"alice+bob"}}},
		decided: []string{began, began},
	}, {
		name: "three talk, two have pressed, one leaves", rules: rulesOf{"bob": onDemand, "carol": onDemand},
		play: func(s *stage) {
			s.phones["alice"].BeginAt(15000) // is heard once two are left, whose numbers count again
			caller, callee := s.meet("alice", "1002", "bob")
			s.presses(callee, lab.FeatureAttended)
			s.hear(caller, "music")
			s.presses(callee, "1003")
			c := s.takes("carol")
			s.both(callee, "bob", c, "carol")
			s.presses(callee, lab.FeatureThreeWay)
			s.hear(c, "alice")
			s.hear(caller, "carol")
			s.eventually("three are in one talk", func() error {
				talk, _, err := s.party("bob")
				if err == nil && len(talk.Legs) != 3 {
					err = fmt.Errorf("there are %+v", talk.Legs)
				}
				return err
			})
			s.starts(c, "carol")
			s.adds(callee, "bob", recorder.Active)
			s.say(c)
			s.over(callee)
			s.both(caller, "alice", c, "carol")
			s.over(caller)
			s.gone(c)
		},
		want: []file{{"carol on_demand", false, []string{"alice+bob+carol", "alice+carol"}}},
		decided: []string{
			began, "changed: bob carol", moved, "changed: alice carol bob", "changed: alice bob",
			"changed: alice bob carol", moved,
		},
	}})
}

// With on_demand.follow_transfer those who remain take the wish over.
func TestOnDemandFollowsTransfers(t *testing.T) {
	t.Parallel()
	s := stageWith(t, func(c *config.Config) { c.OnDemand.FollowTransfer = true })
	s.run(t, []situation{{
		name: "the one who has pressed transfers", rules: rulesOf{"bob": onDemand},
		play: func(s *stage) {
			s.blindly("bob", func(s *stage, caller, _ *lab.Call) {
				s.runs("alice", recorder.Live)
				s.wish("alice", recorder.Active)
				s.wish("carol", recorder.Inactive)
				s.say(caller)
			})
		},
		want: []file{
			{"bob on_demand", false, []string{"alice+bob"}},
			{"alice on_demand", true, []string{"alice+carol"}},
		},
		decided: []string{"began: alice bob", "changed: alice carol"},
	}, {
		name: "the one who stays has pressed", rules: rulesOf{"alice": onDemand},
		play:    func(s *stage) { s.blindly("alice", nil) },
		want:    []file{{"alice on_demand", false, []string{"alice+bob", gap, "alice+carol"}}},
		decided: []string{"began: alice bob", "changed: alice carol"},
	}})
	s.left(t, 3) // bob's, and alice's twice
}

// With on_demand.cycle stop a wish goes along, and one press ends it there.
func TestOnDemandStopsAfterATransfer(t *testing.T) {
	t.Parallel()
	s := stageWith(t, func(c *config.Config) { c.OnDemand.Cycle = config.CycleStop })
	s.run(t, []situation{{
		name: "blind", rules: rulesOf{"alice": onDemand},
		play: func(s *stage) {
			s.blindly("alice", func(s *stage, caller, c *lab.Call) {
				s.presses(caller, "*3")
				s.idle("alice")
				s.wish("alice", recorder.Inactive)
				s.tells(c, "carol", caller)
				s.starts(caller, "alice")
			})
		},
		want: []file{
			{"alice on_demand", false, []string{"alice+bob", gap, "alice+carol"}},
			{"alice on_demand", false, []string{"alice+carol"}},
		},
		decided: []string{"began: alice bob", "changed: alice carol"},
	}})
	if found := s.digitsOnDisk(); len(found) > 0 {
		t.Errorf("what was said between two files is in one: %q", found)
	}
	s.left(t, 1)
}

// toggles sets the permissions of the queue and the group.
func (s *stage) toggles(queue, group bool) {
	s.t.Helper()
	for path, on := range map[string]bool{"queues": queue, "groups": group} {
		var list []struct {
			UUID string `json:"uuid"`
		}
		s.do("GET", path, nil, &list)
		s.do("PATCH", path+"/"+list[0].UUID, map[string]any{"dtmf_record_toggle": on}, nil)
	}
}

// Whoever was reached through a queue or a group has that one's permission, in
// both directions, and its own again once another call reaches it, or it calls.
func TestOnDemandOfAgentsAndMembers(t *testing.T) {
	t.Parallel()
	s := newStage(t, lab.Config{})
	// reach is a call of alice through exten that carol takes.
	reach := func(s *stage, exten string) (caller, winner *lab.Call) {
		caller = s.calls("alice", exten)
		loser := s.rings("bob")
		winner = s.takes("carol")
		s.both(caller, "alice", winner, "carol")
		s.gone(loser)
		return caller, winner
	}
	var cases []situation
	for _, via := range []struct{ name, exten string }{{"queue", lab.ExtenQueue}, {"group", lab.ExtenGroup}} {
		refused := map[string]dialplan.Reason{"queue": dialplan.RefusedQueue, "group": dialplan.RefusedGroup}[via.name]
		// Transferred by the caller, carol is a caller: it is her own affair.
		away := func(s *stage, caller, winner *lab.Call) *lab.Call {
			must(s.t, caller.BlindTransfer(within(s.t), "1004"))
			d := s.takes("dave")
			s.both(winner, "carol", d, "dave")
			s.over(caller)
			return d
		}
		cases = append(cases, situation{
			name: via.name + " allows, the user may not; transferred away it may not", rules: rulesOf{},
			play: func(s *stage) {
				s.toggles(via.name == "queue", via.name == "group")
				caller, winner := reach(s, via.exten)
				s.starts(winner, "carol")
				d := away(s, caller, winner)
				s.runs("carol", recorder.Live) // what was begun goes on
				s.denied(winner, "carol", dialplan.RefusedUser)
				s.runs("carol", recorder.Live)
				s.over(winner)
				s.gone(d)
			},
			want:    []file{{"carol on_demand", false, []string{"alice+carol", gap, "carol+dave"}}},
			decided: []string{"began: alice carol", "changed: carol dave"},
		}, situation{
			name: via.name + " forbids, the user may; transferred away it may", rules: rulesOf{"carol": onDemand},
			play: func(s *stage) {
				s.toggles(via.name != "queue", via.name != "group")
				caller, winner := reach(s, via.exten)
				s.denied(winner, "carol", refused)
				d := away(s, caller, winner)
				s.starts(winner, "carol")
				s.over(winner)
				s.gone(d)
			},
			want:    []file{{"carol on_demand", false, []string{"carol+dave"}}},
			decided: []string{"began: alice carol", "changed: carol dave"},
		}, situation{
			name: via.name + ", transferred by the agent, who is reached has its own", rules: rulesOf{"dave": onDemand},
			play: func(s *stage) {
				s.toggles(false, false)
				caller, winner := reach(s, via.exten)
				must(s.t, winner.BlindTransfer(within(s.t), "1004"))
				d := s.takes("dave")
				s.both(caller, "alice", d, "dave")
				s.starts(d, "dave")
				s.over(caller, winner)
				s.gone(d)
			},
			want:    []file{{"dave on_demand", false, []string{"alice+dave"}}},
			decided: []string{"began: alice carol", "changed: alice dave"},
		})
	}
	s.run(t, cases)
}

// slowly is how long somebody waits who must be later than the grace time.
const slowly = 3 * time.Second
