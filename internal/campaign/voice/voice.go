// Package voice gives each call of the campaign voices of its own, so that a
// recording says by itself whose it is and which seconds of the talk are in it:
// each side plays two tones that only its call has, and the caller a third one
// that changes every half second.
//
// All tones are multiples of 50 Hz, so a frame of 20 ms holds whole periods of
// each: frames can be lost or repeated without a click, and one frame is enough
// to tell the tones apart exactly.
//
// It is pure and must not import anything of ours.
package voice

import (
	"math"
	"math/bits"
	"sync"
	"time"
)

const (
	// Frame is a frame of RTP and of a recording.
	Frame        = 20 * time.Millisecond
	frameSamples = 160 // at 8 kHz

	firstHz, stepHz = 400, 50
	idTones         = 18 // of each side
	clockTones      = 16
	callerFrom      = 0
	calleeFrom      = callerFrom + idTones
	clockFrom       = calleeFrom + idTones
	tones           = clockFrom + clockTones

	// Tick is how long the caller's third tone lasts.
	Tick = TickFrames * Frame
	// TickFrames is the same in frames.
	TickFrames = 25
	// Longest is the longest talk: then the third tones are used up.
	Longest = clockTones * Tick

	pairs = idTones * (idTones - 1) / 2
	// Calls is how many calls have voices of their own.
	Calls = pairs * pairs

	// amplitude of one tone; all five of a call together are not clipped.
	amplitude = 3500
	// heardFrom is the amplitude from which on a tone counts as heard.
	heardFrom = 1300
)

// codes are the pairs of tones of both sides of a call. Neighbours differ in
// both.
func codes(call int) (caller, callee int) {
	call %= Calls
	return call % pairs, (call + call/pairs) % pairs
}

// callOf is the inverse of codes.
func callOf(caller, callee int) int {
	return (callee-caller+2*pairs)%pairs*pairs + caller
}

// pairTones are the two tones of a pair.
func pairTones(pair int) (a, b int) {
	for a = 0; ; a++ {
		if rest := idTones - 1 - a; pair < rest {
			return a, a + 1 + pair
		} else {
			pair -= rest
		}
	}
}

func pairOf(a, b int) int { return a*(2*idTones-a-1)/2 + b - a - 1 }

// mask is a set of tones.
type mask uint64

func side(from, pair int) mask {
	a, b := pairTones(pair)
	return 1<<(from+a) | 1<<(from+b)
}

const (
	callerMask mask = (1<<idTones - 1) << callerFrom
	calleeMask mask = (1<<idTones - 1) << calleeFrom
	clockMask  mask = (1<<clockTones - 1) << clockFrom
)

// pairIn is the pair of a side's tones in a frame, false unless there are
// exactly two.
func (m mask) pairIn(side mask, from int) (int, bool) {
	if m &= side; bits.OnesCount64(uint64(m)) != 2 {
		return 0, false
	}
	m >>= from
	return pairOf(bits.TrailingZeros64(uint64(m)), 63-bits.LeadingZeros64(uint64(m))), true
}

// Caller is what the caller of a call sends for that long, Longest at most.
func Caller(call int, talk time.Duration) func(frame int) []byte {
	code, _ := codes(call)
	id, frames := side(callerFrom, code), int(min(talk, Longest)/Frame)
	var payload []byte
	tick := -1
	return func(frame int) []byte {
		if frame >= frames {
			return nil
		}
		if now := frame / TickFrames; now != tick { // digits may have taken a tick's first frame
			tick, payload = now, encode(id|1<<(clockFrom+now))
		}
		return payload
	}
}

// Callee is what the callee sends until it hangs up.
func Callee(call int) func(frame int) []byte {
	_, code := codes(call)
	var once sync.Once
	var payload []byte
	return func(int) []byte {
		once.Do(func() { payload = encode(side(calleeFrom, code)) })
		return payload
	}
}

// encode is a frame of the tones as G.711 µ-law.
func encode(m mask) []byte {
	out := make([]byte, frameSamples)
	for i := range out {
		v := 0.0
		for t := range tones {
			if m&(1<<t) != 0 {
				// Phases that differ keep the peaks apart.
				v += amplitude * math.Sin(2*math.Pi*(float64((firstHz+stepHz*t)*i)/8000+float64(t*t)/tones))
			}
		}
		out[i] = ulaw(v)
	}
	return out
}

// ulaw encodes a sample (ITU-T G.711).
func ulaw(v float64) byte {
	x, sign := int(v), 0
	if x < 0 {
		x, sign = -x, 0x80
	}
	x = min(x, 32635) + 132
	exponent := bits.Len(uint(x)) - 8
	return ^byte(sign | exponent<<4 | x>>(exponent+3)&0x0f)
}
