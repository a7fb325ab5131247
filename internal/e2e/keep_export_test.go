package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"callrecordd/config"
	"callrecordd/internal/export"
	"callrecordd/store"
)

const (
	userA = "11111111-1111-4111-8111-111111111111"
	userB = "22222222-2222-4222-8222-222222222222"
	userC = "33333333-3333-4333-8333-333333333333"
)

// refused asks for an export that is not made.
func (v *vault) refused(query string, body any, id string) map[string]any {
	v.t.Helper()
	return v.ask("POST", "/1.0/cdr/recordings/media/export"+query, body).is(v.t, http.StatusBadRequest, id)
}

// The entries of cdr-api 12 about the exports themselves, under upstream's names.
func TestExportAPI(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	master, child, other := v.tenant(""), v.tenant("child"), v.tenant("other")
	v.put(made{id: 1, tenant: child, recordings: 1})
	at := time.Date(2021, 5, 25, 15, 0, 0, 0, time.UTC)
	v.store(func(s *store.Store) {
		for i, status := range []export.Status{export.Finished, export.Failed} {
			must(t, s.CreateExport(t.Context(), export.Export{
				UUID: fmt.Sprintf("50000000-0000-4000-8000-00000000000%d", i), TenantUUID: child, UserUUID: userA,
				RequestedAt: at, Status: status,
			}))
		}
	})
	const finished, failed = "/1.0/exports/50000000-0000-4000-8000-000000000000", "/1.0/exports/50000000-0000-4000-8000-000000000001"
	archive := filepath.Join(v.cfg.State.Dir, "exports", "50000000-0000-4000-8000-000000000000.zip")
	v.run()
	must(t, os.WriteFile(archive, []byte("zip"), 0o600))

	t.Run("get_multitenant", func(t *testing.T) {
		v.ask("GET", finished, nil, "Wazo-Tenant", other).is(t, http.StatusNotFound, "export-not-found-with-given-uuid")
		var e exported
		v.ask("GET", finished, nil).into(t, &e)
		if e.TenantUUID != child || e.UserUUID != userA || e.RequestedAt != "2021-05-25T15:00:00+00:00" || e.Status != "finished" ||
			e.Filename != "2021-05-25T15_00_00UTC-"+e.UUID+".zip" {
			t.Errorf("%+v", e)
		}
	})
	t.Run("download_finished", func(t *testing.T) {
		r := v.ask("GET", finished+"/download", nil, "Wazo-Tenant", child)
		if string(r.body) != "zip" || r.header.Get("Content-Type") != "application/zip" ||
			r.header.Get("Content-Disposition") != "attachment; filename=2021-05-25T15_00_00UTC-50000000-0000-4000-8000-000000000000.zip" {
			t.Errorf("%d %v %s", r.status, r.header, r.body)
		}
		r = v.ask("GET", finished+"/download", nil, "Wazo-Tenant", child, "Range", "bytes=1-")
		if r.status != http.StatusPartialContent || string(r.body) != "ip" {
			t.Errorf("a part: %d %s", r.status, r.body)
		}
		v.ask("GET", finished+"/download", nil, "Wazo-Tenant", child, "Range", "bytes=9-").is(t, http.StatusRequestedRangeNotSatisfiable, "")
	})
	t.Run("download_when_token_tenant_in_query_string", func(t *testing.T) {
		r := v.ask("GET", finished+"/download?tenant="+child+"&token="+v.token, nil, "X-Auth-Token", "")
		if string(r.body) != "zip" {
			t.Errorf("%d %s", r.status, r.body)
		}
		v.ask("GET", finished+"/download?tenant="+other+"&token="+v.token, nil, "X-Auth-Token", "").
			is(t, http.StatusNotFound, "export-not-found-with-given-uuid")
		v.ask("GET", finished+"/download?tenant="+userA+"&token="+v.token, nil, "X-Auth-Token", "").is(t, http.StatusUnauthorized, "unauthorized-tenant")
		// Not recursive: the tenant above must name the tenant.
		v.ask("GET", finished+"/download", nil).is(t, http.StatusNotFound, "export-not-found-with-given-uuid")
		_ = master
	})
	t.Run("download_failed", func(t *testing.T) { // as upstream: it has no file
		v.ask("GET", failed+"/download", nil, "Wazo-Tenant", child).is(t, http.StatusNotFound, "export-not-found-with-given-uuid")
	})
	t.Run("download_finished_when_file_deleted_on_filesystem", func(t *testing.T) {
		must(t, os.Remove(archive))
		r := v.ask("GET", finished+"/download", nil, "Wazo-Tenant", child)
		r.is(t, http.StatusInternalServerError, "export-filesystem-not-found")
		if strings.Contains(string(r.body), v.cfg.State.Dir) {
			t.Errorf("the answer tells a path: %s", r.body)
		}
		must(t, syscall.Mkfifo(archive, 0o600))
		v.ask("GET", finished+"/download", nil, "Wazo-Tenant", child).is(t, http.StatusInternalServerError, "export-filesystem-not-found")
	})
	t.Run("no such export", func(t *testing.T) {
		v.ask("GET", "/1.0/exports/"+userA, nil).is(t, http.StatusNotFound, "export-not-found-with-given-uuid")
		v.ask("GET", "/1.0/exports/none", nil).is(t, http.StatusNotFound, "")
	})
}

