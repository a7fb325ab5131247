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
	plan := load.Plan{Rate: 15, Calls: n, Talk: either(s, 70*time.Second, 5*time.Second)}
	done := make(chan []load.Call, 1)
	go func() { done <- t.run(ctx, plan) }()
	full, cancel := context.WithTimeout(ctx, 20*time.Second+patience)
	defer cancel()
	up := 0
	errUp := eventually(full, func() error {
		var err error
		if up, err = t.number(full, "SELECT count(*) FROM recordings WHERE state = 'recording'"); err == nil && up < n {
			open, errOpen := t.number(full, countOpen)
			err = errors.Join(errOpen, fmt.Errorf("%d recordings are open", open))
		}
		return err
	})
	pause(ctx, 5*time.Second) // proofs, parties and garbage of the ramp
	resident, err := memoryMB(t.child.pid, "VmRSS")
	asterisk, errA := memoryMB(t.pbx.PID(), "VmRSS")
	calls := <-done
	if err := errors.Join(err, errA); err != nil {
		return err
	}
	if _, err := s.completed(t, calls); err != nil {
		return err
	}
	running := Figure{Group: "memory", Name: "recordings that run at once", Value: float64(up), Unit: "recordings", N: n}
	if errUp != nil {
		running.Note = errUp.Error()
	}
	s.add(running.atLeast(float64(n)))
	f := Figure{Group: "memory", Name: fmt.Sprintf("resident with %d recordings", up), Value: resident, Unit: "MB", N: up}.
		against(asterisk, "Asterisk")
	f.Note = fmt.Sprintf("%.0f MB before the first call", idle)
	s.add(f.bar("≤ 60 MB", resident <= 60))
	return nil
}
