package e2e

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"callrecordd/config"
	"callrecordd/dialplan"
	"callrecordd/internal/control"
	"callrecordd/internal/lab"
	"callrecordd/internal/recorder"
)

// still is a stretch of a file in which every sample is zero.
type still struct{ from, to time.Duration }

// stills are those of a file that last longer than a pause between two presses
// needs to be looked at.
func stills(audio lab.Audio) []still {
	var out []still
	at := func(n int) time.Duration { return time.Duration(n) * time.Second / time.Duration(audio.Rate) }
	begin := -1
	for i := 0; i <= len(audio.Samples); i++ {
		zero := i < len(audio.Samples) && audio.Samples[i] == 0
		switch {
		case zero && begin < 0:
			begin = i
		case !zero && begin >= 0:
			if at(i)-at(begin) >= 100*time.Millisecond {
				out = append(out, still{at(begin), at(i)})
			}
			begin = -1
		}
	}
	return out
}

// Many presses in quick succession: each counts, and the file is silent where
// pauses are stored, and nowhere else.
func TestManyPressesInQuickSuccession(t *testing.T) {
	t.Parallel()
	s := newStage(t, lab.Config{})
	for _, c := range []struct {
		name   string
		who    []string
		n      int // presses of each
		pauses int // at the least
		ends   recorder.State
	}{
		{"by one", []string{"alice"}, 20, 10, recorder.Paused},
		// No telephone sends sound while it sends digits. Without any for three
		// seconds a recorder is taken for a failed one.
		{"by both at once", []string{"alice", "bob"}, 6, 1, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &stage{site: s.sub(t), phones: s.phones}
			s.mayToggle(true, true)
			caller, callee := s.meet("alice", "1002", "bob")
			calls := map[string]*lab.Call{"alice": caller, "bob": callee}
			before := s.count("SELECT count(*) FROM events WHERE kind IN (?, ?)", recorder.EventOnDemand, recorder.EventRefused)
			recordings := len(s.stored())
			var wg sync.WaitGroup
			errs := make([]error, len(c.who))
			for i, who := range c.who {
				ctx := within(t)
				wg.Go(func() { errs[i] = calls[who].SendDTMF(ctx, strings.Repeat("*3", c.n)) })
			}
			wg.Wait()
			for _, err := range errs {
				must(t, err)
			}
			s.eventually("every press is on record", func() error {
				n := s.count("SELECT count(*) FROM events WHERE kind IN (?, ?)", recorder.EventOnDemand, recorder.EventRefused)
				if n-before != c.n*len(c.who) {
					return fmt.Errorf("%d of %d", n-before, c.n*len(c.who))
				}
				return nil
			})
			if c.ends != "" {
				s.runs("alice", c.ends)
			}
			s.say(caller)
			s.over(caller)
			s.gone(callee)
			must(t, s.pbx.WaitIdle(within(t)))
			got := s.finals(recordings + 1)[recordings:]
			if len(got) != 1 || got[0].state != "ready" {
				t.Fatalf("the recordings are %+v", got)
			}
			audio, err := lab.ReadWAV(s.path(got[0]))
			must(t, err)
			pauses, silences := s.stillness(got[0].uuid), stills(audio)
			if len(pauses) < c.pauses {
				t.Errorf("%d pauses are stored: %+v", len(pauses), pauses)
			}
			if len(c.who) == 1 {
				s.agree(t, audio.Duration(), pauses, silences)
			}
			for _, p := range pauses { // with both, the file is shorter than the clock
				if p.silence == string(recorder.NotSilent) || p.to < p.from {
					t.Errorf("the pause %+v has words in it, or no end", p)
				}
			}
		})
	}
}

// blurred is how far a stored time may be from what is in the file.
const blurred = 250 * time.Millisecond

// agree compares stored pauses with the silence in a file.
func (s *stage) agree(t *testing.T, length time.Duration, pauses []pause, silences []still) {
	t.Helper()
	covered := func(from, to time.Duration, in []still) bool {
		for _, x := range in {
			if x.from <= from && to <= x.to {
				return true
			}
		}
		return false
	}
	var stored []still
	for _, p := range pauses {
		stored = append(stored, still{p.from - blurred, p.to + blurred})
		from, to := p.from+blurred, min(p.to, length)-blurred
		if to > from && !covered(from, to, silences) {
			t.Errorf("the file is not silent in the pause %s–%s: %v", p.from, p.to, silences)
		}
	}
	for _, x := range silences {
		if !covered(x.from, x.to, stored) {
			t.Errorf("the file is silent from %s to %s, where no pause is stored: %+v", x.from, x.to, pauses)
		}
	}
}

