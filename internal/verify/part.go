package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"callrecordd/internal/ledger"
)

// partSize is how many entries are read together.
const partSize = 4096

// part is what one stretch of the ledger came to. Several are read at a time;
// the tree takes them in their order.
type part struct {
	ids      []int64 // of the chained entries
	leaves   []ledger.Hash
	found    []Finding
	cdrs     []cdrFact
	settled  []string // uuids of recordings that must have a row
	holds    []hold
	begun    *begun
	entries  int64
	latest   int64 // microseconds UTC
	bare     int64 // entries without a hash
	firstRaw int64 // the first of them
}

// cdrFact is what an entry says about a CDR, and whether the row is so.
type cdrFact struct {
	id     int64
	digest CDR // empty: the CDR is gone
	fits   bool
	absent bool
}

// begun is the data of ledger.begun.
type begun struct {
	at         int64
	LastCDR    int64 `json:"last_cdr"`
	Recordings int64 `json:"recordings"`
}

// saved is the data of cdr_saved, and of each of cdr.imported.
type saved struct {
	ID int64 `json:"cdr"`
	CDR
	Gone int64 `json:"gone"` // of cdr.merged
}

// intent is the data of recording_intent.
type intent struct {
	Stored bool `json:"stored"` // with the row; older ones were stored apart, or alone
}

// readPart reads the entries behind after, up to until, and looks at the rows
// that they are about.
func readPart(ctx context.Context, db Database, after, until int64) (*part, error) {
	p := &part{}
	last, err := db.LinkAt(ctx, after)
	if err != nil {
		return nil, err
	}
	var chain ledger.Chainer
	err = db.Entries(ctx, after, until, func(e *ledger.Entry, hash []byte) error {
		p.entries++
		p.latest = max(p.latest, e.At)
		if e.ID != last.ID+1 {
			p.found = append(p.found, missing(last.ID+1, e.ID-1))
		}
		if hash == nil {
			if p.bare++; p.bare == 1 {
				p.firstRaw = e.ID
			}
			last = ledger.Link{ID: e.ID}
			return p.look(e)
		}
		// Behind a gap the hash cannot fit, and the gap says so already.
		if want := chain.Hash(last.Hash, e); string(want[:]) != string(hash) && e.ID == last.ID+1 {
			p.found = append(p.found, altered(e))
		}
		last.ID = e.ID
		copy(last.Hash[:], hash)
		p.ids = append(p.ids, e.ID)
		p.leaves = append(p.leaves, ledger.Leaf(last.Hash))
		return p.look(e)
	})
	if err == nil {
		err = p.compare(ctx, db)
	}
	return p, err
}

func missing(first, last int64) Finding {
	id, verb := strconv.FormatInt(first, 10), "entry %s is missing"
	if last > first {
		id, verb = fmt.Sprintf("%d–%d", first, last), "entries %s are missing"
	}
	return find(EntriesMissing, "entry", id, verb+": they were deleted from the ledger", id)
}

func altered(e *ledger.Entry) Finding {
	id := strconv.FormatInt(e.ID, 10)
	about := ""
	if e.Recording != "" {
		about = " about recording " + e.Recording
	}
	return find(EntryAltered, "entry", id, "entry %d (%s of %s%s) does not fit its hash: it, or the hash of the one before, "+
		"was changed after it was written, or it was put there", e.ID, e.Kind, moment(e.At), about)
}

// look takes what an entry proves.
func (p *part) look(e *ledger.Entry) error {
	switch e.Kind {
	case "recording_settled", "recording_imported", "recording_restated":
		p.settled = append(p.settled, e.Recording)
	case "recording_intent":
		var i intent
		if json.Unmarshal([]byte(e.Data), &i) == nil && i.Stored {
			p.settled = append(p.settled, e.Recording)
		}
	case "cdr.held", "cdr.released":
		p.readHold(e)
	case "cdr_saved", "cdr.deleted", "cdr.merged":
		if e.Kind == "cdr.merged" {
			p.readHold(e)
		}
		var s saved
		if json.Unmarshal([]byte(e.Data), &s) != nil {
			return nil // altered, which its hash tells
		}
		switch {
		case e.Kind == "cdr.deleted":
			p.cdrs = append(p.cdrs, cdrFact{id: s.ID})
		case e.Kind == "cdr.merged":
			p.cdrs = append(p.cdrs, cdrFact{id: s.Gone})
		case s.Digest != "":
			p.cdrs = append(p.cdrs, cdrFact{id: s.ID, digest: s.CDR})
		}
	case "cdr.imported":
		var list struct {
			CDRs []saved `json:"cdrs"`
		}
		if json.Unmarshal([]byte(e.Data), &list) != nil {
			return nil // the same
		}
		for _, s := range list.CDRs {
			if s.Digest != "" {
				p.cdrs = append(p.cdrs, cdrFact{id: s.ID, digest: s.CDR})
			}
		}
	case "ledger.begun":
		b := &begun{at: e.At}
		if p.begun == nil && json.Unmarshal([]byte(e.Data), b) == nil {
			p.begun = b
		}
	}
	return nil
}

// compare looks at the rows.
func (p *part) compare(ctx context.Context, db Database) error {
	var ids []int64
	for _, f := range p.cdrs {
		if f.digest.Digest != "" {
			ids = append(ids, f.id)
		}
	}
	if len(ids) > 0 {
		rows, err := db.CDRDigests(ctx, ids)
		if err != nil {
			return err
		}
		for i := range p.cdrs {
			f := &p.cdrs[i]
			is, there := rows[f.id]
			f.absent, f.fits = !there, there && f.digest.is(is)
		}
	}
	if len(p.settled) == 0 {
		return nil
	}
	gone, err := db.Vanished(ctx, p.settled)
	for _, uuid := range gone {
		p.found = append(p.found, find(RecordingRemoved, "recording", uuid,
			"recording %s is in the ledger, but has no row any more, and no entry says that it was deleted", uuid))
	}
	return err
}
