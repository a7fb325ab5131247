package live_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/mattn/go-sqlite3"

	"callrecordd/ari"
	"callrecordd/dialplan"
	"callrecordd/internal/cdr"
	"callrecordd/internal/live"
	"callrecordd/store"
)

// TestEveryCallIsInTheListOnceWhateverTheJournalLacks: nothing of it, its end,
// rows here and there, or all of it until later. Every kind of call.
func TestEveryCallIsInTheListOnceWhateverTheJournalLacks(t *testing.T) {
	for _, loss := range []string{"all", "the end", "some rows", "all until later", "nothing"} {
		t.Run(loss, func(t *testing.T) { oneCDREach(t, loss, rand.New(rand.NewPCG(7, 5))) })
	}
}

func oneCDREach(t *testing.T, loss string, random *rand.Rand) {
	w := cdr.NewWitness(nil)
	var now time.Time
	var kept, later [][]byte
	want := map[string]string{} // conversation → shape
	for _, sh := range shapes() {
		rows := readLog(t, sh.name+".cel.jsonl")
		for _, c := range fromRows(t, rows) {
			want[c.ConversationID] = sh.name
		}
		for _, raw := range lines(readLog(t, sh.name+".ari.jsonl")) {
			ev, err := ari.DecodeEvent(raw)
			must(t, err)
			for _, e := range live.Events(ev) {
				w.Apply(ev.Timestamp, e)
			}
			if ev.Timestamp.After(now) {
				now = ev.Timestamp
			}
		}
		cut := random.IntN(len(lines(rows)))
		for n, row := range lines(rows) {
			switch lost := loss == "all" || loss == "all until later" || loss == "the end" && n >= cut || loss == "some rows" && random.IntN(3) == 0; {
			case !lost:
				kept = append(kept, row)
			case loss == "all until later":
				later = append(later, row)
			}
		}
	}
	now = now.Add(cdr.StallTime + 5*time.Second)
	begun := time.Now()
	clock := func() time.Time { return now.Add(20 * time.Since(begun)) } // what waits for a second need not
	dir := t.TempDir()
	st, err := store.Open(t.Context(), store.Options{Path: filepath.Join(dir, "db"), Now: clock, Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	defer func() { must(t, st.Close()) }()
	j := newJournal(t, filepath.Join(dir, "master.db"))
	j.write(kept)
	f, err := cdr.NewFollower(cdr.FollowerConfig{
		Path: j.path, Store: st, Lookup: func() cdr.Lookup { return nobody{} }, Witness: w, Now: clock, Poll: time.Millisecond,
	})
	must(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	defer func() { stop(); must(t, <-done) }()
	eventually := func(what string, check func() string) {
		t.Helper()
		for limit := time.Now().Add(10 * time.Second); ; {
			lacks := check()
			if lacks == "" {
				return
			}
			if time.Now().After(limit) {
				t.Fatalf("%s: %s", what, lacks)
			}
			<-time.After(2 * time.Millisecond)
		}
	}
	read := func(n int) {
		t.Helper()
		eventually("the journal is read", func() string {
			if s := f.State(); s.RowsRead < int64(n) || s.Newest > s.Position {
				return fmt.Sprintf("%+v", s)
			}
			return ""
		})
	}
	read(len(kept))
	var list []cdr.CDR
	missing := w.Missing(now)
	for _, e := range missing {
		if c, ok := cdr.DeriveSeen(e, nobody{}, nil); ok {
			list = append(list, c)
		}
	}
	must(t, st.SaveCDR(t.Context(), list, cdr.Checkpoint{}))
	w.Told(missing)
	j.write(later)
	read(len(kept) + len(later))
	eventually("each call has one CDR", func() string {
		p, err := st.ListCDRs(t.Context(), store.Filter{Tenants: []string{"t"}})
		must(t, err)
		var wrong []string
		got := map[string]bool{}
		for _, c := range p.Items {
			if got[c.ConversationID] || want[c.ConversationID] == "" {
				wrong = append(wrong, fmt.Sprintf("%s has one more: %s %v", want[c.ConversationID], c.Source, c.Uniqueids))
			}
			if got[c.ConversationID] = true; c.Source != cdr.SourceJournal && (loss == "all until later" || loss == "nothing") {
				wrong = append(wrong, want[c.ConversationID]+" is from events")
			}
		}
		for id, shape := range want {
			if !got[id] {
				wrong = append(wrong, shape+" has none")
			}
		}
		return strings.Join(wrong, "; ")
	})
}

// journal writes rows as Asterisk does.
type journal struct {
	t    *testing.T
	db   *sql.DB
	path string
}

func newJournal(t *testing.T, path string) *journal {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+path)
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	for _, statement := range []string{dialplan.JournalSchema(), "PRAGMA synchronous=OFF", "PRAGMA user_version = 7"} {
		_, err = db.ExecContext(t.Context(), statement)
		must(t, err)
	}
	return &journal{t, db, path}
}

func (j *journal) write(rows [][]byte) {
	j.t.Helper()
	for _, raw := range rows {
		var row map[string]string
		must(j.t, json.Unmarshal(raw, &row))
		var columns, marks []string
		var values []any
		for column, value := range row {
			columns, marks, values = append(columns, column), append(marks, "?"), append(values, value)
		}
		_, err := j.db.ExecContext(j.t.Context(), "INSERT INTO cel ("+strings.Join(columns, ",")+") VALUES ("+strings.Join(marks, ",")+")", values...)
		must(j.t, err)
	}
}
