package cdr

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// book groups rows into calls: a call is the set of linkedids that transitively
// share a uniqueid (asterisk-facts 4).
type book struct {
	groups   map[*group]struct{}
	byLinked map[string]*group
	byUnique map[string]*group
	// boots are the known starts of Asterisk, ascending.
	boots []time.Time
	// clockBack: the last start seems to be later than now, so nothing can be
	// said about which Asterisk wrote a row.
	clockBack bool
	// newest is the latest time of the rows read so far, in their order, and
	// passed are the starts that rows have gone behind before the clock was set
	// back: by their times alone nothing can be told from what was before them.
	newest  time.Time
	passed  map[time.Time]bool
	learned time.Time // the start that was told of last
}

// group is one call that is not yet saved.
type group struct {
	entries map[entryKey]Row
	ended   map[string]bool     // linkedid → LINKEDID_END seen
	open    map[string]struct{} // uniqueids with CHAN_START and without CHAN_END
	closed  map[string]struct{} // uniqueids with CHAN_END
	last    time.Time           // of the newest row
	gone    bool                // Asterisk or the live model knows nothing of it any more
}

// entryKey is a row's place: ids of two journals may be the same numbers.
type entryKey struct {
	epoch int // counts the journals this process has read
	id    int64
}

func newBook() *book {
	return &book{groups: map[*group]struct{}{}, passed: map[time.Time]bool{}, byLinked: map[string]*group{}, byUnique: map[string]*group{}}
}

// add puts the row into its call, joining two calls that turn out to be one.
func (b *book) add(epoch int, row Row) {
	g := b.find(b.byLinked, row.LinkedID, row.At)
	if other := b.find(b.byUnique, row.UniqueID, row.At); g == nil {
		g = other
	} else if other != nil && other != g {
		g = b.join(g, other)
	}
	if g == nil {
		g = &group{
			entries: map[entryKey]Row{}, ended: map[string]bool{},
			open: map[string]struct{}{}, closed: map[string]struct{}{},
		}
		b.groups[g] = struct{}{}
	}
	g.add(epoch, row)
	b.byLinked[row.LinkedID] = g
	if row.UniqueID != "" {
		b.byUnique[row.UniqueID] = g
	}
}

// find looks the id up. If Asterisk has started anew since that call's last
// row, the id has come back and means another call (asterisk-facts 5).
func (b *book) find(index map[string]*group, id string, at time.Time) *group {
	g := index[id]
	if g == nil || !b.restarted(g.last, at) {
		return g
	}
	g.gone = true
	b.unindex(g)
	return nil
}

// restarted reports whether Asterisk started after last and not after at.
func (b *book) restarted(last, at time.Time) bool {
	return slices.ContainsFunc(b.boots, func(boot time.Time) bool {
		return last.Before(boot) && !boot.After(at) && !b.passed[boot]
	})
}

// setBack is how much earlier than the row before it a row must be to show that
// the clock was set back; rows of two threads may be out of order by less.
const setBack = time.Second

// pass takes note of the time of the next row of the journal.
func (b *book) pass(at time.Time) {
	if b.newest.Sub(at) > setBack {
		for _, boot := range b.boots {
			if boot.After(at) && !boot.After(b.newest) {
				b.passed[boot] = true
			}
		}
	}
	if at.After(b.newest) {
		b.newest = at
	}
}

func (b *book) join(into, from *group) *group {
	if len(into.entries) < len(from.entries) {
		into, from = from, into
	}
	b.remove(from)
	for key, row := range from.entries {
		into.add(key.epoch, row)
		b.byLinked[row.LinkedID] = into
		if row.UniqueID != "" {
			b.byUnique[row.UniqueID] = into
		}
	}
	return into
}

func (b *book) remove(g *group) {
	delete(b.groups, g)
	b.unindex(g)
}

func (b *book) unindex(g *group) {
	for _, row := range g.entries {
		if b.byLinked[row.LinkedID] == g {
			delete(b.byLinked, row.LinkedID)
		}
		if b.byUnique[row.UniqueID] == g {
			delete(b.byUnique, row.UniqueID)
		}
	}
}

