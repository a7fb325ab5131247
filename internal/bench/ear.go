package bench

import (
	"fmt"

	"callrecordd/internal/lab"
)

// toneLoud is the amplitude from which on the load's tone counts: a third of
// what it sends, far above what G.711 makes of silence.
const toneLoud = 4000

// toneLost returns how many milliseconds of the callee's tone are not in the
// file. A millisecond has most of a period of the tone, so each in which it is
// heard has a loud sample.
func toneLost(path string) (float64, error) {
	a, err := lab.ReadWAV(path)
	if err != nil {
		return 0, fmt.Errorf("listen to a recording: %w", err)
	}
	return max(0, millis(toneTime)-float64(loudMillis(a))), nil
}

func loudMillis(a lab.Audio) (n int) {
	window := a.Rate * a.Channels / 1000
	for i := 0; window > 0 && i+window <= len(a.Samples); i += window {
		for _, v := range a.Samples[i : i+window] {
			if v > toneLoud || v < -toneLoud {
				n++
				break
			}
		}
	}
	return n
}
