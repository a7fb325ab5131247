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
