// Package slowdisk makes the disk slow for one process: what SQLite asks to be
// on the disk takes up to as long as one says. It is a small library in C that
// is preloaded; gcc builds it.
//
// It must not import anything of ours.
package slowdisk

import (
	"context"
	_ "embed" // the library's source
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

//go:embed library/slow.c
var source []byte

// Disk is the disk of one process.
type Disk struct{ library, control string }

// Build makes the library in that folder.
func Build(ctx context.Context, dir string) (*Disk, error) {
	d := &Disk{library: filepath.Join(dir, "slowdisk.so"), control: filepath.Join(dir, "slowdisk")}
	file := filepath.Join(dir, "slowdisk.c")
	if err := os.WriteFile(file, source, 0o600); err != nil {
		return nil, fmt.Errorf("write the slow disk: %w", err)
	}
	if out, err := exec.CommandContext(ctx, "gcc", "-shared", "-fPIC", "-O1", "-o", d.library, file, "-ldl").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the slow disk: %w: %s", err, out)
	}
	return d, nil
}

// Env is what the process needs in its environment.
func (d *Disk) Env() []string { return []string{"LD_PRELOAD=" + d.library, "SLOWDISK=" + d.control} }

// Slow makes each sync wait up to that long; 0 ends it.
func (d *Disk) Slow(most time.Duration) error {
	var err error
	if most <= 0 {
		err = os.Remove(d.control)
	} else {
		err = os.WriteFile(d.control, []byte(strconv.FormatInt(most.Milliseconds(), 10)), 0o600)
	}
	if err != nil {
		return fmt.Errorf("set the slow disk: %w", err)
	}
	return nil
}
