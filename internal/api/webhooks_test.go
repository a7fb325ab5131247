package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"callrecordd/internal/webhook"
)

const hookBody = `{"name": "test", "service": "http", "events": ["recording_ready"], "config": {"url": "https://example.com/x", "method": "POST"}}`

// TestSubscriptions: their life over HTTP. The secret is told once.
func TestSubscriptions(t *testing.T) {
	w := newTown(t, Webhookd, nil)
	as := func(tenant string) []string {
		return []string{"X-Auth-Token", w.hostToken(tenant, "webhookd.#", "events.#")}
	}
	const list = "/1.0/subscriptions"
	var made subscribedJSON
	r := w.ask("POST", list, strings.Replace(hookBody, `"name"`, `"metadata": {"a": "b"}, "recurse": true, "events_wazo_uuid": null, "name"`, 1), as("mid")...)
	w.into(r, 201, &made)
	if !strings.HasPrefix(made.Secret, "whsec_") || made.OwnerTenantUUID != w.tenants["mid"] || r.header.Get("Location") != list+"/"+made.UUID ||
		made.Config.Method != "post" || !made.Recurse || made.Metadata["a"] != "b" {
		t.Errorf("made %+v, %v", made, r.header)
	}
	one := list + "/" + made.UUID
	for tenant, status := range map[string]int{"mid": 200, "top": 200, "master": 200, "low": 404, "side": 404} {
		r := w.ask("GET", one, "", as(tenant)...)
		if r.status != status || strings.Contains(r.body, "whsec_") {
			t.Errorf("%s: %d %s", tenant, r.status, r.body)
		}
	}
	for query, n := range map[string]int{"": 1, "?search_metadata=a:b": 1, "?search_metadata=a:c": 0, "?search_metadata=nopair": 1} {
		var got subscriptionsJSON
		w.into(w.ask("GET", list+query, "", as("mid")...), 200, &got)
		if got.Total != n || len(got.Items) != n {
			t.Errorf("%s: %+v", query, got)
		}
	}
	var above subscriptionsJSON
	w.into(w.ask("GET", list, "", as("top")...), 200, &above)
	if above.Total != 0 {
		t.Errorf("listed without recurse: %+v", above)
	}
	w.into(w.ask("GET", list+"?recurse=true", "", as("top")...), 200, &above)
	if above.Total != 1 {
		t.Errorf("not listed with recurse: %+v", above)
	}
	var changed subscriptionJSON
	w.into(w.ask("PUT", one, strings.Replace(hookBody, "test", "other", 1), as("mid")...), 200, &changed)
	if changed.Name != "other" || changed.Recurse || len(changed.Metadata) != 0 {
		t.Errorf("changed to %+v", changed)
	}
	stored, err := w.hooks.Webhooks(t.Context(), nil)
	w.must(err)
	if len(stored) != 1 || stored[0].Secret != made.Secret {
		t.Errorf("a change touches the secret: %+v", stored)
	}
	w.problemID(w.ask("PUT", one, hookBody, as("side")...), 404, "no-such-subscription")
	w.problemID(w.ask("DELETE", one, "", as("side")...), 404, "no-such-subscription")
	w.into(w.ask("DELETE", one, "", as("mid")...), 204, nil)
	w.problemID(w.ask("GET", one, "", as("mid")...), 404, "no-such-subscription")
	w.into(w.ask("GET", list+"/services", "", as("mid")...), 200, nil)

	for range mostSubscriptions {
		w.must(w.hooks.InsertWebhook(t.Context(), webhook.Subscription{UUID: uuid.NewString(), TenantUUID: w.tenants["mid"]}, "test"))
	}
	w.problemID(w.ask("POST", list, hookBody, as("mid")...), 409, "too-many-subscriptions")
	w.into(w.ask("POST", list, hookBody, as("side")...), 201, nil)
}

