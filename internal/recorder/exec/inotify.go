package exec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"callrecordd/internal/recorder"
)

// watcher tells closes of recordings, with one inotify instance for all
// directories. A nil watcher watches nothing. A lost event (queue overflow, a
// directory that was replaced) costs time, not truth: finalise polls headers.
type watcher struct {
	file   *os.File
	closed func(uuid string)
	wg     sync.WaitGroup
	mu     sync.Mutex
	dirs   map[string]int32
}

func newWatcher(closed func(uuid string)) (*watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("inotify: %w", err)
	}
	// Non-blocking, so that the runtime polls it and Close ends a Read.
	w := &watcher{file: os.NewFile(uintptr(fd), "inotify"), closed: closed, dirs: map[string]int32{}}
	w.wg.Go(w.read)
	return w, nil
}

// add watches a directory; for one that is watched it does nothing.
func (w *watcher) add(dir string) error {
	if w == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.dirs[dir]; ok {
		return nil
	}
	conn, err := w.file.SyscallConn()
	if err != nil {
		return fmt.Errorf("inotify: %w", err)
	}
	var wd int
	var addErr error
	err = conn.Control(func(fd uintptr) {
		wd, addErr = unix.InotifyAddWatch(int(fd), dir, unix.IN_CLOSE_WRITE|unix.IN_ONLYDIR|unix.IN_DONT_FOLLOW)
	})
	if err := errors.Join(err, addErr); err != nil {
		return fmt.Errorf("inotify watch: %w", err)
	}
	w.dirs[dir] = int32(wd)
	return nil
}

func (w *watcher) read() {
	buf := make([]byte, 64<<10)
	for {
		n, err := w.file.Read(buf)
		if err != nil {
			return // closed
		}
		w.events(buf[:n])
	}
}

func (w *watcher) events(b []byte) {
	for len(b) >= unix.SizeofInotifyEvent {
		wd := int32(binary.NativeEndian.Uint32(b))
		mask := binary.NativeEndian.Uint32(b[4:])
		end := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(b[12:]))
		if end > len(b) {
			return
		}
		name, _, _ := bytes.Cut(b[unix.SizeofInotifyEvent:end], []byte{0})
		b = b[end:]
		if mask&unix.IN_IGNORED != 0 {
			w.forget(wd)
		}
		uuid, ok := strings.CutSuffix(string(name), ".wav")
		if ok && mask&unix.IN_CLOSE_WRITE != 0 && recorder.ValidUUID(uuid) {
			w.closed(uuid)
		}
	}
}

// forget makes room for a new directory of the same name.
func (w *watcher) forget(wd int32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for dir, d := range w.dirs {
		if d == wd {
			delete(w.dirs, dir)
		}
	}
}

func (w *watcher) close() {
	if w == nil {
		return
	}
	_ = w.file.Close() // only a second close can fail
	w.wg.Wait()
}
