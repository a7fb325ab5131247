package lab

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// errNoMirror says that the machine's apt configuration names no Debian archive.
var errNoMirror = errors.New("no Debian mirror among the machine's apt sources")

// aptSource is one archive of the machine's own apt configuration.
type aptSource struct {
	URI      string
	SignedBy string // key file, empty if the entry names none
	score    int    // how sure we are that it is Debian's main archive
}

// debianSources returns the Debian archives configured below etc (usually
// /etc/apt), the most likely one first. Both one-line and deb822 files count.
func debianSources(etc string) ([]aptSource, error) {
	files := []string{filepath.Join(etc, "sources.list")}
	for _, pattern := range []string{"*.list", "*.sources"} {
		found, err := filepath.Glob(filepath.Join(etc, "sources.list.d", pattern))
		if err != nil {
			return nil, fmt.Errorf("list apt sources in %s: %w", etc, err)
		}
		files = append(files, found...)
	}
	var all []aptSource
	for _, f := range files {
		text, err := os.ReadFile(f)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read apt source %s: %w", f, err)
		}
		if strings.HasSuffix(f, ".sources") {
			all = append(all, parseDeb822(string(text))...)
		} else {
			all = append(all, parseOneLine(string(text))...)
		}
	}
	slices.SortStableFunc(all, func(a, b aptSource) int { return b.score - a.score })
	all = slices.CompactFunc(all, func(a, b aptSource) bool { return a.URI == b.URI })
	if len(all) == 0 {
		return nil, fmt.Errorf("%w (looked in %s)", errNoMirror, etc)
	}
	return all, nil
}

// parseOneLine reads the sources.list format, see sources.list(5).
func parseOneLine(text string) []aptSource {
	var out []aptSource
	sc := bufio.NewScanner(strings.NewReader(text))
	for sc.Scan() {
		line, _, _ := strings.Cut(sc.Text(), "#")
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "deb")
		if !ok || rest == "" || (rest[0] != ' ' && rest[0] != '\t') {
			continue
		}
		rest = strings.TrimSpace(rest)
		signed := ""
		if strings.HasPrefix(rest, "[") {
			opts, after, found := strings.Cut(rest[1:], "]")
			if !found {
				continue
			}
			rest = after
			for o := range strings.FieldsSeq(opts) {
				if v, ok := strings.CutPrefix(o, "signed-by="); ok {
					signed = v
				}
			}
		}
		f := strings.Fields(rest)
		if len(f) >= 3 {
			out = appendDebian(out, f[0], signed, f[1:2], f[2:])
		}
	}
	return out
}

// parseDeb822 reads the .sources format, see sources.list(5).
func parseDeb822(text string) []aptSource {
	var out []aptSource
	fields, last := map[string]string{}, ""
	flush := func() {
		enabled := !strings.EqualFold(strings.TrimSpace(fields["enabled"]), "no")
		if enabled && slices.Contains(strings.Fields(fields["types"]), "deb") {
			for uri := range strings.FieldsSeq(fields["uris"]) {
				out = appendDebian(out, uri, fields["signed-by"],
					strings.Fields(fields["suites"]), strings.Fields(fields["components"]))
			}
		}
		fields, last = map[string]string{}, ""
	}
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimRight(line, " \t\r")
		switch {
		case strings.HasPrefix(line, "#"):
		case line == "":
			flush()
		case line[0] == ' ' || line[0] == '\t':
			fields[last] += "\n" + strings.TrimSpace(line)
		default:
			if k, v, ok := strings.Cut(line, ":"); ok {
				last = strings.ToLower(k)
				fields[last] = strings.TrimSpace(v)
			}
		}
	}
	flush()
	return out
}

// appendDebian adds the archive if it can be Debian's main one. A key written
// into the entry itself instead of a file name cannot be passed on.
func appendDebian(out []aptSource, uri, signed string, suites, components []string) []aptSource {
	signed = strings.TrimSpace(signed)
	if !filepath.IsAbs(signed) || strings.Contains(signed, "\n") {
		signed = ""
	}
	score := 0
	if strings.HasSuffix(strings.TrimRight(uri, "/"), "/debian") {
		score += 2
	}
	if strings.Contains(signed, "debian-archive") {
		score += 2
	}
	if slices.ContainsFunc(suites, func(s string) bool { return strings.Contains(s, "security") }) ||
		strings.Contains(uri, "security") || !slices.Contains(components, "main") {
		score = 0
	}
	if score == 0 {
		return out
	}
	return append(out, aptSource{URI: uri, SignedBy: signed, score: score})
}
