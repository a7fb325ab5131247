// Package check verifies against the running Asterisk everything that
// callrecordd needs of it (design 4), by trying: Asterisk itself has to record
// a probe channel into a file, whose rows have to arrive in the journal.
//
// It uses a Stasis application of its own, never the daemon's, and leaves
// nothing behind. It must not import anything of ours but ari, ari/ami,
// dialplan, internal/asteriskconf and internal/setup, which says what is right.
package check

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"callrecordd/ari"
	"callrecordd/ari/ami"
	"callrecordd/dialplan"
	"callrecordd/internal/asteriskconf"
)

// Level says what a finding means for the result.
type Level string

// The levels: a fault makes the check fail, a warning does not.
const (
	Fault   Level = "fault"
	Warning Level = "warning"
)

// Finding is one thing that is wrong.
type Finding struct {
	ID          string   `json:"id"` // stable, for scripts
	Level       Level    `json:"level"`
	What        string   `json:"what"`
	Consequence string   `json:"consequence"`
	File        string   `json:"file,omitempty"`  // below Asterisk's configuration directory, or absolute
	Lines       []string `json:"lines,omitempty"` // to be added there, word for word
	Hint        string   `json:"hint,omitempty"`
}

// Report is the result of a check.
type Report struct {
	Asterisk string    `json:"asterisk,omitempty"` // version
	Findings []Finding `json:"findings"`
	Passed   []string  `json:"passed"` // what was verified
	Lacks    []string  `json:"lacks"`  // what this version cannot do, found by trying
}

// OK is true without a fault.
func (r Report) OK() bool {
	return !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Level == Fault })
}

// Line is a user's telephone.
type Line struct {
	User     string
	Endpoint string // such as PJSIP/alice
	TenantID string // the PJSIP tenantid that belongs to the user's tenant, "" if none
}

// Options are what is to be checked.
type Options struct {
	ARI     *ari.Client
	ARIUser string
	ARIURL  string
	AMI     ami.Config
	Journal string
	Root    string
	// Directory is false if there is none to compare with.
	Directory bool
	Lines     []Line
	Others    []string // endpoints of trunks and devices
}

// Times of the probe: rows arrive within milliseconds (asterisk-facts 7).
const (
	rowsWithin = 2 * time.Second
	fileWithin = 2 * time.Second
	lookEvery  = 20 * time.Millisecond
)

const (
	setupHint = "callrecordd setup --write adds this"
	applied   = "if it is there already, Asterisk has not read it yet: "
)

type checker struct {
	o      Options
	ami    *ami.Conn
	report Report
	// readsConfig is false if the manager user may not use GetConfig.
	readsConfig bool
	configs     map[string]*asteriskconf.Config
	// recorderOff is set when recording need not be tried any more.
	recorderOff bool
	journalOff  bool
	endpoints   map[string]pjsip
}

// Run checks everything that can be checked. It only fails if ctx ends.
func Run(ctx context.Context, o Options) (Report, error) {
	c := &checker{o: o, configs: map[string]*asteriskconf.Config{}, report: Report{Findings: []Finding{}, Passed: []string{}, Lacks: []string{}}}
	if c.connect(ctx) {
		c.modules(ctx)
		c.events(ctx)
		c.journalFile(ctx)
		c.rootFolder()
		c.readEndpoints(ctx)
		c.probe(ctx)
		c.features(ctx)
		c.directory(ctx)
	}
	if c.ami != nil {
		c.ami.Close()
	}
	return c.report, ctx.Err()
}

func (c *checker) add(f Finding) {
	if f.Level == "" {
		f.Level = Fault
	}
	c.report.Findings = append(c.report.Findings, f)
}

func (c *checker) pass(what string, args ...any) {
	c.report.Passed = append(c.report.Passed, fmt.Sprintf(what, args...))
}

// found is true if a finding with that id is there.
func (c *checker) found(id string) bool {
	return slices.ContainsFunc(c.report.Findings, func(f Finding) bool { return f.ID == id })
}

