package api

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/mail"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"callrecordd/internal/export"
)

// exportRoutes are the rows of archives.
func (s *Server) exportRoutes() []route {
	const one = "/exports/{export_uuid:uuid}"
	zip := []string{zipType}
	return []route{
		{
			service: CallLogd, method: "POST", path: "/cdr/recordings/media/export", acl: "call-logd.cdr.recordings.media.export.create",
			summary: "Make an archive of recordings",
			query:   append(filterParams(), param{name: "email", kind: text, about: "Who gets a link to the archive when it is done."}),
			body:    exportedJSON{},
			answers: []answerRow{{status: http.StatusAccepted, about: "It will be made; Location is where to ask for it", body: exportCreatedJSON{}}},
			handle:  s.createExport,
		},
		{
			service: CallLogd, method: "GET", path: one, acl: "call-logd.exports.{export_uuid}.read", summary: "Describe an archive",
			answers: []answerRow{{status: http.StatusOK, about: "The archive", body: exportJSON{}}}, handle: s.getExport,
		},
		{
			service: CallLogd, method: "GET", path: one + "/download", acl: "call-logd.exports.{export_uuid}.download.read",
			queryToken: true, queryTenant: true, summary: "Get an archive",
			answers: []answerRow{
				{status: http.StatusOK, about: "The archive", media: zip},
				{status: http.StatusPartialContent, about: "The range asked for", media: zip},
				{status: http.StatusAccepted, about: "It is not done yet", body: problemJSON{}},
				{status: http.StatusNotModified, about: "The client has it already"},
			},
			handle: s.download,
		},
	}
}

const zipType = "application/zip"

// exportedJSON says of which CDRs an archive is made; null is all that match.
type exportedJSON struct {
	CDRIDs *[]int64 `json:"cdr_ids,omitempty"`
}

type exportCreatedJSON struct {
	UUID string `json:"uuid"`
}

// exportJSON is an archive (cdr-api 7.5); the keys after status are ours.
type exportJSON struct {
	UUID        string  `json:"uuid"`
	TenantUUID  string  `json:"tenant_uuid"`
	UserUUID    string  `json:"user_uuid"`
	RequestedAt *string `json:"requested_at"`
	Filename    string  `json:"filename"`
	Status      string  `json:"status"`
	Cause       *string `json:"cause"`
	Files       int     `json:"files"`
	Bytes       int64   `json:"bytes"`
	Missing     int     `json:"missing"`
}

// createExport asks for an archive (cdr-api 7.1 to 7.4). The export belongs to
// the token's tenant, whatever tenant was selected: who asks can fetch it.
func (s *Server) createExport(w http.ResponseWriter, r *http.Request, rc request) error {
	p := newParams(queryOf(r))
	sel := p.selection(rc)
	email := p.email("email")
	if problem := p.problem(); problem != nil {
		return problem
	}
	b, err := readPayload(r)
	if err != nil {
		return err
	}
	ids := b.integers("cdr_ids", false)
	if problem := b.problem(); problem != nil {
		return problem
	}
	sel.restrict(ids)
	owner := rc.token.UserUUID
	if owner == "" {
		owner = rc.token.AuthID
	}
	link := s.keep.Link
	if link == "" {
		// Whoever is mailed comes from outside, where there is TLS (cdr-api 7.11).
		outside := rc.origin
		outside.scheme = "https"
		link = outside.url("")
	}
	e, err := s.keep.Exports.Create(r.Context(), export.Request{
		TenantUUID: rc.token.TenantUUID, UserUUID: owner, Actor: rc.actor(), Email: email, Link: link,
	}, sel)
	if errors.Is(err, export.ErrNothing) {
		return &problem{http.StatusBadRequest, "no-recording-to-export", "No recording to export", nil}
	}
	if err != nil {
		return err
	}
	w.Header().Set("Location", rc.origin.path(CallLogd.version()+"/exports/"+e.UUID))
	writeJSON(w, http.StatusAccepted, exportCreatedJSON{e.UUID})
	return nil
}

