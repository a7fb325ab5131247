package ami

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReadMessage(t *testing.T) {
	tests := []struct {
		name, in string
		want     []Message
		err      error
	}{
		{"crlf", "A: 1\r\nB: 2\r\n\r\n", []Message{{{"A", "1"}, {"B", "2"}}}, io.EOF},
		{"lf", "A: 1\n\nB: 2\n\n", []Message{{{"A", "1"}}, {{"B", "2"}}}, io.EOF},
		{"one empty line too many", "A: 1\r\n\r\n\nB:2\r\n\r\n", []Message{{{"A", "1"}}, {{"B", "2"}}}, io.EOF},
		{
			"repeated and empty", "Output:   two spaces\r\nOutput: \r\noutput:x:y\r\n\r\n",
			[]Message{{{"Output", "  two spaces"}, {"Output", ""}, {"output", "x:y"}}},
			io.EOF,
		},
		{"no colon", "nonsense\r\n: x\r\n\r\n", []Message{{{"", "nonsense"}, {"", ": x"}}}, io.EOF},
		{
			"legacy command", "Response: Follows\r\nPrivilege: Command\r\nActionID: 1\r\nName: x\n\nActionID: no header\n--END COMMAND--\r\n\r\nA: 1\r\n\r\n",
			[]Message{{
				{"Response", "Success"},
				{"Privilege", "Command"},
				{"ActionID", "1"},
				{"Output", "Name: x"},
				{"Output", ""},
				{"Output", "ActionID: no header"},
			}, {{"A", "1"}}},
			io.EOF,
		},
		{"legacy end glued", "Response: Follows\r\nabc--END COMMAND--\r\n\r\n", []Message{{{"Response", "Success"}, {"Output", "abc"}}}, io.EOF},
		{"cut in a line", "A: 1\r\nB", nil, io.ErrUnexpectedEOF},
		{"cut in a message", "A: 1\r\n", nil, io.ErrUnexpectedEOF},
		{"long line", "A: " + strings.Repeat("x", maxLine) + "\r\n\r\n", nil, ErrTooLong},
		{"long message", strings.Repeat("A: "+strings.Repeat("x", 60000)+"\r\n", 20) + "\r\n", nil, ErrTooLong},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := readAll(strings.NewReader(tt.in))
			if !reflect.DeepEqual(got, tt.want) || !errors.Is(err, tt.err) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func readAll(r io.Reader) ([]Message, error) {
	rd := NewReader(r)
	var out []Message
	for {
		m, err := rd.ReadMessage()
		if err != nil {
			return out, err
		}
		out = append(out, m)
	}
}

func TestMessageAccess(t *testing.T) {
	m := Message{{"Output", "a"}, {"ActionID", "1"}, {"output", "b"}}
	if m.Get("OUTPUT") != "a" || !reflect.DeepEqual(m.All("Output"), []string{"a", "b"}) || m.Get("none") != "" || !m.Has("actionid") {
		t.Errorf("access to %v", m)
	}
}

func TestAppendRefusesInjection(t *testing.T) {
	for _, f := range []Field{{"A", "x\r\nAction: Command"}, {"A", "x\n"}, {"A", "\x00"}, {"A:B", "x"}, {"A\r\nB", "x"}, {"", "a:b"}, {"", ""}} {
		if b, err := (Message{f}).Append(nil); !errors.Is(err, ErrInvalidField) {
			t.Errorf("%q becomes %q, %v", f, b, err)
		}
	}
}

func TestBanner(t *testing.T) {
	if v, err := NewReader(strings.NewReader("Asterisk Call Manager/9.0.0\r\n")).Banner(); v != "9.0.0" || err != nil {
		t.Errorf("banner %q, %v", v, err)
	}
	if _, err := NewReader(strings.NewReader("SSH-2.0-x\r\n")).Banner(); !errors.Is(err, ErrNotAMI) {
		t.Errorf("ssh: %v", err)
	}
}

func FuzzReadMessage(f *testing.F) {
	f.Add([]byte("Response: Success\r\nActionID: 1\r\n\r\nEvent: A\n\n"))
	f.Add([]byte("Response: Follows\r\nPrivilege: Command\r\na: b\n\n--END COMMAND--\r\n\r\n"))
	f.Add([]byte("x\r\r\n: \r\n\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		whole, err1 := readAll(bytes.NewReader(in))
		bytewise, err2 := readAll(iotest.OneByteReader(bytes.NewReader(in)))
		if !reflect.DeepEqual(whole, bytewise) || fmt.Sprint(err1) != fmt.Sprint(err2) {
			t.Fatalf("whole %q, %v; bytewise %q, %v", whole, err1, bytewise, err2)
		}
		for _, m := range whole {
			b, err := m.Append(nil)
			if err != nil {
				continue
			}
			if back, err := NewReader(bytes.NewReader(b)).ReadMessage(); err != nil || !reflect.DeepEqual(back, m) {
				t.Fatalf("%q becomes %q, %v", m, back, err)
			}
		}
	})
}