// A press as soon as the call is answered, by either party, records; one just
// before the hangup leaves nothing unfinished.
func TestPressesAtTheEdgesOfACall(t *testing.T) {
	t.Parallel()
	s := newStage(t, lab.Config{})
	s.mayToggle(true, true)
	for _, who := range []string{"alice", "bob"} {
		t.Run("right after the answer, by "+who, func(t *testing.T) {
			s := &stage{site: s.sub(t), phones: s.phones}
			recordings := len(s.stored())
			caller := s.calls("alice", "1002")
			callee := s.rings("bob")
			must(t, callee.Answer(within(t)))
			callee.Play(toneB)
			if who == "alice" {
				must(t, caller.WaitAnswered(within(t)))
				s.presses(caller, "*3")
			} else {
				s.presses(callee, "*3")
			}
			s.runs("alice", recorder.Live)
			s.wish(who, recorder.Active)
			s.both(caller, "alice", callee, "bob")
			s.over(caller)
			s.gone(callee)
			must(t, s.pbx.WaitIdle(within(t)))
			got := s.finals(recordings + 1)[recordings:]
			if len(got) != 1 || got[0].state != "ready" || s.claimsOf(got[0].claims) != who+" on_demand" {
				t.Fatalf("the recordings are %+v", got)
			}
			s.hears(s.path(got[0]), toneA, toneB)
		})
	}
	t.Run("just before the hangup", func(t *testing.T) {
		s := &stage{site: s.sub(t), phones: s.phones}
		recordings, files := len(s.stored()), len(s.files())
		states := make(map[string]int)
		for _, wait := range []time.Duration{0, 20 * time.Millisecond, 60 * time.Millisecond, 150 * time.Millisecond} {
			for _, presses := range []int{1, 2} {
				caller, callee := s.meet("alice", "1002", "bob")
				s.presses(caller, strings.Repeat("*3", presses))
				if wait > 0 {
					must(t, caller.Talk(within(t), wait))
				}
				s.over(caller)
				s.gone(callee)
				must(t, s.pbx.WaitIdle(within(t)))
			}
		}
		s.eventually("nothing is unfinished", func() error {
			if n := s.count("SELECT count(*) FROM recordings WHERE state NOT IN ('ready', 'empty', 'missing') OR cdr_id IS NULL"); n > 0 {
				return fmt.Errorf("%d recordings", n)
			}
			return nil
		})
		there := 0
		for _, r := range s.stored()[recordings:] {
			states[r.state+" "+r.cause]++
			if r.state != "missing" {
				there++
			}
			if r.state == "missing" && r.cause != recorder.CauseHungUp && r.cause != recorder.CauseTalkEnded {
				t.Errorf("the recording is %+v", r)
			}
		}
		t.Logf("recordings: %v", states)
		if n := len(s.files()) - files; n != there {
			t.Errorf("%d files of %d recordings that have one", n, there)
		}
		if n := s.count("SELECT count(*) FROM recording_pauses WHERE to_at IS NULL"); n > 0 {
			t.Errorf("%d pauses never end", n)
		}
	})
}

