package ledger

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// Anchored is a checkpoint in an anchor file: signed notes, one behind the other.
type Anchored struct {
	Line int // where it begins, from 1
	Note string
}

// AnchorRecord is what is appended to the anchor file for a checkpoint. The
// empty line in front ends what an interrupted write has left.
func AnchorRecord(signed string) []byte { return []byte("\n" + signed) }

// maxLine is longer than any line of a checkpoint.
const maxLine = 4096

// ReadAnchor calls each with everything in an anchor file that begins like a
// checkpoint, whole or not, in its order. What stands before the first and empty
// lines between them are left out.
func ReadAnchor(r io.Reader, each func(Anchored) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, maxLine), maxLine)
	var now Anchored
	var text strings.Builder
	end := func() error {
		if now.Line == 0 {
			return nil
		}
		now.Note = strings.TrimRight(text.String(), "\n") + "\n"
		text.Reset()
		return each(now)
	}
	n := 0
	for lines.Scan() {
		n++
		if strings.HasPrefix(lines.Text(), namePrefix) {
			if err := end(); err != nil {
				return err
			}
			now = Anchored{Line: n}
		}
		if now.Line != 0 {
			text.WriteString(lines.Text())
			text.WriteByte('\n')
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("line %d of the anchor file: %w", n+1, err)
	}
	return end()
}
