// Package asteriskconf reads Asterisk's configuration files as Asterisk does:
// losslessly line by line, and merged over includes, templates and sections
// that are extended. It is pure: texts in, values out.
//
// It must not import anything of ours. What is written here about Asterisk was
// measured on 16.28 and 22.10, see the tests of internal/setup.
package asteriskconf

import (
	"strings"
)

// Kind says what a line is to Asterisk.
type Kind int

// The kinds of lines.
const (
	Blank     Kind = iota // nothing, or only a comment
	Section               // [name](options)
	Directive             // #include, #tryinclude, #exec
	Setting               // name = value, name => value, name += value
	Broken                // Asterisk warns of it and goes on, or refuses the file
)

// Line is one line of a file.
type Line struct {
	// Raw is the line as it stands in the file, with its line break.
	Raw  string
	Kind Kind
	// Name is that of the section, directive or setting; Value what follows:
	// the directive's path without quotes, or the setting's value.
	Name, Value string
	// Options are what stands in brackets behind a section's name.
	Options []string
	// Append is true for name += value.
	Append bool
}

// File is a parsed file.
type File struct {
	Lines []Line
	// Open is true if a block comment does not end: what is appended to such a
	// file is part of the comment.
	Open bool
}

// Parse splits a text into lines. It never fails: String gives the text back,
// byte for byte, whatever it was.
func Parse(text string) File {
	var f File
	depth := 0
	for raw := range strings.Lines(text) {
		code, now := uncomment(strings.TrimRight(raw, "\r\n"), depth)
		depth = now
		line := classify(strings.TrimFunc(code, isSpace))
		line.Raw = raw
		f.Lines = append(f.Lines, line)
	}
	f.Open = depth > 0
	return f
}

// String is the text of the file.
func (f File) String() string {
	var b strings.Builder
	for _, l := range f.Lines {
		b.WriteString(l.Raw)
	}
	return b.String()
}

// isSpace is Asterisk's idea: everything up to the blank.
func isSpace(r rune) bool { return r <= ' ' }

// uncomment takes the comments off a line: ";" to its end unless escaped as
// "\;", and ";--" to "--;", which nest and go over lines. depth is how many of
// them are open before the line, the second result how many are behind it.
func uncomment(s string, depth int) (string, int) {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] != ';':
			if depth == 0 {
				out.WriteByte(s[i])
			}
		case i > 0 && s[i-1] == '\\':
			if depth == 0 {
				kept := out.String()
				out.Reset()
				out.WriteString(kept[:len(kept)-1] + ";")
			}
		case strings.HasPrefix(s[i+1:], "--") && !strings.HasPrefix(s[i+3:], "-"):
			depth++
			i += 2
		case depth > 0 && i >= 2 && s[i-2:i] == "--":
			depth--
		case depth == 0:
			return out.String(), depth
		}
	}
	return out.String(), depth
}

func classify(code string) Line {
	switch {
	case code == "":
		return Line{Kind: Blank}
	case code[0] == '[':
		return section(code)
	case code[0] == '#':
		return directive(code)
	}
	name, value, found := strings.Cut(code, "=")
	if !found {
		return Line{Kind: Broken}
	}
	value = strings.TrimPrefix(value, ">")
	name, add := strings.CutSuffix(name, "+")
	return Line{
		Kind: Setting, Name: strings.TrimFunc(name, isSpace), Value: strings.TrimFunc(value, isSpace), Append: add,
	}
}

// section reads [name](a,b). The name is not trimmed, and the bracket must
// follow at once: so does Asterisk.
func section(code string) Line {
	name, rest, found := strings.Cut(code[1:], "]")
	if !found {
		return Line{Kind: Broken}
	}
	l := Line{Kind: Section, Name: name}
	if inner, ok := strings.CutPrefix(rest, "("); ok {
		inner, _, found = strings.Cut(inner, ")")
		if !found {
			return Line{Kind: Broken}
		}
		for o := range strings.SplitSeq(inner, ",") {
			l.Options = append(l.Options, strings.TrimFunc(o, isSpace))
		}
	}
	return l
}

func directive(code string) Line {
	word, value := code[1:], ""
	if i := strings.IndexFunc(word, isSpace); i >= 0 {
		word, value = word[:i], strings.TrimFunc(word[i:], isSpace)
	}
	for _, quote := range []string{`""`, "<>", "''"} {
		if len(value) >= 2 && value[0] == quote[0] && value[len(value)-1] == quote[1] {
			value = value[1 : len(value)-1]
			break
		}
	}
	switch word = strings.ToLower(word); word {
	case "include", "tryinclude", "exec":
		return Line{Kind: Directive, Name: word, Value: value}
	}
	return Line{Kind: Broken}
}

// True is Asterisk's ast_true.
func True(value string) bool {
	switch strings.ToLower(value) {
	case "yes", "true", "y", "t", "1", "on":
		return true
	}
	return false
}
