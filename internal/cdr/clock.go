package cdr

import (
	"slices"
	"time"
)

// Jump is a step of the machine's clock that somebody has watched.
type Jump struct {
	// From is what the clock said before, By what it was set forward, negative
	// for back.
	From time.Time
	By   time.Duration
}

// maxJumps bounds those that are remembered: they matter to calls that go on.
const maxJumps = 32

// ClockJumped tells of a step of the clock. The times in the rows of a call
// during which it happened are set right by it. It may be called at any time.
func (f *Follower) ClockJumped(j Jump) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.jumps = append(f.jumps, j); len(f.jumps) > maxJumps {
		f.jumps = f.jumps[1:]
	}
}

func (f *Follower) knownJumps() []Jump {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.jumps)
}

// straighten gives the rows of a call the times that they would have had if the
// clock had gone on as it began: how long a call has lasted does not depend on
// what the clock was set to. A step back shows by itself, a step forward only
// by jumps.
func straighten(rows []Row, jumps []Jump) []Row {
	var out []Row // nil: nothing to set right
	var shift time.Duration
	for i := range rows {
		if i > 0 {
			shift += step(rows[i-1].At, rows[i].At, jumps)
		}
		if shift != 0 && out == nil {
			out = slices.Clone(rows)
		}
		if out != nil {
			out[i].At = rows[i].At.Add(shift)
		}
	}
	if out == nil {
		return rows
	}
	return out
}

// watched is how exactly the time of a jump is known.
const watched = time.Second

// step is what the time of a row lacks to follow on the one before it.
func step(before, at time.Time, jumps []Jump) time.Duration {
	gone := at.Sub(before)
	for _, j := range jumps {
		crossed := !before.After(j.From.Add(watched)) && !at.Before(j.From.Add(j.By))
		switch {
		case crossed && j.By > 0 && gone >= j.By-watched:
			return -min(j.By, gone)
		case crossed && j.By < 0 && gone < 0:
			return max(-j.By, -gone)
		}
	}
	if -gone > setBack {
		return -gone // nobody knows by how much: at least it goes on
	}
	return 0
}
