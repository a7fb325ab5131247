package check

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	_ "github.com/mattn/go-sqlite3" // the journal is an SQLite file

	"callrecordd/ari"
	"callrecordd/ari/ami"
	"callrecordd/dialplan"
	"callrecordd/internal/asteriskconf"
	"callrecordd/internal/setup"
)

const reloadCEL = "module reload cel"

// events checks cel.conf as Asterisk reads it. What is in force the probe tells.
func (c *checker) events(ctx context.Context) {
	k := c.config(ctx, "cel.conf").Category("general")
	if !c.readsConfig {
		return
	}
	if e, ok := k.Last("enable"); !ok || !asteriskconf.True(e.Value) {
		c.journalOff = true
		c.add(Finding{
			ID: "cel.enable", What: "call events are not enabled", Consequence: "calls get no CDR", File: "cel.conf",
			Lines: []string{"[general](+)", "enable=yes"}, Hint: setupHint + ", then: " + reloadCEL,
		})
	}
	events := k.Words("events")
	all := slices.ContainsFunc(events, func(w string) bool { return strings.EqualFold(w, "ALL") })
	if missing := lacking(dialplan.CELEvents(), events); len(missing) > 0 && !all {
		c.add(Finding{
			ID: "cel.events", What: "call events are not logged: " + strings.Join(missing, ", "),
			Consequence: "CDRs are late, wrong or missing", File: "cel.conf",
			Lines: []string{"[general](+)", "events=" + strings.Join(missing, ",")}, Hint: setupHint + ", then: " + reloadCEL,
		})
	}
	if missing := lacking(dialplan.CELApplications(), k.Words("apps")); len(missing) > 0 && !slices.Contains(k.Words("apps"), "all") {
		c.add(Finding{
			ID: "cel.apps", What: "applications are not logged: " + strings.Join(missing, ", "), Consequence: "CDRs lack what these applications did",
			File: "cel.conf", Lines: []string{"[general](+)", "apps=" + strings.Join(missing, ",")}, Hint: setupHint + ", then: " + reloadCEL,
		})
	}
	if all || len(lacking([]string{"DTMF"}, events)) == 0 {
		c.add(Finding{
			ID: "cel.dtmf", What: "digits are logged (DTMF or ALL in events=)", Consequence: "card numbers that callers key in are in the journal",
			File: "cel.conf", Lines: []string{"events=" + strings.Join(dialplan.CELEvents(), ",")}, Hint: "callrecordd setup --write replaces the line, then: " + reloadCEL,
		})
	}
	if e, ok := k.Last("dateformat"); ok && e.Value != "" {
		c.dateFormat("dateformat=" + e.Value + " is set")
	}
}

func (c *checker) dateFormat(what string) {
	if c.found("cel.dateformat") {
		return
	}
	c.add(Finding{
		ID: "cel.dateformat", What: what, Consequence: "the times of the journal cannot be read, so calls get no CDR", File: "cel.conf",
		Lines: []string{";dateformat="}, Hint: "remove the line dateformat=, then: " + reloadCEL,
	})
}

// lacking returns those of want that are not in have, whatever their case.
func lacking(want, have []string) []string {
	return slices.DeleteFunc(slices.Clone(want), func(w string) bool {
		return slices.ContainsFunc(have, func(h string) bool { return strings.EqualFold(h, w) })
	})
}

// openJournal opens the file for reading, which in WAL needs write access.
func (c *checker) openJournal() (*sql.DB, error) {
	if _, err := os.Stat(c.o.Journal); err != nil {
		return nil, err
	}
	return sql.Open("sqlite3", "file:"+(&url.URL{Path: c.o.Journal}).EscapedPath()+"?mode=rw&_busy_timeout=2000&_query_only=1")
}

func (c *checker) journalFile(ctx context.Context) {
	f := Finding{ID: "journal.file", Consequence: "calls get no CDR", File: c.o.Journal, Hint: "callrecordd setup --write creates it"}
	db, err := c.openJournal()
	if errors.Is(err, fs.ErrNotExist) {
		c.journalOff = true
		f.What = "there is no journal; asterisk.journal has to name master.db in Asterisk's log directory"
		c.add(f)
		return
	}
	var state setup.JournalState
	if err == nil {
		defer func() { _ = db.Close() }() // opened for reading
		state, err = setup.LookAtJournal(ctx, db)
	}
	if err != nil {
		c.journalOff = true
		f.What, f.Hint = "the journal cannot be read: "+err.Error(), "run this as root or as the daemon's user"
		c.add(f)
		return
	}
	if wrong := state.Wrong(c.o.Journal); wrong != nil {
		f.ID, f.What, f.Hint = "journal.table", wrong.What, wrong.Do
		f.Lines = strings.Split(strings.TrimSpace(dialplan.JournalSchema()), "\n")
		c.journalOff = c.journalOff || !slices.Equal(state.Columns, dialplan.JournalColumns())
		if !c.journalOff {
			f.Level, f.Consequence = Warning, "after the newest row was deleted its number comes back, and a call may be missed"
		}
		c.add(f)
	}
}

