package setup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"callrecordd/internal/asteriskconf"
)

// maxFile bounds what is read of a configuration folder: more is no
// configuration.
const maxFile = 4 << 20

// ReadTree reads all files below Asterisk's configuration directory, by their
// path below it, and the files elsewhere that they include by name.
func ReadTree(dir string) (map[string]string, error) {
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Stat(path) // a link may lead to a file
		if err != nil || !info.Mode().IsRegular() || info.Size() > maxFile {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		files[filepath.ToSlash(rel)] = string(data)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read Asterisk's configuration: %w", err)
	}
	if _, ok := files["asterisk.conf"]; !ok {
		return nil, fmt.Errorf("read Asterisk's configuration: there is no asterisk.conf in %s; name the folder with --asterisk-dir", dir)
	}
	readElsewhere(files)
	return files, nil
}

// readElsewhere adds files that are included by an absolute name. One that
// cannot be read is reported by the plan.
func readElsewhere(files map[string]string) {
	var names []string
	for name, text := range files {
		if filepath.Ext(name) != ".conf" {
			continue
		}
		for _, l := range asteriskconf.Parse(text).Lines {
			if l.Kind == asteriskconf.Directive && l.Name != "exec" && filepath.IsAbs(l.Value) {
				names = append(names, l.Value)
			}
		}
	}
	for _, name := range names {
		if info, err := os.Stat(name); err != nil || !info.Mode().IsRegular() || info.Size() > maxFile {
			continue
		}
		if data, err := os.ReadFile(name); err == nil {
			files[name] = string(data)
		}
	}
}

// owner is who a file belongs to and who may use it.
type owner struct {
	UID  int         `json:"uid"`
	GID  int         `json:"gid"`
	Mode fs.FileMode `json:"mode"`
}

func ownerOf(path string) (owner, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return owner{}, err
	}
	o := owner{UID: os.Getuid(), GID: os.Getgid(), Mode: info.Mode().Perm()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		o.UID, o.GID = int(st.Uid), int(st.Gid)
	}
	return o, nil
}

// replace writes a file as a whole or not at all, with that owner and mode.
// Who is not root can only write as himself.
func replace(path, text string, o owner) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".callrecordd-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			_ = tmp.Close()
			_ = os.Remove(tmp.Name())
			err = fmt.Errorf("write %s: %w", path, err)
		}
	}()
	if _, err = tmp.WriteString(text); err != nil {
		return err
	}
	if err = tmp.Chown(o.UID, o.GID); err != nil && os.Geteuid() == 0 {
		return err
	}
	if err = tmp.Chmod(o.Mode); err != nil {
		return err
	}
	if err = tmp.Sync(); err != nil {
		return err
	}
	if err = tmp.Close(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// current returns a file's text, nil if there is none. A link is refused:
// Asterisk's user may write the folder, and root must not be led elsewhere.
func current(path string) (*string, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file; setup follows no links, make it a file first", path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	text := string(data)
	return &text, nil
}

// newOwner is what a new file gets: the owner of the one it belongs to, or, for
// a file outside of Asterisk's configuration, us and its group, as the daemon
// only reads it. Never more than readable for the group.
func newOwner(dir string, e Edit) (owner, error) {
	like := filepath.Join(dir, e.Like)
	o, err := ownerOf(like)
	if e.Like == "" || errors.Is(err, fs.ErrNotExist) {
		o, err = ownerOf(dir)
	}
	o.Mode = 0o640
	if filepath.IsAbs(e.Path) {
		o.UID = os.Geteuid()
	}
	return o, err
}

// absolute is where an edit is on disk.
func absolute(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, filepath.FromSlash(path))
}

// makeFolder creates the folder of a new file with the owner of its parent.
func makeFolder(path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	parent := filepath.Dir(path)
	if err := makeFolder(parent); err != nil {
		return err
	}
	o, err := ownerOf(parent)
	if err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o750); err != nil {
		return err
	}
	if err := os.Lchown(path, o.UID, o.GID); err != nil && os.Geteuid() == 0 {
		return err
	}
	return os.Chmod(path, 0o750)
}

func same(a, b *string) bool {
	return a == nil && b == nil || a != nil && b != nil && strings.Compare(*a, *b) == 0
}
