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
	plain, err := t.restarted(ctx, s, nil)
	if err != nil {
		return err
	}
	n := either(s, 10_000, 500)
	begun := time.Now()
	ready, err := t.restarted(ctx, s, func() error {
		err := t.crash(ctx, n)
		begun = time.Now()
		return err
	})
	if err != nil {
		return err
	}
	reached := map[string]float64{}
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
		Group: "reconcile", Name: fmt.Sprintf("%d open rows: reconciled, and calls are recorded, later than without", n),
		Value: ready - plain, Unit: "ms", N: n, Note: fmt.Sprintf("a start takes %.0f ms instead of %.0f ms", ready, plain),
	}.bar("≤ 2 s", ready-plain <= 2000))
	s.add(Figure{
		Group: "reconcile", Name: "and until what was found is stored of all", Value: reached["stored"], Unit: "ms", N: n,
	})
	s.add(Figure{
		Group: "reconcile", Name: "and until all are final, files repaired and hashed", Value: reached["final"], Unit: "ms", N: n,
		Note: fmt.Sprintf("%d files of a second", n/2),
	})
	return nil
}

// restarted stops the daemon, has something done and starts it again. It returns
// how long that takes until it is ready, in ms.
func (t *site) restarted(ctx context.Context, s *suite, meanwhile func() error) (float64, error) {
	if err := t.child.stop(); err != nil {
		return 0, err
	}
	if meanwhile != nil {
		if err := meanwhile(); err != nil {
			return 0, err
		}
	}
	begun := time.Now()
	var err error
	if t.child, err = startChild(s.opt.Daemon, t.dir, t.pbx, daemonConfig(t.pbx, t.dir)); err != nil {
		return 0, err
	}
	if err := t.waitReady(ctx); err != nil {
		return 0, err
	}
	return millis(time.Since(begun)), nil
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
