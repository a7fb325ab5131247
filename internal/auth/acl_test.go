package auth

import (
	"fmt"
	"strings"
	"testing"
)

// aclRows are both tables of auth-and-clients 2: auth id 123 or U, session
// session-uuid.
var aclRows = []struct{ acl, granted, denied string }{
	{"foo.bar.#", "foo.bar.toto foo.bar.toto.tata foo.bar.* foo.bar.*.* foo.bar.#", "foo.bar other.bar.toto *.bar.toto *.*.toto #.bar.toto"},
	{"foo.bar.toto", "foo.bar.toto", "foo.bar.toto.tata other.bar.toto foo.bar.* foo.bar.# *.bar.toto #.bar.toto"},
	{"foo.*.*", "foo.bar.toto foo.*.*", "foo.bar.toto.tata other.bar.toto foo.* foo.bar.# *.bar.toto #.bar.toto"},
	{"foo foo.bar.toto other.#", "foo foo.bar.toto other.bar.toto", "foo.bar foo.bar.toto.tata * *.*.toto #"},
	{"foo.bar.#.titi", "foo.bar.toto.tata.titi foo.bar.#.titi foo.bar.*.titi foo.bar.*.*.titi", "foo.bar foo.bar.toto foo.bar.toto.tata foo.bar.*.* foo.bar.#"},
	{
		"foo.#.me", "foo.bar.me foo.bar.123 foo.bar.toto.me foo.bar.toto.123 foo.*.123 foo.#.me foo.*.*.123",
		"foo.bar foo.bar.toto.me.titi foo.bar.toto.123.titi foo.*.456 foo.#.notme foo.* foo.#",
	},
	{
		"foo.#.me.bar", "foo.bar.123.bar foo.bar.me.bar foo.bar.toto.123.bar foo.bar.toto.me.bar foo.*.123.bar foo.#.me.bar foo.*.*.123.bar",
		"foo.bar.123 foo.bar.me foo.*.456.bar foo.#.notme.bar foo.*.bar foo.#.bar",
	},
	{"!foo.me.bar", "", "foo.me.bar"},
	{"foo.me.bar !foo.me.bar foo.me.bar", "", "foo.me.bar foo.123.bar"},
	{"foo.bar", "foo.bar", "!foo.bar !anything"},
	{"foo.my_session", "foo.session-uuid foo.my_session", "foo.another-session-uuid"},
	{"foo.edit", "foo.edit foo.update", "foo.edit.update"},
	{"foo.update", "foo.update", "foo.edit"},

	{"#", "'' a a.b", "a\\n"},
	{"*", "'' a a\\n", "a.b"},
	{"*.*", "a.b .", "a"},
	{"foo.*", "foo. foo.a", "foo foo.a.b foo.# foo.a#b"},
	{"foo.#", "foo. foo.a.b", "foo foox"},
	{"foo#", "foo foobar foo.bar", ""},
	{"foo.b*r", "foo.bar foo.br", "foo.b.r"},
	{"a.#.z", "a..z a.b.z a.b.c.z", "a.z"},
	{"call-logd.cdr.*.read", "call-logd.cdr.12.read", "call-logd.cdr.read call-logd.cdr.1.2.read"},
	{"call-logd.#", "call-logd.cdr.read", "callxlogd.cdr.read Call-logd.cdr.read"},
	{"call-logd.users.me.cdr.read", "call-logd.users.me.cdr.read call-logd.users.123.cdr.read", "call-logd.users.other.cdr.read"},
	{"call-logd.users.123.cdr.read", "call-logd.users.123.cdr.read", "call-logd.users.me.cdr.read"},
	{"confd.users.me.edit", "confd.users.me.update confd.users.123.update", ""},
	{"confd.users.*.update", "confd.users.x.update", "confd.users.x.edit"},
	{"foo.me*", "foo.me foo.mex", "foo.123"},
	{"!foo.me foo.#", "foo.x", "foo.me foo.123"},
	{"foo.# !foo.me", "foo.x", "foo.me foo.123"},
	{"calld.calls.*.record.*.update", "calld.calls.1508_1.record.start.update", "calld.calls.1508.1.record.start.update"},
	{"", "", "'' x"},
	{"a.(b|c).read", "a.(b|c).read", "a.b.read"},
	{"!!a #", "a", "!a"},
	{"#.#.x", "a.b.x ..x", "a.x x"},
}

func accesses(s string) []string {
	out := strings.Fields(s)
	for i := range out {
		out[i] = strings.NewReplacer("''", "", `\n`, "\n").Replace(out[i])
	}
	return out
}

