package verify

import (
	"context"
	"encoding/json"
	"errors"

	"callrecordd/internal/recorder"
)

// settled is the data of the entries that say what a recording's file is.
type settled struct {
	State   recorder.State `json:"state"`
	SHA256  string         `json:"sha256"`
	Bytes   int64          `json:"bytes"`
	Samples int64          `json:"samples"`
	Rate    int            `json:"rate"`
	Proves  bool           `json:"proves"`
	Tenant  string         `json:"tenant"` // empty in older entries
	Row     string         `json:"row"`    // the same
}

// verdict is what a row and the ledger together demand of the file.
type verdict struct {
	found    *Finding
	unproved bool
	sha256   string // of the file, empty if nobody has said
	bytes    int64
	file     demand
}

type demand int

const (
	anyFile demand = iota // it may be there or not
	itsFile               // it must be there, as it was
	noFile                // it must not be there
)

// judge compares a row with the ledger.
func judge(rec Recording, old begun) verdict {
	var said *settled // the last entry that says what the file is
	var gone *Fact    // the last that says that it is deleted
	var cdr int64     // to which it belongs
	intended := false // its row is on record
	for i := range rec.Facts {
		f := &rec.Facts[i]
		switch f.Kind {
		case "recording_intent":
			intended = true
		case "recording.delete_begun", "recording.deleted":
			gone = f
		case "recording.delete_failed":
			gone = nil
		case "recording_attached":
			var to struct {
				CDR int64 `json:"cdr"`
			}
			if json.Unmarshal([]byte(f.Data), &to) == nil {
				cdr = to.CDR
			}
		default:
			var s settled
			if json.Unmarshal([]byte(f.Data), &s) == nil {
				said, gone = &s, nil
			}
		}
	}
	bad := func(k Kind, meaning string, args ...any) verdict {
		f := find(k, "recording", rec.UUID, "recording "+rec.UUID+" "+meaning, args...)
		return verdict{found: &f}
	}
	if rec.CDR != cdr && len(rec.Facts) > 0 && (cdr != 0 || rec.IntentAt > old.at) {
		return bad(RecordingAltered, "belongs to CDR %d, but the ledger says %d (0 is none)", rec.CDR, cdr)
	}
	switch rec.State {
	case recorder.Deleted:
		switch {
		case gone == nil && said != nil && said.Proves && said.State == recorder.Deleted:
			return verdict{} // it came from elsewhere like that
		case gone == nil:
			return bad(RecordingAltered, "is marked as deleted, but no entry of the ledger says so")
		case gone.Kind == "recording.deleted":
			return verdict{file: noFile}
		}
		return verdict{}
	case recorder.Starting, recorder.Live, recorder.Paused, recorder.Closing:
		if said != nil && said.Proves {
			return bad(RecordingAltered, "is marked as %s, but the ledger says that it had ended (%s)", rec.State, said.State)
		}
		if !intended && rec.IntentAt > old.at {
			return bad(RecordingInserted, "goes on, and no entry of the ledger says that it began: callrecordd has not stored it")
		}
		return verdict{}
	case recorder.Ready, recorder.Empty, recorder.Interrupted, recorder.Missing:
	default:
		return bad(RecordingAltered, "has the state %q, which there is not", rec.State)
	}
	v := verdict{sha256: rec.SHA256, bytes: rec.Bytes}
	switch {
	case gone != nil:
		return bad(RecordingPutBack, "is marked as %s, but the ledger says that it was deleted by %s on %s", rec.State, gone.Actor, moment(gone.At))
	case said == nil || !said.Proves:
		if rec.IntentAt > old.at {
			return bad(RecordingInserted, "is in no entry of the ledger: callrecordd has not stored it")
		}
		v.unproved = true
	case said.Tenant != "" && said.Tenant != rec.Tenant:
		return bad(RecordingAltered, "belongs to tenant %q, but it was recorded for %q", rec.Tenant, said.Tenant)
	case said.State != rec.State, said.SHA256 != rec.SHA256, said.Bytes != rec.Bytes, said.Samples != rec.Samples, said.Rate != rec.Rate:
		v = bad(RecordingAltered, "has another row than callrecordd has stored: %s with %d bytes and SHA-256 %q, but it was %s with %d bytes and %q",
			rec.State, rec.Bytes, rec.SHA256, said.State, said.Bytes, said.SHA256)
		v.sha256, v.bytes = said.SHA256, said.Bytes // the file is judged by the ledger
	case said.Row != "" && said.Row != rec.Row:
		v = bad(RecordingAltered, "has another row than callrecordd has stored: when it began or ended, why, or of whom it is, was changed")
		v.sha256, v.bytes = said.SHA256, said.Bytes
	}
	state := rec.State
	if said != nil && said.Proves {
		state = said.State
	}
	// A missing one with a hash had its file, and nobody has deleted it.
	if v.sha256 != "" || state == recorder.Ready {
		v.file = itsFile
	}
	return v
}

// readPages reads recordings ahead of who judges them.
func readPages(ctx context.Context, db Database) (<-chan []Recording, <-chan error) {
	pages, failure := make(chan []Recording, 1), make(chan error, 1)
	go func() {
		defer close(pages)
		for after := ""; ; {
			page, err := db.Recordings(ctx, after, pageSize)
			if err != nil {
				failure <- err
				return
			}
			select {
			case pages <- page:
			case <-ctx.Done():
				failure <- ctx.Err()
				return
			}
			if len(page) < pageSize {
				failure <- nil
				return
			}
			after = page[len(page)-1].UUID
		}
	}()
	return pages, failure
}

// pageSize is how many recordings are read together.
const pageSize = 500

// recordings verifies rows and files, several files at a time.
func recordings(ctx context.Context, db Database, o Options, old begun, r *Report) error {
	h, err := newHasher(ctx, db, o, old)
	if err != nil {
		return err
	}
	defer h.close()
	ctx, cancel := context.WithCancel(ctx)
	pages, failure := readPages(ctx, db)
	defer func() {
		cancel()
		for range pages { // until the reader has ended
			continue
		}
	}()
	for page := range pages {
		r.Recordings += int64(len(page))
		for _, rec := range page {
			v := judge(rec, old)
			if v.unproved {
				r.UnprovedRecordings++
			}
			if err := h.take(ctx, task{rec, v}, r); err != nil {
				return err
			}
		}
		o.Progress(*r)
	}
	if err := errors.Join(<-failure, h.finish(r)); err != nil {
		return err
	}
	if n := r.UnprovedRecordings - old.Recordings; n > 0 {
		r.add(find(RecordingInserted, "recording", "", "%d recordings are not proved by the ledger, but when it began there were only %d: "+
			"%d of them were put there", r.UnprovedRecordings, old.Recordings, n))
	}
	return nil
}
