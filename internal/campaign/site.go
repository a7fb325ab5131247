package campaign

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"callrecordd/config"
	"callrecordd/dialplan"
	"callrecordd/internal/bench/load"
	"callrecordd/internal/campaign/slowdisk"
	"callrecordd/internal/campaign/wire"
	"callrecordd/internal/control"
	"callrecordd/internal/directory"
	"callrecordd/internal/lab"
)

// patience bounds every step of setting up and recovering.
const patience = 30 * time.Second

// site is Asterisk, telephones, daemon and the lines between them.
type site struct {
	dir    string // all but the recordings
	binary string // callrecordd
	pbx    *lab.PBX
	phones *load.Generator
	ari    *wire.Proxy
	ami    *wire.Proxy
	disk   *slowdisk.Disk
	cfg    config.Config
	tenant string // uuid

	mu     sync.Mutex
	daemon *lab.Child // nil while it is down
}

// newSite starts everything below dir. The recordings go to a disk that is
// there already.
func newSite(ctx context.Context, dir, recordings, binary string) (s *site, err error) {
	s = &site{dir: dir, binary: binary}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	install, err := lab.Ensure(ctx, lab.EnsureOptions{})
	if err != nil {
		return s, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if s.phones, err = load.Open(net.IPv4(127, 0, 0, 2)); err != nil {
		return s, err
	}
	if s.pbx, err = lab.Start(ctx, install, s.asterisk()); err != nil {
		return s, err
	}
	if err := s.phones.Use(s.pbx.SIPAddr); err != nil {
		return s, err
	}
	if s.ari, err = wire.New(strings.TrimSuffix(strings.TrimPrefix(s.pbx.ARIURL, "http://"), "/ari")); err != nil {
		return s, err
	}
	if s.ami, err = wire.New(s.pbx.AMIAddr); err != nil {
		return s, err
	}
	if s.disk, err = slowdisk.Build(ctx, dir); err != nil {
		return s, err
	}
	if err := s.configure(recordings); err != nil {
		return s, err
	}
	if err := s.startDaemon(); err != nil {
		return s, err
	}
	if err := s.waitReady(ctx); err != nil {
		return s, err
	}
	return s, s.populate(ctx)
}

// asterisk is the PBX's configuration. The callees do not register, so that
// they can be called at once when Asterisk is back.
func (s *site) asterisk() lab.Config {
	toCallee := "PJSIP/callee${EXTEN:1:2}/sip:${EXTEN}@" + s.phones.CalleeAddr()
	toTrunk := "PJSIP/" + provider + "/sip:${EXTEN}@" + s.phones.TrunkAddr()
	c := lab.Config{
		Dir:          filepath.Join(s.dir, "asterisk"),
		FeaturesPath: filepath.Join(s.dir, "state", "asterisk", filepath.Base(dialplan.DefaultFeaturesPath)),
		Trunks:       []string{provider},
		ExtraFiles: map[string]string{
			"logger.conf": "[general]\ndateformat=%F %T.%3q\n[logfiles]\nfull => notice,warning,error\n",
			"rtp.conf":    "[general]\nrtpstart=4000\nrtpend=11999\nicesupport=no\n", // the lab's ports end at a hundred calls
		},
		ExtraDialplan: "\n[" + lab.ContextUsers + "]\n" +
			"exten => _8XXXXXXXX,1,Dial(" + toCallee + ",10)\n same => n,Hangup()\n" +
			"exten => _6XXXXXXXX,1,Dial(" + toTrunk + ",10)\n same => n,Hangup()\n" +
			"\n[" + lab.ContextTrunk + "]\n" +
			"exten => _7XXXXXXXX,1,Dial(" + toCallee + ",10)\n same => n,Hangup()\n",
	}
	for i := range people {
		c.Users = append(c.Users, lab.User{Name: caller(i), Number: number(i)})
	}
	for i := range people {
		c.Users = append(c.Users, lab.User{Name: callee(i), Number: number(people + i)})
	}
	return c
}

func number(i int) string { return fmt.Sprint(2100 + i) }

// configure writes the daemon's configuration: it sees Asterisk through the
// proxies.
func (s *site) configure(recordings string) error {
	c := config.Default()
	c.Asterisk.ARIURL, c.Asterisk.AMIAddress = "http://"+s.ari.Addr(), s.ami.Addr()
	c.Asterisk.ARIUser, c.Asterisk.ARIPasswordFile = s.pbx.ARIUser, filepath.Join(s.dir, "ari_password")
	c.Asterisk.AMIUser, c.Asterisk.AMIPasswordFile = s.pbx.AMIUser, filepath.Join(s.dir, "ami_password")
	c.Asterisk.Journal = s.pbx.JournalPath
	c.Recordings.Root = recordings
	c.State.Dir, c.State.Socket = filepath.Join(s.dir, "state"), filepath.Join(s.dir, "control.sock")
	c.HTTP = config.HTTP{Listen: []string{"127.0.0.1:0"}, Streams: 100}
	c.OnDemand.Tones = false // a beep would be a voice in the recording
	s.cfg = c
	for _, f := range [][2]string{
		{c.Asterisk.ARIPasswordFile, s.pbx.ARIPassword}, {c.Asterisk.AMIPasswordFile, s.pbx.AMIPassword}, {s.configFile(), c.YAML()},
	} {
		if err := os.WriteFile(f[0], []byte(f[1]), 0o600); err != nil {
			return fmt.Errorf("configure the daemon: %w", err)
		}
	}
	return nil
}

func (s *site) configFile() string { return filepath.Join(s.dir, "callrecordd.yaml") }

// populate puts everybody into the directory, with their rules.
func (s *site) populate(ctx context.Context) error {
	ctl, err := control.Connect(ctx, s.cfg.State.Socket, "campaign")
	if err != nil {
		return err
	}
	var tenants []directory.Tenant
	if err := ctl.Do(ctx, "GET", "tenants", nil, &tenants); err != nil || len(tenants) != 1 {
		return fmt.Errorf("fill the directory: %d tenants: %w", len(tenants), err)
	}
	s.tenant = tenants[0].UUID
	for i := range 2 * people {
		name := caller(i % people)
		if i >= people {
			name = callee(i % people)
		}
		u := directory.User{FirstName: name, Flags: flags(name), Lines: []directory.Line{
			{Endpoint: "PJSIP/" + name, Exten: number(i), Context: lab.ContextUsers, Main: true},
		}}
		if err := ctl.Do(ctx, "POST", "users", u, nil); err != nil {
			return fmt.Errorf("fill the directory: %w", err)
		}
	}
	trunk := directory.Trunk{Name: provider, Endpoint: "PJSIP/" + provider}
	if err := ctl.Do(ctx, "POST", "trunks", trunk, nil); err != nil {
		return fmt.Errorf("fill the directory: %w", err)
	}
	return nil
}

// recordings is where the files are.
func (s *site) recordings() string {
	return filepath.Join(s.cfg.Recordings.Root, s.tenant, "monitor")
}

// startDaemon starts it and does not wait.
func (s *site) startDaemon() error {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "CALLRECORDD_") || strings.HasPrefix(v, "NOTIFY_SOCKET=") || strings.HasPrefix(v, "WATCHDOG_")
	})
	c, err := lab.StartChild([]string{s.binary, "-c", s.configFile(), "serve"}, append(env, s.disk.Env()...), s.log())
	if err != nil {
		return fmt.Errorf("start the daemon: %w", err)
	}
	s.mu.Lock()
	s.daemon = c
	s.mu.Unlock()
	return nil
}

