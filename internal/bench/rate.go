package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"time"

	"callrecordd/internal/bench/load"
)

const (
	// enough is the share of calls that must complete, and be recorded.
	enough = 0.999
	// behindMost is the share of RTP that may be sent more than load.Behind too
	// late: with more the machine has no more to give, which only a short load
	// hides, while a hiccup of the machine is not the arm's.
	behindMost = 0.01
)

// rate finds for each arm the highest rate at which calls of 5 s complete.
func rate(ctx context.Context, s *suite) error {
	found := make(map[string]float64)
	guess := either(s, 45.0, 20)
	for _, a := range []arm{armMix(), armJournal(), armDaemon(), armLean()} {
		r, err := s.highestRate(ctx, a, guess)
		if err != nil {
			return fmt.Errorf("arm %s: %w", a.name, err)
		}
		found[a.name] = r
		guess = r
	}
	figure := func(a, ref arm) Figure {
		return Figure{
			Group: "rate", Name: a.name, Value: found[a.name], Unit: "calls/s",
			Note: "found to 4 %; answered within 2 s, ended, and recorded",
		}.against(found[ref.name], ref.name)
	}
	s.add(figure(armMix(), armMix()))
	s.add(figure(armJournal(), armMix()))
	stock, lean := figure(armDaemon(), armJournal()), figure(armLean(), armJournal())
	s.add(stock.bar("ratio ≥ 0.80", stock.Ratio >= 0.80))
	s.add(lean.bar("ratio ≥ 0.92, goal 0.95", lean.Ratio >= 0.92))
	s.add(figure(armDaemon(), armMix()))
	s.add(figure(armLean(), armMix()))
	return nil
}

// highestRate brackets an arm's rate with short loads, then halves the bracket
// with loads of a minute, which a rate must stand to count: what piles up slowly
// shows only there, so that a short load believes a third too much.
func (s *suite) highestRate(ctx context.Context, a arm, guess float64) (found float64, err error) {
	t, err := s.start(ctx, a)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	probe, step := either(s, 10*time.Second, 3*time.Second), either(s, 1.15, 1.6)
	found, err = highest(guess, step, step, func(r float64) (bool, error) { return s.bears(ctx, t, r, probe) })
	if err != nil || s.opt.Short {
		return found, err
	}
	return highest(0.85*found, step, 1.04, func(r float64) (bool, error) { return s.bears(ctx, t, r, time.Minute) })
}

// highest finds the highest rate that is borne, to the ratio fine: it goes up or
// down by step until it has one that is and one that is not, then halves between.
func highest(guess, step, fine float64, bears func(rate float64) (bool, error)) (float64, error) {
	good, bad := 0.0, math.Inf(1)
	for r := guess; ; {
		ok, err := bears(r)
		if err != nil {
			return 0, err
		}
		if ok {
			good = r
		} else {
			bad = r
		}
		switch {
		case bad < 1:
			return 0, errors.New("not even one call a second was borne")
		case bad/good <= fine*1.0001 || good > 400:
			return good, nil
		case math.IsInf(bad, 1):
			r *= step
		case good == 0:
			r /= step
		default:
			r = math.Sqrt(good * bad)
		}
	}
}

// bears says whether an arm completes and records the calls of a rate.
func (s *suite) bears(ctx context.Context, t *site, rate float64, d time.Duration) (bool, error) {
	t.load.ShareBehind() // not that of the pause before
	calls := t.run(ctx, load.Plan{Rate: rate, Calls: int(rate * d.Seconds()), Talk: either(s, 5*time.Second, time.Second)})
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	bad, why := failed(calls)
	recorded, err := t.settle(ctx)
	if err != nil {
		return false, err
	}
	n := float64(len(calls))
	complete := 1 - float64(bad)/n
	share := float64(recorded) / n
	retries := 0
	for _, c := range calls {
		retries += c.Retries
	}
	behind := t.load.ShareBehind()
	ok := complete >= enough && share >= enough && behind <= behindMost
	s.say("    %s at %.1f/s for %s: %.2f %% complete, %.2f %% recorded, %d retries, RTP late ≤ %s, %.2f %% of it behind, bears it: %t %s",
		t.arm.name, rate, d, 100*complete, 100*share, retries, t.load.Late().Round(time.Millisecond), 100*behind, ok, why)
	return ok, t.clean()
}

// settle waits until a load is over in Asterisk and the daemon, and returns how
// many recordings it has made.
func (t *site) settle(ctx context.Context) (recorded int, err error) {
	idle, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	// Calls that were given up may take Asterisk its own time-outs to end.
	if err := t.pbx.WaitIdle(idle); err != nil {
		return 0, err
	}
	if t.child == nil {
		files, err := filepath.Glob(filepath.Join(mixFolder(t.dir), "*.wav"))
		return len(files), err
	}
	if err := t.waitQuiet(ctx, 0); err != nil {
		return 0, err
	}
	total, err := t.number(ctx, countReady)
	made := total - t.ready
	t.ready = total
	return made, err
}
