package bench

import (
	"math"
	"slices"
	"time"
)

// quantile returns the value below which the share q of the values lies, by
// the nearest rank; NaN without values.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	rank := int(math.Ceil(q*float64(len(sorted)))) - 1
	return sorted[min(max(rank, 0), len(sorted)-1)]
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// millis is a duration as the figures have it.
func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
