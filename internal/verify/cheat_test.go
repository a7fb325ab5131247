package verify_test

import (
	"os"
	"path/filepath"
	"testing"

	"callrecordd/internal/verify"
)

// These were not named before the review of 1 December.
func TestCheatsOfTheReviewAreNamed(t *testing.T) {
	whole := newWorld(t)
	whole.calls(20)
	whole.checkpoint()
	whole.close()
	if r := whole.verify(); !r.Clean {
		t.Fatalf("before: %+v", r)
	}
	for name, x := range map[string]struct {
		attack func(*world)
		kind   verify.Kind
		id     string
	}{
		"a CDR with an id of before the first": {func(w *world) {
			w.attack("CREATE TEMP TABLE c AS SELECT * FROM cdrs WHERE id = 12", "UPDATE c SET id = -7", "INSERT INTO cdrs SELECT * FROM c")
		}, verify.CDRInserted, "-7"},
		"an entry before the first vouches for a recording": {func(w *world) {
			must(w.t, os.WriteFile(filepath.Join(w.root, "t", "monitor", "forged.wav"), []byte("audio of call 1.17"), 0o640))
			w.attack("CREATE TEMP TABLE r AS SELECT * FROM recordings WHERE uuid = '"+recording(17)+"'",
				"ALTER TABLE r DROP COLUMN boot_s", "UPDATE r SET uuid = 'forged', cdr_id = NULL", "INSERT INTO recordings SELECT * FROM r",
				"INSERT INTO events (id, at, kind, recording, call, actor, data) SELECT 0, at, kind, 'forged', call, actor, data FROM events "+
					"WHERE kind = 'recording_settled' AND recording = '"+recording(17)+"'")
		}, verify.EntryInserted, "0"},
		"an anchor file without any checkpoint": {func(w *world) {
			must(w.t, os.WriteFile(w.anchor, nil, 0o640))
		}, verify.AnchorForged, "file"},
		"a recording goes to another tenant, with its file": {func(w *world) {
			must(w.t, os.MkdirAll(filepath.Join(w.root, "v", "monitor"), 0o750))
			must(w.t, os.Rename(w.file(3), filepath.Join(w.root, "v", "monitor", recording(3)+".wav")))
			w.attack("UPDATE recordings SET tenant_uuid = 'v' WHERE uuid = '" + recording(3) + "'")
		}, verify.RecordingAltered, recording(3)},
		"an entry with a number that would take years to reach": {func(w *world) {
			w.attack("INSERT INTO events (id, at, kind, recording, call, actor, data, hash) SELECT 9000000000000000000, at, kind, '', '', actor, data, hash FROM events WHERE id = 1")
		}, verify.EntryInserted, "9000000000000000000"},
		"a file is gone, and the daemon has noted it": {func(w *world) {
			must(w.t, os.Remove(w.file(4)))
			w.open()
			done, err := w.store.MarkMissing(w.t.Context(), recording(4), "gone", "callrecordd")
			must(w.t, err)
			if !done {
				w.t.Error("it was not noted")
			}
			w.checkpoint()
			w.close()
		}, verify.FileMissing, recording(4)},
	} {
		t.Run(name, func(t *testing.T) {
			w := whole.copy(t)
			x.attack(w)
			named(t, w.verify(), x.kind, x.id)
		})
	}
}
