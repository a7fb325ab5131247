package verify

import (
	"context"
	"fmt"
	"io"
	"math"
	"runtime"
	"time"

	"callrecordd/internal/ledger"
)

// Options say what to verify.
type Options struct {
	Key    *ledger.Verifier
	Anchor io.Reader // nil without
	// Root is that of the recordings; without it files are left out.
	Root    string
	Workers int // how many entries and files are looked at at a time; 0 is one for each processor
	// Progress, if set, is told now and then how far it is.
	Progress func(Report)
}

// Run verifies a database and the files. What does not fit is in the report; an
// error means that it could not be finished.
func Run(ctx context.Context, db Database, o Options) (Report, error) {
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Progress == nil {
		o.Progress = func(Report) {}
	}
	r := Report{Findings: []Finding{}}
	old, err := entries(ctx, db, o, &r)
	if err != nil {
		return r, fmt.Errorf("verify the ledger: %w", err)
	}
	if err := recordings(ctx, db, o, old, &r); err != nil {
		return r, fmt.Errorf("verify recordings: %w", err)
	}
	r.Clean = len(r.Findings) == 0
	return r, nil
}

// reading is a part on its way.
type reading struct {
	part *part
	err  error
}

// entries verifies the chain, the tree and the CDRs, and returns what the ledger
// says of the time before it.
func entries(ctx context.Context, db Database, o Options, r *Report) (begun, error) {
	m, err := readMarks(ctx, db, o.Anchor, o.Key, r)
	if err != nil {
		return begun{}, err
	}
	l := &ledgerOf{marks: m, cdrs: newCDRs(), holds: holds{}, r: r}
	x, err := db.Extent(ctx)
	if err != nil {
		return begun{}, err
	}
	if x, err = l.within(ctx, db, x); err != nil {
		return begun{}, err
	}
	if err := l.most(ctx, db, x.LastID, o); err != nil {
		return begun{}, err
	}
	// The rest at one moment: a daemon may be at work.
	err = db.Snapshot(ctx, func(db Database) error {
		now, err := db.Extent(ctx)
		if err == nil {
			now, err = l.within(ctx, db, now)
		}
		if err != nil {
			return err
		}
		for after := x.LastID; after < now.LastID; after += partSize {
			p, err := readPart(ctx, db, after, min(after+partSize, now.LastID))
			if err == nil {
				err = l.add(p)
			}
			if err != nil {
				return err
			}
		}
		if err := l.marks.meet(); err != nil {
			return err
		}
		if err := beforeFirst(ctx, db, r); err != nil {
			return err
		}
		l.marks.end(now, r)
		l.unchained()
		l.unsigned()
		if err := l.holds.judge(ctx, db, r); err != nil {
			return err
		}
		return l.cdrs.judge(ctx, db, l.begun.LastCDR, r)
	})
	return l.begun, err
}

// mostEntries is more than any ledger has, and can be gone through in minutes.
const mostEntries = 1 << 33

// within leaves out, and tells of, an entry so far behind all others that to look
// for those between would never end.
func (l *ledgerOf) within(ctx context.Context, db Database, x Extent) (Extent, error) {
	if x.LastID < mostEntries {
		return x, nil
	}
	if !l.far {
		l.far = true
		l.r.add(find(EntryInserted, "entry", text(x.LastID), "entry %d is far behind the last one: callrecordd has not written it", x.LastID))
	}
	last, err := db.LinkAt(ctx, mostEntries-1)
	return Extent{LastID: last.ID, Numbered: last.ID}, err
}

// ledgerOf is what has been read of the ledger.
type ledgerOf struct {
	marks *marks
	cdrs  *cdrs
	holds holds
	r     *Report
	begun begun
	seen  bool // begun
	far   bool // an entry was left out, and told of
	bare  int64
	first int64 // of those without a hash
	// latest is when the last thing happened, in microseconds UTC.
	latest int64
}

// most reads the entries up to one, several parts at a time.
func (l *ledgerOf) most(ctx context.Context, db Database, until int64, o Options) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	order := make(chan chan reading, o.Workers)
	free := make(chan struct{}, o.Workers)
	go func() {
		defer close(order)
		for after := int64(0); after < until; after += partSize {
			select {
			case free <- struct{}{}:
			case <-ctx.Done():
				return
			}
			place := make(chan reading, 1)
			order <- place // there are as many places as may be read
			go func() {
				p, err := readPart(ctx, db, after, min(after+partSize, until))
				place <- reading{p, err}
			}()
		}
	}()
	var failure error
	for place := range order {
		got := <-place
		<-free
		if failure == nil {
			if failure = got.err; failure == nil {
				failure = l.add(got.part)
			}
			if failure != nil {
				cancel()
			} else {
				o.Progress(*l.r)
			}
		}
	}
	if failure == nil {
		failure = ctx.Err()
	}
	return failure
}

func (l *ledgerOf) add(p *part) error {
	l.r.Entries += p.entries
	l.latest = max(l.latest, p.latest)
	l.r.add(p.found...)
	if p.begun != nil && !l.seen {
		l.begun, l.seen = *p.begun, true
	}
	if p.bare > 0 {
		if l.bare == 0 {
			l.first = p.firstRaw
		}
		l.bare += p.bare
	}
	for _, f := range p.cdrs {
		l.cdrs.apply(f)
	}
	for _, h := range p.holds {
		l.holds.apply(h)
	}
	return l.marks.add(p)
}

// beforeFirst tells of entries that no chain begins with: ids begin with 1. What
// they say about recordings would be read.
func beforeFirst(ctx context.Context, db Database, r *Report) error {
	return db.Entries(ctx, math.MinInt64, 0, func(e *ledger.Entry, _ []byte) error {
		r.add(find(EntryInserted, "entry", text(e.ID), "entry %d (%s) is before the first: callrecordd has not written it", e.ID, e.Kind))
		return nil
	})
}

// unchained tells of entries without a hash: those of before the ledger get
// theirs from the daemon, one after the other; others have none of ours.
func (l *ledgerOf) unchained() {
	switch {
	case l.bare == 0:
	case l.marks.ids == 0 || !l.seen || l.marks.ids < l.first && l.marks.good.size == 0:
		l.r.add(find(NotChained, "entry", text(l.first), "%d entries, from %d on, are of before the ledger and have no hash yet", l.bare, l.first))
	default:
		l.r.add(find(EntryInserted, "entry", text(l.first), "%d entries, the first is %d, have no hash: callrecordd has not written them", l.bare, l.first))
	}
}

// unsignedTime is for how long a ledger may be without a checkpoint: the daemon
// makes one when it starts, every few minutes, and when it stops.
const unsignedTime = time.Hour

// unsigned tells of a ledger in which nothing is signed.
func (l *ledgerOf) unsigned() {
	if lasts := time.Duration(l.latest-l.begun.at) * time.Microsecond; l.seen && l.r.Checkpoints == 0 && lasts > unsignedTime {
		l.r.add(find(Unsigned, "ledger", "", "the ledger has no checkpoint, though it goes from %s to %s: nothing in it is signed",
			moment(l.begun.at), moment(l.latest)))
	}
}
