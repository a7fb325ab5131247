package app

import (
	"context"
	"sync/atomic"
	"time"

	"callrecordd/ari/ami"
	"callrecordd/internal/audit"
)

// An Asterisk that stands still (a machine that swaps, a virtual one that is
// moved, a debugger) may drop what came meanwhile when it goes on: the file of a
// recording has its length and lacks words. Only the clock shows it, so the
// manager is asked all the time, and if it is late REST is asked as well: if both
// answer at the same time it was not a connection.
const (
	stallEvery = 200 * time.Millisecond
	// stallDoubt is how late the manager may be before REST is asked.
	stallDoubt = 300 * time.Millisecond
	// stallLeast is what is worth an event.
	stallLeast = 400 * time.Millisecond
	// stallMost is how long an answer is waited for: before that both connections
	// are told to be away, which takes up to 30 s.
	stallMost = 45 * time.Second
	// stallSame is by how much both may differ to count as the same moment.
	stallSame = 100 * time.Millisecond
)

// pulse tells for how long this process itself stood still.
type pulse struct {
	last  atomic.Int64 // nanoseconds since begun
	late  atomic.Int64 // by how much beats were late since it was asked, in all
	worst atomic.Int64 // and one of them
	begun time.Time
}

const (
	pulseEvery = 50 * time.Millisecond
	// pulseLate is what a beat may be late without a word, and pulseWorst what all
	// may be late of which none is later than that.
	pulseLate, pulseWorst = 20 * time.Millisecond, 100 * time.Millisecond
)

func (p *pulse) beat() {
	now := int64(time.Since(p.begun))
	if late := time.Duration(now-p.last.Swap(now)) - pulseEvery; late > pulseLate {
		p.late.Add(int64(late))
		p.worst.Store(max(p.worst.Load(), int64(late)))
	}
}

// stood says for how long we ourselves stood still since the last time, also now.
func (p *pulse) stood() time.Duration {
	p.beat()
	if late := p.late.Swap(0); time.Duration(p.worst.Swap(0)) > pulseWorst {
		return time.Duration(late)
	}
	return 0
}

// startStalls watches whether Asterisk stands still.
func (a *App) startStalls() {
	p := &pulse{begun: time.Now()}
	a.stack.goEvery("pulse", pulseEvery, func(context.Context) { p.beat() })
	a.stack.goEvery("stalls", stallEvery, func(ctx context.Context) {
		if a.ami.State().Kind != ami.StateConnected {
			return
		}
		p.stood()
		stall, ok := askTwice(ctx, a.pingManager, a.pingREST)
		if !ok || stall-p.stood() < stallLeast { // it was us
			return
		}
		now := a.opt.Now()
		// It began between two questions.
		s := audit.Stalled{From: now.Add(-stall - stallEvery/2), To: now}
		a.log.Warn("asterisk stood still, recordings may lack what was said meanwhile", "from", s.From, "seconds", s.To.Sub(s.From).Seconds())
		a.note(audit.EventAsteriskStalled, s)
	})
}

func (a *App) pingManager(ctx context.Context) error {
	_, err := a.ami.Do(ctx, ami.Action{Name: "Ping"})
	return err
}

func (a *App) pingREST(ctx context.Context) error {
	_, err := a.ari.Info(ctx)
	return err
}

// askTwice returns how long both have not answered, if that is long and they
// then answer in the same moment.
func askTwice(ctx context.Context, first, second func(context.Context) error) (time.Duration, bool) {
	ctx, cancel := context.WithTimeout(ctx, stallMost)
	defer cancel()
	begun := time.Now()
	ask := func(f func(context.Context) error) <-chan time.Duration {
		done := make(chan time.Duration, 1)
		go func() {
			if f(ctx) == nil {
				done <- time.Since(begun)
			}
			close(done)
		}()
		return done
	}
	one := ask(first)
	doubt := time.NewTimer(stallDoubt)
	defer doubt.Stop()
	select {
	case <-one:
		return 0, false
	case <-doubt.C:
	}
	other := ask(second)
	a, ok := <-one
	b, also := <-other
	if !ok || !also || a < stallLeast || (a-b).Abs() > stallSame {
		return 0, false
	}
	return min(a, b), true
}
