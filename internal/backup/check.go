package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Report is what Check has found.
type Report struct {
	Header
	End
	Dir      string `json:"dir"`
	Manifest string `json:"manifest_sha256"`
	// Interrupted says that a later backup into the folder has begun and not ended.
	Interrupted bool   `json:"interrupted,omitempty"`
	Problems    []Lack `json:"problems"`
	// Damaged is how many files there are that are not as they should be, also
	// beyond those that Problems names.
	Damaged int `json:"damaged"`
	// Recordings is how many of those are recordings.
	Recordings int `json:"damaged_recordings"`
}

func (r *Report) found(e Entry, format string, args ...any) {
	r.Damaged++
	if e.Kind == KindRecording {
		r.Recordings++
	}
	if len(r.Problems) < mostNamed {
		r.Problems = append(r.Problems, Lack{e.Path, fmt.Sprintf(format, args...)})
	}
}

// Check reads all of a backup and compares it with its manifest. What is wrong
// with files is in the report; the error says that there is nothing to compare,
// and wraps ErrNone, ErrIncomplete or ErrDamaged then.
func Check(ctx context.Context, dir string, db Database, progress func(Progress)) (Report, error) {
	rep := Report{Dir: dir, Problems: []Lack{}}
	r, err := openManifest(dir)
	if err != nil {
		return rep, fmt.Errorf("check backup: %w", err)
	}
	defer r.close()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return rep, fmt.Errorf("check backup: %w", err)
	}
	defer func() { _ = root.Close() }() // a directory, opened for reading
	if _, err := root.Lstat(markName); err == nil {
		rep.Interrupted = true
	}
	rep.Header = r.Header
	var n int64
	err = r.each(func(e Entry) error {
		if n++; n%100 == 0 && progress != nil {
			progress(Progress{"files", n, r.Header.Facts.Recordings})
		}
		return rep.look(ctx, root, e, db)
	})
	if err != nil {
		return rep, fmt.Errorf("check backup %s: %w", dir, err)
	}
	rep.End, rep.Manifest = r.End, r.hash()
	return rep, nil
}

// look compares one file. The error is about reading, not about what was read.
func (r *Report) look(ctx context.Context, root *os.Root, e Entry, db Database) error {
	if e.Absent != "" {
		return nil
	}
	sum, info, err := digestOf(ctx, root, e.Path)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, fs.ErrNotExist):
		r.found(e, "is missing")
		return nil
	case err != nil:
		r.found(e, "cannot be read: %v", err)
		return nil
	case info.Size() != e.Size:
		r.found(e, "has %d bytes and should have %d", info.Size(), e.Size)
		return nil
	case sum != e.SHA256:
		r.found(e, "is not what was copied: its SHA-256 is %s and should be %s", sum, e.SHA256)
		return nil
	case e.Kind != KindDatabase:
		return nil
	}
	if err := db.Sound(ctx, filepath.Join(root.Name(), filepath.FromSlash(e.Path))); err != nil {
		r.found(e, "is no sound database: %v", err)
	}
	return nil
}

// ConfigIn is the configuration file in a backup, for a machine that has none.
func ConfigIn(dir string) (string, error) {
	r, err := openManifest(dir)
	if err != nil {
		return "", err
	}
	defer r.close()
	found := ""
	err = r.each(func(e Entry) error {
		if e.Kind == KindConfig {
			found = filepath.Join(dir, filepath.FromSlash(e.Path))
		}
		return nil
	})
	if err == nil && found == "" {
		err = fmt.Errorf("the backup in %s has no configuration: name one with --config", dir)
	}
	return found, err
}
