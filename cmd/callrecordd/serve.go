package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"os/user"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"callrecordd/config"
	"callrecordd/internal/app"
	"callrecordd/internal/auth"
	"callrecordd/internal/control"
	"callrecordd/internal/directory"
	"callrecordd/store"
)

// gcPercent lets the heap, a few megabytes, grow to four times of what is in use
// before it is collected: a third as often as usual.
const gcPercent = 300

func serveCmd(e *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Run the daemon",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// First of all: a SIGHUP must never end the daemon.
			hangup := make(chan os.Signal, 1)
			signal.Notify(hangup, syscall.SIGHUP)
			defer signal.Stop(hangup)
			load := func() (config.Config, error) { return config.Load(e.configPath) }
			cfg, err := load()
			if err != nil {
				return err
			}
			watchdog, err := daemon.SdWatchdogEnabled(false)
			if err != nil {
				return fmt.Errorf("watchdog of the service manager: %w", err)
			}
			level := new(slog.LevelVar)
			level.Set(cfg.Log.SlogLevel())
			log := newLogger(cfg.Log, level, e.err)
			sockets, err := inheritedSockets()
			if err != nil {
				return err
			}
			if os.Getenv("GOGC") == "" {
				debug.SetGCPercent(gcPercent)
			}
			return app.Run(cmd.Context(), app.Options{
				Config: cfg, Version: e.version, Log: log, WatchdogEvery: watchdog,
				ReloadAsked: hangup, LoadConfig: load, Level: level, FirstStart: e.firstStart,
				Inherited: sockets,
				Notify: func(state string) {
					if state == daemon.SdNotifyReloading {
						state += "\n" + daemon.SdNotifyMonotonicUsec() // Type=notify-reload wants it
					}
					if _, err := daemon.SdNotify(false, state); err != nil {
						log.Warn("service manager cannot be told", "state", state, "err", err)
					}
				},
			})
		},
	}
}

// inheritedSockets are those of callrecordd.socket; usually there are none.
func inheritedSockets() ([]net.Listener, error) {
	list, err := activation.Listeners()
	if err != nil {
		return nil, fmt.Errorf("take over the sockets of the service manager: %w", err)
	}
	if slices.Contains(list, nil) {
		return nil, errors.New("the service manager hands over something that is no listening socket: look at callrecordd.socket")
	}
	return list, nil
}

// firstStart tells the administrator's password. It is not logged: the log's
// level may hide it, and other machines may collect it.
func (e *environment) firstStart(username, password string) {
	fmt.Fprintf(e.out, "First start: the administrator %q of the HTTP API was created, with the password %s\n"+
		"It is shown this once. `callrecordd account set-password %s` sets another.\n", username, password, username)
}

