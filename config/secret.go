package config

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
)

// Secret is a text that no log, dump or error message shows: however it is
// printed it gives "***", and nothing while it is empty. Reveal gives the text.
type Secret string

const redacted = "***"

// Reveal returns the text itself, for the one place that sends it.
func (s Secret) Reveal() string { return string(s) }

// String returns "***".
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// Format prints "***" for every verb. String alone would not do: fmt does not
// ask it for a wrong verb such as %d, and prints the text in its complaint.
func (s Secret) Format(f fmt.State, _ rune) {
	// There is nobody to give a failed write to; fmt keeps it for its caller.
	_, _ = io.WriteString(f, s.String())
}

// LogValue gives slog "***".
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText gives encoders "***".
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalJSON gives "***" as a JSON string.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// MarshalYAML gives "***".
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }
