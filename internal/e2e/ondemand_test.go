package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/control"
	"callrecordd/internal/directory"
	"callrecordd/internal/lab"
	"callrecordd/internal/recorder"
)

// Shows 2 and design 6, `*3`, on a plain Dial with the shipped snippets.
func TestOnDemand(t *testing.T) {
	t.Parallel()
	s := newCalmSite(t)
	alice, bob, trunk := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0)), s.trunk(lab.Manual())
	for _, c := range []struct {
		name string
		run  func(s *site, alice, bob *lab.Phone)
	}{
		{"a press records both, and the other does not hear it", pressRecords},
		{"a refusal is heard by who pressed", pressRefused},
		{"pause is silence in the same file", pressPauses},
		{"both press", bothPress},
		{"both press at once", bothPressAtOnce},
		{"twice in quick succession", pressTwice},
		{"people at the command line", liveByHand},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(s.sub(t), alice, bob) })
	}
	t.Run("a trunk's press is ignored and counted", func(t *testing.T) { trunkPresses(s.sub(t), trunk, bob) })
	t.Run("queue and group decide for who they led to", func(t *testing.T) { permissions(t, s.sub(t), alice, bob) })
}

func pressRecords(s *site, alice, bob *lab.Phone) {
	s.mayToggle(true, false)
	var caller, callee *lab.Call
	cdr := s.cdrOf(func() {
		caller, callee = s.both(alice, bob, "1002")
		if _, err := s.live(); err != nil {
			s.t.Error(err)
		}
		fromA, fromB := len(caller.Heard()), len(callee.Heard())
		s.press(caller)
		s.now(recorder.Live)
		s.wishes(recorder.Active, recorder.Inactive)
		must(s.t, caller.Talk(within(s.t), speaking))
		for who, d := range map[string]time.Duration{"alice": beeped(caller, fromA), "bob": beeped(callee, fromB)} {
			if d < 300*time.Millisecond || d > 700*time.Millisecond {
				s.t.Errorf("%s hears the beep for %s", who, d)
			}
		}
		heard := callee.Heard()
		if spans := lab.Tones(lab.Audio{Rate: 8000, Channels: 1, Samples: heard}, keyHz); len(spans) > 0 {
			s.t.Errorf("bob hears the keys: %v", spans)
		}
		s.hangup(caller)
	})
	if digits := callee.Digits(); digits != "" {
		s.t.Errorf("bob's telephone received the digits %s", digits)
	}
	_, media := s.recorded(cdr, []claim{{"alice", dialplan.OnDemand}}, toneA, toneC)
	for _, hz := range append([]float64{beepHz}, keyHz...) {
		if err := lab.CheckNoTone(media, hz); err != nil {
			s.t.Error(err)
		}
	}
}

func pressRefused(s *site, alice, bob *lab.Phone) {
	s.mayToggle(false, true)
	files, before := len(s.files()), s.refusals(dialplan.RefusedUser, s.users["alice"].UUID)
	cdr := s.cdrOf(func() {
		caller, callee := s.talk(alice, bob, "1002")
		s.clear(caller)
		fromA, fromB := s.hush(caller, callee)
		s.press(caller)
		s.rattles(caller, fromA)
		must(s.t, caller.Talk(within(s.t), 500*time.Millisecond))
		if peak := loudest(callee.Heard()[fromB:]); peak > quiet {
			s.t.Errorf("bob hears something, %.3f loud", peak)
		}
		s.wishes(recorder.Inactive, recorder.Inactive)
		s.hangup(caller)
	})
	if len(cdr.Recordings) > 0 || len(s.files()) != files {
		s.t.Errorf("there are recordings: %+v, files %v", cdr.Recordings, s.files())
	}
	s.refused(dialplan.RefusedUser, s.users["alice"].UUID, before+1)
}

