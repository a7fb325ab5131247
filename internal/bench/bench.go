package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"callrecordd/internal/lab"
)

// Options say what to measure.
type Options struct {
	// Daemon is the callrecordd to measure.
	Daemon string
	// Short is a smoke run: everything happens, the figures mean little.
	Short bool
	// Only names groups; empty means all.
	Only []string
	// Progress takes lines for people; the report is returned.
	Progress io.Writer
	// Keep leaves the folder with all logs and databases.
	Keep bool
}

// group is a set of figures that share a load.
type group struct {
	name, about string
	run         func(context.Context, *suite) error
	asked       bool // measured only if it is named: it has no bar
}

func groups() []group {
	return []group{
		{name: "waiting", about: "what a caller waits", run: waiting},
		{name: "recording", about: "calls of 20 s: CPU, start of the recorder, lost audio, ready", run: recording},
		{name: "parts", about: "Asterisk's CPU and the caller's wait, part by part (only if named)", run: parts, asked: true},
		{name: "ondemand", about: "*3: last digit to start", run: onDemand},
		{name: "star26", about: "*26: dialled to answered", run: star26},
		{name: "memory", about: "300 recordings at once", run: memory},
		{name: "restart", about: "the daemon stopped and started in the middle of recordings", run: restart},
		{name: "reconcile", about: "a start after a crash with ten thousand open recordings", run: reconcile},
		{name: "journal", about: "from Asterisk's journal to CDRs", run: journal},
		{name: "burst", about: "100,000 events at once", run: burst},
		{name: "export", about: "archives against zip, what they cost others, imports", run: exports},
		{name: "verify", about: "the ledger and files against openssl", run: verifying},
		{name: "media", about: "download of a recording beside nginx", run: media},
		{name: "accounts", about: "tokens, and a directory of 10,000 users, over HTTP", run: accounts},
		{name: "hashing", about: "calls while 10 GB are read and hashed", run: hashing},
		{name: "rate", about: "how many calls a second complete", run: rate},
		{name: "lists", about: "lists of ten million CDRs, or ROWS of them", run: lists},
		{name: "audit", about: "the coverage audit of a million calls, or ROWS of them", run: coverage},
	}
}

// Names are the groups and what they measure.
func Names() []string {
	var out []string
	for _, g := range groups() {
		out = append(out, fmt.Sprintf("%-10s %s", g.name, g.about))
	}
	return out
}

// suite is one run.
type suite struct {
	opt     Options
	dir     string
	install lab.Install
	report  Report
}

// Run measures all groups and returns the report, also of a run that failed in
// the middle: what was measured until then stands.
func Run(ctx context.Context, opt Options) (Report, error) {
	s, err := newSuite(ctx, opt)
	if err != nil {
		return Report{}, err
	}
	var errs []error
	for _, g := range groups() {
		if !slices.Contains(opt.Only, g.name) && (len(opt.Only) > 0 || g.asked) {
			continue
		}
		s.say("==> %s: %s", g.name, g.about)
		begun := time.Now()
		if err := g.run(ctx, s); err != nil {
			errs = append(errs, fmt.Errorf("measure %s: %w", g.name, err))
			s.say("    FAILED: %v", err)
		}
		s.say("    %s took %s", g.name, time.Since(begun).Round(time.Second))
		if ctx.Err() != nil {
			break
		}
	}
	return s.finish(errs)
}

func newSuite(ctx context.Context, opt Options) (*suite, error) {
	if _, err := os.Stat(opt.Daemon); err != nil {
		return nil, fmt.Errorf("find the daemon to measure: %w", err)
	}
	s := &suite{opt: opt}
	var err error
	if s.install, err = lab.Ensure(ctx, lab.EnsureOptions{}); err != nil {
		return nil, fmt.Errorf("get an Asterisk: %w", err)
	}
	if s.dir, err = os.MkdirTemp("", "callrecord-bench-"); err != nil {
		return nil, fmt.Errorf("create the folder of the run: %w", err)
	}
	s.report = newReport(s.install.Version, opt.Short)
	return s, nil
}

func (s *suite) finish(errs []error) (Report, error) {
	s.report.Seconds = time.Since(s.report.Date).Seconds()
	if s.opt.Keep {
		s.say("everything is kept in %s", s.dir)
	} else if err := os.RemoveAll(s.dir); err != nil {
		errs = append(errs, fmt.Errorf("remove the folder of the run: %w", err))
	}
	return s.report, errors.Join(errs...)
}

func (s *suite) say(format string, args ...any) {
	fmt.Fprintf(s.opt.Progress, "%s "+format+"\n", append([]any{time.Now().Format(time.TimeOnly)}, args...)...)
}

// either is the value of a full or of a short run.
func either[T any](s *suite, full, short T) T {
	if s.opt.Short {
		return short
	}
	return full
}

// folder makes a new one for an arm. Asterisk joins arguments by commas: there
// must be none in its name.
func (s *suite) folder(name string) (string, error) {
	dir, err := os.MkdirTemp(s.dir, strings.NewReplacer(" ", "-", ",", "").Replace(name)+"-")
	if err != nil {
		return "", fmt.Errorf("create folder of arm %s: %w", name, err)
	}
	return filepath.Clean(dir), nil
}
