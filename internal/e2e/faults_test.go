package e2e

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"callrecordd/config"
	"callrecordd/dialplan"
	"callrecordd/internal/audio"
	"callrecordd/internal/directory"
	"callrecordd/internal/lab"
)

// missingWithin is the promise of Shows 4.
const missingWithin = 6 * time.Second

// answered places a call that alice's rule records and returns when it was
// answered. Both phones play.
func (s *site) answered(alice, bob *lab.Phone) (*lab.Call, time.Time) {
	s.t.Helper()
	caller, err := alice.Dial(within(s.t), "1002")
	must(s.t, err)
	callee, err := bob.WaitCall(within(s.t))
	must(s.t, err)
	must(s.t, caller.WaitAnswered(within(s.t)))
	at := time.Now()
	caller.Play(toneA)
	callee.Play(toneB)
	return caller, at
}

// missing places the call number n, waits until none of its recordings is
// open, and checks that they are missing for that cause, in time, in the API
// and in the log, and that the call did not notice. A fault that must not be
// there from the beginning is made, and undone, by spoil.
func (s *site) missing(alice, bob *lab.Phone, n, attempts int, cause, detail string, spoil ...func() (undo func())) {
	s.t.Helper()
	before := len(s.stored())
	caller, at := s.answered(alice, bob)
	var undo []func()
	for _, f := range spoil {
		undo = append(undo, f())
	}
	var took time.Duration
	s.eventually("the recording is missing for "+cause, func() error {
		list := s.stored()[before:]
		if len(list) != attempts || slices.ContainsFunc(list, func(r row) bool { return r.state != "missing" }) {
			return fmt.Errorf("%d recordings are wanted, there are %+v", attempts, list)
		}
		took = time.Since(at)
		return nil
	})
	for _, f := range undo {
		f()
	}
	s.t.Logf("%s: missing %s after the answer", cause, took.Round(time.Millisecond))
	if took > missingWithin {
		s.t.Errorf("%s: missing %s after the answer, %s are allowed", cause, took, missingWithin)
	}
	must(s.t, caller.WaitTone(within(s.t), toneB)) // the call goes on
	s.hangup(caller)
	id := s.waitCDRs(n)[n-1].ID
	var cdr cdrView
	must(s.t, json.NewDecoder(s.get("/1.0/cdr/"+strconv.FormatInt(id, 10), nil).Body).Decode(&cdr))
	if len(cdr.Recordings) != attempts || !cdr.Answered {
		s.t.Errorf("%s: the call is %+v", cause, cdr)
	}
	for _, r := range cdr.Recordings {
		if r.State != "missing" || r.Cause != cause || !strings.Contains(r.Detail, detail) || detail == "" {
			s.t.Errorf("%s: %s is wanted in the detail, recording is %+v", cause, detail, r)
		}
		if !slices.ContainsFunc(strings.Split(s.log(), "\n"), func(line string) bool {
			return strings.Contains(line, "level=ERROR") && strings.Contains(line, r.UUID) && strings.Contains(line, "cause="+cause)
		}) {
			s.t.Errorf("%s: the log has no error about recording %s", cause, r.UUID)
		}
	}
	if files := s.files(); len(files) != 0 && cause != "no_space" && cause != "no_growth" {
		s.t.Errorf("%s: files: %v", cause, files)
	}
}

// recordsNext places call number n and expects it to be recorded.
func (s *site) recordsNext(alice, bob *lab.Phone, n int) {
	s.t.Helper()
	before := len(s.stored())
	caller, _ := s.talk(alice, bob, "1002")
	s.recording(before + 1)
	s.hangup(caller)
	cdr := s.waitCDRs(n)[n-1]
	if len(cdr.Recordings) != 1 || cdr.Recordings[0].State != "ready" {
		s.t.Fatalf("recordings of call %d: %+v", n, cdr.Recordings)
	}
	s.hears(s.media(cdr, cdr.Recordings[0]), toneA, toneB)
}

// journalled counts the rows of a type that Asterisk has written.
func (s *site) journalled(kind string) (n int) {
	s.t.Helper()
	db, err := sql.Open("sqlite3", "file:"+s.cfg.Asterisk.Journal+"?mode=rw&_busy_timeout=5000")
	must(s.t, err)
	defer func() { _ = db.Close() }()
	must(s.t, db.QueryRowContext(s.t.Context(), "SELECT count(*) FROM cel WHERE eventtype = ?", kind).Scan(&n))
	return n
}

func (s *site) master() string {
	s.t.Helper()
	var list []directory.Tenant
	s.do("GET", "tenants", nil, &list)
	if len(list) != 1 {
		s.t.Fatalf("tenants: %+v", list)
	}
	return list[0].UUID
}

