package api

import (
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"callrecordd/internal/cdr"
	"callrecordd/internal/recorder"
)

func TestUnauthorized(t *testing.T) {
	w := newWorld(t)
	w.recorded(recorder.Ready, "RIFF")
	for name, tt := range map[string]struct {
		path    string
		headers []string
		want    string // all but the timestamp
	}{
		"no token": {
			"/1.0/cdr",
			[]string{"X-Auth-Token", ""},
			`{"message":"Unauthorized","error_id":"unauthorized","details":{"invalid_token":true,"reason":"not_found_or_expired","required_access":"call-logd.cdr.read"},`,
		},
		"unknown token beats a bad parameter": {
			"/1.0/cdr?limit=x",
			[]string{"X-Auth-Token", "nobody's"},
			`{"message":"Unauthorized","error_id":"unauthorized","details":{"invalid_token":true,"reason":"not_found_or_expired","required_access":"call-logd.cdr.read"},`,
		},
		"missing ACL": {
			"/1.0/cdr/7",
			[]string{"X-Auth-Token", "list"},
			`{"message":"Unauthorized","error_id":"unauthorized","details":{"invalid_token":true,"reason":"missing_permission_or_invalid_tenant","required_access":"call-logd.cdr.7.read","tenant_uuid":null},`,
		},
		"ACL of media": {
			"/1.0/cdr/7/recordings/" + rec1 + "/media",
			[]string{"X-Auth-Token", "list", "Wazo-Tenant", child},
			`{"message":"Unauthorized","error_id":"unauthorized","details":{"invalid_token":true,"reason":"missing_permission_or_invalid_tenant","required_access":"call-logd.cdr.7.recordings.` + rec1 + `.media.read","tenant_uuid":"` + child + `"},`,
		},
		"foreign tenant": {
			"/1.0/cdr",
			[]string{"Wazo-Tenant", other},
			`{"message":"Unauthorized","error_id":"unauthorized","details":{"invalid_token":true,"reason":"missing_permission_or_invalid_tenant","required_access":"call-logd.cdr.read","tenant_uuid":"` + other + `"},`,
		},
		"tenant above": {
			"/1.0/cdr",
			[]string{"X-Auth-Token", "child", "Wazo-Tenant", master},
			`{"message":"Unauthorized","error_id":"unauthorized","details":{"invalid_token":true,"reason":"missing_permission_or_invalid_tenant","required_access":"call-logd.cdr.read","tenant_uuid":"` + master + `"},`,
		},
	} {
		for _, prefix := range prefixes() {
			r := w.get(prefix+tt.path, tt.headers...)
			if want := tt.want + "\"timestamp\":1795428000.25}\n"; r.status != 401 || r.body != want {
				t.Errorf("%s: %d\n got %s\nwant %s", name, r.status, r.body, want)
			}
		}
	}
}

func TestTokensCannotBeChecked(t *testing.T) {
	w := newWorld(t)
	w.tokens.err = errors.New("disk /var/secret on fire")
	r := w.get("/1.0/cdr")
	w.fails(r, 503, "authentication-server-unreachable")
	if strings.Contains(r.body, "secret") || !strings.Contains(w.log.String(), "on fire") {
		t.Errorf("answer: %s, log: %s", r.body, w.log.String())
	}
}

