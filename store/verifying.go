package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/mattn/go-sqlite3"

	"callrecordd/internal/ledger"
	"callrecordd/internal/recorder"
	"callrecordd/internal/verify"
)

// ErrNoLedger says that the database is of a version that had no ledger.
var ErrNoLedger = errors.New("this database is of a version of callrecordd that kept no ledger; start the daemon of this version with it once")

// Reader reads a database to verify it, beside the daemon that uses it or a copy
// of it without one: it takes no lock and writes nothing. It implements
// verify.Database.
type Reader struct {
	db   *sql.DB
	conn *sql.Conn // of a snapshot, else nil
}

// OpenReader opens the database. ErrNoLedger can be told apart.
func OpenReader(ctx context.Context, path string) (_ *Reader, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("open database %s: %w", path, explain(err))
		}
	}()
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	var se sqlite3.Error
	r, err := openReader(ctx, dsn(path, "mode=ro", "_query_only=true"))
	if errors.As(err, &se) && se.Code == sqlite3.ErrCantOpen {
		// A copy where nothing may be written: SQLite wants a file beside it,
		// unless it is told that nobody else writes.
		if _, err := os.Stat(path + "-wal"); errors.Is(err, os.ErrNotExist) {
			return openReader(ctx, dsn(path, "mode=ro", "_query_only=true", "immutable=1"))
		}
	}
	return r, err
}

func openReader(ctx context.Context, dsn string) (*Reader, error) {
	db, err := sql.Open("sqlite3", dsn)
	if err != nil {
		return nil, err
	}
	var has bool
	err = db.QueryRowContext(ctx, "SELECT count(*) = 1 FROM pragma_table_info('events') WHERE name = 'hash'").Scan(&has)
	if err == nil && !has {
		err = ErrNoLedger
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &Reader{db: db}, nil
}

// Close closes the database.
func (r *Reader) Close() error { return r.db.Close() }

// on calls fn with a connection.
func (r *Reader) on(ctx context.Context, what string, fn func(*sql.Conn) error) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("read %s: %w", what, explain(err))
		}
	}()
	if r.conn != nil {
		return fn(r.conn)
	}
	conn, err := r.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	return fn(conn)
}

// Snapshot implements verify.Database.
func (r *Reader) Snapshot(ctx context.Context, fn func(verify.Database) error) error {
	return r.on(ctx, "a snapshot", func(conn *sql.Conn) (err error) {
		if _, err := conn.ExecContext(ctx, "BEGIN"); err != nil {
			return err
		}
		defer func() {
			_, end := conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
			err = errors.Join(err, end)
		}()
		return fn(&Reader{db: r.db, conn: conn})
	})
}

// Extent implements verify.Database.
func (r *Reader) Extent(ctx context.Context) (x verify.Extent, err error) {
	err = r.on(ctx, "the end of the ledger", func(c *sql.Conn) error {
		return c.QueryRowContext(ctx, `SELECT coalesce(max(id), 0),
			coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0) FROM events`).Scan(&x.LastID, &x.Numbered)
	})
	return x, err
}

