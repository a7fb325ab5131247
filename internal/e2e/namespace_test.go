package e2e

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// needNamespaces is what to do where these tests cannot run.
const needNamespaces = "this test needs a user namespace, or root and a mount namespace: allow them with " +
	"`sysctl user.max_user_namespaces=10000` (and kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0 " +
	"where these exist), or let the container have CAP_SYS_ADMIN"

// inNamespace marks a test's second run.
const inNamespace = "CALLRECORDD_E2E_IN_NAMESPACE"

// again runs the calling test once more in namespaces of its own and waits for
// it; in them we are the user with that id.
func again(t *testing.T, namespaces uintptr, uid int) error {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=2m")
	cmd.Env = append(os.Environ(), inNamespace+"=1")
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces}
	if namespaces&syscall.CLONE_NEWUSER != 0 {
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: os.Getgid(), Size: 1}}
	}
	c, err := launch(cmd)
	if err != nil {
		return err
	}
	<-c.done
	if c.err != nil || !strings.Contains(out.String(), "--- PASS: "+t.Name()) {
		t.Errorf("in namespaces of its own: %v", c.err)
	}
	t.Logf("in namespaces of its own:\n%s", out.String())
	return nil
}

// inPrivateMounts says whether this is the run in a mount namespace of its own,
// of which nothing survives; if not, that run has been made. An ordinary user
// gets one together with a user namespace.
func inPrivateMounts(t *testing.T) bool {
	t.Helper()
	if os.Getenv(inNamespace) != "" {
		must(t, syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""))
		return true
	}
	err := error(syscall.EPERM)
	if os.Geteuid() == 0 {
		err = again(t, syscall.CLONE_NEWNS, 0)
	}
	if errors.Is(err, syscall.EPERM) {
		err = again(t, syscall.CLONE_NEWNS|syscall.CLONE_NEWUSER, 0)
	}
	if err != nil {
		t.Fatalf("%s: %v", needNamespaces, err)
	}
	return false
}
