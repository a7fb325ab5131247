package exec

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"callrecordd/internal/recorder"
)

// swept is a rig whose clock is twenty times as fast, with a proved recording.
type swept struct {
	*rig
	file   *tape
	states chan recorder.StorageState
}

const sweptFast = 20

func newSwept(t *testing.T, packets func(at time.Duration) int64, change ...func(*Config)) *swept {
	begun := time.Now()
	s := &swept{states: make(chan recorder.StorageState, 100)}
	s.rig = newRig(t, func(c *Config) {
		c.Clock = func() time.Time { return begun.Add(sweptFast * time.Since(begun)) }
		c.Sweep = 20 * time.Millisecond
		c.StorageEvery = 20 * time.Millisecond
		c.Storage = func(st recorder.StorageState) { s.states <- st }
		for _, f := range change {
			f(c)
		}
	})
	s.a.rtp = func() (int64, error) { return packets(sweptFast * time.Since(begun)), nil }
	s.a.vars = map[string]string{"MIXMONITOR(0x1,filename)": s.e.files.abs(s.row)}
	if _, err := s.e.files.prepare(s.row); err != nil {
		t.Fatal(err)
	}
	s.file = open(t, s.e.files.abs(s.row))
	t.Cleanup(func() { s.file.f.Close() })
	s.file.write(3200)
	s.apply(recorder.WatchFile{Row: s.row, Proved: true})
	return s
}

func steadily(at time.Duration) int64 { return int64(at / packet) }

func silently(time.Duration) int64 { return 5000 }

// grows writes until the end of the test.
func (s *swept) grows() {
	s.t.Helper()
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				_, _ = s.file.f.Write(make([]byte, 320))
			}
		}
	})
	s.t.Cleanup(func() { close(done); wg.Wait() })
}

func (s *swept) state() recorder.StorageState {
	s.t.Helper()
	select {
	case st := <-s.states:
		return st
	case <-time.After(10 * time.Second):
		s.t.Fatal("nothing is told of a folder")
	}
	return recorder.StorageState{}
}

// quiet waits for so many sweeps in which nothing is told.
func (s *swept) quiet(sweeps int) {
	s.t.Helper()
	select {
	case in := <-s.in:
		s.t.Fatalf("told: %+v", in)
	case st := <-s.states:
		s.t.Fatalf("told: %+v", st)
	case <-time.After(time.Duration(sweeps) * s.e.cfg.Sweep):
	}
}

func TestAFileDeletedUnderItsRecorderIsNoticed(t *testing.T) {
	s := newSwept(t, silently)
	s.grows()
	s.quiet(5)
	if g := s.e.Growth(); g.Recordings != 1 || g.BytesPerSecond <= 0 {
		t.Errorf("%+v", g)
	}
	if err := os.Remove(s.e.files.abs(s.row)); err != nil {
		t.Fatal(err)
	}
	if b := want[recorder.Broken](s.rig); b.Cause != recorder.CauseFileGone || b.Since.IsZero() {
		t.Error(b)
	}
	s.quiet(5) // once
	if g := s.e.Growth(); g.Recordings != 0 {
		t.Errorf("%+v", g)
	}
}

func TestAFileRenamedOrReplacedUnderItsRecorderIsNoticed(t *testing.T) {
	for _, name := range []string{"renamed", "replaced", "cut off"} {
		t.Run(name, func(t *testing.T) {
			s := newSwept(t, silently)
			if name != "cut off" { // else it is long again at once
				s.grows()
			}
			s.quiet(5)
			path := s.e.files.abs(s.row)
			switch name {
			case "cut off":
				if err := os.Truncate(path, 100); err != nil {
					t.Fatal(err)
				}
			case "replaced":
				other := path + ".other"
				if err := os.WriteFile(other, make([]byte, 100_000), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(other, path); err != nil {
					t.Fatal(err)
				}
			default:
				if err := os.Rename(path, path+".old"); err != nil {
					t.Fatal(err)
				}
			}
			if b := want[recorder.Broken](s.rig); b.Cause != recorder.CauseFileGone {
				t.Error(b)
			}
		})
	}
}

func TestAFileThatDoesNotGrowThoughAudioArrivesIsBroken(t *testing.T) {
	for name, tc := range map[string]struct {
		runs  bool
		probe error
		cause string
	}{
		"the recorder is gone":  {false, nil, recorder.CauseRecorderGone},
		"the recorder is there": {true, nil, recorder.CauseNoGrowth},
		"the disk is full":      {true, syscall.ENOSPC, recorder.CauseNoSpace},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSwept(t, steadily, func(c *Config) { c.probe = func(string) error { return tc.probe } })
			s.a.mu.Lock()
			if !tc.runs {
				clear(s.a.vars)
			}
			s.a.mu.Unlock()
			if b := want[recorder.Broken](s.rig); b.Cause != tc.cause || s.e.cfg.Clock().Sub(b.Since) < still {
				t.Error(b)
			}
		})
	}
}

