package store

import (
	"context"
	"database/sql"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"callrecordd/internal/cdr"
)

// search is a Filter in terms of the tables that the migration 00004 made.
type search struct {
	q       querier
	tenants []int64
	all     bool // tenants are all there are
	total   int
	// facets are those that pass the filter and occur; sum counts their calls
	// whatever their start.
	facets []int
	sum    int

	from, until int64 // microseconds, half-open
	fromID      int64
	// groups: a CDR must have a term of each. Not in groups: few, which asks
	// the table for a handful of CDRs.
	groups [][]int64
	few    *where
	none   bool // a group is empty

	// By count:
	set    idSet         // what passes, if it had to be found out one by one
	counts map[int64]int // by tenant, if there is one group with one term
}

func (f Filter) search(ctx context.Context, q querier) (*search, error) {
	x := &search{q: q, from: math.MinInt64, until: math.MaxInt64, fromID: f.FromID}
	if !f.From.IsZero() {
		x.from = micros(f.From)
	}
	if !f.Until.IsZero() {
		x.until = micros(f.Until)
	}
	if err := x.findTenants(ctx, f); err != nil {
		return nil, err
	}
	if err := x.findGroups(ctx, f); err != nil {
		return nil, err
	}
	if f.IDs == nil && f.ConversationID == "" {
		return x, nil
	}
	x.few = &where{}
	x.few.addIf(f.IDs != nil, "id IN (SELECT value FROM json_each(?))", list(f.IDs))
	x.few.addIf(f.ConversationID != "", "conversation_id = ?", f.ConversationID)
	return x, nil
}

// findTenants also finds the facets that occur, and counts.
func (x *search) findTenants(ctx context.Context, f Filter) error {
	var err error
	if x.tenants, err = collect(ctx, x.q, one[int64], "SELECT no FROM cdr_tenants WHERE uuid IN (SELECT value FROM json_each(?))",
		list(f.Tenants)); err != nil {
		return err
	}
	var n int
	if err := x.q.QueryRowContext(ctx, "SELECT count(*) FROM cdr_tenants").Scan(&n); err != nil {
		return err
	}
	x.all = len(x.tenants) == n
	_, err = collect(ctx, x.q, func(r *sql.Rows) (struct{}, error) {
		var facet, n int
		err := r.Scan(&facet, &n)
		x.total += n
		if err == nil && f.passes(facet) {
			x.facets = append(x.facets, facet)
			x.sum += n
		}
		return struct{}{}, err
	}, `SELECT facet, sum(n) FROM cdr_sums WHERE level = 3 AND tenant_no IN (SELECT value FROM json_each(?))
		GROUP BY facet HAVING sum(n) > 0`, list(x.tenants))
	return err
}

// passes says whether calls of the facet may be in the list.
func (f Filter) passes(facet int) bool {
	status, direction := statuses()[facet/2%4], directions()[facet/8]
	switch {
	case f.CallStatus != "" && status != f.CallStatus,
		f.CallStatus == "" && status == cdr.StatusBlocked && !f.Blocked,
		f.CallDirection != "" && direction != f.CallDirection,
		f.Recorded != nil && *f.Recorded != (facet%2 == 1):
		return false
	}
	return true
}

func (x *search) findGroups(ctx context.Context, f Filter) error {
	type lookup struct {
		query string
		args  []any
	}
	var lookups []lookup
	words := func(on bool, kind int, texts ...string) {
		if on {
			lookups = append(lookups, lookup{
				"SELECT id FROM cdr_terms WHERE kind = ? AND text IN (SELECT value FROM json_each(?))", []any{kind, list(texts)},
			})
		}
	}
	words(f.Me != "", termParticipant, f.Me)
	words(len(f.UserUUIDs) > 0, termUser, f.UserUUIDs...)
	for _, tag := range f.Tags {
		words(true, termTag, tag)
	}
	words(f.RequestedInternalExtension != "", termRequestedExten, f.RequestedInternalExtension)
	words(f.RequestedInternalContext != "", termRequestedContext, f.RequestedInternalContext)
	if f.Search != "" {
		query, args, ok := searchTerms(f.Search)
		x.none = !ok
		if ok {
			lookups = append(lookups, lookup{query, args})
		}
	}
	if f.Number != "" {
		query, args := numberTerms(f.Number)
		lookups = append(lookups, lookup{query, args})
	}
	for _, l := range lookups {
		ids, err := collect(ctx, x.q, one[int64], l.query, l.args...)
		if err != nil {
			return err
		}
		x.groups = append(x.groups, ids)
		x.none = x.none || len(ids) == 0
	}
	if f.DistinctPeer {
		x.groups = append(x.groups, []int64{0})
	}
	if f.Me == "" {
		return nil
	}
	return x.q.QueryRowContext(ctx, `SELECT count(*) FROM cdr_postings WHERE term_id IN (SELECT value FROM json_each(?))
		AND tenant_no IN (SELECT value FROM json_each(?))`, list(x.groups[0]), list(x.tenants)).Scan(&x.total)
}

