package cdr

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Store keeps CDRs and the follower's position.
type Store interface {
	// LoadCheckpoint returns the zero Checkpoint if none was ever saved.
	LoadCheckpoint(ctx context.Context) (Checkpoint, error)
	// SaveCDR saves the CDRs and the checkpoint in one transaction. A CDR
	// replaces those that share one of its linkedids and its boot, keeping the
	// id of the oldest: the same call may be handed over again.
	SaveCDR(ctx context.Context, cdrs []CDR, at Checkpoint) error
}

// Live is the live model of calls, as far as it can tell which calls are over
// although the journal does not say so (asterisk-facts 4).
type Live interface {
	// Channels returns the uniqueids of all channels and the time for which
	// that is true; ok is false unless the model is in step with Asterisk.
	Channels() (uniqueids map[string]struct{}, at time.Time, ok bool)
}

// GapReason says why rows may be missing.
type GapReason string

// Reasons of gaps.
const (
	GapMissing      GapReason = "journal_missing"
	GapNoTable      GapReason = "journal_table_missing"
	GapUnreadable   GapReason = "journal_unreadable"
	GapReplaced     GapReason = "journal_replaced"
	GapOtherJournal GapReason = "journal_other_id"
	GapRowsVanished GapReason = "journal_rows_vanished"
	GapCorrupt      GapReason = "journal_corrupt"
)

// Gap declares that calls may lack their CDR, or part of it.
type Gap struct {
	At     time.Time
	Reason GapReason
	Detail string     // a sentence for people
	Last   Checkpoint // what had been read of the journal before
}

// State is what readiness and the administrator want to know.
type State struct {
	Ready     bool   // the journal is being read and the store takes what comes
	Detail    string // how far it is read, or why it is not, in a sentence
	Journal   int64  // id of the journal
	Position  int64  // AcctId of the last row read
	Newest    int64  // AcctId of the last row written, when last looked
	RowsRead  int64  // since the start, rows read again included
	LastRow   time.Time
	OpenCalls int
	Saved     int64 // CDRs handed to the store
	Malformed int64 // rows skipped
	Unknown   int64 // rows of event types nobody asked for
	Gaps      int64
	Pruned    int64 // rows deleted from the journal because they were old
}

// FollowerConfig is what a Follower needs. Path, Store and Lookup are required.
type FollowerConfig struct {
	Path   string
	Store  Store
	Lookup func() Lookup // a snapshot of the directory for each batch of CDRs
	Live   Live          // optional
	// Witness knows calls that the journal lacks. Optional.
	Witness *Witness
	// Watched says whether the calls between two times were followed live, and by
	// nobody else. Optional: without it all count as watched.
	Watched func(from, to time.Time) bool
	OnGap   func(Gap) // optional; called from Run
	Logger  *slog.Logger
	Now     func() time.Time
	// Poll is how often the journal is looked at, default 150 ms: below 100 ms
	// it costs Asterisk's writer (asterisk-facts 7).
	Poll time.Duration
	// BatchRows bounds the rows read at a time, BatchCDRs the CDRs saved at a
	// time; default 500 and 100.
	BatchRows, BatchCDRs int
	// LateRows is how far back, in rows, the beginning of a call is looked
	// for when rows of it arrive after it was closed; default 200,000.
	LateRows int64
	// Keep is how long rows stay in the journal after they were written; older
	// ones that are consumed are deleted (asterisk-facts 4). 0 keeps all.
	Keep time.Duration
	// Technologies are those of real legs, default call.RealTechnologies.
	Technologies []string
}

const (
	checkpointEvery = 1000             // rows without a CDR before the position is saved alone
	sweepEvery      = 30 * time.Second // how often the live model is asked
	sweepIdle       = 30 * time.Second // a call with newer rows is not asked about
)

// Follower reads the journal and saves a CDR for every call that is over,
// exactly once however often it is restarted (design 2.8).
type Follower struct {
	cfg  FollowerConfig
	wake chan struct{}

	// Everything below belongs to Run, except what mu guards.
	book     *book
	journal  *journal
	loaded   bool       // saved has been read from the store
	saved    Checkpoint // what the store has
	position int64      // last AcctId read
	mark     string     // of the row there
	ids      []int64    // journal ids by epoch
	behind   bool       // there is more to read
	force    bool       // save the checkpoint even without CDRs
	newest   time.Time  // of the newest row read
	written  int64      // AcctId of the newest row of the journal
	gap      string     // detail of the gap that is still open
	swept    time.Time
	asked    time.Time   // when the witness was
	pruned   time.Time   // when there was last nothing left to prune
	starts   []time.Time // starts of Asterisk whose earlier calls are not yet ended

	mu    sync.Mutex
	boots []time.Time
	jumps []Jump
	state State
}

