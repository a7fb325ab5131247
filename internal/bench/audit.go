package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"callrecordd/config"
	"callrecordd/internal/cdrgen"
)

// coverage audits a million generated calls with a daemon's own program, as a
// process of its own: its time and the most memory that it has had.
func coverage(ctx context.Context, s *suite) (err error) {
	rows := either(s, 1_000_000, 20_000)
	if text := os.Getenv("ROWS"); text != "" {
		if rows, err = strconv.Atoi(text); err != nil || rows <= 0 {
			return fmt.Errorf("ROWS=%s is no number of calls", text)
		}
	}
	state, err := cdrgen.EnsureAudited(ctx, rows, func(text string) { s.say("    %s", text) })
	if err != nil {
		return err
	}
	dir, err := s.folder("audit")
	if err != nil {
		return err
	}
	c := config.Default()
	c.State.Dir, c.State.Socket, c.Recordings.Root = state, filepath.Join(dir, "control.sock"), filepath.Join(dir, "recordings")
	file, out := filepath.Join(dir, "callrecordd.yaml"), filepath.Join(dir, "audit.json")
	if err := errors.Join(os.MkdirAll(c.Recordings.Root, 0o750), os.WriteFile(file, []byte(c.YAML()), 0o600)); err != nil {
		return fmt.Errorf("configure the audit: %w", err)
	}
	to, err := os.Create(out)
	if err != nil {
		return fmt.Errorf("create the audit's answer: %w", err)
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	cmd := exec.CommandContext(ctx, s.opt.Daemon, "-c", file, "-o", "json", "audit",
		"--since", cdrgen.End().AddDate(-cdrgen.Years-1, 0, 0).Format(time.RFC3339), "--until", cdrgen.End().AddDate(1, 0, 0).Format(time.RFC3339))
	cmd.Stdout, cmd.Stderr = to, os.Stderr
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the audit: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	most, err := watchMemory(cmd.Process.Pid, ended)
	if err != nil {
		return fmt.Errorf("audit %d calls: %w", rows, err)
	}
	took := time.Since(began)
	counted, err := readCoverage(out)
	if err != nil {
		return err
	}
	what := fmt.Sprintf("of %d calls", counted)
	s.add(Figure{Group: "audit", Name: "audit " + what, Value: took.Seconds(), Unit: "s", N: 1}.atMost(60))
	s.add(Figure{Group: "audit", Name: "memory at most, " + what, Value: most, Unit: "MB", N: 1}.atMost(200))
	if counted != rows {
		return fmt.Errorf("%d of %d calls were audited", counted, rows)
	}
	return nil
}

// watchMemory waits for a process and returns the most memory that it has had, in
// MB. What getrusage says of it counts ours as well, from before it was another
// program.
func watchMemory(pid int, ended <-chan error) (most float64, err error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			return most, err
		case <-tick.C:
			if now, err := memoryMB(pid, "VmHWM"); err == nil { // else it is ending
				most = max(most, now)
			}
		}
	}
}

// readCoverage returns how many calls were audited, and fails if what is wrong
// with them is not what was generated.
func readCoverage(path string) (int, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("read the audit: %w", err)
	}
	var answer struct {
		Calls []struct {
			Class string `json:"class"`
		} `json:"calls"`
		Summary struct {
			Calls int            `json:"calls"`
			By    map[string]int `json:"by_class"`
		} `json:"summary"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return 0, fmt.Errorf("read the audit: %w", err)
	}
	for _, c := range answer.Calls {
		if c.Class != "missing" {
			return 0, fmt.Errorf("a generated call is classed %s: %v", c.Class, answer.Summary.By)
		}
	}
	return answer.Summary.Calls, nil
}
