package backup_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"callrecordd/internal/backup"
	"callrecordd/internal/recorder"
)

// TestBackupKeepsWhatTheInstallationHasLost: the search for orphans marks the row
// of a lost file as missing, and the night after the backup removed the last
// copy of it.
func TestBackupKeepsWhatTheInstallationHasLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := filepath.Join(t.TempDir(), "backup")
	lost := w.record(recorder.Ready, "lost")
	o := w.options(dir)
	o.Copy = true
	if _, err := backup.Make(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	must(t, os.Remove(w.path(lost)))
	if done, err := w.store.MarkMissing(t.Context(), lost.UUID, "gone", "test"); err != nil || !done {
		t.Fatal(done, err)
	}
	never := w.record(recorder.Ready, "not in any backup")
	must(t, os.Remove(w.path(never)))
	if done, err := w.store.MarkMissing(t.Context(), never.UUID, "gone", "test"); err != nil || !done {
		t.Fatal(done, err)
	}
	for range 2 {
		if res := w.backup(dir); res.Files != 2 || res.Missing != 0 {
			t.Errorf("%+v", res)
		}
		sound(t, dir)
		if data, err := os.ReadFile(backedUp(dir, lost)); err != nil || string(data) != "lost" {
			t.Errorf("%q %v", data, err)
		}
	}
}

// TestBackupOfAnotherDatabaseRemovesNothing: a daemon whose database was lost
// begins with an empty one, and the backup of the night took all recordings, and
// the only good database, with it.
func TestBackupOfAnotherDatabaseRemovesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := filepath.Join(t.TempDir(), "backup")
	kept := w.record(recorder.Ready, "kept")
	must(t, w.store.AppendEvents(t.Context(), recorder.Event{Kind: "daemon_started", Actor: "test"}))
	first := w.backup(dir)
	must(t, w.store.AppendEvents(t.Context(), recorder.Event{Kind: "backup_made", Actor: "test"}))
	yesterday := first
	if first = w.backup(dir); first.Manifest == yesterday.Manifest {
		t.Fatal("the same backup")
	}
	w.close()
	must(t, os.Rename(w.database(), w.database()+".lost"))
	w.open()
	for range first.Facts.LastEvent + 3 { // it has as many events, of another past
		must(t, w.store.AppendEvents(t.Context(), recorder.Event{At: time.Unix(1, 0), Kind: uuid.NewString(), Actor: "test"}))
	}
	if _, err := backup.Make(t.Context(), w.options(dir)); !errors.Is(err, backup.ErrOther) {
		t.Fatalf("an empty database: %v", err)
	}
	if rep := sound(t, dir); rep.Manifest != first.Manifest {
		t.Errorf("the backup is another one: %+v", rep)
	}
	if data, err := os.ReadFile(backedUp(dir, kept)); err != nil || string(data) != "kept" {
		t.Errorf("%q %v", data, err)
	}
	if list, _ := os.ReadDir(filepath.Join(dir, "database")); len(list) != 1 {
		t.Errorf("%d databases", len(list))
	}
}
