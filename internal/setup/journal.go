package setup

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	_ "github.com/mattn/go-sqlite3" // the journal is an SQLite file

	"callrecordd/dialplan"
	"callrecordd/internal/asteriskconf"
)

// LogDir is Asterisk's log directory, in which it writes the journal.
func LogDir(files map[string]string) string {
	c := asteriskconf.Merge(files, "asterisk.conf", nil)
	for _, k := range c.Categories { // Debian ships the section as a template
		if e, ok := k.Last("astlogdir"); ok && strings.EqualFold(k.Name, "directories") && filepath.IsAbs(e.Value) {
			return e.Value
		}
	}
	return "/var/log/asterisk"
}

// MakeJournal creates the journal as Asterisk would not (asterisk-facts 4), for
// the owner of its folder, who is Asterisk. One that is there is left as it is,
// but for a missing journal id; what is wrong with it is the finding.
func MakeJournal(path string) (made bool, wrong *Finding, err error) {
	o, err := ownerOf(filepath.Dir(path))
	if err != nil {
		return false, nil, fmt.Errorf("create the journal: %w; Asterisk's log directory has to be there", err)
	}
	_, err = os.Lstat(path)
	fresh := errors.Is(err, fs.ErrNotExist)
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() + "?_busy_timeout=5000"
	db, err := sql.Open("sqlite3", dsn)
	if err != nil {
		return false, nil, fmt.Errorf("open the journal: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	state, err := LookAtJournal(context.Background(), db)
	if err != nil {
		return false, nil, fmt.Errorf("look at the journal %s: %w", path, err)
	}
	if len(state.Columns) > 0 {
		if wrong = state.Wrong(path); wrong != nil {
			return false, wrong, nil
		}
	}
	if len(state.Columns) == 0 || state.ID == 0 {
		var id [4]byte
		_, _ = rand.Read(id[:]) // never fails, see its documentation
		schema := dialplan.JournalSchema() + fmt.Sprintf("PRAGMA user_version=%d;", binary.LittleEndian.Uint32(id[:])>>1|1)
		if _, err := db.Exec(schema); err != nil {
			return false, nil, fmt.Errorf("create the journal %s: %w", path, err)
		}
	}
	if fresh {
		for _, suffix := range []string{"", "-wal", "-shm"} {
			if err := os.Lchown(path+suffix, o.UID, o.GID); err != nil && os.Geteuid() == 0 && !errors.Is(err, fs.ErrNotExist) {
				return true, nil, fmt.Errorf("give the journal to Asterisk: %w", err)
			}
		}
		if err := os.Chmod(path, 0o660); err != nil {
			return true, nil, fmt.Errorf("give the journal to Asterisk: %w", err)
		}
	}
	return len(state.Columns) == 0, nil, nil
}

// InspectJournal says why MakeJournal would refuse a journal that is there, nil
// if it would not. It changes nothing.
func InspectJournal(path string) (*Finding, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	db, err := sql.Open("sqlite3", "file:"+(&url.URL{Path: path}).EscapedPath()+"?mode=rw&_busy_timeout=5000&_query_only=1")
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	defer func() { _ = db.Close() }() // opened for reading
	state, err := LookAtJournal(context.Background(), db)
	if err != nil {
		return nil, fmt.Errorf("look at the journal %s: %w", path, err)
	}
	if len(state.Columns) == 0 {
		return nil, nil
	}
	return state.Wrong(path), nil
}

// JournalState is what the journal's file says of itself.
type JournalState struct {
	Columns       []string // after AcctId; none if there is no table
	AutoIncrement bool
	WAL           bool
	ID            int64
}

// LookAtJournal reads the state of a journal that is open.
func LookAtJournal(ctx context.Context, db *sql.DB) (JournalState, error) {
	var s JournalState
	var mode, schema string
	if err := db.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil {
		return s, err
	}
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&s.ID); err != nil {
		return s, err
	}
	err := db.QueryRowContext(ctx, "SELECT coalesce(max(sql), '') FROM sqlite_master WHERE type = 'table' AND name = 'cel'").Scan(&schema)
	if err != nil {
		return s, err
	}
	s.WAL = strings.EqualFold(mode, "wal")
	s.AutoIncrement = strings.Contains(strings.ToUpper(schema), "AUTOINCREMENT")
	rows, err := db.QueryContext(ctx, "SELECT name FROM pragma_table_info('cel') WHERE NOT pk")
	if err != nil {
		return s, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return s, err
		}
		s.Columns = append(s.Columns, name)
	}
	return s, rows.Err()
}

// Wrong says what is wrong with the table, nil if nothing is.
func (s JournalState) Wrong(path string) *Finding {
	away := "stop Asterisk, move the file away (its rows stay in it), run callrecordd setup --write, start Asterisk"
	want := dialplan.JournalColumns()
	switch {
	case len(s.Columns) == 0:
		return &Finding{path, "has no table cel", "run callrecordd setup --write, then restart Asterisk"}
	case !slices.Equal(s.Columns, want):
		return &Finding{path, fmt.Sprintf("table cel has %d columns (%s) and not the %d of the journal (%s), so Asterisk writes no row",
			len(s.Columns), strings.Join(s.Columns, ","), len(want), strings.Join(want, ",")), away}
	case !s.AutoIncrement:
		return &Finding{path, "table cel was not created by callrecordd: without AUTOINCREMENT numbers of rows come back", away}
	}
	return nil
}

// MakeRoot creates the folder of recordings for Asterisk's user, who is the
// owner of like: nobody else may look into it, and what is created in it
// belongs to the same group.
func MakeRoot(root, like string) (made bool, err error) {
	if _, err := os.Stat(root); err == nil {
		return false, nil
	}
	o, err := ownerOf(like)
	if err != nil {
		return false, fmt.Errorf("create %s: %w", root, err)
	}
	if err := os.MkdirAll(filepath.Dir(root), 0o755); err != nil {
		return false, fmt.Errorf("create the folder of recordings: %w", err)
	}
	if err := os.Mkdir(root, 0o750); err != nil {
		return false, fmt.Errorf("create the folder of recordings: %w", err)
	}
	if err := os.Lchown(root, o.UID, o.GID); err != nil && os.Geteuid() == 0 {
		return true, fmt.Errorf("give %s to Asterisk: %w", root, err)
	}
	if err := os.Chmod(root, os.ModeSetgid|0o750); err != nil {
		return true, fmt.Errorf("give %s to Asterisk: %w", root, err)
	}
	return true, nil
}

// Steps are the console commands after which Asterisk works with the edits,
// and whether it has to be restarted for all of them. No module is unloaded:
// what goes wrong there goes wrong for all calls. cel_sqlite3_custom does not
// run where it had no configuration before; where it does, its load says so.
func Steps(edits []Edit) (commands []string, restart bool) {
	touched := map[string]bool{}
	for _, e := range edits {
		touched[filepath.Base(e.Path)] = true
	}
	for _, s := range []struct{ file, command string }{
		{"http.conf", "module reload http"},
		{"ari.conf", "module reload res_ari.so"},
		{"manager.conf", "module reload manager"},
		{"features.conf", "module reload features"},
		{"cel.conf", "module reload cel"},
		{"cel_sqlite3_custom.conf", "module load cel_sqlite3_custom.so"},
		{"extensions.conf", "dialplan reload"},
		{"pjsip.conf", "module reload res_pjsip.so"},
	} {
		if touched[s.file] {
			commands = append(commands, s.command)
		}
	}
	return commands, touched["modules.conf"] || touched["stasis.conf"]
}
