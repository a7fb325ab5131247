package verify_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/call"
	"callrecordd/internal/cdr"
	"callrecordd/internal/ledger"
	"callrecordd/internal/notary"
	"callrecordd/internal/recorder"
	"callrecordd/internal/retention"
	"callrecordd/internal/verify"
	"callrecordd/store"
)

var _ verify.Database = (*store.Reader)(nil)

// world is a database with calls and their files, and who signs it.
type world struct {
	t            testing.TB
	dir          string
	path, root   string
	anchor       string
	signer       *ledger.Signer
	at           time.Time
	n            int
	store        *store.Store
	notary       *notary.Service
	failedAnchor error
	ahead        chan error
}

func newWorld(t testing.TB) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{
		t: t, dir: dir, path: filepath.Join(dir, "c.db"), root: filepath.Join(dir, "root"), anchor: filepath.Join(dir, "anchor"),
		ahead: make(chan error, 1), at: time.Date(2026, 12, 1, 3, 0, 0, 0, time.UTC),
	}
	key, err := ledger.NewKey(rand.Reader, "pbx")
	must(t, err)
	w.signer, err = ledger.NewSigner(key)
	must(t, err)
	must(t, os.MkdirAll(filepath.Join(w.root, "t", "monitor"), 0o750))
	w.open()
	must(t, w.store.BeginLedger(t.Context()))
	return w
}

// copy is the same in another folder.
func (w *world) copy(t *testing.T) *world {
	t.Helper()
	c := *w
	c.t, c.dir = t, t.TempDir()
	must(t, os.CopyFS(c.dir, os.DirFS(w.dir)))
	c.path, c.root, c.anchor = filepath.Join(c.dir, "c.db"), filepath.Join(c.dir, "root"), filepath.Join(c.dir, "anchor")
	return &c
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) now() time.Time {
	w.at = w.at.Add(time.Second)
	return w.at
}

func (w *world) open() {
	w.t.Helper()
	var err error
	log := slog.New(slog.DiscardHandler)
	w.store, err = store.Open(w.t.Context(), store.Options{Path: w.path, Now: w.now, Log: log})
	must(w.t, err)
	w.notary = notary.New(notary.Options{
		Repo: w.store, Signer: w.signer, Anchor: w.anchor, Every: time.Hour, Now: w.now, Log: log,
		Anchoring: func(err error) { w.failedAnchor = err }, Ahead: func(err error) { w.ahead <- err },
	})
}

func (w *world) close() {
	w.t.Helper()
	must(w.t, w.store.Close())
}

