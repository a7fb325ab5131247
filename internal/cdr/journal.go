package cdr

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"

	_ "github.com/mattn/go-sqlite3" // the driver of Asterisk's journal
)

// notWritten is how every state text begins whose first suspect is the module.
const notWritten = "cel_sqlite3_custom is not loaded or writes elsewhere: "

// journalError says why the journal cannot be read. It is a declared gap.
type journalError struct {
	reason GapReason
	detail string
}

func (e *journalError) Error() string { return e.detail }

// journal is Asterisk's CEL file, open on one pinned connection: PRAGMA
// data_version only compares within one connection.
type journal struct {
	db      *sql.DB
	conn    *sql.Conn
	path    string
	file    os.FileInfo
	id      int64 // PRAGMA user_version (asterisk-facts 4)
	columns string
	version int64 // data_version at the last read
}

// openJournal opens the file, which must exist and hold the table cel. It is
// opened for writing because a reader of a WAL file needs its -shm, and is
// switched to WAL, in which a reader never makes Asterisk drop a row; nothing
// else is written.
func openJournal(ctx context.Context, path string) (j *journal, err error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &journalError{GapMissing, notWritten + "there is no file " + path}
	} else if err != nil {
		return nil, &journalError{GapUnreadable, "journal cannot be read: " + err.Error()}
	}
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() + "?mode=rw&_busy_timeout=5000"
	db, err := sql.Open("sqlite3", dsn)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	j = &journal{db: db, path: path, file: info, version: -1}
	defer func() {
		if err != nil {
			err = errors.Join(err, j.close())
			j = nil
		}
	}()
	if j.conn, err = db.Conn(ctx); err != nil {
		return j, &journalError{GapUnreadable, "journal cannot be opened: " + err.Error()}
	}
	if err = j.inspect(ctx); err != nil {
		return j, err
	}
	return j, nil
}

func (j *journal) inspect(ctx context.Context) error {
	// Best effort: while somebody else holds the file the mode cannot change,
	// and what is really wrong with it the next statements tell.
	_, _ = j.conn.ExecContext(ctx, "PRAGMA journal_mode=WAL")
	if _, err := j.conn.ExecContext(ctx, "PRAGMA query_only=ON"); err != nil {
		return fmt.Errorf("set journal read only: %w", err)
	}
	if err := j.conn.QueryRowContext(ctx, "PRAGMA user_version").Scan(&j.id); err != nil {
		return &journalError{GapUnreadable, fmt.Sprintf("journal %s cannot be read: %v", j.path, err)}
	}
	have, err := j.tableColumns(ctx)
	if err != nil {
		return err
	}
	if len(have) == 0 {
		return &journalError{GapNoTable, fmt.Sprintf("%s%s has no table cel", notWritten, j.path)}
	}
	for _, column := range []string{"acctid", "eventtype", "eventtime", "channame", "uniqueid", "linkedid"} {
		if !have[column] {
			return &journalError{GapNoTable, fmt.Sprintf(
				"table cel in %s lacks the column %s: the journal has to be created by callrecordd setup", j.path, column)}
		}
	}
	j.columns = selectList(have)
	return nil
}

func (j *journal) tableColumns(ctx context.Context) (map[string]bool, error) {
	rows, err := j.conn.QueryContext(ctx, "SELECT lower(name) FROM pragma_table_info('cel')")
	if err != nil {
		return nil, fmt.Errorf("read journal columns: %w", err)
	}
	defer rows.Close()
	have := map[string]bool{}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, fmt.Errorf("read journal columns: %w", err)
		}
		have[name] = true
	}
	return have, rows.Err()
}

// selectList names the columns in the order scanRow expects. A journal that
// somebody else set up may lack those that only add detail, and Asterisk's
// sample file calls extra eventextra.
func selectList(have map[string]bool) string {
	list := []string{"AcctId"}
	for _, column := range []string{
		"eventtype", "eventtime", "cidname", "cidnum", "cidani", "cidrdnis", "ciddnid",
		"exten", "context", "channame", "appname", "appdata", "accountcode",
		"uniqueid", "linkedid", "userfield", "peer", "extra",
	} {
		switch {
		case have[column]:
			list = append(list, column)
		case column == "extra" && have["eventextra"]:
			list = append(list, "eventextra")
		default:
			list = append(list, "''")
		}
	}
	return strings.Join(list, ", ")
}