func TestList(t *testing.T) {
	day := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		query   string
		headers []string
		want    Query
	}{
		"defaults":        {"", nil, Query{Order: "start", Tenants: []string{master}, Limit: 1001, Descending: true}},
		"selected tenant": {"", []string{"Wazo-Tenant", child}, Query{Order: "start", Tenants: []string{child}, Limit: 1001, Descending: true}},
		"recurse":         {"?recurse=True", nil, Query{Order: "start", Tenants: []string{master, child}, Limit: 1001, Descending: true}},
		"recurse below": {
			"?recurse=yes",
			[]string{"Wazo-Tenant", child},
			Query{Order: "start", Tenants: []string{child}, Limit: 1001, Descending: true},
		},
		"page":         {"?limit=2&offset=1&direction=asc", nil, Query{Order: "start", Tenants: []string{master}, Limit: 3, Offset: 1}},
		"no limit":     {"?limit=0", nil, Query{Order: "start", Tenants: []string{master}, Descending: true}},
		"blanks, sign": {"?limit=%20%2B5%20", nil, Query{Order: "start", Tenants: []string{master}, Limit: 6, Descending: true}},
		"first counts": {"?limit=3&limit=x", nil, Query{Order: "start", Tenants: []string{master}, Limit: 4, Descending: true}},
		"unknown key":  {"?tenant_uuid=" + other, nil, Query{Order: "start", Tenants: []string{master}, Limit: 1001, Descending: true}},
		"far away":     {"?offset=9223372036854775807", nil, Query{Order: "start", Tenants: []string{master}, Limit: 1001, Offset: 1<<63 - 1, Descending: true}},
		"period": {
			"?from=2026-11-23&until=2026-11-24T00:00:00%2B00:00", nil,
			Query{Order: "start", Tenants: []string{master}, Limit: 1001, Descending: true, From: day, Until: day.AddDate(0, 0, 1)},
		},
		"before everything": {
			"?until=0001-01-01", nil,
			Query{Order: "start", Tenants: []string{master}, Limit: 1001, Descending: true, Until: time.Time{}.Add(time.Microsecond)},
		},
	} {
		w := newWorld(t)
		w.cdrs.items, w.cdrs.total, w.cdrs.filtered = []Record{{CDR: cdr.CDR{ID: 2}}, {CDR: cdr.CDR{ID: 1}}}, 9, 4
		r := w.get("/1.0/cdr"+tt.query, tt.headers...)
		if r.status != 200 || r.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
		if diff := cmp.Diff(tt.want, w.cdrs.query); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		var got struct {
			Items           []struct{ ID int }
			Total, Filtered int
		}
		if err := json.Unmarshal([]byte(r.body), &got); err != nil || len(got.Items) != 2 || got.Items[0].ID != 2 ||
			got.Total != 9 || got.Filtered != 4 {
			t.Errorf("%s: %v %s", name, err, r.body)
		}
	}
}

