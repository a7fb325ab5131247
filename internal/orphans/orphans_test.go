package orphans_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"callrecordd/internal/orphans"
	"callrecordd/internal/recorder"
	"callrecordd/internal/retention"
	"callrecordd/store"
)

const (
	tenant = "11111111-1111-4111-8111-111111111111"
	other  = "22222222-2222-4222-8222-222222222222"
)

func id(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

// stage is a real database beside a folder of recordings.
type stage struct {
	t     *testing.T
	store *store.Store
	root  string
	now   time.Time
	noted []orphans.Finding
}

// NoteFile implements orphans.Repo, with the store for all else.
func (s *stage) NoteFile(_ context.Context, f orphans.Finding, _ string) error {
	s.noted = append(s.noted, f)
	return nil
}

type repo struct {
	*store.Store
	*stage
}

func (r repo) NoteFile(ctx context.Context, f orphans.Finding, actor string) error {
	return r.stage.NoteFile(ctx, f, actor)
}

func newStage(t *testing.T) *stage {
	s := &stage{t: t, root: t.TempDir(), now: time.Now()}
	var err error
	s.store, err = store.Open(t.Context(), store.Options{
		Path: filepath.Join(t.TempDir(), "db"), Now: func() time.Time { return s.now }, Log: slog.New(slog.DiscardHandler),
	})
	s.must(err)
	t.Cleanup(func() { s.must(s.store.Close()) })
	for _, of := range []string{tenant, other} {
		s.must(os.MkdirAll(filepath.Join(s.root, of, "monitor"), 0o750))
	}
	return s
}

func (s *stage) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// wav is a file of so many samples, each of that value.
func wav(samples int, value byte) []byte {
	data := make([]byte, 44+2*samples)
	copy(data, "RIFF")
	binary.LittleEndian.PutUint32(data[4:], uint32(36+2*samples))
	copy(data[8:], "WAVEfmt ")
	binary.LittleEndian.PutUint32(data[16:], 16)
	binary.LittleEndian.PutUint16(data[20:], 1)
	binary.LittleEndian.PutUint16(data[22:], 1)
	binary.LittleEndian.PutUint32(data[24:], 8000)
	binary.LittleEndian.PutUint32(data[28:], 16000)
	binary.LittleEndian.PutUint16(data[32:], 2)
	binary.LittleEndian.PutUint16(data[34:], 16)
	copy(data[36:], "data")
	binary.LittleEndian.PutUint32(data[40:], uint32(2*samples))
	for i := range data[44:] {
		data[44+i] = value
	}
	return data
}

// file writes one that is a day old.
func (s *stage) file(name string, data []byte) {
	s.t.Helper()
	path := filepath.Join(s.root, name)
	s.must(os.MkdirAll(filepath.Dir(path), 0o750))
	s.must(os.WriteFile(path, data, 0o640))
	old := s.now.Add(-24 * time.Hour)
	s.must(os.Chtimes(path, old, old))
}

func (s *stage) there(name string) bool {
	_, err := os.Stat(filepath.Join(s.root, name))
	return err == nil
}

// recorded makes a row and its file, by a search that adopts it.
func (s *stage) recorded(n int, data []byte) string {
	s.t.Helper()
	s.file(tenant+"/monitor/"+id(n)+".wav", data)
	s.run(orphans.Adopt)
	if got := s.row(id(n)); got.State == "" {
		s.t.Fatalf("no row for %d", n)
	}
	s.noted = nil
	return tenant + "/monitor/" + id(n) + ".wav"
}

func (s *stage) row(uuid string) recorder.Recording {
	s.t.Helper()
	rows, err := s.store.FileRows(s.t.Context(), []string{uuid})
	s.must(err)
	return rows[uuid]
}

// run searches and returns what was found, as "verdict done path".
func (s *stage) run(mode orphans.Mode) []string {
	s.t.Helper()
	search := orphans.Searcher{
		Repo: repo{s.store, s}, Root: s.root, Now: func() time.Time { return s.now }, Age: time.Hour, Share: 1,
	}
	r, err := search.Run(s.t.Context(), mode, "test")
	s.must(err)
	var out []string
	for _, f := range r.Findings {
		name := f.Path
		if name == "" {
			name = f.Recording
		}
		out = append(out, fmt.Sprintf("%s %s %s", f.Verdict, f.Done, name))
	}
	return out
}

func (s *stage) finds(mode orphans.Mode, want ...string) {
	s.t.Helper()
	got := s.run(mode)
	if fmt.Sprint(got) != fmt.Sprint(want) {
		s.t.Errorf("%s finds %q, wanted %q", mode, got, want)
	}
}

func TestAFileWithoutARowBecomesARecording(t *testing.T) {
	s := newStage(t)
	name := tenant + "/monitor/" + id(1) + ".wav"
	s.file(name, wav(16000, 1))
	s.finds(orphans.Report, "unknown  "+name)
	s.finds(orphans.Repair, "unknown  "+name) // it may be another system's, and too old for retention
	if s.row(id(1)).UUID != "" {
		t.Error("a report makes rows")
	}
	s.finds(orphans.Adopt, "unknown adopted "+name)
	r, err := s.store.Recording(t.Context(), id(1))
	if err != nil || r.State != recorder.Ready || r.Samples != 16000 || r.EndedAt.Sub(r.StartedAt) != 2*time.Second || r.SHA256 == "" || r.TenantUUID != tenant {
		t.Errorf("%+v %v", r, err)
	}
	s.finds(orphans.Adopt) // once
	list, err := s.store.Events(t.Context(), store.EventFilter{Recording: id(1), Kind: store.EventFileAdopted})
	if err != nil || len(list) != 1 || list[0].Actor != "test" {
		t.Errorf("%+v %v", list, err)
	}
}

func TestAFileThatWasRenamedIsRecognisedByItsHashAndPutBack(t *testing.T) {
	for name, to := range map[string]string{
		"another name":   tenant + "/monitor/kept for the lawyer.wav",
		"another uuid":   tenant + "/monitor/" + id(9) + ".wav",
		"another tenant": other + "/monitor/" + id(1) + ".wav",
	} {
		for _, marked := range []bool{false, true} {
			t.Run(fmt.Sprint(name, marked), func(t *testing.T) {
				s := newStage(t)
				place := s.recorded(1, wav(8000, 1))
				s.recorded(2, wav(8000, 2)) // as long, and not it
				from, aside := filepath.Join(s.root, place), filepath.Join(t.TempDir(), "aside")
				s.must(os.Rename(from, aside))
				if marked { // by a search before
					s.finds(orphans.Adopt, "missing marked "+id(1))
				}
				s.must(os.Rename(aside, filepath.Join(s.root, to)))
				s.finds(orphans.Report, "renamed  "+to)
				s.finds(orphans.Repair, "renamed put_back "+to)
				if r := s.row(id(1)); r.State != recorder.Ready || !s.there(place) || s.there(to) || s.row(id(9)).UUID != "" {
					t.Errorf("%+v", r)
				}
				s.finds(orphans.Adopt)
			})
		}
	}
}

func TestAFileInQuarantineNeverTakesTheNameOfAnother(t *testing.T) {
	s := newStage(t)
	s.file(tenant+"/monitor/notes.txt", []byte("no audio"))
	s.finds(orphans.Adopt, "unknown  "+tenant+"/monitor/notes.txt")
	s.finds(orphans.Quarantine, "unknown quarantined "+tenant+"/monitor/notes.txt")
	s.file(tenant+"/monitor/notes.txt", []byte("others"))
	s.finds(orphans.Quarantine, "unknown quarantined "+tenant+"/monitor/notes.txt")
	for name, want := range map[string]string{"notes.txt": "no audio", "notes.txt.1": "others"} {
		data, err := os.ReadFile(filepath.Join(s.root, tenant, "quarantine", name))
		if err != nil || string(data) != want {
			t.Errorf("%s: %q %v", name, data, err)
		}
	}
	if len(s.noted) != 2 {
		t.Errorf("noted %+v", s.noted)
	}
	s.finds(orphans.Quarantine) // what is there is left alone
}

func TestARecordingWhoseFileIsGoneIsMissingUntilItIsBack(t *testing.T) {
	s := newStage(t)
	data := wav(8000, 1)
	place := s.recorded(1, data)
	s.must(os.Remove(filepath.Join(s.root, place)))
	s.finds(orphans.Report, "missing  "+id(1))
	s.finds(orphans.Adopt, "missing marked "+id(1))
	if r := s.row(id(1)); r.State != recorder.Missing || r.SHA256 == "" {
		t.Errorf("%+v", r)
	}
	s.finds(orphans.Adopt) // it is known
	// From a backup, under a name of its own.
	s.file(tenant+"/monitor/restored-1.wav", data)
	s.finds(orphans.Adopt, "renamed put_back "+tenant+"/monitor/restored-1.wav")
	if r := s.row(id(1)); r.State != recorder.Ready || !s.there(place) || s.there(tenant+"/monitor/restored-1.wav") {
		t.Errorf("%+v", r)
	}
	// And in its own place.
	s.must(os.Remove(filepath.Join(s.root, place)))
	s.finds(orphans.Adopt, "missing marked "+id(1))
	s.file(place, data)
	s.finds(orphans.Adopt, "found restored "+place)
	if r := s.row(id(1)); r.State != recorder.Ready {
		t.Errorf("%+v", r)
	}
}

// Another file in the place of one that is missing is not taken for it.
func TestAnotherFileInThePlaceOfAMissingOneIsNotTakenForIt(t *testing.T) {
	s := newStage(t)
	place := s.recorded(1, wav(8000, 1))
	s.must(os.Remove(filepath.Join(s.root, place)))
	s.finds(orphans.Adopt, "missing marked "+id(1))
	s.file(place, wav(8000, 2))
	s.finds(orphans.Adopt, "unknown  "+place)
	if r := s.row(id(1)); r.State != recorder.Missing {
		t.Errorf("%+v", r)
	}
	s.finds(orphans.Quarantine, "unknown quarantined "+place)
}

// A disk that is not mounted says nothing about its files.
func TestAFolderThatIsAwayMakesNothingMissing(t *testing.T) {
	s := newStage(t)
	s.recorded(1, wav(8000, 1))
	dir := filepath.Join(s.root, tenant, "monitor")
	s.must(os.Rename(dir, dir+".away"))
	s.finds(orphans.Quarantine, "away  "+tenant+"/monitor")
	if r := s.row(id(1)); r.State != recorder.Ready {
		t.Errorf("%+v", r)
	}
	s.must(os.Rename(dir+".away", dir))
	s.finds(orphans.Quarantine)
	s.must(os.Rename(s.root, s.root+".away"))
	search := orphans.Searcher{Repo: repo{s.store, s}, Root: s.root, Now: time.Now, Share: 1}
	if _, err := search.Run(t.Context(), orphans.Adopt, "test"); err == nil {
		t.Error("a root that is away is no error")
	}
	s.must(os.Rename(s.root+".away", s.root))
}

func TestADeletedRecordingThatCameBackIsToldAndNotResurrected(t *testing.T) {
	s := newStage(t)
	data := wav(8000, 1)
	place := s.recorded(1, data)
	begun, err := s.store.BeginRemovals(t.Context(), []string{id(1)}, "boss", "")
	s.must(err)
	s.finds(orphans.Quarantine) // its removal is under way
	s.must(os.Remove(filepath.Join(s.root, place)))
	s.must(s.store.EndRemovals(t.Context(), ended(begun)))
	s.file(place, data)
	s.finds(orphans.Quarantine, "returned  "+place)
	if r := s.row(id(1)); r.State != recorder.Deleted || !s.there(place) {
		t.Errorf("%+v", r)
	}
}

// What is being written, made by an import or a probe, or too new, is nobody's
// orphan.
func TestWorkInProgressIsLeftAlone(t *testing.T) {
	s := newStage(t)
	open := recorder.Recording{UUID: id(5), TenantUUID: tenant, State: recorder.Live, IntentAt: s.now, Boot: s.now, Hook: "1.1"}
	s.must(s.store.InsertIntent(t.Context(), open))
	for _, name := range []string{id(5) + ".wav", "." + id(6) + ".import", ".callrecordd-probe-1", "x.tmp", "export.zip.part"} {
		s.file(tenant+"/monitor/"+name, wav(100, 1))
	}
	fresh := filepath.Join(s.root, tenant, "monitor", id(7)+".wav")
	s.must(os.WriteFile(fresh, wav(100, 1), 0o640))
	s.must(os.MkdirAll(filepath.Join(s.root, "lost+found"), 0o750))
	s.must(os.Symlink("/etc/passwd", filepath.Join(s.root, tenant, "monitor", id(8)+".wav")))
	s.finds(orphans.Quarantine)
}

func ended(list []retention.Begun) []retention.Ended {
	var out []retention.Ended
	for _, b := range list {
		out = append(out, retention.Ended{Removal: b.Removal})
	}
	return out
}

func TestAFileWithoutAHeaderIsAdoptedAsInterrupted(t *testing.T) {
	s := newStage(t)
	data := wav(8000, 1)
	copy(data[4:8], []byte{0, 0, 0, 0})
	copy(data[40:44], []byte{0, 0, 0, 0})
	s.recorded(1, data)
	if r := s.row(id(1)); r.State != recorder.Interrupted {
		t.Errorf("%+v", r)
	}
}
