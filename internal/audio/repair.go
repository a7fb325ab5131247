package audio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// ErrNothingToRepair says that a file's header is right, or that there is no
// audio that a right one could tell of.
var ErrNothingToRepair = errors.New("nothing to repair")

// ErrDiffers says that two files do not have the same audio.
var ErrDiffers = errors.New("the audio differs")

// Repair writes to dst the file that src, size bytes long, would be if its
// writer had closed it, or had had room for its header: the same header, or one as
// it would have been, with the sizes set, and all its audio that Measure or
// Headless counts, whole samples only. It returns what dst then holds.
// Errors: ErrNothingToRepair, ErrFormat, or those of reading and writing.
func Repair(dst io.Writer, src io.ReaderAt, size int64) (Info, error) {
	c, err := look(src, size)
	if err != nil {
		return Info{}, err
	}
	info, head, n := c.info, c.head, c.bytes()
	if info.HeaderComplete || info.Samples == 0 {
		return Info{}, ErrNothingToRepair
	}
	riff := int64(len(head)) - 8 + n + n&1
	if riff >= unset32 {
		return Info{}, fmt.Errorf("%d bytes of audio are more than a header can say: %w", n, ErrFormat)
	}
	binary.LittleEndian.PutUint32(head[4:], uint32(riff))
	binary.LittleEndian.PutUint32(head[len(head)-4:], uint32(n))
	if _, err := dst.Write(head); err != nil {
		return Info{}, fmt.Errorf("write header: %w", err)
	}
	if _, err := io.Copy(dst, io.NewSectionReader(src, c.from, n)); err != nil {
		return Info{}, fmt.Errorf("copy audio: %w", err)
	}
	if n&1 == 1 {
		if _, err := dst.Write([]byte{0}); err != nil {
			return Info{}, fmt.Errorf("write pad byte: %w", err)
		}
	}
	info.DataBytes, info.HeaderComplete = n, true
	return info, nil
}

// SameAudio returns nil if two files have the same format and the same samples,
// each byte of them, whatever their headers say of sizes, and whether they have
// one. Errors: ErrDiffers, ErrFormat, or those of reading.
func SameAudio(a io.ReaderAt, sizeA int64, b io.ReaderAt, sizeB int64) error {
	x, err := look(a, sizeA)
	if err != nil {
		return err
	}
	y, err := look(b, sizeB)
	if err != nil {
		return err
	}
	one, other := x.info, y.info
	if one.Format != other.Format || one.Rate != other.Rate || one.Channels != other.Channels ||
		one.Bits != other.Bits || one.Samples != other.Samples {
		return fmt.Errorf("%d and %d samples, formats %d and %d: %w", one.Samples, other.Samples, one.Format, other.Format, ErrDiffers)
	}
	return equal(io.NewSectionReader(a, x.from, x.bytes()), io.NewSectionReader(b, y.from, y.bytes()))
}

func equal(a, b io.Reader) error {
	var x, y [64 << 10]byte
	for at := int64(0); ; {
		n, err := io.ReadFull(a, x[:])
		if n > 0 {
			if _, err := io.ReadFull(b, y[:n]); err != nil {
				return fmt.Errorf("read audio: %w", err)
			}
			if !bytes.Equal(x[:n], y[:n]) {
				return fmt.Errorf("within %d bytes behind byte %d: %w", n, at, ErrDiffers)
			}
			at += int64(n)
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read audio: %w", err)
		}
	}
}

// maxHeader bounds what may lie before the audio, in bytes.
const maxHeader = 64 << 10

var errAudio = errors.New("the audio begins")

// header returns what lies before the audio.
func header(r io.Reader) ([]byte, error) {
	head := &room{}
	m := meter{r: io.TeeReader(r, head), begin: errAudio}
	if _, err := m.measure(); !errors.Is(err, errAudio) {
		return nil, fmt.Errorf("no audio begins: %w", errors.Join(err, ErrFormat))
	}
	return head.b, nil
}

// room takes as much as a header may have.
type room struct{ b []byte }

func (r *room) Write(b []byte) (int, error) {
	if len(r.b)+len(b) > maxHeader {
		return 0, fmt.Errorf("header of more than %d bytes: %w", maxHeader, ErrFormat)
	}
	r.b = append(r.b, b...)
	return len(b), nil
}