// connect reaches both interfaces and tells apart why it cannot. It returns
// whether there is anything to go on with.
func (c *checker) connect(ctx context.Context) bool {
	conn, amiErr := ami.Dial(ctx, c.o.AMI)
	c.ami = conn
	info, ariErr := c.o.ARI.Info(ctx)
	if amiErr != nil && !errors.Is(amiErr, ami.ErrAuth) && errors.Is(ariErr, ari.ErrUnavailable) {
		c.add(Finding{
			ID: "asterisk", What: fmt.Sprintf("neither %s nor the manager at %s answers (%v)", c.o.ARIURL, c.o.AMI.Address, amiErr),
			Consequence: "nothing works", Hint: "start Asterisk; if it runs, callrecordd setup --write enables both interfaces",
		})
		return false
	}
	if conn != nil {
		c.rights(ctx)
	} else {
		c.noAMI(amiErr)
	}
	if ariErr != nil {
		c.noARI(ctx, ariErr)
	} else {
		c.report.Asterisk = info.Version
		c.pass("ARI at %s answers, Asterisk %s", c.o.ARIURL, info.Version)
	}
	return ariErr == nil
}

func (c *checker) noAMI(err error) {
	f := Finding{
		File: "manager.conf", Consequence: "no call is recorded", Hint: setupHint,
		ID: "ami.unreachable", What: fmt.Sprintf("the manager at %s does not answer: %v", c.o.AMI.Address, err),
		Lines: []string{"[general](+)", "enabled=yes"},
	}
	if errors.Is(err, ami.ErrAuth) {
		f.ID, f.What = "ami.login", fmt.Sprintf("the manager at %s refuses the user %s", c.o.AMI.Address, c.o.AMI.User)
		f.Lines = []string{"[" + c.o.AMI.User + "]", "secret=<the value of asterisk.ami_password>", "write=system,call"}
		f.Hint = applied + "manager reload"
	}
	c.add(f)
}

func (c *checker) noARI(ctx context.Context, err error) {
	f := Finding{
		ID: "ari.unreachable", File: "http.conf", Consequence: "callrecordd sees no call", Hint: setupHint,
		What:  fmt.Sprintf("Asterisk's HTTP server at %s does not answer: %v", c.o.ARIURL, err),
		Lines: []string{"[general](+)", "enabled=yes"},
	}
	var answer *ari.Error
	switch {
	case errors.Is(err, ari.ErrUnauthorized):
		f.ID, f.File, f.What = "ari.login", "ari.conf", fmt.Sprintf("ARI at %s refuses the user %s", c.o.ARIURL, c.o.ARIUser)
		f.Lines = []string{"[" + c.o.ARIUser + "]", "type=user", "read_only=no", "password=<the value of asterisk.ari_password>"}
		f.Hint = applied + "module reload res_ari.so"
	case errors.As(err, &answer) && answer.Status == http.StatusNotFound:
		f.ID, f.File, f.What = "module.res_ari", "modules.conf", fmt.Sprintf("%s is an HTTP server without ARI", c.o.ARIURL)
		f.Lines = []string{"load => res_ari.so"}
	default:
		if k := c.config(ctx, "http.conf").Category("general"); k != nil {
			if e, ok := k.Last("enabled"); ok && asteriskconf.True(e.Value) {
				f.What += "; http.conf enables it, so see that bindaddr and bindport are those of asterisk.ari_url"
				f.Hint = applied + "module reload http"
			} else {
				f.What += "; http.conf does not enable it"
			}
		}
	}
	c.add(f)
}

