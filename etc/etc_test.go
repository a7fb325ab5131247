// Package etc_test compares what is shipped in etc and systemd with the code
// that defines it.
package etc_test

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"callrecordd/config"
	"callrecordd/dialplan"
)

var update = flag.Bool("update", false, "write the shipped files anew")

// shipped are the files in etc/asterisk.
func shipped() map[string]string {
	files := map[string]string{"journal.sql": dialplan.JournalSchema()}
	for _, s := range dialplan.Snippets(dialplan.SnippetOptions{}) {
		files[s.File] = s.Text
	}
	return files
}

// TestSnippets compares etc/asterisk with package dialplan.
func TestSnippets(t *testing.T) {
	want := shipped()
	for name, text := range want {
		path := filepath.Join("asterisk", name)
		if *update {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			continue
		}
		if diff := cmp.Diff(text, string(got)); diff != "" {
			t.Errorf("%s differs; run: go test ./etc -update (-want +got):\n%s", path, diff)
		}
	}
	entries, err := os.ReadDir("asterisk")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if _, ok := want[e.Name()]; !ok {
			t.Errorf("asterisk/%s comes from nowhere; remove it", e.Name())
		}
	}
}

// TestFeaturesPath sees that Asterisk's dialplan looks for *26 where the daemon
// writes it by default.
func TestFeaturesPath(t *testing.T) {
	if want := config.Default().State.Features(); dialplan.DefaultFeaturesPath != want {
		t.Errorf("extensions.conf includes %s, the daemon writes %s", dialplan.DefaultFeaturesPath, want)
	}
}

// TestUnit sees that the service may write where the default configuration
// lets it write.
func TestUnit(t *testing.T) {
	data, err := os.ReadFile("../systemd/callrecordd.service")
	if err != nil {
		t.Fatal(err)
	}
	unit := map[string][]string{}
	for line := range strings.Lines(string(data)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(key, "#") {
			unit[key] = append(unit[key], strings.Fields(value)...)
		}
	}
	c := config.Default()
	for key, want := range map[string]string{
		"ReadWritePaths":   "-" + c.Recordings.Root,
		"StateDirectory":   filepath.Base(c.State.Dir),
		"RuntimeDirectory": filepath.Base(filepath.Dir(c.State.Socket)),
		"ExecStart":        config.DefaultPath,
		"Type":             "notify",
	} {
		if !slices.Contains(unit[key], want) {
			t.Errorf("%s=%v lacks %s", key, unit[key], want)
		}
	}
	// A reader of a WAL database writes its -shm file.
	if want := "-" + filepath.Dir(c.Asterisk.Journal); !slices.Contains(unit["ReadWritePaths"], want) {
		t.Errorf("ReadWritePaths=%v lacks %s", unit["ReadWritePaths"], want)
	}
}

// TestWeeklyExportTakesATenantWithDashes: %I is the instance unescaped, in which
// each dash is a slash, so that no uuid was found as a tenant.
func TestWeeklyExportTakesATenantWithDashes(t *testing.T) {
	unit, err := os.ReadFile(filepath.Join("..", "systemd", "callrecordd-export@.service"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(unit)) {
		if command, ok := strings.CutPrefix(line, "ExecStart="); ok && strings.Contains(command, " --tenant %i ") {
			return
		}
	}
	t.Errorf("the tenant is not the instance as it is written:\n%s", unit)
}
