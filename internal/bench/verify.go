package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"callrecordd/internal/cdrgen"
	"callrecordd/internal/lab"
	"callrecordd/store"
)

const (
	// verifyEntries and verifyFiles are the bars of issue 7: entries a second, and
	// how many times as fast as openssl.
	verifyEntries = 200_000
	verifyFiles   = 0.8
)

// verified is what `callrecordd verify` says, as far as it matters here.
type verified struct {
	Clean      bool  `json:"clean"`
	Entries    int64 `json:"entries"`
	CDRs       int64 `json:"cdrs"`
	Recordings int64 `json:"recordings"`
	Files      int64 `json:"files"`
	Bytes      int64 `json:"bytes"`
	Findings   []any `json:"findings"`
}

// verifying measures `callrecordd verify`: a long ledger without files, then many
// files with a short one.
func verifying(ctx context.Context, s *suite) error {
	return errors.Join(s.verifyLedger(ctx), s.verifyFiles(ctx))
}

func (s *suite) verifyLedger(ctx context.Context) error {
	dir, err := s.folder("verify-ledger")
	if err != nil {
		return err
	}
	state := daemonConfig(&lab.PBX{}, dir).State
	if err := os.MkdirAll(state.Dir, 0o750); err != nil {
		return fmt.Errorf("create the folder of the database: %w", err)
	}
	st, err := store.Open(ctx, store.Options{Path: state.Database(), Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	n := either(s, 2_000_000, 50_000)
	s.say("    writing %d entries", n)
	if err := errors.Join(cdrgen.FillLedger(ctx, st, n, func(int) {}), st.Close()); err != nil {
		return err
	}
	// A daemon signs it.
	v := &vault{suite: s, dir: dir}
	if err := v.start(ctx); err != nil {
		return err
	}
	err = v.signed(ctx)
	if err = errors.Join(err, v.child.stop()); err != nil {
		return err
	}
	r, took, memory, err := v.verify(ctx, "--db", state.Database(), "--key", filepath.Join(state.Dir, "ledger.pub"))
	if err != nil {
		return err
	}
	rate := float64(r.Entries) / took.Seconds()
	s.add(Figure{
		Group: "verify", Name: "entries of the ledger", Value: rate, Unit: "1/s", N: int(r.Entries),
		Note: fmt.Sprintf("with %d CDRs and %d recordings", r.CDRs, r.Recordings),
	}.atLeast(verifyEntries))
	s.add(Figure{Group: "verify", Name: "memory at its peak, entries", Value: memory, Unit: "MB"}.atMost(200))
	return nil
}

func (s *suite) verifyFiles(ctx context.Context) error {
	v, err := s.vault(ctx, "verify-files")
	if err != nil {
		return err
	}
	files := either(s, 8_000, 500)
	s.say("    writing %d recordings, %.1f GB", files, float64(files*exportFileSize)/1e9)
	err = v.fill(ctx, files, "--create-tenants")
	if err = errors.Join(err, v.child.stop()); err != nil {
		return err
	}
	var openssl time.Duration
	for range 2 { // the first fills the page cache
		cmd := exec.CommandContext(ctx, "sh", "-c", "find . -name '*.wav' -print0 | xargs -0 openssl dgst -sha256 >/dev/null")
		cmd.Dir = filepath.Join(v.dir, "recordings")
		begun := time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("openssl (apt install openssl): %w: %s", err, out)
		}
		openssl = time.Since(begun)
	}
	r, took, memory, err := v.verify(ctx)
	if err != nil {
		return err
	}
	reference := float64(r.Bytes) / openssl.Seconds() / 1e6
	ours := float64(r.Bytes) / took.Seconds() / 1e6
	s.add(Figure{Group: "verify", Name: fmt.Sprintf("%d files", r.Files), Value: ours, Unit: "MB/s", N: 1}.
		against(reference, "openssl dgst -sha256").bar(fmt.Sprintf("≥ %.1f × openssl", verifyFiles), ours >= verifyFiles*reference))
	s.add(Figure{Group: "verify", Name: "memory at its peak, files", Value: memory, Unit: "MB"}.atMost(200))
	return nil
}

// signed waits for the first checkpoint.
func (v *vault) signed(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return eventually(ctx, func() error {
		var status struct {
			Ledger string `json:"ledger"`
		}
		if err := v.ctl.Do(ctx, "GET", "status", nil, &status); err != nil {
			return err
		}
		if !strings.Contains(status.Ledger, "signed at") {
			return fmt.Errorf("the ledger is not signed: %s", status.Ledger)
		}
		return nil
	})
}

// verify runs the command, which must find nothing, and returns how long it took
// and the megabytes that it needed.
func (v *vault) verify(ctx context.Context, args ...string) (r verified, took time.Duration, memory float64, err error) {
	cmd := exec.CommandContext(ctx, v.opt.Daemon, append([]string{"verify", "-o", "json", "-c", filepath.Join(v.dir, "callrecordd.yaml")}, args...)...)
	begun := time.Now()
	out, err := cmd.Output()
	took = time.Since(begun)
	if err == nil {
		err = json.Unmarshal(out, &r)
	}
	if err == nil && !r.Clean {
		err = fmt.Errorf("%d findings", len(r.Findings))
	}
	if err != nil {
		return r, took, 0, fmt.Errorf("callrecordd verify: %w: %.2000s", err, out)
	}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		memory = float64(usage.Maxrss) / 1000
	}
	return r, took, memory, nil
}
