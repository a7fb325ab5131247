package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/google/uuid"

	"callrecordd/internal/control"
	"callrecordd/internal/lab"
)

const (
	exportFileSize = 512 << 10
	exportTenant   = "00000000-0000-4000-8000-0000000000ee"
	// exportBar: how many times as fast as zip -q -0 (issue 5).
	exportBar = 1.5
)

// vault is a daemon without an Asterisk, with recordings.
type vault struct {
	*suite
	dir   string
	child *child
	ctl   *control.Client
	token string
	url   string
}

// vault starts a daemon alone, in a folder of that name.
func (s *suite) vault(ctx context.Context, name string) (*vault, error) {
	dir, err := s.folder(name)
	if err != nil {
		return nil, err
	}
	v := &vault{suite: s, dir: dir}
	return v, v.start(ctx)
}

// exports measures archives against zip, what they cost others, and imports.
func exports(ctx context.Context, s *suite) (err error) {
	v, err := s.vault(ctx, "export")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.child.stop()) }()
	if err := v.imports(ctx); err != nil {
		return err
	}
	files := either(s, 20_000, 2_000)
	s.say("    writing %d recordings, %.1f GB", files, float64(files*exportFileSize)/1e9)
	if err := v.fill(ctx, files); err != nil {
		return err
	}
	total := float64(files * exportFileSize)
	zip, err := v.zip(ctx, total)
	if err != nil {
		return err
	}
	idlePage, idleWrite, err := v.probes(ctx, func() bool { return false })
	if err != nil {
		return err
	}
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", v.child.pid), []byte("5"), 0); err != nil {
		return fmt.Errorf("reset the daemon's peak of memory: %w", err)
	}
	begun := time.Now()
	done := make(chan error, 1)
	running := make(chan struct{})
	var took time.Duration
	go func() {
		done <- v.command(ctx, nil, "export", "--tenant", exportTenant)
		took = time.Since(begun)
		close(running)
	}()
	busyPage, busyWrite, perr := v.probes(ctx, func() bool {
		select {
		case <-running:
			return false
		default:
			return true
		}
	})
	if err := errors.Join(<-done, perr); err != nil {
		return err
	}
	<-running
	ours := total / took.Seconds() / 1e6
	s.add(Figure{Group: "export", Name: fmt.Sprintf("archive of %d files", files), Value: ours, Unit: "MB/s", N: 1}.
		against(zip, "zip -q -0").bar(fmt.Sprintf("≥ %.1f × zip", exportBar), ours >= exportBar*zip))
	peak, err := memoryMB(v.child.pid, "VmHWM")
	if err != nil {
		return err
	}
	s.add(Figure{Group: "export", Name: "resident memory at its peak", Value: peak, Unit: "MB"}.atMost(100))
	s.add(Figure{Group: "export", Name: "first page meanwhile, p99", Value: quantile(busyPage, 0.99), Unit: "ms", N: len(busyPage)}.
		against(quantile(idlePage, 0.99), "without an export"))
	s.add(Figure{Group: "export", Name: "commit meanwhile, p99", Value: quantile(busyWrite, 0.99), Unit: "ms", N: len(busyWrite)}.
		against(quantile(idleWrite, 0.99), "without an export").bar("≤ 50 ms", quantile(busyWrite, 0.99) <= 50))
	return nil
}

// start starts the daemon; that Asterisk is not there does not matter here.
func (v *vault) start(ctx context.Context) error {
	nobody := &lab.PBX{
		ARIURL: "http://127.0.0.1:9/ari", ARIUser: "none", ARIPassword: "none", AMIAddr: "127.0.0.1:9", AMIUser: "none", AMIPassword: "none",
		JournalPath: filepath.Join(v.dir, "master.db"),
	}
	cfg := daemonConfig(nobody, v.dir)
	cfg.Exports.KeepFree, cfg.Retention.Every = 0, 0
	var err error
	if v.child, err = startChild(v.opt.Daemon, v.dir, nobody, cfg); err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err = eventually(wait, func() (err error) {
		v.ctl, err = control.Connect(wait, cfg.State.Socket, "bench")
		return err
	})
	var token control.NewToken
	var status struct {
		Addresses []string `json:"addresses"`
	}
	if err == nil {
		err = v.ctl.Do(wait, "POST", "tokens", control.TokenRequest{ACL: []string{"call-logd.#"}}, &token)
	}
	if err == nil {
		err = v.ctl.Do(wait, "GET", "status", nil, &status)
	}
	if err == nil && len(status.Addresses) == 0 {
		err = errors.New("it listens nowhere")
	}
	if err != nil {
		return fmt.Errorf("start a daemon without Asterisk: %w; its log ends: %s", err, v.child.tail())
	}
	v.token, v.url = token.Secret, "http://"+status.Addresses[0]
	return nil
}

// command runs the command line beside the daemon.
func (v *vault) command(ctx context.Context, in io.Reader, args ...string) error {
	cmd := exec.CommandContext(ctx, v.opt.Daemon, append(args, "-c", filepath.Join(v.dir, "callrecordd.yaml"))...)
	cmd.Stdin = in
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("callrecordd %s: %w: %s", args[0], err, out)
	}
	return nil
}

