package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"callrecordd/internal/bench/load"
)

// waiting measures what the daemon and all snippets add to the time from
// INVITE to 180 and to 200. The callee answers at once, so all of it is
// Asterisk's. Both Asterisks are up all the time and take turns.
func waiting(ctx context.Context, s *suite) (err error) {
	bare, err := s.start(ctx, armBare())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bare.close()) }()
	with, err := s.start(ctx, armDaemon())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, with.close()) }()
	plan := load.Plan{Rate: 20, Calls: either(s, 500, 40), Talk: either(s, 2*time.Second, time.Second)}
	var ringing, answered ratios
	for round := range either(s, 5, 1) {
		order := []*site{bare, with}
		if round%2 == 1 { // who comes first changes, too
			order = []*site{with, bare}
		}
		var r, a [2]float64 // medians: without, with
		for _, t := range order {
			calls, err := s.completed(t, t.run(ctx, plan))
			if err != nil {
				return err
			}
			i := 0
			if t == with {
				i = 1
			}
			r[i], a[i] = medianWait(calls)
			s.say("    round %d, %s: 180 after %.2f ms, 200 after %.2f ms", round+1, t.arm.name, r[i], a[i])
		}
		ringing.add(r[1], r[0])
		answered.add(a[1], a[0])
	}
	s.add(ringing.figure("INVITE to 180", plan.Calls))
	s.add(answered.figure("INVITE to 200", plan.Calls))
	return nil
}

func medianWait(calls []load.Call) (ringing, answered float64) {
	var r, a []float64
	for _, c := range calls {
		if !c.Ringing.IsZero() {
			r = append(r, millis(c.Ringing.Sub(c.Invite)))
		}
		a = append(a, millis(c.Answered.Sub(c.Invite)))
	}
	return median(r), median(a)
}

// ratios collects the medians of the rounds.
type ratios struct{ with, without, ratio []float64 }

func (r *ratios) add(with, without float64) {
	r.with = append(r.with, with)
	r.without = append(r.without, without)
	r.ratio = append(r.ratio, with/without)
}

func (r *ratios) figure(name string, calls int) Figure {
	f := Figure{
		Group: "waiting", Name: name + ", median", Value: median(r.with), Unit: "ms", N: len(r.ratio),
		Note: fmt.Sprintf("N rounds of %d calls for each arm; the ratio is the median of the rounds' ratios", calls),
	}.against(median(r.without), "bare")
	f.Ratio = median(r.ratio)
	return f.bar("1.00 ± 0.05 or ≤ 0.3 ms more", math.Abs(f.Ratio-1) <= 0.05 || f.Value-f.Reference <= 0.3)
}
