package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"callrecordd/config"
	"callrecordd/internal/export"
	"callrecordd/store"
)

// The entries of cdr-api 12 about retention over HTTP, under upstream's names.
func TestRetention(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	master, child := v.tenant(""), v.tenant("child")
	v.run()
	const path = "/1.0/retention"
	shows := func(tenant, want string) {
		t.Helper()
		if got := strings.TrimSpace(string(v.ask("GET", path, nil, "Wazo-Tenant", tenant).body)); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	const defaults = `,"default_cdr_days":365,"default_export_days":2,"default_recording_days":365}`
	// get_not_configured_tenant
	shows(master, `{"tenant_uuid":"`+master+`","cdr_days":null,"export_days":null,"recording_days":null`+defaults)
	// get_unknown_tenant, update_unknown_tenant
	v.ask("GET", path, nil, "Wazo-Tenant", userA).is(t, http.StatusUnauthorized, "unauthorized")
	v.ask("PUT", path, `{}`, "Wazo-Tenant", userA).is(t, http.StatusUnauthorized, "unauthorized")
	// update_not_configured, update, get: what is missing becomes null
	v.ask("PUT", path, `{"cdr_days": 10, "recording_days": 5, "export_days": 1, "default_cdr_days": 7}`, "Wazo-Tenant", child).is(t, http.StatusNoContent, "")
	shows(child, `{"tenant_uuid":"`+child+`","cdr_days":10,"export_days":1,"recording_days":5`+defaults)
	v.ask("PUT", path, `{"cdr_days": 0}`, "Wazo-Tenant", child).is(t, http.StatusNoContent, "")
	shows(child, `{"tenant_uuid":"`+child+`","cdr_days":0,"export_days":null,"recording_days":null`+defaults)
	// update_errors, and empty_body_for_put_retention_returns_400
	for _, body := range []string{
		`{"recording_days": 11, "cdr_days": 10}`, `{"recording_days": 0, "cdr_days": 10}`, `{"cdr_days": -1}`, `{"cdr_days": "x"}`, `{"cdr_days": 1e9}`, `[]`,
	} {
		v.ask("PUT", path, body).is(t, http.StatusBadRequest, "invalid-data")
	}
	v.ask("PUT", path, nil).is(t, http.StatusBadRequest, "")
	shows(master, `{"tenant_uuid":"`+master+`","cdr_days":null,"export_days":null,"recording_days":null`+defaults)
	// update_events: in the event table
	if es := v.events("retention.changed", child); len(es) != 2 || !strings.HasPrefix(es[0].Actor, "token:") {
		t.Errorf("events %+v", es)
	}
}

func daysAgo(n int) string {
	return time.Now().AddDate(0, 0, -n).Add(-time.Minute).UTC().Format(time.RFC3339)
}

// purged is a line of the report of a purge.
type purged struct {
	TenantUUID                              string
	Recordings, CDRs, Exports, Held, Failed int
}

func (v *vault) purge(dry bool) map[string]purged {
	v.t.Helper()
	var list []struct {
		TenantUUID string `json:"tenant_uuid"`
		Recordings int    `json:"recordings"`
		CDRs       int    `json:"cdrs"`
		Exports    int    `json:"exports"`
		Held       int    `json:"held"`
		Failed     int    `json:"failed"`
	}
	v.do("POST", "purge", map[string]bool{"dry_run": dry}, &list)
	out := map[string]purged{}
	for _, p := range list {
		out[p.TenantUUID] = purged{p.TenantUUID, p.Recordings, p.CDRs, p.Exports, p.Held, p.Failed}
	}
	return out
}

// left are the ids of the CDRs that are there, and of those with audio.
func (v *vault) left() string {
	v.t.Helper()
	var out struct {
		Items []struct {
			ID         int64
			Recordings []struct{ Deleted bool }
		}
	}
	v.ask("GET", "/1.0/cdr?recurse=true&direction=asc&limit=0", nil).into(v.t, &out)
	var all, audio []string
	for _, c := range out.Items {
		all = append(all, fmt.Sprint(c.ID))
		for _, r := range c.Recordings {
			if !r.Deleted {
				audio = append(audio, fmt.Sprint(c.ID))
			}
		}
	}
	return strings.Join(all, " ") + " audio " + strings.Join(audio, " ")
}

// The entries of cdr-api 12 about the purgers: purger and
// purger_when_default_days_is_customized (master has the configuration's days),
// purger_by_retention (the child has its own), purger_when_retention_is_zero:
// where upstream takes 0 days for "everything", 0 is for ever here (design 7).
func TestPurger(t *testing.T) {
	t.Parallel()
	v := newVault(t, func(c *config.Config) { c.Retention.CDRDays, c.Retention.RecordingDays = 42, 20 })
	master, child, forever := v.tenant(""), v.tenant("child"), v.tenant("forever")
	rec := v.put(
		made{id: 1, tenant: master, recordings: 1, start: daysAgo(50)}, made{id: 2, tenant: master, recordings: 2, start: daysAgo(30)},
		made{id: 3, tenant: master, recordings: 1, start: daysAgo(10)},
		made{id: 4, tenant: child, recordings: 1, start: daysAgo(3)}, made{id: 5, tenant: child, recordings: 1, start: daysAgo(1)},
		made{id: 6, tenant: forever, recordings: 1, start: daysAgo(5000)},
		made{id: 7, tenant: master, recordings: 1, noFile: true, start: daysAgo(25)}, // purger_when_file_not_on_filesystem
		made{id: 8, tenant: master, recordings: 1, start: daysAgo(60)},
		made{id: 9, tenant: master, start: daysAgo(60)},
	)
	const (
		old, young = "50000000-0000-4000-8000-000000000000", "50000000-0000-4000-8000-000000000001"
		lost       = "50000000-0000-4000-8000-000000000002" // purger_when_file_not_on_filesystem
		failed     = "50000000-0000-4000-8000-000000000003" // purger_when_path_not_set: it never had a file
	)
	v.store(func(s *store.Store) {
		for uuid, days := range map[string]int{old: 3, young: 1, lost: 4, failed: 5} {
			status := export.Finished
			if uuid == failed {
				status = export.Failed
			}
			must(t, s.CreateExport(t.Context(), export.Export{
				UUID: uuid, TenantUUID: master, UserUUID: userA, RequestedAt: time.Now().AddDate(0, 0, -days), Status: status,
			}))
		}
	})
	v.run()
	archives := filepath.Join(v.cfg.State.Dir, "exports")
	must(t, os.WriteFile(filepath.Join(archives, old+".zip"), []byte("zip"), 0o600)) // the young one's file is gone
	v.ask("PUT", "/1.0/retention", `{"cdr_days": 2}`, "Wazo-Tenant", child).is(t, http.StatusNoContent, "")
	v.ask("PUT", "/1.0/retention", `{"cdr_days": 0, "recording_days": 0}`, "Wazo-Tenant", forever).is(t, http.StatusNoContent, "")
	v.ask("PUT", "/1.0/cdr/8/hold", `{"reason": "court"}`).is(t, http.StatusNoContent, "")

	before := v.left()
	dry := v.purge(true)
	if v.left() != before || !exists(filepath.Join(archives, old+".zip")) {
		t.Fatal("a dry run has removed something")
	}
	done := v.purge(false)
	for tenant, want := range map[string]purged{
		master:  {master, 4, 2, 3, 2, 0}, // recordings of 1, 2, 7; CDRs 1 and 9; 8 is held twice, with its recording
		child:   {child, 1, 1, 0, 0, 0},
		forever: {forever, 0, 0, 0, 0, 0},
	} {
		if done[tenant] != want || dry[tenant] != want {
			t.Errorf("purged %+v, dry %+v, want %+v", done[tenant], dry[tenant], want)
		}
	}
	if got := v.left(); got != "6 8 2 7 3 5 audio 6 8 3 5" {
		t.Errorf("left: %s", got)
	}
	for i, want := range map[int]bool{0: false, 1: false, 2: true, 3: false, 4: true, 5: true, 7: true} {
		if got := exists(v.path([]string{master, master, master, child, child, forever, master, master}[i], rec[i][0])); got != want {
			t.Errorf("the file of CDR %d: there is %v", i+1, got)
		}
	}
	for _, uuid := range []string{old, lost, failed} {
		v.ask("GET", "/1.0/exports/"+uuid, nil).is(t, http.StatusNotFound, "export-not-found-with-given-uuid")
	}
	v.ask("GET", "/1.0/exports/"+young, nil).is(t, http.StatusOK, "")
	if exists(filepath.Join(archives, old+".zip")) {
		t.Error("the old archive is still there")
	}
	if again := v.purge(false); again[master].CDRs+again[master].Recordings+again[child].CDRs != 0 {
		t.Errorf("a second purge: %+v", again)
	}
	// 8 goes when it is released.
	v.ask("DELETE", "/1.0/cdr/8/hold", nil).is(t, http.StatusNoContent, "")
	if p := v.purge(false)[master]; p.CDRs != 1 || p.Recordings != 1 {
		t.Errorf("after the release: %+v", p)
	}
	if es := v.events("cdr.deleted", ""); len(es) != 4 || es[0].Actor != "retention" {
		t.Errorf("%d events", len(es))
	}
}

// Shows 5 for a purge, and the worker in the background: SIGKILL in the middle,
// and the next daemon finishes it. Nothing that must stay goes.
func TestPurgeSurvivesSIGKILL(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	master := v.tenant("")
	const calls = 1500
	v.store(func(s *store.Store) {
		for i := range calls {
			days := 400
			if i%10 == 0 {
				days = 5
			}
			v.putInto(s, made{id: int64(i + 1), tenant: master, recordings: 1, start: daysAgo(days)})
		}
	})
	bin := build(t)
	daemon := v.spawn(bin)
	v.token = v.newToken("", "call-logd.#")
	done := make(chan error, 1)
	go func() { done <- v.client.Do(t.Context(), "POST", "purge", map[string]bool{"dry_run": false}, nil) }()
	monitor := filepath.Join(v.cfg.Recordings.Root, master, "monitor")
	v.eventually("the purge has begun", func() error {
		if files, err := os.ReadDir(monitor); err != nil || len(files) > calls-50 {
			return errors.New("nothing is gone yet")
		}
		return nil
	})
	daemon.end(t, syscall.SIGKILL)
	if err := <-done; err == nil {
		t.Fatal("the purge was not interrupted")
	}
	v.spawn(bin)
	must(t, v.client.Do(t.Context(), "POST", "purge", map[string]bool{"dry_run": false}, nil)) // as long as it takes
	files, err := os.ReadDir(monitor)
	must(t, err)
	var out struct{ Total int }
	v.ask("GET", "/1.0/cdr?limit=1", nil).into(t, &out)
	if len(files) != calls/10 || out.Total != calls/10 {
		t.Errorf("%d files and %d CDRs are left, want %d", len(files), out.Total, calls/10)
	}
	v.query("SELECT count(*) FROM removals", nil, counted(t, 0))
	v.query("SELECT count(*) FROM events WHERE kind = 'recording.deleted'", nil, counted(t, calls*9/10))
	v.query("SELECT count(*) FROM events WHERE kind = 'cdr.deleted'", nil, counted(t, calls*9/10))
}

// Permissions that are missing (delete_media_when_file_has_wrong_permission and
// delete_media_when_file_has_wrong_permission_multi_cdr, events_when_permission_error,
// create_from_cdr_ids_when_recording_file_permissions_are_wrong,
// download_finished_when_file_has_wrong_permissions), for an ordinary user: root
// may do everything.
func TestKeepingWithoutPermission(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		if err := again(t, syscall.CLONE_NEWUSER, 1000); err != nil {
			t.Fatalf("root may write everywhere; %s: %v", needNamespaces, err)
		}
		return
	}
	v := newVault(t)
	master := v.tenant("")
	rec := v.put(made{id: 1, tenant: master, recordings: 1}, made{id: 2, tenant: master, recordings: 1})
	v.run()
	finished := v.export("", `{"cdr_ids": [2]}`)
	must(t, os.Chmod(v.path(master, rec[0][0]), 0))
	e := v.export("", `{"cdr_ids": [1]}`)
	if e.Status != "error" || e.Cause != "no_file" {
		t.Errorf("an export of what cannot be read: %+v", e)
	}
	if entries := v.entries(v.export("", `{"cdr_ids": [1, 2]}`)); !strings.Contains(string(entries["missing.json"]), "permission_denied") {
		t.Errorf("missing.json: %s", entries["missing.json"])
	}
	must(t, os.Chmod(filepath.Join(v.cfg.State.Dir, "exports", finished.UUID+".zip"), 0))
	v.ask("GET", "/1.0/exports/"+finished.UUID+"/download", nil).is(t, http.StatusInternalServerError, "export-permission-denied")

	dir := filepath.Dir(v.path(master, rec[0][0]))
	must(t, os.Chmod(dir, 0o500))
	t.Cleanup(func() { _ = os.Chmod(dir, 0o700) })
	r := v.ask("DELETE", v.media(1, rec[0][0]), nil)
	r.is(t, http.StatusInternalServerError, "recording-media-permission-denied")
	d := v.ask("DELETE", "/1.0/cdr/recordings/media", `{"cdr_ids": [1, 2]}`).is(t, http.StatusInternalServerError, "recording-media-permission-denied")
	if d["cdr_id"] != 1.0 || strings.Contains(string(r.body), dir) {
		t.Errorf("details %v, %s", d, r.body)
	}
	// Unlike upstream, nothing is lost: the recordings are what they were.
	if v.recordingsOf(1)[0].Deleted || v.recordingsOf(2)[0].Deleted {
		t.Error("the rows say deleted, and the files are there")
	}
	must(t, os.Chmod(dir, 0o700))
	v.ask("DELETE", "/1.0/cdr/recordings/media", `{"cdr_ids": [1, 2]}`).is(t, http.StatusNoContent, "")
	if es := v.events("recording.delete_failed", rec[0][0]); len(es) != 2 {
		t.Errorf("%d events about failures", len(es))
	}
	if got := v.statuses(e.UUID); got != "pending processing error" {
		t.Errorf("events %q", got)
	}
}

