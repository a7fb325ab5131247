package etc_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const licencesHead = `# Licences

Whose code is in the program, and under which licence; and what only builds, tests and measures it. Generated from ` + "`go list`" + ` and the modules' own licence files by ` + "`go test ./etc -update`" + `, and compared with them by each ` + "`make test`" + `. [layout.md](layout.md) says why each module is used. The texts of the licences are in the modules, where ` + "`go mod download`" + ` puts them; who passes the program on passes on those of the first table. SQLite itself, which go-sqlite3 contains, is in the public domain.
`

// module is one whose packages are used.
type module struct {
	Path, Version, Dir string
	Main               bool
}

// modules are those of the packages that the arguments name, and all they import.
func modules(t *testing.T, args ...string) map[string]module {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-deps", "-tags", "sqlite_fts5", "-json=Module"}, args...)...)
	cmd.Dir = ".."
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]module{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct{ Module *module }
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		if p.Module != nil && !p.Module.Main {
			found[p.Module.Path] = *p.Module
		}
	}
}

// licence recognises the licence of a module by its text.
func licence(t *testing.T, m module) string {
	t.Helper()
	var names []string
	for _, pattern := range []string{"LICEN[CS]E*", "COPYING*", "License*"} {
		found, err := filepath.Glob(filepath.Join(m.Dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, found...)
	}
	known := map[string]bool{}
	for _, name := range names {
		if info, err := os.Stat(name); err == nil && info.IsDir() {
			continue // texts of several, of which the module's own file names one
		}
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Join(strings.Fields(string(data)), " ")
		for id, marks := range map[string][]string{
			"MIT":          {"Permission is hereby granted, free of charge"},
			"Apache-2.0":   {"Apache License Version 2.0"},
			"ISC":          {"Permission to use, copy, modify, and/or distribute this software for any purpose"},
			"ISC ":         {"Permission to use, copy, modify, and distribute this software for any purpose"},
			"BSD-3-Clause": {"Redistribution and use in source and binary forms", "endorse or promote products"},
			"BSD-2-Clause": {"Redistribution and use in source and binary forms"},
			"MPL-2.0":      {"Mozilla Public License Version 2.0"},
		} {
			if !slices.ContainsFunc(marks, func(m string) bool { return !strings.Contains(text, m) }) {
				known[strings.TrimSpace(id)] = true
			}
		}
	}
	if known["BSD-3-Clause"] {
		delete(known, "BSD-2-Clause")
	}
	return strings.Join(slices.Sorted(maps.Keys(known)), " and ")
}

func table(t *testing.T, list map[string]module) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("\n| module | version | licence |\n| --- | --- | --- |\n")
	for _, path := range slices.Sorted(maps.Keys(list)) {
		m := list[path]
		is := licence(t, m)
		if is == "" {
			t.Errorf("%s %s has no licence that this test knows: look into %s", m.Path, m.Version, m.Dir)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", m.Path, m.Version, is)
	}
	return b.String()
}

// TestLicences compares docs/licences.md with what is compiled in, and refuses a
// module in the program whose licence would bind those who pass it on to more
// than its text.
func TestLicences(t *testing.T) {
	inside := modules(t, "./cmd/callrecordd")
	others := modules(t, "-test", "./...")
	for path, m := range inside {
		delete(others, path)
		for part := range strings.SplitSeq(licence(t, m), " and ") {
			if !slices.Contains([]string{"MIT", "BSD-2-Clause", "BSD-3-Clause", "ISC", "Apache-2.0"}, part) {
				t.Errorf("%s in the program is under %q", path, part)
			}
		}
	}
	want := licencesHead + "\n## In the program\n" + table(t, inside) + "\n## For building, tests, the demo and the benchmarks only\n" + table(t, others)
	path := filepath.Join("..", "docs", "licences.md")
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("%s differs; run: go test ./etc -update (-want +got):\n%s", path, diff)
	}
}
