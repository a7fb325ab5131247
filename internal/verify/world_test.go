package verify_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/call"
	"callrecordd/internal/cdr"
	"callrecordd/internal/ledger"
	"callrecordd/internal/notary"
	"callrecordd/internal/recorder"
	"callrecordd/internal/verify"
	"callrecordd/store"
)

var _ verify.Database = (*store.Reader)(nil)

// world is a database with calls and their files, and who signs it.
type world struct {
	t            testing.TB
	dir          string
	path, root   string
	anchor       string
	signer       *ledger.Signer
	at           time.Time
	n            int
	store        *store.Store
	notary       *notary.Service
	failedAnchor error
	ahead        chan error
}

func newWorld(t testing.TB) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{
		t: t, dir: dir, path: filepath.Join(dir, "c.db"), root: filepath.Join(dir, "root"), anchor: filepath.Join(dir, "anchor"),
		ahead: make(chan error, 1), at: time.Date(2026, 12, 1, 3, 0, 0, 0, time.UTC),
	}
	key, err := ledger.NewKey(rand.Reader, "pbx")
	must(t, err)
	w.signer, err = ledger.NewSigner(key)
	must(t, err)
	must(t, os.MkdirAll(filepath.Join(w.root, "t", "monitor"), 0o750))
	w.open()
	must(t, w.store.BeginLedger(t.Context()))
	return w
}

// copy is the same in another folder.
func (w *world) copy(t *testing.T) *world {
	t.Helper()
	c := *w
	c.t, c.dir = t, t.TempDir()
	must(t, os.CopyFS(c.dir, os.DirFS(w.dir)))
	c.path, c.root, c.anchor = filepath.Join(c.dir, "c.db"), filepath.Join(c.dir, "root"), filepath.Join(c.dir, "anchor")
	return &c
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) now() time.Time {
	w.at = w.at.Add(time.Second)
	return w.at
}

func (w *world) open() {
	w.t.Helper()
	var err error
	log := slog.New(slog.DiscardHandler)
	w.store, err = store.Open(w.t.Context(), store.Options{Path: w.path, Now: w.now, Log: log})
	must(w.t, err)
	w.notary = notary.New(notary.Options{
		Repo: w.store, Signer: w.signer, Anchor: w.anchor, Every: time.Hour, Now: w.now, Log: log,
		Anchoring: func(err error) { w.failedAnchor = err }, Ahead: func(err error) { w.ahead <- err },
	})
}

func (w *world) close() {
	w.t.Helper()
	must(w.t, w.store.Close())
}

