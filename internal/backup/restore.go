package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// RestoreOptions are what Restore needs. Whoever calls it holds the lock of the
// database, so that no daemon runs.
type RestoreOptions struct {
	Dir      string // of the backup
	Database Database
	To       string // the database's place
	Root     string // the recordings' place, which must exist
	State    string // the state directory
	Config   string // the configuration file's place
	// Replace puts the backup's database, and recordings that differ, in place of
	// others, which are kept aside under a name with Stamp.
	Replace bool
	// Partial goes on although recordings of the backup are damaged, without them.
	Partial bool
	// Link gives recordings a second name where that is possible, which costs no
	// space but makes the backup share their fate.
	Link   bool
	DryRun bool
	Stamp  string
	// Secrets are the files outside of the state folder that this machine's own
	// configuration names. What a backup has for any other place is left in it: who
	// can write to the backup must not be able to write everywhere, by the hand of
	// the root that restores.
	Secrets []string
	// Prepare brings the copy of the database up to date and notes the restore in
	// it, before it gets its place.
	Prepare  func(ctx context.Context, file string, r Report) error
	Progress func(Progress)
}

// Restored is what a restore has done, or with DryRun would do.
type Restored struct {
	Report
	Wrote   int      `json:"wrote"`   // files
	Same    int      `json:"same"`    // were there already
	Aside   []string `json:"aside"`   // what was there before, under its new name
	Left    []string `json:"left"`    // configuration and keys that differ and stay as they are
	Unnamed []string `json:"unnamed"` // secrets for places that the configuration here does not name
	Skipped int      `json:"skipped"`
}

// restorer is a restore that goes on.
type restorer struct {
	RestoreOptions
	src, root  *os.Root
	own, media *owner // of the database, and of folders of recordings
	skipped    map[string]bool
	res        Restored
}

// Restore brings a backup back, after it has checked all of it, and then checks
// what it has written. The database gets its place last: a restore that is
// interrupted has changed no database and is begun anew.
func Restore(ctx context.Context, o RestoreOptions) (Restored, error) {
	r := &restorer{RestoreOptions: o, own: ownerOf(o.State, o.Root), media: ownerOf(o.Root, o.State), skipped: map[string]bool{}}
	r.res.Aside, r.res.Left, r.res.Unnamed = []string{}, []string{}, []string{}
	if err := r.restore(ctx); err != nil {
		return r.res, fmt.Errorf("restore %s: %w", o.Dir, err)
	}
	return r.res, nil
}

func (r *restorer) restore(ctx context.Context) (err error) {
	if r.res.Report, err = Check(ctx, r.Dir, r.Database, r.Progress); err != nil {
		return err
	}
	if bad := r.res.Damaged; bad > 0 && (!r.Partial || bad > r.res.Recordings) {
		more := ""
		if bad > 1 {
			more = fmt.Sprintf(", and %d more", bad-1)
		}
		return fmt.Errorf("%w: %s %s%s; `callrecordd backup --check` lists all, and --partial goes on without damaged recordings",
			ErrDamaged, r.res.Problems[0].Path, r.res.Problems[0].Why, more)
	}
	if r.src, err = os.OpenRoot(r.Dir); err != nil {
		return err
	}
	defer func() { _ = r.src.Close() }() // a directory, opened for reading
	if r.root, err = os.OpenRoot(r.Root); err != nil {
		return fmt.Errorf("recordings.root: %w; make it, or mount its disk, first", err)
	}
	defer func() { _ = r.root.Close() }() // the same
	if err := r.conflicts(ctx); err != nil || r.DryRun {
		return err
	}
	var database Entry
	err = r.each(func(e Entry) error {
		switch e.Kind {
		case KindDatabase:
			database = e
			return nil
		case KindRecording:
			return r.recording(ctx, e)
		case KindConfig, KindKey, KindSecret:
			return r.file(ctx, e)
		}
		return nil
	})
	if err != nil {
		return err
	}
	r.res.Skipped = len(r.skipped)
	if err := r.database(ctx, database); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	return r.proof(ctx)
}

