package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/mattn/go-sqlite3"
)

// Errors of writing, wrapped with what to do about them.
var (
	ErrClosed   = errors.New("the database is closed")
	ErrReadOnly = errors.New("the database is read-only")
	ErrDiskFull = errors.New("no space left for the database")
	ErrBusy     = errors.New("the database is locked by another program")
)

// setSync sets how durable the next commit is. SQLite ignores the pragma
// within a transaction. In WAL mode NORMAL does not fsync at a commit, and the
// next FULL one makes durable what came before it as well.
func (s *Store) setSync(ctx context.Context, full bool) error {
	want := "NORMAL"
	if full {
		want = "FULL"
	}
	if s.sync == want {
		return nil
	}
	s.sync = ""
	if _, err := s.conn.ExecContext(ctx, "PRAGMA synchronous = "+want); err != nil {
		return fmt.Errorf("set synchronous: %w", err)
	}
	s.sync = want
	return nil
}

// checkpointLoop copies the WAL back into the database on a connection of its
// own. A passive checkpoint lets writer and readers go on.
func (s *Store) checkpointLoop() {
	for {
		select {
		case <-s.done:
			return
		case <-s.checkpoint:
		}
		s.copyBack()
		s.copying.Store(false)
		select {
		case s.copied <- struct{}{}:
		default: // the writer is told already
		}
	}
}

func (s *Store) copyBack() {
	var busy, frames, copied int
	ctx := context.Background()
	err := s.writeDB.QueryRowContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)").Scan(&busy, &frames, &copied)
	switch {
	case err != nil:
	case frames <= largeWAL:
		s.longWAL = 0
	case frames > s.longWAL:
		// Who reads for minutes, as a backup does, keeps all that follows from
		// beginning anew, and each attempt holds up writers.
		s.longWAL = 0
		var reading bool
		if reading, err = s.startWAL(ctx); reading {
			s.longWAL = 2 * frames
		}
	}
	if err != nil {
		s.opt.Log.Warn("cannot copy the write-ahead log back into the database", "error", err)
	}
}

// startWAL has the next write begin the file anew, if there is nobody who still
// reads what is in it. Writers wait meanwhile, so it gives up soon; the next
// checkpoint tries again. reading says that there is somebody.
func (s *Store) startWAL(ctx context.Context) (reading bool, err error) {
	conn, err := s.writeDB.Conn(ctx)
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.Close() }() // only given back
	if _, err = conn.ExecContext(ctx, "PRAGMA busy_timeout = 20"); err != nil {
		return false, err
	}
	var busy, frames, copied int
	err = conn.QueryRowContext(ctx, "PRAGMA wal_checkpoint(RESTART)").Scan(&busy, &frames, &copied)
	_, again := conn.ExecContext(ctx, fmt.Sprintf("PRAGMA busy_timeout = %d", busyTimeout.Milliseconds()))
	return busy != 0, errors.Join(err, again)
}

// querier is a transaction of either kind.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// read runs fn in a read transaction: all it sees is of one moment.
func (s *Store) read(ctx context.Context, fn func(querier) error) error {
	tx, err := s.readDB.BeginTx(ctx, nil)
	if err != nil {
		return explain(fmt.Errorf("begin reading: %w", err))
	}
	err = fn(tx)
	// Nothing was written: the outcome of the rollback does not matter.
	_ = tx.Rollback()
	return explain(err)
}

// prepared returns the statement, which stays prepared on the connection. The
// texts are constants of this package, so there is an end to their number.
func (t *Tx) prepared(query string) (*sql.Stmt, error) {
	if st, ok := t.stmts[query]; ok {
		return st, nil
	}
	st, err := t.tx.PrepareContext(t.ctx, query)
	if err != nil {
		return nil, err
	}
	t.stmts[query] = st
	return st, nil
}

func (t *Tx) run(query string, args []any) (sql.Result, error) {
	t.ran++
	st, err := t.prepared(query)
	if err != nil {
		return nil, err
	}
	return st.ExecContext(t.ctx, args...)
}

func (t *Tx) exec(query string, args ...any) error {
	_, err := t.run(query, args)
	return err
}

// changed is exec for a statement that must have changed a row; otherwise it
// returns ErrNotFound.
func (t *Tx) changed(query string, args ...any) error {
	res, err := t.run(query, args)
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err == nil && n == 0 {
		return ErrNotFound
	}
	return err
}

// insert is exec that returns the id of the new row.
func (t *Tx) insert(query string, args ...any) (int64, error) {
	res, err := t.run(query, args)
	if err != nil {
		return 0, err
	}
	return res.LastInsertId()
}

// collect runs a query and returns what scan makes of each row.
func collect[T any](ctx context.Context, q querier, scan func(*sql.Rows) (T, error), query string, args ...any) (_ []T, err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var out []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

// one scans a single column.
func one[T any](r *sql.Rows) (T, error) {
	var v T
	err := r.Scan(&v)
	return v, err
}

// explain says what to do about the errors of SQLite and the file system that
// an administrator can do something about.
func explain(err error) error {
	var se sqlite3.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the user that callrecordd runs as may not write there (it needs the directory, too): %w", err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("create its directory first: %w", err)
	case !errors.As(err, &se):
		return err
	}
	switch se.Code {
	case sqlite3.ErrReadonly:
		return fmt.Errorf("%w: check owner and mode of the file and its directory, and whether the file system is mounted read-only: %w", ErrReadOnly, err)
	case sqlite3.ErrFull:
		return fmt.Errorf("%w: free space on its file system: %w", ErrDiskFull, err)
	case sqlite3.ErrBusy, sqlite3.ErrLocked:
		return fmt.Errorf("%w, for more than %s: find it with fuser: %w", ErrBusy, busyTimeout, err)
	case sqlite3.ErrCantOpen, sqlite3.ErrPerm:
		return fmt.Errorf("check owner and mode of the file and its directory: %w", err)
	case sqlite3.ErrCorrupt, sqlite3.ErrNotADB:
		return fmt.Errorf("the file is damaged or no database, restore a backup: %w", err)
	}
	return err
}

// micros is the stored form of a time. The zero time is 0.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// nullMicros is micros for columns in which "not yet" is NULL.
func nullMicros(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

func fromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// bootKey is how Asterisk's start time is compared: in whole seconds, because
// not every source of it has more.
func bootKey(boot time.Time) int64 {
	if boot.IsZero() {
		return 0
	}
	return boot.Unix()
}