func TestListEmptyAndFailing(t *testing.T) {
	w := newWorld(t)
	if r := w.get("/1.0/cdr"); r.body != "{\"items\":[],\"total\":0,\"filtered\":0,\"next_cursor\":null}\n" {
		t.Error(r.body)
	}
	w.cdrs.err = errors.New("no such table")
	for _, path := range []string{"/1.0/cdr", "/1.0/cdr/1", "/1.0/cdr/1/recordings/" + rec1 + "/media"} {
		if r := w.get(path); r.status != 500 || r.body != "{\"message\":\"Internal Server Error\"}\n" {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
}

func TestInvalidParameters(t *testing.T) {
	integer := `{"constraint":"integer","constraint_id":"type","message":"Not a valid integer."}`
	boolean := `{"constraint":"boolean","constraint_id":"type","message":"Not a valid boolean."}`
	datetime := `{"constraint":"datetime","constraint_id":"type","message":"Not a valid datetime"}`
	atLeast0 := `[{"constraint":{"min":0},"constraint_id":"range","message":"Must be greater than or equal to 0."}]`
	ascDesc := `[{"constraint":{"choices":["asc","desc"]},"constraint_id":"enum","message":"Must be one of: asc, desc."}]`
	w := newWorld(t)
	for query, want := range map[string]string{
		"limit=x":                   `{"limit":` + integer + `}`,
		"limit=":                    `{"limit":` + integer + `}`,
		"limit=1.0":                 `{"limit":` + integer + `}`,
		"limit=1e3":                 `{"limit":` + integer + `}`,
		"limit=0x10":                `{"limit":` + integer + `}`,
		"limit=1%00":                `{"limit":` + integer + `}`,
		"limit=9223372036854775808": `{"limit":` + integer + `}`,
		"offset=-1":                 `{"offset":` + atLeast0 + `}`,
		"recurse=tRUE":              `{"recurse":` + boolean + `}`,
		"recurse=":                  `{"recurse":` + boolean + `}`,
		"direction=":                `{"direction":` + ascDesc + `}`,
		"direction=DESC":            `{"direction":` + ascDesc + `}`,
		"from=%00":                  `{"from":` + datetime + `}`,
		"from=":                     `{"from":` + datetime + `}`,
		// An offset whose plus sign was not escaped.
		"until=2026-11-23T10:00:00+00:00": `{"until":` + datetime + `}`,
		"limit=-1&offset=y&from=soon&until=2026-02-31&direction=up&recurse=2": `{"direction":` + ascDesc +
			`,"from":` + datetime + `,"limit":` + atLeast0 + `,"offset":` + integer + `,"recurse":` + boolean + `,"until":` + datetime + `}`,
	} {
		r := w.get("/1.0/cdr?" + query)
		want = `{"message":"Sent data is invalid","error_id":"invalid-data","details":` + want + ",\"timestamp\":1795428000.25}\n"
		if r.status != 400 || r.body != want {
			t.Errorf("%s: %d\n got %s\nwant %s", query, r.status, r.body, want)
		}
	}
}

func TestDatetimes(t *testing.T) {
	at := func(h, m, s, micro int) time.Time { return time.Date(2026, 11, 3, h, m, s, micro*1000, time.UTC) }
	for text, want := range map[string]time.Time{
		"2026-11-03":                       at(0, 0, 0, 0),
		"2026-11-3":                        at(0, 0, 0, 0),
		"2026-11-03T10:20":                 at(10, 20, 0, 0),
		"2026-11-3T1:2:3":                  at(1, 2, 3, 0),
		"2026-11-03 10:20:30":              at(10, 20, 30, 0),
		"2026-11-03T10:20:30Z":             at(10, 20, 30, 0),
		"2026-11-03T10:20:30.5":            at(10, 20, 30, 500000),
		"2026-11-03T10:20:30.000001Z":      at(10, 20, 30, 1),
		"2026-11-03T10:20:30.1234567Z":     at(10, 20, 30, 123456),
		"2026-11-03T10:20:30+00:00":        at(10, 20, 30, 0),
		"2026-11-03T10:20:30-0500":         at(15, 20, 30, 0),
		"2026-11-03T10:20:30-05":           at(15, 20, 30, 0),
		"2026-11-03T10:20:30-05:30":        at(15, 50, 30, 0),
		"2026-11-03T10:20:30.250000+05:45": at(4, 35, 30, 250000),
		"2026-11-03T10:20+01":              at(9, 20, 0, 0),
		"2024-02-29":                       time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC),
		"9999-12-31T23:59:59":              time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
	} {
		if got, ok := parseDatetime(text); !ok || !got.Equal(want) {
			t.Errorf("%s: %v %v, want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{
		"", " ", "now", "2026", "2026-11", "20261103", "20261103T102030", "1795428000", "2026-11-03Z", "2026-11-03T",
		"2026-02-31", "2025-02-29", "2026-13-01", "2026-00-10", "2026-11-00", "0000-01-01", "2026-11-03T24:00",
		"2026-11-03T10", "2026-11-03T10:60", "2026-11-03T10:20:60", "2026-11-03T10:20:30.", "2026-11-03T10:20:30 00:00",
		"2026-11-03T10:20:30+5", "2026-11-03T10:20:30+24:00", "2026-11-03T10:20:30+05:60", "2026-11-03T10:20:30+05:",
		"2026-11-03T10:20:30z", "2026-11-03t10:20:30", " 2026-11-03", "2026-11-03\n", "2026-11-03\x00", "-2026-11-03", "٢٠٢٦-11-03",
	} {
		if got, ok := parseDatetime(text); ok {
			t.Errorf("%q was read as %v", text, got)
		}
	}
}

func TestNoRoute(t *testing.T) {
	w := newWorld(t)
	w.recorded(recorder.Ready, "RIFF")
	media := "/recordings/" + rec1 + "/media"
	for _, path := range []string{
		"/", "/1.0", "/1.0/cdrs", "/2.0/cdr", "/1.0/cdr/", "/1.0/cdr/7/", "/api/call-logd/cdr", "/api/calld/1.0/cdr",
		"/1.0/cdr/x", "/1.0/cdr/-7", "/1.0/cdr/+7", "/1.0/cdr/7.0", "/1.0/cdr/0x7", "/1.0/cdr/7%00", "/1.0/cdr/%207",
		"/1.0/cdr/9223372036854775808", "/1.0/cdr/7/recordings", "/1.0/cdr/x" + media, "/1.0/cdr/7" + media + "/",
		"/1.0/cdr/7/recordings/1/media", "/1.0/cdr/7/recordings/" + strings.ReplaceAll(rec1, "-", "") + "/media",
		"/1.0/cdr/7/recordings/urn:uuid:" + rec1 + "/media", "/1.0/cdr/7/recordings/{" + rec1 + "}/media",
		"/1.0/cdr/7/recordings/..%2f..%2fetc%2fpasswd/media",
	} {
		for _, prefix := range prefixes() {
			// Whoever asks: upstream looks at the path before the token.
			r := w.get(prefix+path, "X-Auth-Token", "")
			if r.status != 404 || !strings.HasPrefix(r.header.Get("Content-Type"), "text/html") {
				t.Errorf("%s: %d %s", path, r.status, r.body)
			}
		}
	}
	r := w.do("POST", "/1.0/cdr")
	if r.status != 405 || r.header.Get("Allow") != "GET, HEAD" || !strings.HasPrefix(r.body, `{"message":`) {
		t.Errorf("POST: %d %v %s", r.status, r.header, r.body)
	}
}

func TestGetCDR(t *testing.T) {
	w := newWorld(t)
	w.recorded(recorder.Ready, "")
	for _, prefix := range prefixes() {
		// Tenants below are always visible here, without recurse.
		if r := w.get(prefix + "/1.0/cdr/7"); r.status != 200 || !strings.HasPrefix(r.body, `{"id":7,"tenant_uuid":"`+child) {
			t.Errorf("%d %s", r.status, r.body)
		}
	}
	for _, r := range []reply{w.get("/1.0/cdr/8", "Wazo-Tenant", child), w.get("/1.0/cdr/8", "X-Auth-Token", "child")} {
		if details := w.fails(r, 404, "cdr-not-found-with-given-id"); details["cdr_id"] != 8.0 {
			t.Errorf("details %v", details)
		}
	}
	w.fails(w.get("/1.0/cdr/9223372036854775807"), 404, "cdr-not-found-with-given-id")
}

func TestHead(t *testing.T) {
	w := newWorld(t)
	media := w.recorded(recorder.Ready, "RIFF....")
	for _, path := range []string{"/1.0/cdr", "/api/call-logd/1.0/cdr", "/1.0/cdr/7", media, "/readyz"} {
		full, head := w.get(path), w.do("HEAD", path)
		if head.status != 200 || head.body != "" || head.header.Get("Content-Length") != full.header.Get("Content-Length") {
			t.Errorf("%s: %d %v %q", path, head.status, head.header, head.body)
		}
	}
	if r := w.do("HEAD", "/1.0/cdr", "X-Auth-Token", ""); r.status != 401 {
		t.Errorf("without token: %d", r.status)
	}
}

func TestReady(t *testing.T) {
	w := newWorld(t)
	if r := w.get("/readyz", "X-Auth-Token", ""); r.status != 200 || r.body != "{\"message\":\"ready\"}\n" {
		t.Errorf("%d %s", r.status, r.body)
	}
	w.ready = "ARI: connection refused by 192.0.2.1"
	r := w.get("/readyz", "X-Auth-Token", "")
	if r.status != 503 || strings.Contains(r.body, "192.0.2.1") || !strings.Contains(r.body, "callrecordd status") {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func FuzzParseDatetime(f *testing.F) {
	for _, s := range []string{"", "2026-11-03", "2026-11-03T10:20:30.123456-05:00", "0001-01-01T00:00+23:59", "9999-12-31 23:59-23"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := parseDatetime(s)
		if !ok {
			if !got.IsZero() {
				t.Errorf("%q: refused, yet %v", s, got)
			}
			return
		}
		if got.Location() != time.UTC || got.Nanosecond()%1000 != 0 || got.Year() < 0 || got.Year() > 10000 {
			t.Errorf("%q: %v", s, got)
		}
		if got.Year() < 1 || got.Year() > 9999 {
			return // only with an offset; our own form has four digits
		}
		// What we print ourselves can be read.
		if text := timestamp(got); text != nil {
			if again, ok := parseDatetime(*text); !ok || !again.Equal(got) {
				t.Errorf("%q: %s was read as %v %v", s, *text, again, ok)
			}
		}
	})
}

func FuzzParams(f *testing.F) {
	for _, s := range []string{"", "n=1&b=t&c=asc&d=2026-11-03", "n=-1&b=&c=&d=", "n=99999999999999999999", "n=%00", "d=0001-01-01"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		values, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		p := newParams(values)
		n, b, c, d := p.count("n", 5), p.boolean("b", true), p.choice("c", "asc", "asc", "desc"), p.datetime("d")
		if p.wrong["n"] == nil && n < 0 {
			t.Errorf("negative count %d", n)
		}
		if !values.Has("n") && n != 5 || !values.Has("b") && !b {
			t.Errorf("defaults: %d %v", n, b)
		}
		if c != "asc" && c != "desc" {
			t.Errorf("choice %q", c)
		}
		if values.Has("d") && (p.wrong["d"] == nil) == d.IsZero() {
			t.Errorf("datetime %v, %v", d, p.wrong["d"])
		}
		problem := p.problem()
		if (problem == nil) != (len(p.wrong) == 0) {
			t.Errorf("problem %v", problem)
		}
		if problem != nil {
			if _, err := json.Marshal(problem.details); err != nil {
				t.Error(err)
			}
		}
	})
}
