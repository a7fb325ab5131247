package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Shows 6: the curl lines of the README about recordings work as printed; only
// the address is another. They run from top to bottom, in one shell.
func TestReadmesCurlLines(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	rec := v.put(made{id: 1, tenant: v.tenant(""), recordings: 1})
	v.run()
	data, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	must(t, err)
	lines := regexp.MustCompile(`(?m)^    (curl .*127\.0\.0\.1:9298/.*)$`).FindAllStringSubmatch(string(data), -1)
	dir := t.TempDir()
	env := append(os.Environ(), "TOKEN="+v.token, "RECORDING="+rec[0][0])
	run := func(line string) (string, string) {
		t.Helper()
		line = strings.ReplaceAll(line, "127.0.0.1:9298", v.address())
		cmd := exec.CommandContext(within(t), "sh", "-c", strings.Replace(line, "curl ", `curl -sS -w '%{stderr}%{http_code}' `, 1))
		cmd.Dir, cmd.Env = dir, env
		var status strings.Builder
		cmd.Stderr = &status
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v %s", line, err, status.String())
		}
		return string(out), status.String()
	}
	want := map[string]string{"POST export": "202", "PUT hold": "204", "DELETE hold": "204", "DELETE media": "204", "PUT retention": "204", "POST link": "201"}
	seen := map[string]int{}
	for _, m := range lines {
		line := m[1]
		kind := "GET"
		if x := regexp.MustCompile(`-X (\S+)`).FindStringSubmatch(line); x != nil {
			kind = x[1]
		} else if strings.Contains(line, " -d ") {
			kind = "POST"
		}
		path, _, _ := strings.Cut(strings.TrimSuffix(line[strings.LastIndex(line, "9298")+4:], `"`), "?")
		kind += " " + path[strings.LastIndex(path, "/")+1:]
		seen[kind]++
		out, status := run(line)
		if expect := orText(want[kind], "200"); status != expect {
			t.Errorf("%s: %s %s, want %s", line, status, out, expect)
		}
		if m := regexp.MustCompile(`^\{"uuid":"([^"]+)"\}`).FindStringSubmatch(out); m != nil {
			env = append(env, "EXPORT="+m[1])
			v.ended(m[1])
		}
	}
	for kind := range want {
		if seen[kind] == 0 {
			t.Errorf("the README shows no %s: %v", kind, seen)
		}
	}
	for _, name := range []string{"call.wav", "recordings.zip"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() < 1000 {
			t.Errorf("%s: %v", name, fmt.Sprint(info, err))
		}
	}
	if exists(v.path(v.recordingTenant(), rec[0][0])) {
		t.Error("the recording is still there")
	}
}

// recordingTenant is the only tenant that has recordings.
func (v *vault) recordingTenant() string {
	v.t.Helper()
	dirs, err := os.ReadDir(v.cfg.Recordings.Root)
	must(v.t, err)
	return dirs[0].Name()
}
