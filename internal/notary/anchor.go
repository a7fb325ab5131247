package notary

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"callrecordd/internal/ledger"
)

// anchor appends the last checkpoint to the anchor file, if it is not there yet.
func (s *Service) anchor() {
	if s.opt.Anchor == "" || s.unsent == "" {
		return
	}
	err := appendFile(s.opt.Anchor, ledger.AnchorRecord(s.unsent))
	if err == nil {
		s.unsent = ""
	}
	s.stateMu.Lock()
	was := s.state.AnchorFailure
	s.state.AnchorFailure = ""
	if err != nil {
		s.state.AnchorFailure = err.Error()
	}
	now := s.state.AnchorFailure
	s.stateMu.Unlock()
	if (was == "") != (now == "") {
		s.opt.Anchoring(err)
	}
}

// appendFile only ever appends, and returns once it is on the disk.
func appendFile(path string, data []byte) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Sync()
}

// compare tells if the newest checkpoint in the anchor file counts more entries
// than there are: so that an older copy of the database is noticed when the
// daemon starts with it, and not only when somebody verifies.
func (s *Service) compare(ctx context.Context) {
	newest, err := s.newestAnchor()
	if err != nil {
		s.opt.Log.Warn("the database cannot be compared with the anchor file; callrecordd verify does it", "err", err)
		return
	}
	s.mu.Lock()
	err = s.grow(ctx)
	size := s.tree.Size()
	s.mu.Unlock()
	if err == nil && newest.Size > size {
		s.opt.Ahead(fmt.Errorf("the ledger has %d entries, but the anchor file has signed %d at %s: %w",
			size, newest.Size, newest.At.Format(time.RFC3339), ErrShorter))
	}
}

// newestAnchor returns the checkpoint of the anchor file that counts most, the
// zero one if there is none of our key.
func (s *Service) newestAnchor() (newest ledger.Checkpoint, err error) {
	if s.opt.Anchor == "" {
		return newest, nil
	}
	f, err := os.Open(s.opt.Anchor)
	if errors.Is(err, fs.ErrNotExist) {
		return newest, nil
	}
	if err != nil {
		return newest, err
	}
	defer func() { _ = f.Close() }() // opened for reading
	key, err := ledger.NewVerifier(s.opt.Signer.Public())
	if err != nil {
		return newest, err
	}
	return newest, ledger.ReadAnchor(f, func(a ledger.Anchored) error {
		// One of another key, or a torn one, says nothing here.
		if c, err := key.Open(a.Note); err == nil && c.Size > newest.Size {
			newest = c
		}
		return nil
	})
}