// Where there is nobody to talk to a press does nothing but be stored.
func TestPressesWithoutATalk(t *testing.T) {
	t.Parallel()
	s := stageWith(t, func(c *config.Config) { c.OnDemand.Source = config.SourceDTMF })
	s.mayToggle(true, true)
	refused := func() int {
		return s.count(`SELECT count(*) FROM events WHERE kind = ? AND json_extract(data, '$.no_talk')`, recorder.EventRefused)
	}
	presses := func(what string, c *lab.Call) {
		t.Helper()
		before := refused()
		s.presses(c, "*3")
		s.eventually("the refusal "+what+" is stored", func() error {
			if n := refused() - before; n != 1 {
				return fmt.Errorf("%d refusals", n)
			}
			return nil
		})
	}
	for _, exten := range []string{lab.ExtenEcho, lab.ExtenIVR, lab.ExtenMusic} {
		c := s.dial(s.phones["alice"], exten)
		must(t, c.WaitAnswered(within(t)))
		presses("at "+exten, c)
		s.hangup(c)
	}
	one, two := s.dial(s.phones["alice"], lab.ExtenConference), s.dial(s.phones["bob"], lab.ExtenConference)
	must(t, one.WaitAnswered(within(t)))
	must(t, two.WaitAnswered(within(t)))
	one.Play(toneA)
	two.Play(toneB)
	must(t, one.WaitTone(within(t), toneB))
	presses("in a conference", one)
	presses("in a conference", two)
	s.over(one)
	s.hangup(two)
	if list := s.stored(); len(list) > 0 || len(s.files()) > 0 {
		t.Errorf("recordings %+v, files %v", list, s.files())
	}

	// The daemon is well: the next press in a talk records.
	caller, callee := s.meet("alice", "1002", "bob")
	s.starts(caller, "alice")
	s.over(caller)
	s.gone(callee)
	if got := s.finals(1); len(got) != 1 || got[0].state != "ready" {
		t.Errorf("the recordings are %+v", got)
	}
}

// In a conference, and alone, Asterisk's own feature line knows no code.
func TestTheFeatureLineIsForTalksOnly(t *testing.T) {
	t.Parallel()
	s := newStage(t, lab.Config{})
	s.mayToggle(true, true)
	alone := s.dial(s.phones["dave"], lab.ExtenEcho)
	one, two := s.dial(s.phones["alice"], lab.ExtenConference), s.dial(s.phones["bob"], lab.ExtenConference)
	for _, c := range []*lab.Call{alone, one, two} {
		must(t, c.WaitAnswered(within(t)))
	}
	one.Play(toneA)
	two.Play(toneB)
	must(t, one.WaitTone(within(t), toneB))
	for _, c := range []*lab.Call{alone, one, two} {
		s.presses(c, "*3")
	}
	must(t, two.WaitTone(within(t), toneA)) // it goes on
	s.over(alone, one)
	s.hangup(two)
	caller, callee := s.meet("alice", "1002", "bob")
	s.starts(caller, "alice") // later than all that
	s.over(caller)
	s.gone(callee)
	if got := s.finals(1); len(got) != 1 || got[0].state != "ready" {
		t.Errorf("the recordings are %+v", got)
	}
	if list := s.events(recorder.EventRefused, ""); len(list) > 0 || s.app.Status().PressesIgnored > 0 {
		t.Errorf("presses have been seen: %s", list)
	}
}

