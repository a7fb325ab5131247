package bench

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/bench/load"
	"callrecordd/internal/control"
	"callrecordd/internal/directory"
	"callrecordd/internal/lab"
)

// patience bounds every step that is not a measurement.
const patience = 30 * time.Second

// arm is a way to set up an Asterisk.
type arm struct {
	name    string
	mix     bool // the dialplan starts a MixMonitor
	feature bool // the feature line is active on every call
	journal bool // our CEL journal is written
	clients bool // ARI and AMI are there
	daemon  bool // the daemon runs
	norule  bool // and records nobody's calls
	files   map[string]string
}

// What is compared. The bare one has no CEL, feature line, ARI or AMI.
func armBare() arm    { return arm{name: "bare"} }
func armMix() arm     { return arm{name: "MixMonitor", mix: true} }
func armJournal() arm { return arm{name: "MixMonitor and journal", mix: true, journal: true} }
func armAll() arm     { return arm{name: "all snippets", feature: true, journal: true, clients: true} }

func armDaemon() arm {
	a := armAll()
	a.name, a.daemon = "daemon", true
	return a
}

// armLean is what setup --lean leaves.
func armLean() arm { return armDaemon().without("daemon lean", Lean()...) }

// without declines types of Stasis messages.
func (a arm) without(name string, types ...string) arm {
	a.name, a.files = name, map[string]string{"stasis.conf": declined(types...)}
	return a
}

// pairs is the number of callers and of callees.
const pairs = 10

func callerName(i int) string { return fmt.Sprintf("caller%02d", i%pairs) }
func calleeName(i int) string { return fmt.Sprintf("callee%02d", i%pairs) }

// exten is a number of its own for each call of a site: callee and serial
// number. By it the call is found again in journal and database.
func exten(n int) string { return fmt.Sprintf("8%02d%06d", n%pairs, n%1_000_000) }

// site is an arm that runs.
type site struct {
	arm   arm
	dir   string
	pbx   *lab.PBX
	load  *load.Generator
	child *child          // nil without daemon
	ctl   *control.Client // of the daemon
	next  int             // serial number of the next call
	users []string        // uuids of the callers

	events, eventBytes atomic.Int64 // read from ARI by us
	ready              int          // recordings of earlier loads
}