// selection reads of which calls the recordings are wanted. What else a list
// can be asked for does not count (cdr-api 7.1).
func (p *params) selection(rc request) Query {
	q := p.filters()
	q.Tenants = []string{rc.tenant}
	if p.boolean("recurse", false) {
		q.Tenants = rc.visible
	}
	return q
}

// restrict leaves only those of the ids that were there; nil restricts nothing,
// an empty list leaves none (design 7).
func (q *Query) restrict(ids []int64) {
	switch {
	case ids == nil:
	case q.IDs == nil:
		q.IDs = ids
	default:
		q.IDs = slices.DeleteFunc(slices.Clone(q.IDs), func(id int64) bool { return !slices.Contains(ids, id) })
	}
}

// email reads a bare address: nothing in it could become a header.
func (p *params) email(name string) string {
	v := p.values.Get(name)
	if !p.values.Has(name) {
		return ""
	}
	if a, err := mail.ParseAddress(v); err != nil || a.Address != v || len(v) > 254 || strings.ContainsAny(v, "\r\n\x00") {
		p.wrong[name] = wrongValue("Not a valid email address.", "type", "email")
		return ""
	}
	return v
}

func exportNotFound(uuid string) *problem {
	return &problem{
		http.StatusNotFound, "export-not-found-with-given-uuid", "No export found matching this UUID",
		map[string]any{"export_uuid": uuid},
	}
}

func (s *Server) findExport(r *http.Request, tenants []string) (export.Export, error) {
	uuid := strings.ToLower(r.PathValue("export_uuid"))
	e, ok, err := s.keep.Exports.Get(r.Context(), uuid, tenants)
	if err == nil && !ok {
		err = exportNotFound(uuid)
	}
	return e, err
}

func (s *Server) getExport(w http.ResponseWriter, r *http.Request, rc request) error {
	e, err := s.findExport(r, rc.visible)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, exportToJSON(e))
	return nil
}

func exportToJSON(e export.Export) exportJSON {
	return exportJSON{
		e.UUID, e.TenantUUID, e.UserUUID, timestamp(e.RequestedAt), e.Filename(), string(e.Status), orNull(e.Cause),
		e.Files, e.Bytes, e.Missing,
	}
}

// download sends the archive; the order of the checks is that of cdr-api 7.10.
func (s *Server) download(w http.ResponseWriter, r *http.Request, rc request) error {
	e, err := s.findExport(r, []string{rc.tenant})
	if err != nil {
		return err
	}
	details := map[string]any{"export_uuid": e.UUID}
	switch e.Status {
	case export.Pending, export.Processing:
		return &problem{http.StatusAccepted, "export-not-done-yet", "Export: not done yet", details}
	case export.Failed: // upstream has no file for those either
		return exportNotFound(e.UUID)
	case export.Finished:
	}
	f, info, err := openArchive(s.keep.Exports, e)
	if err != nil {
		s.log.Warn("archive cannot be read", "export", e.UUID, "err", err)
		if errors.Is(err, fs.ErrPermission) {
			return &problem{http.StatusInternalServerError, "export-permission-denied", "Export: permission denied", details}
		}
		return &problem{http.StatusInternalServerError, "export-filesystem-not-found", "Export: not found on filesystem", details}
	}
	defer func() { _ = f.Close() }() // opened for reading
	h := w.Header()
	h.Set("Content-Type", binaryType(r, zipType))
	h.Add("Vary", "Accept")
	h.Set("Cache-Control", "no-cache")
	// An archive appears once and never changes.
	h.Set("ETag", strconv.Quote(e.UUID))
	h.Set("Content-Disposition", disposition("attachment", e.Filename()))
	s.gave(r, eventDownloaded, "", rc.actor(), ReadData{Export: e.UUID})
	serveFile(w, r, f, info)
	return nil
}

func openArchive(exports Exports, e export.Export) (*os.File, fs.FileInfo, error) {
	f, err := exports.Open(e)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: %w", f.Name(), syscall.EINVAL)
	}
	if err != nil {
		_ = f.Close() // opened for reading
		return nil, nil, err
	}
	return f, info, nil
}
