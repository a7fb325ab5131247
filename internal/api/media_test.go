package api

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"callrecordd/internal/auth"
	"callrecordd/internal/recorder"
)

const download = "2026-11-23T09_00_00UTC-7-" + rec1 + ".wav"

func TestMedia(t *testing.T) {
	w := newWorld(t)
	path := w.recorded(recorder.Ready, "0123456789")
	changed := time.Date(2026, 11, 23, 9, 0, 2, 0, time.UTC)
	if err := os.Chtimes(w.file(), changed, changed); err != nil {
		t.Fatal(err)
	}
	for _, prefix := range prefixes() {
		r := w.get(prefix + path)
		if r.status != 200 || r.body != "0123456789" {
			t.Errorf("%d %s", r.status, r.body)
		}
		for name, want := range map[string]string{
			"Content-Type": "audio/wav", "Content-Length": "10", "Cache-Control": "no-cache", "ETag": `"abc123"`,
			"Last-Modified":       "Mon, 23 Nov 2026 09:00:02 GMT",
			"Content-Disposition": "attachment; filename=" + download,
		} {
			if got := r.header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
	}
	// The uuid's case is the client's affair.
	if r := w.get("/1.0/cdr/7/recordings/" + strings.ToUpper(rec1) + "/media"); r.status != 200 {
		t.Errorf("upper case: %d %s", r.status, r.body)
	}
	for _, header := range [][]string{
		{"If-None-Match", `"abc123"`},
		{"If-None-Match", `"x", W/"abc123"`},
		{"If-Modified-Since", "Mon, 23 Nov 2026 09:00:02 GMT"},
	} {
		if r := w.get(path, header...); r.status != 304 || r.body != "" {
			t.Errorf("%v: %d %s", header, r.status, r.body)
		}
	}
	if r := w.get(path, "If-None-Match", `"other"`); r.status != 200 {
		t.Errorf("If-None-Match: %d", r.status)
	}
}

func TestMediaRanges(t *testing.T) {
	w := newWorld(t)
	path := w.recorded(recorder.Ready, "0123456789")
	for header, want := range map[string]struct{ body, contentRange string }{
		"bytes=0-3":    {"0123", "bytes 0-3/10"},
		"bytes=4-":     {"456789", "bytes 4-9/10"},
		"bytes=-3":     {"789", "bytes 7-9/10"},
		"bytes=8-4000": {"89", "bytes 8-9/10"},
		"bytes=-4000":  {"0123456789", "bytes 0-9/10"},
		"bytes=9-9":    {"9", "bytes 9-9/10"},
	} {
		r := w.get(path, "Range", header)
		if r.status != 206 || r.body != want.body || r.header.Get("Content-Range") != want.contentRange ||
			r.header.Get("Accept-Ranges") != "bytes" || r.header.Get("Content-Disposition") != "inline; filename="+download {
			t.Errorf("%s: %d %q %v", header, r.status, r.body, r.header)
		}
		if r := w.do("HEAD", path, "Range", header); r.status != 206 || r.body != "" {
			t.Errorf("HEAD %s: %d %q", header, r.status, r.body)
		}
	}
	for _, header := range []string{
		"bytes=10-", "bytes=20-30", "bytes=5-2", "bytes=0-1,4-5", "bytes=0-1, 4-5", "bytes=,", "bytes=", "bytes", "bytes=a-b",
		"bytes=--1", "bytes=1", "seconds=0-1", "x", "bytes=99999999999999999999-",
	} {
		for _, method := range []string{"GET", "HEAD"} {
			r := w.do(method, path, "Range", header)
			want := "{\"message\":\"The requested range cannot be satisfied.\"}\n"
			if method == "HEAD" {
				want = ""
			}
			if r.status != 416 || r.header.Get("Content-Range") != "bytes */10" || r.body != want ||
				r.header.Get("Content-Type") != "application/json" || r.header.Get("Content-Disposition") != "" {
				t.Errorf("%s %s: %d %q %v", method, header, r.status, r.body, r.header)
			}
		}
	}
	if r := w.get(path, "Range", "bytes=0-3", "If-Range", `"other"`); r.status != 200 || r.body != "0123456789" {
		t.Errorf("If-Range of another file: %d %q", r.status, r.body)
	}
	if r := w.get(path, "Range", "bytes=0-3", "If-Range", `"abc123"`); r.status != 206 || r.body != "0123" {
		t.Errorf("If-Range: %d %q", r.status, r.body)
	}
}

func TestMediaNotThere(t *testing.T) {
	w := newWorld(t)
	path := w.recorded(recorder.Ready, "RIFF")
	w.fails(w.get("/1.0/cdr/9/recordings/"+rec1+"/media"), 404, "cdr-not-found-with-given-id")
	w.fails(w.get("/1.0/cdr/8/recordings/"+rec1+"/media", "X-Auth-Token", "child"), 404, "cdr-not-found-with-given-id")
	for _, r := range []reply{
		w.get("/1.0/cdr/7/recordings/" + rec2 + "/media"),
		w.get("/1.0/cdr/8/recordings/" + rec1 + "/media"), // another call's
	} {
		if d := w.fails(r, 404, "recording-not-found"); len(d) != 1 || d["recording_uuid"] == "" {
			t.Errorf("details %v", d)
		}
	}
	for _, state := range []recorder.State{recorder.Deleted, recorder.Starting, recorder.Live, recorder.Paused, recorder.Closing} {
		w.recorded(state, "RIFF")
		r := w.get(path)
		w.fails(r, 400, "recording-media-not-found")
		if ended := state == recorder.Deleted; ended == strings.Contains(r.body, "not ended yet") {
			t.Errorf("%s: %s", state, r.body)
		}
	}
	for _, state := range []recorder.State{recorder.Empty, recorder.Interrupted} {
		w.recorded(state, "RIFF")
		if r := w.get(path); r.status != 200 {
			t.Errorf("%s: %d %s", state, r.status, r.body)
		}
	}
}

// TestMediaFileTrouble puts things in the file's place that are not it.
func TestMediaFileTrouble(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret.wav")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, put := range map[string]func(w *world) error{
		"absent":           func(w *world) error { return os.Remove(w.file()) },
		"directory absent": func(w *world) error { return os.RemoveAll(filepath.Join(w.root, child)) },
		"root absent":      func(w *world) error { return os.RemoveAll(w.root) },
		"directory": func(w *world) error {
			if err := os.Remove(w.file()); err != nil {
				return err
			}
			return os.Mkdir(w.file(), 0o750)
		},
		"FIFO": func(w *world) error {
			if err := os.Remove(w.file()); err != nil {
				return err
			}
			return syscall.Mkfifo(w.file(), 0o600)
		},
		"link out of the root": func(w *world) error {
			if err := os.Remove(w.file()); err != nil {
				return err
			}
			return os.Symlink(outside, w.file())
		},
		"link within the root": func(w *world) error {
			name := filepath.Join(w.root, "other.wav")
			if err := os.Rename(w.file(), name); err != nil {
				return err
			}
			return os.Symlink("../../other.wav", w.file())
		},
		"folder is a link out": func(w *world) error {
			dir := filepath.Dir(w.file())
			if err := os.RemoveAll(dir); err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(filepath.Dir(outside), rec1+".wav"), []byte("secret"), 0o600); err != nil {
				return err
			}
			return os.Symlink(filepath.Dir(outside), dir)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			path := w.recorded(recorder.Ready, "RIFF")
			if err := put(w); err != nil {
				t.Fatal(err)
			}
			r := w.get(path)
			if d := w.fails(r, 500, "recording-media-filesystem-not-found"); len(d) != 1 || d["recording_uuid"] != rec1 {
				t.Errorf("details %v", d)
			}
			if strings.Contains(r.body, "monitor") || strings.Contains(r.body, w.root) || strings.Contains(r.body, "secret") {
				t.Errorf("discloses: %s", r.body)
			}
			if !strings.Contains(w.log.String(), rec1) {
				t.Errorf("the log says nothing: %s", w.log.String())
			}
		})
	}
}

