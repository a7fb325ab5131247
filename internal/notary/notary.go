// Package notary signs what the ledger says: it makes checkpoints at intervals
// and at the end, stores them, appends them to the anchor file, and proves
// entries by them (docs/ledger.md).
//
// It must not import anything of ours but internal/ledger: the storage comes
// through an interface.
package notary

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"callrecordd/internal/ledger"
)

// Repo is the storage.
type Repo interface {
	// ChainEvents gives entries of before the ledger their hashes.
	ChainEvents(ctx context.Context) (int64, error)
	// LedgerLinks returns the links behind an id, at most limit, in their order.
	LedgerLinks(ctx context.Context, after int64, limit int) ([]ledger.Link, error)
	LedgerBlocks(ctx context.Context) ([]ledger.Block, error)
	SaveLedgerBlocks(ctx context.Context, first int64, blocks []ledger.Block) error
	// SaveLedgerCheckpoint returns once it and what it counts are on the disk.
	SaveLedgerCheckpoint(ctx context.Context, size int64, signed string) error
	LastLedgerCheckpoint(ctx context.Context) (size int64, signed string, err error)
	// RecordingEntry returns the newest entry that says what the file of a
	// recording is, and the link before it.
	RecordingEntry(ctx context.Context, uuid string) (e ledger.Entry, before ledger.Link, ok bool, err error)
}

// Options are what a Service needs.
type Options struct {
	Repo   Repo
	Signer *ledger.Signer
	Anchor string        // path of the anchor file, empty without
	Every  time.Duration // between checkpoints
	Now    func() time.Time
	Log    *slog.Logger
	// Ahead is told once if the anchor file, or the last checkpoint, has signed
	// entries that are not in the database.
	Ahead func(err error)
	// Anchoring is told when the anchor file cannot be written to any more, with
	// the error, and nil when it can again.
	Anchoring func(err error)
}

// ErrShorter says that a part of the ledger is gone.
var ErrShorter = errors.New("its end was cut off, or an older copy was put back; run `callrecordd verify`")

// ErrOther says that the ledger is not the one that was signed.
var ErrOther = errors.New("it was altered, or another database was put in its place; run `callrecordd verify`")

// lastTime bounds the checkpoint at the end.
const lastTime = 5 * time.Second

// linkPart is how many links are read at a time.
const linkPart = 4096

// State is how the notary is, for people.
type State struct {
	Size   int64     `json:"entries"` // that the last checkpoint counts
	At     time.Time `json:"at"`      // of the last checkpoint, zero if there is none yet
	Public string    `json:"key"`
	// Failure is why there is no newer one, AnchorFailure why it is not in the
	// anchor file; empty if all is well.
	Failure       string `json:"failure,omitempty"`
	AnchorFailure string `json:"anchor_failure,omitempty"`
}

// Service makes checkpoints. Run does so; the rest may be called from anywhere.
type Service struct {
	opt Options

	mu     sync.Mutex
	loaded bool
	tree   ledger.Tree
	lastID int64
	ends   []int64 // the id of the last entry of each block
	unsent string  // the last checkpoint, if it is not in the anchor file
	last   checkpointed
	blocks map[int64][]ledger.Link // of the tree, those that were needed last

	stateMu sync.Mutex
	state   State
}

// checkpointed is the newest checkpoint.
type checkpointed struct {
	ledger.Checkpoint
	signed string
}

// New returns a Service.
func New(o Options) *Service {
	if o.Anchoring == nil {
		o.Anchoring = func(error) {}
	}
	if o.Ahead == nil {
		o.Ahead = func(error) {}
	}
	return &Service{opt: o, state: State{Public: o.Signer.Public()}, blocks: map[int64][]ledger.Link{}}
}

// State says how it is.
func (s *Service) State() State {
	s.stateMu.Lock()
	defer s.stateMu.Unlock()
	return s.state
}