// Shows 4.
func TestStorageThatTakesNoFileEndsAsMissing(t *testing.T) {
	t.Parallel()
	if !inPrivateMounts(t) {
		return
	}
	root := filepath.Join(t.TempDir(), "tenants")
	must(t, os.Mkdir(root, 0o750))
	must(t, syscall.Mount("tmpfs", root, "tmpfs", 0, "size=64k,mode=750"))
	t.Cleanup(func() { must(t, syscall.Unmount(root, syscall.MNT_DETACH)) })
	remount := func(flags uintptr) {
		t.Helper()
		must(t, syscall.Mount("tmpfs", root, "tmpfs", syscall.MS_REMOUNT|flags, "size=64k,mode=750"))
	}
	// Asterisk has a mount namespace of its own, so that its disk can fail
	// while ours does not.
	pbx := newPBX(t, lab.Config{}, func(in *lab.Install) {
		in.Command = append([]string{"unshare", "--mount", "--", "env", "--ignore-signal=XFSZ"}, in.Command...)
	})
	s := siteAt(t, pbx, func(c *config.Config) { c.Recordings.Root = root })
	s.start()
	s.populate()
	s.rules("alice", dialplan.Flags{OutgoingInternal: true})
	alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0))
	dir := filepath.Join(root, s.master(), "monitor")

	remount(syscall.MS_RDONLY)
	s.missing(alice, bob, 1, 1, "read_only", "read-only file system") // no directory can be made
	remount(0)
	must(t, os.MkdirAll(dir, 0o750))
	remount(syscall.MS_RDONLY)
	s.missing(alice, bob, 2, 1, "read_only", "read-only file system") // Asterisk says Success
	remount(0)

	filler := filepath.Join(root, "filler")
	f, err := os.Create(filler)
	must(t, err)
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("fill the disk: %v", err)
	}
	must(t, f.Close())
	s.missing(alice, bob, 3, 1, "no_space", "no space left on device")
	must(t, os.Remove(filler))
	for _, file := range s.files() {
		must(t, os.Remove(file))
	}

	inAsterisk := func(args ...string) {
		t.Helper()
		args = append([]string{"--target", strconv.Itoa(pbx.PID()), "--mount", "--"}, args...)
		if out, err := exec.Command("nsenter", args...).CombinedOutput(); err != nil {
			t.Fatalf("nsenter %v: %v: %s", args, err, out)
		}
	}
	inAsterisk("mount", "-t", "tmpfs", "-o", "ro", "tmpfs", dir)
	s.missing(alice, bob, 4, 2, "no_file", "created no file")
	inAsterisk("umount", dir)

	// Asterisk may write no file beyond its header, from when our file is
	// there: rows of the journal are not due before the hangup.
	limit := func(bytes string) {
		t.Helper()
		if out, err := exec.Command("prlimit", "--pid", strconv.Itoa(pbx.PID()), "--fsize="+bytes+":").CombinedOutput(); err != nil {
			t.Fatalf("prlimit: %v: %s", err, out)
		}
	}
	s.missing(alice, bob, 5, 2, "no_growth", "stays empty", func() func() {
		s.eventually("the file is there", func() error {
			if n := len(s.events("recording_seen", "")); n != 2 { // of no_space, and this
				return fmt.Errorf("%d files were seen", n)
			}
			return nil
		})
		s.eventually("the answer is in the journal", func() error {
			if n := s.journalled("BRIDGE_ENTER"); n != 2*5 {
				return fmt.Errorf("%d legs have entered a bridge in five calls", n)
			}
			return nil
		})
		limit("44")
		return func() { limit("unlimited") }
	})
	for _, file := range s.files() {
		must(t, os.Remove(file))
	}
	s.recordsNext(alice, bob, 6)

	// 64 kB are full after four seconds: the recording ends, the call not.
	caller, callee := s.talk(alice, bob, "1002")
	must(t, caller.Talk(within(t), 7*time.Second))
	must(t, caller.WaitTone(within(t), toneB))
	must(t, callee.WaitTone(within(t), toneA))
	s.hangup(caller)
	full := s.waitCDRs(7)[6]
	if r := full.Recordings; len(r) != 1 || r[0].State != "interrupted" || r[0].Cause != "no_space" {
		t.Errorf("the recording that filled the disk is %+v", r)
	}
	for _, r := range full.Recordings {
		seconds := 0.0
		if r.MediaDuration != nil {
			seconds = *r.MediaDuration
		}
		t.Logf("a disk that fills up: %s %s %s, %.1f s", r.State, r.Cause, r.Detail, seconds)
	}
	s.says("takes no file", "make room")
	for _, file := range s.files() {
		must(t, os.Remove(file))
	}
	s.eventually("the daemon is ready again", func() error {
		if st := s.app.Status(); !st.Ready {
			return errors.New(st.Summary)
		}
		return nil
	})
	s.recordsNext(alice, bob, 8)
}

