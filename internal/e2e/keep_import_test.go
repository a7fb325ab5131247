package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// An import of what was exported gives the same calls, with ids, tenants,
// participants, tags and audio; again, it changes nothing.
func TestImportOfAnExport(t *testing.T) {
	t.Parallel()
	bin := build(t)
	v := newVault(t)
	master, child := v.tenant(""), v.tenant("child")
	rec := v.put(
		made{id: 7, tenant: master, recordings: 2, from: "Ana", exten: "1001", user: userA, tags: []string{"vip", "sales"}},
		made{id: 12, tenant: child, recordings: 1, from: "Bob", direction: "inbound"}, made{id: 30, tenant: child},
	)
	v.run()
	v.ask("DELETE", v.media(7, rec[0][1]), nil).is(t, http.StatusNoContent, "")
	out, errs, code := v.cli(bin, "cdr", "export")
	if code != 0 || strings.Count(out, "\n") != 3 {
		t.Fatalf("export: %d\n%s%s", code, out, errs)
	}
	want := v.ask("GET", "/1.0/cdr?recurse=true", nil).body
	if table, _, _ := v.cli(bin, "cdr", "list"); !strings.Contains(table, "Ana") || strings.Count(table, "\n") != 4 {
		t.Errorf("cdr list:\n%s", table)
	}
	if csv, _, _ := v.cli(bin, "cdr", "list", "-o", "csv", "--search", "ana"); !strings.HasPrefix(csv, "CDR,START,") || strings.Count(csv, "\n") != 2 {
		t.Errorf("cdr list -o csv:\n%s", csv)
	}
	if show, _, _ := v.cli(bin, "cdr", "show", "7", "-o", "json"); !json.Valid([]byte(show)) || !strings.Contains(show, userA) {
		t.Errorf("cdr show:\n%s", show)
	}
	if _, errs, code := v.cli(bin, "cdr", "show", "8"); code == 0 || !strings.Contains(errs, "there is no CDR 8") {
		t.Errorf("cdr show of none: %d %s", code, errs)
	}
	lines := filepath.Join(t.TempDir(), "calls.jsonl")
	must(t, os.WriteFile(lines, []byte(out), 0o600))

	other := newVault(t)
	other.tenant("")
	other.run()
	// The other machine has another master; both tenants are made there.
	out, errs, code = other.cli(bin, "cdr", "import", lines)
	if code != 1 || strings.Count(errs, "does not exist") != 3 {
		t.Errorf("without --create-tenants: %d\n%s%s", code, out, errs)
	}
	for i, expect := range []string{`"imported": 3`, `"known": 3`} {
		out, errs, code = other.cli(bin, "cdr", "import", "--create-tenants", lines, "-o", "json")
		if code != 0 || !strings.Contains(out, expect) {
			t.Fatalf("import %d: %d\n%s%s", i+1, code, out, errs)
		}
	}
	got := other.ask("GET", "/1.0/cdr?recurse=true", nil).body
	if same := func(b []byte) string { // what is measured from the file is new
		var page any
		must(t, json.Unmarshal(b, &page))
		text, err := json.Marshal(page)
		must(t, err)
		return strings.NewReplacer(`"media_duration":1`, `"media_duration":null`).Replace(string(text))
	}; same(got) != same(want) {
		t.Errorf("imported\n%s\nwant\n%s", same(got), same(want))
	}
	media := other.ask("GET", other.media(7, rec[0][0]), nil)
	if !bytes.Equal(media.body, wavOf(time.Second, 7)) || media.header.Get("ETag") == "" {
		t.Errorf("audio: %d, %d bytes", media.status, len(media.body))
	}
	if !exists(v.path(master, rec[0][0])) {
		t.Error("the import has taken the file away")
	}
}

// What cannot be imported is told with its line; the rest is imported.
func TestImportRefuses(t *testing.T) {
	t.Parallel()
	bin := build(t)
	v := newVault(t)
	master := v.tenant("")
	v.put(made{id: 5, tenant: master, recordings: 1})
	v.run()
	secret := filepath.Join(t.TempDir(), "passwd")
	must(t, os.WriteFile(secret, []byte("root:x:0:0\n"), 0o600))
	const good = `{"start": "2020-01-01T10:00:00+01:00", "source_name": "ok"}`
	lines := []string{
		good,
		`{"start": "yesterday"}`,
		`{"id": 5, "start": "2020-01-01T10:00:00Z"}`,
		`{"start": "2020-01-01T10:00:00Z", "tenant_uuid": "acme"}`,
		`{"start": "2020-01-01T10:00:00Z", "call_direction": "sideways"}`,
		`{"start": "2020-01-01T10:00:00Z", "source_name": "a\u0000b"}`,
		`{"start": "2020-01-01T10:00:00Z", "recordings": [{"uuid": "../../etc/x"}]}`,
		`{"start": "2020-01-01T10:00:00Z", "recordings": [{"uuid": "` + userA + `", "path": "` + secret + `"}]}`,
		`{"start": "2020-01-01T10:00:00Z", "recordings": [{"uuid": "` + userB + `", "path": "/nowhere.wav"}]}`,
		`{"start": 5}`,
		`{"start"`,
		"\xff\xfe",
		`{"x": "` + strings.Repeat("y", 2<<20) + `"}`,
		"",
		strings.Replace(good, "ok", "also ok", 1),
	}
	file := filepath.Join(t.TempDir(), "bad.jsonl")
	must(t, os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600))
	out, errs, code := v.cli(bin, "cdr", "import", file)
	if fields := strings.Fields(out); code != 1 || len(fields) != 6 || fields[3] != "2" || fields[4] != "0" || fields[5] != "12" {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	for n, why := range map[int]string{
		2: "is no time", 3: "another call has the id 5", 4: "no uuid", 5: "neither internal", 6: "is no text", 7: "uuid", 8: "no WAV file",
		9: "no such file", 10: "must be a text", 11: "unexpected end", 12: "UTF-8", 13: "longer than",
	} {
		if !strings.Contains(errs, fmt.Sprintf("line %d: ", n)) || !strings.Contains(errs, why) {
			t.Errorf("line %d: not refused with %q:\n%s", n, why, errs)
		}
	}
	if files := v.files(); len(files) != 1 {
		t.Errorf("files: %v", files)
	}
}

