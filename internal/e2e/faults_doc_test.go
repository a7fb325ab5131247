package e2e

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// testsOfRepo are the names of all tests, read and not built.
func testsOfRepo(t *testing.T) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	must(t, filepath.WalkDir(filepath.Join("..", ".."), func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && d.Name() != "..":
			return fs.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") {
				out[f.Name.Name] = true
			}
		}
		return nil
	}))
	return out
}

// Issue 7, Shows 2: every fault says what it does to the call, the CDR and the
// recording and who is told, and is made by tests that exist.
func TestEveryFaultHasItsTest(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "faults.md"))
	must(t, err)
	tests := testsOfRepo(t)
	named := regexp.MustCompile("`(Test[A-Za-z0-9]+)(/[^`]*)?`")
	rows := 0
	for n, line := range strings.Split(string(text), "\n") {
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "| fault |") || strings.HasPrefix(line, "| ---") {
			continue
		}
		rows++
		cells := strings.Split(strings.Trim(line, "|"), "|")
		if len(cells) != 6 {
			t.Errorf("line %d has %d cells", n+1, len(cells))
			continue
		}
		for i, cell := range cells {
			if strings.TrimSpace(cell) == "" {
				t.Errorf("line %d: cell %d is empty", n+1, i+1)
			}
		}
		found := named.FindAllStringSubmatch(cells[5], -1)
		if len(found) == 0 {
			t.Errorf("line %d names no test: %s", n+1, cells[0])
		}
		for _, name := range found {
			if !tests[name[1]] {
				t.Errorf("line %d: there is no %s", n+1, name[1])
			}
		}
	}
	if rows < 50 {
		t.Errorf("there are %d faults only", rows)
	}
}
