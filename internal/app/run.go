package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"callrecordd/ari"
	"callrecordd/ari/ami"
	"callrecordd/config"
	"callrecordd/internal/alarm"
	"callrecordd/internal/auth"
	"callrecordd/internal/call"
	"callrecordd/internal/cdr"
	"callrecordd/internal/directory"
	"callrecordd/internal/events"
	"callrecordd/internal/lamp"
	"callrecordd/internal/notary"
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
	// FirstStart is told the password of the administrator that the first start
	// makes. It is kept nowhere; without FirstStart no administrator is made.
	FirstStart func(username, password string)
	// Notify, if set, tells the service manager (sd_notify).
	Notify func(state string)
	// ReloadAsked, if set, tells each time that LoadConfig is to be called and its
	// result to be put into force as far as that goes without a restart.
	ReloadAsked <-chan os.Signal
	LoadConfig  func() (config.Config, error)
	// Level, if set, is that of Log.
	Level *slog.LevelVar
	// Inherited are sockets that the service manager has bound for us. Each serves
	// the address of the configuration that it is bound to; Start takes them over.
	Inherited []net.Listener
	// WatchdogEvery is how often the service manager wants to hear from us,
	// zero for never.
	WatchdogEvery time.Duration
	// Reached, if set, is told of each CrashPoint, in the goroutine that has reached
	// it and that goes on only when it returns. Tests die there.
	Reached func(CrashPoint)
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
	accounts  *auth.Accounts
	stackUUID string
	ari       *ari.Client
	stream    *ari.Stream
	ami       *ami.Client
	follower  *cdr.Follower
	reducer   *reducer
	database  database
	listeners []listener
	certs     *certificates // nil without HTTPS
	linkKey   []byte
	control   net.Listener
	started   time.Time
	needs     *needs
	watch     watch
	told      told                          // that of the safety net
	disk      *disk                         // for the journal's follower
	config    atomic.Pointer[config.Config] // in force; that of opt is what we were started with
	amiBack   chan struct{}                 // the manager has connected
	claims    chan struct{}                 // it is to be said that we record here
	holder    holder                        // of our application, while it is not us
	rival     rival                         // another daemon that does
	unmanaged bool                          // claim's: there was no manager at the last look
	features  *features
	desk      *toggle.Desk
	lamps     *lamp.Keeper
	keeping   *Keeping
	feed      *events.Feed
	hooks     *Hooks
	notary    *notary.Service // nil without a key, and unsigned says why
	unsigned  string
	audits    *Audits
	notes     notes       // of the daemon's own life
	managerUp atomic.Bool // as it was noted last
	witness   *cdr.Witness
	stalled   stalled
	alarms    *alarms
	disks     *disks
	orphans   orphanSearch
	guard     guard
	growth    func() exec.Growth
	stored    func(context.Context) error // what was asked for
}

