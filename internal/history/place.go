package history

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"

	"callrecordd/internal/audio"
	"callrecordd/internal/recorder"
)

// Place brings the file of a recording to its place below root and returns the
// recording with what the file tells, and whether it was copied. A file that is
// there already stays as it is, if it is the same. Nothing is changed outside
// root.
func Place(rootDir, file string, rec recorder.Recording) (_ recorder.Recording, made bool, err error) {
	if !filepath.IsAbs(file) {
		return rec, false, fmt.Errorf("the path %.200q of a recording is not absolute", file)
	}
	in, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return rec, false, fmt.Errorf("file of recording %s: %w", rec.UUID, err)
	}
	defer func() { _ = in.Close() }() // opened for reading
	info, err := in.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return rec, false, errors.Join(fmt.Errorf("file of recording %s: %s is no regular file", rec.UUID, file), err)
	}
	root, err := os.OpenRoot(rootDir)
	if err != nil {
		return rec, false, fmt.Errorf("recordings root: %w", err)
	}
	defer func() { _ = root.Close() }() // a directory, opened for reading
	name := rec.Path()
	there, err := root.Lstat(name)
	switch {
	case err == nil && os.SameFile(info, there):
		rec, err = measured(in, rec, io.Discard)
		return rec, false, err
	case err == nil:
		rec, err = same(in, root, name, rec)
		return rec, false, err
	case !errors.Is(err, fs.ErrNotExist):
		return rec, false, fmt.Errorf("file of recording %s: %w", rec.UUID, err)
	}
	rec, err = copied(in, root, name, rec)
	return rec, err == nil, err
}

// Unplace takes back what Place has copied.
func Unplace(rootDir string, rec recorder.Recording) error {
	root, err := os.OpenRoot(rootDir)
	if err == nil {
		err = errors.Join(root.Remove(rec.Path()), root.Close())
	}
	if err != nil {
		return fmt.Errorf("remove the copy of recording %s: %w", rec.UUID, err)
	}
	return nil
}

// measured reads all of the file.
func measured(in *os.File, rec recorder.Recording, w io.Writer) (recorder.Recording, error) {
	info, err := in.Stat()
	if err != nil {
		return rec, err
	}
	sum := sha256.New()
	r := io.TeeReader(in, io.MultiWriter(sum, w))
	wav, err := audio.Measure(bufio.NewReaderSize(r, 1<<20), info.Size())
	if err == nil {
		_, err = io.Copy(io.Discard, r) // what stands behind the audio
	}
	if err != nil || wav.Rate == 0 {
		return rec, errors.Join(fmt.Errorf("file of recording %s: %s is no WAV file", rec.UUID, in.Name()), err)
	}
	rec.State, rec.Cause, rec.Detail = recorder.Ready, "", ""
	if wav.Samples == 0 {
		rec.State, rec.Cause = recorder.Empty, recorder.CauseNoAudio
	}
	rec.Bytes, rec.Samples, rec.Rate, rec.SHA256 = info.Size(), wav.Samples, wav.Rate, hex.EncodeToString(sum.Sum(nil))
	return rec, nil
}

// same compares a file with that which is in its place.
func same(in *os.File, root *os.Root, name string, rec recorder.Recording) (recorder.Recording, error) {
	rec, err := measured(in, rec, io.Discard)
	if err != nil {
		return rec, err
	}
	old, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return rec, fmt.Errorf("file of recording %s: %w", rec.UUID, err)
	}
	defer func() { _ = old.Close() }() // opened for reading
	sum := sha256.New()
	if _, err := io.Copy(sum, old); err != nil {
		return rec, fmt.Errorf("file of recording %s: %w", rec.UUID, err)
	}
	if hex.EncodeToString(sum.Sum(nil)) != rec.SHA256 {
		return rec, fmt.Errorf("file of recording %s: another file is in its place", rec.UUID)
	}
	return rec, nil
}

// copied writes beside the place and moves there what is on the disk.
func copied(in *os.File, root *os.Root, name string, rec recorder.Recording) (_ recorder.Recording, err error) {
	dir := path.Dir(name) // setgid comes from the root
	if err := root.MkdirAll(dir, 0o750); err != nil {
		return rec, fmt.Errorf("folder of recording %s: %w", rec.UUID, err)
	}
	tmp := path.Join(dir, "."+rec.UUID+".import")
	out, err := root.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return rec, fmt.Errorf("copy of recording %s: %w", rec.UUID, err)
	}
	defer func() {
		_ = out.Close() // closed already, or the copy has failed
		if err != nil {
			_ = root.Remove(tmp) // what matters is why it failed
		}
	}()
	if rec, err = measured(in, rec, out); err != nil {
		return rec, err
	}
	if err := errors.Join(out.Sync(), out.Close(), root.Rename(tmp, name)); err != nil {
		return rec, fmt.Errorf("copy of recording %s: %w", rec.UUID, err)
	}
	d, err := root.Open(dir)
	if err != nil {
		return rec, fmt.Errorf("folder of recording %s: %w", rec.UUID, err)
	}
	defer func() { _ = d.Close() }() // a directory, opened for reading
	return rec, d.Sync()
}