// Shows 4 for an ordinary user. Root may write everywhere, so it becomes one.
func TestRootWithoutPermissionEndsAsMissing(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		if err := again(t, syscall.CLONE_NEWUSER, 1000); err != nil {
			t.Fatalf("root may write everywhere; %s: %v", needNamespaces, err)
		}
		return
	}
	s := newSite(t)
	s.rules("alice", dialplan.Flags{OutgoingInternal: true})
	must(t, os.Chmod(s.cfg.Recordings.Root, 0o500))
	t.Cleanup(func() { must(t, os.Chmod(s.cfg.Recordings.Root, 0o700)) })
	alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0))
	s.missing(alice, bob, 1, 1, "permission", "permission denied")
}

// says waits until the status is not ready and says all these words, which the
// log must say too. The daemon still answers.
func (s *site) says(words ...string) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("the status says %q", words), func() error {
		st := s.app.Status()
		for _, w := range words {
			if st.Ready || !strings.Contains(st.Summary, w) {
				return fmt.Errorf("status: %s", st.Summary)
			}
		}
		return nil
	})
	s.t.Logf("status: %s", s.app.Status().Summary)
	// A state is logged right after it can be seen.
	s.eventually(fmt.Sprintf("the log says %q", words), func() error {
		text := strings.ReplaceAll(s.log(), `\"`, `"`)
		for _, w := range words {
			if !strings.Contains(text, w) {
				return fmt.Errorf("it does not say %q", w)
			}
		}
		return nil
	})
	s.do("GET", "status", nil, nil)
}

func (s *site) ready() {
	s.t.Helper()
	s.eventually("the daemon is ready", func() error {
		if st := s.app.Status(); !st.Ready {
			return errors.New(st.Summary)
		}
		return nil
	})
}

func TestManagerWithoutClassSystemSaysSo(t *testing.T) {
	t.Parallel()
	s := siteAt(t, newPBX(t, lab.Config{AMIWrite: "call"}))
	s.open()
	s.says("manager.conf", "write class system")
	s.populate()
	s.rules("alice", dialplan.Flags{OutgoingInternal: true})
	alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0))
	s.missing(alice, bob, 1, 2, "refused", "write class system")
}

func TestMixMonitorNotLoadedSaysSo(t *testing.T) {
	t.Parallel()
	s := siteAt(t, newPBX(t, lab.Config{NoLoad: []string{"app_mixmonitor.so"}}))
	s.open()
	s.says("load app_mixmonitor.so")
	s.populate()
	s.rules("alice", dialplan.Flags{OutgoingInternal: true})
	alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0))
	s.missing(alice, bob, 1, 2, "refused", "load app_mixmonitor.so")
	_, err := s.pbx.Console(within(t), "module load app_mixmonitor.so")
	must(t, err)
	s.ready()
	s.recordsNext(alice, bob, 2)
}

func TestJournalModuleNotLoadedSaysSo(t *testing.T) {
	t.Parallel()
	s := siteAt(t, newPBX(t, lab.Config{NoLoad: []string{"cel_sqlite3_custom.so"}}))
	s.open()
	s.says("cel_sqlite3_custom.so", s.cfg.Asterisk.Journal, "module load")
	s.populate()
	_, err := s.pbx.Console(within(t), "module load cel_sqlite3_custom.so")
	must(t, err)
	s.ready()
	alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0))
	for n := 1; n <= 2; n++ {
		caller, _ := s.talk(alice, bob, "1002")
		s.hangup(caller)
		s.waitCDRs(n)
	}
}

// An endpoint that the directory lacks counts as external until it is
// classified (design 5).
func TestUnknownEndpointCountsAsExternal(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.do("DELETE", "users/"+s.users["carol"].UUID, nil, nil)
	s.rules("alice", dialplan.Flags{OutgoingExternal: true})
	alice, bob, carol := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0)), s.phone("carol", lab.AutoAnswer(0))
	caller, _ := s.talk(alice, carol, "1003")
	s.recording(1)
	s.hangup(caller)
	cdr, rec := s.one()
	if rec.State != "ready" || rec.Reason != string(dialplan.RuleOutExternal) {
		t.Errorf("recording is %+v", rec)
	}
	if !cdr.Answered || cdr.SourceUserUUID != s.users["alice"].UUID || cdr.DestinationUserUUID != "" || cdr.RequestedExtension != "1003" {
		t.Errorf("cdr is %+v", cdr)
	}
	if list := s.events("decision", ""); len(list) != 1 || !strings.Contains(list[0], string(dialplan.EndpointUnknown)) {
		t.Errorf("decisions: %v", list)
	}
	caller, _ = s.talk(alice, bob, "1002") // internal: not recorded
	s.hangup(caller)
	if r := s.waitCDRs(2)[1].Recordings; len(r) != 0 {
		t.Errorf("an internal call was recorded: %+v", r)
	}
}

