package e2e

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/lab"
	"callrecordd/internal/recorder"
)

// dial begins a call of a phone.
func (s *site) dial(from *lab.Phone, exten string) *lab.Call {
	s.t.Helper()
	c, err := from.Dial(within(s.t), exten)
	must(s.t, err)
	return c
}

// incoming is the next call to a phone.
func (s *site) incoming(p *lab.Phone) *lab.Call {
	s.t.Helper()
	c, err := p.WaitCall(within(s.t))
	must(s.t, err)
	return c
}

// everybody sets the same rules for all users.
func (s *site) everybody(f dialplan.Flags) {
	s.t.Helper()
	for user := range s.users {
		s.rules(user, f)
	}
}

// from is what a CDR says of a call by a user of the lab, to what it says of a
// call that ended with one.
func (s *site) from(user, name, exten string) map[string]any {
	return map[string]any{
		"source_user_uuid": s.users[user].UUID, "source_name": name, "source_internal_name": name,
		"source_extension": exten, "source_internal_extension": exten, "source_internal_context": lab.ContextUsers,
	}
}

func (s *site) to(user, name, exten string) map[string]any {
	uuid := s.users[user].UUID
	return map[string]any{
		"destination_user_uuid": uuid, "destination_name": name, "destination_extension": exten,
		"destination_internal_extension": exten, "destination_internal_context": lab.ContextUsers,
		"destination_details": map[string]any{"type": "user", "user_uuid": uuid, "user_name": name},
	}
}

// asked is what a CDR says of what was dialled and which user it meant.
func (s *site) asked(exten, context, user, name, internal string) map[string]any {
	return map[string]any{
		"requested_extension": exten, "requested_context": context, "requested_name": name,
		"requested_user_uuid": s.users[user].UUID, "requested_internal_extension": internal,
		"requested_internal_context": lab.ContextUsers,
	}
}

func status(direction, status string) map[string]any {
	return map[string]any{"call_direction": direction, "call_status": status, "answered": status == "answered"}
}

func all(parts ...map[string]any) map[string]any {
	out := make(map[string]any)
	for _, p := range parts {
		maps.Copy(out, p)
	}
	return out
}

// untouched checks that nothing at all was recorded or about to be, and that
// there was no talk to decide about.
func (s *site) untouched() {
	s.t.Helper()
	if files := s.files(); len(files) > 0 {
		s.t.Errorf("files: %v", files)
	}
	if n := s.count("SELECT count(*) FROM recordings"); n != 0 {
		s.t.Errorf("%d recordings are stored", n)
	}
	if n := s.count("SELECT count(*) FROM events WHERE kind = ?", recorder.EventDecision); n != 0 {
		s.t.Errorf("%d decisions are stored though nobody talked", n)
	}
}

// Row 5: whatever the rules say, nothing is recorded before the answer, and
// every attempt has its CDR.
func TestCallsWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	s := newCalmSite(t)
	s.everybody(allFlags)
	alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.RingOnly())
	for i, command := range []string{"Dial(PJSIP/bob,1)", "Hangup()"} {
		_, err := s.pbx.Console(within(t), fmt.Sprintf("dialplan add extension 1501,%d,%s into users", i+1, command))
		must(t, err)
	}
	unanswered := all(status("internal", "unknown"), s.from("alice", "Alice", "1001"), s.to("bob", "Bob", "1002"),
		map[string]any{"answer": nil, "duration": nil, "recordings": []any{}})
	direct := all(unanswered, s.asked("1002", lab.ContextUsers, "bob", "Bob", "1002"))

	for _, c := range []struct {
		name, exten string
		bob         lab.Incoming
		rings       bool
		status      int // that the caller sees
		end         func(s *site, caller *lab.Call)
		want        map[string]any
	}{
		{"rings and is cancelled", "1002", lab.RingOnly(), true, 487, func(s *site, caller *lab.Call) {
			must(s.t, caller.WaitRinging(within(s.t)))
			must(s.t, caller.Cancel(within(s.t)))
		}, direct},
		{"busy", "1002", lab.RejectWith(486), true, 486, nil, direct},
		{"rejected", "1002", lab.RejectWith(603), true, 0, nil, direct},
		{"rings in vain", "1501", lab.RingOnly(), true, 0, nil, all(unanswered, map[string]any{
			"requested_extension": "1501", "requested_user_uuid": s.users["bob"].UUID, "requested_internal_extension": "1002",
		})},
		{"has no phone", "1003", lab.RingOnly(), false, 0, nil, all(unanswered, s.to("carol", "Carol", "1003"),
			s.asked("1003", lab.ContextUsers, "carol", "Carol", "1003"))},
		{"an extension that is busy", lab.ExtenBusy, lab.RingOnly(), false, 486, nil, all(unanswered, map[string]any{
			"requested_extension": lab.ExtenBusy, "requested_user_uuid": nil,
			"destination_extension": lab.ExtenBusy, "destination_user_uuid": nil, "destination_name": nil,
			"destination_internal_extension": nil, "destination_internal_context": nil,
			"destination_details": map[string]any{"type": "unknown"},
		})},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := s.sub(t)
			bob.OnIncoming(c.bob)
			var caller *lab.Call
			cdr := s.cdrOf(func() {
				caller = s.dial(alice, c.exten)
				if c.rings {
					s.incoming(bob)
				}
				if c.end != nil {
					c.end(s, caller)
				}
				must(t, caller.WaitEnded(within(t)))
				must(t, s.pbx.WaitIdle(within(t)))
			})
			if got := caller.Status(); got < 400 || c.status != 0 && got != c.status {
				t.Errorf("the caller sees status %d, want %d", got, c.status)
			}
			s.fields(cdr, c.want)
			s.untouched()
		})
	}

	// The proof that the daemon would have recorded, had anybody answered.
	bob.OnIncoming(lab.AutoAnswer(0))
	cdr := s.speak(alice, bob, "1002")
	s.recorded(cdr, []claim{{"alice", dialplan.RuleOutInternal}, {"bob", dialplan.RuleInInternal}}, toneA, toneB)
}

