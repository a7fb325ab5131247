package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"callrecordd/config"
	"callrecordd/internal/export"
	"callrecordd/internal/recorder"
	"callrecordd/store"
)

// A file whose disk is away is not gone.
func TestRemovalWhileTheDiskIsAway(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	master := v.tenant("")
	rec := v.put(made{id: 1, tenant: master, recordings: 1})
	v.run()
	folder, away := filepath.Join(v.cfg.Recordings.Root, master), filepath.Join(t.TempDir(), "away")
	must(t, os.Rename(folder, away))
	if r := v.ask("DELETE", v.media(1, rec[0][0]), nil); r.status < 500 || v.recordingsOf(1)[0].Deleted {
		t.Errorf("removed without its disk: %d %s", r.status, r.body)
	}
	must(t, os.Rename(away, folder))
	v.ask("DELETE", v.media(1, rec[0][0]), nil).is(t, http.StatusNoContent, "")
	if exists(v.path(master, rec[0][0])) {
		t.Error("the file is still there")
	}
}

// An export of a daemon that it has killed again and again is not tried for ever.
func TestExportThatKillsTheDaemonIsGivenUp(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	master := v.tenant("")
	rec := v.put(made{id: 1, tenant: master, recordings: 1})
	e := export.Export{
		UUID: userA, TenantUUID: master, RequestedAt: time.Now(), RequestedBy: "test", Status: export.Processing, Files: 1, Attempts: 5,
	}
	v.store(func(s *store.Store) {
		must(t, s.AddExportItems(t.Context(), e.UUID, 0, []export.Item{{Recording: recorder.Recording{UUID: rec[0][0]}, CDRID: 1}}))
		must(t, s.CreateExport(t.Context(), e))
	})
	v.run()
	if e := v.ended(e.UUID); e.Status != "error" || e.Cause != export.CauseFault {
		t.Errorf("%+v", e)
	}
}

// An export waits for a recordings root that is away, and tells every recording
// that has no file.
func TestExportWaitsForTheRecordingsRoot(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	master := v.tenant("")
	v.put(made{id: 1, tenant: master, recordings: 1}, made{id: 2, tenant: master, recordings: 2, noFile: true})
	v.run()
	away := filepath.Join(t.TempDir(), "away")
	must(t, os.Rename(v.cfg.Recordings.Root, away))
	var created struct {
		UUID string `json:"uuid"`
	}
	r := v.ask("POST", "/1.0/cdr/recordings/media/export", `{"cdr_ids": [1, 2]}`)
	r.is(t, http.StatusAccepted, "")
	r.into(t, &created)
	v.eventually("the first attempt has failed", func() error {
		if !strings.Contains(v.log(), "will be tried again") {
			return errors.New("not yet")
		}
		return nil
	})
	must(t, os.Rename(away, v.cfg.Recordings.Root))
	e := v.ended(created.UUID)
	entries := v.entries(e)
	if e.Status != "finished" || e.Files != 1 || len(entries) != 2 || strings.Count(string(entries["missing.json"]), "not_found") != 2 {
		t.Errorf("%+v, missing.json: %s", e, entries["missing.json"])
	}
	if left, _ := filepath.Glob(filepath.Join(v.cfg.State.Dir, "exports", "*.tmp")); left != nil {
		t.Errorf("left: %v", left)
	}
}

// importFile runs the command, and returns its table's last line and what it says.
func (v *vault) importFile(bin, line string) (counts []string, says string) {
	v.t.Helper()
	file := filepath.Join(v.t.TempDir(), "one.jsonl")
	must(v.t, os.WriteFile(file, []byte(line+"\n"), 0o600))
	out, says, _ := v.cli(bin, "cdr", "import", file)
	if counts = strings.Fields(out); len(counts) != 6 {
		v.t.Fatalf("import: %s%s", out, says)
	}
	return counts[3:], says
}

// Audio that was removed stays so, though the call is imported again.
func TestImportBringsNoRemovedAudioBack(t *testing.T) {
	t.Parallel()
	bin := build(t)
	v := newVault(t)
	master := v.tenant("")
	v.put()
	v.run()
	source := filepath.Join(t.TempDir(), "old.wav")
	must(t, os.WriteFile(source, wavOf(time.Second, 3), 0o600))
	line := fmt.Sprintf(`{"id": 7, "start": "2020-01-01T10:00:00Z", "recordings": [{"uuid": %q, "path": %q}]}`, userB, source)
	if counts, says := v.importFile(bin, line); counts[0] != "1" || !exists(v.path(master, userB)) {
		t.Fatalf("import: %v %s", counts, says)
	}
	v.ask("DELETE", v.media(7, userB), nil).is(t, http.StatusNoContent, "")
	if counts, says := v.importFile(bin, line); counts[1] != "1" || exists(v.path(master, userB)) {
		t.Errorf("imported again: %v %s, the file is there: %t", counts, says, exists(v.path(master, userB)))
	}
}

// The audio of a call that is refused is not left behind.
func TestRefusedImportLeavesNoAudio(t *testing.T) {
	t.Parallel()
	bin := build(t)
	v := newVault(t)
	master := v.tenant("")
	v.put(made{id: 7, tenant: master})
	v.run()
	source := filepath.Join(t.TempDir(), "old.wav")
	must(t, os.WriteFile(source, wavOf(time.Second, 3), 0o600))
	const two = `{"id": %d, "start": "2020-01-01T10:00:00Z", "recordings": [{"uuid": %q, "path": %q}, {"uuid": %q, "path": "%s%s"}]}`
	for name, line := range map[string]string{
		"another call has the id":      fmt.Sprintf(two, 7, userA, source, userB, source, ""),
		"the second file is not there": fmt.Sprintf(two, 8, userA, source, userB, source, ".none"),
	} {
		counts, says := v.importFile(bin, line)
		if counts[2] != "1" || exists(v.path(master, userA)) || exists(v.path(master, userB)) {
			t.Errorf("%s: %v %s, files left: %t %t", name, counts, says, exists(v.path(master, userA)), exists(v.path(master, userB)))
		}
	}
}

// What the next purge would remove is not taken, and the import says why.
func TestImportOfWhatIsTooOldIsRefused(t *testing.T) {
	t.Parallel()
	bin := build(t)
	v := newVault(t, func(c *config.Config) {
		c.Retention.Every, c.Retention.CDRDays, c.Retention.RecordingDays = time.Hour, 30, 5
	})
	master := v.tenant("")
	v.run()
	if counts, says := v.importFile(bin, `{"start": "2020-01-01T10:00:00Z"}`); counts[2] != "1" || !strings.Contains(says, "retention set") {
		t.Errorf("too old: %v %s", counts, says)
	}
	source := filepath.Join(t.TempDir(), "old.wav")
	must(t, os.WriteFile(source, wavOf(time.Second, 3), 0o600))
	line := fmt.Sprintf(`{"start": %q, "recordings": [{"uuid": %q, "path": %q}]}`, daysAgo(10), userB, source)
	if counts, says := v.importFile(bin, line); counts[2] != "1" || !strings.Contains(says, "leave out the path") || exists(v.path(master, userB)) {
		t.Errorf("audio that is too old: %v %s", counts, says)
	}
	now := time.Now().Add(-time.Hour).Format(time.RFC3339)
	if counts, says := v.importFile(bin, fmt.Sprintf(`{"start": %q}`, now)); counts[0] != "1" {
		t.Errorf("of today: %v %s", counts, says)
	}
}
