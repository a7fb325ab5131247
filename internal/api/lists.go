package api

import (
	"net/http"
)

// listRoutes are the rows of CDRs.
func (s *Server) listRoutes() []route {
	return []route{
		{
			service: CallLogd, method: "GET", path: "/cdr", acl: "call-logd.cdr.read", queryToken: true, queryTenant: true,
			summary: "List CDRs",
			query: []param{
				{name: "from", kind: datetime, about: "The call began at this time or later."},
				{name: "until", kind: datetime, about: "The call began before this time."},
				{name: "limit", kind: integer, about: "How many at most; 0 is no limit, 1000 the default."},
				{name: "offset", kind: integer, about: "How many to leave out."},
				{name: "direction", kind: text, choices: []string{"asc", "desc"}, about: "The newest first (desc, the default) or last."},
				{name: "recurse", kind: boolean, about: "The tenants below as well."},
			},
			answers: []answer{{status: http.StatusOK, about: "The CDRs that match", body: cdrList{}}},
			handle:  s.listCDRs,
		},
		{
			service: CallLogd, method: "GET", path: "/cdr/{cdr_id:int}", acl: "call-logd.cdr.{cdr_id}.read",
			summary: "Get a CDR",
			answers: []answer{{status: http.StatusOK, about: "The CDR", body: cdrJSON{}}},
			handle:  s.getCDR,
		},
	}
}

// cdrList is a part of the list of CDRs.
type cdrList struct {
	Items    []cdrJSON `json:"items"`
	Total    int       `json:"total"`
	Filtered int       `json:"filtered"`
}

const defaultLimit = 1000

func (s *Server) listCDRs(w http.ResponseWriter, r *http.Request, rc request) error {
	p := newParams(r.URL.Query())
	q := Query{
		Tenants: []string{rc.tenant},
		From:    p.datetime("from"),
		Until:   p.datetime("until"),
		Limit:   p.count("limit", defaultLimit),
		Offset:  p.count("offset", 0),
	}
	q.Descending = p.choice("direction", "desc", "asc", "desc") == "desc"
	if p.boolean("recurse", false) {
		q.Tenants = rc.visible
	}
	if problem := p.problem(); problem != nil {
		return problem
	}
	page, err := s.cdrs.List(r.Context(), q)
	if err != nil {
		return err
	}
	out := cdrList{Items: make([]cdrJSON, 0, len(page.Items)), Total: page.Total, Filtered: page.Filtered}
	for _, item := range page.Items {
		out.Items = append(out.Items, toJSON(item, q.Tenants))
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

func (s *Server) getCDR(w http.ResponseWriter, r *http.Request, rc request) error {
	id := cdrID(r)
	record, ok, err := s.cdrs.ByID(r.Context(), id, rc.visible)
	if err != nil {
		return err
	}
	if !ok {
		return cdrNotFound(id)
	}
	writeJSON(w, http.StatusOK, toJSON(record, rc.visible))
	return nil
}
