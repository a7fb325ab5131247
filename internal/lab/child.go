package lab

import "syscall"

// Child is a process that dies with us, whatever way we end.
type Child struct{ p *process }

// StartChild runs the command in a process group of its own, with that
// environment (nil: ours) and its output appended to the file.
func StartChild(command, env []string, output string) (*Child, error) {
	p, err := startProcess(command[:1], command[1:], env, output)
	if err != nil {
		return nil, err
	}
	return &Child{p}, nil
}

// Done is closed when the process has ended.
func (c *Child) Done() <-chan struct{} { return c.p.done }

// PID is its process id.
func (c *Child) PID() int { return c.p.pid }

// Signal reaches the process and those that it has started.
func (c *Child) Signal(s syscall.Signal) { c.p.signal(s) }
