package api

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"callrecordd/internal/directory"
)

// confIndex has the objects as a list answers with them, made once for each
// state of the directory: of an object that has not changed nothing is made anew.
type confIndex[T any] struct {
	mu     sync.Mutex
	book   *directory.Book
	rows   []*confRow[T]
	orders map[int][]int // by column: the rows in its order
}

// confRow is an object, ready to be sent and found.
type confRow[T any] struct {
	value  T
	tenant string
	json   []byte   // without the closing brace
	link   string   // below the version, such as /users/<uuid>
	rel    string   // what the link is to
	texts  []string // of the columns
	keys   []string // the same as they are compared
	search string   // folded
}

// linked appends the object with its link; base comes from quoted.
func (r *confRow[T]) linked(to, base []byte) []byte {
	to = append(to, r.json...)
	to = append(to, `,"links":[{"rel":"`...)
	to = append(to, r.rel...)
	to = append(to, `","href":`...)
	to = append(to, base...)
	to = append(to, r.link...)
	return append(to, `"}]}`...)
}

// quoted is the beginning of a string in JSON.
func quoted(base string) []byte {
	text, _ := json.Marshal(base) // a string can always be encoded
	return bytes.TrimSuffix(text, []byte(`"`))
}

// fold makes texts that differ in case and accents alone the same.
func fold(s string) string {
	ascii := true
	for i := range len(s) {
		ascii = ascii && s[i] < 0x80
	}
	if ascii {
		return strings.ToLower(s)
	}
	return strings.ToLower(strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return r
	}, norm.NFD.String(s)))
}

// link is where an object is, below the version.
func (rs *resource[T]) link(v T) string {
	e := rs.entity(&v)
	if e.UUID == nil || rs.keys == "int" {
		return rs.path + "/" + strconv.FormatInt(*e.ID, 10)
	}
	return rs.path + "/" + *e.UUID
}

func (rs *resource[T]) render(v T) *confRow[T] {
	row := &confRow[T]{value: v, link: rs.link(v), rel: strings.ReplaceAll(strings.Trim(rs.path, "/"), "/", "_")}
	data, _ := json.Marshal(rs.body(v)) // structs of texts, numbers and booleans can always be encoded
	row.json = bytes.TrimSuffix(data, []byte("}"))
	row.tenant = deref(rs.entity(&v).Tenant)
	var searched []string
	for _, c := range rs.columns {
		value := c.text(v)
		key := fold(value)
		if c.searched {
			searched = append(searched, key)
		}
		if c.number {
			key = fmt.Sprintf("%020s", value)
		}
		row.texts, row.keys = append(row.texts, value), append(row.keys, key)
	}
	// A blank between them, so that first and last name are found together.
	row.search = strings.Join(searched, " ")
	return row
}

// view is the index of the directory as it is now, with the rows in the order
// of a column.
func (rs *resource[T]) view(col int) (rows []*confRow[T], order []int) {
	x := &rs.index
	x.mu.Lock()
	defer x.mu.Unlock()
	if book := rs.server.directory.Book(); x.book != book {
		rs.refresh(x, book)
	}
	if x.orders[col] == nil {
		order := make([]int, len(x.rows))
		for i := range order {
			order[i] = i
		}
		slices.SortFunc(order, x.compare(col))
		x.orders[col] = order
	}
	return x.rows, x.orders[col]
}

// compare orders rows by a column, those that are alike there as they were made.
func (x *confIndex[T]) compare(col int) func(a, b int) int {
	return func(a, b int) int {
		return cmp.Or(strings.Compare(x.rows[a].keys[col], x.rows[b].keys[col]), cmp.Compare(a, b))
	}
}

// refresh makes the rows of what has changed. Mostly that is one object among
// ten thousand: then it alone finds its new place in the orders.
func (rs *resource[T]) refresh(x *confIndex[T], book *directory.Book) {
	list := rs.list(book.Contents())
	rows := make([]*confRow[T], len(list))
	var changed []int
	var moved map[string]*confRow[T] // the old rows, once they are not where they were
	for i := range list {
		if i < len(x.rows) && rs.same(x.rows[i].value, list[i]) {
			rows[i] = x.rows[i]
			continue
		}
		changed = append(changed, i)
		if len(list) != len(x.rows) && moved == nil {
			moved = make(map[string]*confRow[T], len(x.rows))
			for _, row := range x.rows {
				moved[row.link] = row
			}
		}
		if old, ok := moved[rs.link(list[i])]; ok && rs.same(old.value, list[i]) {
			rows[i] = old
		} else {
			rows[i] = rs.render(list[i])
		}
	}
	some := len(list) == len(x.rows) && len(changed) <= few
	x.book, x.rows = book, rows
	orders := make(map[int][]int, len(x.orders))
	for col, order := range x.orders {
		if some {
			orders[col] = replaced(order, changed, x.compare(col))
		}
	}
	x.orders = orders // readers go on with the old ones
}

