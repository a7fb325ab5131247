package retention

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"strings"
	"time"

	"callrecordd/internal/recorder"
)

// Remover removes the media of recordings.
type Remover struct {
	repo Repo
	root string
	log  *slog.Logger
}

// NewRemover returns a Remover for the files below root.
func NewRemover(repo Repo, root string, log *slog.Logger) *Remover {
	return &Remover{repo: repo, root: root, log: log}
}

// Remove removes the media of recordings on behalf of actor, a few at a time,
// and tells the outcome of each: that it was removed before, or that the file
// is not there, is no error. Others are ErrNotFound, ErrNotFinal, *HeldError
// or, if all is as before because the file system refused, ErrFile. What Remove
// itself returns ends it: the storage failed or ctx has ended.
func (r *Remover) Remove(ctx context.Context, uuids []string, actor, why string, outcome func(uuid string, err error)) error {
	for len(uuids) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		begun, err := r.repo.BeginRemovals(ctx, uuids[:min(len(uuids), batch)], actor, why)
		if err != nil {
			return fmt.Errorf("remove media of %d recordings: %w", len(uuids), err)
		}
		var jobs []Removal
		for _, b := range begun {
			if b.Err == nil && !b.Gone {
				jobs = append(jobs, b.Removal)
			}
		}
		failed, err := r.finish(ctx, jobs)
		if err != nil {
			return err
		}
		for i, b := range begun {
			if b.Err == nil {
				b.Err = failed[uuids[i]]
			}
			outcome(uuids[i], b.Err)
		}
		uuids = uuids[len(begun):]
	}
	return nil
}

// finish unlinks the files of removals that were begun, and returns those that
// could not be. The client may be gone: what was begun is brought to its end
// all the same.
func (r *Remover) finish(ctx context.Context, jobs []Removal) (failed map[string]error, err error) {
	if len(jobs) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	failed = map[string]error{}
	ended := make([]Ended, len(jobs))
	dirs := map[string]bool{}
	root, openErr := os.OpenRoot(r.root)
	if openErr != nil {
		// Not "no such file": the disk may not be mounted.
		openErr = fmt.Errorf("recordings root: %w", errors.Unwrap(openErr))
	} else {
		defer func() { _ = root.Close() }() // a directory, opened for reading
	}
	for i, job := range jobs {
		ended[i].Removal = job
		name, cause := job.Recording.Path(), openErr
		if cause == nil {
			cause = errors.Join(unlink(root, name, job.Recording.State == recorder.Missing), dropSpares(root, job.Recording))
		}
		if cause != nil {
			ended[i].Failure = cause.Error()
			failed[job.Recording.UUID] = fmt.Errorf("remove media of recording %s: %w: %w", job.Recording.UUID, ErrFile, cause)
			continue
		}
		dirs[path.Dir(name)] = true
	}
	for dir := range dirs {
		if err := syncDir(root, dir); err != nil {
			return nil, fmt.Errorf("removal of %d recordings is not on the disk yet, the next start finishes it: %w", len(jobs), err)
		}
	}
	if err := r.repo.EndRemovals(ctx, ended); err != nil {
		return nil, fmt.Errorf("remove media of %d recordings: note the outcome: %w", len(jobs), err)
	}
	return failed, nil
}

// unlink removes the name below the root and nowhere else: os.Root follows no
// link that leads out, and a link in the file's place is removed itself. A file
// without its folder is not gone, its disk is not mounted, unless there never
// was one.
func unlink(root *os.Root, name string, never bool) error {
	info, err := root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		if never {
			return nil
		}
		if _, err := root.Stat(path.Dir(name)); err != nil {
			return fmt.Errorf("folder of the recording: %w; see that its disk is mounted", err)
		}
		return nil
	}
	if err != nil {
		return err
	}
	if info.IsDir() {
		return fmt.Errorf("%s is a directory", name)
	}
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// dropSpares removes what a repair of the file has left beside it: it is the same
// audio.
func dropSpares(root *os.Root, rec recorder.Recording) error {
	folder := rec.TenantUUID + "/" + recorder.SpareDir
	dir, err := root.Open(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("spares of the recording: %w", err)
	}
	defer func() { _ = dir.Close() }() // a directory, opened for reading
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("spares of the recording: %w", err)
	}
	removed := false
	for _, name := range names {
		if !strings.HasPrefix(name, rec.UUID) {
			continue
		}
		if err := root.Remove(folder + "/" + name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("spare of the recording: %w", err)
		}
		removed = true
	}
	if removed {
		return dir.Sync()
	}
	return nil
}

// syncDir keeps names from coming back after a power cut, while the database
// says that they are gone.
func syncDir(root *os.Root, name string) error {
	dir, err := root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }() // a directory, opened for reading
	return dir.Sync()
}

// Resume brings to an end what a crash has interrupted. A removal that fails
// again is undone and told in the log; the error is that of the storage.
func (r *Remover) Resume(ctx context.Context) error {
	jobs, err := r.repo.Removals(ctx)
	if err != nil {
		return fmt.Errorf("resume removals: %w", err)
	}
	failed, err := r.finish(ctx, jobs)
	if err != nil {
		return fmt.Errorf("resume removals: %w", err)
	}
	for _, cause := range failed {
		r.log.Warn("a removal that was interrupted could not be finished, the recording stays", "err", cause)
	}
	return nil
}
