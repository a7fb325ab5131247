package lab

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"
)

// Call is one call of a phone, incoming or outgoing.
type Call struct {
	phone    *Phone
	id       string // Call-ID
	outgoing bool
	party    string // the other party's number as we know it
	exten    string // what was called
	media    *media

	invite   *sip.Request          // the INVITE that began it
	serverTx sip.ServerTransaction // of an incoming one

	progress, ringing, answered, ended, replied, acked chan struct{}

	onceProgress, onceRinging, onceAnswered, onceReplied, onceAcked func()

	mu         sync.Mutex
	from       sip.FromHeader // we
	to         sip.ToHeader   // the PBX
	target     sip.Uri
	seq        uint32
	sdpVersion int
	eventType  uint8
	isOver     bool
	status     int
	// Of the last transfer: status, 0 while unknown; closed when known; the
	// calls that its success ends.
	transfer    int
	transferred chan struct{}
	over        []*Call
	err         error
}

func newCall(p *Phone, id string) (*Call, error) {
	m, err := newMedia(p.ip, p.sequence())
	if err != nil {
		return nil, err
	}
	c := &Call{
		phone: p, id: id, media: m, seq: 1, eventType: eventPT,
		progress: make(chan struct{}), ringing: make(chan struct{}), answered: make(chan struct{}),
		ended: make(chan struct{}), replied: make(chan struct{}), acked: make(chan struct{}),
	}
	once := func(ch chan struct{}) func() { return sync.OnceFunc(func() { close(ch) }) }
	c.onceProgress, c.onceRinging, c.onceAnswered = once(c.progress), once(c.ringing), once(c.answered)
	c.onceReplied, c.onceAcked = once(c.replied), once(c.acked)
	return c, nil
}

// Dial calls an extension and returns when the INVITE is sent. A trunk calls
// from its account's number.
func (p *Phone) Dial(ctx context.Context, exten string) (*Call, error) {
	return p.DialAs(ctx, p.Number, exten)
}

// DialAs is Dial with another caller's number; it matters for trunks only, a
// telephone's number is what the PBX says.
func (p *Phone) DialAs(ctx context.Context, number, exten string) (*Call, error) {
	return p.dial(ctx, number, exten)
}

// TakeOver takes the place of another phone in its call, ringing or answered,
// as a busy lamp key does: an INVITE with Replaces (RFC 3891).
func (p *Phone) TakeOver(ctx context.Context, other *Call) (*Call, error) {
	return p.dial(ctx, p.Number, other.phone.Number, sip.NewHeader("Replaces", other.dialog()))
}

// dialog names the call in a Replaces header. The tags are named from the PBX's
// point of view, RFC 3891 3.
func (c *Call) dialog() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	theirs, _ := c.to.Params.Get("tag")
	ours, _ := c.from.Params.Get("tag")
	return c.id + ";to-tag=" + theirs + ";from-tag=" + ours
}

func (p *Phone) dial(ctx context.Context, number, exten string, more ...sip.Header) (*Call, error) {
	c, err := newCall(p, randomHex())
	if err != nil {
		return nil, fmt.Errorf("%s calls %s: %w", p.User, exten, err)
	}
	user := p.User // the PBX knows a telephone by the name in From
	if p.trunk {
		user = number
	}
	c.outgoing, c.exten, c.party = true, exten, exten
	c.from = sip.FromHeader{Address: sip.Uri{Scheme: "sip", User: user, Host: p.ip}, Params: sip.NewParams()}
	c.from.Params.Add("tag", sip.GenerateTagN(16))
	c.target = p.pbxURI(exten)
	c.to = sip.ToHeader{Address: p.pbxURI(exten), Params: sip.NewParams()}
	p.add(c)
	c.invite = c.request(sip.INVITE)
	for _, h := range more {
		c.invite.AppendHeader(h)
	}
	c.withSDP(c.invite, "sendrecv")
	// The transaction must outlive the caller's context: that bounds this call
	// of ours, not the telephone call.
	tx, err := p.client.TransactionRequest(context.WithoutCancel(ctx), c.invite, withVia)
	if err != nil {
		c.finish(0, err)
		return nil, fmt.Errorf("%s calls %s: %w", p.User, exten, err)
	}
	go c.follow(tx)
	return c, nil
}

func newIncoming(p *Phone, req *sip.Request, tx sip.ServerTransaction) (*Call, error) {
	from, to, contact, id := req.From(), req.To(), req.Contact(), req.CallID()
	if from == nil || to == nil || contact == nil || id == nil {
		return nil, errors.New("INVITE lacks From, To, Contact or Call-ID")
	}
	c, err := newCall(p, id.Value())
	if err != nil {
		return nil, err
	}
	if len(req.Body()) > 0 {
		s, err := parseSDP(req.Body())
		if err != nil {
			c.media.stop()
			return nil, err
		}
		c.media.use(s)
		if s.eventType != 0 {
			c.eventType = s.eventType
		}
	}
	c.invite, c.serverTx = req, tx
	c.party, c.exten = from.Address.User, req.Recipient.User
	c.from = to.AsFrom()
	c.from.Params.Add("tag", sip.GenerateTagN(16))
	c.to = from.AsTo()
	c.target = *contact.Address.Clone()
	return c, nil
}

