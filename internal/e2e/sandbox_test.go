package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// The sandbox of the service, built from the lines of its unit without systemd:
// a user and a mount namespace, no capabilities, a filter of system calls. A
// line that is taken out of the unit, or added, is out of or in the test.

// unitFile is the service as it is shipped.
var unitFile = filepath.Join("..", "..", "systemd", "callrecordd.service")

// unit are the settings of a unit file, in their order.
type unit map[string][]string

func readUnit(t *testing.T) unit {
	t.Helper()
	text, err := os.ReadFile(unitFile)
	must(t, err)
	u := unit{}
	for line := range strings.Lines(string(text)) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok && !strings.HasPrefix(key, "#") {
			u[key] = append(u[key], value)
		}
	}
	return u
}

// one returns the last value, which is the one that counts.
func (u unit) one(key string) string {
	if list := u[key]; len(list) > 0 {
		return list[len(list)-1]
	}
	return ""
}

func (u unit) yes(key string) bool { return u.one(key) == "yes" }

// sandbox is what the process that becomes the daemon does to itself.
type sandbox struct {
	Strict, NoNewPrivileges, NoCapabilities bool
	// Writable stay so; Shown are visible although their folder is not.
	Writable, Shown []string
	// Hidden are folders in whose place is an empty one.
	Hidden []string
	Umask  int
	Filter []unix.SockFilter
	// Command is the daemon with its arguments.
	Command []string
}

// sandboxVariable carries the sandbox to the process that builds it.
const sandboxVariable = "CALLRECORDD_E2E_SANDBOX"

// TestMain is also the entrance of the process that becomes the daemon.
func TestMain(m *testing.M) {
	if text := os.Getenv(sandboxVariable); text != "" {
		fmt.Fprintln(os.Stderr, "callrecordd: sandbox:", enterSandbox(text)) // does not return if all went well
		os.Exit(1)
	}
	if file := os.Getenv(mortalVariable); file != "" {
		fmt.Fprintln(os.Stderr, "callrecordd:", beMortal(file))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// sandboxed is the daemon under the unit's own command line and settings. paths
// maps folders of the unit to those of the site.
func (s *site) sandboxed(t *testing.T, u unit, paths map[string]string, daemon *exec.Cmd, shown ...string) *exec.Cmd {
	t.Helper()
	box := sandbox{
		Strict: u.one("ProtectSystem") == "strict", NoNewPrivileges: u.yes("NoNewPrivileges"),
		NoCapabilities: slices.Equal(u["CapabilityBoundingSet"], []string{""}) &&
			slices.Equal(u["AmbientCapabilities"], []string{""}),
		Shown: shown, Filter: u.filter(t),
	}
	if user := u.one("User"); user == "" || user == "root" {
		t.Fatalf("the unit runs as %q", user)
	}
	if _, err := fmt.Sscanf(u.one("UMask"), "%o", &box.Umask); err != nil {
		t.Fatalf("UMask=%s: %v", u.one("UMask"), err)
	}
	there := func(path string) string {
		t.Helper()
		own, ok := paths[path]
		if !ok {
			t.Fatalf("the unit names %s, the configuration does not", path)
		}
		return own
	}
	for _, p := range u["ReadWritePaths"] {
		box.Writable = append(box.Writable, there(strings.TrimPrefix(p, "-")))
	}
	for key, parent := range map[string]string{"StateDirectory": "/var/lib/", "RuntimeDirectory": "/run/"} {
		if name := u.one(key); name != "" {
			box.Writable = append(box.Writable, there(parent+name))
		}
	}
	if u.yes("PrivateTmp") {
		box.Hidden = append(box.Hidden, "/tmp", "/var/tmp")
	}
	if u.yes("ProtectHome") {
		box.Hidden = append(box.Hidden, "/home", "/root", "/run/user")
	}
	for i, word := range strings.Fields(u.one("ExecStart")) {
		if i == 0 || filepath.IsAbs(word) {
			word = there(word)
		}
		box.Command = append(box.Command, word)
	}
	box.Shown = append(box.Shown, box.Command[0], there("/etc/callrecordd/callrecordd.yaml"))
	text, err := json.Marshal(box)
	must(t, err)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(daemon.Env, sandboxVariable+"="+string(text))
	// Asterisk's user is ours; inside it has another number and no rights.
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 1000, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 1000, HostID: os.Getgid(), Size: 1}},
		AmbientCaps: []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_SETPCAP},
	}
	return cmd
}

// enterSandbox makes this process the daemon in its sandbox.
func enterSandbox(text string) error {
	var box sandbox
	if err := json.Unmarshal([]byte(text), &box); err != nil {
		return err
	}
	runtime.LockOSThread() // capabilities and filter belong to the thread
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private mounts: %w", err)
	}
	if err := box.hide(); err != nil {
		return err
	}
	if box.Strict {
		ro := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
		if err := unix.MountSetattr(unix.AT_FDCWD, "/", unix.AT_RECURSIVE, &ro); err != nil {
			return fmt.Errorf("read-only file system: %w", err)
		}
		for _, path := range box.Writable {
			rw := unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}
			if err := unix.MountSetattr(unix.AT_FDCWD, path, 0, &rw); err != nil {
				return fmt.Errorf("make %s writable: %w", path, err)
			}
		}
	}
	unix.Umask(box.Umask)
	if box.NoCapabilities {
		for c := range uintptr(unix.CAP_LAST_CAP + 1) {
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
				return fmt.Errorf("drop capability %d: %w", c, err)
			}
		}
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
			return fmt.Errorf("drop ambient capabilities: %w", err)
		}
	}
	if box.NoNewPrivileges {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("no new privileges: %w", err)
		}
	}
	if err := install(box.Filter); err != nil {
		return fmt.Errorf("filter of system calls: %w", err)
	}
	return syscall.Exec(box.Command[0], box.Command, slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, sandboxVariable+"=")
	}))
}

// hide puts empty folders in the place of Hidden and, into them, what is shown
// and what is written.
func (b sandbox) hide() error {
	trees := map[string]int{}
	for _, path := range slices.Concat(b.Shown, b.Writable) {
		fd, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
		if err != nil {
			return fmt.Errorf("take %s along: %w", path, err)
		}
		trees[path] = fd
	}
	folders := map[string]bool{}
	for _, path := range slices.Concat(b.Shown, b.Writable) {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		folders[path] = info.IsDir()
	}
	for _, path := range b.Hidden {
		if !exists(path) {
			continue
		}
		if err := unix.Mount("tmpfs", path, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
			return fmt.Errorf("hide %s: %w", path, err)
		}
	}
	for _, path := range slices.Concat(b.Shown, b.Writable) {
		if !exists(path) {
			if err := place(path, folders[path]); err != nil {
				return err
			}
		}
		if err := unix.MoveMount(trees[path], "", unix.AT_FDCWD, path, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return fmt.Errorf("put %s back: %w", path, err)
		}
	}
	return nil
}

// place makes something on which a mount can be put.
func place(path string, folder bool) error {
	if folder {
		return os.MkdirAll(path, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, nil, 0o600)
}
