package app

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// A daemon that dies while it makes the key of links is followed by one that
// makes it whole.
func TestKeyOfLinksIsWhole(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "link.key.tmp"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	key, err := linkKey(dir)
	again, err2 := linkKey(dir)
	if err != nil || err2 != nil || len(key) != 32 || !bytes.Equal(key, again) {
		t.Errorf("%d bytes, then %d: %v %v", len(key), len(again), err, err2)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.tmp")); left != nil {
		t.Errorf("left: %v", left)
	}
}

// TestKeysMayBeCredentialsOfTheService, and then none is made in the state
// directory.
func TestKeysMayBeCredentialsOfTheService(t *testing.T) {
	given, state := t.TempDir(), t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", given)
	want := bytes.Repeat([]byte{7}, 32)
	if err := os.WriteFile(filepath.Join(given, "link.key"), want, 0o400); err != nil {
		t.Fatal(err)
	}
	if key, err := linkKey(state); err != nil || !bytes.Equal(key, want) {
		t.Errorf("%x %v", key, err)
	}
	if list, _ := os.ReadDir(state); len(list) != 0 {
		t.Errorf("made: %v", list)
	}
	if _, err := refreshKey(keyFile(state, "refresh.key")); err != nil { // there is no such credential
		t.Error(err)
	}
	if list, _ := os.ReadDir(state); len(list) != 1 {
		t.Errorf("made: %v", list)
	}
}
