package verify

import (
	"context"
	"slices"
	"strconv"
)

// cdrs is what the ledger says about CDRs so far.
type cdrs struct {
	known  bits          // the last entry has its digest
	gone   bits          // the last entry says that it is gone
	absent bits          // it is known, and there was no row
	other  map[int64]CDR // the row was another than this digest says
}

func newCDRs() *cdrs { return &cdrs{bits{}, bits{}, bits{}, map[int64]CDR{}} }

// apply takes what an entry says: the last one counts.
func (c *cdrs) apply(f cdrFact) {
	delete(c.other, f.id)
	c.known.put(f.id, f.digest.Digest != "")
	c.gone.put(f.id, f.digest.Digest == "")
	c.absent.put(f.id, f.digest.Digest != "" && f.absent)
	if f.digest.Digest != "" && !f.fits && !f.absent {
		c.other[f.id] = f.digest
	}
}

// judge compares with the rows as they are at the end of the ledger, and counts
// them. lastOld is the last CDR of before the ledger.
func (c *cdrs) judge(ctx context.Context, db Database, lastOld int64, r *Report) error {
	var ids, missing []int64
	for id := range c.other {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for part := range slices.Chunk(ids, partSize) {
		rows, err := db.CDRDigests(ctx, part)
		if err != nil {
			return err
		}
		for _, id := range part {
			is, there := rows[id]
			switch want := c.other[id]; {
			case there && want.Digest != is.Digest:
				r.add(find(CDRAltered, "cdr", text(id), "CDR %d is not what callrecordd has stored: its row, or one of its participants, was changed", id))
			case there && !want.is(is):
				r.add(find(CDRAltered, "cdr", text(id), "CDR %d is not what callrecordd has stored: who talked in it, and when, was changed", id))
			case !there:
				missing = append(missing, id)
			}
		}
	}
	c.absent.each(func(id int64) { missing = append(missing, id) })
	slices.Sort(missing)
	for _, id := range missing {
		r.add(find(CDRRemoved, "cdr", text(id), "CDR %d is in the ledger, but has no row any more, and no entry says that it was deleted", id))
	}
	return db.CDRIDs(ctx, func(id int64) {
		r.CDRs++
		switch {
		case c.known.has(id):
		case c.gone.has(id):
			r.add(find(CDRPutBack, "cdr", text(id), "CDR %d is there, but the ledger says that it was deleted", id))
		case id > 0 && id <= lastOld:
			r.UnprovedCDRs++
		default:
			r.add(find(CDRInserted, "cdr", text(id), "CDR %d is in no entry of the ledger: callrecordd has not stored it", id))
		}
	})
}

func text(id int64) string { return strconv.FormatInt(id, 10) }
