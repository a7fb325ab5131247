package setup

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	manifestName = "manifest.json"
	undone       = ".undone"
)

// manifest is what one run has changed.
type manifest struct {
	Dir   string    `json:"dir"` // Asterisk's configuration directory
	At    time.Time `json:"at"`
	Files []change  `json:"files"`
}

type change struct {
	Path   string `json:"path"`
	Before string `json:"before"` // hash, "" if the file was not there
	After  string `json:"after"`
	Copy   string `json:"copy"` // name of the copy in the backup, "" if none
	Owner  owner  `json:"owner"`
}

func hash(text *string) string {
	if text == nil {
		return ""
	}
	sum := sha256.Sum256([]byte(*text))
	return hex.EncodeToString(sum[:])
}

// Apply writes the edits, after a backup of every file it touches in a new
// folder below backups, whose name it returns. A file that is not what the plan
// was made from stops everything before the first write; a failure on the way
// puts back what was written.
func Apply(dir, backups string, edits []Edit, now time.Time) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find %s: %w", dir, err)
	}
	m := manifest{Dir: dir, At: now.UTC()}
	for _, e := range edits {
		c, err := survey(dir, e)
		if err != nil {
			return "", err
		}
		if e.Before != nil {
			c.Copy = strconv.Itoa(len(m.Files)) + "-" + filepath.Base(c.Path)
		}
		m.Files = append(m.Files, c)
	}
	folder, err := save(backups, m, edits)
	if err != nil {
		return "", fmt.Errorf("back up the configuration: %w", err)
	}
	for i, e := range edits {
		err := makeFolder(filepath.Dir(m.Files[i].Path))
		if err == nil {
			err = replace(m.Files[i].Path, e.After, m.Files[i].Owner)
		}
		if err != nil {
			back := restore(m.Files[:i], folder)
			return folder, errors.Join(err, back, os.Rename(folder, folder+undone))
		}
	}
	return folder, nil
}

// survey looks at the file of an edit.
func survey(dir string, e Edit) (change, error) {
	c := change{Path: absolute(dir, e.Path), After: hash(&e.After)}
	text, err := current(c.Path)
	if err != nil {
		return c, fmt.Errorf("look at what is to be changed: %w", err)
	}
	if !same(text, e.Before) {
		return c, fmt.Errorf("%s has been changed meanwhile; run setup again", c.Path)
	}
	c.Before = hash(text)
	if text != nil {
		c.Owner, err = ownerOf(c.Path)
	} else {
		c.Owner, err = newOwner(dir, e)
	}
	if err != nil {
		return c, fmt.Errorf("look at what is to be changed: %w", err)
	}
	return c, nil
}

// save writes the backup. It holds passwords, so it is for its owner only.
func save(backups string, m manifest, edits []Edit) (string, error) {
	folder := filepath.Join(backups, m.At.Format("20060102T150405.000000Z"))
	if err := os.MkdirAll(backups, 0o700); err != nil {
		return "", err
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		return "", err
	}
	for i, c := range m.Files {
		if c.Copy == "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(folder, c.Copy), []byte(*edits[i].Before), 0o600); err != nil {
			return "", err
		}
	}
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return "", err
	}
	return folder, os.WriteFile(filepath.Join(folder, manifestName), data, 0o600)
}

// restore puts files back from a backup, the last one first.
func restore(files []change, folder string) error {
	var errs []error
	for _, c := range slices.Backward(files) {
		errs = append(errs, c.restore(folder))
	}
	return errors.Join(errs...)
}

func (c change) restore(folder string) error {
	if c.Copy == "" {
		if err := os.Remove(c.Path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if parent := filepath.Dir(c.Path); filepath.Base(parent) == Folder {
			_ = os.Remove(parent) // it stays while somebody else has a file in it
		}
		return nil
	}
	data, err := os.ReadFile(filepath.Join(folder, c.Copy))
	if err != nil {
		return fmt.Errorf("read the backup of %s: %w", c.Path, err)
	}
	return replace(c.Path, string(data), c.Owner)
}

// ErrNothing says that there is nothing to undo.
var ErrNothing = errors.New("there is no backup to restore")

// Undo puts everything back as it was before the first run that was not yet
// undone, and returns the paths. A file that somebody has changed since makes
// it refuse and say which, unless force is set.
func Undo(dir, backups string, force bool) ([]string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", dir, err)
	}
	runs, err := runsOf(dir, backups)
	if err != nil {
		return nil, fmt.Errorf("read backups in %s: %w", backups, err)
	}
	if len(runs) == 0 {
		return nil, fmt.Errorf("%w: %s has none for %s", ErrNothing, backups, dir)
	}
	type place struct {
		first change
		run   string
		last  string
	}
	var order []string
	places := map[string]*place{}
	for _, r := range runs {
		for _, c := range r.Files {
			if places[c.Path] == nil {
				places[c.Path] = &place{first: c, run: r.folder}
				order = append(order, c.Path)
			}
			places[c.Path].last = c.After
		}
	}
	var changed []string
	for _, path := range order {
		text, err := current(path)
		if err != nil {
			return nil, fmt.Errorf("look at what is to be restored: %w", err)
		}
		if h := hash(text); h != places[path].last && h != places[path].first.Before {
			changed = append(changed, path)
		}
	}
	if len(changed) > 0 && !force {
		return nil, fmt.Errorf("changed since setup: %s; take the changes out, or use --force, which drops them (copies of the originals are in %s)",
			strings.Join(changed, ", "), backups)
	}
	var errs []error
	for _, path := range slices.Backward(order) {
		errs = append(errs, places[path].first.restore(places[path].run))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("undo: %w", err)
	}
	for _, r := range runs {
		errs = append(errs, os.Rename(r.folder, r.folder+undone))
	}
	return order, errors.Join(errs...)
}

type run struct {
	manifest
	folder string
}

// runsOf reads the runs that are not undone, oldest first.
func runsOf(dir, backups string) ([]run, error) {
	entries, err := os.ReadDir(backups)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var runs []run
	for _, e := range entries { // in the order of their names, which are times
		r := run{folder: filepath.Join(backups, e.Name())}
		if !e.IsDir() || strings.HasSuffix(e.Name(), undone) {
			continue
		}
		data, err := os.ReadFile(filepath.Join(r.folder, manifestName))
		if errors.Is(err, os.ErrNotExist) {
			continue // died before anything was written
		}
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(data, &r.manifest); err != nil {
			return nil, fmt.Errorf("%s: %w", r.folder, err)
		}
		if r.Dir == dir {
			runs = append(runs, r)
		}
	}
	return runs, nil
}
