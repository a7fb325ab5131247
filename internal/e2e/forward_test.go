package e2e

import (
	"testing"

	"callrecordd/ari/ami"
	"callrecordd/internal/lab"
)

// Forwards and Local channels: the leg that is really there counts, and it is
// judged by its own rules.
func TestForward(t *testing.T) {
	t.Parallel()
	const always, outside, busy, late, deep, deepKept = "6020", "6021", "6030", "6031", "6010", "6012"
	s := newStage(t, lab.Config{ExtraDialplan: dialplanOf(map[string][]string{
		always:   {"Dial(Local/1003@users/n,60,tT)", "Hangup()"},
		outside:  {"Dial(Local/" + outsideNumber + "@users/n,60,tT)", "Hangup()"},
		busy:     {"Dial(PJSIP/bob,10,tT)", "Dial(PJSIP/carol,60,tT)", "Hangup()"},
		late:     {"Dial(PJSIP/bob,1,tT)", "Dial(PJSIP/carol,60,tT)", "Hangup()"},
		deep:     {"Dial(Local/" + lab.ExtenLocal + "@users,60,tT)", "Hangup()"},
		deepKept: {"Dial(Local/" + lab.ExtenForward + "@users/n,60,tT)", "Hangup()"},
	})})
	straight := func(exten, to string) func(*stage) {
		return func(s *stage) {
			caller, callee := s.meet("alice", exten, to)
			s.over(caller)
			s.gone(callee)
		}
	}
	moved := func(exten, to string) func(*stage) {
		return func(s *stage) {
			s.phones["bob"].OnIncoming(lab.ForwardTo(exten))
			caller := s.calls("alice", "1002")
			c := s.takes(to)
			s.both(caller, "alice", c, to)
			s.over(caller)
			s.gone(c)
		}
	}
	carol := []file{{"carol rule.in.internal", false, []string{"alice+carol"}}}
	s.run(t, []situation{{
		name: "always, to one who is recorded", rules: rulesOf{"bob": inInt, "carol": inInt},
		play: straight(always, "carol"), want: carol, decided: []string{"began: alice carol=rule.in.internal"},
	}, {
		name: "always, to the outside", rules: rulesOf{"alice": outExt},
		play:    straight(outside, "trunk-a"),
		want:    []file{{"alice rule.out.external", false, []string{"alice+trunk-a"}}},
		decided: []string{"began: alice=rule.out.external trunk-a"},
	}, {
		name: "always, to the outside, internal calls are recorded", rules: rulesOf{"alice": outInt},
		play: straight(outside, "trunk-a"), decided: []string{"began: alice trunk-a"},
	}, {
		name: "when busy", rules: rulesOf{"bob": inInt, "carol": inInt},
		play: func(s *stage) {
			s.phones["bob"].OnIncoming(lab.RejectWith(486))
			straight(busy, "carol")(s)
		},
		want: carol, decided: []string{"began: alice carol=rule.in.internal"},
	}, {
		name: "when not answered", rules: rulesOf{"bob": inInt, "carol": inInt},
		play: straight(late, "carol"), want: carol, decided: []string{"began: alice carol=rule.in.internal"},
	}, {
		name: "by the phone, to one who is recorded", rules: rulesOf{"bob": inOutInt, "carol": inInt},
		play: moved("1003", "carol"), want: carol, decided: []string{"began: alice carol=rule.in.internal"},
	}, {
		name: "by the phone, to one who is not", rules: rulesOf{"bob": inOutInt},
		play: moved("1003", "carol"), decided: []string{"began: alice carol"},
	}, {
		name: "by the phone, to the outside", rules: rulesOf{"alice": outExt, "bob": inOutInt},
		play:    moved(outsideNumber, "trunk-a"),
		want:    []file{{"alice rule.out.external", false, []string{"alice+trunk-a"}}},
		decided: []string{"began: alice=rule.out.external trunk-a"},
	}, {
		name: "two Local channels deep, optimised away", rules: rulesOf{"alice": outInt, "bob": inInt},
		play:    straight(deep, "bob"),
		want:    []file{{"alice rule.out.internal, bob rule.in.internal", false, []string{"alice+bob"}}},
		decided: []string{"began: alice=rule.out.internal bob=rule.in.internal"},
	}, {
		name: "two Local channels deep, kept", rules: rulesOf{"alice": outInt, "bob": inInt},
		play:    straight(deepKept, "bob"),
		want:    []file{{"alice rule.out.internal, bob rule.in.internal", false, []string{"alice+bob"}}},
		decided: []string{"began: alice=rule.out.internal bob=rule.in.internal"},
	}})
}

// Redirects by another program.
func TestRedirect(t *testing.T) {
	t.Parallel()
	s := newStage(t, lab.Config{})
	redirect := func(s *stage, exten string, who ...string) {
		fields := []ami.Field{
			{Key: "Channel", Value: s.channel(who[0])},
			{Key: "Context", Value: lab.ContextUsers},
			{Key: "Exten", Value: exten},
			{Key: "Priority", Value: "1"},
		}
		if len(who) > 1 {
			fields = append(fields, ami.Field{Key: "ExtraChannel", Value: s.channel(who[1])}, ami.Field{Key: "ExtraContext", Value: lab.ContextUsers},
				ami.Field{Key: "ExtraExten", Value: "1004"}, ami.Field{Key: "ExtraPriority", Value: "1"})
		}
		s.manager("Redirect", fields...)
	}
	s.run(t, []situation{{
		name: "of the recorded caller", rules: rulesOf{"alice": outInt},
		play: func(s *stage) {
			caller, callee := s.meet("alice", "1002", "bob")
			redirect(s, "1003", "alice")
			c := s.takes("carol")
			s.both(caller, "alice", c, "carol")
			s.gone(callee)
			s.over(caller)
			s.gone(c)
		},
		want:    []file{{"alice rule.out.internal", false, []string{"alice+bob", gap, "alice+carol"}}},
		decided: []string{"began: alice=rule.out.internal bob", "changed: alice=rule.out.internal carol"},
	}, {
		name: "of the recorded callee", rules: rulesOf{"bob": inInt},
		play: func(s *stage) {
			caller, callee := s.meet("alice", "1002", "bob")
			redirect(s, "1003", "bob")
			c := s.takes("carol")
			s.both(callee, "bob", c, "carol")
			s.gone(caller)
			s.over(callee)
			s.gone(c)
		},
		want:    []file{{"bob rule.in.internal", false, []string{"alice+bob", gap}}},
		decided: []string{"began: alice bob=rule.in.internal", "changed: bob carol"},
	}, {
		name: "of both", rules: rulesOf{"alice": outInt, "bob": inOutInt},
		play: func(s *stage) {
			caller, callee := s.meet("alice", "1002", "bob")
			redirect(s, "1003", "alice", "bob")
			// Who is connected first keeps the talk, so one after the other.
			c := s.takes("carol")
			s.both(caller, "alice", c, "carol")
			d := s.takes("dave")
			s.both(callee, "bob", d, "dave")
			s.over(caller, callee)
			s.gone(c, d)
		},
		want: []file{
			{"alice rule.out.internal", false, []string{"alice+bob", gap, "alice+carol"}},
			{"bob rule.out.internal", false, []string{"bob+dave"}},
		},
		decided: []string{"began: alice=rule.out.internal bob=rule.in.internal", "changed: alice=rule.out.internal carol", "began: bob=rule.out.internal dave"},
	}})
}
