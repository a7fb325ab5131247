// Package setup brings an administrator's own Asterisk to what callrecordd
// needs (design 4, asterisk-facts 1 to 5), and back.
//
// What is to be written is planned by a pure function: texts in, texts out.
// Ours goes into files of its own in callrecordd.d; a file of the
// administrator gets one line at its end that includes it, and more only where
// Asterisk leaves no other way. The line is a #tryinclude, because of a plain
// #include that fails Asterisk refuses the whole file around it.
//
// It must not import anything of ours but dialplan and internal/asteriskconf.
package setup

import (
	"fmt"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"

	"callrecordd/internal/asteriskconf"
)

// Folder takes all files of ours; it is below Asterisk's configuration directory.
const Folder = "callrecordd.d"

// leanTypes are the messages that Asterisk need not build for us (asterisk-facts
// 7): nobody here listens to VarSet, and it is the bulk of what ARI sends.
// Whatever else is added must be measured: others lose these events too.
func leanTypes() []string { return []string{"ast_channel_varset_type"} }

// Options are what an installation chooses.
type Options struct {
	HTTPPort, AMIPort    int // wanted if the interface is not enabled yet
	ARIUser, ARIPassword string
	AMIUser, AMIPassword string
	ToggleCode           string // such as *3
	FeaturesFile         string // the daemon's dialplan with *26; "" for none
	Contexts             []string
	UsersOnly            bool     // --scope users: no global DYNAMIC_FEATURES
	Endpoints            []string // PJSIP endpoints of users, for UsersOnly
	Lean                 bool
}

// Edit is a file before and after. A nil Before is a file that is not there.
type Edit struct {
	Path   string // below Asterisk's configuration directory, or absolute
	Before *string
	After  string
	// Secret files consist of a password: a diff shows nothing of them.
	Secret bool
	// Like names the file whose owner a new one gets.
	Like string
}

// Finding is something that a person must know or decide.
type Finding struct {
	Where string // file:line, or file
	What  string
	Do    string // what to do, or nothing
}

// String is one line.
func (f Finding) String() string {
	text := f.What
	if f.Where != "" {
		text = f.Where + ": " + text
	}
	if f.Do != "" {
		text += "; " + f.Do
	}
	return text
}

// Plan is what setup would do. With conflicts nothing may be written.
type Plan struct {
	Edits     []Edit
	Conflicts []Finding
	Notes     []Finding
	// HTTPAddress and AMIAddress are where the interfaces will be, as host:port;
	// HTTPPrefix is the prefix of http.conf.
	HTTPAddress, HTTPPrefix, AMIAddress string
	// ARIPassword and AMIPassword are those in force afterwards: users that
	// were there before keep theirs.
	ARIPassword, AMIPassword string
}

// planner collects the plan, file by file.
type planner struct {
	files map[string]string // the administrator's, changed as we go
	own   map[string]string // ours, by name of the file they belong to
	o     Options
	plan  Plan
}

// Make plans. files maps paths below Asterisk's configuration directory to
// texts: all that are there, ours of an earlier run included. It is pure, and
// run on its own result it plans no edit.
func Make(files map[string]string, o Options) Plan {
	p := &planner{files: map[string]string{}, own: map[string]string{}, o: o}
	for name, text := range files {
		if !ours(name) {
			p.files[name] = text
		}
	}
	p.http()
	p.ari()
	p.manager()
	p.features()
	p.extensions()
	p.pjsip()
	p.cel()
	p.journal()
	p.modules()
	p.stasis()
	p.finish(files)
	return p.plan
}

// ours is true for our own files and for includes of them.
func ours(name string) bool { return strings.HasPrefix(path.Clean(name), Folder+"/") }

func (p *planner) merged(name string) *asteriskconf.Config {
	c := asteriskconf.Merge(p.files, name, ours)
	for _, problem := range c.Problems {
		if problem.Fatal {
			p.conflict(problem.File, problem.Line, "Asterisk refuses this file: "+problem.What, "put this right first")
		} else {
			p.note(where(problem.File, problem.Line), problem.What, "what it contains is not taken into account")
		}
	}
	return c
}

