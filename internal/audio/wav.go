// Package audio reads WAV files as Asterisk writes them: finished ones, live
// ones and those a crash has left behind. It streams and never trusts a size
// that a header claims.
//
// It must not import anything of ours.
package audio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// Format is the sample format tag of a fmt chunk.
type Format uint16

// The formats that are understood (RFC 2361). An EXTENSIBLE header is
// replaced by the format that its GUID begins with.
const (
	PCM        Format = 1
	ALaw       Format = 6
	ULaw       Format = 7
	extensible Format = 0xFFFE
)

// ErrFormat says that the stream is no WAV file, or one of another format.
var ErrFormat = errors.New("not a wav file of a known format")

// Info is what a file holds.
type Info struct {
	Format    Format
	Rate      int   // samples per second
	Channels  int   // interleaved
	Bits      int   // per sample
	DataBytes int64 // audio that is really there
	Samples   int64 // per channel, whole ones only
	Duration  time.Duration
	// HeaderComplete says that the header was written at close: RIFF size and
	// data size are set and agree with what is there.
	HeaderComplete bool
}

const (
	unset32 = 0xFFFFFFFF
	maxRate = 768000
)

// HeadSize is how many bytes of a file Final looks at, if there are as many.
const HeadSize = 44

// Final says whether a file that begins with head, size bytes long, has a header
// whose sizes agree with it: Asterisk sets them at close only. It writes that of
// the RIFF chunk first and that of the audio with another write, so a file with
// the first alone is not final.
func Final(head []byte, size int64) bool {
	if len(head) < 8 || string(head[:4]) != "RIFF" {
		return false
	}
	riff := binary.LittleEndian.Uint32(head[4:])
	if riff == 0 || riff == unset32 || !agrees(riff, size) {
		return false
	}
	if len(head) < HeadSize || string(head[36:40]) != "data" {
		return true // not as Asterisk writes it
	}
	return agrees(binary.LittleEndian.Uint32(head[40:])+HeadSize-8, size)
}

// agrees allows for the pad byte that some writers leave out of the size.
func agrees(riff uint32, size int64) bool {
	n := int64(riff) + 8
	return n == size || n+1 == size
}

// Measure reads a WAV stream to its end. size is the file's, in bytes, or
// negative if unknown. Sizes of 0, 0xFFFFFFFF or more than there is are
// tolerated: the audio counts to the end of the stream (facts 1: a crash
// leaves the header unset). A file that ends inside its header has no samples
// and no error. Errors: ErrFormat, or the reader's.
func Measure(r io.Reader, size int64) (Info, error) {
	m := meter{r: r}
	riff, err := m.measure()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return m.info, nil // cut off inside a header
	}
	if err != nil {
		return Info{}, err
	}
	if size < 0 {
		size = m.read
	}
	m.info.HeaderComplete = m.whole && riff != 0 && riff != unset32 &&
		m.read == size && agrees(riff, size)
	return m.info, nil
}

type meter struct {
	r     io.Reader
	read  int64 // bytes so far
	info  Info
	align int64     // bytes of one sample of all channels
	data  bool      // a data chunk was there
	whole bool      // and it was as long as it said
	audio io.Writer // takes the audio, if set
	// begin, if set, ends the reading where the audio begins, with this error.
	begin error
}

func (m *meter) full(b []byte) error {
	n, err := io.ReadFull(m.r, b)
	m.read += int64(n)
	return err
}

// skip reads n bytes, or all there are if n is negative, and counts them.
func (m *meter) skip(n int64) (int64, error) { return m.copy(io.Discard, n) }

// take is skip for the audio.
func (m *meter) take(n int64) (int64, error) {
	if m.audio == nil {
		return m.skip(n)
	}
	return m.copy(m.audio, n)
}

func (m *meter) copy(to io.Writer, n int64) (int64, error) {
	src := m.r
	if n >= 0 {
		src = io.LimitReader(m.r, n)
	}
	got, err := io.Copy(to, src)
	m.read += got
	if err != nil {
		return got, fmt.Errorf("read audio: %w", err)
	}
	return got, nil
}

func (m *meter) measure() (riff uint32, err error) {
	var h [12]byte
	if err := m.full(h[:]); err != nil {
		if string(h[:min(m.read, 4)]) != "RIFF"[:min(m.read, 4)] {
			return 0, ErrFormat
		}
		return 0, err
	}
	if string(h[:4]) != "RIFF" || string(h[8:]) != "WAVE" {
		return 0, ErrFormat
	}
	riff = binary.LittleEndian.Uint32(h[4:])
	for {
		err := m.chunk(riff)
		if m.data && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) {
			return riff, nil
		}
		if err != nil {
			return riff, err
		}
	}
}

func (m *meter) chunk(riff uint32) error {
	var h [8]byte
	if err := m.full(h[:]); err != nil {
		return err
	}
	n := binary.LittleEndian.Uint32(h[4:])
	switch id := string(h[:4]); {
	case id == "fmt " && m.align == 0:
		return m.format(n)
	case id == "data" && !m.data:
		return m.samples(n, riff)
	}
	_, err := m.skip(int64(n) + int64(n&1))
	return err
}

func (m *meter) format(n uint32) error {
	if n < 16 || n > 4096 {
		return fmt.Errorf("fmt chunk of %d bytes: %w", n, ErrFormat)
	}
	b := make([]byte, n+n&1)
	if err := m.full(b); err != nil {
		return err
	}
	le := binary.LittleEndian
	i := Info{
		Format: Format(le.Uint16(b)), Channels: int(le.Uint16(b[2:])),
		Rate: int(le.Uint32(b[4:])), Bits: int(le.Uint16(b[14:])),
	}
	if i.Format == extensible && n >= 26 {
		i.Format = Format(le.Uint16(b[24:]))
	}
	known := i.Format == PCM && (i.Bits == 8 || i.Bits == 16 || i.Bits == 24 || i.Bits == 32) ||
		(i.Format == ALaw || i.Format == ULaw) && i.Bits == 8
	if !known || i.Channels < 1 || i.Channels > 64 || i.Rate < 1 || i.Rate > maxRate {
		return fmt.Errorf("format %d, %d bits, %d channels, rate %d: %w",
			i.Format, i.Bits, i.Channels, i.Rate, ErrFormat)
	}
	m.info, m.align = i, int64(i.Channels*i.Bits/8)
	return nil
}

func (m *meter) samples(n, riff uint32) error {
	if m.align == 0 {
		return fmt.Errorf("data before fmt: %w", ErrFormat)
	}
	if m.begin != nil {
		return m.begin
	}
	want := int64(n)
	if n == unset32 || n == 0 && (riff == 0 || riff == unset32) {
		want = -1
	}
	got, err := m.take(want)
	if err != nil {
		return err
	}
	m.data, m.whole = true, got == want
	if m.whole && n&1 == 0 && m.read == int64(riff)+8 {
		// The file should end here. If it goes on, its writer had appended to it
		// and died before it wrote the header anew: that is audio as well. A single
		// byte is none, see agrees.
		more, err := m.take(-1)
		if err != nil {
			return err
		}
		if more > 1 {
			m.whole = false
			got += more
		}
	}
	m.info.DataBytes, m.info.Samples = got, got/m.align
	rate := int64(m.info.Rate)
	m.info.Duration = time.Duration(m.info.Samples/rate)*time.Second +
		time.Duration(m.info.Samples%rate)*time.Second/time.Duration(rate)
	if m.whole && n&1 == 1 {
		_, err = m.skip(1)
	}
	return err
}
