package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"callrecordd/internal/audio"
	"callrecordd/internal/audit"
	"callrecordd/internal/recorder"
)

// LookMode says what of the files an audit looks at.
type LookMode string

// The modes. Without one files are looked at if the period is short.
const (
	LookStored LookMode = "stored" // what was measured when the file was closed
	LookFiles  LookMode = "files"  // the file is there and as large and as old as it was; if not it is read
	LookAudio  LookMode = "audio"  // each file is read
)

// shortPeriod is up to which files are looked at.
const shortPeriod = 35 * 24 * time.Hour

// lookTime is how long a disk may take for one file's name, and readTime for its
// audio, before it counts as hanging.
const (
	lookTime = 5 * time.Second
	readTime = 5 * time.Minute
)

// looker looks at files for an audit.
type looker struct {
	root   string
	mode   LookMode
	lost   string // why no file can be looked at
	hanged bool
}

func newLooker(root string, req AuditRequest) *looker {
	l := &looker{root: root, mode: req.Audio}
	if l.mode == "" {
		l.mode = LookStored
		if req.Until.Sub(req.Since) <= shortPeriod {
			l.mode = LookFiles
		}
	}
	if l.mode != LookStored {
		if err := l.bounded(lookTime, func() error { _, err := os.Stat(root); return err }); err != nil {
			// A disk that is not mounted has lost no file.
			l.lost = "the folder of the recordings cannot be looked at: " + pathless(err)
		}
	}
	return l
}

// pathless is an error without the path: reports leave the machine.
func pathless(err error) string {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err.Error()
	}
	return err.Error()
}

// bounded does not wait longer for a disk that hangs.
func (l *looker) bounded(patience time.Duration, f func() error) error {
	if l.hanged {
		return errDiskHangs
	}
	done := make(chan error, 1)
	go func() { done <- f() }()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		l.hanged = true
		return errDiskHangs
	}
}

// at is what is known of a recording's file.
func (l *looker) at(ctx context.Context, r recorder.Recording) audit.Found {
	stored := audit.Found{
		Exists: r.State == recorder.Ready || r.State == recorder.Interrupted || r.State == recorder.Empty,
		Bytes:  r.Bytes, Samples: r.Samples, Rate: r.Rate, SHA256: r.SHA256,
	}
	if r.Cause == recorder.CauseUnreadable {
		stored.Broken = r.Detail
	}
	switch {
	case l.mode == LookStored || r.State == recorder.Deleted || r.State.Open():
		return stored
	case l.lost != "":
		stored.Unknown = l.lost
		return stored
	}
	path := filepath.Join(l.root, filepath.FromSlash(r.Path()))
	var info fs.FileInfo
	err := l.bounded(lookTime, func() (err error) { info, err = os.Lstat(path); return err })
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return audit.Found{Looked: true}
	case err != nil:
		stored.Unknown = pathless(err)
		return stored
	case l.mode == LookFiles && info.Mode().IsRegular() && l.asStored(r, info):
		stored.Looked = true
		return stored
	}
	return l.read(ctx, path)
}

// asStored says whether a file is as large as it was, and was not written to
// since it was closed.
func (l *looker) asStored(r recorder.Recording, info fs.FileInfo) bool {
	return r.SHA256 != "" && info.Size() == r.Bytes && !info.ModTime().After(r.EndedAt.Add(2*time.Second))
}

// read measures and hashes the audio.
func (l *looker) read(ctx context.Context, path string) audit.Found {
	type answer struct {
		found audit.Found
		err   error
	}
	got := make(chan answer, 1)
	err := l.bounded(readTime, func() error {
		found, err := measureFile(ctx, path)
		got <- answer{found, err}
		return nil
	})
	if err != nil {
		return audit.Found{Looked: true, Exists: true, Unknown: pathless(err)}
	}
	a := <-got
	switch {
	case errors.Is(a.err, audio.ErrFormat):
		a.found.Broken = a.err.Error()
	case a.err != nil:
		a.found.Unknown = pathless(a.err)
	}
	a.found.Looked, a.found.Reread, a.found.Exists = true, true, true
	return a.found
}

func measureFile(ctx context.Context, path string) (out audit.Found, err error) {
	file, err := os.Open(path)
	if err != nil {
		return out, err
	}
	defer func() { _ = file.Close() }() // opened for reading
	info, err := file.Stat()
	if err != nil {
		return out, err
	}
	if !info.Mode().IsRegular() {
		return out, fmt.Errorf("it is %s and no file", info.Mode().Type())
	}
	hash := sha256.New()
	tee := io.TeeReader(reading{ctx, file}, hash)
	a, err := audio.Measure(tee, info.Size())
	if err == nil || errors.Is(err, audio.ErrFormat) {
		if _, rest := io.Copy(io.Discard, tee); rest != nil {
			return out, rest
		}
	}
	out.Bytes, out.Samples, out.Rate, out.SHA256 = info.Size(), a.Samples, a.Rate, hex.EncodeToString(hash.Sum(nil))
	return out, err
}

// reading ends with its context.
type reading struct {
	ctx context.Context
	r   io.Reader
}

func (r reading) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
