package export

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

var (
	errNoSpace = errors.New("not enough space would be left on the disk")
	errNoFile  = errors.New("is not a regular file")
)

// openRegular opens the name below the root and nowhere else: os.Root refuses
// links that lead out of it, and a link or anything else in the file's own
// place is not a recording.
func openRegular(root *os.Root, name string) (*os.File, fs.FileInfo, error) {
	seen, err := root.Lstat(name)
	if err != nil {
		return nil, nil, err
	}
	if !seen.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s %w", name, errNoFile)
	}
	// O_NONBLOCK: a FIFO put there in this moment must not hang the worker.
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !os.SameFile(seen, info) {
		err = fmt.Errorf("%s was replaced while it was opened", name)
	}
	if err != nil {
		_ = f.Close() // opened for reading
		return nil, nil, err
	}
	return f, info, nil
}

// forget tells the kernel that what was read need not stay in the page cache,
// where the database needs the room.
func forget(f *os.File) {
	// A file system that cannot do it keeps it, which is no harm.
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
}

const (
	// window is how much is written before it is sent to the disk.
	window = 8 << 20
	// lookEvery is after how many bytes the space that is left is looked at.
	lookEvery = 64 << 20
)

// sink is the archive's file. What was written leaves the page cache a window
// later, so that neither dirty pages pile up nor others are pushed out, and
// the disk is never filled beyond what must stay free for recordings.
type sink struct {
	f            *os.File
	keepFree     int64
	size, sent   int64 // written; of that given to the disk
	nextLook     int64
	spaceOf      func(*os.File) (int64, error)
	afterWriting func(n int64)
}

func (s *sink) Write(p []byte) (int, error) {
	if s.size >= s.nextLook {
		free, err := s.spaceOf(s.f)
		if err != nil {
			return 0, fmt.Errorf("look how much space is left: %w", err)
		}
		if free < s.keepFree {
			return 0, errNoSpace
		}
		s.nextLook = s.size + lookEvery
	}
	n, err := s.f.Write(p)
	s.size += int64(n)
	if s.size-s.sent >= window {
		s.flush()
	}
	s.afterWriting(int64(n))
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		err = fmt.Errorf("%w: %w", errNoSpace, err)
	}
	return n, err
}

// flush starts writing what is new, waits for what was started before, and
// drops that from the cache. The final fsync tells of errors.
func (s *sink) flush() {
	fd := int(s.f.Fd())
	_ = unix.SyncFileRange(fd, s.sent, s.size-s.sent, unix.SYNC_FILE_RANGE_WRITE)
	if before := max(0, s.sent-window); s.sent > before {
		_ = unix.SyncFileRange(fd, before, s.sent-before,
			unix.SYNC_FILE_RANGE_WAIT_BEFORE|unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER)
		_ = unix.Fadvise(fd, 0, s.sent, unix.FADV_DONTNEED)
	}
	s.sent = s.size
}

// space is what is free on the file system of f, in bytes.
func space(f *os.File) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// lowPriority gives the calling thread, to which the goroutine must be locked,
// the lowest priority of disk access that cannot starve (best effort, 7).
func lowPriority() error {
	const whoProcess, bestEffort, lowest = 1, 2, 7
	_, _, errno := unix.Syscall(unix.SYS_IOPRIO_SET, whoProcess, 0, bestEffort<<13|lowest)
	if errno != 0 {
		return errno
	}
	return nil
}
