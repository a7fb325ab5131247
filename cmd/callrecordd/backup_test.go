package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"callrecordd/internal/app"
	"callrecordd/internal/recorder"
	"callrecordd/store"
)

// TestBackupAndRestore on the host, with a daemon and without: the backup is in
// the event log, and a restore brings back what was deleted since.
func TestBackupAndRestore(t *testing.T) {
	both(t, func(t *testing.T, h *host) {
		root := t.TempDir()
		h.write("state: {dir: " + h.state.Dir + ", socket: " + h.state.Socket + "}\nrecordings: {root: " + root + "}\n" +
			"asterisk: {journal: " + filepath.Join(root, "master.db") + "}\n")
		alice := h.user("user", "create", "--first-name", "Alice")
		dir := filepath.Join(t.TempDir(), "backup")
		h.fails("there is no backup in this folder", "backup", "--check", dir)
		if out := h.run("backup", dir, "--keys"); !strings.Contains(out, dir) || !strings.Contains(out, "manifest") {
			t.Errorf("made:\n%s", out)
		}
		if out := h.run("backup", "--check", dir); !strings.Contains(out, "all files are as its manifest says") {
			t.Errorf("checked:\n%s", out)
		}
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("the folder can be read by others: %v %v", info.Mode(), err)
		}
		if h.store != nil {
			noted(t, h.store, "backup_made", dir)
			h.fails("stop the daemon first", "restore", dir)
			return
		}
		h.fails("--replace", "restore", dir)
		h.run("user", "delete", alice.UUID)
		if out := h.run("restore", dir, "--replace", "--dry-run"); !strings.Contains(out, "would be restored") {
			t.Errorf("dry run:\n%s", out)
		}
		if out := h.run("user", "list"); strings.Contains(out, alice.UUID) {
			t.Errorf("a dry run has changed something:\n%s", out)
		}
		if out := h.run("restore", dir, "--replace"); !strings.Contains(out, "kept aside") || !strings.Contains(out, "since then") {
			t.Errorf("restored:\n%s", out)
		}
		if out := h.run("user", "list"); !strings.Contains(out, alice.UUID) {
			t.Errorf("nothing was brought back:\n%s", out)
		}
		noted(t, h.open(), "restored", dir)
	})
}

// TestRestoreWithoutADamagedRecording: what it leaves out is told, and the exit
// code says that not all is there.
func TestRestoreWithoutADamagedRecording(t *testing.T) {
	h := newHost(t)
	root := t.TempDir()
	h.write("state: {dir: " + h.state.Dir + ", socket: " + h.state.Socket + "}\nrecordings: {root: " + root + "}\n")
	st := h.open()
	r := recorder.Recording{
		UUID: "33333333-3333-4333-8333-333333333333", TenantUUID: "44444444-4444-4444-8444-444444444444",
		State: recorder.Ready, IntentAt: time.Now(), Bytes: 5, SHA256: fmt.Sprintf("%x", sha256.Sum256([]byte("audio"))),
	}
	file := filepath.Join(root, r.Path())
	if err := errors.Join(st.InsertIntent(t.Context(), r), st.Close(), os.MkdirAll(filepath.Dir(file), 0o750), os.WriteFile(file, []byte("audio"), 0o600)); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "backup")
	h.run("backup", dir, "--copy")
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "recordings", r.Path()), []byte("other"), 0o600), os.RemoveAll(h.state.Dir), os.Remove(file)); err != nil {
		t.Fatal(err)
	}
	h.fails("damaged", "restore", dir)
	for _, c := range [][2]string{{"--dry-run", "1 recording of the backup damaged or missing, and would be left out"}, {"--partial", "and left out: the rest is restored"}} {
		if _, told, err := h.try("restore", dir, "--partial", c[0]); !errors.Is(err, errTold) || !strings.Contains(told, c[1]) {
			t.Errorf("%s: %v, %s", c[0], err, told)
		}
	}
	if _, err := os.Stat(h.state.Database()); err != nil {
		t.Errorf("the rest is not there: %v", err)
	}
}

// noted looks for an event about a backup.
func noted(t *testing.T, st *store.Store, kind, dir string) {
	t.Helper()
	list, err := st.Events(t.Context(), store.EventFilter{Kind: kind})
	if err != nil || len(list) != 1 {
		t.Fatalf("%d events %s, want one (%v)", len(list), kind, err)
	}
	var note app.BackupNote
	data, ok := list[0].Data.(json.RawMessage)
	if err := json.Unmarshal(data, &note); !ok || err != nil || note.Dir != dir || len(note.Manifest) != 64 || !strings.HasPrefix(list[0].Actor, "cli") {
		t.Errorf("%s: %s by %s, %v", kind, data, list[0].Actor, err)
	}
}

// TestRestoreOnAMachineWithoutConfiguration takes that of the backup.
func TestRestoreOnAMachineWithoutConfiguration(t *testing.T) {
	h := newHost(t)
	root := t.TempDir()
	h.write("state: {dir: " + h.state.Dir + ", socket: " + h.state.Socket + "}\nrecordings: {root: " + root + "}\n")
	alice := h.user("user", "create", "--first-name", "Alice")
	dir := filepath.Join(t.TempDir(), "backup")
	h.run("backup", dir)
	for _, name := range []string{h.config, h.state.Dir} {
		if err := os.RemoveAll(name); err != nil {
			t.Fatal(err)
		}
	}
	h.run("restore", dir)
	if out := h.run("user", "list"); !strings.Contains(out, alice.UUID) {
		t.Errorf("configuration or database were not brought back:\n%s", out)
	}
}
