package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// demo is `make demo KEEP=1` after its calls, with a shell beside it.
type demo struct {
	t     *testing.T
	stdin io.Writer
	dir   string // of the shell

	mu   sync.Mutex
	said strings.Builder
}

var demoExport = regexp.MustCompile(`export API=(\S+) TOKEN=(\S+)`)

// playDemo builds the program and waits until it has played its calls.
func playDemo(t *testing.T) *demo {
	t.Helper()
	d := &demo{t: t, dir: t.TempDir()}
	bin := filepath.Join(t.TempDir(), "callrecord-demo")
	make := exec.Command("go", "build", "-tags", "sqlite_fts5", "-o", bin, "./cmd/callrecord-demo")
	make.Dir = filepath.Join("..", "..")
	if out, err := make.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	cmd := exec.Command(bin, "-keep", "-daemon", build(t))
	out, err := cmd.StdoutPipe()
	must(t, err)
	cmd.Stderr = cmd.Stdout
	if d.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	c, err := launch(cmd)
	must(t, err)
	t.Cleanup(func() {
		c.end(t, syscall.SIGTERM)
		if t.Failed() {
			t.Logf("the demo:\n%s", d.text())
		}
	})
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			d.mu.Lock()
			d.said.WriteString(lines.Text() + "\n")
			d.mu.Unlock()
		}
	}()
	return d
}

func (d *demo) text() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.said.String()
}

// says waits until the demo has said what fits, and returns the groups.
func (d *demo) says(what *regexp.Regexp) (found []string) {
	d.t.Helper()
	const long = 2 * time.Minute // it plays for a quarter of a minute
	deadline := time.After(long)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if found = what.FindStringSubmatch(d.text()); found != nil {
			return found
		}
		select {
		case <-tick.C:
		case <-deadline:
			d.t.Fatalf("the demo does not say %s within %s", what, long)
		}
	}
}

// sh runs a script as a person would in another terminal; curl fails with 4xx
// and 5xx. What it sets is there for the next one.
func (d *demo) sh(env []string, script string) string {
	d.t.Helper()
	cmd := exec.CommandContext(within(d.t), "bash", "-c",
		`curl() { case "$*" in -fsS*) command curl "$@" ;; *) command curl --fail-with-body -sS "$@" ;; esac; }; [ -e .vars ] && . ./.vars; set -e; `+script+
			"\ndeclare -p RECORDING EXPORT CALL 2>/dev/null >.vars || true")
	cmd.Dir, cmd.Env = d.dir, append(append(os.Environ(), "NO_PROXY=*", "no_proxy=*"), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		d.t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}

// readmeLines are the indented lines between two texts of the README.
func readmeLines(t *testing.T, from, to string) (out []string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	must(t, err)
	_, rest, ok := strings.Cut(string(data), from)
	rest, _, ok2 := strings.Cut(rest, to)
	if !ok || !ok2 {
		t.Fatalf("the README has nothing between %q and %q", from, to)
	}
	for line := range strings.Lines(rest) {
		if line = strings.TrimSuffix(line, "\n"); strings.HasPrefix(line, "    ") && !strings.HasPrefix(line, "    #") {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return out
}

// longFiles is how many recordings below a folder have at least a second of audio.
func longFiles(t *testing.T, folder string) (n int) {
	t.Helper()
	must(t, filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && filepath.Ext(path) != ".wav" {
			return nil
		}
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Size() >= 16_000 {
			n++
		}
		return err
	}))
	return n
}

// The curl lines of the README work as they are printed against make demo
// KEEP=1, from top to bottom: a recording on a live call, then list, CSV,
// download, export, hold, deletion and retention.
func TestReadmeAgainstTheDemo(t *testing.T) {
	t.Parallel()
	d := playDemo(t)
	found := d.says(demoExport)
	env := []string{"API=" + found[1], "TOKEN=" + found[2]}

	lines := readmeLines(t, "make demo KEEP=1 and three lines of curl", "\n## ")
	if len(lines) != 3 {
		t.Fatalf("the lines are %q", lines)
	}
	_, err := fmt.Fprintln(d.stdin, "call erin 1001 6s")
	must(t, err)
	s := &site{t: t}
	s.eventually("erin's call is there", func() error {
		if out := d.sh(env, `curl -H "X-Auth-Token: $TOKEN" "$API/api/calld/1.0/calls"`); strings.Count(out, `"status":"Up"`) < 2 {
			return fmt.Errorf("calls: %s", out)
		}
		return nil
	})
	folder, spoken := filepath.Dir(d.says(regexp.MustCompile(` -c (\S+/callrecordd\.yaml) status`))[1]), 0
	for i, line := range lines {
		d.sh(env, line)
		switch i {
		case 0:
			spoken = longFiles(t, folder)
		case 1: // who types sees a second pass; a recording that is stopped at once has no audio
			s.eventually("something was said", func() error {
				if longFiles(t, folder) == spoken {
					return errors.New("the recording is shorter than a second")
				}
				return nil
			})
		}
	}
	if got := d.says(regexp.MustCompile(`(?s)has hung up after 6s.*Erin 1005 → Alice 1001 .*Erin 1005 → Alice 1001 [^\n]*ready [0-9.]+ s, (\S+)`)); got[1] != "api" {
		t.Errorf("the recording of the live call says %q", got[1])
	}

	for _, line := range readmeLines(t, "make demo KEEP=1 prints its own", "Live calls are served") {
		if strings.Contains(line, "/download") {
			s.eventually("the export is finished", func() error {
				if out := d.sh(env, `curl -H "X-Auth-Token: $TOKEN" "$API/api/call-logd/1.0/exports/$EXPORT"`); !strings.Contains(out, "finished") {
					return errors.New(out)
				}
				return nil
			})
		}
		d.sh(env, line)
	}
	for name, least := range map[string]int64{"calls.csv": 1000, "call.wav": 40_000, "recordings.zip": 80_000} {
		if info, err := os.Stat(filepath.Join(d.dir, name)); err != nil || info.Size() < least {
			t.Errorf("%s: %v %+v", name, err, info)
		}
	}
	if out := d.sh(env, `curl -H "X-Auth-Token: $TOKEN" "$API/api/call-logd/1.0/cdr/1"`); !strings.Contains(out, `"deleted":true`) {
		t.Errorf("the recording is still there: %s", out)
	}
}
