package history

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

// maxLine is the longest line of a file.
const maxLine = 1 << 20

// Refusal is a line that cannot be read, and why.
type Refusal struct {
	Line   int    `json:"line"`
	Reason string `json:"reason"`
}

// Read reads a file of either kind and hands over what it finds, in order. It
// finds out the kind by the first character: JSON Lines begin with a brace. A
// file that is neither has nothing but refusals. zone is that of the times of
// Master.csv. Errors are those of r and of the callbacks.
func Read(r io.Reader, zone *time.Location, item func(Item) error, refused func(Refusal) error) error {
	in := bufio.NewReaderSize(r, 64<<10)
	parse := func(line []byte) (Item, error) { return parseCSV(line, zone) }
	for n := 1; ; n++ {
		line, long, err := nextLine(in)
		if errors.Is(err, io.EOF) && len(line) == 0 && !long {
			return nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read line %d: %w", n, err)
		}
		if n == 1 {
			line = bytes.TrimPrefix(line, []byte("\ufeff"))
			if bytes.HasPrefix(bytes.TrimSpace(line), []byte("{")) {
				parse = parseJSON
			}
		}
		if len(bytes.TrimSpace(line)) == 0 && !long {
			continue
		}
		it, problem := Item{}, error(nil)
		if long {
			problem = fmt.Errorf("is longer than %d bytes", maxLine)
		} else if it, problem = parse(line); problem == nil {
			it.Line = n
			if err := item(it); err != nil {
				return err
			}
		}
		if problem != nil {
			if err := refused(Refusal{n, problem.Error()}); err != nil {
				return err
			}
		}
	}
}

// nextLine reads a line without its end. Of one that is too long nothing is
// kept.
func nextLine(r *bufio.Reader) (line []byte, long bool, err error) {
	for {
		part, err := r.ReadSlice('\n')
		if !long {
			line = append(line, part...)
		}
		if len(line) > maxLine {
			line, long = nil, true
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return bytes.TrimRight(line, "\r\n"), long, err
		}
	}
}

func parseJSON(line []byte) (Item, error) {
	var it Item
	if !utf8.Valid(line) {
		return it, errors.New("is not UTF-8")
	}
	if err := json.Unmarshal(line, &it); err != nil {
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return it, fmt.Errorf("%s cannot be a %s", wrong.Field, wrong.Value)
		}
		return it, errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	it.Line = 0
	return it, nil
}

// The fields of Master.csv in their order; uniqueid and userfield are there if
// cdr.conf says so.
const (
	csvSrc, csvDst, csvContext, csvCLID, csvChannel, csvDstChannel = 1, 2, 3, 4, 5, 6
	csvStart, csvAnswer, csvEnd, csvDisposition, csvLast           = 9, 10, 11, 14, 15
)

var uniqueID = regexp.MustCompile(`^([A-Za-z0-9_-]+-)?[0-9]{9,11}\.[0-9]+$`)

// parseCSV reads a line of Asterisk's Master.csv (cdr_csv).
func parseCSV(line []byte, zone *time.Location) (Item, error) {
	r := csv.NewReader(bytes.NewReader(line))
	r.FieldsPerRecord = -1
	f, err := r.Read()
	if err != nil {
		return Item{}, errors.New("is neither JSON nor a line of Master.csv: " + strings.TrimPrefix(err.Error(), "record on line 1; "))
	}
	if len(f) <= csvLast || len(f) > csvLast+4 {
		return Item{}, fmt.Errorf("has %d fields; a line of Master.csv has %d to %d", len(f), csvLast+1, csvLast+4)
	}
	var it Item
	for _, x := range []struct {
		to *Moment
		i  int
	}{{&it.Start, csvStart}, {&it.Answer, csvAnswer}, {&it.End, csvEnd}} {
		if f[x.i] == "" && x.to != &it.Start {
			continue
		}
		t, err := time.ParseInLocation("2006-01-02 15:04:05", f[x.i], zone)
		if err != nil || t.Year() < 1900 {
			return Item{}, fmt.Errorf("field %d: %.40q is no time such as 2026-11-23 10:00:00", x.i+1, f[x.i])
		}
		x.to.Time = t.UTC()
	}
	if f[csvDisposition] != "ANSWERED" {
		it.Answer = Moment{}
	}
	it.SourceExtension, it.SourceName = Text(f[csvSrc]), Text(callerName(f[csvCLID]))
	it.DestinationExtension, it.RequestedExtension, it.RequestedContext = Text(f[csvDst]), Text(f[csvDst]), Text(f[csvContext])
	it.Channel, it.DestinationChannel = f[csvChannel], f[csvDstChannel]
	for _, extra := range f[csvLast+1:] {
		if uniqueID.MatchString(extra) {
			it.ConversationID = Text(extra)
			break
		}
	}
	return it, nil
}

// callerName is the name of "Name" <number>.
func callerName(clid string) string {
	if name, _, ok := strings.Cut(clid, "<"); ok {
		return strings.Trim(strings.TrimSpace(name), `"`)
	}
	return ""
}
