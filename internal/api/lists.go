package api

import (
	"encoding/json"
	"net/http"
	"strings"
)

// listRoutes are the rows of CDRs.
func (s *Server) listRoutes() []route {
	list := func(path, acl, summary string, handle func(http.ResponseWriter, *http.Request, request) error) route {
		return route{
			service: CallLogd, method: "GET", path: path, acl: acl, queryToken: true, queryTenant: true,
			summary: summary, query: listParams(), handle: handle,
			answers: []answerRow{{
				status: http.StatusOK, about: "The CDRs that match", body: cdrList{}, media: []string{"application/json", csvType},
			}},
		}
	}
	return []route{
		list("/cdr", "call-logd.cdr.read", "List CDRs", s.listCDRs),
		list("/users/{user_uuid:uuid}/cdr", "call-logd.users.{user_uuid}.cdr.read", "List CDRs of a user", s.listUserCDRs),
		list("/users/me/cdr", "call-logd.users.me.cdr.read", "List CDRs of the token's user", s.listMyCDRs),
		{
			service: CallLogd, method: "GET", path: "/cdr/{cdr_id:int}", acl: "call-logd.cdr.{cdr_id}.read",
			summary: "Get a CDR",
			query:   []param{{name: "format", kind: text, choices: []string{"csv", "json"}, about: "CSV in place of JSON."}},
			answers: []answerRow{{
				status: http.StatusOK, about: "The CDR", body: cdrJSON{}, media: []string{"application/json", csvType},
			}},
			handle: s.getCDR,
		},
	}
}

// filterParams are those that lists and exports have in common.
func filterParams() []param {
	return []param{
		{name: "from", kind: datetime, about: "The call began at this time or later."},
		{name: "until", kind: datetime, about: "The call began before this time."},
		{name: "to", kind: datetime, about: "The same as until."},
		{name: "search", kind: text, about: "Part of a name or an extension of either party, whatever the case; or a recording's file name."},
		{name: "call_direction", kind: text, choices: []string{"internal", "inbound", "outbound"}, about: "The call's direction."},
		{name: "number", kind: text, about: "The extension of either party; _ at an end stands for anything."},
		{name: "tags", kind: text, array: true, about: "Participants have all of these tags."},
		{name: "user_uuid", kind: uuidText, array: true, about: "The source or the destination is one of these users."},
		{name: "from_id", kind: integer, about: "The CDR's id is this one or higher."},
		{name: "recurse", kind: boolean, about: "The tenants below as well."},
	}
}

func listParams() []param {
	return append(filterParams(), []param{
		{name: "call_status", kind: text, choices: []string{"answered", "blocked", "voicemail", "unknown"}, about: "The call's status; without it, all but blocked."},
		{name: "distinct", kind: text, choices: []string{"peer_exten"}, about: "Only the newest call of each user with each extension."},
		{name: "recorded", kind: boolean, about: "Whether the call has a recording."},
		{name: "conversation_id", kind: text, about: "The call's conversation."},
		{name: "requested_internal_extension", kind: text, about: "The internal extension that was called first."},
		{name: "requested_internal_context", kind: text, about: "Its context."},
		{name: "order", kind: text, choices: orderFields(), about: "What to order by, start by default."},
		{name: "direction", kind: text, choices: []string{"asc", "desc"}, about: "Of the order: the newest first (desc, the default) or last."},
		{name: "limit", kind: integer, about: "How many at most; 0 is no limit, 1000 the default."},
		{name: "offset", kind: integer, about: "How many to leave out."},
		{name: "cursor", kind: text, about: "Go on where a list with this next_cursor has ended; as fast on any page."},
		{name: "format", kind: text, choices: []string{"csv", "json"}, about: "CSV in place of JSON."},
	}...)
}

// cdrList is a part of the list of CDRs.
type cdrList struct {
	Items    []cdrJSON `json:"items"`
	Total    int       `json:"total"`
	Filtered int       `json:"filtered"`
	// NextCursor is null on the last page, and in any order but by start.
	NextCursor *string `json:"next_cursor"`
}

