package backup

import (
	"errors"
	"io"
	"io/fs"
	"strings"
)

// prune removes what the new manifest does not name: what retention has removed
// must not live on in the backup. In each of the two folders of recordings both
// are in the same order.
func (m *maker) prune() error {
	recordings := map[string]*cursor{}
	for _, dir := range []string{mediaDir, mediaTwin} {
		now, err := openManifest(m.Dir)
		if err != nil {
			return err
		}
		c := &cursor{r: now}
		defer c.close()
		recordings[dir] = c
	}
	return fs.WalkDir(m.dst.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.Contains(name, "/") {
			return err
		}
		dir, rest, _ := strings.Cut(name, "/")
		if c := recordings[dir]; c != nil {
			e, named := c.find(rest)
			if c.err != nil || named && e.Path == name {
				return c.err
			}
		} else if m.kept[name] {
			return nil
		}
		return m.dst.Remove(name)
	})
}

// cursor goes through the recordings of a manifest, by their path below the root.
type cursor struct {
	r    *reader
	next Entry
	have bool
	err  error // why it ended before the end
}

// find returns the entry of the path, which must not come before those that were
// asked for before it.
func (c *cursor) find(rest string) (Entry, bool) {
	for c.r != nil {
		if !c.have {
			e, err := c.r.entry()
			if err != nil {
				if !errors.Is(err, io.EOF) {
					c.err = err
				}
				c.close()
				return Entry{}, false
			}
			if e.Kind != KindRecording || e.Absent != "" {
				continue
			}
			c.next, c.have = e, true
		}
		if c.next.rest() > rest {
			return Entry{}, false
		}
		c.have = false
		if c.next.rest() == rest {
			return c.next, true
		}
	}
	return Entry{}, false
}

func (c *cursor) close() {
	if c.r != nil {
		c.r.close()
		c.r = nil
	}
}