// rootFolder looks at the folder of recordings; whether Asterisk may write
// there the probe tells.
func (c *checker) rootFolder() {
	var fsys syscall.Statfs_t
	if err := syscall.Statfs(c.o.Root, &fsys); err != nil {
		c.recorderOff = true
		c.add(Finding{
			ID: "root", What: fmt.Sprintf("the folder of recordings %s cannot be used: %v", c.o.Root, err), Consequence: "nothing is recorded",
			File: c.o.Root, Lines: []string{"install -d -o asterisk -g asterisk -m 2750 " + c.o.Root}, Hint: "callrecordd setup --write creates it",
		})
		return
	}
	if name := networkFS(int64(fsys.Type)); name != "" { //nolint:unconvert // its size depends on the processor
		c.add(Finding{
			ID: "root.network", Level: Warning, What: fmt.Sprintf("%s is on a network file system (%s)", c.o.Root, name),
			Consequence: "when it stalls, calls stall with it", Hint: "keep recordings on a local disk and copy them from there",
		})
	}
	free, total := fsys.Bavail*uint64(fsys.Bsize), fsys.Blocks*uint64(fsys.Bsize)
	if const1G := uint64(1 << 30); free < const1G || total > 0 && free*20 < total {
		c.add(Finding{
			ID: "root.space", Level: Warning, What: fmt.Sprintf("%.1f GB of %.1f GB are free below %s", float64(free)/1e9, float64(total)/1e9, c.o.Root),
			Consequence: "an hour of recording takes 58 MB; on a full disk nothing is recorded", Hint: "make room",
		})
	}
}

// networkFS names a file system on other machines by its magic number, see
// statfs(2); "" for others.
func networkFS(magic int64) string {
	return map[int64]string{
		0x6969: "NFS", 0xff534d42: "CIFS", 0xfe534d42: "SMB", 0x517b: "SMB", 0x65735546: "FUSE",
		0x00c36400: "Ceph", 0x5346414f: "AFS", 0x01021997: "9P", 0x564c: "NCP",
	}[magic]
}

// sink waits for the connection of the probe's application.
type sink struct{ connected chan struct{} }

func (s sink) Connected(context.Context, ari.Session) error { close(s.connected); return nil }
func (sink) Event(ari.Event)                                {}
func (sink) Disconnected(error)                             {}

// probe has Asterisk create a Local channel, record it, and end it.
func (c *checker) probe(ctx context.Context) {
	id := "callrecordd-check-" + random()
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if err := c.o.ARI.SetEventFilter(ctx, id, nil); errors.Is(err, ari.ErrUnauthorized) { // there is no such application, but rights come first
		c.add(Finding{
			ID: "ari.readonly", What: "the ARI user " + c.o.ARIUser + " may only read", Consequence: "callrecordd cannot work", File: "ari.conf",
			Lines: []string{"[" + c.o.ARIUser + "]", "read_only=no"}, Hint: "change its line to this, then: module reload res_ari.so",
		})
		return
	}
	s := sink{make(chan struct{})}
	stream := ari.NewStream(c.o.ARI, ari.StreamConfig{App: id, OwnOnly: true, Logger: quiet()})
	streamCtx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { _ = stream.Run(streamCtx, s) }) // ends with stop; failures are in its state
	defer running.Wait()
	defer stop()
	select {
	case <-s.connected:
	case <-time.After(5 * time.Second):
		c.add(Finding{
			ID: "ari.events", What: "ARI's events cannot be had: " + stream.State().Detail, Consequence: "callrecordd sees no call",
			Hint: "see that res_ari_events.so and res_http_websocket.so run, and Asterisk's log",
		})
		return
	}
	if _, err := c.o.ARI.CreateChannel(ctx, "Local/s@callrecordd-check", id, id, id+"-2"); err != nil {
		c.add(Finding{ID: "ari.create", What: "no channel can be made: " + err.Error(), Consequence: "tones do not work", Hint: "see Asterisk's log"})
		return
	}
	if !c.recorderOff && c.ami != nil {
		c.record(ctx, id)
	}
	_ = c.o.ARI.Hangup(ctx, id, "")
	if !c.journalOff {
		c.rows(ctx, id)
	}
}