// start starts an arm: Asterisk, telephones, daemon.
func (s *suite) start(ctx context.Context, a arm) (*site, error) {
	t, err := s.startWithout(ctx, a)
	if err != nil || !a.daemon {
		return t, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := t.startDaemon(ctx, s.opt.Daemon); err != nil {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

// startWithout starts an arm's Asterisk and telephones, but no daemon.
func (s *suite) startWithout(ctx context.Context, a arm) (*site, error) {
	dir, err := s.folder(a.name)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	t := &site{arm: a, dir: dir}
	if t.pbx, err = lab.Start(ctx, s.install, a.config(dir)); err != nil {
		return nil, err
	}
	var callees []string
	for i := range pairs {
		callees = append(callees, calleeName(i))
	}
	if t.load, err = load.New(ctx, t.pbx.SIPAddr, callees); err != nil {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

// close ends all parts; it may be called at any stage.
func (t *site) close() error {
	var errs []error
	if t.load != nil {
		t.load.Close()
	}
	if t.child != nil {
		errs = append(errs, t.child.stop())
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	errs = append(errs, t.pbx.Stop(ctx))
	return errors.Join(errs...)
}

// config is the PBX of an arm.
func (a arm) config(dir string) lab.Config {
	c := lab.Config{Dir: filepath.Join(dir, "asterisk"), ExtraFiles: map[string]string{
		"extensions.conf": a.dialplan(dir),
		"logger.conf":     "[general]\n[logfiles]\nfull => notice,warning,error\n",
		// The lab's ports end at a hundred calls. Asterisk passes over ports
		// that are taken, so all may use the same range, below the lab's.
		"rtp.conf": "[general]\nrtpstart=4000\nrtpend=11999\nicesupport=no\n",
	}}
	for i := range pairs {
		c.Users = append(c.Users, lab.User{Name: callerName(i), Number: fmt.Sprint(2100 + i)})
	}
	for i := range pairs {
		c.Users = append(c.Users, lab.User{Name: calleeName(i), Number: fmt.Sprint(2200 + i)})
	}
	maps.Copy(c.ExtraFiles, a.files)
	if !a.feature {
		c.ExtraFiles["features.conf"] = "[general]\n[applicationmap]\n"
	}
	if !a.clients {
		c.ExtraFiles["manager.conf"] = "[general]\nenabled=no\n"
		c.ExtraFiles["http.conf"] = "[general]\nenabled=no\n"
		c.NoLoad = strings.Fields("res_ari.so res_ari_applications.so res_ari_asterisk.so res_ari_bridges.so " +
			"res_ari_channels.so res_ari_device_states.so res_ari_endpoints.so res_ari_events.so res_ari_model.so " +
			"res_ari_playbacks.so res_ari_recordings.so res_ari_sounds.so app_stasis.so")
	}
	if !a.journal {
		c.NoJournal = true
		c.ExtraFiles["cel.conf"] = "[general]\nenable=no\n"
		c.NoLoad = append(c.NoLoad, "res_cdrel_custom.so", "cel_sqlite3_custom.so")
	}
	return c
}

// dialplan has one pattern for all calls of the load. There is nothing in it
// that an arm does not need: an option of Dial alone changes how Asterisk
// bridges.
func (a arm) dialplan(dir string) string {
	var b strings.Builder
	b.WriteString("[globals]\n")
	if a.feature {
		b.WriteString("DYNAMIC_FEATURES=callrecord\n")
	}
	b.WriteString("[" + lab.ContextUsers + "]\n")
	if a.daemon {
		b.WriteString("include => callrecord-features\n")
	}
	b.WriteString("exten => _8XXXXXXXX,1,NoOp()\n")
	if a.mix {
		// b: like the daemon, record the talk only.
		b.WriteString(" same => n,MixMonitor(" + mixFolder(dir) + "/${EXTEN}.wav,b)\n")
	}
	b.WriteString(" same => n,Dial(PJSIP/callee${EXTEN:1:2},60)\n same => n,Hangup()\n")
	// Where the daemon writes the dialplan of *26.
	b.WriteString("[" + lab.ContextTrunk + "]\n#tryinclude \"" + filepath.Join(dir, stateFolder, featuresFile) + "\"\n")
	return b.String()
}

func mixFolder(dir string) string { return filepath.Join(dir, "mix") }

// startDaemon starts the daemon and puts everybody into its directory. Callers
// have their calls recorded, callees have no rule.
func (t *site) startDaemon(ctx context.Context, binary string) error {
	var err error
	if t.child, err = startChild(binary, t.dir, t.pbx, daemonConfig(t.pbx, t.dir)); err != nil {
		return err
	}
	if err := t.waitReady(ctx); err != nil {
		return err
	}
	for i := range 2 * pairs {
		name, number := callerName(i), fmt.Sprint(2100+i%pairs)
		if i >= pairs {
			name, number = calleeName(i), fmt.Sprint(2200+i%pairs)
		}
		u := directory.User{FirstName: name, Lines: []directory.Line{
			{Endpoint: "PJSIP/" + name, Exten: number, Context: lab.ContextUsers, Main: true},
		}}
		u.Flags.OutgoingInternal = i < pairs && !t.arm.norule
		var made directory.User
		if err := t.ctl.Do(ctx, "POST", "users", u, &made); err != nil {
			return fmt.Errorf("fill the directory: %w", err)
		}
		if i < pairs {
			t.users = append(t.users, made.UUID)
		}
	}
	return nil
}

// status is what of the daemon's state is looked at.
type status struct {
	Ready   bool   `json:"ready"`
	Summary string `json:"summary"`
	ARI     struct {
		Kind       any
		Reconnects int
		Gaps       int
	} `json:"ari"`
}

// waitReady waits until the daemon says that it works.
func (t *site) waitReady(ctx context.Context) error {
	err := eventually(ctx, func() error {
		select {
		case <-t.child.done:
			return errEnded
		default:
		}
		if t.ctl == nil {
			c, err := control.Connect(ctx, t.child.cfg.State.Socket, "bench")
			if err != nil {
				return err
			}
			t.ctl = c
		}
		st, err := t.status(ctx)
		if err == nil && !st.Ready {
			err = errors.New(st.Summary)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("wait for the daemon: %w; its log ends: %s", err, t.child.tail())
	}
	return nil
}

func (t *site) status(ctx context.Context) (status, error) {
	var st status
	err := t.ctl.Do(ctx, "GET", "status", nil, &st)
	return st, err
}

// flags sets the rules of all callers.
func (t *site) flags(ctx context.Context, f dialplan.Flags) error {
	for _, u := range t.users {
		if err := t.ctl.Do(ctx, "PATCH", control.Path("users", u), map[string]any{"flags": f}, nil); err != nil {
			return fmt.Errorf("set the rules: %w", err)
		}
	}
	return nil
}

// run places calls between the pairs, each with an extension of its own, and
// returns them when all are over.
func (t *site) run(ctx context.Context, p load.Plan) []load.Call {
	first := t.next
	t.next += p.Calls
	if p.Caller == nil {
		p.Caller = callerName
	}
	if p.Exten == nil {
		p.Exten = func(i int) string { return exten(first + i) }
	}
	return t.load.Run(ctx, p)
}

// clean removes recordings that are done with: a long run would fill the disk.
func (t *site) clean() error {
	dirs := []string{mixFolder(t.dir)}
	if t.child != nil {
		found, err := filepath.Glob(filepath.Join(t.child.cfg.Recordings.Root, "*", "monitor"))
		if err != nil {
			return fmt.Errorf("look for recordings: %w", err)
		}
		dirs = append(dirs, found...)
	}
	for _, d := range dirs {
		files, err := filepath.Glob(filepath.Join(d, "*.wav"))
		if err != nil {
			return fmt.Errorf("look for recordings: %w", err)
		}
		for _, f := range files {
			if err := os.Remove(f); err != nil {
				return fmt.Errorf("remove recordings: %w", err)
			}
		}
	}
	return nil
}

var errEnded = errors.New("the daemon has ended")

// eventually calls f until it succeeds or ctx ends.
func eventually(ctx context.Context, f func() error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil || errors.Is(err, errEnded) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// failed counts calls that did not complete, and says why the first did not.
func failed(calls []load.Call) (n int, why string) {
	for _, c := range calls {
		if !c.Complete() {
			if n == 0 {
				why = c.Failure
			}
			n++
		}
	}
	return n, why
}

// tolerable is the share of calls that may fail without the rest being worth
// nothing: on a busy machine a datagram is lost now and then.
const tolerable = 0.01

// completed are the calls that did; if too many did not, that is the error.
func (s *suite) completed(t *site, calls []load.Call) ([]load.Call, error) {
	n, why := failed(calls)
	if float64(n) > tolerable*float64(len(calls)) {
		return nil, fmt.Errorf("%d of %d calls of arm %s failed: %s", n, len(calls), t.arm.name, why)
	}
	if n > 0 {
		s.say("    %d of %d calls of arm %s failed and do not count: %s", n, len(calls), t.arm.name, why)
	}
	return slices.DeleteFunc(calls, func(c load.Call) bool { return !c.Complete() }), nil
}

// declined is a stasis.conf without the message types.
func declined(types ...string) string {
	var b strings.Builder
	b.WriteString("[declined_message_types]\n")
	for _, t := range slices.Sorted(slices.Values(types)) {
		b.WriteString("decline=" + t + "\n")
	}
	return b.String()
}
