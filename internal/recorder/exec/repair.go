package exec

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"callrecordd/internal/audio"
	"callrecordd/internal/recorder"
)

// A file whose writer died has a header that tells of no audio, and one that was
// begun on a full disk has none. A copy with a
// right header is made in recorder.SpareDir, synced and verified, and then the two change
// places in one step: whatever happens there is always a file in the
// recording's place, the original or the verified copy. The original stays in
// recorder.SpareDir until the recording's row, which has the hashes of both, is stored.
//
// So what a spare is follows from the file in the recording's place: beside one
// that was not closed it is an unfinished copy, beside a proper one it is the
// original.

// The steps of a repair, for tests that die between them.
const (
	stepCopied    = "copied"
	stepVerified  = "verified"
	stepExchanged = "exchanged"
	stepSynced    = "synced"
)

// errWriting says that somebody may still write to a file.
var errWriting = errors.New("somebody still has the file open for writing")

func spare(row recorder.Recording) string { return recorder.SparePath(row.Path()) }

// mend repairs the header of a file that was not closed, or notes that an
// earlier start has done so. What cannot be repaired stays as it is and is told
// in Detail.
func (w *worker) mend(row recorder.Recording, out *recorder.Finalised) {
	if out.Cause != "" || out.Samples == 0 {
		return
	}
	err := w.e.files.mend(row, out, w.e.cfg.step)
	switch {
	case w.e.ctx.Err() != nil:
	case err != nil:
		out.Detail = "its header could not be repaired: " + err.Error()
		if out.Headless { // nothing else can play it
			out.Cause, out.Samples, out.Rate = recorder.CauseHeaderUnset, 0, 0
		}
		w.e.cfg.Log.Warn("the header of a recording could not be repaired", "recording", w.uuid, "err", err)
	case out.Repaired:
		w.mended = &row
		w.e.cfg.Log.Info("the header of a recording was repaired", "recording", w.uuid, "samples", out.Samples,
			"sha256", out.SHA256, "original_sha256", out.OriginalSHA256)
	}
}

func (f files) mend(row recorder.Recording, out *recorder.Finalised, step func(string) error) error {
	root, err := f.open(row)
	if err != nil {
		return err
	}
	defer closeRoot(root)
	if out.Complete {
		return mended(root, row, out)
	}
	if err := makeSpare(root, row, step); err != nil {
		return err
	}
	if err := exchange(root, row); err != nil {
		return errors.Join(err, root.Remove(spare(row)))
	}
	if err := step(stepExchanged); err != nil {
		return err
	}
	for _, dir := range []string{"monitor", recorder.SpareDir} {
		if err := syncDir(root, row.TenantUUID+"/"+dir); err != nil {
			return err
		}
	}
	if err := step(stepSynced); err != nil {
		return err
	}
	return mended(root, row, out)
}

// mended fills in what is in the recording's place, if it is a repaired copy.
func mended(root *os.Root, row recorder.Recording, out *recorder.Finalised) error {
	was, err := root.Open(spare(row))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it was closed by its writer
	}
	if err != nil {
		return fmt.Errorf("open original: %w", err)
	}
	defer was.Close()
	now, err := root.Open(row.Path())
	if err != nil {
		return fmt.Errorf("open repaired recording: %w", err)
	}
	defer now.Close()
	if err := sameAudio(was, now); err != nil {
		return fmt.Errorf("%s is not its original: %w", spare(row), err)
	}
	var original, repaired recorder.Finalised
	for file, into := range map[*os.File]*recorder.Finalised{was: &original, now: &repaired} {
		info, err := file.Stat()
		if err == nil {
			_, err = file.Seek(0, io.SeekStart)
		}
		if err == nil {
			err = readAll(file, info.Size(), into)
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", file.Name(), err)
		}
	}
	if !repaired.Complete {
		return fmt.Errorf("the repaired copy of %s has no proper header", row.Path())
	}
	out.Repaired, out.Complete = true, false
	out.Bytes, out.Samples, out.Rate, out.SHA256 = repaired.Bytes, repaired.Samples, repaired.Rate, repaired.SHA256
	out.OriginalBytes, out.OriginalSHA256, out.Headless = original.Bytes, original.SHA256, original.Headless
	length := time.Duration(out.Samples) * time.Second / time.Duration(out.Rate)
	how := "its header was repaired"
	if out.Headless {
		how = "there was no room for its header, which was written since"
	}
	out.Detail = how + ", it has " + length.Round(100*time.Millisecond).String() + " of audio"
	return nil
}

