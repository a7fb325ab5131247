package check_test

import (
	"context"
	"database/sql"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"callrecordd/ari"
	"callrecordd/ari/ami"
	"callrecordd/internal/check"
	"callrecordd/internal/lab"
)

const patience = 30 * time.Second

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// bench is one PBX to which faults are done.
type bench struct {
	t    *testing.T
	pbx  *lab.PBX
	root string
}

func newBench(t *testing.T, users ...lab.User) *bench {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute) // the first run downloads
	defer cancel()
	install, err := lab.Ensure(ctx, lab.EnsureOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pbx, err := lab.Start(ctx, install, lab.Config{
		Dir: t.TempDir(), Users: users, ExtraDialplan: "\n[callrecord-features]\nexten => *26,1,NoOp()\n",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := pbx.Stop(stop); err != nil {
			t.Error(err)
		}
	})
	return &bench{t: t, pbx: pbx, root: t.TempDir()}
}

func (b *bench) options(change func(*check.Options)) check.Options {
	o := check.Options{
		ARIURL: strings.TrimSuffix(b.pbx.ARIURL, "/ari"), ARIUser: b.pbx.ARIUser,
		AMI:     ami.Config{Address: b.pbx.AMIAddr, User: b.pbx.AMIUser, Secret: b.pbx.AMIPassword},
		Journal: b.pbx.JournalPath, Root: b.root, Directory: true, Others: []string{"PJSIP/trunk-a"},
	}
	for _, u := range lab.DefaultUsers() {
		o.Lines = append(o.Lines, check.Line{User: u.Name, Endpoint: "PJSIP/" + u.Name})
	}
	o.ARI = b.client(b.pbx.ARIPassword)
	if change != nil {
		change(&o)
	}
	return o
}

func (b *bench) client(password string) *ari.Client {
	base, err := url.Parse(strings.TrimSuffix(b.pbx.ARIURL, "/ari"))
	if err != nil {
		b.t.Fatal(err)
	}
	return ari.New(base, ari.Credentials{User: b.pbx.ARIUser, Password: password})
}

func (b *bench) run(t *testing.T, change func(*check.Options)) check.Report {
	t.Helper()
	o := b.options(change)
	defer o.ARI.CloseIdleConnections()
	report, err := check.Run(within(t), o)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// edit changes a file until the test ends.
func (b *bench) edit(t *testing.T, name string, change func(string) string) {
	t.Helper()
	path := filepath.Join(b.pbx.Dir, "etc", name)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	after := change(string(before))
	if after == string(before) {
		t.Fatalf("%s does not change", name)
	}
	if err := os.WriteFile(path, []byte(after), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.WriteFile(path, before, 0o644); err != nil {
			t.Error(err)
		}
	})
}

func (b *bench) console(t *testing.T, command string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if out, err := b.pbx.Console(ctx, command); err != nil {
		t.Errorf("%s: %v %s", command, err, out)
	}
}

func faults(r check.Report) []string {
	ids := []string{}
	for _, f := range r.Findings {
		if f.Level == check.Fault {
			ids = append(ids, f.ID)
		}
	}
	return ids
}

func replace(from, to string) func(string) string {
	return func(s string) string { return strings.ReplaceAll(s, from, to) }
}

func add(text string) func(string) string { return func(s string) string { return s + text } }

