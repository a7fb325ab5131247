package audio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
	"time"
)

type wav struct {
	riff, data uint32
	format     Format
	bits, ch   uint16
	rate       uint32
	ext        bool
	extra      []byte // before data
	audio      int
}

func (w wav) bytes() []byte {
	le := binary.LittleEndian
	fm := le.AppendUint16(nil, uint16(w.format))
	if w.ext {
		fm = le.AppendUint16(nil, uint16(extensible))
	}
	fm = le.AppendUint16(fm, w.ch)
	fm = le.AppendUint32(fm, w.rate)
	fm = le.AppendUint32(fm, w.rate*uint32(w.ch*w.bits/8))
	fm = le.AppendUint16(fm, w.ch*w.bits/8)
	fm = le.AppendUint16(fm, w.bits)
	if w.ext {
		fm = append(fm, 22, 0, 16, 0, 0, 0, 0, 0)
		fm = le.AppendUint16(fm, uint16(w.format))
		fm = append(fm, make([]byte, 14)...)
	}
	b := append([]byte("RIFF"), 0, 0, 0, 0)
	le.PutUint32(b[4:], w.riff)
	b = append(b, "WAVEfmt "...)
	b = le.AppendUint32(b, uint32(len(fm)))
	b = append(append(b, fm...), w.extra...)
	b = le.AppendUint32(append(b, "data"...), w.data)
	return append(b, make([]byte, w.audio)...)
}

func TestMeasure(t *testing.T) {
	pcm := wav{format: PCM, bits: 16, ch: 1, rate: 8000}
	with := func(riff, data uint32, audio int) wav {
		w := pcm
		w.riff, w.data, w.audio = riff, data, audio
		return w
	}
	list := with(36+16000+12, 16000, 16000)
	list.extra = []byte("LIST\x04\x00\x00\x00abcd")
	ext := with(0, 0, 16000)
	ext.ext = true
	for name, tc := range map[string]struct {
		w        wav
		samples  int64
		complete bool
	}{
		"finished":        {with(36+16000, 16000, 16000), 8000, true},
		"finished, empty": {with(36, 0, 0), 0, true},
		"unset":           {with(0, 0, 16000), 8000, false},
		"unset, ones":     {with(unset32, unset32, 16001), 8000, false},
		"riff only":       {with(36+16000, unset32, 16000), 8000, false},
		"short":           {with(36+16000, 16000, 9000), 4500, false},
		"chunk before":    {list, 8000, true},
		"extensible":      {ext, 8000, false},
		"ulaw":            {wav{format: ULaw, bits: 8, ch: 1, rate: 8000, riff: 36 + 800, data: 800, audio: 800}, 800, true},
		"alaw stereo":     {wav{format: ALaw, bits: 8, ch: 2, rate: 8000, riff: 36 + 800, data: 800, audio: 800}, 400, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := tc.w.bytes()
			i, err := Measure(bytes.NewReader(b), int64(len(b)))
			if err != nil {
				t.Fatal(err)
			}
			if i.Samples != tc.samples || i.HeaderComplete != tc.complete {
				t.Errorf("got %+v, want %d samples, complete %v", i, tc.samples, tc.complete)
			}
			if want := time.Duration(tc.samples) * time.Second / 8000; i.Duration != want {
				t.Errorf("duration %v, want %v", i.Duration, want)
			}
			if riffOK := tc.w.riff != 0 && tc.w.data != unset32 && int64(tc.w.riff)+8 == int64(len(b)); Final(b, int64(len(b))) != riffOK {
				t.Errorf("Final is %v", !riffOK)
			}
		})
	}
}

func TestMeasureCutOff(t *testing.T) {
	b := wav{format: PCM, bits: 16, ch: 1, rate: 8000}.bytes()
	for n := range len(b) {
		i, err := Measure(bytes.NewReader(b[:n]), int64(n))
		if err != nil || i.Samples != 0 || i.HeaderComplete {
			t.Errorf("%d bytes: %+v, %v", n, i, err)
		}
	}
	for _, s := range []string{"x", "RIFX0000WAVE", "RIFF0000WAVEdata0000", "RIFF0000WAVEfmt \x10\x00\x00\x000123456789012345"} {
		if _, err := Measure(bytes.NewReader([]byte(s)), -1); !errors.Is(err, ErrFormat) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func FuzzMeasure(f *testing.F) {
	f.Add(wav{format: PCM, bits: 16, ch: 1, rate: 8000, riff: 36 + 320, data: 320, audio: 320}.bytes())
	f.Add(wav{format: ULaw, bits: 8, ch: 2, rate: 16000, ext: true, audio: 33}.bytes())
	f.Add([]byte("RIFF"))
	f.Fuzz(func(t *testing.T, b []byte) {
		i, err := Measure(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		if i.DataBytes < 0 || i.DataBytes > int64(len(b)) || i.Samples > i.DataBytes || i.Duration < 0 {
			t.Errorf("%+v from %d bytes", i, len(b))
		}
		if i.HeaderComplete && !Final(b, int64(len(b))) {
			t.Errorf("complete, but not final: %+v", i)
		}
	})
}

// Asterisk writes the size of the whole at close, and then that of the audio. Who
// looked in between took a recording for an empty one (TestProgram, on a loaded
// machine: empty, no_audio, with all the audio in the file).
func TestHeaderThatIsHalfWrittenIsNotFinal(t *testing.T) {
	head := func(riff, data uint32) []byte {
		le := binary.LittleEndian
		b := le.AppendUint32([]byte("RIFF"), riff)
		b = append(b, "WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00data"...)
		return le.AppendUint32(b, data)
	}
	for _, c := range []struct {
		riff, data uint32
		size       int64
		final      bool
	}{
		{0, 0, 44 + 320, false},
		{36 + 320, 0, 44 + 320, false},
		{36 + 320, 320, 44 + 320, true},
		{36 + 160, 160, 44 + 320, false}, // it goes on, after a cut
		{36, 0, 44, true},                // nothing was said
		{36, 0, 44 + 320, false},
	} {
		if got := Final(head(c.riff, c.data), c.size); got != c.final {
			t.Errorf("riff %d, data %d, %d bytes: %t", c.riff, c.data, c.size, got)
		}
	}
	if !Final(head(36+320, 0)[:12], 44+320) {
		t.Error("who has only the beginning of a file is told what that says")
	}
}