// Answered calls as a client sees them, each recorded.
func TestAnsweredCalls(t *testing.T) {
	t.Parallel()
	s := newCalmSite(t)
	s.everybody(allFlags)
	s.do("PATCH", "users/"+s.users["alice"].UUID, map[string]string{"user_field": "vip, sales"}, nil)
	alice, bob, trunk := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0)), s.trunk(lab.AutoAnswer(0))

	t.Run("internal", func(t *testing.T) {
		s := s.sub(t)
		cdr := s.speak(alice, bob, "1002")
		s.fields(cdr, all(status("internal", "answered"), s.from("alice", "Alice", "1001"), s.to("bob", "Bob", "1002"),
			s.asked("1002", lab.ContextUsers, "bob", "Bob", "1002"), map[string]any{"tags": []any{"vip", "sales"}}))
		s.recorded(cdr, []claim{{"alice", dialplan.RuleOutInternal}, {"bob", dialplan.RuleInInternal}}, toneA, toneB)
	})
	t.Run("outgoing", func(t *testing.T) {
		s := s.sub(t)
		const number = lab.PrefixOut + "0309876543"
		cdr := s.speak(alice, trunk, number)
		s.fields(cdr, all(status("outbound", "answered"), s.from("alice", "Alice", "1001"), map[string]any{
			"requested_extension": number, "requested_context": lab.ContextUsers, "requested_user_uuid": nil,
			"requested_internal_extension": nil, "requested_internal_context": nil,
			"destination_extension": number, "destination_user_uuid": nil, "destination_internal_extension": nil,
			"destination_details": map[string]any{"type": "unknown"}, "tags": []any{"vip", "sales"},
		}))
		s.recorded(cdr, []claim{{"alice", dialplan.RuleOutExternal}}, toneA, toneB)
	})
	t.Run("incoming", func(t *testing.T) {
		s := s.sub(t)
		cdr := s.speak(trunk, bob, lab.PrefixDID+"1002")
		s.fields(cdr, all(status("inbound", "answered"), s.to("bob", "Bob", "1002"),
			s.asked(lab.PrefixDID+"1002", lab.ContextTrunk, "bob", "Bob", "1002"), map[string]any{
				"source_extension": "0301234567", "source_user_uuid": nil, "source_line_id": nil,
				"source_internal_extension": nil, "source_internal_context": nil, "tags": []any{},
			}))
		s.recorded(cdr, []claim{{"bob", dialplan.RuleInExternal}}, toneA, toneB)
	})
	t.Run("after early media", func(t *testing.T) {
		s := s.sub(t)
		bob.OnIncoming(lab.RingOnly())
		cdr := s.cdrOf(func() {
			caller := s.dial(alice, lab.ExtenEarly)
			must(t, caller.WaitTone(within(t), lab.AnnouncementHz))
			callee := s.incoming(bob)
			caller.Play(toneC) // what is said into the ringing
			must(t, caller.Talk(within(t), speaking))
			s.answer(callee, caller)
			s.hangup(caller)
		})
		s.recorded(cdr, []claim{{"alice", dialplan.RuleOutInternal}, {"bob", dialplan.RuleInInternal}}, toneA, toneB)
		s.fields(cdr, status("internal", "answered"))
	})
	t.Run("through a Local channel", func(t *testing.T) {
		s := s.sub(t)
		bob.OnIncoming(lab.AutoAnswer(0))
		for _, exten := range []string{lab.ExtenLocal, lab.ExtenForward} {
			cdr := s.speak(alice, bob, exten)
			s.recorded(cdr, []claim{{"alice", dialplan.RuleOutInternal}, {"bob", dialplan.RuleInInternal}}, toneA, toneB)
			s.fields(cdr, all(status("internal", "answered"), s.from("alice", "Alice", "1001"), map[string]any{
				"requested_extension": exten, "destination_user_uuid": s.users["bob"].UUID,
			}))
		}
	})
}

