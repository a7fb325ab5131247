package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"os"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

func migrations() fs.FS {
	sub, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		panic(err) // the name above is a valid path
	}
	return sub
}

// migrate brings the schema up to date, forward only. A schema that is newer
// than this program is refused: writing to it could destroy what it means. A
// database that is about to change is copied first.
func migrate(ctx context.Context, db *sql.DB, files fs.FS, opt Options) error {
	p, err := goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	have, want, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read schema version: %w", err)
	}
	if have > want {
		return fmt.Errorf("%w: it has schema %d, this version knows %d; install the version that was here before, or restore a backup", ErrNewerSchema, have, want)
	}
	if have == want {
		return nil
	}
	if have > 0 {
		backup := fmt.Sprintf("%s.schema%d", opt.Path, have)
		if err := os.Remove(backup); err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("remove the copy of an earlier attempt: %w", err)
		}
		if _, err := db.ExecContext(ctx, "VACUUM INTO ?", backup); err != nil {
			return fmt.Errorf("copy the database to %s before changing its schema: %w", backup, err)
		}
		opt.Log.Info("database copied before its schema changes", "copy", backup, "from", have, "to", want)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("change schema from %d to %d: %w", have, want, err)
	}
	return nil
}
