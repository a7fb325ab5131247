package voice

import (
	"math"
	"math/bits"
	"time"
)

// Listener finds out which tones are in which frame of a recording.
type Listener struct{ cos, sin [tones][frameSamples]float32 }

// NewListener makes one; it can be used by one goroutine at a time.
func NewListener() *Listener {
	l := &Listener{}
	for t := range tones {
		for i := range frameSamples {
			s, c := math.Sincos(2 * math.Pi * float64((firstHz+stepHz*t)*i%8000) / 8000)
			l.cos[t][i], l.sin[t][i] = float32(c), float32(s)
		}
	}
	return l
}

// Frames are the tones of each whole frame of the samples, at 8 kHz.
func (l *Listener) Frames(samples []int16) Recording {
	out := make(Recording, 0, len(samples)/frameSamples)
	for ; len(samples) >= frameSamples; samples = samples[frameSamples:] {
		out = append(out, l.frame(samples[:frameSamples]))
	}
	return out
}

func (l *Listener) frame(samples []int16) (m mask) {
	var x [frameSamples]float32
	quiet := true
	for i, v := range samples {
		x[i] = float32(v)
		quiet = quiet && v > -heardFrom/2 && v < heardFrom/2
	}
	if quiet {
		return 0
	}
	const enough = heardFrom * frameSamples / 2
	for t := range tones {
		var re, im float32
		cos, sin := &l.cos[t], &l.sin[t]
		for i := range x {
			re += x[i] * cos[i]
			im += x[i] * sin[i]
		}
		if re*re+im*im >= enough*enough {
			m |= 1 << t
		}
	}
	return m
}

// Recording is a recording as tones, frame by frame.
type Recording []mask

// Whose says whose voices are in the recording: the call that most frames
// belong to. ok is false unless both sides are heard.
func (r Recording) Whose() (call int, ok bool) {
	var caller, callee [pairs]int
	for _, m := range r {
		if p, ok := m.pairIn(callerMask, callerFrom); ok {
			caller[p]++
		}
		if p, ok := m.pairIn(calleeMask, calleeFrom); ok {
			callee[p]++
		}
	}
	a, b := most(caller[:]), most(callee[:])
	return callOf(a, b), caller[a] > 0 && callee[b] > 0
}

func most(n []int) (at int) {
	for i, v := range n {
		if v > n[at] {
			at = i
		}
	}
	return at
}

// Heard is what of a call is in a recording.
type Heard struct {
	// Ticks says how many frames of each half second of the talk are there: of
	// the caller's voice, by which the half second is known.
	Ticks [clockTones]int
	// Callee says in how many of these the callee is heard, too.
	Callee int
	// Foreign is how many frames have a pair of tones of another call.
	Foreign int
	// First and Last are where in the recording the call is heard.
	First, Last time.Duration
}

// Caller is in how many frames the caller is heard.
func (h Heard) Caller() (n int) {
	for _, v := range h.Ticks {
		n += v
	}
	return n
}

// Listen says what of that call is in the recording.
func (r Recording) Listen(call int) (h Heard) {
	caller, callee := codes(call)
	a, b := side(callerFrom, caller), side(calleeFrom, callee)
	h.First = -1
	for i, m := range r {
		if p, ok := m.pairIn(callerMask, callerFrom); ok && p != caller {
			h.Foreign++
		} else if p, ok := m.pairIn(calleeMask, calleeFrom); ok && p != callee {
			h.Foreign++
		}
		clock := (m & clockMask) >> clockFrom
		if m&a != a || clock == 0 {
			continue
		}
		h.Ticks[bits.TrailingZeros64(uint64(clock))]++
		if m&b == b {
			h.Callee++
		}
		if at := time.Duration(i) * Frame; h.First < 0 {
			h.First = at
		}
		h.Last = time.Duration(i+1) * Frame
	}
	h.First = max(h.First, 0)
	return h
}
