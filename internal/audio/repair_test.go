package audio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
)

// noise fills the audio of a file with what tells each byte from the next.
func noise(b []byte, audio int) []byte {
	for i := len(b) - audio; i < len(b); i++ {
		b[i] = byte(i*31 + i>>8)
	}
	return b
}

// TestWhatWasSaidBeforeTheWriterDiedCanBePlayed: of a file whose writer died at
// any time, the repaired copy has every whole sample and says so.
func TestWhatWasSaidBeforeTheWriterDiedCanBePlayed(t *testing.T) {
	pcm := wav{format: PCM, bits: 16, ch: 1, rate: 8000}
	with := func(riff, data uint32, audio int) wav {
		w := pcm
		w.riff, w.data, w.audio = riff, data, audio
		return w
	}
	listed := with(0, 0, 1000)
	listed.extra = []byte("LIST\x04\x00\x00\x00abcd")
	law := wav{format: ULaw, bits: 8, ch: 1, rate: 8000, audio: 801}
	for name, tc := range map[string]struct {
		w       wav
		samples int64
	}{
		"header never written":     {with(0, 0, 16000), 8000},
		"all ones":                 {with(unset32, unset32, 16000), 8000},
		"half a sample at the end": {with(0, 0, 16001), 8000},
		"tail lost by a power cut": {with(36+16000, 16000, 9001), 4500},
		// Killed after a pause that was made by stop and append.
		"died while it appended":  {with(36+16000, 16000, 20000), 10000},
		"something before":        {listed, 500},
		"bytes, an odd number":    {law, 801},
		"only the sizes disagree": {with(36+15000, 16000, 16000), 8000},
	} {
		t.Run(name, func(t *testing.T) {
			src := noise(tc.w.bytes(), tc.w.audio)
			var dst bytes.Buffer
			info, err := Repair(&dst, bytes.NewReader(src), int64(len(src)))
			if err != nil {
				t.Fatal(err)
			}
			got, err := Measure(bytes.NewReader(dst.Bytes()), int64(dst.Len()))
			if err != nil || got != info || got.Samples != tc.samples || !got.HeaderComplete {
				t.Errorf("%+v, promised %+v, want %d samples, %v", got, info, tc.samples, err)
			}
			if !Final(dst.Bytes(), int64(dst.Len())) {
				t.Error("not final")
			}
			if err := SameAudio(bytes.NewReader(src), int64(len(src)), bytes.NewReader(dst.Bytes()), int64(dst.Len())); err != nil {
				t.Error(err)
			}
			other := bytes.Clone(dst.Bytes())
			other[len(other)-3] ^= 1
			if err := SameAudio(bytes.NewReader(src), int64(len(src)), bytes.NewReader(other), int64(len(other))); !errors.Is(err, ErrDiffers) {
				t.Errorf("one bit: %v", err)
			}
			var again bytes.Buffer
			if _, err := Repair(&again, bytes.NewReader(dst.Bytes()), int64(dst.Len())); !errors.Is(err, ErrNothingToRepair) {
				t.Errorf("repaired twice: %v", err)
			}
		})
	}
	empty := pcm.bytes()
	if _, err := Repair(&bytes.Buffer{}, bytes.NewReader(empty), int64(len(empty))); !errors.Is(err, ErrNothingToRepair) {
		t.Errorf("without audio: %v", err)
	}
	if _, err := Repair(&bytes.Buffer{}, bytes.NewReader([]byte("ID3....")), 7); !errors.Is(err, ErrFormat) {
		t.Errorf("no wav: %v", err)
	}
}

// headless is what Asterisk leaves behind if the disk had no room for the header.
func headless(audio int) []byte {
	b := noise(make([]byte, audio), audio)
	binary.LittleEndian.PutUint32(b[4:], uint32(audio-8))
	binary.LittleEndian.PutUint32(b[40:], uint32(audio-44))
	return b
}

// TestAFileThatHadNoRoomForItsHeaderCanBePlayed: a disk that was full when a call
// began must not cost the rest of the call.
func TestAFileThatHadNoRoomForItsHeaderCanBePlayed(t *testing.T) {
	for _, size := range []int{88640, 88639, 46} {
		src := headless(size)
		if _, err := Measure(bytes.NewReader(src), int64(size)); !errors.Is(err, ErrFormat) {
			t.Errorf("as it is a player cannot read it, but %v", err)
		}
		var dst bytes.Buffer
		info, err := Repair(&dst, bytes.NewReader(src), int64(size))
		if err != nil || info.Samples != int64(size/2) || info.Rate != 8000 || !Final(dst.Bytes(), int64(dst.Len())) {
			t.Fatalf("%+v, %v", info, err)
		}
		if got, err := Measure(bytes.NewReader(dst.Bytes()), int64(dst.Len())); err != nil || got != info {
			t.Errorf("%+v, promised %+v, %v", got, info, err)
		}
		if !bytes.Equal(dst.Bytes()[44:], src[size&1:]) {
			t.Error("the samples are others, or not whole")
		}
		if err := SameAudio(bytes.NewReader(src), int64(size), bytes.NewReader(dst.Bytes()), int64(dst.Len())); err != nil {
			t.Error(err)
		}
	}
	for name, src := range map[string][]byte{
		"not closed":       noise(make([]byte, 1000), 1000),
		"cut off":          headless(1000)[:998],
		"of the header":    headless(1000)[:44],
		"one of the sizes": func() []byte { b := headless(1000); b[40]++; return b }(),
	} {
		if _, err := Headless(bytes.NewReader(src), int64(len(src))); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzRepair(f *testing.F) {
	f.Add(headless(100))
	f.Add(wav{format: PCM, bits: 16, ch: 1, rate: 8000, audio: 8}.bytes())
	f.Add(wav{format: PCM, bits: 16, ch: 1, rate: 8000, riff: 44, data: 8, audio: 20}.bytes())
	f.Add(wav{format: ALaw, bits: 8, ch: 3, rate: 8000, audio: 7}.bytes())
	f.Add(binary.LittleEndian.AppendUint32([]byte("RIFF"), unset32))
	f.Fuzz(func(t *testing.T, b []byte) {
		var out bytes.Buffer
		info, err := Repair(&out, bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		got, err := Measure(bytes.NewReader(out.Bytes()), int64(out.Len()))
		if err != nil || got != info || !got.HeaderComplete {
			t.Fatalf("%+v, promised %+v, %v", got, info, err)
		}
		if err := SameAudio(bytes.NewReader(b), int64(len(b)), bytes.NewReader(out.Bytes()), int64(out.Len())); err != nil {
			t.Fatal(err)
		}
	})
}
