package e2e

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"callrecordd/internal/cdr"
)

// What nobody should send is answered with a clear 400, or found nowhere; never
// with a failure or with more than was asked for.
func TestListBadInput(t *testing.T) {
	l := newLists(t)
	peopled(l)
	l.call(func(c *cdr.CDR) { c.SourceName = "100%" })
	long := strings.Repeat("a", 1_000_000)
	for name, values := range map[string][]string{
		"search":                       {long, strings.Repeat("é", 1025), "a%00b", "%00", "%ff", "%c3%28", "%ed%a0%80"},
		"limit":                        {"9223372036854775808", "-9223372036854775809", "1e3", "", "%00", "٣", long},
		"offset":                       {"9223372036854775808", "-1", "NaN"},
		"from_id":                      {"9223372036854775808", "-1", "1.0"},
		"from":                         {"2017-04", "20170410T000000", "1491782400", "2017-13-01", "2017-04-10T00:00:00+00:00", "'", long},
		"until":                        {"now", "2017-04-31", "%00"},
		"to":                           {"now"},
		"number":                       {"", "+49", "1_2", "__1", "*", "1%0a", long, "%d9%a3"},
		"tags":                         {"", "%00", "%ff", strings.Repeat("a,", 1000)},
		"user_uuid":                    {"", "x", user1 + ",x", "' OR 1=1 --"},
		"recorded":                     {"", "2", "tRUE"},
		"recurse":                      {"", "2"},
		"distinct":                     {"", "peer"},
		"call_direction":               {"", "INTERNAL", "internal,inbound"},
		"call_status":                  {"", "Answered"},
		"requested_internal_extension": {"", "+1", "a"},
		"requested_internal_context":   {"", strings.Repeat("c", 256), "%00", "%ff"},
		"order":                        {"", "id;", "start desc", "end", "saved_at"},
		"direction":                    {"", "DESC"},
		"format":                       {"", "xml"},
		"cursor":                       {"", "x", "AAAA", long, strings.Repeat("A", 21) + "="},
		"conversation_id":              {"", "a b", long},
	} {
		for _, value := range values {
			f := l.fails("users", "/cdr?"+name+"="+strings.ReplaceAll(value, " ", "%20"), 400)
			if f.ErrorID != "invalid-data" || f.Details[name] == nil || len(f.Details) != 1 {
				t.Errorf("%s=%.60q: %+v", name, value, f)
			}
		}
	}
	// Odd, but not wrong. What is no escape stands for itself: a filter that
	// somebody meant must not get lost.
	for query, filtered := range map[string]int{
		"search=100%": 1, "search=100%25": 1, "search=100%zz": 0, "search=a;b": 0, "search=%": 1, "%73earch=nobody": 0,
		"limit=9223372036854775807": 7, "from_id=9223372036854775807": 0, "&&&=&": 7, "limit=%2B5&offset=%20%201": 7,
		"unknown=%00": 7, "from=0001-01-01&until=9999-12-31T23:59:59.999999": 7, "tags=a,,b": 0, "from=0001-01-01&until=0001-01-01": 0,
		"number=" + strings.Repeat("1", 1000): 0, "number=_" + strings.Repeat("1", 1000) + "_": 0, "number=_" + strings.Repeat("1", 1000): 0,
	} {
		if p := l.list("users", "/cdr?"+query); p.Total != 7 || p.Filtered != filtered {
			t.Errorf("%s: %d of %d, want %d of 7", query, p.Filtered, p.Total, filtered)
		}
	}
	if p := l.list("users", "/cdr?offset=9223372036854775807"); len(p.Items) != 0 || p.Filtered != 7 || p.NextCursor != nil {
		t.Error(p)
	}
	p := l.list("users", "/cdr?limit=1")
	if f := l.fails("users", "/cdr?order=id&cursor="+*p.NextCursor, 400); f.Details["cursor"] == nil {
		t.Error(f)
	}
	if status, _, _ := l.get("users", "/cdr?search="+strings.Repeat("%C3%A9", 1_000_000)); status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("six million bytes: %d", status)
	}
}

