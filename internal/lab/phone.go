package lab

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"
)

const (
	allowedMethods = "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO, NOTIFY, REFER"
	// replyTime bounds what a phone does by itself, without a caller's context.
	replyTime = 10 * time.Second
	// waitingCalls is how many calls WaitCall can be behind.
	waitingCalls = 256
)

// Account is who a phone is.
type Account struct {
	User   string // endpoint, such as alice; for a trunk its name
	Number string // default: the user's number on that PBX; a trunk's caller
}

// Incoming is what a phone does with a call.
type Incoming struct {
	ring, answer bool
	after        time.Duration
	reject       int
	forward      string
}

// Manual leaves the call to whoever fetches it with WaitCall; the default.
func Manual() Incoming { return Incoming{} }

// RingOnly rings and never answers.
func RingOnly() Incoming { return Incoming{ring: true} }

// AutoAnswer rings and answers after a time.
func AutoAnswer(after time.Duration) Incoming {
	return Incoming{ring: true, answer: true, after: after}
}

// RejectWith refuses with a status such as 486 (busy) or 603 (declined).
func RejectWith(status int) Incoming { return Incoming{reject: status} }

// ForwardTo sends the caller to another extension, by status 302.
func ForwardTo(exten string) Incoming {
	return Incoming{reject: sip.StatusMovedTemporarily, forward: exten}
}

// Phone is a SIP telephone or a provider. It can hold many calls at once. Its
// methods may be called from any goroutine.
type Phone struct {
	Account
	Addr string // where it listens, UDP

	pbx      *PBX
	ip       string
	port     int
	trunk    bool
	client   *sipgo.Client
	close    func()
	incoming chan *Call

	mu    sync.Mutex
	onNew Incoming
	first *uint16          // sequence number of new calls, random if nil
	calls map[string]*Call // by Call-ID, ended ones too
	lamps map[string]*Lamp // by Call-ID
}

// NewPhone returns a phone that is registered with the PBX.
func NewPhone(ctx context.Context, pbx *PBX, a Account) (*Phone, error) {
	if a.Number == "" {
		a.Number = pbx.cfg.number(a.User)
	}
	p, err := newPhone(ctx, pbx, a, "127.0.0.1:0", false)
	if err != nil {
		return nil, fmt.Errorf("phone %s: %w", a.User, err)
	}
	if err := p.Register(ctx); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// NewTrunk returns the provider behind a trunk of the PBX. It is not
// registered: the PBX knows its address. Only one at a time can be there.
func NewTrunk(ctx context.Context, pbx *PBX, name string) (*Phone, error) {
	addr, err := pbx.TrunkAddr(name)
	if err != nil {
		return nil, fmt.Errorf("trunk %s: %w", name, err)
	}
	p, err := newPhone(ctx, pbx, Account{User: name, Number: "0301234567"}, addr, true)
	if err != nil {
		return nil, fmt.Errorf("trunk %s: %w", name, err)
	}
	return p, nil
}

func newPhone(ctx context.Context, pbx *PBX, a Account, addr string, trunk bool) (*Phone, error) {
	conn, err := net.ListenPacket("udp4", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for SIP: %w", err)
	}
	p := &Phone{
		Account: a, Addr: conn.LocalAddr().String(), pbx: pbx, trunk: trunk,
		incoming: make(chan *Call, waitingCalls), calls: map[string]*Call{}, lamps: map[string]*Lamp{},
	}
	if p.ip, p.port, err = hostPort(p.Addr); err == nil {
		err = p.serve(ctx, conn)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return p, nil
}

// serve starts the SIP stack and waits until it can send from our port.
func (p *Phone) serve(ctx context.Context, conn net.PacketConn) error {
	log := p.pbx.cfg.Log.With("phone", p.User)
	ua, err := sipgo.NewUA(sipgo.WithUserAgent("lab"),
		sipgo.WithUserAgentTransportLayerOptions(sip.WithTransportLayerLogger(log)),
		sipgo.WithUserAgentTransactionLayerOptions(sip.WithTransactionLayerLogger(log)))
	if err != nil {
		return fmt.Errorf("start SIP: %w", err)
	}
	srv, err := sipgo.NewServer(ua, sipgo.WithServerLogger(log))
	if err != nil {
		return fmt.Errorf("start SIP: %w", err)
	}
	if p.client, err = sipgo.NewClient(ua, sipgo.WithClientLogger(log), sipgo.WithClientAddr(p.Addr)); err != nil {
		return fmt.Errorf("start SIP: %w", err)
	}
	srv.OnInvite(p.onInvite)
	srv.OnAck(p.onAck)
	srv.OnBye(p.onBye)
	srv.OnNotify(p.onNotify)
	srv.OnUpdate(p.onUpdate)
	for _, m := range []sip.RequestMethod{sip.OPTIONS, sip.INFO, sip.MESSAGE} {
		srv.OnRequest(m, func(req *sip.Request, tx sip.ServerTransaction) { p.respond(req, tx, sip.StatusOK, nil) })
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.ServeUDP(conn) // ends when Close closes the socket
	}()
	p.close = sync.OnceFunc(func() {
		_ = conn.Close()
		<-served
		_ = ua.Close()
	})
	// The stack knows the socket only when its reader runs; a request sent
	// earlier would try to open the port a second time.
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		if c, err := ua.TransportLayer().GetConnection("udp", p.Addr); err == nil && c != nil {
			_, _ = c.TryClose() // gives the reference back
			return nil
		}
		select {
		case <-ctx.Done():
			p.close()
			return fmt.Errorf("start SIP on %s: %w", p.Addr, ctx.Err())
		case <-tick.C:
		}
	}
}

// Register tells the PBX where the phone is, for an hour.
func (p *Phone) Register(ctx context.Context) error {
	uri := p.pbxURI("")
	self := sip.FromHeader{Address: p.pbxURI(p.User), Params: sip.NewParams()}
	to := self.AsTo()
	self.Params.Add("tag", sip.GenerateTagN(16))
	req := p.request(sip.REGISTER, uri, &self, &to, randomHex(), 1)
	req.AppendHeader(sip.NewHeader("Expires", "3600"))
	res, err := p.do(ctx, req)
	if err == nil && !res.IsSuccess() {
		err = fmt.Errorf("it says %d %s", res.StatusCode, res.Reason)
	}
	if err != nil {
		return fmt.Errorf("register %s at %s: %w", p.User, p.pbx.SIPAddr, err)
	}
	return nil
}

// OnIncoming says what to do with calls from now on. Every call can also be
// fetched with WaitCall.
func (p *Phone) OnIncoming(in Incoming) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.onNew = in
}

