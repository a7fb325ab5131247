package e2e

import (
	"syscall"
	"testing"

	"callrecordd/config"
	"callrecordd/dialplan"
	"callrecordd/internal/lab"
	"callrecordd/internal/recorder"
)

// paused is a call from alice to bob in which alice records, pauses, and bob
// presses *3 as well: that adds a wish and resumes nothing.
func (s *stage) paused() (caller, callee *lab.Call) {
	s.t.Helper()
	caller, callee = s.meet("alice", "1002", "bob")
	s.starts(caller, "alice")
	s.pauses(caller, "alice")
	s.adds(callee, "bob", recorder.PartyPaused)
	s.runs("alice", recorder.Paused)
	s.tells(callee, "bob", caller)
	return caller, callee
}

// Shows 3: a card number that is spoken during a pause is in no file, whatever
// happens to the call meanwhile. What is said after the pause is.
func TestCardNumberIsInNoFile(t *testing.T) {
	t.Parallel()
	s := newStage(t, lab.Config{})
	all := rulesOf{"alice": onDemand, "bob": may(inInt), "carol": may(inInt)}
	some := rulesOf{"alice": onDemand, "bob": onDemand, "carol": may(inInt)}
	began := "began: alice bob"
	s.secret(t, []situation{{
		name: "the other party presses and has a rule", rules: all,
		play: func(s *stage) {
			caller, callee := s.meet("alice", "1002", "bob")
			s.runs("alice", recorder.Live) // by bob's rule
			s.adds(caller, "alice", recorder.Active)
			s.pauses(caller, "alice")
			s.denied(callee, "bob", dialplan.RefusedPaused)
			s.tells(callee, "bob", caller)
			s.tells(caller, "alice", callee)
			s.runs("alice", recorder.Paused)
			s.resumes(caller, "alice")
			s.over(caller)
			s.gone(callee)
		},
		want:    []file{{"bob rule.in.internal, alice on_demand", false, []string{"alice+bob", "silence", "alice+bob"}}},
		decided: []string{"began: alice bob=rule.in.internal"},
	}, {
		name: "blind transfer to one who has a rule", rules: some,
		play: func(s *stage) {
			caller, callee := s.paused()
			must(s.t, callee.BlindTransfer(within(s.t), "1003"))
			c := s.takes("carol")
			s.both(caller, "alice", c, "carol")
			s.wish("carol", recorder.PartyPaused)
			s.tells(c, "carol", caller)
			s.denied(c, "carol", dialplan.RefusedPaused)
			s.resumes(caller, "alice")
			s.over(caller, callee)
			s.gone(c)
		},
		want:    []file{{"alice on_demand, carol rule.in.internal", false, []string{"alice+bob", "silence", "alice+carol"}}},
		decided: []string{began, "changed: alice carol=rule.in.internal"},
	}, {
		name: "blind transfer, the one who pauses is recorded by rule", rules: rulesOf{"alice": may(outInt), "bob": onDemand, "carol": inInt},
		play: func(s *stage) {
			caller, callee := s.meet("alice", "1002", "bob")
			s.pauses(caller, "alice")
			s.adds(callee, "bob", recorder.PartyPaused)
			s.tells(callee, "bob", caller)
			must(s.t, callee.BlindTransfer(within(s.t), "1003"))
			c := s.takes("carol")
			s.both(caller, "alice", c, "carol")
			s.tells(c, "carol", caller)
			s.resumes(caller, "alice")
			s.over(caller, callee)
			s.gone(c)
		},
		want:    []file{{"alice rule.out.internal, carol rule.in.internal", false, []string{"alice+bob", "silence", "alice+carol"}}},
		decided: []string{"began: alice=rule.out.internal bob", "changed: alice=rule.out.internal carol=rule.in.internal"},
	}, {
		name: "attended transfer", rules: some,
		play: func(s *stage) {
			caller, callee := s.paused()
			must(s.t, callee.Hold(within(s.t)))
			second, c := s.meet("bob", "1003", "carol")
			must(s.t, callee.AttendedTransfer(within(s.t), second))
			s.both(caller, "alice", c, "carol")
			s.gone(callee, second)
			s.wish("carol", recorder.PartyPaused)
			s.tells(c, "carol", caller)
			s.resumes(caller, "alice")
			s.over(caller)
			s.gone(c)
		},
		want: []file{
			{"alice on_demand, carol rule.in.internal", false, []string{"alice+bob", "silence", "alice+carol"}},
			{"carol rule.in.internal", false, []string{"bob+carol"}},
		},
		decided: []string{began, "began: bob carol=rule.in.internal", "changed: alice carol=rule.in.internal"},
	}, {
		name: "attended transfer by DTMF", rules: some,
		play: func(s *stage) {
			caller, callee := s.paused()
			s.presses(callee, lab.FeatureAttended)
			s.hear(caller, "music")
			s.presses(callee, "1003")
			c := s.takes("carol")
			s.both(callee, "bob", c, "carol")
			s.tells(c, "carol", callee)
			s.over(callee)
			s.both(caller, "alice", c, "carol")
			s.idle("alice")
			s.wish("alice", recorder.PartyPaused)
			s.tells(c, "carol", caller)
			s.resumes(caller, "alice")
			s.over(caller)
			s.gone(c)
		},
		want: []file{
			{"alice on_demand, bob on_demand", false, []string{"alice+bob", "silence"}},
			{"carol rule.in.internal, alice on_demand", true, []string{"alice+carol"}},
		},
		decided: []string{began, "changed: bob carol=rule.in.internal", "changed: alice carol=rule.in.internal"},
	}, {
		name: "the one who paused leaves, bob goes on", rules: some,
		play: func(s *stage) {
			caller, callee := s.paused()
			must(s.t, caller.BlindTransfer(within(s.t), "1003"))
			c := s.takes("carol")
			s.both(callee, "bob", c, "carol")
			s.idle("bob")
			s.wish("bob", recorder.PartyPaused)
			s.tells(c, "carol", callee)
			s.denied(callee, "bob", dialplan.RefusedPaused)
			s.idle("bob")
			s.order("bob", "resume")
			s.goesOn(callee, "bob")
			s.over(callee, caller)
			s.gone(c)
		},
		want: []file{
			{"alice on_demand, bob on_demand", false, []string{"alice+bob", "silence"}},
			{"bob on_demand, carol rule.in.internal", true, []string{"bob+carol"}},
		},
		decided: []string{began, "changed: bob carol=rule.in.internal"},
	}, {
		name: "the one who paused leaves, nobody resumes", rules: some,
		play: func(s *stage) {
			caller, callee := s.paused()
			must(s.t, caller.BlindTransfer(within(s.t), "1003"))
			c := s.takes("carol")
			s.both(callee, "bob", c, "carol")
			s.tells(c, "carol", callee)
			s.over(callee, caller)
			s.gone(c)
		},
		want:    []file{{"alice on_demand, bob on_demand", false, []string{"alice+bob", "silence"}}},
		decided: []string{began, "changed: bob carol=rule.in.internal"},
	}, {
		name: "the talk ends in the pause", rules: some,
		play: func(s *stage) {
			caller, callee := s.paused()
			s.over(caller)
			s.gone(callee)
		},
		want:    []file{{"alice on_demand, bob on_demand", false, []string{"alice+bob", "silence"}}},
		decided: []string{began},
	}, {
		name: "stopped in the pause, then started again", rules: rulesOf{"alice": onDemand, "bob": onDemand},
		play: func(s *stage) {
			caller, callee := s.paused()
			s.order("alice", "stop")
			s.idle("alice")
			s.wish("alice", recorder.Inactive)
			s.wish("bob", recorder.Inactive)
			s.tells(callee, "bob", caller) // between two recordings
			s.starts(caller, "alice")
			s.over(caller)
			s.gone(callee)
		},
		want: []file{
			{"alice on_demand, bob on_demand", false, []string{"alice+bob", "silence"}},
			{"alice on_demand", false, []string{"alice+bob"}},
		},
		decided: []string{began},
	}, {
		name: "two talks become one, the newer is paused", rules: rulesOf{"alice": may(outInt), "carol": may(inInt)}, gaps: true,
		play: func(s *stage) {
			caller, callee := s.meet("alice", "1002", "bob")
			s.runs("alice", recorder.Live)
			must(s.t, callee.Hold(within(s.t)))
			second, c := s.meet("bob", "1003", "carol")
			s.pauses(c, "carol")
			s.tells(second, "bob", c)
			must(s.t, callee.AttendedTransfer(within(s.t), second))
			s.both(caller, "alice", c, "carol")
			s.gone(callee, second)
			s.runs("alice", recorder.Paused)
			s.wish("alice", recorder.PartyPaused)
			s.tells(c, "carol", caller)
			s.denied(caller, "alice", dialplan.RefusedPaused)
			s.resumes(c, "carol")
			s.over(caller)
			s.gone(c)
		},
		want: []file{
			{"alice rule.out.internal, carol rule.in.internal", false, []string{"alice+bob", "alice+music", gap, "alice+carol"}},
			{"carol rule.in.internal", false, []string{"bob+carol", "silence"}},
		},
		decided: []string{"began: alice=rule.out.internal bob", "began: bob carol=rule.in.internal", "changed: alice=rule.out.internal carol=rule.in.internal"},
	}})
}

