package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/google/uuid"

	"callrecordd/ari"
	"callrecordd/ari/ami"
	"callrecordd/config"
	"callrecordd/internal/api"
	"callrecordd/internal/auth"
	"callrecordd/internal/call"
	"callrecordd/internal/cdr"
	"callrecordd/internal/control"
	"callrecordd/internal/directory"
	"callrecordd/internal/lamp"
	"callrecordd/internal/recorder"
	"callrecordd/internal/recorder/exec"
	"callrecordd/internal/toggle"
	"callrecordd/store"
)

// stopTime bounds an ordered stop. Recordings are not part of it: they go on
// in Asterisk and are adopted by the next start.
const stopTime = 10 * time.Second

// Options are what a daemon needs. Now and NewUUID default to the real ones.
type Options struct {
	Config  config.Config
	Version string
	Log     *slog.Logger
	Now     func() time.Time
	NewUUID func() string
	// Notify, if set, tells the service manager (sd_notify).
	Notify func(state string)
	// WatchdogEvery is how often the service manager wants to hear from us,
	// zero for never.
	WatchdogEvery time.Duration
}

// App is a running daemon.
type App struct {
	opt       Options
	log       *slog.Logger
	stack     stack
	failed    chan error
	store     *store.Store
	directory *directory.Service
	tokens    *auth.Service
	ari       *ari.Client
	stream    *ari.Stream
	ami       *ami.Client
	follower  *cdr.Follower
	reducer   *reducer
	database  database
	listeners []net.Listener
	control   net.Listener
	started   time.Time
	needs     *needs
	amiBack   chan struct{} // the manager has connected
	features  *features
	desk      *toggle.Desk
	lamps     *lamp.Keeper
	keeping   *Keeping
}

// Run starts a daemon, waits until ctx ends or a part fails, and stops it.
func Run(ctx context.Context, opt Options) error {
	a, err := Start(ctx, opt)
	if err != nil {
		return err
	}
	var failure error
	select {
	case <-ctx.Done():
	case failure = <-a.failed:
		a.log.Error("a part of the daemon has failed", "err", failure)
	}
	return errors.Join(failure, a.Stop())
}

// Start brings up all parts in order. A part that cannot be started stops
// those before it and is the error. Asterisk need not be there: the daemon
// waits for it and says so.
func Start(ctx context.Context, opt Options) (*App, error) {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.NewUUID == nil {
		opt.NewUUID = uuid.NewString
	}
	if opt.Notify == nil {
		opt.Notify = func(string) {}
	}
	a := &App{
		opt: opt, log: opt.Log, stack: stack{log: opt.Log}, failed: make(chan error, 1), started: opt.Now(),
		needs: newNeeds(), amiBack: make(chan struct{}, 1), features: newFeatures(),
	}
	if err := a.start(ctx); err != nil {
		stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
		defer cancel()
		return nil, errors.Join(err, a.stack.unwind(stopCtx))
	}
	a.log.Info("started", "version", opt.Version, "http", a.Addresses())
	a.opt.Notify("READY=1\nSTATUS=" + a.Status().Summary)
	return a, nil
}

// start is one straight function on purpose: the order of the lines is the
// order in which parts depend on each other, and an ordered stop is its reverse.
// Sockets are bound before anything that Asterisk can see, so that "address in
// use" is an error of the start, and served last, when all answers are there.
func (a *App) start(ctx context.Context) error {
	cfg := a.opt.Config
	var err error

	if err = os.MkdirAll(cfg.State.Dir, 0o750); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	if a.store, err = store.Open(ctx, store.Options{Path: cfg.State.Database(), Now: a.opt.Now, Log: a.log.With("part", "store")}); err != nil {
		return err
	}
	a.stack.push("store", func(context.Context) error { return a.store.Close() })

	if a.directory, err = directory.New(ctx, directory.Options{
		Repo: a.store, Now: a.opt.Now, NewUUID: a.opt.NewUUID, OnChange: a.directoryChanged,
	}); err != nil {
		return err
	}
	a.tokens = auth.New(a.store, a.opt.Now, uuid.NewString)

	if err = a.bind(ctx); err != nil {
		return err
	}

	base, err := url.Parse(cfg.Asterisk.ARIURL)
	if err != nil {
		return fmt.Errorf("asterisk.ari_url: %w", err)
	}
	a.ari = ari.New(base, ari.Credentials{User: cfg.Asterisk.ARIUser, Password: cfg.Asterisk.ARIPassword.Reveal()})
	a.stack.push("ari client", func(context.Context) error { a.ari.CloseIdleConnections(); return nil })
	a.ami = ami.NewClient(a.amiConfig())
	a.lamps = lamp.NewKeeper(lampBoard{a.ami}, a.lampUsers, a.log.With("part", "lamps"))
	a.stack.goStep("ami", a.failed, a.ami.Run)
	a.stack.goStep("lamps", a.failed, a.lamps.Run)
	a.startFeatures()
	a.startDesk()
	if err = a.startRecorder(); err != nil {
		return err
	}
	a.stream = ari.NewStream(a.ari, ari.StreamConfig{
		App: cfg.Asterisk.App, Disallow: disallowed(cfg.OnDemand.Source), Logger: a.log.With("part", "ari"),
		OnState: func(ari.State) { a.needs.again() },
	})
	if err = a.startJournal(); err != nil {
		return err
	}
	events := &sink{
		reducer: a.reducer, client: a.ari, store: a.store, root: cfg.Recordings.Root, disk: newDisk(), marks: a.marks,
		log: a.log.With("part", "ari"), restarted: a.connected, star26: a.star26,
	}
	a.stack.goStep("ari stream", a.failed, func(ctx context.Context) error {
		events.stopped = ctx.Done()
		return a.stream.Run(ctx, events)
	})
	a.startManagerLink(events)
	a.startNeeds()
	a.startHousekeeping()
	if err = a.startKeeping(ctx); err != nil {
		return err
	}
	a.startProbe()
	a.startHeartbeat()
	a.serveAll()
	return nil
}

