// Package ledger is the arithmetic of the ledger, which is the event table: how
// an entry is encoded and chained to the one before it, the Merkle tree over all
// entries, signed checkpoints, the anchor file and proofs. docs/ledger.md says
// what they prove.
//
// It is pure and must not import anything of ours: entries come from the store,
// checkpoints are made by internal/notary, and internal/verify compares.
package ledger

import (
	"crypto/sha256"
	"encoding/binary"

	"golang.org/x/mod/sumdb/tlog"
)

// Hash is a SHA-256 hash.
type Hash = tlog.Hash

// Entry is a row of the event table, as it is stored.
type Entry struct {
	ID        int64  `json:"id"`
	At        int64  `json:"at"` // microseconds UTC
	Kind      string `json:"kind"`
	Recording string `json:"recording,omitempty"`
	Call      string `json:"call,omitempty"`
	Actor     string `json:"actor"`
	Data      string `json:"data"` // JSON as text: the hash is of these very bytes
}

// Link is the place of an entry in the chain. It is not chained if it is of
// before the ledger and has no hash yet.
type Link struct {
	ID      int64
	Hash    Hash
	Chained bool
}

// domain keeps the hash of an entry from being that of anything else.
const domain = "callrecordd ledger entry 1\n"

// Chainer computes hashes of entries and keeps its memory between them. It is
// not for concurrent use.
type Chainer struct{ buf []byte }

// Hash is that of an entry behind the one with the hash before, which is zero
// for the first. It is the SHA-256 of the domain, before, ID and At as 8 bytes
// each, and of Kind, Recording, Call, Actor and Data, each as its length in 4
// bytes and its bytes; numbers are big endian.
func (c *Chainer) Hash(before Hash, e *Entry) Hash {
	b := append(c.buf[:0], domain...)
	b = append(b, before[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(e.ID))
	b = binary.BigEndian.AppendUint64(b, uint64(e.At))
	for _, text := range [...]string{e.Kind, e.Recording, e.Call, e.Actor, e.Data} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(text)))
		b = append(b, text...)
	}
	c.buf = b
	return sha256.Sum256(b)
}

// Leaf is the leaf of the tree that stands for an entry with that hash.
func Leaf(chain Hash) Hash {
	var b [1 + tlog.HashSize]byte // RFC 6962: 0 and the record
	copy(b[1:], chain[:])
	return sha256.Sum256(b[:])
}
