package backup_test

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"callrecordd/internal/backup"
	"callrecordd/internal/recorder"
	"callrecordd/internal/retention"
	"callrecordd/store"
)

// TestBackupHasWhatTheDatabaseCallsReady, while the daemon has it open.
func TestBackupHasWhatTheDatabaseCallsReady(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ready, live := w.record(recorder.Ready, "audio"), w.record(recorder.Live, "half of it")
	broken := w.record(recorder.Interrupted, "its header may be mended")
	gone := w.record(recorder.Ready, "will be gone")
	must(t, os.Remove(w.path(gone)))
	dir := filepath.Join(t.TempDir(), "backup")
	res := w.backup(dir)
	if res.Missing != 1 || res.Differ != 0 || len(res.Lacks) != 1 || res.Lacks[0].Path != gone.Path() {
		t.Errorf("%+v", res)
	}
	rep := sound(t, dir)
	if rep.Manifest != res.Manifest || rep.Facts.Recordings != 4 {
		t.Errorf("made %s, read %+v", res.Manifest, rep)
	}
	for r, shared := range map[string]bool{ready.UUID: true, live.UUID: false, broken.UUID: false} {
		rec := recorder.Recording{UUID: r, TenantUUID: tenant}
		a, err := os.Stat(w.path(rec))
		must(t, err)
		b, err := os.Stat(backedUp(dir, rec))
		must(t, err)
		if os.SameFile(a, b) != shared {
			t.Errorf("%s: one file under two names: %v, want %v: what is still written must not be shared", r, !shared, shared)
		}
	}
}

// TestSecondBackupCopiesOnlyWhatIsNew, and a recording that was removed with
// authority leaves the backup too.
func TestSecondBackupCopiesOnlyWhatIsNew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := filepath.Join(t.TempDir(), "backup")
	old, kept := w.record(recorder.Ready, "old"), w.record(recorder.Ready, "kept")
	o := w.options(dir)
	o.Copy = true
	if res, err := backup.Make(t.Context(), o); err != nil || res.New != 2 {
		t.Fatalf("%+v %v", res, err)
	}
	// The installation loses a file that the backup has.
	must(t, os.Remove(w.path(kept)))
	remover := retention.NewRemover(w.store, w.root(), slog.New(slog.DiscardHandler))
	must(t, remover.Remove(t.Context(), []string{old.UUID}, "test", "asked", func(_ string, err error) { must(t, err) }))
	added := w.record(recorder.Ready, "new")
	res := w.backup(dir)
	if res.New != 1 || res.NewBytes != 3 || res.Missing != 0 {
		t.Errorf("the second one: %+v", res)
	}
	sound(t, dir)
	for r, want := range map[string]bool{old.UUID: false, kept.UUID: true, added.UUID: true} {
		if _, err := os.Stat(backedUp(dir, recorder.Recording{UUID: r, TenantUUID: tenant})); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", r, err == nil, want)
		}
	}
	if list, _ := os.ReadDir(filepath.Join(dir, "database")); len(list) != 1 {
		t.Errorf("%d databases, want the newest alone", len(list))
	}
}

// TestInterruptedBackupIsIncompleteAndGoesOn.
func TestInterruptedBackupIsIncompleteAndGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 5 {
		w.record(recorder.Ready, "audio")
	}
	dir := filepath.Join(t.TempDir(), "backup")
	ctx, stop := context.WithCancel(t.Context())
	o := w.options(dir)
	o.Database = &stopping{Files: w.files(), after: 3, stop: stop}
	if _, err := backup.Make(ctx, o); !errors.Is(err, context.Canceled) {
		t.Fatalf("interrupted: %v", err)
	}
	if _, err := backup.Check(t.Context(), dir, w.files(), nil); !errors.Is(err, backup.ErrIncomplete) {
		t.Errorf("an interrupted backup: %v", err)
	}
	if _, err := backup.Restore(t.Context(), w.restoreOptions(dir)); !errors.Is(err, backup.ErrIncomplete) {
		t.Errorf("is restored: %v", err)
	}
	if res := w.backup(dir); res.New != 2 || res.Files != 6 {
		t.Errorf("goes on: %+v", res)
	}
	sound(t, dir)
	// From now on an interrupted one leaves the one before as it is.
	ctx, stop = context.WithCancel(t.Context())
	o = w.options(dir)
	o.Database = &stopping{Files: w.files(), after: 3, stop: stop}
	if _, err := backup.Make(ctx, o); err == nil {
		t.Fatal("was not interrupted")
	}
	if rep := sound(t, dir); !rep.Interrupted {
		t.Errorf("nobody is told: %+v", rep)
	}
}

