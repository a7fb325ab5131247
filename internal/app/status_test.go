package app

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// The watchdog is fed only while the reducer takes its turn, and again when it
// does so again.
func TestHeartbeatOfAReducerThatIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReducer(reducer{})
		turns := func(ctx context.Context) error { return r.do(ctx, func() {}) }
		stuck := make(chan struct{})
		go func() {
			(<-r.steps)() // one turn,
			(<-r.steps)() // one that hangs,
			for {
				select {
				case step := <-r.steps:
					step()
				case <-t.Context().Done():
					return
				}
			}
		}()
		if !beats(t.Context(), time.Second, turns) {
			t.Error("a reducer that turns has no heartbeat")
		}
		go func() { r.steps <- func() { <-stuck } }()
		synctest.Wait()
		if beats(t.Context(), time.Second, turns) {
			t.Error("a reducer that is stuck has a heartbeat")
		}
		close(stuck)
		synctest.Wait()
		if !beats(t.Context(), time.Second, turns) {
			t.Error("a reducer that goes on has no heartbeat")
		}
	})
}