// maxSearch is in characters. Asterisk's names and numbers end at 80.
const maxSearch = 1024

// searchTerms finds the names and extensions that contain the text, whatever
// the case; ok is false if none can.
func searchTerms(text string) (query string, args []any, ok bool) {
	n := utf8.RuneCountInString(text)
	switch {
	case n > maxSearch, !utf8.ValidString(text), strings.ContainsRune(text, 0):
		return "", nil, false
	case n >= 3: // trigrams need three characters
		return "SELECT rowid FROM cdr_terms_fts WHERE cdr_terms_fts MATCH ?", []any{phrase(text)}, true
	}
	// LIKE folds ASCII only. Of one or two characters there are these cases.
	first, size := utf8.DecodeRuneInString(text)
	head, tail := string(first), text[size:]
	var likes []string
	for _, h := range []string{strings.ToLower(head), strings.ToUpper(head)} {
		for _, t := range []string{strings.ToLower(tail), strings.ToUpper(tail)} {
			likes = append(likes, `text LIKE ? ESCAPE '\'`)
			args = append(args, "%"+escapeLike(h+t)+"%")
		}
	}
	return "SELECT id FROM cdr_terms WHERE kind IN (1, 2) AND (" + strings.Join(likes, " OR ") + ")", args, true
}

// numberTerms finds extensions: digits, with a _ at either end for any run of
// characters.
func numberTerms(number string) (query string, args []any) {
	bare := strings.Trim(number, "_")
	begins, ends := strings.HasPrefix(number, "_"), strings.HasSuffix(number, "_")
	switch {
	case !begins && !ends:
		return "SELECT id FROM cdr_terms WHERE kind = 2 AND text = ?", []any{bare}
	case !begins:
		return "SELECT id FROM cdr_terms WHERE kind = 2 AND text >= ? AND text < ?", []any{bare, bare + "\U0010FFFF"}
	}
	pattern := "%" + escapeLike(bare)
	if ends {
		pattern += "%"
	}
	if len(bare) < 3 || len(bare) > maxSearch {
		return `SELECT id FROM cdr_terms WHERE kind = 2 AND text LIKE ? ESCAPE '\'`, []any{pattern}
	}
	return `SELECT t.id FROM cdr_terms_fts f JOIN cdr_terms t ON t.id = f.rowid
		WHERE cdr_terms_fts MATCH ? AND t.kind = 2 AND t.text LIKE ? ESCAPE '\'`, []any{phrase(bare), pattern}
}

func phrase(text string) string { return `"` + strings.ReplaceAll(text, `"`, `""`) + `"` }

func escapeLike(s string) string {
	return strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(s)
}

// single says that one term alone decides.
func (x *search) single() bool { return len(x.groups) == 1 && len(x.groups[0]) == 1 && x.few == nil }

// count counts what passes the filter.
func (x *search) count(ctx context.Context) (int, error) {
	switch {
	case x.none || len(x.tenants) == 0 || len(x.facets) == 0 || x.from >= x.until:
		return 0, nil
	case len(x.groups) == 0 && x.few == nil && x.fromID > 0:
		return x.countRows(ctx, x.index())
	case len(x.groups) == 0 && x.few == nil:
		return x.countSums(ctx)
	case x.single():
		return x.countPostings(ctx)
	}
	err := x.findSet(ctx)
	return x.set.count(), err
}

// within adds what holds for all rows, those of cdrs and of cdr_postings.
func (x *search) within(w *where, id string) {
	if !x.all {
		w.add("tenant_no IN (SELECT value FROM json_each(?))", list(x.tenants))
	}
	x.period(w, id)
	w.add("facet IN (SELECT value FROM json_each(?))", list(x.facets))
}

func (x *search) period(w *where, id string) {
	w.addIf(x.from != math.MinInt64, "start_at >= ?", x.from)
	w.addIf(x.until != math.MaxInt64, "start_at < ?", x.until)
	w.addIf(x.fromID > 0, id+" >= ?", x.fromID)
}

func (x *search) countRows(ctx context.Context, index string) (n int, err error) {
	w := &where{}
	x.within(w, "id")
	err = x.q.QueryRowContext(ctx, "SELECT count(*) FROM cdrs INDEXED BY "+index+w.String(), w.args...).Scan(&n)
	return n, err
}

// index is that of cdrs whose order is by start within each facet.
func (x *search) index() string {
	if x.all {
		return "cdrs_facet"
	}
	return "cdrs_tenant_facet"
}

