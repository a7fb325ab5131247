package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strings"

	"callrecordd/internal/recorder"
)

// recordings brings in those of the copied database.
func (m *maker) recordings(ctx context.Context, database string) error {
	var n int64
	return m.Database.Media(ctx, filepath.Join(m.Dir, filepath.FromSlash(database)), func(r Media) error {
		e, err := m.recording(ctx, r)
		if err != nil {
			return fmt.Errorf("recording %s: %w", r.Path, err)
		}
		// Its file is lost, and what an earlier backup has would have been the last
		// there is; or it is there, and has no audio.
		if r.State == recorder.Missing && e.Absent != "" {
			return nil
		}
		if n++; n%100 == 0 {
			m.progress("recordings", n, m.res.Facts.Recordings)
		}
		m.note(e)
		return m.w.add(e)
	})
}

// note names what the backup lacks.
func (m *maker) note(e Entry) {
	why := string(e.Absent) + string(e.Note)
	if e.Absent != AbsentRemoved && e.Absent != AbsentMissing && e.Note != NoteDiffers || len(m.res.Lacks) >= mostNamed {
		return
	}
	m.res.Lacks = append(m.res.Lacks, Lack{e.rest(), why})
}

// recording brings in one, unless it is there.
func (m *maker) recording(ctx context.Context, r Media) (Entry, error) {
	old, known := m.old.find(r.Path)
	dirs := [2]string{mediaDir, mediaTwin}
	if known && strings.HasPrefix(old.Path, mediaTwin+"/") {
		dirs = [2]string{mediaTwin, mediaDir}
	}
	for _, dir := range dirs {
		if e, ok, err := m.there(ctx, dir+"/"+r.Path, r, old); err != nil || ok {
			return e, err
		}
	}
	// The earlier backup shall be whole until this one is: what it has is not
	// written over.
	e := Entry{Kind: KindRecording, Path: dirs[0] + "/" + r.Path}
	if known {
		e.Path = dirs[1] + "/" + r.Path
	}
	err := m.take(ctx, &e, r, r.Path)
	switch {
	case err != nil:
	case r.State.Open():
		e.Note = NoteOpen
	case r.SHA256 != "" && r.SHA256 != e.SHA256:
		err = m.other(ctx, &e, r)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return m.absent(ctx, Entry{Kind: e.Kind, Path: e.Path}, r)
	}
	if err != nil {
		return e, err
	}
	m.res.New++
	m.res.NewBytes += e.Size
	return e, m.stamp(&e)
}

// take copies a file below the recordings' root to the place of a recording. The
// error wraps fs.ErrNotExist if there is none.
func (m *maker) take(ctx context.Context, e *Entry, r Media, from string) error {
	in, info, err := openFile(m.src, from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // opened for reading
	if err := m.dst.MkdirAll(path.Dir(e.Path), 0o700); err != nil {
		return fmt.Errorf("make its folder: %w", hide(err))
	}
	e.Mode, e.MTime = octal(info.Mode()), info.ModTime().UTC()
	e.Owner, e.Group = names(info)
	// A file that still grows, or whose header may be mended, must not be shared:
	// its hash would not hold.
	e.SHA256, e.Size, err = put(ctx, in, m.dst, e.Path, !m.Copy && r.final(), 0o600, nil)
	return hide(err)
}

// hide has an error about the backup's side not taken for a recording that is not there.
func hide(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New(err.Error())
	}
	return err
}

// other is for a file that is not the one the copied database has. Between a
// repair's exchange of files and its row the right one is beside it; behind its
// row the database has gone on; else somebody has changed it. What cannot be read
// beside it is of no use. The error wraps fs.ErrNotExist if the file is gone by now.
func (m *maker) other(ctx context.Context, e *Entry, r Media) error {
	spare := recorder.SparePath(r.Path)
	if sum, _, err := digestOf(ctx, m.src, spare); err == nil && sum == r.SHA256 {
		original := *e
		if err := m.take(ctx, &original, r, spare); err == nil && original.SHA256 == r.SHA256 {
			*e = original
			return nil
		}
		// It has changed since, and may be in the recording's place in the backup.
		if err := m.take(ctx, e, r, r.Path); err != nil {
			return err
		}
	}
	e.Note = NoteDiffers
	now, _, err := m.Database.Now(ctx, r.UUID)
	m.moved = m.moved || err == nil && now == e.SHA256
	return err
}

// stamp notes the time of the file in the backup, by which a later run sees that
// nobody has written to it.
func (m *maker) stamp(e *Entry) error {
	info, err := m.dst.Lstat(e.Path)
	if err == nil {
		e.MTime = info.ModTime().UTC()
	}
	return err
}

// there says whether the right file is at a place in the backup already. What an
// earlier manifest names and nobody has written to since is believed, all else is
// read. old is that manifest's entry of the recording, if it has one.
func (m *maker) there(ctx context.Context, place string, r Media, old Entry) (Entry, bool, error) {
	e := Entry{Kind: KindRecording, Path: place}
	info, err := m.dst.Lstat(place)
	if errors.Is(err, fs.ErrNotExist) {
		return e, false, nil
	}
	if err != nil || r.State.Open() || r.SHA256 == "" || !info.Mode().IsRegular() {
		return e, false, err
	}
	if old.Path == place && !m.Reread && old.SHA256 == r.SHA256 && old.Size == info.Size() && old.MTime.Equal(info.ModTime()) {
		old.Note = ""
		return old, true, nil
	}
	sum, info, err := digestOf(ctx, m.dst, place)
	if err != nil || sum != r.SHA256 {
		return e, false, err
	}
	e.SHA256, e.Size, e.Mode, e.MTime = sum, info.Size(), octal(info.Mode()), info.ModTime().UTC()
	e.Owner, e.Group = names(info)
	if old.Mode != "" {
		e.Mode, e.Owner, e.Group = old.Mode, old.Owner, old.Group
	} else if original, err := m.src.Lstat(r.Path); err == nil {
		e.Mode = octal(original.Mode())
		e.Owner, e.Group = names(original)
	}
	return e, true, nil
}

// absent finds out why there is no file.
func (m *maker) absent(ctx context.Context, e Entry, r Media) (Entry, error) {
	e.SHA256, e.Size = r.SHA256, r.Bytes
	_, removed, err := m.Database.Now(ctx, r.UUID)
	switch {
	case err != nil:
		return e, err
	case removed:
		e.Absent, m.moved = AbsentRemoved, true
	case r.State.Open() || !r.promised():
		e.Absent, e.Size, e.SHA256 = AbsentOpen, 0, ""
	default:
		e.Absent = AbsentMissing
	}
	return e, nil
}

// promised says that the database knows a file with audio.
func (m Media) promised() bool { return m.SHA256 != "" }
