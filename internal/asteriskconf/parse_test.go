package asteriskconf

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestAsAsteriskReads holds what `dialplan show globals` of 16.28 and 22.10
// printed for this text.
func TestAsAsteriskReads(t *testing.T) {
	const text = "[globals]\nV1=a;b\nV2=a\\;b\nV3=a ;-- block \nV3b=hidden\n--; V3c=seen\nV4=x\\\n y\nV5=1\nV5+=2\n V6 => z  \r\n" +
		"[base](!)\nB=1\n[child](base) ; comment\nC=2\n[globals](+)\nV7=seven\n"
	c := Merge(map[string]string{"x.conf": text}, "x.conf", nil)
	want := []*Category{
		{Name: "globals", Entries: []Entry{
			{"x.conf", 2, "V1", "a"},
			{"x.conf", 3, "V2", "a;b"},
			{"x.conf", 4, "V3", "a"},
			{"x.conf", 6, "V3c", "seen"},
			{"x.conf", 7, "V4", `x\`},
			{"x.conf", 9, "V5", "12"},
			{"x.conf", 11, "V6", "z"},
			{"x.conf", 17, "V7", "seven"},
		}},
		{Name: "base", Template: true, Entries: []Entry{{"x.conf", 13, "B", "1"}}},
		{Name: "child", Entries: []Entry{{"x.conf", 13, "B", "1"}, {"x.conf", 15, "C", "2"}}},
	}
	if diff := cmp.Diff(want, c.Categories); diff != "" {
		t.Error(diff)
	}
	if len(c.Problems) > 0 {
		t.Error(c.Problems)
	}
}

func TestIncludes(t *testing.T) {
	c := Merge(map[string]string{
		"a.conf":     "[general]\nx=1\n#include \"d/*.conf\"\n#tryinclude gone.conf\n#include <other.conf>\n#exec /bin/true\n#include \"mine.conf\"\n",
		"d/1.conf":   "[general](+)\nx=2\n",
		"d/2.conf":   "y=3\n",
		"other.conf": "[nosuch](+)\nz=1\n",
		"mine.conf":  "[general](+)\nx=9\n",
	}, "a.conf", func(i string) bool { return i == "mine.conf" })
	if got := c.Category("GENERAL").Words("x"); !cmp.Equal(got, []string{"1", "2"}) {
		t.Errorf("x = %v", got)
	}
	if e, _ := c.Category("general").Last("y"); e.Value != "3" {
		t.Errorf("y = %+v", e)
	}
	want := []Problem{{File: "other.conf", Line: 1, Fatal: true}}
	if diff := cmp.Diff(want, c.Problems, cmpopts.IgnoreFields(Problem{}, "What")); diff != "" {
		t.Error(diff)
	}
}

func TestFilter(t *testing.T) {
	c := Merge(map[string]string{"p": "[t](!)\ntype=endpoint\n[a]\ntype=aor\n[a](t)\n[a](+type=endpoint)\nset_var=X=1\n"}, "p", nil)
	if len(c.Categories) != 3 || len(c.Categories[2].All("set_var")) != 1 {
		t.Errorf("%+v", c.Categories[2])
	}
}

func TestLoops(t *testing.T) {
	c := Merge(map[string]string{"a": "#include a\n"}, "a", nil)
	if len(c.Problems) == 0 {
		t.Error("a file that includes itself has no problem")
	}
}

func FuzzParse(f *testing.F) {
	f.Add("[a](!,b)\nx => 1 ; c\n;-- \n y=2\n--; z+=\\;3\r\n#include \"q\"\n[a](+type=endpoint)\n")
	f.Add(";\\;--;--;\n;----;\n[\n](\n#\n=\n")
	f.Fuzz(func(t *testing.T, text string) {
		parsed := Parse(text)
		if parsed.String() != text {
			t.Fatalf("lost something of %q", text)
		}
		c := Merge(map[string]string{"x": text, "y": text}, "x", nil)
		for _, k := range c.Categories {
			for _, e := range k.Entries {
				if e.Line < 1 || e.Line > strings.Count(text, "\n")+1 {
					t.Fatalf("%+v is no line of %q", e, text)
				}
			}
		}
	})
}
