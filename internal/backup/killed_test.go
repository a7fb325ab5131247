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
// backup is whole, and the next run goes on.
func TestKilledBackupLeavesTheOneBefore(t *testing.T) {
	if in := os.Getenv(killedIn); in != "" {
		backUpAndDie(t, in)
	}
	t.Parallel()
	w := newWorld(t)
	dir := filepath.Join(w.dir, "backup")
	record := func(content string) {
		r := w.record(recorder.Starting, "")
		w.settle(r, recorder.Ready, content)
	}
	record("the first")
	before := w.backup(dir)
	for after := range 4 {
		record("number " + strconv.Itoa(after))
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
			if rep := w.verifies(dir); !rep.Clean || rep.Files != int64(after+2) {
				t.Errorf("killed behind %d recordings, and gone on: %+v", after, rep)
			}
		}
	}
}
