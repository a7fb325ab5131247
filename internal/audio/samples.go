package audio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Samples reads a WAV stream of 16 bit PCM and calls each with every sample and
// its number, interleaved if there are several channels. What Measure tolerates
// it tolerates. Errors: ErrFormat, also for other formats, or the reader's.
func Samples(r io.Reader, each func(at int64, s int16)) error {
	m := meter{r: r}
	w := &samples{m: &m, each: each}
	m.audio = w
	_, err := m.measure()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil // cut off inside a header
	}
	return err
}

// samples takes the bytes of the audio as they come, halves of samples too.
type samples struct {
	m    *meter
	each func(int64, int16)
	at   int64
	rest []byte // of a sample whose second byte has not come yet
}

func (w *samples) Write(b []byte) (int, error) {
	if i := w.m.info; i.Format != PCM || i.Bits != 16 {
		return 0, fmt.Errorf("format %d, %d bits: %w", i.Format, i.Bits, ErrFormat)
	}
	n := len(b)
	if len(w.rest) == 1 && n > 0 {
		w.put([]byte{w.rest[0], b[0]})
		w.rest, b = nil, b[1:]
	}
	for ; len(b) >= 2; b = b[2:] {
		w.put(b)
	}
	if len(b) == 1 {
		w.rest = []byte{b[0]}
	}
	return n, nil
}

func (w *samples) put(b []byte) {
	w.each(w.at, int16(binary.LittleEndian.Uint16(b)))
	w.at++
}
