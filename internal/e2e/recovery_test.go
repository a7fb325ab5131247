package e2e

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/lab"
)

// sources counts the CDRs of the database by where they come from.
func (s *site) sources() (journal, live int) {
	s.t.Helper()
	db, err := sql.Open("sqlite3", "file:"+s.cfg.State.Database()+"?mode=rw&_query_only=true&_busy_timeout=5000")
	must(s.t, err)
	defer func() { _ = db.Close() }()
	must(s.t, db.QueryRowContext(s.t.Context(),
		"SELECT count(*) FILTER (WHERE source = 'journal'), count(*) FILTER (WHERE source = 'live') FROM cdrs").Scan(&journal, &live))
	return journal, live
}

// longer is within for what takes Asterisk's ten seconds.
func longer(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// TestCallsWithoutAJournalAreInTheListOnce: its module is unloaded in the middle
// of a call and loaded again later. Each call has exactly one CDR with its
// recording, and everybody is told that the journal is not written.
func TestCallsWithoutAJournalAreInTheListOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.rules("alice", dialplan.Flags{OutgoingInternal: true})
	alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0))
	talk := func() *lab.Call {
		t.Helper()
		caller, _ := s.talk(alice, bob, "1002")
		must(t, caller.Talk(within(t), 1200*time.Millisecond))
		return caller
	}
	s.hangup(talk())
	s.waitCDRs(1)

	half := talk() // the journal has its beginning
	console := func(command string) {
		t.Helper()
		out, err := s.pbx.Console(within(t), command)
		must(t, err)
		t.Logf("%s: %s", command, strings.TrimSpace(out))
	}
	console("module unload cel_sqlite3_custom.so")
	s.hangup(half)
	s.hangup(talk()) // it has nothing of this one

	ctx := longer(t)
	wait := func(what string, check func() error) {
		t.Helper()
		for {
			err := check()
			if err == nil {
				return
			}
			select {
			case <-ctx.Done():
				t.Fatalf("%s: %v", what, err)
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
	wait("the call that the journal lacks has a CDR", func() error {
		if journal, live := s.sources(); journal != 1 || live != 1 {
			return fmt.Errorf("%d from the journal, %d from events", journal, live)
		}
		return nil
	})
	wait("an event tells that the journal is stalled", func() error {
		if n := len(s.events("journal_stalled", "")); n != 1 {
			return fmt.Errorf("%d do", n)
		}
		return nil
	})
	if st := s.app.Status(); st.Ready || !strings.Contains(st.Summary, "journal") {
		t.Errorf("the state says nothing of it: %s", st.Summary)
	}
	console("module load cel_sqlite3_custom.so")
	wait("the call whose end the journal lacks has a CDR", func() error {
		if journal, live := s.sources(); journal+live != 3 {
			return fmt.Errorf("%d from the journal, %d from events", journal, live)
		}
		return nil
	})
	s.hangup(talk())
	list := s.waitCDRs(4)
	for i, c := range list {
		if !c.Answered || c.SourceUserUUID != s.users["alice"].UUID || c.DestinationUserUUID != s.users["bob"].UUID || len(c.Recordings) != 1 {
			t.Errorf("call %d: %+v", i, c)
			continue
		}
		s.hears(s.media(c, c.Recordings[0]), toneA, toneB)
	}
	if journal, live := s.sources(); journal != 2 || live != 2 {
		t.Errorf("%d CDRs from the journal, %d from events", journal, live)
	}
	wait("the state is well again", func() error {
		if st := s.app.Status(); !st.Ready {
			return errors.New(st.Summary)
		}
		if len(s.events("journal_resumed", "")) != 1 {
			return errors.New("no event tells that it is written again")
		}
		return nil
	})
}

// TestModuleThatIsLoadedAgainHasTheTalkRecorded: what could not be recorded is
// recorded late, and the part that is missing is said.
func TestModuleThatIsLoadedAgainHasTheTalkRecorded(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.rules("alice", dialplan.Flags{OutgoingInternal: true})
	alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0))
	_, err := s.pbx.Console(within(t), "module unload app_mixmonitor.so")
	must(t, err)
	caller, _ := s.talk(alice, bob, "1002")
	s.eventually("nothing is recorded, and that is told", func() error {
		list := s.stored()
		if len(list) != 2 || list[0].state != "missing" || list[1].state != "missing" || s.app.Status().Ready {
			return fmt.Errorf("%+v, %s", list, s.app.Status().Summary)
		}
		return nil
	})
	_, err = s.pbx.Console(within(t), "module load app_mixmonitor.so")
	must(t, err)
	s.eventually("the talk is recorded", func() error {
		if n := len(s.events("recording_late", "")); n != 1 {
			return fmt.Errorf("%d events say that a recording is late; %+v", n, s.stored())
		}
		return nil
	})
	must(t, caller.Talk(within(t), 1500*time.Millisecond))
	s.hangup(caller)
	c := s.waitCDRs(1)[0]
	if len(c.Recordings) < 3 {
		t.Fatalf("%+v", c)
	}
	late := c.Recordings[len(c.Recordings)-1]
	if late.State != "ready" || !strings.Contains(late.Detail, "not recorded for") {
		t.Errorf("%+v", late)
	}
	s.hears(s.media(c, late), toneA, toneB)
}

// TestCallsOnAFullDiskOfTheJournalAreInTheListOnce: Asterisk cannot write its rows
// and drops them. With room again the journal goes on.
func TestCallsOnAFullDiskOfTheJournalAreInTheListOnce(t *testing.T) {
	t.Parallel()
	if !inPrivateMounts(t) {
		return
	}
	dir := t.TempDir()
	logs := filepath.Join(dir, "log")
	must(t, os.Mkdir(logs, 0o755))
	must(t, syscall.Mount("tmpfs", logs, "tmpfs", 0, "size=8m"))
	t.Cleanup(func() { must(t, syscall.Unmount(logs, syscall.MNT_DETACH)) })
	s := siteAt(t, newPBX(t, lab.Config{Dir: dir}))
	s.start()
	s.populate()
	s.rules("alice", dialplan.Flags{OutgoingInternal: true})
	alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0))
	talk := func() {
		t.Helper()
		caller, _ := s.talk(alice, bob, "1002")
		must(t, caller.Talk(within(t), 1200*time.Millisecond))
		s.hangup(caller)
	}
	talk()
	s.waitCDRs(1)
	filler := filepath.Join(logs, "filler")
	for size := 1 << 20; size > 0; size /= 2 { // to the last byte
		file, err := os.OpenFile(filler, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		must(t, err)
		for err == nil {
			_, err = file.Write(make([]byte, size))
		}
		must(t, file.Close())
	}
	talk()
	s.eventually("the journal is said to be stalled", func() error {
		if len(s.events("journal_stalled", "")) == 0 || s.app.Status().Ready {
			return errors.New(s.app.Status().Summary)
		}
		return nil
	})
	must(t, os.Remove(filler))
	talk()
	for i, c := range s.waitCDRs(3) {
		if !c.Answered || c.DestinationUserUUID != s.users["bob"].UUID || len(c.Recordings) != 1 || c.Recordings[0].State != "ready" {
			t.Errorf("call %d: %+v", i, c)
		}
	}
	if journal, live := s.sources(); journal != 2 || live != 1 {
		t.Errorf("%d CDRs from the journal, %d from events", journal, live)
	}
	s.ready()
}
