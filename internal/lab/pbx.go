package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// pollEvery is how often the lab looks for something that Asterisk does not
	// announce.
	pollEvery = 20 * time.Millisecond
	// stopGrace is how long Asterisk may take to end by itself.
	stopGrace = 5 * time.Second
	// maxRunDir keeps the control socket's path below the 108 bytes of
	// sockaddr_un: names of test folders are long.
	maxRunDir = 85
	// userName is who the daemon is to ARI and AMI.
	userName = "callrecordd"
)

// PBX is a private Asterisk. Its methods may be called from any goroutine.
type PBX struct {
	Dir     string // everything it writes is below
	SIPAddr string // UDP, 127.0.0.1:port
	ARIURL  string // http://127.0.0.1:port/ari
	ARIUser, ARIPassword,
	AMIAddr, // 127.0.0.1:port
	AMIUser, AMIPassword string
	JournalPath string // the CEL journal, an SQLite file
	LogPath     string // Asterisk's own log
	// FeaturesPath is where the dialplan expects *26.
	FeaturesPath string

	cfg     Config
	install Install
	ports   portSlot
	runDir  string // where the control socket is

	mu   sync.Mutex
	proc *process // nil when stopped
}

// Start writes the configuration, starts Asterisk and waits until it is ready.
// The PBX lives until Stop or Kill, or until this process ends, whatever way.
func Start(ctx context.Context, in Install, c Config) (*PBX, error) {
	if c.Dir == "" || len(in.Command) == 0 {
		return nil, errors.New("start PBX: no folder or no Asterisk given")
	}
	c, err := c.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("start PBX in %s: %w", c.Dir, err)
	}
	ports, err := takePorts()
	if err != nil {
		return nil, fmt.Errorf("start PBX in %s: %w", c.Dir, err)
	}
	addr := func(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
	p := &PBX{
		Dir: c.Dir, SIPAddr: addr(ports.sip()), ARIURL: "http://" + addr(ports.http()) + "/ari",
		ARIUser: userName, ARIPassword: c.ARIPassword,
		AMIAddr: addr(ports.ami()), AMIUser: userName, AMIPassword: c.AMIPassword,
		JournalPath: filepath.Join(c.Dir, "log", "master.db"), LogPath: filepath.Join(c.Dir, "log", "full"),
		FeaturesPath: c.FeaturesPath,
		cfg:          c, install: in, ports: ports, runDir: filepath.Join(c.Dir, "run"),
	}
	if err := p.prepare(); err != nil {
		p.discard()
		return nil, err
	}
	if err := p.launch(ctx); err != nil {
		p.discard()
		return nil, err
	}
	return p, nil
}

func (p *PBX) prepare() error {
	if len(p.runDir) > maxRunDir {
		dir, err := os.MkdirTemp("", "lab")
		if err != nil {
			return fmt.Errorf("create folder for the control socket: %w", err)
		}
		p.runDir = dir
	} else if err := os.MkdirAll(p.runDir, 0o755); err != nil {
		return fmt.Errorf("create folder for the control socket: %w", err)
	}
	return p.writeFiles()
}

// discard gives back what lies outside of Dir.
func (p *PBX) discard() {
	p.ports.release()
	if filepath.Dir(p.runDir) != p.Dir {
		_ = os.RemoveAll(p.runDir)
	}
}

// launch starts the program and waits until it is ready.
func (p *PBX) launch(ctx context.Context) error {
	proc, err := startProcess(p.install.Command, []string{"-C", p.conf(), "-f"}, nil, filepath.Join(p.Dir, "log", "output"))
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.proc = proc
	p.mu.Unlock()
	if err := p.WaitReady(ctx); err != nil {
		return errors.Join(err, p.Kill())
	}
	return nil
}

func (p *PBX) conf() string { return filepath.Join(p.Dir, "etc", "asterisk.conf") }

// PID returns Asterisk's process id, 0 when it is not running.
func (p *PBX) PID() int {
	proc := p.process()
	if proc == nil {
		return 0
	}
	return proc.pid
}

func (p *PBX) process() *process {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.proc
}

// WaitReady returns when Asterisk is fully booted and ARI answers. Without
// res_ari it is enough that Asterisk is booted.
func (p *PBX) WaitReady(ctx context.Context) error {
	proc := p.process()
	if proc == nil {
		return errors.New("wait for PBX: it is not running")
	}
	withARI := true
	if text, err := os.ReadFile(filepath.Join(p.Dir, "etc", "modules.conf")); err == nil {
		withARI = bytes.Contains(text, []byte("res_ari.so"))
	}
	ready := func() error {
		// The socket appears early; before, starting a console is a waste.
		if _, err := os.Stat(filepath.Join(p.runDir, "asterisk.ctl")); err != nil {
			return fmt.Errorf("no control socket yet: %w", err)
		}
		if withARI {
			if err := p.pingARI(ctx); err != nil {
				return err
			}
		}
		_, err := p.Console(ctx, "core waitfullybooted")
		return err
	}
	if err := poll(ctx, proc.done, ready); err != nil {
		return fmt.Errorf("wait for PBX in %s: %w; its log ends: %s", p.Dir, err, tail(p.Log(), 1500))
	}
	return nil
}