func (s *Server) listCDRs(w http.ResponseWriter, r *http.Request, rc request) error {
	return s.list(w, r, rc, nil)
}

// listUserCDRs forces the user_uuid of the path (cdr-api 3.4).
func (s *Server) listUserCDRs(w http.ResponseWriter, r *http.Request, rc request) error {
	return s.list(w, r, rc, func(q *Query) { q.UserUUIDs = []string{strings.ToLower(r.PathValue("user_uuid"))} })
}

// listMyCDRs has the calls with the token's user as any participant. A call
// between tenants belongs to one of them; the other's user sees it here, and
// nobody else of that tenant does (design 5).
func (s *Server) listMyCDRs(w http.ResponseWriter, r *http.Request, rc request) error {
	p := newParams(queryOf(r))
	if p.listQuery(); len(p.wrong) > 0 { // comes before the user (cdr-api 1.6)
		return p.problem()
	}
	user, err := rc.user()
	if err != nil {
		return err
	}
	return s.list(w, r, rc, func(q *Query) {
		q.Me, q.Tenants = user, []string{rc.tenant}
		if rc.tenant == rc.token.TenantUUID {
			q.Tenants = s.tenants.Visible(s.tenants.Master())
		}
	})
}

func (s *Server) list(w http.ResponseWriter, r *http.Request, rc request, narrow func(*Query)) error {
	p := newParams(queryOf(r))
	q := p.listQuery()
	q.Tenants = []string{rc.tenant}
	if p.boolean("recurse", false) {
		q.Tenants = rc.visible
	}
	format := p.choice("format", "json", "csv", "json")
	if problem := p.problem(); problem != nil {
		return problem
	}
	visible := q.Tenants
	if narrow != nil {
		narrow(&q)
	}
	mine := q.Me != ""
	if mine {
		visible = []string{rc.tenant}
	}
	if format == "csv" || wantsCSV(r) {
		return s.listAsCSV(w, r, q, visible, mine)
	}
	limit := q.Limit
	if limit > 0 && limit < maxInt { // one more, to see whether there is a next page
		q.Limit++
	}
	page, err := s.cdrs.List(r.Context(), q)
	if err != nil {
		return err
	}
	out := &late{w: w}
	out.header("Content-Type", "application/json")
	return out.finish(writeList(out, page, limit, q.Order == "start", func(rec Record) any {
		item := toJSON(rec, visible)
		if mine {
			return myCDR{cdrJSON: item}
		}
		return item
	}))
}

const maxInt = int(^uint(0) >> 1)

// myCDR is a CDR without tags (cdr-api 3.4).
type myCDR struct {
	cdrJSON
	Tags *struct{} `json:"tags,omitempty"`
}

// writeList writes a cdrList without having all of it at once.
func writeList(out *late, page Page, limit int, cursors bool, render func(Record) any) error {
	tail := cdrList{Total: page.Total, Filtered: page.Filtered}
	var last Record
	out.text(`{"items":[`)
	n := 0
	for rec, err := range page.Records {
		if err != nil {
			return err
		}
		if limit > 0 && n == limit {
			if cursors {
				next := Cursor{last.CDR.Start, last.CDR.ID}.String()
				tail.NextCursor = &next
			}
			break
		}
		item, err := json.Marshal(render(rec))
		if err != nil {
			return err
		}
		if n > 0 {
			out.text(",")
		}
		if err := out.write(item); err != nil {
			return err
		}
		last = rec
		n++
	}
	end, err := json.Marshal(tail)
	if err != nil {
		return err
	}
	_, rest, _ := strings.Cut(string(end), `"items":null`)
	out.text("]" + rest + "\n")
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
	if queryOf(r).Get("format") == "csv" || wantsCSV(r) {
		return writeCSV(w, Page{Records: func(yield func(Record, error) bool) { yield(record, nil) }}, rc.visible, false)
	}
	writeJSON(w, http.StatusOK, toJSON(record, rc.visible))
	return nil
}
