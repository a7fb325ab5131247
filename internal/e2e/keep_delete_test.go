package e2e

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

func (v *vault) media(cdr int64, uuid string) string {
	return fmt.Sprintf("/1.0/cdr/%d/recordings/%s/media", cdr, uuid)
}

func (v *vault) recordingsOf(cdr int64) []struct {
	UUID    string `json:"uuid"`
	Deleted bool   `json:"deleted"`
} {
	v.t.Helper()
	var c struct {
		Recordings []struct {
			UUID    string `json:"uuid"`
			Deleted bool   `json:"deleted"`
		} `json:"recordings"`
	}
	v.ask("GET", fmt.Sprintf("/1.0/cdr/%d", cdr), nil).into(v.t, &c)
	return c.Recordings
}

// The entries of cdr-api 12 about deletion, under upstream's names.
func TestCDRRecording(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	master, child := v.tenant(""), v.tenant("child")
	const many = "/1.0/cdr/recordings/media"
	rec := v.put(
		made{id: 10, tenant: master, recordings: 2}, made{id: 11, tenant: child, recordings: 1},
		made{id: 12, tenant: master, recordings: 2}, made{id: 13, tenant: master, recordings: 1}, made{id: 14, tenant: master, recordings: 1},
		made{id: 15, tenant: master, recordings: 1, noFile: true}, made{id: 16, tenant: master, recordings: 1},
		made{id: 17, tenant: child, recordings: 1}, made{id: 18, tenant: master, recordings: 1},
		made{id: 19, tenant: master, recordings: 1, noFile: true}, made{id: 20, tenant: master, recordings: 1},
	)
	v.run()
	in := func(t *testing.T) *vault { c := *v; s := *v.site; s.t = t; c.site = &s; return &c }
	gone := func(v *vault, cdr int64, n int, want bool) {
		v.t.Helper()
		if got := v.recordingsOf(cdr)[n].Deleted; got != want {
			v.t.Errorf("recording %d of CDR %d: deleted is %v", n, cdr, got)
		}
	}
	t.Run("delete_media", func(t *testing.T) {
		v := in(t)
		v.ask("DELETE", v.media(10, rec[0][0]), nil).is(t, http.StatusNoContent, "")
		v.ask("GET", v.media(10, rec[0][0]), nil).is(t, http.StatusBadRequest, "recording-media-not-found")
		v.ask("GET", v.media(10, rec[0][1]), nil).is(t, http.StatusOK, "")
		gone(v, 10, 0, true)
		gone(v, 10, 1, false)
		if exists(v.path(master, rec[0][0])) || !exists(v.path(master, rec[0][1])) {
			t.Error("not the one file was removed")
		}
	})
	t.Run("delete_media_with_invalid_cdr", func(t *testing.T) {
		in(t).ask("DELETE", v.media(999, rec[0][1]), nil).is(t, http.StatusNotFound, "cdr-not-found-with-given-id")
	})
	t.Run("delete_media_with_wrong_cdr", func(t *testing.T) {
		in(t).ask("DELETE", v.media(12, rec[0][1]), nil).is(t, http.StatusNotFound, "recording-not-found")
	})
	t.Run("delete_media_with_recording_already_deleted", func(t *testing.T) {
		v := in(t)
		v.ask("DELETE", v.media(10, rec[0][0]), nil).is(t, http.StatusNoContent, "")
		gone(v, 10, 0, true)
	})
	t.Run("delete_media_when_file_deleted_on_filesystem", func(t *testing.T) {
		v := in(t)
		v.ask("DELETE", v.media(15, rec[5][0]), nil).is(t, http.StatusNoContent, "")
		gone(v, 15, 0, true)
	})
	t.Run("delete_media_multi_tenant", func(t *testing.T) {
		v := in(t)
		v.ask("DELETE", v.media(13, rec[3][0]), nil, "Wazo-Tenant", child).is(t, http.StatusNotFound, "cdr-not-found-with-given-id")
		v.ask("DELETE", v.media(11, rec[1][0]), nil).is(t, http.StatusNoContent, "")
		gone(v, 11, 0, true)
	})
	t.Run("delete_media_multi_cdr_no_body", func(t *testing.T) {
		if d := in(t).ask("DELETE", many, `{"cdr_ids": null}`).is(t, http.StatusBadRequest, "invalid-data"); d["cdr_ids"] == nil {
			t.Errorf("details %v", d)
		}
		in(t).ask("DELETE", many, nil).is(t, http.StatusBadRequest, "")
	})
	t.Run("delete_media_multi_cdr_no_cdr", func(t *testing.T) {
		in(t).ask("DELETE", many, `{"cdr_ids": []}`).is(t, http.StatusBadRequest, "invalid-data")
	})
	t.Run("delete_media_with_invalid_cdr_multi_cdr", func(t *testing.T) {
		d := in(t).ask("DELETE", many, `{"cdr_ids": [2, 3]}`).is(t, http.StatusNotFound, "cdr-not-found-with-given-id")
		if d["cdr_id"] != 2.0 {
			t.Errorf("details %v", d)
		}
	})
	t.Run("delete_media_with_wrong_cdr_multi_cdr", func(t *testing.T) {
		v := in(t)
		d := v.ask("DELETE", many, `{"cdr_ids": [2, 12]}`).is(t, http.StatusNotFound, "cdr-not-found-with-given-id")
		if d["cdr_id"] != 2.0 {
			t.Errorf("details %v", d)
		}
		gone(v, 12, 0, false)
	})
	t.Run("delete_media_multi_cdr", func(t *testing.T) {
		v := in(t)
		v.ask("DELETE", many, `{"cdr_ids": [12, 13]}`).is(t, http.StatusNoContent, "")
		gone(v, 12, 0, true)
		gone(v, 12, 1, true)
		gone(v, 13, 0, true)
		gone(v, 14, 0, false)
		for _, uuid := range []string{rec[2][0], rec[2][1], rec[3][0]} {
			if exists(v.path(master, uuid)) {
				t.Error("a file is still there")
			}
		}
	})
	t.Run("delete_media_with_recording_already_deleted_multi_cdr", func(t *testing.T) {
		in(t).ask("DELETE", many, `{"cdr_ids": [12, "13"]}`).is(t, http.StatusNoContent, "")
	})
	t.Run("delete_media_when_file_deleted_on_filesystem_multi_cdr", func(t *testing.T) {
		v := in(t)
		v.ask("DELETE", many, `{"cdr_ids": [16, 19]}`).is(t, http.StatusNoContent, "")
		gone(v, 16, 0, true)
		gone(v, 19, 0, true)
	})
	t.Run("delete_media_multi_tenant_multi_cdr", func(t *testing.T) {
		v := in(t)
		d := v.ask("DELETE", many, `{"cdr_ids": [17, 18]}`, "Wazo-Tenant", child).is(t, http.StatusNotFound, "cdr-not-found-with-given-id")
		if d["cdr_id"] != 18.0 {
			t.Errorf("details %v", d)
		}
		gone(v, 17, 0, false)
		v.ask("DELETE", many, `{"cdr_ids": [17, 18]}`).is(t, http.StatusNoContent, "")
		gone(v, 17, 0, true)
		gone(v, 18, 0, true)
	})
	// What is no file is left alone, and nothing is lost.
	t.Run("what is in the file's place is a directory", func(t *testing.T) {
		v := in(t)
		path := v.path(master, rec[4][0])
		must(t, os.Remove(path))
		must(t, os.Mkdir(path, 0o750))
		must(t, os.WriteFile(path+"/precious", nil, 0o600))
		r := v.ask("DELETE", many, `{"cdr_ids": [14, 20]}`)
		if d := r.is(t, http.StatusInternalServerError, "recording-media-not-removed"); d["cdr_id"] != 14.0 || d["recording_uuid"] != rec[4][0] {
			t.Errorf("details %v", d)
		}
		if strings.Contains(string(r.body), v.cfg.Recordings.Root) {
			t.Errorf("the answer tells a path: %s", r.body)
		}
		gone(v, 14, 0, false)
		if !exists(path + "/precious") {
			t.Error("a directory was emptied")
		}
	})
	t.Run("hold", func(t *testing.T) {
		v := in(t)
		v.ask("PUT", "/1.0/cdr/14/hold", `{"reason": "case 4711"}`).is(t, http.StatusNoContent, "")
		v.ask("DELETE", v.media(14, rec[4][0]), nil).is(t, http.StatusConflict, "cdr-held")
		if d := v.ask("DELETE", many, `{"cdr_ids": [10, 14]}`).is(t, http.StatusConflict, "cdr-held"); d["reason"] != "case 4711" {
			t.Errorf("details %v", d)
		}
		gone(v, 10, 1, false)
		var h struct {
			Reason, By string
		}
		v.ask("GET", "/1.0/cdr/14/hold", nil).into(t, &h)
		if h.Reason != "case 4711" || !strings.HasPrefix(h.By, "token:") {
			t.Errorf("hold %+v", h)
		}
		v.ask("GET", "/1.0/cdr/14/hold", nil, "Wazo-Tenant", child).is(t, http.StatusNotFound, "cdr-not-found-with-given-id")
		v.ask("DELETE", "/1.0/cdr/14/hold", nil).is(t, http.StatusNoContent, "")
		v.ask("DELETE", "/1.0/cdr/14/hold", nil).is(t, http.StatusNotFound, "cdr-not-held")
		v.ask("PUT", "/1.0/cdr/14/hold", `{"reason": "  "}`).is(t, http.StatusBadRequest, "invalid-data")
		v.ask("PUT", "/1.0/cdr/999/hold", `{"reason": "x"}`).is(t, http.StatusNotFound, "cdr-not-found-with-given-id")
	})
	t.Run("permission", func(t *testing.T) {
		v := in(t)
		token := v.newToken("", "call-logd.cdr.#.read")
		v.ask("DELETE", v.media(10, rec[0][1]), nil, "X-Auth-Token", token).is(t, http.StatusUnauthorized, "unauthorized")
		v.ask("DELETE", v.media(10, rec[0][1])+"?token="+v.token, nil, "X-Auth-Token", "").is(t, http.StatusUnauthorized, "unauthorized")
		gone(v, 10, 1, false)
	})
	if es := v.events("recording.deleted", rec[0][0]); len(es) != 1 || !strings.HasPrefix(es[0].Actor, "token:") {
		t.Errorf("events of the first deletion: %+v", es)
	}
}