// makeSpare writes the copy with a right header, and reads it back.
func makeSpare(root *os.Root, row recorder.Recording, step func(string) error) error {
	src, err := root.Open(row.Path())
	if err != nil {
		return fmt.Errorf("open recording: %w", err)
	}
	defer src.Close()
	if err := nobodyWrites(src); err != nil {
		return err
	}
	info, err := src.Stat()
	if err != nil {
		return fmt.Errorf("stat recording: %w", err)
	}
	if err := clearSpare(root, row, info.Size()); err != nil {
		return err
	}
	want, err := writeSpare(root, row, src, info)
	if err == nil {
		err = step(stepCopied)
	}
	if err != nil {
		return err
	}
	return verifySpare(root, row, src, want, step)
}

// clearSpare makes room for a copy. What lies there is an unfinished one, which
// is larger than what it was made of by a header at most; anything else is kept.
func clearSpare(root *os.Root, row recorder.Recording, size int64) error {
	if err := root.Mkdir(row.TenantUUID+"/"+recorder.SpareDir, 0o750); err == nil {
		if err := root.Chmod(row.TenantUUID+"/"+recorder.SpareDir, dirMode); err != nil {
			return fmt.Errorf("make directory: %w", err)
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make directory: %w", err)
	}
	info, err := root.Lstat(spare(row))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("stat spare: %w", err)
	case info.Size() > size+audio.HeadSize || !info.Mode().IsRegular():
		aside := strings.TrimSuffix(spare(row), ".wav") + "." + strconv.FormatInt(info.ModTime().UnixMicro(), 10)
		if err := root.Rename(spare(row), aside); err != nil {
			return fmt.Errorf("put spare aside: %w", err)
		}
		return nil
	}
	if err := root.Remove(spare(row)); err != nil {
		return fmt.Errorf("remove unfinished copy: %w", err)
	}
	return nil
}

func writeSpare(root *os.Root, row recorder.Recording, src *os.File, info fs.FileInfo) (want audio.Info, err error) {
	dst, err := root.OpenFile(spare(row), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640)
	if err != nil {
		return want, fmt.Errorf("make copy: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, root.Remove(spare(row)))
		}
	}()
	want, err = audio.Repair(dst, src, info.Size())
	if err == nil {
		err = dst.Chmod(info.Mode().Perm()&0o770 | 0o440)
	}
	if err == nil {
		err = dst.Sync()
	}
	if err = errors.Join(err, dst.Close()); err != nil {
		return want, fmt.Errorf("make copy: %w", err)
	}
	// When it was recorded is worth keeping; that it cannot be set costs nothing else.
	_ = root.Chtimes(spare(row), time.Time{}, info.ModTime())
	return want, syncDir(root, row.TenantUUID+"/"+recorder.SpareDir)
}

func verifySpare(root *os.Root, row recorder.Recording, src *os.File, want audio.Info, step func(string) error) error {
	made, err := root.Open(spare(row))
	if err != nil {
		return fmt.Errorf("read copy: %w", err)
	}
	defer made.Close()
	info, err := made.Stat()
	if err != nil {
		return fmt.Errorf("read copy: %w", err)
	}
	got, err := audio.Measure(io.NewSectionReader(made, 0, info.Size()), info.Size())
	if err == nil && got != want {
		err = fmt.Errorf("copy holds %+v instead of %+v: %w", got, want, audio.ErrDiffers)
	}
	if err == nil {
		err = sameAudio(src, made)
	}
	if err != nil {
		return fmt.Errorf("verify copy: %w", err)
	}
	return step(stepVerified)
}

func sameAudio(a, b *os.File) error {
	sizeA, err := a.Stat()
	if err != nil {
		return fmt.Errorf("stat: %w", err)
	}
	sizeB, err := b.Stat()
	if err != nil {
		return fmt.Errorf("stat: %w", err)
	}
	return audio.SameAudio(a, sizeA.Size(), b, sizeB.Size())
}

