package api

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"callrecordd/internal/recorder"
)

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
	f, err := s.openMedia(rec)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("stat recording %s: %w", rec.UUID, err)
	}
	if !info.Mode().IsRegular() {
		return mediaProblem(http.StatusInternalServerError, "recording-media-filesystem-not-found",
			"Recording media: not found on filesystem", rec.UUID)
	}
	h := w.Header()
	h.Set("Content-Type", "audio/wav")
	h.Set("Cache-Control", "no-cache")
	if rec.SHA256 != "" {
		h.Set("ETag", strconv.Quote(rec.SHA256))
	}
	disposition := "attachment"
	if rng := r.Header.Get("Range"); rng != "" {
		disposition = "inline"
		if strings.Contains(rng, ",") {
			// Upstream refuses several ranges; so multipart answers never occur.
			h.Set("Content-Range", fmt.Sprintf("bytes */%d", info.Size()))
			writeMessage(w, http.StatusRequestedRangeNotSatisfiable, "The requested range cannot be satisfied.")
			return nil
		}
	}
	h.Set("Content-Disposition", disposition+"; filename="+filename(rec, cdrID))
	http.ServeContent(w, r, "", info.ModTime(), f)
	return nil
}

func (s *Server) findRecording(r *http.Request, rc request) (recorder.Recording, int64, error) {
	id, err := strconv.ParseInt(r.PathValue("cdr_id"), 10, 64)
	if err != nil {
		return recorder.Recording{}, 0, errNoRoute
	}
	want, err := uuid.Parse(r.PathValue("recording_uuid"))
	if err != nil {
		return recorder.Recording{}, 0, errNoRoute
	}
	record, ok, err := s.cdrs.ByID(r.Context(), id, rc.visible)
	if err != nil {
		return recorder.Recording{}, 0, err
	}
	if !ok {
		return recorder.Recording{}, 0, cdrNotFound(id)
	}
	for _, rec := range record.Recordings {
		if rec.UUID == want.String() {
			return rec, id, nil
		}
	}
	return recorder.Recording{}, 0, recordingNotFound(want.String())
}

// openMedia opens the file below the recordings root and nowhere else: os.Root
// refuses links that lead out of it.
func (s *Server) openMedia(rec recorder.Recording) (*os.File, error) {
	switch rec.State {
	case recorder.Ready, recorder.Interrupted, recorder.Empty:
	case recorder.Deleted:
		return nil, mediaProblem(http.StatusBadRequest, "recording-media-not-found", "No recording media found", rec.UUID)
	case recorder.Starting, recorder.Live, recorder.Paused, recorder.Closing:
		return nil, mediaProblem(http.StatusBadRequest, "recording-media-not-found",
			"No recording media found: the recording has not ended yet", rec.UUID)
	case recorder.Missing:
	}
	root, err := os.OpenRoot(s.root)
	if err != nil {
		s.log.Error("recordings root cannot be opened", "err", err)
		return nil, mediaProblem(http.StatusInternalServerError, "recording-media-filesystem-not-found",
			"Recording media: not found on filesystem", rec.UUID)
	}
	defer root.Close()
	// O_NONBLOCK: a FIFO in the file's place must not hang the request.
	f, err := root.OpenFile(rec.TenantUUID+"/monitor/"+rec.UUID+".wav", os.O_RDONLY|nonblock, 0)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, mediaProblem(http.StatusInternalServerError, "recording-media-permission-denied",
			"Recording media: permission denied", rec.UUID)
	case err != nil:
		return nil, mediaProblem(http.StatusInternalServerError, "recording-media-filesystem-not-found",
			"Recording media: not found on filesystem", rec.UUID)
	}
	return f, nil
}
