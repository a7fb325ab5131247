package e2e

import (
	"context"
	"fmt"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/app"
	"callrecordd/internal/lab"
	"callrecordd/internal/recorder"
)

// What is heard here besides the parties: Asterisk's beep lasts 0.4 s, its
// beeperr is a rattle without a tone of its own. Since toneB is too near to the
// beep, whoever shall hear it is talked to with toneC.
const (
	beepHz   = 700.0
	cardHz   = 1600.0 // a card number, spoken during a pause
	rattling = 0.05   // as a share of full scale; nobody else may speak
	quiet    = 0.01
)

// keyHz are the tones of the keys * and 3, but for 697 Hz, which the beep has.
var keyHz = []float64{941, 1209, 1477}

var onDemand = dialplan.Flags{OnDemand: true}

// mayToggle sets the permissions for *3 of two users, with no rules at all.
func (s *site) mayToggle(alice, bob bool) {
	s.t.Helper()
	s.rules("alice", dialplan.Flags{OnDemand: alice})
	s.rules("bob", dialplan.Flags{OnDemand: bob})
}

func (s *site) press(c *lab.Call) {
	s.t.Helper()
	must(s.t, c.SendDTMF(within(s.t), "*3"))
}

// clear ends the calls of a test that has failed in the middle, so that those
// after it do not fail with it.
func (s *site) clear(caller *lab.Call) {
	s.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if s.t.Failed() && caller.Hangup(ctx) == nil {
			_ = s.pbx.WaitIdle(ctx) // it has failed already
		}
	})
}

// both is talk in which the caller is talked to with toneC.
func (s *site) both(from, to *lab.Phone, exten string) (caller, callee *lab.Call) {
	s.t.Helper()
	caller, callee = s.talk(from, to, exten)
	s.clear(caller)
	callee.Play(toneC)
	must(s.t, caller.WaitTone(within(s.t), toneC))
	must(s.t, caller.WaitNoTone(within(s.t), toneB))
	return caller, callee
}

// live is the only talk that goes on.
func (s *site) live() (app.LiveTalk, error) {
	s.t.Helper()
	var talks []app.LiveTalk
	s.do("GET", "live", nil, &talks)
	if len(talks) != 1 || len(talks[0].Legs) != 2 {
		return app.LiveTalk{}, fmt.Errorf("the talks are %+v", talks)
	}
	return talks[0], nil
}

// now waits until the only talk is recorded in that state.
func (s *site) now(state recorder.State) app.LiveTalk {
	s.t.Helper()
	var talk app.LiveTalk
	s.eventually("the talk is "+string(state), func() (err error) {
		if talk, err = s.live(); err == nil && (talk.Recording == nil || talk.Recording.State != state) {
			err = fmt.Errorf("the talk is %+v with recording %+v", talk, talk.Recording)
		}
		return err
	})
	return talk
}

// wishes checks the parties' own states, the caller's first.
func (s *site) wishes(want ...recorder.PartyState) {
	s.t.Helper()
	talk, err := s.live()
	must(s.t, err)
	for i, l := range talk.Legs {
		if l.RecordState != want[i] {
			s.t.Errorf("the record state of %s is %s, want %s", l.Channel, l.RecordState, want[i])
		}
	}
}

// channel returns the name of a user's channel in the only talk.
func (s *site) channel(user string) string {
	s.t.Helper()
	talk, err := s.live()
	must(s.t, err)
	for _, l := range talk.Legs {
		if l.Endpoint == "PJSIP/"+user {
			return l.Channel
		}
	}
	s.t.Fatalf("%s is not in %+v", user, talk)
	return ""
}

// spell is a time of one tone; what is said for a while is heard about so long.
const spell = 1500 * time.Millisecond

// part is something that is said and when it is heard in a file.
type part struct {
	hz       float64
	from, to time.Duration
}

// heard returns the parts of the tones in the file that last at least 200 ms.
func (s *site) heard(path string, hz ...float64) (parts []part) {
	s.t.Helper()
	audio, err := lab.ReadWAV(path)
	must(s.t, err)
	for _, span := range lab.Tones(audio, hz) {
		if span.To-span.From >= 200*time.Millisecond {
			parts = append(parts, part{span.Hz, span.From, span.To})
		}
	}
	return parts
}

// beeped returns for how long the call has heard the beep since that sample.
func beeped(c *lab.Call, from int) (total time.Duration) {
	for _, span := range lab.Tones(lab.Audio{Rate: 8000, Channels: 1, Samples: c.Heard()[from:]}, []float64{beepHz}) {
		total += span.To - span.From
	}
	return total
}

func loudest(samples []int16) float64 {
	peak := 0.0
	for _, v := range samples {
		peak = max(peak, float64(v)/32768, -float64(v)/32768)
	}
	return peak
}

// rattles waits until the call, in which nobody speaks, hears the error tone.
func (s *site) rattles(c *lab.Call, from int) {
	s.t.Helper()
	s.eventually("the error tone is heard", func() error {
		if peak := loudest(c.Heard()[from:]); peak < rattling {
			return fmt.Errorf("the loudest is %.3f", peak)
		}
		return nil
	})
}

// hush makes both silent and returns from where on each hears nothing else.
func (s *site) hush(caller, callee *lab.Call) (fromCaller, fromCallee int) {
	s.t.Helper()
	caller.Silence()
	callee.Silence()
	must(s.t, callee.WaitNoTone(within(s.t), toneA))
	must(s.t, caller.WaitNoTone(within(s.t), toneB))
	return len(caller.Heard()), len(callee.Heard())
}

// refusals counts the stored refusals for that reason by that actor.
func (s *site) refusals(reason dialplan.Reason, actor string) int {
	s.t.Helper()
	return s.count(`SELECT count(*) FROM events WHERE kind = ? AND actor = ? AND data LIKE ?`,
		recorder.EventRefused, actor, `%"`+string(reason)+`"%`)
}

func (s *site) refused(reason dialplan.Reason, actor string, n int) {
	s.t.Helper()
	s.eventually("the refusal is stored", func() error {
		if got := s.refusals(reason, actor); got != n {
			return fmt.Errorf("%d refusals with %s by %s, want %d", got, reason, actor, n)
		}
		return nil
	})
}

// silenced waits until n pauses of the only talk's recording are carried out.
func (s *site) silenced(n int) app.LiveTalk {
	s.t.Helper()
	talk := s.now(recorder.Paused)
	s.eventually("the recorder is muted", func() error {
		if got := len(s.events(recorder.EventMuted, talk.Recording.UUID)); got != n {
			return fmt.Errorf("%d mutes", got)
		}
		return nil
	})
	return talk
}