// follow takes the responses to our INVITE.
func (c *Call) follow(tx sip.ClientTransaction) {
	for {
		select {
		case res := <-tx.Responses():
			if c.onResponse(tx, res) {
				return
			}
		case <-tx.Done():
			c.finish(0, errors.Join(errNoAnswer, tx.Err()))
			return
		case <-c.ended:
			return
		}
	}
}

// onResponse reports whether it was the final one.
func (c *Call) onResponse(tx sip.ClientTransaction, res *sip.Response) bool {
	if res.StatusCode >= 300 {
		c.finish(res.StatusCode, nil) // the stack sends the ACK
		return true
	}
	c.mu.Lock()
	if to := res.To(); to != nil && to.Params.Has("tag") {
		c.to = sip.ToHeader{DisplayName: to.DisplayName, Address: *to.Address.Clone(), Params: to.Params.Clone()}
	}
	if contact := res.Contact(); contact != nil {
		c.target = *contact.Address.Clone()
	}
	c.mu.Unlock()
	if len(res.Body()) > 0 {
		if s, err := parseSDP(res.Body()); err == nil {
			c.media.use(s)
		}
	}
	c.onceProgress()
	if res.StatusCode >= 180 && res.StatusCode < 200 {
		c.onceRinging()
	}
	if !res.IsSuccess() {
		return false
	}
	tx.OnRetransmission(func(*sip.Response) { _ = c.ack(1) }) // the next repetition tries again
	if err := c.ack(1); err != nil {
		c.finish(0, err)
		return true
	}
	c.setStatus(res.StatusCode)
	c.onceAnswered()
	return true
}

// ack confirms the success of the INVITE with that sequence number.
func (c *Call) ack(seq uint32) error {
	c.mu.Lock()
	req := c.phone.request(sip.ACK, *c.target.Clone(), &c.from, &c.to, c.id, seq)
	c.mu.Unlock()
	if err := c.phone.client.WriteRequest(req, withVia); err != nil {
		return fmt.Errorf("%v: send ACK: %w", c, err)
	}
	return nil
}

// request returns the next request within the call.
func (c *Call) request(method sip.RequestMethod) *sip.Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	seq := c.seq
	c.seq++
	return c.phone.request(method, *c.target.Clone(), &c.from, &c.to, c.id, seq)
}

func (c *Call) sdp(direction string) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sdpVersion++
	return sdpText(c.phone.ip, c.media.port(), c.sdpVersion, c.eventType, direction)
}

func (c *Call) withSDP(req *sip.Request, direction string) {
	req.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
	req.SetBody(c.sdp(direction))
}

// finish ends the call on our side, once. A status of 0 leaves the last one.
func (c *Call) finish(status int, err error) {
	c.mu.Lock()
	over := c.isOver
	if !over {
		c.isOver, c.err = true, err
		if status != 0 {
			c.status = status
		}
	}
	c.mu.Unlock()
	if over {
		return
	}
	c.media.stop()
	close(c.ended)
}

// Over says whether the call has ended.
func (c *Call) Over() bool { return c.isEnded() }

func (c *Call) isEnded() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

func (c *Call) isAnswered() bool {
	select {
	case <-c.answered:
		return true
	default:
		return false
	}
}

func (c *Call) setStatus(status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status = status
}

// String says who calls whom.
func (c *Call) String() string {
	if c.outgoing {
		return "call from " + c.phone.User + " to " + c.exten
	}
	return "call to " + c.phone.User + " from " + c.party
}

// ID returns the SIP Call-ID.
func (c *Call) ID() string { return c.id }

// Party returns the other party's number: what was dialled, or the caller.
func (c *Call) Party() string { return c.party }

// Called returns what was called: for a trunk the number after the prefix.
func (c *Call) Called() string { return c.exten }

// Status returns the final SIP status of the INVITE: 200 once answered, such as
// 486 when refused, 0 before.
func (c *Call) Status() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status
}

// wait returns nil when ch closes, an error when the call ends before.
func (c *Call) wait(ctx context.Context, what string, ch <-chan struct{}) error {
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%v: wait for %s: %w", c, what, ctx.Err())
	case <-c.ended:
	}
	select {
	case <-ch: // both happened
		return nil
	default:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return fmt.Errorf("%v: wait for %s: it ended with status %d: %w", c, what, c.status, c.err)
	}
	return fmt.Errorf("%v: wait for %s: it ended with status %d", c, what, c.status)
}

// WaitRinging returns when the other side rings or sends early media.
func (c *Call) WaitRinging(ctx context.Context) error { return c.wait(ctx, "ringing", c.ringing) }

