package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"callrecordd/internal/auth"
	"callrecordd/internal/recorder"
)

// clock starts at a fixed time and moves when told to.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func newClock() *clock { return &clock{t: time.Date(2026, 11, 23, 10, 0, 0, 123000, time.UTC)} }

func options(path string) Options {
	return Options{Path: path, Now: newClock().now, Log: slog.New(slog.DiscardHandler)}
}

func open(t *testing.T, opt Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func newStore(t *testing.T) (*Store, *clock) {
	t.Helper()
	c := newClock()
	opt := options(filepath.Join(t.TempDir(), "odd name?#%.db"))
	opt.Now = c.now
	return open(t, opt), c
}

// as fails the test unless err is of the kind and its text has the words.
func as(t *testing.T, err, kind error, words ...string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("error %v, want %v", err, kind)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
}

func exec(t *testing.T, s *Store, query string, args ...any) {
	t.Helper()
	if err := s.Write(t.Context(), High, func(tx *Tx) error { return tx.exec(query, args...) }); err != nil {
		t.Fatal(err)
	}
}

func TestReopen(t *testing.T) {
	opt := options(filepath.Join(t.TempDir(), "c.db"))
	s, err := Open(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SetSetting(t.Context(), "k", "v", "root"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	as(t, s.Probe(t.Context()), ErrClosed)
	s = open(t, opt)
	if v, ok, err := s.Setting(t.Context(), "k"); v != "v" || !ok || err != nil {
		t.Errorf("Setting = %q, %v, %v", v, ok, err)
	}
	if _, ok, err := s.Setting(t.Context(), "other"); ok || err != nil {
		t.Errorf("a setting that was never set: %v, %v", ok, err)
	}
	if err := s.Probe(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestSecondOpenIsLocked(t *testing.T) {
	opt := options(filepath.Join(t.TempDir(), "c.db"))
	open(t, opt)
	_, err := Open(t.Context(), opt)
	as(t, err, ErrLocked, "c.db")
}

// A child that is just being forked holds copies of our files until its exec.
func TestLockIsGivenBackThoughAChildHasTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	first := open(t, options(path))
	held, err := syscall.Dup(int(first.lock.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(held) })
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, options(path))
}

func TestNewerSchemaIsRefused(t *testing.T) {
	opt := options(filepath.Join(t.TempDir(), "c.db"))
	s := open(t, opt)
	exec(t, s, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), opt)
	as(t, err, ErrNewerSchema, "schema 99", "restore a backup")
}

func TestMigrationCopiesTheDatabaseFirst(t *testing.T) {
	s, _ := newStore(t)
	files := fstest.MapFS{"99999_more.sql": {Data: []byte("-- +goose Up\nCREATE TABLE more (x INTEGER) STRICT;\n")}}
	names, err := fs.Glob(migrations(), "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(migrations(), name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = &fstest.MapFile{Data: text}
	}
	if err := migrate(t.Context(), s.writeDB, files, s.opt); err != nil {
		t.Fatal(err)
	}
	exec(t, s, "INSERT INTO more VALUES (1)")
	old := open(t, options(s.opt.Path+fmt.Sprint(".schema", len(names))))
	if err := old.Write(t.Context(), High, func(tx *Tx) error { return tx.exec("INSERT INTO more VALUES (1)") }); err == nil {
		t.Error("the copy has the new schema")
	}
}

func TestOpenErrorsAreReadable(t *testing.T) {
	dir := t.TempDir()
	_, err := Open(t.Context(), options(filepath.Join(dir, "none", "c.db")))
	as(t, err, fs.ErrNotExist, "create its directory")

	garbage := filepath.Join(dir, "garbage.db")
	if err := os.WriteFile(garbage, []byte(strings.Repeat("this is no database", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), options(garbage)); err == nil || !strings.Contains(err.Error(), "restore a backup") {
		t.Errorf("opening garbage: %v", err)
	}
}

func TestUnwritableDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ro")
	if err := os.Mkdir(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	result := make(chan error)
	go func() {
		// Root may write anywhere. This thread gives that up and, because it
		// stays locked, ends with the goroutine.
		runtime.LockOSThread()
		if os.Getuid() == 0 {
			if err := syscall.Setfsuid(65534); err != nil {
				result <- err
				return
			}
		}
		_, err := Open(context.Background(), options(filepath.Join(dir, "c.db")))
		result <- err
	}()
	as(t, <-result, fs.ErrPermission, "may not write there")
}

func TestReadOnlyAndFull(t *testing.T) {
	s, _ := newStore(t)
	exec(t, s, "PRAGMA max_page_count = 1") // SQLite takes the current size
	big := strings.Repeat("x", 1<<20)
	as(t, s.SetSetting(t.Context(), "k", big, "root"), ErrDiskFull, "free space")
	exec(t, s, "PRAGMA max_page_count = 1000000")
	exec(t, s, "PRAGMA query_only = 1")
	as(t, s.SetSetting(t.Context(), "k", "v", "root"), ErrReadOnly, "mounted read-only")
	if _, err := s.conn.ExecContext(t.Context(), "PRAGMA query_only = 0"); err != nil {
		t.Fatal(err)
	}
	if err := s.SetSetting(t.Context(), "k", big, "root"); err != nil {
		t.Errorf("after the trouble is over: %v", err)
	}
}

func TestReadersCannotWrite(t *testing.T) {
	s, _ := newStore(t)
	if _, err := s.readDB.ExecContext(t.Context(), "DELETE FROM settings"); err == nil {
		t.Error("a reader wrote")
	}
}

func TestPriorityLane(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(t.Context(), options(path))
		if err != nil {
			t.Fatal(err)
		}
		gate := make(chan struct{})
		var order []string
		var wg sync.WaitGroup
		write := func(p Priority, name string) {
			wg.Go(func() {
				if err := s.Write(t.Context(), p, func(*Tx) error {
					if name == "first" {
						<-gate
					}
					order = append(order, name)
					return nil
				}); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait() // until it runs or waits
		}
		write(Bulk, "first")
		for range 3 {
			write(Bulk, "bulk")
		}
		write(Intent, "intent")
		write(High, "high")

		// Who gives up while waiting has written nothing.
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan error, 1)
		go func() {
			gone <- s.Write(ctx, Bulk, func(*Tx) error { order = append(order, "gone"); return nil })
		}()
		synctest.Wait()
		cancel()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("a cancelled write: %v", err)
		}
		close(gate)
		wg.Wait()
		if got, want := strings.Join(order, " "), "first intent high bulk bulk bulk"; got != want {
			t.Errorf("order %q, want %q", got, want)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestIntentIsNotSynced(t *testing.T) {
	s, _ := newStore(t)
	for _, tt := range []struct {
		p    Priority
		want int
	}{{High, 2}, {Intent, 1}, {Bulk, 2}, {Intent, 1}} {
		var got int
		if err := s.Write(t.Context(), tt.p, func(tx *Tx) error {
			return tx.tx.QueryRowContext(tx.ctx, "PRAGMA synchronous").Scan(&got)
		}); err != nil || got != tt.want {
			t.Errorf("priority %d: synchronous = %d, %v, want %d", tt.p, got, err, tt.want)
		}
	}
}

func TestFailedWriteLeavesNothing(t *testing.T) {
	s, _ := newStore(t)
	boom := errors.New("boom")
	as(t, s.Write(t.Context(), High, func(tx *Tx) error {
		if err := tx.AppendEvents(recorder.Event{Kind: "x"}); err != nil {
			return err
		}
		return boom
	}), boom)
	if es, err := s.Events(t.Context(), EventFilter{}); len(es) != 0 || err != nil {
		t.Errorf("events %v, %v", es, err)
	}
}

func TestWALIsCopiedBack(t *testing.T) {
	s, _ := newStore(t)
	big := strings.Repeat("x", 100_000)
	for i := range 3 * checkpointEvery {
		exec(t, s, "INSERT INTO settings VALUES ('k', ?, 0, '') ON CONFLICT DO UPDATE SET value = excluded.value", fmt.Sprint(i, big))
	}
	st, err := os.Stat(s.opt.Path + "-wal")
	if err != nil || st.Size() > 2*checkpointEvery*100_000 {
		t.Errorf("the log has %d bytes, %v", st.Size(), err)
	}
}

func TestEventsAreAppendOnly(t *testing.T) {
	s, c := newStore(t)
	if err := s.AppendEvents(t.Context(),
		recorder.Event{Kind: "recording.ready", Recording: "r1", Actor: "a", Data: map[string]int{"bytes": 7}},
		recorder.Event{At: c.now().Add(time.Second), Kind: "call.ended", Call: "c1"}); err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{
		"UPDATE events SET actor = 'nobody'", "DELETE FROM events",
		"INSERT OR REPLACE INTO events VALUES (1, 0, 'x', '', '', '', 'null', zeroblob(32))",
	} {
		err := s.Write(t.Context(), High, func(tx *Tx) error { return tx.exec(q) })
		if err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: %v", q, err)
		}
	}
	es, err := s.Events(t.Context(), EventFilter{Kind: "recording."})
	if err != nil || len(es) != 1 || !es[0].At.Equal(c.now()) || fmt.Sprintf("%s", es[0].Data) != `{"bytes":7}` {
		t.Errorf("events %+v, %v", es, err)
	}
	if es, err := s.Events(t.Context(), EventFilter{From: c.now().Add(time.Second)}); err != nil || len(es) != 1 || es[0].Call != "c1" {
		t.Errorf("events %+v, %v", es, err)
	}
}

func TestTokens(t *testing.T) {
	s, c := newStore(t)
	d := newDirectory(t, s, c)
	n := 0
	a := auth.New(s, c.now, func() string { n++; return fmt.Sprintf("11111111-0000-4000-8000-%012d", n) })
	secret, tok, err := a.Create(t.Context(), "root", auth.Request{
		TenantUUID: d.Book().Master().UUID, Description: "report", ACL: []string{"call-logd.#"}, Lifetime: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := a.Check(t.Context(), secret.Reveal())
	if err != nil || got.ID != tok.ID || !got.Allows("call-logd.cdr.read") || !got.ExpiresAt.Equal(tok.ExpiresAt) {
		t.Errorf("Check = %+v, %v", got, err)
	}
	raw, err := os.ReadFile(s.opt.Path + "-wal")
	if err != nil || strings.Contains(string(raw), secret.Reveal()) {
		t.Errorf("the secret is on disk (%v)", err)
	}
	if ts, err := a.List(t.Context(), auth.TokenFilter{}); len(ts) != 1 || err != nil {
		t.Errorf("List = %v, %v", ts, err)
	}
	if err := a.Revoke(t.Context(), "root", tok.ID); err != nil {
		t.Fatal(err)
	}
	as(t, a.Revoke(t.Context(), "root", tok.ID), auth.ErrNotFound)
	_, err = a.Check(t.Context(), secret.Reveal())
	as(t, err, auth.ErrInvalidToken)
}
