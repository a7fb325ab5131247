package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync/atomic"
	"time"

	"callrecordd/internal/recorder/exec"
)

// diskTime is how long a disk may take to tell of a file before it counts as
// hanging.
const diskTime = 500 * time.Millisecond

var errDiskHangs = errors.New("the disk does not answer")

// disk looks at files without being held up by a disk that hangs. A look that
// hangs cannot be ended, so there is one at a time.
type disk struct {
	stat  func(path string) (fs.FileInfo, error)
	probe func(dir string) error
	busy  atomic.Bool
}

func newDisk() *disk { return &disk{stat: os.Stat, probe: exec.Probe} }

// sizes returns the sizes in bytes of those files (key → path) that are there.
// One that could not be looked at, with the reason in failed, has -1: it may be
// there all the same. After a look that hangs the others are not known either.
func (d *disk) sizes(paths map[string]string) (sizes map[string]int64, failed map[string]error) {
	type answer struct {
		key  string
		size int64
		err  error
	}
	sizes, failed = make(map[string]int64), make(map[string]error)
	open := make(map[string]bool, len(paths))
	for key := range paths {
		open[key] = true
	}
	answers := make(chan answer, len(paths))
	hangs := len(paths) > 0 && !d.busy.CompareAndSwap(false, true)
	if !hangs {
		go func() {
			left := len(paths)
			for key, path := range paths {
				info, err := d.stat(path)
				a := answer{key: key, err: err}
				if err == nil {
					a.size = info.Size()
				}
				if left--; left == 0 {
					d.busy.Store(false) // before the answer, after which we may be asked again
				}
				answers <- a
			}
		}()
	}
	for len(open) > 0 && !hangs {
		timer := time.NewTimer(diskTime)
		select {
		case a := <-answers:
			delete(open, a.key)
			switch {
			case a.err == nil:
				sizes[a.key] = a.size
			case !errors.Is(a.err, fs.ErrNotExist):
				sizes[a.key], failed[a.key] = -1, a.err
			}
		case <-timer.C:
			hangs = true
		}
		timer.Stop()
	}
	for key := range open {
		sizes[key], failed[key] = -1, fmt.Errorf("look at %s: %w", paths[key], errDiskHangs)
	}
	return sizes, failed
}

// remove deletes a file, unless the disk hangs.
func (d *disk) remove(path string) error {
	hangs := fmt.Errorf("remove %s: %w", path, errDiskHangs)
	if !d.busy.CompareAndSwap(false, true) {
		return hangs
	}
	done := make(chan error, 1)
	go func() {
		err := os.Remove(path)
		d.busy.Store(false)
		done <- err
	}()
	timer := time.NewTimer(diskTime)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return hangs
	}
}

// lackOf says what is wrong with the root of the recordings, empty if nothing
// is known to be. It is never made by us: what is missing may be a disk that is
// not mounted.
func (d *disk) lackOf(root string) string {
	sizes, failed := d.sizes(map[string]string{root: root})
	if err := failed[root]; err != nil {
		return fmt.Sprintf("recordings.root %s cannot be looked at (%v): look at the disk it is on", root, err)
	}
	if _, ok := sizes[root]; !ok {
		return fmt.Sprintf("recordings.root %s does not exist: mount it, or create it for the daemon's user "+
			"(install -d -m 2750), or set another one; until then nothing is recorded", root)
	}
	return ""
}

// refuses says why the root takes no file, empty if it does. A full or read-only
// disk is told before the next call is to be recorded, and its end as well.
func (d *disk) refuses(root string) string {
	if !d.busy.CompareAndSwap(false, true) {
		return fmt.Sprintf("recordings.root %s: %v", root, errDiskHangs)
	}
	done := make(chan error, 1)
	go func() {
		err := d.probe(root)
		d.busy.Store(false)
		done <- err
	}()
	timer := time.NewTimer(diskTime)
	defer timer.Stop()
	select {
	case err := <-done:
		// The folders of tenants may be writable although the root is not.
		if err != nil && !errors.Is(err, fs.ErrPermission) {
			return fmt.Sprintf("recordings.root %s takes no file (%v): make room, or look at the disk it is on; until then nothing is recorded", root, err)
		}
		return ""
	case <-timer.C:
		return fmt.Sprintf("recordings.root %s: %v", root, errDiskHangs)
	}
}
