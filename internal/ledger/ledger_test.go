package ledger

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

// The hashes were computed by another program, from what docs/ledger.md says:
// an entry that was stored once must have its hash for ever.
func TestHashOfAnEntryStaysWhatItIs(t *testing.T) {
	var c Chainer
	first := c.Hash(Hash{}, &Entry{ID: 1, At: 1700000000000001, Kind: "setting.changed", Actor: "root", Data: `{"key":"é"}`})
	if got := hex.EncodeToString(first[:]); got != "107c56f5adf5196ca6b3212bc3b89442436e3400bbfb5e5680d8f53658199158" {
		t.Errorf("first entry: %s", got)
	}
	second := c.Hash(first, &Entry{
		ID: 2, At: 1700000000000002, Kind: "recording_settled", Recording: "r-1", Call: "1700000000.1", Actor: "callrecordd", Data: `{"state":"ready"}`,
	})
	if got := hex.EncodeToString(second[:]); got != "a0a99811c6d9388f1eaf12d1aa86128cb71fc782aeb1820789c1ff95f1d4cb7d" {
		t.Errorf("second entry: %s", got)
	}
}

// Two entries whose texts together are the same must not have the same hash.
func TestEveryFieldOfAnEntryCounts(t *testing.T) {
	whole := Entry{ID: 7, At: 9, Kind: "kind", Recording: "rec", Call: "call", Actor: "actor", Data: "data"}
	seen := map[Hash]string{}
	for name, change := range map[string]func(*Entry){
		"nothing": func(*Entry) {}, "id": func(e *Entry) { e.ID++ }, "at": func(e *Entry) { e.At++ },
		"moved": func(e *Entry) { e.Kind, e.Recording = "kindr", "ec" }, "recording": func(e *Entry) { e.Recording = "" },
		"call": func(e *Entry) { e.Call = "" }, "actor": func(e *Entry) { e.Actor = "Actor" }, "data": func(e *Entry) { e.Data += " " },
	} {
		e := whole
		change(&e)
		var c Chainer
		h := c.Hash(Hash{1}, &e)
		if other, twice := seen[h]; twice {
			t.Errorf("%s and %s have the same hash", name, other)
		}
		seen[h] = name
	}
}

// reference is a tree that keeps every node, as the package of the tree does.
type reference struct{ hashes []Hash }

func (r *reference) ReadHashes(indexes []int64) ([]Hash, error) {
	out := make([]Hash, len(indexes))
	for i, x := range indexes {
		out[i] = r.hashes[x]
	}
	return out, nil
}

func (r *reference) add(t *rapid.T, n int64, leaf Hash) {
	hs, err := tlog.StoredHashesForRecordHash(n, leaf, r)
	if err != nil {
		t.Fatal(err)
	}
	r.hashes = append(r.hashes, hs...)
}

// Whatever its size, and whether its blocks were computed or loaded, the tree has
// the root that the package of Go's checksum database computes, and its proofs,
// also for the size that it had before, are accepted there.
func TestTreeAgreesWithTheReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int64Range(1, 5*BlockSize+3).Draw(t, "size")
		var ref reference
		var tree, loaded Tree
		leaves := make([]Hash, size)
		for n := range size {
			leaves[n] = Leaf(Hash{byte(n), byte(n >> 8), 1})
			ref.add(t, n, leaves[n])
			if block, complete := tree.Append(leaves[n]); complete {
				if err := loaded.AppendBlock(block); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, leaf := range leaves[loaded.Size():] {
			loaded.Append(leaf)
		}
		want, err := tlog.TreeHash(size, &ref)
		if err != nil {
			t.Fatal(err)
		}
		of := func(block int64) ([]Hash, error) { return leaves[block*BlockSize : (block+1)*BlockSize], nil }
		before := rapid.Int64Range(1, size).Draw(t, "before")
		index := rapid.Int64Range(0, before-1).Draw(t, "index")
		root, err := tlog.TreeHash(before, &ref)
		if err != nil {
			t.Fatal(err)
		}
		for name, x := range map[string]*Tree{"computed": &tree, "loaded": &loaded} {
			if got, err := x.Root(); got != want || err != nil || x.Size() != size {
				t.Errorf("%s: root %v of %d, want %v of %d (%v)", name, got, x.Size(), want, size, err)
			}
			path, err := x.Prove(before, index, of)
			if err == nil {
				err = tlog.CheckRecord(path, before, root, index, leaves[index])
			}
			if err != nil {
				t.Errorf("%s: proof of %d of %d of %d: %v", name, index, before, size, err)
			}
		}
	})
}

func newSigner(t testing.TB) (*Signer, *Verifier) {
	t.Helper()
	private, err := NewKey(rand.Reader, "pbx one/ä")
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSigner(private + "\n")
	if err != nil {
		t.Fatal(err)
	}
	v, err := NewVerifier(s.Public())
	if err != nil {
		t.Fatal(err)
	}
	return s, v
}

func checkpoint() Checkpoint {
	return Checkpoint{Size: 12, Root: Hash{1, 2}, At: time.Date(2026, 12, 1, 3, 0, 0, 5000, time.UTC), LastID: 12}
}

