package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"callrecordd/dialplan"
	"callrecordd/internal/app"
	"callrecordd/internal/lab"
)

// TestRestoreFromABackupTakenDuringACallVerifiesClean: a machine loses database,
// keys and recordings, and gets back those of a backup that was made during a
// call. That call comes from the journal, once, with what the backup has of its
// recording.
func TestRestoreFromABackupTakenDuringACallVerifiesClean(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.rules("alice", dialplan.Flags{OutgoingInternal: true})
	alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0))
	first, _ := s.talk(alice, bob, "1002")
	s.hangup(first)
	ready := func(n int) {
		t.Helper()
		s.eventually("the recordings are ready", func() error {
			if got := s.stored(); len(got) != n || got[n-1].state != "ready" {
				return fmt.Errorf("%+v", got)
			}
			return nil
		})
	}
	ready(1)
	second, _ := s.talk(alice, bob, "1002")
	s.recording(2)
	dir := filepath.Join(t.TempDir(), "backup")
	made, note, err := app.MakeBackup(t.Context(), app.BackupRequest{
		Config: s.cfg, Dir: dir, Keys: true, Copy: true, Version: "test", Now: time.Now, NewUUID: uuid.NewString,
	})
	must(t, err)
	if made.Missing+made.Differ > 0 || made.New != 2 || made.Facts.Head == "" {
		t.Errorf("backup: %+v", made)
	}
	s.do("POST", "backups", note, nil)
	s.hangup(second)
	ready(2)
	s.waitCDRs(2)
	s.stop()
	if r := s.verified(); !r.Clean {
		t.Fatalf("before anything is lost: %+v", r.Findings)
	}

	lost, err := filepath.Glob(filepath.Join(s.cfg.State.Dir, "*.*"))
	must(t, err)
	for _, name := range append(lost, s.cfg.Recordings.Root) {
		must(t, os.RemoveAll(name))
	}
	must(t, os.Mkdir(s.cfg.Recordings.Root, 0o750))
	got, err := app.Restore(t.Context(), app.RestoreRequest{Config: s.cfg, Dir: dir, Actor: "test", Now: time.Now})
	must(t, err)
	if got.Ahead.Rows == 0 || got.Ahead.Lost+got.Ahead.Short > 0 || got.Ahead.Other {
		t.Errorf("the journal has what came after the backup: %+v", got.Ahead)
	}
	if r := s.verified(); !r.Clean {
		t.Errorf("restored: %+v", r.Findings)
	}
	s.start()
	s.waitCDRs(2)
	s.stop()
	if r := s.verified(); !r.Clean {
		t.Errorf("after the next start: %+v", r.Findings)
	}
}
