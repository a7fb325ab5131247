package backup

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Names in the folder of a backup.
const (
	manifestName = "manifest.jsonl"
	markName     = "incomplete"
	databaseDir  = "database"
	mediaDir     = "recordings"
	mediaTwin    = "recordings.2" // what is written while the earlier backup has another file of the recording in mediaDir
	filesDir     = "files"
)

// format is that of the manifest.
const format = 1

// Header is the first line of a manifest.
type Header struct {
	Format  int       `json:"format"`
	ID      string    `json:"id"`
	MadeAt  time.Time `json:"made_at"` // when the database was copied
	Version string    `json:"version"` // of the program
	Host    string    `json:"host"`
	Root    string    `json:"recordings_root"`
	Facts   Facts     `json:"database"`
}

// Kind is what an entry is.
type Kind string

// The kinds.
const (
	KindDatabase  Kind = "database"
	KindConfig    Kind = "config"    // the configuration file
	KindKey       Kind = "key"       // a file of the state directory that a restored system needs
	KindSecret    Kind = "secret"    // a file that the configuration names
	KindRecording Kind = "recording" // audio
)

// Absence is why a recording of the database has no file in the backup.
type Absence string

// The reasons.
const (
	AbsentRemoved Absence = "removed" // with authority, while the backup was made
	AbsentMissing Absence = "missing" // nobody knows why
	AbsentOpen    Absence = "open"    // there was no file of it yet
)

// Note says what is peculiar about a file.
type Note string

// The notes.
const (
	// NoteDiffers: the file is not the one whose hash the database has.
	NoteDiffers Note = "differs_from_database"
	// NoteOpen: the recording went on; the file is what there was of it.
	NoteOpen Note = "still_open"
)

// Entry is a file of the backup, or one that it lacks.
type Entry struct {
	Kind   Kind      `json:"kind"`
	Path   string    `json:"path"`             // below the folder of the backup, with slashes
	Target string    `json:"target,omitempty"` // where it belongs, if that is not told by kind and path
	Size   int64     `json:"size"`
	Mode   string    `json:"mode"` // octal
	Owner  string    `json:"owner,omitempty"`
	Group  string    `json:"group,omitempty"`
	MTime  time.Time `json:"mtime,omitzero"`
	SHA256 string    `json:"sha256,omitempty"`
	Secret bool      `json:"secret,omitempty"`
	Note   Note      `json:"note,omitempty"`
	Absent Absence   `json:"absent,omitempty"`
}

// End is the last line: a manifest without it was cut off.
type End struct {
	Files   int   `json:"files"`
	Bytes   int64 `json:"bytes"`
	Removed int   `json:"removed"`
	Missing int   `json:"missing"`
	Differ  int   `json:"differ"`
}

func (e *End) add(entry Entry) {
	switch entry.Absent {
	case "":
		e.Files++
		e.Bytes += entry.Size
	case AbsentRemoved:
		e.Removed++
	case AbsentMissing:
		e.Missing++
	case AbsentOpen:
	}
	if entry.Note == NoteDiffers {
		e.Differ++
	}
}

// line is one of a manifest.
type line struct {
	Header *Header `json:"backup,omitempty"`
	Entry  *Entry  `json:"file,omitempty"`
	End    *End    `json:"end,omitempty"`
}

// writer writes a manifest, which is in its place when done returns.
type writer struct {
	dir string
	f   *os.File
	buf *bufio.Writer
	sum hash.Hash
	end End
}

