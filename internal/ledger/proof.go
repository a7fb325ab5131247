package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"golang.org/x/mod/sumdb/tlog"
)

// Proof shows that an entry is one of those that a checkpoint counts.
type Proof struct {
	Entry  Entry  `json:"entry"`
	Before Hash   `json:"before"` // the hash of the entry before
	Index  int64  `json:"index"`  // how many entries are before it
	Path   []Hash `json:"path"`   // from its leaf to the root
}

// ErrProof says that a proof does not show what it should.
var ErrProof = errors.New("the proof does not fit")

// Check returns an error that wraps ErrProof unless the entry is in the tree of
// the checkpoint, in its place.
func (p Proof) Check(c Checkpoint) error {
	var chain Chainer
	leaf := Leaf(chain.Hash(p.Before, &p.Entry))
	if err := tlog.CheckRecord(p.Path, c.Size, c.Root, p.Index, leaf); err != nil {
		return fmt.Errorf("entry %d: %w: %w", p.Entry.ID, ErrProof, err)
	}
	return nil
}

// ProvedFile is a file of an archive, with the proof of what the ledger says
// about it or why there is none.
type ProvedFile struct {
	Filename      string `json:"filename"`
	RecordingUUID string `json:"recording_uuid"`
	Unproved      string `json:"unproved,omitempty"`
	Proof         *Proof `json:"proof,omitempty"`
}

// Values of Unproved.
const (
	CauseOlder = "older_than_the_ledger" // it had ended before the ledger knew hashes
	CauseNewer = "newer_than_the_checkpoint"
	CauseFault = "fault" // the log of the daemon tells
)

// maxProofs bounds what is read of a proofs.json: some kilobytes for each of a
// million files.
const maxProofs = 4 << 30

// ReadProofs reads the proofs.json of an archive, an object with the signed
// "checkpoint" and then the "files", one file at a time: there may be a million.
func ReadProofs(r io.Reader, checkpoint func(signed string) error, file func(ProvedFile) error) error {
	d := json.NewDecoder(io.LimitReader(r, maxProofs))
	if err := expect(d, json.Delim('{')); err != nil {
		return err
	}
	signed, files := false, false
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return fmt.Errorf("read proofs: %w", err)
		}
		switch {
		case key == "checkpoint" && !signed:
			signed = true
			var text string
			if err = d.Decode(&text); err == nil {
				err = checkpoint(text)
			}
		case key == "files" && signed && !files:
			files = true
			err = elements(d, file)
		case key == "checkpoint" || key == "files":
			err = fmt.Errorf("%s is there twice, or before the checkpoint", key)
		default:
			var other json.RawMessage
			err = d.Decode(&other) // of a later version
		}
		if err != nil {
			return fmt.Errorf("read proofs: %w", err)
		}
	}
	if !signed || !files {
		return errors.New("read proofs: the checkpoint or the files are missing")
	}
	return expect(d, json.Delim('}'))
}

func expect(d *json.Decoder, want json.Delim) error {
	got, err := d.Token()
	if err != nil {
		return fmt.Errorf("read proofs: %w", err)
	}
	if got != want {
		return fmt.Errorf("read proofs: %v where %v is expected", got, want)
	}
	return nil
}

func elements[T any](d *json.Decoder, each func(T) error) error {
	if err := expect(d, '['); err != nil {
		return err
	}
	for d.More() {
		var v T
		if err := d.Decode(&v); err != nil {
			return err
		}
		if err := each(v); err != nil {
			return err
		}
	}
	return expect(d, ']')
}
