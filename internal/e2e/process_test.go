package e2e

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"callrecordd/config"
	"callrecordd/dialplan"
	"callrecordd/internal/app"
	"callrecordd/internal/control"
	"callrecordd/internal/lab"
)

// child is a process that dies with us, even if we are killed: the signal is
// bound to the thread that forks, so that thread waits until the end.
type child struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error // after done
}

func launch(cmd *exec.Cmd) (*child, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	c := &child{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(c.done)
		err := cmd.Start()
		started <- err
		if err == nil {
			c.err = cmd.Wait()
		}
	}()
	return c, <-started
}

// end sends a signal and waits until the process is gone.
func (c *child) end(t testing.TB, sig syscall.Signal) {
	t.Helper()
	_ = c.cmd.Process.Signal(sig) // it may have ended already
	select {
	case <-c.done:
	case <-time.After(patience): // not the test's context: this is for its end, too
		_ = c.cmd.Process.Kill()
		<-c.done
		t.Fatalf("the daemon did not end within %s of %s", patience, sig)
	}
}

// build makes the real program.
func build(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "callrecordd")
	cmd := exec.Command("go", "build", "-race", "-tags", "sqlite_fts5", "-o", bin, "./cmd/callrecordd")
	cmd.Dir = filepath.Join("..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return bin
}

// command is the program with the site's configuration; the passwords, which
// no configuration that is written shows, are in the environment.
func (s *site) command(bin string, args ...string) *exec.Cmd {
	s.t.Helper()
	file := filepath.Join(filepath.Dir(s.cfg.State.Dir), "callrecordd.yaml")
	must(s.t, os.WriteFile(file, []byte(s.cfg.YAML()), 0o600))
	cmd := exec.Command(bin, append(args, "-c", file)...)
	cmd.Env = append(os.Environ(),
		"CALLRECORDD_ASTERISK_ARI_PASSWORD="+s.cfg.Asterisk.ARIPassword.Reveal(),
		"CALLRECORDD_ASTERISK_AMI_PASSWORD="+s.cfg.Asterisk.AMIPassword.Reveal(),
		"GORACE=atexit_sleep_ms=0") // the race detector's own wait is no part of a stop
	return cmd
}

var httpStarted = regexp.MustCompile(`"msg":"started","version":"[^"]*","http":\["([0-9.:]+)"`)

// spawn runs `callrecordd serve`, with more variables in its environment if
// there are any, and returns when it is ready.
func (s *site) spawn(bin string, env ...string) *child {
	s.t.Helper()
	s.cfg.Log.Format = "json"
	cmd := s.command(bin, "serve")
	cmd.Stdout, cmd.Stderr = s.logs, s.logs
	cmd.Env = append(cmd.Env, env...)
	return s.run(cmd)
}

// run starts a command that is or becomes the daemon and returns when that is
// ready.
func (s *site) run(cmd *exec.Cmd) *child {
	s.t.Helper()
	before := len(s.log())
	c, err := launch(cmd)
	must(s.t, err)
	s.t.Cleanup(func() {
		c.end(s.t, syscall.SIGKILL)
		if text := s.log(); strings.Contains(text, "DATA RACE") || strings.Contains(text, "panic: ") {
			s.t.Error("the daemon's log tells of a race or a panic")
		}
	})
	s.eventually("the daemon is ready", func() error {
		select {
		case <-c.done:
			s.t.Fatalf("the daemon has ended: %v", c.err)
		default:
		}
		m := httpStarted.FindStringSubmatch(s.log()[before:])
		if m == nil {
			return errors.New("it does not listen")
		}
		s.addr = m[1]
		var err error
		if s.client, err = control.Connect(s.t.Context(), s.cfg.State.Socket, "test"); err != nil {
			return err
		}
		var st app.Status
		if err := s.client.Do(s.t.Context(), "GET", "status", nil, &st); err != nil {
			return err
		}
		if !st.Ready && !s.alone {
			return errors.New(st.Summary)
		}
		return nil
	})
	return c
}

// log is what the daemon has logged so far.
func (s *site) log() string {
	data, _ := os.ReadFile(s.logs.Name()) // made before the first start
	return string(data)
}

// query reads the daemon's database from outside.
func (s *site) query(sqlText string, args []any, scan func(*sql.Rows) error) {
	s.t.Helper()
	db, err := sql.Open("sqlite3", "file:"+s.cfg.State.Database()+"?mode=ro&_busy_timeout=5000")
	must(s.t, err)
	defer func() { _ = db.Close() }()
	rows, err := db.QueryContext(s.t.Context(), sqlText, args...)
	must(s.t, err)
	defer rows.Close()
	for rows.Next() {
		must(s.t, scan(rows))
	}
	must(s.t, rows.Err())
}

// row is a recording as it is stored.
type row struct {
	uuid, state, cause, detail, follows string
	intent                              int64
}

