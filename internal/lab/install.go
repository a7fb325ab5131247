package lab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	envRoot  = "CALLRECORDD_ASTERISK_ROOT" // an unpacked root folder to use
	envCache = "CALLRECORDD_CACHE"         // where unpacked roots are kept
	// oldest is the first major version of Asterisk that the lab starts, unless
	// a test asks for another release of Debian.
	oldest = 18
	// newestSuite is the release of Debian that has the newest Asterisk.
	newestSuite = "sid"
)

// Install is an Asterisk that can be started: the machine's own, or one
// unpacked into a folder.
type Install struct {
	// Version is what the program says of itself, such as "22.10.1~dfsg+…".
	Version string
	// Command is the program with the arguments that must come first: for an
	// unpacked one its own dynamic loader and library path.
	Command []string
	// ModuleDir and DataDir are Asterisk's astmoddir and astdatadir.
	ModuleDir, DataDir string
	// Root is the unpacked root folder, empty for the machine's own Asterisk.
	Root string
}

// EnsureOptions say where Ensure looks and what it reports.
type EnsureOptions struct {
	// CacheDir keeps the unpacked roots as asterisk/<version>. Default:
	// $CALLRECORDD_CACHE, else callrecordd in the user's cache folder.
	CacheDir string
	// Refresh looks for a newer version even if there is one in the cache. If
	// that fails the cached one is used.
	Refresh bool
	// Unpacked ignores an Asterisk on PATH.
	Unpacked bool
	// Suite is the release of Debian whose packages are unpacked, sid by
	// default. With another, such as bullseye with its Asterisk 16.28, nothing
	// but these packages will do.
	Suite string
	// Log reports progress. Default: nothing.
	Log *slog.Logger
}

// Ensure returns an Asterisk that can be started: the root folder named in
// $CALLRECORDD_ASTERISK_ROOT, the one on PATH if it is new enough, the newest
// in the cache, or a fresh download from the machine's own Debian mirror. Any
// number of processes may call it at the same time; root is not needed.
func Ensure(ctx context.Context, o EnsureOptions) (Install, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Suite == "" {
		o.Suite = newestSuite
	}
	if root := os.Getenv(envRoot); root != "" && o.Suite == newestSuite {
		in, err := fromRoot(ctx, root, oldest)
		if err != nil {
			return Install{}, fmt.Errorf("use %s: %w", envRoot, err)
		}
		return in, nil
	}
	if !o.Unpacked && o.Suite == newestSuite {
		in, err := fromPath(ctx)
		if err == nil {
			return in, nil
		}
		o.Log.DebugContext(ctx, "no usable asterisk on PATH", "reason", err)
	}
	if o.CacheDir == "" {
		dir, err := defaultCache()
		if err != nil {
			return Install{}, err
		}
		o.CacheDir = dir
	}
	// The dynamic loader's library path cannot express such names.
	if strings.ContainsAny(o.CacheDir, ":;") {
		return Install{}, fmt.Errorf("cache folder %q: the name must not contain a colon or semicolon", o.CacheDir)
	}
	o.CacheDir = filepath.Join(o.CacheDir, "asterisk")
	if o.Suite != newestSuite {
		o.CacheDir += "-" + o.Suite
	}
	return fromCache(ctx, o)
}

func defaultCache() (string, error) {
	if dir := os.Getenv(envCache); dir != "" {
		return dir, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a cache folder (set %s): %w", envCache, err)
	}
	return filepath.Join(dir, "callrecordd"), nil
}

// oldest is the first major version that will do.
func (o EnsureOptions) oldest() int {
	if o.Suite != newestSuite {
		return 0
	}
	return oldest
}

// fromCache returns the newest complete root, downloading one if there is none.
func fromCache(ctx context.Context, o EnsureOptions) (Install, error) {
	if !o.Refresh {
		if in, err := newest(ctx, o.CacheDir, o.oldest()); err == nil {
			return in, nil
		}
	}
	if err := os.MkdirAll(o.CacheDir, 0o755); err != nil {
		return Install{}, fmt.Errorf("create cache folder: %w", err)
	}
	unlock, err := lockFile(ctx, filepath.Join(o.CacheDir, "lock"))
	if err != nil {
		return Install{}, err
	}
	defer unlock()
	cached, cacheErr := newest(ctx, o.CacheDir, o.oldest()) // another process may have been faster
	if cacheErr == nil && !o.Refresh {
		return cached, nil
	}
	in, err := fetch(ctx, o)
	if err != nil && cacheErr == nil {
		o.Log.WarnContext(ctx, "no newer Asterisk, using the cached one", "version", cached.Version, "reason", err)
		return cached, nil
	}
	return in, err
}

// fetch downloads under the lock and moves the complete root into its place.
func fetch(ctx context.Context, o EnsureOptions) (Install, error) {
	work := filepath.Join(o.CacheDir, ".download")
	defer func() { _ = os.RemoveAll(work) }() // a rest is emptied by the next download
	root, version, err := download(ctx, work, o.Suite, asteriskPackages(), o.Log)
	if err != nil {
		return Install{}, err
	}
	if err := completeRoot(root); err != nil {
		return Install{}, err
	}
	if _, err := fromRoot(ctx, root, o.oldest()); err != nil {
		return Install{}, fmt.Errorf("try the downloaded Asterisk %s: %w", version, err)
	}
	final := filepath.Join(o.CacheDir, folderName(version))
	if _, err := os.Stat(final); err == nil {
		return fromRoot(ctx, final, o.oldest())
	}
	if err := os.Rename(root, final); err != nil {
		return Install{}, fmt.Errorf("keep Asterisk %s: %w", version, err)
	}
	// dpkg leaves the package's date on the folder; newest compares dates.
	now := time.Now()
	if err := os.Chtimes(final, now, now); err != nil {
		return Install{}, fmt.Errorf("keep Asterisk %s: %w", version, err)
	}
	return fromRoot(ctx, final, o.oldest())
}

