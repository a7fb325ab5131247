package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"callrecordd/internal/cdr"
	"callrecordd/internal/recorder"
)

// commits counts the transactions that a function causes.
func commits(t *testing.T, s *Store, fn func()) int {
	t.Helper()
	count := func() (n int) {
		if err := s.Write(t.Context(), High, func(*Tx) error { n = s.commits; return nil }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := count()
	fn()
	return count() - before - 1 // the first count itself is one
}

// TestSoonSharesACommit: what nobody waits for is written together, each with
// an outcome of its own, in time, and nothing urgent waits for it.
func TestSoonSharesACommit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(t.Context(), options(path))
		if err != nil {
			t.Fatal(err)
		}
		boom := errors.New("boom")
		begun := time.Now()
		n := commits(t, s, func() {
			var wg sync.WaitGroup
			for i := range 6 {
				synctest.Wait() // in this order
				wg.Go(func() {
					err := s.Write(t.Context(), []Priority{Soon, SoonUnsynced}[i%2], func(tx *Tx) error {
						if err := tx.AppendEvents(recorder.Event{Kind: "x"}); err != nil || i != 3 {
							return err
						}
						return boom
					})
					if want := map[bool]error{true: boom}[i == 3]; !errors.Is(err, want) {
						t.Errorf("write %d: %v, want %v", i, err, want)
					}
				})
			}
			synctest.Wait() // all wait for company
			if err := s.Write(t.Context(), Intent, func(*Tx) error { return nil }); err != nil || time.Since(begun) > 0 {
				t.Errorf("an intent had to wait %s, %v", time.Since(begun), err)
			}
			wg.Wait()
		})
		if n != 2 {
			t.Errorf("%d transactions, want one for the intent and one for the others", n)
		}
		if took := time.Since(begun); took > shareTime {
			t.Errorf("they were written after %s", took)
		}
		if es, err := s.Events(t.Context(), EventFilter{}); len(es) != 5 || err != nil {
			t.Errorf("%d events, %v: one write of six failed", len(es), err)
		}
		// What still waits at the end is written, too.
		last := make(chan error, 1)
		go func() { last <- s.AppendEvents(context.WithoutCancel(t.Context()), recorder.Event{Kind: "last"}) }()
		synctest.Wait()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-last; err != nil {
			t.Error(err)
		}
	})
}

// TestFirstOfAGroupFails: the others are written all the same.
func TestFirstOfAGroupFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(t.Context(), options(path))
		if err != nil {
			t.Fatal(err)
		}
		boom := errors.New("boom")
		failed := make(chan error, 1)
		go func() { failed <- s.Write(t.Context(), Soon, func(*Tx) error { return boom }) }()
		synctest.Wait()
		if err := s.AppendEvents(t.Context(), recorder.Event{Kind: "x"}); err != nil {
			t.Error(err)
		}
		as(t, <-failed, boom)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestBulkGivesWay: while there are urgent writes, bulk ones take half of the
// time at most; otherwise all of it.
func TestBulkGivesWay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(t.Context(), options(path))
		if err != nil {
			t.Fatal(err)
		}
		const work = 4 * time.Millisecond
		bulk := func() time.Duration {
			begun := time.Now()
			for range 10 {
				if err := s.Write(t.Context(), Bulk, func(*Tx) error { <-time.After(work); return nil }); err != nil {
					t.Fatal(err)
				}
			}
			return time.Since(begun)
		}
		if took := bulk(); took != 10*work {
			t.Errorf("with nothing else to do it took %s, not %s", took, 10*work)
		}
		if err := s.Write(t.Context(), Intent, func(*Tx) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if took := bulk(); took != 19*work {
			t.Errorf("beside calls it took %s, not %s", took, 19*work)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestManyCDRsInShortTransactions: none of them is long, and only the last one
// moves the checkpoint.
func TestManyCDRsInShortTransactions(t *testing.T) {
	s, _ := newStore(t)
	var list []cdr.CDR
	for i := range 200 {
		id := fmt.Sprintf("%d.1", i)
		list = append(list, call(id, id))
	}
	at := cdr.Checkpoint{Journal: 7, Position: 70}
	var ids []int64
	n := commits(t, s, func() {
		var err error
		if ids, err = s.SaveCDRs(t.Context(), list, at); err != nil {
			t.Fatal(err)
		}
	})
	if len(ids) != len(list) || n < 2 {
		t.Errorf("%d cdrs in %d transactions", len(ids), n)
	}
	if got, err := s.Checkpoint(t.Context(), 7); got != at || err != nil {
		t.Errorf("checkpoint %v, %v", got, err)
	}
	again, err := s.SaveCDRs(t.Context(), list, at)
	if err != nil || again[0] != ids[0] || again[199] != ids[199] {
		t.Errorf("handed over again they are others: %v", err)
	}
}

// TestPauseAndEndOfARecordingDoNotWait: were the daemon killed meanwhile, the next
// one would take the recorder for one that is to hear.
func TestPauseAndEndOfARecordingDoNotWait(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(t.Context(), options(path))
		if err != nil {
			t.Fatal(err)
		}
		row := recorder.Recording{
			UUID: "00000000-0000-4000-8000-000000000001", TenantUUID: "00000000-0000-4000-8000-0000000000aa",
			State: recorder.Starting, Hook: "1.1", Legs: []string{"1.1"}, IntentAt: time.Now(),
		}
		if err := s.InsertIntent(t.Context(), row); err != nil {
			t.Fatal(err)
		}
		for state, wait := range map[recorder.State]time.Duration{
			recorder.Live: shareTime, recorder.Paused: 0, recorder.Closing: 0,
		} {
			begun := time.Now()
			row.State = state
			if err := s.UpdateRecording(t.Context(), row); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begun); took != wait {
				t.Errorf("%s is stored after %s, want %s", state, took, wait)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}
