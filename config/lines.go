package config

import (
	"fmt"
	"os"
	"strings"
)

// withLines puts the line in front of those problems whose key stands in the
// file. A value from the environment has none.
func withLines(text string, problems []string) []string {
	out := make([]string, len(problems))
	for i, p := range problems {
		out[i] = p
		key, _, _ := strings.Cut(p, ": ")
		section, name, _ := strings.Cut(key, ".")
		if _, fromEnv := os.LookupEnv(field{section: section, name: name}.env()); fromEnv {
			continue
		}
		if line := lineOf(text, section, name); line > 0 {
			out[i] = fmt.Sprintf("line %d: %s", line, p)
		}
	}
	return out
}

// lineOf finds the line, from 1, of a section or, with a name, of a key in it;
// 0 if it is not there in the shape that the sample has.
func lineOf(text, section, name string) int {
	inside, n := false, 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimRight(line, "\r\n")
		body := strings.TrimLeft(line, " \t")
		key, _, found := strings.Cut(body, ":")
		switch key = strings.Trim(key, `"' `); {
		case !found, strings.HasPrefix(body, "#"):
		case body == line:
			if inside = key == section; inside && name == "" {
				return n
			}
		case inside && key == name:
			return n
		}
	}
	return 0
}
