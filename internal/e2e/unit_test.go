package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"callrecordd/config"
	"callrecordd/dialplan"
	"callrecordd/internal/lab"
)

// Shows 4: the daemon under its own unit's sandbox, as far as that goes without
// systemd being process 1. Asterisk, which writes the recordings, is outside.
func TestRecordedCallUnderTheUnitsSandbox(t *testing.T) {
	t.Parallel()
	bin := filepath.Join(t.TempDir(), "callrecordd")
	build := exec.Command("go", "build", "-tags", "sqlite_fts5", "-o", bin, "./cmd/callrecordd") // as shipped: no race detector
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	u := readUnit(t)
	s := siteAt(t, newStarPBX(t))
	run := filepath.Join(filepath.Dir(s.cfg.Recordings.Root), "run")
	must(t, os.MkdirAll(run, 0o750))
	must(t, os.MkdirAll(s.cfg.State.Dir, 0o750))
	s.cfg.State.Socket = filepath.Join(run, "control.sock")
	s.cfg.Log.Format = "json"
	m := newManager(t)
	usual := config.Default()
	plain := s.command(bin, "serve")
	file := plain.Args[len(plain.Args)-1]
	cmd := s.sandboxed(t, u, map[string]string{
		"/usr/bin/callrecordd":               bin,
		config.DefaultPath:                   file,
		usual.Recordings.Root:                s.cfg.Recordings.Root,
		filepath.Dir(usual.Asterisk.Journal): filepath.Dir(s.cfg.Asterisk.Journal),
		usual.State.Dir:                      s.cfg.State.Dir,
		filepath.Dir(usual.State.Socket):     run,
	}, plain, filepath.Dir(m.path))
	cmd.Env = append(cmd.Env, m.env(), "WATCHDOG_USEC="+u.one("WatchdogSec")+"000000")
	cmd.Stdout, cmd.Stderr = s.logs, s.logs
	daemon := s.run(cmd)
	s.boxed(daemon.cmd.Process.Pid, file)

	m.hears(s, 0, 1, "READY=1")
	s.populate()
	s.hasFeatures()
	alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0))
	s.answers(alice, "*26", dialplan.SoundOn) // its dialplan was written and loaded
	s.rules("bob", dialplan.Flags{OnDemand: true})
	caller, callee := s.talk(alice, bob, "1002")
	rec := s.recording(1)
	s.press(callee)
	s.eventually("*3 is granted", func() error {
		if len(s.events("on_demand", "")) == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	must(t, caller.Talk(within(t), 1500*time.Millisecond))
	s.hangup(caller)
	list := s.waitCDRs(2)
	if r := list[1].Recordings; len(r) != 1 || r[0].UUID != rec.uuid || r[0].State != "ready" || r[0].Cause != "" {
		t.Fatalf("recordings are %+v", list)
	}
	s.hears(s.media(list[1], list[1].Recordings[0]), toneA, toneB)
	if out, err := s.command(bin, "config", "check").CombinedOutput(); err != nil || len(out) > 0 { // ExecReload=
		t.Errorf("config check: %v: %s", err, out)
	}
	must(t, daemon.cmd.Process.Signal(syscall.SIGHUP))
	m.hears(s, 0, 1, "RELOADING=1\nMONOTONIC_USEC=")
	m.hears(s, 0, 2, "READY=1")
	daemon.end(t, syscall.SIGTERM)
	if daemon.err != nil {
		t.Errorf("exit: %v", daemon.err)
	}
}

// boxed checks that the sandbox is one: otherwise the test would prove nothing.
func (s *site) boxed(pid int, configFile string) {
	s.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(s.t, err)
	for _, want := range []string{`CapEff:\t0+\n`, `CapBnd:\t0+\n`, `CapAmb:\t0+\n`, `NoNewPrivs:\t1\n`, `Seccomp:\t2\n`, `Umask:\t0027\n`} {
		if !regexp.MustCompile(want).Match(status) {
			s.t.Errorf("the daemon's process lacks %s: %s", want, status)
		}
	}
	mounts, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
	must(s.t, err)
	writable := map[string]bool{}
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		writable[f[4]] = strings.HasPrefix(f[5], "rw")
	}
	for path, want := range map[string]bool{
		"/": false, "/tmp": false, configFile: false,
		s.cfg.Recordings.Root: true, s.cfg.State.Dir: true, filepath.Dir(s.cfg.Asterisk.Journal): true,
	} {
		if got, mounted := writable[path]; !mounted || got != want {
			s.t.Errorf("%s: mounted %v, writable %v, want %v", path, mounted, got, want)
		}
	}
}

// make install, into an empty folder and once more over what an administrator
// has changed.
func TestInstallIntoAFolder(t *testing.T) {
	t.Parallel()
	dest := t.TempDir()
	install := func() {
		t.Helper()
		cmd := exec.Command("make", "install", "DESTDIR="+dest, "PREFIX=/opt/rec", "SYSCONFDIR=/etc", "RECORDINGS=/srv/rec")
		cmd.Dir = filepath.Join("..", "..")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("make install: %v\n%s", err, out)
		}
	}
	install()
	modes := map[string]os.FileMode{
		"opt/rec/bin/callrecordd":                               0o755,
		"opt/rec/lib/systemd/system/callrecordd.service":        0o644,
		"opt/rec/lib/systemd/system/callrecordd-backup.service": 0o644,
		"opt/rec/lib/systemd/system/callrecordd-backup.timer":   0o644,
		"opt/rec/share/callrecordd/asterisk/features.conf":      0o644,
		"opt/rec/share/callrecordd/callrecordd.yaml":            0o644,
		"opt/rec/share/doc/callrecordd/README.md":               0o644,
		"opt/rec/share/doc/callrecordd/docs/audit.md":           0o644,
		"etc/callrecordd/callrecordd.yaml":                      0o640,
		"srv/rec":                                               os.ModeDir | os.ModeSetgid | 0o750,
	}
	for path, want := range modes {
		info, err := os.Stat(filepath.Join(dest, path))
		if err != nil || info.Mode() != want {
			t.Errorf("%s: %v, want mode %s, is %v", path, err, want, info)
		}
	}
	text, err := os.ReadFile(filepath.Join(dest, "opt/rec/lib/systemd/system/callrecordd.service"))
	must(t, err)
	for _, want := range []string{
		"ExecStart=/opt/rec/bin/callrecordd serve", "ExecReload=/opt/rec/bin/callrecordd config check", "file:/opt/rec/share/doc", "ReadWritePaths=-/srv/rec\n",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the unit lacks %q", want)
		}
	}
	own := filepath.Join(dest, "etc/callrecordd/callrecordd.yaml")
	must(t, os.WriteFile(own, []byte("# mine\n"), 0o600))
	install()
	if now, err := os.ReadFile(own); err != nil || string(now) != "# mine\n" {
		t.Errorf("the administrator's configuration is %q, %v", now, err)
	}
}
