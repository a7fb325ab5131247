package store

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"time"

	"callrecordd/internal/ledger"
)

// Priority says which lane a write takes and how durable its commit is.
type Priority int

const (
	// Bulk waits for the other lanes. It is fsynced. Keep it below 5 ms.
	Bulk Priority = iota
	// High goes before bulk work. It is fsynced.
	High
	// Intent goes before bulk work and is not fsynced: it survives the end of
	// the daemon, not a power cut, after which the call is gone as well
	// (design 8, audio before paper).
	Intent
	// Soon is fsynced, but waits up to shareTime for others to share its commit
	// with: nobody waits for it, and a commit costs more than what is in it.
	Soon
	// SoonUnsynced is Soon without fsync, unless one of those it shares the
	// commit with asks for it.
	SoonUnsynced
	// Idle is bulk work that Bulk itself need not give way to, and is not
	// fsynced: for what has time and could be done again.
	Idle
)

// synced says whether a commit must reach the disk.
func (p Priority) synced() bool { return p != Intent && p != SoonUnsynced && p != Idle }

const (
	// checkpointEvery is after how many commits the WAL is copied back. Most
	// commits are a few pages of 4 KiB; large ones count for several.
	checkpointEvery = 200
	// shareTime is how long a write waits for others to share its commit.
	shareTime = 50 * time.Millisecond
	// shareMost is how many writes end that wait at once.
	shareMost = 32
	// groupTime is how long a transaction goes on taking writes: an urgent one
	// may be waiting.
	groupTime = 3 * time.Millisecond
	// calmTime is the same for bulk work while there are no calls: the more is
	// stored together, the less it costs.
	calmTime = 20 * time.Millisecond
	// calm is how long after the last urgent write bulk work need not give way.
	calm = time.Second
	// knownTerms is how many numbers of texts are kept in memory.
	knownTerms = 100_000
)

// Those who write much without a break would make the file grow for ever,
// because a checkpoint copies what there was when it began, and the file starts
// anew only when there is nothing left to copy. So after writes worth
// largeWrite commits bulk work waits for a checkpoint; urgent writes go on. From
// largeWAL frames of 4 KiB on the file is to begin anew (startWAL).
const (
	largeWrite = 2000
	largeWAL   = 8 << 10
)

// The page cache of the writing connection, in KiB. A large transaction would
// write its pages out and read them back if it had only what calls need; that
// much is not kept when bulk work has been over for cacheTime.
const (
	callCache = "PRAGMA cache_size = -8192"
	bulkCache = "PRAGMA cache_size = -131072"
	cacheTime = 10 * time.Second
)

// Tx is a write transaction. It carries its context because it lives exactly
// as long as one call of Write.
type Tx struct {
	ctx   context.Context
	tx    *sql.Conn // on which the transaction was begun
	stmts map[string]*sql.Stmt
	now   time.Time
	ran   int            // statements
	known map[term]int64 // numbers of texts that are in the database
	terms map[term]int64 // and that this transaction has looked up or made
	more  func() bool
	noted *bool        // set when it appends events
	last  *ledger.Link // what the next entry is chained to, once it was looked up
}

// mayGoOn says whether bulk work may do more in this transaction.
func (t *Tx) mayGoOn() bool { return t.more() }

type job struct {
	ctx      context.Context
	priority Priority
	fn       func(*Tx) error
	calm     bool // bulk work while there are no calls
	err      error
	result   chan error
}

// Write runs fn in a transaction on the writing connection, and commits it if
// fn returns nil. Nothing is written if ctx ends before the write is taken;
// after that it runs to its end. fn must not call Write and should be quick: all
// other writes wait. Writes of the same lane may share a transaction, but an
// error of one undoes that one alone.
func (s *Store) Write(ctx context.Context, p Priority, fn func(*Tx) error) error {
	var lane chan *job
	switch p {
	case Intent, High:
		lane = s.high
	case Bulk:
		lane = s.low
	case Idle:
		lane = s.idle
	case Soon, SoonUnsynced:
		lane = s.soon
	}
	j := &job{ctx: ctx, priority: p, fn: fn, result: make(chan error, 1)}
	select {
	case <-s.done:
		return ErrClosed
	default:
	}
	if err := s.hand(j, lane); err != nil {
		return err
	}
	return <-j.result
}