func (a *App) amiConfig() ami.Config {
	cfg := a.opt.Config.Asterisk
	return ami.Config{
		Address: cfg.AMIAddress, User: cfg.AMIUser, Secret: cfg.AMIPassword.Reveal(),
		Logger: a.log.With("part", "ami"), OnState: a.amiState,
	}
}

func (a *App) startRecorder() error {
	presses, err := newPresses(a.opt.Config.OnDemand)
	if err != nil {
		return fmt.Errorf("on_demand.code: %w", err)
	}
	whisperer := a.startTones()
	a.reducer = newReducer(reducer{
		presses: presses, tones: whisperer, config: machineConfig(a.opt.Config),
		model: call.New(call.Config{Technologies: a.opt.Config.Asterisk.Technologies}),
		book:  a.directory.Book, newUUID: a.opt.NewUUID, now: a.opt.Now, log: a.log.With("part", "recorder"),
	})
	ex, err := exec.New(exec.Config{
		Root: a.opt.Config.Recordings.Root, AMI: a.ami, ARI: execARI{a.ari}, Store: execStore{a.store},
		Clock: a.opt.Now, Log: a.log.With("part", "recorder"), Deliver: a.reducer.deliver, NoChannel: noChannel,
		Refused: refused, NotSent: notSent,
	})
	if err != nil {
		return err
	}
	a.stack.push("recorder/exec", ex.Close)
	a.reducer.perform = a.perform(whisperer, ex.Apply)
	a.stack.goStep("reducer", a.failed, a.reducer.run)
	return nil
}

func (a *App) startJournal() error {
	var err error
	a.follower, err = cdr.NewFollower(cdr.FollowerConfig{
		Path: a.opt.Config.Asterisk.Journal, Store: a.store, Poll: a.opt.Config.Journal.Poll, Keep: a.opt.Config.Journal.Keep,
		Lookup:       func() cdr.Lookup { return lookup{a.directory.Book()} },
		Live:         liveCalls{a},
		Logger:       a.log.With("part", "journal"),
		Now:          a.opt.Now,
		Technologies: a.opt.Config.Asterisk.Technologies,
		OnGap:        a.noteGap,
	})
	if err != nil {
		return err
	}
	a.stack.goStep("journal", a.failed, a.follower.Run)
	return nil
}

// noteGap keeps for the audit that calls may lack their CDR.
func (a *App) noteGap(g cdr.Gap) {
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	event := recorder.Event{At: g.At, Kind: "journal_gap", Actor: "callrecordd", Data: g}
	if err := a.store.AppendEvents(ctx, event); err != nil {
		a.log.Error("a gap of the journal could not be stored", "detail", g.Detail, "err", err)
	}
}

// bind opens all addresses and the control socket.
func (a *App) bind(ctx context.Context) error {
	var lc net.ListenConfig
	for _, address := range a.opt.Config.HTTP.Listen {
		l, err := lc.Listen(ctx, "tcp", address)
		if err != nil {
			return fmt.Errorf("http.listen %s: %w; stop the program that uses it or choose another address", address, err)
		}
		a.listeners = append(a.listeners, l)
		a.stack.push("listener "+l.Addr().String(), closeListener(l))
	}
	var err error
	if a.control, err = control.Listen(ctx, a.opt.Config.State.Socket); err != nil {
		return err
	}
	a.stack.push("control socket", closeListener(a.control))
	return nil
}

// closeListener is for a start that fails before the listener is served; a
// server that was shut down has closed it already.
func closeListener(l net.Listener) func(context.Context) error {
	return func(context.Context) error {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	}
}

func (a *App) serveAll() {
	server := api.New(api.Options{
		CDRs: apiCDRs{a.store}, Tokens: a.tokens, Tenants: apiTenants{a.directory},
		Keep: a.keeping.api(),
		Root: a.opt.Config.Recordings.Root, Now: a.opt.Now, Log: a.log.With("part", "api"), Ready: a.ready,
	})
	for _, l := range a.listeners {
		a.serve("http "+l.Addr().String(), l, server.Handler())
	}
	a.serve("control", a.control, control.NewHandler(control.Options{
		Directory: a.directory, Tokens: a.tokens, Log: a.log.With("part", "control"),
		Discover: func(ctx context.Context) (directory.Found, error) { return discover(ctx, a.ari, a.ami) },
		Status:   func() any { return a.Status() },
		Live:     liveControl{a}.list, Request: liveControl{a}.request, Routes: a.keeping.Routes(),
	}))
}

func (a *App) serve(name string, l net.Listener, h http.Handler) {
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
	go func() {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			select {
			case a.failed <- fmt.Errorf("%s: %w", name, err):
			default: // another part has failed before
			}
		}
	}()
	a.stack.push(name, func(ctx context.Context) error {
		// Long downloads must not hold up a stop for ever.
		grace, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		if err := srv.Shutdown(grace); err != nil {
			return srv.Close()
		}
		return nil
	})
}

// Addresses are those on which the API listens, with the real port where the
// configuration said 0.
func (a *App) Addresses() []string {
	var out []string
	for _, l := range a.listeners {
		out = append(out, l.Addr().String())
	}
	return out
}

// Stop stops all parts, the last one started first.
func (a *App) Stop() error {
	a.opt.Notify("STOPPING=1")
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	return a.stack.unwind(ctx)
}
