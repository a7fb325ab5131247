package config

import (
	"maps"
	"slices"
	"strings"
)

// SetKeys returns the text of a configuration file in which the keys of a
// section have these values, and everything else, comments included, stands as
// it was. A key whose value is "" is made a comment. A line that shows the key
// as a commented example is left alone.
func SetKeys(text, section string, values map[string]string) string {
	lines := slices.Collect(strings.Lines(text))
	start := slices.IndexFunc(lines, func(l string) bool { return strings.TrimRight(l, " \t\r\n") == section+":" })
	if start < 0 {
		if text != "" && !strings.HasSuffix(text, "\n") {
			lines = append(lines, "\n")
		}
		start = len(lines)
		lines = append(lines, section+":\n")
	}
	end := start + 1
	for end < len(lines) && (strings.TrimSpace(lines[end]) == "" || strings.ContainsRune(" \t#", rune(lines[end][0]))) {
		end++
	}
	if end > 0 && !strings.HasSuffix(lines[end-1], "\n") {
		lines[end-1] += "\n"
	}
	indent := "  "
	missing := maps.Clone(values)
	for i := start + 1; i < end; i++ {
		body := strings.TrimLeft(lines[i], " \t")
		name, _, found := strings.Cut(body, ":")
		value, wanted := values[name]
		if !found || strings.HasPrefix(body, "#") || body == lines[i] {
			continue
		}
		indent = lines[i][:len(lines[i])-len(body)]
		if !wanted {
			continue
		}
		delete(missing, name)
		if value == "" {
			lines[i] = indent + "# " + body
		} else {
			lines[i] = indent + name + ": " + scalar(value) + "\n"
		}
	}
	var added []string
	for name, value := range missing {
		if value != "" {
			added = append(added, indent+name+": "+scalar(value)+"\n")
		}
	}
	slices.Sort(added)
	return strings.Join(slices.Insert(lines, start+1, added...), "")
}
