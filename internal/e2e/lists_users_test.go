package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"callrecordd/internal/cdr"
	"callrecordd/internal/recorder"
	"callrecordd/store"
)

// decode reads a JSON object.
func decode(t *testing.T, body string) map[string]any {
	t.Helper()
	var m map[string]any
	must(t, json.Unmarshal([]byte(body), &m))
	return m
}

// number makes integers and JSON's numbers comparable.
func number(v any) any {
	if n, ok := v.(int); ok {
		return float64(n)
	}
	return v
}

// many saves calls of user1, one a second.
func (l *lists) many(n int) {
	l.t.Helper()
	var calls []cdr.CDR
	for i := range n {
		id := fmt.Sprintf("2000.%d", i)
		c := cdr.CDR{
			TenantUUID: usersTenant, Start: start2017().Add(second(i)), CallStatus: cdr.StatusUnknown, LinkedIDs: []string{id},
			Uniqueids: []string{id}, ConversationID: id, Source: cdr.SourceJournal,
		}
		from(&c, user1)
		calls = append(calls, c)
	}
	must(l.t, l.store.Write(l.t.Context(), store.Bulk, func(tx *store.Tx) error {
		_, err := tx.SaveManyCDRs(calls)
		return err
	}))
}

// peopled has six calls: 2 and 4 of user2, 3 and 5 of user3, 1 to 4 of user1.
func peopled(l *lists) {
	l.call(func(c *cdr.CDR) { from(c, user1) })
	l.call(func(c *cdr.CDR) { from(c, user1); to(c, user2) })
	l.call(func(c *cdr.CDR) { from(c, user3); to(c, user1) })
	l.call(func(c *cdr.CDR) { from(c, user2); to(c, user1) })
	l.call(func(c *cdr.CDR) { to(c, user3) })
	l.call(nil)
}

