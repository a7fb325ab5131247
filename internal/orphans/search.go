package orphans

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"callrecordd/internal/gentle"
	"callrecordd/internal/recorder"
)

// Searcher looks for orphans.
type Searcher struct {
	Repo Repo
	Root string // of the tenants' folders
	Now  func() time.Time
	// Age is how long a file must not have been written to before anything is
	// said about it: until then somebody may be at work.
	Age time.Duration
	// Share is how much of a processor the search may take, above 0 to 1.
	Share float64
	// Tell, if set, is told each finding.
	Tell func(Finding)
}

// page is how many rows or names are looked at together.
const page = 500

// search is one run.
type search struct {
	*Searcher
	ctx   context.Context
	mode  Mode
	actor string
	root  *os.Root
	pace  *gentle.Pace
	out   Result
	loose []loose // files without a row
	away  map[string]bool
	// lost are rows whose file is gone, by size: those a loose file may be.
	lost map[int64][]recorder.Recording
}

// loose is a file that is in no row's place.
type loose struct {
	tenant, name string // path is tenant/monitor/name
	size         int64
	mtime        time.Time
	back         bool // a row of that name is missing, or another tenant's
}

func (l loose) path() string { return path.Join(l.tenant, "monitor", l.name) }

// Run searches once, on behalf of actor. What could not be looked at is a
// finding; the error is that of the rows, of a root that is not there, or of ctx.
func (s *Searcher) Run(ctx context.Context, mode Mode, actor string) (Result, error) {
	root, err := os.OpenRoot(s.Root)
	if err != nil {
		return Result{}, fmt.Errorf("look for orphans: %w", err)
	}
	defer func() { _ = root.Close() }() // a directory, opened for reading
	r := &search{
		Searcher: s, ctx: ctx, mode: mode, actor: actor, root: root, pace: &gentle.Pace{Share: s.Share},
		away: map[string]bool{}, lost: map[int64][]recorder.Recording{}, out: Result{Began: s.Now(), Findings: []Finding{}},
	}
	for _, step := range []func() error{r.files, r.rows, r.lostBefore, r.settle} {
		if err := step(); err != nil {
			return r.out, fmt.Errorf("look for orphans: %w", err)
		}
	}
	r.out.Ended = s.Now()
	return r.out, nil
}

func (s *search) found(f Finding) {
	if len(s.out.Findings) < maxFindings {
		s.out.Findings = append(s.out.Findings, f)
	} else {
		s.out.More++
	}
	if s.Tell != nil {
		s.Tell(f)
	}
}

// files lists the folders of all tenants.
func (s *search) files() error {
	tenants, err := fs.ReadDir(s.root.FS(), ".")
	if err != nil {
		return fmt.Errorf("list %s: %w", s.Root, err)
	}
	for _, t := range tenants {
		if !t.IsDir() || !recorder.ValidUUID(t.Name()) {
			continue // of somebody else
		}
		if err := s.folder(t.Name()); err != nil {
			return err
		}
	}
	return nil
}

func (s *search) folder(tenant string) error {
	dir, err := s.root.Open(path.Join(tenant, "monitor"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // rows says so, if there should be one
	}
	if err != nil {
		s.found(Finding{Verdict: Away, Tenant: tenant, Path: path.Join(tenant, "monitor"), Detail: err.Error()})
		s.away[tenant] = true
		return nil
	}
	defer func() { _ = dir.Close() }() // opened for reading
	for {
		list, err := dir.ReadDir(page)
		if len(list) == 0 {
			return nil // the end, or an error that hides what may be there: not missing for that
		}
		if err := s.names(tenant, list); err != nil {
			return err
		}
		if err != nil {
			return nil
		}
		if err := s.pace.Rest(s.ctx); err != nil {
			return err
		}
	}
}

// names sorts out those that a row is waiting for.
func (s *search) names(tenant string, list []fs.DirEntry) error {
	var uuids []string
	for _, e := range list {
		if uuid, ok := uuidOf(e.Name()); ok {
			uuids = append(uuids, uuid)
		}
	}
	rows, err := s.Repo.FileRows(s.ctx, uuids)
	if err != nil {
		return err
	}
	for _, e := range list {
		if !e.Type().IsRegular() || passing(e.Name()) {
			continue
		}
		s.out.Files++
		uuid, named := uuidOf(e.Name())
		row, known := rows[uuid]
		known = known && named
		if known && row.TenantUUID == tenant && row.State != recorder.Missing && row.State != recorder.Deleted {
			continue // in its place, or being written
		}
		info, err := e.Info()
		if err != nil || s.Now().Sub(info.ModTime()) < s.Age {
			continue // gone meanwhile, or somebody is at work
		}
		if known && row.TenantUUID == tenant && row.State == recorder.Deleted {
			if err := s.returned(row, info.Size()); err != nil {
				return err
			}
			continue
		}
		s.loose = append(s.loose, loose{tenant: tenant, name: e.Name(), size: info.Size(), mtime: info.ModTime(), back: known})
	}
	return nil
}

// uuidOf is the uuid that a file of ours is named by.
func uuidOf(name string) (string, bool) {
	uuid, ok := strings.CutSuffix(name, ".wav")
	return uuid, ok && recorder.ValidUUID(uuid)
}

// passing are the names of what is made and renamed soon, and of probes.
func passing(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".tmp") || strings.HasSuffix(name, ".part") || strings.HasSuffix(name, ".orig")
}

// returned tells of a file whose recording was deleted. It is told, and no more:
// who has put it back has to say what is right.
func (s *search) returned(row recorder.Recording, size int64) error {
	busy, err := s.Repo.Removing(s.ctx, row.UUID)
	if err != nil || busy {
		return err
	}
	s.found(Finding{
		Verdict: Returned, Tenant: row.TenantUUID, Path: row.Path(), Recording: row.UUID, Bytes: size,
		Detail: "the recording was deleted, and its file is there again",
	})
	return nil
}

// rows looks for the file of every row that must have one.
func (s *search) rows() error {
	for after := ""; ; {
		list, err := s.Repo.FileRowsAfter(s.ctx, after, page)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, row := range list {
			s.out.Rows++
			s.look(row)
		}
		after = list[len(list)-1].UUID
		if err := s.pace.Rest(s.ctx); err != nil {
			return err
		}
	}
}

func (s *search) look(row recorder.Recording) {
	if s.away[row.TenantUUID] {
		return
	}
	_, err := s.root.Lstat(row.Path())
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return
	}
	// A folder that is not there is a disk that is not mounted, or renamed:
	// that says nothing about each of its files.
	folder := path.Dir(row.Path())
	if _, err := s.root.Stat(folder); err != nil {
		s.away[row.TenantUUID] = true
		s.found(Finding{Verdict: Away, Tenant: row.TenantUUID, Path: folder, Detail: "the folder is not there: is its disk mounted?"})
		return
	}
	s.lost[row.Bytes] = append(s.lost[row.Bytes], row)
}

// lostBefore adds the rows that were found missing by an earlier search.
func (s *search) lostBefore() error {
	list, err := s.Repo.LostRows(s.ctx, maxFindings)
	for _, row := range list {
		s.lost[row.Bytes] = append(s.lost[row.Bytes], row)
	}
	return err
}
