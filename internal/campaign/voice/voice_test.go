package voice

import (
	"math/rand/v2"
	"testing"
	"time"
)

// decode is the inverse of ulaw.
func decode(b byte) int16 {
	b = ^b
	v := (int(b&0x0f)<<3+132)<<(b>>4&7) - 132
	if b&0x80 != 0 {
		v = -v
	}
	return int16(v)
}

// talk is what a recording of both sides has, from one frame to another.
func talk(call int, lasts time.Duration, from, to int) []int16 {
	caller, callee := Caller(call, lasts), Callee(call)
	var out []int16
	for f := range to {
		a, b := caller(f), callee(f)
		if f < from {
			continue
		}
		for i := range frameSamples {
			v := int16(0)
			if a != nil {
				v += decode(a[i])
			}
			out = append(out, v+decode(b[i]))
		}
	}
	return out
}

// TestARecordingSaysWhoseItIs: every call that is drawn is found again, with
// each half second that is in the file and none that is not.
func TestARecordingSaysWhoseItIs(t *testing.T) {
	l := NewListener()
	r := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		call := r.IntN(Calls)
		from, to := r.IntN(100), 200+r.IntN(200)
		heard := l.Frames(talk(call, 8*time.Second, from, to))
		if got, ok := heard.Whose(); !ok || got != call {
			t.Fatalf("the file of call %d is taken for that of %d, %t", call, got, ok)
		}
		h := heard.Listen(call)
		for tick, n := range h.Ticks {
			want := min(max(to-tick*TickFrames, 0), TickFrames) - min(max(from-tick*TickFrames, 0), TickFrames)
			if n != want {
				t.Errorf("call %d, frames %d to %d: %d frames of half second %d are heard, want %d", call, from, to, n, tick, want)
			}
		}
		if h.Callee != to-from || h.Foreign != 0 || h.First != 0 || h.Last != time.Duration(to-from)*Frame {
			t.Errorf("call %d, frames %d to %d: heard %+v", call, from, to, h)
		}
	}
}

// TestAnotherCallsVoiceIsForeign: cross-talk is not overheard, and silence is
// nobody's.
func TestAnotherCallsVoiceIsForeign(t *testing.T) {
	l := NewListener()
	const call = 4711
	for _, other := range []int{call + 1, call - 1, call + pairs, call + 7*pairs + 3} {
		heard := l.Frames(append(talk(call, Longest, 0, 100), talk(other, Longest, 100, 150)...))
		h := heard.Listen(call)
		if h.Foreign != 50 || h.Callee != 100 {
			t.Errorf("50 frames of call %d in the file of %d: heard %+v", other, call, h)
		}
	}
	silence := l.Frames(make([]int16, 8000))
	if h := silence.Listen(call); h.Caller() != 0 || h.Foreign != 0 || len(silence) != 50 {
		t.Errorf("in silence %+v is heard", h)
	}
	if _, ok := silence.Whose(); ok {
		t.Error("silence is somebody's")
	}
}

func TestEveryCallHasVoicesOfItsOwn(t *testing.T) {
	seen := make(map[[2]int]bool)
	for call := range Calls {
		a, b := codes(call)
		if seen[[2]int{a, b}] || callOf(a, b) != call {
			t.Fatalf("call %d has the codes %d and %d, which are those of call %d", call, a, b, callOf(a, b))
		}
		seen[[2]int{a, b}] = true
		if x, y := pairTones(a); pairOf(x, y) != a {
			t.Fatalf("pair %d has the tones %d and %d", a, x, y)
		}
		na, nb := codes(call + 1)
		if na == a || nb == b {
			t.Fatalf("calls %d and %d share a voice", call, call+1)
		}
	}
}