// hand waits until the writing goroutine takes the job.
func (s *Store) hand(j *job, lane chan<- *job) error {
	if lane != s.idle {
		s.waiting.Add(1)
		defer s.waiting.Add(-1)
	}
	select {
	case lane <- j:
		return nil
	case <-j.ctx.Done():
		return fmt.Errorf("write to database: %w", context.Cause(j.ctx))
	case <-s.done:
		return ErrClosed
	}
}

// lanes is what the writing goroutine knows of the writes that wait.
type lanes struct {
	s      *Store
	next   *job   // urgent, taken from its lane already
	soon   []*job // they wait for company
	share  *time.Timer
	low    <-chan *job // nil while bulk work rests
	idle   <-chan *job // the same
	rest   *time.Timer
	urgent time.Time // when there was last an urgent write
	large  bool      // the cache is that of bulk work
	shrink *time.Timer
}

func (s *Store) writeLoop() {
	l := &lanes{s: s, low: s.low, idle: s.idle, share: time.NewTimer(time.Hour), rest: time.NewTimer(time.Hour), shrink: time.NewTimer(time.Hour)}
	defer l.share.Stop()
	defer l.rest.Stop()
	defer l.shrink.Stop()
	for l.turn() {
	}
	for len(l.soon) > 0 {
		l.runSoon()
	}
}

// turn waits for a write and runs it, an urgent one first; false at the end.
func (l *lanes) turn() bool {
	if l.next == nil {
		l.look()
	}
	if j := l.next; j != nil {
		l.next = nil
		l.runUrgent(j)
		return true
	}
	low, idle := l.low, l.idle
	if l.s.copying.Load() {
		low, idle = nil, nil
	}
	select {
	case j := <-l.s.high:
		l.runUrgent(j)
	case j := <-l.s.soon:
		if l.soon = append(l.soon, j); len(l.soon) == 1 {
			l.share.Reset(shareTime)
		} else if len(l.soon) >= shareMost {
			l.runSoon()
		}
	case <-l.share.C:
		l.runSoon()
	case j := <-low:
		l.runBulk(j)
	case j := <-idle:
		l.runBulk(j)
	case <-l.s.copied:
	case <-l.rest.C:
		l.low, l.idle = l.s.low, l.s.idle
	case <-l.shrink.C:
		l.cache(false)
	case <-l.s.done:
		return false
	}
	return true
}

// look says whether an urgent write waits, and keeps it for the next turn.
func (l *lanes) look() bool {
	if l.next == nil {
		select {
		case l.next = <-l.s.high:
		default:
		}
	}
	return l.next != nil
}

// runUrgent runs a write at once; the intents that wait besides share the
// commit of an intent, for none of them costs more than that.
func (l *lanes) runUrgent(j *job) {
	l.urgent = time.Now()
	l.s.run(j, func() *job {
		if j.priority != Intent || !l.look() || l.next.priority != Intent {
			return nil
		}
		other := l.next
		l.next = nil
		return other
	}, j.priority.synced())
}

// runSoon runs those that have waited long enough, and with them the others,
// until something urgent comes.
func (l *lanes) runSoon() {
	pop := func() *job {
		if len(l.soon) == 0 {
			return nil
		}
		j := l.soon[0]
		l.soon = l.soon[1:]
		return j
	}
	synced := false
	for _, j := range l.soon {
		synced = synced || j.priority.synced()
	}
	begun := time.Now()
	if j := pop(); j != nil {
		l.s.run(j, func() *job {
			if l.look() || time.Since(begun) > groupTime {
				return nil
			}
			return pop()
		}, synced)
	}
	if len(l.soon) > 0 {
		l.share.Reset(0)
	} else {
		l.soon = nil
	}
}

// runBulk runs bulk work. While there are calls it then rests as long as it
// took, and leaves writer and processor to them.
func (l *lanes) runBulk(j *job) {
	begun := time.Now()
	j.calm = begun.Sub(l.urgent) >= calm
	l.cache(true)
	l.s.run(j, func() *job { return nil }, j.priority.synced())
	switch {
	case j.calm:
		return
	case j.priority == Bulk: // otherwise the others need not wait
		l.low = nil
	}
	l.idle = nil
	l.rest.Reset(time.Since(begun))
}