// folderName turns a Debian version into a folder name without its epoch: a
// colon would split the loader's library path.
func folderName(version string) string {
	if _, v, ok := strings.Cut(version, ":"); ok {
		version = v
	}
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(":;/ ", r) {
			return '_'
		}
		return r
	}, version)
}

// newest returns the root in the cache that was completed last and still runs.
func newest(ctx context.Context, dir string, oldest int) (Install, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return Install{}, fmt.Errorf("look into the cache: %w", err)
	}
	var best Install
	var bestTime time.Time
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !e.IsDir() || strings.HasPrefix(e.Name(), ".") || info.ModTime().Before(bestTime) {
			continue
		}
		if in, err := fromRoot(ctx, filepath.Join(dir, e.Name()), oldest); err == nil {
			best, bestTime = in, info.ModTime()
		}
	}
	if best.Root == "" {
		return Install{}, fmt.Errorf("no Asterisk in the cache %s: %w", dir, os.ErrNotExist)
	}
	return best, nil
}

// fromRoot describes the Asterisk in an unpacked root folder and proves that
// it starts. It runs through the folder's own loader, without chroot, so that
// it sees the same file paths as we do (asterisk-facts 6).
func fromRoot(ctx context.Context, root string, oldest int) (Install, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return Install{}, fmt.Errorf("find root folder: %w", err)
	}
	// Up to Debian 11 libraries are in /lib as well, and modules in /usr/lib.
	loaders, modules := inRoot(root, "*-linux-*/ld-linux*.so.*"), append(inRoot(root, "*-linux-*/asterisk/modules"), inRoot(root, "asterisk/modules")...)
	if len(loaders) == 0 || len(modules) == 0 {
		return Install{}, fmt.Errorf("no dynamic loader or no modules below %s: %w", root, os.ErrNotExist)
	}
	libs := append(inRoot(root, "*-linux-*"), filepath.Join(root, "usr", "lib"))
	in := Install{
		Command:   []string{loaders[0], "--library-path", strings.Join(libs, ":"), filepath.Join(root, "usr", "sbin", "asterisk")},
		ModuleDir: modules[0],
		DataDir:   filepath.Join(root, "usr", "share", "asterisk"),
		Root:      root,
	}
	return in.proved(ctx, oldest)
}

// inRoot looks for a pattern below the root's folders of libraries.
func inRoot(root, pattern string) []string {
	var found []string
	for _, lib := range []string{"usr/lib", "lib"} {
		more, _ := filepath.Glob(filepath.Join(root, lib, pattern)) // the patterns are well formed
		found = append(found, more...)
	}
	return found
}

// fromPath describes the machine's own Asterisk.
func fromPath(ctx context.Context) (Install, error) {
	bin, err := exec.LookPath("asterisk")
	if err != nil {
		return Install{}, fmt.Errorf("find asterisk: %w", err)
	}
	in := Install{Command: []string{bin}}
	patterns := []string{"/usr/lib/*-linux-*/asterisk/modules", "/usr/lib64/asterisk/modules", "/usr/lib/asterisk/modules"}
	for _, p := range patterns {
		if found, err := filepath.Glob(p); err == nil && len(found) > 0 {
			in.ModuleDir = found[0]
			break
		}
	}
	for _, dir := range []string{"/usr/share/asterisk", "/var/lib/asterisk"} {
		if _, err := os.Stat(filepath.Join(dir, "rest-api")); err == nil {
			in.DataDir = dir
			break
		}
	}
	return in.proved(ctx, oldest)
}

var versionPattern = regexp.MustCompile(`Asterisk (?:certified[/-])?((\d+)[^\s]*)`)

// proved asks the program for its version.
func (in Install) proved(ctx context.Context, oldest int) (Install, error) {
	for _, dir := range []string{in.ModuleDir, in.DataDir} {
		if _, err := os.Stat(dir); err != nil {
			return Install{}, fmt.Errorf("asterisk %v lacks a folder: %w", in.Command, err)
		}
	}
	argv := append(in.Command[1:len(in.Command):len(in.Command)], "-V")
	out, err := exec.CommandContext(ctx, in.Command[0], argv...).CombinedOutput()
	if err != nil {
		return Install{}, fmt.Errorf("ask %v for its version: %w: %s", in.Command, err, tail(string(out), 300))
	}
	m := versionPattern.FindStringSubmatch(string(out))
	if m == nil {
		return Install{}, fmt.Errorf("ask %v for its version: it says %q", in.Command, tail(string(out), 100))
	}
	if major, err := strconv.Atoi(m[2]); err != nil || major < oldest {
		return Install{}, fmt.Errorf("asterisk %s is older than %d", m[1], oldest)
	}
	in.Version = m[1]
	return in, nil
}

// lockFile takes an exclusive lock that ends with the process at the latest.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	retry := time.NewTicker(100 * time.Millisecond)
	defer retry.Stop()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil // closing releases it
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			_ = f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, fmt.Errorf("wait for %s, held by another process: %w", path, ctx.Err())
		case <-retry.C:
		}
	}
}