func where(file string, line int) string {
	if line == 0 {
		return file
	}
	return file + ":" + strconv.Itoa(line)
}

func at(e asteriskconf.Entry) string { return where(e.File, e.Line) }

func (p *planner) conflict(file string, line int, what, do string) {
	p.plan.Conflicts = append(p.plan.Conflicts, Finding{where(file, line), what, do})
}

func (p *planner) note(place, what, do string) {
	p.plan.Notes = append(p.plan.Notes, Finding{place, what, do})
}

// header opens a section in a file of ours: (+) extends one that is there, and
// makes Asterisk refuse the file if it is not.
func header(c *asteriskconf.Config, name string) string {
	if c.Category(name) != nil {
		return "[" + name + "](+)\n"
	}
	return "[" + name + "]\n"
}

// finish turns what was collected into edits, the files of ours first: a line
// that includes one is only written when it is there.
func (p *planner) finish(files map[string]string) {
	var mine, theirs []Edit
	add := func(list *[]Edit, name, after, like string) {
		before, there := files[name]
		if there && before == after {
			return
		}
		e := Edit{Path: name, After: after, Like: like}
		if there {
			e.Before = &before
		}
		*list = append(*list, e)
	}
	names := make([]string, 0, len(p.own)+len(p.files))
	for name := range p.own {
		names = append(names, name)
	}
	for name := range p.files {
		if _, ok := p.own[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		text := p.files[name]
		body := p.own[name]
		if _, there := files[Folder+"/"+name]; body != "" || there { // what an earlier run needed and this one does not is emptied
			add(&mine, Folder+"/"+name, "; Written by callrecordd setup, which writes it anew: change nothing here.\n"+body, name)
			text = p.included(name, text)
		}
		if original, there := files[name]; text != "" && (!there || original != text) {
			add(&theirs, name, text, "")
		}
	}
	p.plan.Edits = append(mine, theirs...)
}

// included appends the one line to a file.
func (p *planner) included(name, text string) string {
	parsed := asteriskconf.Parse(text)
	own := Folder + "/" + name
	for _, l := range parsed.Lines {
		if l.Kind == asteriskconf.Directive && path.Clean(l.Value) == own {
			return text
		}
	}
	if parsed.Open {
		p.conflict(name, len(parsed.Lines), "a comment that begins with ;-- does not end, so nothing can be added", "end it with --;")
		return text
	}
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n" // Debian ships http.conf so: the line would be part of a comment
	}
	return text + includeLine(name) + "\n"
}

// includeLine is what a file of the administrator gets.
func includeLine(name string) string { return `#tryinclude "` + Folder + "/" + name + `"` }

// listener finds out where an interface listens or will listen.
func listener(general *asteriskconf.Category, portKey string, standard, wanted int) (enabled bool, host string, port int, lines string) {
	port, host = standard, "127.0.0.1"
	if e, ok := general.Last(portKey); ok {
		if n, err := strconv.Atoi(e.Value); err == nil {
			port = n
		}
	}
	bound, isBound := general.Last("bindaddr")
	if ip := net.ParseIP(bound.Value); ip != nil && !ip.IsUnspecified() {
		host = bound.Value
	}
	if e, ok := general.Last("enabled"); ok && asteriskconf.True(e.Value) {
		return true, host, port, ""
	}
	lines = "enabled=yes\n"
	if !isBound {
		lines += "bindaddr=127.0.0.1\n"
	}
	if wanted != 0 && wanted != port {
		port = wanted
		lines += fmt.Sprintf("%s=%d\n", portKey, port)
	}
	return false, host, port, lines
}

func (p *planner) http() {
	c := p.merged("http.conf")
	general := c.Category("general")
	enabled, host, port, lines := listener(general, "bindport", 8088, p.o.HTTPPort)
	p.plan.HTTPAddress = net.JoinHostPort(host, strconv.Itoa(port))
	if e, ok := general.Last("prefix"); ok && e.Value != "" {
		p.plan.HTTPPrefix = "/" + strings.Trim(e.Value, "/")
	}
	if !enabled {
		p.own["http.conf"] = "; ARI is served by Asterisk's own HTTP server; loopback is enough for us.\n" + header(c, "general") + lines
	}
}

