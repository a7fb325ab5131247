package export

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// maxAttempts is after how many failures, or deaths of the daemon, an export
// is given up.
const maxAttempts = 5

var (
	errNoFiles  = errors.New("not one file could be read")
	errTooOften = errors.New("the daemon has ended each time before it was finished")
)

// Options are what a Service needs.
type Options struct {
	Repo Repo
	Root string // of the recordings
	Dir  string // of the archives; it is made
	// Workers is how many archives are written at a time.
	Workers int
	// KeepFree is how many bytes must stay free on the disk of Dir.
	KeepFree int64
	// LinkLifetime is how long the link of a mail opens its export.
	LinkLifetime time.Duration
	Tokens       Tokens
	Mailer       Mailer
	Words        *Words
	Prover       Prover // nil: archives have no proofs
	Now          func() time.Time
	NewUUID      func() string
	Log          *slog.Logger
}

// Service makes archives. Run does the work, everything else may be called
// from anywhere.
type Service struct {
	opt  Options
	work chan struct{} // there is a pending export
	post chan struct{} // there is a mail to send

	mu      sync.Mutex
	claimed map[string]*progress
}

// progress is how far an archive is.
type progress struct {
	items atomic.Int64
	bytes atomic.Int64
}

// New returns a Service and makes its directory. If that cannot be made now it
// is when an archive is: a disk that is not there yet must not keep anybody
// from recording.
func New(o Options) *Service {
	if err := os.MkdirAll(o.Dir, 0o750); err != nil {
		o.Log.Error("exports fail until their directory can be made", "err", err)
	}
	return &Service{
		opt: o, work: make(chan struct{}, 1), post: make(chan struct{}, 1), claimed: map[string]*progress{},
	}
}

// Request asks for an export.
type Request struct {
	TenantUUID, UserUUID, Actor, Email, Link string
}

// Create stores an export of what source yields, page by page, and has it made.
// The error is ErrNothing if that is nothing.
func (s *Service) Create(ctx context.Context, r Request, source func(yield func([]Item) error) error) (Export, error) {
	e := Export{
		UUID: s.opt.NewUUID(), TenantUUID: r.TenantUUID, UserUUID: r.UserUUID, RequestedAt: s.opt.Now(), RequestedBy: r.Actor,
		Status: Pending, Email: r.Email, Link: r.Link,
	}
	err := source(func(items []Item) error {
		if err := s.opt.Repo.AddExportItems(ctx, e.UUID, e.Files, items); err != nil {
			return err
		}
		e.Files += len(items)
		for _, it := range items {
			e.Bytes += it.Recording.Bytes
		}
		return nil
	})
	if err != nil {
		return Export{}, fmt.Errorf("create export: %w", err)
	}
	if e.Files == 0 {
		return Export{}, ErrNothing
	}
	if err := s.opt.Repo.CreateExport(ctx, e); err != nil {
		return Export{}, fmt.Errorf("create export: %w", err)
	}
	wake(s.work)
	return e, nil
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it is awake
	}
}

// Get returns an export of one of the tenants; ok is false if there is none.
func (s *Service) Get(ctx context.Context, uuid string, tenants []string) (e Export, ok bool, err error) {
	found, err := s.opt.Repo.Exports(ctx, Filter{UUID: uuid, Tenants: tenants})
	if err != nil || len(found) == 0 {
		return Export{}, false, err
	}
	return found[0], true, nil
}

// List returns all exports, the oldest first.
func (s *Service) List(ctx context.Context) ([]Export, error) {
	return s.opt.Repo.Exports(ctx, Filter{})
}

// Progress says how many files have been dealt with and how many bytes written
// for an export that is being processed.
func (s *Service) Progress(uuid string) (files, bytes int64) {
	s.mu.Lock()
	p := s.claimed[uuid]
	s.mu.Unlock()
	if p == nil {
		return 0, 0
	}
	return p.items.Load(), p.bytes.Load()
}

