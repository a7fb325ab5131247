package orphans

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"time"

	"callrecordd/internal/audio"
	"callrecordd/internal/gentle"
	"callrecordd/internal/recorder"
)

// settle says what loose files are, and then which rows have none.
func (s *search) settle() error {
	for _, l := range s.loose {
		if err := s.pace.Rest(s.ctx); err != nil {
			return err
		}
		f, err := s.file(l)
		if err != nil {
			return err
		}
		if f.Verdict == "" {
			continue // gone, or written to
		}
		s.found(f)
		if f.Done == Quarantined || f.Done == Failed || f.Done == PutBack { // else it is told with the row
			if err := s.Repo.NoteFile(s.ctx, f, s.actor); err != nil {
				return err
			}
		}
	}
	return s.missing()
}

// file is what is found out, and done, about one loose file. The error is that
// of the rows or of ctx; one of the file itself is in the finding.
func (s *search) file(l loose) (Finding, error) {
	f := Finding{Verdict: Unknown, Tenant: l.tenant, Path: l.path(), Bytes: l.size}
	if len(s.lost[l.size]) == 0 && !l.back && !s.adopts() {
		return f, nil // nobody asks for its hash
	}
	m, err := s.measure(l)
	switch {
	case s.ctx.Err() != nil:
		return f, s.ctx.Err()
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, errBusy):
		return Finding{}, nil
	case err != nil:
		f.Detail = err.Error()
		return s.aside(l, f), nil
	}
	if row, ok := s.whose(l, m); ok {
		return s.back(l, row, m, f)
	}
	uuid, named := uuidOf(l.name)
	if !named || l.back || m.Rate == 0 {
		return s.aside(l, f), nil
	}
	return s.adopt(l, uuid, m, f)
}

// whose finds the row that lacks this file: by its hash, and if a row of its
// name is missing and has none, by that.
func (s *search) whose(l loose, m recorder.Recording) (recorder.Recording, bool) {
	list := s.lost[l.size]
	i := slices.IndexFunc(list, func(r recorder.Recording) bool { return r.SHA256 != "" && r.SHA256 == m.SHA256 })
	if i >= 0 {
		row := list[i]
		s.lost[l.size] = slices.Delete(slices.Clone(list), i, i+1)
		return row, true
	}
	if uuid, ok := uuidOf(l.name); ok && l.back {
		rows, err := s.Repo.FileRows(s.ctx, []string{uuid})
		row := rows[uuid]
		if err == nil && row.State == recorder.Missing && row.SHA256 == "" && row.TenantUUID == l.tenant {
			return row, true
		}
	}
	return recorder.Recording{}, false
}

// back puts a file in its place, if it is not there, and gives its row the state
// that it had.
func (s *search) back(l loose, row, m recorder.Recording, f Finding) (Finding, error) {
	f.Recording, f.Tenant, f.Verdict = row.UUID, row.TenantUUID, Found
	if f.Path != row.Path() {
		f.Verdict = Renamed
		f.Detail = "its place is " + row.Path()
	}
	if s.mode == Report {
		return f, nil
	}
	if f.Path != row.Path() {
		if err := s.move(f.Path, row.Path()); err != nil {
			f.Done, f.Detail = Failed, err.Error()
			return f, nil
		}
		f.Done = PutBack
	}
	if row.State != recorder.Missing {
		return f, nil
	}
	m.UUID, m.TenantUUID = row.UUID, row.TenantUUID
	done, err := s.Repo.Restore(s.ctx, m, l.path(), s.actor)
	if done && f.Done == Nothing {
		f.Done = Restored
	}
	return f, err
}

func (s *search) adopts() bool { return s.mode == Adopt || s.mode == Quarantine }

// adopt makes a row of a file that is named as ours are.
func (s *search) adopt(l loose, uuid string, m recorder.Recording, f Finding) (Finding, error) {
	f.Recording = uuid
	if !s.adopts() {
		return f, nil
	}
	m.UUID, m.TenantUUID = uuid, l.tenant
	m.EndedAt = l.mtime
	m.StartedAt = l.mtime.Add(-time.Duration(m.Samples) * time.Second / time.Duration(m.Rate))
	m.IntentAt = m.StartedAt
	m.Detail = "a file without a row was adopted; its times are those of the file"
	done, err := s.Repo.AdoptFile(s.ctx, m, l.path(), s.actor)
	if err != nil {
		return f, err
	}
	if !done {
		return Finding{}, nil // its row has come meanwhile
	}
	f.Done = Adopted
	return f, nil
}

