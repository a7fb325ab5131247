package config

import (
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

const (
	// maxSocket is what the kernel allows for the path of a unix socket.
	maxSocket = 107
	minPoll   = 10 * time.Millisecond
	maxPoll   = 10 * time.Second
	minKeep   = time.Hour
)

// report collects problems.
type report []string

func (r *report) add(key, format string, args ...any) {
	*r = append(*r, key+": "+fmt.Sprintf(format, args...))
}

// Validate checks everything that can be checked without asking the system,
// and tells every problem in one *Error.
func (c Config) Validate() error {
	if problems := c.problems(true); len(problems) > 0 {
		return &Error{Problems: problems}
	}
	return nil
}

func (c Config) problems(withPasswords bool) []string {
	var r report
	for _, f := range fields(&c) {
		checkCharacters(&r, f)
	}
	if len(r) > 0 { // the rest would quote them
		return r
	}
	c.Asterisk.validate(&r, withPasswords)
	checkPath(&r, "recordings.root", c.Recordings.Root)
	// Asterisk joins file, options and command by commas, and takes variables and
	// expressions apart before that (asterisk-facts 1).
	if i := strings.IndexAny(c.Recordings.Root, ",|${}()&\"'\\;"); i >= 0 {
		r.add("recordings.root", "%q contains %q, which Asterisk would not take as a part of a file's name; choose another folder",
			c.Recordings.Root, c.Recordings.Root[i])
	}
	checkOneOf(&r, "recordings.pause", c.Recordings.Pause, PauseMute, PauseCut)
	c.Recordings.validateOrphans(&r)
	c.Alarms.validate(&r)
	c.OnDemand.validate(&r)
	checkPath(&r, "state.dir", c.State.Dir)
	checkPath(&r, "state.socket", c.State.Socket)
	if n := len(c.State.Socket); n > maxSocket {
		r.add("state.socket", "the path has %d bytes, the system allows %d; choose a shorter one", n, maxSocket)
	}
	c.HTTP.validate(&r)
	c.Accounts.validate(&r)
	c.Exports.validate(&r)
	c.Mail.validate(&r)
	c.Webhooks.validate(&r)
	c.Retention.validate(&r)
	c.Ledger.validate(&r)
	c.Audit.validate(&r)
	if p := c.Journal.Poll; p < minPoll || p > maxPoll {
		r.add("journal.poll", "%s is out of range; choose %s to %s", p, minPoll, maxPoll)
	}
	if k := c.Journal.Keep; k != 0 && k < minKeep {
		r.add("journal.keep", "%s is too short; choose at least %s, or 0 to keep all rows", k, minKeep)
	}
	checkOneOf(&r, "log.level", c.Log.Level, "debug", "info", "warn", "error")
	checkOneOf(&r, "log.format", c.Log.Format, "text", "json", "auto")
	return r
}

func (a Asterisk) validate(r *report, withPasswords bool) {
	checkURL(r, "asterisk.ari_url", a.ARIURL)
	checkUser(r, "asterisk.ari_user", a.ARIUser, "ari.conf")
	if withPasswords && a.ARIPassword == "" && a.ARIPasswordFile == "" {
		r.add("asterisk.ari_password", "is empty; set it, or asterisk.ari_password_file, to the password in ari.conf")
	}
	if a.ARIPasswordFile != "" {
		checkFile(r, "asterisk.ari_password_file", a.ARIPasswordFile)
	}
	// The name stands in the dialplan, Stasis(name,toggle), and in addresses.
	if !regexp.MustCompile(`^[A-Za-z0-9_.-]+$`).MatchString(a.App) {
		r.add("asterisk.app", "%q is no application name; use letters, digits, dot, dash and underscore", a.App)
	}
	checkAddress(r, "asterisk.ami_address", a.AMIAddress)
	if host, port, err := net.SplitHostPort(a.AMIAddress); err == nil && (host == "" || port == "0") {
		r.add("asterisk.ami_address", "%q lacks the host or the port; write host:port, such as 127.0.0.1:5038", a.AMIAddress)
	}
	checkUser(r, "asterisk.ami_user", a.AMIUser, "manager.conf")
	if withPasswords && a.AMIPassword == "" && a.AMIPasswordFile == "" {
		r.add("asterisk.ami_password", "is empty; set it, or asterisk.ami_password_file, to the secret in manager.conf")
	}
	if a.AMIPasswordFile != "" {
		checkFile(r, "asterisk.ami_password_file", a.AMIPasswordFile)
	}
	checkPath(r, "asterisk.journal", a.Journal)
	checkTechnologies(r, a.Technologies)
}

func checkTechnologies(r *report, list []string) {
	const key = "asterisk.technologies"
	if len(list) == 0 {
		r.add(key, "is empty, so no channel would be a party of a call; write [PJSIP] or remove the key")
	}
	inner := []string{"Local", "Snoop", "Surrogate", "Announcer", "CBAnn", "Recorder", "UnicastRTP", "Message"}
	name := regexp.MustCompile(`^[A-Za-z0-9]+$`)
	for i, t := range list {
		switch {
		case !name.MatchString(t):
			r.add(key, "%q is no technology; write what stands before the slash in a channel's name, such as PJSIP", t)
		case slices.Contains(inner, t):
			r.add(key, "%s is made by Asterisk itself and belongs to no telephone; remove it", t)
		case slices.Contains(list[:i], t):
			r.add(key, "%s is listed twice; remove one", t)
		}
	}
}

func (o OnDemand) validate(r *report) {
	checkOneOf(r, "on_demand.source", o.Source, SourceFeature, SourceDTMF)
	if !regexp.MustCompile(`^[0-9A-D*#]{1,16}$`).MatchString(o.Code) {
		r.add("on_demand.code", `%q is no code; use digits, * and #, such as "*3"`, o.Code)
	}
	checkOneOf(r, "on_demand.cycle", o.Cycle, CyclePause, CycleStop)
}

func (a Accounts) validate(r *report) {
	for _, access := range a.UserPolicy {
		if access == "" || strings.ContainsFunc(access, unicode.IsSpace) {
			r.add("accounts.user_policy", "%q is no access; write one like call-logd.users.me.#", access)
		}
	}
	if n := a.MaxSessions; n < 1 || n > 10_000 {
		r.add("accounts.max_sessions", "%d is out of range; choose 1 to 10000", n)
	}
	if d := a.TokenLifetime; d < time.Minute || d > 87600*time.Hour {
		r.add("accounts.token_lifetime", "%s is out of range; choose 1m to 87600h", d)
	}
}

func (h HTTP) validate(r *report) {
	lists := []struct {
		key  string
		list []string
	}{
		{"http.listen", h.Listen},
		{"http.listen_auth", h.ListenAuth},
		{"http.listen_confd", h.ListenConfd},
		{"http.listen_calld", h.ListenCalld},
		{"http.listen_webhookd", h.ListenWebhookd},
		{"http.listen_websocketd", h.ListenWebsocketd},
		{"http.listen_tls", h.ListenTLS},
	}
	if len(h.Listen) == 0 {
		r.add(lists[0].key, `is empty; write ["127.0.0.1:9298"] or remove the key`)
	}
	var seen []string
	for _, l := range lists {
		for _, address := range l.list {
			checkAddress(r, l.key, address)
			if slices.Contains(seen, address) && !strings.HasSuffix(address, ":0") {
				r.add(l.key, "%s is listed twice; remove one", address)
			}
			seen = append(seen, address)
		}
	}
	checkRange(r, "http.streams", h.Streams, 1, 10_000)
	h.validateTLS(r)
	for _, proxy := range h.TrustedProxies {
		if _, err := parseProxy(proxy); err != nil {
			r.add("http.trusted_proxies", "%q is neither an address nor a network; write 127.0.0.1 or 10.0.0.0/8", proxy)
		}
	}
}

func (h HTTP) validateTLS(r *report) {
	files := []struct{ key, path string }{{"http.certificate", h.Certificate}, {"http.certificate_key", h.CertificateKey}}
	for _, f := range files {
		switch {
		case f.path != "" && f.key == "http.certificate_key":
			checkFile(r, f.key, f.path)
		case f.path != "":
			checkPath(r, f.key, f.path)
		case len(h.ListenTLS) > 0:
			r.add(f.key, "is empty, and http.listen_tls needs it; run `callrecordd setup`, which makes one")
		}
	}
}

// checkCharacters refuses what would end a line of AMI, a header or a path.
func checkCharacters(r *report, f field) {
	texts := []string{}
	switch v := f.value.Interface().(type) {
	case string:
		texts = append(texts, v)
	case Secret:
		texts = append(texts, v.Reveal())
	case []string:
		texts = append(texts, v...)
	}
	for _, text := range texts {
		if strings.ContainsFunc(text, unicode.IsControl) {
			r.add(f.key(), "contains a line break or another control character; remove it")
			return
		}
	}
}

func checkPath(r *report, key, path string) {
	switch {
	case path == "":
		r.add(key, "is empty; write an absolute path or remove the key")
	case !filepath.IsAbs(path):
		r.add(key, "%q is not an absolute path; let it begin with /", path)
	case filepath.Clean(path) == "/":
		r.add(key, "%q is the whole file system; choose a folder of its own", path)
	}
}

func checkURL(r *report, key, text string) {
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		// The text is not shown: it may contain a password that could not be parsed.
		r.add(key, "is not an address; write http://host:port, such as http://127.0.0.1:8088")
	case u.User != nil:
		r.add(key, "contains a user or password; use asterisk.ari_user and asterisk.ari_password")
	case u.RawQuery != "", u.Fragment != "":
		r.add(key, "%q has a part after ? or #; remove it", text)
	}
}

func checkUser(r *report, key, user, file string) {
	switch {
	case user == "":
		r.add(key, "is empty; write the name of the user in %s", file)
	case strings.ContainsAny(user, ":[]"):
		r.add(key, "%q contains a colon or a bracket; choose another name in %s", user, file)
	}
}

func checkAddress(r *report, key, address string) {
	host, port, err := net.SplitHostPort(address)
	if err != nil || strings.ContainsAny(host, " /") {
		r.add(key, "%q is not an address; write host:port, with an IPv6 address in brackets", address)
		return
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		r.add(key, "%q has no valid port; it must be a number up to 65535", address)
	}
}

func checkOneOf(r *report, key, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		r.add(key, "%q is unknown; use %s or %s", value,
			strings.Join(allowed[:len(allowed)-1], ", "), allowed[len(allowed)-1])
	}
}