func TestACLTable(t *testing.T) {
	who := Identity{AuthID: "123", SessionUUID: "session-uuid"}
	for _, row := range aclRows {
		acl := Compile(strings.Fields(row.acl), who)
		for _, required := range accesses(row.granted) {
			if !acl.Allows(required) {
				t.Errorf("%q must grant %q", row.acl, required)
			}
		}
		for _, required := range accesses(row.denied) {
			if acl.Allows(required) {
				t.Errorf("%q must not grant %q", row.acl, required)
			}
		}
	}
	if Compile([]string{"users.me.read", "my_session"}, Identity{}).Allows("users..read") {
		t.Error("without an identity, me must not match an empty word")
	}
}

func TestMayAddAndRemove(t *testing.T) {
	acl := Compile([]string{"foo.bar", "a.*", "!a.secret"}, Identity{})
	for _, x := range []string{"foo.bar", "a.b", "!foo.bar", "!anything", "!a.secret"} {
		if !acl.MayAdd(x) {
			t.Errorf("may not add %q", x)
		}
	}
	for _, x := range []string{"foo.*", "a.#", "a.secret", "#", "other"} {
		if acl.MayAdd(x) {
			t.Errorf("may add %q", x)
		}
	}
	for x, want := range map[string]bool{"foo.bar": true, "!foo.bar": true, "!anything": false, "!a.secret": false, "a.x": true} {
		if acl.MayRemove(x) != want {
			t.Errorf("MayRemove(%q) = %v", x, !want)
		}
	}
}

// A hostile entry must not make a check expensive: time is linear, so this
// ends at once, where backtracking would not.
func TestACLHostileEntry(t *testing.T) {
	acl := Compile([]string{strings.Repeat("*a", 200), strings.Repeat("#a", 200) + "b"}, Identity{})
	if acl.Allows(strings.Repeat("a", 4000) + "c") {
		t.Error("matched")
	}
	if !acl.Allows(strings.Repeat("a", 4000)) {
		t.Error("a long access did not match")
	}
}

// naive is the reference: it tries everything.
func naive(pattern []string, s string) bool {
	if len(pattern) == 0 {
		return s == ""
	}
	switch p := pattern[0]; p {
	case "*", "#":
		for i := 0; ; i++ {
			if naive(pattern[1:], s[i:]) {
				return true
			}
			if i == len(s) || p == "*" && (s[i] == '.' || s[i] == '#') || p == "#" && s[i] == '\n' {
				return false
			}
		}
	default:
		for alternative := range strings.SplitSeq(p, "|") {
			if rest, ok := strings.CutPrefix(s, alternative); ok && naive(pattern[1:], rest) {
				return true
			}
		}
		return false
	}
}

func naiveAllows(entries []string, required string) bool {
	allowed := false
	for _, e := range entries {
		denied := strings.HasPrefix(e, "!")
		var pattern []string
		for i, w := range strings.Split(strings.TrimPrefix(e, "!"), ".") {
			if i > 0 {
				pattern = append(pattern, ".")
			}
			if alternatives, ok := map[string]string{"me": "me|U", "my_session": "my_session|S", "edit": "edit|update"}[w]; ok {
				pattern = append(pattern, alternatives)
				continue
			}
			for _, c := range []byte(w) {
				pattern = append(pattern, string([]byte{c}))
			}
		}
		if naive(pattern, required) {
			if denied {
				return false
			}
			allowed = true
		}
	}
	return allowed
}

func FuzzACL(f *testing.F) {
	for _, row := range aclRows {
		for _, required := range accesses(row.granted + " " + row.denied) {
			f.Add(row.acl, required)
		}
	}
	f.Add("a.me.edit !b.my_session.# *x*.#y", "a.U.update")
	f.Fuzz(func(t *testing.T, acl, required string) {
		// The reference is exponential, and | is its own sign.
		if len(acl) > 40 || len(required) > 40 || strings.Contains(acl, "|") || strings.Count(acl, "*")+strings.Count(acl, "#") > 6 {
			t.Skip()
		}
		entries := strings.Split(acl, " ")
		want := naiveAllows(entries, required)
		if got := Compile(entries, Identity{"U", "S"}).Allows(required); got != want {
			t.Errorf("%q on %q: %v, the reference says %v", entries, required, got, want)
		}
	})
}

func BenchmarkACL(b *testing.B) {
	var entries []string
	for i := range 60 {
		entries = append(entries, fmt.Sprintf("service%d.users.me.*.read", i))
	}
	acl := Compile(append(entries, "!call-logd.config.#", "call-logd.cdr.*.recordings.*.media.read"), Identity{AuthID: "U"})
	for b.Loop() {
		if !acl.Allows("call-logd.cdr.123456.recordings.5ea37d0b-0823-4d2b-a18c-b9082e551b50.media.read") {
			b.Fatal("refused")
		}
	}
}
