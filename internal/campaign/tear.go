package campaign

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
)

// Sizes of SQLite's write-ahead log (its file format, 4).
const (
	walHeader   = 32
	frameHeader = 24
)

// tear spoils the last write of a write-ahead log as a disk does when the power
// fails: of the last frame only a part is there, with zeroes or something else
// behind it; or all is there, and garbage behind it. A log that was just
// checkpointed has no last write.
func tear(wal string, r *rand.Rand) (detail string, err error) {
	f, err := os.OpenFile(wal, os.O_RDWR, 0)
	if err != nil {
		return "", fmt.Errorf("tear the journal: %w", err)
	}
	defer f.Close()
	end, frame, err := lastFrame(f)
	if err != nil {
		return "", fmt.Errorf("tear the journal: %w", err)
	}
	if end <= walHeader {
		return "its log is empty", nil
	}
	part := 1 + r.Int64N(frame-frameHeader)
	spoil, at := make([]byte, part), end-part
	how := r.IntN(3)
	if how > 0 {
		for i := range spoil {
			spoil[i] = byte(r.Uint32())
		}
	}
	detail = fmt.Sprintf("%d bytes of the last write are %s", part, []string{"zeroes", "garbage"}[how&1])
	if how == 2 {
		at, detail = end, fmt.Sprintf("%d bytes of garbage behind the last write", part)
	}
	if _, err := f.WriteAt(spoil, at); err != nil {
		return detail, fmt.Errorf("tear the journal: %w", err)
	}
	return detail, nil
}

// lastFrame returns where the log's valid frames end, and how long one is. The
// file is longer: a log that starts anew keeps what was behind.
func lastFrame(f io.ReaderAt) (end, frame int64, err error) {
	var head [walHeader]byte
	if _, err := f.ReadAt(head[:], 0); err != nil {
		if errors.Is(err, io.EOF) {
			return 0, 0, nil
		}
		return 0, 0, err
	}
	frame = int64(binary.BigEndian.Uint32(head[8:])) + frameHeader
	end = walHeader
	for {
		var h [frameHeader]byte
		if _, err := f.ReadAt(h[:], end); err != nil && !errors.Is(err, io.EOF) {
			return 0, 0, err
		}
		if string(h[8:16]) != string(head[16:24]) { // the salts of this log
			return end, frame, nil
		}
		end += frame
	}
}
