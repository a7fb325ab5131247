package lab

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// envChild makes the test binary the parent that is going to be killed.
const envChild = "CALLRECORDD_LAB_TEST_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(envChild); dir != "" {
		os.Exit(child(dir))
	}
	os.Exit(m.Run())
}

// child starts a PBX, says its process id and waits to be killed.
func child(dir string) int {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	in, err := Ensure(ctx, EnsureOptions{})
	if err != nil {
		_, _ = os.Stderr.WriteString(err.Error() + "\n")
		return 1
	}
	p, err := Start(ctx, in, Config{Dir: dir})
	if err != nil {
		_, _ = os.Stderr.WriteString(err.Error() + "\n")
		return 1
	}
	_, _ = os.Stdout.WriteString(strconv.Itoa(p.PID()) + "\n")
	<-ctx.Done()
	return 1
}

// waitGone returns when no process of the group is left.
func waitGone(t *testing.T, pgid int) {
	t.Helper()
	err := poll(deadline(t), nil, func() error {
		if err := syscall.Kill(-pgid, 0); !errors.Is(err, syscall.ESRCH) {
			return errors.New("it is still there")
		}
		return nil
	})
	if err != nil {
		t.Errorf("process group %d: %v", pgid, err)
	}
}

func TestStopLeavesNothing(t *testing.T) {
	p := start(t, Config{})
	pid := p.PID()
	must(t, p.Stop(deadline(t)))
	waitGone(t, pid)
	must(t, p.Stop(deadline(t))) // again
	if _, err := os.Stat(p.runDir); strings.HasPrefix(p.runDir, os.TempDir()+"/lab") && err == nil {
		t.Errorf("%s is left", p.runDir)
	}
}

func TestDiesWithItsParent(t *testing.T) {
	install(t) // the child must not spend its time downloading
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), envChild+"="+t.TempDir())
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	must(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	must(t, err)
	must(t, syscall.Kill(pid, 0))
	must(t, cmd.Process.Kill())
	_ = cmd.Wait() // killed
	waitGone(t, pid)
}

func TestKillAndRestart(t *testing.T) {
	p := start(t, Config{SystemName: "lab", NoLoad: []string{"app_mixmonitor.so"}})
	alice, bob := phone(t, p, "alice", Manual()), phone(t, p, "bob", Manual())
	a, _ := talk(t, alice, bob, "1002", aliceHz, bobHz)
	pid := p.PID()
	must(t, p.Kill())
	waitGone(t, pid)
	if p.Kill() == nil {
		t.Error("a PBX that is dead can be killed")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := a.Hangup(ctx); err == nil {
		t.Error("a dead PBX answers a BYE")
	}
	must(t, p.Restart(deadline(t)))
	must(t, alice.Register(deadline(t)))
	must(t, bob.Register(deadline(t)))
	a, _ = talk(t, alice, bob, "1002", aliceHz, bobHz)
	out, err := p.Console(deadline(t), "module show like app_mixmonitor")
	must(t, err)
	if !strings.Contains(out, "0 modules loaded") {
		t.Errorf("app_mixmonitor is loaded: %s", out)
	}
	must(t, a.Hangup(deadline(t)))
	must(t, p.Restart(deadline(t)))
}

func TestTwoInstances(t *testing.T) {
	first, second := start(t, Config{AMIWrite: "call"}), start(t, Config{
		ExtraFiles:    map[string]string{"cel.conf": ""},
		ExtraDialplan: "[users]\nexten => 7777,1,Answer()\n same => n,Echo()\n",
	})
	alice := phone(t, second, "alice", Manual())
	a := dial(t, alice, "7777")
	must(t, a.WaitAnswered(deadline(t)))
	must(t, first.WaitIdle(deadline(t)))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := second.WaitIdle(ctx); err == nil {
		t.Error("a PBX with a call is idle")
	}
	must(t, a.Hangup(deadline(t)))
	text, err := os.ReadFile(first.Dir + "/etc/manager.conf")
	must(t, err)
	if !strings.Contains(string(text), "write=call\n") {
		t.Errorf("AMI classes were not replaced: %s", text)
	}
}
