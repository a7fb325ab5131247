package export

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
)

// aside is a file of the archive that is written into one of its own first: its
// length and checksum stand before it in the archive, and there may be a million
// entries.
type aside struct {
	path string
	size int64
	crc  hash.Hash32
	file *os.File // nil until something is written
	out  *bufio.Writer
}

func (a *aside) write(format string, args ...any) error {
	if a.file == nil {
		f, err := os.OpenFile(a.path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o640)
		if err != nil {
			return fmt.Errorf("begin a list of the archive: %w", err)
		}
		a.file, a.crc = f, crc32.NewIEEE()
		a.out = bufio.NewWriter(io.MultiWriter(f, a.crc))
	}
	n, err := fmt.Fprintf(a.out, format, args...)
	a.size += int64(n)
	if err != nil {
		return fmt.Errorf("write a list of the archive: %w", err)
	}
	return nil
}

// finish returns the whole text, from its beginning.
func (a *aside) finish() (io.Reader, error) {
	err := a.out.Flush()
	if err == nil {
		_, err = a.file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, fmt.Errorf("finish a list of the archive: %w", err)
	}
	return a.file, nil
}

// remove is for the end, whatever it is.
func (a *aside) remove() error {
	if a.file == nil {
		return nil
	}
	_ = a.file.Close() // it is removed
	if err := os.Remove(a.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove a list of the archive: %w", err)
	}
	return nil
}

// missing is missing.json.
type missing struct {
	aside
	export string
	n      int
}

func (m *missing) add(l lacking) error {
	data, err := json.MarshalIndent(l, "    ", "  ")
	if err != nil {
		return fmt.Errorf("encode recording %s: %w", l.RecordingUUID, err)
	}
	begin := ","
	if m.n == 0 {
		begin = fmt.Sprintf("{\n  \"export_uuid\": %q,\n  \"missing\": [", m.export)
	}
	m.n++
	return m.write("%s\n    %s", begin, data)
}

func (m *missing) finish() (io.Reader, error) {
	if err := m.write("\n  ]\n}"); err != nil {
		return nil, err
	}
	return m.aside.finish()
}