// TestSingleFaults does one thing wrong at a time: the check names exactly that,
// with the file and the line that cures it.
func TestSingleFaults(t *testing.T) {
	b := newBench(t)
	for name, c := range map[string]struct {
		file string
		edit func(string) string
		// do and undo are console commands; without any Asterisk is restarted.
		do, undo []string
		options  func(*check.Options)
		journal  string // schema of another journal
		want     string // id of the fault
		in       string // file
		line     string
	}{
		"cel_sqlite3_custom not loaded": {
			do: []string{"module unload cel_sqlite3_custom.so"}, undo: []string{"module load cel_sqlite3_custom.so"},
			want: "module.cel_sqlite3_custom", in: "modules.conf", line: "load => cel_sqlite3_custom.so",
		},
		"LINKEDID_END missing": {
			file: "cel.conf", edit: replace(",LINKEDID_END", ""), want: "cel.events", in: "cel.conf", line: "events=LINKEDID_END",
		},
		"column count": {
			journal: "CREATE TABLE cel (AcctId INTEGER PRIMARY KEY AUTOINCREMENT, eventtype, eventtime)",
			want:    "journal.table", in: b.pbx.JournalPath,
		},
		"dateformat": {
			file: "cel.conf", edit: add("dateformat=%F %T\n"), want: "cel.dateformat", in: "cel.conf",
		},
		"digits logged": {
			file: "cel.conf", edit: add("events=ALL\n"), want: "cel.dtmf", in: "cel.conf",
		},
		"CEL off": {
			file: "cel.conf", edit: replace("enable=yes", "enable=no"), want: "cel.enable", in: "cel.conf", line: "enable=yes",
		},
		"AMI without system": {
			file: "manager.conf", edit: replace("write=system,call", "write=call"),
			want: "ami.system", in: "manager.conf", line: "write=system,call",
		},
		"wrong AMI secret": {
			options: func(o *check.Options) { o.AMI.Secret = "wrong" }, want: "ami.login", in: "manager.conf", line: "[callrecordd]",
		},
		"wrong ARI password": {
			options: func(o *check.Options) { o.ARI = b.client("wrong") }, want: "ari.login", in: "ari.conf", line: "[callrecordd]",
		},
		"ARI read only": {
			file: "ari.conf", edit: replace("read_only=no", "read_only=yes"), want: "ari.readonly", in: "ari.conf", line: "read_only=no",
		},
		"http.conf off": {
			file: "http.conf", edit: replace("enabled=yes", "enabled=no"), do: []string{"module reload http"}, undo: []string{"module reload http"},
			want: "ari.unreachable", in: "http.conf", line: "enabled=yes",
		},
		"app_mixmonitor unloaded": {
			do: []string{"module unload app_mixmonitor.so"}, undo: []string{"module load app_mixmonitor.so"},
			want: "module.app_mixmonitor", in: "modules.conf", line: "load => app_mixmonitor.so",
		},
		"applicationmap line missing": {
			file: "features.conf", edit: replace("callrecord => *3,self", ";"),
			want: "features.applicationmap", in: "features.conf", line: "callrecord => *3,self,UserEvent(CallRecordToggle)",
		},
		"DYNAMIC_FEATURES missing": {
			file: "extensions.conf", edit: replace("DYNAMIC_FEATURES=callrecord", ""),
			want: "features.dynamic", in: "extensions.conf", line: "DYNAMIC_FEATURES=callrecord",
		},
		"DYNAMIC_FEATURES with another value": {
			file: "extensions.conf", edit: replace("DYNAMIC_FEATURES=callrecord", "DYNAMIC_FEATURES=other"),
			want: "features.dynamic", in: "extensions.conf", line: "DYNAMIC_FEATURES=other#callrecord",
		},
		"DYNAMIC_FEATURES hidden at an endpoint": {
			file: "pjsip.conf", edit: replace("\n[alice]\ntype=endpoint\n", "\n[alice]\ntype=endpoint\nset_var=DYNAMIC_FEATURES=other\n"),
			want: "features.hidden", in: "pjsip.conf", line: "set_var=DYNAMIC_FEATURES=other#callrecord",
		},
		"DYNAMIC_FEATURES hidden in the dialplan": {
			file: "extensions.conf", edit: add("\n[users](+)\nexten => 8000,1,Set(__DYNAMIC_FEATURES=other)\n"),
			want: "features.hidden", in: "extensions.conf", line: "exten => 8000,1,Set(__DYNAMIC_FEATURES=other#callrecord)",
		},
		"*3 clash": {
			file: "features.conf", edit: add("[featuremap](+)\nautomixmon => *3\n"), want: "features.clash", in: "features.conf",
		},
		"*3 clash with another dynamic feature": {
			file: "features.conf", edit: add("other => *3,self,NoOp()\n"), want: "features.clash", in: "features.conf",
		},
		"root unwritable for Asterisk": {
			options: func(o *check.Options) { o.Root = "/proc" }, // not even root may create files there
			want:    "root", in: "/proc", line: "chmod 2750 /proc",
		},
		"no root": {
			options: func(o *check.Options) { o.Root = "/nonexistent/root" }, want: "root", in: "/nonexistent/root",
		},
		"features context not included": {
			file: "extensions.conf", edit: replace("include => callrecord-features\n", ""),
			want: "features.context", in: "extensions.conf", line: "include => callrecord-features",
		},
		"no journal": {
			options: func(o *check.Options) { o.Journal = "/nonexistent/master.db" }, want: "journal.file", in: "/nonexistent/master.db",
		},
	} {
		t.Run(name, func(t *testing.T) {
			changed := c.file != "" || c.journal != ""
			if changed {
				t.Cleanup(func() { b.apply(t, c.undo) }) // after the file is restored
			}
			if c.file != "" {
				b.edit(t, c.file, c.edit)
			}
			if c.journal != "" {
				b.otherJournal(t, c.journal)
			}
			if changed || len(c.do) > 0 {
				b.apply(t, c.do)
			}
			if !changed && len(c.do) > 0 {
				t.Cleanup(func() { b.apply(t, c.undo) })
			}
			report := b.run(t, c.options)
			if diff := cmp.Diff([]string{c.want}, faults(report)); diff != "" {
				t.Fatalf("faults (-want +got):\n%s\n%+v", diff, report)
			}
			for _, f := range report.Findings {
				if f.ID != c.want {
					continue
				}
				if f.File != c.in || !strings.Contains(strings.Join(f.Lines, "\n"), c.line) || f.What == "" || f.Consequence == "" || f.Hint == "" {
					t.Errorf("%+v does not name %q in %s", f, c.line, c.in)
				}
			}
		})
	}
	if r := b.run(t, nil); len(faults(r)) > 0 {
		t.Errorf("when all is right again: %+v", r.Findings)
	}
}

