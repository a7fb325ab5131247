package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"time"
)

const (
	// toneThreshold is the level from which on a tone counts as heard, as a
	// share of full scale: 14 dB below what our phones send.
	toneThreshold = 0.05
	// toneWindow and toneStep: a window separates tones 50 Hz apart.
	toneWindow = 100 * time.Millisecond
	toneStep   = 20 * time.Millisecond
	// toneGap is the longest hole that does not divide a span: a lost packet
	// or two.
	toneGap = 100 * time.Millisecond
	// toneSlack is how far a span's ends may be off.
	toneSlack = 100 * time.Millisecond
)

// Audio is 16 bit PCM, the channels interleaved.
type Audio struct {
	Rate, Channels int
	Samples        []int16
}

// Span is a time during which a tone was heard.
type Span struct {
	Hz       float64
	From, To time.Duration
}

// Duration returns how long the audio plays.
func (a Audio) Duration() time.Duration {
	if a.Rate == 0 || a.Channels == 0 {
		return 0
	}
	return time.Duration(len(a.Samples)/a.Channels) * time.Second / time.Duration(a.Rate)
}

// Channel returns one channel, counted from 0.
func (a Audio) Channel(n int) Audio {
	out := Audio{Rate: a.Rate, Channels: 1, Samples: make([]int16, 0, len(a.Samples)/a.Channels)}
	for i := n; i < len(a.Samples); i += a.Channels {
		out.Samples = append(out.Samples, a.Samples[i])
	}
	return out
}

// ToneLevel returns the amplitude of a tone of hz hertz in the samples as a
// share of full scale, between 0 and 1. Tones further away than four divided
// by the duration do not count (Goertzel's algorithm behind a Hann window).
func ToneLevel(samples []int16, rate int, hz float64) float64 {
	n := len(samples)
	if n == 0 || rate == 0 {
		return 0
	}
	coeff := 2 * math.Cos(2*math.Pi*hz/float64(rate))
	var s1, s2 float64
	for i, v := range samples {
		window := 0.5 - 0.5*math.Cos(2*math.Pi*float64(i)/float64(n))
		s1, s2 = float64(v)*window+coeff*s1-s2, s1
	}
	power := max(0, s1*s1+s2*s2-coeff*s1*s2)
	// The window halves the amplitude, and so does the negative frequency.
	return math.Sqrt(power) * 4 / float64(n) / 32768
}

// Tones returns when each of the tones is heard in any channel, ordered by
// time. The ends are exact to about 50 ms.
func Tones(a Audio, hz []float64) []Span {
	var out []Span
	for ch := range a.Channels {
		mono := a.Channel(ch)
		for _, f := range hz {
			out = append(out, spans(mono, f)...)
		}
	}
	slices.SortStableFunc(out, func(a, b Span) int { return int(a.From - b.From) })
	return out
}

func spans(a Audio, hz float64) []Span {
	var out []Span
	window, step := int(toneWindow.Seconds()*float64(a.Rate)), int(toneStep.Seconds()*float64(a.Rate))
	at := func(sample int) time.Duration { return time.Duration(sample) * time.Second / time.Duration(a.Rate) }
	for i := 0; i+window <= len(a.Samples); i += step {
		if ToneLevel(a.Samples[i:i+window], a.Rate, hz) < toneThreshold {
			continue
		}
		// The window's middle, but its outer ends at the ends of the audio.
		from, to := at(i+window/2)-toneStep/2, at(i+window/2)+toneStep/2
		if i == 0 {
			from = 0
		}
		if i+window+step > len(a.Samples) {
			to = a.Duration()
		}
		if last := len(out) - 1; last >= 0 && from-out[last].To <= toneGap {
			out[last].To = to
		} else {
			out = append(out, Span{Hz: hz, From: from, To: to})
		}
	}
	return out
}

// CheckTone returns an error unless the tone is heard in the WAV file all the
// time between from and to; to 0 means the end. Holes and ends may be off by
// 100 ms.
func CheckTone(path string, hz float64, from, to time.Duration) error {
	a, err := ReadWAV(path)
	if err != nil {
		return err
	}
	if to == 0 {
		to = a.Duration()
	}
	found := Tones(a, []float64{hz})
	for _, s := range found {
		if s.From <= from+toneSlack && s.To >= to-toneSlack {
			return nil
		}
	}
	return fmt.Errorf("%s: %v Hz is not heard from %v to %v but in %v of %v", path, hz, from, to, found, a.Duration())
}

// CheckNoTone returns an error if the tone is heard in the WAV file. Speech can
// look like a tone for a moment: use it on files that hold tones only.
func CheckNoTone(path string, hz float64) error {
	a, err := ReadWAV(path)
	if err != nil {
		return err
	}
	if found := Tones(a, []float64{hz}); len(found) > 0 {
		return fmt.Errorf("%s: %v Hz is heard in %v of %v", path, hz, found, a.Duration())
	}
	return nil
}

// ReadWAV reads 16 bit PCM. A data size of zero or beyond the end means up to
// the end of the file: Asterisk writes the sizes only when it closes.
func ReadWAV(path string) (Audio, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Audio{}, fmt.Errorf("read WAV: %w", err)
	}
	a, err := parseWAV(data)
	if err != nil {
		return Audio{}, fmt.Errorf("read WAV %s (%d bytes): %w", path, len(data), err)
	}
	return a, nil
}

func parseWAV(data []byte) (Audio, error) {
	if len(data) < 12 || string(data[:4]) != "RIFF" || string(data[8:12]) != "WAVE" {
		return Audio{}, errors.New("no RIFF header")
	}
	var a Audio
	for rest := data[12:]; len(rest) >= 8; {
		name, size := string(rest[:4]), int64(binary.LittleEndian.Uint32(rest[4:]))
		body := rest[8:]
		if name == "data" {
			if size == 0 || size > int64(len(body)) {
				size = int64(len(body))
			}
			return a.withSamples(body[:size])
		}
		if size > int64(len(body)) {
			return Audio{}, fmt.Errorf("chunk %q: %w", name, io.ErrUnexpectedEOF)
		}
		if name == "fmt " {
			if size < 16 {
				return Audio{}, fmt.Errorf("chunk %q of %d bytes: %w", name, size, io.ErrUnexpectedEOF)
			}
			format, bits := binary.LittleEndian.Uint16(body), binary.LittleEndian.Uint16(body[14:])
			if format != 1 || bits != 16 {
				return Audio{}, fmt.Errorf("format %d with %d bits, want PCM with 16", format, bits)
			}
			a.Channels = int(binary.LittleEndian.Uint16(body[2:]))
			a.Rate = int(binary.LittleEndian.Uint32(body[4:]))
		}
		rest = body[min(size+size%2, int64(len(body))):] // chunks are padded to even sizes
	}
	return Audio{}, errors.New("no data chunk")
}

func (a Audio) withSamples(body []byte) (Audio, error) {
	if a.Rate == 0 || a.Channels == 0 {
		return Audio{}, errors.New("no usable fmt chunk before the data")
	}
	a.Samples = make([]int16, len(body)/2)
	for i := range a.Samples {
		a.Samples[i] = int16(binary.LittleEndian.Uint16(body[2*i:]))
	}
	return a, nil
}
