package bench

import (
	"errors"
	"testing"
)

func TestHighestRateIsFoundFromAnyGuess(t *testing.T) {
	for _, guess := range []float64{2, 40, 47, 300} {
		loads := 0
		got, err := highest(guess, 1.15, 1.04, func(r float64) (bool, error) { loads++; return r <= 47, nil })
		if err != nil || got > 47 || got*1.041 < 47 {
			t.Errorf("from %g: %g after %d loads, error %v; want 47 less at most 4 %%", guess, got, loads, err)
		}
	}
}

func TestARateThatNothingBearsIsAnError(t *testing.T) {
	if got, err := highest(40, 1.15, 1.04, func(float64) (bool, error) { return false, nil }); err == nil {
		t.Errorf("found %g, want an error", got)
	}
	broken := errors.New("broken")
	if _, err := highest(40, 1.15, 1.04, func(float64) (bool, error) { return false, broken }); !errors.Is(err, broken) {
		t.Errorf("error %v, want that of the load", err)
	}
}
