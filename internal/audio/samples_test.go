package audio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"
	"testing/iotest"
)

func TestSamples(t *testing.T) {
	b := wav{format: PCM, bits: 16, ch: 1, rate: 8000, riff: 36 + 6, data: 6}.bytes()
	want := []int16{1, -2, -32768}
	for _, s := range want {
		b = binary.LittleEndian.AppendUint16(b, uint16(s))
	}
	var got []int16
	err := Samples(iotest.OneByteReader(bytes.NewReader(b)), func(at int64, s int16) {
		if at != int64(len(got)) {
			t.Errorf("number %d after %d", at, len(got))
		}
		got = append(got, s)
	})
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	none := func(int64, int16) { t.Error("a sample") }
	if err := Samples(bytes.NewReader(b[:30]), none); err != nil {
		t.Errorf("cut off: %v", err)
	}
	law := wav{format: ULaw, bits: 8, ch: 1, rate: 8000, riff: 36 + 8, data: 8, audio: 8}.bytes()
	if err := Samples(bytes.NewReader(law), none); !errors.Is(err, ErrFormat) {
		t.Errorf("u-law: %v", err)
	}
}

func FuzzSamples(f *testing.F) {
	f.Add(wav{format: PCM, bits: 16, ch: 1, rate: 8000, riff: 36 + 8, data: 8, audio: 8}.bytes())
	f.Add([]byte("RIFF"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var n int64
		if err := Samples(bytes.NewReader(b), func(int64, int16) { n++ }); err != nil {
			return
		}
		info, err := Measure(bytes.NewReader(b), int64(len(b)))
		if err != nil || n != info.DataBytes/2 {
			t.Errorf("%d samples, measured %+v, %v", n, info, err)
		}
	})
}
