package asteriskconf

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// maxDepth bounds includes that include each other; Asterisk's own limit is 10.
const maxDepth = 10

// Entry is a setting in force, with its place.
type Entry struct {
	File        string
	Line        int // from 1
	Name, Value string
}

// Category is a section as Asterisk keeps it: two sections of one name are two
// categories, of which most modules only look at the first, unless the second
// is written with (+).
type Category struct {
	Name     string
	Template bool // [name](!)
	Entries  []Entry
}

// Problem is something for which Asterisk refuses the file, or a part that
// could not be followed.
type Problem struct {
	File string
	Line int
	What string
	// Fatal is true if Asterisk stops reading there.
	Fatal bool
}

// Config is a file with all that it includes.
type Config struct {
	Categories []*Category
	Problems   []Problem
	// Included are the paths and patterns of all includes, as written.
	Included []string
}

// Merge reads the file name out of files, which maps paths below Asterisk's
// configuration directory to texts, and follows its includes. Includes for
// which skip is true are left out. A file that is not there is an empty Config.
func Merge(files map[string]string, name string, skip func(include string) bool) *Config {
	m := merger{files: files, skip: skip, out: &Config{}}
	if text, ok := files[name]; ok {
		m.file(name, text, 0)
	}
	return m.out
}

type merger struct {
	files   map[string]string
	skip    func(string) bool
	out     *Config
	current *Category
	stopped bool
}

func (m *merger) problem(file string, line int, fatal bool, format string, args ...any) {
	m.out.Problems = append(m.out.Problems, Problem{file, line, fmt.Sprintf(format, args...), fatal})
	m.stopped = m.stopped || fatal
}

func (m *merger) file(name, text string, depth int) {
	for i, l := range Parse(text).Lines {
		if m.stopped {
			return
		}
		switch l.Kind {
		case Section:
			m.section(name, i+1, l)
		case Directive:
			m.include(name, i+1, l, depth)
		case Setting:
			m.setting(name, i+1, l)
		case Blank, Broken: // Asterisk passes over them
		}
	}
}

func (m *merger) section(file string, line int, l Line) {
	c := &Category{Name: l.Name}
	for _, o := range l.Options {
		if o == "!" {
			c.Template = true
			continue
		}
		filter, extend := strings.CutPrefix(o, "+")
		base := m.find(o, "")
		if extend {
			base = m.find(l.Name, filter)
		}
		switch {
		case base == nil:
			m.problem(file, line, true, "section [%s] refers to one that is not there: %s", l.Name, o)
			return
		case extend:
			m.current = base
			return
		}
		c.Entries = append(c.Entries, base.Entries...)
	}
	m.out.Categories = append(m.out.Categories, c)
	m.current = c
}

// find returns the first category of that name which has all name=value pairs
// of the filter.
func (m *merger) find(name, filter string) *Category {
	for _, c := range m.out.Categories {
		if !strings.EqualFold(c.Name, name) {
			continue
		}
		ok := true
		if filter != "" {
			for pair := range strings.SplitSeq(filter, "&") {
				key, value, _ := strings.Cut(pair, "=")
				ok = ok && slices.ContainsFunc(c.Entries, func(e Entry) bool {
					return strings.EqualFold(e.Name, key) && e.Value == value
				})
			}
		}
		if ok {
			return c
		}
	}
	return nil
}

func (m *merger) setting(file string, line int, l Line) {
	if m.current == nil {
		m.problem(file, line, true, "%q stands before the first [section], so Asterisk refuses the whole file", l.Name)
		return
	}
	if l.Append {
		for i := len(m.current.Entries) - 1; i >= 0; i-- {
			if e := &m.current.Entries[i]; strings.EqualFold(e.Name, l.Name) {
				e.Value += l.Value
				return
			}
		}
	}
	m.current.Entries = append(m.current.Entries, Entry{file, line, l.Name, l.Value})
}

func (m *merger) include(file string, line int, l Line, depth int) {
	if m.skip != nil && m.skip(l.Value) {
		return
	}
	m.out.Included = append(m.out.Included, l.Value)
	if l.Name == "exec" {
		m.problem(file, line, false, "#exec %s: what it prints is not known", l.Value)
		return
	}
	if depth >= maxDepth {
		m.problem(file, line, true, "includes include each other")
		return
	}
	found := false
	for _, name := range m.names() {
		if ok, err := path.Match(l.Value, name); name == l.Value || err == nil && ok {
			found = true
			m.file(name, m.files[name], depth+1)
		}
	}
	if !found && l.Name == "include" && !strings.ContainsAny(l.Value, "*?[") {
		// Whether Asterisk finds it cannot be said: it may lie elsewhere.
		m.problem(file, line, false, "#include %s: the file is not known", l.Value)
	}
}

func (m *merger) names() []string {
	names := make([]string, 0, len(m.files))
	for n := range m.files {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// Category returns the first section of that name that is no template: the one
// that modules with fixed section names look at. It is nil if there is none.
func (c *Config) Category(name string) *Category {
	for _, k := range c.Categories {
		if !k.Template && strings.EqualFold(k.Name, name) {
			return k
		}
	}
	return nil
}

// All returns the settings of that name in their order. A nil Category has none.
func (k *Category) All(name string) []Entry {
	var out []Entry
	if k == nil {
		return nil
	}
	for _, e := range k.Entries {
		if strings.EqualFold(e.Name, name) {
			out = append(out, e)
		}
	}
	return out
}

// Last returns the setting that counts where modules keep the last one.
func (k *Category) Last(name string) (Entry, bool) {
	all := k.All(name)
	if len(all) == 0 {
		return Entry{}, false
	}
	return all[len(all)-1], true
}

// Words returns the comma-separated words of all settings of that name.
func (k *Category) Words(name string) []string {
	var out []string
	for _, e := range k.All(name) {
		for w := range strings.SplitSeq(e.Value, ",") {
			if w = strings.TrimFunc(w, isSpace); w != "" {
				out = append(out, w)
			}
		}
	}
	return out
}
