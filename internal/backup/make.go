package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// File is one to be copied beside database and recordings.
type File struct {
	Kind Kind
	From string // absolute
	// Target is where it belongs: absolute, or for KindKey below the state
	// directory.
	Target string
	Secret bool
	// Optional: it may be missing.
	Optional bool
}

// Options are what Make needs.
type Options struct {
	Dir      string // of the backup; is made if it is missing
	Database Database
	Root     string // of the recordings
	Files    []File
	// Inside are folders in which Dir must not be.
	Inside []string
	// Copy makes copies of recordings also where a second name of the same file
	// would do, which costs no space but shares the fate of the first.
	Copy bool
	// Reread trusts nothing that an earlier backup has left: all is read.
	Reread   bool
	ID       string
	Version  string
	Host     string
	Now      func() time.Time
	Progress func(Progress)
}

// Progress is how far it is.
type Progress struct {
	Part      string // what is done: database, recordings
	Done, All int64  // pages of the database, or recordings
}

// Result is what a backup has.
type Result struct {
	Header
	End
	Dir string `json:"dir"`
	// New and NewBytes are of recordings that were not there before.
	New      int   `json:"new"`
	NewBytes int64 `json:"new_bytes"`
	// Manifest is the SHA-256 of the manifest, which has those of all files.
	Manifest string `json:"manifest_sha256"`
	// Lacks names recordings that the database has and the backup lacks, or has
	// otherwise; not more than mostNamed.
	Lacks []Lack `json:"lacks,omitempty"`
}

// Lack is a recording that a backup has not got as the database has it.
type Lack struct {
	Path string `json:"path"`
	Why  string `json:"why"`
}

const mostNamed = 100

// maker is a backup that is being made.
type maker struct {
	Options
	dst, src *os.Root
	old      *cursor
	w        *writer
	kept     map[string]bool // paths of what is no recording
	moved    bool            // a file is not as the copied database has it, but as the database has it by now
	res      Result
}

// mostPasses bounds how often a backup is made anew because the database went on.
const mostPasses = 3

// Make makes a backup, or goes on with one that was interrupted. What an earlier
// one into the same folder has left and is still right is not copied again; that
// earlier one stays valid until the new manifest takes the place of its own.
//
// The database is copied first. So whatever it calls ready had its file before
// the files are looked for, and who lacks one now was removed since or is named.
//
// A file that was removed, or whose header was repaired, behind the copy of the
// database does not fit it, and who verifies what is restored would be told of
// somebody's hand. Then a second pass has a newer copy, and of the files only what
// is new.
func Make(ctx context.Context, o Options) (Result, error) {
	id, all := o.ID, Result{}
	for pass := 1; ; pass++ {
		m := &maker{Options: o, kept: map[string]bool{}, res: Result{Dir: o.Dir, New: all.New, NewBytes: all.NewBytes}}
		if err := m.make(ctx); err != nil {
			return m.res, fmt.Errorf("backup into %s: %w", o.Dir, err)
		}
		if all = m.res; !m.moved || pass == mostPasses {
			return all, nil
		}
		o.ID, o.Reread = id+"-"+strconv.Itoa(pass+1), false
	}
}

func (m *maker) make(ctx context.Context) error {
	mark, err := m.begin()
	if err != nil {
		return err
	}
	defer func() { _ = mark.Close() }() // it holds a lock
	if m.dst, err = os.OpenRoot(m.Dir); err != nil {
		return err
	}
	defer func() { _ = m.dst.Close() }() // a directory, opened for reading
	if m.src, err = os.OpenRoot(m.Root); err != nil {
		return fmt.Errorf("recordings root: %w", err)
	}
	defer func() { _ = m.src.Close() }() // the same

	if m.old, err = m.before(); err != nil {
		return err
	}
	defer m.old.close()
	database, err := m.database(ctx)
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	if m.w, err = newWriter(m.Dir, m.res.Header); err != nil {
		return err
	}
	defer m.w.close()
	if err := m.add(database); err != nil {
		return err
	}
	for _, f := range m.Files {
		if err := m.file(ctx, f); err != nil {
			return fmt.Errorf("%s: %w", f.From, err)
		}
	}
	if err := m.recordings(ctx, database.Path); err != nil {
		return err
	}
	return m.finish()
}

// begin makes the folder, or sees that it is one of ours, and marks it.
func (m *maker) begin() (*os.File, error) {
	for _, in := range m.Inside {
		if rel, err := filepath.Rel(in, m.Dir); err == nil && filepath.IsLocal(rel) {
			return nil, fmt.Errorf("it must not be inside %s, of which it is a copy", in)
		}
	}
	if err := os.MkdirAll(m.Dir, 0o700); err != nil {
		return nil, err
	}
	list, err := os.ReadDir(m.Dir)
	if err != nil {
		return nil, err
	}
	ours := len(list) == 0
	for _, e := range list {
		ours = ours || e.Name() == markName || e.Name() == manifestName
	}
	if !ours {
		return nil, ErrForeign
	}
	mark, err := os.OpenFile(filepath.Join(m.Dir, markName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(mark.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrRunning
		}
		return nil, errors.Join(err, mark.Close())
	}
	_, err = mark.WriteAt([]byte(m.ID+"\n"), 0)
	for _, d := range []string{databaseDir, mediaDir, filesDir} {
		err = errors.Join(err, os.MkdirAll(filepath.Join(m.Dir, d), 0o700))
	}
	if err := errors.Join(err, mark.Sync(), syncDir(m.Dir)); err != nil {
		return nil, errors.Join(err, mark.Close())
	}
	return mark, nil
}

// before is the manifest of the backup that is in the folder; one that cannot be
// read is of no use and no hindrance.
func (m *maker) before() (*cursor, error) {
	r, err := openManifest(m.Dir)
	if errors.Is(err, ErrNone) || errors.Is(err, ErrIncomplete) || errors.Is(err, ErrDamaged) {
		return &cursor{}, nil
	}
	return &cursor{r: r}, err
}

func (m *maker) progress(part string, done, all int64) {
	if m.Progress != nil {
		m.Progress(Progress{part, done, all})
	}
}

// database copies it and reads what it is.
func (m *maker) database(ctx context.Context) (Entry, error) {
	e := Entry{Kind: KindDatabase, Path: databaseDir + "/" + m.ID + ".db", Mode: "0640", Secret: true}
	file := filepath.Join(m.Dir, filepath.FromSlash(e.Path))
	if err := os.Remove(file + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return e, err
	}
	at := m.Now().UTC()
	err := m.Database.Copy(ctx, file+suffix, func(done, all int) { m.progress("database", int64(done), int64(all)) })
	if err != nil {
		return e, err
	}
	facts, err := m.Database.Facts(ctx, file+suffix)
	if err != nil {
		return e, err
	}
	if m.old.r != nil {
		does, err := m.Database.Continues(ctx, file+suffix, m.old.r.Header.Facts)
		if err == nil && !does {
			err = ErrOther
		}
		if err != nil {
			return e, errors.Join(err, os.Remove(file+suffix))
		}
	}
	if err := os.Rename(file+suffix, file); err != nil {
		return e, err
	}
	sum, info, err := digestOf(ctx, m.dst, e.Path)
	if err != nil {
		return e, err
	}
	e.SHA256, e.Size, e.MTime = sum, info.Size(), info.ModTime().UTC()
	m.res.Header = Header{Format: format, ID: m.ID, MadeAt: at, Version: m.Version, Host: m.Host, Root: m.Root, Facts: facts}
	return e, nil
}

// file copies one of configuration and keys, which are small, anew each time.
func (m *maker) file(ctx context.Context, f File) error {
	// A certificate is often a link to where it was renewed.
	in, err := os.OpenFile(f.From, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) && f.Optional {
		if f.Kind == KindSecret { // the configuration names it
			m.res.Lacks = append(m.res.Lacks, Lack{f.From, string(AbsentMissing)})
		}
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // opened for reading
	info, err := in.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return errors.Join(errors.New("is no regular file"), err)
	}
	e := Entry{
		// Under a name of its own in each backup: the earlier one shall be whole until
		// this one is.
		Kind: f.Kind, Path: fmt.Sprintf("%s/%s-%d-%s", filesDir, m.ID, m.w.end.Files, filepath.Base(f.From)), Target: f.Target,
		Mode: octal(info.Mode()), MTime: info.ModTime().UTC(), Secret: f.Secret,
	}
	e.Owner, e.Group = names(info)
	if e.SHA256, e.Size, err = put(ctx, in, m.dst, e.Path, false, 0o600, nil); err != nil {
		return err
	}
	return m.add(e)
}

// add names what is no recording in the manifest.
func (m *maker) add(e Entry) error {
	m.kept[e.Path] = true
	return m.w.add(e)
}

// finish writes the manifest, behind everything else on the disk, and removes
// what it does not name.
func (m *maker) finish() error {
	root, err := m.dst.Open(".")
	if err != nil {
		return err
	}
	if err := errors.Join(unix.Syncfs(int(root.Fd())), root.Close()); err != nil {
		return fmt.Errorf("bring all to the disk: %w", err)
	}
	if m.res.Manifest, err = m.w.done(); err != nil {
		return err
	}
	m.res.End = m.w.end
	if err := errors.Join(m.dst.Remove(markName), syncDir(m.Dir)); err != nil {
		return err
	}
	return m.prune()
}
