package main

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"callrecordd/internal/lab"
)

// reportEvery is how often a download says how far it is.
const reportEvery = 2 * time.Second

// ensure gets an Asterisk and shows how that goes on: the first time it is a
// download of some minutes on a slow line.
func (s *stage) ensure(ctx context.Context) (lab.Install, error) {
	watch, cancel := context.WithCancel(ctx)
	defer cancel()
	s.background.Go(func() { s.watchCache(watch) })
	return lab.Ensure(ctx, lab.EnsureOptions{Log: slog.New(progress{say: s.say})})
}

// watchCache says by how much the cache folder has grown: apt downloads and
// unpacks below it, and that is all that can be seen from outside.
func (s *stage) watchCache(ctx context.Context) {
	dir := os.Getenv("CALLRECORDD_CACHE")
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return // then Ensure has failed, too
		}
		dir = filepath.Join(base, "callrecordd")
	}
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	before, last := int64(-1), int64(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		size := folderSize(dir)
		if before < 0 {
			before = size
		}
		if mb := (size - before) >> 20; mb > last {
			last = mb
			s.say("    … %d MB", mb)
		}
	}
}

// folderSize adds up what it can see; files that vanish meanwhile do not count.
func folderSize(dir string) int64 {
	var total int64
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil //nolint:nilerr // see above
		}
		if info, err := d.Info(); err == nil {
			total += info.Size()
		}
		return nil
	})
	return total
}

// progress is a slog.Handler for people: a line without time and level.
type progress struct {
	say func(format string, args ...any)
}

// Enabled implements slog.Handler.
func (progress) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }

// Handle implements slog.Handler.
func (p progress) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	r.Attrs(func(a slog.Attr) bool {
		fmt.Fprintf(&b, " %s", a.Value)
		return true
	})
	p.say("    %s%s", r.Message, b.String())
	return nil
}

// WithAttrs implements slog.Handler; the lab's installer uses none.
func (p progress) WithAttrs([]slog.Attr) slog.Handler { return p }

// WithGroup implements slog.Handler; the lab's installer uses none.
func (p progress) WithGroup(string) slog.Handler { return p }
