package setup

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// around is the number of unchanged lines around a change.
const around = 3

// Diff shows edits as a unified diff, without the values of passwords and
// without the contents of secret files.
func Diff(edits []Edit) string {
	var b strings.Builder
	for _, e := range edits {
		before, from := "", "/dev/null"
		if e.Before != nil {
			before, from = *e.Before, e.Path
		}
		after := e.After
		if e.Secret {
			before, after = strings.Repeat("***\n", min(1, len(before))), "***\n"
		}
		before, after = hide(before), hide(after)
		if before == after {
			fmt.Fprintf(&b, "--- %s\n+++ %s\n(only passwords change)\n", from, e.Path)
			continue
		}
		b.WriteString(unified(from, e.Path, before, after))
	}
	return b.String()
}

var passwords = regexp.MustCompile(`(?im)^([ \t]*[a-z0-9_-]*(?:password|secret)[ \t]*(?:=>?|:)[ \t]*)[^ \t\r\n][^\r\n]*`)

// hide replaces the values of settings that are named like passwords, also of
// the administrator's own that stand beside a change.
func hide(text string) string { return passwords.ReplaceAllString(text, "${1}***") }

// unified is the usual format; the longest common subsequence is looked for
// only between the first and the last line that differ.
func unified(from, to, before, after string) string {
	a, z := lines(before), lines(after)
	head := 0
	for head < len(a) && head < len(z) && a[head] == z[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(z)-head && a[len(a)-1-tail] == z[len(z)-1-tail] {
		tail++
	}
	ops := make([]op, 0, len(a)+len(z))
	for _, l := range a[:head] {
		ops = append(ops, op{' ', l})
	}
	ops = append(ops, script(a[head:len(a)-tail], z[head:len(z)-tail])...)
	for _, l := range a[len(a)-tail:] {
		ops = append(ops, op{' ', l})
	}
	return fmt.Sprintf("--- %s\n+++ %s\n", from, to) + hunks(ops)
}

func lines(text string) []string {
	var out []string
	for l := range strings.Lines(text) {
		out = append(out, l)
	}
	return out
}

// op is a line that stays (' '), goes ('-') or comes ('+').
type op struct {
	kind byte
	text string
}

func script(a, z []string) []op {
	common := make([][]int, len(a)+1) // length of the common rest
	for i := range common {
		common[i] = make([]int, len(z)+1)
	}
	for i := range slices.Backward(a) {
		for j := len(z) - 1; j >= 0; j-- {
			if a[i] == z[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var ops []op
	i, j := 0, 0
	for i < len(a) || j < len(z) {
		switch {
		case i < len(a) && j < len(z) && a[i] == z[j]:
			ops = append(ops, op{' ', a[i]})
			i++
			j++
		case j == len(z) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			ops = append(ops, op{'-', a[i]})
			i++
		default:
			ops = append(ops, op{'+', z[j]})
			j++
		}
	}
	return ops
}

// hunks prints the changes, each with its context.
func hunks(ops []op) string {
	var b strings.Builder
	for at := 0; at < len(ops); {
		first := at
		for first < len(ops) && ops[first].kind == ' ' {
			first++
		}
		if first == len(ops) {
			break
		}
		last := first // the last change with no more than twice the context between
		for k := first; k < len(ops) && k-last <= 2*around; k++ {
			if ops[k].kind != ' ' {
				last = k
			}
		}
		start, end := max(at, first-around), min(len(ops), last+around+1)
		hunk(&b, ops, start, end)
		at = end
	}
	return b.String()
}

func hunk(b *strings.Builder, ops []op, start, end int) {
	var count [2][2]int // old and new: lines before, lines within
	for i, o := range ops[:end] {
		within := 0
		if i >= start {
			within = 1
		}
		if o.kind != '+' {
			count[0][within]++
		}
		if o.kind != '-' {
			count[1][within]++
		}
	}
	span := func(c [2]int) string {
		first := c[0] + 1
		if c[1] == 0 {
			first = c[0]
		}
		return fmt.Sprintf("%d,%d", first, c[1])
	}
	fmt.Fprintf(b, "@@ -%s +%s @@\n", span(count[0]), span(count[1]))
	for _, o := range ops[start:end] {
		b.WriteByte(o.kind)
		b.WriteString(o.text)
		if !strings.HasSuffix(o.text, "\n") {
			b.WriteString("\n\\ No newline at end of file\n")
		}
	}
}
