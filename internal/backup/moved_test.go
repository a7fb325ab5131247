package backup_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"callrecordd/internal/backup"
	"callrecordd/internal/ledger"
	"callrecordd/internal/recorder"
	"callrecordd/internal/retention"
	"callrecordd/internal/verify"
	"callrecordd/store"
)

// meanwhile does something when the database has been copied for the nth time.
type meanwhile struct {
	store.Files
	copies int
	do     func(n int)
}

func (m *meanwhile) Facts(ctx context.Context, file string) (backup.Facts, error) {
	m.copies++
	m.do(m.copies)
	return m.Files.Facts(ctx, file)
}

// settle gives a recording of the store its end, with the content as its file.
func (w *world) settle(r recorder.Recording, state recorder.State, content string) {
	w.t.Helper()
	sum := sha256.Sum256([]byte(content))
	r.State, r.SHA256, r.Bytes = state, hex.EncodeToString(sum[:]), int64(len(content))
	must(w.t, os.MkdirAll(filepath.Dir(w.path(r)), 0o750))
	must(w.t, os.WriteFile(w.path(r)+".new", []byte(content), 0o640))
	must(w.t, os.Rename(w.path(r)+".new", w.path(r)))
	must(w.t, w.store.UpdateRecording(w.t.Context(), r))
}

func (w *world) remove(r recorder.Recording) {
	w.t.Helper()
	remover := retention.NewRemover(w.store, w.root(), slog.New(slog.DiscardHandler))
	must(w.t, remover.Remove(w.t.Context(), []string{r.UUID}, "test", "asked", func(_ string, err error) { must(w.t, err) }))
}

// verifies restores a backup to another place and verifies what is there.
func (w *world) verifies(dir string) verify.Report {
	w.t.Helper()
	sound(w.t, dir)
	other := &world{t: w.t, dir: w.t.TempDir()}
	for _, d := range []string{other.root(), filepath.Dir(other.database())} {
		must(w.t, os.MkdirAll(d, 0o750))
	}
	_, err := backup.Restore(w.t.Context(), other.restoreOptions(dir))
	must(w.t, err)
	db, err := store.OpenReader(w.t.Context(), other.database())
	must(w.t, err)
	defer func() { must(w.t, db.Close()) }()
	private, err := ledger.NewKey(rand.Reader, "pbx")
	must(w.t, err)
	signer, err := ledger.NewSigner(private)
	must(w.t, err)
	key, err := ledger.NewVerifier(signer.Public())
	must(w.t, err)
	rep, err := verify.Run(w.t.Context(), db, verify.Options{Key: key, Root: other.root()})
	must(w.t, err)
	return rep
}

// TestBackupWhileTheDatabaseGoesOnVerifies: what is lawfully done to a file behind
// the copy of the database was a finding of who verified the restored backup.
func TestBackupWhileTheDatabaseGoesOnVerifies(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		state recorder.State
		do    func(*world, recorder.Recording)
		files int
	}{
		"nothing":  {recorder.Ready, func(*world, recorder.Recording) {}, 3},
		"repaired": {recorder.Interrupted, func(w *world, r recorder.Recording) { w.settle(r, recorder.Interrupted, "repaired") }, 3},
		"removed":  {recorder.Ready, func(w *world, r recorder.Recording) { w.remove(r) }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			one, other := w.record(recorder.Starting, ""), w.record(recorder.Starting, "")
			w.settle(one, c.state, "as it was")
			w.settle(other, recorder.Ready, "another")
			o := w.options(filepath.Join(t.TempDir(), "backup"))
			o.Database = &meanwhile{Files: w.files(), do: func(n int) {
				if n == 1 {
					c.do(w, one)
				}
			}}
			res, err := backup.Make(t.Context(), o)
			if err != nil || res.Removed != 0 || res.Missing != 0 || len(res.Lacks) > 0 || res.Files != c.files {
				t.Errorf("%+v %v", res, err)
			}
			if rep := w.verifies(o.Dir); !rep.Clean || rep.Recordings != 2 {
				t.Errorf("%+v", rep)
			}
		})
	}
}

// hasItsOnlyFile makes two backups into one folder, each of which must have the file
// of the only recording, and verify.
func (w *world) hasItsOnlyFile() {
	w.t.Helper()
	dir := filepath.Join(w.t.TempDir(), "backup")
	for range 2 {
		if res := w.backup(dir); res.Files != 2 || res.Differ != 0 || len(res.Lacks) > 0 {
			w.t.Errorf("%+v", res)
		}
		if rep := w.verifies(dir); !rep.Clean || rep.Files != 1 {
			w.t.Errorf("%+v", rep)
		}
	}
}

// TestBackupInTheMidstOfARepairHasTheOriginal: the repaired file is in its place
// already and its row is not stored yet. It was told as changed by somebody.
func TestBackupInTheMidstOfARepairHasTheOriginal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.record(recorder.Starting, "")
	w.settle(r, recorder.Interrupted, "as it was")
	spares := filepath.Join(w.root(), r.TenantUUID, recorder.SpareDir)
	must(t, os.MkdirAll(spares, 0o750))
	must(t, os.Rename(w.path(r), filepath.Join(spares, r.UUID+".wav")))
	must(t, os.WriteFile(w.path(r), []byte("repaired"), 0o640))
	w.hasItsOnlyFile()
	must(t, os.WriteFile(filepath.Join(spares, r.UUID+".wav"), []byte("another"), 0o640))
	if res := w.backup(filepath.Join(t.TempDir(), "backup")); res.Differ != 1 || len(res.Lacks) != 1 || res.Lacks[0].Path != r.Path() {
		t.Errorf("%+v", res)
	}
}

// TestBackupEndsThoughSomethingIsRemovedInEachPass: what the second pass finds in
// the backup it need not look for.
func TestBackupEndsThoughSomethingIsRemovedInEachPass(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var all []recorder.Recording
	for range 5 {
		r := w.record(recorder.Starting, "")
		w.settle(r, recorder.Ready, "audio of "+r.UUID)
		all = append(all, r)
	}
	o := w.options(filepath.Join(t.TempDir(), "backup"))
	db := &meanwhile{Files: w.files(), do: func(n int) { w.remove(all[n-1]) }}
	o.Database = db
	res, err := backup.Make(t.Context(), o)
	if err != nil || db.copies != 2 || len(res.Lacks) > 0 || res.New != 4 {
		t.Errorf("%d copies, %+v %v", db.copies, res, err)
	}
	if rep := w.verifies(o.Dir); !rep.Clean || rep.Files != 4 {
		t.Errorf("%+v", rep)
	}
}

// TestBackupHasTheFileOfARecordingWithoutAudio: on a full disk Asterisk makes an
// empty file; the recording is missing, its file is there, and of a restored
// backup that lacked it verify said that somebody had removed it.
func TestBackupHasTheFileOfARecordingWithoutAudio(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.record(recorder.Starting, "")
	w.settle(r, recorder.Missing, "")
	w.hasItsOnlyFile()
}
