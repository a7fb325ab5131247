package backup_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"callrecordd/dialplan"
	"callrecordd/internal/backup"
	"callrecordd/internal/cdr"
	"callrecordd/internal/recorder"
	"callrecordd/store"
)

// tenant is of all recordings.
const tenant = "11111111-1111-4111-8111-111111111111"

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// world is an installation, with its database open as the daemon has it.
type world struct {
	t       testing.TB
	dir     string
	store   *store.Store
	journal *sql.DB
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	for _, d := range []string{w.root(), filepath.Dir(w.database())} {
		must(t, os.MkdirAll(d, 0o750))
	}
	var err error
	w.journal, err = sql.Open("sqlite3", "file:"+w.journalPath())
	must(t, err)
	w.journal.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = w.journal.Close() })
	_, err = w.journal.Exec(dialplan.JournalSchema() + "PRAGMA user_version=4711;")
	must(t, err)
	w.open()
	t.Cleanup(w.close)
	return w
}

func (w *world) root() string        { return filepath.Join(w.dir, "recordings") }
func (w *world) database() string    { return filepath.Join(w.dir, "state", "callrecordd.db") }
func (w *world) journalPath() string { return filepath.Join(w.dir, "master.db") }
func (w *world) config() string      { return filepath.Join(w.dir, "etc", "callrecordd.yaml") }
func (w *world) files() store.Files  { return store.Files{Path: w.database()} }

