package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// stack is the one list of what was started, in order. Each part pushes the
// way to stop it the moment it exists, so that a start that fails half-way
// rolls back by the same path as a normal stop.
type stack struct {
	log   *slog.Logger
	steps []step
}

type step struct {
	name string
	stop func(context.Context) error
}

func (s *stack) push(name string, stop func(context.Context) error) {
	s.steps = append(s.steps, step{name, stop})
	s.log.Debug("started", "part", name)
}

// unwind stops everything, the newest first. One step that fails does not keep
// the others from being tried; all failures come back together.
func (s *stack) unwind(ctx context.Context) error {
	var errs []error
	for _, st := range slices.Backward(s.steps) {
		if err := st.stop(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", st.name, err))
			continue
		}
		s.log.Debug("stopped", "part", st.name)
	}
	s.steps = nil
	return errors.Join(errs...)
}

// goEvery runs fn at intervals, the first time after one, until the step ends.
func (s *stack) goEvery(name string, interval time.Duration, fn func(context.Context)) {
	s.goStep(name, nil, func(ctx context.Context) error {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
				fn(ctx)
			}
		}
	})
}

// goStep runs fn in its own goroutine and pushes a step that cancels and
// awaits it. A failure of fn while the app is running reaches failed.
func (s *stack) goStep(name string, failed chan<- error, fn func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		err := fn(ctx)
		if err != nil && ctx.Err() == nil {
			select {
			case failed <- fmt.Errorf("%s: %w", name, err):
			default: // another part has failed before; one reason is enough
			}
		}
		done <- err
	}()
	s.push(name, func(stop context.Context) error {
		cancel()
		select {
		case err := <-done:
			if err != nil && !errors.Is(err, context.Canceled) {
				return err
			}
			return nil
		case <-stop.Done():
			return fmt.Errorf("still running: %w", stop.Err())
		}
	})
}
