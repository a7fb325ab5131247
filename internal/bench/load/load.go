package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// Limits of a call's steps. Whoever waits longer for an answer hangs up; SIP
// itself would go on for 32 s.
const (
	setupLimit = 2 * time.Second
	byeLimit   = 4 * time.Second
	// firstRetry is SIP's T1: a request without a response is sent again after
	// it, then after twice as long, and so on.
	firstRetry = 500 * time.Millisecond
)

// maxCallees is how many may register at once.
const maxCallees = 1000

// Call is what happened to one call, by the caller's clock. Times of what did
// not happen are zero.
type Call struct {
	Exten    string
	Invite   time.Time // sent
	Ringing  time.Time // 180 arrived
	Answered time.Time // 200 arrived
	Pressed  time.Time // the end of the last digit was sent
	Bye      time.Time // sent
	Done     time.Time // BYE answered
	Over     time.Time // nothing more was expected of it
	// Late is by how much a frame of the caller's RTP was sent too late at most.
	Late    time.Duration
	Retries int    // requests sent again, by either side
	Failure string // empty for a complete call
}

// Complete says that the call was answered within 2 s, lasted, and ended.
func (c Call) Complete() bool { return c.Failure == "" && !c.Done.IsZero() }

// Plan is what to place.
type Plan struct {
	Rate  float64       // calls a second
	Calls int           // how many
	Talk  time.Duration // from answer to BYE
	// Caller and Exten say who calls what, by the number of the call.
	Caller, Exten func(i int) string
	// Tone is how long a side plays its tone from its first packet on.
	CallerTone, CalleeTone time.Duration
	// NoMedia sends no RTP.
	NoMedia bool
	// Digits are pressed by the caller, this long after the answer.
	Digits   string
	DigitsAt time.Duration
	// Script says how the i-th call goes, where calls differ; Caller, Exten,
	// Talk, tones and digits above do not count then.
	Script func(i int) Script
	// React says what the callee does, by the user part of the address that it
	// was called at. Without it it rings and answers at once.
	React func(target string) Reaction
}

// Generator is the callers and the callees. Its methods may be called from any
// goroutine, Run once at a time.
type Generator struct {
	pbx            netip.AddrPort
	caller, callee *side
	trunk          *side // nil unless there is a provider
	rtp            *sender
	wg             sync.WaitGroup

	mu    sync.Mutex
	plan  Plan
	calls map[string]*outgoing
	in    map[string]*incoming
	run   int
	left  sync.WaitGroup // calls of this Run

	registered chan string
}

// side is a SIP socket and the RTP socket of all its calls.
type side struct {
	sip, rtp *net.UDPConn
	addr     string // of sip
}

func newSide(ip net.IP) (*side, error) {
	sip, err := stamped(ip)
	if err != nil {
		return nil, err
	}
	rtp, err := loopback(home())
	if err != nil {
		_ = sip.Close()
		return nil, err
	}
	// Nobody reads it: a small buffer is full at once and costs nothing more.
	_ = rtp.SetReadBuffer(4096)
	return &side{sip: sip, rtp: rtp, addr: sip.LocalAddr().String()}, nil
}

func (s *side) close() {
	_ = s.sip.Close()
	_ = s.rtp.Close()
}

// New opens the sockets and registers the callees, endpoints of the PBX at
// that address. Callers are known by their names alone.
func New(ctx context.Context, pbx string, callees []string) (*Generator, error) {
	g, err := Open(nil)
	if err != nil {
		return nil, err
	}
	err = g.Use(pbx)
	if err == nil {
		err = g.register(ctx, callees)
	}
	if err != nil {
		g.Close()
		return nil, err
	}
	return g, nil
}

// Open opens the sockets for a PBX that is not there yet: its dialplan is to
// call the callees, who do not register, at their address. With an address of
// loopback for it there is a provider, too, which the PBX knows by that.
func Open(provider net.IP) (g *Generator, err error) {
	g = &Generator{calls: make(map[string]*outgoing), in: make(map[string]*incoming), registered: make(chan string, maxCallees)}
	addrs := []net.IP{home(), home()}
	if provider != nil {
		addrs = append(addrs, provider)
	}
	var sides []*side
	for _, ip := range addrs {
		s, err := newSide(ip)
		if err != nil {
			for _, open := range sides {
				open.close()
			}
			return nil, err
		}
		sides = append(sides, s)
	}
	g.caller, g.callee, g.rtp = sides[0], sides[1], newSender()
	g.wg.Go(func() { g.read(g.caller, g.atCaller) })
	g.wg.Go(func() { g.read(g.callee, g.atCallee) })
	if provider != nil {
		g.trunk = sides[2]
		g.wg.Go(func() { g.read(g.trunk, g.atTrunk) })
	}
	return g, nil
}