// TestWrongSubscriptions are refused with what is wrong of each field.
func TestWrongSubscriptions(t *testing.T) {
	w := newTown(t, Webhookd, nil)
	token := w.hostToken("mid", "webhookd.#", "events.#")
	config := func(text string) string {
		return strings.Replace(hookBody, `"url": "https://example.com/x", "method": "POST"`, text, 1)
	}
	for body, field := range map[string]string{
		`{}`: "name",
		strings.Replace(hookBody, `"http"`, `"mobile"`, 1):                                            "service",
		strings.Replace(hookBody, `["recording_ready"]`, `[]`, 1):                                     "events",
		strings.Replace(hookBody, `["recording_ready"]`, `[""]`, 1):                                   "events",
		strings.Replace(hookBody, `["recording_ready"]`, `"*"`, 1):                                    "events",
		strings.Replace(hookBody, `"name"`, `"recurse": "yes", "name"`, 1):                            "recurse",
		strings.Replace(hookBody, `"name"`, `"events_user_uuid": "x", "name"`, 1):                     "events_user_uuid",
		strings.Replace(hookBody, `"name"`, `"metadata": {"a": 1}, "name"`, 1):                        "metadata",
		config(`"method": "post"`):                                                                    "url",
		config(`"url": "https://example.com", "method": "PATCH"`):                                     "method",
		config(`"url": "ftp://example.com", "method": "post"`):                                        "url",
		config(`"url": "http://127.0.0.1/", "method": "post"`):                                        "url",
		config(`"url": "http://[::ffff:10.0.0.1]/", "method": "post"`):                                "url",
		config(`"url": "http://169.254.169.254/latest", "method": "post"`):                            "url",
		config(`"url": "https://u:p@example.com/", "method": "post"`):                                 "url",
		config(`"url": "https://example.com/{{ event_name }}", "method": "post"`):                     "url",
		config(`"url": "https://example.com", "method": "post", "body": "{{ event }}"`):               "body",
		config(`"url": "https://example.com", "method": "post", "content_type": "a\r\nX: y"`):         "content_type",
		config(`"url": "https://example.com", "method": "post", "verify_certificate": "/etc/shadow"`): "verify_certificate",
		strings.Replace(hookBody, `{"url": "https://example.com/x", "method": "POST"}`, `"x"`, 1):     "config",
	} {
		got := w.ask("POST", "/1.0/subscriptions", body, "X-Auth-Token", token)
		var p problemJSON
		if err := json.Unmarshal([]byte(got.body), &p); err != nil || got.status != 400 || p.ErrorID != "invalid-data" ||
			!strings.Contains(fmt.Sprint(p.Details), field+":map[") && !strings.Contains(fmt.Sprint(p.Details), field+":[map[") {
			t.Errorf("%s: %d %s, want something wrong with %s", body, got.status, got.body, field)
		}
	}
	// Who may see none of it is told so; who asks for what only Wazo has is not.
	narrow := w.hostToken("mid", "webhookd.#", "events.call_log.created")
	w.problemID(w.ask("POST", "/1.0/subscriptions", hookBody, "X-Auth-Token", narrow), 400, "invalid-data")
	for _, events := range []string{`["*"]`, `["call_log_created", "recording_ready"]`, `["user_login"]`} {
		w.into(w.ask("POST", "/1.0/subscriptions", strings.Replace(hookBody, `["recording_ready"]`, events, 1), "X-Auth-Token", narrow), 201, nil)
	}
	stored, err := w.hooks.Webhooks(t.Context(), nil)
	w.must(err)
	if len(stored) != 3 || fmt.Sprint(stored[0].ACL) != "[webhookd.# events.call_log.created]" {
		t.Errorf("stored %+v", stored)
	}
}

