package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"callrecordd/config"
	"callrecordd/dialplan"
	"callrecordd/internal/lab"
	"callrecordd/internal/recorder"
)

// With on_demand.cycle stop a press ends what it has begun; the next one begins
// another file. Without tones nobody hears anything.
func TestOnDemandStops(t *testing.T) {
	t.Parallel()
	s := newCalmSite(t, func(c *config.Config) { c.OnDemand.Cycle, c.OnDemand.Tones = config.CycleStop, false })
	s.rules("alice", onDemand)
	alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0))
	caller, callee := s.both(alice, bob, "1002")
	for range 2 {
		s.press(caller)
		s.now(recorder.Live)
		must(t, caller.Talk(within(t), spell))
		s.press(caller)
		s.eventually("the recording has ended", func() error {
			talk, err := s.live()
			if err == nil && talk.Recording != nil {
				err = fmt.Errorf("there is %+v", talk.Recording)
			}
			return err
		})
		callee.Play(cardHz) // is said between the recordings
		must(t, caller.WaitTone(within(t), cardHz))
		callee.Play(toneC)
		must(t, caller.WaitNoTone(within(t), cardHz))
	}
	if d := beeped(caller, 0); d > 0 {
		t.Errorf("alice hears a beep for %s", d)
	}
	s.hangup(caller)
	cdr := s.waitCDRs(1)[0]
	if len(cdr.Recordings) != 2 {
		t.Fatalf("recordings: %+v", cdr.Recordings)
	}
	for _, r := range cdr.Recordings {
		media := s.media(cdr, r)
		s.hears(media, toneA, toneC)
		if err := lab.CheckNoTone(media, cardHz); err != nil || r.State != "ready" || r.Follows != "" {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

// With on_demand.source dtmf nothing in features.conf is needed, and nothing
// there counts.
func TestOnDemandByDigits(t *testing.T) {
	t.Parallel()
	const noLine = "[general]\n[featuremap]\nblindxfer => #1\n[applicationmap]\n"
	for _, c := range []struct {
		name           string
		pbx            lab.Config
		sent, received string // received by the other party
	}{
		{"without the feature line", lab.Config{ExtraFiles: map[string]string{"features.conf": noLine}}, "7**3", "7**3"},
		{"with the feature line a press counts once", lab.Config{}, "*3", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := siteAt(t, newPBX(t, c.pbx), func(c *config.Config) { c.OnDemand.Source = config.SourceDTMF })
			s.start()
			s.populate()
			s.calm()
			s.rules("alice", onDemand)
			alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0))
			var callee *lab.Call
			cdr := s.cdrOf(func() {
				var caller *lab.Call
				caller, callee = s.both(alice, bob, "1002")
				must(t, caller.SendDTMF(within(t), c.sent))
				s.now(recorder.Live)
				must(t, caller.Talk(within(t), spell))
				s.now(recorder.Live) // still
				s.wishes(recorder.Active, recorder.Inactive)
				s.hangup(caller)
			})
			s.recorded(cdr, []claim{{"alice", dialplan.OnDemand}}, toneA, toneC)
			if got := callee.Digits(); got != c.received {
				t.Errorf("bob's telephone received the digits %q, want %q", got, c.received)
			}
			if strings.Contains(strings.ToLower(s.log()), "digit") {
				t.Error("the log tells of digits")
			}
		})
	}
}

// With recordings.pause cut the file goes on where it paused, and a card number
// that was said meanwhile is not in it.
func TestOnDemandCuts(t *testing.T) {
	t.Parallel()
	s := newCalmSite(t, func(c *config.Config) { c.Recordings.Pause = config.PauseCut })
	s.rules("alice", onDemand)
	alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0))
	caller, callee := s.both(alice, bob, "1002")
	began := time.Now()
	s.press(caller)
	first := s.now(recorder.Live).Recording.UUID
	must(t, caller.Talk(within(t), spell))
	s.press(caller)
	s.now(recorder.Paused)
	from := len(caller.Heard())
	s.eventually("the pause's beep is heard", func() error { // then it is true
		if beeped(caller, from) < 200*time.Millisecond {
			return fmt.Errorf("for %s", beeped(caller, from))
		}
		return nil
	})
	callee.Play(cardHz)
	must(t, caller.WaitTone(within(t), cardHz))
	must(t, caller.Talk(within(t), spell))
	callee.Play(toneC)
	must(t, caller.WaitNoTone(within(t), cardHz))
	s.press(caller)
	if now := s.now(recorder.Live).Recording.UUID; now != first {
		t.Errorf("recording %s has become %s", first, now)
	}
	must(t, caller.Talk(within(t), spell))
	lasted := time.Since(began)
	s.hangup(caller)
	_, media := s.recorded(s.waitCDRs(1)[0], []claim{{"alice", dialplan.OnDemand}}, toneA, toneC)
	if err := lab.CheckNoTone(media, cardHz); err != nil {
		t.Error(err)
	}
	audio, err := lab.ReadWAV(media)
	must(t, err)
	if d := audio.Duration(); d > lasted-spell || d < 2*spell-600*time.Millisecond {
		t.Errorf("the file lasts %s of %s with a pause of more than %s", d, lasted, spell)
	}
}
