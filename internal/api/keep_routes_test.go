package api

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"callrecordd/internal/export"
	"callrecordd/internal/recorder"
	"callrecordd/internal/retention"
)

// is checks a success: every answer is compared with the description besides.
func (w *world) is(r reply, status int, body string) {
	w.t.Helper()
	if r.status != status || strings.TrimSpace(r.body) != body {
		w.t.Errorf("got %d %s, want %d %s", r.status, r.body, status, body)
	}
}

func TestRemoval(t *testing.T) {
	w := newWorld(t)
	media := w.recorded("ready", "")
	const many = "/1.0/cdr/recordings/media"
	w.is(w.do("DELETE", media), 204, "")
	w.is(w.send("DELETE", many, `{"cdr_ids": [7, "8", 7]}`), 204, "")
	if !slices.Equal(w.keep.removed, []string{rec1, rec1}) {
		t.Errorf("removed %v", w.keep.removed)
	}
	for _, c := range []struct {
		err    error
		status int
		id     string
	}{
		{retention.ErrNotFound, 404, "recording-not-found"},
		{retention.ErrNotFinal, 409, "recording-not-ended"},
		{&retention.HeldError{CDRID: 7, Reason: "court"}, 409, "cdr-held"},
		{fmt.Errorf("%w: %w", retention.ErrFile, fs.ErrPermission), 500, "recording-media-permission-denied"},
		{fmt.Errorf("%w: %w", retention.ErrFile, errors.New("/secret/path")), 500, "recording-media-not-removed"},
	} {
		w.keep.failure = c.err
		for _, r := range []reply{w.do("DELETE", media), w.send("DELETE", many, `{"cdr_ids": [7]}`)} {
			if w.fails(r, c.status, c.id); strings.Contains(r.body, "secret") || strings.Contains(r.body, "court") {
				t.Errorf("tells a path, or a reason that may be another tenant's: %s", r.body)
			}
		}
	}
	// All are looked at before anything is touched.
	w.keep.failure, w.keep.removed = nil, nil
	w.keep.holds[8] = retention.Hold{CDRID: 8, Reason: "court"}
	w.fails(w.send("DELETE", many, `{"cdr_ids": [7, 8]}`), 409, "cdr-held")
	w.fails(w.send("DELETE", many, `{"cdr_ids": [7, 9]}`), 404, "cdr-not-found-with-given-id")
	w.fails(w.send("DELETE", many, `{"cdr_ids": [7, 8]}`, "X-Auth-Token", "child"), 404, "cdr-not-found-with-given-id")
	for body, details := range map[string]string{
		`{}`:                         `map[cdr_ids:map[constraint:required constraint_id:required message:Missing data for required field.]]`,
		`{"cdr_ids": null}`:          `map[cdr_ids:map[constraint:not_null constraint_id:not_null message:Field may not be null.]]`,
		`{"cdr_ids": [7, "x", 1.5]}`: `map[cdr_ids:map[1:map[constraint:integer constraint_id:type message:Not a valid integer.] 2:map[constraint:integer constraint_id:type message:Not a valid integer.]]]`,
		`[7]`:                        `map[_schema:[Invalid input type.]]`,
	} {
		if got := w.fails(w.send("DELETE", many, body), 400, "invalid-data"); fmt.Sprint(got) != details {
			t.Errorf("%s: %v", body, got)
		}
	}
	for _, body := range []string{"", "{", "\xff"} {
		w.is(w.send("DELETE", many, body), 400, `{"message":"The browser (or proxy) sent a request that this server could not understand."}`)
	}
	w.is(w.send("DELETE", many, `{"cdr_ids": [7`+strings.Repeat(" ", maxBody)+"]}"), 413,
		`{"message":"The data value transmitted exceeds the capacity limit."}`)
	if len(w.keep.removed) != 0 {
		t.Errorf("removed %v", w.keep.removed)
	}
}

func TestExportRoutes(t *testing.T) {
	w := newWorld(t)
	w.recorded("ready", "")
	const path = "/1.0/cdr/recordings/media/export"
	for _, prefix := range prefixes() {
		r := w.send("POST", prefix+path+"?recurse=1&from=2026-01-01&to=2026-12-01&number=_10&tags=b,a&limit=x&order=no&email=a%40b.example", "{}",
			"Host", "pbx.example")
		w.is(r, 202, `{"uuid":"`+rec2+`"}`)
		if got := r.header.Get("Location"); got != prefix+"/1.0/exports/"+rec2 {
			t.Errorf("Location %s", got)
		}
		if w.keep.asked.Link != strings.Replace(w.url, "http:", "https:", 1)+prefix || w.keep.asked.Email != "a@b.example" || w.keep.asked.TenantUUID != master {
			t.Errorf("%+v", w.keep.asked)
		}
		want := Query{
			Tenants: []string{master, child}, From: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Until: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC),
			Number: "_10", Tags: []string{"a", "b"},
		}
		if !reflect.DeepEqual(w.keep.query, want) {
			t.Errorf("%+v", w.keep.query)
		}
	}
	// Both the ids and the file's name must fit.
	file := path + "?recurse=1&search=2026-11-23T09_00_00UTC-7-" + rec1 + ".wav"
	w.is(w.send("POST", file, `{"cdr_ids": null}`), 202, `{"uuid":"`+rec2+`"}`)
	w.fails(w.send("POST", file, `{"cdr_ids": []}`), 400, "no-recording-to-export")
	w.is(w.send("POST", file, `{"cdr_ids": [8, 7]}`), 202, `{"uuid":"`+rec2+`"}`)
	w.fails(w.send("POST", file, `{"cdr_ids": [8]}`), 400, "no-recording-to-export")
	w.fails(w.send("POST", path, "{}"), 400, "no-recording-to-export") // the master has none
	w.is(w.send("POST", path, ""), 400, `{"message":"The browser (or proxy) sent a request that this server could not understand."}`)
	details := w.fails(w.send("POST", path+"?email=a%0d%0ab%40c&from=x&user_uuid=u", "{}"), 400, "invalid-data")
	if len(details) != 3 {
		t.Errorf("details %v", details)
	}
}

