// Package space reckons how long a disk lasts: from what is free and how fast
// recordings fill it. It is pure; internal/app looks at the disks.
//
// It imports nothing of ours.
package space

import (
	"fmt"
	"math"
	"time"
)

// Usage is how full a file system is, in bytes. Free is what an ordinary user
// may still take.
type Usage struct {
	Total, Free uint64
}

// Percent is how much of it is free, 0 to 100.
func (u Usage) Percent() float64 {
	if u.Total == 0 {
		return 0
	}
	return 100 * float64(u.Free) / float64(u.Total)
}

// smooth is the time in which two thirds of a change of the rate are taken over:
// a conference or a quiet minute must not make an alarm.
const smooth = 5 * time.Minute

// Rate is how fast files grow, in bytes per second, smoothed. The zero value
// knows nothing yet.
type Rate struct {
	value float64
	at    time.Time
}

// Add takes a new measurement. The first one counts as it is.
func (r *Rate) Add(now time.Time, bytesPerSecond float64) {
	passed := now.Sub(r.at)
	switch {
	case r.at.IsZero():
		r.value = bytesPerSecond
	case passed <= 0: // the clock was set back
	default:
		r.value += (bytesPerSecond - r.value) * (1 - math.Exp(-passed.Seconds()/smooth.Seconds()))
	}
	r.at = now
}

// Value is the smoothed rate in bytes per second.
func (r *Rate) Value() float64 { return r.value }

// slow is a rate below which nothing is said about hours: a byte now and then
// would give a figure that means nothing.
const slow = 100.0

// HoursLeft is how long the free space lasts at that rate, +Inf if nothing is
// written.
func HoursLeft(u Usage, bytesPerSecond float64) float64 {
	if bytesPerSecond < slow {
		return math.Inf(1)
	}
	return float64(u.Free) / bytesPerSecond / 3600
}

// Level is how much an administrator has to hurry.
type Level int

// The levels.
const (
	Enough Level = iota
	Low
	Critical
)

// Limits are below what is free, in percent, or left, in hours, a level begins.
type Limits struct {
	LowPercent, CriticalPercent float64
	LowHours, CriticalHours     float64
}

// back is how much better than its limit a disk must be before a level ends, so
// that it does not come and go with every file.
const back = 1.1

// Level is that of a disk which was at another level before.
func (l Limits) Level(u Usage, hours float64, before Level) Level {
	below := func(percent, limit float64, of Level) bool {
		if before >= of {
			limit, percent = limit*back, percent*back
		}
		return u.Percent() < percent || hours < limit
	}
	switch {
	case below(l.CriticalPercent, l.CriticalHours, Critical):
		return Critical
	case below(l.LowPercent, l.LowHours, Low):
		return Low
	}
	return Enough
}

// Tell says how full it is, for people.
func Tell(u Usage, hours float64) string {
	text := fmt.Sprintf("%s of %s free (%.1f %%)", Bytes(u.Free), Bytes(u.Total), u.Percent())
	if !math.IsInf(hours, 1) {
		text += ", enough for " + Hours(hours) + " at the present rate"
	}
	return text
}

// Hours writes a time in hours as people say it.
func Hours(h float64) string {
	switch {
	case h < 2:
		return fmt.Sprintf("%.0f minutes", h*60)
	case h < 72:
		return fmt.Sprintf("%.0f hours", h)
	}
	return fmt.Sprintf("%.0f days", h/24)
}

// Bytes writes a size as people say it.
func Bytes(n uint64) string {
	const unit = 1000
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	v, units := float64(n), "kMGTPE"
	for i := range len(units) {
		if v /= unit; v < unit || i == len(units)-1 {
			return fmt.Sprintf("%.1f %cB", v, units[i])
		}
	}
	return "" // not reached: the last unit ends the loop
}
