package api

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"callrecordd/internal/recorder"
)

// mediaRoutes are the rows of recordings' audio.
func (s *Server) mediaRoutes() []route {
	return []route{
		{
			service: CallLogd, method: "GET", path: "/cdr/{cdr_id:int}/recordings/{recording_uuid:uuid}/media",
			acl: "call-logd.cdr.{cdr_id}.recordings.{recording_uuid}.media.read", queryToken: true, queryTenant: true,
			summary: "Get the audio of a recording",
			answers: []answer{{status: http.StatusOK, about: "The audio", media: []string{"audio/wav"}}},
			handle:  s.getMedia,
		},
	}
}

// filename is the name under which a recording is downloaded (cdr-api 6.1).
func filename(r recorder.Recording, cdrID int64) string {
	return fmt.Sprintf("%sUTC-%d-%s.wav", began(r).UTC().Format("2006-01-02T15_04_05"), cdrID, r.UUID)
}

// getMedia serves a recording with ranges. Check order and outcomes are those
// of cdr-api 6.2; absent and unreadable files keep upstream's status and error
// id but never disclose a path (design 7).
func (s *Server) getMedia(w http.ResponseWriter, r *http.Request, rc request) error {
	rec, cdrID, err := s.findRecording(r, rc)
	if err != nil {
		return err
	}
	f, info, err := s.openMedia(rec)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // opened for reading
	h := w.Header()
	h.Set("Content-Type", "audio/wav")
	h.Set("Cache-Control", "no-cache")
	if rec.SHA256 != "" {
		h.Set("ETag", strconv.Quote(rec.SHA256))
	}
	rng := r.Header.Get("Range")
	if rng == "" {
		h.Set("Content-Disposition", "attachment; filename="+filename(rec, cdrID))
		http.ServeContent(w, r, "", info.ModTime(), f)
		return nil
	}
	h.Set("Content-Disposition", "inline; filename="+filename(rec, cdrID))
	rw := &rangeWriter{ResponseWriter: w}
	if severalRanges(rng) {
		rw.refused = true
	} else {
		http.ServeContent(rw, r, "", info.ModTime(), f)
	}
	if rw.refused {
		for _, name := range []string{"ETag", "Last-Modified", "Cache-Control", "Content-Disposition", "X-Content-Type-Options"} {
			h.Del(name)
		}
		h.Set("Content-Range", fmt.Sprintf("bytes */%d", info.Size()))
		writeMessage(w, http.StatusRequestedRangeNotSatisfiable, "The requested range cannot be satisfied.")
	}
	return nil
}

// severalRanges also holds for a header without any range. Upstream refuses
// both, so that answers in several parts never occur.
func severalRanges(header string) bool {
	_, list, _ := strings.Cut(header, "=")
	return strings.Contains(list, ",") || strings.TrimSpace(list) == ""
}

// rangeWriter holds back ServeContent's own words about a range that cannot be
// served.
type rangeWriter struct {
	http.ResponseWriter
	refused bool
}

func (w *rangeWriter) WriteHeader(status int) {
	if status == http.StatusRequestedRangeNotSatisfiable {
		w.refused = true
		return
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *rangeWriter) Write(p []byte) (int, error) {
	if w.refused {
		return len(p), nil
	}
	return w.ResponseWriter.Write(p)
}

var _ io.ReaderFrom = (*rangeWriter)(nil)

// ReadFrom keeps the server's fast way from file to connection.
func (w *rangeWriter) ReadFrom(r io.Reader) (int64, error) { return io.Copy(w.ResponseWriter, r) }

// findRecording returns a recording of the CDR in the path if its own tenant is
// visible. That of the CDR does not matter: a call between tenants is one CDR,
// and the audio belongs to the tenant whose rule or user wanted it (design 5).
func (s *Server) findRecording(r *http.Request, rc request) (recorder.Recording, int64, error) {
	id, want := cdrID(r), strings.ToLower(r.PathValue("recording_uuid"))
	rec, ok, err := s.cdrs.Recording(r.Context(), want)
	if err != nil || ok && rec.CDRID == id && slices.Contains(rc.visible, rec.TenantUUID) {
		return rec, id, err
	}
	_, ok, err = s.cdrs.ByID(r.Context(), id, rc.visible)
	switch {
	case err != nil:
		return recorder.Recording{}, 0, err
	case !ok:
		return recorder.Recording{}, 0, cdrNotFound(id)
	}
	return recorder.Recording{}, 0, recordingNotFound(want)
}

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
