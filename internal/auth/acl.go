package auth

import (
	"strings"
)

// Identity is whose ACL it is: the words `me` and `my_session` of an entry
// also match these. Empty values match nothing.
type Identity struct {
	AuthID      string
	SessionUUID string
}

// ACL is a list of accesses, compiled once and then only read: it may be used
// concurrently.
type ACL struct {
	deny, allow []pattern
	denied      []string // the text of deny, without the !
}

// Compile reads the ACL language of auth-and-clients 2. Words are separated by
// dots; `*` is any run of characters without `.` and `#`, `#` any run without
// line breaks; a leading `!` denies, wherever in the list it stands; a whole
// word `me` also matches the identity's auth id, `my_session` its session, and
// `edit` also matches update. Every text is a valid entry.
func Compile(entries []string, who Identity) *ACL {
	a := &ACL{}
	for _, e := range entries {
		if denied, ok := strings.CutPrefix(e, "!"); ok {
			a.deny, a.denied = append(a.deny, compile(denied, who)), append(a.denied, denied)
		} else {
			a.allow = append(a.allow, compile(e, who))
		}
	}
	return a
}

// Allows says whether the list covers the required access, in which wildcards
// and the words above are plain text. A denial wins over everything.
func (a *ACL) Allows(required string) bool {
	return !matchesAny(a.deny, required) && matchesAny(a.allow, required)
}

// Denies says whether the list denies the access, rather than not having it.
func (a *ACL) Denies(required string) bool { return matchesAny(a.deny, required) }

// MayAdd says whether whose ACL this is may give the access to somebody:
// nobody gives more than they have. A denial takes something away, which
// everybody may. Of an access with wildcards it sees the text alone: whether a
// denial lies within is for Exceeds to say.
func (a *ACL) MayAdd(access string) bool {
	return strings.HasPrefix(access, "!") || a.Allows(access)
}

// MayRemove says whether whose ACL this is may take the access from somebody.
// To take a denial away is to give.
func (a *ACL) MayRemove(access string) bool {
	return a.Allows(strings.TrimPrefix(access, "!"))
}

// EscapeWord makes a path value fit for one word of a required access: a dot
// in it would start another word (cdr-api 1.8).
func EscapeWord(value string) string { return strings.ReplaceAll(value, ".", "_") }

func matchesAny(patterns []pattern, s string) bool {
	for i := range patterns {
		if patterns[i].matches(s) {
			return true
		}
	}
	return false
}

// pattern is one entry: text that must come first, then parts.
type pattern struct {
	prefix string
	parts  []part
}

// part is what a piece of an entry may match: one of the texts, or a wildcard.
type part struct {
	texts []string
	wild  byte // '*', '#', or 0 for texts
}

func compile(access string, who Identity) pattern {
	var p pattern
	for i, word := range strings.Split(access, ".") {
		if i > 0 {
			p.text(".")
		}
		p.word(word, who)
	}
	if len(p.parts) > 0 && len(p.parts[0].texts) == 1 {
		p.prefix, p.parts = p.parts[0].texts[0], p.parts[1:]
	}
	return p
}

func (p *pattern) word(word string, who Identity) {
	switch {
	case word == "me" && who.AuthID != "":
		p.parts = append(p.parts, part{texts: []string{word, who.AuthID}})
	case word == "my_session" && who.SessionUUID != "":
		p.parts = append(p.parts, part{texts: []string{word, who.SessionUUID}})
	case word == "edit":
		p.parts = append(p.parts, part{texts: []string{word, "update"}})
	default:
		for word != "" {
			i := strings.IndexAny(word, "*#")
			if i < 0 {
				p.text(word)
				return
			}
			p.text(word[:i])
			p.parts = append(p.parts, part{wild: word[i]})
			word = word[i+1:]
		}
	}
}

// text adds literal text, joined with literal text before it.
func (p *pattern) text(s string) {
	if s == "" {
		return
	}
	if n := len(p.parts); n > 0 && len(p.parts[n-1].texts) == 1 {
		p.parts[n-1].texts[0] += s
		return
	}
	p.parts = append(p.parts, part{texts: []string{s}})
}

// matches needs time proportional to len(s) times the number of parts,
// whatever is in them: entries and required accesses both come from clients.
func (p *pattern) matches(s string) bool {
	rest, ok := strings.CutPrefix(s, p.prefix)
	switch {
	case !ok:
		return false
	case len(p.parts) == 0:
		return rest == ""
	case len(p.parts) == 1 && p.parts[0].wild == '#': // the usual service.#
		return !strings.Contains(rest, "\n")
	}
	// here holds the positions in rest up to which the parts before match.
	var buf [2][256]bool
	here, next := buf[0][:], buf[1][:]
	if n := len(rest) + 1; n > len(here) {
		here, next = make([]bool, n), make([]bool, n)
	}
	here[0] = true
	for _, part := range p.parts {
		clear(next[:len(rest)+1])
		if !part.step(rest, here, next) {
			return false
		}
		here, next = next, here
	}
	return here[len(rest)]
}

// step marks in next where s may go on after this part, from the positions in
// here, and says whether there is any.
func (p part) step(s string, here, next []bool) (alive bool) {
	open := false // a wildcard has begun and nothing has ended it
	for i := 0; i <= len(s); i++ {
		if p.wild == 0 {
			if here[i] {
				for _, t := range p.texts {
					if strings.HasPrefix(s[i:], t) {
						next[i+len(t)], alive = true, true
					}
				}
			}
			continue
		}
		if i > 0 && open {
			c := s[i-1]
			open = c != '\n'
			if p.wild == '*' {
				open = c != '.' && c != '#'
			}
		}
		open = open || here[i]
		next[i], alive = open, alive || open
	}
	return alive
}