// apply makes Asterisk read what was changed.
func (b *bench) apply(t *testing.T, commands []string) {
	t.Helper()
	for _, c := range commands {
		b.console(t, c)
	}
	if len(commands) == 0 {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := b.pbx.Restart(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

// otherJournal puts another file in the journal's place until the test ends.
func (b *bench) otherJournal(t *testing.T, schema string) {
	t.Helper()
	path := b.pbx.JournalPath
	for _, suffix := range []string{"", "-wal", "-shm"} {
		_ = os.Rename(path+suffix, path+".kept"+suffix) // the last two need not be there
	}
	t.Cleanup(func() {
		for _, suffix := range []string{"", "-wal", "-shm"} {
			_ = os.Remove(path + suffix)
			_ = os.Rename(path+".kept"+suffix, path+suffix)
		}
	})
	db, err := sql.Open("sqlite3", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.Exec(schema + "; PRAGMA journal_mode=WAL; PRAGMA user_version=7"); err != nil {
		t.Fatal(err)
	}
}

// TestPasses sees that nothing is found where nothing is wrong, that the probe
// leaves nothing behind, and what is said of strangers.
func TestPasses(t *testing.T) {
	users := lab.DefaultUsers()
	users[3].PJSIP = []string{"tenantid=acme"}
	b := newBench(t, users...)
	r := b.run(t, func(o *check.Options) { o.Lines[3].TenantID = "acme" })
	for _, f := range r.Findings {
		if f.ID != "root.space" && f.ID != "root.network" { // of this machine
			t.Errorf("%+v", f)
		}
	}
	if len(r.Lacks) > 0 || r.Asterisk == "" || !r.OK() {
		t.Errorf("%+v", r)
	}
	if left, err := os.ReadDir(b.root); err != nil || len(left) > 0 {
		t.Errorf("left in the root: %v %v", left, err)
	}
	if err := b.pbx.WaitIdle(within(t)); err != nil {
		t.Error(err)
	}
	r = b.run(t, func(o *check.Options) { o.Others = nil })
	if !r.OK() {
		t.Errorf("%+v", r)
	}
	for id, what := range map[string]string{"directory.unknown": "PJSIP/trunk-a", "directory.tenant": "PJSIP/dave"} {
		if !slices.ContainsFunc(r.Findings, func(f check.Finding) bool { return f.ID == id && strings.Contains(f.What, what) }) {
			t.Errorf("no %s about %s: %+v", id, what, r.Findings)
		}
	}
}

// TestNoAsterisk is told as one fault.
func TestNoAsterisk(t *testing.T) {
	b := newBench(t)
	if err := b.pbx.Kill(); err != nil {
		t.Fatal(err)
	}
	if got := faults(b.run(t, nil)); !cmp.Equal(got, []string{"asterisk"}) {
		t.Errorf("%v", got)
	}
}
