package auth

import (
	"runtime"
	"testing"
	"time"
)

// A password's hash needs 19 MiB for a moment. A collection in that moment would
// let the heap grow to a multiple of that before the next one.
func TestAPasswordLeavesNoLargeHeap(t *testing.T) {
	h := newHasher()
	if _, err := h.hash(t.Context(), "secret"); err != nil {
		t.Fatal(err)
	}
	var m runtime.MemStats
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); runtime.Gosched() {
		if runtime.ReadMemStats(&m); !h.freeing.Load() && m.NextGC < hashMemory<<10 {
			return
		}
	}
	t.Errorf("the heap may grow to %d bytes, %d are in use", m.NextGC, m.HeapAlloc)
}

// TestGuessedPasswordsCauseFewCollections: a full collection for each guess would
// take the processor from calls.
func TestGuessedPasswordsCauseFewCollections(t *testing.T) {
	h := newHasher()
	now, collections := time.Unix(1_800_000_000, 0), 0
	var due []func()
	h.now = func() time.Time { return now }
	h.collect = func() { collections++ }
	h.after = func(d time.Duration, f func()) {
		if d == 0 {
			f()
			return
		}
		if d < 0 || d > freeEvery {
			t.Errorf("waits for %s", d)
		}
		due = append(due, f)
	}
	for range 50 {
		h.free()
	}
	if collections != 1 || len(due) != 1 {
		t.Fatalf("fifty hashes at once: %d collections, and %d to come", collections, len(due))
	}
	now = now.Add(freeEvery)
	due[0]()
	h.free()
	if collections != 2 || len(due) != 2 {
		t.Errorf("afterwards: %d collections, and %d to come: the memory of the last ones stays", collections, len(due))
	}
	now = now.Add(-time.Hour) // the clock is set back
	due[1]()
	h.free()
	if len(due) != 3 {
		t.Errorf("with a clock that was set back: %d to come", len(due))
	}
}
