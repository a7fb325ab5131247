package verify

const pageBits = 1 << 16

// bits is a set of ids in pages: those that are used lie close together.
type bits map[int64]*[pageBits / 64]uint64

func place(id int64) (page int64, word int, mask uint64) {
	in := uint64(id) % pageBits
	return id >> 16, int(in / 64), 1 << (in % 64)
}

func (b bits) put(id int64, on bool) {
	page, word, mask := place(id)
	p := b[page]
	if p == nil {
		if !on {
			return
		}
		p = new([pageBits / 64]uint64)
		b[page] = p
	}
	if on {
		p[word] |= mask
	} else {
		p[word] &^= mask
	}
}

func (b bits) has(id int64) bool {
	page, word, mask := place(id)
	p := b[page]
	return p != nil && p[word]&mask != 0
}

// each calls fn with every id in the set, in no particular order.
func (b bits) each(fn func(id int64)) {
	for page, words := range b {
		for w, word := range words {
			for i := range 64 {
				if word&(1<<i) != 0 {
					fn(page<<16 | int64(w*64+i))
				}
			}
		}
	}
}
