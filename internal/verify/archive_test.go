package verify_test

import (
	"archive/zip"
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"testing"

	"callrecordd/internal/ledger"
	"callrecordd/internal/verify"
)

// entry is the name of a recording in an archive.
func entry(n int) string {
	return fmt.Sprintf("%d/2026-12-01T03_00_00UTC-%d-%s.wav", n, n, recording(n))
}

// archive packs recordings with their proofs, as an export does.
func (w *world) archive(change func(*archived), recordings ...int) []byte {
	w.t.Helper()
	c, signed, err := w.notary.Checkpoint(w.t.Context())
	must(w.t, err)
	a := archived{Files: map[string][]byte{}, Checkpoint: signed}
	for _, n := range recordings {
		data, err := os.ReadFile(w.file(n))
		must(w.t, err)
		a.Files[entry(n)] = data
		p := w.notary.ProveFile(w.t.Context(), c, recording(n))
		p.Filename, p.RecordingUUID = entry(n), recording(n)
		a.Proofs = append(a.Proofs, p)
	}
	change(&a)
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	add := func(name string, data []byte) {
		f, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		must(w.t, err)
		_, err = f.Write(data)
		must(w.t, err)
	}
	for name, data := range a.Files {
		add(name, data)
	}
	if a.Checkpoint != "" {
		proofs, err := json.Marshal(a)
		must(w.t, err)
		add("proofs.json", proofs)
	}
	must(w.t, z.Close())
	return out.Bytes()
}

// archived is what is in an archive, with proofs.json.
type archived struct {
	Files      map[string][]byte   `json:"-"`
	Checkpoint string              `json:"checkpoint"`
	Proofs     []ledger.ProvedFile `json:"files"`
}

// Who gets an archive needs nothing but the public key to see that it is what
// was recorded.
func TestArchiveIsVerifiedWithoutADatabase(t *testing.T) {
	w := newWorld(t)
	w.calls(300)
	key, err := ledger.NewVerifier(w.signer.Public())
	must(t, err)
	for name, x := range map[string]struct {
		change func(*archived)
		kind   verify.Kind // empty: clean
		id     string
	}{
		"as it was packed": {func(*archived) {}, "", ""},
		"a byte of a file": {func(a *archived) { a.Files[entry(7)][2] ^= 1 }, verify.FileAltered, entry(7)},
		"another file in its place": {func(a *archived) {
			a.Files[entry(7)] = a.Files[entry(200)]
		}, verify.FileAltered, entry(7)},
		"a file under the name of another": {func(a *archived) {
			a.Files[entry(8)], a.Proofs[0].Filename, a.Proofs[0].RecordingUUID = a.Files[entry(7)], entry(8), recording(8)
			delete(a.Files, entry(7))
		}, verify.ProofInvalid, entry(8)},
		"a hash in an entry": {func(a *archived) {
			a.Proofs[0].Proof.Entry.Data = a.Proofs[1].Proof.Entry.Data
		}, verify.ProofInvalid, entry(7)},
		"a file is left out":        {func(a *archived) { delete(a.Files, entry(7)) }, verify.FileMissing, entry(7)},
		"a proof is left out":       {func(a *archived) { a.Proofs = a.Proofs[1:] }, verify.Unproved, entry(7)},
		"a file is put in":          {func(a *archived) { a.Files["8/x.wav"] = []byte("x") }, verify.Unproved, "8/x.wav"},
		"another checkpoint":        {func(a *archived) { a.Checkpoint = "x\n\n— x AAAA\n" }, verify.CheckpointForged, "proofs.json"},
		"no proofs at all":          {func(a *archived) { a.Checkpoint = "" }, verify.Unproved, entry(7)},
		"an entry about the future": {func(a *archived) { a.Proofs[0].Proof.Index += 1 << 40 }, verify.ProofInvalid, entry(7)},
	} {
		t.Run(name, func(t *testing.T) {
			data := w.archive(x.change, 7, 200)
			r, err := verify.Archive(t.Context(), bytes.NewReader(data), int64(len(data)), key)
			must(t, err)
			if x.kind == "" {
				if !r.Clean || r.Files != 2 || r.Entries != 2 {
					t.Errorf("%+v", r)
				}
				return
			}
			named(t, r, x.kind, x.id)
		})
	}
	w.close()
}

func FuzzArchive(f *testing.F) {
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for name, text := range map[string]string{
		"proofs.json": `{"checkpoint": "x", "files": [{"filename": "1/a.wav"}]}`, "1/a.wav": "audio",
	} {
		w, err := z.Create(name)
		must(f, err)
		_, err = w.Write([]byte(text))
		must(f, err)
	}
	must(f, z.Close())
	f.Add(out.Bytes())
	private, err := ledger.NewKey(rand.Reader, "pbx")
	must(f, err)
	signer, err := ledger.NewSigner(private)
	must(f, err)
	key, err := ledger.NewVerifier(signer.Public())
	must(f, err)
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := verify.Archive(t.Context(), bytes.NewReader(data), int64(len(data)), key)
		if err == nil && r.Files > 0 {
			t.Errorf("a file is proved by a key that has signed nothing: %+v", r)
		}
	})
}

// TestArchiveCannotTakeAllMemory: a text of a gigabyte packs into a megabyte.
func TestArchiveCannotTakeAllMemory(t *testing.T) {
	w := newWorld(t)
	key, err := ledger.NewVerifier(w.signer.Public())
	must(t, err)
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	f, err := z.Create("proofs.json")
	must(t, err)
	_, err = f.Write([]byte(`{"checkpoint":"`))
	must(t, err)
	for range 64 {
		_, err = f.Write(bytes.Repeat([]byte("a"), 1<<20))
		must(t, err)
	}
	must(t, z.Close())
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r, err := verify.Archive(t.Context(), bytes.NewReader(out.Bytes()), int64(out.Len()), key)
	runtime.ReadMemStats(&after)
	must(t, err)
	named(t, r, verify.ProofInvalid, "proofs.json")
	if took := after.TotalAlloc - before.TotalAlloc; took > 8<<20 {
		t.Errorf("%d bytes of memory for %d of archive", took, out.Len())
	}
}
