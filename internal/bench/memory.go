package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"callrecordd/internal/bench/load"
)

// memory looks at the daemon while it watches 300 recordings.
func memory(ctx context.Context, s *suite) (err error) {
	t, err := s.start(ctx, armDaemon())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	idle, err := memoryMB(t.child.pid, "VmRSS")
	if err != nil {
		return err
	}
	n := either(s, 300, 30)
	plan := load.Plan{Rate: 15, Calls: n, Talk: either(s, 50*time.Second, 5*time.Second)}
	done := make(chan []load.Call, 1)
	go func() { done <- t.run(ctx, plan) }()
	full, cancel := context.WithTimeout(ctx, 20*time.Second+patience/2)
	defer cancel()
	up := 0
	errUp := eventually(full, func() error {
		var err error
		if up, err = t.number(full, "SELECT count(*) FROM recordings WHERE state = 'recording'"); err == nil && up < n {
			err = fmt.Errorf("%d of %d recordings run", up, n)
		}
		return err
	})
	pause(ctx, 5*time.Second) // proofs, parties and garbage of the ramp
	resident, err := memoryMB(t.child.pid, "VmRSS")
	asterisk, errA := memoryMB(t.pbx.PID(), "VmRSS")
	calls := <-done
	if err := errors.Join(errUp, err, errA); err != nil {
		return err
	}
	if n, why := failed(calls); n > 0 {
		return fmt.Errorf("%d calls failed: %s", n, why)
	}
	f := Figure{Group: "memory", Name: fmt.Sprintf("resident with %d recordings", n), Value: resident, Unit: "MB", N: up}.
		against(asterisk, "Asterisk")
	f.Note = fmt.Sprintf("%.0f MB before the first call", idle)
	s.add(f.bar("≤ 60 MB", resident <= 60))
	return nil
}
