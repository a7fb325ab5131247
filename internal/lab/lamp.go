package lab

import (
	"context"
	"encoding/xml"
	"fmt"
	"sync"

	"github.com/emiago/sipgo/sip"
)

// What a lamp key shows: the states of a dialog (RFC 4235).
const (
	LampOn  = "confirmed"
	LampOff = "terminated"
)

// Lamp is a lamp key of a phone: a subscription to the state of an extension.
type Lamp struct {
	phone *Phone
	exten string

	mu      sync.Mutex
	state   string
	last    uint32        // CSeq of the newest report
	changed chan struct{} // closed and made anew at each report
}

// Subscribe asks the PBX to report the state of an extension for an hour, as a
// lamp key does, and returns when that is accepted.
func (p *Phone) Subscribe(ctx context.Context, exten string) (*Lamp, error) {
	l := &Lamp{phone: p, exten: exten, changed: make(chan struct{})}
	id := randomHex()
	p.mu.Lock()
	p.lamps[id] = l
	p.mu.Unlock()
	self := sip.FromHeader{Address: p.pbxURI(p.User), Params: sip.NewParams()}
	self.Params.Add("tag", sip.GenerateTagN(16))
	to := sip.ToHeader{Address: p.pbxURI(exten), Params: sip.NewParams()}
	req := p.request(sip.SUBSCRIBE, p.pbxURI(exten), &self, &to, id, 1)
	req.AppendHeader(sip.NewHeader("Event", "dialog"))
	req.AppendHeader(sip.NewHeader("Accept", "application/dialog-info+xml"))
	req.AppendHeader(sip.NewHeader("Expires", "3600"))
	res, err := p.do(ctx, req)
	if err == nil && !res.IsSuccess() {
		err = fmt.Errorf("the PBX says %d %s", res.StatusCode, res.Reason)
	}
	if err != nil {
		return nil, fmt.Errorf("%s subscribes to %s: %w", p.User, exten, err)
	}
	return l, nil
}

// lamp returns the subscription that a request belongs to, nil if there is none.
func (p *Phone) lamp(req *sip.Request) *Lamp {
	id := req.CallID()
	if id == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lamps[id.Value()]
}

// report takes the CSeq number and the body of a NOTIFY. Without a dialog the
// line is free. Each request has its own goroutine in the SIP library, so an
// older report may come in after a newer one: it is no news then (RFC 6665
// 4.1.3 orders them by CSeq).
func (l *Lamp) report(cseq uint32, body []byte) {
	var info struct {
		Dialog struct {
			State string `xml:"state"`
		} `xml:"dialog"`
	}
	if len(body) > 0 && xml.Unmarshal(body, &info) != nil {
		l.phone.pbx.cfg.Log.Warn("dialog state not understood", "phone", l.phone.User)
		return
	}
	state := info.Dialog.State
	if state == "" {
		state = LampOff
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if cseq <= l.last {
		return
	}
	l.state, l.last = state, cseq
	close(l.changed)
	l.changed = make(chan struct{})
}

// State is what the PBX reported last, empty before the first report.
func (l *Lamp) State() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state
}

// Wait returns when the lamp shows the state.
func (l *Lamp) Wait(ctx context.Context, state string) error {
	for {
		l.mu.Lock()
		now, changed := l.state, l.changed
		l.mu.Unlock()
		if now == state {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("lamp %s of %s is %q, not %q: %w", l.exten, l.phone.User, now, state, ctx.Err())
		}
	}
}
