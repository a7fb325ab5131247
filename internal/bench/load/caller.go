package load

import (
	"math/rand/v2"
	"net/netip"
	"strconv"
	"time"
)

// outgoing is a call at the caller's side; Generator.mu guards it.
type outgoing struct {
	Call
	id, branch    string
	from, to, uri string // headers, and where requests within the dialog go
	name          string
	seq           int
	media         *stream
	timer         *time.Timer // retransmission, limit or end of the talk
	step          int         // counts states, so that a stale timer does nothing
	proceeding    bool        // a provisional response has come
	over          bool
}

// place sends the INVITE of the i-th call.
func (g *Generator) place(i int) *outgoing {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.plan
	tag := strconv.Itoa(g.run) + "-" + strconv.Itoa(i)
	c := &outgoing{id: "out-" + tag, branch: "z9hG4bK" + tag, name: p.Caller(i), seq: 1}
	c.Exten = p.Exten(i)
	c.uri = "sip:" + c.Exten + "@" + g.pbx.String()
	c.from, c.to = "<sip:"+c.name+"@127.0.0.1>;tag="+tag, "<"+c.uri+">"
	g.calls[c.id] = c
	g.left.Add(1)
	c.Invite = time.Now()
	g.send(g.caller, g.request(c, "INVITE", c.branch)+withSDP(port(g.caller.rtp)))
	g.again(c, firstRetry, c.Invite.Add(setupLimit), "no answer in time", func() string {
		if c.proceeding {
			return "" // RFC 3261 17.1.1.2: not once something has come
		}
		return g.request(c, "INVITE", c.branch) + withSDP(port(g.caller.rtp))
	})
	return c
}

func (g *Generator) request(c *outgoing, method, branch string) string {
	return method + " " + c.uri + " SIP/2.0\r\nVia: SIP/2.0/UDP " + g.caller.addr + ";branch=" + branch +
		"\r\nMax-Forwards: 70\r\nFrom: " + c.from + "\r\nTo: " + c.to + "\r\nCall-ID: " + c.id +
		"\r\nCSeq: " + strconv.Itoa(c.seq) + " " + method + "\r\nContact: <sip:" + c.name + "@" + g.caller.addr + ">\r\n"
}

// after runs f with the lock held unless the call has gone on meanwhile.
func (g *Generator) after(c *outgoing, d time.Duration, f func()) {
	if c.timer != nil {
		c.timer.Stop()
	}
	c.step++
	step := c.step
	c.timer = time.AfterFunc(d, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if c.step == step && !c.over {
			f()
		}
	})
}

// again sends a request again, ever more seldom, and gives up at the limit.
func (g *Generator) again(c *outgoing, wait time.Duration, limit time.Time, why string, text func() string) {
	left := time.Until(limit)
	g.after(c, min(wait, left), func() {
		if left <= wait {
			g.giveUp(c, why)
			return
		}
		if t := text(); t != "" {
			c.Retries++
			g.send(g.caller, t)
		}
		g.again(c, 2*wait, limit, why, text)
	})
}

// giveUp ends a call that did not work. What Asterisk still has is cancelled.
func (g *Generator) giveUp(c *outgoing, why string) {
	if c.Answered.IsZero() && c.proceeding {
		g.send(g.caller, g.request(c, "CANCEL", c.branch)+noBody)
	}
	g.finish(c, why)
}

func (g *Generator) finish(c *outgoing, failure string) {
	if c.over {
		return
	}
	c.over, c.Failure = true, failure
	if c.timer != nil {
		c.timer.Stop()
	}
	if c.media != nil {
		c.media.closed.Store(true)
	}
	g.left.Done()
}

// atCaller handles what arrives at the callers' socket.
func (g *Generator) atCaller(m message, at time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.calls[m.header("Call-ID")]
	switch {
	case m.status == 0 && m.method == "ACK":
	case m.status == 0:
		g.send(g.caller, m.reply("200 OK", "", noBody))
		if c != nil && m.method == "BYE" {
			g.finish(c, "ended by the PBX")
		}
	case c == nil:
	case m.method == "INVITE":
		g.invited(c, m, at)
	case m.method == "BYE" && m.status >= 200 && !c.over:
		c.Done = at
		g.finish(c, "")
	}
}

// invited handles a response to INVITE.
func (g *Generator) invited(c *outgoing, m message, at time.Time) {
	c.proceeding = true
	switch {
	case m.status < 200:
		if m.status == 180 && c.Ringing.IsZero() {
			c.Ringing = at
		}
	case m.status < 300:
		g.answered(c, m, at)
	default:
		to := m.header("To")
		c.to, to = to, c.to
		g.send(g.caller, g.request(c, "ACK", c.branch)+noBody)
		c.to = to
		g.finish(c, "refused: "+strconv.Itoa(m.status))
	}
}

// answered acknowledges every 200, begins the talk at the first, and hangs up
// a call that was given up before.
func (g *Generator) answered(c *outgoing, m message, at time.Time) {
	if uri := m.contact(); uri != "" {
		c.uri = uri
	}
	c.to = m.header("To")
	g.send(g.caller, g.request(c, "ACK", c.branch+"a")+noBody)
	switch {
	case c.over:
		g.sendBye(c)
		return
	case !c.Answered.IsZero():
		c.Retries++
		return
	}
	c.Answered = at
	p := g.plan
	if !p.NoMedia {
		c.media = &stream{
			conn: g.caller.rtp, to: mediaAddr(m), ssrc: rand.Uint32(), tone: int(p.CallerTone / frameTime),
			digits: p.Digits, digitsAt: int(p.DigitsAt / frameTime),
			pressed: func(t time.Time) { g.pressed(c, t) },
		}
		g.rtp.add(c.media)
	}
	g.after(c, p.Talk, func() {
		c.Bye = time.Now()
		g.sendBye(c)
		g.again(c, firstRetry, c.Bye.Add(byeLimit), "BYE not answered", func() string {
			return g.request(c, "BYE", c.branch+"b") + noBody
		})
	})
}

func (g *Generator) sendBye(c *outgoing) {
	c.seq = 2
	g.send(g.caller, g.request(c, "BYE", c.branch+"b")+noBody)
}

// pressed is told by the sender, which must not wait for our lock.
func (g *Generator) pressed(c *outgoing, at time.Time) {
	go func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		c.Pressed = at
	}()
}

func mediaAddr(m message) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(m.audioPort()))
}