// recording is the uuid of the nth recording.
func recording(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

func (w *world) file(n int) string { return filepath.Join(w.root, "t", "monitor", recording(n)+".wav") }

// calls makes calls with a recording each, as the daemon does.
func (w *world) calls(count int) {
	w.t.Helper()
	ctx := w.t.Context()
	for range count {
		w.n++
		hook := fmt.Sprintf("1.%d", w.n)
		data := []byte("audio of call " + hook)
		must(w.t, os.WriteFile(w.file(w.n), data, 0o640))
		sum := sha256.Sum256(data)
		r := recorder.Recording{
			UUID: recording(w.n), TenantUUID: "t", Hook: hook, Legs: []string{hook}, State: recorder.Starting, IntentAt: w.now(),
			Claims: []recorder.Claim{{Leg: hook, UserUUID: "u", Reason: dialplan.RuleOutInternal}},
		}
		begun := r
		r.State, r.SHA256, r.Bytes, r.Samples, r.Rate = recorder.Ready, hex.EncodeToString(sum[:]), int64(len(data)), 4, 8000
		r.EndedAt = w.now()
		// Alone, so that it need not wait for company.
		must(w.t, w.store.Write(ctx, store.High, func(tx *store.Tx) error {
			return errors.Join(tx.InsertRecording(begun), tx.UpdateRecording(r))
		}))
		must(w.t, w.store.SaveCDR(ctx, []cdr.CDR{{
			TenantUUID: "t", Start: w.now(), CallDirection: cdr.DirectionInternal, CallStatus: "answered", ConversationID: hook,
			SourceName: "O'Brien", LinkedIDs: []string{hook}, Uniqueids: []string{hook}, Source: cdr.SourceJournal,
			Participants: []cdr.Participant{{UserUUID: "u", Role: cdr.RoleSource, Tags: []string{"sales"}}},
			Talks:        []call.TalkHistory{{ID: 1, Began: w.at, Ended: w.now()}},
		}}, cdr.Checkpoint{Journal: 1, Position: int64(w.n)}))
	}
}

func (w *world) checkpoint() {
	w.t.Helper()
	_, _, err := w.notary.Checkpoint(w.t.Context())
	must(w.t, err)
}

func (w *world) verify() verify.Report {
	w.t.Helper()
	db, err := store.OpenReader(w.t.Context(), w.path)
	must(w.t, err)
	defer func() { must(w.t, db.Close()) }()
	key, err := ledger.NewVerifier(w.signer.Public())
	must(w.t, err)
	o := verify.Options{Key: key, Root: w.root}
	if data, err := os.ReadFile(w.anchor); err == nil {
		o.Anchor = bytes.NewReader(data)
	} else if !errors.Is(err, os.ErrNotExist) {
		w.t.Fatal(err)
	}
	r, err := verify.Run(w.t.Context(), db, o)
	must(w.t, err)
	return r
}

// attack changes the database as somebody does who may write the file: without
// us, and without the triggers.
func (w *world) attack(statements ...string) {
	w.t.Helper()
	db, err := sql.Open("sqlite3", "file:"+w.path+"?_foreign_keys=off")
	must(w.t, err)
	db.SetMaxOpenConns(1)
	rows, err := db.QueryContext(w.t.Context(), "SELECT name FROM sqlite_schema WHERE type = 'trigger'")
	must(w.t, err)
	var names []string
	for rows.Next() {
		var name string
		must(w.t, rows.Scan(&name))
		names = append(names, name)
	}
	must(w.t, rows.Err())
	for _, name := range names {
		_, err := db.ExecContext(w.t.Context(), "DROP TRIGGER "+name)
		must(w.t, err)
	}
	for _, s := range statements {
		_, err := db.ExecContext(w.t.Context(), s)
		must(w.t, err)
	}
	must(w.t, db.Close())
}

// rechain computes all hashes anew, as somebody does who knows how.
func (w *world) rechain() {
	w.t.Helper()
	db, err := store.OpenReader(w.t.Context(), w.path)
	must(w.t, err)
	x, err := db.Extent(w.t.Context())
	must(w.t, err)
	var before ledger.Hash
	var c ledger.Chainer
	var list []string
	must(w.t, db.Entries(w.t.Context(), 0, x.LastID, func(e *ledger.Entry, _ []byte) error {
		before = c.Hash(before, e)
		list = append(list, fmt.Sprintf("UPDATE events SET hash = x'%x' WHERE id = %d", before[:], e.ID))
		return nil
	}))
	must(w.t, db.Close())
	w.attack(list...)
}

// named fails the test unless something of that kind about that was found, whose
// words a person understands.
func named(t *testing.T, r verify.Report, kind verify.Kind, id string) {
	t.Helper()
	if r.Clean {
		t.Errorf("clean, though %s of %s", kind, id)
	}
	for _, f := range r.Findings {
		if f.Kind == kind && f.ID == id {
			if f.Meaning == "" || f.Do == "" || !strings.Contains(f.Meaning+" ", strings.Split(id, "–")[0]) {
				t.Errorf("%+v does not say what it is about and what to do", f)
			}
			return
		}
	}
	t.Errorf("no %s of %q in %+v", kind, id, r.Findings)
}

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

// Shows 3 of issue 7: each of these is found and named.
func TestWhatWasChangedIsFoundAndNamed(t *testing.T) {
	whole := newWorld(t)
	whole.calls(20)
	whole.checkpoint()
	whole.calls(32)
	rm := retention.NewRemover(whole.store, whole.root, slog.New(slog.DiscardHandler))
	must(t, rm.Remove(t.Context(), []string{recording(30)}, "boss", "asked", func(_ string, err error) { must(t, err) }))
	must(t, whole.store.SetHold(t.Context(), 20, "released again", "boss"))
	must(t, whole.store.ReleaseHold(t.Context(), 20, "over", "boss"))
	must(t, whole.store.SetHold(t.Context(), 21, "case 4711", "boss"))
	open := recorder.Recording{UUID: recording(99), TenantUUID: "t", Hook: "1.99", State: recorder.Starting, IntentAt: whole.now()}
	must(t, whole.store.InsertIntent(t.Context(), open))
	whole.checkpoint()
	whole.close()
	const entries = 1 + 52*4 + 2 + 3 + 1
	if r := whole.verify(); !r.Clean || r.Entries != entries {
		t.Fatalf("before: %+v", r)
	}
	for name, x := range map[string]struct {
		attack func(*world)
		kind   verify.Kind
		id     string
	}{
		"a byte of a file": {func(w *world) {
			data, err := os.ReadFile(w.file(5))
			must(w.t, err)
			data[3] ^= 1
			must(w.t, os.WriteFile(w.file(5), data, 0o640))
		}, verify.FileAltered, recording(5)},
		"a file is gone": {func(w *world) { must(w.t, os.Remove(w.file(6))) }, verify.FileMissing, recording(6)},
		"a deleted file is back": {func(w *world) {
			must(w.t, os.WriteFile(w.file(30), []byte("again"), 0o640))
		}, verify.FileLeft, recording(30)},
		"an entry is deleted": {func(w *world) { w.attack("DELETE FROM events WHERE id = 40") }, verify.EntriesMissing, "40"},
		"entries are deleted": {func(w *world) { w.attack("DELETE FROM events WHERE id BETWEEN 40 AND 42") }, verify.EntriesMissing, "40–42"},
		"an entry is altered": {func(w *world) {
			w.attack("UPDATE events SET actor = 'somebody' WHERE id = 40")
		}, verify.EntryAltered, "40"},
		"an entry is put at the end": {func(w *world) {
			w.attack("INSERT INTO events SELECT id + 1, at, kind, recording, call, 'somebody', data, hash FROM events ORDER BY id DESC LIMIT 1")
		}, verify.EntryAltered, "216"},
		"an entry without a hash": {func(w *world) {
			w.attack("INSERT INTO events (at, kind, recording, call, actor, data) VALUES (1, 'k', '', '', 'a', '{}')")
		}, verify.EntryInserted, "216"},
		"an entry is put in between, and all hashes computed anew": {func(w *world) {
			w.attack("UPDATE events SET id = -id - 1 WHERE id > 90", "UPDATE events SET id = -id WHERE id < 0",
				"INSERT INTO events SELECT 91, at, kind, recording, call, 'somebody', data, hash FROM events WHERE id = 90")
			w.rechain()
		}, verify.CheckpointMismatch, "215"},
		"an entry is altered, and all hashes computed anew": {func(w *world) {
			w.attack("UPDATE events SET actor = 'somebody' WHERE id = 90")
			w.rechain()
		}, verify.CheckpointMismatch, "215"},
		"the end is cut off behind an anchor": {func(w *world) {
			w.attack("DELETE FROM events WHERE id > 100", "DELETE FROM ledger_checkpoints WHERE size > 100",
				"UPDATE sqlite_sequence SET seq = 100 WHERE name = 'events'")
		}, verify.AnchorAhead, "line 10"},
		"the end is cut off without one": {func(w *world) {
			w.attack("DELETE FROM events WHERE id > 100")
			must(w.t, os.Remove(w.anchor))
		}, verify.LedgerCut, "215"},
		"a checkpoint is altered": {func(w *world) {
			w.attack("UPDATE ledger_checkpoints SET note = replace(note, 'last 215', 'last 214')")
		}, verify.CheckpointForged, "215"},
		"an anchor is altered": {func(w *world) {
			data, err := os.ReadFile(w.anchor)
			must(w.t, err)
			must(w.t, os.WriteFile(w.anchor, bytes.Replace(data, []byte("last 215"), []byte("last 214"), 1), 0o640))
		}, verify.AnchorForged, "line 10"},
		"a CDR is altered": {func(w *world) {
			w.attack("UPDATE cdrs SET source_name = 'Smith' WHERE id = 9")
		}, verify.CDRAltered, "9"},
		"a participant is altered": {func(w *world) {
			w.attack("UPDATE cdr_participants SET user_uuid = 'v' WHERE cdr_id = 10")
		}, verify.CDRAltered, "10"},
		"a CDR is deleted": {func(w *world) { w.attack("DELETE FROM cdrs WHERE id = 11") }, verify.CDRRemoved, "11"},
		"a CDR is put there": {func(w *world) {
			w.attack("CREATE TEMP TABLE c AS SELECT * FROM cdrs WHERE id = 12", "UPDATE c SET id = 99", "INSERT INTO cdrs SELECT * FROM c")
		}, verify.CDRInserted, "99"},
		"the hash in a recording's row": {func(w *world) {
			data := []byte("another conversation")
			must(w.t, os.WriteFile(w.file(13), data, 0o640))
			sum := sha256.Sum256(data)
			w.attack(fmt.Sprintf("UPDATE recordings SET sha256 = '%x', bytes = %d WHERE uuid = '%s'", sum, len(data), recording(13)))
		}, verify.RecordingAltered, recording(13)},
		"who talked is altered":    {func(w *world) { w.attack("UPDATE cdr_talks SET doc = '[]' WHERE cdr_id = 23") }, verify.CDRAltered, "23"},
		"who talked is taken away": {func(w *world) { w.attack("DELETE FROM cdr_talks WHERE cdr_id = 24") }, verify.CDRAltered, "24"},
		"when a recording began":   {func(w *world) { w.attack("UPDATE recordings SET started_at = 1 WHERE uuid = '" + recording(25) + "'") }, verify.RecordingAltered, recording(25)},
		"why a recording was made": {func(w *world) { w.attack("UPDATE recordings SET claims = '[]' WHERE uuid = '" + recording(26) + "'") }, verify.RecordingAltered, recording(26)},
		"who was in a recording": {func(w *world) {
			w.attack("UPDATE recording_legs SET leg = '1.1' WHERE recording_uuid = '" + recording(27) + "'")
		}, verify.RecordingAltered, recording(27)},
		"a recording that goes on is taken away": {func(w *world) {
			w.attack("DELETE FROM recordings WHERE uuid = '" + recording(99) + "'")
		}, verify.RecordingRemoved, recording(99)},
		"a recording that goes on is put there": {func(w *world) {
			w.attack("CREATE TEMP TABLE r AS SELECT * FROM recordings WHERE uuid = '"+recording(99)+"'",
				"ALTER TABLE r DROP COLUMN boot_s", "UPDATE r SET uuid = 'forged'", "INSERT INTO recordings SELECT * FROM r")
		}, verify.RecordingInserted, "forged"},
		"a legal hold is taken away": {func(w *world) { w.attack("DELETE FROM cdr_holds WHERE cdr_id = 21") }, verify.HoldAltered, "21"},
		"a legal hold is put there": {func(w *world) {
			w.attack("INSERT INTO cdr_holds VALUES (22, 'x', 1, 'x')")
		}, verify.HoldAltered, "22"},
		"a legal hold gets another reason": {func(w *world) { w.attack("UPDATE cdr_holds SET reason = 'x'") }, verify.HoldAltered, "21"},
		"two recordings change their calls": {func(w *world) {
			w.attack("UPDATE recordings SET cdr_id = 37 - cdr_id WHERE cdr_id IN (18, 19)")
		}, verify.RecordingAltered, recording(18)},
		"a recording is marked deleted": {func(w *world) {
			w.attack("UPDATE recordings SET state = 'deleted' WHERE uuid = '" + recording(14) + "'")
		}, verify.RecordingAltered, recording(14)},
		"a recording is marked as running": {func(w *world) {
			w.attack("UPDATE recordings SET state = 'recording' WHERE uuid = '" + recording(15) + "'")
		}, verify.RecordingAltered, recording(15)},
		"a recording's row is deleted": {func(w *world) {
			w.attack("DELETE FROM recordings WHERE uuid = '" + recording(16) + "'")
		}, verify.RecordingRemoved, recording(16)},
		"a deleted recording is back": {func(w *world) {
			w.attack("UPDATE recordings SET state = 'ready' WHERE uuid = '" + recording(30) + "'")
		}, verify.RecordingPutBack, recording(30)},
		"a recording is put there": {func(w *world) {
			w.attack("CREATE TEMP TABLE r AS SELECT * FROM recordings WHERE uuid = '"+recording(17)+"'",
				"ALTER TABLE r DROP COLUMN boot_s", "UPDATE r SET uuid = 'forged'", "INSERT INTO recordings SELECT * FROM r")
		}, verify.RecordingInserted, "forged"},
	} {
		t.Run(name, func(t *testing.T) {
			w := whole.copy(t)
			x.attack(w)
			named(t, w.verify(), x.kind, x.id)
		})
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
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = w.notary.Run(ctx) // it has no errors
	}()
	if err := <-w.ahead; !errors.Is(err, notary.ErrShorter) {
		t.Errorf("told %v", err)
	}
	stop()
	<-done
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
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() {
				defer close(done)
				_ = w.notary.Run(ctx) // it has no errors
			}()
			want := notary.ErrOther
			if name == "nothing, and no more" {
				want = notary.ErrShorter
			}
			if err := <-w.ahead; !errors.Is(err, want) {
				t.Errorf("told %v", err)
			}
			stop()
			<-done
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
