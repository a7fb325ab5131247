package verify

import (
	"context"
	"encoding/json"
	"maps"
	"slices"

	"callrecordd/internal/ledger"
)

// hold is what an entry says about the legal hold of a CDR.
type hold struct {
	Kind   string `json:"-"`
	CDR    int64  `json:"cdr"`
	Reason string `json:"reason"`
	Gone   int64  `json:"gone"` // of cdr.merged
}

// readHold takes an entry that is about a hold, or may move one.
func (p *part) readHold(e *ledger.Entry) {
	h := hold{Kind: e.Kind}
	if json.Unmarshal([]byte(e.Data), &h) == nil { // else it is altered, which its hash tells
		p.holds = append(p.holds, h)
	}
}

// holds are those that are in force, by the ledger.
type holds map[int64]string

func (h holds) apply(x hold) {
	switch x.Kind {
	case "cdr.held":
		h[x.CDR] = x.Reason
	case "cdr.released":
		delete(h, x.CDR)
	case "cdr.merged":
		if reason, held := h[x.Gone]; held {
			delete(h, x.Gone)
			h[x.CDR] = reason
		}
	}
}

// judge compares with those of the database.
func (h holds) judge(ctx context.Context, db Database, r *Report) error {
	rows, err := db.Holds(ctx)
	if err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(h)) {
		if is, there := rows[id]; !there {
			r.add(find(HoldAltered, "cdr", text(id), "CDR %d is not under legal hold (%s) any more, and no entry says that it was released", id, h[id]))
		} else if is != h[id] {
			r.add(find(HoldAltered, "cdr", text(id), "the legal hold of CDR %d has another reason than callrecordd has stored: %q, but it was %q", id, is, h[id]))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(rows)) {
		if _, held := h[id]; !held {
			r.add(find(HoldAltered, "cdr", text(id), "CDR %d is under legal hold (%s), but no entry says so", id, rows[id]))
		}
	}
	return nil
}