// stored are all recordings, the oldest first.
func (s *site) stored() []row {
	s.t.Helper()
	var out []row
	s.query("SELECT uuid, state, cause, detail, follows, intent_at FROM recordings ORDER BY intent_at", nil, func(r *sql.Rows) error {
		var v row
		err := r.Scan(&v.uuid, &v.state, &v.cause, &v.detail, &v.follows, &v.intent)
		out = append(out, v)
		return err
	})
	return out
}

// events are the data of a kind of events, of one recording or, with "", of all.
func (s *site) events(kind, uuid string) []string {
	s.t.Helper()
	var out []string
	s.query("SELECT data FROM events WHERE kind = ?1 AND (?2 = '' OR recording = ?2) ORDER BY id", []any{kind, uuid}, func(r *sql.Rows) error {
		var data string
		err := r.Scan(&data)
		out = append(out, data)
		return err
	})
	return out
}

// recording waits until the newest of n recordings runs and is proved.
func (s *site) recording(n int) row {
	s.t.Helper()
	var last row
	s.eventually("the recording runs and is proved", func() error {
		list := s.stored()
		if len(list) != n {
			return fmt.Errorf("there are %d recordings: %+v", len(list), list)
		}
		last = list[n-1]
		if last.state != "recording" || len(s.events("recording_proved", last.uuid)) == 0 {
			return fmt.Errorf("recording is %+v", last)
		}
		return nil
	})
	return last
}

// throughout checks that the file lasts at least that long and that each tone
// is in it without a hole, apart from the first second: tones begin after the
// answer.
func throughout(t testing.TB, path string, atLeast time.Duration, hz ...float64) {
	t.Helper()
	audio, err := lab.ReadWAV(path)
	must(t, err)
	if audio.Duration() < atLeast {
		t.Errorf("the recording lasts %s, the call %s or more", audio.Duration(), atLeast)
	}
	for _, f := range hz {
		spans := lab.Tones(audio, []float64{f})
		if len(spans) != 1 || spans[0].From > time.Second || spans[0].To < audio.Duration()-300*time.Millisecond {
			t.Errorf("%.0f Hz is heard in %v of %s", f, spans, audio.Duration())
		}
	}
}

// Shows 3, the second half, and issue 2's "unknown configuration key; port in
// use; database from a newer version" with the real program.
func TestProgram(t *testing.T) {
	t.Parallel()
	bin := build(t)
	t.Run("recordings outlive the daemon", func(t *testing.T) {
		t.Parallel()
		s := siteAt(t, newPBX(t, lab.Config{}))
		daemon := s.spawn(bin)
		s.populate()
		s.rules("alice", dialplan.Flags{OutgoingInternal: true})
		alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0))
		for i, end := range []struct {
			how     string
			signal  syscall.Signal
			hangsUp bool // while the daemon is dead
		}{
			{"killed", syscall.SIGKILL, false},
			{"killed, and the call ends", syscall.SIGKILL, true},
			{"stopped", syscall.SIGTERM, false},
			{"stopped, and the call ends", syscall.SIGTERM, true},
		} {
			caller, _ := s.talk(alice, bob, "1002")
			began := time.Now()
			before := s.recording(i + 1)
			daemon.end(t, end.signal)
			if end.signal == syscall.SIGTERM && daemon.err != nil {
				t.Errorf("%s: exit: %v", end.how, daemon.err)
			}
			must(t, caller.Talk(within(t), 1500*time.Millisecond))
			lasted := time.Since(began)
			if end.hangsUp {
				s.hangup(caller)
			}
			daemon = s.spawn(bin)
			if !end.hangsUp {
				s.eventually("the recording is adopted", func() error {
					if len(s.events("recording_adopted", before.uuid)) != 1 {
						return fmt.Errorf("%s: rows: %+v", end.how, s.stored())
					}
					return nil
				})
				must(t, caller.Talk(within(t), 2500*time.Millisecond))
				if now := s.recording(i + 1); now.uuid != before.uuid {
					t.Fatalf("%s: recording %s has become %s", end.how, before.uuid, now.uuid)
				}
				lasted = time.Since(began)
				s.hangup(caller)
			}
			list := s.waitCDRs(i + 1)
			cdr := list[i]
			if len(cdr.Recordings) != 1 || cdr.Recordings[0].UUID != before.uuid || cdr.Recordings[0].State != "ready" || cdr.Recordings[0].Cause != "" {
				t.Fatalf("%s: recording %s has become %+v", end.how, before.uuid, cdr.Recordings)
			}
			throughout(t, s.media(cdr, cdr.Recordings[0]), lasted, toneA, toneB)
		}
		if files := s.files(); len(files) != 4 {
			t.Errorf("there are %d files for 4 calls: %v", len(files), files)
		}
	})
	t.Run("a wrong setting ends it with one message", func(t *testing.T) {
		t.Parallel()
		testMessages(t, bin)
	})
}

