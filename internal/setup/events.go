package setup

import (
	"fmt"
	"slices"
	"strings"

	"callrecordd/dialplan"
	"callrecordd/internal/asteriskconf"
)

// cel adds our events and applications. Asterisk unites all lines of apps= and
// events=, so that other back ends keep theirs; DTMF alone is taken out.
func (p *planner) cel() {
	p.withoutDigits()
	c := p.merged("cel.conf")
	if e, ok := c.Category("general").Last("dateformat"); ok && e.Value != "" {
		p.conflict(e.File, e.Line, "dateformat is set: the journal needs times as seconds since 1970",
			"remove this line; other CEL back ends then get their times so, too")
	}
	p.own["cel.conf"] = "; Joined by Asterisk with the other lines of apps= and events=. Never DTMF: card numbers would be in the journal.\n" +
		header(c, "general") + dialplan.CELSettings()
}

// withoutDigits takes ALL and DTMF out of every events= line of cel.conf and of
// what it includes. No include can do that: lines are only ever united.
func (p *planner) withoutDigits() {
	for _, e := range asteriskconf.Merge(p.files, "cel.conf", ours).Category("general").All("events") {
		words := splitWords(e.Value)
		kept := slices.DeleteFunc(slices.Clone(words), func(w string) bool {
			return strings.EqualFold(w, "DTMF") || strings.EqualFold(w, "ALL")
		})
		if len(kept) == len(words) {
			continue
		}
		what := "DTMF digits would be in the journal: DTMF is taken out, for the other CEL back ends too"
		if slices.ContainsFunc(words, func(w string) bool { return strings.EqualFold(w, "ALL") }) {
			kept = dialplan.CELEvents()
			what = "ALL has DTMF digits in it, which would be in the journal: it is replaced by all other events that every version of Asterisk knows"
		}
		p.replaceLine(e, "events="+strings.Join(kept, ",")+"\n")
		p.note(at(e), what, "")
	}
}

func splitWords(s string) []string {
	var out []string
	for w := range strings.SplitSeq(s, ",") {
		out = append(out, strings.TrimSpace(w))
	}
	return out
}

// replaceLine puts text, which may be empty, in the place of a line, which
// stays as a comment.
func (p *planner) replaceLine(e asteriskconf.Entry, text string) {
	lines := asteriskconf.Parse(p.files[e.File])
	l := &lines.Lines[e.Line-1]
	raw := l.Raw
	if !strings.HasSuffix(raw, "\n") {
		raw += "\n"
	}
	l.Raw = "; callrecordd setup: " + raw + text
	p.files[e.File] = lines.String()
}

// journal configures the table. Asterisk writes one table per file, so one that
// is in use for something else cannot be ours.
func (p *planner) journal() {
	const name = "cel_sqlite3_custom.conf"
	p.strayLines(name)
	c := p.merged(name)
	master := c.Category("master")
	if master == nil {
		p.own[name] = dialplan.JournalConf()
		return
	}
	want := asteriskconf.Merge(map[string]string{name: dialplan.JournalConf()}, name, nil).Category("master")
	for _, key := range []string{"table", "columns", "values"} {
		have, _ := master.Last(key)
		ideal, _ := want.Last(key)
		if squeeze(have.Value) != squeeze(ideal.Value) {
			p.conflict(name, have.Line, "[master] is in use with other "+key,
				"callrecordd needs that table: move what uses it to another CEL back end, such as cel_custom, and remove [master]")
			return
		}
	}
}

func squeeze(s string) string { return strings.ReplaceAll(s, " ", "") }

// strayLines comments out what stands before the first section. Debian ships
// such a line with Asterisk 22, and Asterisk refuses the whole file for it.
func (p *planner) strayLines(name string) {
	for i, l := range asteriskconf.Parse(p.files[name]).Lines {
		switch l.Kind {
		case asteriskconf.Section, asteriskconf.Directive:
			return
		case asteriskconf.Setting:
			p.note(where(name, i+1), "this line stands before the first [section], for which Asterisk refuses the file: it is made a comment", "")
			p.replaceStray(name, i+1)
			p.strayLines(name)
			return
		case asteriskconf.Blank, asteriskconf.Broken:
		}
	}
}

func (p *planner) replaceStray(name string, line int) {
	p.replaceLine(asteriskconf.Entry{File: name, Line: line}, "")
}

// modules sees that what we need is loaded.
func (p *planner) modules() {
	const name = "modules.conf"
	c := p.merged(name)
	k := c.Category("modules")
	auto, set := k.Last("autoload")
	loaded := map[string]bool{}
	for _, key := range []string{"load", "require", "preload", "preload-require"} {
		for _, e := range k.All(key) {
			loaded[strings.TrimSuffix(e.Value, ".so")] = true
		}
	}
	var b strings.Builder
	for _, m := range dialplan.Modules() {
		for _, e := range k.All("noload") {
			if strings.TrimSuffix(e.Value, ".so") == m {
				p.replaceLine(e, "")
				p.note(at(e), m+" is needed: the line is made a comment", "")
			}
		}
		if set && !asteriskconf.True(auto.Value) && !loaded[m] {
			fmt.Fprintf(&b, "load => %s.so\n", m)
		}
	}
	if b.Len() > 0 {
		p.own[name] = header(c, "modules") + b.String()
	}
}

// stasis keeps Asterisk from building messages that we do not need.
func (p *planner) stasis() {
	if !p.o.Lean {
		return
	}
	c := p.merged("stasis.conf")
	var b strings.Builder
	b.WriteString(header(c, "declined_message_types"))
	for _, t := range leanTypes() {
		b.WriteString("decline=" + t + "\n")
	}
	p.own["stasis.conf"] = b.String()
	p.note("stasis.conf", "--lean takes these events away from everybody on this PBX, AMI and ARI: "+strings.Join(leanTypes(), ", "),
		"do not use it if another program listens to VarSet")
}
