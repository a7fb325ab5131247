package config_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"callrecordd/config"
)

var update = flag.Bool("update", false, "write the expected texts anew")

const passwords = "asterisk:\n  ari_password: s3cret-ari\n  ami_password: s3cret-ami\n"

// write puts text into a file of its own.
func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "callrecordd.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func load(t *testing.T, text string) config.Config {
	t.Helper()
	c, err := config.Load(write(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestMessages loads each file in testdata; its leading comment is the exact
// message.
func TestMessages(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test data: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			rest := string(data)
			for strings.HasPrefix(rest, "# ") {
				var line string
				line, rest, _ = strings.Cut(rest, "\n")
				want = append(want, strings.TrimPrefix(line, "# "))
			}
			_, err = config.Load(file)
			if err == nil {
				t.Fatal("no error")
			}
			if _, ok := errors.AsType[*config.Error](err); !ok {
				t.Errorf("error is a %T, want *config.Error", err)
			}
			got := err.Error()
			if *update {
				text := "# " + strings.ReplaceAll(got, "\n", "\n# ") + "\n" + rest
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(strings.Join(want, "\n"), got); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
			if strings.Contains(got, "s3cret") {
				t.Errorf("the message shows a password: %s", got)
			}
		})
	}
}

func TestDefaults(t *testing.T) {
	want := config.Default()
	want.Asterisk.ARIPassword, want.Asterisk.AMIPassword = "s3cret-ari", "s3cret-ami"
	if diff := cmp.Diff(want, load(t, passwords)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := want.State.Database(); got != "/var/lib/callrecordd/callrecordd.db" {
		t.Errorf("database %s", got)
	}
}

func TestFileOverridesDefaults(t *testing.T) {
	c := load(t, passwords+"  technologies: [PJSIP]\nhttp:\n  listen: 0.0.0.0:9298\n"+
		"journal: {poll: 1s}\nlog:\nrecordings:\n  root:\nstate: {}\n"+
		"on_demand: {source: dtmf, code: \"#1\", cycle: stop, follow_transfer: true, tones: false}\n")
	want := config.Default()
	want.Asterisk.ARIPassword, want.Asterisk.AMIPassword = "s3cret-ari", "s3cret-ami"
	want.Asterisk.Technologies = []string{"PJSIP"}
	want.HTTP.Listen = []string{"0.0.0.0:9298"}
	want.Journal.Poll = time.Second
	want.OnDemand = config.OnDemand{Source: "dtmf", Code: "#1", Cycle: "stop", FollowTransfer: true}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEnvironmentOverridesFile(t *testing.T) {
	t.Setenv("CALLRECORDD_ASTERISK_ARI_PASSWORD", "0123")
	t.Setenv("CALLRECORDD_ASTERISK_AMI_PASSWORD", "with, comma")
	t.Setenv("CALLRECORDD_ASTERISK_ARI_URL", "http://[::1]:8088")
	t.Setenv("CALLRECORDD_HTTP_LISTEN", "127.0.0.1:1, [::1]:2")
	t.Setenv("CALLRECORDD_JOURNAL_POLL", "2s")
	t.Setenv("CALLRECORDD_LOG_LEVEL", "debug")
	t.Setenv("CALLRECORDD_ON_DEMAND_TONES", "false")
	t.Setenv("CALLRECORDD_RECORDINGS_PAUSE", "cut")
	// Variables of the lab begin alike and are no keys.
	t.Setenv("CALLRECORDD_CACHE", "/tmp/cache")
	t.Setenv("CALLRECORDD_ASTERISK_ROOT", "/tmp/root")
	c := load(t, passwords+"log: {level: error}\n")
	want := config.Default()
	want.Asterisk.ARIPassword, want.Asterisk.AMIPassword = "0123", "with, comma"
	want.Asterisk.ARIURL = "http://[::1]:8088"
	want.HTTP.Listen = []string{"127.0.0.1:1", "[::1]:2"}
	want.Journal.Poll = 2 * time.Second
	want.Log.Level = "debug"
	want.OnDemand.Tones = false
	want.Recordings.Pause = "cut"
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if c.Log.SlogLevel() != slog.LevelDebug {
		t.Errorf("level %v", c.Log.SlogLevel())
	}
	if _, err := config.Load(""); err != nil {
		t.Errorf("environment only: %v", err)
	}
}

func TestPasswordFiles(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"ari": "from file\r\n", "ami": "other"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text := fmt.Sprintf("asterisk:\n  ari_password_file: %[1]s/ari\n  ami_password_file: %[1]s/ami\n", dir)
	c := load(t, text)
	if got := c.Asterisk.ARIPassword.Reveal(); got != "from file" {
		t.Errorf("ARI password %q", got)
	}
	if got := c.Asterisk.AMIPassword.Reveal(); got != "other" {
		t.Errorf("AMI password %q", got)
	}

	if err := os.WriteFile(filepath.Join(dir, "ami"), []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := config.Load(write(t, text))
	want := "asterisk.ami_password_file: " + dir + "/ami is empty; write the password into it"
	if err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("got %v, want …%s", err, want)
	}
}

// TestLoadWithoutPasswords: what the command line needs works without them,
// and everything else is checked as ever.
func TestLoadWithoutPasswords(t *testing.T) {
	for name, text := range map[string]string{
		"unset":           "",
		"unreadable file": "asterisk: {ari_password_file: /nonexistent/ari, ami_password_file: /nonexistent/ami}\n",
		"twice":           passwords + "  ari_password_file: /nonexistent/ari\n",
	} {
		c, err := config.LoadWithoutPasswords(write(t, "state: {dir: /srv/state}\n"+text))
		if err != nil || c.State.Dir != "/srv/state" {
			t.Errorf("%s: %q, %v", name, c.State.Dir, err)
		}
	}
	_, err := config.LoadWithoutPasswords(write(t, "state: {dri: /srv/state}\njournal: {poll: 1ms}\n"))
	if err == nil || !strings.Contains(err.Error(), "2 problems") ||
		!strings.Contains(err.Error(), "did you mean state.dir?") || strings.Contains(err.Error(), "password") {
		t.Errorf("got %v", err)
	}
}

func TestNoFile(t *testing.T) {
	_, err := config.Load("testdata/absent")
	want := "read configuration: open testdata/absent: no such file or directory " +
		"(`callrecordd config sample` prints one to start from)"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if !errors.Is(err, os.ErrNotExist) {
		t.Error("not ErrNotExist")
	}
	_, err = config.Load("/dev/zero")
	if err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("endless file: %v", err)
	}
}

// TestSecret prints a password in every way one happens to be printed.
func TestSecret(t *testing.T) {
	const text = "s3cret"
	c := config.Default()
	c.Asterisk.ARIPassword = text
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("text", "password", c.Asterisk.ARIPassword, "config", c)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("json", "password", c.Asterisk.ARIPassword, "config", c)
	asJSON, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	outputs := []string{log.String(), string(asJSON), string(asYAML), c.YAML(), c.Asterisk.ARIPassword.String()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		outputs = append(outputs, fmt.Sprintf(verb, c), fmt.Sprintf(verb, c.Asterisk.ARIPassword), fmt.Sprintf(verb, &c))
	}
	for _, out := range outputs {
		if strings.Contains(out, text) || strings.Contains(out, fmt.Sprintf("%x", text)) {
			t.Errorf("shows the password: %s", out)
		}
		if !strings.Contains(out, "***") {
			t.Errorf("does not show that there is one: %s", out)
		}
	}
	if got := config.Secret("").String(); got != "" {
		t.Errorf("no password is shown as %q", got)
	}
}

func TestRedacted(t *testing.T) {
	c := config.Default()
	c.Asterisk.AMIPassword = "s3cret"
	r := c.Redacted()
	if r.Asterisk.AMIPassword.Reveal() != "***" || r.Asterisk.ARIPassword != "" {
		t.Errorf("redacted: %q, %q", r.Asterisk.AMIPassword.Reveal(), r.Asterisk.ARIPassword.Reveal())
	}
	r.HTTP.Listen[0] = "changed"
	if c.Asterisk.AMIPassword.Reveal() != "s3cret" || c.HTTP.Listen[0] == "changed" {
		t.Error("Redacted changed its receiver")
	}
}

// TestMap: whoever may read the configuration learns no password of it.
func TestMap(t *testing.T) {
	c := config.Default()
	c.Asterisk.ARIPassword = "s3cret"
	text, err := json.Marshal(c.Map())
	if err != nil || strings.Contains(string(text), "s3cret") || !strings.Contains(string(text), `"ari_password":"***"`) ||
		!strings.Contains(string(text), `"poll":"150ms"`) || !strings.Contains(string(text), `"debug":false`) {
		t.Errorf("%v: %s", err, text)
	}
}

func TestProxies(t *testing.T) {
	h := config.HTTP{TrustedProxies: []string{"127.0.0.1", "::ffff:10.1.2.3", "10.9.8.7/8", "2001:db8::/32"}}
	if got := fmt.Sprint(h.Proxies()); got != "[127.0.0.1/32 10.1.2.3/32 10.0.0.0/8 2001:db8::/32]" {
		t.Error(got)
	}
}

// TestSampleFile compares etc/callrecordd.yaml with the structs it comes from.
func TestSampleFile(t *testing.T) {
	const file = "../etc/callrecordd.yaml"
	if *update {
		if err := os.WriteFile(file, []byte(config.Sample()), 0o644); err != nil { //nolint:gosec // a sample
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(config.Sample(), string(got)); diff != "" {
		t.Errorf("%s differs; run: go test ./config -update (-want +got):\n%s", file, diff)
	}
}

// TestSample loads the sample: with passwords it is complete and gives exactly
// the defaults.
func TestSample(t *testing.T) {
	text := config.Sample()
	text = strings.Replace(text, `ari_password: ""`, `ari_password: a`, 1)
	text = strings.Replace(text, `ami_password: ""`, `ami_password: b`, 1)
	want := config.Default()
	want.Asterisk.ARIPassword, want.Asterisk.AMIPassword = "a", "b"
	if diff := cmp.Diff(want, load(t, text)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for line := range strings.Lines(text) {
		if len(line) > 79 {
			t.Errorf("long line: %s", line)
		}
	}
}

func TestValidate(t *testing.T) {
	c := config.Default()
	c.Asterisk.ARIPassword, c.Asterisk.AMIPassword = "a", "b"
	if err := c.Validate(); err != nil {
		t.Errorf("defaults: %v", err)
	}
	c.HTTP.Listen = []string{"127.0.0.1:0", "127.0.0.1:0", ":9298"}
	if err := c.Validate(); err != nil {
		t.Errorf("listen: %v", err)
	}
	c.Asterisk.AMIPassword = "b\r\nAction: Command"
	want := "configuration: asterisk.ami_password: contains a line break or another control character; remove it"
	if err := c.Validate(); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// FuzzLoad feeds anything: no panic, and what is accepted can be written and
// read again unchanged.
func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(config.Sample()))
	f.Add([]byte(passwords))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := config.Load(write(t, string(data)))
		if err != nil {
			return
		}
		c.Asterisk.ARIPasswordFile, c.Asterisk.AMIPasswordFile = "", ""
		again, err := config.Load(write(t, c.YAML()))
		if err != nil {
			t.Fatalf("accepted once only: %v\n%s", err, c.YAML())
		}
		if diff := cmp.Diff(c.Redacted(), again); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