func TestDownloadOfAnExport(t *testing.T) {
	w := newWorld(t)
	e := export.Export{
		UUID: rec2, TenantUUID: child, UserUUID: "u", RequestedAt: w.now, Status: export.Pending, Files: 1, Bytes: 9,
	}
	path := "/1.0/exports/" + rec2
	put := func(status export.Status) {
		e.Status = status
		w.keep.exports = []export.Export{e}
	}
	put(export.Pending)
	w.is(w.get(path), 200, `{"uuid":"`+rec2+`","tenant_uuid":"`+child+`","user_uuid":"u","requested_at":"2026-11-23T10:00:00.250000+00:00",`+
		`"filename":"2026-11-23T10_00_00UTC-`+rec2+`.zip","status":"pending","cause":null,"files":1,"bytes":9,"missing":0}`)
	w.fails(w.get(path+"/download?tenant="+child), 202, "export-not-done-yet")
	w.fails(w.get(path+"/download"), 404, "export-not-found-with-given-uuid") // of exactly the tenant
	w.fails(w.get("/1.0/exports/"+rec1), 404, "export-not-found-with-given-uuid")
	put(export.Failed)
	w.fails(w.get(path+"/download?tenant="+child), 404, "export-not-found-with-given-uuid")
	put(export.Finished)
	w.fails(w.get(path+"/download?tenant="+child), 500, "export-filesystem-not-found")
	if err := os.WriteFile(filepath.Join(w.keep.dir, rec2+".zip"), []byte("PK0123456"), 0o600); err != nil {
		t.Fatal(err)
	}
	path += "/download?tenant=" + child
	r := w.get(path+"&token=all", "X-Auth-Token", "", "Accept", "application/zip")
	w.is(r, 200, "PK0123456")
	if r.header.Get("Content-Type") != "application/zip" || r.header.Get("Content-Disposition") != "attachment; filename="+e.Filename() {
		t.Errorf("%v", r.header)
	}
	w.is(w.get(path, "Range", "bytes=2-4"), 206, "012")
	w.is(w.get(path, "If-None-Match", r.header.Get("ETag")), 304, "")
	w.is(w.get(path, "Range", "bytes=9-"), 416, `{"message":"The requested range cannot be satisfied."}`)
	if r := w.do(http.MethodHead, path); r.status != 200 || r.header.Get("Content-Length") != "9" {
		t.Errorf("HEAD: %d %v", r.status, r.header)
	}
}

func TestHoldAndRetention(t *testing.T) {
	w := newWorld(t)
	w.recorded(recorder.Ready, "")
	const hold, days = "/1.0/cdr/7/hold", "/1.0/retention"
	w.fails(w.get(hold), 404, "cdr-not-held")
	w.fails(w.do("DELETE", hold), 404, "cdr-not-held")
	w.fails(w.send("PUT", hold, `{"reason": " "}`), 400, "invalid-data")
	w.fails(w.send("PUT", "/1.0/cdr/9/hold", `{"reason": "x"}`), 404, "cdr-not-found-with-given-id")
	w.fails(w.send("PUT", "/1.0/cdr/8/hold", `{"reason": "x"}`, "X-Auth-Token", "child"), 404, "cdr-not-found-with-given-id")
	w.is(w.send("PUT", hold, `{"reason": "court"}`), 204, "")
	w.is(w.get(hold), 200, `{"cdr_id":7,"reason":"court","by":"token:","at":null}`)
	w.is(w.do("DELETE", hold), 204, "")

	const defaults = `"default_cdr_days":365,"default_export_days":2,"default_recording_days":365}`
	w.is(w.get(days), 200, `{"tenant_uuid":"`+master+`","cdr_days":null,"export_days":null,"recording_days":null,`+defaults)
	w.is(w.send("PUT", days, `{"cdr_days": "90", "recording_days": 30}`, "Wazo-Tenant", child), 204, "")
	w.is(w.get(days, "Wazo-Tenant", child), 200, `{"tenant_uuid":"`+child+`","cdr_days":90,"export_days":null,"recording_days":30,`+defaults)
	w.is(w.send("PUT", days, `{}`, "Wazo-Tenant", child), 204, "")
	w.is(w.get(days, "Wazo-Tenant", child), 200, `{"tenant_uuid":"`+child+`","cdr_days":null,"export_days":null,"recording_days":null,`+defaults)
	for _, body := range []string{`{"cdr_days": -1}`, `{"cdr_days": 1000001}`, `{"cdr_days": 10, "recording_days": 20}`, `{"export_days": "x"}`} {
		w.fails(w.send("PUT", days, body), 400, "invalid-data")
	}
}