func pressPauses(s *site, alice, bob *lab.Phone) {
	s.mayToggle(true, true)
	cdr := s.cdrOf(func() {
		caller, callee := s.both(alice, bob, "1002")
		s.press(caller)
		s.now(recorder.Live)
		must(s.t, caller.Talk(within(s.t), spell))
		s.press(caller)
		s.silenced(1)
		s.wishes(recorder.PartyPaused, recorder.Inactive)
		callee.Play(cardHz)
		must(s.t, caller.WaitTone(within(s.t), cardHz))
		must(s.t, caller.Talk(within(s.t), spell))
		callee.Play(toneC)
		must(s.t, caller.WaitNoTone(within(s.t), cardHz))
		must(s.t, caller.WaitTone(within(s.t), toneC))
		s.press(caller)
		s.now(recorder.Live)
		must(s.t, caller.Talk(within(s.t), spell))
		s.hangup(caller)
	})
	_, media := s.recorded(cdr, []claim{{"alice", dialplan.OnDemand}}, toneA, toneC)
	if err := lab.CheckNoTone(media, cardHz); err != nil {
		s.t.Error(err)
	}
	audio, err := lab.ReadWAV(media)
	must(s.t, err)
	for _, hz := range []float64{toneA, toneC} {
		parts := s.heard(media, hz)
		if len(parts) != 2 {
			s.t.Errorf("%.0f Hz is heard in %v of %s, want two parts", hz, parts, audio.Duration())
			continue
		}
		gap := parts[1].from - parts[0].to
		if parts[0].from > 300*time.Millisecond || parts[0].to < spell-300*time.Millisecond || gap < spell ||
			parts[1].to < audio.Duration()-300*time.Millisecond || parts[1].to-parts[1].from < spell-300*time.Millisecond {
			s.t.Errorf("%.0f Hz is heard in %v of %s", hz, parts, audio.Duration())
		}
		// Between the ends, which the filter blurs, it is silence to the last bit.
		at := func(d time.Duration) int { return int(d.Seconds() * 8000) }
		between := audio.Samples[at(parts[0].to+150*time.Millisecond):at(parts[1].from-150*time.Millisecond)]
		if peak := loudest(between); peak != 0 {
			s.t.Errorf("the pause is %.5f loud", peak)
		}
	}
}

func bothPress(s *site, alice, bob *lab.Phone) {
	s.mayToggle(true, true)
	files := len(s.files())
	cdr := s.cdrOf(func() {
		caller, callee := s.both(alice, bob, "1002")
		s.press(caller)
		first := s.now(recorder.Live).Recording.UUID
		s.press(callee)
		s.eventually("bob's wish counts", func() error {
			talk, err := s.live()
			if err == nil && talk.Legs[1].RecordState != recorder.Active {
				err = fmt.Errorf("it is %+v", talk.Legs[1])
			}
			return err
		})
		if now := s.now(recorder.Live).Recording; now.UUID != first || len(now.Claims) != 2 {
			s.t.Errorf("recording %s has become %+v", first, now)
		}
		must(s.t, caller.Talk(within(s.t), spell))
		s.hangup(caller)
	})
	s.recorded(cdr, []claim{{"alice", dialplan.OnDemand}, {"bob", dialplan.OnDemand}}, toneA, toneC)
	if n := len(s.files()) - files; n != 1 {
		s.t.Errorf("%d new files", n)
	}
}

func bothPressAtOnce(s *site, alice, bob *lab.Phone) {
	s.mayToggle(true, true)
	files := len(s.files())
	cdr := s.cdrOf(func() {
		caller, callee := s.both(alice, bob, "1002")
		var wg sync.WaitGroup
		errs := make(chan error, 2)
		for _, c := range []*lab.Call{caller, callee} {
			ctx := within(s.t)
			wg.Go(func() { errs <- c.SendDTMF(ctx, "*3") })
		}
		wg.Wait()
		must(s.t, <-errs)
		must(s.t, <-errs)
		s.eventually("both wishes count", func() error {
			talk, err := s.live()
			if err == nil && (talk.Recording == nil || len(talk.Recording.Claims) != 2 || talk.Recording.State != recorder.Live) {
				err = fmt.Errorf("the recording is %+v", talk.Recording)
			}
			return err
		})
		s.wishes(recorder.Active, recorder.Active)
		must(s.t, caller.Talk(within(s.t), spell))
		s.hangup(caller)
	})
	if len(cdr.Recordings) != 1 || cdr.Recordings[0].State != "ready" || len(s.files())-files != 1 {
		s.t.Errorf("recordings %+v, files %v", cdr.Recordings, s.files())
	}
}