// aside moves a file to its tenant's quarantine.
func (s *search) aside(l loose, f Finding) Finding {
	if s.mode != Quarantine {
		return f
	}
	dir := path.Join(l.tenant, "quarantine")
	if err := s.root.Mkdir(dir, 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
		f.Done, f.Detail = Failed, err.Error()
		return f
	}
	to := path.Join(dir, l.name)
	for n := 1; ; n++ {
		err := s.move(l.path(), to)
		if err == nil {
			f.Done, f.Detail = Quarantined, join(f.Detail, "moved to "+to)
			return f
		}
		if !errors.Is(err, fs.ErrExist) || n > page {
			f.Done, f.Detail = Failed, join(f.Detail, err.Error())
			return f
		}
		to = path.Join(dir, l.name+"."+strconv.Itoa(n))
	}
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}

// move gives a file another name, and never takes that of another file. A crash
// between leaves both names.
func (s *search) move(from, to string) error {
	if err := s.root.Link(from, to); err != nil {
		return fmt.Errorf("move %s to %s: %w", from, to, err)
	}
	if err := s.root.Remove(from); err != nil {
		return fmt.Errorf("remove the old name %s: %w", from, err)
	}
	for _, dir := range []string{path.Dir(to), path.Dir(from)} {
		if err := s.sync(dir); err != nil {
			return err
		}
	}
	return nil
}

func (s *search) sync(name string) error {
	dir, err := s.root.Open(name)
	if err == nil {
		err = errors.Join(dir.Sync(), dir.Close())
	}
	if err != nil {
		return fmt.Errorf("sync %s: %w", name, err)
	}
	return nil
}

var errBusy = errors.New("the file is being written to")

// measure reads a file at the search's pace.
func (s *search) measure(l loose) (m recorder.Recording, err error) {
	file, err := s.root.Open(l.path())
	if err != nil {
		return m, fmt.Errorf("open: %w", err)
	}
	defer func() { _ = file.Close() }() // opened for reading
	m, err = measure(file, l.size, s.pace, s)
	if err != nil {
		return m, err
	}
	if info, err := file.Stat(); err != nil || info.Size() != l.size || !info.ModTime().Equal(l.mtime) {
		return m, errors.Join(errBusy, err)
	}
	return m, nil
}

// measure is what a file makes of its recording. Rate is 0 if it is no WAV.
func measure(file *os.File, size int64, pace *gentle.Pace, s *search) (m recorder.Recording, err error) {
	sum := sha256.New()
	r := io.TeeReader(pace.Reader(s.ctx, file), sum)
	wav, wavErr := audio.Measure(bufio.NewReaderSize(r, 1<<17), size)
	if _, err := io.Copy(io.Discard, r); err != nil {
		return m, fmt.Errorf("read: %w", err)
	}
	m.Bytes, m.SHA256 = size, hex.EncodeToString(sum.Sum(nil))
	if wavErr != nil {
		return m, nil
	}
	m.Samples, m.Rate = wav.Samples, wav.Rate
	switch {
	case !wav.HeaderComplete:
		m.State, m.Cause = recorder.Interrupted, recorder.CauseHeaderUnset
	case m.Samples == 0:
		m.State, m.Cause = recorder.Empty, recorder.CauseNoAudio
	default:
		m.State = recorder.Ready
	}
	return m, nil
}

// missing marks the rows whose file was found nowhere.
func (s *search) missing() error {
	for _, list := range s.lost {
		for _, row := range list {
			if row.State == recorder.Missing {
				continue // it is known
			}
			f := Finding{
				Verdict: Missing, Tenant: row.TenantUUID, Recording: row.UUID, Bytes: row.Bytes,
				Detail: "its file " + row.Path() + " is gone",
			}
			if s.mode != Report {
				done, err := s.mark(row)
				if err != nil {
					return err
				}
				if !done {
					continue
				}
				f.Done = Marked
			}
			s.found(f)
		}
	}
	return nil
}

// mark looks once more before it says so.
func (s *search) mark(row recorder.Recording) (bool, error) {
	if _, err := s.root.Lstat(row.Path()); !errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if _, err := s.root.Stat(path.Dir(row.Path())); err != nil {
		return false, nil
	}
	return s.Repo.MarkMissing(s.ctx, row.UUID, "the file "+row.Path()+" is gone", s.actor)
}