// poll calls f until it succeeds, ctx ends, or the process is gone.
func poll(ctx context.Context, gone <-chan struct{}, f func() error) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-gone:
			return fmt.Errorf("asterisk has ended: %w", err)
		case <-tick.C:
		}
	}
}

func (p *PBX) pingARI(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.ARIURL+"/asterisk/info?only=system", nil)
	if err != nil {
		return fmt.Errorf("ask ARI: %w", err)
	}
	req.SetBasicAuth(p.ARIUser, p.ARIPassword)
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("ask ARI: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	// A test may have overridden ari.conf: any answer but "not there yet".
	if res.StatusCode == http.StatusNotFound || res.StatusCode >= http.StatusInternalServerError {
		return fmt.Errorf("ask ARI: status %s", res.Status)
	}
	return nil
}

// Console executes a command on Asterisk's console and returns what it prints.
func (p *PBX) Console(ctx context.Context, command string) (string, error) {
	argv := append(p.install.Command[1:len(p.install.Command):len(p.install.Command)], "-C", p.conf(), "-rx", command)
	out, err := exec.CommandContext(ctx, p.install.Command[0], argv...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("console %q of the PBX in %s: %w: %s", command, p.Dir, err, tail(string(out), 300))
	}
	return string(out), nil
}

// WaitIdle returns when no channel is left.
func (p *PBX) WaitIdle(ctx context.Context) error {
	proc := p.process()
	if proc == nil {
		return errors.New("wait for idle PBX: it is not running")
	}
	var last string
	err := poll(ctx, proc.done, func() error {
		out, err := p.Console(ctx, "core show channels concise")
		if last = strings.TrimSpace(out); err == nil && last != "" {
			err = errors.New("channels are left")
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("wait for idle PBX in %s: %w: %s", p.Dir, err, last)
	}
	return nil
}

// Log returns what Asterisk has logged and printed so far.
func (p *PBX) Log() string {
	output, _ := os.ReadFile(filepath.Join(p.Dir, "log", "output")) // absent before the start
	full, _ := os.ReadFile(p.LogPath)
	return string(output) + string(full)
}

// Stop ends Asterisk, if need be by SIGKILL, and waits for it. A stopped PBX
// keeps its folder; Stop may be called twice.
func (p *PBX) Stop(ctx context.Context) error {
	err := p.halt(ctx)
	p.discard()
	return err
}

func (p *PBX) halt(ctx context.Context) error {
	p.mu.Lock()
	proc := p.proc
	p.proc = nil
	p.mu.Unlock()
	if proc == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, stopGrace)
	defer cancel()
	proc.signal(syscall.SIGTERM)
	select {
	case <-proc.done:
		proc.signal(syscall.SIGKILL) // what else is in its group
		return nil
	case <-ctx.Done():
		proc.signal(syscall.SIGKILL)
		<-proc.done
		return fmt.Errorf("stop PBX in %s: %w; it was killed", p.Dir, ctx.Err())
	}
}

// Kill ends Asterisk at once by SIGKILL, as a crash would. The ports stay
// reserved for Restart; call Stop in the end.
func (p *PBX) Kill() error {
	p.mu.Lock()
	proc := p.proc
	p.proc = nil
	p.mu.Unlock()
	if proc == nil {
		return fmt.Errorf("kill PBX in %s: it is not running", p.Dir)
	}
	proc.signal(syscall.SIGKILL)
	<-proc.done
	return nil
}

// Install returns the Asterisk that the PBX runs.
func (p *PBX) Install() Install { return p.install }

// TrunkAddr returns the address at which the PBX expects the provider.
func (p *PBX) TrunkAddr(name string) (string, error) {
	for i, t := range p.cfg.Trunks {
		if t == name {
			return net.JoinHostPort(trunkIP(i), strconv.Itoa(p.ports.trunk(i))), nil
		}
	}
	return "", fmt.Errorf("the PBX has no trunk %q, only %v", name, p.cfg.Trunks)
}

// Restart stops Asterisk if it runs and starts it again with the same folder,
// ports and files. It must not be called after Stop.
func (p *PBX) Restart(ctx context.Context) error {
	if err := p.halt(ctx); err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	return p.launch(ctx)
}
