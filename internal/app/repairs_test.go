package app

import (
	"testing"
	"time"
)

// TestAFileThatCannotBeRepairedIsTriedLessAndLess: each attempt is on record, and
// the room that it lacks may come back soon or never.
func TestAFileThatCannotBeRepairedIsTriedLessAndLess(t *testing.T) {
	begun := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	tried := attempts{}
	var at []time.Duration
	for d := time.Duration(0); d < 2*time.Hour; d += repairsEvery {
		if tried.due("a", begun.Add(d)) {
			at = append(at, d/time.Minute)
		}
	}
	if len(at) != 7 || at[1] != 1 || at[2] != 3 || at[3] != 7 || at[6] != 63 {
		t.Errorf("tried in minutes %v", at)
	}
	if !tried.due("b", begun.Add(2*time.Hour)) {
		t.Error("another file has to wait as well")
	}
}