// stopping interrupts a backup after some recordings.
type stopping struct {
	store.Files
	after int
	stop  func()
}

func (s *stopping) Media(ctx context.Context, file string, yield func(backup.Media) error) error {
	return s.Files.Media(ctx, file, func(m backup.Media) error {
		if s.after--; s.after < 0 {
			s.stop()
			return ctx.Err()
		}
		return yield(m)
	})
}

// TestCheckFindsEveryDamage.
func TestCheckFindsEveryDamage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.record(recorder.Ready, "audio")
	for name, damage := range map[string]func(dir string) (string, error){
		"a flipped byte of a recording": func(dir string) (string, error) {
			return backedUp(dir, r), os.WriteFile(backedUp(dir, r), []byte("audiO"), 0o600)
		},
		"a lost recording": func(dir string) (string, error) { return backedUp(dir, r), os.Remove(backedUp(dir, r)) },
		"a flipped byte of the database": func(dir string) (string, error) {
			found, err := filepath.Glob(filepath.Join(dir, "database", "*.db"))
			if err != nil {
				return "", err
			}
			data, err := os.ReadFile(found[0])
			if err != nil {
				return "", err
			}
			data[len(data)/2] ^= 1
			return found[0], os.WriteFile(found[0], data, 0o600)
		},
	} {
		dir := filepath.Join(t.TempDir(), "backup")
		o := w.options(dir)
		o.Copy = true
		_, err := backup.Make(t.Context(), o)
		must(t, err)
		at, err := damage(dir)
		must(t, err)
		rep, err := backup.Check(t.Context(), dir, store.Files{}, nil)
		must(t, err)
		if rep.Damaged != 1 || !strings.HasSuffix(at, rep.Problems[0].Path) {
			t.Errorf("%s: %+v", name, rep.Problems)
		}
		if _, err := backup.Restore(t.Context(), w.restoreOptions(dir)); !errors.Is(err, backup.ErrDamaged) {
			t.Errorf("%s is restored: %v", name, err)
		}
		// The next one mends it.
		if o = w.options(dir); name != "a flipped byte of the database" {
			o.Copy = true
		}
		_, err = backup.Make(t.Context(), o)
		must(t, err)
		sound(t, dir)
	}
	dir := filepath.Join(t.TempDir(), "backup")
	w.backup(dir)
	manifest := filepath.Join(dir, "manifest.jsonl")
	data, err := os.ReadFile(manifest)
	must(t, err)
	lines := strings.SplitAfter(string(data), "\n")
	must(t, os.WriteFile(manifest, []byte(strings.Join(lines[:len(lines)-2], "")), 0o600))
	if _, err := backup.Check(t.Context(), dir, w.files(), nil); !errors.Is(err, backup.ErrDamaged) {
		t.Errorf("a manifest that was cut off: %v", err)
	}
}

// TestBackupTakesOnlyAFolderOfItsOwn.
func TestBackupTakesOnlyAFolderOfItsOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	foreign := t.TempDir()
	must(t, os.WriteFile(filepath.Join(foreign, "thesis.txt"), []byte("x"), 0o600))
	if _, err := backup.Make(t.Context(), w.options(foreign)); !errors.Is(err, backup.ErrForeign) {
		t.Errorf("a folder with other things: %v", err)
	}
	if _, err := backup.Make(t.Context(), w.options(filepath.Join(w.root(), "backup"))); err == nil {
		t.Error("a backup inside of what is backed up")
	}
	if _, err := os.Stat(filepath.Join(foreign, "thesis.txt")); err != nil {
		t.Error(err)
	}
}

