package auth

import (
	"slices"
	"strings"
)

// Exceeds returns an entry of the list that whose ACL this is cannot give away,
// if there is one: nobody gives more than they have. Beyond MayAdd, and beyond
// Wazo, an entry with wildcards is refused if a denial of the giver lies within
// it, unless the list has the same denial: whoever may do call-logd.# but not
// call-logd.secret would else give both to a second account of their own.
func (a *ACL) Exceeds(list []string) (access string, more bool) {
	budget := exceedsBudget
	var matter []pattern // the denials that the list does not have
	for i, denied := range a.denied {
		if !slices.Contains(list, "!"+denied) {
			matter = append(matter, a.deny[i])
		}
	}
	for _, access := range list {
		if strings.HasPrefix(access, "!") {
			continue
		}
		if budget -= a.cost(access); budget < 0 || !a.Allows(access) {
			return access, true
		}
		given := compile(access, Identity{})
		for _, denial := range matter {
			if given.overlaps(denial, &budget) {
				return access, true
			}
		}
	}
	return "", false
}

// exceedsBudget bounds what one answer costs, in pairs of characters or of a
// character and a part of an entry: entries and denials both come from clients,
// and nobody logs in meanwhile. Beyond it the answer is that it is more. A long
// list of an administrator with many policies takes some millions.
const exceedsBudget = 20_000_000

// cost is about what Allows does for an access.
func (a *ACL) cost(access string) int {
	sum := 0
	for _, list := range [][]pattern{a.deny, a.allow} {
		for i := range list {
			sum++
			if strings.HasPrefix(access, list[i].prefix) {
				sum += len(list[i].parts) * (len(access) + 1)
			}
		}
	}
	return sum
}

// maxForms is how many forms an entry may have, by the words that stand for two.
const maxForms = 64

// overlaps says whether there is an access that both match, or that it is too
// much to find out.
func (p pattern) overlaps(q pattern, budget *int) bool {
	if !strings.HasPrefix(p.prefix, q.prefix) && !strings.HasPrefix(q.prefix, p.prefix) {
		return false
	}
	ps, ok1 := p.forms()
	qs, ok2 := q.forms()
	if !ok1 || !ok2 {
		return true
	}
	for _, x := range ps {
		for _, y := range qs {
			if *budget -= (len(x) + 1) * (len(y) + 1); *budget < 0 || meet(x, y) {
				return true
			}
		}
	}
	return false
}

// piece is one character or one wildcard of an entry.
type piece struct {
	wild bool
	c    byte
}

// admits says whether a wildcard matches a character.
func (p piece) admits(c byte) bool {
	if p.c == '*' {
		return c != '.' && c != '#'
	}
	return c != '\n'
}

// forms are the texts that an entry stands for, piece by piece: each of its
// words that match two things has one of them. It is not ok if there are too
// many.
func (p pattern) forms() (out [][]piece, ok bool) {
	out = [][]piece{textPieces(nil, p.prefix)}
	for _, part := range p.parts {
		if part.wild != 0 {
			for i := range out {
				out[i] = append(out[i], piece{true, part.wild})
			}
			continue
		}
		var next [][]piece
		for _, text := range part.texts {
			for _, before := range out {
				next = append(next, textPieces(slices.Clone(before), text))
			}
		}
		if out = next; len(out) > maxForms {
			return nil, false
		}
	}
	return out, true
}

func textPieces(to []piece, text string) []piece {
	for i := range len(text) {
		to = append(to, piece{c: text[i]})
	}
	return to
}

// meet says whether some text fits both. here[j] is that x up to the piece that
// is looked at and y up to j can stand for the same text.
func meet(x, y []piece) bool {
	here, next := make([]bool, len(y)+1), make([]bool, len(y)+1)
	here[0] = true
	for i := 0; ; i++ {
		for j, q := range y { // what y alone can do, x standing still
			if here[j] && (q.wild || i < len(x) && x[i].wild && x[i].admits(q.c)) {
				here[j+1] = true
			}
		}
		if i == len(x) {
			return here[len(y)]
		}
		clear(next)
		for j, ok := range here {
			if !ok {
				continue
			}
			if x[i].wild || j < len(y) && y[j].wild && y[j].admits(x[i].c) {
				next[j] = true
			}
			if j < len(y) && !x[i].wild && !y[j].wild && x[i].c == y[j].c {
				next[j+1] = true
			}
		}
		here, next = next, here
	}
}
