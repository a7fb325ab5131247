package api

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"syscall"

	"callrecordd/internal/recorder"
)

// openMedia opens the file of a recording that has ended and whose media is
// still there.
func (s *Server) openMedia(rec recorder.Recording) (*os.File, fs.FileInfo, error) {
	switch rec.State {
	case recorder.Deleted:
		return nil, nil, mediaProblem(http.StatusBadRequest, "recording-media-not-found", "No recording media found", rec.UUID)
	case recorder.Starting, recorder.Live, recorder.Paused, recorder.Closing:
		return nil, nil, mediaProblem(http.StatusBadRequest, "recording-media-not-found",
			"No recording media found: the recording has not ended yet", rec.UUID)
	case recorder.Ready, recorder.Interrupted, recorder.Empty, recorder.Missing:
	}
	f, info, err := s.openFile(rec)
	if err == nil {
		return f, info, nil
	}
	// The client learns no path; whoever runs the daemon must.
	s.log.Warn("recording cannot be read", "recording_uuid", rec.UUID, "err", err)
	if errors.Is(err, fs.ErrPermission) {
		return nil, nil, mediaProblem(http.StatusInternalServerError, "recording-media-permission-denied",
			"Recording media: permission denied", rec.UUID)
	}
	return nil, nil, mediaProblem(http.StatusInternalServerError, "recording-media-filesystem-not-found",
		"Recording media: not found on filesystem", rec.UUID)
}

var errNoFile = errors.New("is not a regular file")

// openFile opens the recording's file below the root and nowhere else: os.Root
// refuses links that lead out of it, and a link or anything else in the file's
// own place is not a recording.
func (s *Server) openFile(rec recorder.Recording) (*os.File, fs.FileInfo, error) {
	root, err := os.OpenRoot(s.root)
	if err != nil {
		return nil, nil, fmt.Errorf("recordings root: %w", err)
	}
	defer func() { _ = root.Close() }() // a directory, opened for reading
	name := rec.TenantUUID + "/monitor/" + rec.UUID + ".wav"
	seen, err := root.Lstat(name)
	if err != nil {
		return nil, nil, err
	}
	if !seen.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s %w", name, errNoFile)
	}
	// O_NONBLOCK: a FIFO put there in this moment must not hang the request.
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !os.SameFile(seen, info) {
		err = fmt.Errorf("%s was replaced while it was opened", name)
	}
	if err != nil {
		_ = f.Close() // opened for reading
		return nil, nil, err
	}
	return f, info, nil
}
