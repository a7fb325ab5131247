package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"callrecordd/config"
	"callrecordd/dialplan"
	"callrecordd/internal/app"
	"callrecordd/internal/auth"
	"callrecordd/internal/control"
	"callrecordd/internal/directory"
	"callrecordd/store"
)

// asCommand makes the test binary behave as the command itself.
const asCommand = "CALLRECORDD_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// host is a PBX with a configuration that has no passwords.
type host struct {
	t      *testing.T
	config string
	state  config.State
	store  *store.Store // the daemon's, if there is one
}

func newHost(t *testing.T) *host {
	t.Helper()
	dir, err := os.MkdirTemp("", "cr") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	h := &host{t: t, config: filepath.Join(dir, "callrecordd.yaml"), state: config.State{
		Dir: filepath.Join(dir, "state"), Socket: filepath.Join(dir, "c.sock"),
	}}
	h.write("state: {dir: " + h.state.Dir + ", socket: " + h.state.Socket + "}\n")
	return h
}

func (h *host) write(text string) {
	h.t.Helper()
	if err := os.WriteFile(h.config, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// try runs a command.
func (h *host) try(args ...string) (stdout, stderr string, err error) {
	var out, errs bytes.Buffer
	cmd := newRoot(environment{in: strings.NewReader(""), out: &out, err: &errs, version: "v1.2.3"})
	cmd.SetArgs(append([]string{"--config", h.config}, args...))
	err = cmd.ExecuteContext(h.t.Context())
	return out.String(), errs.String(), err
}

func (h *host) run(args ...string) string {
	h.t.Helper()
	out, _, err := h.try(args...)
	if err != nil {
		h.t.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
	return out
}

// fails runs a command that must fail with the text, in words for people.
func (h *host) fails(text string, args ...string) {
	h.t.Helper()
	out, _, err := h.try(args...)
	if err == nil || !strings.Contains(err.Error(), text) {
		h.t.Errorf("%s: got %v, want …%s…", strings.Join(args, " "), err, text)
	}
	if out != "" {
		h.t.Errorf("%s: printed %s", strings.Join(args, " "), out)
	}
}

func (h *host) user(args ...string) directory.User {
	h.t.Helper()
	var u directory.User
	if err := json.Unmarshal([]byte(h.run(append(args, "-o", "json")...)), &u); err != nil {
		h.t.Fatal(err)
	}
	return u
}

func (h *host) open() *store.Store {
	h.t.Helper()
	if err := os.MkdirAll(h.state.Dir, 0o750); err != nil {
		h.t.Fatal(err)
	}
	st, err := store.Open(h.t.Context(), store.Options{Path: h.state.Database(), Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		if err := st.Close(); err != nil {
			h.t.Error(err)
		}
	})
	return st
}

// daemon listens on the socket as the daemon does, without an Asterisk.
func (h *host) daemon(change ...func(*control.Options)) *directory.Service {
	h.t.Helper()
	st := h.open()
	h.store = st
	dir, err := directory.New(h.t.Context(), directory.Options{Repo: st, Now: time.Now, NewUUID: uuid.NewString})
	if err != nil {
		h.t.Fatal(err)
	}
	l, err := control.Listen(h.t.Context(), h.state.Socket)
	if err != nil {
		h.t.Fatal(err)
	}
	o := control.Options{
		Directory: dir, Tokens: auth.New(st, time.Now, uuid.NewString), Log: slog.New(slog.DiscardHandler),
		Discover: func(context.Context) (directory.Found, error) {
			return directory.Found{Queues: []string{"support"}}, nil
		},
		Status: func() any {
			return map[string]any{"summary": "degraded: ARI: refused", "ari": map[string]string{"Detail": "refused"}}
		},
	}
	o.Routes = append(hookRoutes(st, dir), app.Backups{Store: st}.Routes()...)
	for _, c := range change {
		c(&o)
	}
	srv := &http.Server{ReadHeaderTimeout: time.Second, Handler: control.NewHandler(o)}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	h.t.Cleanup(func() {
		_ = srv.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			h.t.Error(err)
		}
	})
	return dir
}

// both runs a test against a daemon and against the database alone.
func both(t *testing.T, fn func(t *testing.T, h *host)) {
	t.Run("without daemon", func(t *testing.T) { fn(t, newHost(t)) })
	t.Run("with daemon", func(t *testing.T) {
		h := newHost(t)
		h.daemon()
		fn(t, h)
	})
}

func TestUsers(t *testing.T) {
	both(t, func(t *testing.T, h *host) {
		alice := h.user("user", "create", "--first-name", "Alice", "--last-name", "Arc", "--record", "outgoing-internal,incoming-external",
			"--line", "PJSIP/alice=1001@users", "--line", "PJSIP/alice-soft")
		want := directory.User{
			ID: alice.ID, UUID: alice.UUID, TenantUUID: alice.TenantUUID, FirstName: "Alice", LastName: "Arc",
			Flags: dialplan.Flags{OutgoingInternal: true, IncomingExternal: true},
			Lines: []directory.Line{
				{ID: alice.Lines[0].ID, Endpoint: "PJSIP/alice", Exten: "1001", Context: "users", Main: true},
				{ID: alice.Lines[1].ID, Endpoint: "PJSIP/alice-soft"},
			},
		}
		if diff := cmp.Diff(want, alice); diff != "" {
			t.Errorf("created (-want +got):\n%s", diff)
		}
		if !h.user("user", "set", "alice", "--must-record").MustRecord || h.user("user", "set", "alice", "--must-record=false").MustRecord {
			t.Error("must-record is not what was asked for")
		}
		h.run("user", "create", "--first-name", "Bob", "--line", "PJSIP/bob=1002@users", "--record", "all", "--on-demand")

		table := "UUID  NAME  LINES  RECORDS  *3  TENANT\n" +
			"U  Alice Arc  PJSIP/alice 1001@users, PJSIP/alice-soft  incoming-external,outgoing-internal  no  U\n" +
			"U  Bob  PJSIP/bob 1002@users  all  yes  U\n"
		if diff := cmp.Diff(table, squeeze(h.run("user", "list"))); diff != "" {
			t.Errorf("list (-want +got):\n%s", diff)
		}
		var list []directory.User
		if err := json.Unmarshal([]byte(h.run("user", "list", "-o", "json")), &list); err != nil || len(list) != 2 {
			t.Errorf("list: %v, %v", list, err)
		}

		// By extension, endpoint, name and uuid; only what is named changes.
		now := h.user("user", "set", "1001", "--record", "none")
		want.Flags = dialplan.Flags{}
		if diff := cmp.Diff(want, now); diff != "" {
			t.Errorf("--record none (-want +got):\n%s", diff)
		}
		now = h.user("user", "set", "PJSIP/alice", "--on-demand", "--last-name", "")
		want.Flags.OnDemand, want.LastName = true, ""
		if diff := cmp.Diff(want, now); diff != "" {
			t.Errorf("--last-name '' (-want +got):\n%s", diff)
		}
		now = h.user("user", "set", "Alice", "--on-demand=false", "--line", "PJSIP/alice")
		want.Flags, want.Lines = dialplan.Flags{}, []directory.Line{{ID: alice.Lines[0].ID, Endpoint: "PJSIP/alice", Main: true}}
		if diff := cmp.Diff(want, now); diff != "" {
			t.Errorf("--line (-want +got):\n%s", diff)
		}

		h.fails(`there is no user "Carol"; `+"`callrecordd user list` shows them", "user", "set", "Carol", "--record", "all")
		h.fails("the name of the user is empty", "user", "delete", "")
		h.fails("--record everything: use all, none", "user", "create", "--first-name", "X", "--record", "everything")
		h.fails("first_name: must not be empty", "user", "create")
		h.fails("PJSIP/alice", "user", "create", "--first-name", "X", "--line", "PJSIP/alice")
		h.fails("is not an endpoint like PJSIP/alice", "user", "create", "--first-name", "X", "--line", "alice=1@users")
		h.fails("is not the name of a dialplan context", "user", "create", "--first-name", "X", "--line", "PJSIP/x=1005")
		h.fails(`output "xml" is neither table, json nor csv`, "user", "create", "--first-name", "X", "-o", "xml")
		h.fails("unknown flag: --records", "user", "create", "--records", "all")
		h.fails("accepts 1 arg(s), received 0; it is used as: callrecordd user delete", "user", "delete")
		h.fails(`unknown command "keyy" for "callrecordd ledger"`, "ledger", "keyy") // not help and success
		h.fails("--nightly makes the reports of all tenants", "audit", "--nightly", "--tenant", "acme")

		if out := h.run("user", "delete", alice.UUID); out != "" {
			t.Errorf("delete printed %s", out)
		}
		h.run("user", "delete", "1002")
		if out := h.run("user", "list", "-o", "json"); out != "[]\n" {
			t.Errorf("left: %s", out)
		}
	})
}

// squeeze takes the padding out of a table and makes uuids equal.
func squeeze(table string) string {
	table = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`).ReplaceAllString(table, "U")
	return regexp.MustCompile(` {2,}`).ReplaceAllString(table, "  ")
}

func TestAmbiguousName(t *testing.T) {
	h := newHost(t)
	one := h.user("user", "create", "--first-name", "Alice", "--last-name", "A")
	two := h.user("user", "create", "--first-name", "Alice", "--last-name", "B")
	for _, args := range [][]string{{"user", "set", "Alice", "--record", "all"}, {"user", "delete", "Alice"}} {
		h.fails(`"Alice" may be any of `+one.UUID+", "+two.UUID+": name the one you mean", args...)
	}
	if got := h.user("user", "set", "Alice B", "--record", "all"); got.UUID != two.UUID {
		t.Errorf("set %s", got.UUID)
	}
	if got := h.user("user", "set", "alice b", "--record", "none"); got.UUID != two.UUID {
		t.Errorf("small letters: set %s", got.UUID)
	}
	h.run("user", "delete", one.UUID)
}

// TestSetSendsOnlyWhatChanges: what others changed between reading and writing
// stays.
func TestSetSendsOnlyWhatChanges(t *testing.T) {
	before := directory.User{
		FirstName: "A", LastName: "B", Flags: dialplan.Flags{OutgoingInternal: true},
		Lines: []directory.Line{{Endpoint: "PJSIP/a"}},
	}
	after := before
	after.Flags.OnDemand = true
	for want, v := range map[string]directory.User{
		`{}`:                                 before,
		`{"flags":{"on_demand":true}}`:       after,
		`{"last_name":""}`:                   {FirstName: "A", Flags: before.Flags, Lines: before.Lines},
		`{"lines":[]}`:                       {FirstName: "A", LastName: "B", Flags: before.Flags},
		`{"first_name":"","user_field":"x"}`: {LastName: "B", UserField: "x", Flags: before.Flags, Lines: before.Lines},
	} {
		changes, err := difference(before, v)
		if err != nil {
			t.Fatal(err)
		}
		got, err := json.Marshal(changes)
		if err != nil || string(got) != want {
			t.Errorf("got %s, want %s (%v)", got, want, err)
		}
	}
}

func TestOtherNouns(t *testing.T) {
	both(t, func(t *testing.T, h *host) {
		h.run("tenant", "create", "--name", "branch", "--asterisk-id", "b1")
		h.run("group", "create", "--name", "sales", "--exten", "2001", "--context", "users", "--on-demand")
		h.run("queue", "create", "--name", "support", "--exten", "3001", "--context", "users")
		h.run("trunk", "create", "--endpoint", "PJSIP/provider")
		h.run("device", "create", "--endpoint", "PJSIP/door")
		for noun, want := range map[string]string{
			"tenant": "UUID  NAME  PARENT  ASTERISK ID\nU  master  U  \nU  branch  U  b1\n",
			"group":  "UUID  NAME  EXTENSION  *3  RECORDS  TENANT\nU  sales  2001@users  yes  inherit  U\n",
			"queue":  "UUID  NAME  EXTENSION  *3  RECORDS  TENANT\nU  support  3001@users  no  inherit  U\n",
			"trunk":  "UUID  NAME  ENDPOINT  RECORDS  TENANT\nU  PJSIP/provider  PJSIP/provider  inherit  U\n",
			"device": "ENDPOINT\nPJSIP/door\n",
		} {
			if diff := cmp.Diff(want, squeeze(h.run(noun, "list"))); diff != "" {
				t.Errorf("%s (-want +got):\n%s", noun, diff)
			}
		}
		if out := h.run("queue", "set", "support", "--label", "Support", "--on-demand"); !strings.Contains(out, "yes") {
			t.Error(out)
		}
		if out := h.run("trunk", "set", "PJSIP/provider", "--name", "outside"); !strings.Contains(out, "outside") {
			t.Error(out)
		}
		h.run("tenant", "set", "b1", "--announce-start", "custom/recorded", "--announce-stop", "vm-goodbye")
		h.run("tenant", "set", "b1", "--announce-stop", "")
		if out := h.run("tenant", "list", "-o", "json"); strings.Count(out, "recorded") != 1 || strings.Contains(out, "vm-goodbye") {
			t.Errorf("the announcements of the tenants are %s", out)
		}
		h.fails("recording_start", "tenant", "set", "b1", "--announce-start", "/etc/passwd")
		h.fails("master tenant cannot be deleted", "tenant", "delete", "master")
		for _, args := range [][]string{
			{"tenant", "b1"}, {"group", "2001"}, {"queue", "support"}, {"trunk", "outside"}, {"device", "PJSIP/door"},
		} {
			h.run(args[0], "delete", args[1])
			h.fails("there is no "+args[0], args[0], "delete", args[1])
		}
	})
}

func TestFeatures(t *testing.T) {
	both(t, func(t *testing.T, h *host) {
		table := "UUID  FEATURE  EXTENSION  ENABLED\nU  callrecord  *26  yes\n"
		if diff := cmp.Diff(table, squeeze(h.run("feature", "list"))); diff != "" {
			t.Errorf("list (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(table, squeeze(h.run("feature", "show", "*26"))); diff != "" {
			t.Errorf("show (-want +got):\n%s", diff)
		}
		table = strings.ReplaceAll(table, "*26  yes", "*81  no")
		if diff := cmp.Diff(table, squeeze(h.run("feature", "set", "callrecord", "--exten", "*81", "--enabled=false"))); diff != "" {
			t.Errorf("set (-want +got):\n%s", diff)
		}
		h.run("feature", "set", "*81", "--enabled")
		table = strings.ReplaceAll(table, "no", "yes")
		if diff := cmp.Diff(table, squeeze(h.run("feature", "list"))); diff != "" {
			t.Errorf("list (-want +got):\n%s", diff)
		}
		h.fails("is not 1 to 40 of the digits", "feature", "set", "callrecord", "--exten", "_X.")
		h.fails("does not begin with * or #", "feature", "set", "callrecord", "--exten", "1")
		h.fails(`there is no feature "dnd"`, "feature", "show", "dnd")
	})
}

func TestTokens(t *testing.T) {
	both(t, func(t *testing.T, h *host) {
		secret := strings.TrimSpace(h.run("token", "create", "--description", "reports", "--lifetime", "24h"))
		if _, err := uuid.Parse(secret); err != nil {
			t.Errorf("created %q", secret)
		}
		var made control.NewToken
		if err := json.Unmarshal([]byte(h.run("token", "create", "--acl", "call-logd.cdr.read,call-logd.cdr.*.read", "-o", "json")), &made); err != nil {
			t.Fatal(err)
		}
		if len(made.Token.ACL) != 2 || !made.Token.ExpiresAt.IsZero() {
			t.Errorf("created %+v", made.Token)
		}
		out := h.run("token", "list")
		if strings.Contains(out, secret) || strings.Contains(out, made.Secret) ||
			!strings.Contains(out, "reports") || !strings.Contains(out, "never") || !strings.Contains(out, "call-logd.#") {
			t.Errorf("list:\n%s", out)
		}
		h.run("token", "revoke", made.Token.ID)
		h.fails("no such token", "token", "revoke", made.Token.ID)
		h.fails("use a number with a unit", "token", "create", "--lifetime", "30d")
		h.fails(`tenant "nobody" does not exist`, "token", "create", "--tenant", "nobody")
		if strings.Contains(h.run("token", "list"), made.Token.ID) {
			t.Error("still there")
		}
	})
}

func TestImport(t *testing.T) {
	h := newHost(t)
	h.fails("the daemon is not running, and only it is connected to Asterisk", "directory", "import")
	h = newHost(t)
	dir := h.daemon()
	out, errs, err := h.try("directory", "import")
	if err != nil || !strings.Contains(out, "support") || !strings.Contains(errs, "Nothing was changed") {
		t.Errorf("%s %s %v", out, errs, err)
	}
	if _, ok := dir.Book().Queue("support"); ok {
		t.Error("a plan was applied")
	}
	_, errs, err = h.try("directory", "import", "--yes")
	if _, ok := dir.Book().Queue("support"); err != nil || !ok || !strings.Contains(errs, "1 entries created or changed") {
		t.Errorf("%s %v", errs, err)
	}
}

func TestStatus(t *testing.T) {
	h := newHost(t)
	h.fails("the daemon is not running: nobody listens on "+h.state.Socket, "status")
	if _, err := os.Stat(h.state.Dir); err == nil {
		t.Error("status created the state directory")
	}
	h.daemon()
	// Monitoring reads the exit code, people the table.
	if out, errs, err := h.process("status", "--config", h.config); !strings.Contains(out, "degraded: ARI: refused") ||
		errs != "" || exitCode(err) != 1 {
		t.Errorf("%v, %q, %q", err, out, errs)
	}
}

func TestLockedDatabase(t *testing.T) {
	h := newHost(t)
	h.open()
	h.fails("another callrecordd uses this database, but nobody listens on "+h.state.Socket, "user", "list")
}

func TestOwner(t *testing.T) {
	dir := t.TempDir()
	if err := checkOwner(dir, os.Geteuid()); err != nil {
		t.Error(err)
	}
	if err := checkOwner(filepath.Join(dir, "absent"), 0); err != nil {
		t.Error(err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(dir, 54321, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := checkOwner(dir, 0); err == nil || !strings.Contains(err.Error(), "start the daemon first, or run this with sudo -u '") {
		t.Errorf("got %v", err)
	}
	if err := checkOwner(dir, 54321); err != nil {
		t.Error(err)
	}
}

func TestConfigAndVersion(t *testing.T) {
	h := newHost(t)
	if out := h.run("version"); out != "callrecordd v1.2.3\n" {
		t.Error(out)
	}
	if out := h.run("config", "sample"); out != config.Sample() {
		t.Error(out)
	}
	h.fails("asterisk.ari_password: is empty", "config", "show")
	h.write("asterisk: {ari_password: s3cret, ami_password: s3cret}\n")
	if out := h.run("config", "show"); strings.Contains(out, "s3cret") || !strings.Contains(out, "***") {
		t.Error(out)
	}
	// Only the daemon needs the passwords; it says so and starts nothing.
	h = newHost(t)
	h.fails("asterisk.ami_password: is empty", "serve")
	if _, err := os.Stat(h.state.Dir); err == nil {
		t.Error("serve created the state directory")
	}
	h.write("http: {lisen: 127.0.0.1:1}\n")
	for _, args := range [][]string{{"serve"}, {"user", "list"}, {"token", "create"}, {"status"}, {"config", "show"}} {
		h.fails("http.lisen: unknown key; did you mean http.listen?", args...)
	}
	h.config += ".absent"
	h.fails("`callrecordd config sample` prints one to start from", "user", "list")
	h.fails(`unknown command "users" for "callrecordd"`, "users")
}

// process runs the command as a process of its own.
func (h *host) process(args ...string) (stdout, stderr string, err error) {
	h.t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(h.t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

func exitCode(err error) int {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	return 0
}

func TestProcess(t *testing.T) {
	h := newHost(t)
	h.write("http: {lisen: 127.0.0.1:1}\n")
	out, errs, err := h.process("--config", h.config, "user", "list")
	want := "callrecordd: configuration " + h.config + ": http.lisen: unknown key; did you mean http.listen?\n"
	if exitCode(err) != 1 || out != "" || errs != want {
		t.Errorf("got %v, %q, %q", err, out, errs)
	}
	if out, errs, err := h.process("version"); err != nil || out != "callrecordd development\n" || errs != "" {
		t.Errorf("got %v, %q, %q", err, out, errs)
	}
}

func TestLogger(t *testing.T) {
	t.Setenv("JOURNAL_STREAM", "")
	var b bytes.Buffer
	newLogger(config.Log{Format: "auto"}, slog.LevelWarn, &b).Info("quiet")
	newLogger(config.Log{Format: "auto"}, slog.LevelInfo, &b).Info("json")
	newLogger(config.Log{Format: "text"}, slog.LevelInfo, &b).Info("text")
	t.Setenv("JOURNAL_STREAM", "8:1")
	newLogger(config.Log{Format: "auto"}, slog.LevelInfo, &b).Info("journal")
	lines := strings.Split(b.String(), "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[0], `{"time"`) || !strings.HasPrefix(lines[1], "time=") || !strings.HasPrefix(lines[2], "time=") {
		t.Errorf("%s", b.String())
	}
}