// pressTwice: the second press comes while the recorder may still be starting.
func pressTwice(s *site, alice, bob *lab.Phone) {
	s.mayToggle(true, false)
	files := len(s.files())
	cdr := s.cdrOf(func() {
		caller, callee := s.both(alice, bob, "1002")
		must(s.t, caller.SendDTMF(within(s.t), "*3*3"))
		s.silenced(1)
		callee.Play(cardHz)
		must(s.t, caller.WaitTone(within(s.t), cardHz))
		must(s.t, caller.Talk(within(s.t), spell))
		callee.Play(toneC)
		must(s.t, caller.WaitNoTone(within(s.t), cardHz))
		s.press(caller)
		s.now(recorder.Live)
		must(s.t, caller.Talk(within(s.t), spell))
		s.hangup(caller)
	})
	_, media := s.recorded(cdr, []claim{{"alice", dialplan.OnDemand}}, toneA, toneC)
	if err := lab.CheckNoTone(media, cardHz); err != nil {
		s.t.Error(err)
	}
	if n := len(s.files()) - files; n != 1 {
		s.t.Errorf("%d new files", n)
	}
}

// liveByHand is the way over the control socket, by which the command line
// comes: with permission over everybody's calls.
func liveByHand(s *site, alice, bob *lab.Phone) {
	s.mayToggle(true, true)
	order := func(channel, op string) error {
		return s.client.Do(within(s.t), "POST", control.Path("live", channel, op), nil, nil)
	}
	fails := func(err error, text string) {
		s.t.Helper()
		if err == nil || !strings.Contains(err.Error(), text) {
			s.t.Errorf("got %v, want %s", err, text)
		}
	}
	fails(order("PJSIP/nobody-00000000", "start"), "no such telephone")
	s.cdrOf(func() { // nobody else is on the line
		c := s.dial(alice, lab.ExtenMusic)
		s.clear(c)
		must(s.t, c.WaitAnswered(within(s.t)))
		var name string
		s.eventually("alice has a channel", func() error {
			out, err := s.pbx.Console(within(s.t), "core show channels concise")
			name, _, _ = strings.Cut(out, "!")
			if err == nil && !strings.HasPrefix(name, "PJSIP/alice-") {
				err = fmt.Errorf("channels: %s", out)
			}
			return err
		})
		fails(order(name, "start"), "nobody talks there")
		s.hangup(c)
	})
	cdr := s.cdrOf(func() {
		caller, callee := s.both(alice, bob, "1002")
		a, b := s.channel("alice"), s.channel("bob")
		for _, op := range []string{"pause", "resume"} {
			fails(order(a, op), "not being recorded")
		}
		s.press(caller)
		s.now(recorder.Live)
		s.press(caller)
		paused := s.silenced(1)
		s.press(callee) // adds a wish and resumes nothing
		s.eventually("bob's wish counts", func() error {
			talk, err := s.live()
			if err == nil && len(talk.Recording.Claims) != 2 {
				err = fmt.Errorf("the recording is %+v", talk.Recording)
			}
			return err
		})
		s.now(recorder.Paused)
		must(s.t, order(b, "resume")) // alice's pause
		s.now(recorder.Live)
		must(s.t, caller.Talk(within(s.t), spell))
		must(s.t, order(b, "pause"))
		s.silenced(2)
		must(s.t, order(a, "resume"))
		if now := s.now(recorder.Live).Recording; now.UUID != paused.Recording.UUID {
			s.t.Errorf("recording %s has become %s", paused.Recording.UUID, now.UUID)
		}
		must(s.t, order(a, "stop")) // bob's wish as well
		s.eventually("the recording has ended", func() error {
			talk, err := s.live()
			if err == nil && talk.Recording != nil {
				err = fmt.Errorf("there is %+v", talk.Recording)
			}
			return err
		})
		s.wishes(recorder.Inactive, recorder.Inactive)
		s.hangup(caller)
	})
	if len(cdr.Recordings) != 1 || cdr.Recordings[0].State != "ready" {
		s.t.Errorf("recordings: %+v", cdr.Recordings)
	}
	if n := s.count(`SELECT count(*) FROM events WHERE actor = 'test' AND kind = ? AND data LIKE '%"resume"%'`, recorder.EventOnDemand); n != 2 {
		s.t.Errorf("%d of 2 resumes name who ordered them", n)
	}
}

