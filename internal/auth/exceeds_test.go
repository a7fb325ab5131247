package auth

import (
	"fmt"
	"strings"
	"testing"
)

// Whoever is denied something gives nobody what holds it, under whatever name.
func TestExceedsSeesDenialsWithinWildcards(t *testing.T) {
	for _, c := range []struct {
		name, has, gives string
		refused          string // empty: allowed
	}{
		{"what is not there", "call-logd.#", "calld.#", "calld.#"},
		{"the same", "call-logd.# !call-logd.secret", "call-logd.#", "call-logd.#"},
		{"the same with its denial", "call-logd.# !call-logd.secret", "call-logd.# !call-logd.secret", ""},
		{"a part without it", "call-logd.# !call-logd.secret.#", "call-logd.cdr.#", ""},
		{"a star over it", "call-logd.# !call-logd.secret", "call-logd.*", "call-logd.*"},
		{"a star that ends before it", "call-logd.# !call-logd.a.b", "call-logd.*", ""},
		{"a wildcard in a word", "call-logd.# !call-logd.secret", "call-logd.s*t", "call-logd.s*t"},
		{"two wildcards that meet", "a.# !a.*.b", "a.c.*", "a.c.*"},
		{"two wildcards that do not", "a.# !a.*.b", "a.c.*.d", ""},
		{"edit stands for update", "a.# !a.x.update", "a.*.edit", "a.*.edit"},
		{"me of the giver", "a.# !a.me.read", "a.*.read", "a.*.read"},
		{"a denial is nothing to have", "a", "!b.#", ""},
		{"no denial", "#", "# a.* !b", ""},
		{"too many forms", "# !x.y", "x." + strings.Repeat("edit.", 8) + "y", "x." + strings.Repeat("edit.", 8) + "y"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, more := Compile(strings.Fields(c.has), Identity{AuthID: "U", SessionUUID: "S"}).Exceeds(strings.Fields(c.gives))
			if got != c.refused || more != (c.refused != "") {
				t.Errorf("refused %q, %t; want %q", got, more, c.refused)
			}
		})
	}
}

// A list made to be expensive is refused before it is found out that nothing in
// it is too much.
func TestExceedsHostileList(t *testing.T) {
	for _, n := range []int{1, 10, 1000} { // denials
		var has, gives []string
		for range n {
			has = append(has, "!"+strings.Repeat("#a", 400)+"b")
		}
		for range 1000 {
			gives = append(gives, strings.Repeat("*a", 400)+"c")
		}
		if _, more := Compile(append(has, "#"), Identity{}).Exceeds(gives); !more {
			t.Errorf("%d denials: it was allowed", n)
		}
	}
}

// A long list that nobody made to be expensive is looked at to its end.
func TestExceedsLongList(t *testing.T) {
	var has, gives []string
	for i := range 100 {
		has = append(has, fmt.Sprintf("service%d.#", i), fmt.Sprintf("!service%d.users.*.secret.#", i))
	}
	for i := range 1000 {
		gives = append(gives, fmt.Sprintf("service%d.users.me.thing%d.*.read", i%100, i))
	}
	acl := Compile(has, Identity{AuthID: "U"})
	if access, more := acl.Exceeds(gives); more {
		t.Errorf("refused %q", access)
	}
	if access, more := acl.Exceeds(append(gives, "service7.users.me.*.*.read")); !more || access != "service7.users.me.*.*.read" {
		t.Errorf("refused %q, %t", access, more)
	}
}

// FuzzExceeds: what is given never lets anything through that the giver may not
// do. The recipient is somebody else, so who is who does not count here.
func FuzzExceeds(f *testing.F) {
	f.Add("a.# !a.secret", "a.*", "a.secret")
	f.Add("# !a.*.b !*x*", "a.c.* !a.c.b", "a.c.b")
	f.Add("x.* !x.edit", "x.update", "x.update")
	f.Fuzz(func(t *testing.T, has, gives, access string) {
		if len(has) > 80 || len(gives) > 80 || len(access) > 80 || strings.Contains(access, "\n") {
			return // of the wildcards only '*' matches a line's end, and no access has one
		}
		giver, list := Compile(strings.Fields(has), Identity{}), strings.Fields(gives)
		if _, more := giver.Exceeds(list); !more && Compile(list, Identity{}).Allows(access) && !giver.Allows(access) {
			t.Errorf("%q gives %q and with it %q", has, list, access)
		}
	})
}
