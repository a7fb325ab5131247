package lab

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/emiago/sipgo/sip"
)

const (
	phoneRate = 8000
	// earTime is how long a phone listens before it says what it hears.
	earTime = 200 * time.Millisecond
	// quietTime is how long a tone must be gone.
	quietTime = 400 * time.Millisecond
)

// Hold puts the other party on hold and stops sending.
func (c *Call) Hold(ctx context.Context) error {
	if err := c.reinvite(ctx, "sendonly"); err != nil {
		return fmt.Errorf("%v: hold: %w", c, err)
	}
	c.media.hold(true)
	return nil
}

// Unhold takes the other party back.
func (c *Call) Unhold(ctx context.Context) error {
	if err := c.reinvite(ctx, "sendrecv"); err != nil {
		return fmt.Errorf("%v: unhold: %w", c, err)
	}
	c.media.hold(false)
	return nil
}

// ContinueAt sets the RTP sequence number of the next packet: many phones count
// anew after a hold.
func (c *Call) ContinueAt(sequence uint16) { c.media.continueAt(sequence) }

func (c *Call) reinvite(ctx context.Context, direction string) error {
	if !c.isAnswered() || c.isEnded() {
		return errors.New("the call is not up")
	}
	req := c.request(sip.INVITE)
	c.withSDP(req, direction)
	res, err := c.phone.do(ctx, req)
	if err != nil {
		return err
	}
	if !res.IsSuccess() {
		return fmt.Errorf("the PBX says %d %s", res.StatusCode, res.Reason)
	}
	if err := c.ack(req.CSeq().SeqNo); err != nil {
		return err
	}
	s, err := parseSDP(res.Body())
	if err != nil {
		return err
	}
	c.media.use(s)
	return nil
}

// BlindTransfer sends the other party to an extension and returns when the PBX
// has accepted that. WaitTransferred tells how it went on. As a desk phone
// does, ours hangs up when the PBX reports success.
func (c *Call) BlindTransfer(ctx context.Context, exten string) error {
	uri := c.phone.pbxURI(exten)
	if err := c.refer(ctx, "<"+uri.String()+">", c); err != nil {
		return fmt.Errorf("%v: transfer to %s: %w", c, exten, err)
	}
	return nil
}

// AttendedTransfer connects this call's party with that of another call of the
// same phone and returns when the PBX has accepted that. The phone hangs up both
// when the PBX reports success.
func (c *Call) AttendedTransfer(ctx context.Context, other *Call) error {
	other.mu.Lock()
	uri := other.target.Clone()
	other.mu.Unlock()
	to := "<" + uri.String() + "?Replaces=" + url.QueryEscape(other.dialog()) + ">"
	if err := c.refer(ctx, to, c, other); err != nil {
		return fmt.Errorf("%v: transfer to the %v: %w", c, other, err)
	}
	return nil
}

// refer sends the REFER; a success ends the calls given.
func (c *Call) refer(ctx context.Context, to string, over ...*Call) error {
	if !c.isAnswered() || c.isEnded() {
		return errors.New("the call is not up")
	}
	c.mu.Lock()
	c.transfer, c.transferred, c.over = 0, make(chan struct{}), over
	c.mu.Unlock()
	req := c.request(sip.REFER)
	req.AppendHeader(sip.NewHeader("Refer-To", to))
	c.mu.Lock()
	req.AppendHeader(sip.NewHeader("Referred-By", "<"+c.from.Address.String()+">"))
	c.mu.Unlock()
	res, err := c.phone.do(ctx, req)
	if err != nil {
		return err
	}
	if !res.IsSuccess() {
		return fmt.Errorf("the PBX says %d %s", res.StatusCode, res.Reason)
	}
	return nil
}