// Use says where the PBX is.
func (g *Generator) Use(pbx string) error {
	addr, err := netip.ParseAddrPort(pbx)
	if err != nil || !addr.Addr().IsLoopback() {
		return fmt.Errorf("load the PBX at %q: only loopback is allowed: %w", pbx, errors.Join(err, net.ErrClosed))
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pbx = addr
	return nil
}

// CalleeAddr and TrunkAddr are where the PBX reaches callees and provider.
func (g *Generator) CalleeAddr() string { return g.callee.addr }

// TrunkAddr is empty if there is no provider.
func (g *Generator) TrunkAddr() string {
	if g.trunk == nil {
		return ""
	}
	return g.trunk.addr
}

// Close ends everything. Calls that are up stay up in the PBX.
func (g *Generator) Close() {
	g.rtp.close()
	g.caller.close()
	g.callee.close()
	if g.trunk != nil {
		g.trunk.close()
	}
	g.wg.Wait()
}

// Late is by how much an RTP frame was sent too late at most: if it is more
// than some 20 ms the machine was too busy for the figures to mean much.
func (g *Generator) Late() time.Duration { return time.Duration(g.rtp.late.Swap(0)) }

// Behind is how late RTP must be to count as sent behind its time: more than a
// moment in which the machine did something else.
const Behind = 500 * time.Millisecond

// ShareBehind is the share of RTP that was sent more than Behind too late since
// it was last asked for.
func (g *Generator) ShareBehind() float64 {
	sent, behind := g.rtp.sent.Swap(0), g.rtp.behind.Swap(0)
	return float64(behind) / float64(max(1, sent))
}

func (g *Generator) send(s *side, text string) {
	// A lost datagram is sent again by whoever misses the answer.
	_, _ = s.sip.WriteToUDPAddrPort([]byte(text), g.pbx)
}

func (g *Generator) read(s *side, handle func(*side, message, time.Time)) {
	buf, oob := make([]byte, 65536), make([]byte, 256)
	for {
		n, oobn, _, _, err := s.sip.ReadMsgUDPAddrPort(buf, oob)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // such as "connection refused" while the PBX is away
		}
		if m, ok := parse(append([]byte(nil), buf[:n]...)); ok {
			handle(s, m, arrival(oob[:oobn]))
		}
	}
}

func (g *Generator) register(ctx context.Context, names []string) error {
	missing := make(map[string]bool)
	for i, name := range names {
		missing[name] = true
		g.send(g.callee, "REGISTER sip:"+g.pbx.String()+" SIP/2.0\r\nVia: SIP/2.0/UDP "+g.callee.addr+
			";branch=z9hG4bKreg"+strconv.Itoa(i)+"\r\nMax-Forwards: 70\r\nFrom: <sip:"+name+"@127.0.0.1>;tag=r\r\nTo: <sip:"+
			name+"@127.0.0.1>\r\nCall-ID: register-"+name+"\r\nCSeq: 1 REGISTER\r\nContact: <sip:"+name+"@"+g.callee.addr+
			">\r\nExpires: 7200\r\n"+noBody)
	}
	for len(missing) > 0 {
		select {
		case name := <-g.registered:
			delete(missing, name)
		case <-ctx.Done():
			return fmt.Errorf("register %d telephones of the load: %w", len(missing), ctx.Err())
		}
	}
	return nil
}

// Run places the calls of a plan and returns when all are over, one way or
// another. If ctx ends no further calls are placed.
func (g *Generator) Run(ctx context.Context, p Plan) []Call {
	g.mu.Lock()
	g.plan = p
	g.run++
	clear(g.calls) // until now late answers to calls of the run before were hung up
	g.mu.Unlock()
	placed := make([]*outgoing, 0, p.Calls)
	begun := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i := range p.Calls {
		timer.Reset(time.Until(begun.Add(time.Duration(float64(i) / p.Rate * float64(time.Second)))))
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		placed = append(placed, g.place(i))
	}
	g.left.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]Call, len(placed))
	for i, c := range placed {
		out[i] = c.Call
	}
	return out
}
