package load

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"
)

// incoming is a call at the callee's side; Generator.mu guards it.
type incoming struct {
	to    netip.AddrPort
	ok    string // the 200, sent until it is acknowledged
	acked bool
	media *stream
}

// atCallee handles what arrives at the callees' socket. A callee rings and
// answers at once.
func (g *Generator) atCallee(m message, _ time.Time) {
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
		g.ring(id, m)
	case m.method == "INVITE": // again: the answer was lost or late
		g.send(g.callee, c.ok)
	case m.method == "ACK":
		if c != nil && !c.acked {
			c.acked = true
			if c.media != nil {
				g.rtp.add(c.media)
			}
		}
	default:
		g.send(g.callee, m.reply("200 OK", id, noBody))
		if m.method == "BYE" && c != nil {
			if c.media != nil {
				c.media.closed.Store(true)
			}
			delete(g.in, id)
		}
	}
}

func (g *Generator) ring(id string, m message) {
	contact := "Contact: <sip:" + m.target() + "@" + g.callee.addr + ">\r\n"
	c := &incoming{to: mediaAddr(m), ok: m.reply("200 OK", id, contact+withSDP(port(g.callee.rtp)))}
	if !g.plan.NoMedia {
		c.media = &stream{conn: g.callee.rtp, to: c.to, ssrc: rand.Uint32(), tone: int(g.plan.CalleeTone / frameTime)}
	}
	g.in[id] = c
	g.send(g.callee, m.reply("180 Ringing", id, contact+noBody))
	g.send(g.callee, c.ok)
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
		g.send(g.callee, c.ok)
		g.answerAgain(id, 2*wait)
	})
}
