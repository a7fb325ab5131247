package lab

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// wav returns a file of tones, in hertz and seconds, at 8 kHz. size goes into
// the header as the length of the data.
func wav(t *testing.T, size uint32, parts ...[2]float64) string {
	t.Helper()
	b := append([]byte("RIFF\x00\x00\x00\x00WAVEfmt "), 16, 0, 0, 0, 1, 0, 1, 0)
	b = binary.LittleEndian.AppendUint32(b, 8000)
	b = binary.LittleEndian.AppendUint32(b, 16000)
	b = append(b, 2, 0, 16, 0)
	b = binary.LittleEndian.AppendUint32(append(b, "data"...), size)
	var o oscillator
	for _, p := range parts {
		for range int(p[1] * 8000) {
			var s int16
			if p[0] != 0 {
				s = o.next(p[0])
			}
			b = binary.LittleEndian.AppendUint16(b, uint16(s))
		}
	}
	path := filepath.Join(t.TempDir(), "a.wav")
	must(t, os.WriteFile(path, b, 0o600))
	return path
}

func TestTones(t *testing.T) {
	for _, size := range []uint32{0, 3 * 16000, math.MaxUint32} {
		path := wav(t, size, [2]float64{440, 1}, [2]float64{0, 0.5}, [2]float64{620, 1.5})
		a, err := ReadWAV(path)
		must(t, err)
		if a.Duration() != 3*time.Second {
			t.Errorf("size %d: duration %v", size, a.Duration())
		}
		got := Tones(a, []float64{620, 440, 540})
		if len(got) != 2 || got[0].Hz != 440 || got[1].Hz != 620 ||
			(got[0].To-time.Second).Abs() > 50*time.Millisecond || (got[1].From-1500*time.Millisecond).Abs() > 50*time.Millisecond {
			t.Errorf("size %d: tones %v", size, got)
		}
		must(t, CheckTone(path, 440, 0, time.Second))
		must(t, CheckTone(path, 620, 1500*time.Millisecond, 0))
		must(t, CheckNoTone(path, 1000))
		if CheckTone(path, 440, 0, 0) == nil || CheckNoTone(path, 620) == nil {
			t.Error("a check passes that must not")
		}
	}
}

func TestToneLevel(t *testing.T) {
	var o oscillator
	samples := make([]int16, 800)
	for i := range samples {
		samples[i] = decodeUlaw(encodeUlaw(o.next(1004)))
	}
	if l := ToneLevel(samples, 8000, 1004); math.Abs(l-amplitude) > 0.01 {
		t.Errorf("level %f, want %f", l, amplitude)
	}
	if l := ToneLevel(samples, 8000, 904); l > 0.005 {
		t.Errorf("level %f a hundred hertz away", l)
	}
	if ToneLevel(nil, 8000, 440) != 0 || ToneLevel(make([]int16, 800), 8000, 440) != 0 {
		t.Error("silence has a tone")
	}
}

func TestUlaw(t *testing.T) {
	for s := math.MinInt16; s <= math.MaxInt16; s++ {
		got := int(decodeUlaw(encodeUlaw(int16(s))))
		if want := max(-32635, min(32635, s)); math.Abs(float64(got-want)) > math.Abs(float64(want))/16+8 {
			t.Fatalf("%d becomes %d", s, got)
		}
	}
}

func FuzzParseWAV(f *testing.F) {
	f.Add([]byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00data\x00\x00\x00\x00abcd"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if a, err := parseWAV(data); err == nil && (a.Rate <= 0 || a.Channels <= 0) {
			t.Errorf("accepted %+v", a)
		}
	})
}

func FuzzParseSDP(f *testing.F) {
	f.Add(sdpText("127.0.0.1", 4000, 1, 101, "sendrecv"))
	f.Add([]byte("m=audio \r\nc=IN IP4 x"))
	f.Fuzz(func(t *testing.T, body []byte) {
		if s, err := parseSDP(body); err == nil && s.addr != nil && s.addr.Port <= 0 {
			t.Errorf("accepted %+v", s)
		}
	})
}
