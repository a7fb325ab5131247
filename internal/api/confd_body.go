package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// confError is an error as confd tells it: an array of strings
// (auth-and-clients 5, form C).
type confError struct {
	status int
	lines  []string
}

func (e *confError) Error() string { return fmt.Sprint(e.lines) }

func (e *confError) write(w http.ResponseWriter, _ time.Time) { writeJSON(w, e.status, e.lines) }

func inputError(field, text string) *confError {
	return &confError{http.StatusBadRequest, []string{inputLine(field, text)}}
}

func inputLine(field, text string) string { return "Input Error - " + field + ": ['" + text + "']" }

// inConfd gives an error that any service may meet the form of confd.
func inConfd(f failure) failure {
	if p, ok := f.(*problem); ok {
		return &confError{p.status, []string{p.message}}
	}
	return f
}

// maxConfBody is far more than any object needs.
const maxConfBody = 1 << 20

// confBody reads the fields of a JSON object and collects what is wrong with
// them. Unknown ones are ignored (recording-rules 5.1).
type confBody struct {
	values   map[string]json.RawMessage
	creating bool
	wrong    []string
}

func readConf(w http.ResponseWriter, r *http.Request) (*confBody, error) {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxConfBody))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return nil, &confError{http.StatusRequestEntityTooLarge, []string{"Input Error - the request is too large"}}
	}
	b := new(confBody)
	if err != nil || json.Unmarshal(data, &b.values) != nil || b.values == nil {
		return nil, &confError{http.StatusBadRequest, []string{"Input Error - the request is no JSON object"}}
	}
	return b, nil
}

func (b *confBody) problem() error {
	if len(b.wrong) == 0 {
		return nil
	}
	slices.Sort(b.wrong)
	return &confError{http.StatusBadRequest, b.wrong}
}

func (b *confBody) refuse(name, text string) { b.wrong = append(b.wrong, inputLine(name, text)) }

func (b *confBody) has(name string) bool { _, ok := b.values[name]; return ok }

func (b *confBody) null(name string) bool {
	return bytes.Equal(bytes.TrimSpace(b.values[name]), []byte("null"))
}

// text sets a string that is sent; null is the empty one where it may be.
func (b *confBody) text(name string, to *string, nullable bool) {
	raw, sent := b.values[name]
	switch {
	case !sent:
	case b.null(name) && nullable:
		*to = ""
	case b.null(name):
		b.refuse(name, "Field may not be null.")
	case json.Unmarshal(raw, to) != nil:
		b.refuse(name, "Not a valid string.")
	}
}

// required refuses to create without a text.
func (b *confBody) required(name string, to *string) {
	if b.creating && !b.has(name) {
		b.refuse(name, "Missing data for required field.")
		return
	}
	b.text(name, to, false)
}

// boolean takes JSON's true and false alone.
func (b *confBody) boolean(name string, to *bool) {
	raw, sent := b.values[name]
	switch {
	case !sent:
	case b.null(name):
		b.refuse(name, "Field may not be null.")
	case json.Unmarshal(raw, to) != nil:
		b.refuse(name, "Not a valid boolean.")
	}
}

// lenient takes the spellings that confd takes for feature extensions as well.
func (b *confBody) lenient(name string, to *bool) {
	raw, sent := b.values[name]
	if !sent {
		return
	}
	word := string(bytes.Trim(bytes.TrimSpace(raw), `"`))
	switch v, err := strconv.ParseBool(word); {
	case b.null(name):
		b.refuse(name, "Field may not be null.")
	case err == nil:
		*to = v
	case slices.Contains([]string{"on", "On", "ON", "y", "Y", "yes", "Yes", "YES"}, word):
		*to = true
	case slices.Contains([]string{"off", "Off", "OFF", "n", "N", "no", "No", "NO"}, word):
		*to = false
	default:
		b.refuse(name, "Not a valid boolean.")
	}
}

// place sets where something is called from its first extension.
func (b *confBody) place(exten, context *string) {
	var list []confExtension
	raw, sent := b.values["extensions"]
	switch {
	case !sent:
	case json.Unmarshal(raw, &list) != nil || len(list) > 1:
		b.refuse("extensions", "Not a valid list of one extension.")
	case len(list) == 0:
		*exten, *context = "", ""
	default:
		*exten, *context = list[0].Exten, list[0].Context
	}
}

// confExtension is a number in a context of the dialplan.
type confExtension struct {
	Exten   string `json:"exten"`
	Context string `json:"context"`
}

func extensionsOf(exten, context string) []confExtension {
	if exten == "" {
		return []confExtension{}
	}
	return []confExtension{{exten, context}}
}
