package ami

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Limits of what is read and sent.
const (
	maxLine    = 64 << 10
	maxMessage = 1 << 20
	maxList    = 100_000
	// maxSent is Asterisk's input line of 1025 bytes less its end: it drops
	// longer lines silently.
	maxSent = 1022
)

// Field is one header of a message. A line without colon has an empty Key.
type Field struct{ Key, Value string }

// Message is the headers of an AMI message in their order; keys may repeat.
type Message []Field

// Get returns the first value of key, whatever its case, "" if there is none.
func (m Message) Get(key string) string {
	for _, f := range m {
		if strings.EqualFold(f.Key, key) {
			return f.Value
		}
	}
	return ""
}

// All returns the values of key, whatever its case, in order.
func (m Message) All(key string) []string {
	var out []string
	for _, f := range m {
		if strings.EqualFold(f.Key, key) {
			out = append(out, f.Value)
		}
	}
	return out
}

// Has reports whether key occurs, whatever its case.
func (m Message) Has(key string) bool {
	for _, f := range m {
		if strings.EqualFold(f.Key, key) {
			return true
		}
	}
	return false
}

// Append appends the message as it goes over the wire, with its closing empty
// line. A field that would not come back the same is ErrInvalidField: one with
// a line break or NUL is an injected header.
func (m Message) Append(b []byte) ([]byte, error) {
	for _, f := range m {
		bad := strings.ContainsAny(f.Key, ":\r\n\x00") || strings.ContainsAny(f.Value, "\r\n\x00")
		if f.Key == "" {
			bad = bad || f.Value == "" || strings.Index(f.Value, ":") > 0
		}
		if bad {
			return nil, fmt.Errorf("%w: %q", ErrInvalidField, f.Key)
		}
		if f.Key != "" {
			b = append(append(b, f.Key...), ": "...)
		}
		b = append(append(b, f.Value...), "\r\n"...)
	}
	return append(b, "\r\n"...), nil
}

// Reader reads messages. One Reader serves a connection for its whole life:
// a second one would lose what the first has buffered.
type Reader struct{ br *bufio.Reader }

// NewReader returns a Reader on r.
func NewReader(r io.Reader) *Reader { return &Reader{br: bufio.NewReader(r)} }

// line reads up to LF and takes one LF and one CR off.
func (r *Reader) line() (string, error) {
	var long []byte
	for {
		part, err := r.br.ReadSlice('\n')
		if len(long)+len(part) > maxLine {
			return "", fmt.Errorf("%w: line above %d bytes", ErrTooLong, maxLine)
		}
		long = append(long, part...)
		switch {
		case err == nil:
			return strings.TrimSuffix(string(long[:len(long)-1]), "\r"), nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(long) > 0:
			return "", io.ErrUnexpectedEOF
		default:
			return "", err
		}
	}
}

// Banner reads the greeting and returns the protocol's version, such as "9.0.0".
func (r *Reader) Banner() (string, error) {
	line, err := r.line()
	if err != nil {
		return "", fmt.Errorf("read banner: %w", err)
	}
	version, ok := strings.CutPrefix(line, "Asterisk Call Manager/")
	if !ok {
		return "", fmt.Errorf("read banner: %w", ErrNotAMI)
	}
	return version, nil
}

// ReadMessage reads one message, with CRLF or LF, and skips empty lines before
// it: Asterisk ends some with one too many. The legacy answer "Response:
// Follows" is returned in its modern form, "Response: Success" and one Output
// per line. io.EOF between messages, io.ErrUnexpectedEOF within one.
func (r *Reader) ReadMessage() (Message, error) {
	var m Message
	follows := false
	for size := 0; ; {
		line, err := r.line()
		if err != nil {
			if errors.Is(err, io.EOF) && len(m) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		if size += len(line); size > maxMessage {
			return nil, fmt.Errorf("%w: message above %d bytes", ErrTooLong, maxMessage)
		}
		switch {
		case follows && strings.HasSuffix(line, endCommand):
			follows = false
			if rest := strings.TrimSuffix(line, endCommand); rest != "" {
				m = append(m, Field{"Output", rest})
			}
		case follows && !legacyHeader(m, line):
			m = append(m, Field{"Output", line})
		case line != "":
			f := parseField(line)
			if len(m) == 0 && strings.EqualFold(f.Key, "Response") && strings.EqualFold(f.Value, "Follows") {
				follows, f.Value = true, "Success"
			}
			m = append(m, f)
		case len(m) > 0:
			return m, nil
		}
	}
}

const endCommand = "--END COMMAND--"

// legacyHeader reports whether line is still a header of a legacy command
// answer: those come before the first line of output.
func legacyHeader(m Message, line string) bool {
	if strings.EqualFold(m[len(m)-1].Key, "Output") {
		return false
	}
	switch strings.ToLower(parseField(line).Key) {
	case "privilege", "actionid", "message":
		return true
	}
	return false
}

// parseField splits at the first colon and takes one space off: more of them
// belong to the value, as in the output of a command.
func parseField(line string) Field {
	key, value, ok := strings.Cut(line, ":")
	if !ok || key == "" {
		return Field{Value: line}
	}
	return Field{Key: key, Value: strings.TrimPrefix(value, " ")}
}
