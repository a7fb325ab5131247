package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"callrecordd/config"
	"callrecordd/dialplan"
	"callrecordd/internal/alarm"
	"callrecordd/internal/app"
	"callrecordd/internal/control"
	"callrecordd/internal/lab"
	"callrecordd/internal/orphans"
)

// alarmed waits until an alarm is up, or with "on" false until it is not.
func (s *site) alarmed(kind alarm.Kind, on bool) (found alarm.Alarm) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("the alarm %s is up: %v", kind, on), func() error {
		list := s.app.Status().Alarms
		i := slices.IndexFunc(list, func(a alarm.Alarm) bool { return a.Kind == kind })
		if (i >= 0) != on {
			return fmt.Errorf("alarms: %+v", list)
		}
		if on {
			found = list[i]
		}
		return nil
	})
	return found
}

// folder is where the recordings of the only tenant are.
func (s *site) folder() string {
	s.t.Helper()
	list, err := filepath.Glob(filepath.Join(s.cfg.Recordings.Root, "*", "monitor"))
	must(s.t, err)
	if len(list) != 1 {
		s.t.Fatalf("folders: %v", list)
	}
	return list[0]
}

// A recording directory that goes away and comes back: calls go on, the one that
// is being recorded loses nothing, and one that began meanwhile is recorded as
// soon as it is back.
func TestARecordingDirectoryThatGoesAwayAndComesBack(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.rules("alice", dialplan.Flags{OutgoingInternal: true})
	s.rules("carol", dialplan.Flags{OutgoingInternal: true})
	alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0))
	carol, dave := s.phone("carol", lab.Manual()), s.phone("dave", lab.AutoAnswer(0))
	begun := time.Now()
	first, _ := s.talk(alice, bob, "1002")
	s.recording(1)
	dir := s.folder()
	must(t, os.Rename(dir, dir+".away"))
	away := time.Now()
	second, _ := s.talk(carol, dave, "1004")
	if a := s.alarmed(alarm.StorageGone, true); a.Subject != dir || a.Do == "" {
		t.Errorf("alarm %+v", a)
	}
	s.eventually("the second call is on no file, and that is stored", func() error {
		if list := s.stored(); len(list) != 2 || list[1].state != "missing" || list[1].cause != "no_directory" {
			return fmt.Errorf("recordings: %+v", list)
		}
		return nil
	})
	if rest := 5*time.Second - time.Since(away); rest > 0 {
		must(t, first.Talk(within(t), rest))
	}
	must(t, os.Rename(dir+".away", dir))
	s.alarmed(alarm.StorageGone, false)
	s.recording(3)
	must(t, first.WaitTone(within(t), toneB))
	must(t, second.Talk(within(t), 2*time.Second))
	must(t, second.Hangup(within(t)))
	s.hangup(first)
	lasted := time.Since(begun)
	for _, c := range s.waitCDRs(2) {
		switch len(c.Recordings) {
		case 1: // alice's, without a gap
			r := c.Recordings[0]
			if r.State != "ready" || r.MediaDuration == nil || *r.MediaDuration < lasted.Seconds()-2 {
				t.Errorf("of %s the recording has %+v", lasted, r)
			}
			s.hears(s.media(c, r), toneA, toneB)
		case 2:
			i := slices.IndexFunc(c.Recordings, func(r recView) bool { return r.State == "ready" })
			if i < 0 || c.Recordings[i].Follows == "" {
				t.Errorf("recordings: %+v", c.Recordings)
			}
		default:
			t.Errorf("recordings: %+v", c.Recordings)
		}
	}
}

// A file that is deleted under its recorder: another recording goes on, and the
// alarm reaches the log, the status, the events and Prometheus. Afterwards a
// file that was renamed is put back.
func TestARecordingWhoseFileIsDeletedGoesOnInAnother(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.rules("alice", dialplan.Flags{OutgoingInternal: true})
	alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0))
	caller, _ := s.talk(alice, bob, "1002")
	lost := s.recording(1)
	must(t, os.Remove(filepath.Join(s.folder(), lost.uuid+".wav")))
	next := s.recording(2)
	must(t, caller.Talk(within(t), 2*time.Second))
	s.hangup(caller)
	c := s.waitCDRs(1)[0]
	byUUID := map[string]recView{}
	for _, r := range c.Recordings {
		byUUID[r.UUID] = r
	}
	if r := byUUID[lost.uuid]; r.State != "missing" || r.Cause != "file_gone" {
		t.Errorf("the first is %+v", r)
	}
	if r := byUUID[next.uuid]; r.State != "ready" || r.Follows != lost.uuid || !strings.Contains(r.Detail, "file_gone") {
		t.Errorf("the second is %+v", r)
	}
	s.hears(s.media(c, byUUID[next.uuid]), toneA, toneB)
	if gaps := s.events("recording_gap", next.uuid); len(gaps) != 1 || !strings.Contains(gaps[0], `"from"`) {
		t.Errorf("gaps: %v", gaps)
	}
	if a := s.alarmed(alarm.RecordingBroken, true); a.Subject != lost.uuid || !strings.Contains(s.log(), "kind="+string(alarm.RecordingBroken)) {
		t.Errorf("alarm %+v", a)
	}
	s.eventually("the alarm is an event", func() error {
		if list := s.events("alarm_raised", lost.uuid); len(list) == 0 || !strings.Contains(list[0], string(alarm.RecordingBroken)) {
			return fmt.Errorf("events: %v", list)
		}
		return nil
	})
	body, err := io.ReadAll(s.get("/1.0/metrics", nil).Body)
	must(t, err)
	for _, line := range []string{
		`callrecordd_alarm{kind="recording_broken",severity="critical"} 1`, `callrecordd_alarm{kind="database_degraded",severity="critical"} 0`,
		"callrecordd_ready 1", "callrecordd_disk_free_bytes{",
	} {
		if !strings.Contains(string(body), line) {
			t.Errorf("no %s in\n%s", line, body)
		}
	}

	old := time.Now().Add(-time.Hour)
	place, renamed := filepath.Join(s.folder(), next.uuid+".wav"), filepath.Join(s.folder(), "renamed.wav")
	must(t, os.Rename(place, renamed))
	must(t, os.Chtimes(renamed, old, old))
	var result orphans.Result
	s.do("POST", "orphans", app.OrphanRequest{Mode: orphans.Repair}, &result)
	if len(result.Findings) != 1 || result.Findings[0].Done != orphans.PutBack || !exists(place) {
		js, _ := json.Marshal(result)
		t.Errorf("orphans: %s", js)
	}
}

