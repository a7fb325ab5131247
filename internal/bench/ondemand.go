package bench

import (
	"context"
	"errors"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/bench/load"
)

// onDemand measures from the last digit of *3 to the recorder's start.
func onDemand(ctx context.Context, s *suite) error {
	for _, importing := range []bool{false, true} {
		if err := s.onDemand(ctx, importing); err != nil {
			return err
		}
	}
	return nil
}

func (s *suite) onDemand(ctx context.Context, importing bool) (err error) {
	const what = "last digit of *3 to start, "
	suffix := ""
	if importing {
		suffix = ", while importing"
	}
	t, err := s.start(ctx, armDaemon())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	if err := t.flags(ctx, dialplan.Flags{OnDemand: true}); err != nil {
		return err
	}
	plan := recordingPlan(s)
	plan.Digits, plan.DigitsAt = "*3", either(s, 5*time.Second, 500*time.Millisecond)
	one := plan
	one.Calls = 1
	t.run(ctx, one)
	if n, err := t.number(ctx, "SELECT count(*) FROM recordings"); err != nil || n == 0 {
		s.missing("ondemand", what+"p99"+suffix, "≤ 20 ms", "*3 starts nothing in this build")
		return err
	}
	finish := func() (string, error) { return "", nil }
	if importing {
		if finish, err = s.startImport(ctx, t); err != nil {
			return err
		}
	}
	u, err := s.measure(ctx, t, plan)
	note, ended := finish()
	if err = errors.Join(err, ended); err != nil {
		return err
	}
	list, err := t.recordings(ctx)
	if err != nil {
		return err
	}
	calls := u.calls[ramp(s):]
	waits, without := pressedToStart(calls, list)
	add := func(f Figure) { f.Group, f.N, f.Note = "ondemand", len(calls), note; s.add(f) }
	add(Figure{Name: what + "median" + suffix, Value: median(waits), Unit: "ms"})
	add(Figure{Name: what + "p99" + suffix, Value: quantile(waits, 0.99), Unit: "ms"}.atMost(20))
	add(Figure{Name: "presses without a recording" + suffix, Value: float64(without), Unit: "calls"}.atMost(0))
	return nil
}

func pressedToStart(calls []load.Call, list map[string]taken) (waits []float64, without int) {
	for _, c := range calls {
		r, ok := list[c.Exten]
		if !ok || r.started.Before(c.Invite) {
			without++
			continue
		}
		waits = append(waits, millis(r.started.Sub(c.Pressed)))
	}
	return waits, without
}

// star26 measures how long somebody who dials *26 waits for the answer.
func star26(ctx context.Context, s *suite) (err error) {
	const name = "*26 dialled to answered, p99"
	t, err := s.start(ctx, armDaemon())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	// Asterisk hangs up by itself, after the announcement.
	plan := load.Plan{
		Rate: either(s, 5.0, 2), Calls: either(s, 200, 4), Talk: 8 * time.Second, Exten: func(int) string { return "*26" },
	}
	calls := t.run(ctx, plan)
	var waits []float64
	for _, c := range calls {
		if !c.Answered.IsZero() {
			waits = append(waits, millis(c.Answered.Sub(c.Invite)))
		}
	}
	if len(waits) == 0 {
		_, why := failed(calls)
		s.missing("star26", name, "≤ 300 ms", "*26 is not answered in this build: "+why)
		return nil
	}
	s.add(Figure{Group: "star26", Name: name, Value: quantile(waits, 0.99), Unit: "ms", N: len(waits)}.atMost(300))
	s.add(Figure{Group: "star26", Name: "*26 not answered", Value: float64(len(calls) - len(waits)), Unit: "calls", N: len(calls)}.atMost(0))
	return nil
}