// BeginAt sets the RTP sequence number with which calls begin from now on. It
// is random by default, as RFC 3550 5.1 wants it; when one party takes another's
// place it matters to Asterisk whose is higher (see the package e2e).
func (p *Phone) BeginAt(sequence uint16) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.first = &sequence
}

func (p *Phone) sequence() uint16 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.first != nil {
		return *p.first
	}
	return uint16(rand.Uint32())
}

// WaitCall returns the next incoming call, in the order in which they came.
func (p *Phone) WaitCall(ctx context.Context) (*Call, error) {
	select {
	case c := <-p.incoming:
		return c, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for a call to %s: %w", p.User, ctx.Err())
	}
}

// Close takes the phone off the network, without a word to the PBX about calls
// and registration, as when its cable is pulled. Hang up before.
func (p *Phone) Close() {
	p.close()
	p.mu.Lock()
	calls := p.calls
	p.calls = map[string]*Call{}
	p.mu.Unlock()
	for _, c := range calls {
		c.finish(0, errors.New("the phone was closed"))
	}
}

func (p *Phone) add(c *Call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls[c.id] = c
}

// find returns the call that a request belongs to, nil if there is none.
func (p *Phone) find(req *sip.Request) *Call {
	id := req.CallID()
	if id == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls[id.Value()]
}

func (p *Phone) pbxURI(user string) sip.Uri {
	host, port, _ := hostPort(p.pbx.SIPAddr) // our own text
	return sip.Uri{Scheme: "sip", User: user, Host: host, Port: port}
}

func (p *Phone) contact() *sip.ContactHeader {
	return &sip.ContactHeader{Address: sip.Uri{Scheme: "sip", User: p.User, Host: p.ip, Port: p.port}}
}

// request returns a request with all that it needs but the Via.
func (p *Phone) request(method sip.RequestMethod, uri sip.Uri, from *sip.FromHeader, to *sip.ToHeader, callID string, seq uint32) *sip.Request {
	req := sip.NewRequest(method, uri)
	id, hops := sip.CallIDHeader(callID), sip.MaxForwardsHeader(70)
	req.AppendHeader(sip.HeaderClone(from))
	req.AppendHeader(sip.HeaderClone(to))
	req.AppendHeader(&id)
	req.AppendHeader(&sip.CSeqHeader{SeqNo: seq, MethodName: method})
	req.AppendHeader(&hops)
	req.AppendHeader(p.contact())
	if method != sip.ACK {
		req.AppendHeader(sip.NewHeader("Allow", allowedMethods))
		req.AppendHeader(sip.NewHeader("Supported", "replaces"))
	}
	req.Laddr = sip.Addr{IP: net.ParseIP(p.ip), Port: p.port}
	return req
}

// withVia completes a request before it is sent.
func withVia(c *sipgo.Client, req *sip.Request) error {
	if req.Via() == nil {
		if err := sipgo.ClientRequestAddVia(c, req); err != nil {
			return fmt.Errorf("add Via: %w", err)
		}
	}
	if req.Body() == nil {
		req.SetBody(nil)
	}
	return nil
}

// do sends a request and returns its final response.
func (p *Phone) do(ctx context.Context, req *sip.Request) (*sip.Response, error) {
	tx, err := p.client.TransactionRequest(ctx, req, withVia)
	if err != nil {
		return nil, fmt.Errorf("send %s: %w", req.Method, err)
	}
	defer tx.Terminate()
	for {
		select {
		case res := <-tx.Responses():
			if !res.IsProvisional() {
				return res, nil
			}
		case <-tx.Done():
			return nil, fmt.Errorf("wait for the answer to %s: %w", req.Method, errors.Join(errNoAnswer, tx.Err()))
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the answer to %s: %w", req.Method, ctx.Err())
		}
	}
}

