// Package store keeps everything callrecordd knows in one SQLite file (design
// 8): the directory, recordings, CDRs, events, tokens and checkpoints. There is
// one writer with lanes by urgency and a pool of read-only connections.
//
// It may import the packages that own the types it stores (directory, auth,
// recorder, cdr, call, export, retention, webhook, backup, dialplan) and nothing
// else of ours; nobody else writes SQL.
package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/mattn/go-sqlite3" // and the driver sqlite3
)

// Errors of Open.
var (
	// ErrLocked: the lock file beside the database is held by another process.
	ErrLocked = errors.New("another callrecordd uses this database")
	// ErrNewerSchema: the database was written by a newer version.
	ErrNewerSchema = errors.New("the database was written by a newer callrecordd")
	// ErrNoFTS5: the program was built without -tags sqlite_fts5.
	ErrNoFTS5 = errors.New("this callrecordd was built without full-text search: build it with make, or go build -tags sqlite_fts5")
)

// ErrNotFound is wrapped by errors about a row that does not exist.
var ErrNotFound = errors.New("not found")

// busyTimeout is how long a statement waits for a lock. SQLite does not look
// at the context meanwhile, so it bounds every call (go-practices 9).
const busyTimeout = 5 * time.Second

// Options are what a Store needs.
type Options struct {
	Path string // of the database file; its directory must exist
	Now  func() time.Time
	Log  *slog.Logger
}

// Store is the open database. Its methods may be used concurrently.
type Store struct {
	opt     Options
	lock    *os.File
	writeDB *sql.DB
	conn    *sql.Conn // the one writing connection, used by writeLoop alone
	readDB  *sql.DB

	high, low, idle, soon chan *job    // unbuffered: who could send is being served
	waiting               atomic.Int32 // writes that are not idle and not taken yet
	checkpoint            chan struct{}
	copying               atomic.Bool   // bulk work waits for a checkpoint,
	copied                chan struct{} // whose end is told here
	done                  chan struct{}
	wg                    sync.WaitGroup
	closeOnce             sync.Once
	closeErr              error

	longWAL int // of checkpointLoop alone: up to how many frames the log is left as it is

	// Of writeLoop alone:
	sync    string // the connection's synchronous setting, "" if not known
	stmts   map[string]*sql.Stmt
	terms   map[term]int64 // numbers of texts
	commits int            // since the last request for a checkpoint
	noted   bool           // events were appended by the transaction that runs

	appended chan struct{} // events were committed
}

// Open locks and opens the database, creates it or brings it up to date.
// ErrLocked, ErrNewerSchema, ErrNoFTS5 and ErrReadOnly can be told apart.
func Open(ctx context.Context, opt Options) (*Store, error) {
	s := &Store{
		opt: opt, high: make(chan *job), low: make(chan *job), idle: make(chan *job), soon: make(chan *job),
		checkpoint: make(chan struct{}, 1), copied: make(chan struct{}, 1), done: make(chan struct{}),
		stmts: map[string]*sql.Stmt{}, terms: map[term]int64{}, appended: make(chan struct{}, 1),
	}
	if err := s.open(ctx); err != nil {
		_ = s.release() // what matters is why it could not be opened
		return nil, fmt.Errorf("open database %s: %w", opt.Path, explain(err))
	}
	s.wg.Go(s.writeLoop)
	s.wg.Go(s.checkpointLoop)
	return s, nil
}

func (s *Store) open(ctx context.Context) error {
	var err error
	if s.lock, err = lockFile(s.opt.Path + ".lock"); err != nil {
		return err
	}
	// SQLite would create the file readable by everybody, and gives its mode
	// to the -wal and -shm files too.
	f, err := os.OpenFile(s.opt.Path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	s.writeDB = sql.OpenDB(writing{dsn(s.opt.Path, "_journal_mode=WAL", "_synchronous=FULL", "_txlock=immediate")})
	if err := checkFTS5(ctx, s.writeDB); err != nil {
		return err
	}
	if err := migrate(ctx, s.writeDB, migrations(), s.opt); err != nil {
		return err
	}
	if s.conn, err = s.writeDB.Conn(ctx); err != nil {
		return err
	}
	if _, err := s.conn.ExecContext(ctx, callCache); err != nil {
		return err
	}
	// The automatic checkpoint would run within a commit, perhaps an intent's,
	// which must take less than 10 ms. checkpointLoop does it instead.
	if _, err := s.conn.ExecContext(ctx, "PRAGMA wal_autocheckpoint = 0"); err != nil {
		return err
	}
	s.readDB, err = sql.Open("sqlite3", dsn(s.opt.Path, "mode=ro", "_query_only=true", "_stmt_cache_size=100"))
	if err != nil {
		return err
	}
	s.readDB.SetMaxOpenConns(8)
	s.readDB.SetMaxIdleConns(8)
	return s.readDB.PingContext(ctx)
}

// writing makes connections that write. What a statement may have to undo is
// kept in memory: in a file it would cost calls and imports time, and where the
// service may write nowhere else a migration would fail (there is no parameter
// of the driver for it).
type writing struct{ dsn string }

func (w writing) Connect(context.Context) (driver.Conn, error) { return w.Driver().Open(w.dsn) }

func (w writing) Driver() driver.Driver {
	return &sqlite3.SQLiteDriver{ConnectHook: func(c *sqlite3.SQLiteConn) error {
		_, err := c.Exec("PRAGMA temp_store = MEMORY", nil)
		return err
	}}
}

func dsn(path string, params ...string) string {
	u := url.URL{Path: path}
	params = append(params, "_foreign_keys=on", fmt.Sprintf("_busy_timeout=%d", busyTimeout.Milliseconds()))
	return "file:" + u.EscapedPath() + "?" + strings.Join(params, "&")
}

// lockFile takes the exclusive lock of the database. The kernel frees it when
// the process ends, however it ends, so the file itself may stay.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close() // it was never written to
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, ErrLocked
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

func checkFTS5(ctx context.Context, db *sql.DB) error {
	var has bool
	if err := db.QueryRowContext(ctx, "SELECT sqlite_compileoption_used('ENABLE_FTS5')").Scan(&has); err != nil {
		return err
	}
	if !has {
		return ErrNoFTS5
	}
	return nil
}

// Close waits for the write that is running, refuses further ones and gives
// the lock back.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		close(s.done)
		s.wg.Wait()
		s.closeErr = s.release()
	})
	return s.closeErr
}

func (s *Store) release() error {
	var errs []error
	if s.readDB != nil {
		errs = append(errs, s.readDB.Close())
	}
	for _, st := range s.stmts {
		errs = append(errs, st.Close())
	}
	if s.conn != nil {
		errs = append(errs, s.conn.Close())
	}
	if s.writeDB != nil {
		errs = append(errs, s.writeDB.Close())
	}
	if s.lock != nil {
		// Closing alone would leave the lock to a child that is just being
		// forked and has not yet closed its copy of the file.
		errs = append(errs, syscall.Flock(int(s.lock.Fd()), syscall.LOCK_UN), s.lock.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close database %s: %w", s.opt.Path, err)
	}
	return nil
}

// Probe proves that the database can be written to, for the watchdog.
func (s *Store) Probe(ctx context.Context) error { return s.probe(ctx, High) }

func (s *Store) probe(ctx context.Context, p Priority) error {
	return s.Write(ctx, p, func(t *Tx) error {
		return t.exec(`INSERT INTO settings VALUES ('probe', '', ?, 'callrecordd')
			ON CONFLICT DO UPDATE SET updated_at = excluded.updated_at`, micros(t.now))
	})
}
