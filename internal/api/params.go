package api

import (
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// params reads query parameters and collects what is wrong with them: all
// failing fields are reported together (cdr-api 1.11).
type params struct {
	values url.Values
	wrong  map[string]any
}

func newParams(values url.Values) *params {
	return &params{values: values, wrong: make(map[string]any)}
}

func (p *params) problem() *problem {
	if len(p.wrong) == 0 {
		return nil
	}
	return invalidData(p.wrong)
}

func (p *params) typeError(name, message, constraint string) {
	p.wrong[name] = map[string]any{"message": message, "constraint_id": "type", "constraint": constraint}
}

// count reads an integer that must not be negative.
func (p *params) count(name string, def int) int {
	if !p.values.Has(name) {
		return def
	}
	n, err := strconv.Atoi(strings.TrimSpace(p.values.Get(name)))
	if err != nil {
		p.typeError(name, "Not a valid integer.", "integer")
		return def
	}
	if n < 0 {
		p.wrong[name] = []any{map[string]any{
			"constraint_id": "range", "constraint": map[string]any{"min": 0},
			"message": "Must be greater than or equal to 0.",
		}}
	}
	return n
}

// boolean knows the spellings of cdr-api 3.2 and no others.
func (p *params) boolean(name string, def bool) bool {
	if !p.values.Has(name) {
		return def
	}
	switch p.values.Get(name) {
	case "t", "T", "true", "True", "TRUE", "on", "On", "ON", "y", "Y", "yes", "Yes", "YES", "1":
		return true
	case "f", "F", "false", "False", "FALSE", "off", "Off", "OFF", "n", "N", "no", "No", "NO", "0":
		return false
	}
	p.typeError(name, "Not a valid boolean.", "boolean")
	return def
}

// choice reads one of a few words.
func (p *params) choice(name, def string, choices ...string) string {
	if !p.values.Has(name) {
		return def
	}
	v := p.values.Get(name)
	if slices.Contains(choices, v) {
		return v
	}
	p.wrong[name] = []any{map[string]any{
		"constraint_id": "enum", "constraint": map[string]any{"choices": choices},
		"message": "Must be one of: " + strings.Join(choices, ", ") + ".",
	}}
	return def
}

func (p *params) datetime(name string) time.Time {
	if !p.values.Has(name) {
		return time.Time{}
	}
	t, ok := parseDatetime(p.values.Get(name))
	if !ok {
		p.typeError(name, "Not a valid datetime", "datetime")
	} else if t.IsZero() {
		// 0001-01-01 is a bound like any other; the zero time would be none.
		t = t.Add(time.Microsecond)
	}
	return t
}

var datetimeForm = regexp.MustCompile(
	`^(\d{4})-(\d{1,2})-(\d{1,2})(?:[T ](\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d{1,6})\d*)?)?(Z|[+-]\d{2}(?::?\d{2})?)?)?$`)

// parseDatetime reads the syntax of cdr-api 3.1, and, beyond it, a date alone
// and the offsets ±HH, ±HHMM and ±HH:MM (design 7: the published curl lines
// send -0500). A value without zone is UTC.
func parseDatetime(s string) (time.Time, bool) {
	f := datetimeForm.FindStringSubmatch(s)
	if f == nil {
		return time.Time{}, false
	}
	num := func(i int) int { n, _ := strconv.Atoi(f[i]); return n }
	micro, _ := strconv.Atoi((f[7] + "000000")[:6])
	zone := time.UTC
	if len(f[8]) >= 3 {
		digits := strings.ReplaceAll(f[8][1:], ":", "")
		hours, _ := strconv.Atoi(digits[:2])
		minutes, _ := strconv.Atoi("0" + digits[2:])
		if hours > 23 || minutes > 59 {
			return time.Time{}, false
		}
		offset := hours*3600 + minutes*60
		if f[8][0] == '-' {
			offset = -offset
		}
		zone = time.FixedZone("", offset)
	}
	t := time.Date(num(1), time.Month(num(2)), num(3), num(4), num(5), num(6), micro*1000, zone)
	// time.Date turns 31 February into March and 25:00 into tomorrow; both
	// are mistakes of the client's.
	if t.Year() != num(1) || int(t.Month()) != num(2) || t.Day() != num(3) ||
		t.Hour() != num(4) || t.Minute() != num(5) || t.Second() != num(6) || num(1) == 0 {
		return time.Time{}, false
	}
	return t.UTC(), true
}
