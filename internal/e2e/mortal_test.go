package e2e

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"callrecordd/config"
	"callrecordd/internal/app"
)

// A mortal daemon is a process of its own that kills itself at a crash point: no
// signal from outside would meet a moment between two steps. It is this test's
// program, for the real one has nothing in it to die by.

// The variables that make this program one: the file of its configuration, and
// that of its death, which names the crash point. Who dies removes that.
const (
	mortalVariable = "CALLRECORDD_E2E_MORTAL"
	deathVariable  = "CALLRECORDD_E2E_DEATH"
)

// beMortal is the whole life of a mortal daemon.
func beMortal(file string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	cfg, err := config.Load(file)
	if err != nil {
		return err
	}
	return app.Run(ctx, app.Options{
		Config: cfg, Version: "test", Reached: diesAt(os.Getenv(deathVariable)),
		Log: slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
}

// diesAt ends the process at the point that the file names, the moment it gets
// there.
func diesAt(file string) func(app.CrashPoint) {
	return func(p app.CrashPoint) {
		name, err := os.ReadFile(file)
		if err != nil || app.CrashPoint(name) != p {
			return
		}
		if os.Remove(file) != nil {
			return // it has been reached by two at once, and the other dies
		}
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

// mortal is the command of a mortal daemon.
func (s *site) mortal() *exec.Cmd {
	s.t.Helper()
	s.cfg.Log.Format = "json"
	cmd := s.command(os.Args[0])
	cmd.Env = append(cmd.Env, mortalVariable+"="+cmd.Args[len(cmd.Args)-1], deathVariable+"="+s.death())
	cmd.Stdout, cmd.Stderr = s.logs, s.logs
	return cmd
}

// death is the file that says where a mortal daemon dies.
func (s *site) death() string { return filepath.Join(filepath.Dir(s.logs.Name()), "death") }

// doom has the daemon die at the next point of that name.
func (s *site) doom(p app.CrashPoint) {
	s.t.Helper()
	must(s.t, os.WriteFile(s.death()+".tmp", []byte(p), 0o600))
	must(s.t, os.Rename(s.death()+".tmp", s.death()))
}

// dies waits until the daemon has died where it had to.
func (s *site) dies(c *child, p app.CrashPoint) {
	s.t.Helper()
	s.eventually("the daemon dies at "+string(p), func() error {
		select {
		case <-c.done:
		default:
			return errors.New("it lives")
		}
		if _, err := os.Stat(s.death()); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("it has died of something else: %w", c.err)
		}
		return nil
	})
}
