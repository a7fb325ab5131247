package ledger

import (
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	blockLevel = 8
	// BlockSize is how many entries make a block. The store keeps one hash for
	// each, so that nobody has to hash all entries for a checkpoint.
	BlockSize = 1 << blockLevel
)

// Block is a complete block of the tree: the id of its last entry, and the hash
// of its 256 leaves.
type Block struct {
	LastID int64
	Hash   Hash
}

// Tree is the Merkle tree over the entries (RFC 6962), as golang.org/x/mod's
// tlog has it. It holds what is above the blocks and the leaves of the block
// that is not complete: a quarter of a byte for each entry.
type Tree struct {
	levels [][]Hash // of nodes of 256, 512, 1024, … entries
	tail   []Hash   // leaves behind the last block
}

// Size is how many entries it has.
func (t *Tree) Size() int64 { return t.blocks()*BlockSize + int64(len(t.tail)) }

func (t *Tree) blocks() int64 {
	if len(t.levels) == 0 {
		return 0
	}
	return int64(len(t.levels[0]))
}

// Append adds the leaf of an entry. If that completes a block it returns the
// block's hash.
func (t *Tree) Append(leaf Hash) (block Hash, complete bool) {
	t.tail = append(t.tail, leaf)
	if len(t.tail) < BlockSize {
		return block, false
	}
	block = fold(t.tail)
	t.tail = t.tail[:0]
	t.addBlock(block)
	return block, true
}

// AppendBlock adds a whole block, whose hash is known.
func (t *Tree) AppendBlock(hash Hash) error {
	if len(t.tail) > 0 {
		return errors.New("a block cannot follow single entries")
	}
	t.addBlock(hash)
	return nil
}

func (t *Tree) addBlock(h Hash) {
	for level := 0; ; level++ {
		if level == len(t.levels) {
			t.levels = append(t.levels, nil)
		}
		t.levels[level] = append(t.levels[level], h)
		n := len(t.levels[level])
		if n%2 == 1 {
			return
		}
		h = tlog.NodeHash(t.levels[level][n-2], h)
	}
}

// fold is the node above a power of two of nodes.
func fold(nodes []Hash) Hash {
	row := make([]Hash, len(nodes))
	copy(row, nodes)
	for n := len(row); n > 1; n /= 2 {
		for i := range n / 2 {
			row[i] = tlog.NodeHash(row[2*i], row[2*i+1])
		}
	}
	return row[0]
}

// Root is the hash of all entries.
func (t *Tree) Root() (Hash, error) {
	return tlog.TreeHash(t.Size(), t.reader(func(int64) ([]Hash, error) {
		return nil, errors.New("the root needs no leaves of complete blocks")
	}))
}

// RootAt is the hash of the first size entries. leaves returns those of a complete
// block.
func (t *Tree) RootAt(size int64, leaves func(block int64) ([]Hash, error)) (Hash, error) {
	if size > t.Size() {
		return Hash{}, fmt.Errorf("there are %d entries and not %d", t.Size(), size)
	}
	return tlog.TreeHash(size, t.reader(leaves))
}

// Prove returns the path from the entry with that index to the root of the tree
// as it was with size entries. leaves returns those of a complete block.
func (t *Tree) Prove(size, index int64, leaves func(block int64) ([]Hash, error)) ([]Hash, error) {
	if index < 0 || index >= size || size > t.Size() {
		return nil, fmt.Errorf("entry %d is not one of %d of the %d there are", index, size, t.Size())
	}
	return tlog.ProveRecord(size, index, t.reader(leaves))
}

// reader gives tlog the nodes that it asks for.
func (t *Tree) reader(leaves func(block int64) ([]Hash, error)) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]Hash, error) {
		out := make([]Hash, len(indexes))
		for i, index := range indexes {
			level, n := tlog.SplitStoredHashIndex(index)
			if level >= blockLevel {
				above := level - blockLevel
				if above >= len(t.levels) || n >= int64(len(t.levels[above])) {
					return nil, fmt.Errorf("the tree has no node %d of level %d", n, level)
				}
				out[i] = t.levels[above][n]
				continue
			}
			first := n << level
			row := t.tail
			if block := first / BlockSize; block < t.blocks() {
				var err error
				if row, err = leaves(block); err != nil {
					return nil, err
				}
			}
			from := first % BlockSize
			if from+1<<level > int64(len(row)) {
				return nil, fmt.Errorf("the tree has no node %d of level %d", n, level)
			}
			out[i] = fold(row[from : from+1<<level])
		}
		return out, nil
	})
}