// What a party asks for through the API counts for its own wish, what an
// administrator asks for counts for all (design 6).
func TestOnDemandThroughTheAPI(t *testing.T) {
	t.Parallel()
	s := newStage(t, lab.Config{})
	refusal := func(s *stage, who string, op recorder.Op, want dialplan.Reason) {
		s.t.Helper()
		if outcome, err := s.asks(who, op); refusedAs(err) != want {
			s.t.Errorf("%s asks for %s: %+v %v, want %s", who, op, outcome, err, want)
		}
	}
	began := []string{"began: alice bob"}
	two := rulesOf{"alice": onDemand, "bob": onDemand}
	s.secret(t, []situation{{
		name: "stop while paused, then start", rules: two,
		play: func(s *stage) {
			caller, callee := s.meet("alice", "1002", "bob")
			s.asked("alice", recorder.OpStart, recorder.Active)
			s.goesOn(caller, "alice")
			s.asked("alice", recorder.OpPause, recorder.PartyPaused)
			s.hushed(s.runs("alice", recorder.Paused).UUID, 0)
			s.tells(callee, "bob", caller)
			s.asked("alice", recorder.OpStop, recorder.Inactive)
			s.idle("alice")
			s.tells(callee, "bob", caller)
			s.asked("alice", recorder.OpStart, recorder.Active)
			s.goesOn(caller, "alice")
			s.over(caller)
			s.gone(callee)
		},
		want: []file{
			{"alice api", false, []string{"alice+bob", "silence"}},
			{"alice api", false, []string{"alice+bob"}},
		},
		decided: began,
	}, {
		name: "an administrator ends everybody's wish, a rule's too", rules: rulesOf{"alice": may(outInt), "bob": onDemand, "carol": inInt},
		play: func(s *stage) {
			caller, callee := s.meet("alice", "1002", "bob")
			s.runs("alice", recorder.Live)
			s.adds(callee, "bob", recorder.Active)
			s.pauses(caller, "alice")
			s.tells(callee, "bob", caller)
			s.order("bob", "stop")
			s.idle("alice")
			s.wish("alice", recorder.Inactive)
			s.tells(callee, "bob", caller)
			// The rule does not bring it back while the talk lasts; that of
			// somebody new begins another file.
			must(s.t, callee.BlindTransfer(within(s.t), "1003"))
			c := s.takes("carol")
			s.both(caller, "alice", c, "carol")
			s.wish("alice", recorder.Inactive)
			s.over(caller, callee)
			s.gone(c)
		},
		want: []file{
			{"alice rule.out.internal, bob on_demand", false, []string{"alice+bob", "silence"}},
			{"carol rule.in.internal", false, []string{"alice+carol"}},
		},
		decided: []string{"began: alice=rule.out.internal bob", "changed: alice=rule.out.internal carol=rule.in.internal"},
	}})

	t.Run("stop ends one's own wish only", func(t *testing.T) {
		s := &stage{site: s.sub(t), phones: s.phones}
		s.mayToggle(true, true)
		recordings := len(s.stored())
		caller, callee := s.meet("alice", "1002", "bob")
		s.asked("alice", recorder.OpStart, recorder.Active)
		s.asked("alice", recorder.OpStart, recorder.Active) // once is enough
		first := s.runs("alice", recorder.Live)
		s.asked("bob", recorder.OpStart, recorder.Active)
		if now := s.runs("alice", recorder.Live); now.UUID != first.UUID || len(now.Claims) != 2 {
			s.t.Errorf("a second start makes %+v of %+v", now, first)
		}
		s.say(caller)
		s.asked("alice", recorder.OpPause, recorder.PartyPaused)
		s.hushed(first.UUID, 0)
		refusal(s, "bob", recorder.OpResume, dialplan.RefusedPaused)
		s.asked("bob", recorder.OpStart, recorder.PartyPaused) // is there already, and resumes nothing
		s.tells(callee, "bob", caller)
		s.asked("alice", recorder.OpStart, recorder.Active) // the owner's start resumes
		s.goesOn(caller, "alice")
		s.asked("alice", recorder.OpStop, recorder.Inactive)
		s.wish("bob", recorder.Active)
		if now := s.runs("bob", recorder.Live); now.UUID != first.UUID {
			s.t.Errorf("recording %s has become %s", first.UUID, now.UUID)
		}
		s.say(caller)
		s.asked("bob", recorder.OpStop, recorder.Inactive)
		s.idle("alice")
		s.tells(callee, "bob", caller)
		s.over(caller)
		s.gone(callee)
		must(t, s.pbx.WaitIdle(within(t)))
		got := s.finals(recordings + 1)[recordings:]
		if len(got) != 1 || got[0].state != "ready" || nameOf(got[0].hookName) != "alice" || s.claimsOf(got[0].claims) != "bob api" {
			t.Fatalf("the recordings are %+v", got)
		}
		audio, err := lab.ReadWAV(s.path(got[0]))
		must(t, err)
		if heard := passages(audio); !matches(heard, []string{"alice+bob", "silence", "alice+bob"}) {
			t.Errorf("%v is heard", heard)
		}
		if found := s.digitsOnDisk(); len(found) > 0 {
			t.Errorf("digits are on disk: %q", found)
		}
	})
	t.Run("who may not", func(t *testing.T) {
		s := &stage{site: s.sub(t), phones: s.phones}
		s.mayToggle(false, false)
		caller, callee := s.meet("alice", "1002", "bob")
		refusal(s, "alice", recorder.OpStart, dialplan.RefusedUser)
		s.order("alice", "start") // an administrator may
		s.runs("alice", recorder.Live)
		refusal(s, "alice", recorder.OpStop, dialplan.RefusedUser)
		s.runs("alice", recorder.Live)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		err := s.client.Do(ctx, "POST", control.Path("live", s.channel("bob"), "resume"), nil, nil)
		if err != nil {
			t.Errorf("to resume what is not paused is no error: %v", err)
		}
		s.over(caller)
		s.gone(callee)
	})
}
