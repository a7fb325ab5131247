package etc_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"callrecordd/internal/alarm"
)

// TestEveryAlarmIsDescribed sees that docs/alarms.md has a row for each kind, with
// its severity and sort, and for no other.
func TestEveryAlarmIsDescribed(t *testing.T) {
	data, err := os.ReadFile("../docs/alarms.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string][]string{}
	for line := range strings.Lines(string(data)) {
		if cells := strings.Split(line, " | "); strings.HasPrefix(line, "| `") && len(cells) == 5 {
			rows[strings.Trim(cells[0], "|` ")] = cells
		}
	}
	for _, i := range alarm.Kinds() {
		cells := rows[string(i.Kind)]
		sort := "happened"
		if i.Lasts {
			sort = "state"
		}
		if len(cells) == 0 || cells[1] != string(i.Severity) || !strings.HasPrefix(cells[2], sort) {
			t.Errorf("%s is described as %q", i.Kind, cells)
		}
		delete(rows, string(i.Kind))
	}
	for kind := range rows {
		t.Errorf("docs/alarms.md describes %s, which is no alarm", kind)
	}
}

// TestAlertRules sees that the rules can be read and speak of alarms that are.
func TestAlertRules(t *testing.T) {
	data, err := os.ReadFile("prometheus/callrecordd.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Labels      map[string]string
				Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, i := range alarm.Kinds() {
		kinds = append(kinds, string(i.Kind))
	}
	named := regexp.MustCompile(`kind=~?"([a-z_|]+)"`)
	count := 0
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			count++
			if r.Alert == "" || r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("%+v", r)
			}
			for _, m := range named.FindAllStringSubmatch(r.Expr, -1) {
				for kind := range strings.SplitSeq(m[1], "|") {
					if !slices.Contains(kinds, kind) {
						t.Errorf("%s speaks of %s, which is no alarm", r.Alert, kind)
					}
				}
			}
		}
	}
	if count < 5 {
		t.Errorf("%d rules", count)
	}
}
