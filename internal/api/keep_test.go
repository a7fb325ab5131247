package api

import (
	"encoding/json"
	"errors"
	"net/url"
	"testing"

	"callrecordd/internal/retention"
)

// FuzzObject: a body is an object, a list of problems or no JSON; what passes
// for ids and days is one.
func FuzzObject(f *testing.F) {
	for _, seed := range []string{
		`{"cdr_ids": [1, "2", 1.5, null, 9223372036854775808], "cdr_days": 3, "reason": "x"}`, `{"cdr_ids": null}`, `[]`, `null`, `"`,
		`{"cdr_ids": [[[[]]]], "cdr_days": -1, "reason": "\u0000"}`, `{"cdr_ids": ["１"]}`, "{\"reason\": \"\xff\"}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := parsePayload(data)
		if err != nil {
			if _, ok := errors.AsType[*problem](err); !ok {
				t.Errorf("%v is no answer", err)
			}
			return
		}
		ids := o.integers("cdr_ids", true)
		if o.problem() == nil && len(ids) == 0 {
			t.Error("no ids and no problem")
		}
		days := o.days("cdr_days")
		reason := o.text("reason", 1, 1000)
		if p := o.problem(); p == nil {
			if reason == "" || days != nil && (*days < 0 || *days > retention.MaxDays) {
				t.Errorf("%q days %v", reason, days)
			}
		} else if _, err := json.Marshal(p.details); err != nil || len(p.details) == 0 {
			t.Errorf("details %v: %v", p.details, err)
		}
	})
}

// FuzzSelection: whatever the query says, there is a selection within the
// visible tenants or a list of problems.
func FuzzSelection(f *testing.F) {
	for _, seed := range []string{
		"from=2021-04-01T00%3A00%3A00-0500&until=2021-05-01&recurse=false&email=a%40b.example", "tags=&number=_1_&from_id=-1&user_uuid=a,b",
		"search=x-1-00000000-0000-4000-8000-000000000001.wav&to=2021-01-01", "search=%00&recurse=yes&call_direction=x", "email=a%0d%0ab%40c",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		p := newParams(values)
		sel := p.selection(request{tenant: child, visible: []string{child, master}})
		email := p.email("email")
		if problem := p.problem(); problem != nil {
			if _, err := json.Marshal(problem.details); err != nil {
				t.Error(err)
			}
			return
		}
		for _, tenant := range sel.Tenants {
			if tenant != child && tenant != master {
				t.Errorf("tenant %q", tenant)
			}
		}
		for _, c := range email {
			if c < ' ' || c == ',' {
				t.Errorf("mail to %q", email)
			}
		}
	})
}