// cache makes room for bulk work, or gives it back some time after the last.
func (l *lanes) cache(large bool) {
	if large {
		l.shrink.Reset(cacheTime)
	}
	if l.large == large {
		return
	}
	if !large {
		clear(l.s.terms)
	}
	pragma := callCache + "; PRAGMA shrink_memory"
	if large {
		pragma = bulkCache
	}
	// Without it all works, slower or in more memory.
	if _, err := l.s.conn.ExecContext(context.Background(), pragma); err != nil {
		l.s.opt.Log.Warn("cannot set the database's cache", "error", err)
		return
	}
	l.large = large
}

// run runs a write, and those that more returns until it returns nil, in one
// transaction, and tells each how it went.
func (s *Store) run(first *job, more func() *job, synced bool) {
	members, err := s.transact(first, more, synced)
	s.commits++
	if s.commits >= largeWrite {
		s.copying.Store(true)
	}
	for _, j := range members {
		if j.err == nil {
			j.err = err
		}
		j.result <- explain(j.err)
	}
	if s.commits >= checkpointEvery {
		s.commits = 0
		select {
		case s.checkpoint <- struct{}{}:
		default: // one is asked for already
		}
	}
}

// transact returns the writes that it ran, and the error of those that have
// none of their own.
func (s *Store) transact(first *job, more func() *job, synced bool) (members []*job, err error) {
	members = []*job{first}
	// The driver needs no goroutine per statement for a context that cannot
	// end, and a commit must not be torn by a client that hangs up.
	ctx := context.WithoutCancel(first.ctx)
	if err := s.setSync(ctx, synced); err != nil {
		return members, err
	}
	tx := s.tx(first)
	// Not sql.Tx: it would prepare every statement anew, which for a CDR takes
	// longer than running them.
	if err := tx.exec("BEGIN IMMEDIATE"); err != nil {
		return members, fmt.Errorf("begin transaction: %w", err)
	}
	committed := false
	defer func() {
		if !committed { // also if fn panics
			// SQLite may have rolled back by itself, then this fails.
			_, _ = s.conn.ExecContext(ctx, "ROLLBACK")
		}
	}()
	begun := time.Now()
	tx.more = func() bool {
		took := time.Since(begun)
		return took < groupTime || took < calmTime && first.calm && s.waiting.Load() == 0
	}
	if first.err = first.fn(tx); first.err != nil {
		return members, nil
	}
	for j := more(); j != nil; j = more() {
		members = append(members, j)
		if err := s.join(j); err != nil {
			return members, err
		}
	}
	s.commits += tx.ran / 100
	if err := tx.exec("COMMIT"); err != nil {
		return members, fmt.Errorf("commit: %w", err)
	}
	committed = true
	s.learn(tx.terms)
	s.tellAppended()
	return members, nil
}

// learn keeps the numbers of texts that have been committed: nothing deletes
// them.
func (s *Store) learn(terms map[term]int64) {
	if len(s.terms)+len(terms) > knownTerms {
		clear(s.terms)
	}
	maps.Copy(s.terms, terms)
}

// join runs a write in a transaction that has begun. If it fails it alone is
// undone; an error is returned if that fails, too, and the transaction with it.
func (s *Store) join(j *job) error {
	tx := s.tx(j)
	if err := tx.exec("SAVEPOINT one"); err != nil {
		return fmt.Errorf("begin a part of a transaction: %w", err)
	}
	if j.err = j.fn(tx); j.err != nil {
		// After some errors, such as a full disk, SQLite has undone it all.
		if err := tx.exec("ROLLBACK TO one"); err != nil {
			return fmt.Errorf("the transaction was undone by an error of another write: %w", j.err)
		}
	}
	if err := tx.exec("RELEASE one"); err != nil {
		return fmt.Errorf("end a part of a transaction: %w", err)
	}
	return nil
}

func (s *Store) tx(j *job) *Tx {
	return &Tx{ctx: context.WithoutCancel(j.ctx), tx: s.conn, stmts: s.stmts, now: s.opt.Now(), known: s.terms, noted: &s.noted, more: func() bool { return false }}
}