// Run chains what is of before the ledger, then makes checkpoints until ctx
// ends, and a last one. That it cannot is no reason for the daemon to end.
func (s *Service) Run(ctx context.Context) error {
	begun := s.opt.Now()
	n, err := s.opt.Repo.ChainEvents(ctx)
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		s.opt.Log.Error("entries of before the ledger have no hashes until the next start", "err", err)
	case n > 0:
		s.opt.Log.Info("entries of before the ledger have their hashes", "entries", n, "took", s.opt.Now().Sub(begun))
	}
	s.compare(ctx)
	tick := time.NewTicker(s.opt.Every)
	defer tick.Stop()
	for {
		s.make(ctx)
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTime)
			defer cancel()
			s.make(last)
			return nil
		case <-tick.C:
		}
	}
}

// make is Checkpoint that tells the log.
func (s *Service) make(ctx context.Context) {
	if ctx.Err() != nil {
		return
	}
	_, _, err := s.Checkpoint(ctx)
	s.stateMu.Lock()
	told := s.state.Failure
	s.state.Failure = ""
	if err != nil {
		s.state.Failure = err.Error()
	}
	now := s.state.Failure
	s.stateMu.Unlock()
	if now != "" && told == "" {
		s.opt.Log.Error("no checkpoint of the ledger can be made, it is tried again", "err", err)
	}
}

// Checkpoint signs what the ledger is now, unless nothing is new, and returns
// the newest checkpoint.
func (s *Service) Checkpoint(ctx context.Context) (ledger.Checkpoint, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.grow(ctx); err != nil {
		return ledger.Checkpoint{}, "", err
	}
	if s.tree.Size() < s.last.Size {
		return ledger.Checkpoint{}, "", fmt.Errorf("the ledger has %d entries, but %d were signed at %s: %w",
			s.tree.Size(), s.last.Size, s.last.At.Format(time.RFC3339), ErrShorter)
	}
	if size := s.tree.Size(); size == 0 || size == s.last.Size {
		s.anchor()
		return s.last.Checkpoint, s.last.signed, nil
	}
	root, err := s.tree.Root()
	if err != nil {
		return ledger.Checkpoint{}, "", fmt.Errorf("root of the ledger: %w", err)
	}
	c := ledger.Checkpoint{Name: s.opt.Signer.Name(), Size: s.tree.Size(), Root: root, At: s.opt.Now().UTC(), LastID: s.lastID}
	signed, err := s.opt.Signer.Sign(c)
	if err != nil {
		return ledger.Checkpoint{}, "", err
	}
	if err := s.opt.Repo.SaveLedgerCheckpoint(ctx, c.Size, signed); err != nil {
		return ledger.Checkpoint{}, "", err
	}
	s.last, s.unsent = checkpointed{c, signed}, signed
	s.stateMu.Lock()
	s.state.Size, s.state.At = c.Size, c.At
	s.stateMu.Unlock()
	s.anchor()
	return c, signed, nil
}

// grow adds the entries that are new to the tree. What was read stays, so that
// it goes on there after an error.
func (s *Service) grow(ctx context.Context) error {
	if !s.loaded {
		if err := s.load(ctx); err != nil {
			return err
		}
	}
	for {
		links, err := s.opt.Repo.LedgerLinks(ctx, s.lastID, linkPart)
		if err != nil {
			return err
		}
		var made []ledger.Block
		for _, l := range links {
			if hash, complete := s.tree.Append(ledger.Leaf(l.Hash)); complete {
				made = append(made, ledger.Block{LastID: l.ID, Hash: hash})
			}
			s.lastID = l.ID
		}
		first := int64(len(s.ends))
		for _, b := range made {
			s.ends = append(s.ends, b.LastID)
		}
		if len(made) > 0 {
			if err := s.opt.Repo.SaveLedgerBlocks(ctx, first, made); err != nil {
				s.forget()
				return err
			}
		}
		if len(links) < linkPart {
			return nil
		}
	}
}

// forget has the tree be loaded anew: it has blocks that are not stored.
func (s *Service) forget() {
	s.loaded, s.tree, s.lastID, s.ends = false, ledger.Tree{}, 0, nil
	clear(s.blocks)
}

