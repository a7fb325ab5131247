package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// openFile opens a regular file below a folder and nothing else: os.Root refuses
// links that lead out of it, and O_NOFOLLOW one in the file's own place.
func openFile(root *os.Root, name string) (*os.File, fs.FileInfo, error) {
	// O_NONBLOCK: a FIFO must not hang.
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file", name)
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}

const (
	// piece is how much is read at once.
	piece = 1 << 20
	// forgetEvery is after how much it may leave the page cache, where calls and
	// database need the room.
	forgetEvery = 64 << 20
)

// digest copies from f to w, and returns the SHA-256 and number of the bytes.
func digest(ctx context.Context, f *os.File, w io.Writer) (sum string, size int64, err error) {
	h := sha256.New()
	buf := make([]byte, piece)
	out := io.MultiWriter(h, w)
	for {
		if err := ctx.Err(); err != nil {
			return "", size, err
		}
		n, err := f.Read(buf)
		if _, err := out.Write(buf[:n]); err != nil {
			return "", size, err
		}
		if size += int64(n); size%forgetEvery < piece {
			forget(f)
		}
		if errors.Is(err, io.EOF) {
			forget(f)
			return hex.EncodeToString(h.Sum(nil)), size, nil
		}
		if err != nil {
			return "", size, err
		}
	}
}

// forget tells the kernel that it need not keep what was read.
func forget(f *os.File) {
	// A file system that cannot do it keeps it, which is no harm.
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
}

// digestOf is digest of the file with the name.
func digestOf(ctx context.Context, root *os.Root, name string) (sum string, info fs.FileInfo, err error) {
	f, info, err := openFile(root, name)
	if err != nil {
		return "", nil, err
	}
	defer func() { _ = f.Close() }() // opened for reading
	sum, size, err := digest(ctx, f, io.Discard)
	if err == nil && size != info.Size() {
		err = fmt.Errorf("%s has changed while it was read", name)
	}
	return sum, info, err
}

// suffix is that of files that are not whole yet.
const suffix = ".new"

// put brings the content of an open file to a place below a folder, where it
// appears whole: as a second name of the same file if link is set and both are
// on one file system, else as a copy. The place gets the mode and, for root, the
// owner.
func put(ctx context.Context, in *os.File, to *os.Root, name string, link bool, mode fs.FileMode, own *owner) (sum string, size int64, err error) {
	tmp := name + suffix
	if err := to.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", 0, err
	}
	if link && linked(in, to, tmp) {
		if sum, size, err = digest(ctx, in, io.Discard); err != nil {
			return "", 0, errors.Join(err, to.Remove(tmp))
		}
		err = to.Rename(tmp, name)
		// If that has been the file's name before, both are there now.
		if gone := to.Remove(tmp); !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
		return sum, size, err
	}
	out, err := to.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", 0, err
	}
	defer func() {
		if err != nil {
			_ = to.Remove(tmp) // what matters is why it failed
		}
	}()
	sum, size, err = digest(ctx, in, out)
	if err == nil {
		err = own.give(out, mode)
	}
	if err == nil {
		err = out.Sync()
	}
	forget(out)
	if err := errors.Join(err, out.Close()); err != nil {
		return "", 0, err
	}
	return sum, size, to.Rename(tmp, name)
}

// linked gives an open file a second name, and says whether it could. Exactly
// that file: its name may be another's by now.
func linked(in *os.File, to *os.Root, name string) bool {
	dir, err := to.Open(path.Dir(name))
	if err != nil {
		return false
	}
	defer func() { _ = dir.Close() }() // a directory, opened for reading
	from := "/proc/self/fd/" + strconv.Itoa(int(in.Fd()))
	return unix.Linkat(unix.AT_FDCWD, from, int(dir.Fd()), path.Base(name), unix.AT_SYMLINK_FOLLOW) == nil
}

// owner is to whom files are given; nil leaves them to who makes them.
type owner struct{ uid, gid int }

// ownerOf is that of the first of the paths that exists, or nil if this process
// may not give files away.
func ownerOf(paths ...string) *owner {
	if os.Geteuid() != 0 {
		return nil
	}
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			continue
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			return &owner{int(st.Uid), int(st.Gid)}
		}
	}
	return nil
}

// MakeFolder makes one, with the owner of another if it is new.
func MakeFolder(dir, like string, mode fs.FileMode) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, mode); err != nil {
		return err
	}
	if o := ownerOf(like); o != nil {
		return os.Chown(dir, o.uid, o.gid)
	}
	return nil
}

// named is the owner with these names on this machine, where there are such.
func named(userName, group string) *owner {
	if os.Geteuid() != 0 {
		return nil
	}
	o := &owner{-1, -1}
	if u, err := user.Lookup(userName); err == nil {
		o.uid, _ = strconv.Atoi(u.Uid) // numbers, on this system
	}
	if g, err := user.LookupGroup(group); err == nil {
		o.gid, _ = strconv.Atoi(g.Gid)
	}
	return o
}

// or is o, where it names somebody, else other.
func (o *owner) or(other *owner) *owner {
	if o == nil || other == nil {
		return o
	}
	out := *o
	if out.uid < 0 {
		out.uid = other.uid
	}
	if out.gid < 0 {
		out.gid = other.gid
	}
	return &out
}

func (o *owner) give(f *os.File, mode fs.FileMode) error {
	if o != nil {
		if err := f.Chown(o.uid, o.gid); err != nil {
			return err
		}
	}
	return f.Chmod(mode)
}

// names are those of a file's owner and group.
func names(info fs.FileInfo) (userName, group string) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", ""
	}
	if u, err := user.LookupId(strconv.Itoa(int(st.Uid))); err == nil {
		userName = u.Username
	}
	if g, err := user.LookupGroupId(strconv.Itoa(int(st.Gid))); err == nil {
		group = g.Name
	}
	return userName, group
}

// octal is a mode as the manifest has it.
func octal(mode fs.FileMode) string { return fmt.Sprintf("%04o", mode.Perm()) }
