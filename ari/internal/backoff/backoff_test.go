package backoff

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestNextDoublesUpToMaxAndResetsWhenStable(t *testing.T) {
	top := New(func() float64 { return 1 })
	want := []time.Duration{500, 1000, 2000, 2000, 2000, 2000, 2000, 2000}
	for i, w := range want {
		if got := top.Next(0); got != w*time.Millisecond {
			t.Errorf("attempt %d: delay %v, want %v", i, got, w*time.Millisecond)
		}
	}
	if got := top.Next(Stable - 1); got != Max {
		t.Errorf("after a short session: %v, want %v", got, Max)
	}
	if got := top.Next(Stable); got != 2*Min {
		t.Errorf("after a stable session: %v, want %v", got, 2*Min)
	}
}

func TestNextNeverLeavesItsLimits(t *testing.T) {
	b := New(nil)
	for range 1000 {
		if d := b.Next(0); d < Min || d > Max {
			t.Fatalf("delay %v outside [%v, %v]", d, Min, Max)
		}
	}
}

func TestSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		if err := Sleep(t.Context(), 7*time.Second); err != nil {
			t.Fatalf("sleep: %v", err)
		}
		if d := time.Since(start); d != 7*time.Second {
			t.Errorf("slept %v", d)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := Sleep(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("sleep beyond the deadline: %v", err)
		}
	})
}

func TestBoundKeepsTheCallersDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := Bound(t.Context(), time.Second)
		defer cancel()
		if at, _ := ctx.Deadline(); time.Until(at) != time.Second {
			t.Errorf("default deadline in %v", time.Until(at))
		}
		own, cancelOwn := context.WithTimeout(t.Context(), time.Minute)
		defer cancelOwn()
		ctx, cancel = Bound(own, time.Second)
		defer cancel()
		if at, _ := ctx.Deadline(); time.Until(at) != time.Minute {
			t.Errorf("own deadline in %v", time.Until(at))
		}
	})
}
