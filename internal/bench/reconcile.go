package bench

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// reconcile starts a daemon after a bad crash: ten thousand recordings are open,
// half of them have a file that nobody has closed, and none of their channels
// lives.
func reconcile(ctx context.Context, s *suite) (err error) {
	t, err := s.start(ctx, armDaemon())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	if err := t.child.stop(); err != nil {
		return err
	}
	n := either(s, 10_000, 500)
	if err := t.crash(ctx, n); err != nil {
		return err
	}
	begun := time.Now()
	if t.child, err = startChild(s.opt.Daemon, t.dir, t.pbx, daemonConfig(t.pbx, t.dir)); err != nil {
		return err
	}
	if err := t.waitReady(ctx); err != nil {
		return err
	}
	reached := map[string]float64{"ready": millis(time.Since(begun))}
	for _, step := range []struct{ name, query string }{
		{"stored", "SELECT count(*) FROM recordings WHERE state IN ('starting', 'recording', 'paused')"},
		{"final", countOpen},
	} {
		ctx, cancel := context.WithTimeout(ctx, 4*patience) // five thousand files are synced, each with its folders
		err := eventually(ctx, func() error {
			open, err := t.number(ctx, step.query)
			if err == nil && open > 0 {
				err = fmt.Errorf("%d recordings are open; the daemon's log ends: %s", open, t.child.tail())
			}
			return err
		})
		cancel()
		if err != nil {
			return err
		}
		reached[step.name] = millis(time.Since(begun))
	}
	s.add(Figure{
		Group: "reconcile", Name: fmt.Sprintf("start with %d open rows until they are reconciled and calls are recorded", n), Value: reached["ready"],
		Unit: "ms", N: n, Note: "the daemon's own start and its connection to Asterisk included",
	}.bar("≤ 2 s", reached["ready"] <= 2000))
	s.add(Figure{
		Group: "reconcile", Name: "and until what was found is stored of all", Value: reached["stored"], Unit: "ms", N: n,
	})
	s.add(Figure{
		Group: "reconcile", Name: "and until all are final, files repaired and hashed", Value: reached["final"], Unit: "ms", N: n,
		Note: fmt.Sprintf("%d files of a second", n/2),
	})
	return nil
}

// crash leaves so many open recordings behind in the database of a daemon that
// does not run.
func (t *site) crash(ctx context.Context, n int) (err error) {
	cfg := t.child.cfg
	db, err := sql.Open("sqlite3", "file:"+cfg.State.Database()+"?mode=rw&_busy_timeout=5000")
	if err != nil {
		return fmt.Errorf("open the daemon's database: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var tenant string
	if err := db.QueryRowContext(ctx, "SELECT uuid FROM tenants LIMIT 1").Scan(&tenant); err != nil {
		return fmt.Errorf("find the tenant: %w", err)
	}
	dir := filepath.Join(cfg.Recordings.Root, tenant, "monitor")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("make the tenant's folder: %w", err)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("leave open recordings behind: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	at := time.Now().Add(-time.Hour).UnixMicro()
	file := unclosed()
	for i := range n {
		id := fmt.Sprintf("00000000-0000-4000-8000-%012d", i)
		if _, err := tx.ExecContext(ctx, `INSERT INTO recordings (uuid, tenant_uuid, boot, hook, hook_name, mixmonitor_id, follows,
			state, cause, detail, claims, intent_at, started_at, silent, bytes, samples, rate, sha256)
			VALUES (?, ?, ?, ?, ?, '0x1', '', 'recording', '', '', '[]', ?, ?, 0, 0, 0, 0, '')`,
			id, tenant, at, fmt.Sprintf("1600000000.%d", i), fmt.Sprintf("PJSIP/gone-%08x", i), at, at); err != nil {
			return fmt.Errorf("leave open recordings behind: %w", err)
		}
		if i%2 == 0 {
			if err := os.WriteFile(filepath.Join(dir, id+".wav"), file, 0o640); err != nil {
				return fmt.Errorf("leave files behind: %w", err)
			}
		}
	}
	return tx.Commit()
}

// unclosed is a second of audio in a file that nobody has closed.
func unclosed() []byte {
	head := "RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00data\x00\x00\x00\x00"
	return append([]byte(head), make([]byte, 16000)...)
}
