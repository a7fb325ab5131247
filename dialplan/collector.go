package dialplan

import (
	"fmt"
	"regexp"
	"time"
)

// DigitTimeout is how long the next digit of a code may take: Asterisk's
// default of featuredigittimeout (asterisk-facts 3).
const DigitTimeout = time.Second

// maxCollecting bounds the channels between two digits of the code. So many
// people do not begin the same code within a second.
const maxCollecting = 10_000

// CheckCode refuses what cannot be the code of a feature during calls: 1 to 10
// keys, as Asterisk's features.conf takes them.
func CheckCode(text string) error {
	if !code.MatchString(text) || len(text) > 10 {
		return fmt.Errorf("%q is not 1 to 10 of the keys 0 to 9, A to D, * and #", text)
	}
	return nil
}

// code is what a feature code may be.
var code = regexp.MustCompile(`^[0-9A-D*#]{1,16}$`)

// Collector finds one code in the digits that are pressed during calls. It is
// for systems whose features.conf cannot be changed (design 2.5); elsewhere
// Asterisk does this. It is not safe for concurrent use.
//
// It never keeps a digit: all it knows of a channel is how much of the code
// was pressed last, and when. Digits may be those of a card.
type Collector struct {
	code    string
	timeout time.Duration
	// back is, for n digits of the code that fit and a next one that does
	// not, how many of the last ones fit its beginning (Knuth, Morris, Pratt):
	// after ** of *3 a 3 completes it.
	back     []int
	channels map[string]progress
	swept    time.Time // when room was last looked for
}

// progress is how many digits of the code a channel has pressed last.
type progress struct {
	fit int
	at  time.Time
}

// NewCollector returns a collector of the code, such as *3. Timeout is how long
// each further digit may take, usually DigitTimeout.
func NewCollector(text string, timeout time.Duration) (*Collector, error) {
	if !code.MatchString(text) {
		return nil, fmt.Errorf("collect the code %q: it must be 1 to 16 of 0-9, A-D, * and #", text)
	}
	c := &Collector{code: text, timeout: timeout, back: make([]int, len(text)), channels: make(map[string]progress)}
	for i, fit := 1, 0; i < len(text); i++ {
		c.back[i] = fit
		fit = c.advance(fit, text[i])
	}
	return c, nil
}

// advance returns how much of the code fits after one more digit.
func (c *Collector) advance(fit int, digit byte) int {
	for fit > 0 && c.code[fit] != digit {
		fit = c.back[fit]
	}
	if c.code[fit] == digit {
		fit++
	}
	return fit
}

// Digit takes a digit that was pressed on a channel and says whether it
// completes the code. at is Asterisk's time of the event, so that a delay on
// the way to us counts for nothing.
func (c *Collector) Digit(channel, digit string, at time.Time) bool {
	p := c.channels[channel]
	delete(c.channels, channel)
	if len(digit) != 1 {
		return false
	}
	if at.Sub(p.at) > c.timeout {
		p.fit = 0
	}
	p.fit, p.at = c.advance(p.fit, digit[0]), at
	switch {
	case p.fit == len(c.code):
		return true // the next press begins anew
	case p.fit > 0 && c.room(at):
		c.channels[channel] = p
	}
	return false
}

// room says whether one more channel can be kept. Those whose time is over are
// dropped when there is none, not more often than once in that time.
func (c *Collector) room(now time.Time) bool {
	if len(c.channels) < maxCollecting {
		return true
	}
	if now.Sub(c.swept) <= c.timeout {
		return false
	}
	c.swept = now
	for id, p := range c.channels {
		if now.Sub(p.at) > c.timeout {
			delete(c.channels, id)
		}
	}
	return len(c.channels) < maxCollecting
}

// Forget is to be called when a channel has ended.
func (c *Collector) Forget(channel string) { delete(c.channels, channel) }
