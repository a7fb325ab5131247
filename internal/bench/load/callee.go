package load

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"
)

// incoming is a call at the callee's side; Generator.mu guards it.
type incoming struct {
	side   *side
	invite message
	to     netip.AddrPort
	ok     string // the 200, sent until it is acknowledged; empty while it rings
	acked  bool
	media  *stream
}

// Reaction is what a callee does with a call.
type Reaction struct {
	// Refuse is the status of a refusal, such as "486 Busy Here".
	Refuse string
	// Unanswered lets it ring until the caller gives up.
	Unanswered bool
	// Audio is what the callee sends.
	Audio Audio
}

// atTrunk handles what arrives at the provider, who calls and is called.
func (g *Generator) atTrunk(s *side, m message, at time.Time) {
	g.mu.Lock()
	calls := m.status > 0 || g.calls[m.header("Call-ID")] != nil
	g.mu.Unlock()
	if calls {
		g.atCaller(s, m, at)
	} else {
		g.atCallee(s, m, at)
	}
}

// atCallee handles what arrives at the callees' socket. Unless it is told
// otherwise a callee rings and answers at once.
func (g *Generator) atCallee(s *side, m message, _ time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	id := m.header("Call-ID")
	if m.status > 0 {
		if m.method == "REGISTER" && m.status == 200 {
			g.registered <- strings.TrimPrefix(id, "register-")
		}
		return
	}
	c := g.in[id]
	switch {
	case m.method == "INVITE" && c == nil:
		g.ring(s, id, m)
	case m.method == "INVITE": // again: the answer was lost or late
		if c.ok != "" {
			g.send(s, c.ok)
		}
	case m.method == "ACK":
		if c != nil && !c.acked {
			c.acked = true
			if c.media != nil {
				g.rtp.add(c.media)
			}
		}
	default:
		g.send(s, m.reply("200 OK", id, noBody))
		if c == nil {
			return
		}
		if m.method == "CANCEL" && c.ok == "" {
			g.send(s, c.invite.reply("487 Request Terminated", id, noBody))
			delete(g.in, id)
		}
		if m.method == "BYE" {
			if c.media != nil {
				c.media.closed.Store(true)
			}
			delete(g.in, id)
		}
	}
}

func (g *Generator) ring(s *side, id string, m message) {
	var do Reaction
	if g.plan.React != nil {
		do = g.plan.React(m.target())
	}
	if do.Refuse != "" {
		g.send(s, m.reply(do.Refuse, id, noBody))
		return
	}
	contact := "Contact: <sip:" + m.target() + "@" + s.addr + ">\r\n"
	c := &incoming{side: s, invite: m, to: mediaAddr(m)}
	g.in[id] = c
	g.send(s, m.reply("180 Ringing", id, contact+noBody))
	if do.Unanswered {
		return
	}
	if !g.plan.NoMedia {
		c.media = &stream{
			conn: s.rtp, to: c.to, ssrc: rand.Uint32(), audio: do.Audio, tone: int(g.plan.CalleeTone / frameTime),
		}
	}
	c.ok = m.reply("200 OK", id, contact+withSDP(port(s.rtp)))
	g.send(s, c.ok)
	g.answerAgain(id, firstRetry)
}

// answerAgain repeats the 200 until it is acknowledged (RFC 3261 13.3.1.4),
// four times: callers do not wait longer.
func (g *Generator) answerAgain(id string, wait time.Duration) {
	time.AfterFunc(wait, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		c := g.in[id]
		if c == nil || c.acked {
			return
		}
		if wait > 8*firstRetry {
			delete(g.in, id)
			return
		}
		g.send(c.side, c.ok)
		g.answerAgain(id, 2*wait)
	})
}

// Hush ends the audio of all calls that are up, as when the line is dead: the
// PBX has ended without a word, and its ports may be another call's next.
func (g *Generator) Hush() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.calls {
		if c.media != nil {
			c.media.closed.Store(true)
		}
	}
	for id, c := range g.in {
		if c.media != nil {
			c.media.closed.Store(true)
		}
		delete(g.in, id)
	}
}
