package campaign

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
)

// entered marks the second run of a program.
const entered = "CALLRECORDD_CAMPAIGN_ENTERED"

// ErrNoNamespace says that the machine does not let us have a mount namespace.
var ErrNoNamespace = errors.New("the campaign needs a user namespace, or root and a mount namespace: allow them with " +
	"`sysctl user.max_user_namespaces=10000` (and kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0 " +
	"where these exist), or let the container have CAP_SYS_ADMIN")

// Enter runs the program once more, with these arguments, in a mount namespace
// of its own of which nothing survives, without the right to pass over file
// modes. It says whether this is that run; if not, it has come to its end, and
// err is how. What it prints goes to out and problems.
func Enter(args []string, out, problems io.Writer) (inside bool, err error) {
	if os.Getenv(entered) != "" {
		if err := syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
			return true, fmt.Errorf("keep mounts to ourselves: %w", err)
		}
		return true, nil
	}
	self, err := os.Executable()
	if err != nil {
		return false, fmt.Errorf("find this program: %w", err)
	}
	err = error(syscall.EPERM)
	if os.Geteuid() == 0 {
		err = again(self, args, out, problems, syscall.CLONE_NEWNS)
	}
	if errors.Is(err, syscall.EPERM) {
		err = again(self, args, out, problems, syscall.CLONE_NEWNS|syscall.CLONE_NEWUSER)
	}
	if errors.Is(err, syscall.EPERM) {
		return false, fmt.Errorf("%w: %w", ErrNoNamespace, err)
	}
	return false, err
}

// again is the second run. It dies with us; the signal is bound to the thread.
func again(self string, args []string, out, problems io.Writer, namespaces uintptr) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// Root may pass over file modes, also that of a user namespace.
	args = append([]string{"--bounding-set", "-dac_override,-dac_read_search", "--", self}, args...)
	cmd := exec.Command("setpriv", args...)
	cmd.Env = append(os.Environ(), entered+"=1")
	cmd.Stdout, cmd.Stderr = out, problems
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces, Pdeathsig: syscall.SIGKILL}
	if namespaces&syscall.CLONE_NEWUSER != 0 {
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("run in a mount namespace: %w", err)
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(asked)
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case s := <-asked:
				_ = cmd.Process.Signal(s) // it may have ended
			case <-done:
				return
			}
		}
	}()
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("run in a mount namespace: %w", err)
	}
	return nil
}
