package cdrgen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"callrecordd/store"
)

// version changes with what is generated and with the schema of lists.
const version = 5

// Path is where the generated database of so many calls is kept: in
// CALLRECORDD_CACHE or the user's cache folder.
func Path(rows int) (string, error) {
	cache := os.Getenv("CALLRECORDD_CACHE")
	if cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find the cache folder: %w", err)
		}
		cache = filepath.Join(user, "callrecordd")
	}
	return filepath.Join(cache, "cdrs", fmt.Sprintf("v%d-%d.db", version, rows)), nil
}

// Ensure makes the database of so many calls unless it is there, and returns
// its path. say tells people how far it is.
func Ensure(ctx context.Context, rows int, say func(string)) (string, error) {
	path, err := Path(rows)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return path, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return "", fmt.Errorf("create the folder of generated databases: %w", err)
	}
	if err := generate(ctx, path, rows, say); err != nil {
		return "", fmt.Errorf("generate %d calls: %w", rows, err)
	}
	return path, nil
}

// Open opens a database as the daemon does.
func Open(ctx context.Context, path string) (*store.Store, error) {
	return store.Open(ctx, store.Options{Path: path, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
}

// generate makes the file under another name first. One that was begun and not
// finished is continued, and never used before.
func generate(ctx context.Context, path string, rows int, say func(string)) error {
	tmp := path + ".part"
	s, err := Open(ctx, tmp)
	if err != nil {
		return err
	}
	began := time.Now()
	err = Fill(ctx, s, rows, func(done int) {
		say(strconv.Itoa(done) + " calls, " + strconv.Itoa(int(float64(done)/time.Since(began).Seconds())) + " a second")
	})
	if err := errors.Join(err, s.Close()); err != nil {
		return err
	}
	return errors.Join(os.Rename(tmp, path), os.Remove(tmp+".lock"))
}
