package audio

import (
	"encoding/binary"
	"errors"
	"io"
	"time"
)

// headlessRate is that of what Asterisk writes as .wav: 16 bits, mono.
const headlessRate = 8000

// Headless recognises a file whose header was lost because its disk had no room
// when it was begun: Asterisk goes on without and writes audio only, as soon as
// there is room. At close it sets the two sizes where they would be in a header
// (format_wav.c, update_header), over four samples of the audio, and no sound has
// both by chance. Errors are the reader's; ErrFormat says that it is none.
func Headless(r io.ReaderAt, size int64) (Info, error) {
	var head [HeadSize]byte
	if size <= HeadSize || size >= unset32 {
		return Info{}, ErrFormat
	}
	if n, err := r.ReadAt(head[:], 0); n < HeadSize {
		return Info{}, err
	}
	if string(head[:4]) == "RIFF" ||
		int64(binary.LittleEndian.Uint32(head[4:])) != size-8 || int64(binary.LittleEndian.Uint32(head[40:])) != size-HeadSize {
		return Info{}, ErrFormat
	}
	n := size / 2
	return Info{
		Format: PCM, Rate: headlessRate, Channels: 1, Bits: 16, DataBytes: 2 * n, Samples: n,
		Duration: time.Duration(n) * time.Second / headlessRate,
	}, nil
}

// content is a file's audio, and what lies or should lie before it.
type content struct {
	info Info
	head []byte
	from int64
}

// look finds the audio of a file with or without a header.
func look(r io.ReaderAt, size int64) (content, error) {
	info, err := Measure(io.NewSectionReader(r, 0, size), size)
	if errors.Is(err, ErrFormat) {
		if info, err := Headless(r, size); err == nil {
			// Its end is whole: of its first sample a byte may be lost.
			return content{info, newHeader(info), size & 1}, nil
		}
	}
	if err != nil || info.Samples == 0 {
		return content{info: info}, err
	}
	head, err := header(io.NewSectionReader(r, 0, size))
	return content{info, head, int64(len(head))}, err
}

func (c content) bytes() int64 { return c.info.Samples * int64(c.info.Channels*c.info.Bits/8) }

// newHeader is one as Asterisk writes it, without the sizes.
func newHeader(i Info) []byte {
	le := binary.LittleEndian
	align := i.Channels * i.Bits / 8
	head := append([]byte("RIFF\x00\x00\x00\x00WAVEfmt "), 16, 0, 0, 0)
	head = le.AppendUint16(head, uint16(i.Format))
	head = le.AppendUint16(head, uint16(i.Channels))
	head = le.AppendUint32(head, uint32(i.Rate))
	head = le.AppendUint32(head, uint32(i.Rate*align))
	head = le.AppendUint16(head, uint16(align))
	head = le.AppendUint16(head, uint16(i.Bits))
	return append(head, "data\x00\x00\x00\x00"...)
}
