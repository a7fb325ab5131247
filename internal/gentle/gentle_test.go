package gentle

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"testing"
	"time"
)

func TestAPacedReaderGivesAllAndTakesItsTime(t *testing.T) {
	data := make([]byte, 4<<20)
	_, _ = rand.Read(data)
	want := sha256.Sum256(data)
	hash := func(r io.Reader) (took time.Duration) {
		begun, h := time.Now(), sha256.New()
		if n, err := io.Copy(h, r); err != nil || n != int64(len(data)) || !bytes.Equal(h.Sum(nil), want[:]) {
			t.Fatalf("read %d: %v", n, err)
		}
		return time.Since(begun)
	}
	alone := hash(Reader(bytes.NewReader(data)))
	p := &Pace{Share: 0.1}
	if paced := hash(p.Reader(t.Context(), bytes.NewReader(data))); paced < 3*alone {
		t.Errorf("a tenth of a processor takes %s, all of it %s", paced, alone)
	}
}

func TestAPacedReaderEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := &Pace{Share: 0.5}
	r := p.Reader(ctx, bytes.NewReader(make([]byte, 1<<20)))
	if _, err := r.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.ReadAll(r); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
