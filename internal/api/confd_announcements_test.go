package api

import (
	"path/filepath"
	"strings"
	"testing"

	"callrecordd/internal/auth"
)

const announcementsPath = "/1.1/recordings/announcements"

// Row 43 of recording-rules 7.
func TestRow43AnnouncementsOverHTTP(t *testing.T) {
	w := newConfWorld(t)
	has := func(want string, headers ...string) {
		t.Helper()
		r := w.ask(t, "GET", announcementsPath, "", headers...)
		if r.status != 200 || strings.TrimSpace(r.body) != want {
			t.Errorf("got %d %s, want %s", r.status, r.body, want)
		}
	}
	const none = `{"recording_start":null,"recording_stop":null}`
	has(none)
	for _, c := range []struct{ body, want string }{
		{`{"recording_start": "custom/recorded"}`, `{"recording_start":"custom/recorded","recording_stop":null}`},
		{`{"recording_stop": "vm-goodbye", "unknown": 5}`, `{"recording_start":"custom/recorded","recording_stop":"vm-goodbye"}`},
		{`{}`, `{"recording_start":"custom/recorded","recording_stop":"vm-goodbye"}`},
		{`{"recording_start": null}`, `{"recording_start":null,"recording_stop":"vm-goodbye"}`},
	} {
		w.want(t, w.ask(t, "PUT", announcementsPath, c.body), 204)
		has(c.want)
	}
	// Each tenant has its own, also where one above asks for it.
	has(none, "X-Auth-Token", "child")
	w.want(t, w.ask(t, "PUT", announcementsPath, `{"recording_start": "below"}`, "Wazo-Tenant", w.child), 204)
	has(`{"recording_start":"below","recording_stop":null}`, "X-Auth-Token", "child")
	has(`{"recording_start":null,"recording_stop":"vm-goodbye"}`)
	w.want(t, w.ask(t, "PUT", announcementsPath, `{}`, "X-Auth-Token", "child", "Wazo-Tenant", master), 401)
	w.want(t, w.ask(t, "GET", announcementsPath, "", "X-Auth-Token", "none"), 401)
	for _, body := range []string{
		``, `[]`, `null`, `{"recording_start": 1}`, `{"recording_stop": true}`, `{"recording_start": {}}`, `{"recording_stop": []}`,
	} {
		w.want(t, w.ask(t, "PUT", announcementsPath, body), 400, "Input Error")
	}
	has(`{"recording_start":null,"recording_stop":"vm-goodbye"}`)
}

// Asterisk would play to whoever is called any file that it can read, and fetch
// what is elsewhere: nobody may choose somebody else's file, nor a recording.
func TestAnnouncementsStayWhereTheyBelong(t *testing.T) {
	w := newConfWorld(t)
	own := filepath.Join(w.soundRoot, master)
	for _, sound := range []string{"beep", "custom/a.b-c_1", own + "/announcements/start"} {
		w.want(t, w.ask(t, "PUT", announcementsPath, `{"recording_start": "`+sound+`"}`), 204)
	}
	for _, sound := range []string{
		"../x", "a/../b", "a/..", "./a", "a//b", "a/", ".hidden", "a b", "a,sound:b", "a&b", "http://host/x", "sound:beep", "recording:x",
		"a\\u0000", "a\\n", "é", "a%2e", "~/x", "$(x)", "monitor/x", "x/monitor/y", strings.Repeat("a", 256),
		"/etc/passwd", "/" + own, own, own + "/", own + "/../" + w.child + "/x", own + "//x", own + "/monitor/" + rec1,
		filepath.Join(w.soundRoot, w.child, "announcements", "start"), filepath.Join(w.soundRoot, w.child, "monitor", rec1), own + "x/y",
	} {
		w.want(t, w.ask(t, "PUT", announcementsPath, `{"recording_stop": "`+sound+`"}`), 400, "Input Error - recording_stop")
	}
	if got := w.dir.Book().Master().Announce; got.Start != own+"/announcements/start" || got.Stop != "" {
		t.Errorf("the sounds are %+v", got)
	}
}

func TestInfos(t *testing.T) {
	w := newTown(t, Confd, nil)
	r := w.ask("GET", "/api/confd/1.1/infos", "")
	if r.status != 200 || strings.TrimSpace(r.body) != `{"uuid":"`+w.server.accounts.StackUUID+`","wazo_version":"26.08"}` {
		t.Errorf("%d %s", r.status, r.body)
	}
}

// PATCH /config knows what upstream's does, and says what is wrong with anything else.
func TestPatchConfig(t *testing.T) {
	w := newWorld(t)
	w.tokens.known["debug"] = auth.Token{TenantUUID: master, AuthID: "admin", ACL: []string{"call_logd.config.update"}}
	w.tokens.known["below"] = auth.Token{TenantUUID: child, ACL: []string{"#"}}
	patch := func(body string) reply {
		return w.send("PATCH", "/1.0/config", body, "X-Auth-Token", "debug")
	}
	for _, on := range []string{"true", "false", "true"} {
		r := patch(`[{"op": "replace", "path": "/debug", "value": ` + on + `}]`)
		w.is(r, 200, `{"debug":`+on+`,"log":{"level":"info"}}`)
		if w.debug != (on == "true") || w.actor != "admin" {
			t.Errorf("debug is %t by %q", w.debug, w.actor)
		}
	}
	w.is(patch(`[]`), 200, `{"debug":true,"log":{"level":"info"}}`)
	for _, body := range []string{
		`[{"op": "replace", "path": "/debug", "value": false}, {"op": "add", "path": "/debug", "value": false}]`,
		`[{"op": "replace", "path": "/log/level", "value": false}]`, `[{"op": "replace", "path": "/debug", "value": "false"}]`,
		`[{"op": "replace", "path": "/debug"}]`, `{"op": "replace"}`, `[7]`, `null`, `"x"`,
	} {
		w.fails(patch(body), 400, "invalid-data")
	}
	for _, body := range []string{"", "{", "\xff"} {
		if r := patch(body); r.status != 400 {
			t.Errorf("%q: %d", body, r.status)
		}
	}
	if r := w.send("PATCH", "/1.0/config", `[{"op": "replace", "path": "/debug", "value": false}]`, "X-Auth-Token", "below"); r.status != 401 {
		t.Errorf("not of the master tenant: %d", r.status)
	}
	if !w.debug {
		t.Error("something that was refused has been done")
	}
}
