package e2e

import (
	"strings"

	"callrecordd/ari/ami"
	"callrecordd/internal/lab"
)

// rings is the next call to somebody, who lets it ring.
func (s *stage) rings(who string) *lab.Call {
	s.t.Helper()
	for {
		c := s.incoming(s.phones[who])
		if c.Over() {
			continue // of an earlier situation
		}
		must(s.t, c.Ring(within(s.t)))
		return c
	}
}

// takes is the next call to somebody, who answers it and speaks.
func (s *stage) takes(who string) *lab.Call {
	s.t.Helper()
	c := s.rings(who)
	must(s.t, c.Answer(within(s.t)))
	c.Play(voices()[who])
	return c
}

// calls dials for somebody, who speaks from the beginning.
func (s *stage) calls(who, exten string) *lab.Call {
	s.t.Helper()
	c := s.dial(s.phones[who], exten)
	c.Play(voices()[who])
	return c
}

// hear waits until the phone hears somebody.
func (s *stage) hear(c *lab.Call, who string) {
	s.t.Helper()
	must(s.t, c.WaitTone(within(s.t), voices()[who]))
}

// both waits until two people hear each other and lets them talk.
func (s *stage) both(a *lab.Call, from string, b *lab.Call, to string) {
	s.t.Helper()
	s.hear(a, to)
	s.hear(b, from)
	s.say(a)
}

// say lets a call go on for long enough to be a passage of a file.
func (s *stage) say(c *lab.Call) {
	s.t.Helper()
	must(s.t, c.Talk(within(s.t), speaking))
}

// meet lets one call another, who answers, and both talk.
func (s *stage) meet(from, exten, to string) (caller, callee *lab.Call) {
	s.t.Helper()
	caller = s.calls(from, exten)
	callee = s.takes(to)
	s.both(caller, from, callee, to)
	return caller, callee
}

// over hangs up.
func (s *stage) over(calls ...*lab.Call) {
	s.t.Helper()
	for _, c := range calls {
		must(s.t, c.Hangup(within(s.t)))
	}
}

// gone waits until calls have been ended by the other side.
func (s *stage) gone(calls ...*lab.Call) {
	s.t.Helper()
	for _, c := range calls {
		must(s.t, c.WaitEnded(within(s.t)))
	}
}

func (s *stage) presses(c *lab.Call, digits string) {
	s.t.Helper()
	must(s.t, c.SendDTMF(within(s.t), digits))
}

// channel is the name of somebody's only channel.
func (s *stage) channel(who string) string {
	s.t.Helper()
	list, err := s.pbx.Console(within(s.t), "core show channels concise")
	must(s.t, err)
	for line := range strings.Lines(list) {
		if name, _, _ := strings.Cut(line, "!"); nameOf(name) == who {
			return name
		}
	}
	s.t.Fatalf("%s has no channel: %s", who, list)
	return ""
}

// manager performs an action over a connection of its own, as other programs do.
func (s *stage) manager(action string, fields ...ami.Field) {
	s.t.Helper()
	conn, err := ami.Dial(within(s.t), ami.Config{Address: s.pbx.AMIAddr, User: s.pbx.AMIUser, Secret: s.pbx.AMIPassword})
	must(s.t, err)
	defer conn.Close()
	_, err = conn.Do(within(s.t), ami.Action{Name: action, Fields: fields})
	must(s.t, err)
}