// LinkAt implements verify.Database.
func (r *Reader) LinkAt(ctx context.Context, id int64) (l ledger.Link, err error) {
	err = r.on(ctx, "the ledger", func(c *sql.Conn) error {
		l, err = scanLink(c.QueryRowContext(ctx, "SELECT id, hash FROM events WHERE id <= ? ORDER BY id DESC LIMIT 1", id))
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return l, err
}

// Entries implements verify.Database. It asks the driver itself: database/sql
// would take as long again as SQLite and the hashes together.
func (r *Reader) Entries(ctx context.Context, after, until int64, each func(*ledger.Entry, []byte) error) error {
	return r.on(ctx, "entries of the ledger", func(c *sql.Conn) error {
		return c.Raw(func(raw any) error {
			conn, ok := raw.(driver.QueryerContext)
			if !ok {
				return errors.New("the driver cannot be asked")
			}
			// No context that can end: the driver would need a goroutine for it.
			rows, err := conn.QueryContext(context.WithoutCancel(ctx), "SELECT "+entryColumns+", hash FROM events WHERE id > ? AND id <= ? ORDER BY id",
				[]driver.NamedValue{{Ordinal: 1, Value: after}, {Ordinal: 2, Value: until}})
			if err != nil {
				return err
			}
			return errors.Join(entriesOf(ctx, rows, each), rows.Close())
		})
	})
}

func entriesOf(ctx context.Context, rows driver.Rows, each func(*ledger.Entry, []byte) error) error {
	var e ledger.Entry
	row := make([]driver.Value, 8)
	for {
		if err := rows.Next(row); errors.Is(err, io.EOF) {
			return ctx.Err()
		} else if err != nil {
			return err
		}
		// The table is STRICT: what is not of its type was put there past SQLite.
		var ok [7]bool
		e.ID, ok[0] = row[0].(int64)
		e.At, ok[1] = row[1].(int64)
		for i, to := range []*string{&e.Kind, &e.Recording, &e.Call, &e.Actor, &e.Data} {
			*to, ok[2+i] = row[2+i].(string)
		}
		hash, _ := row[7].([]byte) // nil if there is none
		if slices.Contains(ok[:], false) {
			return fmt.Errorf("event %d: the file is damaged, restore a backup", e.ID)
		}
		if err := each(&e, hash); err != nil {
			return err
		}
	}
}

// Checkpoints implements verify.Database.
func (r *Reader) Checkpoints(ctx context.Context, each func(size int64, signed string) error) error {
	return r.on(ctx, "checkpoints", func(c *sql.Conn) error {
		_, err := collect(ctx, c, func(rows *sql.Rows) (none struct{}, err error) {
			var size int64
			var signed string
			if err := rows.Scan(&size, &signed); err != nil {
				return none, err
			}
			return none, each(size, signed)
		}, "SELECT size, note FROM ledger_checkpoints ORDER BY size")
		return err
	})
}

// CDRDigests implements verify.Database.
func (r *Reader) CDRDigests(ctx context.Context, ids []int64) (map[int64]verify.CDR, error) {
	out := make(map[int64]verify.CDR, len(ids))
	first, last := slices.Min(ids), slices.Max(ids)
	// Those of a stretch of the ledger mostly lie together.
	which, args := "id IN (SELECT value FROM json_each(?))", []any{list(ids)}
	if last-first < 2*int64(len(ids)) {
		which, args = "id BETWEEN ? AND ?", []any{first, last}
	}
	err := r.on(ctx, "CDRs", func(c *sql.Conn) (err error) {
		rows, err := c.QueryContext(ctx, "SELECT id, "+cdrTextQuery()+", (SELECT doc FROM cdr_talks WHERE cdr_id = id) FROM cdrs WHERE "+which, args...)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		var id int64
		var text, talks sql.RawBytes
		for rows.Next() {
			if err := rows.Scan(&id, &text, &talks); err != nil {
				return err
			}
			out[id] = verify.CDR{Digest: digestOf(text), Talks: talksDigest(talks, talks != nil)}
		}
		return rows.Err()
	})
	return out, err
}

// CDRIDs implements verify.Database.
func (r *Reader) CDRIDs(ctx context.Context, each func(id int64)) error {
	return r.on(ctx, "CDRs", func(c *sql.Conn) (err error) {
		rows, err := c.QueryContext(ctx, "SELECT id FROM cdrs")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		for rows.Next() {
			var id int64
			if err := rows.Scan(&id); err != nil {
				return err
			}
			each(id)
		}
		return rows.Err()
	})
}

// Holds implements verify.Database.
func (r *Reader) Holds(ctx context.Context) (map[int64]string, error) {
	out := map[int64]string{}
	err := r.on(ctx, "legal holds", func(c *sql.Conn) error {
		_, err := collect(ctx, c, func(rows *sql.Rows) (none struct{}, err error) {
			var id int64
			var reason string
			err = rows.Scan(&id, &reason)
			out[id] = reason
			return none, err
		}, "SELECT cdr_id, reason FROM cdr_holds")
		return err
	})
	return out, err
}

// aboutFile are the kinds of the entries about a recording's file.
const aboutFile = "('" + recorder.EventIntent + "', '" + EventSettled + "', '" + EventImported + "', '" + EventRestated +
	"', '" + EventAttached + "', 'recording.delete_begun', 'recording.deleted', 'recording.delete_failed')"

// Vanished implements verify.Database.
func (r *Reader) Vanished(ctx context.Context, uuids []string) (out []string, err error) {
	err = r.on(ctx, "recordings", func(c *sql.Conn) error {
		out, err = collect(ctx, c, one[string], `SELECT DISTINCT value FROM json_each(?) WHERE value NOT IN (SELECT uuid FROM recordings)
			AND NOT coalesce((SELECT kind = 'recording.deleted' OR data ->> '$.state' = 'deleted' FROM events
				WHERE recording = value AND recording <> '' AND kind IN `+aboutFile+` AND kind <> '`+EventAttached+`'
				ORDER BY id DESC LIMIT 1), false)`, list(uuids))
		return err
	})
	return out, err
}

const verifiedColumns = `SELECT uuid, tenant_uuid, state, intent_at, sha256, bytes, samples, rate, coalesce(cdr_id, 0), ` + rowText + `,
	(SELECT json_group_array(json_object('ID', id, 'At', at, 'Kind', kind, 'Actor', actor, 'Data', data) ORDER BY id) FROM events
		WHERE recording = uuid AND recording <> '' AND kind IN ` + aboutFile + `) FROM recordings`

func scanVerified(rows *sql.Rows) (v verify.Recording, err error) {
	var rec recorder.Recording
	var text, facts []byte
	if err := rows.Scan(&v.UUID, &rec.TenantUUID, &v.State, &v.IntentAt, &v.SHA256, &v.Bytes, &v.Samples, &v.Rate, &v.CDR, &text, &facts); err != nil {
		return v, err
	}
	v.Row = digestOf(text)
	rec.UUID, v.Tenant = v.UUID, rec.TenantUUID
	v.Path = rec.Path()
	if err := json.Unmarshal(facts, &v.Facts); err != nil {
		return v, fmt.Errorf("events of recording %s: %w", v.UUID, err)
	}
	return v, nil
}

// Recordings implements verify.Database.
func (r *Reader) Recordings(ctx context.Context, after string, limit int) (out []verify.Recording, err error) {
	err = r.on(ctx, "recordings", func(c *sql.Conn) error {
		out, err = collect(ctx, c, scanVerified, verifiedColumns+" WHERE uuid > ? ORDER BY uuid LIMIT ?", after, limit)
		return err
	})
	return out, err
}

// Recording implements verify.Database.
func (r *Reader) Recording(ctx context.Context, uuid string) (rec verify.Recording, ok bool, err error) {
	var found []verify.Recording
	err = r.on(ctx, "recordings", func(c *sql.Conn) error {
		found, err = collect(ctx, c, scanVerified, verifiedColumns+" WHERE uuid = ?", uuid)
		return err
	})
	if len(found) == 0 {
		return rec, false, err
	}
	return found[0], true, nil
}