// rights tries the two classes. Asterisk looks for the module, then the class,
// and only then for the channel.
func (c *checker) rights(ctx context.Context) {
	tryAction := func(name string) error {
		_, err := c.ami.Do(ctx, ami.Action{Name: name, Fields: []ami.Field{{Key: "Channel", Value: "callrecordd/none"}, {Key: "File", Value: "none.wav"}}})
		return err
	}
	recorder, stop := tryAction("MixMonitor"), tryAction("StopMixMonitor")
	switch {
	case errors.Is(recorder, ami.ErrUnknownAction):
		c.recorderOff = true
		c.missingModule("app_mixmonitor", "no call is recorded")
	case errors.Is(recorder, ami.ErrPermission), errors.Is(stop, ami.ErrPermission):
		c.recorderOff = true
		class := "call"
		if errors.Is(recorder, ami.ErrPermission) {
			class = "system"
		}
		c.add(Finding{
			ID: "ami." + class, What: fmt.Sprintf("the manager user %s lacks the write class %s", c.o.AMI.User, class),
			Consequence: "recordings cannot be started, stopped or paused", File: "manager.conf",
			Lines: []string{"[" + c.o.AMI.User + "]", "write=system,call"}, Hint: setupHint + "; then: manager reload",
		})
	default:
		c.pass("the manager at %s lets %s record", c.o.AMI.Address, c.o.AMI.User)
	}
	_, err := c.getConfig(ctx, "asterisk.conf")
	c.readsConfig = err == nil
}

func (c *checker) missingModule(name, consequence string) {
	if c.found("module." + name) {
		return
	}
	c.add(Finding{
		ID: "module." + name, What: "Asterisk does not run the module " + name + ".so", Consequence: consequence,
		File: "modules.conf", Lines: []string{"load => " + name + ".so"},
		Hint: "see that no line says noload => " + name + ".so and that the module's own configuration is right, then: module load " + name + ".so",
	})
}

func (c *checker) modules(ctx context.Context) {
	for _, m := range dialplan.Modules() {
		_, err := c.o.ARI.Module(ctx, m+".so")
		if errors.Is(err, ari.ErrNotFound) || errors.Is(err, ari.ErrNotInStasis) {
			consequence := "callrecordd does not see or steer calls"
			switch m {
			case "cel_sqlite3_custom":
				consequence, c.journalOff = "calls get no CDR", true
			case "app_mixmonitor":
				consequence, c.recorderOff = "no call is recorded", true
			case "app_userevent":
				consequence = "recording by key during a call does nothing"
			case "app_stasis":
				consequence = "*26 does nothing"
			}
			c.missingModule(m, consequence)
		}
	}
}

// getConfig asks Asterisk for a configuration file as it reads it now.
func (c *checker) getConfig(ctx context.Context, file string) (*asteriskconf.Config, error) {
	if c.ami == nil {
		return nil, ami.ErrDisconnected
	}
	r, err := c.ami.Do(ctx, ami.Action{Name: "GetConfig", Fields: []ami.Field{{Key: "Filename", Value: file}}})
	if err != nil {
		return nil, err
	}
	out := &asteriskconf.Config{}
	for _, f := range r.Message {
		kind, _, _ := strings.Cut(f.Key, "-")
		switch strings.ToLower(kind) {
		case "category":
			out.Categories = append(out.Categories, &asteriskconf.Category{Name: f.Value})
		case "line":
			name, value, _ := strings.Cut(f.Value, "=")
			if n := len(out.Categories); n > 0 {
				k := out.Categories[n-1]
				k.Entries = append(k.Entries, asteriskconf.Entry{File: file, Name: name, Value: strings.TrimPrefix(value, ">")})
			}
		}
	}
	return out, nil
}

// config is getConfig, remembered; without an answer it is empty.
func (c *checker) config(ctx context.Context, file string) *asteriskconf.Config {
	if known := c.configs[file]; known != nil {
		return known
	}
	got, err := c.getConfig(ctx, file)
	if err != nil {
		got = &asteriskconf.Config{}
	}
	c.configs[file] = got
	return got
}

// getvar reads a global variable or a function of no channel.
func (c *checker) getvar(ctx context.Context, name string) (string, error) {
	if c.ami == nil {
		return "", ami.ErrDisconnected
	}
	r, err := c.ami.Do(ctx, ami.Action{Name: "Getvar", Fields: []ami.Field{{Key: "Variable", Value: name}}})
	return r.Get("Value"), err
}

// eventually calls f until it is true or the time is over.
func eventually(ctx context.Context, within time.Duration, f func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for !f() {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return true
}

func random() string { return strings.ToLower(rand.Text()[:12]) }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }
