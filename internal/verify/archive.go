package verify

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"callrecordd/internal/ledger"
)

// proofsName is the file of an archive with the proofs, listName that with what
// it lacks.
const (
	proofsName = "proofs.json"
	listName   = "missing.json"
)

// proofBytes is more than the proof of a file has: an entry of some hundred bytes
// and a path of at most 63 hashes. Who makes an archive must not decide how much
// memory it takes to read it.
const proofBytes = 64 << 10

// Archive verifies an export with the proofs in it: that each file is the one of
// which the ledger says the hash, in an entry that was there when the checkpoint
// was signed. It needs no database.
func Archive(ctx context.Context, file io.ReaderAt, size int64, key *ledger.Verifier) (Report, error) {
	r := Report{Findings: []Finding{}}
	z, err := zip.NewReader(file, size)
	if err != nil {
		return r, fmt.Errorf("read the archive: %w", err)
	}
	a := &archive{files: map[string]*zip.File{}, key: key, r: &r, buf: make([]byte, readSize)}
	for _, f := range z.File {
		if _, twice := a.files[f.Name]; twice {
			r.add(find(ProofInvalid, "file", f.Name, "%s is twice in the archive", f.Name))
		}
		a.files[f.Name] = f
	}
	if err := a.proofs(ctx); err != nil {
		return r, err
	}
	for name := range a.files {
		if name != listName && !strings.HasSuffix(name, "/") {
			a.rest = append(a.rest, name)
		}
	}
	slices.Sort(a.rest)
	for _, name := range a.rest {
		r.add(find(Unproved, "file", name, "%s has no proof in the archive", name))
	}
	r.Clean = len(r.Findings) == 0
	return r, nil
}

// archive is one that is being read.
type archive struct {
	files map[string]*zip.File // those that nothing was said about yet
	rest  []string
	key   *ledger.Verifier
	at    ledger.Checkpoint
	r     *Report
	buf   []byte
}

// errUnsigned ends the reading: nothing that follows can count.
var errUnsigned = errors.New("the checkpoint of the archive is not signed with this key")

func (a *archive) proofs(ctx context.Context) error {
	f := a.files[proofsName]
	delete(a.files, proofsName)
	if f == nil {
		return nil // every file is told of
	}
	most := int64(proofBytes * (len(a.files) + 1))
	if f.UncompressedSize64 > uint64(most) {
		a.r.add(find(ProofInvalid, "file", proofsName, "%s has %d bytes, more than %d files need: it is not what an export has",
			proofsName, f.UncompressedSize64, len(a.files)))
		return nil
	}
	in, err := f.Open()
	if err != nil {
		return fmt.Errorf("read %s: %w", proofsName, err)
	}
	err = ledger.ReadProofs(io.LimitReader(in, most), func(signed string) error {
		a.r.Checkpoints++
		c, err := a.key.Open(signed)
		if err != nil {
			a.r.add(find(CheckpointForged, "checkpoint", proofsName, "the checkpoint in %s is not signed with this key: %v", proofsName, err))
			return errUnsigned
		}
		a.at = c
		return nil
	}, func(f ledger.ProvedFile) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		a.look(f)
		return nil
	})
	switch {
	case errors.Is(err, errUnsigned):
		return nil
	case err != nil && ctx.Err() == nil:
		a.r.add(find(ProofInvalid, "file", proofsName, "%s cannot be read: %v", proofsName, err))
		return nil
	}
	return errors.Join(err, in.Close())
}

// look judges one file.
func (a *archive) look(p ledger.ProvedFile) {
	f := a.files[p.Filename]
	if f == nil {
		a.r.add(find(FileMissing, "file", p.Filename, "%s has a proof, but is not in the archive, or is there twice", p.Filename))
		return
	}
	delete(a.files, p.Filename)
	a.r.Recordings++
	if p.Proof == nil {
		a.r.add(find(Unproved, "file", p.Filename, "%s has no proof (%s)", p.Filename, p.Unproved))
		return
	}
	if err := p.Proof.Check(a.at); err != nil {
		a.r.add(find(ProofInvalid, "file", p.Filename, "the proof of %s does not fit: the entry is not in the ledger that was signed", p.Filename))
		return
	}
	a.r.Entries++
	var s settled
	e := p.Proof.Entry
	switch {
	case e.Kind != "recording_settled" && e.Kind != "recording_imported" && e.Kind != "recording_restated",
		e.Recording != p.RecordingUUID, !strings.HasSuffix(p.Filename, "-"+e.Recording+".wav"):
		a.r.add(find(ProofInvalid, "file", p.Filename, "the entry in the proof of %s is about something else", p.Filename))
		return
	case json.Unmarshal([]byte(e.Data), &s) != nil || !s.Proves || s.SHA256 == "":
		a.r.add(find(Unproved, "file", p.Filename, "the entry in the proof of %s says no hash: it is of before the ledger", p.Filename))
		return
	}
	sum, size, err := a.hash(f)
	a.r.Bytes += size
	a.r.Files++
	switch {
	case err != nil:
		a.r.add(find(FileUnreadable, "file", p.Filename, "%s cannot be read: %v", p.Filename, err))
	case sum != s.SHA256:
		a.r.add(find(FileAltered, "file", p.Filename, "%s is not what was recorded: it has %d bytes and SHA-256 %s, but it was %d bytes with %s",
			p.Filename, size, sum, s.Bytes, s.SHA256))
	}
}

// hash reads a file; a checksum of the archive that does not fit is no error:
// the hash tells.
func (a *archive) hash(f *zip.File) (string, int64, error) {
	in, err := f.Open()
	if err != nil {
		return "", 0, err
	}
	s := sha256.New()
	n, err := io.CopyBuffer(s, struct{ io.Reader }{in}, a.buf)
	if errors.Is(err, zip.ErrChecksum) {
		err = nil
	}
	return hex.EncodeToString(s.Sum(nil)), n, errors.Join(err, in.Close())
}