// NewFollower checks the configuration and completes it by the defaults.
func NewFollower(cfg FollowerConfig) (*Follower, error) {
	if cfg.Path == "" || cfg.Store == nil || cfg.Lookup == nil {
		return nil, errors.New("follower needs path, store and lookup")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.OnGap == nil {
		cfg.OnGap = func(Gap) {}
	}
	if cfg.Poll <= 0 {
		cfg.Poll = 150 * time.Millisecond
	}
	if cfg.BatchRows <= 0 {
		cfg.BatchRows = 500
	}
	if cfg.BatchCDRs <= 0 {
		cfg.BatchCDRs = 100
	}
	if cfg.LateRows <= 0 {
		cfg.LateRows = 200_000
	}
	return &Follower{
		cfg: cfg, wake: make(chan struct{}, 1), book: newBook(),
		state: State{Detail: "journal has not been opened yet"},
	}, nil
}

// Restarted tells that Asterisk started at boot: calls whose last row is older
// are over. It may be called at any time, also again with the same boot.
func (f *Follower) Restarted(boot time.Time) {
	f.mu.Lock()
	f.boots = append(f.boots, boot)
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// State returns the follower's state.
func (f *Follower) State() State {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.state
	if s.Ready {
		s.Detail = fmt.Sprintf("read to row %d, %d behind", s.Position, max(0, s.Newest-s.Position))
	}
	return s
}

// Run follows the journal until ctx is done and then returns nil. Nothing that
// happens to journal or store ends it: it reports and keeps trying.
func (f *Follower) Run(ctx context.Context) error {
	defer f.closeJournal()
	tick := time.NewTicker(f.cfg.Poll)
	defer tick.Stop()
	detail := ""
	for ctx.Err() == nil {
		more, err := f.step(ctx)
		if ctx.Err() != nil {
			break
		}
		detail = f.report(err, detail)
		if more && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		case <-f.wake:
		}
	}
	return nil
}

// report brings State up to date, declares a gap when it opens and logs what
// is new: a fault that lasts is not logged at each poll.
func (f *Follower) report(err error, before string) (detail string) {
	if err != nil {
		detail = err.Error()
	}
	f.mu.Lock()
	f.state.Ready, f.state.Detail = err == nil, detail
	f.state.Position, f.state.Newest = f.position, f.written
	f.state.LastRow, f.state.OpenCalls = f.newest, len(f.book.groups)
	if len(f.ids) > 0 {
		f.state.Journal = f.ids[len(f.ids)-1]
	}
	f.mu.Unlock()
	if failed, ok := errors.AsType[*journalError](err); ok {
		f.declare(failed.reason, failed.detail)
	}
	switch {
	case detail == before:
	case err != nil:
		f.cfg.Logger.Warn("journal is not followed", "error", detail)
	default:
		f.gap = ""
		f.cfg.Logger.Info("journal is followed again", "position", f.position)
	}
	return detail
}

func (f *Follower) declare(reason GapReason, detail string) {
	if f.gap == detail {
		return
	}
	f.gap = detail
	f.mu.Lock()
	f.state.Gaps++
	f.mu.Unlock()
	f.cfg.OnGap(Gap{At: f.cfg.Now(), Reason: reason, Detail: detail, Last: f.saved})
}

// step does one bounded piece of work; more says that there is more to do at
// once. What is finished is saved before anything else is read, so memory
// stays bounded while the store fails.
func (f *Follower) step(ctx context.Context) (more bool, err error) {
	if !f.loaded {
		if f.saved, err = f.cfg.Store.LoadCheckpoint(ctx); err != nil {
			return false, fmt.Errorf("load checkpoint: %w", err)
		}
		f.loaded = true
	}
	f.takeBoots()
	changed, err := f.ready(ctx)
	if err != nil {
		f.closeJournal() // a broken connection must not be kept
		return false, err
	}
	f.behind = f.behind || changed
	if err := f.flush(ctx); err != nil {
		return false, err
	}
	if f.behind {
		if err := f.read(ctx); err != nil {
			f.closeJournal()
			return false, err
		}
	}
	f.endAbandoned()
	f.endStalled()
	f.sweep()
	if err := f.flush(ctx); err != nil {
		return false, err
	}
	f.prune(ctx)
	return f.behind, nil
}

func (f *Follower) takeBoots() {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.cfg.Now()
	for _, boot := range f.boots {
		// A start in the future means that the clock has been set back since.
		// What was before it cannot be told from what is now by the time.
		if boot.After(now) {
			f.cfg.Logger.Warn("Asterisk's start is later than now: the clock was set back", "start", boot)
			f.book.clockBack = true
			continue
		}
		f.book.clockBack = false
		if f.book.addBoot(boot) {
			f.starts = append(f.starts, boot)
		}
	}
	f.boots = nil
}

// endAbandoned ends the calls from before a restart, once, as soon as all their
// rows must have been read.
func (f *Follower) endAbandoned() {
	f.starts = slices.DeleteFunc(f.starts, func(start time.Time) bool {
		if f.behind && f.newest.Before(start) {
			return false
		}
		f.book.abandon(start)
		return true
	})
}

// sweep ends the calls none of whose channels exists any more.
func (f *Follower) sweep() {
	now := f.cfg.Now()
	if f.cfg.Live == nil || f.behind || now.Sub(f.swept).Abs() < sweepEvery {
		return
	}
	f.swept = now
	alive, at, ok := f.cfg.Live.Channels()
	if !ok {
		return
	}
	for g := range f.book.groups {
		if g.gone || at.Sub(g.last).Abs() < sweepIdle {
			continue
		}
		g.gone = true
		for _, row := range g.entries {
			if _, exists := alive[row.UniqueID]; exists {
				g.gone = false
			}
		}
	}
}

// flush saves the finished calls, in bounded batches, each with the position
// that holds after it.
func (f *Follower) flush(ctx context.Context) error {
	done := f.book.finished()
	for len(done) > 0 {
		batch := done[:min(len(done), f.cfg.BatchCDRs)]
		if err := f.save(ctx, batch); err != nil {
			return err
		}
		for _, g := range batch {
			f.book.remove(g)
		}
		done = done[len(batch):]
	}
	if f.force || f.book.watermark(f.epoch(), f.position, nil) >= f.saved.Position+checkpointEvery {
		return f.save(ctx, nil)
	}
	return nil
}

func (f *Follower) save(ctx context.Context, batch []*group) error {
	lookup := f.cfg.Lookup()
	jumps := f.knownJumps()
	var cdrs []CDR
	for _, g := range batch {
		rows := straighten(g.rows(), jumps)
		c, ok := Derive(rows, lookup, f.cfg.Technologies)
		if !ok {
			continue
		}
		f.complete(&c, g, lookup)
		epoch, first, last := g.span()
		c.Journal = JournalRange{ID: f.ids[epoch], First: first, Last: last, Boot: f.book.bootOf(c.Start)}
		c.Unwatched = f.cfg.Watched != nil && !f.cfg.Watched(c.Start, f.cfg.Now())
		cdrs = append(cdrs, c)
	}
	// The position never goes back: a call that a late row has opened again is
	// found by looking backwards, not by reading everything anew.
	at := Checkpoint{Journal: f.ids[f.epoch()], Position: f.book.watermark(f.epoch(), f.position, batch)}
	if at.Journal == f.saved.Journal && !f.force {
		at.Position = max(at.Position, f.saved.Position)
	}
	if len(cdrs) == 0 && !f.force && at.Position < f.saved.Position+checkpointEvery {
		return nil // calls without real legs are not worth a commit each
	}
	var err error
	if at.Mark, err = f.journal.mark(ctx, at.Position); err != nil {
		f.cfg.Logger.Debug("journal's position is kept without a mark", "error", err)
	}
	if err := f.cfg.Store.SaveCDR(ctx, cdrs, at); err != nil {
		return fmt.Errorf("save %d cdrs: %w", len(cdrs), err)
	}
	f.saved, f.force = at, false
	f.mu.Lock()
	f.state.Saved += int64(len(cdrs))
	f.mu.Unlock()
	return nil
}

func (f *Follower) epoch() int { return len(f.ids) - 1 }
