package api

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"callrecordd/internal/auth"
)

// A signed link is for a player or a colleague that cannot send a header. It
// opens one recording for minutes; a token in an address opens everything the
// token may do, and stays in logs and histories.

const (
	linkPurpose     = "media"
	defaultLinkTime = 5 * time.Minute
	maxLinkTime     = time.Hour
)

// linkJSON is a signed link.
type linkJSON struct {
	URL       string  `json:"url"`
	ExpiresAt *string `json:"expires_at"`
}

func lifetimeParam() []param {
	return []param{{name: "lifetime", kind: integer, about: "For how many seconds, 1 to 3600; 300 is the default."}}
}

// makeLink answers with a link to the recording, for whoever may hear it.
func (s *Server) makeLink(find finder) handler {
	return func(w http.ResponseWriter, r *http.Request, rc request) error {
		p := newParams(r.URL.Query())
		seconds := p.count("lifetime", int(defaultLinkTime/time.Second))
		if longest := int(maxLinkTime / time.Second); p.wrong["lifetime"] == nil && (seconds < 1 || seconds > longest) {
			p.wrong["lifetime"] = []any{map[string]any{
				"constraint_id": "range", "constraint": map[string]any{"min": 1, "max": longest},
				"message": "Must be greater than or equal to 1 and less than or equal to " + strconv.Itoa(longest) + ".",
			}}
		}
		if problem := p.problem(); problem != nil {
			return problem
		}
		rec, id, err := find(r, rc)
		if err != nil {
			return err
		}
		expires := s.now().Add(time.Duration(seconds) * time.Second).Truncate(time.Second)
		query := url.Values{
			"expires":   {strconv.FormatInt(expires.Unix(), 10)},
			"signature": {s.signer.Sign(linkPurpose, expires, strconv.FormatInt(id, 10), rec.UUID)},
		}
		path := CallLogd.version() + "/links/cdr/" + strconv.FormatInt(id, 10) + "/recordings/" + rec.UUID + "/media?" + query.Encode()
		w.Header().Set("Cache-Control", "no-store")
		writeJSON(w, http.StatusCreated, linkJSON{URL: rc.origin.url(path), ExpiresAt: timestamp(expires)})
		return nil
	}
}

// getLinked serves what a signed link is bound to.
func (s *Server) getLinked(w http.ResponseWriter, r *http.Request, _ request) error {
	id, uuid := cdrID(r), strings.ToLower(r.PathValue("recording_uuid"))
	query := r.URL.Query()
	seconds, err := strconv.ParseInt(query.Get("expires"), 10, 64)
	if err != nil {
		return linkRefused()
	}
	err = s.signer.Verify(query.Get("signature"), linkPurpose, time.Unix(seconds, 0), strconv.FormatInt(id, 10), uuid)
	switch {
	case errors.Is(err, auth.ErrExpired):
		return &problem{http.StatusGone, "link-expired", "This link has expired", map[string]any{"recording_uuid": uuid}}
	case err != nil:
		return linkRefused()
	}
	rec, ok, err := s.cdrs.Recording(r.Context(), uuid)
	if err != nil {
		return err
	}
	if !ok || rec.CDRID != id {
		return recordingNotFound(uuid)
	}
	return s.sendMedia(w, r, rec, id, "link")
}

func linkRefused() *problem {
	return &problem{http.StatusForbidden, "link-invalid", "This link is not valid", nil}
}
