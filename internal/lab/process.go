package lab

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// process is a child that dies with us.
type process struct {
	pid  int
	done chan struct{} // closed when it was reaped
}

// startProcess runs the command in a process group of its own, its output
// appended to the file. Without an environment it has ours.
//
// The kernel sends the child SIGKILL when this process dies, even by SIGKILL
// (PR_SET_PDEATHSIG). That signal is tied to the thread that forked, not to the
// process: Go ends and moves threads freely, and the child would die with one
// of them. So one goroutine, locked to its thread, forks and then waits for
// the child until its end.
func startProcess(command, args, env []string, output string) (*process, error) {
	out, err := os.OpenFile(output, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", command[len(command)-1], err)
	}
	cmd := exec.Command(command[0], append(command[1:len(command):len(command)], args...)...)
	cmd.Stdout, cmd.Stderr, cmd.Env = out, out, env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p := &process{done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.done)
		defer func() { _ = out.Close() }()
		if err := cmd.Start(); err != nil {
			started <- fmt.Errorf("start %v: %w", command, err)
			return
		}
		p.pid = cmd.Process.Pid
		started <- nil
		_ = cmd.Wait() // how it ended is in its log
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// signal reaches the whole group. It is sent after the end too, when nobody
// may be left to receive it.
func (p *process) signal(s syscall.Signal) { _ = syscall.Kill(-p.pid, s) }
