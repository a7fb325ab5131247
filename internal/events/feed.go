package events

import (
	"context"
	"sync"
	"time"
)

// Entry is a stored row with what it announces, often nothing.
type Entry struct {
	Row    int64
	Events []Event
}

// Log is what the store has committed.
type Log interface {
	// After returns the rows behind one, in order and without a gap, at most
	// limit. more says that there is one that cannot be told yet.
	After(ctx context.Context, row int64, limit int) (list []Entry, more bool, err error)
	// Last is the newest row.
	Last(ctx context.Context) (int64, error)
}

const (
	pageRows = 256
	// keptRows bounds what is kept in memory for all followers together.
	keptRows = 2048
	// againAfter is when a row that could not be told yet is looked at again.
	againAfter = 100 * time.Millisecond
)

// Feed brings what a Log has to those who follow. They read, each from where it
// is, so that a slow one holds up nobody and costs no memory.
type Feed struct {
	log  Log
	room int // for followers

	// turn is held by who reads what is not kept: whoever begins at the beginning
	// has everything read, and calls need the processor.
	turn chan struct{}

	mu     sync.Mutex
	joined int
	share  map[string]int // by who follows
	kept   []Entry        // without a gap
	base   int64          // the row before the first of them
	dry    bool           // there was nothing behind them since the last Wake
	news   chan struct{}
	again  *time.Timer
	done   chan struct{}
	closed bool
}

// NewFeed returns a Feed for so many followers at a time.
func NewFeed(log Log, room int) *Feed {
	return &Feed{log: log, room: room, share: map[string]int{}, turn: make(chan struct{}, 1), news: make(chan struct{}), done: make(chan struct{})}
}

// Join takes a place for somebody, if there is one; leave gives it back. Nobody
// gets more than a quarter of the places: the others are for others.
func (f *Feed) Join(who string) (leave func(), ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.joined >= f.room || f.share[who] >= (f.room+3)/4 {
		return nil, false
	}
	f.joined++
	f.share[who]++
	return sync.OnceFunc(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.joined--
		if f.share[who]--; f.share[who] == 0 {
			delete(f.share, who)
		}
	}), true
}

// Wake says that there may be more.
func (f *Feed) Wake() {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.news)
	f.news, f.dry = make(chan struct{}), false
}

// News is closed when there may be more than there was. Take it before Read.
func (f *Feed) News() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.news
}

// Done is closed when nobody shall follow any more.
func (f *Feed) Done() <-chan struct{} { return f.done }

// Close has all followers end.
func (f *Feed) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed {
		f.closed = true
		close(f.done)
	}
	if f.again != nil {
		f.again.Stop()
	}
}

// Last is the newest row: who begins behind it sees only what is new.
func (f *Feed) Last(ctx context.Context) (int64, error) { return f.log.Last(ctx) }

// Read returns the next rows behind one; none means that there are none yet.
func (f *Feed) Read(ctx context.Context, after int64) ([]Entry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	end := f.base
	if n := len(f.kept); n > 0 {
		end = f.kept[n-1].Row
	}
	switch {
	case after < f.base: // older than what is kept
		return f.old(ctx, after)
	case after < end:
		return f.from(after), nil
	case after > end: // nobody has followed lately
		f.kept, f.base = nil, after
	case f.dry: // another follower has looked
		return nil, nil
	}
	list, more, err := f.log.After(ctx, after, pageRows)
	if err != nil {
		return nil, err
	}
	f.dry = len(list) == 0 && !more
	f.kept = append(f.kept, list...)
	if over := len(f.kept) - keptRows; over > 0 {
		f.base = f.kept[over-1].Row
		f.kept = append([]Entry(nil), f.kept[over:]...)
	}
	if more {
		f.lookAgain()
	}
	return list, nil
}

// old reads without the lock: it is of use to nobody else.
func (f *Feed) old(ctx context.Context, after int64) ([]Entry, error) {
	f.mu.Unlock()
	list, more, err := f.inTurn(ctx, after)
	f.mu.Lock()
	if more {
		f.lookAgain()
	}
	return list, err
}

func (f *Feed) inTurn(ctx context.Context, after int64) (list []Entry, more bool, err error) {
	select {
	case f.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
	defer func() { <-f.turn }()
	return f.log.After(ctx, after, pageRows)
}

func (f *Feed) from(after int64) []Entry {
	for i, e := range f.kept {
		if e.Row > after {
			return append([]Entry(nil), f.kept[i:min(len(f.kept), i+pageRows)]...)
		}
	}
	return nil
}

func (f *Feed) lookAgain() {
	if f.closed {
		return
	}
	if f.again != nil {
		f.again.Stop()
	}
	f.again = time.AfterFunc(againAfter, f.Wake)
}
