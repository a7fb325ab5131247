package export

import (
	"archive/zip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"time"

	"callrecordd/internal/recorder"
)

const (
	// whole is up to which size a file is held in memory, so that it is read
	// once: its checksum stands before it in the archive.
	whole = 4 << 20
	// page is how many items are read from the storage at a time.
	page = 500
	// tooLarge is a size that the header of an entry cannot hold. Neither can
	// that of a WAV file.
	tooLarge = 1<<32 - 1
)

// errChanged: a file changed while it was copied. The archive is begun anew.
var errChanged = errors.New("changed while it was read")

// lacking is a recording that is not in the archive, as missing.json says it.
type lacking struct {
	CDRID         int64  `json:"cdr_id"`
	RecordingUUID string `json:"recording_uuid"`
	Filename      string `json:"filename"`
	Cause         string `json:"cause"`
}

// archiver writes the entries of one archive.
type archiver struct {
	root    *os.Root
	zip     *zip.Writer
	buf     []byte
	files   int
	bytes   int64
	missing []lacking
	note    func(it Item, err error) // of a file that could not be read
	done    func()                   // with an item
}

// items writes all of them, in their order.
func (a *archiver) items(ctx context.Context, repo Repo, uuid string) error {
	for first := 0; ; first += page {
		items, err := repo.ExportItems(ctx, uuid, first, page)
		if err != nil {
			return err
		}
		for _, it := range items {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := a.item(it); err != nil {
				return fmt.Errorf("recording %s: %w", it.Recording.UUID, err)
			}
			a.done()
		}
		if len(items) < page {
			return nil
		}
	}
}

// item writes one file, or notes that it is missing. An error is one of the
// archive.
func (a *archiver) item(it Item) error {
	if cause := absent(it.Recording.State); cause != "" {
		a.lacks(it, cause)
		return nil
	}
	f, info, err := openRegular(a.root, it.Recording.Path())
	if err != nil {
		a.note(it, err)
		a.lacks(it, causeOf(err))
		return nil
	}
	defer func() {
		forget(f)
		_ = f.Close() // opened for reading
	}()
	if info.Size() >= tooLarge {
		a.lacks(it, "too_large")
		return nil
	}
	if info.Size() > whole {
		return a.large(it, f, info.Size())
	}
	data := a.buf[:info.Size()]
	if _, err := io.ReadFull(f, data); err != nil {
		a.note(it, err)
		a.lacks(it, "unreadable")
		return nil
	}
	w, err := a.entry(it.Name(), ended(it.Recording), crc32.ChecksumIEEE(data), info.Size())
	if err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		return err
	}
	a.files++
	a.bytes += info.Size()
	return nil
}

// large reads a file twice, first for its checksum.
func (a *archiver) large(it Item, f *os.File, size int64) error {
	sum := crc32.NewIEEE()
	n, err := io.CopyBuffer(sum, struct{ io.Reader }{io.LimitReader(f, size)}, a.buf)
	if err == nil && n != size {
		err = io.ErrUnexpectedEOF
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		a.note(it, err)
		a.lacks(it, "unreadable")
		return nil
	}
	w, err := a.entry(it.Name(), ended(it.Recording), sum.Sum32(), size)
	if err != nil {
		return err
	}
	again := crc32.NewIEEE()
	n, err = io.CopyBuffer(io.MultiWriter(again, w), struct{ io.Reader }{io.LimitReader(f, size)}, a.buf)
	if err != nil {
		return err
	}
	if n != size || again.Sum32() != sum.Sum32() {
		return errChanged
	}
	a.files++
	a.bytes += size
	return nil
}

// entry begins an entry that is stored as it is: audio hardly shrinks. Size and
// checksum stand before the data, so that programs that read a stream need not
// guess where it ends.
func (a *archiver) entry(name string, at time.Time, crc uint32, size int64) (io.Writer, error) {
	h := &zip.FileHeader{
		Name: name, Method: zip.Store, CRC32: crc,
		CompressedSize64: uint64(size), UncompressedSize64: uint64(size),
	}
	h.SetMode(0o640)
	h.SetModTime(at) //nolint:staticcheck // CreateRaw writes only what this sets, not Modified
	return a.zip.CreateRaw(h)
}

func (a *archiver) lacks(it Item, cause string) {
	a.missing = append(a.missing, lacking{it.CDRID, it.Recording.UUID, it.Name(), cause})
}

// finish adds missing.json if something is, and the directory.
func (a *archiver) finish(uuid string, at time.Time) error {
	if len(a.missing) > 0 {
		data, err := json.MarshalIndent(struct {
			Export  string    `json:"export_uuid"`
			Missing []lacking `json:"missing"`
		}{uuid, a.missing}, "", "  ")
		if err != nil {
			return err
		}
		w, err := a.entry("missing.json", at, crc32.ChecksumIEEE(data), int64(len(data)))
		if err != nil {
			return err
		}
		if _, err := w.Write(data); err != nil {
			return err
		}
	}
	return a.zip.Close()
}

// absent says why a recording in that state has no file.
func absent(s recorder.State) string {
	switch s {
	case recorder.Ready, recorder.Interrupted, recorder.Empty:
		return ""
	case recorder.Starting, recorder.Live, recorder.Paused, recorder.Closing:
		return "not_ended"
	case recorder.Missing, recorder.Deleted:
	}
	return string(s)
}

func causeOf(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "not_found"
	case errors.Is(err, fs.ErrPermission):
		return "permission_denied"
	case errors.Is(err, errNoFile):
		return "not_a_file"
	}
	return "unreadable"
}

func ended(r recorder.Recording) time.Time {
	if r.EndedAt.IsZero() {
		return r.IntentAt
	}
	return r.EndedAt
}
