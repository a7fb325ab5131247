package e2e

import (
	"errors"
	"fmt"
	"net/url"
	"syscall"
	"testing"

	"callrecordd/ari"
	"callrecordd/config"
	"callrecordd/dialplan"
	"callrecordd/internal/lab"
	"callrecordd/internal/recorder"
)

// What the parties of a talk have asked for outlives the daemon, also where no
// recorder tells of it (design 8).

// killable is a stage whose daemon is a process of its own.
func killable(t *testing.T) (s *stage, again func()) {
	t.Helper()
	bin := build(t)
	site := siteAt(t, newPBX(t, lab.Config{}))
	site.calm()
	daemon := site.spawn(bin)
	site.populate()
	return staged(site), func() {
		t.Helper()
		daemon.end(t, syscall.SIGKILL)
		daemon = site.spawn(bin)
	}
}

// settled waits until the daemon has looked at the talk of somebody, and gives
// it the time in which it would start a recorder.
func (s *stage) settled(who string, c *lab.Call) {
	s.t.Helper()
	s.eventually("the talk is told", func() error { _, _, err := s.party(who); return err })
	s.say(c)
}

func TestPauseWithoutARecorderWhenTheDaemonDies(t *testing.T) {
	t.Parallel()
	s, again := killable(t)
	s.rules("alice", onDemand)
	s.rules("bob", onDemand)
	s.rules("carol", may(inInt)) // her rule wants a recording
	caller, callee := s.paused()
	must(t, caller.BlindTransfer(within(t), "1003")) // owner and hook leave
	c := s.takes("carol")
	s.both(callee, "bob", c, "carol")
	s.gone(caller)
	s.idle("carol")
	s.wish("carol", recorder.PartyPaused)
	again()
	s.settled("carol", callee)
	s.tells(c, "carol", callee)
	s.idle("carol")
	s.wish("carol", recorder.PartyPaused)
	s.wish("bob", recorder.PartyPaused) // with his wish
	s.denied(c, "carol", dialplan.RefusedPaused)
	again() // what was taken up is stored as well
	s.settled("carol", callee)
	s.tells(c, "carol", callee)
	s.idle("carol")
	s.order("bob", "resume")
	s.goesOn(callee, "bob")
	s.over(callee)
	s.gone(c)
	must(t, s.pbx.WaitIdle(within(t)))
	got := s.finals(2)
	if len(got) != 2 || s.claimsOf(got[1].claims) != "carol rule.in.internal, bob on_demand" &&
		s.claimsOf(got[1].claims) != "bob on_demand, carol rule.in.internal" {
		t.Errorf("the recordings are %+v", got)
	}
	if found := s.digitsOnDisk(); len(found) > 0 {
		t.Errorf("digits are on disk: %q", found)
	}
	s.eventually("nothing is kept of channels that are gone", func() error {
		if n := s.count("SELECT count(*) FROM live_legs"); n > 0 {
			return fmt.Errorf("%d rows", n)
		}
		return nil
	})
}

func TestStopOfARuleWhenTheDaemonDies(t *testing.T) {
	t.Parallel()
	s, again := killable(t)
	s.rules("alice", may(outInt))
	caller, callee := s.meet("alice", "1002", "bob")
	s.runs("alice", recorder.Live)
	s.order("alice", "stop")
	s.idle("alice")
	again()
	s.settled("alice", caller)
	s.idle("alice")
	s.wish("alice", recorder.Inactive)
	s.tells(callee, "bob", caller)
	s.over(caller)
	s.gone(callee)
	must(t, s.pbx.WaitIdle(within(t)))
	if got := s.finals(1); len(got) != 1 {
		t.Errorf("the recordings are %+v", got)
	}
	if found := s.digitsOnDisk(); len(found) > 0 {
		t.Errorf("what was said after the stop is on disk: %q", found)
	}
}

func TestStopOfARuleWhenEventsAreInterrupted(t *testing.T) {
	t.Parallel()
	pbx := newPBX(t, lab.Config{})
	var p *proxy
	site := siteAt(t, pbx, func(c *config.Config) {
		u, err := url.Parse(c.Asterisk.ARIURL)
		must(t, err)
		p = newProxy(t, u.Host)
		u.Host = p.listener.Addr().String()
		c.Asterisk.ARIURL = u.String()
	})
	site.calm()
	site.start()
	site.populate()
	s := staged(site)
	s.rules("alice", may(outInt))
	caller, callee := s.meet("alice", "1002", "bob")
	s.runs("alice", recorder.Live)
	s.order("alice", "stop")
	s.idle("alice")
	p.cut()
	s.eventually("the cut is noticed", func() error {
		if st := s.app.Status().ARI; st.Kind == ari.StateConnected {
			return errors.New("it is still connected")
		}
		return nil
	})
	p.restore()
	s.ready()
	s.settled("alice", caller)
	s.idle("alice")
	s.tells(callee, "bob", caller)
	s.over(caller)
	s.gone(callee)
	if got := s.finals(1); len(got) != 1 {
		t.Errorf("the recordings are %+v", got)
	}
	if found := s.digitsOnDisk(); len(found) > 0 {
		t.Errorf("what was said after the stop is on disk: %q", found)
	}
}

// Whoever was reached through a queue has its permission also after a restart.
func TestQueueOfAnAgentWhenTheDaemonDies(t *testing.T) {
	t.Parallel()
	s, again := killable(t)
	s.toggles(true, false)
	s.rules("alice", outInt) // not allowed by herself, nor is carol
	caller := s.calls("alice", lab.ExtenQueue)
	loser, winner := s.rings("bob"), s.rings("carol")
	must(t, winner.Answer(within(t)))
	winner.Play(toneC)
	s.both(caller, "alice", winner, "carol")
	s.gone(loser)
	s.runs("carol", recorder.Live)
	again()
	s.settled("carol", caller)
	_, leg, err := s.party("carol")
	if must(t, err); leg.Role != dialplan.RolePeer {
		t.Errorf("carol is %s", leg.Role)
	}
	s.adds(winner, "carol", recorder.Active)
	s.denied(caller, "alice", dialplan.RefusedUser)
	s.over(caller)
	s.gone(winner)
	must(t, s.pbx.WaitIdle(within(t)))
	got := s.finals(1)
	if len(got) != 1 || s.claimsOf(got[0].claims) != "alice rule.out.internal, carol on_demand" {
		t.Errorf("the recordings are %+v", got)
	}
}
