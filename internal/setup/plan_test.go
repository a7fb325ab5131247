package setup

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"callrecordd/internal/asteriskconf"
)

func options() Options {
	return Options{
		HTTPPort: 8088, AMIPort: 5038, ARIUser: "callrecordd", ARIPassword: "ari-secret", AMIUser: "callrecordd", AMIPassword: "ami-secret",
		ToggleCode: "*3", FeaturesFile: "/var/lib/callrecordd/asterisk/callrecord-features.conf", Contexts: []string{"users"},
	}
}

// busy is a configuration that uses everything already.
func busy() map[string]string {
	return map[string]string{
		"asterisk.conf":           "[directories]\nastlogdir => /srv/log\n",
		"http.conf":               "[general]\nenabled=yes\nbindaddr=0.0.0.0\nbindport=8099\nprefix=pbx\n",
		"ari.conf":                "[general]\nenabled=yes\n[wallboard]\ntype=user\npassword=theirs\n",
		"manager.conf":            "[general]\nenabled=yes\nport=5039\n#include \"manager.d/*.conf\"\n",
		"manager.d/a.conf":        "[crm]\nsecret=theirs\nwrite=all\nread=all\n",
		"features.conf":           "[general]\n[featuremap]\natxfer => *2\n[applicationmap]\nhotel => *7,self,Macro(x)\n",
		"extensions.conf":         "[globals]\nDYNAMIC_FEATURES=hotel\n[users]\nexten => 1,1,Set(__DYNAMIC_FEATURES=hotel)\n",
		"cel.conf":                "[general]\nenable=yes\napps=all\nevents=ALL\n[manager]\nenabled=yes\n",
		"cel_sqlite3_custom.conf": "stray = 1\n;[master]\n",
		"modules.conf":            "[modules]\nautoload=no\nload = app_mixmonitor.so\nnoload => res_ari.so\n",
		"pjsip.conf":              "[t](!)\ntype=endpoint\n[alice](t)\n[alice]\ntype=aor\n[bob](t)\nset_var=DYNAMIC_FEATURES=hotel\n",
		"stasis.conf":             "[threadpool]\n",
	}
}

// applied is the configuration after a plan.
func applied(files map[string]string, p Plan) map[string]string {
	out := maps.Clone(files)
	for _, e := range p.Edits {
		out[e.Path] = e.After
	}
	return out
}

// merged is a file of Asterisk with our includes.
func merged(t *testing.T, files map[string]string, name string) *asteriskconf.Config {
	t.Helper()
	c := asteriskconf.Merge(files, name, nil)
	for _, p := range c.Problems {
		if p.Fatal {
			t.Errorf("Asterisk would refuse %s: %+v", name, p)
		}
	}
	return c
}

func TestBesideOthers(t *testing.T) {
	before := busy()
	p := Make(before, options())
	if len(p.Conflicts) > 0 {
		t.Fatal(p.Conflicts)
	}
	after := applied(before, p)
	if p.HTTPAddress != "127.0.0.1:8099" || p.HTTPPrefix != "/pbx" || p.AMIAddress != "127.0.0.1:5039" {
		t.Errorf("%+v", p)
	}
	if _, touched := after[Folder+"/http.conf"]; touched || after["http.conf"] != before["http.conf"] {
		t.Error("http.conf needs nothing")
	}
	for file, user := range map[string]string{"ari.conf": "wallboard", "manager.conf": "crm"} {
		c := merged(t, after, file)
		if c.Category(user) == nil || c.Category("callrecordd") == nil {
			t.Errorf("%s lacks a user", file)
		}
	}
	if e, _ := merged(t, after, "extensions.conf").Category("globals").Last("DYNAMIC_FEATURES"); e.Value != "${DYNAMIC_FEATURES}#callrecord" {
		t.Errorf("%+v", e)
	}
	cel := merged(t, after, "cel.conf").Category("general")
	events := cel.Words("events")
	for _, w := range []string{"ALL", "DTMF"} {
		if strings.Contains(" "+strings.Join(events, " ")+" ", " "+w+" ") {
			t.Errorf("%s is left in %v", w, events)
		}
	}
	if !strings.Contains(strings.Join(cel.Words("apps"), " "), "all dial") {
		t.Errorf("apps = %v", cel.Words("apps"))
	}
	loads := merged(t, after, "modules.conf").Category("modules")
	if len(loads.All("noload")) > 0 || strings.Contains(after[Folder+"/modules.conf"], "app_mixmonitor") ||
		!strings.Contains(after[Folder+"/modules.conf"], "load => cel_sqlite3_custom.so") {
		t.Errorf("modules: %+v\n%s", loads, after[Folder+"/modules.conf"])
	}
	if merged(t, after, "cel_sqlite3_custom.conf").Category("master") == nil {
		t.Error("no journal is configured")
	}
	hidden := false
	for _, n := range p.Notes {
		hidden = hidden || n.Where == "extensions.conf:4" && strings.Contains(n.Do, "hotel#callrecord")
	}
	if !hidden {
		t.Errorf("the variable of the dialplan is not noted: %v", p.Notes)
	}
}