// few is up to how many changes it is quicker to find each its place.
const few = 16

// replaced is an order in which some have another place now.
func replaced(order, changed []int, compare func(a, b int) int) []int {
	out := make([]int, 0, len(order))
	for _, i := range order {
		if !slices.Contains(changed, i) {
			out = append(out, i)
		}
	}
	for _, i := range changed {
		at, _ := slices.BinarySearchFunc(out, i, compare)
		out = slices.Insert(out, at, i)
	}
	return out
}

// asked is what a client wants of a list.
type asked struct {
	col, limit, offset int
	descending         bool
	search             string
	exact              map[int]string
}

// read reads the parameters of a list.
func (rs *resource[T]) read(r *http.Request) (asked, bool, error) {
	q := r.URL.Query()
	b := new(confBody)
	a := asked{search: fold(q.Get("search")), exact: make(map[int]string)}
	count := func(name string, least int) int {
		if !q.Has(name) {
			return 0
		}
		n, err := strconv.Atoi(q.Get(name))
		switch {
		case err != nil:
			b.refuse(name, "Not a valid integer.")
		case n < least:
			b.refuse(name, fmt.Sprintf("Must be greater than or equal to %d.", least))
		}
		return n
	}
	a.limit, a.offset = count("limit", 1), count("offset", 0)
	if d := q.Get("direction"); q.Has("direction") && d != "asc" && d != "desc" {
		b.refuse("direction", "Must be one of: asc, desc.")
	}
	a.descending = q.Get("direction") == "desc"
	if q.Has("order") {
		a.col = slices.IndexFunc(rs.columns, func(c column[T]) bool { return c.name == q.Get("order") })
		if a.col < 0 {
			b.refuse("order", "Not a valid column.")
		}
	}
	for i, c := range rs.columns {
		if q.Has(c.name) {
			a.exact[i] = q.Get(c.name)
		}
	}
	p := newParams(q)
	recurse := p.boolean("recurse", false)
	if len(p.wrong) > 0 {
		b.refuse("recurse", "Not a valid boolean.")
	}
	return a, recurse, b.problem()
}

func (rs *resource[T]) getList(w http.ResponseWriter, r *http.Request, rc request) error {
	a, recurse, err := rs.read(r)
	if err != nil {
		return err
	}
	tenants := map[string]bool{rc.tenant: true}
	if recurse {
		for _, t := range rc.visible {
			tenants[t] = true
		}
	}
	rows, order := rs.view(a.col)
	matching := make([]int, 0, len(order))
	for _, i := range order {
		if rows[i].fits(a, tenants, rs.master) {
			matching = append(matching, i)
		}
	}
	total := len(matching)
	if a.descending {
		slices.Reverse(matching)
	}
	matching = matching[min(a.offset, total):]
	if a.limit > 0 {
		matching = matching[:min(a.limit, len(matching))]
	}
	base := quoted(rc.base())
	out := fmt.Appendf(make([]byte, 0, 2*portion), `{"total":%d,"items":[`, total)
	w.Header().Set("Content-Type", "application/json")
	for n, i := range matching {
		if n > 0 {
			out = append(out, ',')
		}
		if out = rows[i].linked(out, base); len(out) > portion {
			if _, err := w.Write(out); err != nil {
				return nil // the client is gone, which is its own affair
			}
			out = out[:0]
		}
	}
	_, _ = w.Write(append(out, "]}\n"...)) // the same
	return nil
}

// portion is how much of a list is made before it is sent: all users of a big
// directory are megabytes.
const portion = 32 << 10

func (r *confRow[T]) fits(a asked, tenants map[string]bool, everybody bool) bool {
	if !everybody && !tenants[r.tenant] || !strings.Contains(r.search, a.search) {
		return false
	}
	for i, want := range a.exact {
		if r.texts[i] != want {
			return false
		}
	}
	return true
}

// base is what clients put before a path of ours.
func (rc request) base() string { return rc.origin.url(Confd.version()) }

func writeBytes(w http.ResponseWriter, status int, data []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)+1))
	w.WriteHeader(status)
	_, _ = w.Write(append(data, '\n')) // the client may be gone, which is its own affair
}
