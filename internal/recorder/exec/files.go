package exec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"callrecordd/internal/audio"
	"callrecordd/internal/recorder"
)

// errName refuses a row whose uuids are none.
var errName = errors.New("recording or tenant is not named by a uuid")

// dirMode: the group reads what we make, the world nothing; setgid hands the
// group on to Asterisk's files (design 8).
const dirMode = 0o750 | fs.ModeSetgid

// files are those under the root. The root is opened anew for each use: a
// remount must be seen, and a stale one never written to.
type files struct {
	root string
	// homes, if set, are the folders that were there in our life.
	homes *homes
}

func (f files) abs(row recorder.Recording) string {
	return filepath.Join(f.root, filepath.FromSlash(row.Path()))
}

func (f files) open(row recorder.Recording) (*os.Root, error) {
	if !recorder.ValidUUID(row.UUID) || !recorder.ValidUUID(row.TenantUUID) {
		return nil, errName
	}
	root, err := os.OpenRoot(f.root)
	if err != nil {
		// OpenRoot has no errno for this, but the cause must be told.
		if info, statErr := os.Stat(f.root); statErr == nil && !info.IsDir() {
			err = syscall.ENOTDIR
		}
		return nil, fmt.Errorf("open root %s: %w", f.root, err)
	}
	return root, nil
}

// Prepare makes the directory of a tenant's recordings below the root, which
// must be there.
func Prepare(root, tenant string) error {
	cause, err := files{root: root}.prepare(recorder.Recording{UUID: tenant, TenantUUID: tenant})
	if err != nil {
		return fmt.Errorf("make the directory of tenant %s (%s): %w", tenant, cause, err)
	}
	return nil
}

// closeRoot drops the error: a directory that was only read has nothing to lose.
func closeRoot(root *os.Root) { _ = root.Close() }

// prepare makes the recording's directory and returns its absolute path. It
// never makes the root: an unmounted one must not be written under.
func (f files) prepare(row recorder.Recording) (string, error) {
	root, err := f.open(row)
	if err != nil {
		return "", err
	}
	defer closeRoot(root)
	if err := f.homes.mayMake(root, row.TenantUUID); err != nil {
		return "", err
	}
	for _, dir := range []string{row.TenantUUID, row.TenantUUID + "/monitor"} {
		err := root.Mkdir(dir, 0o750)
		if errors.Is(err, fs.ErrExist) {
			info, err := root.Stat(dir)
			if err != nil {
				return "", fmt.Errorf("stat directory: %w", err)
			}
			if !info.IsDir() {
				return "", fmt.Errorf("%s: %w", dir, syscall.ENOTDIR)
			}
			continue // whatever the administrator has made of it
		}
		if err != nil {
			return "", fmt.Errorf("make directory: %w", err)
		}
		if err := root.Chmod(dir, dirMode); err != nil {
			return "", fmt.Errorf("make directory: %w", err)
		}
	}
	if err := f.homes.mayMake(root, row.TenantUUID); err != nil {
		return "", err // it is there, and remembered; or it has just disappeared
	}
	return filepath.Dir(f.abs(row)), nil
}

// size returns the file's size in bytes.
func (f files) size(row recorder.Recording) (int64, error) {
	root, err := f.open(row)
	if err != nil {
		return 0, err
	}
	defer closeRoot(root)
	info, err := root.Lstat(row.Path())
	if err != nil {
		return 0, fmt.Errorf("stat recording: %w", err)
	}
	return info.Size(), nil
}

// read hands the recording to fn, and the root it lies under.
func (f files) read(row recorder.Recording, fn func(*os.Root, *os.File) error) error {
	root, err := f.open(row)
	if err != nil {
		return err
	}
	defer closeRoot(root)
	file, err := root.Open(row.Path())
	if err != nil {
		return fmt.Errorf("open recording: %w", err)
	}
	defer file.Close()
	return fn(root, file)
}

// final says whether the header has been written, which happens at close.
func (f files) final(row recorder.Recording) (done bool, err error) {
	err = f.read(row, func(_ *os.Root, file *os.File) error {
		info, err := file.Stat()
		if err != nil {
			return fmt.Errorf("stat recording: %w", err)
		}
		var head [audio.HeadSize]byte
		n, _ := io.ReadFull(file, head[:]) // one that is shorter is still empty: not an error
		done = audio.Final(head[:n], info.Size())
		return nil
	})
	return done, err
}

// gone says that there can be no file: not that it could not be looked at.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, errName)
}

// classify names the cause of an error of the file system, other if unknown.
func classify(err error, other string) string {
	switch {
	case errors.Is(err, syscall.EROFS):
		return recorder.CauseReadOnly
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return recorder.CauseNoSpace
	case errors.Is(err, fs.ErrPermission):
		return recorder.CausePermission
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return recorder.CauseNoDirectory
	case errors.Is(err, context.DeadlineExceeded):
		return recorder.CauseStalled
	}
	return other
}

// probeSize is a block: a full file system often still takes an empty file.
const probeSize = 4096

// Probe is a write into a directory, as Asterisk would make it. The error says
// what keeps it from taking a file.
func Probe(dir string) error { return writeProbe(dir) }

// writeProbe proves that a directory takes a file, as Asterisk would make it.
func writeProbe(dir string) (err error) {
	file, err := os.CreateTemp(dir, ".callrecordd-probe-*")
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	defer func() {
		if rm := os.Remove(file.Name()); err == nil && rm != nil {
			err = fmt.Errorf("probe: %w", rm)
		}
	}()
	if _, err := file.Write(make([]byte, probeSize)); err != nil {
		_ = file.Close() // the first error is the cause
		return fmt.Errorf("probe: %w", err)
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	return nil
}

// prober runs one probe per directory at a time. On a stalled disk a probe
// cannot be ended: sharing it keeps the stuck goroutines to one a directory.
type prober struct {
	write func(dir string) error
	wg    sync.WaitGroup
	mu    sync.Mutex
	open  map[string]*probing
}

type probing struct {
	done chan struct{}
	err  error
}

func newProber(write func(string) error) *prober {
	return &prober{write: write, open: map[string]*probing{}}
}

// probe returns the result, or ctx's error if it does not come in time.
func (p *prober) probe(ctx context.Context, dir string) error {
	p.mu.Lock()
	c := p.open[dir]
	if c == nil {
		c = &probing{done: make(chan struct{})}
		p.open[dir] = c
		p.wg.Go(func() {
			c.err = p.write(dir)
			p.mu.Lock()
			delete(p.open, dir)
			p.mu.Unlock()
			close(c.done)
		})
	}
	p.mu.Unlock()
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return fmt.Errorf("probe write does not return: %w", ctx.Err())
	}
}

func (p *prober) wait() { p.wg.Wait() }