// download_pending and download_processing: no worker has come to it yet.
func TestExportThatIsNotDone(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	master := v.tenant("")
	v.run()
	uuid := "50000000-0000-4000-8000-000000000000"
	v.stop()
	// The tests' own export has no items and stays until a worker looks for work.
	v.store(func(s *store.Store) {
		must(t, s.CreateExport(t.Context(), export.Export{
			UUID: uuid, TenantUUID: master, UserUUID: userA, RequestedAt: time.Now(), Status: export.Processing,
		}))
		if list, err := s.Exports(t.Context(), export.Filter{Open: true}); err != nil || len(list) != 1 {
			t.Fatalf("%v %v", list, err)
		}
	})
	v.run()
	if e := v.ended(uuid); e.Status != "error" || e.Cause != "no_file" {
		t.Errorf("an export of nothing: %+v", e)
	}
}

// The entries of cdr-api 12 about making archives, under upstream's names.
func TestRecordingMediaExport(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	master, child, deep := v.tenant(""), v.tenant("child"), v.tenant("deep")
	rec := v.put(
		made{id: 1, tenant: master, recordings: 1, start: "2021-05-20T15:00:00Z", direction: "inbound", from: "Alicia", exten: "345", user: userA, tags: []string{"sales", "vip"}},
		made{id: 2, tenant: master, recordings: 1, start: "2021-05-21T15:00:00Z", direction: "internal", from: "Bob", exten: "45", user: userB, tags: []string{"sales"}},
		made{id: 3, tenant: master, recordings: 1, start: "2021-05-22T15:00:00Z", direction: "internal", from: "Çelik", exten: "12345", user: userB},
		made{id: 4, tenant: child, recordings: 1, start: "2021-05-23T15:00:00Z"}, made{id: 5, tenant: deep, recordings: 1},
		made{id: 6, tenant: master, start: "2020-01-01T00:00:00Z"},
		made{id: 7, tenant: child, recordings: 2, noFile: true, start: "2019-01-01T00:00:00Z"},
	)
	v.run()
	same := func(query string, body any, want string) {
		t.Helper()
		if got := cdrsIn(t, v.entries(v.export(query, body))); got != want {
			t.Errorf("%s %v: CDRs %q, want %q", query, body, got, want)
		}
	}
	t.Run("given_wrong_params_then_400", func(t *testing.T) {
		for _, x := range []string{"from", "until", "call_direction", "email", "from_id", "recurse"} {
			if d := v.refused("?"+x+"=wrong", `{}`, "invalid-data"); d[x] == nil {
				t.Errorf("%s: details %v", x, d)
			}
		}
		for _, q := range []string{"?email=a%40b%0d%0aBcc:c%40d", "?email=A+%3Ca%40b.example%3E", "?number=1_2", "?tags=", "?from_id=-1", "?user_uuid="} {
			v.refused(q, `{}`, "invalid-data")
		}
		v.refused("", nil, "")
		v.refused("", `{"cdr_ids": [1, "x"]}`, "invalid-data")
	})
	t.Run("create_when_no_params", func(t *testing.T) {
		e := v.export("", `{}`)
		entries := v.entries(e)
		if got := cdrsIn(t, entries); got != "1 2 3" || e.Files != 3 || e.TenantUUID != master {
			t.Errorf("CDRs %q, %+v", got, e)
		}
		name := "1/2021-05-20T15_00_00UTC-1-" + rec[0][0] + ".wav"
		if !slices.Equal(entries[name], wavOf(time.Second, 1)) {
			t.Errorf("%s is not what was recorded", name)
		}
	})
	t.Run("create_from_cdr_ids", func(t *testing.T) { same("", `{"cdr_ids": [1, 3, 999]}`, "1 3") })
	t.Run("create_from_cdr_ids_when_no_recording", func(t *testing.T) {
		v.refused("", `{"cdr_ids": [6]}`, "no-recording-to-export")
		v.refused("", `{"cdr_ids": [4]}`, "no-recording-to-export") // of another tenant
		v.refused("", `{"cdr_ids": []}`, "no-recording-to-export")  // design 7: nothing, not everything
	})
	t.Run("create_from_cdr_ids_when_recording_file_does_not_exist", func(t *testing.T) {
		e := v.export("?recurse=true", `{"cdr_ids": [7]}`) // not one file could be read
		if e.Status != "error" || e.Cause != "no_file" || e.Missing != 2 {
			t.Errorf("%+v", e)
		}
		v.ask("GET", "/1.0/exports/"+e.UUID+"/download", nil).is(t, http.StatusNotFound, "export-not-found-with-given-uuid")
		if left, _ := filepath.Glob(filepath.Join(v.cfg.State.Dir, "exports", e.UUID+"*")); left != nil {
			t.Errorf("left on the disk: %v", left)
		}
		// Design 7: an export does not fail whole.
		e = v.export("?recurse=true", `{"cdr_ids": [4, 7]}`)
		entries := v.entries(e)
		missing := string(entries["missing.json"])
		delete(entries, "missing.json")
		if e.Status != "finished" || e.Missing != 2 || cdrsIn(t, entries) != "4" || !strings.Contains(missing, rec[6][1]) ||
			!strings.Contains(missing, `"cause": "not_found"`) {
			t.Errorf("%+v, missing.json %s", e, missing)
		}
	})
	t.Run("create_from_cdr_ids_when_previous_export_failure", func(t *testing.T) {
		for _, uuid := range rec[6] {
			v.write(uuid, child, wavOf(time.Second, 7))
		}
		same("?recurse=true", `{"cdr_ids": [7]}`, "7 7")
	})
	t.Run("create_from_time_range", func(t *testing.T) {
		same("?from=2021-05-21T00:00:00&until=2021-05-22T15:00:00", `{}`, "2")
		same("?from=2021-05-21&to=2021-05-23", `{}`, "2 3")
		// What the published weekly script sends, through upstream's client.
		same("?tenant_uuid="+master+"&email=a%40example.com&from=2021-05-21T00%3A00%3A00&to=2021-05-22T00%3A00%3A00", `{}`, "2")
		same("?from=2021-05-21T10%3A00%3A00-0500&until=2021-05-23T00%3A00%3A00-0500&recurse=false", `{}`, "2 3")
	})
	t.Run("create_using_from_id_param", func(t *testing.T) { same("?from_id=2", `{}`, "2 3") })
	t.Run("create_from_call_direction_param", func(t *testing.T) {
		same("?call_direction=inbound", `{}`, "1")
		same("?call_direction=internal", `{}`, "2 3")
		v.refused("?call_direction=outbound", `{}`, "no-recording-to-export")
	})
	t.Run("create_from_user_uuid", func(t *testing.T) {
		same("?user_uuid="+userA+","+userB, `{}`, "1 2 3")
		same("?user_uuid="+userB, `{}`, "2 3")
		v.refused("?user_uuid="+userC, `{}`, "no-recording-to-export")
	})
	t.Run("create_from_tags", func(t *testing.T) {
		same("?tags=sales", `{}`, "1 2")
		same("?tags=sales,vip", `{}`, "1")
	})
	t.Run("create_from_search", func(t *testing.T) {
		same("?search=alic", `{}`, "1")
		same("?search="+url.QueryEscape("2021-05-21T15_00_00UTC-2-"+rec[1][0]+".wav"), `{}`, "2")
		for _, text := range []string{"%", "_", `"`, "OR 1=1", "*"} {
			v.refused("?search="+url.QueryEscape(text), `{}`, "no-recording-to-export")
		}
		for _, text := range []string{"a\x00b", strings.Repeat("x", 10_000)} {
			v.refused("?search="+url.QueryEscape(text), `{}`, "invalid-data")
		}
	})
	t.Run("create_from_number", func(t *testing.T) {
		same("?number=_45", `{}`, "1 2 3")
		same("?number=45", `{}`, "2")
		same("?number=_23_", `{}`, "3")
		same("?number=3_", `{}`, "1")
		v.refused("?number=99", `{}`, "no-recording-to-export")
	})
	t.Run("create_when_recurse", func(t *testing.T) {
		same("?recurse=true&from=2021-05-20", `{}`, "1 2 3 4 5")
		same("?recurse=false", `{}`, "1 2 3")
	})
	t.Run("what is in a file's place is none", func(t *testing.T) {
		outside := filepath.Join(t.TempDir(), "secret")
		must(t, os.WriteFile(outside, []byte("secret"), 0o600))
		for i, replace := range []func(string) error{
			func(p string) error { return os.Symlink(outside, p) },
			func(p string) error { return syscall.Mkfifo(p, 0o600) },
			func(p string) error { return os.Mkdir(p, 0o700) },
		} {
			path := v.path(master, rec[i][0])
			must(t, os.Rename(path, path+".aside"))
			must(t, replace(path))
		}
		e := v.export("?recurse=true", `{"cdr_ids": [1, 2, 3, 4]}`)
		entries := v.entries(e)
		if missing := string(entries["missing.json"]); strings.Count(missing, `"not_a_file"`) != 3 || e.Files != 1 {
			t.Errorf("%+v %s", e, missing)
		}
		for i := range 3 {
			path := v.path(master, rec[i][0])
			must(t, os.Remove(path))
			must(t, os.Rename(path+".aside", path))
		}
	})
	t.Run("one file that takes two readings, and an empty one", func(t *testing.T) {
		long := wavOf(400*time.Second, 3) // 6.4 MB
		v.write(rec[0][0], master, long)
		v.write(rec[1][0], master, nil)
		entries := v.entries(v.export("", `{"cdr_ids": [1, 2]}`))
		for name, data := range entries {
			if want := map[bool][]byte{true: long, false: nil}[name[0] == '1']; !slices.Equal(data, want) {
				t.Errorf("%s has %d bytes", name, len(data))
			}
		}
	})
	t.Run("events", func(t *testing.T) { // events_when_success, events_when_file_does_not_exist: in the event table
		e := v.export("", `{"cdr_ids": [1]}`)
		must(t, os.Remove(v.path(master, rec[0][0])))
		broken := v.export("", `{"cdr_ids": [1]}`)
		for uuid, want := range map[string]string{e.UUID: "pending processing finished", broken.UUID: "pending processing error"} {
			if got := v.statuses(uuid); got != want {
				t.Errorf("events %q, want %q", got, want)
			}
		}
	})
}