const (
	yearOne = -62135596800000000 // microseconds from 1970 to the year 1, where buckets begin
	day     = int64(24 * time.Hour / time.Microsecond)
	levels  = 4
	// forEver is a day behind all others, where buckets of any level end.
	forEver = 1 << 24
)

// countSums adds up whole days, and looks at the calls of those that are cut.
func (x *search) countSums(ctx context.Context) (int, error) {
	if x.from == math.MinInt64 && x.until == math.MaxInt64 {
		return x.sum, nil
	}
	from, until := max(x.from, yearOne)-yearOne, forEver*day
	if x.until != math.MaxInt64 {
		until = max(x.until, yearOne) - yearOne
	}
	first, last := (from+day-1)/day, until/day
	if first > last { // within one day
		return x.countEdge(ctx, from, until)
	}
	n, err := x.countDays(ctx, first, last)
	for _, edge := range [][2]int64{{from, first * day}, {last * day, until}} {
		if err != nil || edge[0] == edge[1] {
			continue
		}
		var more int
		more, err = x.countEdge(ctx, edge[0], edge[1])
		n += more
	}
	return n, err
}

// countEdge counts calls between two times since the year 1.
func (x *search) countEdge(ctx context.Context, from, until int64) (int, error) {
	part := *x
	part.from, part.until = from+yearOne, until+yearOne
	return part.countRows(ctx, x.index())
}

// countDays counts the days from the first up to but not including the last.
func (x *search) countDays(ctx context.Context, lo, hi int64) (n int, err error) {
	var parts []string
	var args []any
	add := func(level int, lo, hi int64) {
		if lo < hi {
			parts = append(parts, `SELECT sum(n) AS n FROM cdr_sums WHERE level = ? AND tenant_no IN (SELECT value FROM json_each(?))
				AND bucket >= ? AND bucket < ? AND facet IN (SELECT value FROM json_each(?))`)
			args = append(args, level, list(x.tenants), lo, hi, list(x.facets))
		}
	}
	level := 0
	for ; level < levels-1; level++ {
		up, down := (lo+15)&^15, hi&^15
		if up >= down {
			break
		}
		add(level, lo, up)
		add(level, down, hi)
		lo, hi = up>>4, down>>4
	}
	add(level, lo, hi)
	if len(parts) == 0 {
		return 0, nil
	}
	err = x.q.QueryRowContext(ctx, "SELECT coalesce(sum(n), 0) FROM ("+strings.Join(parts, " UNION ALL ")+")", args...).Scan(&n)
	return n, err
}

func (x *search) countPostings(ctx context.Context) (total int, err error) {
	w := &where{}
	w.add("term_id = ?", x.groups[0][0])
	x.within(w, "cdr_id")
	x.counts = make(map[int64]int)
	_, err = collect(ctx, x.q, func(r *sql.Rows) (struct{}, error) {
		var tenant int64
		var n int
		err := r.Scan(&tenant, &n)
		x.counts[tenant] = n
		total += n
		return struct{}{}, err
	}, "SELECT tenant_no, count(*) FROM cdr_postings"+w.String()+" GROUP BY tenant_no", w.args...)
	return total, err
}

// findSet finds what passes one by one.
func (x *search) findSet(ctx context.Context) error {
	if x.few != nil {
		return x.findFew(ctx)
	}
	// The smallest group first: nothing remains of many combinations.
	groups := slices.Clone(x.groups)
	slices.SortStableFunc(groups, func(a, b []int64) int { return len(a) - len(b) })
	for i, terms := range groups {
		set := idSet{}
		for part := range slices.Chunk(terms, 256) {
			w := &where{}
			w.add("term_id IN (SELECT value FROM json_each(?))", list(part))
			x.within(w, "cdr_id")
			if err := set.fill(ctx, x.q, "SELECT group_concat(cdr_id) FROM cdr_postings"+w.String(), w.args...); err != nil {
				return err
			}
		}
		if i == 0 {
			x.set = set
		} else {
			x.set.keep(set)
		}
		if x.set.count() == 0 {
			return nil
		}
	}
	return nil
}

func (x *search) findFew(ctx context.Context) error {
	w := &where{}
	w.add(strings.Join(x.few.conds, " AND "), x.few.args...)
	x.within(w, "id")
	for _, terms := range x.groups {
		if len(terms) == 1 && terms[0] == 0 {
			w.add("EXISTS (SELECT 1 FROM json_each(cdrs.peers) p WHERE (SELECT max(cdr_id) FROM cdr_peers WHERE peer = p.value) = cdrs.id)")
			continue
		}
		w.add("EXISTS (SELECT 1 FROM json_each(cdrs.terms) t WHERE t.value IN (SELECT value FROM json_each(?)))", list(terms))
	}
	x.set = idSet{}
	return x.set.fill(ctx, x.q, "SELECT group_concat(id) FROM cdrs"+w.String(), w.args...)
}