// answer takes the call for those who have been ringing, and lets both talk.
func (s *site) answer(callee, caller *lab.Call) {
	s.t.Helper()
	must(s.t, callee.Answer(within(s.t)))
	must(s.t, caller.WaitAnswered(within(s.t)))
	caller.Play(toneA)
	callee.Play(toneB)
	must(s.t, caller.WaitTone(within(s.t), toneB))
	must(s.t, callee.WaitTone(within(s.t), toneA))
	must(s.t, caller.Talk(within(s.t), speaking))
}

// All phones of a group or queue ring, one answers: the others are no part of
// what is recorded, and neither is the wait.
func TestOnlyTheMemberWhoAnswersIsRecorded(t *testing.T) {
	t.Parallel()
	s := newCalmSite(t)
	alice, trunk := s.phone("alice", lab.Manual()), s.trunk(lab.Manual())
	members := map[string]*lab.Phone{"bob": s.phone("bob", lab.RingOnly()), "carol": s.phone("carol", lab.RingOnly())}
	exten := map[string]string{"bob": "1002", "carol": "1003"}
	var groups []map[string]any
	s.do("GET", "groups", nil, &groups)

	for _, c := range []struct {
		name           string
		flags          dialplan.Flags
		from           *lab.Phone
		exten          string
		winner, loser  string
		claims         []claim
		direction      string
		queue, waiting bool
	}{
		{
			"group, all rules on", allFlags, alice, lab.ExtenGroup, "bob", "carol",
			[]claim{{"alice", dialplan.RuleOutInternal}, {"bob", dialplan.RuleInInternal}},
			"internal", false, false,
		},
		{
			"group, members' rule", inInt, alice, lab.ExtenGroup, "carol", "bob",
			[]claim{{"carol", dialplan.RuleInInternal}},
			"internal", false, false,
		},
		{
			"group, called from a trunk", inExt, trunk, lab.PrefixDID + lab.ExtenGroup, "bob", "carol",
			[]claim{{"bob", dialplan.RuleInExternal}},
			"inbound", false, false,
		},
		{
			"queue", allFlags, alice, lab.ExtenQueue, "carol", "bob",
			[]claim{{"alice", dialplan.RuleOutInternal}, {"carol", dialplan.RuleInInternal}},
			"internal", true, true,
		},
		{
			"queue, called from a trunk", inExt, trunk, lab.PrefixDID + lab.ExtenQueue, "bob", "carol",
			[]claim{{"bob", dialplan.RuleInExternal}},
			"inbound", true, true,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := s.sub(t)
			s.everybody(c.flags)
			cdr := s.cdrOf(func() {
				caller := s.dial(c.from, c.exten)
				winner, loser := s.incoming(members[c.winner]), s.incoming(members[c.loser])
				if c.waiting {
					must(t, caller.WaitTone(within(t), lab.MusicHz))
					caller.Play(toneC)
					must(t, caller.Talk(within(t), time.Second))
				} else {
					must(t, caller.WaitRinging(within(t)))
				}
				s.answer(winner, caller)
				must(t, loser.WaitEnded(within(t)))
				s.hangup(caller)
			})
			rec, _ := s.recorded(cdr, c.claims, toneA, toneB)
			if n := s.count("SELECT count(*) FROM recording_parties WHERE recording_uuid = ? AND endpoint = ?", rec.UUID, "PJSIP/"+c.loser); n > 0 {
				t.Errorf("%s, who did not answer, is a party of the recording", c.loser)
			}
			if n := s.count("SELECT count(*) FROM recording_parties WHERE recording_uuid = ?", rec.UUID); n != 2 {
				t.Errorf("the recording has %d parties", n)
			}
			if d := s.decision(cdr); len(d) != 2 || d[c.loser] != "" {
				t.Errorf("decided about %v", d)
			}
			want := all(status(c.direction, "answered"), map[string]any{
				"requested_extension": c.exten, "destination_user_uuid": s.users[c.winner].UUID, "destination_internal_extension": exten[c.winner],
				"destination_internal_context": lab.ContextUsers,
			})
			if c.queue {
				maps.Copy(want, map[string]any{
					"requested_internal_extension": lab.ExtenQueue, "destination_extension": exten[c.winner],
					"destination_details": map[string]any{"type": "unknown"},
				})
			} else {
				maps.Copy(want, map[string]any{
					"requested_internal_extension": lab.ExtenGroup, "requested_name": "Sales",
					"destination_name": "Sales", "destination_extension": lab.ExtenGroup,
					"destination_details": map[string]any{"type": "group", "group_label": "Sales", "group_id": groups[0]["id"]},
				})
			}
			s.fields(cdr, want)
		})
	}
}

