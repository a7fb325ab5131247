package e2e

import (
	"path/filepath"
	"testing"

	"callrecordd/internal/lab"
)

// Queues and groups: who waits, what is announced and whose phone only rings is
// in no file.
func TestQueueAndGroupTalks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const announced, viaGroup, locals, gone = "6050", "6051", "6052", "6053"
	s := newStage(t, lab.Config{Dir: dir, ExtraDialplan: dialplanOf(map[string][]string{
		announced: {"Answer()", "Queue(" + lab.QueueName + ",tT,," + filepath.Join(dir, "sounds", "announcement") + ",60)", "Hangup()"},
		viaGroup:  {"Dial(PJSIP/dave&Local/" + lab.ExtenQueue + "@users/n,60,tT)", "Hangup()"},
		locals:    {"Answer()", "Queue(locals,tT,,,60)", "Hangup()"},
		gone:      {"Dial(PJSIP/bob&PJSIP/carol,2,tT)", "Dial(PJSIP/dave,60,tT)", "Hangup()"},
	})})
	_, err := s.pbx.Console(within(t), "dialplan show "+announced+"@users")
	must(t, err)
	// agent is a call of alice that bob's and carol's phones announce and carol takes.
	agent := func(exten string, more ...string) func(*stage) {
		return func(s *stage) {
			caller := s.calls("alice", exten)
			loser := s.rings("bob")
			winner := s.rings("carol")
			var rest []*lab.Call
			for _, m := range more {
				rest = append(rest, s.rings(m))
			}
			s.hear(caller, "music")
			s.say(caller)
			must(s.t, winner.Answer(within(s.t)))
			winner.Play(toneC)
			s.both(caller, "alice", winner, "carol")
			s.over(caller)
			s.gone(winner, loser)
			s.gone(rest...)
		}
	}
	s.run(t, []situation{{
		name: "queue, the caller is recorded", rules: rulesOf{"alice": outInt},
		play:    agent(lab.ExtenQueue),
		want:    []file{{"alice rule.out.internal", false, []string{"alice+carol"}}},
		decided: []string{"began: alice=rule.out.internal carol"},
	}, {
		name: "queue with an announcement to the agent", rules: rulesOf{"carol": inInt},
		play: func(s *stage) {
			caller := s.calls("alice", announced)
			loser, winner := s.rings("bob"), s.rings("carol")
			must(s.t, winner.Answer(within(s.t)))
			s.hear(winner, "announcement")
			winner.Play(toneC)
			s.both(caller, "alice", winner, "carol")
			s.over(caller)
			s.gone(winner, loser)
		},
		want:    []file{{"carol rule.in.internal", false, []string{"alice+carol"}}},
		decided: []string{"began: alice carol=rule.in.internal"},
	}, {
		name: "the agent hangs up during the announcement", rules: rulesOf{"alice": inOutInt, "bob": inOutInt, "carol": inOutInt},
		play: func(s *stage) {
			caller := s.calls("alice", announced)
			loser, winner := s.rings("bob"), s.rings("carol")
			must(s.t, winner.Answer(within(s.t)))
			s.hear(winner, "announcement")
			s.over(winner)
			s.gone(loser)
			s.over(caller)
		},
	}, {
		name: "given up in the queue", rules: rulesOf{"alice": inOutInt, "bob": inOutInt, "carol": inOutInt},
		play: func(s *stage) {
			caller := s.calls("alice", lab.ExtenQueue)
			b, c := s.rings("bob"), s.rings("carol")
			s.hear(caller, "music")
			s.say(caller)
			s.over(caller)
			s.gone(b, c)
		},
	}, {
		name: "queue behind a group, the agent is recorded", rules: rulesOf{"carol": inInt},
		play:    agentBehindGroup(viaGroup),
		want:    []file{{"carol rule.in.internal", false, []string{"alice+carol"}}},
		decided: []string{"began: alice carol=rule.in.internal"},
	}, {
		name: "group, the caller and one member are recorded", rules: rulesOf{"alice": outInt, "bob": inInt, "carol": inInt},
		play: func(s *stage) {
			caller := s.calls("alice", lab.ExtenGroup)
			loser := s.rings("carol")
			winner := s.takes("bob")
			s.both(caller, "alice", winner, "bob")
			s.gone(loser)
			s.over(winner)
			s.gone(caller)
		},
		want:    []file{{"alice rule.out.internal, bob rule.in.internal", false, []string{"alice+bob"}}},
		decided: []string{"began: alice=rule.out.internal bob=rule.in.internal"},
	}, {
		name: "group that nobody answers, then a person", rules: rulesOf{"bob": inInt, "carol": inInt, "dave": inInt},
		play: func(s *stage) {
			caller := s.calls("alice", gone)
			b, c := s.rings("bob"), s.rings("carol")
			s.gone(b, c)
			d := s.takes("dave")
			s.both(caller, "alice", d, "dave")
			s.over(caller)
			s.gone(d)
		},
		want:    []file{{"dave rule.in.internal", false, []string{"alice+dave"}}},
		decided: []string{"began: alice dave=rule.in.internal"},
	}, {
		name: "the member of a group transfers to one who is recorded", rules: rulesOf{"dave": inInt},
		play: func(s *stage) {
			caller := s.calls("alice", lab.ExtenGroup)
			loser := s.rings("carol")
			winner := s.takes("bob")
			s.both(caller, "alice", winner, "bob")
			s.gone(loser)
			must(s.t, winner.BlindTransfer(within(s.t), "1004"))
			d := s.takes("dave")
			s.both(caller, "alice", d, "dave")
			s.over(caller, winner)
			s.gone(d)
		},
		want:    []file{{"dave rule.in.internal", false, []string{"alice+dave"}}},
		decided: []string{"began: alice bob", "changed: alice dave=rule.in.internal"},
	}})
}

// agentBehindGroup is a call to a group of dave's phone and a queue, which
// carol takes. The queue answers at once, so dave's phone stops ringing.
func agentBehindGroup(exten string) func(*stage) {
	return func(s *stage) {
		caller := s.calls("alice", exten)
		loser, winner := s.rings("bob"), s.rings("carol")
		s.hear(caller, "music")
		must(s.t, winner.Answer(within(s.t)))
		winner.Play(toneC)
		s.both(caller, "alice", winner, "carol")
		s.over(caller)
		s.gone(winner, loser)
	}
}
