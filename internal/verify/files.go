package verify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"syscall"
)

// readSize is how much of a file is read at once.
const readSize = 1 << 20

// task is a recording whose file is to be looked at.
type task struct {
	rec     Recording
	verdict verdict
}

// answer is what came of it.
type answer struct {
	found []Finding
	read  int64
	file  bool
	err   error
}

// hasher looks at files, several at a time.
type hasher struct {
	db      Database
	old     begun
	root    *os.Root // nil: files are left out
	tasks   chan task
	answers chan answer
	wg      sync.WaitGroup
	once    sync.Once
	open    int // tasks without an answer
	err     error
}

func newHasher(ctx context.Context, db Database, o Options, old begun) (*hasher, error) {
	h := &hasher{db: db, old: old, tasks: make(chan task), answers: make(chan answer, o.Workers)}
	if o.Root != "" {
		var err error
		if h.root, err = os.OpenRoot(o.Root); err != nil {
			return nil, fmt.Errorf("folder of the recordings: %w", err)
		}
	}
	for range o.Workers {
		h.wg.Go(func() {
			buf := make([]byte, readSize)
			for t := range h.tasks {
				h.answers <- h.look(ctx, t, buf)
			}
		})
	}
	return h, nil
}

// take hands a task to who is free, and takes answers meanwhile.
func (h *hasher) take(ctx context.Context, t task, r *Report) error {
	for {
		select {
		case h.tasks <- t:
			h.open++
			return h.err
		case a := <-h.answers:
			h.note(a, r)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (h *hasher) note(a answer, r *Report) {
	h.open--
	r.add(a.found...)
	r.Bytes += a.read
	if a.file {
		r.Files++
	}
	h.err = errors.Join(h.err, a.err)
}

func (h *hasher) finish(r *Report) error {
	for h.open > 0 {
		h.note(<-h.answers, r)
	}
	return h.err
}

func (h *hasher) close() {
	h.once.Do(func() {
		close(h.tasks)
		go func() { // who still works must not wait for a reader
			for range h.answers {
				continue
			}
		}()
		h.wg.Wait()
		close(h.answers)
		if h.root != nil {
			_ = h.root.Close() // a directory, opened for reading
		}
	})
}

// look judges the file. What does not fit is judged once more by the row as it
// is now: a daemon may have changed both.
func (h *hasher) look(ctx context.Context, t task, buf []byte) answer {
	a := h.judge(t, buf)
	if len(a.found) == 0 {
		return a
	}
	now, there, err := h.db.Recording(ctx, t.rec.UUID)
	switch {
	case err != nil:
		a.err = err
	case !there:
		return answer{read: a.read} // and Vanished tells if it should be
	case len(now.Facts) != len(t.rec.Facts) || now.State != t.rec.State:
		again := h.judge(task{now, judge(now, h.old)}, buf)
		again.read += a.read
		return again
	}
	return a
}

func (h *hasher) judge(t task, buf []byte) (a answer) {
	if f := t.verdict.found; f != nil {
		a.found = append(a.found, *f)
	}
	if h.root == nil || t.verdict.file == anyFile {
		return a
	}
	add := func(k Kind, meaning string, args ...any) {
		a.found = append(a.found, find(k, "recording", t.rec.UUID, "the file of recording "+t.rec.UUID+" "+meaning, args...))
	}
	sum, size, err := h.hash(t, buf)
	a.read = size
	switch {
	case t.verdict.file == noFile:
		if err == nil {
			add(FileLeft, "is there (%s), but the ledger says that it was deleted", t.rec.Path)
		} else if !errors.Is(err, fs.ErrNotExist) {
			add(FileUnreadable, "cannot be looked at: %v", err)
		}
	case errors.Is(err, fs.ErrNotExist):
		add(FileMissing, "is missing: %s", t.rec.Path)
	case err != nil:
		add(FileUnreadable, "cannot be read: %v", err)
	case t.verdict.sha256 != "" && sum != t.verdict.sha256:
		a.file = true
		add(FileAltered, "is not what was recorded (%s): it has %d bytes and SHA-256 %s, but it was %d bytes with %s",
			t.rec.Path, size, sum, t.verdict.bytes, t.verdict.sha256)
	default:
		a.file = true
	}
	return a
}

// hash reads the file. One that should not be there is only opened.
func (h *hasher) hash(t task, buf []byte) (sum string, size int64, err error) {
	// O_NONBLOCK: a FIFO put in its place must not hang this.
	f, err := h.root.OpenFile(t.rec.Path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", 0, err
	}
	defer func() { _ = f.Close() }() // opened for reading
	if t.verdict.file == noFile {
		return "", 0, nil
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return "", 0, errors.Join(err, errors.New("it is no regular file"))
	}
	s := sha256.New()
	size, err = io.CopyBuffer(s, struct{ io.Reader }{f}, buf)
	return hex.EncodeToString(s.Sum(nil)), size, err
}
