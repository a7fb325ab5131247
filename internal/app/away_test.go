package app

import (
	"context"
	"errors"
	"testing"
)

// Whoever asks and does not wait long enough must not share memory with the
// reducer that gets to the question later; the race detector is the judge.
func TestLateAnswerOfTheReducerIsNoRace(t *testing.T) {
	r := newReducer(reducer{})
	ctx, cancel := context.WithCancel(t.Context())
	taken := make(chan func())
	go func() {
		step := <-r.steps
		cancel()
		taken <- step
	}()
	list, err := ask(ctx, r, func() []string { return []string{"late"} })
	step := <-taken
	done := make(chan struct{})
	go func() { step(); close(done) }()
	if !errors.Is(err, context.Canceled) || list != nil {
		t.Error(list, err)
	}
	<-done
}