// replaced reports whether another file has taken the journal's path.
func (j *journal) replaced() error {
	info, err := os.Stat(j.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &journalError{GapMissing, notWritten + "the file " + j.path + " is gone"}
	case err != nil:
		return &journalError{GapUnreadable, "journal cannot be read: " + err.Error()}
	case !os.SameFile(info, j.file):
		return &journalError{GapReplaced, "the file " + j.path + " has been replaced"}
	}
	return nil
}

// changed reports whether somebody has written since the last call. It costs
// Asterisk nothing (asterisk-facts 7: poll gently).
func (j *journal) changed(ctx context.Context) (bool, error) {
	var version int64
	if err := j.conn.QueryRowContext(ctx, "PRAGMA data_version").Scan(&version); err != nil {
		return false, fmt.Errorf("poll journal: %w", err)
	}
	changed := version != j.version
	j.version = version
	return changed, nil
}

// position returns the journal's id and its largest AcctId, 0 if it is empty.
func (j *journal) position(ctx context.Context) (id, newest int64, err error) {
	const query = "SELECT (SELECT user_version FROM pragma_user_version), coalesce((SELECT max(AcctId) FROM cel), 0)"
	if err = j.conn.QueryRowContext(ctx, query).Scan(&id, &newest); corrupt(err) {
		// The end of the table is damaged. SQLite keeps its largest id elsewhere, too.
		err = j.conn.QueryRowContext(ctx,
			"SELECT (SELECT user_version FROM pragma_user_version), (SELECT seq FROM sqlite_sequence WHERE name = 'cel')").Scan(&id, &newest)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("read journal position: %w", err)
	}
	return id, newest, nil
}

// after returns at most limit rows that follow a position.
func (j *journal) after(ctx context.Context, position int64, limit int) ([]RawRow, error) {
	return j.query(ctx, "WHERE AcctId > ? ORDER BY AcctId LIMIT ?", position, limit)
}

// about returns the rows in (from, to] that bear one of the ids as linkedid or
// uniqueid. It scans the range: the table has no index but its key, because
// each would cost Asterisk's writer.
func (j *journal) about(ctx context.Context, from, to int64, ids []string) ([]RawRow, error) {
	list, err := json.Marshal(ids)
	if err != nil {
		return nil, fmt.Errorf("encode ids: %w", err)
	}
	return j.query(ctx, `WHERE AcctId > ?1 AND AcctId <= ?2
		AND (linkedid IN (SELECT value FROM json_each(?3)) OR uniqueid IN (SELECT value FROM json_each(?3)))
		ORDER BY AcctId`, from, to, string(list))
}

func (j *journal) query(ctx context.Context, where string, args ...any) ([]RawRow, error) {
	rows, err := j.conn.QueryContext(ctx, "SELECT "+j.columns+" FROM cel "+where, args...)
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	defer rows.Close()
	var found []RawRow // also returned with an error: what lies before a damage
	for rows.Next() {
		row, err := scanRow(rows)
		if err != nil {
			return found, err
		}
		found = append(found, row)
	}
	if err := rows.Err(); err != nil {
		return found, fmt.Errorf("read journal: %w", err)
	}
	return found, nil
}

func scanRow(rows *sql.Rows) (RawRow, error) {
	var raw RawRow
	fields := []*string{
		&raw.EventType, &raw.EventTime, &raw.CIDName, &raw.CIDNum, &raw.CIDANI, &raw.CIDRDNIS, &raw.CIDDNID,
		&raw.Exten, &raw.Context, &raw.ChanName, &raw.AppName, &raw.AppData, &raw.Account,
		&raw.UniqueID, &raw.LinkedID, &raw.UserField, &raw.Peer, &raw.Extra,
	}
	values := make([]sql.NullString, len(fields))
	targets := make([]any, 0, len(fields)+1)
	targets = append(targets, &raw.ID)
	for i := range values {
		targets = append(targets, &values[i])
	}
	if err := rows.Scan(targets...); err != nil {
		return RawRow{}, fmt.Errorf("read journal row: %w", err)
	}
	for i, field := range fields {
		*field = values[i].String
	}
	return raw, nil
}

func (j *journal) close() error {
	var err error
	if j.conn != nil {
		err = j.conn.Close()
	}
	return errors.Join(err, j.db.Close())
}
