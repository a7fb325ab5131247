package api

import (
	"context"
	"net/http"
	"slices"

	"callrecordd/internal/recorder"
	"callrecordd/internal/why"
)

// Why has what calls are explained with.
type Why interface {
	// Events returns the events of a CDR, in the order in which they were stored.
	Events(ctx context.Context, cdrID int64) ([]why.Event, error)
	// Names are those of now.
	Names() why.Names
}

// whyJSON is the story of a call.
type whyJSON struct {
	CDRID   int64         `json:"cdr_id"`
	Summary string        `json:"summary"`
	Steps   []whyStepJSON `json:"steps"`
}

// whyStepJSON is a step with its time as it is written everywhere.
type whyStepJSON struct {
	At *string `json:"time"`
	why.Step
}

// whyRoutes has no counterpart in Wazo. There is none below /users/me: whose
// rule has recorded a call is not for everybody who was in it.
func (s *Server) whyRoutes() []route {
	return []route{{
		service: CallLogd, method: "GET", path: "/cdr/{cdr_id:int}/why", acl: "call-logd.cdr.{cdr_id}.why.read",
		summary: "Say why a call was recorded or not",
		answers: []answerRow{{
			status: http.StatusOK, about: "Each decision with rule, inputs and outcome, and what became of the recordings", body: whyJSON{},
		}},
		handle: s.getWhy,
	}}
}

func (s *Server) getWhy(w http.ResponseWriter, r *http.Request, rc request) error {
	id := cdrID(r)
	record, ok, err := s.cdrs.ByID(r.Context(), id, rc.visible)
	if err != nil {
		return err
	}
	if !ok {
		return cdrNotFound(id)
	}
	events, err := s.why.Events(r.Context(), id)
	if err != nil {
		return err
	}
	answer := why.Explain(events, s.why.Names(), sightOf(record, rc.visible))
	out := whyJSON{CDRID: id, Summary: answer.Summary, Steps: make([]whyStepJSON, 0, len(answer.Steps))}
	for _, step := range answer.Steps {
		out.Steps = append(out.Steps, whyStepJSON{timestamp(step.At), step})
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

// sightOf is what one who sees those tenants may know of a call: of recordings
// those that GET /cdr/{id} lists.
func sightOf(r Record, visible []string) why.Sight {
	return why.Sight{
		Tenant: func(uuid string) bool { return slices.Contains(visible, uuid) },
		Recording: func(uuid string) bool {
			return slices.ContainsFunc(r.Recordings, func(rec recorder.Recording) bool {
				return rec.UUID == uuid && slices.Contains(visible, rec.TenantUUID)
			})
		},
	}
}