// Row 45: what is no talk between people is not recorded, whatever the rules.
func TestVoicemailConferenceAndAnnouncementsAreNotRecorded(t *testing.T) {
	t.Parallel()
	s := newCalmSite(t)
	s.everybody(allFlags)
	alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.RingOnly())
	carol, dave := s.phone("carol", lab.Manual()), s.phone("dave", lab.Manual())

	// Four at once: the mailbox, the menu, music and echo.
	mailbox, menu, music, echo := s.dial(alice, lab.ExtenVoicemail), s.dial(bob, lab.ExtenIVR), s.dial(carol, lab.ExtenMusic), s.dial(dave, lab.ExtenEcho)
	calls := []*lab.Call{mailbox, menu, music, echo}
	for _, c := range calls {
		must(t, c.WaitAnswered(within(t)))
		c.Play(toneA)
	}
	must(t, menu.WaitTone(within(t), lab.AnnouncementHz))
	must(t, music.WaitTone(within(t), lab.MusicHz))
	must(t, echo.WaitTone(within(t), toneA))
	must(t, mailbox.Talk(within(t), speaking))
	for _, c := range calls {
		must(t, c.Hangup(within(t)))
	}
	must(t, s.pbx.WaitIdle(within(t)))

	// A conference, and a call that ends in the mailbox as nobody answers.
	forwarded := s.dial(carol, lab.ExtenNoAnswer)
	one, two := s.dial(alice, lab.ExtenConference), s.dial(dave, lab.ExtenConference)
	must(t, one.WaitAnswered(within(t)))
	must(t, two.WaitAnswered(within(t)))
	one.Play(toneA)
	two.Play(toneB)
	must(t, one.WaitTone(within(t), toneB))
	must(t, two.WaitTone(within(t), toneA))
	must(t, forwarded.WaitAnswered(within(t)))
	forwarded.Play(toneA)
	must(t, forwarded.Talk(within(t), speaking))
	for _, c := range []*lab.Call{one, two, forwarded} {
		must(t, c.Hangup(within(t)))
	}
	must(t, s.pbx.WaitIdle(within(t)))

	want := map[string]map[string]any{
		lab.ExtenVoicemail: all(status("internal", "voicemail"), s.from("alice", "Alice", "1001"), map[string]any{
			"destination_details": map[string]any{"type": "voicemail", "voicemail_name": "1002@default"},
		}),
		lab.ExtenNoAnswer: all(status("internal", "voicemail"), s.from("carol", "Carol", "1003"), map[string]any{
			"destination_user_uuid": s.users["bob"].UUID,
			"destination_details":   map[string]any{"type": "voicemail", "voicemail_name": "1002@default"},
		}),
		lab.ExtenIVR:        all(status("internal", "unknown"), s.from("bob", "Bob", "1002")),
		lab.ExtenMusic:      all(status("internal", "unknown"), s.from("carol", "Carol", "1003")),
		lab.ExtenEcho:       all(status("internal", "unknown"), s.from("dave", "Dave", "1004")),
		lab.ExtenConference: all(status("internal", "answered"), map[string]any{"destination_details": map[string]any{"type": "conference"}}),
	}
	conferees := 0
	for _, cdr := range s.none(len(want) + 1) { // either side of the conference called for itself
		if f, ok := want[cdr.RequestedExtension]; ok {
			s.fields(cdr, f)
		} else {
			t.Errorf("unexpected CDR %+v", cdr)
		}
		if cdr.RequestedExtension == lab.ExtenConference {
			conferees++
			continue
		}
		delete(want, cdr.RequestedExtension)
	}
	if conferees != 2 || len(want) != 1 {
		t.Errorf("%d CDRs of the conference, and none of %v", conferees, want)
	}
	s.untouched()

	// Parked is not recorded, retrieved is: the daemon has been at work.
	cdr := s.cdrOf(func() {
		parked := s.dial(alice, lab.ExtenPark)
		must(t, parked.WaitAnswered(within(t)))
		must(t, parked.WaitTone(within(t), lab.MusicHz))
		parked.Play(toneC)
		must(t, parked.Talk(within(t), speaking))
		s.untouched()
		retriever := s.dial(dave, "701")
		must(t, retriever.WaitAnswered(within(t)))
		parked.Play(toneA)
		retriever.Play(toneB)
		must(t, parked.WaitTone(within(t), toneB))
		must(t, retriever.WaitTone(within(t), toneA))
		must(t, retriever.Talk(within(t), speaking))
		s.hangup(retriever)
	})
	if len(cdr.Recordings) != 1 || cdr.Recordings[0].State != "ready" {
		t.Fatalf("the retrieved call is %+v", cdr)
	}
	media := s.media(cdr, cdr.Recordings[0])
	s.hears(media, toneA, toneB)
	if err := lab.CheckNoTone(media, lab.MusicHz); err != nil {
		t.Error(err)
	}
}

