package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"callrecordd/config"
	"callrecordd/internal/lab"
)

const (
	// patience bounds each step; nothing takes that long unless it is broken.
	patience = 30 * time.Second
	// stopTime bounds the stop of one part.
	stopTime = 15 * time.Second
	// pollEvery is how often we look for what is not announced.
	pollEvery = 50 * time.Millisecond
	// longTemp is the length from which a name of the folder for temporary
	// files would leave too little for the path of a socket.
	longTemp = 60
)

// stage is everything that runs, and how to end it.
type stage struct {
	mu     sync.Mutex // lines of calls at the same time
	out    io.Writer
	dir    string
	pbx    *lab.PBX
	cfg    config.Config
	daemon *daemon
	api    api
	phones map[string]*lab.Phone

	abort      context.CancelCauseFunc
	background sync.WaitGroup
	undo       []func() error // in the order of the starts
}

// newStage makes the folder. The context it returns also ends when a part
// ends that should not, with that as its cause.
func newStage(ctx context.Context, out io.Writer) (*stage, context.Context, error) {
	temp := os.TempDir()
	if len(temp) > longTemp {
		temp = "/tmp"
	}
	dir, err := os.MkdirTemp(temp, "callrecord-demo-")
	if err != nil {
		return nil, nil, fmt.Errorf("create the demo's folder: %w", err)
	}
	s := &stage{out: out, dir: dir, phones: make(map[string]*lab.Phone)}
	ctx, s.abort = context.WithCancelCause(ctx)
	s.undo = append(s.undo, func() error {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove the demo's folder: %w", err)
		}
		return nil
	})
	return s, ctx, nil
}

// close ends everything, the last first.
func (s *stage) close() error {
	s.abort(nil)
	s.background.Wait()
	var errs []error
	for _, f := range slices.Backward(s.undo) {
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}

func (s *stage) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.out, format+"\n", args...)
}

func (s *stage) startPBX(ctx context.Context) error {
	s.say("==> Asterisk")
	in, err := s.ensure(ctx)
	if err != nil {
		return err
	}
	where := "from the cache " + in.Root
	if in.Root == "" {
		where = "installed on this machine"
	}
	s.say("    %s, %s", in.Version, where)
	start, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var accounts []lab.User
	for _, p := range users() {
		accounts = append(accounts, lab.User{Name: p.name, Number: p.number})
	}
	if s.pbx, err = lab.Start(start, in, lab.Config{
		Dir: filepath.Join(s.dir, "asterisk"), Users: accounts, FeaturesPath: s.state().Features(),
	}); err != nil {
		return err
	}
	s.undo = append(s.undo, func() error {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
		defer cancel()
		return s.pbx.Stop(stop)
	})
	s.say("    started in %s, SIP on %s", s.pbx.Dir, s.pbx.SIPAddr)
	return nil
}

func (s *stage) startDaemon(ctx context.Context, binary string) error {
	s.say("\n==> The daemon")
	address, err := freeAddress(ctx)
	if err != nil {
		return err
	}
	path, err := s.configure(address)
	if err != nil {
		return err
	}
	s.daemon = &daemon{binary: binary, config: path, log: filepath.Join(s.dir, "callrecordd.log")}
	if err := s.daemon.start(); err != nil {
		return err
	}
	s.undo = append(s.undo, s.daemon.stop)
	s.background.Go(func() {
		select {
		case <-ctx.Done():
		case <-s.daemon.done:
			s.showLog()
			s.abort(fmt.Errorf("the daemon ended by itself: %w", s.daemon.reason()))
		}
	})
	s.say("    %s", s.daemon.line("serve"))
	s.api = api{base: "http://" + address}
	if err := eventually(ctx, "the daemon is ready", s.api.ready); err != nil {
		return err
	}
	s.say("    ready on %s", s.api.base)
	return nil
}

// state is where the daemon keeps what is its own.
func (s *stage) state() config.State {
	return config.State{Dir: filepath.Join(s.dir, "state"), Socket: filepath.Join(s.dir, "control.sock")}
}

// configure writes the daemon's configuration: that of a real one, with the
// passwords in files, because no program of ours prints passwords into YAML.
func (s *stage) configure(address string) (string, error) {
	in := func(name string) string { return filepath.Join(s.dir, name) }
	c := config.Default()
	c.Asterisk.ARIURL = strings.TrimSuffix(s.pbx.ARIURL, "/ari")
	c.Asterisk.ARIUser, c.Asterisk.ARIPasswordFile = s.pbx.ARIUser, in("ari_password")
	c.Asterisk.AMIAddress = s.pbx.AMIAddr
	c.Asterisk.AMIUser, c.Asterisk.AMIPasswordFile = s.pbx.AMIUser, in("ami_password")
	c.Asterisk.Journal = s.pbx.JournalPath
	c.Recordings.Root = in("recordings")
	c.State = s.state()
	c.HTTP = config.HTTP{Listen: []string{address}, Streams: 100}
	c.Log.Format = "text"
	s.cfg = c
	if err := os.Mkdir(c.Recordings.Root, 0o750); err != nil { // as `make install` does
		return "", fmt.Errorf("configure the daemon: %w", err)
	}
	path := in("callrecordd.yaml")
	for _, f := range [][2]string{
		{c.Asterisk.ARIPasswordFile, s.pbx.ARIPassword},
		{c.Asterisk.AMIPasswordFile, s.pbx.AMIPassword},
		{path, c.YAML()},
	} {
		if err := os.WriteFile(f[0], []byte(f[1]), 0o600); err != nil {
			return "", fmt.Errorf("configure the daemon: %w", err)
		}
	}
	return path, nil
}

// freeAddress finds a port. The daemon could take any by itself, but does not
// tell other programs which one it took.
func freeAddress(ctx context.Context) (string, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port for the HTTP API: %w", err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String(), nil
}

// fillDirectory does what an administrator does, with the same program.
func (s *stage) fillDirectory(ctx context.Context) error {
	s.say("\n==> Users and rules")
	commands := [][]string{
		{"trunk", "create", "--endpoint", "PJSIP/" + trunkName},
		{"group", "create", "--name", "sales", "--exten", lab.ExtenGroup, "--context", lab.ContextUsers},
	}
	for _, p := range users() {
		create := []string{
			"user", "create", "--first-name", p.title(),
			"--line", "PJSIP/" + p.name + "=" + p.number + "@" + lab.ContextUsers, "--record", p.record,
		}
		if p.onDemand {
			create = append(create, "--on-demand")
		}
		commands = append(commands, create)
	}
	for _, c := range commands {
		s.say("    callrecordd %s", strings.Join(c, " "))
		if _, err := s.daemon.command(ctx, c...); err != nil {
			return err
		}
	}
	token, err := s.daemon.command(ctx, "token", "create", "--description", "demo", "--acl", "call-logd.#", "--acl", "calld.#", "--acl", "events.#")
	if err != nil {
		return err
	}
	s.api.token = strings.TrimSpace(token)
	return nil
}

// eventually waits for a state; the last reason is the error.
func eventually(ctx context.Context, what string, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	var reason error // that of the last check that ctx did not cut short
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			reason = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w", what, errors.Join(ctx.Err(), reason))
		case <-tick.C:
		}
	}
}
