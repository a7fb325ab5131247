package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"callrecordd/config"
	"callrecordd/internal/api"
	"callrecordd/internal/auth"
	"callrecordd/internal/control"
	"callrecordd/internal/recorder"
)

// seedRefresh takes the refresh token out of what wazo-auth-cli says, as
// printed in the seed document behind its `2>&1`.
const seedRefresh = `tr ',' '\n' | sed 's/}//g' | grep 'refresh_token' | awk -F': ' '{ print $NF }'`

// seedWire are the requests of the seed's steps, as Wazo's clients put them on
// the wire (auth-and-clients 1.1 to 1.3, cdr-api 14; order and spelling of the
// headers are those of requests 2.34 with the session that those clients make).
// What is in braces is put in; Content-Length is that of the body.
func seedWire() map[string]string {
	const (
		cli    = "User-agent: wazo-auth-cli\n"
		script = "User-agent: recording_export.py\n"
		json   = "Accept: application/json\n"
		login  = "User-Agent: Wazo Python auth client\n" + json
	)
	return map[string]string{
		"log in":        "POST /0.1/token\n" + login + "Authorization: {basic}\n\n" + `{"expiration": 3600}`,
		"log out":       "DELETE /0.1/token/{token}\n" + cli + "X-Auth-Token: {token}\n" + json + "\n",
		"create user":   "POST /0.1/users\n" + cli + "X-Auth-Token: {token}\n" + json + "\n" + `{"username": "exporter", "password": "secret"}`,
		"create policy": "POST /0.1/policies\n" + cli + "X-Auth-Token: {token}\n" + json + "\n" + `{"description": null, "acl": ["call-logd.cdr.recordings.media.export.create", "auth.tenants.read"], "name": "recording_exporter"}`,
		"associate":     "PUT /0.1/users/{user}/policies/{policy}\n" + cli + "X-Auth-Token: {token}\n" + json + "\n",
		"offline token": "POST /0.1/token\n" + login + "X-Auth-Token: {token}\nAuthorization: {basic}\n\n" + `{"expiration": 3600, "client_id": "exporter", "access_type": "offline"}`,
		"refresh login": "POST /0.1/token\n" + login + "Authorization: Basic Og==\n\n" +
			`{"backend": "wazo_user", "expiration": 60, "client_id": "exporter", "refresh_token": "{refresh}", "access_type": "online"}`,
		"export": "POST /1.0/cdr/recordings/media/export?tenant_uuid={tenant}&email={email}&to={to}&from={from}\n" +
			script + "X-Auth-Token: {token}\n" + json + "Wazo-Tenant: {tenant}\nContent-Type: application/json\n\n{}",
		"revoke": "DELETE /0.1/token/{token}\n" + script + json + "\n",
	}
}

