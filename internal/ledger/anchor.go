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

// maxLine is longer than any line of a checkpoint, and maxLines more than it has.
const maxLine, maxLines = 4096, 100

// ReadAnchor calls each with everything in an anchor file that begins like a
// checkpoint, whole or not, in its order. What stands between them is left out.
func ReadAnchor(r io.Reader, each func(Anchored) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, maxLine), maxLine)
	var text []string // of the one that is being read
	begun, n := 0, 0
	end := func() error {
		if begun == 0 {
			return nil
		}
		a := Anchored{begun, strings.TrimRight(strings.Join(text, "\n"), "\n") + "\n"}
		begun, text = 0, nil
		return each(a)
	}
	for lines.Scan() {
		n++
		line := lines.Text()
		starts := strings.HasPrefix(line, namePrefix)
		// Signatures are its last lines.
		over := len(text) > 0 && strings.HasPrefix(text[len(text)-1], "— ") && !strings.HasPrefix(line, "— ")
		if starts || over {
			if err := end(); err != nil {
				return err
			}
		}
		if starts {
			begun = n
		}
		if begun > 0 && len(text) < maxLines {
			text = append(text, line)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("line %d of the anchor file: %w", n+1, err)
	}
	return end()
}
