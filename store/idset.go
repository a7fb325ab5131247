package store

import (
	"context"
	"math/bits"
	"strconv"
)

// idSet is a set of CDR ids, one bit each: a set of ten million is 1.25 MB.
type idSet []uint64

func (s *idSet) add(id int64) {
	if id < 0 {
		return
	}
	word := int(id / 64)
	if word >= len(*s) {
		*s = append(*s, make([]uint64, max(1024, word+1-len(*s)))...)
	}
	(*s)[word] |= 1 << (id % 64)
}

func (s idSet) has(id int64) bool {
	word := id / 64
	return id >= 0 && word < int64(len(s)) && s[word]&(1<<(id%64)) != 0
}

func (s idSet) count() (n int) {
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

// keep removes what is not in o.
func (s idSet) keep(o idSet) {
	for i := range s {
		if i < len(o) {
			s[i] &= o[i]
		} else {
			s[i] = 0
		}
	}
}

// list is the set as a JSON list, ascending.
func (s idSet) list() string {
	out := []byte{'['}
	for i, w := range s {
		for ; w != 0; w &= w - 1 {
			if len(out) > 1 {
				out = append(out, ',')
			}
			out = strconv.AppendInt(out, int64(i)*64+int64(bits.TrailingZeros64(w)), 10)
		}
	}
	return string(append(out, ']'))
}

// fill adds the ids that a query returns. The query gives them as one text, by
// group_concat: a row for each would take ten times as long.
func (s *idSet) fill(ctx context.Context, q querier, query string, args ...any) error {
	var text *string
	if err := q.QueryRowContext(ctx, query, args...).Scan(&text); err != nil || text == nil {
		return err
	}
	var id int64
	for i := range len(*text) {
		if c := (*text)[i]; c != ',' {
			id = id*10 + int64(c-'0')
			continue
		}
		s.add(id)
		id = 0
	}
	s.add(id)
	return nil
}