func (p *planner) ari() {
	c := p.merged("ari.conf")
	var b strings.Builder
	if e, ok := c.Category("general").Last("enabled"); ok && !asteriskconf.True(e.Value) {
		b.WriteString(header(c, "general") + "enabled=yes\n\n")
	}
	p.plan.ARIPassword = p.o.ARIPassword
	user := c.Category(p.o.ARIUser)
	if user == nil {
		fmt.Fprintf(&b, "; read_only must be no: *26 answers its call and tones are whispered over ARI.\n[%s]\ntype=user\nread_only=no\npassword=%s\n",
			p.o.ARIUser, p.o.ARIPassword)
	} else {
		p.adoptARI(user)
	}
	p.own["ari.conf"] = b.String()
}

// adoptARI takes over a user that was made by hand, if it can do all we need.
func (p *planner) adoptARI(user *asteriskconf.Category) {
	place := asteriskconf.Entry{File: "ari.conf"}
	if len(user.Entries) > 0 {
		place = user.Entries[0]
	}
	password, _ := user.Last("password")
	format, hasFormat := user.Last("password_format")
	readOnly, _ := user.Last("read_only")
	switch {
	case asteriskconf.True(readOnly.Value):
		p.conflict(place.File, place.Line, "the user ["+user.Name+"] has read_only=yes", "write read_only=no, or choose another asterisk.ari_user")
	case password.Value == "" || hasFormat && format.Value != "plain":
		p.conflict(place.File, place.Line, "the password of ["+user.Name+"] is not there in plain text", "choose another asterisk.ari_user, which setup then makes")
	default:
		p.plan.ARIPassword = password.Value
	}
}

func (p *planner) manager() {
	c := p.merged("manager.conf")
	enabled, host, port, lines := listener(c.Category("general"), "port", 5038, p.o.AMIPort)
	if enabled && p.o.AMIPort != 0 && p.o.AMIPort != port {
		p.note("manager.conf", fmt.Sprintf("the manager listens on port %d already", port), "callrecordd will use that")
	}
	p.plan.AMIAddress = net.JoinHostPort(host, strconv.Itoa(port))
	p.plan.AMIPassword = p.o.AMIPassword
	var b strings.Builder
	if !enabled {
		b.WriteString(header(c, "general") + lines + "\n")
	}
	if user := c.Category(p.o.AMIUser); user == nil {
		fmt.Fprintf(&b, "; MixMonitor needs class system, stop and mute need call. There is no read\n"+
			"; class: a session that receives events makes Asterisk format every one.\n"+
			"[%s]\nsecret=%s\ndeny=0.0.0.0/0.0.0.0\npermit=%s\nwrite=system,call\n", p.o.AMIUser, p.o.AMIPassword, onlyHost(host))
	} else {
		p.adoptAMI(user)
	}
	p.own["manager.conf"] = b.String()
}

func onlyHost(host string) string {
	if ip := net.ParseIP(host); ip != nil && ip.To4() == nil {
		return host + "/128"
	}
	return host + "/255.255.255.255"
}

func (p *planner) adoptAMI(user *asteriskconf.Category) {
	place := asteriskconf.Entry{File: "manager.conf"}
	if len(user.Entries) > 0 {
		place = user.Entries[0]
	}
	secret, ok := user.Last("secret")
	write, _ := user.Last("write")
	list := splitWords(write.Value)
	all := slices.Contains(list, "all")
	switch {
	case !ok:
		p.conflict(place.File, place.Line, "the user ["+user.Name+"] has no secret", "choose another asterisk.ami_user, which setup then makes")
	case !all && (!slices.Contains(list, "system") || !slices.Contains(list, "call")):
		p.conflict(place.File, place.Line, "the user ["+user.Name+"] may not do enough", "write: write=system,call")
	default:
		p.plan.AMIPassword = secret.Value
	}
}
