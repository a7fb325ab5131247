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

// missing writes missing.json into a file of its own first: its length and
// checksum stand before it in the archive, and there may be a million entries.
type missing struct {
	path, export string
	n            int
	size         int64
	crc          hash.Hash32
	file         *os.File
	out          *bufio.Writer
}

func (m *missing) add(l lacking) error {
	if m.file == nil {
		f, err := os.OpenFile(m.path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o640)
		if err != nil {
			return fmt.Errorf("begin missing.json: %w", err)
		}
		m.file, m.crc = f, crc32.NewIEEE()
		m.out = bufio.NewWriter(io.MultiWriter(f, m.crc))
		if err := m.write("{\n  \"export_uuid\": %q,\n  \"missing\": [", m.export); err != nil {
			return err
		}
	}
	data, err := json.MarshalIndent(l, "    ", "  ")
	if err != nil {
		return fmt.Errorf("encode recording %s: %w", l.RecordingUUID, err)
	}
	comma := ","
	if m.n == 0 {
		comma = ""
	}
	m.n++
	return m.write("%s\n    %s", comma, data)
}

func (m *missing) write(format string, args ...any) error {
	n, err := fmt.Fprintf(m.out, format, args...)
	m.size += int64(n)
	if err != nil {
		return fmt.Errorf("write missing.json: %w", err)
	}
	return nil
}

// finish returns the whole text, from its beginning.
func (m *missing) finish() (io.Reader, error) {
	if err := m.write("\n  ]\n}"); err != nil {
		return nil, err
	}
	err := m.out.Flush()
	if err == nil {
		_, err = m.file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, fmt.Errorf("finish missing.json: %w", err)
	}
	return m.file, nil
}

// remove is for the end, whatever it is.
func (m *missing) remove() error {
	if m.file == nil {
		return nil
	}
	_ = m.file.Close() // it is removed
	if err := os.Remove(m.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the copy of missing.json: %w", err)
	}
	return nil
}