// A user who must be recorded, and cannot be, has the call ended, after a tone,
// because the administrator wants that; the call of another user goes on.
func TestAMustRecordUserWhoCannotBeRecordedHasTheCallEnded(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *config.Config) { c.Alarms.HangUp, c.Alarms.HangUpAfter = true, 2*time.Second })
	for _, u := range []string{"alice", "carol"} {
		s.rules(u, dialplan.Flags{OutgoingInternal: true})
	}
	s.do("PATCH", control.Path("users", s.users["alice"].UUID), map[string]any{"must_record": true}, nil)
	alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0))
	carol, dave := s.phone("carol", lab.Manual()), s.phone("dave", lab.AutoAnswer(0))
	// A file where the folder has to be.
	tenant := filepath.Join(s.cfg.Recordings.Root, s.users["alice"].TenantUUID)
	must(t, os.RemoveAll(tenant))
	must(t, os.WriteFile(tenant, nil, 0o600))
	may, _ := s.talk(carol, dave, "1004")
	caller, _ := s.talk(alice, bob, "1002")
	must(t, caller.WaitEnded(within(t)))
	if a := s.alarmed(alarm.MustRecord, true); a.Count != 1 || !strings.Contains(a.Detail, s.users["alice"].UUID) {
		t.Errorf("alarm %+v", a)
	}
	must(t, may.WaitTone(within(t), toneB))
	if list := s.events("call_ended_unrecorded", ""); len(list) != 1 || !strings.Contains(list[0], s.users["alice"].UUID) {
		t.Errorf("events: %v", list)
	}
	s.hangup(may)
}

// A disk that fills up in a call and has room again: the call goes on, and is
// recorded again, with the gap noted.
func TestADiskThatFillsUpInACallAndHasRoomAgain(t *testing.T) {
	t.Parallel()
	if !inPrivateMounts(t) {
		return
	}
	root := filepath.Join(t.TempDir(), "tenants")
	must(t, os.Mkdir(root, 0o750))
	must(t, syscall.Mount("tmpfs", root, "tmpfs", 0, "size=512k,mode=750"))
	t.Cleanup(func() { must(t, syscall.Unmount(root, syscall.MNT_DETACH)) })
	s := newSite(t, func(c *config.Config) {
		c.Recordings.Root, c.Alarms.DiskLowPercent, c.Alarms.DiskCriticalPercent = root, 10, 3
	})
	s.rules("alice", dialplan.Flags{OutgoingInternal: true})
	alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0))
	caller, _ := s.talk(alice, bob, "1002")
	full := s.recording(1)
	filler := filepath.Join(root, "filler")
	f, err := os.Create(filler)
	must(t, err)
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	must(t, f.Close())
	if a := s.alarmed(alarm.RecordingBroken, true); a.Subject != full.uuid || !strings.Contains(a.Detail, "no_space") {
		t.Errorf("alarm %+v", a)
	}
	s.alarmed(alarm.DiskCritical, true)
	must(t, os.Remove(filler))
	next := s.recording(2)
	must(t, caller.WaitTone(within(t), toneB))
	s.hangup(caller)
	c := s.waitCDRs(1)[0]
	for _, r := range c.Recordings {
		switch r.UUID {
		case full.uuid:
			if r.Cause != "no_space" {
				t.Errorf("the first is %+v", r)
			}
		case next.uuid:
			if r.State != "ready" || r.Follows != full.uuid || !strings.Contains(r.Detail, "no_space") {
				t.Errorf("the second is %+v", r)
			}
		default:
			t.Errorf("recordings: %+v", c.Recordings)
		}
	}
	if gaps := s.events("recording_gap", next.uuid); len(gaps) != 1 {
		t.Errorf("gaps: %v", gaps)
	}
}
