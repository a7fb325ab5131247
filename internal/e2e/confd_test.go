package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"callrecordd/dialplan"
	"callrecordd/internal/api"
	"callrecordd/internal/lab"
	"callrecordd/internal/recorder"
)

// Rows 39 to 42 where a call is concerned: what is changed over HTTP is in force
// at the next decision; a call that runs stays as it is.
func TestRow39To42DirectoryOverHTTPRules(t *testing.T) {
	t.Parallel()
	s := stageWith(t, ownPorts)
	admin := s.clientOf(api.Confd, "", "", "confd.#")
	user := func(name string) string { return "/1.1/users/" + s.users[name].UUID }
	set := func(path, body string) {
		t.Helper()
		admin.ask(t, "PUT", path, raw(body), 204, "")
	}
	var groups, queues, trunks struct {
		Items []struct {
			ID   int64  `json:"id"`
			UUID string `json:"uuid"`
		} `json:"items"`
	}
	admin.read("/1.1/groups", &groups)
	admin.read("/1.1/queues", &queues)
	admin.read("/1.1/trunks", &trunks)
	queue, group := fmt.Sprintf("/1.1/queues/%d", queues.Items[0].ID), "/1.1/groups/"+groups.Items[0].UUID
	trunk := "/1.1/trunks/" + trunks.Items[0].UUID
	all := func(s *stage) {
		for _, path := range []string{queue, group, trunk} {
			set(path, `{"auto_record": "inherit"}`)
		}
	}
	s.run(t, []situation{{
		name: "a rule that is switched on during a call is for the next one",
		play: func(s *stage) {
			caller, callee := s.meet("alice", "1002", "bob")
			set(user("alice"), `{"call_record_outgoing_internal_enabled": true}`)
			s.say(caller)
			s.idle("alice")
			s.over(caller)
			s.gone(callee)
			caller, callee = s.meet("alice", "1002", "bob")
			s.over(caller)
			s.gone(callee)
		},
		want:    []file{{"alice rule.out.internal", false, []string{"alice+bob"}}},
		decided: []string{"began: alice bob", "began: alice=rule.out.internal bob"},
	}, {
		name: "a rule that is switched off during a call ends with the call",
		play: func(s *stage) {
			set(user("alice"), `{"call_record_enabled": true}`)
			caller, callee := s.meet("alice", "1002", "bob")
			set(user("alice"), `{"call_record_enabled": false}`)
			s.say(caller)
			s.runs("alice", recorder.Live)
			s.over(caller)
			s.gone(callee)
		},
		want:    []file{{"alice rule.out.internal", false, []string{"alice+bob"}}},
		decided: []string{"began: alice=rule.out.internal bob"},
	}, {
		name: "a queue's always records who has no rule",
		play: func(s *stage) {
			set(queue, `{"auto_record": "always"}`)
			agentOf(lab.ExtenQueue)(s)
		},
		want:    []file{{"carol auto.always", false, []string{"alice+carol"}}},
		decided: []string{"began: alice carol=auto.always"},
	}, {
		name: "a queue's never goes before the rules of both", rules: rulesOf{"alice": inOutInt, "carol": inOutInt},
		play: func(s *stage) {
			set(queue, `{"auto_record": "never"}`)
			agentOf(lab.ExtenQueue)(s)
			all(s)
		},
		decided: []string{"began: alice carol"},
	}, {
		name: "a group's always, beside the caller's rule", rules: rulesOf{"alice": outInt},
		play: func(s *stage) {
			set(group, `{"auto_record": "always"}`)
			agentOf(lab.ExtenGroup)(s)
			all(s)
		},
		want:    []file{{"alice rule.out.internal, carol auto.always", false, []string{"alice+carol"}}},
		decided: []string{"began: alice=rule.out.internal carol=auto.always"},
	}, {
		name: "a trunk's always",
		play: func(s *stage) {
			set(trunk, `{"auto_record": "always"}`)
			caller := s.calls("trunk-a", lab.PrefixDID+"1002")
			callee := s.takes("bob")
			s.both(caller, "trunk-a", callee, "bob")
			s.over(caller)
			s.gone(callee)
			all(s)
		},
		want:    []file{{"nobody auto.always", false, []string{"bob+trunk-a"}}},
		decided: []string{"began: trunk-a=auto.always bob"},
	}})
}

// agentOf is a call of alice that bob's and carol's phones announce and carol takes.
func agentOf(exten string) func(*stage) {
	return func(s *stage) {
		caller := s.calls("alice", exten)
		loser := s.rings("bob")
		winner := s.takes("carol")
		s.both(caller, "alice", winner, "carol")
		s.gone(loser)
		s.over(caller)
		s.gone(winner)
	}
}

// Row 42: *26 over HTTP: its number, whether it is enabled, and the lamps, which
// follow a change of a user's rules.
func TestRow42Star26OverHTTP(t *testing.T) {
	t.Parallel()
	s := siteAt(t, newStarPBX(t), ownPorts)
	s.start()
	s.populate()
	s.hasFeatures()
	admin := s.clientOf(api.Confd, "", "", "confd.#")
	alice := s.phone("alice", lab.Manual())
	lamp := s.lamp(alice, "*261001")
	path := "/1.1/users/" + s.users["alice"].UUID
	for _, on := range []bool{true, false} {
		admin.ask(t, "PUT", path, raw(fmt.Sprintf(`{"call_record_enabled": %t}`, on)), 204, "")
		want := map[bool]string{true: lab.LampOn, false: lab.LampOff}[on]
		must(t, lamp.Wait(within(t), want))
	}
	var list struct {
		Items []struct {
			UUID string `json:"uuid"`
		} `json:"items"`
	}
	admin.read("/1.1/extensions/features?feature=callrecord", &list)
	feature := "/1.1/extensions/features/" + list.Items[0].UUID
	admin.ask(t, "PUT", feature, raw(`{"exten": "*81"}`), 204, "")
	s.hasExten(t, "*81")
	s.answers(alice, "*81", dialplan.SoundOn)
	admin.ask(t, "GET", path, nil, 200, `"call_record_enabled":true`)
	admin.ask(t, "PUT", feature, raw(`{"enabled": false}`), 204, "")
	s.eventually("Asterisk has the disabled feature", func() error {
		out, err := s.pbx.Console(within(t), "dialplan show "+dialplan.FeaturesContext)
		if err == nil && strings.Contains(out, "Stasis") {
			err = fmt.Errorf("it has\n%s", out)
		}
		return err
	})
	s.answers(alice, "*81", dialplan.SoundDisabled)
	admin.ask(t, "GET", path, nil, 200, `"call_record_enabled":true`) // nobody's rules have changed
}

func (s *site) hasExten(t *testing.T, exten string) {
	t.Helper()
	s.eventually("Asterisk has "+exten, func() error {
		out, err := s.pbx.Console(within(t), "dialplan show "+dialplan.FeaturesContext)
		if err == nil && !strings.Contains(out, "'"+exten+"'") {
			err = fmt.Errorf("it has\n%s", out)
		}
		return err
	})
}

// The code of *3 is changed over HTTP; Asterisk listens to the new one alone, and
// still does after a restart of it.
func TestToggleCodeOverHTTP(t *testing.T) {
	t.Parallel()
	s := stageWith(t, ownPorts)
	s.rules("alice", onDemand)
	admin := s.clientOf(api.Confd, "", "", "confd.#")
	const path = "/1.1/asterisk/features/applicationmap"
	admin.ask(t, "GET", path, nil, 200, `"*3,self,`)
	admin.ask(t, "PUT", path, raw(`{"options": {"togglerecord": "*55,self,UserEvent(CallRecordToggle)"}}`), 204, "")
	admin.ask(t, "GET", path, nil, 200, `"*55,self,`)
	s.eventually("Asterisk has the new code", func() error {
		out, err := s.pbx.Console(within(t), "features show")
		if err == nil && (!strings.Contains(out, "*55") || regexp.MustCompile(`callrecord +\S* *\*3\b`).MatchString(out)) {
			err = fmt.Errorf("it has\n%s", out)
		}
		return err
	})
	caller, callee := s.meet("alice", "1002", "bob")
	s.presses(caller, "*3")
	s.say(caller)
	s.idle("alice")
	s.presses(caller, "*55")
	s.runs("alice", recorder.Live)
	s.say(caller)
	s.over(caller)
	s.gone(callee)
	if n := len(s.waitCDRs(1)[0].Recordings); n != 1 {
		t.Errorf("%d recordings", n)
	}
}
