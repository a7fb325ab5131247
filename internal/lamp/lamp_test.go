package lamp

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWanted(t *testing.T) {
	got := Wanted([]User{
		{Keys: []string{"*1", "1001"}, Lit: true},
		{Keys: []string{"*2", "1001", "1002"}},
		{Keys: []string{"*3", "1003"}},
	})
	want := map[string]bool{"*1": true, "*2": false, "1002": false, "*3": false, "1003": false}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("an extension of two users is nobody's (-want +got):\n%s", diff)
	}
}

// board is the device states.
type board struct {
	mu     sync.Mutex
	states map[string]bool
	sets   int
	err    error
}

func (b *board) Lamps(context.Context) (map[string]bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.states), b.err
}

func (b *board) Set(_ context.Context, key string, lit bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return b.err
	}
	b.states[key] = lit
	b.sets++
	return nil
}

func (b *board) check(t *testing.T, what string, want map[string]bool, sets int) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if diff := cmp.Diff(want, b.states); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
	if b.sets != sets {
		t.Errorf("%s: %d lamps were set, want %d", what, b.sets, sets)
	}
	b.sets = 0
}

func TestKeeper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &board{states: map[string]bool{"1001": true, "9999": true, "8888": false}}
		users := []User{{Keys: []string{"*1", "1001"}, Lit: true}, {Keys: []string{"*2", "1002"}}}
		k := NewKeeper(b, func() []User { return users }, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- k.Run(ctx) }()
		settle := func() { time.Sleep(time.Second); synctest.Wait() }

		k.Changed()
		settle()
		b.check(t, "before Asterisk is there", map[string]bool{"1001": true, "9999": true, "8888": false}, 0)

		k.Connected()
		settle()
		want := map[string]bool{"*1": true, "1001": true, "*2": false, "1002": false, "9999": false, "8888": false}
		b.check(t, "connected: what differs, and the lamp of one who is gone", want, 4)

		users = []User{{Keys: []string{"*1", "1001"}}, {Keys: []string{"*2", "1003"}, Lit: true}}
		k.Changed()
		settle()
		want = map[string]bool{"*1": false, "1001": false, "*2": true, "1002": false, "1003": true, "9999": false, "8888": false}
		b.check(t, "changed and renumbered", want, 4)

		b.mu.Lock()
		b.err = errors.New("disconnected")
		b.mu.Unlock()
		users = nil
		k.Changed()
		settle()
		b.mu.Lock()
		b.err = nil
		b.mu.Unlock()
		b.check(t, "failing", want, 0)
		time.Sleep(retryTime)
		want["*2"], want["1003"] = false, false
		settle()
		b.check(t, "tried again", want, 2)

		users = []User{{Keys: []string{"*1"}, Lit: true}}
		b.mu.Lock()
		b.states = map[string]bool{}
		b.mu.Unlock()
		k.Connected()
		settle()
		b.check(t, "another Asterisk", map[string]bool{"*1": true}, 1)

		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
