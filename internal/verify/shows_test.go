package verify_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"testing"

	"callrecordd/internal/recorder"
	"callrecordd/internal/retention"
	"callrecordd/internal/verify"
)

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
		"a recording that goes on is put there": {func(w *world) { w.forge(99) }, verify.RecordingInserted, "forged"},
		"a legal hold is taken away":            {func(w *world) { w.attack("DELETE FROM cdr_holds WHERE cdr_id = 21") }, verify.HoldAltered, "21"},
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
		"a recording is put there": {func(w *world) { w.forge(17) }, verify.RecordingInserted, "forged"},
	} {
		t.Run(name, func(t *testing.T) {
			w := whole.copy(t)
			x.attack(w)
			named(t, w.verify(), x.kind, x.id)
		})
	}
}