// listNames are the parameters of the lists.
func listNames() []string {
	return []string{
		"from", "until", "to", "search", "call_direction", "call_status", "number", "tags", "user_uuid", "from_id", "recurse", "distinct",
		"recorded", "conversation_id", "requested_internal_extension", "requested_internal_context", "order", "direction", "limit",
		"offset", "cursor", "format", "token", "tenant",
	}
}

// ask sends a query to one of the three lists, without a network.
func (l *lists) ask(t *testing.T, path, query string) *httptest.ResponseRecorder {
	r := &http.Request{
		Method: http.MethodGet, URL: &url.URL{Path: "/1.0" + path, RawQuery: query}, Header: http.Header{"X-Auth-Token": {"users"}},
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Host: "localhost", RequestURI: "/",
	}
	w := httptest.NewRecorder()
	l.handler.ServeHTTP(w, r.WithContext(t.Context()))
	return w
}

// judge checks that an answer is one of those that clients know.
func judge(t *testing.T, query string, w *httptest.ResponseRecorder, names ...string) {
	t.Helper()
	switch body := w.Body.Bytes(); {
	case w.Code == http.StatusOK && strings.HasPrefix(w.Header().Get("Content-Type"), "text/csv"):
	case w.Code == http.StatusOK:
		var p listed
		if err := json.Unmarshal(body, &p); err != nil || len(p.Items) > p.Filtered || p.Filtered > p.Total || p.Total > 7 {
			t.Errorf("%q: %v %s", query, err, body)
		}
	default:
		var f failure
		err := json.Unmarshal(body, &f)
		known := w.Code == http.StatusUnauthorized ||
			w.Code == http.StatusBadRequest && (f.ErrorID == "invalid-data" || f.ErrorID == "token-with-user-uuid-required")
		if err != nil || !known {
			t.Errorf("%q: %d %s", query, w.Code, body)
		}
		for key := range f.Details {
			if w.Code == http.StatusBadRequest && len(names) > 0 && !slices.Contains(names, key) {
				t.Errorf("%q: %s is said to be wrong", query, key)
			}
		}
	}
}

// FuzzListParameter gives two parameters any value.
func FuzzListParameter(f *testing.F) {
	l := newLists(f)
	peopled(l)
	l.call(func(c *cdr.CDR) { c.SourceName, c.SourceExtension = "Émile %_\"'", "0301234567" })
	names := listNames()
	for i := range names {
		for _, value := range []string{"", "1", "2017-04-10T05:00:00-0500", "É%", `"a" OR b*`, "_30_", "a,b", "start", "asc", "\x00", "\xff", user1} {
			f.Add(uint8(i), value, uint8(i+3), value)
		}
	}
	f.Fuzz(func(t *testing.T, a uint8, x string, b uint8, y string) {
		first, second := names[int(a)%len(names)], names[int(b)%len(names)]
		query := url.Values{first: {x}}
		if first != second {
			query.Set(second, y)
		}
		for _, path := range []string{"/cdr", "/users/" + user1 + "/cdr", "/users/me/cdr"} {
			judge(t, query.Encode(), l.ask(t, path, query.Encode()), first, second, "")
		}
	})
}

// FuzzListQuery gives any query.
func FuzzListQuery(f *testing.F) {
	l := newLists(f)
	peopled(l)
	l.call(nil)
	for _, query := range []string{
		"search=100%&limit=2", "%zz=1;limit=x", "limit=1&limit=2", "&&=&", "from=2017-04-10&until=2017-04-11&recurse=1&order=duration&direction=asc",
		"tags=a,b&user_uuid=" + user1 + "," + user2 + "&distinct=peer_exten&recorded=no&number=_1_&from_id=2",
	} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) { judge(t, query, l.ask(t, "/cdr", query)) })
}
