package slowdisk

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestSyncsWait: a process that syncs is slow while the disk is, and only then.
func TestSyncsWait(t *testing.T) {
	d, err := Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	took := func() time.Duration {
		t.Helper()
		file := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "sync", "--data", file, file, file, file)
		cmd.Env = append(os.Environ(), d.Env()...)
		begun := time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("sync: %v: %s", err, out)
		}
		return time.Since(begun)
	}
	quick := took()
	if err := d.Slow(400 * time.Millisecond); err != nil {
		t.Fatal(err)
	}
	// Four waits of up to 400 ms, drawn evenly: less than 60 ms once in 40,000.
	if slow := took(); slow < 60*time.Millisecond {
		t.Errorf("on a slow disk it takes %s, else %s", slow, quick)
	}
	if err := d.Slow(0); err != nil {
		t.Fatal(err)
	}
	if again := took(); again > quick+2*time.Second {
		t.Errorf("afterwards it takes %s, before %s", again, quick)
	}
}
