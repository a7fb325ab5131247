package bench

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"callrecordd/internal/cdrgen"
	"callrecordd/store"
)

// pageSize is what people look at: with the default limit of 1000 the time is
// that of loading a thousand calls.
const pageSize = 25

// shelf is a generated database that is measured.
type shelf struct {
	*suite
	path  string
	rows  int
	store *store.Store
	raw   *sql.DB // for the SQL written by hand, and for looking at every row
	rnd   *rand.Rand
	last  int64 // the newest id
}

func lists(ctx context.Context, s *suite) (err error) {
	rows := either(s, 10_000_000, 20_000)
	if text := os.Getenv("ROWS"); text != "" {
		if rows, err = strconv.Atoi(text); err != nil || rows <= 0 {
			return fmt.Errorf("ROWS=%s is no number of calls", text)
		}
	}
	path, err := cdrgen.Ensure(ctx, rows, func(text string) { s.say("    %s", text) })
	if err != nil {
		return err
	}
	d := &shelf{suite: s, path: path, rows: rows, rnd: rand.New(rand.NewPCG(uint64(rows), 7))}
	if err := d.open(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	if err := d.raw.QueryRowContext(ctx, "SELECT max(id) FROM cdrs").Scan(&d.last); err != nil {
		return fmt.Errorf("find the newest call: %w", err)
	}
	for _, step := range []func(context.Context) error{d.exact, d.pages, d.cold, d.deep, d.writes} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (d *shelf) open(ctx context.Context) (err error) {
	if d.store, err = cdrgen.Open(ctx, d.path); err != nil {
		return err
	}
	d.raw, err = sql.Open("sqlite3", "file:"+(&url.URL{Path: d.path}).EscapedPath()+"?_foreign_keys=on&_busy_timeout=60000")
	return err
}

func (d *shelf) close() error { return errors.Join(d.raw.Close(), d.store.Close()) }

// query is a drawn filter in two forms: for the store, and as a condition on a
// row of cdrs c for a look at every row.
type query struct {
	store.Filter
	conds []string
	args  []any
}

func (q *query) and(cond string, args ...any) {
	q.conds, q.args = append(q.conds, cond), append(q.args, args...)
}

// first loads the first page.
func (d *shelf) first(ctx context.Context, f store.Filter) (store.Page, time.Duration, error) {
	f.Limit = pageSize
	began := time.Now()
	p, err := d.store.ListCDRs(ctx, f)
	return p, time.Since(began), err
}

// kind is filters that are measured together.
type kind struct {
	name    string
	filters []string // of draw
	bar     float64  // of the p99, in ms; 0: none
	n       int
}

// times draws filters of a kind and measures their first pages.
func (d *shelf) times(ctx context.Context, master bool, k kind, n int) (ms []float64, slowest string, err error) {
	for range n {
		q := d.draw(master, k.filters...)
		_, took, err := d.first(ctx, q.Filter)
		if err != nil {
			return nil, "", err
		}
		if t := millis(took); len(ms) == 0 || t > quantile(ms, 1) {
			slowest = q.String()
		}
		ms = append(ms, millis(took))
	}
	return ms, slowest, nil
}

// pages measures first pages with exact counts, warm.
func (d *shelf) pages(ctx context.Context) error {
	for _, master := range []bool{false, true} {
		for _, k := range kinds(master) {
			n := either(d.suite, k.n, 3)
			if _, _, err := d.times(ctx, master, k, 1+n/10); err != nil { // warm
				return err
			}
			ms, slowest, err := d.times(ctx, master, k, n)
			if err != nil {
				return err
			}
			byHand, err := d.byHand(ctx, master, k)
			if err != nil {
				return err
			}
			f := Figure{Group: "lists", Name: k.title(master), Value: quantile(ms, .99), Unit: "ms", N: n, Note: fmt.Sprintf("p99, median %s; slowest %s", number(median(ms)), slowest)}
			if byHand > 0 {
				f = f.against(byHand, "SQL by hand, p99")
			}
			if k.bar > 0 {
				met := f.Value <= k.bar
				f = f.bar(fmt.Sprintf("≤ %s ms", number(k.bar)), met)
			}
			d.add(f)
		}
	}
	return nil
}

func (k kind) title(master bool) string {
	if master {
		return "master, recurse: " + k.name
	}
	return "tenant: " + k.name
}

// cold measures with nothing of the file in memory.
func (d *shelf) cold(ctx context.Context) error {
	for _, master := range []bool{false, true} {
		for _, k := range []kind{{name: "nothing or one simple filter", filters: []string{"simple"}}, {name: "search, common", filters: []string{"search common"}}} {
			var ms []float64
			n := either(d.suite, 8, 2)
			for range n {
				if err := d.close(); err != nil {
					return err
				}
				if err := evict(d.path); err != nil {
					return err
				}
				if err := d.open(ctx); err != nil {
					return err
				}
				_, took, err := d.first(ctx, d.draw(master, k.filters...).Filter)
				if err != nil {
					return err
				}
				ms = append(ms, millis(took))
			}
			d.add(Figure{Group: "lists", Name: "cold, " + k.title(master), Value: quantile(ms, 1), Unit: "ms", N: n, Note: fmt.Sprintf("the slowest, median %s", number(median(ms)))})
		}
	}
	return nil
}

// evict drops a file from the page cache.
func evict(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("evict %s: %w", path, err)
	}
	defer func() { _ = f.Close() }() // opened for reading
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return fmt.Errorf("evict %s: %w", path, err)
	}
	return nil
}

// deep compares the page 100,000 with the first, both by cursor.
func (d *shelf) deep(ctx context.Context) error {
	const page = 100_000
	all := d.draw(true).Filter
	all.Limit, all.Offset = 1, min(page*pageSize, d.rows/2)
	place, err := d.store.ListCDRs(ctx, all)
	if err != nil {
		return err
	}
	all.Offset = 0
	var near, far []float64
	for range either(d.suite, 200, 5) {
		_, took, err := d.first(ctx, all)
		if err != nil {
			return err
		}
		near = append(near, millis(took))
		there := all
		there.After = &store.Cursor{Start: place.Items[0].Start, ID: place.Items[0].ID}
		if _, took, err = d.first(ctx, there); err != nil {
			return err
		}
		far = append(far, millis(took))
	}
	f := Figure{Group: "lists", Name: "master: page 100,000 by cursor", Value: median(far), Unit: "ms", N: len(far), Note: "median"}.against(median(near), "page 1")
	d.add(f.bar("as page 1, ± 20 %", f.Ratio <= 1.2))
	return nil
}