// Open opens the archive of a finished export.
func (s *Service) Open(e Export) (*os.File, error) {
	// O_NONBLOCK: what was put there in its place must not hang the request.
	return os.OpenFile(s.path(e.UUID), os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
}

// Path is where its archive is, once it is finished.
func (s *Service) Path(e Export) string { return s.path(e.UUID) }

func (s *Service) path(uuid string) string { return filepath.Join(s.opt.Dir, uuid+".zip") }

// RemoveOlder removes the exports of a tenant that were requested before the
// time, and returns how many; with dry it only counts them. The archive goes
// first: an export without one can still be removed.
func (s *Service) RemoveOlder(ctx context.Context, tenant string, before time.Time, actor string, dry bool) (int, error) {
	list, err := s.opt.Repo.Exports(ctx, Filter{Tenants: []string{tenant}, Before: before})
	if err != nil || dry {
		return len(list), err
	}
	for i, e := range list {
		if err := os.Remove(s.path(e.UUID)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return i, fmt.Errorf("remove export %s: %w", e.UUID, err)
		}
		if err := s.opt.Repo.DeleteExport(ctx, e, actor); err != nil {
			return i, err
		}
	}
	return len(list), nil
}

// Resume takes up what a crash has interrupted. It must have returned before
// Create is called.
func (s *Service) Resume(ctx context.Context) error { return s.opt.Repo.ResetExports(ctx) }

// Run makes archives until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	if err := s.tidy(); err != nil {
		s.opt.Log.Error("unfinished archives of an earlier run stay", "err", err)
	}
	var wg sync.WaitGroup
	for range s.opt.Workers {
		wg.Go(func() { s.worker(ctx) })
	}
	wg.Go(func() { s.postman(ctx) })
	wg.Wait()
	return nil
}

// tidy removes half archives.
func (s *Service) tidy() error {
	halves, err := filepath.Glob(filepath.Join(s.opt.Dir, "*.zip.tmp"))
	lists, err2 := filepath.Glob(filepath.Join(s.opt.Dir, "*.zip.missing.tmp"))
	proofs, err3 := filepath.Glob(filepath.Join(s.opt.Dir, "*.zip.proofs.tmp"))
	if err := errors.Join(err, err2, err3); err != nil {
		return fmt.Errorf("look for unfinished archives: %w", err)
	}
	for _, h := range slices.Concat(halves, lists, proofs) {
		if err := os.Remove(h); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove an unfinished archive: %w", err)
		}
	}
	return nil
}

// worker has a thread of its own, because priority belongs to threads. It is
// not unlocked: the thread ends with the goroutine, and so does the priority.
func (s *Service) worker(ctx context.Context) {
	runtime.LockOSThread()
	if err := lowPriority(); err != nil {
		s.opt.Log.Debug("exports run with normal disk priority", "err", err)
	}
	again := time.NewTicker(10 * time.Second)
	defer again.Stop()
	for {
		for s.next(ctx) {
			wake(s.work) // there may be more for others
		}
		select {
		case <-ctx.Done():
			return
		case <-s.work:
		case <-again.C: // one whose attempt has failed
		}
	}
}

// next makes one archive; more is false if there is nothing to do, or it has
// failed and shall rest.
func (s *Service) next(ctx context.Context) (more bool) {
	e, p, err := s.claim(ctx)
	if err != nil && ctx.Err() == nil {
		s.opt.Log.Error("exports cannot be read", "err", err)
	}
	if err != nil || p == nil {
		return false
	}
	defer func() {
		s.mu.Lock()
		delete(s.claimed, e.UUID)
		s.mu.Unlock()
	}()
	failure := errTooOften
	if e.Attempts <= maxAttempts {
		failure = s.make(ctx, &e, p)
	}
	switch {
	case failure == nil:
		e.Status = Finished
	case ctx.Err() != nil: // an ordered stop is no failure
		e.Status, e.Attempts = Pending, e.Attempts-1
	case errors.Is(failure, errNoSpace):
		e.Status, e.Cause = Failed, CauseNoSpace
	case errors.Is(failure, errNoFiles):
		e.Status, e.Cause = Failed, CauseNoFile
	case e.Attempts >= maxAttempts:
		e.Status, e.Cause = Failed, CauseFault
	default:
		e.Status = Pending
	}
	log := s.opt.Log.With("export", e.UUID, "status", e.Status, "files", e.Files, "missing", e.Missing)
	switch e.Status {
	case Finished:
		log.Info("an export is finished", "bytes", e.Bytes)
	case Failed, Processing:
		log.Error("an export has failed", "err", failure)
	case Pending:
		log.Warn("an export could not be made and will be tried again", "err", failure)
	}
	if e.Email != "" && (e.Status == Finished || e.Status == Failed) {
		e.Mail, e.MailAt = MailDue, s.opt.Now()
	}
	save, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := s.opt.Repo.SaveExport(save, e); err != nil {
		// It stays processing, and the next start makes it anew.
		s.opt.Log.Error("what became of an export cannot be stored", "export", e.UUID, "err", err)
		return false
	}
	wake(s.post)
	return e.Status != Pending
}

