package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"math"
	"slices"
	"strings"
)

// place is where a CDR stands in the order by start.
type place struct{ start, id int64 }

func scanPlace(r *sql.Rows) (p place, err error) {
	err = r.Scan(&p.start, &p.id)
	return p, err
}

// page returns the ids of a part of what count has counted.
func (x *search) page(ctx context.Context, f Filter, order string) ([]int64, error) {
	limit := f.Limit
	if most := math.MaxInt64 - f.Offset; limit <= 0 || limit > most {
		limit = most
	}
	if order != "start_at" {
		return x.sorted(ctx, f, order, limit)
	}
	var found []place
	var err error
	switch {
	case x.set != nil && x.fewerLookups(limit+f.Offset):
		found, err = x.lookUp(ctx, f, limit)
	case x.set != nil:
		found, err = x.pick(ctx, f, limit)
	case x.single():
		found, err = x.merge(ctx, x.postingArms(f), f, limit)
	case x.all:
		found, err = x.merge(ctx, x.rowArms(f, 0), f, limit)
	default:
		var parts [][]arm
		for _, tenant := range x.tenants {
			parts = append(parts, x.rowArms(f, tenant))
		}
		found, err = x.mergeParts(ctx, parts, f, limit)
	}
	ids := make([]int64, len(found))
	for i, p := range found {
		ids[i] = p.id
	}
	return ids, err
}

// fewerLookups weighs two ways from a set to its first n: to look up when each
// of them began, or to go through all calls in order until n were met. A lookup
// takes about three times as long as a step.
func (x *search) fewerLookups(n int) bool {
	have := float64(x.set.count())
	return have <= float64(n) || 3*have < float64(n)*float64(x.sum)/have
}

func (x *search) lookUp(ctx context.Context, f Filter, limit int) ([]place, error) {
	w := &where{}
	w.add("id IN (SELECT value FROM json_each(?))", x.set.list())
	f.behind(w, "id")
	return collect(ctx, x.q, scanPlace, "SELECT start_at, id FROM cdrs NOT INDEXED"+w.String()+
		f.orderBy("id")+" LIMIT ? OFFSET ?", append(w.args, limit, f.Offset)...)
}

// pick goes through all calls in order and takes those of the set.
func (x *search) pick(ctx context.Context, f Filter, limit int) (found []place, err error) {
	var tenant int64
	if len(x.tenants) == 1 {
		tenant = x.tenants[0]
	}
	query, args := union(x.rowArms(f, tenant), f)
	rows, err := x.q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for skip := f.Offset; len(found) < limit && rows.Next(); {
		p, err := scanPlace(rows)
		switch {
		case err != nil:
			return nil, err
		case !x.set.has(p.id):
		case skip > 0:
			skip--
		default:
			found = append(found, p)
		}
	}
	return found, rows.Err()
}

// arm is a query whose rows are in order because an index has them so.
type arm struct {
	query string
	args  []any
}

// rowArms has one for each facet, of one tenant or, if it is 0, of all.
func (x *search) rowArms(f Filter, tenant int64) (arms []arm) {
	index := "cdrs_facet"
	if tenant != 0 {
		index = "cdrs_tenant_facet"
	}
	for _, facet := range x.facets {
		w := &where{}
		w.addIf(tenant != 0, "tenant_no = ?", tenant)
		w.add("facet = ?", facet)
		x.period(w, "id")
		f.behind(w, "id")
		arms = append(arms, arm{"SELECT start_at, id FROM cdrs INDEXED BY " + index + w.String(), w.args})
	}
	return arms
}

// postingArms has one for each tenant in which the one term occurs.
func (x *search) postingArms(f Filter) (arms []arm) {
	for tenant := range x.counts {
		w := &where{}
		w.add("term_id = ? AND tenant_no = ?", x.groups[0][0], tenant)
		w.add("+facet IN (SELECT value FROM json_each(?))", list(x.facets))
		x.period(w, "cdr_id")
		f.behind(w, "cdr_id")
		arms = append(arms, arm{"SELECT start_at, cdr_id AS id FROM cdr_postings" + w.String(), w.args})
	}
	return arms
}

// behind adds the cursor. The first condition is the one that the index knows.
func (f Filter) behind(w *where, id string) {
	if f.After == nil {
		return
	}
	sign := map[bool]string{true: ">", false: "<"}[f.Ascending]
	w.add("start_at "+sign+"= ?", micros(f.After.Start))
	w.add("(start_at, "+id+") "+sign+" (?, ?)", micros(f.After.Start), f.After.ID)
}

func (f Filter) orderBy(id string) string {
	if f.Ascending {
		return " ORDER BY start_at, " + id
	}
	return " ORDER BY start_at DESC, " + id + " DESC"
}

// union merges arms, of which SQLite reads only as much as is asked for.
func union(arms []arm, f Filter) (string, []any) {
	var queries []string
	var args []any
	for _, a := range arms {
		queries = append(queries, a.query)
		args = append(args, a.args...)
	}
	return strings.Join(queries, " UNION ALL ") + f.orderBy("id"), args
}

// maxArms is below SQLite's limit of 500.
const maxArms = 400

func (x *search) merge(ctx context.Context, arms []arm, f Filter, limit int) ([]place, error) {
	if len(arms) > maxArms {
		return x.mergeParts(ctx, slices.Collect(slices.Chunk(arms, maxArms)), f, limit)
	}
	query, args := union(arms, f)
	if len(arms) == 1 && strings.Contains(query, "cdr_id AS id") {
		// A single query's order must name the column for the index to serve it.
		query = arms[0].query + f.orderBy("cdr_id")
	}
	return collect(ctx, x.q, scanPlace, query+" LIMIT ? OFFSET ?", append(args, limit, f.Offset)...)
}

// mergeParts is for more than one query can have.
func (x *search) mergeParts(ctx context.Context, parts [][]arm, f Filter, limit int) ([]place, error) {
	all := f
	all.Offset = 0
	end := limit + f.Offset
	var found []place
	for _, arms := range parts {
		some, err := x.merge(ctx, arms, all, end)
		if err != nil {
			return nil, err
		}
		found = append(found, some...)
		slices.SortFunc(found, func(a, b place) int {
			c := cmp.Or(cmp.Compare(b.start, a.start), cmp.Compare(b.id, a.id))
			if f.Ascending {
				return -c
			}
			return c
		})
		found = found[:min(end, len(found))]
	}
	return found[min(f.Offset, len(found)):], nil
}

// sorted is for the orders that no index has.
func (x *search) sorted(ctx context.Context, f Filter, order string, limit int) ([]int64, error) {
	w := &where{}
	if x.set == nil && len(x.groups) > 0 {
		if err := x.findSet(ctx); err != nil {
			return nil, err
		}
	}
	if x.set != nil {
		w.add("id IN (SELECT value FROM json_each(?))", x.set.list())
	} else {
		x.within(w, "id")
	}
	dir := " DESC"
	if f.Ascending {
		dir = " ASC"
	}
	return collect(ctx, x.q, one[int64], "SELECT id FROM cdrs"+w.String()+
		" ORDER BY "+order+dir+", id"+dir+" LIMIT ? OFFSET ?", append(w.args, limit, f.Offset)...)
}
