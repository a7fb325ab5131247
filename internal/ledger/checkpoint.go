package ledger

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// namePrefix begins the name of every key, and with it every checkpoint.
const namePrefix = "callrecordd-ledger/"

// Checkpoint says which entries there are at a time. Its text is a checkpoint of
// a transparency log: name of the key, number of entries, root of the tree, and
// then ours, time and the id of the last entry. It is signed as a signed note
// (golang.org/x/mod/sumdb/note) with Ed25519.
type Checkpoint struct {
	Name   string // of the key
	Size   int64
	Root   Hash
	At     time.Time
	LastID int64
}

// Text is what is signed.
func (c Checkpoint) Text() string {
	return fmt.Sprintf("%s\n%d\n%s\nat %s\nlast %d\n", c.Name, c.Size, c.Root, c.At.UTC().Format(time.RFC3339Nano), c.LastID)
}

// ErrCheckpoint says that a text is no checkpoint.
var ErrCheckpoint = errors.New("not a checkpoint of the ledger")

// ParseCheckpoint reads a text. It accepts only what Text would write.
func ParseCheckpoint(text string) (Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 6 || !strings.HasPrefix(lines[0], namePrefix) {
		return Checkpoint{}, ErrCheckpoint
	}
	c := Checkpoint{Name: lines[0]}
	at, ok1 := strings.CutPrefix(lines[3], "at ")
	last, ok2 := strings.CutPrefix(lines[4], "last ")
	var errs [4]error
	c.Size, errs[0] = strconv.ParseInt(lines[1], 10, 64)
	c.Root, errs[1] = tlog.ParseHash(lines[2])
	c.At, errs[2] = time.Parse(time.RFC3339Nano, at)
	c.LastID, errs[3] = strconv.ParseInt(last, 10, 64)
	if err := errors.Join(errs[:]...); err != nil {
		return Checkpoint{}, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	if !ok1 || !ok2 || c.Size < 0 || c.Text() != text {
		return Checkpoint{}, ErrCheckpoint
	}
	return c, nil
}
