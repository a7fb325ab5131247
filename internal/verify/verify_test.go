package verify_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"testing"
	"time"

	"callrecordd/internal/cdr"
	"callrecordd/internal/notary"
	"callrecordd/internal/recorder"
	"callrecordd/internal/retention"
	"callrecordd/internal/verify"
	"callrecordd/store"
)

func TestUntouchedVerifiesClean(t *testing.T) {
	w := newWorld(t)
	w.checkpoint()
	w.calls(300) // several blocks
	w.checkpoint()
	w.calls(1)
	if err := w.store.SetHold(t.Context(), 1, "case", "x"); err != nil {
		t.Fatal(err)
	}
	rm := retention.NewRemover(w.store, w.root, slog.New(slog.DiscardHandler))
	must(t, rm.Remove(t.Context(), []string{recording(2), recording(3)}, "x", "asked", func(_ string, err error) { must(t, err) }))
	n, err := w.store.DeleteCDRs(t.Context(), []int64{3}, "x")
	if err != nil || n != 1 {
		t.Fatal(n, err)
	}
	beside := w.verify() // the daemon runs
	w.close()
	after := w.verify()
	for name, r := range map[string]verify.Report{"beside the daemon": beside, "without it": after} {
		if !r.Clean || r.CDRs != 300 || r.Recordings != 300 || r.Files != 299 || r.Checkpoints != 2 || r.Anchors != 2 || r.UnprovedCDRs+r.UnprovedRecordings != 0 {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// Yesterday's database verifies clean by itself; the anchor shows that it is not
// today's, also when the daemon has gone on with it.
func TestYesterdaysDatabaseIsFoundByTheAnchor(t *testing.T) {
	w := newWorld(t)
	w.calls(10)
	w.checkpoint()
	w.close()
	yesterday, err := os.ReadFile(w.path)
	must(t, err)
	w.open()
	w.calls(10)
	w.checkpoint()
	w.close()
	for _, n := range []int{11, 12, 13, 14, 15, 16, 17, 18, 19, 20} {
		must(t, os.Remove(w.file(n)))
	}
	must(t, os.WriteFile(w.path, yesterday, 0o640))
	for _, suffix := range []string{"-wal", "-shm"} {
		if err := os.Remove(w.path + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	named(t, w.verify(), verify.AnchorAhead, "line 10")
	// The daemon tells by itself when it starts with it, and goes on.
	w.open()
	w.told(notary.ErrShorter)
	w.close()
	// It makes as many entries again.
	w.n = 10
	w.open()
	w.calls(20)
	w.checkpoint()
	w.close()
	named(t, w.verify(), verify.AnchorMismatch, "line 10")
	must(t, os.Remove(w.anchor))
	if r := w.verify(); !r.Clean {
		t.Errorf("only the anchor can show it: %+v", r)
	}
}

// TestLedgerInWhichNothingIsSignedIsNamed: who took all checkpoints away was told
// that all is well.
func TestLedgerInWhichNothingIsSignedIsNamed(t *testing.T) {
	w := newWorld(t)
	w.calls(2)
	if r := w.verify(); !r.Clean {
		t.Errorf("of an installation that has just begun: %+v", r)
	}
	w.checkpoint()
	w.at = w.at.Add(2 * time.Hour)
	w.calls(2)
	w.checkpoint()
	w.close()
	if r := w.verify(); !r.Clean {
		t.Errorf("%+v", r)
	}
	w.attack("DELETE FROM ledger_checkpoints")
	must(t, os.Remove(w.anchor))
	named(t, w.verify(), verify.Unsigned, "")
}

// TestStartWithAnotherHistoryIsTold: who can write the database altered an entry,
// computed all hashes anew and took the checkpoints away; the daemon compared only
// how many entries the anchor counts, and signed what it found.
func TestStartWithAnotherHistoryIsTold(t *testing.T) {
	for name, lost := range map[string]string{
		"the checkpoints":      "DELETE FROM ledger_checkpoints",
		"the anchor":           "SELECT 1",
		"nothing, and no more": "DELETE FROM events WHERE id > 200",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.calls(70) // more than a block of the tree
			w.checkpoint()
			w.close()
			w.attack("UPDATE events SET actor = 'somebody' WHERE id = 70", "DELETE FROM ledger_blocks", lost)
			w.rechain()
			if name == "the anchor" {
				must(t, os.Remove(w.anchor))
			}
			w.open()
			if name == "nothing, and no more" {
				w.told(notary.ErrShorter)
			} else {
				w.told(notary.ErrOther)
			}
			w.close()
		})
	}
}

// A recording may be imported that was deleted where it comes from, and its call
// be removed later: there is nothing wrong with it.
func TestImportOfADeletedRecordingVerifiesClean(t *testing.T) {
	w := newWorld(t)
	for n := range 2 {
		got, err := w.store.ImportCDRs(t.Context(), []store.Import{{
			CDR: cdr.CDR{
				TenantUUID: "t", Start: w.now(), CallDirection: cdr.DirectionInternal, CallStatus: "answered",
				ConversationID: fmt.Sprint(n), Source: cdr.SourceJournal,
			},
			Key:        fmt.Append(nil, n),
			Recordings: []recorder.Recording{{UUID: recording(n), TenantUUID: "t", State: recorder.Deleted, IntentAt: w.now()}},
		}}, "x")
		must(t, err)
		if n == 0 {
			deleted, err := w.store.DeleteCDRs(t.Context(), []int64{got[0].ID}, "x")
			if err != nil || deleted != 1 {
				t.Fatal(deleted, err)
			}
		}
	}
	w.close()
	if r := w.verify(); !r.Clean || r.Recordings != 1 || r.CDRs != 1 {
		t.Errorf("%+v", r)
	}
}

// What was there before the ledger is told, and is no reason for an alarm.
func TestWhatIsOlderThanTheLedgerIsCounted(t *testing.T) {
	w := newWorld(t)
	w.calls(3)
	w.close()
	// As if the ledger had begun after two of the calls: their entries know no hashes.
	w.attack("DELETE FROM ledger_begun", "DELETE FROM events WHERE id = 1",
		"UPDATE events SET data = json_remove(data, '$.digest', '$.talks', '$.row', '$.sha256', '$.bytes', '$.samples', '$.rate', '$.proves') ",
		"DELETE FROM events WHERE id > 9 OR kind IN ('recording_attached', 'recording_intent')", "UPDATE events SET hash = NULL",
		"UPDATE events SET id = CASE id WHEN 3 THEN 1 WHEN 5 THEN 2 WHEN 7 THEN 3 WHEN 9 THEN 4 END",
		"DELETE FROM cdrs WHERE id = 3", "DELETE FROM recordings WHERE uuid = '"+recording(3)+"'",
		"DELETE FROM recording_legs", "DELETE FROM cdr_uniqueids WHERE cdr_id = 3", "DELETE FROM cdr_linkedids WHERE cdr_id = 3",
		"UPDATE sqlite_sequence SET seq = 4 WHERE name = 'events'")
	if r := w.verify(); r.Clean || r.Findings[0].Kind != verify.NotChained {
		t.Errorf("before the first start: %+v", r)
	}
	w.n = 2
	w.open()
	must(t, w.store.BeginLedger(t.Context()))
	_, err := w.store.ChainEvents(t.Context())
	must(t, err)
	w.calls(2)
	w.checkpoint()
	w.close()
	r := w.verify()
	if !r.Clean || r.UnprovedCDRs != 2 || r.UnprovedRecordings != 2 || r.Files != 4 {
		t.Errorf("%+v", r)
	}
}

// A copy for a third party lies where nothing can be written, and there is
// nothing but the database and the public key.
func TestCopyOnReadOnlyMedia(t *testing.T) {
	w := newWorld(t)
	w.calls(2)
	w.checkpoint()
	w.close()
	must(t, os.Remove(w.anchor))
	must(t, os.Chmod(w.dir, 0o550))
	t.Cleanup(func() { must(t, os.Chmod(w.dir, 0o750)) })
	if r := w.verify(); !r.Clean || r.Files != 2 {
		t.Errorf("%+v", r)
	}
}

// An anchor file that cannot be written to is told, once, and the checkpoint
// comes into it as soon as it can.
func TestAnchorThatCannotBeWritten(t *testing.T) {
	w := newWorld(t)
	must(t, os.Mkdir(w.anchor, 0o750)) // a directory is no file, for root neither
	w.calls(1)
	w.checkpoint()
	if w.failedAnchor == nil || w.notary.State().AnchorFailure == "" {
		t.Error("nobody was told")
	}
	must(t, os.Remove(w.anchor))
	w.checkpoint() // nothing is new
	if w.failedAnchor != nil || w.notary.State().AnchorFailure != "" {
		t.Errorf("still told: %v", w.failedAnchor)
	}
	w.close()
	if r := w.verify(); !r.Clean || r.Anchors != 1 {
		t.Errorf("%+v", r)
	}
}

// An entry is proved by a checkpoint that was made before others came.
func TestProofsHoldForTheirCheckpoint(t *testing.T) {
	w := newWorld(t)
	w.calls(200)
	c, _, err := w.notary.Checkpoint(t.Context())
	must(t, err)
	w.calls(200)
	w.checkpoint()
	for _, n := range []int{1, 64, 128, 129, 199, 200} {
		p, err := w.notary.Prove(t.Context(), c, recording(n))
		if err == nil {
			err = p.Check(c)
		}
		if err != nil || p.Entry.Recording != recording(n) {
			t.Errorf("recording %d: %v", n, err)
		}
	}
	if _, err := w.notary.Prove(t.Context(), c, recording(201)); !errors.Is(err, notary.ErrNewer) {
		t.Errorf("newer than the checkpoint: %v", err)
	}
	if _, err := w.notary.Prove(t.Context(), c, "nobody"); !errors.Is(err, notary.ErrOlder) {
		t.Errorf("not there: %v", err)
	}
	w.close()
	kinds := []verify.Kind{}
	for _, f := range w.verify().Findings {
		kinds = append(kinds, f.Kind)
	}
	if !slices.Equal(kinds, []verify.Kind{}) {
		t.Error(kinds)
	}
}

// A ledger whose end is gone is not signed as if it had never been there.
func TestShortenedLedgerIsNotSigned(t *testing.T) {
	for name, id := range map[string]string{"in the last block": "299", "a whole block": "100"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.calls(100)
			w.checkpoint()
			w.close()
			w.attack("DELETE FROM events WHERE id > " + id)
			w.open()
			if _, _, err := w.notary.Checkpoint(t.Context()); !errors.Is(err, notary.ErrShorter) {
				t.Errorf("error %v", err)
			}
			w.close()
		})
	}
}
