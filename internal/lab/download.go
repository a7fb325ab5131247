package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// debianKeyring is where Debian's package debian-archive-keyring puts its keys.
const debianKeyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// asteriskPackages is what a lab needs; apt adds the libraries. The music is
// for hold and queues.
func asteriskPackages() []string { return []string{"asterisk", "asterisk-moh-opsound-gsm"} }

// aptTree is a private apt: nothing of the machine's own package state is read
// or written, so an ordinary user can use it.
type aptTree struct {
	dir string
	log *slog.Logger
}

func newAptTree(dir, suite string, src aptSource, log *slog.Logger) (*aptTree, error) {
	for _, d := range []string{"state/lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return nil, fmt.Errorf("create private apt tree: %w", err)
		}
	}
	opts, key := "", src.SignedBy
	if key == "" {
		key = debianKeyring
	}
	if _, err := os.Stat(key); err == nil {
		opts = "[signed-by=" + key + "] "
	}
	files := map[string]string{
		"status":       "",
		"sources.list": "deb " + opts + src.URI + " " + suite + " main\n",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return nil, fmt.Errorf("create private apt tree: %w", err)
		}
	}
	return &aptTree{dir: dir, log: log}, nil
}

// run executes an apt command within the tree and returns its output.
func (a *aptTree) run(ctx context.Context, command string, args ...string) (string, error) {
	opts := []string{
		"Dir::State=" + filepath.Join(a.dir, "state"),
		"Dir::State::status=" + filepath.Join(a.dir, "status"),
		"Dir::Cache=" + filepath.Join(a.dir, "cache"),
		"Dir::Etc::sourcelist=" + filepath.Join(a.dir, "sources.list"),
		"Dir::Etc::sourceparts=-",
		"Dir::Etc::preferences=-", "Dir::Etc::preferencesparts=-",
		"APT::Sandbox::User=", "APT::Install-Recommends=false",
		"Acquire::Languages=none", "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
		"Acquire::Retries=2", "APT::Update::Error-Mode=any",
	}
	argv := make([]string, 0, 2*len(opts)+len(args))
	for _, o := range opts {
		argv = append(argv, "-o", o)
	}
	cmd := exec.CommandContext(ctx, command, append(argv, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", command, strings.Join(args, " "), err, tail(stderr.String()+stdout.String(), 600))
	}
	return stdout.String(), nil
}

// candidate returns the version of a package that the archive offers.
func (a *aptTree) candidate(ctx context.Context, name string) (string, error) {
	out, err := a.run(ctx, "apt-cache", "policy", name)
	if err != nil {
		return "", err
	}
	for line := range strings.SplitSeq(out, "\n") {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "Candidate: "); ok && v != "(none)" {
			return v, nil
		}
	}
	return "", fmt.Errorf("the archive offers no package %s", name)
}

// download fetches the newest packages below dir and unpacks them into a new
// root, which it returns together with the version of the first. The caller
// moves it.
func download(ctx context.Context, dir, suite string, packages []string, log *slog.Logger) (root, version string, err error) {
	for _, tool := range []string{"apt-get", "apt-cache", "dpkg"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "", "", fmt.Errorf("get %s from Debian: %w; install it (asterisk: 18 or newer, or set %s)", packages[0], err, envRoot)
		}
	}
	sources, err := debianSources("/etc/apt")
	if err != nil {
		return "", "", err
	}
	var failures []error
	for _, src := range sources {
		root, version, err := downloadFrom(ctx, src, dir, suite, packages, log)
		if err == nil {
			return root, version, nil
		}
		failures = append(failures, fmt.Errorf("from %s: %w", src.URI, err))
	}
	return "", "", fmt.Errorf("get %s from Debian (is the network there?): %w", packages[0], errors.Join(failures...))
}

func downloadFrom(ctx context.Context, src aptSource, dir, suite string, packages []string, log *slog.Logger) (root, version string, err error) {
	if err := os.RemoveAll(dir); err != nil {
		return "", "", fmt.Errorf("empty %s: %w", dir, err)
	}
	apt, err := newAptTree(dir, suite, src, log)
	if err != nil {
		return "", "", err
	}
	log.InfoContext(ctx, "reading package lists", "mirror", src.URI)
	if _, err := apt.run(ctx, "apt-get", "update"); err != nil {
		return "", "", err
	}
	if version, err = apt.candidate(ctx, packages[0]); err != nil {
		return "", "", err
	}
	log.InfoContext(ctx, "downloading", "package", packages[0], "version", version)
	args := append([]string{"-y", "--download-only", "install"}, packages...)
	if _, err := apt.run(ctx, "apt-get", args...); err != nil {
		return "", "", err
	}
	debs, err := filepath.Glob(filepath.Join(dir, "cache", "archives", "*.deb"))
	if err != nil || len(debs) == 0 {
		return "", "", fmt.Errorf("apt-get downloaded nothing into %s: %w", dir, errors.Join(err, os.ErrNotExist))
	}
	log.InfoContext(ctx, "unpacking", "packages", len(debs))
	root = filepath.Join(dir, "root")
	for _, deb := range debs {
		if out, err := exec.CommandContext(ctx, "dpkg", "-x", deb, root).CombinedOutput(); err != nil {
			return "", "", fmt.Errorf("unpack %s: %w: %s", filepath.Base(deb), err, tail(string(out), 300))
		}
	}
	return root, version, nil
}

// completeRoot does what the packages' own scripts would do: the English
// prompts are reachable as "en".
func completeRoot(root string) error {
	sounds := filepath.Join(root, "usr", "share", "asterisk", "sounds")
	found, err := filepath.Glob(filepath.Join(sounds, "en_*"))
	if err != nil || len(found) == 0 {
		return fmt.Errorf("no English prompts in %s: %w", sounds, errors.Join(err, os.ErrNotExist))
	}
	if err := os.Symlink(filepath.Base(found[0]), filepath.Join(sounds, "en")); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("name the English prompts: %w", err)
	}
	return nil
}

// tail returns the last n bytes of s, for error texts.
func tail(s string, n int) string {
	s = strings.TrimSpace(s)
	if len(s) > n {
		s = "…" + s[len(s)-n:]
	}
	return s
}
