package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"callrecordd/internal/cdr"
	"callrecordd/internal/cdrgen"
	"callrecordd/store"
)

// exact draws filters, and counts what each should find by looking at every
// row, all in one go.
func (d *shelf) exact(ctx context.Context) error {
	var drawn []query
	for i := range either(d.suite, 60, 60) {
		names := [][]string{{}, {"simple"}, {"simple", "month"}, {"any"}, {"any", "any"}, {"any", "any", "any"}}[i%6]
		if slices.Contains(names, "month") {
			names = []string{d.one(simple()[1:]...), "month"}
		}
		drawn = append(drawn, d.draw(i%4 == 0, names...))
	}
	var sums []string
	var args []any
	want := make([]int, len(drawn))
	into := make([]any, len(drawn))
	for i, q := range drawn {
		sums = append(sums, "count(*) FILTER (WHERE "+strings.Join(q.conds, " AND ")+")")
		args, into[i] = append(args, q.args...), &want[i]
	}
	began := time.Now()
	if err := d.raw.QueryRowContext(ctx, "SELECT "+strings.Join(sums, ", ")+" FROM cdrs c NOT INDEXED", args...).Scan(into...); err != nil {
		return fmt.Errorf("look at every row: %w", err)
	}
	scan, wrong := time.Since(began), 0
	for i, q := range drawn {
		p, _, err := d.first(ctx, q.Filter)
		if err != nil {
			return err
		}
		if p.Filtered != want[i] {
			wrong++
			d.say("    WRONG: %s of %d tenants: %d, a look at every row finds %d", q, len(q.Tenants), p.Filtered, want[i])
		}
	}
	f := Figure{Group: "lists", Name: "drawn filters whose count is wrong", Value: float64(wrong), Unit: "filters", N: len(drawn), Note: fmt.Sprintf("%d calls, counted in %s by looking at every row", d.rows, scan.Round(time.Second))}
	d.add(f.bar("0", wrong == 0))
	return nil
}

// byHand measures SQL that somebody would write by hand for the first page and
// its count, on the same file with its indexes; 0 for filters that it would not
// serve in any bearable time.
func (d *shelf) byHand(ctx context.Context, master bool, k kind) (float64, error) {
	for _, name := range k.filters {
		if !slices.Contains(append(simple(), "month"), name) {
			return 0, nil
		}
	}
	var ms []float64
	for range either(d.suite, 5, 2) {
		q := d.draw(master, k.filters...)
		began := time.Now()
		for _, statement := range []string{"SELECT count(*) FROM cdrs c", "SELECT c.* FROM cdrs c"} {
			tail := " WHERE " + strings.Join(q.conds, " AND ")
			if strings.Contains(statement, "c.*") {
				tail += fmt.Sprintf(" ORDER BY c.start_at DESC LIMIT %d", pageSize)
			}
			rows, err := d.raw.QueryContext(ctx, statement+tail, q.args...)
			if err != nil {
				return 0, fmt.Errorf("ask by hand: %w", err)
			}
			for rows.Next() {
			}
			if err := errors.Join(rows.Err(), rows.Close()); err != nil {
				return 0, fmt.Errorf("ask by hand: %w", err)
			}
		}
		ms = append(ms, millis(time.Since(began)))
	}
	return quantile(ms, .99), nil
}

// writes measures what the indexes cost, and takes away again what it has
// written.
func (d *shelf) writes(ctx context.Context) (err error) {
	defer func() {
		_, derr := d.raw.ExecContext(ctx, "DELETE FROM cdrs WHERE id > ?", d.last)
		err = errors.Join(err, derr)
	}()
	g := cdrgen.NewGenerator(d.rows)
	next := func(i int) cdr.CDR {
		c, _ := g.Next()
		id := fmt.Sprintf("bench-%d.%d", time.Now().UnixNano(), i)
		c.ConversationID, c.LinkedIDs, c.Uniqueids = id, []string{id}, []string{id}
		return c
	}
	var ms []float64
	for i := range either(d.suite, 1000, 20) {
		c := next(i)
		began := time.Now()
		if err := d.store.SaveCDR(ctx, []cdr.CDR{c}, cdr.Checkpoint{}); err != nil {
			return err
		}
		ms = append(ms, millis(time.Since(began)))
	}
	d.add(Figure{Group: "lists", Name: "one CDR committed", Value: quantile(ms, .99), Unit: "ms", N: len(ms), Note: fmt.Sprintf("p99, median %s; with fsync", number(median(ms)))}.atMost(10))
	for _, place := range []string{fmt.Sprintf("into %d calls", d.rows), "into an empty database"} {
		into := d.store
		if strings.Contains(place, "empty") {
			if into, err = cdrgen.Open(ctx, d.dir+"/import.db"); err != nil {
				return err
			}
			defer func() { err = errors.Join(err, into.Close()) }()
		}
		calls := make([]cdr.CDR, either(d.suite, 50_000, 1000))
		for i := range calls {
			calls[i] = next(i)
		}
		began := time.Now()
		if err := into.Write(ctx, store.Bulk, func(t *store.Tx) error {
			_, err := t.SaveManyCDRs(calls)
			return err
		}); err != nil {
			return err
		}
		rate := float64(len(calls)) / time.Since(began).Seconds()
		last := calls[len(calls)-1]
		p, _, err := d.first(ctx, store.Filter{Tenants: []string{last.TenantUUID}, ConversationID: last.ConversationID, Search: "1", Blocked: true})
		if into == d.store && (err != nil || p.Filtered != 1) {
			return fmt.Errorf("find what was imported: %d, %w", p.Filtered, err)
		}
		d.add(Figure{Group: "lists", Name: "import " + place, Value: rate, Unit: "calls/s", N: len(calls), Note: "search complete at the end"}.atLeast(10_000))
	}
	return nil
}