func TestMalformedJournalRowsAreSkipped(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	db, err := sql.Open("sqlite3", "file:"+s.cfg.Asterisk.Journal+"?mode=rw&_busy_timeout=10000")
	must(t, err)
	defer func() { _ = db.Close() }()
	spoil := func() {
		t.Helper()
		// Four malformed rows and two of unknown types; all but the last look
		// as if they belonged to alice.
		_, err := db.ExecContext(t.Context(), `INSERT INTO cel (eventtype, eventtime, channame, uniqueid, linkedid, extra) VALUES
			('CHAN_START', 'yesterday', 'PJSIP/alice-ffffffff', '1.1', '1.1', ''),
			('CHAN_END', '', 'PJSIP/alice-ffffffff', '1.1', '1.1', '{'),
			('ANSWER', '1e400', 'PJSIP/alice-ffffffff', '1.1', '1.1', NULL),
			(NULL, NULL, NULL, NULL, NULL, NULL),
			('DOOR_OPENED', '1700000000.000001', 'PJSIP/alice-ffffffff', '1.1', '1.1', ''),
			(x'ff00fe', 7, x'00', x'ff', -1, 1.5)`)
		must(t, err)
	}
	alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0))
	spoil()
	caller, _ := s.talk(alice, bob, "1002")
	spoil()
	s.hangup(caller)
	spoil()
	caller, err = alice.Dial(within(t), lab.ExtenEcho)
	must(t, err)
	must(t, caller.WaitAnswered(within(t)))
	s.hangup(caller)
	list := s.waitCDRs(2)
	if c := list[0]; !c.Answered || c.SourceExtension != "1001" || c.DestinationExtension != "1002" || c.DestinationUserUUID != s.users["bob"].UUID {
		t.Errorf("the first call is %+v", c)
	}
	if c := list[1]; c.SourceExtension != "1001" || c.RequestedExtension != lab.ExtenEcho {
		t.Errorf("the second call is %+v", c)
	}
	j := s.app.Status().Journal
	if j.Malformed != 12 || j.Unknown != 6 || !j.Ready || j.Gaps != 0 || j.OpenCalls != 0 {
		t.Errorf("12 malformed and 6 unknown rows are wanted: %+v", j)
	}
}

func TestAsteriskKilledInARecordedCall(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.rules("alice", dialplan.Flags{OutgoingInternal: true})
	alice, bob := s.phone("alice", lab.Manual()), s.phone("bob", lab.AutoAnswer(0))
	caller, _ := s.talk(alice, bob, "1002")
	rec := s.recording(1)
	must(t, caller.Talk(within(t), 1500*time.Millisecond))
	killed := time.Now()
	must(t, s.pbx.Kill())
	s.says("no event stream from Asterisk", "no manager interface", "see that Asterisk runs")
	must(t, s.pbx.Restart(within(t)))
	s.ready()
	must(t, alice.Register(within(t)))
	must(t, bob.Register(within(t)))
	cdr, got := s.one()
	if !cdr.Answered || cdr.DestinationUserUUID != s.users["bob"].UUID {
		t.Errorf("cdr is %+v", cdr)
	}
	if ended, err := time.Parse(time.RFC3339, cdr.End); err != nil || ended.Sub(killed).Abs() > 2*time.Second {
		t.Errorf("the call ended %s, Asterisk was killed %s: %v", cdr.End, killed.UTC(), err)
	}
	if got.UUID != rec.uuid || got.State != "interrupted" || got.Cause != "header_repaired" || got.MediaDuration == nil || *got.MediaDuration < 1.5 {
		t.Errorf("recording is %+v", got)
	}
	file := s.media(cdr, got)
	s.hears(file, toneA, toneB)
	info, err := os.Stat(file)
	must(t, err)
	head := make([]byte, 8)
	must(t, readHead(file, head))
	if !audio.Final(head, info.Size()) {
		t.Error("other players find no audio in the file: its header has no sizes")
	}
	if n := len(s.events("recording_repaired", "")); n != 1 {
		t.Errorf("%d events tell of the repair", n)
	}
	s.eventually("the original goes when the row is stored", func() error {
		if left, err := filepath.Glob(filepath.Join(s.cfg.Recordings.Root, "*", "repair", "*")); err != nil || len(left) > 0 {
			return fmt.Errorf("left: %v, %w", left, err)
		}
		return nil
	})
	s.recordsNext(alice, bob, 2)
}

func readHead(file string, head []byte) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.ReadFull(f, head)
	return err
}