func testMessages(t *testing.T, bin string) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer func() { _ = taken.Close() }()
	newDatabase := func(s *site) {
		// Without a daemon the command line makes the database itself.
		if out, err := s.command(bin, "tenant", "list").CombinedOutput(); err != nil {
			t.Fatalf("tenant list: %v: %s", err, out)
		}
	}
	cases := []struct {
		name  string
		setUp func(*site)
		want  []string
	}{
		{"port in use", func(s *site) {
			s.cfg.HTTP.Listen = []string{taken.Addr().String()}
		}, []string{"http.listen " + taken.Addr().String(), "address already in use", "choose another"}},
		{"newer database", func(s *site) {
			newDatabase(s)
			db, err := sql.Open("sqlite3", "file:"+s.cfg.State.Database())
			must(t, err)
			defer func() { _ = db.Close() }()
			_, err = db.Exec("INSERT INTO goose_db_version(version_id, is_applied) VALUES (9999, 1)")
			must(t, err)
		}, []string{s9999, "newer callrecordd", "restore a backup"}},
		{"unknown key", nil, []string{"recordings.rooot", "root"}},
		{"database in use", func(s *site) {
			newDatabase(s)
			lock, err := os.OpenFile(s.cfg.State.Database()+".lock", os.O_RDWR, 0)
			must(t, err)
			t.Cleanup(func() { lock.Close() })
			must(t, syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB))
		}, []string{"another callrecordd uses this database"}},
	}
	for _, c := range cases {
		s := &site{t: t, cfg: siteConfig(&lab.PBX{
			ARIURL: "http://127.0.0.1:1/ari", ARIUser: "u", ARIPassword: "s3cret-a", AMIAddr: "127.0.0.1:1", AMIUser: "u", AMIPassword: "s3cret-b",
			JournalPath: "/nonexistent/master.db",
		}, t.TempDir())}
		s.cfg.Log = config.Log{Level: "info", Format: "json"}
		if c.setUp != nil {
			c.setUp(s)
		}
		cmd := s.command(bin, "serve")
		if c.setUp == nil {
			file := cmd.Args[len(cmd.Args)-1]
			text := strings.Replace(s.cfg.YAML(), "  root:", "  rooot:", 1)
			must(t, os.WriteFile(file, []byte(text), 0o600))
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &out
		daemon, err := launch(cmd)
		must(t, err)
		select {
		case <-daemon.done:
		case <-ctx.Done():
			_ = cmd.Process.Kill()
			<-daemon.done
			t.Errorf("%s: the daemon goes on: %s", c.name, out.String())
		}
		cancel()
		var messages []string
		for line := range strings.Lines(out.String()) {
			if !strings.HasPrefix(line, "{") { // the log
				messages = append(messages, strings.TrimSpace(line))
			}
		}
		if code := cmd.ProcessState.ExitCode(); code != 1 || len(messages) != 1 || !strings.HasPrefix(messages[0], "callrecordd: ") {
			t.Errorf("%s: exit code %d with %q", c.name, code, messages)
		}
		for _, want := range c.want {
			if !strings.Contains(strings.Join(messages, "\n"), want) {
				t.Errorf("%s: %q does not say %q", c.name, messages, want)
			}
		}
		if strings.Contains(out.String(), "s3cret") {
			t.Errorf("%s: a password is shown: %s", c.name, out.String())
		}
	}
}

const s9999 = "schema 9999"

// Shows 3, the first half: the daemon being down changes nothing but the
// moment. Exactly once is proved by a further call after each further start:
// rows are read in order, so a second CDR of an old call would be there too.
func TestCallsWhileTheDaemonIsDownAppearOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.rules("alice", dialplan.Flags{OutgoingInternal: true})
	alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0))

	// Begins before the stop, ends while it is down.
	caller, _ := s.talk(alice, bob, "1002")
	began := time.Now()
	first := s.recording(1)
	s.stop()
	must(t, caller.Talk(within(t), time.Second))
	lasted := time.Since(began)
	s.hangup(caller)
	// Begins and ends while it is down.
	caller, _ = s.talk(alice, bob, "1002")
	must(t, caller.Talk(within(t), time.Second))
	s.hangup(caller)

	check := func(n int) {
		t.Helper()
		list := s.waitCDRs(n)
		if r := list[0].Recordings; len(r) != 1 || r[0].UUID != first.uuid || r[0].State != "ready" {
			t.Errorf("recordings of the call that the daemon saw begin: %+v", r)
		}
		if r := list[1].Recordings; len(r) != 1 || r[0].State != "missing" || r[0].Cause != "daemon_down" || r[0].Reason != "rule.out.internal" {
			t.Errorf("recordings of the call that the daemon never saw: %+v", r)
		}
		for i, c := range list {
			if !c.Answered || c.SourceUserUUID != s.users["alice"].UUID || c.DestinationUserUUID != s.users["bob"].UUID {
				t.Errorf("call %d is %+v", i, c)
			}
			if i > 0 && c.ID == list[i-1].ID {
				t.Errorf("CDR %d comes twice", c.ID)
			}
		}
	}
	s.start()
	check(2)
	list := s.cdrs()
	throughout(t, s.media(list[0], list[0].Recordings[0]), lasted, toneA, toneB)
	for n := 3; n <= 4; n++ {
		s.stop()
		s.start()
		caller, _ = s.talk(alice, bob, "1002")
		s.recording(n)
		s.hangup(caller)
		check(n)
	}
}