var errNoAnswer = errors.New("no final response")

// respond answers a request outside of the life of an INVITE.
func (p *Phone) respond(req *sip.Request, tx sip.ServerTransaction, status int, body []byte) {
	res := sip.NewResponseFromRequest(req, status, reason(status), body)
	res.AppendHeader(p.contact())
	res.AppendHeader(sip.NewHeader("Allow", allowedMethods))
	if body != nil {
		res.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
	}
	if err := tx.Respond(res); err != nil {
		p.pbx.cfg.Log.Debug("SIP response not sent", "phone", p.User, "status", status, "err", err)
	}
}

func reason(status int) string {
	for code, text := range map[int]string{
		100: "Trying", 180: "Ringing", 200: "OK", 302: "Moved Temporarily", 404: "Not Found", 480: "Temporarily Unavailable",
		481: "Call Does Not Exist", 486: "Busy Here", 487: "Request Terminated", 603: "Decline",
	} {
		if code == status {
			return text
		}
	}
	return "Status"
}

func (p *Phone) onInvite(req *sip.Request, tx sip.ServerTransaction) {
	req = req.Clone() // the transaction reads its own in other goroutines
	if to := req.To(); to != nil && to.Params.Has("tag") {
		p.onUpdate(req, tx)
		return
	}
	c, err := newIncoming(p, req, tx)
	if err != nil {
		p.pbx.cfg.Log.Warn("call not understood", "phone", p.User, "err", err)
		p.respond(req, tx, sip.StatusNotAcceptableHere, nil)
		return
	}
	p.add(c)
	// The stack itself answers the CANCEL and the INVITE.
	if !tx.OnCancel(func(*sip.Request) { go c.finish(sip.StatusRequestTerminated, nil) }) {
		c.finish(sip.StatusRequestTerminated, nil)
		return
	}
	p.mu.Lock()
	what := p.onNew
	p.mu.Unlock()
	select {
	case p.incoming <- c:
	default: // nobody fetches them
	}
	if err := what.run(c); err != nil {
		p.pbx.cfg.Log.Debug("incoming call", "call", c.String(), "err", err)
	}
	// When the handler returns, the stack ends the transaction.
	select {
	case <-c.replied:
	case <-c.ended:
	case <-tx.Done():
	}
}

// run does what was ordered for a new call.
func (in Incoming) run(c *Call) error {
	ctx, cancel := context.WithTimeout(context.Background(), replyTime+in.after)
	defer cancel()
	switch {
	case in.forward != "":
		return c.refuse(in.reject, &sip.ContactHeader{Address: c.phone.pbxURI(in.forward)})
	case in.reject != 0:
		return c.Reject(ctx, in.reject)
	}
	if in.ring {
		if err := c.Ring(ctx); err != nil {
			return err
		}
	}
	if !in.answer {
		return nil
	}
	wait := time.NewTimer(in.after)
	defer wait.Stop()
	select {
	case <-wait.C:
		return c.Answer(ctx)
	case <-c.ended:
		return nil
	}
}

// onUpdate answers a re-INVITE or UPDATE: the PBX moves the audio or tells
// about another connected party.
func (p *Phone) onUpdate(req *sip.Request, tx sip.ServerTransaction) {
	req = req.Clone()
	c := p.find(req)
	if c == nil || c.isEnded() {
		p.respond(req, tx, sip.StatusCallTransactionDoesNotExists, nil)
		return
	}
	var body []byte
	if len(req.Body()) > 0 {
		s, err := parseSDP(req.Body())
		if err != nil {
			p.respond(req, tx, sip.StatusNotAcceptableHere, nil)
			return
		}
		c.media.use(s)
		body = c.sdp(answerTo(s.direction))
	} else if req.Method == sip.INVITE {
		body = c.sdp("sendrecv")
	}
	p.respond(req, tx, sip.StatusOK, body)
}

func (p *Phone) onAck(req *sip.Request, _ sip.ServerTransaction) {
	if c := p.find(req); c != nil {
		c.onceAcked()
	}
}

func (p *Phone) onBye(req *sip.Request, tx sip.ServerTransaction) {
	c := p.find(req)
	if c == nil {
		p.respond(req, tx, sip.StatusCallTransactionDoesNotExists, nil)
		return
	}
	p.respond(req, tx, sip.StatusOK, nil)
	c.finish(0, nil)
}

// onNotify takes reports about a lamp's extension and about a transfer (RFC 3515).
func (p *Phone) onNotify(req *sip.Request, tx sip.ServerTransaction) {
	p.respond(req, tx, sip.StatusOK, nil)
	if l := p.lamp(req); l != nil {
		l.report(req.CSeq().SeqNo, req.Body())
		return
	}
	var status int
	if _, err := fmt.Sscanf(strings.TrimSpace(string(req.Body())), "SIP/2.0 %d", &status); err != nil || status < 200 {
		return
	}
	if c := p.find(req); c != nil {
		c.onTransferred(status)
	}
}