// exchange has recording and copy change places in one step.
func exchange(root *os.Root, row recorder.Recording) error {
	monitor, err := root.Open(row.TenantUUID + "/monitor")
	if err != nil {
		return fmt.Errorf("open directory: %w", err)
	}
	defer monitor.Close()
	spares, err := root.Open(row.TenantUUID + "/" + recorder.SpareDir)
	if err != nil {
		return fmt.Errorf("open directory: %w", err)
	}
	defer spares.Close()
	name := path.Base(row.Path())
	if err := unix.Renameat2(int(monitor.Fd()), name, int(spares.Fd()), name, unix.RENAME_EXCHANGE); err != nil {
		return fmt.Errorf("put repaired copy into its place: %w", err)
	}
	return nil
}

// nobodyWrites returns errWriting if somebody has the file open for writing: an
// Asterisk that only hangs will go on. A lease is refused then (fcntl(2)). Who
// does not own the file gets none, and the word of Asterisk must do.
func nobodyWrites(file *os.File) error {
	_, err := unix.FcntlInt(file.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
	if errors.Is(err, unix.EAGAIN) {
		return errWriting
	}
	if err == nil {
		_, err = unix.FcntlInt(file.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
		if err != nil {
			return fmt.Errorf("give lease back: %w", err)
		}
	}
	return nil
}

// Spare is a file that a repair has left behind, because we died or the row of
// its recording could not be stored.
type Spare struct{ TenantUUID, UUID string }

// Spares lists them below a root.
func Spares(root string) ([]Spare, error) {
	names, err := filepath.Glob(filepath.Join(root, "*", recorder.SpareDir, "*.wav"))
	if err != nil {
		return nil, fmt.Errorf("look for spares: %w", err)
	}
	var out []Spare
	for _, name := range names {
		s := Spare{
			TenantUUID: filepath.Base(filepath.Dir(filepath.Dir(name))),
			UUID:       strings.TrimSuffix(filepath.Base(name), ".wav"),
		}
		if recorder.ValidUUID(s.TenantUUID) && recorder.ValidUUID(s.UUID) {
			out = append(out, s)
		}
	}
	return out, nil
}

// DropSpare removes what a repair has left behind of a recording whose row is
// final: its original, once the file in its place is proper, has the same audio
// and the hash that the row says. The error says why it stays. Of a recording
// that was deleted it removes the original with it.
func DropSpare(root string, row recorder.Recording) error {
	f := files{root: root}
	r, err := f.open(row)
	if err != nil {
		return err
	}
	defer closeRoot(r)
	if row.State != recorder.Deleted {
		var got recorder.Finalised
		err := f.read(row, func(_ *os.Root, file *os.File) error {
			hash := sha256.New()
			if _, err := io.Copy(hash, file); err != nil {
				return fmt.Errorf("read recording: %w", err)
			}
			got.SHA256 = hex.EncodeToString(hash.Sum(nil))
			return nil
		})
		if err != nil {
			return err
		}
		if got.SHA256 != row.SHA256 {
			return fmt.Errorf("%s has sha256 %s, its row says %s", row.Path(), got.SHA256, row.SHA256)
		}
		got.Complete = true
		if err := mended(r, row, &got); err != nil {
			return err
		}
	}
	if err := r.Remove(spare(row)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove original: %w", err)
	}
	return syncDir(r, row.TenantUUID+"/"+recorder.SpareDir)
}

// dropOriginal removes the original of a repaired recording whose row is stored.
// It stays if anything about it is not as it was: the next start looks again.
func (w *worker) dropOriginal() {
	row := w.mended
	if w.mended = nil; row == nil || w.e.ctx.Err() != nil {
		return
	}
	if err := DropSpare(w.e.cfg.Root, *row); err != nil {
		w.e.cfg.Log.Warn("the original of a repaired recording stays", "recording", w.uuid, "err", err)
	}
}

// Repairable says whether the file of a recording is there, was not closed and is
// not written to any more. Whether it can be repaired shows when it is tried.
func Repairable(root string, row recorder.Recording) bool {
	f := files{root: root}
	done, err := f.final(row)
	if err != nil || done {
		return false
	}
	err = f.read(row, func(_ *os.Root, file *os.File) error { return nobodyWrites(file) })
	return err == nil
}
