package api

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"

	"callrecordd/internal/export"
	"callrecordd/internal/retention"
)

// Keep is what the API needs to remove, hold and export recordings.
type Keep struct {
	Media    Media
	Holds    Holds
	Exports  Exports
	Policies Policies
	// Defaults are for tenants without a policy of their own.
	Defaults retention.Days
	// Link is the address under which others reach the API, empty if it is the
	// one that a request names.
	Link string
}

// Media removes the media of recordings.
type Media interface {
	// OfCDRs returns those of the CDRs that belong to one of the tenants.
	OfCDRs(ctx context.Context, ids []int64, tenants []string) (map[int64]retention.Media, error)
	// Remove is retention.Remover's.
	Remove(ctx context.Context, uuids []string, actor, why string, outcome func(uuid string, err error)) error
}

// Holds are the legal holds of CDRs. That there is none to release, or no such
// CDR, is retention.ErrNotFound.
type Holds interface {
	Hold(ctx context.Context, cdrID int64) (h retention.Hold, ok bool, err error)
	SetHold(ctx context.Context, cdrID int64, reason, actor string) error
	ReleaseHold(ctx context.Context, cdrID int64, reason, actor string) error
}

// Policies say for how long tenants keep things.
type Policies interface {
	Policy(ctx context.Context, tenant string) (retention.Policy, error)
	SetPolicy(ctx context.Context, tenant string, p retention.Policy, actor string) error
}

// Exports makes archives.
type Exports interface {
	// Create returns export.ErrNothing if what the query finds has no recording. Of
	// that the order and the part do not count.
	Create(ctx context.Context, r export.Request, q Query) (export.Export, error)
	Get(ctx context.Context, uuid string, tenants []string) (e export.Export, ok bool, err error)
	Open(e export.Export) (*os.File, error)
}

// actor is who did it, in events.
func (rc request) actor() string {
	if rc.token.UserUUID != "" {
		return "user:" + rc.token.UserUUID
	}
	return "token:" + rc.token.ID
}

// keepRoutes are the rows of removal, retention and holds.
func (s *Server) keepRoutes() []route {
	const hold = "call-logd.cdr.{cdr_id}.hold."
	done := func(about string) []answerRow { return []answerRow{{status: http.StatusNoContent, about: about}} }
	rows := []route{
		{
			method: "DELETE", path: "/cdr/{cdr_id:int}/recordings/{recording_uuid:uuid}/media",
			acl:     "call-logd.cdr.{cdr_id}.recordings.{recording_uuid}.media.delete",
			summary: "Remove the audio of a recording", answers: done("It is gone"), handle: s.deleteMedia,
		},
		{
			method: "DELETE", path: "/cdr/recordings/media", acl: "call-logd.cdr.recordings.media.delete",
			summary: "Remove the audio of all recordings of some CDRs", body: removedJSON{}, answers: done("It is gone"),
			handle: s.deleteManyMedia,
		},
		{
			method: "GET", path: "/retention", acl: "call-logd.retention.read", summary: "Say how long things are kept",
			answers: []answerRow{{status: http.StatusOK, about: "In days; null is the default, 0 is for ever", body: retentionJSON{}}},
			handle:  s.getRetention,
		},
		{
			method: "PUT", path: "/retention", acl: "call-logd.retention.update", summary: "Choose how long things are kept",
			body: retentionDaysJSON{}, answers: done("It is chosen"), handle: s.putRetention,
		},
		{
			method: "GET", path: "/cdr/{cdr_id:int}/hold", acl: hold + "read", summary: "Describe the legal hold of a CDR",
			answers: []answerRow{{status: http.StatusOK, about: "The hold", body: holdJSON{}}}, handle: s.getHold,
		},
		{
			method: "PUT", path: "/cdr/{cdr_id:int}/hold", acl: hold + "update",
			summary: "Put a CDR under legal hold: nothing of it can be removed", body: reasonJSON{}, answers: done("It is held"),
			handle: s.putHold,
		},
		{
			method: "DELETE", path: "/cdr/{cdr_id:int}/hold", acl: hold + "delete", summary: "End the legal hold of a CDR",
			answers: done("It is held no more"), handle: s.deleteHold,
		},
	}
	for i := range rows {
		rows[i].service = CallLogd
	}
	return rows
}