// A call that ends within 50 ms of its answer, whoever ends it, leaves one CDR
// and nothing unfinished.
func TestHangupRightAfterTheAnswer(t *testing.T) {
	t.Parallel()
	s := newCalmSite(t)
	s.everybody(allFlags)
	alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.RingOnly())
	var calls int
	for _, exten := range []string{"1002", lab.ExtenLocal, lab.ExtenForward} {
		for _, byCaller := range []bool{true, false} {
			for _, wait := range []time.Duration{0, 20 * time.Millisecond, 40 * time.Millisecond} {
				caller := s.dial(alice, exten)
				callee := s.incoming(bob)
				must(t, callee.Answer(within(t)))
				first, second := callee, caller
				if byCaller {
					must(t, caller.WaitAnswered(within(t)))
					first, second = caller, callee
				}
				if wait > 0 {
					must(t, first.Talk(within(t), wait))
				}
				must(t, first.Hangup(within(t)))
				must(t, second.WaitEnded(within(t)))
				calls++
			}
		}
	}
	must(t, s.pbx.WaitIdle(within(t)))
	files := make(map[string]bool)
	for _, f := range s.files() {
		files[f[len(f)-len("00000000-0000-0000-0000-000000000000.wav"):]] = true
	}
	seen := make(map[string]bool)
	states := make(map[string]int)
	for _, cdr := range s.waitCDRs(calls) {
		if seen[cdr.ConversationID] || cdr.SourceExtension != "1001" || len(cdr.Recordings) > 1 {
			t.Errorf("cdr %+v", cdr)
		}
		seen[cdr.ConversationID] = true
		for _, r := range cdr.Recordings {
			states[r.State+" "+r.Cause]++
			if there := files[r.UUID+".wav"]; there != slices.Contains([]string{"ready", "empty"}, r.State) {
				t.Errorf("recording %+v, and its file is there: %t", r, there)
			}
			delete(files, r.UUID+".wav")
		}
	}
	t.Logf("%d calls, recordings: %v", calls, states)
	if len(files) > 0 {
		t.Errorf("files of no recording: %v", files)
	}
	s.eventually("nothing is unfinished", func() error {
		if n := s.count("SELECT count(*) FROM recordings WHERE state NOT IN ('ready', 'empty', 'missing')"); n > 0 {
			return fmt.Errorf("%d recordings", n)
		}
		if n := s.count("SELECT count(*) FROM recordings WHERE cdr_id IS NULL"); n > 0 {
			return fmt.Errorf("%d recordings without a CDR", n)
		}
		return nil
	})

	bob.OnIncoming(lab.AutoAnswer(0))
	cdr := s.speak(alice, bob, "1002")
	s.recorded(cdr, []claim{{"alice", dialplan.RuleOutInternal}, {"bob", dialplan.RuleInInternal}}, toneA, toneB)
}
