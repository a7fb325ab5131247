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
	side          *side
	script        Script
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

// Script is how a call goes.
type Script struct {
	Caller   string // endpoint, or the caller's number if it comes from the provider
	Provider bool   // the call comes from the provider
	Exten    string
	Talk     time.Duration // from answer to BYE
	// Patience is after how long without an answer the caller gives up; 0 is 2 s.
	Patience time.Duration
	// Audio is what the caller sends.
	Audio Audio
	// Presses are digits that the caller presses, in their order.
	Presses []Press
}

// Press is digits, that long after the answer.
type Press struct {
	Digits string
	At     time.Duration
}

// PressTime is how long the digits of a press last.
func PressTime(digits string) time.Duration {
	return time.Duration(len(digits)*digitEvery) * frameTime
}

// script is how the i-th call of the plan goes.
func (p Plan) script(i int) Script {
	if p.Script != nil {
		return p.Script(i)
	}
	s := Script{Caller: p.Caller(i), Exten: p.Exten(i), Talk: p.Talk}
	if p.Digits != "" {
		s.Presses = []Press{{p.Digits, p.DigitsAt}}
	}
	return s
}

// place sends the INVITE of the i-th call.
func (g *Generator) place(i int) *outgoing {
	script := g.plan.script(i)
	g.mu.Lock()
	defer g.mu.Unlock()
	tag := strconv.Itoa(g.run) + "-" + strconv.Itoa(i)
	c := &outgoing{side: g.caller, script: script, id: "out-" + tag, branch: "z9hG4bK" + tag, name: script.Caller, seq: 1}
	if script.Provider {
		c.side = g.trunk
	}
	c.Exten = script.Exten
	c.uri = "sip:" + c.Exten + "@" + g.pbx.String()
	c.from, c.to = "<sip:"+c.name+"@127.0.0.1>;tag="+tag, "<"+c.uri+">"
	g.calls[c.id] = c
	g.left.Add(1)
	c.Invite = time.Now()
	g.send(c.side, g.request(c, "INVITE", c.branch)+withSDP(port(c.side.rtp)))
	limit := setupLimit
	if script.Patience > 0 {
		limit = script.Patience
	}
	g.again(c, firstRetry, c.Invite.Add(limit), "no answer in time", func() string {
		if c.proceeding {
			return "" // RFC 3261 17.1.1.2: not once something has come
		}
		return g.request(c, "INVITE", c.branch) + withSDP(port(c.side.rtp))
	})
	return c
}

func (g *Generator) request(c *outgoing, method, branch string) string {
	return method + " " + c.uri + " SIP/2.0\r\nVia: SIP/2.0/UDP " + c.side.addr + ";branch=" + branch +
		"\r\nMax-Forwards: 70\r\nFrom: " + c.from + "\r\nTo: " + c.to + "\r\nCall-ID: " + c.id +
		"\r\nCSeq: " + strconv.Itoa(c.seq) + " " + method + "\r\nContact: <sip:" + c.name + "@" + c.side.addr + ">\r\n"
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
			g.send(c.side, t)
		}
		g.again(c, 2*wait, limit, why, text)
	})
}

// giveUp ends a call that did not work. What Asterisk still has is cancelled.
func (g *Generator) giveUp(c *outgoing, why string) {
	if c.Answered.IsZero() && c.proceeding {
		g.send(c.side, g.request(c, "CANCEL", c.branch)+noBody)
	}
	g.finish(c, why)
}

func (g *Generator) finish(c *outgoing, failure string) {
	if c.over {
		return
	}
	c.over, c.Failure, c.Over = true, failure, time.Now()
	if c.timer != nil {
		c.timer.Stop()
	}
	if c.media != nil {
		c.media.closed.Store(true)
		c.Late = time.Duration(c.media.late.Load())
	}
	g.left.Done()
}

// atCaller handles what arrives at the callers' socket.
func (g *Generator) atCaller(s *side, m message, at time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.calls[m.header("Call-ID")]
	switch {
	case m.status == 0 && m.method == "ACK":
	case m.status == 0:
		g.send(s, m.reply("200 OK", "", noBody))
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
		g.send(c.side, g.request(c, "ACK", c.branch)+noBody)
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
	g.send(c.side, g.request(c, "ACK", c.branch+"a")+noBody)
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
			conn: c.side.rtp, to: mediaAddr(m), ssrc: rand.Uint32(), audio: c.script.Audio, tone: int(p.CallerTone / frameTime),
			pressed: func(t time.Time) { g.pressed(c, t) },
		}
		for _, p := range c.script.Presses {
			c.media.presses = append(c.media.presses, press{p.Digits, int(p.At / frameTime)})
		}
		g.rtp.add(c.media)
	}
	g.after(c, c.script.Talk, func() {
		c.Bye = time.Now()
		g.sendBye(c)
		g.again(c, firstRetry, c.Bye.Add(byeLimit), "BYE not answered", func() string {
			return g.request(c, "BYE", c.branch+"b") + noBody
		})
	})
}

func (g *Generator) sendBye(c *outgoing) {
	c.seq = 2
	g.send(c.side, g.request(c, "BYE", c.branch+"b")+noBody)
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