// wire sends one of them over a connection of its own, which the server must
// close, and decodes the answer of that status.
func (v *vault) wire(service api.Service, name string, values map[string]string, status int, out any) {
	v.t.Helper()
	text, ok := seedWire()[name]
	if !ok {
		v.t.Fatalf("there is no request %q", name)
	}
	for key, value := range values {
		text = strings.ReplaceAll(text, "{"+key+"}", value)
	}
	address := v.app.Address(service)
	head, body, _ := strings.Cut(text, "\n\n")
	line, headers, _ := strings.Cut(head, "\n")
	text = line + " HTTP/1.1\nHost: " + address + "\nAccept-Encoding: identity\nConnection: close\n" + headers +
		fmt.Sprintf("\nContent-Length: %d\n\n", len(body))
	conn, err := net.Dial("tcp", address)
	must(v.t, err)
	defer conn.Close()
	must(v.t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = io.WriteString(conn, strings.ReplaceAll(text, "\n", "\r\n")+body)
	must(v.t, err)
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	must(v.t, err)
	data, err := io.ReadAll(resp.Body)
	must(v.t, err)
	if rest, err := io.ReadAll(in); err != nil || len(rest) > 0 || !resp.Close {
		v.t.Errorf("%s: the connection is not closed: %q %v", name, rest, err)
	}
	if resp.StatusCode != status {
		v.t.Fatalf("%s: %d %s, want %d", name, resp.StatusCode, data, status)
	}
	if out != nil {
		must(v.t, json.Unmarshal(data, out))
	}
}

// loggedIn is the part of a token that the clients read.
type loggedIn struct {
	Data map[string]any `json:"data"`
}

func (l loggedIn) text(key string) string { s, _ := l.Data[key].(string); return s }

// administrator makes an account that may do everything, as the first start
// does, and returns its name and password for Basic.
func (v *vault) administrator() string {
	v.t.Helper()
	var policies []auth.Policy
	v.do("GET", "policies", nil, &policies)
	i := slices.IndexFunc(policies, func(p auth.Policy) bool { return p.Slug == auth.PolicyMaster })
	v.do("POST", "accounts", control.NewAccount{
		Account:  auth.Account{Username: "root", Purpose: auth.PurposeInternal, Method: "native", Enabled: true, Policies: []string{policies[i].UUID}},
		Password: "geheim",
	}, nil)
	return basicOf("root", "geheim")
}

func basicOf(name, password string) string {
	r := http.Request{Header: http.Header{}}
	r.SetBasicAuth(name, password)
	return r.Header.Get("Authorization")
}

// Shows 1 of issue 6: the seed's steps from the creation of the user to the
// revocation, byte for byte as Wazo's clients send them to the services' own
// ports. A mail comes by SMTP, and its link opens the archive of last week's
// calls of that tenant.
func TestSeedsSteps(t *testing.T) {
	t.Parallel()
	v := newVault(t, func(c *config.Config) { c.HTTP.ListenAuth = []string{"127.0.0.1:0"} })
	v.tenant("")
	tenant, other := v.tenant("acme"), v.tenant("other")

	// As the script computes them: Monday of the previous week, last Monday.
	now := time.Now()
	start := now.AddDate(0, 0, -(int(now.Weekday())+6)%7-7)
	day := func(t time.Time) time.Time { return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC) }
	from, to := day(start), day(start.AddDate(0, 0, 7))
	at := func(t time.Time) string { return t.Format(time.RFC3339) }
	v.put(
		made{id: 1, tenant: tenant, recordings: 1, start: at(from)}, made{id: 2, tenant: tenant, recordings: 1, start: at(to.Add(-time.Second))},
		made{id: 3, tenant: tenant, recordings: 1, start: at(from.Add(-time.Second))}, made{id: 4, tenant: tenant, recordings: 1, start: at(to)},
		made{id: 5, tenant: other, recordings: 1, start: at(from.Add(time.Hour))},
	)
	v.run()

	values := map[string]string{"basic": v.administrator()}
	login := func() {
		t.Helper()
		var l loggedIn
		v.wire(api.Auth, "log in", values, 200, &l)
		values["token"] = l.text("token")
	}
	// Each command of wazo-auth-cli logs in, does one thing and logs out.
	command := func(name string, status int, out any) {
		t.Helper()
		login()
		v.wire(api.Auth, name, values, status, out)
		v.wire(api.Auth, "log out", values, 200, nil)
	}
	var user, policy struct {
		UUID string `json:"uuid"`
	}
	command("create user", 200, &user)
	command("create policy", 200, &policy)
	values["user"], values["policy"] = user.UUID, policy.UUID
	command("associate", 204, nil)
	values["basic"] = basicOf("exporter", "secret")
	var offline loggedIn
	command("offline token", 200, &offline)

	// With -v the command line says what it got as Python prints it.
	said, err := json.Marshal(offline.Data)
	must(t, err)
	python := strings.NewReplacer(`":`, `': `, `,"`, `, '`, `"`, `'`, `null`, `None`, `false`, `False`).Replace(string(said))
	pipe := exec.CommandContext(within(t), "sh", "-c", seedRefresh)
	pipe.Stdin = strings.NewReader("INFO:wazo_auth_cli.commands.token:" + python + "\n" + offline.text("token") + "\n")
	printed, err := pipe.Output()
	must(t, err)
	values["refresh"] = strings.Trim(strings.TrimSpace(string(printed)), "'")
	if values["refresh"] != offline.text("refresh_token") || values["refresh"] == "" {
		t.Fatalf("the seed's pipe makes %q of %s", printed, python)
	}

	// The script, in two weeks: nothing of the first is left but the archive.
	values["tenant"], values["email"] = tenant, url.QueryEscape("administrator@this.tenant")
	iso := func(t time.Time) string { return url.QueryEscape(t.Format("2006-01-02T15:04:05")) }
	values["from"], values["to"] = iso(from), iso(to)
	for week := 1; week <= 2; week++ {
		var l loggedIn
		v.wire(api.Auth, "refresh login", values, 200, &l)
		values["token"] = l.text("token")
		var export struct {
			UUID string `json:"uuid"`
		}
		v.wire(api.CallLogd, "export", values, 202, &export)
		v.wire(api.Auth, "revoke", values, 200, nil)
		v.wire(api.CallLogd, "export", values, 401, nil) // the very next request
		v.eventually("the mail has come", func() error {
			if n := len(v.mail.letters()); n != week {
				return fmt.Errorf("%d mails", n)
			}
			return nil
		})
		mail := v.mail.letters()[week-1]
		link := v.linkIn(mail.data)
		if mail.to != "administrator@this.tenant" || !strings.Contains(link.Path, export.UUID) {
			t.Errorf("to %s: %s", mail.to, link)
		}
		link.Scheme = "http" // Wazo's nginx is not here
		r := v.ask("GET", link.String(), nil, "X-Auth-Token", "")
		if got := cdrsIn(t, unzip(t, r.body)); got != "1 2" {
			t.Errorf("week %d: the archive has the calls %q, want 1 and 2", week, got)
		}
	}
	if left := v.sessionsOf(user.UUID); left != 1 { // the offline login's own, as upstream leaves it
		t.Errorf("%d sessions are left", left)
	}
}