// call is a line of an import.
func call(n int, recordings ...map[string]any) map[string]any {
	start := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(n) * time.Minute)
	return map[string]any{
		"tenant_uuid": exportTenant, "start": start.Format(time.RFC3339), "answer": start.Add(time.Second).Format(time.RFC3339),
		"end": start.Add(31 * time.Second).Format(time.RFC3339), "call_direction": "inbound", "source_name": fmt.Sprintf("Caller %d", n%5000),
		"source_extension": fmt.Sprintf("0301%06d", n%100_000), "destination_extension": fmt.Sprint(1000 + n%500),
		"conversation_id": fmt.Sprintf("%d.%d", start.Unix(), n), "recordings": recordings,
	}
}

// imports measures how many calls a second come in.
func (v *vault) imports(ctx context.Context) error {
	rows := either(v.suite, 100_000, 10_000)
	var lines bytes.Buffer
	enc := json.NewEncoder(&lines)
	for n := range rows {
		if err := enc.Encode(call(n)); err != nil {
			return fmt.Errorf("encode a call: %w", err)
		}
	}
	begun := time.Now()
	if err := v.command(ctx, &lines, "cdr", "import", "--create-tenants", "-"); err != nil {
		return err
	}
	v.add(Figure{Group: "export", Name: "calls imported", Value: float64(rows) / time.Since(begun).Seconds(), Unit: "1/s", N: rows}.atLeast(10_000))
	return nil
}

// fill writes recordings where they belong and has them imported.
func (v *vault) fill(ctx context.Context, files int, flags ...string) error {
	monitor := filepath.Join(v.dir, "recordings", exportTenant, "monitor")
	if err := os.MkdirAll(monitor, 0o750); err != nil {
		return fmt.Errorf("create the folder of recordings: %w", err)
	}
	list, err := os.Create(filepath.Join(v.dir, "calls.jsonl"))
	if err != nil {
		return fmt.Errorf("create the list of calls: %w", err)
	}
	defer func() { _ = list.Close() }() // it is flushed below
	out := bufio.NewWriter(list)
	enc := json.NewEncoder(out)
	data := noise(exportFileSize)
	for n := range files {
		id := uuid.NewString()
		path := filepath.Join(monitor, id+".wav")
		data[len(data)-1-n%1000]++ // no two are the same
		if err := os.WriteFile(path, data, 0o640); err != nil {
			return fmt.Errorf("write a recording: %w", err)
		}
		if err := enc.Encode(call(1_000_000+n, map[string]any{"uuid": id, "path": path})); err != nil {
			return fmt.Errorf("encode a call: %w", err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write the list of calls: %w", err)
	}
	return v.command(ctx, nil, append([]string{"cdr", "import", list.Name()}, flags...)...)
}

// noise is a WAV file that cannot be made smaller.
func noise(size int) []byte {
	b := make([]byte, size)
	r := rand.NewChaCha8([32]byte{})
	_, _ = r.Read(b) // cannot fail
	copy(b, "RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00data")
	put := func(at, v int) { b[at], b[at+1], b[at+2], b[at+3] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24) }
	put(4, size-8)
	put(40, size-44)
	return b
}

// zip measures the reference, in MB/s.
func (v *vault) zip(ctx context.Context, total float64) (float64, error) {
	archive := filepath.Join(v.dir, "reference.zip")
	cmd := exec.CommandContext(ctx, "zip", "-q", "-0", "-r", archive, exportTenant)
	cmd.Dir = filepath.Join(v.dir, "recordings")
	begun := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("zip (apt install zip): %w: %s", err, out)
	}
	rate := total / time.Since(begun).Seconds() / 1e6
	if err := os.Remove(archive); err != nil {
		return 0, fmt.Errorf("remove the reference: %w", err)
	}
	return rate, nil
}

// probes asks for a first page and makes a durable change, a hundred times and
// as long as more says so. It returns how many milliseconds each took.
func (v *vault) probes(ctx context.Context, more func() bool) (pages, writes []float64, err error) {
	for len(pages) < 100 || more() {
		req, err := http.NewRequestWithContext(ctx, "GET", v.url+"/1.0/cdr?limit=20", nil)
		if err != nil {
			return nil, nil, fmt.Errorf("ask for a page: %w", err)
		}
		req.Header.Set("X-Auth-Token", v.token)
		begun := time.Now()
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return nil, nil, fmt.Errorf("ask for a page: %w", err)
		}
		_, err = io.Copy(io.Discard, resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil || resp.StatusCode != http.StatusOK {
			return nil, nil, fmt.Errorf("ask for a page: %s %w", resp.Status, err)
		}
		pages = append(pages, millis(time.Since(begun)))
		begun = time.Now()
		if err := v.ctl.Do(ctx, "PUT", "holds/1", map[string]string{"reason": "bench"}, nil); err != nil {
			return nil, nil, err
		}
		writes = append(writes, millis(time.Since(begun)))
	}
	return pages, writes, nil
}
