package api

import (
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"callrecordd/internal/cdr"
	"callrecordd/internal/recorder"
)

// mediaRoutes are the rows of recordings' audio.
func (s *Server) mediaRoutes() []route {
	const (
		path = "/cdr/{cdr_id:int}/recordings/{recording_uuid:uuid}/media"
		acl  = "cdr.{cdr_id}.recordings.{recording_uuid}.media"
	)
	audio := []answerRow{
		{status: http.StatusOK, about: "The audio", media: []string{audioType}},
		{status: http.StatusPartialContent, about: "The range asked for", media: []string{audioType}},
		{status: http.StatusNotModified, about: "The client has it already"},
	}
	link := []answerRow{{status: http.StatusCreated, about: "The link", body: linkJSON{}}}
	return []route{
		{
			service: CallLogd, method: "GET", path: path, acl: "call-logd." + acl + ".read", queryToken: true, queryTenant: true,
			summary: "Get the audio of a recording", answers: audio, handle: s.getMedia(s.findRecording),
		},
		{
			service: CallLogd, method: "GET", path: "/users/me" + path, acl: "call-logd.users.me." + acl + ".read", queryTenant: true,
			summary: "Get the audio of a recording of one's own call", answers: audio, handle: s.getMedia(s.findMine),
		},
		{
			service: CallLogd, method: "POST", path: path + "/link", acl: "call-logd." + acl + ".link.create", query: lifetimeParam(),
			summary: "Make a link to a recording that works without a token for some minutes", answers: link, handle: s.makeLink(s.findRecording),
		},
		{
			service: CallLogd, method: "POST", path: "/users/me" + path + "/link", acl: "call-logd.users.me." + acl + ".link.create",
			query:   lifetimeParam(),
			summary: "Make a link to a recording of one's own call", answers: link, handle: s.makeLink(s.findMine),
		},
		{
			service: CallLogd, method: "GET", path: "/links" + path,
			query: []param{
				{name: "expires", kind: integer, about: "As in the link."}, {name: "signature", kind: text, about: "As in the link."},
			},
			summary: "Use a link", answers: audio, handle: s.getLinked,
		},
	}
}

const audioType = "audio/wav"

// binaryType adds a charset for clients that do not name the type they want.
// Wazo's Python clients are such: they try each answer as JSON, and without a
// charset guess the encoding of the whole audio, 4.6 s of CPU for each MiB
// (auth-and-clients 1.10).
func binaryType(r *http.Request, name string) string {
	accept := r.Header.Get("Accept")
	if accept == "" || strings.Contains(accept, name) {
		return name
	}
	return name + "; charset=binary"
}

// disposition is a Content-Disposition with a file name, unquoted as upstream's
// wherever the name allows it (cdr-api 6.4); else with the name in both forms
// of RFC 6266.
func disposition(how, name string) string {
	token := func(r rune) bool {
		return r < 0x7f && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("!#$&+-.^_`|~", r))
	}
	if name != "" && strings.IndexFunc(name, func(r rune) bool { return !token(r) }) < 0 {
		return how + "; filename=" + name
	}
	plain := strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f || r == '"' || r == '\\' || r == '/' {
			return '_'
		}
		return r
	}, name)
	return how + `; filename="` + plain + `"; filename*=UTF-8''` + strings.ReplaceAll(url.QueryEscape(name), "+", "%20")
}

// filename is the name under which a recording is downloaded (cdr-api 6.1).
func filename(r recorder.Recording, cdrID int64) string {
	return fmt.Sprintf("%sUTC-%d-%s.wav", began(r).UTC().Format("2006-01-02T15_04_05"), cdrID, r.UUID)
}

// handler answers a request of a route.
type handler = func(http.ResponseWriter, *http.Request, request) error

// finder returns the recording in the path with its CDR's id, if this client
// may have it.
type finder func(*http.Request, request) (recorder.Recording, int64, error)

// getMedia serves a recording.
func (s *Server) getMedia(find finder) handler {
	return func(w http.ResponseWriter, r *http.Request, rc request) error {
		rec, id, err := find(r, rc)
		if err != nil {
			return err
		}
		return s.sendMedia(w, r, rec, id, rc.actor())
	}
}

// sendMedia sends a recording, or the range of it that is asked for. Check
// order and outcomes are those of cdr-api 6.2; absent and unreadable files keep
// upstream's status and error id but never disclose a path (design 7).
func (s *Server) sendMedia(w http.ResponseWriter, r *http.Request, rec recorder.Recording, cdrID int64, actor string) error {
	f, info, err := s.openMedia(rec)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // opened for reading
	h := w.Header()
	h.Set("Content-Type", binaryType(r, audioType))
	h.Add("Vary", "Accept")
	h.Set("Cache-Control", "no-cache")
	if rec.SHA256 != "" {
		h.Set("ETag", strconv.Quote(rec.SHA256))
	}
	how := "attachment"
	if r.Header.Get("Range") != "" {
		how = "inline"
	}
	h.Set("Content-Disposition", disposition(how, filename(rec, cdrID)))
	s.gave(r, eventRead, rec.UUID, actor, ReadData{CDR: cdrID})
	serveFile(w, r, f, info)
	return nil
}

// serveFile sends a file, or the range of it that is asked for.
func serveFile(w http.ResponseWriter, r *http.Request, f io.ReadSeeker, info fs.FileInfo) {
	rng, h := r.Header.Get("Range"), w.Header()
	if rng == "" {
		http.ServeContent(w, r, "", info.ModTime(), f)
		return
	}
	rw := &rangeWriter{ResponseWriter: w}
	if notOneRange(rng) {
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
}

// notOneRange says that a header asks for several ranges or for none. Upstream
// refuses both, so that answers in several parts never occur. The last 0 bytes
// are none as well (RFC 9110, 14.1.2); ServeContent would send an empty part.
func notOneRange(header string) bool {
	_, list, _ := strings.Cut(header, "=")
	list = strings.TrimSpace(list)
	last, suffix := strings.CutPrefix(list, "-")
	return strings.Contains(list, ",") || list == "" || suffix && strings.Trim(last, "0 \t") == ""
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

// findMine is findRecording for /users/me/…: the call must be one of the
// user's and the recording of exactly the selected tenant. A call with somebody
// of another tenant is one CDR of that tenant, and the user's all the same
// (design 5).
func (s *Server) findMine(r *http.Request, rc request) (recorder.Recording, int64, error) {
	id, want := cdrID(r), strings.ToLower(r.PathValue("recording_uuid"))
	user, err := rc.user()
	if err != nil {
		return recorder.Recording{}, 0, err
	}
	tenants := []string{rc.tenant}
	if rc.tenant == rc.token.TenantUUID {
		tenants = s.tenants.Visible(s.tenants.Master())
	}
	record, ok, err := s.cdrs.ByID(r.Context(), id, tenants)
	if err != nil {
		return recorder.Recording{}, 0, err
	}
	if !ok || !slices.ContainsFunc(record.CDR.Participants, func(p cdr.Participant) bool { return p.UserUUID == user }) {
		return recorder.Recording{}, 0, cdrNotFound(id)
	}
	for _, rec := range record.Recordings {
		if rec.UUID == want && rec.TenantUUID == rc.tenant {
			return rec, id, nil
		}
	}
	return recorder.Recording{}, 0, recordingNotFound(want)
}