func TestMediaPermission(t *testing.T) {
	if os.Geteuid() == 0 {
		asSomebodyElse(t)
		return
	}
	w := newWorld(t)
	path := w.recorded(recorder.Ready, "RIFF")
	if err := os.Chmod(w.file(), 0); err != nil {
		t.Fatal(err)
	}
	w.fails(w.get(path), 500, "recording-media-permission-denied")
}

// asSomebodyElse runs the calling test once more in a user namespace in which
// root is an ordinary user: root may read everything.
func asSomebodyElse(t *testing.T) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 1000, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 1000, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("run as an ordinary user: %v\n%s\nRun the tests as an ordinary user, or allow user namespaces: sysctl user.max_user_namespaces=10000", err, out)
	}
}

// TestRecordingOfAnotherTenant: a call between tenants is one CDR, of the
// caller's tenant; its recording belongs to whoever wanted it, and only who
// sees that tenant hears it.
func TestRecordingOfAnotherTenant(t *testing.T) {
	w := newWorld(t)
	path := w.recorded(recorder.Ready, "0123456789") // the child's recording
	w.cdrs.records[0].CDR.TenantUUID = other
	w.cdrs.items, w.cdrs.total, w.cdrs.filtered = w.cdrs.records[:1], 1, 1
	w.tokens.known["other"] = auth.Token{TenantUUID: other, ACL: []string{"call-logd.#"}}

	if r := w.get(path, "X-Auth-Token", "child"); r.status != 200 || r.body != "0123456789" {
		t.Errorf("its owner gets %d %s", r.status, r.body)
	}
	w.fails(w.get("/1.0/cdr/7", "X-Auth-Token", "child"), 404, "cdr-not-found-with-given-id")
	w.fails(w.get(path, "X-Auth-Token", "other"), 404, "recording-not-found")
	for _, list := range []string{"/1.0/cdr/7", "/1.0/cdr"} {
		if r := w.get(list, "X-Auth-Token", "other"); r.status != 200 || !strings.Contains(r.body, `"recordings":[]`) {
			t.Errorf("%s shows the CDR's tenant %d %s", list, r.status, r.body)
		}
	}
	// Not every recording that exists is one of the CDR's.
	w.fails(w.get(strings.Replace(path, "/7/", "/8/", 1)), 404, "recording-not-found")
}