func TestListCDROfUsers(t *testing.T) {
	recorded := func(path, token string) scenario {
		return func(_ *testing.T, l *lists) {
			for range 3 {
				l.call(func(c *cdr.CDR) { from(c, user1) })
			}
			l.record(1, uuidOf("a"), recorder.Ready)
			l.record(3, uuidOf("b"), recorder.Ready)
			l.has(token, path+"?recorded=true", 3, 2, 3, 1)
			l.has(token, path+"?recorded=false", 3, 1, 2)
		}
	}
	statuses := func(path, token string) scenario {
		return func(t *testing.T, l *lists) {
			for _, status := range []string{cdr.StatusAnswered, cdr.StatusBlocked, cdr.StatusUnknown} {
				l.call(func(c *cdr.CDR) { c.CallStatus = status; from(c, user1) })
			}
			l.has(token, path, 3, 2, 3, 1)
			l.has(token, path+"?call_status=answered", 3, 1, 1)
			l.has(token, path+"?call_status=blocked", 3, 1, 2)
			l.has(token, path+"?call_status=unknown", 3, 1, 3)
			f := l.fails(token, path+"?call_status=answered,blocked", 400)
			if why, ok := f.Details["call_status"].(map[string]any); !ok || !strings.HasPrefix(why["message"].(string), "Must be one of") {
				t.Error(f)
			}
		}
	}
	me := "/users/" + user1 + "/cdr"
	play(t, map[string]scenario{
		"given_call_logs_when_list_cdr_of_user_then_list_cdr_of_user": func(_ *testing.T, l *lists) {
			peopled(l)
			l.has("users", me+"?limit=2&offset=1&order=start&direction=desc", 6, 4, 3, 2)
			l.has("users", me+"?user_uuid="+user2, 6, 4, 4, 3, 2, 1) // ignored (cdr-api 3)
		},
		"given_call_logs_when_list_cdr_of_user_recorded_filter_then_list_recorded": recorded(me, "users"),
		"given_call_logs_when_list_cdr_of_user_as_csv_then_list_cdr_of_user_as_csv": func(t *testing.T, l *lists) {
			peopled(l)
			if rows := l.csv("users", me, "Accept", "text/csv; charset=utf-8"); len(rows) != 4 || rows[0]["id"] != "4" {
				t.Error(rows)
			}
		},
		"given_call_logs_when_list_my_cdr_then_list_my_cdr": func(t *testing.T, l *lists) {
			peopled(l)
			l.has("user1", "/users/me/cdr", 4, 4, 4, 3, 2, 1)
			if _, has := l.list("user1", "/users/me/cdr").Items[0]["tags"]; has {
				t.Error("users/me has tags")
			}
		},
		"given_call_logs_when_list_my_cdr_as_csv_then_list_my_cdr_as_csv": func(t *testing.T, l *lists) {
			l.call(func(c *cdr.CDR) { from(c, user1, "secret") })
			rows := l.csv("user1", "/users/me/cdr", "Accept", "text/csv; charset=utf-8")
			if tags, has := rows[0]["tags"]; len(rows) != 1 || !has || tags != "" {
				t.Error(rows)
			}
		},
		"when_list_my_cdr_with_user_uuid_then_list_matching_cdr": func(_ *testing.T, l *lists) {
			peopled(l)
			l.has("user1", "/users/me/cdr?user_uuid="+user3, 4, 1, 3)
		},
		"list_my_cdr_default_limit": func(t *testing.T, l *lists) {
			l.many(1100)
			if p := l.list("user1", "/users/me/cdr"); p.Total != 1100 || p.Filtered != 1100 || len(p.Items) != 1000 {
				t.Error(p.Total, p.Filtered, len(p.Items))
			}
		},
		"given_call_logs_when_list_my_cdr_recorded_filter_then_list_my_recorded_cdr": recorded("/users/me/cdr", "user1"),
		"list_multitenant": func(t *testing.T, l *lists) {
			tenants(l)
			l.has("user1", "/users/me/cdr", 1, 1, 3)
			l.has("users", "/cdr", 2, 2, 3, 2)
			l.has("users", "/cdr?recurse=true", 2, 2, 3, 2)
			l.has("users", me, 2, 1, 3)
			l.has("users", "/users/"+user3+"/cdr", 2, 0) // of another tenant
			l.has("master", "/cdr", 1, 1, 1)
			l.has("master", "/cdr?recurse=true", 4, 4, 4, 3, 2, 1)
			l.has("master", me+"?recurse=true", 4, 1, 3)
			if p := l.list("master", "/cdr", "Wazo-Tenant", usersTenant); p.Total != 2 {
				t.Error(p)
			}
			l.fails("users", "/cdr", 401, "Wazo-Tenant", otherTenant)
		},
		"list_multitenant_token_and_tenant_as_query_string": func(t *testing.T, l *lists) {
			tenants(l)
			for path, n := range map[string]int{
				"/cdr?token=master":                                           1,
				"/cdr?token=master&tenant=" + usersTenant:                     2,
				"/cdr?token=master&recurse=true":                              4,
				"/cdr?token=users":                                            2,
				me + "?token=users":                                           1,
				"/users/me/cdr?token=user1":                                   1,
				"/users/me/cdr?token=user1&tenant=" + usersTenant:             1,
				"/users/" + user3 + "/cdr?token=master&tenant=" + otherTenant: 1,
			} {
				if rows := l.csv("nobody", path+"&format=csv"); len(rows) != n { // the query wins
					t.Errorf("%s: %d rows, want %d", path, len(rows), n)
				}
			}
			if f := l.fails("users", "/cdr?tenant="+otherTenant, 401); f.ErrorID != "unauthorized-tenant" {
				t.Error(f)
			}
		},
		"list_format_parameter": func(t *testing.T, l *lists) {
			l.call(func(c *cdr.CDR) { from(c, user1) })
			for path, token := range map[string]string{"/cdr": "users", me: "users", "/users/me/cdr": "user1"} {
				if rows := l.csv(token, path+"?format=csv&tenant_uuid=ignored"); len(rows) != 1 {
					t.Error(path, rows)
				}
				l.has(token, path+"?format=json", 1, 1, 1)
				l.csv(token, path+"?format=json", "Accept", "text/csv; charset=utf-8") // does not override
				if f := l.fails(token, path+"?format=xml", 400); f.Details["format"] == nil {
					t.Error(f)
				}
			}
			for accept, csv := range map[string]bool{
				"text/csv": true, "text/csv;q=0.5, application/json;q=0.9": false, "text/csv;q=0.9, application/json;q=0.5": true,
				"text/csv, application/json": false, "*/*": false, "text/html, */*": false, "text/csv; charset=latin1": false,
			} {
				_, header, _ := l.get("users", "/cdr", "Accept", accept)
				if got := strings.HasPrefix(header.Get("Content-Type"), "text/csv"); got != csv {
					t.Errorf("Accept: %s gives %s", accept, header.Get("Content-Type"))
				}
			}
		},
		// l.csv checks the header.
		"list_csv_export_adds_the_content_disposition_header": func(_ *testing.T, l *lists) { l.csv("users", "/cdr?format=csv") },
		"list_by_user_only_match_source_and_final_destination": func(_ *testing.T, l *lists) {
			l.call(func(c *cdr.CDR) {
				from(c, user1)
				c.Participants = append(c.Participants, cdr.Participant{UserUUID: user2, Role: "destination", Requested: true})
				to(c, user3)
			})
			l.has("users", "/cdr?user_uuid="+user1, 1, 1, 1)
			l.has("users", "/cdr?user_uuid="+user2, 1, 0)
			l.has("users", "/cdr?user_uuid="+user3, 1, 1, 1)
			l.has("user2", "/users/me/cdr", 1, 1, 1)
		},
		"list_by_conversation_id": func(t *testing.T, l *lists) {
			peopled(l)
			l.call(func(c *cdr.CDR) { c.ConversationID = "pbx-1-1000.7" }) // with a systemname (design 7)
			l.has("users", "/cdr?conversation_id=1000.2", 7, 1, 2)
			l.has("users", "/cdr?conversation_id=1000.99", 7, 0)
			l.has("users", "/cdr?conversation_id=pbx-1-1000.7", 7, 1, 7)
			invalidConversation(t, l, "users", "/cdr")
		},
		"user_list_by_conversation_id": func(t *testing.T, l *lists) {
			peopled(l)
			l.has("user1", "/users/me/cdr?conversation_id=1000.2", 4, 1, 2)
			l.has("user1", "/users/me/cdr?conversation_id=1000.5", 4, 0)
			invalidConversation(t, l, "user1", "/users/me/cdr")
		},
		"list_by_call_status":      statuses("/cdr", "users"),
		"user_list_by_call_status": statuses("/users/me/cdr", "user1"),
		// Which status such calls get is decided when they are derived
		// (internal/cdr); the lists show it.
		"list_by_call_status_voicemail": func(_ *testing.T, l *lists) {
			for _, status := range []string{cdr.StatusVoicemail, cdr.StatusAnswered, cdr.StatusBlocked, cdr.StatusUnknown} {
				l.call(func(c *cdr.CDR) { c.CallStatus = status })
			}
			l.has("users", "/cdr?call_status=voicemail", 4, 1, 1)
			l.has("users", "/cdr?call_status=unknown", 4, 1, 4)
		},
		"list_by_call_status_blocked_supersedes_answered": func(_ *testing.T, l *lists) {
			l.call(func(c *cdr.CDR) { c.CallStatus, c.Answer, c.End = cdr.StatusBlocked, c.Start, c.Start })
			l.has("users", "/cdr?call_status=blocked", 1, 1, 1)
			l.has("users", "/cdr?call_status=answered", 1, 0)
		},
		"list_order_by_call_status": func(_ *testing.T, l *lists) {
			for _, status := range []string{cdr.StatusAnswered, cdr.StatusBlocked, cdr.StatusUnknown} {
				l.call(func(c *cdr.CDR) { c.CallStatus = status })
			}
			l.has("users", "/cdr?order=call_status", 3, 2, 1, 3)
			l.has("users", "/cdr?order=call_status&direction=asc", 3, 2, 3, 1)
		},
		// A call between tenants is one CDR of the caller's; the other party sees
		// it among its own, without the recording, and nobody else there does
		// (design 5).
		"a_call_between_tenants": func(t *testing.T, l *lists) {
			l.call(func(c *cdr.CDR) { from(c, user1); to(c, user3) })
			l.record(1, uuidOf("a"), recorder.Ready)
			l.has("alien", "/users/me/cdr", 1, 1, 1)
			l.has("other", "/cdr", 0, 0)
			if recs := l.list("alien", "/users/me/cdr").Items[0]["recordings"].([]any); len(recs) != 0 {
				t.Error(recs)
			}
		},
	})
}

func invalidConversation(t *testing.T, l *lists, token, path string) {
	t.Helper()
	for _, id := range []string{"", "a%20b", "1;2", "%00"} {
		f := l.fails(token, path+"?conversation_id="+id, 400)
		if list, ok := f.Details["conversation_id"].([]any); !ok || list[0].(map[string]any)["message"] != "not a valid conversation identifier" {
			t.Error(id, f)
		}
	}
}

// tenants has a call of master, two of users of which user1 made one, and one of
// other.
func tenants(l *lists) {
	l.call(func(c *cdr.CDR) { c.TenantUUID = masterTenant })
	l.call(nil)
	l.call(func(c *cdr.CDR) { from(c, user1) })
	l.call(func(c *cdr.CDR) { c.TenantUUID = otherTenant; from(c, user3) })
}
