package backup_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"callrecordd/internal/backup"
	"callrecordd/internal/recorder"
	"callrecordd/store"
)

// Where a second run of the test below makes its backup, and behind how many
// recordings it is killed.
const (
	killedIn    = "CALLRECORDD_BACKUP_IN"
	killedAfter = "CALLRECORDD_BACKUP_KILLED_AFTER"
)

// killing dies after some recordings.
type killing struct {
	store.Files
	after int
}

func (k killing) Media(ctx context.Context, file string, yield func(backup.Media) error) error {
	n := 0
	return k.Files.Media(ctx, file, func(m backup.Media) error {
		if n == k.after {
			return syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		n++
		return yield(m)
	})
}

func backUpAndDie(t *testing.T, in string) {
	after, err := strconv.Atoi(os.Getenv(killedAfter))
	must(t, err)
	w := &world{t: t, dir: in}
	o := w.options(filepath.Join(in, "backup"))
	o.Database = killing{w.files(), after}
	_, err = backup.Make(t.Context(), o)
	t.Fatalf("not killed: %v", err)
}

// TestKilledBackupLeavesTheOneBefore: whatever a SIGKILL interrupts, the earlier
// backup is whole, and the next run goes on. It was not where a recording went on
// during that one, or was repaired since, or the configuration was changed: the new
// file took the place of the old one.
func TestKilledBackupLeavesTheOneBefore(t *testing.T) {
	if in := os.Getenv(killedIn); in != "" {
		backUpAndDie(t, in)
	}
	t.Parallel()
	w := newWorld(t)
	dir := filepath.Join(w.dir, "backup")
	must(t, os.MkdirAll(filepath.Dir(w.config()), 0o750))
	configure := func(content string) { must(t, os.WriteFile(w.config(), []byte(content), 0o600)) }
	configure("as it was")
	goesOn := w.record(recorder.Live, "a beg")
	cutOff := w.record(recorder.Starting, "")
	w.settle(cutOff, recorder.Interrupted, "as it was")
	before := w.backup(dir)
	w.settle(goesOn, recorder.Ready, "a beginning and an end")
	for after := range 4 {
		w.settle(cutOff, recorder.Interrupted, "repaired "+strconv.Itoa(after))
		configure("changed " + strconv.Itoa(after))
		w.settle(w.record(recorder.Starting, ""), recorder.Ready, "number "+strconv.Itoa(after))
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledBackupLeavesTheOneBefore$")
		cmd.Env = append(os.Environ(), killedIn+"="+w.dir, killedAfter+"="+strconv.Itoa(after))
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("not killed: %v\n%s", err, out)
		}
		if rep := sound(t, dir); rep.Manifest != before.Manifest || !rep.Interrupted {
			t.Fatalf("killed behind %d recordings: %+v", after, rep)
		}
		if after%2 == 1 { // else the next one is killed as well
			before = w.backup(dir)
			if rep := w.verifies(dir); !rep.Clean || rep.Files != int64(after+3) {
				t.Errorf("killed behind %d recordings, and gone on: %+v", after, rep)
			}
			w.onlyNamed(dir, before)
		}
	}
}

// onlyNamed sees that a backup holds its own files and none of an earlier one.
func (w *world) onlyNamed(dir string, res backup.Result) {
	w.t.Helper()
	n := 0
	must(w.t, filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			n++
		}
		return err
	}))
	if n != res.Files+1 { // and the manifest
		w.t.Errorf("%d files, and the manifest has %d", n, res.Files)
	}
}