// finished returns the calls to be saved, oldest first.
func (b *book) finished() []*group {
	var done []*group
	for g := range b.groups {
		if g.finished() {
			done = append(done, g)
		}
	}
	slices.SortFunc(done, func(x, y *group) int { return compareKeys(x.first(), y.first()) })
	return done
}

// watermark is the position up to which every row is consumed once the calls
// in without are saved, given that rows up to position have been read.
func (b *book) watermark(epoch int, position int64, without []*group) int64 {
	for g := range b.groups {
		if slices.Contains(without, g) {
			continue
		}
		for key := range g.entries {
			if key.epoch == epoch {
				position = min(position, key.id-1)
			}
		}
	}
	return position
}

// abandon marks the calls that ended without a word because Asterisk has
// started anew since their last row (asterisk-facts 4).
func (b *book) abandon(start time.Time) {
	for g := range b.groups {
		if g.last.Before(start) {
			g.gone = true
		}
	}
}

// addBoot reports whether that start was not known before.
func (b *book) addBoot(boot time.Time) (added bool) {
	b.learned = boot
	if slices.ContainsFunc(b.boots, boot.Equal) {
		return false
	}
	b.boots = append(b.boots, boot)
	slices.SortFunc(b.boots, time.Time.Compare)
	return true
}

// bootOf returns the start of the Asterisk that wrote a row at that time, zero
// if it is not known.
func (b *book) bootOf(at time.Time) time.Time {
	var found time.Time
	if b.clockBack {
		return found
	}
	if len(b.passed) > 0 && at.Before(b.newest) {
		return b.learned // a time that has been twice
	}
	for _, boot := range b.boots {
		if !boot.After(at) {
			found = boot
		}
	}
	return found
}

func (g *group) add(epoch int, row Row) {
	g.entries[entryKey{epoch, row.ID}] = row
	if row.At.After(g.last) {
		g.last = row.At
	}
	g.ended[row.LinkedID] = g.ended[row.LinkedID] || row.Type == eventLinkedIDEnd
	switch row.Type {
	case eventChanStart:
		if _, done := g.closed[row.UniqueID]; !done { // rows of a call may be joined in any order
			g.open[row.UniqueID] = struct{}{}
		}
	case eventChanEnd:
		g.closed[row.UniqueID] = struct{}{}
		delete(g.open, row.UniqueID)
	}
}

// finished: each linkedid has ended and no channel is open; LINKEDID_END alone
// may come in mid-call (asterisk-facts 4).
func (g *group) finished() bool {
	if g.gone {
		return true
	}
	for _, ended := range g.ended {
		if !ended {
			return false
		}
	}
	return len(g.open) == 0
}

func (g *group) keys() []entryKey {
	return slices.SortedFunc(maps.Keys(g.entries), compareKeys)
}

func (g *group) first() entryKey {
	return slices.MinFunc(slices.Collect(maps.Keys(g.entries)), compareKeys)
}

// rows returns the call's rows in the order in which Asterisk wrote them.
func (g *group) rows() []Row {
	rows := make([]Row, 0, len(g.entries))
	seen := map[rowContent]int{} // epoch + 1
	for _, key := range g.keys() {
		row := g.entries[key]
		// A journal that is read again from its beginning has the same rows.
		content := rowContent{row.At, row.Type, row.UniqueID, row.Channel, row.App, row.AppData, row.Extra}
		if epoch := seen[content]; epoch > 0 && epoch != key.epoch+1 {
			continue
		}
		seen[content] = key.epoch + 1
		rows = append(rows, row)
	}
	return rows
}

// rowContent is what tells a row from others of its call.
type rowContent struct {
	at                                    time.Time
	kind, uniqueID, channel, app, appData string
	extra                                 Extra
}

// span is the call's range in its newest journal.
func (g *group) span() (epoch int, first, last int64) {
	keys := g.keys()
	epoch, last = keys[len(keys)-1].epoch, keys[len(keys)-1].id
	for _, key := range keys {
		if key.epoch == epoch {
			return epoch, key.id, last
		}
	}
	return epoch, last, last
}

func compareKeys(a, b entryKey) int {
	return cmp.Or(cmp.Compare(a.epoch, b.epoch), cmp.Compare(a.id, b.id))
}
