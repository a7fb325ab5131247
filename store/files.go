package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/mattn/go-sqlite3"

	"callrecordd/internal/backup"
	"callrecordd/internal/recorder"
)

// Files are databases as files, which a Store may have open meanwhile, in this
// or another process. It implements backup.Database; Path is the one in use.
type Files struct{ Path string }

// copyPages is how many pages are copied at a time: a megabyte.
const copyPages = 256

// Copy implements backup.Database. One reading transaction holds what the copy
// has, so that the writer goes on and nothing is begun anew for what it writes.
// Meanwhile its log cannot begin anew either, and grows.
func (f Files) Copy(ctx context.Context, to string, progress func(done, all int)) (err error) {
	if _, err := os.Stat(f.Path); err != nil {
		return fmt.Errorf("there is no database to copy: %w", err)
	}
	from, err := openConn(dsn(f.Path, "mode=rw", "_query_only=true"))
	if err != nil {
		return explain(fmt.Errorf("open %s: %w", f.Path, err))
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	for _, begin := range []string{"BEGIN", "SELECT 1 FROM sqlite_master"} {
		if _, err := from.Exec(begin, nil); err != nil {
			return explain(fmt.Errorf("begin reading %s: %w", f.Path, err))
		}
	}
	file, err := os.OpenFile(to, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return explain(err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	// Who dies while it is written begins anew, and it is synced once, at the end.
	dest, err := openConn(dsn(to, "mode=rw", "_journal_mode=OFF", "_synchronous=OFF"))
	if err == nil {
		err = errors.Join(copyAll(ctx, dest, from, progress), dest.Close())
	}
	if err != nil {
		return explain(fmt.Errorf("copy %s to %s: %w", f.Path, to, err))
	}
	return file.Sync()
}

func copyAll(ctx context.Context, dest, from *sqlite3.SQLiteConn, progress func(done, all int)) (err error) {
	b, err := dest.Backup("main", from, "main")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Finish()) }()
	for done := false; !done; {
		if err := ctx.Err(); err != nil {
			return err
		}
		if done, err = b.Step(copyPages); err != nil {
			return err
		}
		if progress != nil {
			progress(b.PageCount()-b.Remaining(), b.PageCount())
		}
	}
	return nil
}

func openConn(dsn string) (*sqlite3.SQLiteConn, error) {
	c, err := (&sqlite3.SQLiteDriver{}).Open(dsn)
	if err != nil {
		return nil, err
	}
	conn, ok := c.(*sqlite3.SQLiteConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("the driver gave a %T", c), c.Close())
	}
	return conn, nil
}

// inFile runs fn on a file that nobody changes: nothing is made beside it.
func inFile(ctx context.Context, file string, fn func(*sql.DB) error) (err error) {
	if _, err := os.Stat(file); err != nil {
		return fmt.Errorf("no database: %w", err)
	}
	db, err := sql.Open("sqlite3", dsn(file, "mode=ro", "immutable=1"))
	if err != nil {
		return fmt.Errorf("open %s: %w", file, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := fn(db); err != nil {
		return explain(fmt.Errorf("read %s: %w", file, err))
	}
	return nil
}

// Facts implements backup.Database.
func (f Files) Facts(ctx context.Context, file string) (out backup.Facts, err error) {
	err = inFile(ctx, file, func(db *sql.DB) error {
		var at int64
		err := db.QueryRowContext(ctx, `SELECT (SELECT max(version_id) FROM goose_db_version), (SELECT count(*) FROM cdrs),
			(SELECT count(*) FROM recordings), coalesce(max(id), 0) FROM events`).Scan(&out.Schema, &out.CDRs, &out.Recordings, &out.LastEvent)
		if err != nil {
			return err
		}
		if out.LastEvent > 0 {
			err := db.QueryRowContext(ctx, `SELECT at, lower(hex(coalesce(hash, ''))), coalesce((SELECT note FROM ledger_checkpoints ORDER BY size DESC LIMIT 1), '')
				FROM events WHERE id = ?`, out.LastEvent).Scan(&at, &out.Head, &out.Checkpoint)
			if err != nil {
				return err
			}
			out.LastEventAt = fromMicros(at)
		}
		err = db.QueryRowContext(ctx, newestCheckpoint).Scan(&out.Journal, &out.JournalPosition, new(string))
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return out, err
}

// Sound implements backup.Database.
func (f Files) Sound(ctx context.Context, file string) error {
	return inFile(ctx, file, func(db *sql.DB) error {
		said, err := collect(ctx, db, func(r *sql.Rows) (string, error) {
			var text string
			err := r.Scan(&text)
			return text, err
		}, "PRAGMA quick_check(1)")
		if err == nil && (len(said) != 1 || said[0] != "ok") {
			err = fmt.Errorf("it is damaged: %.200q", said)
		}
		return err
	})
}

// Media implements backup.Database.
func (f Files) Media(ctx context.Context, file string, yield func(backup.Media) error) error {
	var refused error // of the caller, and no fault of the database
	err := inFile(ctx, file, func(db *sql.DB) (err error) {
		rows, err := db.QueryContext(ctx, `SELECT uuid, tenant_uuid, state, bytes, sha256 FROM recordings
			WHERE state <> 'deleted' AND (state <> 'missing' OR sha256 <> '') ORDER BY tenant_uuid, uuid`)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		for rows.Next() {
			var r recorder.Recording
			if err := rows.Scan(&r.UUID, &r.TenantUUID, &r.State, &r.Bytes, &r.SHA256); err != nil {
				return err
			}
			refused = yield(backup.Media{UUID: r.UUID, Path: r.Path(), State: r.State, Bytes: r.Bytes, SHA256: r.SHA256})
			if refused != nil {
				return nil
			}
		}
		return rows.Err()
	})
	if refused != nil {
		return refused
	}
	return err
}

// Continues implements backup.Database.
func (f Files) Continues(ctx context.Context, file string, before backup.Facts) (does bool, err error) {
	err = inFile(ctx, file, func(db *sql.DB) error {
		var head string
		err := db.QueryRowContext(ctx, "SELECT lower(hex(coalesce(hash, ''))) FROM events WHERE id = ?", before.LastEvent).Scan(&head)
		if errors.Is(err, sql.ErrNoRows) {
			does = before.LastEvent == 0
			return nil
		}
		// One of before the ledger had no hash then.
		does = before.Head == "" || head == before.Head
		return err
	})
	return does, err
}

// Now implements backup.Database. A row that is gone went with its CDR.
func (f Files) Now(ctx context.Context, uuid string) (sha256 string, removed bool, err error) {
	db, err := sql.Open("sqlite3", dsn(f.Path, "mode=rw", "_query_only=true"))
	if err != nil {
		return "", false, fmt.Errorf("open %s: %w", f.Path, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var state string
	err = db.QueryRowContext(ctx, "SELECT state, sha256 FROM recordings WHERE uuid = ?", uuid).Scan(&state, &sha256)
	if errors.Is(err, sql.ErrNoRows) {
		return "", true, nil
	}
	if err != nil {
		return "", false, explain(fmt.Errorf("read recording %s: %w", uuid, err))
	}
	return sha256, state == string(recorder.Deleted), nil
}

// Lock takes the lock that a Store has while it is open, so that nobody opens
// the database. ErrLocked says that somebody has.
func (f Files) Lock() (io.Closer, error) {
	l, err := lockFile(f.Path + ".lock")
	if err != nil {
		return nil, explain(err)
	}
	return l, nil
}
