package api

import (
	"errors"
	"net/http"

	"callrecordd/internal/directory"
)

// confAnnouncements are the sounds at the beginning and end of recordings;
// null is none (recording-rules 5.7).
type confAnnouncements struct {
	Start *string `json:"recording_start"`
	Stop  *string `json:"recording_stop"`
}

func (s *Server) announcementRoutes() []route {
	const path, acl = "/recordings/announcements", "confd.recordings.announcements."
	return []route{
		{
			service: Confd, method: "GET", path: path, acl: acl + "read",
			summary: "The sounds that tell of a recording",
			answers: []answerRow{{status: http.StatusOK, about: "The sounds of the tenant", body: confAnnouncements{}}},
			handle:  s.getAnnouncements,
		},
		{
			service: Confd, method: "PUT", path: path, acl: acl + "update",
			summary: "Choose the sounds that tell of a recording", body: confAnnouncements{},
			answers: []answerRow{{status: http.StatusNoContent, about: "They count for what begins or ends from now on"}},
			handle:  s.putAnnouncements,
		},
	}
}

func (s *Server) getAnnouncements(w http.ResponseWriter, _ *http.Request, rc request) error {
	t, _ := s.directory.Book().Tenant(rc.tenant)
	writeJSON(w, http.StatusOK, AnnouncementsEventData(t.Announce))
	return nil
}

// AnnouncementsEventData is the data of the event that a tenant's announcements
// were changed: what GET /recordings/announcements answers.
func AnnouncementsEventData(a directory.Announcements) any {
	return confAnnouncements{orNull(a.Start), orNull(a.Stop)}
}

func (s *Server) putAnnouncements(w http.ResponseWriter, r *http.Request, rc request) error {
	b, err := readConf(w, r)
	if err != nil {
		return err
	}
	_, err = s.directory.EditTenant(r.Context(), rc.token.AuthID, rc.tenant, func(t *directory.Tenant) error {
		b.text("recording_start", &t.Announce.Start, true)
		b.text("recording_stop", &t.Announce.Stop, true)
		return b.problem()
	})
	if invalid, ok := errors.AsType[*directory.ErrInvalid](err); ok {
		return inputError(invalid.Field, invalid.Text)
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
