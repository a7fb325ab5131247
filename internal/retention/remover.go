package retention

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"time"
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

// Remove removes the media of a recording on behalf of actor. That it was
// removed before, or that the file is not there, is no error. The error wraps
// ErrNotFound, ErrNotFinal, *HeldError or, if all is as before because the file
// system refused, ErrFile.
func (r *Remover) Remove(ctx context.Context, uuid, actor, why string) error {
	job, ok, err := r.repo.BeginRemoval(ctx, uuid, actor, why)
	if err != nil {
		return fmt.Errorf("remove media of recording %s: %w", uuid, err)
	}
	if !ok {
		return nil
	}
	return r.finish(ctx, job)
}

// finish unlinks the file of a removal that was begun. The client may be gone:
// what was begun is brought to its end all the same.
func (r *Remover) finish(ctx context.Context, job Removal) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	failure := ""
	cause := r.unlink(job.Recording.Path())
	if cause != nil {
		failure = cause.Error()
	}
	if err := r.repo.EndRemoval(ctx, job, failure); err != nil {
		return fmt.Errorf("remove media of recording %s: note the outcome: %w", job.Recording.UUID, err)
	}
	if cause != nil {
		return fmt.Errorf("remove media of recording %s: %w: %w", job.Recording.UUID, ErrFile, cause)
	}
	return nil
}

// unlink removes the name below the root and nowhere else: os.Root follows no
// link that leads out, and a link in the file's place is removed itself.
func (r *Remover) unlink(name string) error {
	root, err := os.OpenRoot(r.root)
	if err != nil {
		// Not "no such file": the disk may not be mounted.
		return fmt.Errorf("recordings root: %w", errors.Unwrap(err))
	}
	defer func() { _ = root.Close() }() // a directory, opened for reading
	info, err := root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
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
	// Otherwise the name could come back after a power cut, while the database
	// says that it is gone.
	dir, err := root.Open(path.Dir(name))
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
	for _, job := range jobs {
		if err := r.finish(ctx, job); err != nil {
			if !errors.Is(err, ErrFile) {
				return err
			}
			r.log.Warn("a removal that was interrupted could not be finished, the recording stays", "err", err)
		}
	}
	return nil
}