func trunkPresses(s *site, trunk, bob *lab.Phone) {
	s.mayToggle(true, true)
	before := s.app.Status().PressesIgnored
	cdr := s.cdrOf(func() {
		caller, callee := s.talk(trunk, bob, lab.PrefixDID+"1002")
		s.clear(caller)
		fromT, fromB := s.hush(caller, callee)
		s.press(caller)
		s.eventually("the press is counted", func() error {
			if n := s.app.Status().PressesIgnored - before; n != 1 {
				return fmt.Errorf("%d presses are counted", n)
			}
			return nil
		})
		must(s.t, callee.Talk(within(s.t), time.Second))
		for who, heard := range map[string][]int16{"the trunk": caller.Heard()[fromT:], "bob": callee.Heard()[fromB:]} {
			if peak := loudest(heard); peak > quiet {
				s.t.Errorf("%s hears something, %.3f loud", who, peak)
			}
		}
		s.wishes(recorder.Inactive, recorder.Inactive)
		s.hangup(caller)
	})
	if len(cdr.Recordings) > 0 {
		s.t.Errorf("recordings: %+v", cdr.Recordings)
	}
	s.refused(dialplan.RefusedTrunk, "PJSIP/trunk-a", 1)
}

// permissions: the table of dialplan/testdata on real calls, where it matters.
func permissions(t *testing.T, s *site, alice, bob *lab.Phone) {
	var groups []directory.Group
	s.do("GET", "groups", nil, &groups)
	var queues []directory.Queue
	s.do("GET", "queues", nil, &queues)
	for _, c := range []struct {
		name, exten        string
		user, group, queue bool
		caller             bool // who presses is alice, who called
		want               dialplan.Reason
	}{
		{"the peer's own", "1002", true, false, false, false, dialplan.OnDemand},
		{"the peer's own, not", "1002", false, true, true, false, dialplan.RefusedUser},
		{"the group's", lab.ExtenGroup, false, true, false, false, dialplan.OnDemand},
		{"the group's, not", lab.ExtenGroup, true, false, true, false, dialplan.RefusedGroup},
		{"the queue's", lab.ExtenQueue, false, false, true, false, dialplan.OnDemand},
		{"the queue's, not", lab.ExtenQueue, true, true, false, false, dialplan.RefusedQueue},
		{"a queue's caller by its own", lab.ExtenQueue, true, false, false, true, dialplan.OnDemand},
		{"a group's caller by its own, not", lab.ExtenGroup, false, true, true, true, dialplan.RefusedUser},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := s.sub(t)
			s.mayToggle(c.user, c.user)
			s.do("PATCH", control.Path("groups", groups[0].UUID), map[string]any{"dtmf_record_toggle": c.group}, nil)
			s.do("PATCH", control.Path("queues", queues[0].UUID), map[string]any{"dtmf_record_toggle": c.queue}, nil)
			who := "bob"
			if c.caller {
				who = "alice"
			}
			before := s.refusals(c.want, s.users[who].UUID)
			cdr := s.cdrOf(func() {
				caller, callee := s.talk(alice, bob, c.exten)
				s.clear(caller)
				presser := callee
				if c.caller {
					presser = caller
				}
				s.press(presser)
				if c.want == dialplan.OnDemand {
					s.now(recorder.Live)
				} else {
					s.refused(c.want, s.users[who].UUID, before+1)
				}
				must(t, caller.Talk(within(t), speaking))
				s.hangup(caller)
			})
			if c.want != dialplan.OnDemand {
				if len(cdr.Recordings) > 0 {
					t.Errorf("recordings: %+v", cdr.Recordings)
				}
				return
			}
			s.recorded(cdr, []claim{{who, dialplan.OnDemand}}, toneA, toneB)
		})
	}
}
