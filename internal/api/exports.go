package api

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/mail"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"callrecordd/internal/export"
)

// createExport asks for an archive (cdr-api 7.1 to 7.4). The export belongs to
// the token's tenant, whatever tenant was selected: who asks can fetch it.
func (s *Server) createExport(w http.ResponseWriter, r *http.Request, rc request) error {
	p := newParams(r.URL.Query())
	sel := p.selection(rc)
	email := p.email("email")
	if problem := p.problem(); problem != nil {
		return problem
	}
	b, err := readObject(w, r)
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
	prefix := strings.TrimSuffix(r.URL.Path, "/1.0/cdr/recordings/media/export")
	link := s.keep.Link
	if link == "" {
		// Whoever is mailed comes from outside, where there is TLS (cdr-api 7.11).
		link = (&url.URL{Scheme: "https", Host: r.Host, Path: prefix}).String()
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
	w.Header().Set("Location", prefix+"/1.0/exports/"+e.UUID)
	writeJSON(w, http.StatusAccepted, map[string]string{"uuid": e.UUID})
	return nil
}

// fileNamed is a name under which a recording is downloaded: it stands for its
// CDR (cdr-api 3).
var fileNamed = regexp.MustCompile(`-([0-9]{1,18})-[a-z0-9-]{36}`)

// selection reads the filters that exports have in common with lists.
func (p *params) selection(rc request) Selection {
	sel := Selection{
		Tenants: []string{rc.tenant}, From: p.datetime("from"), Until: p.datetime("until"),
		CallDirection: p.choice("call_direction", "", "internal", "inbound", "outbound"),
		Number:        p.matching("number", `^_?[0-9]+_?$`),
		Tags:          p.list("tags"), UserUUIDs: p.list("user_uuid"), FromID: int64(p.count("from_id", 0)),
	}
	if !p.values.Has("until") {
		sel.Until = p.datetime("to") // the published weekly script's (design 7)
	}
	if p.boolean("recurse", false) {
		sel.Tenants = rc.visible
	}
	search := p.values.Get("search")
	if m := fileNamed.FindStringSubmatch(search); m != nil {
		id, _ := strconv.ParseInt(m[1], 10, 64) // eighteen digits fit
		sel.restrict([]int64{id})
	} else if sel.Search = search; strings.ContainsRune(search, 0) {
		sel.restrict([]int64{}) // it is in no name
	}
	return sel
}

// restrict leaves only those of the ids that were there; nil restricts nothing.
func (s *Selection) restrict(ids []int64) {
	if ids == nil {
		return
	}
	if s.IDs == nil {
		s.IDs = ids
		return
	}
	both := []int64{}
	for _, id := range ids {
		for _, other := range s.IDs {
			if id == other {
				both = append(both, id)
			}
		}
	}
	s.IDs = both
}

// list reads values with commas between them.
func (p *params) list(name string) []string {
	if !p.values.Has(name) {
		return nil
	}
	v := p.values.Get(name)
	if v == "" {
		p.wrong[name] = wrongValue("Shorter than minimum length 1.", "length", map[string]any{"min": 1, "max": nil})
		return nil
	}
	return strings.Split(v, ",")
}

func (p *params) matching(name, pattern string) string {
	v := p.values.Get(name)
	if p.values.Has(name) && !regexp.MustCompile(pattern).MatchString(v) {
		p.wrong[name] = wrongValue("String does not match expected pattern.", "regex", pattern)
	}
	return v
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

// getExport describes an export (cdr-api 7.5); the keys after status are ours.
func (s *Server) getExport(w http.ResponseWriter, r *http.Request, rc request) error {
	e, err := s.findExport(r, rc.visible)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, struct {
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
	}{
		e.UUID, e.TenantUUID, e.UserUUID, timestamp(e.RequestedAt), e.Filename(), string(e.Status), orNull(e.Cause),
		e.Files, e.Bytes, e.Missing,
	})
	return nil
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
	h.Set("Content-Type", "application/zip")
	h.Set("Cache-Control", "no-cache")
	// An archive appears once and never changes.
	h.Set("ETag", strconv.Quote(e.UUID))
	h.Set("Content-Disposition", "attachment; filename="+e.Filename())
	rng := r.Header.Get("Range")
	rw := &rangeWriter{ResponseWriter: w}
	if rng != "" && severalRanges(rng) {
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