func newWriter(dir string, h Header) (*writer, error) {
	f, err := os.OpenFile(filepath.Join(dir, manifestName+".new"), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	w := &writer{dir: dir, f: f, sum: sha256.New()}
	w.buf = bufio.NewWriter(io.MultiWriter(f, w.sum))
	return w, w.put(line{Header: &h})
}

func (w *writer) put(l line) error {
	data, err := json.Marshal(l)
	if err == nil {
		_, err = w.buf.Write(append(data, '\n'))
	}
	if err != nil {
		return fmt.Errorf("write the manifest: %w", err)
	}
	return nil
}

func (w *writer) add(e Entry) error {
	w.end.add(e)
	return w.put(line{Entry: &e})
}

// done returns the manifest's SHA-256.
func (w *writer) done() (string, error) {
	if err := w.put(line{End: &w.end}); err != nil {
		return "", err
	}
	err := errors.Join(w.buf.Flush(), w.f.Sync(), w.f.Close())
	if err == nil {
		err = os.Rename(w.f.Name(), filepath.Join(w.dir, manifestName))
	}
	if err == nil {
		err = syncDir(w.dir)
	}
	if err != nil {
		return "", fmt.Errorf("write the manifest: %w", err)
	}
	return hex.EncodeToString(w.sum.Sum(nil)), nil
}

// close gives up.
func (w *writer) close() {
	_ = w.f.Close() // it is not in its place, and is written anew the next time
}

// maxLine bounds a line of a manifest.
const maxLine = 64 << 10

// reader reads a manifest, entry by entry.
type reader struct {
	Header Header
	End    End
	f      io.Closer
	lines  *bufio.Scanner
	sum    hash.Hash
	seen   End
}

// openManifest opens that of a folder. The error wraps ErrNone or ErrIncomplete
// if there is none.
func openManifest(dir string) (*reader, error) {
	f, err := os.Open(filepath.Join(dir, manifestName))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(filepath.Join(dir, markName)); err == nil {
			return nil, fmt.Errorf("%s: %w", dir, ErrIncomplete)
		}
		return nil, fmt.Errorf("%s: %w", dir, ErrNone)
	}
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	r, err := newReader(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	r.f = f
	return r, nil
}

func newReader(from io.Reader) (*reader, error) {
	r := &reader{sum: sha256.New()}
	r.lines = bufio.NewScanner(io.TeeReader(from, r.sum))
	r.lines.Buffer(nil, maxLine)
	l, err := r.next()
	if err != nil {
		return nil, err
	}
	if l.Header == nil || l.Header.Format != format {
		return nil, fmt.Errorf("%w: the first line of its manifest is not that of a backup that this version knows", ErrDamaged)
	}
	r.Header = *l.Header
	return r, nil
}

func (r *reader) next() (l line, err error) {
	if !r.lines.Scan() {
		if err := r.lines.Err(); err != nil {
			return l, fmt.Errorf("%w: read the manifest: %w", ErrDamaged, err)
		}
		return l, fmt.Errorf("%w: its manifest was cut off", ErrDamaged)
	}
	if err := json.Unmarshal(r.lines.Bytes(), &l); err != nil {
		return l, fmt.Errorf("%w: its manifest has a line that cannot be read: %w", ErrDamaged, err)
	}
	return l, nil
}

// entry returns the next one, or io.EOF behind the last.
func (r *reader) entry() (Entry, error) {
	l, err := r.next()
	switch {
	case err != nil:
		return Entry{}, err
	case l.Entry != nil:
		if err := l.Entry.check(); err != nil {
			return Entry{}, err
		}
		r.seen.add(*l.Entry)
		return *l.Entry, nil
	case l.End != nil:
		if *l.End != r.seen {
			return Entry{}, fmt.Errorf("%w: its manifest names %d files and says that they are %d", ErrDamaged, r.seen.Files, l.End.Files)
		}
		if r.lines.Scan() { // which also reads to the end, for the hash
			return Entry{}, fmt.Errorf("%w: something follows the end of its manifest", ErrDamaged)
		}
		r.End = *l.End
		return Entry{}, io.EOF
	}
	return Entry{}, fmt.Errorf("%w: its manifest has a line that says nothing", ErrDamaged)
}

// check refuses what would lead out of the folder.
func (e Entry) check() error {
	local := filepath.IsLocal(e.Path) && filepath.Clean(e.Path) == e.Path
	switch e.Kind {
	case KindDatabase:
		local = local && strings.HasPrefix(e.Path, databaseDir+"/")
	case KindRecording:
		local = local && (strings.HasPrefix(e.Path, mediaDir+"/") || strings.HasPrefix(e.Path, mediaTwin+"/"))
	case KindConfig, KindSecret:
		local = local && strings.HasPrefix(e.Path, filesDir+"/") && filepath.IsAbs(e.Target)
	case KindKey:
		local = local && strings.HasPrefix(e.Path, filesDir+"/") && filepath.IsLocal(e.Target)
	default:
		local = false
	}
	if !local {
		return fmt.Errorf("%w: its manifest names a file where none can be: %s %.200q", ErrDamaged, e.Kind, e.Path)
	}
	if _, err := e.mode(); err != nil {
		return fmt.Errorf("%w: mode of %.200q: %w", ErrDamaged, e.Path, err)
	}
	return nil
}

// mode is that of the original, permissions alone.
func (e Entry) mode() (fs.FileMode, error) {
	var m uint32
	if e.Absent != "" && e.Mode == "" {
		return 0, nil
	}
	if _, err := fmt.Sscanf(e.Mode, "%o", &m); err != nil {
		return 0, fmt.Errorf("%q is no mode", e.Mode)
	}
	return fs.FileMode(m) & fs.ModePerm, nil
}

// rest is the path of a recording below the root.
func (e Entry) rest() string {
	_, rest, _ := strings.Cut(e.Path, "/")
	return rest
}

// each reads all entries, and then knows End and the manifest's hash.
func (r *reader) each(fn func(Entry) error) error {
	for {
		e, err := r.entry()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = fn(e)
		}
		if err != nil {
			return err
		}
	}
}

// hash is that of what has been read.
func (r *reader) hash() string { return hex.EncodeToString(r.sum.Sum(nil)) }

func (r *reader) close() { _ = r.f.Close() } // opened for reading

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
