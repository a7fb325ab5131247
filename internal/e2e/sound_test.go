package e2e

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// rest is what is stored, once every call is over, that must not change any more.
type rest struct {
	cdrs, told []string
}

// sound checks what must hold of a site at rest whatever has happened to its
// daemon: one CDR for each of the calls, one row for each file, no two recorders
// on a channel at a time, nothing told twice, and a database without a fault.
func (s *site) sound(calls int) rest {
	s.t.Helper()
	list := s.waitCDRs(calls)
	var out rest
	for _, c := range list {
		out.cdrs = append(out.cdrs, fmt.Sprint(c.ID, " ", c.ConversationID, " ", len(c.Recordings)))
		if !c.Answered {
			s.t.Errorf("call %d was answered, its CDR says no: %+v", c.ID, c)
		}
	}
	s.oneRowForEachFile()
	none := func(what, query string) {
		s.t.Helper()
		s.query(query, nil, func(r *sql.Rows) error {
			var text string
			err := r.Scan(&text)
			s.t.Errorf("%s: %s", what, text)
			return err
		})
	}
	none("two recorders on a channel at a time", `SELECT a.uuid || ' and ' || b.uuid FROM recordings a JOIN recordings b
		ON a.hook = b.hook AND a.boot = b.boot AND a.uuid < b.uuid AND a.state <> 'missing' AND b.state <> 'missing'
		AND a.started_at < b.ended_at AND b.started_at < a.ended_at`)
	none("a recording of no call", `SELECT uuid || ' ' || state FROM recordings WHERE cdr_id IS NULL`)
	none("a call with two CDRs", `SELECT uniqueid FROM cdr_uniqueids GROUP BY uniqueid, boot_s HAVING count(DISTINCT cdr_id) > 1`)
	none("told twice that it is over", `SELECT recording FROM events WHERE kind = 'recording_settled'
		GROUP BY recording HAVING count(*) > 1`)
	none("not told that it is over", `SELECT uuid || ' ' || state FROM recordings r
		WHERE NOT EXISTS (SELECT 1 FROM events WHERE kind = 'recording_settled' AND recording = r.uuid)`)
	none("told twice that it has a CDR", `SELECT json_extract(data, '$.cdr') FROM events WHERE kind = 'cdr_saved'
		GROUP BY json_extract(data, '$.cdr') HAVING count(*) > 1`)
	none("something was not told", `SELECT data FROM events WHERE kind = 'events_lost'`)
	s.eventually("legs that do not exist any more are forgotten", func() error {
		var left []string
		s.query("SELECT leg FROM live_legs", nil, func(r *sql.Rows) error {
			var leg string
			err := r.Scan(&leg)
			left = append(left, leg)
			return err
		})
		if len(left) > 0 {
			return fmt.Errorf("there are %q", left)
		}
		return nil
	})
	s.query("PRAGMA integrity_check", nil, func(r *sql.Rows) error {
		var text string
		err := r.Scan(&text)
		if text != "ok" {
			s.t.Errorf("the database: %s", text)
		}
		return err
	})
	s.query("SELECT kind || ' ' || recording || ' ' || call FROM events WHERE kind IN ('cdr_saved', 'recording_settled', 'recording_final') ORDER BY id", nil,
		func(r *sql.Rows) error {
			var text string
			err := r.Scan(&text)
			out.told = append(out.told, text)
			return err
		})
	return out
}

// oneRowForEachFile: no audio that nobody knows of, no row that promises what is
// not there.
func (s *site) oneRowForEachFile() {
	s.t.Helper()
	rows := map[string]string{}
	for _, r := range s.stored() {
		rows[r.uuid] = r.state
	}
	for _, path := range s.files() {
		uuid := strings.TrimSuffix(filepath.Base(path), ".wav")
		info, err := os.Stat(path)
		must(s.t, err)
		if state, ok := rows[uuid]; !ok || state == "missing" && info.Size() > 44 {
			s.t.Errorf("file %s of %d bytes has the row %q", path, info.Size(), state)
		}
		delete(rows, uuid)
	}
	for uuid, state := range rows {
		if state != "missing" {
			s.t.Errorf("recording %s is %s and has no file", uuid, state)
		}
	}
}

// asBefore checks that a start more has derived and told nothing again: the
// checkpoint is behind all that is stored. There is one more call by now.
func (s *site) asBefore(before, after rest) {
	s.t.Helper()
	if n := len(before.cdrs); len(after.cdrs) != n+1 || !slices.Equal(before.cdrs, after.cdrs[:n]) {
		s.t.Errorf("the calls were\n%s\nand are\n%s", strings.Join(before.cdrs, "\n"), strings.Join(after.cdrs, "\n"))
	}
	if n := len(before.told); len(after.told) < n || !slices.Equal(before.told, after.told[:n]) || len(after.told) > n+3 {
		s.t.Errorf("what is told was\n%s\nand is\n%s", strings.Join(before.told, "\n"), strings.Join(after.told, "\n"))
	}
}