// claim takes the oldest pending export; p is nil if there is none.
func (s *Service) claim(ctx context.Context) (e Export, p *progress, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list, err := s.opt.Repo.Exports(ctx, Filter{Status: Pending, Limit: len(s.claimed) + 1})
	if err != nil {
		return e, nil, err
	}
	i := slices.IndexFunc(list, func(e Export) bool { return s.claimed[e.UUID] == nil })
	if i < 0 {
		return e, nil, nil
	}
	e = list[i]
	e.Status, e.Attempts = Processing, e.Attempts+1
	if err := s.opt.Repo.SaveExport(ctx, e); err != nil {
		return e, nil, err
	}
	p = &progress{}
	s.claimed[e.UUID] = p
	return e, p, nil
}

// make writes the archive beside its place and moves it there once it is on the
// disk. An error that wraps errNoFiles means that not one file could be read.
func (s *Service) make(ctx context.Context, e *Export, p *progress) (err error) {
	root, err := os.OpenRoot(s.opt.Root)
	if err != nil {
		return fmt.Errorf("recordings root: %w", err) // mounted late, perhaps
	}
	defer func() { _ = root.Close() }() // a directory, opened for reading
	tmp := s.path(e.UUID) + ".tmp"
	if err := os.MkdirAll(s.opt.Dir, 0o750); err != nil {
		return fmt.Errorf("directory of exports: %w", err)
	}
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	defer func() {
		_ = f.Close() // closed already, or the archive has failed
		if err != nil {
			err = errors.Join(err, os.Remove(tmp))
		}
	}()
	free, err := space(f)
	if err != nil {
		return fmt.Errorf("look how much space is left: %w", err)
	}
	if free-e.Bytes < s.opt.KeepFree {
		return fmt.Errorf("%d bytes to write, %d free, %d must stay: %w", e.Bytes, free, s.opt.KeepFree, errNoSpace)
	}
	out := &sink{f: f, keepFree: s.opt.KeepFree, spaceOf: space, afterWriting: func(n int64) { p.bytes.Add(n) }}
	a := archiver{
		root: root, zip: zip.NewWriter(out), done: func() { p.items.Add(1) }, missing: missing{aside: aside{path: s.path(e.UUID) + ".missing.tmp"}, export: e.UUID},
		proofs: proofs{aside: aside{path: s.path(e.UUID) + ".proofs.tmp"}, prover: s.opt.Prover},
		unproved: func(err error) {
			s.opt.Log.Error("an archive has no proofs", "export", e.UUID, "err", err)
		},
		note: func(it Item, err error) {
			s.opt.Log.Warn("a recording cannot be exported", "export", e.UUID, "recording_uuid", it.Recording.UUID, "err", err)
		},
	}
	defer func() { err = errors.Join(err, a.missing.remove(), a.proofs.remove()) }()
	if err := a.items(ctx, s.opt.Repo, e.UUID); err != nil {
		return err
	}
	if e.Missing = a.missing.n; a.files+e.Missing != e.Files {
		return fmt.Errorf("%d recordings were asked for, %d found", e.Files, a.files+e.Missing)
	}
	if a.files == 0 {
		return fmt.Errorf("%w of %d recordings", errNoFiles, e.Missing)
	}
	if err := a.finish(e.RequestedAt); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	forget(f)
	if err := f.Close(); err != nil {
		return err
	}
	if err := s.publish(tmp, e.UUID); err != nil {
		return err
	}
	e.Files, e.Bytes = a.files, a.bytes
	return nil
}

func (s *Service) publish(tmp, uuid string) error {
	if err := os.Rename(tmp, s.path(uuid)); err != nil {
		return err
	}
	dir, err := os.Open(s.opt.Dir)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }() // a directory, opened for reading
	return dir.Sync()
}

// downloadPath is the address of the archive, without the query.
func downloadPath(e Export) string {
	return strings.TrimSuffix(e.Link, "/") + "/1.0/exports/" + e.UUID + "/download"
}
