package dialplan

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestFeaturesDialplan(t *testing.T) {
	markers := map[string]string{}
	for name, f := range map[string]Features{
		"features.conf":            {App: "callrecordd", Exten: "*26", Enabled: true},
		"features-renumbered.conf": {App: "callrecordd", Exten: "#*4", Enabled: true},
		"features-disabled.conf":   {App: "callrecordd", Exten: "*26"},
		"features-safety.conf": {App: "callrecordd", Exten: "*26", Enabled: true, Net: SafetyNet{Root: "/srv/recordings", Users: []MustRecord{
			{Tenant: "t-1", Endpoints: []string{"PJSIP/alice", "PJSIP/alice-soft"}, Places: []string{"1001@users", "1001@users"}},
			{Tenant: "t-2", Endpoints: []string{"PJSIP/bob"}},
		}}},
	} {
		text, marker, err := f.Dialplan()
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), text); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if !strings.Contains(text, "exten => "+marker+",1,") {
			t.Errorf("%s: no marker %s", name, marker)
		}
		if other, ok := markers[marker]; ok {
			t.Errorf("%s has the marker of %s", name, other)
		}
		markers[marker] = name
	}
}

func TestFeaturesThatCannotBeWritten(t *testing.T) {
	for _, f := range []Features{
		{App: "callrecordd"},
		{App: "callrecordd", Exten: "26,1,System(x)"},
		{App: "callrecordd", Exten: "_X."},
		{App: "callrecordd", Exten: "*26\n"},
		{App: "callrecordd", Exten: strings.Repeat("1", 41)},
		{App: "a,b", Exten: "*26"},
		{App: "callrecordd", Exten: "1"},
		{App: "callrecordd", Exten: "*"},
		{Exten: "*26"},
	} {
		if text, _, err := f.Dialplan(); err == nil {
			t.Errorf("%+v gives %s", f, text)
		}
	}
}

func FuzzFeaturesDialplan(f *testing.F) {
	f.Add("callrecordd", "*26", true)
	f.Add("a b", "*2;6", false)
	f.Fuzz(func(t *testing.T, app, exten string, enabled bool) {
		text, marker, err := Features{App: app, Exten: exten, Enabled: enabled}.Dialplan()
		if err != nil {
			return
		}
		for line := range strings.Lines(text) {
			switch {
			case line == "\n", strings.HasPrefix(line, "; "), strings.HasPrefix(line, "["),
				strings.HasPrefix(line, " same => n,"), strings.HasPrefix(line, "exten => "):
			default:
				t.Errorf("%q makes the line %q", exten, line)
			}
		}
		if strings.Count(text, marker) != 1 {
			t.Errorf("marker %s in %s", marker, text)
		}
	})
}

func TestLampKeys(t *testing.T) {
	got := LampKeys(42, "1001", "", "alice", "*42", "7", "1001", "1002")
	if diff := cmp.Diff([]string{"*42", "1001", "1002"}, got); diff != "" {
		t.Error(diff)
	}
	for _, key := range got {
		if back, ok := LampKey(LampDevice(key)); !ok || back != key {
			t.Errorf("%s comes back as %q", key, back)
		}
	}
	for _, device := range []string{"PJSIP/alice", "Custom:other", "Custom:callrecord", "Custom:callrecord-door", "Custom:callrecord1*"} {
		if key, ok := LampKey(device); ok {
			t.Errorf("%s is the lamp %s", device, key)
		}
	}
}
