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
