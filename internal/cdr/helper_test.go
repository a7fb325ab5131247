package cdr

import (
	"bufio"
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// journalTable is dialplan.JournalSchema as a copy: this package must not
// import dialplan.
const journalTable = `PRAGMA journal_mode=WAL;
CREATE TABLE IF NOT EXISTS cel (AcctId INTEGER PRIMARY KEY AUTOINCREMENT,
eventtype, eventtime, cidname, cidnum, cidani, cidrdnis, ciddnid, exten, context, channame,
appname, appdata, accountcode, uniqueid, linkedid, userfield, peer, extra);`

// celRow is a row of testdata: columns by name.
type celRow map[string]string

func (r celRow) raw(id int64) RawRow {
	return RawRow{
		ID: id, EventType: r["eventtype"], EventTime: r["eventtime"], CIDName: r["cidname"], CIDNum: r["cidnum"],
		Exten: r["exten"], Context: r["context"], ChanName: r["channame"], AppName: r["appname"],
		AppData: r["appdata"], UniqueID: r["uniqueid"], LinkedID: r["linkedid"], Peer: r["peer"], Extra: r["extra"],
	}
}

// renumbered returns the row as one of another call: ids with that suffix.
func (r celRow) renumbered(suffix string) celRow {
	c := maps.Clone(r)
	c["uniqueid"] += suffix
	c["linkedid"] += suffix
	return c
}

func loadShape(t testing.TB, name string) []celRow {
	t.Helper()
	return loadRows(t, filepath.Join("testdata", name+".jsonl"))
}

// loadRows reads a file with a row in each line.
func loadRows(t testing.TB, path string) []celRow {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var rows []celRow
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var row celRow
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
	return rows
}

func shapeNames(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatal("no testdata", err)
	}
	for i := range files {
		files[i] = strings.TrimSuffix(filepath.Base(files[i]), ".jsonl")
	}
	return files
}

func parseAll(t testing.TB, raws []celRow) []Row {
	t.Helper()
	var rows []Row
	for i, raw := range raws {
		row, err := ParseRow(raw.raw(int64(i + 1)))
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
	return rows
}

// office is the directory of the tests.
type office struct{}

func (office) Endpoint(endpoint string) Endpoint {
	user := func(uuid, name, exten string, line int64) Endpoint {
		return Endpoint{
			Kind: EndpointUser, UserUUID: uuid, UserName: name, TenantUUID: "tenant-1",
			LineID: line, Exten: exten, Context: "users", Tags: []string{"tag-" + exten},
		}
	}
	switch endpoint {
	case "PJSIP/alice":
		return user("u-alice", "Alice A", "2001", 1)
	case "PJSIP/bob":
		return user("u-bob", "Bob B", "2002", 2)
	case "PJSIP/carol":
		return user("u-carol", "Carol C", "2003", 3)
	case "PJSIP/trunk":
		return Endpoint{Kind: EndpointTrunk, TenantUUID: "tenant-t"}
	}
	return Endpoint{Kind: EndpointUnknown}
}

func (o office) UserAt(exten, context string) (Endpoint, bool) {
	for _, name := range []string{"PJSIP/alice", "PJSIP/bob", "PJSIP/carol"} {
		if ep := o.Endpoint(name); ep.Exten == exten && ep.Context == context {
			return ep, true
		}
	}
	return Endpoint{}, false
}

func (office) Queue(name string) (Queue, bool) {
	return Queue{ID: 7, Label: "Support", TenantUUID: "tenant-1", Exten: "3000", Context: "users"}, name == "support"
}

func (office) Group(exten, context string) (Group, bool) {
	return Group{ID: 5, Label: "Sales", TenantUUID: "tenant-1", Exten: "2500", Context: "users"},
		exten == "2500" && context == "users"
}

func (office) MasterTenant() string { return "master" }

// memoryStore does what the store promises: a CDR replaces those that share a
// linkedid with it.
type memoryStore struct {
	mu    sync.Mutex
	cdrs  []CDR
	at    Checkpoint
	fail  int           // that many saves fail
	saved chan struct{} // one token per save, if there is room
}

func newMemoryStore() *memoryStore { return &memoryStore{saved: make(chan struct{}, 1000)} }

func (s *memoryStore) LoadCheckpoint(context.Context) (Checkpoint, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at, nil
}

func (s *memoryStore) SaveCDR(_ context.Context, cdrs []CDR, at Checkpoint) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail > 0 {
		s.fail--
		return errors.New("disk full")
	}
	for _, c := range cdrs {
		s.cdrs = slices.DeleteFunc(s.cdrs, func(old CDR) bool {
			return slices.ContainsFunc(old.LinkedIDs, func(id string) bool { return slices.Contains(c.LinkedIDs, id) })
		})
		s.cdrs = append(s.cdrs, c)
	}
	s.at = at
	select {
	case s.saved <- struct{}{}:
	default:
	}
	return nil
}

// all returns the stored CDRs in a fixed order.
func (s *memoryStore) all() []CDR {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Clone(s.cdrs)
	slices.SortFunc(all, func(a, b CDR) int { return cmp.Compare(a.ConversationID, b.ConversationID) })
	return all
}

// pen writes a journal as Asterisk does.
type pen struct {
	t    testing.TB
	db   *sql.DB
	path string
}

func newPen(t testing.TB, path string, id int64) *pen {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	p := &pen{t: t, db: db, path: path}
	p.exec(journalTable)
	if _, err := db.Exec("PRAGMA user_version = " + jsonNumber(id)); err != nil {
		t.Fatal(err)
	}
	return p
}

func jsonNumber(n int64) string { b, _ := json.Marshal(n); return string(b) }

func (p *pen) exec(query string, args ...any) {
	p.t.Helper()
	if _, err := p.db.Exec(query, args...); err != nil {
		p.t.Fatal(err)
	}
}

func (p *pen) write(rows ...celRow) {
	p.t.Helper()
	tx, err := p.db.Begin()
	if err != nil {
		p.t.Fatal(err)
	}
	for _, row := range rows {
		columns, marks, values := []string{}, []string{}, []any{}
		for column, value := range row {
			columns, marks, values = append(columns, column), append(marks, "?"), append(values, value)
		}
		_, err := tx.Exec("INSERT INTO cel ("+strings.Join(columns, ",")+") VALUES ("+strings.Join(marks, ",")+")", values...)
		if err != nil {
			p.t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		p.t.Fatal(err)
	}
}
