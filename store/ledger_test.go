package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"pgregory.net/rapid"

	"callrecordd/internal/cdr"
	"callrecordd/internal/ledger"
	"callrecordd/internal/recorder"
)

// chained reads the whole ledger and fails the test unless each hash is right.
func chained(t *testing.T, s *Store) (entries int) {
	t.Helper()
	r, err := OpenReader(t.Context(), s.opt.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}()
	x, err := r.Extent(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var before ledger.Hash
	var c ledger.Chainer
	err = r.Entries(t.Context(), 0, x.LastID, func(e *ledger.Entry, hash []byte) error {
		entries++
		if want := c.Hash(before, e); string(want[:]) != string(hash) || e.ID != int64(entries) {
			return fmt.Errorf("entry %d in place %d has the hash %x, want %x", e.ID, entries, hash, want)
		}
		copy(before[:], hash)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return entries
}

// Writes share transactions and may fail inside them; events of those that fail
// must leave neither a gap nor a wrong hash.
func TestRolledBackWritesLeaveTheChainWhole(t *testing.T) {
	s, _ := newStore(t)
	failure := errors.New("of this one alone")
	var wg sync.WaitGroup
	for n := range 200 {
		wg.Go(func() {
			lane := []Priority{Intent, High, Bulk, Soon, SoonUnsynced, Idle}[n%6]
			err := s.Write(context.Background(), lane, func(tx *Tx) error {
				if err := tx.AppendEvents(recorder.Event{Kind: "a", Data: n}, recorder.Event{Kind: "b", Data: n}); err != nil {
					return err
				}
				if n%3 == 0 {
					return failure
				}
				return nil
			})
			if (n%3 == 0) != errors.Is(err, failure) || n%3 != 0 && err != nil {
				t.Errorf("write %d: %v", n, err)
			}
		})
	}
	wg.Wait()
	if got, want := chained(t, s), 2*(200-67); got != want {
		t.Errorf("%d entries, want %d", got, want)
	}
}

// A statement that fails, and is not the end of its write, leaves no gap either.
func TestFailedStatementLeavesTheChainWhole(t *testing.T) {
	s, _ := newStore(t)
	if err := s.Write(t.Context(), High, func(tx *Tx) error {
		if err := tx.appendEntry(ledger.Entry{Kind: "no JSON", Data: "{"}); err == nil {
			t.Error("data that is no JSON was stored")
		}
		return tx.AppendEvents(recorder.Event{Kind: "after"})
	}); err != nil {
		t.Fatal(err)
	}
	if got := chained(t, s); got != 1 {
		t.Errorf("%d entries", got)
	}
}

func TestLedgerIsAppendOnly(t *testing.T) {
	s, _ := newStore(t)
	for range 3 {
		if err := s.AppendEvents(t.Context(), recorder.Event{Kind: "k"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.SaveLedgerCheckpoint(t.Context(), 3, "signed"); err != nil {
		t.Fatal(err)
	}
	if err := s.SaveLedgerBlocks(t.Context(), 0, []ledger.Block{{LastID: 3}}); err != nil {
		t.Fatal(err)
	}
	for _, query := range []string{
		"UPDATE events SET data = '1' WHERE id = 2",
		"UPDATE events SET hash = zeroblob(32) WHERE id = 2",
		"UPDATE events SET hash = NULL WHERE id = 2",
		"DELETE FROM events WHERE id = 3",
		"INSERT OR REPLACE INTO events SELECT * FROM events WHERE id = 2",
		"INSERT INTO events (at, kind, recording, call, actor, data) VALUES (1, 'k', '', '', '', 'null')",
		"UPDATE ledger_checkpoints SET note = ''", "DELETE FROM ledger_checkpoints",
		"UPDATE ledger_blocks SET hash = zeroblob(32)", "DELETE FROM ledger_blocks",
	} {
		if err := s.Write(t.Context(), High, func(tx *Tx) error { return tx.exec(query) }); err == nil {
			t.Errorf("%s: no error", query)
		}
	}
	if got := chained(t, s); got != 3 {
		t.Errorf("%d entries", got)
	}
}

// beforeLedger opens a database of before the ledger that has that many events.
func beforeLedger(t *testing.T, events int) *Store {
	t.Helper()
	path := filepath.Join(t.TempDir(), "old.db")
	old := fstest.MapFS{}
	names, err := fs.Glob(migrations(), "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if name < "00014" {
			text, err := fs.ReadFile(migrations(), name)
			if err != nil {
				t.Fatal(err)
			}
			old[name] = &fstest.MapFile{Data: text}
		}
	}
	db, err := sql.Open("sqlite3", dsn(path))
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	if err := migrate(t.Context(), db, old, options(path)); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
		INSERT INTO events (at, kind, recording, call, actor, data) SELECT i, 'old', '', 'c' || i, 'a', json_array(i) FROM n WHERE i <= ?`,
		events, events); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return open(t, options(path))
}

// An upgrade must not wait for ten million rows: they get their hashes beside the
// events that happen meanwhile, which wait for theirs.
func TestEventsOfBeforeTheLedgerAreChained(t *testing.T) {
	for _, n := range []int{0, 1, chainPart, 3*chainPart + 7} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			s := beforeLedger(t, n)
			if err := s.AppendEvents(t.Context(), recorder.Event{Kind: "before it has begun"}); err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			wg.Go(func() {
				for range 50 {
					if err := s.Write(context.Background(), High, func(tx *Tx) error {
						return tx.AppendEvents(recorder.Event{Kind: "meanwhile"})
					}); err != nil {
						t.Error(err)
					}
				}
			})
			for range 2 { // the second has nothing to do
				if _, err := s.ChainEvents(t.Context()); err != nil {
					t.Error(err)
				}
			}
			wg.Wait()
			if err := s.AppendEvents(t.Context(), recorder.Event{Kind: "after"}); err != nil {
				t.Fatal(err)
			}
			if got := chained(t, s); got != n+52 {
				t.Errorf("%d entries, want %d", got, n+52)
			}
			err := s.Write(t.Context(), High, func(tx *Tx) error {
				return tx.exec("UPDATE events SET hash = zeroblob(32) WHERE id = 1")
			})
			if err == nil {
				t.Error("a hash could be changed")
			}
		})
	}
}

// A daemon that dies while old rows get their hashes goes on where it was.
func TestChainingGoesOnAfterARestart(t *testing.T) {
	s := beforeLedger(t, 2*chainPart)
	if err := s.Write(t.Context(), Idle, func(tx *Tx) error {
		_, err := tx.chainSome(0, 37)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	n, err := s.ChainEvents(t.Context())
	if err != nil || n != 2*chainPart-37 {
		t.Errorf("%d were chained, want %d (%v)", n, 2*chainPart-37, err)
	}
	if got := chained(t, s); got != 2*chainPart {
		t.Errorf("%d entries", got)
	}
}

// A new column must not change the digests that are in the ledger.
func TestDigestHasTheColumnsOfItsBeginning(t *testing.T) {
	if !strings.HasPrefix(cdrColumns, digestColumns) || strings.Count(digestColumns, ",") != 31 {
		t.Error("digestColumns have changed: append new columns to cdrColumns alone")
	}
	got, err := cdrDigest(1, &cdr.CDR{
		TenantUUID: "t", Start: time.UnixMicro(5), SourceName: "O'Brien", Participants: []cdr.Participant{{UserUUID: "u", Tags: []string{"a"}}},
	})
	if want := "3176b772115a9efdf6151e550264dccdf8eba9d1b6d8845a8efb8fa97f77444b"; got != want || err != nil {
		t.Errorf("digest %s, want %s (%v)", got, want, err)
	}
}

// The digest that is stored with a CDR is the one that a verifier computes from
// the row, whatever is in it.
func TestDigestOfACDRIsThatOfItsRow(t *testing.T) {
	s, _ := newStore(t)
	r, err := OpenReader(t.Context(), s.opt.Path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	n := int64(0)
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "'", "O'Brien", "a,b\n", "é'", "x\x00y", `"`}))
		n++
		c := cdr.CDR{
			TenantUUID: "t", Start: time.UnixMicro(n), CallDirection: cdr.DirectionInternal, CallStatus: "answered",
			ConversationID: fmt.Sprint(n), SourceName: text.Draw(rt, "name"), DestinationName: text.Draw(rt, "name"),
			DestinationDetails: map[string]any{"type": "user", "x": text.Draw(rt, "detail")}, SourceLineID: rapid.Int64().Draw(rt, "line"),
			LinkedIDs: []string{fmt.Sprint(n)}, Uniqueids: []string{fmt.Sprint(n)}, Source: cdr.SourceJournal,
		}
		if rapid.Bool().Draw(rt, "answered") {
			c.Answer, c.End = time.UnixMicro(n+1), time.UnixMicro(n+2)
		}
		for range rapid.IntRange(0, 3).Draw(rt, "participants") {
			c.Participants = append(c.Participants, cdr.Participant{
				UserUUID: text.Draw(rt, "user"), Role: cdr.RoleSource, Tags: rapid.SliceOfN(text, 0, 3).Draw(rt, "tags"),
				Answered: rapid.Bool().Draw(rt, "answered"), Requested: rapid.Bool().Draw(rt, "requested"), LineID: n,
			})
		}
		ids, err := s.SaveCDRs(t.Context(), []cdr.CDR{c}, cdr.Checkpoint{Journal: 1, Position: n})
		if err != nil {
			rt.Fatal(err)
		}
		want, err := cdrDigest(ids[0], &c)
		if err != nil {
			rt.Fatal(err)
		}
		got, err := r.CDRDigests(t.Context(), ids)
		if err != nil || got[ids[0]].Digest != want {
			rt.Errorf("digest of the row %q, stored %q (%v)", got[ids[0]], want, err)
		}
	})
}

// Recovery may repair a file: the ledger has to know the new one, and nobody is
// to be told a second time that the recording is ready.
func TestRepairedFileIsInTheLedger(t *testing.T) {
	s, _ := newStore(t)
	r := recorder.Recording{UUID: "r", TenantUUID: "t", State: recorder.Starting, Hook: "1.1"}
	if err := s.InsertIntent(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	r.State, r.SHA256, r.Bytes = recorder.Interrupted, strings.Repeat("a", 64), 100
	for range 2 { // the second changes nothing
		if err := s.UpdateRecording(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	r.SHA256, r.Bytes = strings.Repeat("b", 64), 144
	if err := s.UpdateRecording(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	got, err := s.Events(t.Context(), EventFilter{Recording: "r"})
	if err != nil || len(got) != 3 || got[1].Kind != EventSettled || got[2].Kind != EventRestated ||
		!strings.Contains(string(got[2].Data.(json.RawMessage)), strings.Repeat("b", 64)) {
		t.Errorf("events %v (%v)", got, err)
	}
}