// WaitAnswered returns when the call is answered; a call that ends without an
// answer is an error, see Status.
func (c *Call) WaitAnswered(ctx context.Context) error { return c.wait(ctx, "the answer", c.answered) }

// WaitEnded returns when the call is over, whoever ended it.
func (c *Call) WaitEnded(ctx context.Context) error { return c.wait(ctx, "its end", c.ended) }

// reply answers the INVITE of an incoming call. Contact says where the phone
// is, or, in a refusal, where else to try.
func (c *Call) reply(status int, body []byte, contact *sip.ContactHeader) error {
	if c.outgoing {
		return fmt.Errorf("%v: reply %d: it is not an incoming call", c, status)
	}
	res := sip.NewResponseFromRequest(c.invite, status, reason(status), body)
	c.mu.Lock()
	tag, _ := c.from.Params.Get("tag")
	c.mu.Unlock()
	to := res.To()
	to.Params.Remove("tag")
	to.Params.Add("tag", tag)
	res.AppendHeader(contact)
	res.AppendHeader(sip.NewHeader("Allow", allowedMethods))
	res.AppendHeader(sip.NewHeader("Supported", "replaces"))
	if body != nil {
		res.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
	}
	if err := c.serverTx.Respond(res); err != nil {
		return fmt.Errorf("%v: reply %d: %w", c, status, err)
	}
	return nil
}

// Ring tells the caller that the phone rings.
func (c *Call) Ring(context.Context) error {
	return c.reply(sip.StatusRinging, nil, c.phone.contact())
}

// Reject refuses an incoming call with a status such as 486 or 603.
func (c *Call) Reject(_ context.Context, status int) error {
	return c.refuse(status, c.phone.contact())
}

func (c *Call) refuse(status int, contact *sip.ContactHeader) error {
	if err := c.reply(status, nil, contact); err != nil {
		return err
	}
	c.onceReplied()
	c.finish(status, nil)
	return nil
}

// Answer takes an incoming call and returns when the PBX has confirmed it.
func (c *Call) Answer(ctx context.Context) error {
	if c.isEnded() || c.isAnswered() {
		return fmt.Errorf("%v: answer: it is answered or over (status %d)", c, c.Status())
	}
	body := c.sdp("sendrecv")
	// The confirmation may be lost: the answer is repeated until it comes.
	again := time.NewTicker(sip.T1)
	defer again.Stop()
	for {
		if err := c.reply(sip.StatusOK, body, c.phone.contact()); err != nil {
			return err
		}
		c.onceReplied()
		select {
		case <-c.acked:
			c.setStatus(sip.StatusOK)
			c.onceAnswered()
			return nil
		case <-c.ended:
			return fmt.Errorf("%v: answer: it ended with status %d", c, c.Status())
		case <-ctx.Done():
			return fmt.Errorf("%v: answer: %w", c, ctx.Err())
		case <-again.C:
		}
	}
}

// Cancel gives up an outgoing call that is not answered yet and returns when it
// is over. If the answer was faster it hangs up.
func (c *Call) Cancel(ctx context.Context) error {
	if !c.outgoing {
		return fmt.Errorf("%v: cancel: it is not an outgoing call", c)
	}
	// Before the first response the PBX may not know the call, RFC 3261 9.1.
	if err := c.wait(ctx, "a response before cancelling", c.progress); err != nil {
		return err
	}
	if c.isAnswered() {
		return c.Hangup(ctx)
	}
	req := sip.NewRequest(sip.CANCEL, *c.invite.Recipient.Clone())
	for _, h := range []sip.Header{c.invite.Via(), c.invite.From(), c.invite.To(), c.invite.CallID(), c.invite.MaxForwards()} {
		req.AppendHeader(sip.HeaderClone(h))
	}
	req.AppendHeader(&sip.CSeqHeader{SeqNo: c.invite.CSeq().SeqNo, MethodName: sip.CANCEL})
	req.Laddr = c.invite.Laddr
	if _, err := c.phone.do(ctx, req); err != nil {
		return fmt.Errorf("%v: cancel: %w", c, err)
	}
	select {
	case <-c.ended:
		return nil
	case <-c.answered:
		return c.Hangup(ctx)
	case <-ctx.Done():
		return fmt.Errorf("%v: cancel: %w", c, ctx.Err())
	}
}

// Hangup ends the call whatever its state: it hangs up, cancels or refuses. A
// call that is over is no error.
func (c *Call) Hangup(ctx context.Context) error {
	switch {
	case c.isEnded():
		return nil
	case !c.isAnswered() && c.outgoing:
		return c.Cancel(ctx)
	case !c.isAnswered():
		return c.Reject(ctx, sip.StatusTemporarilyUnavailable)
	}
	// A refusal means that the other side has hung up just now.
	if _, err := c.phone.do(ctx, c.request(sip.BYE)); err != nil && !c.isEnded() {
		return fmt.Errorf("%v: hang up: %w", c, err)
	}
	c.finish(0, nil)
	return nil
}