// email_workflow and email_workflow_from_subtenant: the link needs no other
// token, opens this one export and no other, and ends.
func TestExportMail(t *testing.T) {
	t.Parallel()
	v := newVault(t, func(c *config.Config) { c.Mail.Subject = "Export {{export_uuid}} is ready" })
	v.tenant("")
	child := v.tenant("child")
	v.put(made{id: 1, tenant: child, recordings: 1}, made{id: 2, tenant: child, recordings: 1, noFile: true})
	v.run()
	v.token = v.newToken(child, "call-logd.#")
	other := v.export("", `{}`)
	e := v.export("?email=carol%40example.com", `{}`)
	v.eventually("the mail has come", func() error {
		if n := len(v.mail.letters()); n != 1 {
			return fmt.Errorf("%d mails", n)
		}
		return nil
	})
	mail := v.mail.letters()[0]
	for _, want := range []string{"Subject: Export " + e.UUID + " is ready\r\n", "From: \"Wazo\" <no-reply@wazo.community>\r\n", "To: <carol@example.com>\r\n", "1 recordings could not be added"} {
		if !strings.Contains(mail.data, want) {
			t.Errorf("no %q in the mail:\n%s", want, mail.data)
		}
	}
	if mail.to != "carol@example.com" || mail.from != "no-reply@wazo.community" {
		t.Errorf("from %s to %s", mail.from, mail.to)
	}
	link := v.linkIn(mail.data)
	if link.Scheme != "https" || link.Host != v.address() || link.Query().Get("tenant") != child {
		t.Errorf("link %s", link)
	}
	link.Scheme = "http" // as upstream's test does: its nginx is not here either
	r := v.ask("GET", link.String(), nil, "X-Auth-Token", "")
	if entries := unzip(t, r.body); len(entries) != 2 {
		t.Errorf("%d entries", len(entries))
	}
	secret := link.Query().Get("token")
	for _, path := range []string{
		"/1.0/exports/" + other.UUID + "/download?token=" + secret, "/1.0/exports/" + e.UUID + "?token=" + secret, "/1.0/cdr?token=" + secret,
	} {
		if got := v.ask("GET", path, nil, "X-Auth-Token", secret); got.status != http.StatusUnauthorized {
			t.Errorf("%s with the link's token: %d", path, got.status)
		}
	}
	// A failure is mailed, too, and without a link.
	v.export("?email=dave%40example.com", `{"cdr_ids": [2]}`)
	v.eventually("the mail about the failure has come", func() error {
		if n := len(v.mail.letters()); n != 2 {
			return fmt.Errorf("%d mails", n)
		}
		return nil
	})
	if text := v.mail.letters()[1].data; !strings.Contains(text, "Subject: Your export has failed") || !strings.Contains(text, "no file could be read") ||
		strings.Contains(text, "token=") {
		t.Errorf("mail about a failure:\n%s", text)
	}
}

