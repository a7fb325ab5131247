package cdrgen

import (
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"callrecordd/store"
)

// database opens the generated database of ROWS calls (default 20,000), which
// is kept in the cache folder.
func database(tb testing.TB) (s *store.Store, rows int, path string) {
	tb.Helper()
	rows = 20_000
	if text := os.Getenv("ROWS"); text != "" {
		var err error
		if rows, err = strconv.Atoi(text); err != nil || rows <= 0 {
			tb.Fatalf("ROWS=%s is no number of calls", text)
		}
	}
	cache := os.Getenv("CALLRECORDD_CACHE")
	if cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			tb.Fatal(err)
		}
		cache = filepath.Join(user, "callrecordd")
	}
	dir := filepath.Join(cache, "cdrs")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		tb.Fatal(err)
	}
	path = filepath.Join(dir, "v5-"+strconv.Itoa(rows)+".db")
	if _, err := os.Stat(path); err != nil {
		generate(tb, path, rows)
	}
	s = openStore(tb, path)
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s, rows, path
}

func openStore(tb testing.TB, path string) *store.Store {
	tb.Helper()
	s, err := store.Open(tb.Context(), store.Options{Path: path, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// generate makes the file under another name first: one that was begun and not
// finished is never used.
func generate(tb testing.TB, path string, rows int) {
	tb.Helper()
	tmp := path + ".part"
	for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
		if err := os.Remove(tmp + suffix); err != nil && !os.IsNotExist(err) {
			tb.Fatal(err)
		}
	}
	began := time.Now()
	s := openStore(tb, tmp)
	err := Fill(tb.Context(), s, rows, func(done int) {
		tb.Logf("%d calls after %s, %.0f a second", done, time.Since(began).Round(time.Second), float64(done)/time.Since(began).Seconds())
	})
	if cerr := s.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Logf("%d calls generated in %s", rows, time.Since(began).Round(time.Second))
}

func TestGenerate(t *testing.T) {
	database(t)
}