func newLogger(cfg config.Log, level slog.Leveler, w io.Writer) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	f, isFile := w.(*os.File)
	interactive := isFile && term.IsTerminal(int(f.Fd())) || os.Getenv("JOURNAL_STREAM") != ""
	if cfg.Format == "json" || cfg.Format == "auto" && !interactive {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// withClient calls fn with a client of the daemon. Without a daemon the same
// handler works on the database in this process, under the daemon's lock, so
// that a PBX can be prepared before the first start.
func (e *environment) withClient(ctx context.Context, fn func(*control.Client) error) error {
	cfg, err := config.LoadWithoutPasswords(e.configPath)
	if err != nil {
		return err
	}
	client, err := control.Connect(ctx, cfg.State.Socket, actor())
	if errors.Is(err, control.ErrNoDaemon) {
		return withDatabase(ctx, cfg, fn)
	}
	if err != nil {
		return err
	}
	return fn(client)
}

// withDaemon is withClient for what only a running daemon knows.
func (e *environment) withDaemon(ctx context.Context, fn func(*control.Client) error) error {
	cfg, err := config.LoadWithoutPasswords(e.configPath)
	if err != nil {
		return err
	}
	client, err := control.Connect(ctx, cfg.State.Socket, actor())
	if errors.Is(err, control.ErrNoDaemon) {
		return fmt.Errorf("the daemon is not running: nobody listens on %s", cfg.State.Socket)
	}
	if err != nil {
		return err
	}
	return fn(client)
}

func withDatabase(ctx context.Context, cfg config.Config, fn func(*control.Client) error) (err error) {
	state := cfg.State
	if err := checkOwner(state.Dir, os.Geteuid()); err != nil {
		return err
	}
	if err := os.MkdirAll(state.Dir, 0o750); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	log := slog.New(slog.DiscardHandler)
	st, err := store.Open(ctx, store.Options{Path: state.Database(), Now: time.Now, Log: log})
	if errors.Is(err, store.ErrLocked) {
		return fmt.Errorf("%w, but nobody listens on %s: wait until the daemon has started or stopped, "+
			"and give both the same state.socket", err, state.Socket)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	dir, err := directory.New(ctx, directory.Options{Repo: st, Now: time.Now, NewUUID: uuid.NewString, Root: cfg.Recordings.Root})
	if err != nil {
		return err
	}
	tokens := auth.New(st, time.Now, uuid.NewString)
	accounts, err := app.OpenAccounts(ctx, cfg, st, tokens, dir, time.Now)
	if err != nil {
		return err
	}
	keeping := app.NewKeeping(app.KeepingOptions{Config: cfg, Store: st, Directory: dir, Now: time.Now, NewUUID: uuid.NewString, Log: log})
	hooks := app.NewHooks(app.HookOptions{Config: cfg, Store: st, Directory: dir, Accounts: accounts, Tokens: tokens, Now: time.Now, NewUUID: uuid.NewString, Log: log})
	audits := app.NewAudits(app.AuditOptionsOf(cfg, st, dir, time.Now))
	decided := app.Decided{Store: st, Directory: dir}
	return fn(control.InProcess(control.NewHandler(control.Options{
		Directory: dir, Tokens: tokens, Accounts: accounts, Log: log,
		Routes: slices.Concat(keeping.Routes(), decided.Routes(), hooks.Routes(), audits.Routes(), app.Backups{Store: st}.Routes()),
	}), actor()))
}

// checkOwner refuses what root would spoil: files that it creates in the
// daemon's folder are out of the daemon's reach.
func checkOwner(dir string, me int) error {
	info, err := os.Stat(dir)
	if err != nil || me != 0 {
		return nil // it will be created, or opening it says what is wrong
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Uid == 0 {
		return nil
	}
	name := fmt.Sprintf("#%d", st.Uid)
	if u, err := user.LookupId(strconv.Itoa(int(st.Uid))); err == nil {
		name = u.Username
	}
	return fmt.Errorf("the daemon is not running, and what root creates in %s would be out of its reach: "+
		"start the daemon first, or run this with sudo -u '%s'", dir, name)
}

// actor is who is noted in the event log as having done it.
func actor() string {
	if u, err := user.Current(); err == nil {
		return "cli:" + u.Username
	}
	return "cli"
}

func statusCmd(e *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Say whether the daemon works, and what does not",
		Long: "Say whether the daemon works, and what does not. The exit code is 0 only if everything works: " +
			"1 also means that the daemon runs and something is degraded, which the table then shows.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var s app.Status
			err := e.withDaemon(cmd.Context(), func(c *control.Client) error {
				return c.Do(cmd.Context(), "GET", "status", nil, &s)
			})
			if err != nil {
				return err
			}
			err = e.show(s, []string{"PART", "STATE"}, append([][]string{
				{"daemon", s.Summary},
				{"ari", s.ARI.Detail},
				{"ami", s.AMI.Detail},
				{"journal", fmt.Sprintf("%s (%d calls open)", s.Journal.Detail, s.Journal.OpenCalls)},
				{"*26", cmp.Or(s.Features, "in Asterisk's dialplan")},
				{"on demand", fmt.Sprintf("%d presses ignored that came from no user's telephone", s.PressesIgnored)},
				{"pauses", cmp.Or(s.Pauses, "as configured")},
				{"ledger", s.Ledger},
				{"http", strings.Join(s.Addresses, ", ")},
			}, statusRows(s)...))
			if err == nil && !s.Ready {
				return errTold
			}
			return err
		},
	}
}