// What was said until the rename was noticed is in the file that was renamed.
func TestAFileRenamedUnderItsRecorderIsPutBackWhenItIsClosed(t *testing.T) {
	s := newSwept(t, silently)
	s.quiet(5)
	path := s.e.files.abs(s.row)
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	want[recorder.Broken](s.rig)
	s.a.stop = func(context.Context) error { s.file.close(); return nil }
	s.apply(recorder.Stop{Row: s.row}, recorder.Finalise{Row: s.row})
	want[recorder.StopDone](s.rig)
	if f := want[recorder.Finalised](s.rig); !f.Found || f.Samples != 1600 || f.Detail == "" {
		t.Errorf("%+v", f)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

// A party that is on hold, or a telephone that sends nothing in silence, is no
// failure (facts 1), however long it lasts.
func TestSilenceIsNotTakenForAFailure(t *testing.T) {
	for name, packets := range map[string]func(time.Duration) int64{
		"nothing arrives":        silently,
		"a packet now and then":  func(at time.Duration) int64 { return int64(at / (500 * time.Millisecond)) },
		"it stopped before long": func(at time.Duration) int64 { return int64(min(at, 6*time.Second) / packet) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSwept(t, packets)
			s.quiet(100) // 40 s of its clock
		})
	}
	t.Run("and then audio", func(t *testing.T) {
		s := newSwept(t, silently)
		s.quiet(30)
		s.file.write(3200)
		s.quiet(10)
	})
}

func TestAFolderThatComesBackBreaksNothing(t *testing.T) {
	s := newSwept(t, silently)
	s.grows()
	s.quiet(3)
	dir := filepath.Dir(s.e.files.abs(s.row))
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	if st := s.state(); st.Dir != dir || st.Cause != recorder.CauseNoDirectory || st.Detail == "" {
		t.Error(st)
	}
	s.quiet(20) // 8 s
	if _, err := s.e.files.prepare(s.row); err == nil {
		t.Error("the folder was made anew; its own could not be put back")
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	if st := s.state(); st.Dir != dir || st.Detail != "" {
		t.Error(st)
	}
	s.quiet(10)
	if _, err := s.e.files.prepare(s.row); err != nil {
		t.Error(err)
	}
}

func TestAFolderThatStaysAwayIsMadeAnew(t *testing.T) {
	s := newSwept(t, silently)
	s.grows()
	s.quiet(3)
	dir := filepath.Dir(s.e.files.abs(s.row))
	if err := os.Rename(dir, dir+".removed"); err != nil {
		t.Fatal(err)
	}
	s.apply(recorder.AwaitStorage{Row: s.row}, recorder.AwaitStorage{Row: s.row})
	if st := s.state(); st.Detail == "" {
		t.Error(st)
	}
	var broken, back int
	for range 2 {
		select {
		case in := <-s.in:
			switch in := in.(type) {
			case recorder.Broken:
				broken++
				if in.Cause != recorder.CauseNoDirectory {
					t.Error(in)
				}
			case recorder.StorageBack:
				back++
				if in.Tenant != s.row.TenantUUID {
					t.Error(in)
				}
			default:
				t.Errorf("%T %+v", in, in)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("nothing more is told")
		}
	}
	if broken != 1 || back != 1 {
		t.Errorf("broken %d times, back %d times", broken, back)
	}
	if st := s.state(); st.Detail != "" {
		t.Error(st)
	}
}

// A disk that hangs is told once, when it begins and when it is over, and breaks
// nothing by itself.
func TestADiskThatHangsIsToldAndBreaksNothing(t *testing.T) {
	var hangs atomic.Bool
	release := make(chan struct{})
	s := newSwept(t, silently, func(c *Config) {
		c.LookWait = 50 * time.Millisecond
		c.lstat = func(name string) (fs.FileInfo, error) {
			if hangs.Load() {
				<-release
			}
			return os.Lstat(name)
		}
	})
	s.grows()
	s.quiet(3)
	hangs.Store(true)
	if st := s.state(); st.Cause != recorder.CauseStalled || st.Detail == "" {
		t.Error(st)
	}
	s.quiet(10)
	hangs.Store(false)
	close(release)
	if st := s.state(); st.Cause != recorder.CauseStalled || st.Detail != "" {
		t.Error(st)
	}
	s.quiet(5)
	if g := s.e.Growth(); g.Recordings != 1 {
		t.Errorf("%+v", g)
	}
}

// The header tells of a close that inotify has missed.
func TestACloseThatNobodyHasSeenIsNoticed(t *testing.T) {
	s := newSwept(t, silently)
	s.e.watcher.close()
	s.a.mu.Lock()
	clear(s.a.vars)
	s.a.mu.Unlock()
	s.file.close()
	want[recorder.Closed](s.rig)
}

// Thousands of recordings may run: a sweep is one lstat for each.
func BenchmarkSweep300(b *testing.B) {
	root := b.TempDir()
	a := &asterisk{rtp: func() (int64, error) { return 0, nil }}
	e, err := New(Config{Root: root, AMI: a, ARI: a, Store: a, Deliver: func(recorder.Input) {}, Sweep: time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = e.Close(context.Background()) })
	dir := filepath.Join(root, tenantID, "monitor")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		b.Fatal(err)
	}
	for i := range 300 {
		row := recorder.Recording{UUID: rowID[:33] + string([]byte{byte('0' + i/100), byte('0' + i/10%10), byte('0' + i%10)}), TenantUUID: tenantID}
		if err := os.WriteFile(e.files.abs(row), make([]byte, 100), 0o600); err != nil {
			b.Fatal(err)
		}
		e.sweeper.add(row)
	}
	for b.Loop() {
		e.sweeper.sweep()
	}
}
