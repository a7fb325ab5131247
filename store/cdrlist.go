package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
	"time"

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
	found, err := s.FindCDRs(ctx, f)
	if err != nil {
		return Page{}, err
	}
	p := Page{Total: found.Total, Filtered: found.Filtered}
	for ids := range slices.Chunk(found.IDs, chunk) {
		items, err := s.CDRsByID(ctx, ids)
		if err != nil {
			return Page{}, err
		}
		p.Items = append(p.Items, items...)
	}
	return p, nil
}

// chunk is how many CDRs are loaded at once.
const chunk = 500

// Found is a Page whose items are not loaded yet.
type Found struct {
	IDs             []int64
	Total, Filtered int
}

// FindCDRs is ListCDRs without the items: CDRsByID loads them, a few at a time
// where there are many.
func (s *Store) FindCDRs(ctx context.Context, f Filter) (Found, error) {
	var found Found
	expr, ok := orders()[orDefault(f.Order, "start")]
	if !ok {
		return found, fmt.Errorf("list cdrs: cannot order by %q", f.Order)
	}
	if f.After != nil && expr != "start_at" {
		return found, errors.New("list cdrs: a cursor needs the order by start")
	}
	err := s.read(ctx, func(q querier) error {
		x, err := f.search(ctx, q)
		if err != nil {
			return err
		}
		found.Total = x.total
		if found.Filtered, err = x.count(ctx); err != nil || found.Filtered <= f.Offset {
			return err
		}
		found.IDs, err = x.page(ctx, f, expr)
		return err
	})
	if err != nil {
		return Found{}, fmt.Errorf("list cdrs: %w", err)
	}
	return found, nil
}

// Walk is a list whose CDRs are loaded as they are asked for.
type Walk struct {
	All             iter.Seq2[CDR, error]
	Total, Filtered int
}

// stride is how many ids of a list are found at a time.
const stride = 100_000

// WalkCDRs is ListCDRs for lists of any length. Those in the default order take
// the same memory however long they are, and hold no transaction between their
// parts: calls may come and go meanwhile.
func (s *Store) WalkCDRs(ctx context.Context, f Filter) (Walk, error) {
	left := f.Limit
	if left <= 0 {
		left = math.MaxInt
	}
	if orDefault(f.Order, "start") == "start" {
		f.Limit = min(left, stride)
	}
	found, err := s.FindCDRs(ctx, f)
	if err != nil {
		return Walk{}, err
	}
	return Walk{Total: found.Total, Filtered: found.Filtered, All: func(yield func(CDR, error) bool) {
		s.walk(ctx, f, found.IDs, left, yield)
	}}, nil
}

func (s *Store) walk(ctx context.Context, f Filter, found []int64, left int, yield func(CDR, error) bool) {
	for {
		var last *Cursor
		for ids := range slices.Chunk(found, chunk) {
			items, err := s.CDRsByID(ctx, ids)
			if err != nil {
				yield(CDR{}, err)
				return
			}
			for _, c := range items {
				if !yield(c, nil) {
					return
				}
				last = &Cursor{Start: c.Start, ID: c.ID}
			}
		}
		left -= len(found)
		if left <= 0 || last == nil || len(found) < f.Limit || f.Limit <= 0 {
			return
		}
		f.After, f.Offset, f.Limit = last, 0, min(left, stride)
		next, err := s.FindCDRs(ctx, f)
		if err != nil {
			yield(CDR{}, err)
			return
		}
		found = next.IDs
	}
}

// CDRsByID returns CDRs in the order of their ids; those that are gone are left
// out.
func (s *Store) CDRsByID(ctx context.Context, ids []int64) ([]CDR, error) {
	var out []CDR
	err := s.read(ctx, func(q querier) error {
		items, err := collect(ctx, q, scanCDR, "SELECT id,"+cdrColumns+
			" FROM cdrs WHERE id IN (SELECT value FROM json_each(?))", list(ids))
		if err != nil {
			return err
		}
		at := make(map[int64]int, len(items))
		for i := range items {
			at[items[i].ID] = i
		}
		out = make([]CDR, 0, len(items))
		for _, id := range ids {
			if i, ok := at[id]; ok {
				out = append(out, items[i])
			}
		}
		return loadChildren(ctx, q, out)
	})
	if err != nil {
		return nil, fmt.Errorf("load %d cdrs: %w", len(ids), err)
	}
	return out, nil
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