func TestCheckpointIsSigned(t *testing.T) {
	s, v := newSigner(t)
	signed, err := s.Sign(checkpoint())
	if err != nil {
		t.Fatal(err)
	}
	want := checkpoint()
	want.Name = "callrecordd-ledger/pbx-one--"
	if got, err := v.Open(signed); got != want || err != nil {
		t.Errorf("opened: %+v, %v", got, err)
	}
	for what, forged := range map[string]string{
		"another size": strings.Replace(signed, "\n12\n", "\n13\n", 1),
		"another time": strings.Replace(signed, "03:00", "04:00", 1),
		"no signature": signed[:strings.Index(signed, "—")],
		"cut off":      signed[:len(signed)-3],
	} {
		if got, err := v.Open(forged); err == nil {
			t.Errorf("%s: %+v", what, got)
		}
	}
	_, other := newSigner(t)
	if _, err := other.Open(signed); err == nil {
		t.Error("accepted by the key of another PBX")
	}
	if _, err := NewSigner(s.Public()); err == nil {
		t.Error("a public key signs")
	}
}

// Whoever computes the checkpoint anew must not get along with a private key in
// an error or a log.
func TestErrorsDoNotShowThePrivateKey(t *testing.T) {
	private, err := NewKey(rand.Reader, "pbx")
	if err != nil {
		t.Fatal(err)
	}
	secret := private[strings.LastIndex(private, "+")+1:]
	if _, err := NewSigner(private[:len(private)-1]); err == nil || strings.Contains(err.Error(), secret[:8]) {
		t.Errorf("error %v", err)
	}
}

// A write that a power cut has torn must not hide the checkpoints around it.
func TestAnchorFileWithATornRecord(t *testing.T) {
	s, v := newSigner(t)
	var file []byte
	for i := range 3 {
		c := checkpoint()
		c.Size += int64(i)
		signed, err := s.Sign(c)
		if err != nil {
			t.Fatal(err)
		}
		record := AnchorRecord(signed)
		if i == 1 {
			record = record[:len(record)-20]
		}
		file = append(file, record...)
	}
	var sizes []int64
	var torn []int
	err := ReadAnchor(bytes.NewReader(file), func(a Anchored) error {
		c, err := v.Open(a.Note)
		if err != nil {
			torn = append(torn, a.Line)
			return nil
		}
		sizes = append(sizes, c.Size)
		return nil
	})
	if err != nil || !slices.Equal(sizes, []int64{12, 14}) || !slices.Equal(torn, []int{10}) {
		t.Errorf("sizes %v, torn in lines %v, %v", sizes, torn, err)
	}
}

func TestProof(t *testing.T) {
	var tree Tree
	var c Chainer
	var links []Hash
	for i := range 20 {
		before := Hash{}
		if i > 0 {
			before = links[i-1]
		}
		links = append(links, c.Hash(before, &Entry{ID: int64(i + 1), Kind: "k", Data: fmt.Sprint(i)}))
		tree.Append(Leaf(links[i]))
	}
	root, err := tree.Root()
	if err != nil {
		t.Fatal(err)
	}
	path, err := tree.Prove(20, 7, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := Proof{Entry: Entry{ID: 8, Kind: "k", Data: "7"}, Before: links[6], Index: 7, Path: path}
	at := Checkpoint{Size: 20, Root: root}
	if err := p.Check(at); err != nil {
		t.Error(err)
	}
	for what, change := range map[string]func(*Proof){
		"data":  func(p *Proof) { p.Entry.Data = "8" },
		"place": func(p *Proof) { p.Index = 8 },
		"chain": func(p *Proof) { p.Before = Hash{} },
		"path":  func(p *Proof) { p.Path = p.Path[1:] },
	} {
		q := p
		change(&q)
		if err := q.Check(at); !errors.Is(err, ErrProof) {
			t.Errorf("another %s: %v", what, err)
		}
	}
}

func FuzzParseCheckpoint(f *testing.F) {
	c := checkpoint()
	c.Name = namePrefix + "pbx"
	f.Add(c.Text())
	f.Add(namePrefix + "\n-1\n\nat\nlast\n")
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := ParseCheckpoint(text); err == nil && c.Text() != text {
			t.Errorf("%q is read as %q", text, c.Text())
		}
	})
}

func FuzzReadAnchor(f *testing.F) {
	s, v := newSigner(f)
	signed, err := s.Sign(checkpoint())
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("garbage\n"), []byte("\n\x00— x"))
	f.Add([]byte(namePrefix), []byte("\n"))
	f.Fuzz(func(t *testing.T, before, after []byte) {
		if len(before)+len(after) > maxLine/2 || bytes.HasPrefix(after, []byte("— ")) {
			return // a longer line ends the reading; another signature may make it another note
		}
		file := append(append(slices.Clone(before), AnchorRecord(signed)...), after...)
		found := false
		err := ReadAnchor(bytes.NewReader(file), func(a Anchored) error {
			_, err := v.Open(a.Note)
			found = found || err == nil
			return nil
		})
		if err != nil || !found {
			t.Errorf("the checkpoint behind %q is not found: %v", before, err)
		}
	})
}

func FuzzReadProofs(f *testing.F) {
	f.Add([]byte(`{"checkpoint": "c", "files": [{"filename": "1/a.wav", "recording_uuid": "a", "proof": {"entry": {"id": 1}, "index": 0, "path": []}}]}`))
	f.Add([]byte(`{"files": [], "checkpoint": "c"}`))
	f.Add([]byte(`{"later": {"x": [1]}, "checkpoint": "c", "files": [{}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		signed := false
		err := ReadProofs(bytes.NewReader(data), func(string) error {
			if signed {
				t.Error("two checkpoints")
			}
			signed = true
			return nil
		}, func(p ProvedFile) error {
			if !signed {
				t.Error("a file before the checkpoint")
			}
			if p.Proof != nil && p.Proof.Check(Checkpoint{Size: 1 << 40, Root: Hash{1}}) == nil {
				t.Error("a proof for a root that nobody knows")
			}
			return nil
		})
		if err == nil && !signed {
			t.Error("read without a checkpoint")
		}
	})
}