// The search for the number finds it where nobody has paused.
func TestCardNumberWithoutAPauseIsFound(t *testing.T) {
	t.Parallel()
	s := newStage(t, lab.Config{})
	s.rules("alice", outInt)
	caller, callee := s.meet("alice", "1002", "bob")
	s.runs("alice", recorder.Live)
	s.tells(callee, "bob", caller)
	s.over(caller)
	s.gone(callee)
	s.finals(1)
	if found := s.digitsOnDisk(); len(found) != len(cardNumber()) {
		t.Errorf("the digits found are %q", found)
	}
}

// The same where a pause stops the recorder and its end appends to the file.
func TestCardNumberIsInNoFileThatIsCut(t *testing.T) {
	t.Parallel()
	s := stageWith(t, func(c *config.Config) { c.Recordings.Pause = config.PauseCut })
	some := rulesOf{"alice": onDemand, "bob": onDemand, "carol": may(inInt)}
	s.secret(t, []situation{{
		name: "blind transfer to one who has a rule", rules: some, gaps: true,
		play: func(s *stage) {
			caller, callee := s.paused()
			must(s.t, callee.BlindTransfer(within(s.t), "1003"))
			c := s.takes("carol")
			s.both(caller, "alice", c, "carol")
			s.tells(c, "carol", caller)
			s.resumes(caller, "alice")
			s.over(caller, callee)
			s.gone(c)
		},
		want:    []file{{"alice on_demand, carol rule.in.internal", false, []string{"alice+bob", "alice+carol"}}},
		decided: []string{"began: alice bob", "changed: alice carol=rule.in.internal"},
	}, {
		name: "the one who paused leaves", rules: some, gaps: true,
		play: func(s *stage) {
			caller, callee := s.paused()
			must(s.t, caller.BlindTransfer(within(s.t), "1003"))
			c := s.takes("carol")
			s.both(callee, "bob", c, "carol")
			s.idle("bob")
			s.tells(c, "carol", callee)
			s.order("bob", "resume")
			s.goesOn(callee, "bob")
			s.over(callee, caller)
			s.gone(c)
		},
		want: []file{
			{"alice on_demand, bob on_demand", false, []string{"alice+bob"}},
			{"bob on_demand, carol rule.in.internal", true, []string{"bob+carol"}},
		},
		decided: []string{"began: alice bob", "changed: bob carol=rule.in.internal"},
	}, {
		name: "the talk ends in the pause", rules: some, gaps: true,
		play: func(s *stage) {
			caller, callee := s.paused()
			s.over(caller)
			s.gone(callee)
		},
		want:    []file{{"alice on_demand, bob on_demand", false, []string{"alice+bob"}}},
		decided: []string{"began: alice bob"},
	}})
}

