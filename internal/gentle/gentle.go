// Package gentle reads long files so that nothing urgent waits for it. The Go
// scheduler lets a goroutine that hashes run for 10 ms before another one has
// its turn, which is half of the time that a call may wait for its recorder.
// The priority of a thread would not help: a thread that holds a processor of
// the scheduler and is not run by the kernel holds up all others, and the unit's
// sandbox forbids to set it.
//
// It imports nothing of ours.
package gentle

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"time"
)

// chunk is how much is read before others have their turn: some 100 µs of
// hashing.
const chunk = 128 << 10

// minRest is the shortest rest; shorter ones are saved up.
const minRest = 2 * time.Millisecond

// Reader reads in pieces and lets others run after each of them.
func Reader(r io.Reader) io.Reader { return &yielding{r} }

type yielding struct{ r io.Reader }

func (y *yielding) Read(p []byte) (int, error) {
	runtime.Gosched()
	return y.r.Read(p[:min(len(p), chunk)])
}

// Pace bounds what work in the background takes of a processor. It is for one
// goroutine.
type Pace struct {
	// Share is how much, above 0 to 1: with a quarter three times as long as the
	// work took is rested.
	Share float64

	last time.Time // when work began
	owed time.Duration
}

// Reader reads at the pace, until ctx ends. What its user does with what was
// read counts as work.
func (p *Pace) Reader(ctx context.Context, r io.Reader) io.Reader {
	p.last = time.Now()
	return &paced{p: p, ctx: ctx, r: r}
}

type paced struct {
	p   *Pace
	ctx context.Context
	r   io.Reader
}

func (r *paced) Read(b []byte) (int, error) {
	if err := r.p.Rest(r.ctx); err != nil {
		return 0, err
	}
	return r.r.Read(b[:min(len(b), chunk)])
}

// Rest waits as long as the work since the last call demands. It returns ctx's
// error, if that has ended.
func (p *Pace) Rest(ctx context.Context) error {
	now := time.Now()
	if !p.last.IsZero() && p.Share > 0 {
		p.owed += time.Duration(float64(now.Sub(p.last)) * (1/p.Share - 1))
	}
	if p.owed < minRest {
		runtime.Gosched()
		p.last = now
		return rested(ctx)
	}
	timer := time.NewTimer(p.owed)
	defer timer.Stop()
	p.owed = 0
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	p.last = time.Now()
	return rested(ctx)
}

func rested(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("work in the background: %w", err)
	}
	return nil
}