// each goes through the files that the backup has.
func (r *restorer) each(fn func(Entry) error) error {
	m, err := openManifest(r.Dir)
	if err != nil {
		return err
	}
	defer m.close()
	return m.each(func(e Entry) error {
		if e.Absent != "" {
			return nil
		}
		if err := fn(e); err != nil {
			return fmt.Errorf("%s: %w", e.Path, err)
		}
		return nil
	})
}

// target is where one belongs that is no recording.
func (r *restorer) target(e Entry) string {
	switch e.Kind {
	case KindDatabase:
		return r.To
	case KindConfig:
		return r.Config
	case KindKey:
		return filepath.Join(r.State, e.Target)
	case KindSecret:
		return e.Target
	case KindRecording:
	}
	return filepath.Join(r.Root, filepath.FromSlash(e.rest()))
}

// state is how a place is found.
type state int

const (
	free state = iota
	same
	other
)

func compare(ctx context.Context, root *os.Root, name string, e Entry) (state, error) {
	info, err := root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return free, nil
	}
	if err != nil {
		return other, err
	}
	if !info.Mode().IsRegular() || info.Size() != e.Size {
		return other, nil
	}
	sum, _, err := digestOf(ctx, root, name)
	if err == nil && sum == e.SHA256 {
		return same, nil
	}
	return other, err
}

