package cdrgen

import (
	"path/filepath"
	"testing"
)

// What is generated is what the store would derive, and always the same.
func TestFill(t *testing.T) {
	const calls = 3000
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "cdr.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := Fill(t.Context(), s, calls, func(int) {}); err != nil {
		t.Fatal(err)
	}
	if wrong, err := s.VerifyLists(t.Context()); err != nil || len(wrong) > 0 {
		t.Fatal(wrong, err)
	}
	a, b := NewGenerator(calls), NewGenerator(calls)
	recorded := 0
	for range calls {
		x, r := a.Next()
		y, _ := b.Next()
		if x.SourceExtension != y.SourceExtension || !x.Start.Equal(y.Start) || x.TenantUUID != y.TenantUUID {
			t.Fatalf("%+v and %+v", x, y)
		}
		if r != nil {
			recorded++
		}
	}
	if recorded < calls/6 || recorded > calls/4 {
		t.Errorf("%d of %d calls are recorded, want a fifth", recorded, calls)
	}
}
