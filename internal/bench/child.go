package bench

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"callrecordd/config"
	"callrecordd/internal/lab"
)

// stopTime is how long a part may take to end.
const stopTime = 15 * time.Second

const (
	// stateFolder is where the daemon keeps its state, below the folder of its site.
	stateFolder = "state"
	// featuresFile, below the state, is the dialplan of *26.
	featuresFile = "asterisk/callrecord-features.conf"
)

// child is the daemon as a process of its own.
type child struct {
	cfg  config.Config
	pid  int
	log  string
	proc *os.Process
	done chan struct{} // closed when it was reaped
}

// daemonConfig is the configuration beside a PBX, everything else below dir.
func daemonConfig(pbx *lab.PBX, dir string) config.Config {
	c := config.Default()
	c.Asterisk.ARIURL = strings.TrimSuffix(pbx.ARIURL, "/ari")
	c.Asterisk.ARIUser, c.Asterisk.ARIPasswordFile = pbx.ARIUser, filepath.Join(dir, "ari_password")
	c.Asterisk.AMIAddress = pbx.AMIAddr
	c.Asterisk.AMIUser, c.Asterisk.AMIPasswordFile = pbx.AMIUser, filepath.Join(dir, "ami_password")
	c.Asterisk.Journal = pbx.JournalPath
	c.Recordings.Root = filepath.Join(dir, "recordings")
	c.State.Dir, c.State.Socket = filepath.Join(dir, stateFolder), filepath.Join(dir, "control.sock")
	c.HTTP = config.HTTP{Listen: []string{"127.0.0.1:0"}, Streams: 100}
	return c
}

// startChild writes the configuration and starts the daemon. Like the lab's
// Asterisk it dies with us, even if we are killed: that signal is bound to the
// thread that forks, so one goroutine keeps the thread until the end.
func startChild(binary, dir string, pbx *lab.PBX, cfg config.Config) (*child, error) {
	c := &child{cfg: cfg, log: filepath.Join(dir, "callrecordd.log"), done: make(chan struct{})}
	file := filepath.Join(dir, "callrecordd.yaml")
	for _, f := range [][2]string{
		{cfg.Asterisk.ARIPasswordFile, pbx.ARIPassword}, {cfg.Asterisk.AMIPasswordFile, pbx.AMIPassword}, {file, cfg.YAML()},
	} {
		if err := os.WriteFile(f[0], []byte(f[1]), 0o600); err != nil {
			return nil, fmt.Errorf("configure the daemon: %w", err)
		}
	}
	if err := os.MkdirAll(cfg.Recordings.Root, 0o750); err != nil {
		return nil, fmt.Errorf("create the root of recordings: %w", err)
	}
	out, err := os.Create(c.log)
	if err != nil {
		return nil, fmt.Errorf("create the daemon's log: %w", err)
	}
	cmd := exec.Command(binary, "-c", file, "serve")
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "CALLRECORDD_") || strings.HasPrefix(v, "NOTIFY_SOCKET=") || strings.HasPrefix(v, "WATCHDOG_")
	})
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(c.done)
		defer out.Close()
		err := patiently(cmd.Start)
		if err != nil {
			started <- fmt.Errorf("start the daemon: %w", err)
			return
		}
		c.proc, c.pid = cmd.Process, cmd.Process.Pid
		started <- nil
		_ = cmd.Wait() // how it ended is in its log
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return c, nil
}

// timerSlack is TimerSlackNSec of systemd/callrecordd.service.
const timerSlack = time.Millisecond

// patiently starts a process with the timer slack that the service has: it is
// taken over from the thread that forks.
func patiently(start func() error) error {
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(timerSlack), 0, 0, 0); err != nil {
		return fmt.Errorf("set the timer slack: %w", err)
	}
	err := start()
	if reset := unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0); reset != nil { // 0: as before
		return errors.Join(err, fmt.Errorf("reset the timer slack: %w", reset))
	}
	return err
}

// stop ends the daemon as a service manager does.
func (c *child) stop() error {
	if err := c.proc.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop the daemon: %w", err)
	}
	grace := time.NewTimer(stopTime)
	defer grace.Stop()
	select {
	case <-c.done:
		return nil
	case <-grace.C:
	}
	_ = c.proc.Kill() // fails only if it has just ended
	<-c.done
	return fmt.Errorf("stop the daemon: it did not end within %s and was killed", stopTime)
}

// tail is the end of the daemon's log, for errors.
func (c *child) tail() string {
	text, err := os.ReadFile(c.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-2000):])
}
