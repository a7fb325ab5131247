package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"callrecordd/internal/bench/load"
)

// restart stops the daemon in the middle of recorded calls and starts it again:
// how long the stop takes, and until all recordings are adopted.
func restart(ctx context.Context, s *suite) (err error) {
	t, err := s.start(ctx, armDaemon())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	n, rounds := either(s, 100, 20), either(s, 10, 2)
	plan := load.Plan{Rate: 15, Calls: n, Talk: either(s, 50*time.Second, 20*time.Second)}
	done := make(chan []load.Call, 1)
	go func() { done <- t.run(ctx, plan) }()
	full, cancel := context.WithTimeout(ctx, 20*time.Second+patience)
	defer cancel()
	if err := eventually(full, func() error {
		up, err := t.number(full, "SELECT count(DISTINCT recording) FROM events WHERE kind = 'recording_proved'")
		if err == nil && up < n {
			err = fmt.Errorf("%d recordings run", up)
		}
		return err
	}); err != nil {
		<-done
		return err
	}
	var stops, adopted []float64
	for round := range rounds {
		asked := time.Now()
		if err = t.child.stop(); err != nil {
			break
		}
		stops = append(stops, millis(time.Since(asked)))
		began := time.Now()
		if err = t.again(ctx, s, (round+1)*n); err != nil {
			break
		}
		adopted = append(adopted, millis(time.Since(began)))
	}
	calls := <-done
	if err != nil {
		return err
	}
	if _, err := s.completed(t, calls); err != nil {
		return err
	}
	what := fmt.Sprintf("with %d recordings", n)
	s.add(Figure{Group: "restart", Name: "stop, " + what + ", worst", Value: quantile(stops, 1), Unit: "ms", N: rounds}.
		bar("≤ 2 s", quantile(stops, 1) <= 2000))
	s.add(Figure{Group: "restart", Name: "start to all adopted, " + what + ", worst", Value: quantile(adopted, 1), Unit: "ms", N: rounds}.
		bar("≤ 2 s", quantile(adopted, 1) <= 2000))
	return nil
}

// again starts the daemon anew and waits until so many adoptions have been
// noted since the first start.
func (t *site) again(ctx context.Context, s *suite, adoptions int) error {
	var err error
	if t.child, err = startChild(s.opt.Daemon, t.dir, t.pbx, daemonConfig(t.pbx, t.dir)); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return eventually(ctx, func() error {
		got, err := t.number(ctx, "SELECT count(*) FROM events WHERE kind = 'recording_adopted'")
		if err == nil && got < adoptions {
			err = fmt.Errorf("%d of %d adopted; the daemon's log ends: %s", got, adoptions, t.child.tail())
		}
		return err
	})
}