// Run starts a daemon, waits until ctx ends or a part fails, and stops it.
func Run(ctx context.Context, opt Options) error {
	a, err := Start(ctx, opt)
	if err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return a.Stop()
		case failure := <-a.failed:
			a.log.Error("a part of the daemon has failed", "err", failure)
			return errors.Join(failure, a.Stop())
		case <-opt.ReloadAsked:
			a.reload(ctx)
		}
	}
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
		needs: newNeeds(), disk: newDisk(), amiBack: make(chan struct{}, 1), claims: make(chan struct{}, 1), features: newFeatures(), notes: make(notes, manyNotes),
		alarms: newAlarms(opt.Now, opt.Log.With("part", "alarms")), disks: newDisks(),
	}
	a.config.Store(&opt.Config)
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
	if err = a.startLedger(ctx); err != nil {
		return err
	}
	a.startNotes(ctx)

	if a.directory, err = directory.New(ctx, directory.Options{
		Repo: a.store, Now: a.opt.Now, NewUUID: a.opt.NewUUID, Root: cfg.Recordings.Root, OnChange: a.directoryChanged,
	}); err != nil {
		return err
	}
	a.startAudits(ctx)
	if err = a.startAccounts(ctx); err != nil {
		return err
	}

	if err = a.bind(ctx); err != nil {
		return err
	}
	if a.linkKey, err = linkKey(cfg.State.Dir); err != nil {
		return err
	}
	if err = a.firstStart(ctx); err != nil {
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
		OnState: func(ari.State) { a.needs.again() }, Ghost: a.ghost,
	})
	if err = a.startJournal(); err != nil {
		return err
	}
	incoming := &sink{
		reducer: a.reducer, client: a.ari, store: a.store, root: cfg.Recordings.Root, disk: newDisk(), marks: a.marks,
		log: a.log.With("part", "ari"), restarted: a.connected, star26: a.star26, watch: &a.watch, alive: a.aliveBeforeLook, note: a.note,
		alone: a.lookAround, claim: a.claimSoon,
	}
	// Stopped after the stream: as long as we start recorders Asterisk must not.
	a.stack.push("word to the safety net", a.leaveToNet)
	a.stack.goStep("ari stream", a.failed, func(ctx context.Context) error {
		incoming.stopped = ctx.Done()
		return a.stream.Run(ctx, incoming)
	})
	// Stopped before the stream: it tells of the end of the sounds.
	a.stack.push("toggle", a.desk.Close)
	a.startManagerLink(incoming)
	a.startAlive()
	a.startPresence()
	a.startNeeds()
	a.startHousekeeping()
	if err = a.startKeeping(ctx); err != nil {
		return err
	}
	a.startRecovery()
	a.startStalls()
	a.startEvents()
	a.startProbe()
	a.startAlarms()
	a.startSpace()
	a.startOrphans()
	a.startHeartbeat()
	return a.serveAll()
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
	a.witness = cdr.NewWitness(a.opt.Config.Asterisk.Technologies)
	whisperer := a.startTones()
	a.reducer = newReducer(reducer{
		presses: presses, tones: whisperer, beeps: a.opt.Config.OnDemand.Tones, config: machineConfig(a.opt.Config),
		model: call.New(call.Config{Technologies: a.opt.Config.Asterisk.Technologies}), witness: a.witness,
		book: a.directory.Book, announcements: a.announcements, newUUID: a.opt.NewUUID, now: a.opt.Now, log: a.log.With("part", "recorder"),
	})
	ex, err := exec.New(exec.Config{
		Root: a.opt.Config.Recordings.Root, AMI: toldAMI{a.ami, a}, ARI: execARI{a.ari}, Store: toldStore{execStore{a.store}, a},
		Clock: a.opt.Now, Log: a.log.With("part", "recorder"), Deliver: a.reducer.deliver, NoChannel: noChannel,
		Refused: refused, NotSent: notSent, Alarm: a.alarms.recording, Storage: a.alarms.storage,
	})
	if err != nil {
		return err
	}
	a.stack.push("recorder/exec", ex.Close)
	a.growth, a.stored = ex.Growth, ex.Stored
	a.guard = guard{talks: map[string]*bareTalk{}, tones: whisperer}
	a.reducer.perform = a.perform(whisperer, ex.Apply)
	a.startReducer(whisperer)
	return nil
}

func (a *App) startJournal() error {
	var err error
	a.follower, err = cdr.NewFollower(cdr.FollowerConfig{
		Path: a.opt.Config.Asterisk.Journal, Store: toldCalls{missedCalls{a.store, a, new(patience), new(pastBooks)}, a}, Watched: a.watched, Poll: a.opt.Config.Journal.Poll, Keep: a.opt.Config.Journal.Keep,
		Lookup:       func() cdr.Lookup { return lookup{a.directory.Book()} },
		Live:         liveCalls{a},
		Witness:      a.witness,
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
	a.alarms.Happened(alarm.JournalGap, "", "", g.Detail)
	event := recorder.Event{At: g.At, Kind: "journal_gap", Actor: "callrecordd", Data: g}
	if err := a.store.AppendEvents(ctx, event); err != nil {
		a.log.Error("a gap of the journal could not be stored", "detail", g.Detail, "err", err)
	}
}

// Stop stops all parts, the last one started first.
func (a *App) Stop() error {
	a.opt.Notify("STOPPING=1")
	a.reached(CrashBeforeStop)
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	a.noteStop(ctx)
	return a.stack.unwind(ctx)
}
