package webhook

import "time"

const (
	firstWait = time.Second
	maxWait   = 15 * time.Minute
)

// wait is how long after the given failed attempt the next one comes: it
// doubles up to maxWait, and random, from 0 to 1, spreads it over the upper half
// of that, so that not all come back to a server at the same moment.
func wait(attempt int, random float64) time.Duration {
	d := maxWait
	if attempt >= 1 && attempt < 20 {
		d = min(maxWait, firstWait<<(attempt-1))
	}
	return d/2 + time.Duration(random*float64(d/2))
}
