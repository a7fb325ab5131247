package cdrgen

import (
	"path/filepath"
	"testing"

	"callrecordd/internal/recorder"
	"callrecordd/store"
)

func benchmarkCalls(b *testing.B, run func(s *store.Store, calls int) error) {
	s, err := Open(b.Context(), filepath.Join(b.TempDir(), "cdr.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	}()
	b.ResetTimer()
	if err := run(s, b.N); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}

func BenchmarkFill(b *testing.B) {
	benchmarkCalls(b, func(s *store.Store, calls int) error {
		return Fill(b.Context(), s, calls, func(int) {})
	})
}

func BenchmarkImport(b *testing.B) {
	g := NewGenerator(1_000_000)
	benchmarkCalls(b, func(s *store.Store, calls int) error {
		for done := 0; done < calls; {
			var list []store.Import
			b.StopTimer()
			for ; len(list) < 2000 && done < calls; done++ {
				c, r := g.Next()
				c.ID, c.LinkedIDs, c.Uniqueids = int64(done+1), nil, nil
				im := store.Import{CDR: c}
				if r != nil {
					r.Hook, r.Claims = "", nil
					im.Recordings = []recorder.Recording{*r}
				}
				list = append(list, im)
			}
			b.StartTimer()
			if _, err := s.ImportCDRs(b.Context(), list, "test"); err != nil {
				return err
			}
		}
		return nil
	})
}