func (w *world) open() {
	w.t.Helper()
	var err error
	w.store, err = store.Open(w.t.Context(), store.Options{Path: w.database(), Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	must(w.t, err)
}

func (w *world) close() {
	if w.store != nil {
		must(w.t, w.store.Close())
		w.store = nil
	}
}

// record makes a recording, with a file if it has content.
func (w *world) record(state recorder.State, content string) recorder.Recording {
	w.t.Helper()
	r := recorder.Recording{UUID: uuid.NewString(), TenantUUID: tenant, State: state, IntentAt: time.Now()}
	if content != "" {
		must(w.t, os.MkdirAll(filepath.Dir(w.path(r)), 0o750))
		must(w.t, os.WriteFile(w.path(r), []byte(content), 0o640))
	}
	if state == recorder.Ready {
		sum := sha256.Sum256([]byte(content))
		r.SHA256, r.Bytes = hex.EncodeToString(sum[:]), int64(len(content))
	}
	must(w.t, w.store.InsertIntent(w.t.Context(), r))
	return r
}

func (w *world) path(r recorder.Recording) string { return filepath.Join(w.root(), r.Path()) }

// backedUp is the file of a recording in a backup.
func backedUp(dir string, r recorder.Recording) string {
	return filepath.Join(dir, "recordings", r.Path())
}

func (w *world) options(dir string) backup.Options {
	return backup.Options{
		Dir: dir, Database: w.files(), Root: w.root(), ID: uuid.NewString(), Version: "test", Host: "pbx", Now: time.Now,
		Inside: []string{w.root(), filepath.Dir(w.database())},
		Files:  []backup.File{{Kind: backup.KindConfig, From: w.config(), Target: w.config(), Optional: true}},
	}
}

func (w *world) backup(dir string) backup.Result {
	w.t.Helper()
	res, err := backup.Make(w.t.Context(), w.options(dir))
	must(w.t, err)
	return res
}

// sound checks a backup, which must be whole.
func sound(t testing.TB, dir string) backup.Report {
	t.Helper()
	rep, err := backup.Check(t.Context(), dir, store.Files{}, nil)
	must(t, err)
	if rep.Damaged > 0 {
		t.Fatalf("damaged: %+v", rep.Problems)
	}
	return rep
}

func (w *world) restoreOptions(dir string) backup.RestoreOptions {
	return backup.RestoreOptions{
		Dir: dir, Database: w.files(), To: w.database(), Root: w.root(), State: filepath.Dir(w.database()),
		Config: w.config(), Stamp: "then",
		Prepare: func(ctx context.Context, file string, _ backup.Report) error {
			st, err := store.Open(ctx, store.Options{Path: file, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				return err
			}
			must(w.t, st.AppendEvents(ctx, recorder.Event{Kind: "restored", Actor: "test"}))
			return st.Close()
		},
	}
}

// calls has Asterisk write the rows of that many answered calls.
func (w *world) calls(from, n int) {
	w.t.Helper()
	for i := from; i < from+n; i++ {
		at := time.Now().Add(-time.Hour).Add(time.Duration(i) * time.Second)
		first, second := fmt.Sprintf("%d.%d", at.Unix(), 2*i), fmt.Sprintf("%d.%d", at.Unix(), 2*i+1)
		row := func(event string, after time.Duration, channel, uniqueid, app, data string) {
			t := at.Add(after)
			_, err := w.journal.Exec(`INSERT INTO cel (eventtype, eventtime, cidnum, exten, context, channame, appname, appdata, uniqueid, linkedid)
				VALUES (?, ?, '1001', '1002', 'users', ?, ?, ?, ?, ?)`,
				event, fmt.Sprintf("%d.%06d", t.Unix(), t.Nanosecond()/1000), channel, app, data, uniqueid, first)
			must(w.t, err)
		}
		alice, bob := fmt.Sprintf("PJSIP/alice-%08x", 2*i), fmt.Sprintf("PJSIP/bob-%08x", 2*i+1)
		row("CHAN_START", 0, alice, first, "", "")
		row("APP_START", time.Millisecond, alice, first, "Dial", "PJSIP/bob,30")
		row("CHAN_START", 2*time.Millisecond, bob, second, "", "")
		row("ANSWER", 3*time.Millisecond, bob, second, "", "")
		row("ANSWER", 4*time.Millisecond, alice, first, "Dial", "PJSIP/bob,30")
		row("BRIDGE_ENTER", 5*time.Millisecond, bob, second, "", "")
		row("BRIDGE_ENTER", 6*time.Millisecond, alice, first, "Dial", "PJSIP/bob,30")
		row("BRIDGE_EXIT", 7*time.Millisecond, bob, second, "", "")
		row("BRIDGE_EXIT", 8*time.Millisecond, alice, first, "Dial", "PJSIP/bob,30")
		row("HANGUP", 9*time.Millisecond, bob, second, "", "")
		row("CHAN_END", 10*time.Millisecond, bob, second, "", "")
		row("HANGUP", 11*time.Millisecond, alice, first, "", "")
		row("CHAN_END", 12*time.Millisecond, alice, first, "", "")
		row("LINKEDID_END", 13*time.Millisecond, alice, first, "", "")
	}
}

// follow derives calls until the store has that many, and says how many it has.
func (w *world) follow(want int) int {
	w.t.Helper()
	f, err := cdr.NewFollower(cdr.FollowerConfig{
		Path: w.journalPath(), Store: w.store, Lookup: func() cdr.Lookup { return nobody{} }, Poll: 10 * time.Millisecond,
	})
	must(w.t, err)
	ctx, stop := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for got := f.State(); ctx.Err() == nil && (!got.Ready || got.Position < got.Newest || got.OpenCalls > 0 || w.cdrs() < want); got = f.State() {
		<-tick.C
	}
	stop()
	must(w.t, <-done)
	return w.cdrs()
}

func (w *world) cdrs() int {
	w.t.Helper()
	page, err := w.store.ListCDRs(w.t.Context(), store.Filter{Tenants: []string{tenant}, Limit: 1000, Blocked: true})
	must(w.t, err)
	return page.Filtered
}

// nobody is a directory in which everybody is unknown and of one tenant.
type nobody struct{}

func (nobody) Endpoint(string) cdr.Endpoint               { return cdr.Endpoint{Kind: cdr.EndpointUnknown} }
func (nobody) UserAt(string, string) (cdr.Endpoint, bool) { return cdr.Endpoint{}, false }
func (nobody) Queue(string) (cdr.Queue, bool)             { return cdr.Queue{}, false }
func (nobody) Group(string, string) (cdr.Group, bool)     { return cdr.Group{}, false }
func (nobody) MasterTenant() string                       { return tenant }