// TestDeliveryLogs lists what became of deliveries, and has them made again.
func TestDeliveryLogs(t *testing.T) {
	w := newTown(t, Webhookd, nil)
	x := w.furnish("mid", &matrixCDRs{})
	y := w.furnish("side", &matrixCDRs{})
	token := []string{"X-Auth-Token", w.hostToken("mid", "webhookd.#", "events.#")}
	one := "/1.0/subscriptions/" + x.values["subscription_uuid"]
	var got hookLogsJSON
	w.into(w.ask("GET", one+"/logs", "", token...), 200, &got)
	if got.Total != 1 || got.Items[0].Status != "pending" || got.Items[0].MaxAttempts != 3 || !strings.Contains(string(got.Items[0].Event), "event-of-mid") {
		t.Fatalf("%+v", got)
	}
	list, _, err := w.hooks.Deliveries(t.Context(), webhook.DeliveryFilter{Subscription: x.values["subscription_uuid"]})
	w.must(err)
	dead := list[0]
	dead.State, dead.Attempts, dead.Status, dead.Detail, dead.EndedAt = webhook.Dead, 3, 500, "answered 500", w.now()
	w.must(w.hooks.Finish(t.Context(), dead))
	w.into(w.ask("GET", one+"/logs?state=dead&limit=5&direction=asc", "", token...), 200, &got)
	if got.Total != 1 || got.Items[0].Status != "failure" || *got.Items[0].Detail.HTTPStatus != 500 || *got.Items[0].Detail.Message != "answered 500" {
		t.Errorf("%+v", got)
	}
	replay := func(path string, want int) {
		t.Helper()
		var n replayedJSON
		w.into(w.ask("POST", path, "", token...), 200, &n)
		if n.Replayed != want {
			t.Errorf("%s replayed %d, want %d", path, n.Replayed, want)
		}
	}
	replay(one+"/replay", 1)
	replay(one+"/replay", 0)
	log := one + "/logs/" + x.values["log_uuid"] + "/replay"
	replay(log, 0) // it waits already
	w.must(w.hooks.Finish(t.Context(), dead))
	replay(log, 1)
	w.problemID(w.ask("POST", one+"/logs/"+y.values["log_uuid"]+"/replay", "", token...), 404, "no-such-subscription-log")
	w.problemID(w.ask("POST", "/1.0/subscriptions/"+y.values["subscription_uuid"]+"/replay", "", token...), 404, "no-such-subscription")
	w.problemID(w.ask("GET", one+"/logs?state=x", "", token...), http.StatusBadRequest, "invalid-data")
}

// TestDeliveryLogShowsNoEventBeyondTheReadersAccess: a subscription may have been
// told of more than whoever reads its log may see.
func TestDeliveryLogShowsNoEventBeyondTheReadersAccess(t *testing.T) {
	w := newTown(t, Webhookd, nil)
	x := w.furnish("mid", &matrixCDRs{})
	logs := "/1.0/subscriptions/" + x.values["subscription_uuid"] + "/logs"
	for acl, sees := range map[string]bool{"events.#": true, "events.calls.x": true, "events.call_log.#": false, "webhookd.#": false} {
		var got hookLogsJSON
		w.into(w.ask("GET", logs, "", "X-Auth-Token", w.hostToken("mid", "webhookd.#", acl)), 200, &got)
		if len(got.Items) != 1 || strings.Contains(string(got.Items[0].Event), "event-of-mid") != sees || !strings.Contains(string(got.Items[0].Event), `"1-0"`) {
			t.Errorf("with %s: %s", acl, got.Items[0].Event)
		}
	}
}

// TestContentTypeOfAWebhookHasNoControlCharacters: it is sent as a header.
func TestContentTypeOfAWebhookHasNoControlCharacters(t *testing.T) {
	w := newTown(t, Webhookd, nil)
	token := w.hostToken("mid", "webhookd.#", "events.#")
	with := func(contentType string) reply {
		js, err := json.Marshal(contentType)
		w.must(err)
		return w.ask("POST", "/1.0/subscriptions", strings.Replace(hookBody, `"method"`, `"content_type": `+string(js)+`, "method"`, 1), "X-Auth-Token", token)
	}
	for _, bad := range []string{"text/plain\r\nX-Evil: 1", "text/plain\n", "a\x00b", "a\x1fb", "a\x7fb", "\t"} {
		if r := with(bad); r.status != http.StatusBadRequest || !strings.Contains(r.body, "content_type") {
			t.Errorf("%q: %d %s", bad, r.status, r.body)
		}
	}
	w.into(with("application/cloudevents+json; charset=utf-8"), http.StatusCreated, nil)
}