// WaitTransferred returns when the PBX reports how a transfer ended; one that
// failed is an error.
func (c *Call) WaitTransferred(ctx context.Context) error {
	c.mu.Lock()
	transferred := c.transferred
	c.mu.Unlock()
	select {
	case <-transferred:
	case <-ctx.Done():
		return fmt.Errorf("%v: wait for the transfer: %w", c, ctx.Err())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.transfer >= 300 {
		return fmt.Errorf("%v: the transfer failed with status %d", c, c.transfer)
	}
	return nil
}

// onTransferred takes the PBX's report of how a transfer ended.
func (c *Call) onTransferred(status int) {
	c.mu.Lock()
	first := c.transfer == 0 && c.over != nil
	over := c.over
	if first {
		c.transfer = status
		close(c.transferred)
	}
	c.mu.Unlock()
	if !first || status >= 300 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), replyTime)
	defer cancel()
	for _, call := range over {
		if err := call.Hangup(ctx); err != nil {
			c.phone.pbx.cfg.Log.Debug("hang up after transfer", "call", call.String(), "err", err)
		}
	}
}

// SendDTMF sends digits as RFC 4733 events, 100 ms each with 60 ms between,
// and returns when the last is sent.
func (c *Call) SendDTMF(ctx context.Context, digits string) error {
	if err := c.media.sendDigits(ctx, digits); err != nil {
		return fmt.Errorf("%v: send digits %s: %w", c, digits, err)
	}
	return nil
}

// Play sends a tone from now on, at a quarter of full scale. Tones should lie
// 100 Hz apart and below 3400 Hz.
func (c *Call) Play(hz float64) { c.media.set(sendTone, hz) }

// Silence sends silence from now on; so does every new call.
func (c *Call) Silence() { c.media.set(sendSilence, 0) }

// StopRTP sends nothing from now on, as a phone with silence suppression does.
func (c *Call) StopRTP() { c.media.set(sendNothing, 0) }

// Heard returns all audio received so far, at 8 kHz, on a time line that begins
// with the call (its INVITE); times without packets are silent.
func (c *Call) Heard() []int16 { return c.media.heardFrom(0) }

// Digits returns the RFC 4733 digits received so far.
func (c *Call) Digits() string { return c.media.heardDigits() }

// Talk lets the call go on for a time, counted in frames that the phone was to
// send.
func (c *Call) Talk(ctx context.Context, d time.Duration) error {
	until := c.media.sentFrames() + int(d/frameTime)
	if err := c.listen(ctx, func() bool { return c.media.sentFrames() >= until }); err != nil {
		return fmt.Errorf("%v: talk for %v: %w", c, d, err)
	}
	return nil
}

// WaitTone returns when the phone hears the tone, for at least 200 ms.
func (c *Call) WaitTone(ctx context.Context, hz float64) error {
	const ear = int(earTime * phoneRate / time.Second)
	from := len(c.media.heardFrom(0))
	err := c.listen(ctx, func() bool {
		heard := c.media.heardFrom(from)
		return len(heard) >= ear && ToneLevel(heard[len(heard)-ear:], phoneRate, hz) >= toneThreshold
	})
	if err != nil {
		return fmt.Errorf("%v: wait to hear %v Hz, heard %d samples: %w", c, hz, len(c.media.heardFrom(from)), err)
	}
	return nil
}

// WaitNoTone returns when the tone has not been heard for 400 ms.
func (c *Call) WaitNoTone(ctx context.Context, hz float64) error {
	from, since := len(c.media.heardFrom(0)), time.Now()
	err := c.listen(ctx, func() bool {
		if time.Since(since) < quietTime {
			return false
		}
		heard := c.media.heardFrom(from)
		if ToneLevel(heard, phoneRate, hz) < toneThreshold {
			return true
		}
		from, since = from+len(heard), time.Now()
		return false
	})
	if err != nil {
		return fmt.Errorf("%v: wait for %v Hz to end: %w", c, hz, err)
	}
	return nil
}

// listen asks for every frame until enough says so.
func (c *Call) listen(ctx context.Context, enough func() bool) error {
	tick := time.NewTicker(frameTime)
	defer tick.Stop()
	for !enough() {
		select {
		case <-tick.C:
		case <-c.ended:
			return errors.New("the call has ended")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
