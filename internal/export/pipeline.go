package export

import (
	"context"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"runtime"
	"sync"
)

// pipeline reads files ahead of the writer, a bounded number of them.
type pipeline struct {
	ctx   context.Context // of the archive that is being written
	root  *os.Root
	order chan chan loaded // in the order of the items
	jobs  chan job
	free  chan []byte
	wg    sync.WaitGroup

	mu  sync.Mutex
	err error
}

// job is an item to read, and where the writer waits for it.
type job struct {
	it    Item
	buf   []byte
	place chan loaded
}

func newPipeline(ctx context.Context, root *os.Root) *pipeline {
	p := &pipeline{
		ctx: ctx, root: root, order: make(chan chan loaded, readAhead), jobs: make(chan job, readAhead),
		free: make(chan []byte, readAhead),
	}
	for range readAhead {
		p.free <- nil // made when it is needed
	}
	for range readers {
		p.wg.Go(p.reader)
	}
	return p
}

// feed hands out the items of an export.
func (p *pipeline) feed(repo Repo, uuid string) {
	defer close(p.order)
	defer close(p.jobs)
	for first := 0; ; first += page {
		items, err := repo.ExportItems(p.ctx, uuid, first, page)
		if err != nil {
			p.fail(err)
			return
		}
		for _, it := range items {
			var buf []byte
			select {
			case buf = <-p.free:
			case <-p.ctx.Done():
				p.fail(p.ctx.Err())
				return
			}
			place := make(chan loaded, 1)
			// Neither can block: there are as many places as buffers.
			p.jobs <- job{it, buf, place}
			p.order <- place
		}
		if len(items) < page {
			return
		}
	}
}

// reader has a thread of its own, because priority belongs to threads; the
// thread ends with it.
func (p *pipeline) reader() {
	runtime.LockOSThread()
	_ = lowPriority() // the worker has told if it cannot be had
	for j := range p.jobs {
		j.place <- p.load(j)
	}
}

func (p *pipeline) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = errors.Join(p.err, err)
}

// fault is why not all items were handed out, nil if they were. It is called
// after order was closed.
func (p *pipeline) fault() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// release gives back what an item that was written has used.
func (p *pipeline) release(l loaded) {
	if l.file != nil {
		forget(l.file)
		_ = l.file.Close() // opened for reading
	}
	p.free <- l.buf
}

// drain ends all goroutines, after the context.
func (p *pipeline) drain() {
	for place := range p.order {
		p.release(<-place)
	}
	p.wg.Wait()
}

// load reads one file.
func (p *pipeline) load(j job) loaded {
	l := loaded{it: j.it, buf: j.buf}
	if l.cause = absent(j.it.Recording.State); l.cause != "" {
		return l
	}
	f, info, err := openRegular(p.root, j.it.Recording.Path())
	if err != nil {
		l.cause, l.err = causeOf(err), err
		return l
	}
	if l.size = info.Size(); l.size >= tooLarge {
		_ = f.Close() // opened for reading
		l.cause = "too_large"
		return l
	}
	if l.buf == nil {
		l.buf = make([]byte, whole)
	}
	if l.size <= whole {
		l.data = l.buf[:l.size]
		_, err = io.ReadFull(f, l.data)
		l.crc = crc32.ChecksumIEEE(l.data)
	} else {
		l.crc, err = checksum(f, l.size, l.buf)
		l.file = f
	}
	if err != nil {
		l.cause, l.err = "unreadable", err
	}
	if l.file == nil {
		forget(f)
		_ = f.Close() // opened for reading
	}
	return l
}

// checksum reads a file that does not fit into memory, and goes back to its
// beginning.
func checksum(f *os.File, size int64, buf []byte) (uint32, error) {
	sum := crc32.NewIEEE()
	n, err := io.CopyBuffer(sum, struct{ io.Reader }{io.LimitReader(f, size)}, buf)
	if err == nil && n != size {
		err = io.ErrUnexpectedEOF
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	return sum.Sum32(), err
}