// record proves that Asterisk can write where recordings belong.
func (c *checker) record(ctx context.Context, channel string) {
	file := filepath.Join(c.o.Root, "."+channel+".wav")
	r, err := c.ami.Do(ctx, ami.Action{Name: "MixMonitor", Fields: []ami.Field{
		{Key: "Channel", Value: channel}, {Key: "File", Value: file}, {Key: "options", Value: "i(CALLRECORD_CHECK)"},
	}})
	seen := err == nil && eventually(ctx, fileWithin, func() bool { _, err := os.Stat(file); return err == nil })
	if !seen {
		what := "Asterisk creates no file in " + c.o.Root
		if err != nil {
			what += ": " + err.Error()
		}
		c.add(Finding{
			ID: "root", What: what, Consequence: "nothing is recorded", File: c.o.Root,
			Lines: []string{"chown asterisk:asterisk " + c.o.Root, "chmod 2750 " + c.o.Root},
			Hint:  "the folder must be writable for the user that Asterisk runs as, and all above it must be searchable; a sandbox of its service (ReadWritePaths=) must allow it",
		})
		return
	}
	defer func() { _ = os.Remove(file) }()
	c.pass("Asterisk records into %s", c.o.Root)
	// A version that knows ids refuses one that is not there.
	_, err = c.ami.Do(ctx, ami.Action{Name: "MixMonitorMute", Fields: []ami.Field{
		{Key: "Channel", Value: channel}, {Key: "MixMonitorID", Value: "0x1"}, {Key: "Direction", Value: "both"}, {Key: "State", Value: "1"},
	}})
	if err == nil {
		c.report.Lacks = append(c.report.Lacks, "mute of one recording (MixMonitorMute with MixMonitorID, from 18.18 and 20.3): "+
			"a pause stops the recorder, and its end appends to the file (recordings.pause: cut)")
	}
	if r.Get("MixMonitorID") == "" {
		c.report.Lacks = append(c.report.Lacks, "the id of a recorder in the answer (MixMonitorID)")
	}
	if c.readsConfig && len(c.endpoints) > 0 && !c.knowsTenantID(ctx) {
		c.report.Lacks = append(c.report.Lacks, "tenantid of PJSIP endpoints: tenants are known from the directory only")
	}
	_, _ = c.ami.Do(ctx, ami.Action{Name: "StopMixMonitor", Fields: []ami.Field{{Key: "Channel", Value: channel}}})
}

// knowsTenantID asks one endpoint for the field.
func (c *checker) knowsTenantID(ctx context.Context) bool {
	for name := range c.endpoints {
		items, err := c.ami.List(ctx, ami.Action{Name: "PJSIPShowEndpoint", Fields: []ami.Field{{Key: "Endpoint", Value: name}}})
		return err != nil || slices.ContainsFunc(items, func(m ami.Message) bool { return m.Has("Tenantid") })
	}
	return true
}

// rows proves that the journal is written, with readable times and to the end.
func (c *checker) rows(ctx context.Context, id string) {
	db, err := c.openJournal()
	if err != nil {
		return // told by journalFile
	}
	defer func() { _ = db.Close() }() // opened for reading
	var types []string
	var stamp string
	complete := eventually(ctx, rowsWithin, func() bool {
		types, stamp = probeRows(ctx, db, id)
		return slices.Contains(types, "LINKEDID_END")
	})
	if len(types) == 0 {
		if c.found("module.cel_sqlite3_custom") || c.found("cel.enable") {
			return
		}
		c.add(Finding{
			ID: "journal.rows", What: "a probe call left no row in " + c.o.Journal + " within " + rowsWithin.String(),
			Consequence: "calls get no CDR", File: "cel_sqlite3_custom.conf", Lines: strings.Split(strings.TrimSpace(dialplan.JournalConf()), "\n"),
			Hint: setupHint + ", then restart Asterisk; its log names the reason",
		})
		return
	}
	if seconds, err := strconv.ParseFloat(stamp, 64); err != nil || seconds < 1e9 {
		c.dateFormat(fmt.Sprintf("the journal's times are not in seconds: %q", stamp))
	}
	if !complete && !c.found("cel.events") {
		c.add(Finding{
			ID: "cel.events", What: "call events are not logged: LINKEDID_END (seen: " + strings.Join(types, ", ") + ")",
			Consequence: "calls never end in the journal, so they get no CDR", File: "cel.conf",
			Lines: []string{"[general](+)", "events=LINKEDID_END"}, Hint: setupHint + ", then: " + reloadCEL,
		})
	}
	if complete {
		c.pass("a probe call is in the journal %s", c.o.Journal)
	}
}

// probeRows returns the types of the probe's events and the time of the first.
func probeRows(ctx context.Context, db *sql.DB, id string) (types []string, stamp string) {
	rows, err := db.QueryContext(ctx, "SELECT eventtype, eventtime FROM cel WHERE AcctId > (SELECT max(AcctId) FROM cel) - 5000 AND linkedid LIKE '%' || ? ORDER BY AcctId", id)
	if err != nil {
		return nil, ""
	}
	defer rows.Close()
	for rows.Next() {
		var kind, at string
		if rows.Scan(&kind, &at) == nil {
			types = append(types, kind)
			if stamp == "" {
				stamp = at
			}
		}
	}
	if rows.Err() != nil {
		return nil, ""
	}
	return types, stamp
}
