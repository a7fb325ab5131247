// Package backoff holds the reconnect timing that the ARI stream and the AMI client share.
//
// It owns delays only: no protocol, no state, no logging. It must import
// nothing but the standard library.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// The limits of a delay and the age from which a connection counts as stable.
// What is lost in between is lost for good, and Asterisk is on this machine: an
// attempt every two seconds costs nothing (the fault campaign saw calls missing
// for seven seconds after a line was back, with the 15 s of go-practices 12).
const (
	Min    = 250 * time.Millisecond
	Max    = 2 * time.Second
	Stable = 60 * time.Second
)

// Backoff yields the delays between attempts to connect. It is for one goroutine.
type Backoff struct {
	random   func() float64
	failures int
}

// New returns a Backoff that draws its jitter from random, which yields values
// in [0,1); nil means the standard source.
func New(random func() float64) *Backoff {
	if random == nil {
		random = rand.Float64
	}
	return &Backoff{random: random}
}

// Next returns the delay before the next attempt, with full jitter between Min
// and a ceiling that doubles up to Max. The floor is Min instead of zero
// because Asterisk must not be dialled in a tight loop. lasted is how long the
// connection that has just ended was up, zero if there was none; from Stable
// on the ceiling starts afresh.
func (b *Backoff) Next(lasted time.Duration) time.Duration {
	if lasted >= Stable {
		b.failures = 0
	}
	ceiling := Max
	// 250 ms << 6 is more than Max; larger shifts would only risk overflow.
	if b.failures < 6 {
		ceiling = min(Max, Min<<(b.failures+1))
	}
	b.failures++
	return Min + time.Duration(b.random()*float64(ceiling-Min))
}

// Sleep waits for d or until ctx ends, whose error it then returns.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Bound gives ctx the default deadline d unless it has one of its own.
func Bound(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if _, has := ctx.Deadline(); has {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d)
}
