package auth

import (
	"regexp"
	"strings"
)

// Allows says whether somebody with the given ACL may do what requires the
// access required, e.g. call-logd.cdr.12.read. The language is cdr-api 1.8:
// words are separated by dots; `*` is a run of characters without `.` and `#`,
// `#` is anything; a leading `!` denies and is looked at first; the word `me`
// also matches authID; the words edit and update are the same.
func Allows(acl []string, required, authID string) bool {
	for _, a := range acl {
		if denied, ok := strings.CutPrefix(a, "!"); ok && matches(denied, required, authID) {
			return false
		}
	}
	for _, a := range acl {
		if !strings.HasPrefix(a, "!") && matches(a, required, authID) {
			return true
		}
	}
	return false
}

// EscapeWord makes a path value fit for one word of a required access: a dot
// in it would start another word (cdr-api 1.8).
func EscapeWord(value string) string { return strings.ReplaceAll(value, ".", "_") }

// matches goes through package regexp, whose run time is linear: an ACL comes
// from a client and must not be able to make a check expensive.
func matches(access, required, authID string) bool {
	words := strings.Split(access, ".")
	for i, w := range words {
		switch w {
		case "me":
			words[i] = "me"
			if authID != "" {
				words[i] = "(?:me|" + regexp.QuoteMeta(authID) + ")"
			}
		case "edit", "update":
			words[i] = "(?:edit|update)"
		default:
			w = strings.ReplaceAll(regexp.QuoteMeta(w), "#", ".*")
			words[i] = strings.ReplaceAll(w, `\*`, `[^.#]*`)
		}
	}
	re, err := regexp.Compile(`(?s)\A` + strings.Join(words, `\.`) + `\z`)
	return err == nil && re.MatchString(required)
}