func (s *site) log() string { return filepath.Join(s.dir, "callrecordd.log") }

// endDaemon sends the signal and waits until it is gone.
func (s *site) endDaemon(sig syscall.Signal) error {
	s.mu.Lock()
	c := s.daemon
	s.daemon = nil
	s.mu.Unlock()
	if c == nil {
		return errors.New("end the daemon: it is down")
	}
	c.Signal(sig)
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-c.Done():
		return nil
	case <-timer.C:
		c.Signal(syscall.SIGKILL)
		<-c.Done()
		return fmt.Errorf("end the daemon: it did not end within %s of %s", patience, sig)
	}
}

// signalDaemon is for signals that do not end it.
func (s *site) signalDaemon(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.daemon != nil {
		s.daemon.Signal(sig)
	}
}

// status is what of the daemon's state is looked at.
type status struct {
	Ready   bool   `json:"ready"`
	Summary string `json:"summary"`
}

// ready is nil if the daemon says that all is well.
func (s *site) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	ctl, err := control.Connect(ctx, s.cfg.State.Socket, "campaign")
	if err != nil {
		return err
	}
	var st status
	if err := ctl.Do(ctx, "GET", "status", nil, &st); err != nil {
		return err
	}
	if !st.Ready {
		return errors.New(st.Summary)
	}
	return nil
}

// waitReady waits until the daemon says that all is well.
func (s *site) waitReady(ctx context.Context) error {
	err := eventually(ctx, func() error { return s.ready(ctx) })
	if err != nil {
		return fmt.Errorf("wait for the daemon: %w; its log ends: %s", err, tail(s.log()))
	}
	return nil
}

// command runs callrecordd with the site's configuration and returns what it
// prints.
func (s *site) command(ctx context.Context, args ...string) ([]byte, error) {
	return s.commandFor(ctx, s.configFile(), args...)
}

// commandFor does so with another configuration.
func (s *site) commandFor(ctx context.Context, file string, args ...string) ([]byte, error) {
	var out, problems bytes.Buffer
	cmd := exec.CommandContext(ctx, s.binary, append([]string{"-c", file}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		return out.Bytes(), fmt.Errorf("callrecordd %s: %w: %s", strings.Join(args, " "), err, problems.String())
	}
	return out.Bytes(), nil
}

// close ends all parts; it may be called at any stage.
func (s *site) close() error {
	var errs []error
	if s.daemon != nil {
		errs = append(errs, s.endDaemon(syscall.SIGTERM))
	}
	if s.phones != nil {
		s.phones.Close()
	}
	for _, p := range []*wire.Proxy{s.ari, s.ami} {
		if p != nil {
			p.Close()
		}
	}
	if s.pbx != nil {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		errs = append(errs, s.pbx.Stop(ctx))
	}
	return errors.Join(errs...)
}

// eventually calls f until it succeeds or ctx ends.
func eventually(ctx context.Context, f func() error) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// wait waits, unless ctx ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// tail is the end of a log, for errors.
func tail(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-2000):])
}