// conflicts says what a restore would overwrite, before it changes anything.
func (r *restorer) conflicts(ctx context.Context) error {
	var there []string
	info, err := os.Lstat(r.To)
	switch {
	case err == nil && info.Size() > 0:
		there = append(there, r.To)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	err = r.each(func(e Entry) error {
		if e.Kind != KindRecording {
			return nil
		}
		found, err := compare(ctx, r.root, e.rest(), e)
		if found == other && len(there) < mostNamed {
			there = append(there, r.target(e))
		}
		return err
	})
	if err != nil {
		return err
	}
	if len(there) > 0 && !r.Replace {
		return fmt.Errorf("%w: %s; --replace keeps them aside and puts the backup in their place", ErrExists, strings.Join(there, ", "))
	}
	if r.DryRun {
		r.res.Aside = append(r.res.Aside, there...)
	}
	return nil
}

// aside gives what is in the way another name.
func (r *restorer) aside(name string) error {
	to := name + ".before-restore-" + r.Stamp
	if err := os.Rename(name, to); err != nil {
		return err
	}
	r.res.Aside = append(r.res.Aside, to)
	return nil
}

func (r *restorer) recording(ctx context.Context, e Entry) error {
	found, err := compare(ctx, r.root, e.rest(), e)
	if err != nil {
		return err
	}
	if found != same && r.Partial {
		if sum, _, err := digestOf(ctx, r.src, e.Path); err != nil || sum != e.SHA256 {
			r.skipped[e.Path] = true
			return ctx.Err()
		}
	}
	switch found {
	case same:
		r.res.Same++
		return nil
	case other:
		if err := r.aside(r.target(e)); err != nil {
			return err
		}
	case free:
	}
	if err := r.folder(path.Dir(e.rest())); err != nil {
		return err
	}
	// Who wrote it, which is Asterisk, or whoever has the folder here.
	return r.put(ctx, e, r.root, e.rest(), named(e.Owner, e.Group).or(r.media))
}

// folder makes one below the recordings' root; setgid comes from that.
func (r *restorer) folder(name string) error {
	if name == "." {
		return nil
	}
	if _, err := r.root.Lstat(name); err == nil {
		return nil
	}
	if err := r.folder(path.Dir(name)); err != nil {
		return err
	}
	err := r.root.Mkdir(name, 0o750)
	if err == nil && r.media != nil {
		err = r.root.Lchown(name, r.media.uid, r.media.gid)
	}
	return err
}

// put writes a file of the backup, and sees that it is the one of the manifest.
func (r *restorer) put(ctx context.Context, e Entry, to *os.Root, name string, own *owner) error {
	in, _, err := openFile(r.src, e.Path)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // opened for reading
	mode, err := e.mode()
	if err != nil {
		return err
	}
	sum, _, err := put(ctx, in, to, name, r.Link && e.Kind == KindRecording, mode, own)
	if err == nil && sum != e.SHA256 {
		return errors.Join(fmt.Errorf("%w: its SHA-256 is %s and should be %s", ErrDamaged, sum, e.SHA256), to.Remove(name))
	}
	r.res.Wrote++
	return err
}

// file restores one of configuration and keys. One that is there and another is
// replaced only if that was asked for.
func (r *restorer) file(ctx context.Context, e Entry) error {
	name := r.target(e)
	if e.Kind == KindSecret && !slices.Contains(r.Secrets, name) {
		r.res.Unnamed = append(r.res.Unnamed, name)
		return nil
	}
	dir := filepath.Dir(name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	to, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = to.Close() }() // a directory, opened for reading
	found, err := compare(ctx, to, filepath.Base(name), e)
	switch {
	case err != nil:
		return err
	case found == same:
		r.res.Same++
		return nil
	case found == other && !r.Replace:
		r.res.Left = append(r.res.Left, name)
		return nil
	case found == other:
		if err := r.aside(name); err != nil {
			return err
		}
	}
	return r.put(ctx, e, to, filepath.Base(name), named(e.Owner, e.Group))
}

// database restores it. It has all that belongs to it when it gets its place.
func (r *restorer) database(ctx context.Context, e Entry) error {
	dir := filepath.Dir(r.To)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	to, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = to.Close() }() // a directory, opened for reading
	tmp := filepath.Base(r.To) + ".restored"
	for _, s := range []string{"", "-wal", "-shm", ".lock"} { // of an attempt before
		if err := to.Remove(tmp + s); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := r.put(ctx, e, to, tmp, r.own); err != nil {
		return err
	}
	if err := r.Prepare(ctx, filepath.Join(dir, tmp), r.res.Report); err != nil {
		return err
	}
	if _, err := to.Lstat(tmp + "-wal"); err == nil {
		return fmt.Errorf("%s-wal is still there: the restored copy was not closed", tmp)
	}
	left, err := filepath.Glob(filepath.Join(dir, tmp+"?*")) // its lock, and copies from before a change of its schema
	if err != nil {
		return err
	}
	for _, name := range left {
		if err := to.Remove(filepath.Base(name)); err != nil {
			return err
		}
	}
	if err := r.move(to); err != nil {
		return err
	}
	if err := to.Rename(tmp, filepath.Base(r.To)); err != nil {
		return err
	}
	return errors.Join(r.owned(to), syncDir(dir))
}

// move brings the old database out of the way, with its log, in which there may
// be what is not in it yet.
func (r *restorer) move(to *os.Root) error {
	for _, s := range []string{"", "-wal", "-shm"} {
		if _, err := to.Lstat(filepath.Base(r.To) + s); err != nil {
			continue
		}
		// SQLite looks for the log under the name of the database.
		name := r.To + ".before-restore-" + r.Stamp + s
		if err := os.Rename(r.To+s, name); err != nil {
			return err
		}
		r.res.Aside = append(r.res.Aside, name)
	}
	return nil
}

// owned gives the daemon what this process has made in its directory.
func (r *restorer) owned(state *os.Root) error {
	if r.own == nil {
		return nil
	}
	base := filepath.Base(r.To)
	for _, name := range []string{base, base + ".lock"} {
		if err := state.Lchown(name, r.own.uid, r.own.gid); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// proof reads again what is there now.
func (r *restorer) proof(ctx context.Context) error {
	err := r.each(func(e Entry) error {
		if e.Kind != KindRecording {
			return nil
		}
		found, err := compare(ctx, r.root, e.rest(), e)
		if err == nil && found != same && !r.skipped[e.Path] {
			err = errors.New("is not there as it was restored")
		}
		return err
	})
	if err != nil {
		return err
	}
	return r.Database.Sound(ctx, r.To)
}
