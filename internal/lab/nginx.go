package lab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Nginx returns the command of Debian's nginx: that on PATH, or one that is
// unpacked into the cache as Asterisk is, without root.
func Nginx(ctx context.Context, o EnsureOptions) (command []string, err error) {
	if bin, err := exec.LookPath("nginx"); err == nil {
		return []string{bin}, nil
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.CacheDir == "" {
		if o.CacheDir, err = defaultCache(); err != nil {
			return nil, err
		}
	}
	dir := filepath.Join(o.CacheDir, "nginx")
	final := filepath.Join(dir, "root")
	if command, err = nginxIn(ctx, final); err == nil {
		return command, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("create cache folder: %w", err)
	}
	unlock, err := lockFile(ctx, filepath.Join(dir, "lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()
	if command, err = nginxIn(ctx, final); err == nil { // another process was faster
		return command, nil
	}
	work := filepath.Join(dir, ".download")
	defer func() { _ = os.RemoveAll(work) }() // a rest is emptied by the next download
	root, _, err := download(ctx, work, newestSuite, []string{"nginx"}, o.Log)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(os.RemoveAll(final), os.Rename(root, final)); err != nil {
		return nil, fmt.Errorf("keep nginx: %w", err)
	}
	return nginxIn(ctx, final)
}

// nginxIn runs nginx through the unpacked folder's own loader, as fromRoot
// does with Asterisk.
func nginxIn(ctx context.Context, root string) ([]string, error) {
	loaders := inRoot(root, "*-linux-*/ld-linux*.so.*")
	if len(loaders) == 0 {
		return nil, fmt.Errorf("no dynamic loader below %s: %w", root, os.ErrNotExist)
	}
	command := []string{loaders[0], "--library-path", strings.Join(inRoot(root, "*-linux-*"), ":"), filepath.Join(root, "usr", "sbin", "nginx")}
	out, err := exec.CommandContext(ctx, command[0], append(command[1:len(command):len(command)], "-v")...).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("ask %v for its version: %w: %s", command, err, tail(string(out), 300))
	}
	return command, nil
}
