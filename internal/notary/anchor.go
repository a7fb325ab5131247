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

// compare tells if the newest checkpoint in the anchor file, or in the database,
// counts more entries than there are, or others: so that an older copy of the
// database, or a false one, is noticed when the daemon starts with it, and not
// only when somebody verifies.
func (s *Service) compare(ctx context.Context) {
	newest, err := s.newestAnchor()
	if err != nil {
		s.opt.Log.Warn("the database cannot be compared with the anchor file; callrecordd verify does it", "err", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.grow(ctx); err != nil {
		return // told with the first checkpoint
	}
	for _, signed := range []struct {
		by string
		ledger.Checkpoint
	}{{"the anchor file", newest}, {"the database's last checkpoint", s.last.Checkpoint}} {
		if err := s.holds(ctx, signed.Checkpoint); err != nil {
			s.opt.Ahead(fmt.Errorf("%s of %s: %w", signed.by, signed.At.Format(time.RFC3339), err))
			return
		}
	}
}

// holds says what is wrong if the ledger is not what was signed. Who holds mu
// calls it.
func (s *Service) holds(ctx context.Context, c ledger.Checkpoint) error {
	if c.Size == 0 {
		return nil
	}
	if size := s.tree.Size(); c.Size > size {
		return fmt.Errorf("the ledger has %d entries, but %d were signed: %w", size, c.Size, ErrShorter)
	}
	root, err := s.tree.RootAt(c.Size, func(block int64) ([]ledger.Hash, error) { return s.leaves(ctx, block) })
	if err != nil {
		s.opt.Log.Warn("the ledger cannot be compared with what was signed; callrecordd verify does it", "err", err)
		return nil
	}
	if root != c.Root {
		return fmt.Errorf("the first %d entries of the ledger are not those that were signed: %w", c.Size, ErrOther)
	}
	return nil
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