// Issue 5, bad input: an export while the disk fills, of which the daemon does
// not even begin, or which ends half-way. Nothing half is left, and later
// exports work.
func TestExportWhileTheDiskFills(t *testing.T) {
	t.Parallel()
	if !inPrivateMounts(t) {
		return
	}
	v := newVault(t)
	small := t.TempDir()
	must(t, syscall.Mount("tmpfs", small, "tmpfs", 0, "size=8m"))
	t.Cleanup(func() { _ = syscall.Unmount(small, syscall.MNT_DETACH) })
	v.cfg.Exports.Dir = small
	master := v.tenant("")
	rec := v.put(made{id: 1, tenant: master, recordings: 1}, made{id: 2, tenant: master, recordings: 1})
	v.run()
	// Half-way: the file has become larger than its row says.
	v.write(rec[0][0], master, wavOf(600*time.Second, 1)) // 9.6 MB
	for range 2 {
		if e := v.export("", `{"cdr_ids": [1]}`); e.Status != "error" || e.Cause != "no_space" {
			t.Errorf("%+v", e)
		}
		if left, _ := os.ReadDir(small); len(left) != 0 {
			t.Errorf("left: %v", left)
		}
	}
	if e := v.export("", `{"cdr_ids": [2]}`); e.Status != "finished" {
		t.Errorf("%+v", e)
	}
	v.stop()
	// Not even begun: so much must stay free.
	v.cfg.Exports.KeepFree = 100
	v.run()
	if e := v.export("", `{"cdr_ids": [2]}`); e.Status != "error" || e.Cause != "no_space" {
		t.Errorf("%+v", e)
	}
}

// systemd would run the same.
func (v *vault) cli(bin string, args ...string) (out, errs string, code int) {
	v.t.Helper()
	cmd := v.command(bin, args...)
	var o, e strings.Builder
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return o.String(), e.String(), exit.ExitCode()
	}
	must(v.t, err)
	return o.String(), e.String(), 0
}