func TestUsersOnly(t *testing.T) {
	o := options()
	o.UsersOnly, o.Endpoints, o.Lean = true, []string{"alice", "bob", "ghost"}, true
	p := Make(busy(), o)
	after := applied(busy(), p)
	if got := after[Folder+"/pjsip.conf"]; !strings.HasSuffix(got, "[alice](+type=endpoint)\nset_var=DYNAMIC_FEATURES=callrecord\n") {
		t.Error(got)
	}
	if c := merged(t, after, "pjsip.conf"); len(c.Categories[1].All("set_var")) != 1 || len(c.Categories[2].All("set_var")) != 0 {
		t.Errorf("alice's endpoint: %+v, aor: %+v", c.Categories[1], c.Categories[2])
	}
	if strings.Contains(after[Folder+"/extensions.conf"], "DYNAMIC_FEATURES") {
		t.Error("the global is set as well")
	}
	if !strings.Contains(after[Folder+"/stasis.conf"], "decline=ast_channel_varset_type") {
		t.Error("not lean")
	}
	if again := Make(after, options()); strings.Contains(applied(after, again)[Folder+"/stasis.conf"], "decline") {
		t.Error("still lean")
	}
	notes := ""
	for _, n := range p.Notes {
		notes += n.String() + "\n"
	}
	for _, want := range []string{"hotel#callrecord", "[ghost]", "--lean"} {
		if !strings.Contains(notes, want) {
			t.Errorf("no note about %s in\n%s", want, notes)
		}
	}
}

func TestConflicts(t *testing.T) {
	for name, c := range map[string]struct{ file, text, where string }{
		"*3 in applicationmap":   {"features.conf", "[applicationmap]\nhotel => *3,self,NoOp()\n", "features.conf:2"},
		"*3 in featuremap":       {"features.conf", "[featuremap]\natxfer => *3\n", "features.conf:2"},
		"other callrecord":       {"features.conf", "[applicationmap]\ncallrecord => *9,peer,NoOp()\n", "features.conf:2"},
		"dateformat":             {"cel.conf", "[general]\ndateformat=%F\n", "cel.conf:2"},
		"journal in use":         {"cel_sqlite3_custom.conf", "[master]\ntable=x\n", "cel_sqlite3_custom.conf:2"},
		"read only ARI user":     {"ari.conf", "[callrecordd]\ntype=user\nread_only=yes\npassword=x\n", "ari.conf:2"},
		"weak AMI user":          {"manager.conf", "[callrecordd]\nsecret=x\nwrite=call\n", "manager.conf:2"},
		"file that is refused":   {"http.conf", "[general](+)\n", "http.conf:1"},
		"comment without an end": {"http.conf", "[general]\n;-- \n", "http.conf:2"},
	} {
		files := busy()
		files[c.file] = c.text
		p := Make(files, options())
		if len(p.Conflicts) != 1 || p.Conflicts[0].Where != c.where || p.Conflicts[0].Do == "" {
			t.Errorf("%s: %+v", name, p.Conflicts)
		}
	}
	files := busy()
	files["features.conf"] = "[featuremap]\natxfer => *3\n"
	o := options()
	o.ToggleCode = "*5"
	if p := Make(files, o); len(p.Conflicts) > 0 {
		t.Errorf("with another code: %v", p.Conflicts)
	}
}

