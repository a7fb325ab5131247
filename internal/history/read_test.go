package history

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// FuzzRead: whatever is in a file, each line is an item or a refusal, and an
// item that is accepted survives being written and read again.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		`{"start": "2020-01-01T10:00:00+01:00", "tenant_uuid": "00000000-0000-4000-8000-000000000001", "tags": ["a"]}`,
		`{"id": 5, "start": null, "recordings": [{"uuid": "x", "path": "/x", "deleted": true}], "participants": [{"role": "source"}]}`,
		`"","1001","1002","users","""A"" <1001>","PJSIP/a-00000001","PJSIP/b-00000002","Dial","x","2020-06-01 12:00:00","2020-06-01 12:00:05","2020-06-01 12:01:05",65,60,"ANSWERED","DOCUMENTATION","1591012800.1",""`,
		"\ufeff{}\r\n\n\x00\n{", `"`, "{\"start\": \"9999-12-31T23:59:59-23:59\"}", strings.Repeat(`"",`, 15) + `""`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		last := 0
		next := func(line int) {
			if line <= last || line > strings.Count(text, "\n")+1 {
				t.Errorf("line %d after line %d", line, last)
			}
			last = line
		}
		err := Read(strings.NewReader(text), time.UTC, func(it Item) error {
			next(it.Line)
			if _, err := it.Recorded(); err != nil {
				return nil
			}
			c, err := it.CDR()
			if err != nil {
				return nil
			}
			data, err := json.Marshal(it)
			if err != nil {
				t.Fatalf("%+v cannot be written: %v", it, err)
			}
			back, err := parseJSON(data)
			if err != nil {
				t.Fatalf("%s cannot be read again: %v", data, err)
			}
			again, err := back.CDR()
			if err != nil || !again.Start.Equal(c.Start) || again.SourceName != c.SourceName || again.ID != c.ID {
				t.Errorf("%s: %v\n%+v\n%+v", data, err, c, again)
			}
			return nil
		}, func(r Refusal) error {
			next(r.Line)
			if r.Reason == "" {
				t.Error("refused without a reason")
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}
