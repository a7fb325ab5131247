package retention

import (
	"os"
	"path/filepath"
	"testing"

	"callrecordd/internal/recorder"
)

// TestRemovedRecordingLeavesNoCopyOfItsRepair: nobody else's is touched.
func TestRemovedRecordingLeavesNoCopyOfItsRepair(t *testing.T) {
	dir := t.TempDir()
	rec := recorder.Recording{TenantUUID: "tenant", UUID: "0b6f0a53-7d1f-4f5b-9d0a-2f5a3c1e7d11"}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	if err := dropSpares(root, rec); err != nil {
		t.Fatalf("without a folder: %v", err)
	}
	folder := filepath.Join(dir, rec.TenantUUID, recorder.SpareDir)
	if err := os.MkdirAll(folder, 0o750); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{rec.UUID + ".wav", rec.UUID + ".1700000000000000", "other.wav"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte("audio"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := dropSpares(root, rec); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(folder)
	if err != nil || len(left) != 1 || left[0].Name() != "other.wav" {
		t.Errorf("left: %v %v", left, err)
	}
}
