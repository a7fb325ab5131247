package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"callrecordd/internal/ledger"
)

// mark is a signed statement about the ledger: a checkpoint of the database, or
// one of the anchor file.
type mark struct {
	size   int64
	root   ledger.Hash
	at     time.Time
	lastID int64
	anchor int // its line in the anchor file, 0 if it comes from the database
}

func (m mark) String() string {
	if m.anchor > 0 {
		return fmt.Sprintf("the anchor of %s (line %d)", day(m.at), m.anchor)
	}
	return "the checkpoint of " + day(m.at)
}

// marks are those that are still to be met, by size.
type marks struct {
	list  []mark
	tree  ledger.Tree
	ids   int64 // the id of the last entry in the tree
	good  mark  // the last that fitted
	bad   int   // how many did not
	first *Finding
}

// readMarks collects those whose signature fits, and tells of the others.
func readMarks(ctx context.Context, db Database, anchor io.Reader, key *ledger.Verifier, r *Report) (*marks, error) {
	m := &marks{}
	err := db.Checkpoints(ctx, func(size int64, signed string) error {
		r.Checkpoints++
		c, err := key.Open(signed)
		if err == nil && c.Size != size {
			err = errors.New("its row says another number of entries")
		}
		if err != nil {
			r.add(find(CheckpointForged, "checkpoint", text(size), "the checkpoint of %d entries is not signed with this key: %v", size, err))
			return nil
		}
		m.list = append(m.list, mark{c.Size, c.Root, c.At, c.LastID, 0})
		return nil
	})
	if err == nil && anchor != nil {
		err = ledger.ReadAnchor(anchor, func(a ledger.Anchored) error {
			r.Anchors++
			c, err := key.Open(a.Note)
			if err != nil {
				r.add(find(AnchorForged, "anchor", fmt.Sprintf("line %d", a.Line),
					"what begins in line %d of the anchor file is no checkpoint that was signed with this key: %v", a.Line, err))
				return nil
			}
			m.list = append(m.list, mark{c.Size, c.Root, c.At, c.LastID, a.Line})
			return nil
		})
	}
	if err == nil && anchor != nil && r.Anchors == 0 && r.Checkpoints > 0 {
		r.add(find(AnchorForged, "anchor", "file", "the anchor file has no checkpoint, though the database has %d: "+
			"it was emptied or replaced, or the daemon has not written to it yet", r.Checkpoints))
	}
	slices.SortStableFunc(m.list, func(a, b mark) int { return cmp.Compare(a.size, b.size) })
	return m, err
}

// add takes the next entries.
func (m *marks) add(p *part) error {
	if err := m.meet(); err != nil { // those of no entries
		return err
	}
	for i, leaf := range p.leaves {
		m.tree.Append(leaf)
		m.ids = p.ids[i]
		if len(m.list) > 0 && m.list[0].size <= m.tree.Size() {
			if err := m.meet(); err != nil {
				return err
			}
		}
	}
	return nil
}

// meet compares the marks of the tree's size.
func (m *marks) meet() error {
	for len(m.list) > 0 && m.list[0].size == m.tree.Size() {
		next := m.list[0]
		m.list = m.list[1:]
		root, err := m.tree.Root()
		if err != nil {
			return fmt.Errorf("root of %d entries: %w", next.size, err)
		}
		if root == next.root {
			m.good = next
			continue
		}
		if m.bad++; m.first == nil {
			m.first = m.mismatch(next)
		}
	}
	return nil
}

func (m *marks) mismatch(is mark) *Finding {
	kind, what, id := CheckpointMismatch, "checkpoint", text(is.size)
	if is.anchor > 0 {
		kind, what, id = AnchorMismatch, "anchor", fmt.Sprintf("line %d", is.anchor)
	}
	since := "from the first on"
	if m.good.size > 0 {
		since = fmt.Sprintf("behind entry %d, up to which %s fits", m.good.lastID, m.good)
	}
	f := find(kind, what, id, "the entries up to %d are not those that %s has signed: some %s were altered, removed or put there, "+
		"or the database is another one", is.lastID, is, since)
	return &f
}

// end tells what did not fit, and which marks lie behind the end of the ledger.
func (m *marks) end(x Extent, r *Report) {
	if m.first != nil {
		f := *m.first
		if m.bad > 1 {
			f.Meaning += fmt.Sprintf("; so are those of %d others", m.bad-1)
		}
		r.add(f)
	}
	r.SinceCheckpoint = m.tree.Size() - m.good.size
	ahead := m.list
	if i := slices.IndexFunc(m.list, func(x mark) bool { return x.size > m.tree.Size() }); i >= 0 {
		ahead = m.list[i:]
	}
	if len(ahead) > 0 {
		last := ahead[len(ahead)-1]
		kind, what, id, why := LedgerCut, "checkpoint", text(last.size), "its end was cut off"
		if last.anchor > 0 {
			kind, what, id = AnchorAhead, "anchor", fmt.Sprintf("line %d", last.anchor)
			why = "its end was cut off, or an older copy was put back"
		}
		r.add(find(kind, what, id, "the ledger ends with entry %d, but %s has signed %d entries up to number %d: %s; "+
			"%d entries are missing", x.LastID, last, last.size, last.lastID, why, last.size-m.tree.Size()))
	} else if x.Numbered > x.LastID {
		r.add(find(LedgerCut, "entry", fmt.Sprintf("%d–%d", x.LastID+1, x.Numbered),
			"the ledger ends with entry %d, but %d have been numbered: its end was cut off", x.LastID, x.Numbered))
	}
}
