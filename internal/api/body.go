package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"callrecordd/internal/retention"
)

// payload is the JSON object of a body. It collects what is wrong with its
// fields: all are reported together (cdr-api 1.11).
type payload struct {
	fields map[string]json.RawMessage
	wrong  map[string]any
}

// readPayload reads a body, whatever its media type (cdr-api 1.13).
func readPayload(r *http.Request) (*payload, error) {
	data, err := io.ReadAll(r.Body)
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return nil, fmt.Errorf("read the body: %w", err)
	}
	if err != nil {
		return nil, malformed()
	}
	return parsePayload(data)
}

func malformed() *problem {
	return &problem{
		status: http.StatusBadRequest, message: "The browser (or proxy) sent a request that this server could not understand.",
	}
}

func parsePayload(data []byte) (*payload, error) {
	if !utf8.Valid(data) || !json.Valid(data) {
		return nil, malformed()
	}
	o := &payload{wrong: map[string]any{}}
	if err := json.Unmarshal(data, &o.fields); err != nil || o.fields == nil {
		return nil, invalidData(map[string]any{"_schema": []any{"Invalid input type."}})
	}
	return o, nil
}

func (o *payload) problem() *problem {
	if len(o.wrong) == 0 {
		return nil
	}
	return invalidData(o.wrong)
}

func wrongType(message, constraintID, constraint string) map[string]any {
	return map[string]any{"message": message, "constraint_id": constraintID, "constraint": constraint}
}

func wrongValue(message, constraintID string, constraint any) []any {
	return []any{map[string]any{"constraint_id": constraintID, "constraint": constraint, "message": message}}
}

// has says whether the field is there and not null; one that is required is
// wrong otherwise.
func (o *payload) has(name string, required bool) bool {
	raw, there := o.fields[name]
	null := bytes.Equal(raw, []byte("null"))
	switch {
	case there && !null:
		return true
	case there && required:
		o.wrong[name] = wrongType("Field may not be null.", "not_null", "not_null")
	case required:
		o.wrong[name] = wrongType("Missing data for required field.", "required", "required")
	}
	return false
}

// wholeNumber reads what upstream takes for one: numbers and numeric texts. It does
// not cut 1.5 down to 1 as upstream does: another CDR would be meant.
func wholeNumber(raw json.RawMessage) (int64, bool) {
	text := string(raw)
	if unquoted := ""; json.Unmarshal(raw, &unquoted) == nil {
		text = strings.TrimSpace(unquoted)
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil
}

// integers reads a list of them. nil is a list that is not there, which is
// wrong if it is required; then it must not be empty either.
func (o *payload) integers(name string, required bool) []int64 {
	if !o.has(name, required) {
		return nil
	}
	var raws []json.RawMessage
	if err := json.Unmarshal(o.fields[name], &raws); err != nil {
		o.wrong[name] = wrongType("Not a valid list.", "type", "list")
		return nil
	}
	if required && len(raws) == 0 {
		o.wrong[name] = wrongValue("Shorter than minimum length 1.", "length", map[string]any{"min": 1, "max": nil})
		return nil
	}
	out := make([]int64, 0, len(raws))
	wrong := map[string]any{}
	for i, raw := range raws {
		n, ok := wholeNumber(raw)
		switch {
		case ok:
			out = append(out, n)
		case string(raw) == "null":
			wrong[strconv.Itoa(i)] = wrongType("Field may not be null.", "not_null", "not_null")
		default:
			wrong[strconv.Itoa(i)] = wrongType("Not a valid integer.", "type", "integer")
		}
	}
	if len(wrong) > 0 {
		o.wrong[name] = wrong
	}
	return out
}

// days reads a number of days, nil if there is none.
func (o *payload) days(name string) *int {
	if !o.has(name, false) {
		return nil
	}
	n, ok := wholeNumber(o.fields[name])
	switch {
	case !ok:
		o.wrong[name] = wrongType("Not a valid integer.", "type", "integer")
	case n < 0:
		o.wrong[name] = wrongValue("Must be greater than or equal to 0.", "range", map[string]any{"min": 0})
	case n > retention.MaxDays:
		o.wrong[name] = wrongValue("Must be less than or equal to "+strconv.Itoa(retention.MaxDays)+".", "range",
			map[string]any{"max": retention.MaxDays})
	}
	days := int(n)
	return &days
}

// text reads a text of so many characters, without control characters.
func (o *payload) text(name string, least, most int) string {
	if !o.has(name, true) {
		return ""
	}
	var s string
	if err := json.Unmarshal(o.fields[name], &s); err != nil || strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		o.wrong[name] = wrongType("Not a valid string.", "type", "string")
		return ""
	}
	s = strings.TrimSpace(s)
	if n := utf8.RuneCountInString(s); n < least || n > most {
		o.wrong[name] = wrongValue("Length must be between "+strconv.Itoa(least)+" and "+strconv.Itoa(most)+".", "length",
			map[string]any{"min": least, "max": most})
	}
	return s
}
