package app

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"callrecordd/internal/audit"
	"callrecordd/internal/recorder"
)

// wavOf is a file as Asterisk writes it, with so many samples.
func wavOf(samples int) []byte {
	n := 2 * samples
	le := func(v, size int) (b []byte) {
		for range size {
			b = append(b, byte(v))
			v >>= 8
		}
		return b
	}
	var b []byte
	for _, part := range [][]byte{
		[]byte("RIFF"), le(36+n, 4), []byte("WAVEfmt "), le(16, 4), le(1, 2), le(1, 2), le(8000, 4), le(16000, 4), le(2, 2), le(16, 2),
		[]byte("data"), le(n, 4), make([]byte, n),
	} {
		b = append(b, part...)
	}
	return b
}

// A file is believed as long as it is as it was; what is not is read again, and a
// disk that is not there has lost nothing.
func TestFilesAreLookedAt(t *testing.T) {
	root := t.TempDir()
	whole := wavOf(8000)
	sum := sha256.Sum256(whole)
	row := recorder.Recording{
		UUID: "00000000-0000-4000-8000-000000000001", TenantUUID: "00000000-0000-4000-8000-0000000000aa", State: recorder.Ready,
		EndedAt: time.Now(), Bytes: int64(len(whole)), Samples: 8000, Rate: 8000, SHA256: hex.EncodeToString(sum[:]),
	}
	path := filepath.Join(root, filepath.FromSlash(row.Path()))
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	wrong := append([]byte(nil), whole...)
	wrong[100] ^= 1
	later := time.Now().Add(time.Hour)
	for name, c := range map[string]struct {
		content []byte // nil: no file
		changed time.Time
		mode    LookMode
		root    string
		state   recorder.State
		want    audit.Found
	}{
		"as it was":         {content: whole, want: audit.Found{Looked: true, Exists: true}},
		"touched":           {content: whole, changed: later, want: audit.Found{Looked: true, Reread: true, Exists: true}},
		"a byte is another": {content: wrong, changed: later, want: audit.Found{Looked: true, Reread: true, Exists: true, SHA256: "other"}},
		"a byte is another, and its time was put back": {content: wrong, mode: LookAudio, want: audit.Found{Looked: true, Reread: true, Exists: true, SHA256: "other"}},
		"cut off":         {content: whole[:44+8000], want: audit.Found{Looked: true, Reread: true, Exists: true, Samples: 4000, SHA256: "other"}},
		"no audio file":   {content: []byte("something else"), want: audit.Found{Looked: true, Reread: true, Exists: true, Broken: "x", Samples: -1, SHA256: "other"}},
		"gone":            {want: audit.Found{Looked: true}},
		"not looked at":   {mode: LookStored, want: audit.Found{Exists: true}},
		"not mounted":     {root: filepath.Join(root, "none"), want: audit.Found{Exists: true, Unknown: "x"}},
		"is not over yet": {state: recorder.Live, want: audit.Found{}},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			if c.content != nil {
				if err := os.WriteFile(path, c.content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if !c.changed.IsZero() {
				if err := os.Chtimes(path, c.changed, c.changed); err != nil {
					t.Fatal(err)
				}
			}
			req := AuditRequest{Since: time.Now().Add(-time.Hour), Until: time.Now(), Audio: c.mode}
			r, from := row, root
			if c.root != "" {
				from = c.root
			}
			if c.state != "" {
				r.State = c.state
			}
			got := newLooker(from, req).at(t.Context(), r)
			if got.Looked != c.want.Looked || got.Reread != c.want.Reread || got.Exists != c.want.Exists ||
				(got.Unknown != "") != (c.want.Unknown != "") || (got.Broken != "") != (c.want.Broken != "") {
				t.Fatalf("got %+v, want %+v", got, c.want)
			}
			samples := c.want.Samples
			if samples == 0 {
				samples = 8000
			}
			if samples > 0 && got.Exists && got.Samples != samples {
				t.Errorf("%d samples", got.Samples)
			}
			if other := got.Exists && got.SHA256 != row.SHA256; other != (c.want.SHA256 != "") {
				t.Errorf("hash %s", got.SHA256)
			}
		})
	}
}

// A period that is long is not a million looks at files, unless that is wanted.
func TestLongPeriodsTakeWhatIsStored(t *testing.T) {
	now := time.Now()
	for days, want := range map[int]LookMode{1: LookFiles, 35: LookFiles, 36: LookStored} {
		if got := newLooker(t.TempDir(), AuditRequest{Since: now.AddDate(0, 0, -days), Until: now}).mode; got != want {
			t.Errorf("%d days: %s", days, got)
		}
	}
	if got := newLooker(t.TempDir(), AuditRequest{Since: now.AddDate(-1, 0, 0), Until: now, Audio: LookAudio}).mode; got != LookAudio {
		t.Errorf("asked for: %s", got)
	}
}

// Whoever goes on with an audit names a place that was given; anything else is
// refused and nothing worse.
func FuzzAuditPlace(f *testing.F) {
	f.Add("00000000-0000-4000-8000-0000000000aa.1796095364328523.7")
	f.Add("..")
	f.Add("a.b.c.d")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := readAuditPlace(text)
		if err != nil || text == "" {
			return
		}
		if again, err := readAuditPlace(p.String()); err != nil || again != p {
			t.Errorf("%q is %+v, and then %+v, %v", text, p, again, err)
		}
	})
}
