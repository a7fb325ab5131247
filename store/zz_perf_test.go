package store

import (
	"database/sql"
	"fmt"
	"slices"
	"testing"
	"time"

	"callrecordd/internal/cdr"
	"callrecordd/internal/recorder"
)

func TestZZPerf(t *testing.T) {
	s, _ := newStore(t)
	n := 100000
	t0 := time.Now()
	for i := 0; i < n; i += 200 {
		var cs []cdr.CDR
		for j := i; j < i+200; j++ {
			c := call(fmt.Sprintf("%d.1", j), fmt.Sprintf("%d.1", j), fmt.Sprintf("%d.2", j))
			c.Start = start.Add(time.Duration(j) * time.Second)
			c.SourceExtension = fmt.Sprintf("030%07d", j%5000)
			c.TenantUUID = fmt.Sprintf("t%d", j%10)
			cs = append(cs, c)
		}
		save(t, s, int64(i+1), cs...)
	}
	d := time.Since(t0)
	t.Logf("save: %v per cdr", d/time.Duration(n))
	for name, f := range map[string]Filter{
		"one": {Tenants: []string{"t1"}, Limit: 100}, "multi": {Tenants: []string{"t1", "t2", "t3"}, Limit: 100},
		"offset": {Tenants: []string{"t1"}, Limit: 100, Offset: 9000},
		"search": {Tenants: []string{"t1"}, Limit: 100, Search: "004321"}, "number": {Tenants: []string{"t1"}, Limit: 100, Number: "_4321"},
		"range": {Tenants: []string{"t1"}, Limit: 100, From: start.Add(time.Hour), Until: start.Add(2 * time.Hour)},
		"1000": {Tenants: []string{"t1"}, Limit: 1000},
	} {
		t0 := time.Now()
		p, err := s.ListCDRs(t.Context(), f)
		t.Logf("%s: %v %d %d %v", name, time.Since(t0), len(p.Items), p.Filtered, err)
		w := f.where()
		_ = s.read(t.Context(), func(q querier) error {
			pl, err := collect(t.Context(), q, func(r *sql.Rows) (string, error) {
				var a, b, c int
				var d string
				err := r.Scan(&a, &b, &c, &d)
				return d, err
			}, "EXPLAIN QUERY PLAN SELECT id FROM cdrs"+w.String()+" ORDER BY start_at DESC, id DESC LIMIT 100", w.args...)
			t.Log(pl, err)
			return nil
		})
	}
	var lat []time.Duration
	for i := range 500 {
		r := recording(fmt.Sprintf("p%d", i), fmt.Sprintf("x%d", i))
		t0 := time.Now()
		if err := s.InsertIntent(t.Context(), r); err != nil { t.Fatal(err) }
		lat = append(lat, time.Since(t0))
	}
	slices.Sort(lat)
	t.Logf("intent: p50 %v p99 %v max %v", lat[250], lat[495], lat[499])
	_ = recorder.Recording{}
}
