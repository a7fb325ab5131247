package api

import (
	"os"
	"strings"
	"testing"
	"time"

	"callrecordd/internal/auth"
	"callrecordd/internal/cdr"
	"callrecordd/internal/recorder"
)

// The tests of upstream's suite on media (cdr-api 12, test_cdr_recording.py),
// under their names. Those on deletion stand with deletion.

// twoRecordings puts call 7 of the child tenant there with two recordings, and
// call 8 of the master tenant with none.
func twoRecordings(t *testing.T) (w *world, first, second string) {
	t.Helper()
	w = newWorld(t)
	first = w.recorded(recorder.Ready, "first-recording")
	start := time.Date(2026, 11, 23, 9, 1, 0, 0, time.UTC)
	call := &w.cdrs.records[0]
	call.CDR.Participants = []cdr.Participant{{UserUUID: other}}
	call.Recordings = append(call.Recordings, recorder.Recording{
		UUID: rec2, TenantUUID: child, CDRID: 7, State: recorder.Ready, StartedAt: start, EndedAt: start,
	})
	if err := os.WriteFile(strings.Replace(w.file(), rec1, rec2, 1), []byte("second-recording"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.tokens.known["user"] = auth.Token{TenantUUID: child, UserUUID: other, ACL: []string{"call-logd.users.me.#"}}
	return w, first, strings.Replace(first, rec1, rec2, 1)
}

func TestConformanceMedia(t *testing.T) {
	w, first, second := twoRecordings(t)
	mine := func(path string) string { return strings.Replace(path, "/1.0/", "/1.0/users/me/", 1) }
	t.Run("get_media", func(t *testing.T) {
		w.t = t
		r := w.get(first)
		if r.status != 200 || r.body != "first-recording" || r.header.Get("Content-Disposition") != "attachment; filename="+download {
			t.Errorf("%d %q %v", r.status, r.body, r.header)
		}
		if r := w.get(second); r.body != "second-recording" {
			t.Errorf("second: %d %q", r.status, r.body)
		}
	})
	t.Run("get_media_with_invalid_cdr", func(t *testing.T) {
		w.t = t
		w.fails(w.get(strings.Replace(first, "/7/", "/99/", 1)), 404, "cdr-not-found-with-given-id")
	})
	t.Run("get_media_with_wrong_cdr", func(t *testing.T) {
		w.t = t
		w.fails(w.get(strings.Replace(first, "/7/", "/8/", 1)), 404, "recording-not-found")
	})
	t.Run("get_media_multi_tenant", func(t *testing.T) {
		w.t = t
		w.fails(w.get("/1.0/cdr/8/recordings/"+rec1+"/media", "Wazo-Tenant", child), 404, "cdr-not-found-with-given-id")
		if r := w.get(first, "Wazo-Tenant", master); r.status != 200 {
			t.Errorf("from above: %d %s", r.status, r.body)
		}
	})
	t.Run("get_media_using_token_tenant_query_string", func(t *testing.T) {
		w.t = t
		if r := w.get(first+"?token=all&tenant="+child, "X-Auth-Token", ""); r.status != 200 {
			t.Errorf("%d %s", r.status, r.body)
		}
		w.fails(w.get("/1.0/cdr/8/recordings/"+rec1+"/media?token=all&tenant="+child, "X-Auth-Token", ""), 404, "cdr-not-found-with-given-id")
	})
	t.Run("get_media_user", func(t *testing.T) {
		w.t = t
		r := w.get(mine(first), "X-Auth-Token", "user")
		if r.status != 200 || r.body != "first-recording" || !strings.HasPrefix(r.header.Get("Content-Disposition"), "attachment") {
			t.Errorf("%d %q", r.status, r.body)
		}
		w.fails(w.get(mine(first), "X-Auth-Token", "user", "Wazo-Tenant", master), 401, "unauthorized")
		w.fails(w.get(mine(strings.Replace(first, "/7/", "/8/", 1)), "X-Auth-Token", "user"), 404, "cdr-not-found-with-given-id")
		w.fails(w.get(mine(strings.Replace(first, rec1, strings.Replace(rec1, "a", "c", 1), 1)), "X-Auth-Token", "user"), 404, "recording-not-found")
		// Not a participant.
		w.tokens.known["stranger"] = auth.Token{TenantUUID: child, UserUUID: master, ACL: []string{"#"}}
		w.fails(w.get(mine(first), "X-Auth-Token", "stranger"), 404, "cdr-not-found-with-given-id")
		w.fails(w.get(mine(first), "X-Auth-Token", "child"), 400, "token-with-user-uuid-required")
	})
	t.Run("get_media_user_of_another_tenant", func(t *testing.T) { // ours: design 5
		w.t = t
		w.cdrs.records[0].CDR.TenantUUID = master
		defer func() { w.cdrs.records[0].CDR.TenantUUID = child }()
		if r := w.get(mine(first), "X-Auth-Token", "user"); r.status != 200 {
			t.Errorf("own recording in a call of another tenant: %d %s", r.status, r.body)
		}
	})
	t.Run("get_media_supports_partial", func(t *testing.T) {
		w.t = t
		for header, want := range map[string]string{"": "first-recording", "bytes=0-4": "first", "bytes=6-": "recording", "bytes=-3": "ing"} {
			r, status, how := w.get(first, "Range", header), 206, "inline; "
			if header == "" {
				r, status, how = w.get(first), 200, "attachment; "
			}
			if r.status != status || r.body != want || !strings.HasPrefix(r.header.Get("Content-Disposition"), how) {
				t.Errorf("%s: %d %q %v", header, r.status, r.body, r.header)
			}
		}
		if r := w.get(first, "Range", "bytes=100-"); r.status != 416 {
			t.Errorf("past the end: %d", r.status)
		}
	})
	t.Run("get_media_when_file_deleted_on_filesystem", func(t *testing.T) {
		w.t = t
		if err := os.Remove(strings.Replace(w.file(), rec1, rec2, 1)); err != nil {
			t.Fatal(err)
		}
		w.fails(w.get(second), 500, "recording-media-filesystem-not-found")
	})
	t.Run("get_media_with_recording_deleted", func(t *testing.T) {
		w.t = t
		w.cdrs.records[0].Recordings[1].State = recorder.Deleted
		w.fails(w.get(second), 400, "recording-media-not-found")
	})
	// get_media_when_file_has_wrong_permission is TestMediaPermission.
}

// TestConformanceAuth has those of class TestNoAuth. There is no separate auth
// service (design 7): what is down is our own store of tokens.
func TestConformanceAuth(t *testing.T) {
	for name, path := range map[string]string{
		"given_no_token_when_list_cdr_then_401": "/1.0/cdr", "given_no_token_when_get_cdr_by_id_then_401": "/1.0/cdr/1",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.fails(w.get(path, "X-Auth-Token", ""), 401, "unauthorized")
		})
	}
	for name, path := range map[string]string{
		"given_no_auth_when_list_cdr_then_503": "/1.0/cdr", "given_no_auth_when_get_cdr_by_id_then_503": "/1.0/cdr/1",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.tokens.err = os.ErrDeadlineExceeded
			r := w.get(path)
			w.fails(r, 503, "authentication-server-unreachable")
			if !strings.Contains(strings.ToLower(r.body), "auth") {
				t.Error(r.body)
			}
		})
	}
}

// TestMediaTypeForClients: who asks for anything or for JSON, as Wazo's Python
// clients do, gets a charset; who names audio gets the bare type.
func TestMediaTypeForClients(t *testing.T) {
	w := newWorld(t)
	path := w.recorded(recorder.Ready, "RIFF")
	for accept, want := range map[string]string{
		"audio/wav": "audio/wav", "*/*": "audio/wav; charset=binary", "application/json": "audio/wav; charset=binary",
		"audio/wav, */*;q=0.1": "audio/wav",
	} {
		if r := w.get(path, "Accept", accept); r.header.Get("Content-Type") != want || !strings.Contains(strings.Join(r.header.Values("Vary"), ","), "Accept") {
			t.Errorf("%s: %v", accept, r.header)
		}
	}
}
