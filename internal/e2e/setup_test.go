package e2e

import (
	"context"
	"encoding/json"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"callrecordd/ari"
	"callrecordd/ari/ami"
	"callrecordd/config"
	"callrecordd/dialplan"
	"callrecordd/internal/check"
	"callrecordd/internal/lab"
)

// TestSetup brings Asterisk from the configuration that Debian ships to a
// recorded call with the commands of the README, and back to the same bytes.
func TestSetup(t *testing.T) {
	bin := build(t)
	for name, c := range map[string]struct {
		suite string
		busy  bool
		lacks string // what check says of the version
	}{
		"22 as packaged":    {},
		"16.28 as packaged": {suite: "bullseye", lacks: "lacks    mute of one recording"},
		"22 beside others":  {busy: true},
	} {
		t.Run(name, func(t *testing.T) {
			pbx := stockPBX(t, c.suite)
			etc := filepath.Join(pbx.Dir, "etc")
			if c.busy {
				crowd(t, etc)
				must(t, pbx.Restart(within(t)))
			}
			before := tree(t, etc)
			s := siteAt(t, pbx, func(cfg *config.Config) { cfg.Asterisk.ARIPassword, cfg.Asterisk.AMIPassword = "", "" })
			file := filepath.Join(filepath.Dir(s.cfg.State.Dir), "callrecordd.yaml")
			must(t, os.WriteFile(file, []byte(s.cfg.YAML()), 0o600))
			yaml := s.cfg.YAML()
			run := func(args ...string) (string, error) {
				if args[0] == "setup" {
					args = append(args, "--https", "127.0.0.1:0", "--asterisk-dir", etc, "--backup-dir", filepath.Join(filepath.Dir(s.cfg.State.Dir), "backups"))
				}
				out, err := exec.CommandContext(within(t), bin, append(args, "-c", file)...).CombinedOutput()
				return string(out), err
			}
			expect := func(want string, args ...string) {
				t.Helper()
				out, err := run(args...)
				if err != nil || !strings.Contains(out, want) {
					t.Fatalf("%v: %v\n%s", args, err, out)
				}
			}

			expect("Nothing was written.", "setup", "--dry-run", "--context", "users")
			if diff := cmp.Diff(before, tree(t, etc)); diff != "" {
				t.Fatalf("a dry run changes:\n%s", diff)
			}
			// Stock Asterisk reads everything without a restart.
			console := strings.Join(append(pbx.Install().Command, "-C", filepath.Join(etc, "asterisk.conf"), "-rx"), " ")
			expect("The backup is in", "setup", "--write", "--context", "users", "--reload", "--console", console)
			expect("Nothing is to be changed.", "setup", "--write", "--context", "users")

			var err error
			s.cfg, err = config.Load(file)
			must(t, err)
			expect(c.lacks, "check")
			s.start()
			s.populate()
			s.httpsWorks()
			s.rules("alice", dialplan.Flags{OutgoingInternal: true})
			expect("telephones in context users can dial *26", "check") // beside the daemon, whose application stays its own
			if st := s.app.Status(); !st.Ready {
				t.Errorf("after a check the daemon is not ready: %s", st.Summary)
			}
			var report check.Report
			text, err := run("check", "--json")
			if err != nil || json.Unmarshal([]byte(text), &report) != nil || !report.OK() || report.Asterisk == "" {
				t.Errorf("check --json: %v\n%s", err, text)
			}
			t.Setenv("CALLRECORDD_ASTERISK_JOURNAL", "/nonexistent/master.db")
			if text, err = run("check"); err == nil || !strings.Contains(text, "there is no journal") {
				t.Errorf("check with a fault: %v\n%s", err, text)
			}
			must(t, os.Unsetenv("CALLRECORDD_ASTERISK_JOURNAL")) // Setenv cleans up
			alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0))
			call, _ := s.talk(alice, bob, "1002")
			<-time.After(2 * time.Second) // of talk
			s.hangup(call)
			cdr, rec := s.one()
			if rec.State != "ready" {
				t.Fatalf("recording: %+v", rec)
			}
			s.hears(s.media(cdr, rec), toneA, toneB)
			if c.busy {
				othersStillWork(t, pbx)
			}
			if !varsets(t, s) {
				t.Error("there are no VarSet events even without --lean")
			}
			expect("--lean", "setup", "--write", "--scope", "users", "--lean")
			must(t, pbx.Restart(within(t)))
			expect("DYNAMIC_FEATURES is set at the endpoints of all users", "check")
			if varsets(t, s) {
				t.Error("there are VarSet events with --lean")
			}
			s.stop()

			expect("restored", "setup", "--undo")
			if diff := cmp.Diff(before, tree(t, etc)); diff != "" {
				t.Errorf("after --undo:\n%s", diff)
			}
			if now, err := os.ReadFile(file); err != nil || string(now) != yaml {
				t.Errorf("the daemon's configuration: %v\n%s", err, cmp.Diff(yaml, string(now)))
			}
		})
	}
}

