package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"callrecordd/internal/cdr"
)

// Filter selects CDRs as cdr-api 3 says. Zero fields do not restrict, except
// Tenants.
type Filter struct {
	Tenants     []string  // only these; none: nothing is visible
	From, Until time.Time // From <= start < Until
	Limit       int       // 0: no limit
	Offset      int
	Order       string // one of Orders(); empty: start
	Ascending   bool
	// After, with the default order only, continues behind a CDR: paging that
	// stays fast however far it goes.
	After *Cursor

	IDs            []int64 // nil: all; empty: none
	FromID         int64
	Search         string // substring of names and extensions, whatever the case
	Number         string // digits; _ at either end is any run of characters
	CallDirection  string
	CallStatus     string // empty: all but blocked
	Blocked        bool   // with CallStatus empty: blocked ones, too
	Tags           []string
	UserUUIDs      []string // source or chosen destination is one of them
	Me             string   // this user is any participant
	Recorded       *bool
	ConversationID string

	RequestedInternalExtension, RequestedInternalContext string

	DistinctPeer bool // distinct=peer_exten
}

// Cursor is a place in a list in the default order.
type Cursor struct {
	Start time.Time
	ID    int64
}

// Page is a part of a list. Total counts what is visible, whatever else the
// filter says; Filtered what passes it, whatever limit and offset.
type Page struct {
	Items           []CDR
	Total, Filtered int
}

// orders maps the fields by which CDRs can be ordered to SQL.
func orders() map[string]string {
	m := map[string]string{
		"start": "start_at", "answer": "answer_at", "answered": "answer_at", "duration": "end_at - answer_at",
		"call_status": "CASE call_status WHEN 'unknown' THEN 1 WHEN 'blocked' THEN 2 WHEN 'voicemail' THEN 3 ELSE 4 END",
		"id":          "id",
	}
	for c := range strings.SplitSeq(cdrColumns, ",") {
		switch c {
		case "boot", "source", "journal_id", "journal_first", "journal_last", "start_at", "end_at", "answer_at", "call_status":
		default:
			m[c] = c
		}
	}
	return m
}

// Orders returns the fields by which CDRs can be ordered, sorted.
func Orders() []string {
	var out []string
	for k := range orders() {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// CDR returns the CDR with the id if it belongs to one of the tenants. The
// error wraps ErrNotFound otherwise.
func (s *Store) CDR(ctx context.Context, id int64, tenants []string) (CDR, error) {
	var out []CDR
	err := s.read(ctx, func(q querier) (err error) {
		out, err = collect(ctx, q, scanCDR, "SELECT id,"+cdrColumns+
			" FROM cdrs WHERE id = ? AND tenant_uuid IN (SELECT value FROM json_each(?))", id, list(tenants))
		if err != nil {
			return err
		}
		return loadChildren(ctx, q, out)
	})
	if err == nil && len(out) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return CDR{}, fmt.Errorf("cdr %d: %w", id, err)
	}
	return out[0], nil
}

// ListCDRs returns the CDRs that pass the filter, newest first unless it says
// otherwise; ties are broken by id.
func (s *Store) ListCDRs(ctx context.Context, f Filter) (Page, error) {
	var p Page
	expr, ok := orders()[orDefault(f.Order, "start")]
	if !ok {
		return p, fmt.Errorf("list cdrs: cannot order by %q", f.Order)
	}
	if f.After != nil && expr != "start_at" {
		return p, errors.New("list cdrs: a cursor needs the order by start")
	}
	err := s.read(ctx, func(q querier) (err error) {
		if err := count(ctx, q, f, &p); err != nil {
			return err
		}
		w := f.where()
		dir := " DESC"
		if f.Ascending {
			dir = " ASC"
		}
		if f.After != nil {
			w.add("(start_at, id) "+map[bool]string{true: ">", false: "<"}[f.Ascending]+" (?, ?)",
				micros(f.After.Start), f.After.ID)
		}
		limit := f.Limit
		if limit <= 0 {
			limit = -1
		}
		p.Items, err = collect(ctx, q, scanCDR, "SELECT id,"+cdrColumns+" FROM cdrs"+w.String()+
			" ORDER BY "+expr+dir+", id"+dir+" LIMIT ? OFFSET ?", append(w.args, limit, f.Offset)...)
		if err != nil {
			return err
		}
		return loadChildren(ctx, q, p.Items)
	})
	if err != nil {
		return Page{}, fmt.Errorf("list cdrs: %w", err)
	}
	return p, nil
}

// count fills in Total and Filtered, from the kept counts where they suffice.
func count(ctx context.Context, q querier, f Filter, p *Page) error {
	var err error
	if f.Me != "" {
		err = q.QueryRowContext(ctx, `SELECT count(*) FROM cdrs WHERE id IN (SELECT cdr_id FROM cdr_participants
			WHERE user_uuid = ?) AND tenant_uuid IN (SELECT value FROM json_each(?))`, f.Me, list(f.Tenants)).Scan(&p.Total)
	} else {
		err = q.QueryRowContext(ctx, `SELECT coalesce(sum(n), 0), coalesce(sum(n) FILTER (WHERE call_status <> 'blocked'), 0)
			FROM cdr_counts WHERE tenant_uuid IN (SELECT value FROM json_each(?))`, list(f.Tenants)).Scan(&p.Total, &p.Filtered)
	}
	if err != nil {
		return err
	}
	w := f.where()
	switch {
	case f.Me == "" && f.CallStatus == "" && f.Blocked && len(w.conds) == 1:
		p.Filtered = p.Total
	case f.Me == "" && f.CallStatus == "" && !f.Blocked && len(w.conds) == 2:
		// As the query above has counted.
	default:
		return q.QueryRowContext(ctx, "SELECT count(*) FROM cdrs"+w.String(), w.args...).Scan(&p.Filtered)
	}
	return nil
}

// where has the tenants first, then the status unless Blocked, then the rest.
func (f Filter) where() *where {
	w := &where{}
	if len(f.Tenants) == 1 {
		w.add("tenant_uuid = ?", f.Tenants[0])
	} else {
		// The + keeps SQLite from sorting what several ranges of the tenants'
		// index give: the index by start gives it in order.
		w.add("+tenant_uuid IN (SELECT value FROM json_each(?))", list(f.Tenants))
	}
	switch {
	case f.CallStatus != "":
		w.add("call_status = ?", f.CallStatus)
	case !f.Blocked:
		w.add("call_status <> 'blocked'")
	}
	w.addIf(!f.From.IsZero(), "start_at >= ?", micros(f.From))
	w.addIf(!f.Until.IsZero(), "start_at < ?", micros(f.Until))
	w.addIf(f.IDs != nil, "id IN (SELECT value FROM json_each(?))", list(f.IDs))
	w.addIf(f.FromID > 0, "id >= ?", f.FromID)
	w.addIf(f.CallDirection != "", "call_direction = ?", f.CallDirection)
	w.addIf(f.ConversationID != "", "conversation_id = ?", f.ConversationID)
	w.addIf(f.RequestedInternalExtension != "", "requested_internal_extension = ?", f.RequestedInternalExtension)
	w.addIf(f.RequestedInternalContext != "", "requested_internal_context = ?", f.RequestedInternalContext)
	w.addIf(f.Me != "", "id IN (SELECT cdr_id FROM cdr_participants WHERE user_uuid = ?)", f.Me)
	if len(f.UserUUIDs) > 0 {
		u := list(f.UserUUIDs)
		w.add(`(source_user_uuid IN (SELECT value FROM json_each(?))
			OR destination_user_uuid IN (SELECT value FROM json_each(?)))`, u, u)
	}
	for _, tag := range f.Tags {
		w.add("id IN (SELECT cdr_id FROM cdr_tags WHERE tag = ?)", tag)
	}
	if f.Recorded != nil {
		w.add(map[bool]string{true: "", false: "NOT "}[*f.Recorded] + "EXISTS (SELECT 1 FROM recordings r WHERE r.cdr_id = cdrs.id)")
	}
	f.texts(w)
	if f.DistinctPeer {
		w.add(`id IN (SELECT max(c.id) FROM cdr_participants p JOIN cdrs c ON c.id = p.cdr_id GROUP BY p.user_uuid,
			CASE p.role WHEN 'source' THEN c.requested_extension ELSE c.source_extension END)`)
	}
	return w
}

// texts adds the conditions that go through the dictionary of names and numbers.
func (f Filter) texts(w *where) {
	const found = "id IN (SELECT cdr_id FROM cdr_texts WHERE "
	switch {
	case f.Search == "":
	case utf8.RuneCountInString(f.Search) < 3: // trigrams need three characters
		w.add(found+`text_id IN (SELECT id FROM party_texts WHERE text LIKE ? ESCAPE '\'))`, "%"+escapeLike(f.Search)+"%")
	default:
		w.add(found+"text_id IN (SELECT rowid FROM party_fts WHERE party_fts MATCH ?))",
			`"`+strings.ReplaceAll(f.Search, `"`, `""`)+`"`)
	}
	if f.Number == "" {
		return
	}
	bare := strings.Trim(f.Number, "_")
	pattern := escapeLike(bare)
	if strings.HasPrefix(f.Number, "_") {
		pattern = "%" + pattern
	}
	if strings.HasSuffix(f.Number, "_") {
		pattern += "%"
	}
	if pattern == bare { // = can use the index
		w.add(found+"field = 'exten' AND text_id = (SELECT id FROM party_texts WHERE text = ?))", bare)
		return
	}
	w.add(found+`field = 'exten' AND text_id IN (SELECT id FROM party_texts WHERE text LIKE ? ESCAPE '\'))`, pattern)
}

func escapeLike(s string) string {
	return strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(s)
}

func orDefault(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

// loadChildren adds participants, ids and recordings to CDRs.
func loadChildren(ctx context.Context, q querier, items []CDR) error {
	byID := make(map[int64]*CDR, len(items))
	ids := make([]int64, 0, len(items))
	for i := range items {
		byID[items[i].ID] = &items[i]
		ids = append(ids, items[i].ID)
	}
	each := func(query string, scan func(*sql.Rows) error) error {
		_, err := collect(ctx, q, func(r *sql.Rows) (struct{}, error) { return struct{}{}, scan(r) },
			strings.ReplaceAll(query, "$IDS", "(SELECT value FROM json_each(?))"), list(ids))
		return err
	}
	err := each(`SELECT cdr_id, user_uuid, line_id, role, answered, requested FROM cdr_participants
		WHERE cdr_id IN $IDS ORDER BY cdr_id, pos`, func(r *sql.Rows) error {
		var id int64
		var p cdr.Participant
		err := r.Scan(&id, &p.UserUUID, &p.LineID, &p.Role, &p.Answered, &p.Requested)
		if err != nil {
			return err
		}
		byID[id].Participants = append(byID[id].Participants, p)
		return nil
	})
	if err == nil {
		err = each("SELECT cdr_id, pos, tag FROM cdr_tags WHERE cdr_id IN $IDS ORDER BY cdr_id, pos, tag_pos", func(r *sql.Rows) error {
			var id int64
			var pos int
			var tag string
			if err := r.Scan(&id, &pos, &tag); err != nil {
				return err
			}
			p := &byID[id].Participants[pos]
			p.Tags = append(p.Tags, tag)
			return nil
		})
	}
	for _, x := range []struct {
		column string
		dest   func(*CDR) *[]string
	}{
		{"linkedid", func(c *CDR) *[]string { return &c.LinkedIDs }},
		{"uniqueid", func(c *CDR) *[]string { return &c.Uniqueids }},
	} {
		if err != nil {
			break
		}
		err = each("SELECT cdr_id, "+x.column+" FROM cdr_"+x.column+"s WHERE cdr_id IN $IDS ORDER BY cdr_id, "+x.column, func(r *sql.Rows) error {
			var id int64
			var v string
			if err := r.Scan(&id, &v); err != nil {
				return err
			}
			d := x.dest(byID[id])
			*d = append(*d, v)
			return nil
		})
	}
	if err != nil {
		return err
	}
	return each(recordingSelect+" WHERE cdr_id IN $IDS ORDER BY coalesce(started_at, intent_at), uuid", func(r *sql.Rows) error {
		rec, err := scanRecording(r)
		if c := byID[rec.CDRID]; err == nil && c != nil {
			c.Recordings = append(c.Recordings, rec)
		}
		return err
	})
}
