package lab

import (
	"math"
	"math/bits"
)

// amplitude of what phones and PBX play: a quarter of full scale, so that two
// of them mixed are not clipped.
const amplitude = 0.25

// oscillator makes a sine without jumps when the frequency changes.
type oscillator struct{ phase float64 }

// next returns the next sample at 8 kHz.
func (o *oscillator) next(hz float64) int16 {
	v := math.Sin(o.phase) * amplitude * 32767
	o.phase = math.Mod(o.phase+2*math.Pi*hz/8000, 2*math.Pi)
	return int16(v)
}

// encodeUlaw compresses a sample as G.711 μ-law.
func encodeUlaw(s int16) byte {
	const bias, clip = 132, 32635
	sign, mag := byte(0), int(s)
	if mag < 0 {
		sign, mag = 0x80, -mag
	}
	mag = min(mag, clip) + bias
	exp := bits.Len(uint(mag)) - 8 // 0..7, as mag is at least 132
	return ^(sign | byte(exp)<<4 | byte(mag>>(exp+3))&0x0f)
}

// decodeUlaw is its inverse.
func decodeUlaw(b byte) int16 {
	b = ^b
	mag := (int(b&0x0f)<<3+132)<<(b>>4&7) - 132
	if b&0x80 != 0 {
		mag = -mag
	}
	return int16(mag)
}
