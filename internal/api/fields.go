package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// readObject reads a body that must be a JSON object. Whether it says that it
// is one in its headers does not matter (auth-and-clients 1.4). object is false
// for any other JSON, which each caller refuses in its own words.
func readObject(w http.ResponseWriter, r *http.Request) (f fields, object bool, err error) {
	data, err := io.ReadAll(r.Body) // limited by the edge
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return f, false, &bare{http.StatusRequestEntityTooLarge, "The data value transmitted exceeds the capacity limit."}
	}
	if err != nil {
		return f, false, &bare{http.StatusBadRequest, "The browser (or proxy) sent a request that this server could not understand."}
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber() // 2^53+1 must not become another number
	var v any
	if err := dec.Decode(&v); err != nil || v == nil || dec.More() {
		return f, false, &bare{http.StatusBadRequest, "Failed to decode JSON object"}
	}
	m, object := v.(map[string]any)
	return fields{values: m}, object, nil
}

// fields reads the values of a JSON object. The first that is wrong is kept;
// unknown ones are left alone, as upstream does.
type fields struct {
	values map[string]any
	wrong  *fieldError
}

// fieldError is the first value that cannot be accepted.
type fieldError struct {
	field, text, constraintID string
	constraint                any
}

func (f *fields) refuse(name, text, id string, constraint any) {
	if f.wrong == nil {
		f.wrong = &fieldError{name, text, id, constraint}
	}
}

// has says whether the object has the key, with null or anything else.
func (f *fields) has(name string) bool { _, ok := f.values[name]; return ok }

// text returns a string; one that is absent or null is def.
func (f *fields) text(name, def string) string {
	switch v := f.values[name].(type) {
	case nil:
		return def
	case string:
		return v
	}
	f.refuse(name, "Not a valid string.", "type", "string")
	return def
}

func (f *fields) boolean(name string, def bool) bool {
	switch v := f.values[name].(type) {
	case nil:
		if !f.has(name) {
			return def
		}
	case bool:
		return v
	}
	f.refuse(name, "Not a valid boolean.", "type", "boolean")
	return def
}

// number returns an integer, which may be the text of one: the command line
// sends it so.
func (f *fields) number(name string, def, lowest, highest int64) int64 {
	if !f.has(name) {
		return def
	}
	text := ""
	switch v := f.values[name].(type) {
	case json.Number:
		text = v.String()
	case string:
		text = strings.TrimSpace(v)
	}
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil:
		f.refuse(name, "Not a valid integer.", "type", "integer")
	case n < lowest || n > highest:
		f.refuse(name, "Must be between "+strconv.FormatInt(lowest, 10)+" and "+strconv.FormatInt(highest, 10)+".",
			"range", map[string]any{"min": lowest, "max": highest})
	default:
		return n
	}
	return def
}

// list returns a list of strings, never nil.
func (f *fields) list(name string) []string {
	out := []string{}
	if !f.has(name) {
		return out
	}
	items, ok := f.values[name].([]any)
	if !ok {
		f.refuse(name, "Not a valid list.", "type", "list")
		return out
	}
	for _, item := range items {
		s, ok := item.(string)
		if !ok {
			f.refuse(name, "Not a valid string.", "type", "string")
			return out
		}
		out = append(out, s)
	}
	return out
}

func (f *fields) choice(name, def string, choices ...string) string {
	v := f.text(name, def)
	if !slices.Contains(choices, v) {
		f.refuse(name, "Must be one of: "+strings.Join(choices, ", ")+".", "enum", map[string]any{"choices": choices})
		return def
	}
	return v
}

// listing is the part of a list that was asked for.
type listing struct {
	limit, offset int // limit 0: all
	descending    bool
	order, search string
}

// readListing reads what all lists of the auth service share.
func readListing(p *params, orders ...string) listing {
	l := listing{
		limit: p.count("limit", 0), offset: p.count("offset", 0), search: p.values.Get("search"),
		descending: p.choice("direction", "asc", "asc", "desc") == "desc",
	}
	if len(orders) > 0 {
		l.order = p.choice("order", orders[0], orders...)
	}
	return l
}

// listProblem says what is wrong with the parameters of a list.
func (p *params) listProblem() error {
	if len(p.wrong) == 0 {
		return nil
	}
	return &badList{p.wrong}
}

// cut sorts a list by less and returns the part of it.
func cut[T any](items []T, l listing, compare func(a, b T) int) []T {
	slices.SortStableFunc(items, func(a, b T) int {
		if l.descending {
			a, b = b, a
		}
		return compare(a, b)
	})
	items = items[min(l.offset, len(items)):]
	if l.limit > 0 {
		items = items[:min(l.limit, len(items))]
	}
	return items
}