// Shows 5 for a deletion: the row says so, the file is still there, and the
// next start finishes it.
func TestDeletionSurvivesACrash(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	master := v.tenant("")
	rec := v.put(made{id: 1, tenant: master, recordings: 1}, made{id: 2, tenant: master, recordings: 1})
	v.beginRemoval(rec[0][0]) // and the daemon is gone
	if !exists(v.path(master, rec[0][0])) {
		t.Fatal("the file is gone already")
	}
	v.run()
	if exists(v.path(master, rec[0][0])) || !exists(v.path(master, rec[1][0])) {
		t.Error("the start has not finished the one deletion")
	}
	if !v.recordingsOf(1)[0].Deleted || v.recordingsOf(2)[0].Deleted {
		t.Error("the rows do not say so")
	}
	if es := v.events("recording.", rec[0][0]); len(es) != 2 || es[0].Kind != "recording.delete_begun" || es[1].Kind != "recording.deleted" ||
		es[1].Actor != "alice" {
		t.Errorf("events %+v", es)
	}
}

// Issue 5, bad input, of bodies.
func TestBadBodies(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	master := v.tenant("")
	rec := v.put(made{id: 1, tenant: master, recordings: 1})
	v.run()
	ids := make([]int64, 10_000)
	for i := range ids {
		ids[i] = int64(i + 1)
	}
	const many = "/1.0/cdr/recordings/media"
	begin := time.Now()
	if d := v.ask("DELETE", many, map[string]any{"cdr_ids": ids}).is(t, http.StatusNotFound, "cdr-not-found-with-given-id"); d["cdr_id"] != 2.0 {
		t.Errorf("details %v", d)
	}
	t.Logf("10,000 ids took %s", time.Since(begin))
	for body, status := range map[string]int{
		`{"cdr_ids": [1.5]}`: 400, `{"cdr_ids": [9223372036854775808]}`: 400, `{"cdr_ids": ["1\u0000"]}`: 400, `{"cdr_ids": "1"}`: 400,
		`{"cdr_ids": [[1]]}`: 400, `{"cdr_ids": [null]}`: 400, `{}`: 400, `[]`: 400, `null`: 400, `1`: 400, `{"cdr_ids": [1]`: 400,
		"{\"cdr_ids\": [1], \"x\": \"\xff\"}": 400, `{"cdr_ids": [-1]}`: 404, "\x00": 400, strings.Repeat("[", 100_000): 400,
	} {
		if r := v.ask("DELETE", many, body); r.status != status {
			t.Errorf("%.60q: %d %s", body, r.status, r.body)
		}
	}
	// Of a gigabyte only the beginning is read.
	if status := v.gigabyte("DELETE", many); status != http.StatusRequestEntityTooLarge {
		t.Errorf("1 GB: %d", status)
	}
	if v.recordingsOf(1)[0].Deleted || !exists(v.path(master, rec[0][0])) {
		t.Error("something was deleted")
	}
}

// A tenant that has calls stays: nobody could see or delete them any more.
func TestTenantWithCallsStays(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	tenant := v.tenant("acme")
	v.put(made{id: 1, tenant: tenant, recordings: 1})
	v.run()
	token := v.newToken("", "auth.#")
	path := "/api/auth/0.1/tenants/" + tenant
	r := v.ask("DELETE", path, nil, "X-Auth-Token", token)
	r.is(t, http.StatusConflict, "conflict")
	if !strings.Contains(string(r.body), "it still has calls, recordings") {
		t.Errorf("%s", r.body)
	}
	v.ask("GET", path, nil, "X-Auth-Token", token).is(t, http.StatusOK, "")
	if got := v.ask("GET", "/1.0/cdr/1", nil, "Wazo-Tenant", tenant); got.status != http.StatusOK {
		t.Errorf("the call: %d %s", got.status, got.body)
	}
}