// The bodies of these routes.
type (
	// removedJSON says of which CDRs the audio is removed.
	removedJSON struct {
		CDRIDs []int64 `json:"cdr_ids"`
	}
	reasonJSON struct {
		Reason string `json:"reason"`
	}
	holdJSON struct {
		CDRID  int64   `json:"cdr_id"`
		Reason string  `json:"reason"`
		By     string  `json:"by"`
		At     *string `json:"at"`
	}
	retentionDaysJSON struct{ retention.Policy }
	retentionJSON     struct {
		TenantUUID string `json:"tenant_uuid"`
		retention.Policy
		DefaultCDR       int `json:"default_cdr_days"`
		DefaultExport    int `json:"default_export_days"`
		DefaultRecording int `json:"default_recording_days"`
	}
)

const heldMessage = "The CDR is under legal hold: nothing of it can be removed"

func heldProblem(cdrID int64, reason string) *problem {
	return &problem{
		http.StatusConflict, "cdr-held", heldMessage,
		map[string]any{"cdr_id": cdrID, "reason": reason},
	}
}

// removalProblem is why media could not be removed, as clients see it: the
// statuses and ids of cdr-api 6.6, without any path.
func removalProblem(err error, cdrID int64, uuid string) error {
	details := map[string]any{"cdr_id": cdrID, "recording_uuid": uuid}
	if held, ok := errors.AsType[*retention.HeldError](err); ok {
		// Why is for those who may see the hold: the call may be another tenant's.
		return &problem{http.StatusConflict, "cdr-held", heldMessage, map[string]any{"cdr_id": held.CDRID}}
	}
	switch {
	case errors.Is(err, retention.ErrNotFinal):
		return &problem{http.StatusConflict, "recording-not-ended", "The recording has not ended yet", details}
	case errors.Is(err, retention.ErrNotFound):
		return recordingNotFound(uuid)
	case errors.Is(err, retention.ErrFile) && errors.Is(err, fs.ErrPermission):
		return &problem{
			http.StatusInternalServerError, "recording-media-permission-denied", "Recording media: permission denied", details,
		}
	case errors.Is(err, retention.ErrFile):
		return &problem{
			http.StatusInternalServerError, "recording-media-not-removed", "Recording media: the file cannot be removed", details,
		}
	}
	return err
}

// remove removes media of CDRs. One that cannot be removed does not keep the
// others; the first of them is the answer.
func (s *Server) remove(r *http.Request, rc request, uuids []string, cdrOf map[string]int64) error {
	var first error
	err := s.keep.Media.Remove(r.Context(), uuids, rc.actor(), retention.WhyRequest, func(uuid string, err error) {
		if err == nil {
			return
		}
		// The client learns no path; whoever runs the daemon must.
		s.log.Warn("recording was not removed", "recording_uuid", uuid, "err", err)
		if first == nil {
			first = removalProblem(err, cdrOf[uuid], uuid)
		}
	})
	return errors.Join(err, first)
}

