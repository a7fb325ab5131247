package space

import (
	"math"
	"testing"
	"time"
)

func TestHoursLeftFollowTheLiveRateSmoothly(t *testing.T) {
	var r Rate
	now := time.Unix(1_700_000_000, 0)
	r.Add(now, 16_000*100) // 100 recordings
	u := Usage{Total: 1e12, Free: 16_000 * 100 * 3600 * 10}
	if h := HoursLeft(u, r.Value()); math.Abs(h-10) > 0.01 {
		t.Errorf("%.2f hours", h)
	}
	// A moment without calls changes little, an hour all.
	now = now.Add(3 * time.Second)
	r.Add(now, 0)
	if h := HoursLeft(u, r.Value()); h < 10 || h > 10.2 {
		t.Errorf("%.2f hours after a moment", h)
	}
	for range 1200 {
		now = now.Add(3 * time.Second)
		r.Add(now, 0)
	}
	if h := HoursLeft(u, r.Value()); !math.IsInf(h, 1) {
		t.Errorf("%.2f hours after an hour without calls", h)
	}
	before := r.Value()
	r.Add(now.Add(-time.Hour), 1e9) // the clock was set back
	if r.Value() != before {
		t.Error("a measurement from the past counts")
	}
}

func TestLevelsByPercentOrHoursDoNotFlap(t *testing.T) {
	l := Limits{LowPercent: 10, CriticalPercent: 3, LowHours: 24, CriticalHours: 2}
	disk := func(percent float64) Usage { return Usage{Total: 1e9, Free: uint64(percent * 1e7)} }
	never := math.Inf(1)
	for _, c := range []struct {
		percent, hours float64
		before, want   Level
	}{
		{50, never, Enough, Enough},
		{9.9, never, Enough, Low},
		{2.9, never, Low, Critical},
		{50, 23, Enough, Low},
		{50, 1.9, Enough, Critical},
		{10.5, never, Enough, Enough},
		{10.5, never, Low, Low}, // was low: must be better than that by a tenth
		{11.1, never, Low, Enough},
		{3.2, never, Critical, Critical},
		{3.4, never, Critical, Low},
		{50, 25, Low, Low},
	} {
		if got := l.Level(disk(c.percent), c.hours, c.before); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
	if (Limits{}).Level(disk(0), 0, Enough) != Enough {
		t.Error("limits of 0 are limits")
	}
}

func TestSpaceIsToldInPeoplesWords(t *testing.T) {
	u := Usage{Total: 2_000_000_000_000, Free: 150_400_000_000}
	if got := Tell(u, 5.2); got != "150.4 GB of 2.0 TB free (7.5 %), enough for 5 hours at the present rate" {
		t.Error(got)
	}
	if got := Tell(Usage{Total: 999, Free: 12}, math.Inf(1)); got != "12 B of 999 B free (1.2 %)" {
		t.Error(got)
	}
	for h, want := range map[float64]string{0.5: "30 minutes", 71: "71 hours", 240: "10 days"} {
		if Hours(h) != want {
			t.Error(h, Hours(h))
		}
	}
}
