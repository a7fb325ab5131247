package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// daemon is callrecordd as a child process, and its command line.
type daemon struct {
	binary, config, log string

	process *os.Process
	done    chan struct{} // closed when it was reaped
	err     error         // how it ended; to be read after done
}

// line is a command as one would type it.
func (d *daemon) line(args ...string) string {
	return d.binary + " -c " + d.config + " " + strings.Join(args, " ")
}

func (d *daemon) cmd(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, d.binary, append([]string{"-c", d.config}, args...)...)
	// Variables override the file: those meant for another daemon must not,
	// and this one must not talk to the service manager that started us.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "CALLRECORDD_") || strings.HasPrefix(v, "NOTIFY_SOCKET=") || strings.HasPrefix(v, "WATCHDOG_")
	})
	return cmd
}

// start runs the daemon in a process group of its own: a Ctrl-C is for us, and
// we end the parts in their order.
//
// When this process dies, even by SIGKILL, the kernel kills the daemon
// (PR_SET_PDEATHSIG). That hangs on the thread that forked, which Go may end at
// any time; so one goroutine holds the thread until the daemon has ended.
func (d *daemon) start() error {
	out, err := os.Create(d.log)
	if err != nil {
		return fmt.Errorf("create the daemon's log: %w", err)
	}
	cmd := d.cmd(context.Background(), "serve") // it is ended by stop, gently
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	d.done = make(chan struct{})
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(d.done)
		defer out.Close()
		if err := cmd.Start(); err != nil {
			started <- fmt.Errorf("start the daemon: %w", err)
			return
		}
		d.process = cmd.Process
		started <- nil
		d.err = cmd.Wait()
	}()
	return <-started
}

// stop ends the daemon as the service manager does.
func (d *daemon) stop() error {
	select {
	case <-d.done:
		return nil // told when it happened
	default:
	}
	if err := d.process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop the daemon: %w", err)
	}
	grace := time.NewTimer(stopTime)
	defer grace.Stop()
	select {
	case <-d.done:
		if d.err != nil {
			return fmt.Errorf("stop the daemon: it ended with %w", d.err)
		}
		return nil
	case <-grace.C:
	}
	_ = d.process.Kill() // fails only if it has just ended
	<-d.done
	return fmt.Errorf("stop the daemon: it did not end within %s and was killed", stopTime)
}

// reason says how the daemon ended.
func (d *daemon) reason() error {
	if d.err == nil {
		return errors.New("exit status 0")
	}
	return d.err
}

// command executes a command of the real command line and returns its output.
func (d *daemon) command(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var out, msg strings.Builder
	cmd := d.cmd(ctx, args...)
	cmd.Stdout, cmd.Stderr = &out, &msg
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("callrecordd %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(msg.String()))
	}
	return out.String(), nil
}

// logShown is how much of the log is shown after a failure.
const logShown = 4000

// showLog prints the end of the daemon's log, which is about to be removed.
func (s *stage) showLog() {
	if s.daemon == nil {
		return
	}
	text, err := os.ReadFile(s.daemon.log)
	if err != nil {
		s.say("the daemon's log cannot be read: %v", err)
		return
	}
	s.say("\nThe daemon's log ends:\n%s", text[max(0, len(text)-logShown):])
}
