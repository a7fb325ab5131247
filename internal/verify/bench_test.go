package verify_test

import (
	"testing"

	"callrecordd/internal/cdrgen"
	"callrecordd/internal/ledger"
	"callrecordd/internal/verify"
	"callrecordd/store"
)

// BenchmarkRun verifies a ledger with CDRs and recordings, without files.
func BenchmarkRun(b *testing.B) {
	w := newWorld(b)
	must(b, cdrgen.FillLedger(b.Context(), w.store, 100_000, func(int) {}))
	w.checkpoint()
	w.close()
	key, err := ledger.NewVerifier(w.signer.Public())
	must(b, err)
	db, err := store.OpenReader(b.Context(), w.path)
	must(b, err)
	defer func() { must(b, db.Close()) }()
	var entries int64
	b.ReportAllocs()
	for b.Loop() {
		r, err := verify.Run(b.Context(), db, verify.Options{Key: key})
		must(b, err)
		if !r.Clean {
			b.Fatal(r.Findings)
		}
		entries += r.Entries
	}
	b.ReportMetric(float64(entries)/b.Elapsed().Seconds(), "entries/s")
}