// A mail that is refused for good changes nothing about the export, and one
// that is refused for now is sent again by the next start, or in a minute.
func TestMailThatIsRefused(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	v.put(made{id: 1, tenant: v.tenant(""), recordings: 1})
	v.mail.refuse, v.mail.err = 1, &smtp.SMTPError{Code: 550, Message: "no such user"}
	v.run()
	e := v.export("?email=nobody%40example.com", `{}`)
	v.eventually("the mail is given up", func() error {
		var all []struct{ UUID, Mail, Status string }
		v.do("GET", "exports", nil, &all)
		if all[0].Mail != "failed" || all[0].Status != "finished" || all[0].UUID != e.UUID {
			return fmt.Errorf("%+v", all)
		}
		return nil
	})
	if !strings.Contains(v.log(), "no such user") {
		t.Error("the log does not say why")
	}
}

// Shows 5 for an export: after SIGKILL in the middle of it, the next start makes
// it anew, and nothing half is left.
func TestExportSurvivesSIGKILL(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	master := v.tenant("")
	const files = 300
	list := make([]made, files)
	for i := range list {
		list[i] = made{id: int64(i + 1), tenant: master, recordings: 1}
	}
	rec := v.put(list...)
	for i, own := range rec {
		v.write(own[0], master, wavOf(30*time.Second, byte(i))) // 140 MB in all
	}
	bin := build(t)
	daemon := v.spawn(bin)
	v.token = v.newToken("", "call-logd.#")
	v.ask("POST", "/1.0/cdr/recordings/media/export?email=a%40example.com", `{}`).is(t, http.StatusAccepted, "")
	halves := filepath.Join(v.cfg.State.Dir, "exports", "*.zip.tmp")
	v.eventually("the archive has begun", func() error {
		found, err := filepath.Glob(halves)
		if err != nil || len(found) == 0 {
			return errors.New("no half archive")
		}
		if info, err := os.Stat(found[0]); err != nil || info.Size() < 10<<20 {
			return errors.New("it has hardly begun")
		}
		return nil
	})
	daemon.end(t, syscall.SIGKILL)
	found, _ := filepath.Glob(halves)
	if len(found) != 1 {
		t.Fatalf("the export was not interrupted: %v", found)
	}
	v.spawn(bin)
	uuid := strings.TrimSuffix(filepath.Base(found[0]), ".zip.tmp")
	e := v.ended(uuid)
	if entries := v.entries(e); e.Status != "finished" || e.Files != files || len(entries) != files {
		t.Errorf("%+v, %d entries", e, len(entries))
	}
	if left, _ := filepath.Glob(halves); left != nil {
		t.Errorf("left: %v", left)
	}
	v.eventually("one mail has come", func() error {
		if n := len(v.mail.letters()); n != 1 {
			return fmt.Errorf("%d mails", n)
		}
		return nil
	})
}

// TestExportsAreNoReasonNotToRecord: a text of mails that is missing, or a
// directory of exports that cannot be made, kept the daemon from starting.
func TestExportsAreNoReasonNotToRecord(t *testing.T) {
	t.Parallel()
	v := newVault(t, func(c *config.Config) {
		c.Mail.BodyFile = "/nowhere/text"
		c.Exports.Dir = "/dev/null/exports"
	})
	v.open()
	v.eventually("the fault is in the log", func() error {
		data, err := os.ReadFile(v.logs.Name())
		if err == nil && !strings.Contains(string(data), "built-in texts") {
			err = errors.New("it is not")
		}
		return err
	})
}