// recording is the uuid of the nth recording.
func recording(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

func (w *world) file(n int) string { return filepath.Join(w.root, "t", "monitor", recording(n)+".wav") }

// calls makes calls with a recording each, as the daemon does.
func (w *world) calls(count int) {
	w.t.Helper()
	ctx := w.t.Context()
	for range count {
		w.n++
		hook := fmt.Sprintf("1.%d", w.n)
		data := []byte("audio of call " + hook)
		must(w.t, os.WriteFile(w.file(w.n), data, 0o640))
		sum := sha256.Sum256(data)
		r := recorder.Recording{
			UUID: recording(w.n), TenantUUID: "t", Hook: hook, Legs: []string{hook}, State: recorder.Starting, IntentAt: w.now(),
			Claims: []recorder.Claim{{Leg: hook, UserUUID: "u", Reason: dialplan.RuleOutInternal}},
		}
		begun := r
		r.State, r.SHA256, r.Bytes, r.Samples, r.Rate = recorder.Ready, hex.EncodeToString(sum[:]), int64(len(data)), 4, 8000
		r.EndedAt = w.now()
		// Alone, so that it need not wait for company.
		must(w.t, w.store.Write(ctx, store.High, func(tx *store.Tx) error {
			return errors.Join(tx.InsertRecording(begun), tx.UpdateRecording(r))
		}))
		must(w.t, w.store.SaveCDR(ctx, []cdr.CDR{{
			TenantUUID: "t", Start: w.now(), CallDirection: cdr.DirectionInternal, CallStatus: "answered", ConversationID: hook,
			SourceName: "O'Brien", LinkedIDs: []string{hook}, Uniqueids: []string{hook}, Source: cdr.SourceJournal,
			Participants: []cdr.Participant{{UserUUID: "u", Role: cdr.RoleSource, Tags: []string{"sales"}}},
			Talks:        []call.TalkHistory{{ID: 1, Began: w.at, Ended: w.now()}},
		}}, cdr.Checkpoint{Journal: 1, Position: int64(w.n)}))
	}
}

func (w *world) checkpoint() {
	w.t.Helper()
	_, _, err := w.notary.Checkpoint(w.t.Context())
	must(w.t, err)
}

func (w *world) verify() verify.Report {
	w.t.Helper()
	db, err := store.OpenReader(w.t.Context(), w.path)
	must(w.t, err)
	defer func() { must(w.t, db.Close()) }()
	key, err := ledger.NewVerifier(w.signer.Public())
	must(w.t, err)
	o := verify.Options{Key: key, Root: w.root}
	if data, err := os.ReadFile(w.anchor); err == nil {
		o.Anchor = bytes.NewReader(data)
	} else if !errors.Is(err, os.ErrNotExist) {
		w.t.Fatal(err)
	}
	r, err := verify.Run(w.t.Context(), db, o)
	must(w.t, err)
	return r
}

// attack changes the database as somebody does who may write the file: without
// us, and without the triggers.
func (w *world) attack(statements ...string) {
	w.t.Helper()
	db, err := sql.Open("sqlite3", "file:"+w.path+"?_foreign_keys=off")
	must(w.t, err)
	db.SetMaxOpenConns(1)
	rows, err := db.QueryContext(w.t.Context(), "SELECT name FROM sqlite_schema WHERE type = 'trigger'")
	must(w.t, err)
	var names []string
	for rows.Next() {
		var name string
		must(w.t, rows.Scan(&name))
		names = append(names, name)
	}
	must(w.t, rows.Err())
	for _, name := range names {
		_, err := db.ExecContext(w.t.Context(), "DROP TRIGGER "+name)
		must(w.t, err)
	}
	for _, s := range statements {
		_, err := db.ExecContext(w.t.Context(), s)
		must(w.t, err)
	}
	must(w.t, db.Close())
}

// rechain computes all hashes anew, as somebody does who knows how.
func (w *world) rechain() {
	w.t.Helper()
	db, err := store.OpenReader(w.t.Context(), w.path)
	must(w.t, err)
	x, err := db.Extent(w.t.Context())
	must(w.t, err)
	var before ledger.Hash
	var c ledger.Chainer
	var list []string
	must(w.t, db.Entries(w.t.Context(), 0, x.LastID, func(e *ledger.Entry, _ []byte) error {
		before = c.Hash(before, e)
		list = append(list, fmt.Sprintf("UPDATE events SET hash = x'%x' WHERE id = %d", before[:], e.ID))
		return nil
	}))
	must(w.t, db.Close())
	w.attack(list...)
}

// named fails the test unless something of that kind about that was found, whose
// words a person understands.
func named(t *testing.T, r verify.Report, kind verify.Kind, id string) {
	t.Helper()
	if r.Clean {
		t.Errorf("clean, though %s of %s", kind, id)
	}
	for _, f := range r.Findings {
		if f.Kind == kind && f.ID == id {
			if f.Meaning == "" || f.Do == "" || !strings.Contains(f.Meaning+" ", strings.Split(id, "–")[0]) {
				t.Errorf("%+v does not say what it is about and what to do", f)
			}
			return
		}
	}
	t.Errorf("no %s of %q in %+v", kind, id, r.Findings)
}

// forge puts the row of another recording beside it.
func (w *world) forge(n int) {
	w.attack("CREATE TEMP TABLE r AS SELECT * FROM recordings WHERE uuid = '"+recording(n)+"'",
		"ALTER TABLE r DROP COLUMN boot_s", "UPDATE r SET uuid = 'forged'", "INSERT INTO recordings SELECT * FROM r")
}

// told runs the notary until it says what it finds wrong with what is there.
func (w *world) told(want error) {
	w.t.Helper()
	ctx, stop := context.WithCancel(w.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = w.notary.Run(ctx) // it has no errors
	}()
	if err := <-w.ahead; !errors.Is(err, want) {
		w.t.Errorf("told %v", err)
	}
	stop()
	<-done
}