// Asterisk's own Master.csv: users, direction and tenant come from the directory.
func TestImportOfMasterCSV(t *testing.T) {
	t.Parallel()
	bin := build(t)
	v := newVault(t)
	v.tenant("")
	v.run()
	v.populate()
	const csv = `"","1001","1002","users","""Alice A."" <1001>","PJSIP/alice-00000001","PJSIP/bob-00000002","Dial","PJSIP/bob,30","2020-06-01 12:00:00","2020-06-01 12:00:05","2020-06-01 12:01:05",65,60,"ANSWERED","DOCUMENTATION","1591012800.1",""
"","0301","1001","from-trunk","""Out"" <0301>","PJSIP/trunk-a-00000003","PJSIP/alice-00000004","Dial","x","2020-06-01 13:00:00",,"2020-06-01 13:00:20",20,0,"NO ANSWER","DOCUMENTATION"
"","1","2","3"
"","1001","0409","users","<1001>","PJSIP/alice-00000005","PJSIP/trunk-a-00000006","Dial","x","2020-06-01 14:00:00","2020-06-01 14:00:01","2020-06-01 14:00:09",9,8,"ANSWERED","DOCUMENTATION"
`
	file := filepath.Join(t.TempDir(), "Master.csv")
	must(t, os.WriteFile(file, []byte(csv), 0o600))
	for _, want := range []string{"3 0 1", "0 3 1"} {
		out, errs, code := v.cli(bin, "cdr", "import", "--timezone", "Europe/Paris", file)
		if f := strings.Fields(out); code != 1 || len(f) != 6 || strings.Join(f[3:], " ") != want || !strings.Contains(errs, "line 3: has 4 fields") {
			t.Errorf("exit code %d, want %s\n%s%s", code, want, out, errs)
		}
	}
	var got []string
	for _, c := range v.cdrs() {
		got = append(got, fmt.Sprint(c.Start, " ", c.CallDirection, " ", c.CallStatus, " ", c.SourceName, " ", c.SourceExtension, " ", c.DestinationExtension, " ",
			c.SourceUserUUID == v.users["alice"].UUID, " ", c.DestinationUserUUID == v.users["bob"].UUID, " ", c.ConversationID))
	}
	want := []string{
		"2020-06-01T10:00:00+00:00 internal answered Alice A. 1001 1002 true true 1591012800.1",
		"2020-06-01T11:00:00+00:00 inbound unknown Out 0301 1001 false false ",
		"2020-06-01T12:00:00+00:00 outbound answered  1001 0409 true false ",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Shows 5 for an import: SIGKILL in the middle, and the same command again makes
// it complete.
func TestImportSurvivesSIGKILL(t *testing.T) {
	t.Parallel()
	bin := build(t)
	v := newVault(t)
	master := v.tenant("")
	daemon := v.spawn(bin)
	v.token = v.newToken("", "call-logd.#")
	const calls, recorded = 6000, 200
	var lines bytes.Buffer
	src := t.TempDir()
	for n := range calls {
		recordings := ""
		if n%(calls/recorded) == 0 {
			path := filepath.Join(src, fmt.Sprint(n, ".wav"))
			must(t, os.WriteFile(path, wavOf(time.Second, byte(n)), 0o600))
			recordings = fmt.Sprintf(`, "recordings": [{"uuid": "60000000-0000-4000-8000-%012d", "path": %q}]`, n, path)
		}
		fmt.Fprintf(&lines, `{"start": "2020-01-01T10:00:00Z", "source_name": "caller %d"%s}`+"\n", n, recordings)
	}
	file := filepath.Join(src, "calls.jsonl")
	must(t, os.WriteFile(file, lines.Bytes(), 0o600))
	type result struct {
		errs string
		code int
	}
	ended := make(chan result, 1)
	go func() { _, errs, code := v.cli(bin, "cdr", "import", file); ended <- result{errs, code} }()
	monitor := filepath.Join(v.cfg.Recordings.Root, master, "monitor")
	v.eventually("the import has begun", func() error {
		if files, _ := os.ReadDir(monitor); len(files) < 100 {
			return fmt.Errorf("%d files", len(files))
		}
		return nil
	})
	daemon.end(t, syscall.SIGKILL)
	if r := <-ended; r.code == 0 || !strings.Contains(r.errs, "run it again") {
		t.Fatalf("the import was not interrupted: %+v", r)
	}
	v.spawn(bin)
	var page struct{ Total, Filtered int }
	v.ask("GET", "/1.0/cdr?limit=1", nil).into(t, &page)
	if page.Total == 0 || page.Total == calls {
		t.Fatalf("%d calls are there: it was killed before or after the import, not in it", page.Total)
	}
	if out, errs, code := v.cli(bin, "cdr", "import", file); code != 0 {
		t.Errorf("again: %d\n%s%s", code, out, errs)
	}
	v.query("SELECT count(*) FROM cdrs", nil, counted(t, calls))
	for query, want := range map[string]int{"": calls, "&search=caller": calls, "&search=caller+5999": 1, "&recorded=true": recorded} {
		if v.ask("GET", "/1.0/cdr?limit=1"+query, nil).into(t, &page); page.Total != calls || page.Filtered != want {
			t.Errorf("%s: %+v, want %d", query, page, want)
		}
	}
	v.query("SELECT count(*) FROM recordings WHERE state = 'ready' AND cdr_id IS NOT NULL AND sha256 <> ''", nil, counted(t, recorded))
	files, err := os.ReadDir(monitor)
	must(t, err)
	if len(files) != recorded {
		t.Errorf("%d files, want %d", len(files), recorded)
	}
}

// The command of the weekly timer, by name and for the week before.
func TestExportCommand(t *testing.T) {
	t.Parallel()
	bin := build(t)
	v := newVault(t)
	v.tenant("")
	acme := v.tenant("acme")
	now := time.Now()
	monday := time.Date(now.Year(), now.Month(), now.Day()-(int(now.Weekday())+6)%7, 0, 0, 0, 0, now.Location())
	at := func(d time.Duration) string { return monday.Add(d).UTC().Format(time.RFC3339) }
	v.put(
		made{id: 1, tenant: acme, recordings: 1, start: at(-8 * 24 * time.Hour)}, made{id: 2, tenant: acme, recordings: 1, start: at(-6 * 24 * time.Hour)},
		made{id: 3, tenant: acme, recordings: 1, start: at(-time.Minute)}, made{id: 4, tenant: acme, recordings: 1, start: at(time.Minute)},
	)
	v.run()
	out, errs, code := v.cli(bin, "export", "--tenant", "Acme", "--last-week", "--email", "a@example.com", "-o", "json")
	var s struct{ Status, Path, TenantUUID string }
	must(t, json.Unmarshal([]byte(out), &s))
	data, err := os.ReadFile(s.Path)
	if code != 0 || err != nil {
		t.Fatalf("%d, %v\n%s%s", code, err, out, errs)
	}
	if got := cdrsIn(t, unzip(t, data)); got != "2 3" {
		t.Errorf("CDRs %s of the week before", got)
	}
	v.eventually("the mail has come", func() error {
		if n := len(v.mail.letters()); n != 1 {
			return fmt.Errorf("%d mails", n)
		}
		return nil
	})
	for _, args := range [][]string{{"export", "--tenant", "nobody"}, {"export", "--from", "soon"}, {"export", "--email", "x"}, {"export", "--until", "1999-01-01"}} {
		if out, errs, code := v.cli(bin, args...); code == 0 || errs == "" {
			t.Errorf("%v: %d %s%s", args, code, out, errs)
		}
	}
	if out, errs, code := v.cli(bin, "retention", "set", "acme", "--cdr-days", "90", "--recording-days", "30"); code != 0 || !strings.Contains(out, "90") {
		t.Errorf("retention set: %d %s%s", code, out, errs)
	}
	if out, _, _ := v.cli(bin, "retention", "show"); !strings.Contains(out, "2 (default)") || !strings.Contains(out, "30") {
		t.Errorf("retention show:\n%s", out)
	}
	if _, errs, code := v.cli(bin, "cdr", "hold", "3", "--reason", "court"); code != 0 {
		t.Errorf("hold: %s", errs)
	}
	if out, _, code := v.cli(bin, "retention", "purge", "--dry-run"); code != 0 || !strings.Contains(out, "HELD") {
		t.Errorf("purge: %s", out)
	}
	v.ask("DELETE", "/1.0/cdr/recordings/media", `{"cdr_ids": [3]}`, "Wazo-Tenant", acme).is(t, http.StatusConflict, "cdr-held")
	if _, errs, code := v.cli(bin, "cdr", "release", "3"); code != 0 {
		t.Errorf("release: %s", errs)
	}
	v.ask("DELETE", "/1.0/cdr/recordings/media", `{"cdr_ids": [3]}`, "Wazo-Tenant", acme).is(t, http.StatusNoContent, "")
}