func (s *Server) deleteMedia(w http.ResponseWriter, r *http.Request, rc request) error {
	rec, cdrID, err := s.findRecording(r, rc)
	if err != nil {
		return err
	}
	if err := s.remove(r, rc, []string{rec.UUID}, map[string]int64{rec.UUID: cdrID}); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// deleteManyMedia checks all CDRs before it touches anything (cdr-api 6.7).
func (s *Server) deleteManyMedia(w http.ResponseWriter, r *http.Request, rc request) error {
	b, err := readPayload(r)
	if err != nil {
		return err
	}
	ids := b.integers("cdr_ids", true)
	if problem := b.problem(); problem != nil {
		return problem
	}
	found, err := s.keep.Media.OfCDRs(r.Context(), ids, rc.visible)
	if err != nil {
		return err
	}
	var uuids []string
	cdrOf := map[string]int64{}
	for _, id := range ids {
		m, ok := found[id]
		if !ok {
			return cdrNotFound(id)
		}
		if m.Hold != nil {
			return heldProblem(id, *m.Hold)
		}
		for _, uuid := range m.UUIDs {
			if _, again := cdrOf[uuid]; !again {
				uuids = append(uuids, uuid)
			}
			cdrOf[uuid] = id
		}
	}
	if err := s.remove(r, rc, uuids, cdrOf); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// visibleCDR checks that the CDR in the path is.
func (s *Server) visibleCDR(r *http.Request, rc request) (int64, error) {
	id := cdrID(r)
	found, err := s.keep.Media.OfCDRs(r.Context(), []int64{id}, rc.visible)
	if _, ok := found[id]; err == nil && !ok {
		err = cdrNotFound(id)
	}
	return id, err
}

func notHeld(id int64) *problem {
	return &problem{http.StatusNotFound, "cdr-not-held", "The CDR is not under legal hold", map[string]any{"cdr_id": id}}
}

// getHold and the two below have no counterpart in Wazo.
func (s *Server) getHold(w http.ResponseWriter, r *http.Request, rc request) error {
	id, err := s.visibleCDR(r, rc)
	if err != nil {
		return err
	}
	h, ok, err := s.keep.Holds.Hold(r.Context(), id)
	if err != nil {
		return err
	}
	if !ok {
		return notHeld(id)
	}
	writeJSON(w, http.StatusOK, holdJSON{h.CDRID, h.Reason, h.By, timestamp(h.At)})
	return nil
}

func (s *Server) putHold(w http.ResponseWriter, r *http.Request, rc request) error {
	b, err := readPayload(r)
	if err != nil {
		return err
	}
	reason := b.text("reason", 1, 1000)
	if problem := b.problem(); problem != nil {
		return problem
	}
	id, err := s.visibleCDR(r, rc)
	if err != nil {
		return err
	}
	switch err := s.keep.Holds.SetHold(r.Context(), id, reason, rc.actor()); {
	case errors.Is(err, retention.ErrNotFound): // gone since
		return cdrNotFound(id)
	case err != nil:
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) deleteHold(w http.ResponseWriter, r *http.Request, rc request) error {
	id, err := s.visibleCDR(r, rc)
	if err != nil {
		return err
	}
	switch err := s.keep.Holds.ReleaseHold(r.Context(), id, "", rc.actor()); {
	case errors.Is(err, retention.ErrNotFound):
		return notHeld(id)
	case err != nil:
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) getRetention(w http.ResponseWriter, r *http.Request, rc request) error {
	p, err := s.keep.Policies.Policy(r.Context(), rc.tenant)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, retentionJSON{rc.tenant, p, s.keep.Defaults.CDR, s.keep.Defaults.Export, s.keep.Defaults.Recording})
	return nil
}

// putRetention replaces all: what is missing becomes null (cdr-api 8.2).
func (s *Server) putRetention(w http.ResponseWriter, r *http.Request, rc request) error {
	b, err := readPayload(r)
	if err != nil {
		return err
	}
	p := retention.Policy{
		CDRDays: b.days("cdr_days"), ExportDays: b.days("export_days"), RecordingDays: b.days("recording_days"),
	}
	if problem := b.problem(); problem != nil {
		return problem
	}
	if field, why := p.Wrong(); field != "" {
		return invalidData(map[string]any{field: []any{why}})
	}
	if err := s.keep.Policies.SetPolicy(r.Context(), rc.tenant, p, rc.actor()); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
