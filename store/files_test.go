package store

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"callrecordd/internal/recorder"
)

// TestLongReaderHoldsUpWritersSeldom: who reads for minutes, as a backup does,
// keeps the log from beginning anew; each attempt holds up writers, so that the
// next is made when the log is twice as long.
func TestLongReaderHoldsUpWritersSeldom(t *testing.T) {
	s, _ := newStore(t)
	grow := func() {
		var list []recorder.Event
		for range 100 {
			list = append(list, recorder.Event{Kind: "filler", Data: strings.Repeat("x", 400_000)})
		}
		if err := s.Write(t.Context(), Bulk, func(tx *Tx) error { return tx.AppendEvents(list...) }); err != nil {
			t.Fatal(err)
		}
	}
	// The copy waits after its first step, and so goes on reading.
	first, goOn, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	grow()
	go func() {
		waited := false
		done <- Files{s.opt.Path}.Copy(t.Context(), filepath.Join(t.TempDir(), "copy.db"), func(int, int) {
			if !waited {
				waited = true
				close(first)
				<-goOn
			}
		})
	}()
	<-first
	grow()
	s.copyBack()
	if s.longWAL < 2*largeWAL {
		t.Errorf("the next attempt is at %d frames", s.longWAL)
	}
	at := s.longWAL
	begun := time.Now()
	s.copyBack()
	if s.longWAL != at {
		t.Errorf("it was tried again at once, for %s", time.Since(begun))
	}
	close(goOn)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
