package bench

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	_ "github.com/mattn/go-sqlite3" // the daemon's database and the journal
)

// taken is a recording with the times that the figures need.
type taken struct {
	uuid, tenant, exten, state, cause string
	bridged                           time.Time // Asterisk: the second leg of the talk entered the bridge
	started                           time.Time // Asterisk's response to the start had arrived
	final                             time.Time // ready, or whatever became of it
}

// openDB opens a database of somebody else for reading.
func openDB(path string) (*sql.DB, error) {
	db, err := sql.Open("sqlite3", "file:"+(&url.URL{Path: path}).EscapedPath()+"?mode=rw&_query_only=true&_busy_timeout=5000")
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return db, nil
}

// number is the only value that a query of the daemon's database returns.
func (t *site) number(ctx context.Context, query string, args ...any) (n int, err error) {
	db, err := openDB(t.child.cfg.State.Database())
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.QueryRowContext(ctx, query, args...).Scan(&n); err != nil {
		return 0, fmt.Errorf("ask the daemon's database: %w", err)
	}
	return n, nil
}

const (
	countReady = "SELECT count(*) FROM recordings WHERE state = 'ready'"
	countOpen  = "SELECT count(*) FROM recordings WHERE state IN ('starting', 'recording', 'paused', 'closing')"
	countCDRs  = "SELECT count(*) FROM cdrs"
)

// waitQuiet waits until every recording is final and there are that many CDRs.
func (t *site) waitQuiet(ctx context.Context, cdrs int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return eventually(ctx, func() error {
		open, err := t.number(ctx, countOpen)
		if err != nil || open > 0 {
			return errors.Join(err, fmt.Errorf("%d recordings are open", open))
		}
		have, err := t.number(ctx, countCDRs)
		if err != nil || have < cdrs {
			return errors.Join(err, fmt.Errorf("there are %d of %d CDRs", have, cdrs))
		}
		return nil
	})
}

// recordings are all that the daemon has made, by the extension called.
func (t *site) recordings(ctx context.Context) (list map[string]taken, err error) {
	extens, bridged, err := t.journalTimes(ctx)
	if err != nil {
		return nil, err
	}
	db, err := openDB(t.child.cfg.State.Database())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	rows, err := db.QueryContext(ctx, `SELECT r.uuid, r.tenant_uuid, r.state, r.cause, coalesce(r.started_at, 0),
		coalesce((SELECT max(at) FROM events WHERE recording = r.uuid AND kind = 'recording_final'), 0),
		(SELECT group_concat(leg, ' ') FROM recording_legs WHERE recording_uuid = r.uuid)
		FROM recordings r WHERE r.follows = ''`)
	if err != nil {
		return nil, fmt.Errorf("read recordings: %w", err)
	}
	defer rows.Close()
	list = make(map[string]taken)
	for rows.Next() {
		var r taken
		var started, final int64
		var legs string
		if err := rows.Scan(&r.uuid, &r.tenant, &r.state, &r.cause, &started, &final, &legs); err != nil {
			return nil, fmt.Errorf("read recordings: %w", err)
		}
		r.started, r.final = time.UnixMicro(started), time.UnixMicro(final)
		for leg := range strings.FieldsSeq(legs) {
			if extens[leg] != "" {
				r.exten = extens[leg]
			}
			if bridged[leg].After(r.bridged) {
				r.bridged = bridged[leg]
			}
		}
		list[r.exten] = r
	}
	return list, rows.Err()
}

// path is where the file of a recording is.
func (t *site) path(r taken) string {
	return filepath.Join(t.child.cfg.Recordings.Root, r.tenant, "monitor", r.uuid+".wav")
}

// journalTimes reads from Asterisk's journal what each uniqueid has called and
// when it first entered a bridge: the time of the journal is that of the
// message, the same that ARI's event carries.
func (t *site) journalTimes(ctx context.Context) (extens map[string]string, bridged map[string]time.Time, err error) {
	db, err := openDB(t.pbx.JournalPath)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	rows, err := db.QueryContext(ctx, `SELECT eventtype, uniqueid, exten, eventtime FROM cel
		WHERE eventtype = 'CHAN_START' AND exten LIKE '8________' OR eventtype = 'BRIDGE_ENTER' ORDER BY AcctId DESC`)
	if err != nil {
		return nil, nil, fmt.Errorf("read the journal: %w", err)
	}
	defer rows.Close()
	extens, bridged = make(map[string]string), make(map[string]time.Time)
	for rows.Next() {
		var kind, id, exten, at string
		if err := rows.Scan(&kind, &id, &exten, &at); err != nil {
			return nil, nil, fmt.Errorf("read the journal: %w", err)
		}
		if kind == "CHAN_START" {
			extens[id] = exten
			continue
		}
		when, err := eventTime(at)
		if err != nil {
			return nil, nil, err
		}
		bridged[id] = when // the first one is read last
	}
	return extens, bridged, rows.Err()
}

// eventTime reads the journal's seconds.microseconds.
func eventTime(s string) (time.Time, error) {
	sec, frac, _ := strings.Cut(s, ".")
	a, err1 := strconv.ParseInt(sec, 10, 64)
	b, err2 := strconv.ParseInt((frac + "000000")[:6], 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return time.Time{}, fmt.Errorf("read time %q of the journal: %w", s, err)
	}
	return time.Unix(a, b*1000), nil
}