func (s *Service) load(ctx context.Context) error {
	blocks, err := s.opt.Repo.LedgerBlocks(ctx)
	if err != nil {
		return err
	}
	s.forget()
	if n := len(blocks); n > 0 {
		last := blocks[n-1].LastID
		if at, err := s.opt.Repo.LedgerLinks(ctx, last-1, 1); err != nil || len(at) == 0 || at[0].ID != last {
			return errors.Join(err, fmt.Errorf("entry %d of the ledger is not there: %w", last, ErrShorter))
		}
	}
	for _, b := range blocks {
		if err := s.tree.AppendBlock(b.Hash); err != nil {
			return err
		}
		s.ends = append(s.ends, b.LastID)
		s.lastID = b.LastID
	}
	size, signed, err := s.opt.Repo.LastLedgerCheckpoint(ctx)
	if err != nil {
		return err
	}
	if s.last.signed == "" && size > 0 {
		v, err := ledger.NewVerifier(s.opt.Signer.Public())
		if err != nil {
			return err
		}
		// One of another key counts for nothing here.
		if c, err := v.Open(signed); err == nil && c.Size == size {
			s.last = checkpointed{c, signed}
		}
	}
	s.loaded = true
	return nil
}

// Errors of Prove that say why an entry cannot be proved.
var (
	ErrOlder = errors.New("the ledger says nothing of it")
	ErrNewer = errors.New("it is newer than the checkpoint")
)

// Prove proves the newest entry about the file of a recording by a checkpoint of
// this Service.
func (s *Service) Prove(ctx context.Context, c ledger.Checkpoint, recording string) (p ledger.Proof, err error) {
	e, before, ok, err := s.opt.Repo.RecordingEntry(ctx, recording)
	if err != nil {
		return p, err
	}
	if !ok {
		return p, fmt.Errorf("recording %s: %w", recording, ErrOlder)
	}
	if e.ID > c.LastID {
		return p, fmt.Errorf("recording %s: %w", recording, ErrNewer)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p.Entry, p.Before = e, before.Hash
	block, _ := slices.BinarySearch(s.ends, e.ID)
	links, err := s.block(ctx, int64(block))
	if err != nil {
		return p, err
	}
	i := slices.IndexFunc(links, func(l ledger.Link) bool { return l.ID == e.ID })
	if i < 0 {
		return p, fmt.Errorf("entry %d of recording %s is not in the ledger", e.ID, recording)
	}
	p.Index = int64(block)*ledger.BlockSize + int64(i)
	p.Path, err = s.tree.Prove(c.Size, p.Index, func(block int64) ([]ledger.Hash, error) { return s.leaves(ctx, block) })
	if err != nil {
		return p, fmt.Errorf("prove entry %d: %w", e.ID, err)
	}
	return p, nil
}

// leaves are those of a complete block.
func (s *Service) leaves(ctx context.Context, block int64) (leaves []ledger.Hash, err error) {
	links, err := s.block(ctx, block)
	for _, l := range links {
		leaves = append(leaves, ledger.Leaf(l.Hash))
	}
	return leaves, err
}

// ProveFile is Prove for an archive: what cannot be proved says why. It
// implements export.Prover.
func (s *Service) ProveFile(ctx context.Context, c ledger.Checkpoint, recording string) ledger.ProvedFile {
	p, err := s.Prove(ctx, c, recording)
	switch {
	case err == nil:
		return ledger.ProvedFile{Proof: &p}
	case errors.Is(err, ErrOlder):
		return ledger.ProvedFile{Unproved: ledger.CauseOlder}
	case errors.Is(err, ErrNewer):
		return ledger.ProvedFile{Unproved: ledger.CauseNewer}
	}
	s.opt.Log.Error("what the ledger says of a recording cannot be proved", "recording_uuid", recording, "err", err)
	return ledger.ProvedFile{Unproved: ledger.CauseFault}
}

// keptBlocks is how many blocks are kept: recordings of an archive lie close
// together in the ledger.
const keptBlocks = 32

// block reads the links of a block, or of the one that is not complete.
func (s *Service) block(ctx context.Context, no int64) ([]ledger.Link, error) {
	if links, ok := s.blocks[no]; ok {
		return links, nil
	}
	var after int64
	if no > 0 {
		after = s.ends[no-1]
	}
	links, err := s.opt.Repo.LedgerLinks(ctx, after, ledger.BlockSize)
	if err != nil {
		return nil, err
	}
	if no < int64(len(s.ends)) {
		if len(s.blocks) >= keptBlocks {
			clear(s.blocks)
		}
		s.blocks[no] = links
	}
	return links, nil
}