// TestRestoreBringsCallsOfTheJournalOnce: what was called since the backup is
// derived again, and nothing twice.
func TestRestoreBringsCallsOfTheJournalOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.calls(0, 5)
	if got := w.follow(5); got != 5 {
		t.Fatalf("%d calls before the backup, want 5", got)
	}
	r := w.record(recorder.Ready, "audio")
	dir := filepath.Join(t.TempDir(), "backup")
	o := w.options(dir)
	o.Copy = true
	_, err := backup.Make(t.Context(), o)
	must(t, err)
	w.calls(5, 4)
	if got := w.follow(9); got != 9 {
		t.Fatalf("%d calls after it, want 9", got)
	}
	w.close()
	before, err := os.ReadFile(w.database())
	must(t, err)

	ro := w.restoreOptions(dir)
	if _, err := backup.Restore(t.Context(), ro); !errors.Is(err, backup.ErrExists) {
		t.Errorf("a database that is not empty is replaced unasked: %v", err)
	}
	ro.Replace, ro.DryRun = true, true
	if _, err := backup.Restore(t.Context(), ro); err != nil {
		t.Errorf("dry run: %v", err)
	}
	if now, _ := os.ReadFile(w.database()); !slices.Equal(now, before) {
		t.Error("a dry run changes the database")
	}
	must(t, os.Remove(w.path(r)))
	ro.DryRun = false
	res, err := backup.Restore(t.Context(), ro)
	must(t, err)
	if old, _ := os.ReadFile(w.database() + ".before-restore-then"); !slices.Equal(old, before) {
		t.Errorf("the old database is not kept aside: %v", res.Aside)
	}
	if data, _ := os.ReadFile(w.path(r)); string(data) != "audio" {
		t.Errorf("the recording is %q", data)
	}
	if info, err := os.Stat(w.path(r)); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("its mode: %v %v", info.Mode(), err)
	}
	w.open()
	if got := w.cdrs(); got != 5 {
		t.Errorf("%d calls in the restored database, want the 5 of the backup", got)
	}
	if got := w.follow(9); got != 9 {
		t.Errorf("%d calls after the next start, want 9", got)
	}
	events, err := w.store.Events(t.Context(), store.EventFilter{Kind: "restored"})
	if err != nil || len(events) != 1 {
		t.Errorf("the restore is not in the event log: %v %v", events, err)
	}
}

// TestRestoreToAnEmptyMachine has configuration and keys, with their modes.
func TestRestoreToAnEmptyMachine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.record(recorder.Ready, "audio")
	etc := t.TempDir()
	config, password, key := filepath.Join(etc, "callrecordd.yaml"), filepath.Join(etc, "password"), filepath.Join(filepath.Dir(w.database()), "link.key")
	for name, mode := range map[string]os.FileMode{config: 0o640, password: 0o400, key: 0o600} {
		must(t, os.WriteFile(name, []byte("content of "+filepath.Base(name)), mode))
	}
	dir := filepath.Join(t.TempDir(), "backup")
	o := w.options(dir)
	o.Files = []backup.File{
		{Kind: backup.KindConfig, From: config, Target: config},
		{Kind: backup.KindSecret, From: password, Target: password, Secret: true},
		{Kind: backup.KindKey, From: key, Target: "link.key", Secret: true},
		{Kind: backup.KindKey, From: filepath.Join(etc, "none"), Target: "none", Optional: true},
	}
	_, err := backup.Make(t.Context(), o)
	must(t, err)
	w.close()
	w.dir = t.TempDir()
	must(t, os.Remove(password))
	must(t, os.Mkdir(w.root(), 0o750))
	ro := w.restoreOptions(dir)
	ro.Secrets = []string{password}
	res, err := backup.Restore(t.Context(), ro)
	must(t, err)
	for name, mode := range map[string]os.FileMode{
		ro.Config: 0o640, password: 0o400, filepath.Join(ro.State, "link.key"): 0o600, w.path(r): 0o640, w.database(): 0o640,
	} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v %v, want the mode %v", name, info, err, mode)
		}
	}
	if res.Wrote != 5 {
		t.Errorf("wrote %d files, want 5", res.Wrote)
	}
	// Again: all is there but the database, which is not overwritten.
	if _, err := backup.Restore(t.Context(), ro); !errors.Is(err, backup.ErrExists) {
		t.Errorf("a second restore: %v", err)
	}
}

