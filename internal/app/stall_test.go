package app

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// Only if manager and REST are late, and answer in the same moment, has Asterisk
// stood still: else it was a connection.
func TestAStallIsOnlyToldWhenBothAreLateAtOnce(t *testing.T) {
	after := func(d time.Duration, err error) func(context.Context, time.Duration) error {
		return func(ctx context.Context, since time.Duration) error {
			select {
			case <-time.After(d - since):
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		manager, rest func(context.Context, time.Duration) error
		want          time.Duration
	}{
		"both at once":              {after(1200*ms, nil), after(1210*ms, nil), 1200 * ms},
		"for long":                  {after(19*time.Second, nil), after(19*time.Second+10*ms, nil), 19 * time.Second},
		"in time":                   {after(5*ms, nil), after(5*ms, nil), 0},
		"for a moment":              {after(350*ms, nil), after(350*ms, nil), 0},
		"the manager's line":        {after(1200*ms, nil), after(305*ms, nil), 0},
		"REST's line":               {after(5*ms, nil), after(time.Second, nil), 0},
		"REST goes on later":        {after(500*ms, nil), after(2*time.Second, nil), 0},
		"the manager's line is cut": {after(1200*ms, errors.New("EOF")), after(1200*ms, nil), 0},
		"REST refuses":              {after(1200*ms, nil), after(1200*ms, errors.New("500")), 0},
		"nobody ever answers again": {after(time.Hour, nil), after(time.Hour, nil), 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got, ok := askTwice(t.Context(),
					func(ctx context.Context) error { return c.manager(ctx, 0) },
					func(ctx context.Context) error { return c.rest(ctx, stallDoubt) })
				if got != c.want || ok != (c.want > 0) {
					t.Errorf("%s, %t, want %s", got, ok, c.want)
				}
			})
		})
	}
}

// A daemon that stood still itself cannot tell who was late.
func TestADaemonThatStoodStillBlamesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pulse{begun: time.Now()}
		p.stood()
		for range 20 {
			time.Sleep(pulseEvery)
			p.beat()
		}
		if d := p.stood(); d != 0 {
			t.Errorf("it beats, and has stood for %s", d)
		}
		for range 10 {
			time.Sleep(pulseEvery + 50*time.Millisecond)
			p.beat()
		}
		if d := p.stood(); d != 0 {
			t.Errorf("a busy machine has stood for %s", d)
		}
		for range 3 {
			time.Sleep(pulseEvery + 200*time.Millisecond)
			p.beat()
		}
		if d := p.stood(); d != 600*time.Millisecond {
			t.Errorf("it has stood three times, for %s in all", d)
		}
		time.Sleep(time.Second)
		if d := p.stood(); d < time.Second-pulseEvery {
			t.Errorf("it has not beaten for a second, and has stood for %s", d)
		}
	})
}
