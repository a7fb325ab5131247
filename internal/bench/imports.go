package bench

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"callrecordd/internal/bench/load"
	"callrecordd/internal/control"
	"callrecordd/internal/directory"
	"callrecordd/internal/lab"
)

// celColumns are the columns of the journal that a copy of a call sets anew or
// takes over.
const celColumns = "eventtype, eventtime, cidname, cidnum, cidani, cidrdnis, ciddnid, exten, context, channame, appname, " +
	"appdata, accountcode, uniqueid, linkedid, userfield, peer, extra"

// template is the journal of one real call, of which copies are made.
type template struct {
	rows [][]sql.NullString // in the order of celColumns
	ids  []string           // uniqueids, and the bridge's id
}

// oneCall places a call and reads what Asterisk has written about it.
func (t *site) oneCall(ctx context.Context) (template, error) {
	calls := t.run(ctx, load.Plan{Rate: 1, Calls: 1, Talk: 200 * time.Millisecond})
	if n, why := failed(calls); n > 0 {
		return template{}, fmt.Errorf("the call to copy failed: %s", why)
	}
	var out template
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := eventually(wait, func() (err error) {
		out, err = readTemplate(wait, t.pbx.JournalPath, calls[0].Exten)
		return err
	})
	return out, err
}

var errUnfinished = errors.New("the journal has no end of the call yet")

func readTemplate(ctx context.Context, path, exten string) (tpl template, err error) {
	db, err := openDB(path)
	if err != nil {
		return tpl, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	rows, err := db.QueryContext(ctx, "SELECT "+celColumns+` FROM cel WHERE linkedid =
		(SELECT linkedid FROM cel WHERE eventtype = 'CHAN_START' AND exten = ?) ORDER BY AcctId`, exten)
	if err != nil {
		return tpl, fmt.Errorf("read a call of the journal: %w", err)
	}
	defer rows.Close()
	ended := false
	for rows.Next() {
		row := make([]sql.NullString, strings.Count(celColumns, ",")+1)
		dest := make([]any, len(row))
		for i := range row {
			dest[i] = &row[i]
		}
		if err := rows.Scan(dest...); err != nil {
			return tpl, fmt.Errorf("read a call of the journal: %w", err)
		}
		tpl.rows = append(tpl.rows, row)
		if kind := row[0].String; kind == "CHAN_START" {
			tpl.ids = append(tpl.ids, row[13].String)
		} else if kind == "LINKEDID_END" {
			ended = true
		}
		if _, rest, ok := strings.Cut(row[17].String, `"bridge_id":"`); ok && len(tpl.ids) < 3 {
			id, _, _ := strings.Cut(rest, `"`)
			tpl.ids = append(tpl.ids, id)
		}
	}
	if err := rows.Err(); err != nil {
		return tpl, err
	}
	if !ended {
		return tpl, errUnfinished
	}
	return tpl, nil
}

// writer appends copies of calls to a journal.
type writer struct {
	db  *sql.DB
	tpl template
	n   int // calls written
}

func newWriter(path string, tpl template) (*writer, error) {
	db, err := sql.Open("sqlite3", "file:"+(&url.URL{Path: path}).EscapedPath()+"?mode=rw&_busy_timeout=10000&_synchronous=NORMAL")
	if err != nil {
		return nil, fmt.Errorf("open journal %s: %w", path, err)
	}
	db.SetMaxOpenConns(1)
	return &writer{db: db, tpl: tpl}, nil
}

// add writes calls in one transaction. Each copy has ids and a time of its own,
// all in the past.
func (w *writer) add(ctx context.Context, calls int) error {
	tx, err := w.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("write calls into the journal: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	insert, err := tx.PrepareContext(ctx, "INSERT INTO cel ("+celColumns+") VALUES (?"+strings.Repeat(", ?", len(w.tpl.rows[0])-1)+")")
	if err != nil {
		return fmt.Errorf("write calls into the journal: %w", err)
	}
	for range calls {
		w.n++
		var pairs []string
		for _, id := range w.tpl.ids {
			pairs = append(pairs, id, fmt.Sprintf("%s%07d", id, w.n))
		}
		rename := strings.NewReplacer(pairs...)
		shift := time.Duration(w.n)*10*time.Millisecond - 100*time.Hour
		for _, row := range w.tpl.rows {
			args := make([]any, len(row))
			for i, v := range row {
				args[i] = rename.Replace(v.String)
			}
			at, err := eventTime(row[1].String)
			if err != nil {
				return err
			}
			at = at.Add(shift)
			args[1] = fmt.Sprintf("%d.%06d", at.Unix(), at.Nanosecond()/1000)
			if _, err := insert.ExecContext(ctx, args...); err != nil {
				return fmt.Errorf("write calls into the journal: %w", err)
			}
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("write calls into the journal: %w", err)
	}
	return nil
}

// importSize is the number of rows that the issue names.
const importSize = 20_000

// startImport keeps the store's bulk lane busy until the function it returns
// is called: first a directory import of 20,000 users in one plan, then old
// calls in the journal, which become CDRs as fast as the daemon makes them. The
// function says what was imported.
func (s *suite) startImport(ctx context.Context, t *site) (finish func() (string, error), err error) {
	tpl, err := t.oneCall(ctx)
	if err != nil {
		return nil, err
	}
	w, err := newWriter(t.pbx.JournalPath, tpl)
	if err != nil {
		return nil, err
	}
	users := either(s, importSize, 500)
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	var took time.Duration
	var failure error
	wg.Go(func() {
		pause(ctx, either(s, 25*time.Second, time.Second)) // the ramp
		begun := time.Now()
		if failure = importUsers(ctx, t.ctl, users); failure != nil {
			return
		}
		took = time.Since(begun)
		s.say("    imported %d users in %s", users, took.Round(time.Millisecond))
		failure = t.importCalls(ctx, w)
	})
	return func() (string, error) {
		cancel()
		wg.Wait()
		err := errors.Join(failure, w.db.Close())
		return fmt.Sprintf("%d users by directory import in %.1f s, then %d CDRs from the journal", users, took.Seconds(), w.n), err
	}, nil
}

// importUsers applies a plan as `directory import --yes` does.
func importUsers(ctx context.Context, ctl *control.Client, n int) error {
	var plan directory.Plan
	for i := range n {
		name := fmt.Sprintf("imported%05d", i)
		plan.Proposals = append(plan.Proposals, directory.Proposal{
			Action: directory.Create, Kind: directory.KindUser, Name: name,
			User: &directory.User{FirstName: name, Lines: []directory.Line{
				{Endpoint: "PJSIP/" + name, Exten: fmt.Sprint(500_000 + i), Context: lab.ContextUsers, Main: true},
			}},
		})
	}
	if err := ctl.Do(ctx, "POST", "import/apply", plan, nil); err != nil {
		return fmt.Errorf("import %d users: %w", n, err)
	}
	return nil
}

// importCalls keeps some thousand rows of backlog until ctx ends.
func (t *site) importCalls(ctx context.Context, w *writer) error {
	const chunk, backlog = 100, 500
	for ctx.Err() == nil {
		have, err := t.number(ctx, countCDRs)
		if err == nil && w.n-have > backlog {
			pause(ctx, 20*time.Millisecond)
			continue
		}
		if err == nil {
			err = w.add(ctx, chunk)
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}
