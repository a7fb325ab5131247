package export

import (
	"archive/zip"
	"context"
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
	// readAhead is how many files are in memory at the most, readers how many
	// are read at the same time: a little more than the writer can take.
	readAhead, readers = 6, 2
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

// archiver writes the entries of one archive. Files are read ahead by readers;
// one writer takes them in order.
type archiver struct {
	root    *os.Root
	zip     *zip.Writer
	buf     []byte // for the second reading of large files
	files   int
	bytes   int64
	missing missing
	proofs  proofs
	note    func(it Item, err error) // of a file that could not be read
	done    func()                   // with an item
	// unproved is told why there are no proofs.
	unproved func(err error)
}

// loaded is an item on its way to the writer. Without a cause it has either all
// its data or, if it is large, the open file.
type loaded struct {
	it    Item
	cause string // why it is missing
	err   error  // what the log shall say about it
	buf   []byte // to be given back
	data  []byte
	file  *os.File
	size  int64
	crc   uint32
}

// items writes all of them, in their order.
func (a *archiver) items(ctx context.Context, repo Repo, uuid string) error {
	ctx, cancel := context.WithCancel(ctx)
	if err := a.proofs.begin(ctx); err != nil {
		a.unproved(err)
	}
	p := newPipeline(ctx, a.root)
	go p.feed(repo, uuid)
	defer func() {
		cancel()
		p.drain()
	}()
	for place := range p.order {
		l := <-place
		err := a.item(ctx, l)
		p.release(l)
		if err != nil {
			return fmt.Errorf("recording %s: %w", l.it.Recording.UUID, err)
		}
		a.done()
	}
	return p.fault()
}

// item writes one file, or notes that it is missing. An error is one of the
// archive.
func (a *archiver) item(ctx context.Context, l loaded) error {
	if l.err != nil {
		a.note(l.it, l.err)
	}
	if l.cause != "" {
		return a.missing.add(lacking{l.it.CDRID, l.it.Recording.UUID, l.it.Name(), l.cause})
	}
	w, err := a.entry(l.it.Name(), ended(l.it.Recording), l.crc, l.size)
	if err != nil {
		return err
	}
	if l.file == nil {
		_, err = w.Write(l.data)
	} else {
		err = a.large(w, l)
	}
	if err != nil {
		return err
	}
	a.files++
	a.bytes += l.size
	return a.proofs.add(ctx, l.it)
}

// large reads a file for the second time, now to write it.
func (a *archiver) large(w io.Writer, l loaded) error {
	if a.buf == nil {
		a.buf = make([]byte, whole)
	}
	sum := crc32.NewIEEE()
	n, err := io.CopyBuffer(io.MultiWriter(sum, w), struct{ io.Reader }{io.LimitReader(l.file, l.size)}, a.buf)
	if err == nil && (n != l.size || sum.Sum32() != l.crc) {
		err = errChanged
	}
	return err
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

// finish adds missing.json if something is, proofs.json, and the directory.
func (a *archiver) finish(at time.Time) error {
	if a.missing.n > 0 {
		if err := a.list("missing.json", at, &a.missing.aside, a.missing.finish); err != nil {
			return err
		}
	}
	if a.proofs.n > 0 {
		if err := a.list("proofs.json", at, &a.proofs.aside, a.proofs.finish); err != nil {
			return err
		}
	}
	return a.zip.Close()
}

func (a *archiver) list(name string, at time.Time, from *aside, finish func() (io.Reader, error)) error {
	list, err := finish()
	if err != nil {
		return err
	}
	w, err := a.entry(name, at, from.crc.Sum32(), from.size)
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, list); err != nil {
		return fmt.Errorf("copy %s: %w", name, err)
	}
	return nil
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