func (v *vault) sessionsOf(account string) int {
	v.t.Helper()
	var list []auth.Token
	v.do("GET", control.Path("accounts", account)+"/sessions", nil, &list)
	return len(list)
}

// What else the seed tells an administrator and a user to send: the bodies as
// printed, to the paths as printed, for a call that goes on.
func TestSeedsOtherRequests(t *testing.T) {
	t.Parallel()
	s := newCalldStage(t)
	admin := s.clientOf(api.Confd, "", "", "confd.#")
	user := "/1.1/users/" + s.users["alice"].UUID
	var list struct {
		Items []struct {
			UUID    string `json:"uuid"`
			Exten   string `json:"exten"`
			Enabled bool   `json:"enabled"`
		} `json:"items"`
	}
	admin.read("/1.1/extensions/features?feature=callrecord", &list)
	if len(list.Items) != 1 || list.Items[0].Exten != "*26" {
		t.Fatalf("features %+v", list)
	}
	for _, enabled := range []bool{false, true} {
		path := "/1.1/extensions/features/" + list.Items[0].UUID
		admin.ask(t, "PUT", path, raw(fmt.Sprintf(`{"enabled": %t}`, enabled)), 204, "")
		admin.ask(t, "GET", path, nil, 200, fmt.Sprintf(`"enabled":%t`, enabled))
	}
	for _, kind := range []string{"groups", "queues"} {
		admin.read("/1.1/"+kind, &list)
		path := "/1.1/" + kind + "/" + list.Items[0].UUID
		for _, on := range []bool{true, false} {
			admin.ask(t, "PUT", path, raw(fmt.Sprintf(`{"dtmf_record_toggle": %t}`, on)), 204, "")
			admin.ask(t, "GET", path, nil, 200, fmt.Sprintf(`"dtmf_record_toggle":%t`, on))
		}
	}

	// The four rules, and then the call's recording by its user.
	admin.ask(t, "PUT", user, raw(`{
"call_record_outgoing_internal_enabled": true,
"call_record_outgoing_external_enabled": true,
"call_record_incoming_internal_enabled": true,
"call_record_incoming_external_enabled": true
}`), 204, "")
	admin.ask(t, "PUT", user, raw(`{"online_call_record_enabled": true}`), 204, "")
	caller, callee := s.meet("alice", "1002", "bob")
	first := s.runs("alice", recorder.Live).UUID
	for i, op := range []string{"stop", "start", "stop"} {
		s.clients["alice"].ask(t, "PUT", "/api/calld/user/me/calls/"+s.callOf("alice").CallID+"/record/"+op, nil, 204, "")
		if i == 0 {
			s.state(map[string]string{"alice": "inactive"})
		}
		if op == "start" {
			if again := s.runs("alice", recorder.Live).UUID; again == first {
				t.Error("a stop and a start are one file")
			}
			s.say(caller)
		}
	}
	s.over(caller)
	s.gone(callee)
	cdr := s.waitCDRs(1)[0]
	if n := len(cdr.Recordings); n != 2 {
		t.Fatalf("%d recordings, want 2", n)
	}

	// The list and the download, as the seed has them.
	logd := s.clientOf(api.CallLogd, "", "", "call-logd.#")
	for _, rec := range cdr.Recordings {
		logd.ask(t, "GET", "/1.0/cdr", nil, 200, rec.Filename)
		if wav := s.media(cdr, rec); rec.UUID != first {
			s.hears(wav, voices()["alice"])
		}
	}
}
