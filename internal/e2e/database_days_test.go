package e2e

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"callrecordd/config"
	"callrecordd/dialplan"
	"callrecordd/internal/lab"
)

// A database that takes nothing costs no audio, no CDR and no event: calls are
// recorded all the same, the state says what is wrong, and all is stored when it
// is over.

// writing waits until n files grow: audio is written whatever is stored.
func (s *site) writing(n int) {
	s.t.Helper()
	sizes := map[string]int64{}
	s.eventually(fmt.Sprintf("%d files grow", n), func() error {
		grown := 0
		for _, path := range s.files() {
			info, err := os.Stat(path)
			if err != nil {
				return err
			}
			if first, ok := sizes[path]; !ok {
				sizes[path] = info.Size()
			} else if info.Size() > first {
				grown++
			}
		}
		if grown < n {
			return fmt.Errorf("%d do", grown)
		}
		return nil
	})
}

// allStored checks that n calls of alice have their recording, and that every
// decision was kept.
func (s *site) allStored(n int) {
	s.t.Helper()
	s.eventually("every recording has its row", func() error {
		if got := len(s.stored()); got < n {
			return fmt.Errorf("%d of %d have", got, n)
		}
		return nil
	})
	for i, c := range s.waitCDRs(n) {
		if len(c.Recordings) != 1 || c.Recordings[0].State != "ready" || c.Recordings[0].Cause != "" {
			s.t.Errorf("call %d has %+v", i, c.Recordings)
			continue
		}
		s.hears(s.media(c, c.Recordings[0]), toneA, toneB)
	}
	s.eventually("every decision is stored", func() error {
		if got := len(s.events("decision", "")); got < n {
			return fmt.Errorf("%d of %d", got, n)
		}
		return nil
	})
	s.sound(n)
}

func TestDatabaseThatAnotherProgramLocks(t *testing.T) {
	t.Parallel()
	lasts := 6 * time.Second // SQLite waits for five, then refuses
	if thorough() {
		lasts = time.Minute
	}
	s := siteAt(t, newPBX(t, lab.Config{}))
	s.run(s.mortal()) // another process than the one that locks
	s.populate()
	s.rules("alice", dialplan.Flags{OutgoingInternal: true})
	alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0))
	first, _ := s.talk(alice, bob, "1002")
	s.recording(1)

	db, err := sql.Open("sqlite3", "file:"+s.cfg.State.Database()+"?_busy_timeout=10000")
	must(t, err)
	defer func() { _ = db.Close() }()
	conn, err := db.Conn(t.Context())
	must(t, err)
	_, err = conn.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	must(t, err)
	locked := time.Now()
	second, _ := s.talk(alice, bob, "1002")
	s.writing(2)
	must(t, first.Hangup(within(t)))
	s.eventually("the state says so", func() error {
		if code := s.get("/readyz", nil).StatusCode; code != 503 {
			return fmt.Errorf("readyz answers %d", code)
		}
		return nil
	})
	third, _ := s.talk(alice, bob, "1002")
	must(t, third.Talk(t.Context(), time.Until(locked.Add(lasts))))
	must(t, second.Hangup(within(t)))
	_, err = conn.ExecContext(t.Context(), "ROLLBACK")
	must(t, err)
	must(t, conn.Close())
	unlocked := time.Now()
	must(t, third.Talk(within(t), time.Second))
	s.hangup(third)
	s.allStored(3)
	t.Logf("locked for %s, all is stored %s later", lasts, time.Since(unlocked).Round(time.Millisecond))
}

func TestDatabaseOnAFullDisk(t *testing.T) {
	t.Parallel()
	if !inPrivateMounts(t) {
		return
	}
	state := filepath.Join(t.TempDir(), "state")
	must(t, os.Mkdir(state, 0o750))
	must(t, syscall.Mount("tmpfs", state, "tmpfs", 0, "size=16m,mode=750"))
	t.Cleanup(func() { must(t, syscall.Unmount(state, syscall.MNT_DETACH)) })
	s := siteAt(t, newPBX(t, lab.Config{}), func(c *config.Config) { c.State.Dir = state })
	s.start()
	s.populate()
	s.rules("alice", dialplan.Flags{OutgoingInternal: true})
	alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0))
	first, _ := s.talk(alice, bob, "1002")
	s.recording(1)

	filler := filepath.Join(state, "filler")
	f, err := os.Create(filler)
	must(t, err)
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("fill the disk: %v", err)
	}
	must(t, f.Close())
	second, _ := s.talk(alice, bob, "1002")
	s.writing(2)
	must(t, first.Hangup(within(t)))
	s.says("no space left for the database", "free space on its file system")
	must(t, second.Talk(within(t), time.Second))
	must(t, second.Hangup(within(t)))
	must(t, os.Remove(filler))
	s.ready()
	s.allStored(2)
	s.recordsNext(alice, bob, 3)
}

// A database that may only be read is told at the start, in one sentence, and
// nothing was touched: the recordings of the daemon before go on in Asterisk.
func TestReadOnlyDatabaseIsNoStart(t *testing.T) {
	t.Parallel()
	if !inPrivateMounts(t) {
		return
	}
	s := siteAt(t, newPBX(t, lab.Config{}), func(c *config.Config) { c.State.Dir = filepath.Join(filepath.Dir(c.Recordings.Root), "ro") })
	daemon := s.run(s.mortal())
	s.populate()
	s.rules("alice", dialplan.Flags{OutgoingInternal: true})
	caller, _ := s.talk(s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0)), "1002")
	rec := s.recording(1)
	daemon.end(t, syscall.SIGTERM)

	mount := func(flags uintptr) {
		t.Helper()
		must(t, syscall.Mount("none", s.cfg.State.Dir, "", syscall.MS_BIND|syscall.MS_REMOUNT|flags, ""))
	}
	must(t, syscall.Mount(s.cfg.State.Dir, s.cfg.State.Dir, "", syscall.MS_BIND, ""))
	t.Cleanup(func() { must(t, syscall.Unmount(s.cfg.State.Dir, syscall.MNT_DETACH)) })
	mount(syscall.MS_RDONLY)
	next, err := launch(s.mortal())
	must(t, err)
	s.eventually("it does not start, and says why", func() error {
		select {
		case <-next.done:
		default:
			return errors.New("it runs")
		}
		for _, words := range []string{"callrecordd: open database", "read-only file system"} {
			if !strings.Contains(s.log(), words) {
				return fmt.Errorf("the log does not say %q", words)
			}
		}
		return nil
	})
	s.writing(1)
	mount(0)
	s.run(s.mortal())
	s.eventually("the recording is adopted", func() error {
		if len(s.events("recording_adopted", rec.uuid)) != 1 {
			return fmt.Errorf("rows: %+v", s.stored())
		}
		return nil
	})
	s.hangup(caller)
	s.allStored(1)
}