// TestBackupDoesNotSayWhereItsSecretsGo: who can write to a backup could else have
// root write anywhere.
func TestBackupDoesNotSayWhereItsSecretsGo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	place := filepath.Join(t.TempDir(), "cron.d")
	must(t, os.WriteFile(place, []byte("* * * * * root"), 0o600))
	dir := filepath.Join(t.TempDir(), "backup")
	o := w.options(dir)
	o.Files = []backup.File{{Kind: backup.KindSecret, From: place, Target: place, Secret: true}}
	_, err := backup.Make(t.Context(), o)
	must(t, err)
	w.close()
	must(t, os.Remove(place))
	ro := w.restoreOptions(dir)
	ro.Replace, ro.Secrets = true, []string{place + ".other"}
	res, err := backup.Restore(t.Context(), ro)
	if err != nil || !slices.Equal(res.Unnamed, []string{place}) {
		t.Errorf("%+v %v", res, err)
	}
	if _, err := os.Stat(place); err == nil {
		t.Error("it was written")
	}
}

// TestBackupHoldsUpNoWriter: who writes while the database is copied waits for
// nobody, and the copy is of one moment.
func TestBackupHoldsUpNoWriter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var list []recorder.Event
	for range 2000 {
		list = append(list, recorder.Event{Kind: "filler", Data: map[string]string{"text": strings.Repeat("x", 3000)}})
	}
	for part := range slices.Chunk(list, 100) {
		must(t, w.store.AppendEvents(t.Context(), part...))
	}
	from, err := w.store.LastEvent(t.Context())
	must(t, err)
	var worst time.Duration
	file, wrote := filepath.Join(t.TempDir(), "copy.db"), int64(0)
	// Between two steps of the copy, and so within it.
	err = w.files().Copy(t.Context(), file, func(done, all int) {
		if done == all {
			return
		}
		begun := time.Now()
		must(t, w.store.Write(t.Context(), store.Intent, func(tx *store.Tx) error { return tx.AppendEvents(recorder.Event{Kind: "meanwhile"}) }))
		worst, wrote = max(worst, time.Since(begun)), wrote+1
	})
	must(t, err)
	if wrote < 3 {
		t.Fatalf("%d writes while it was copied: it went in one step", wrote)
	}
	if worst > 500*time.Millisecond { // some ms; a loaded machine has others to serve
		t.Errorf("a write waited for %v", worst)
	}
	facts, err := w.files().Facts(t.Context(), file)
	if err != nil || facts.LastEvent != from {
		t.Errorf("the copy ends with event %d, want %d: it is not of one moment (%v)", facts.LastEvent, from, err)
	}
	must(t, w.files().Sound(t.Context(), file))
	db, err := sql.Open("sqlite3", "file:"+w.database())
	must(t, err)
	defer func() { must(t, db.Close()) }()
	var now int64
	must(t, db.QueryRowContext(t.Context(), "SELECT max(id) FROM events").Scan(&now))
	if now != from+wrote {
		t.Errorf("%d events were written, want %d", now-from, wrote)
	}
}

// TestPartialRestore brings back all but the recordings that are damaged in the
// backup, and leaves in peace what is there in their place.
func TestPartialRestore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good, bad, lost := w.record(recorder.Ready, "good"), w.record(recorder.Ready, "bad"), w.record(recorder.Ready, "lost")
	dir := filepath.Join(t.TempDir(), "backup")
	o := w.options(dir)
	o.Copy = true
	_, err := backup.Make(t.Context(), o)
	must(t, err)
	w.close()
	must(t, os.WriteFile(backedUp(dir, bad), []byte("BAD"), 0o600))
	must(t, os.Remove(backedUp(dir, lost)))
	for _, r := range []recorder.Recording{good, lost} {
		must(t, os.Remove(w.path(r)))
	}
	ro := w.restoreOptions(dir)
	ro.Replace, ro.Partial = true, true
	res, err := backup.Restore(t.Context(), ro)
	if err != nil || res.Skipped != 1 { // the other one is here as it should be
		t.Fatalf("%+v %v", res, err)
	}
	for r, want := range map[string]string{good.UUID: "good", bad.UUID: "bad", lost.UUID: ""} {
		data, _ := os.ReadFile(w.path(recorder.Recording{UUID: r, TenantUUID: tenant}))
		if string(data) != want {
			t.Errorf("%s is %q, want %q", r, data, want)
		}
	}
}