func stockPBX(t *testing.T, suite string) *lab.PBX {
	t.Helper()
	return newPBX(t, lab.Config{Stock: true, NoJournal: true}, func(in *lab.Install) {
		var err error
		*in, err = lab.Ensure(t.Context(), lab.EnsureOptions{Suite: suite, Unpacked: true})
		must(t, err)
	})
}

// crowd makes the configuration that of a PBX with a wallboard, a CRM, a CSV of
// call events and a feature of its own.
func crowd(t *testing.T, etc string) {
	t.Helper()
	for name, text := range map[string]string{
		"ari.conf":        "\n[wallboard]\ntype=user\npassword=theirs\nread_only=yes\n",
		"manager.conf":    "\n[crm]\nsecret=theirs\nread=all\nwrite=all\n",
		"cel.conf":        "\n[general](+)\nenable=yes\napps=all\nevents=ALL\n[manager](+)\nenabled=yes\n",
		"cel_custom.conf": "\n[mappings]\nMaster.csv => ${CSV_QUOTE(${eventtype})},${CSV_QUOTE(${CHANNEL(uniqueid)})}\n",
		"features.conf":   "\n[applicationmap](+)\nhotel => *7,self,NoOp(hotel)\n",
		"extensions.conf": "\n[globals](+)\nDYNAMIC_FEATURES=hotel\n",
	} {
		must(t, os.MkdirAll(filepath.Join(filepath.Dir(etc), "log", "cel-custom"), 0o755))
		f, err := os.OpenFile(filepath.Join(etc, name), os.O_APPEND|os.O_WRONLY, 0)
		must(t, err)
		_, err = f.WriteString(text)
		must(t, err)
		must(t, f.Close())
	}
}

// othersStillWork sees that nothing was taken from those who were there before.
func othersStillWork(t *testing.T, pbx *lab.PBX) {
	t.Helper()
	csv, err := os.ReadFile(filepath.Join(pbx.Dir, "log", "cel-custom", "Master.csv"))
	if err != nil || !strings.Contains(string(csv), "CHAN_START") {
		t.Errorf("the CSV of call events: %v %q", err, last(string(csv), 200))
	}
	for command, want := range map[string]string{
		"dialplan show globals": "DYNAMIC_FEATURES=hotel#callrecord",
		"features show":         "hotel",
		"ari show users":        "wallboard",
		"manager show users":    "crm",
		"cel show status":       "CEL Tracking Application: all",
	} {
		if out, err := pbx.Console(within(t), command); err != nil || !strings.Contains(out, want) {
			t.Errorf("%s: %v, without %q:\n%s", command, err, want, out)
		}
	}
}

// listener waits for VarSet events of a channel, until the channel is gone.
type listener struct {
	channel   string
	connected chan struct{}
	gone      chan bool
	seen      bool
}

func (l *listener) Connected(context.Context, ari.Session) error {
	close(l.connected)
	return nil
}

func (l *listener) Event(e ari.Event) {
	if e.Channel == nil || e.Channel.ID != l.channel {
		return
	}
	l.seen = l.seen || e.Type == "ChannelVarset"
	if e.Type == "ChannelDestroyed" {
		l.gone <- l.seen
	}
}

func (l *listener) Disconnected(error) {}

// varsets reports whether Asterisk tells others, over ARI, of variables.
func varsets(t *testing.T, s *site) bool {
	t.Helper()
	base, err := url.Parse(s.cfg.Asterisk.ARIURL)
	must(t, err)
	client := ari.New(base, ari.Credentials{User: s.cfg.Asterisk.ARIUser, Password: s.cfg.Asterisk.ARIPassword.Reveal()})
	defer client.CloseIdleConnections()
	l := &listener{channel: "varset-probe", connected: make(chan struct{}), gone: make(chan bool, 1)}
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	go func() { _ = ari.NewStream(client, ari.StreamConfig{App: "listener", OwnOnly: true}).Run(ctx, l) }() // until cancel
	select {
	case <-l.connected:
	case <-ctx.Done():
		t.Fatal("no event stream")
	}
	_, err = client.CreateChannel(ctx, "Local/s@none", "listener", l.channel, "")
	must(t, err)
	conn, err := ami.Dial(ctx, ami.Config{Address: s.cfg.Asterisk.AMIAddress, User: s.cfg.Asterisk.AMIUser, Secret: s.cfg.Asterisk.AMIPassword.Reveal()})
	must(t, err)
	defer conn.Close()
	_, err = conn.Do(ctx, ami.Action{Name: "Setvar", Fields: []ami.Field{{Key: "Channel", Value: l.channel}, {Key: "Variable", Value: "PROBE"}, {Key: "Value", Value: "1"}}})
	must(t, err)
	must(t, client.Hangup(ctx, l.channel, ""))
	select {
	case seen := <-l.gone:
		return seen
	case <-ctx.Done():
		t.Fatal("the channel does not end")
		return false
	}
}

// tree is every file below a folder, with its mode.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		out[path] = info.Mode().String() + "\n" + string(text)
		return err
	}))
	return out
}