// A daemon that is killed in a pause: the recorder stays muted, the next daemon
// knows of the pause and of its owner, and the file goes on at resume.
func TestCardNumberWhenTheDaemonDiesInThePause(t *testing.T) {
	t.Parallel()
	diesInThePause(t, config.PauseMute, "alice+bob", "silence", "alice+carol")
}

// diesInThePause leaves one file in which that is heard.
func diesInThePause(t *testing.T, mode string, want ...string) {
	t.Helper()
	bin := build(t)
	site := siteAt(t, newPBX(t, lab.Config{}), func(c *config.Config) { c.Recordings.Pause = mode })
	daemon := site.spawn(bin)
	site.populate()
	s := staged(site)
	for who, flags := range map[string]dialplan.Flags{"alice": onDemand, "bob": onDemand, "carol": inInt} {
		s.rules(who, flags)
	}
	caller, callee := s.paused()
	first := s.stored()[0].uuid
	daemon.end(t, syscall.SIGKILL)
	s.tells(callee, "bob", caller)
	daemon = s.spawn(bin)
	s.wish("alice", recorder.PartyPaused)
	s.wish("bob", recorder.PartyPaused)
	s.tells(callee, "bob", caller)
	s.denied(callee, "bob", dialplan.RefusedPaused)

	// Once more, and transferred meanwhile.
	daemon.end(t, syscall.SIGKILL)
	must(t, callee.BlindTransfer(within(t), "1003"))
	c := s.takes("carol")
	s.both(caller, "alice", c, "carol")
	s.tells(c, "carol", caller)
	s.spawn(bin)
	s.wish("alice", recorder.PartyPaused)
	s.tells(c, "carol", caller)
	s.resumes(caller, "alice")
	s.say(caller)
	s.over(caller)
	s.gone(c)
	must(t, s.pbx.WaitIdle(within(t)))

	got := s.finals(1)
	if len(got) != 1 || got[0].uuid != first || got[0].state != "ready" {
		t.Fatalf("the recordings are %+v", got)
	}
	audio, err := lab.ReadWAV(s.path(got[0]))
	must(t, err)
	if heard := passages(audio); !matches(heard, want) {
		t.Errorf("%v is heard, want %q", heard, want)
	}
	if found := s.digitsOnDisk(); len(found) > 0 {
		t.Errorf("digits are on disk: %q", found)
	}
	s.silent(t, mode)
}