func TestAdoptsUsersMadeByHand(t *testing.T) {
	files := busy()
	files["ari.conf"] = "[callrecordd]\ntype=user\npassword=by-hand\n"
	files["manager.conf"] = "[callrecordd]\nsecret=by-hand-too\nwrite=system, call\n"
	p := Make(files, options())
	if p.ARIPassword != "by-hand" || p.AMIPassword != "by-hand-too" || len(p.Conflicts) > 0 {
		t.Errorf("%+v", p)
	}
}

// TestSecondRun holds for every configuration: planned on its own result, a
// plan is empty.
func TestSecondRun(t *testing.T) {
	lines := []string{
		"[general]\n", "[globals]\n", "[applicationmap]\n", "[users]\n", "[modules]\n", "[x](!)\n", "[general](+)\n", "; c\n", ";-- \n", "--;\n",
		"enabled=yes\n", "enabled=no\n", "events=ALL\n", "events=DTMF,PICKUP", "dateformat=%F\n", "DYNAMIC_FEATURES=a#b\n", "port=1\n",
		"autoload=no\n", "noload => app_mixmonitor.so\n", "#include \"other.conf\"\n", "values=x\n", "callrecord => *3,self,UserEvent(CallRecordToggle)\n", "\r\n", "junk\n",
	}
	names := append([]string{"other.conf"}, "http.conf", "ari.conf", "manager.conf", "features.conf", "extensions.conf", "cel.conf",
		"cel_sqlite3_custom.conf", "modules.conf", "stasis.conf", "pjsip.conf")
	rapid.Check(t, func(r *rapid.T) {
		files := map[string]string{"asterisk.conf": ""}
		for _, n := range names {
			if rapid.Bool().Draw(r, n) {
				files[n] = strings.Join(rapid.SliceOfN(rapid.SampledFrom(lines), 0, 8).Draw(r, "text of "+n), "")
			}
		}
		o := options()
		o.Lean, o.UsersOnly = rapid.Bool().Draw(r, "lean"), rapid.Bool().Draw(r, "users only")
		first := Make(files, o)
		if len(first.Conflicts) > 0 {
			return
		}
		after := applied(files, first)
		if second := Make(after, o); len(second.Edits) > 0 || len(second.Conflicts) > 0 {
			r.Fatalf("the second plan: %+v\nafter: %q", second, after)
		}
		for _, n := range names[1:] {
			if after[Folder+"/"+n] == "" {
				continue // not ours to put right
			}
			for _, p := range asteriskconf.Merge(after, n, nil).Problems {
				if p.Fatal {
					r.Fatalf("Asterisk would refuse %s: %+v %q", n, p, after)
				}
			}
		}
		if rapid.IntRange(0, 9).Draw(r, "on disk") == 0 {
			disk(r, t, files, first)
		}
	})
}

// disk writes a plan and undoes it: every byte is as before.
func disk(r *rapid.T, t *testing.T, files map[string]string, p Plan) {
	base, err := os.MkdirTemp(t.TempDir(), "")
	if err != nil {
		r.Fatal(err)
	}
	dir, backups := filepath.Join(base, "etc"), filepath.Join(base, "backups")
	write(t, dir, files)
	before := tree(t, dir)
	if len(p.Edits) == 0 {
		return
	}
	if _, err := Apply(dir, backups, p.Edits, time.Unix(1, 0)); err != nil {
		r.Fatal(err)
	}
	if _, err := Undo(dir, backups, false); err != nil {
		r.Fatal(err)
	}
	if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
		r.Fatal(diff)
	}
}

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
}

// tree is everything in a folder, with its modes.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text := []byte{}
		if info.Mode().IsRegular() {
			if text, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		out[path] = info.Mode().String() + "\n" + string(text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
