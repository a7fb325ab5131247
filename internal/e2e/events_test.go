package e2e

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"callrecordd/config"
	"callrecordd/dialplan"
	"callrecordd/internal/api"
	"callrecordd/internal/directory"
	"callrecordd/internal/recorder"
)

// heard is what somebody was told, in order.
type heard struct {
	mu    sync.Mutex
	names []string
	data  []map[string]any
}

func (h *heard) add(name string, data []byte) {
	var v map[string]any
	_ = json.Unmarshal(data, &v) // nil shows that it was none
	h.mu.Lock()
	defer h.mu.Unlock()
	h.names, h.data = append(h.names, name), append(h.data, v)
}

func (h *heard) all() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.names)
}

// last is the newest data of that name.
func (h *heard) last(name string) map[string]any {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, n := range slices.Backward(h.names) {
		if n == name {
			return h.data[i]
		}
	}
	return nil
}

// streamOf follows the stream of server-sent events.
func (s *site) streamOf(c client, query string) *heard {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), "GET", "http://"+s.app.Address(api.CallLogd)+"/1.0/events?token="+c.token+query, nil)
	must(s.t, err)
	resp, err := http.DefaultClient.Do(req)
	must(s.t, err)
	s.t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		s.t.Fatalf("the stream answers %s", resp.Status)
	}
	out := &heard{}
	go func() {
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			if text, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				out.envelope([]byte(text))
			}
		}
	}()
	return out
}

func (h *heard) envelope(text []byte) {
	var e struct {
		Name string          `json:"name"`
		Data json.RawMessage `json:"data"`
	}
	if json.Unmarshal(text, &e) == nil && e.Name != "" {
		h.add(e.Name, e.Data)
	}
}

// websocketOf follows the websocket, as a client of Wazo does.
func (s *site) websocketOf(c client) *heard {
	s.t.Helper()
	conn, _, err := websocket.Dial(s.t.Context(), "ws://"+s.app.Address(api.Websocketd)+"/?version=2&token="+c.token, nil)
	must(s.t, err)
	s.t.Cleanup(func() { _ = conn.CloseNow() })
	out := &heard{}
	for _, command := range []string{`{"op": "subscribe", "data": {"event_name": "*"}}`, `{"op": "start"}`} {
		must(s.t, conn.Write(within(s.t), websocket.MessageText, []byte(command)))
	}
	started := make(chan struct{})
	go func() {
		for {
			_, text, err := conn.Read(s.t.Context())
			if err != nil {
				return
			}
			var f struct {
				Op   string          `json:"op"`
				Data json.RawMessage `json:"data"`
			}
			switch _ = json.Unmarshal(text, &f); f.Op {
			case "start":
				close(started)
			case "event":
				out.envelope(f.Data)
			}
		}
	}()
	select {
	case <-started:
	case <-within(s.t).Done():
		s.t.Fatal("the websocket does not start")
	}
	return out
}

// hookOf is a server that is told of events, as c subscribes it.
func (s *site) hookOf(c client, path string) *heard {
	s.t.Helper()
	out := &heard{}
	var mu sync.Mutex
	var secret string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		mu.Lock()
		key, err2 := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
		mu.Unlock()
		mac := hmac.New(sha256.New, key)
		fmt.Fprintf(mac, "%s.%s.%s", r.Header.Get("webhook-id"), r.Header.Get("webhook-timestamp"), body)
		if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); err != nil || err2 != nil || want != r.Header.Get("webhook-signature") {
			s.t.Errorf("signature %q, want %q", r.Header.Get("webhook-signature"), want)
		}
		out.add(r.Header.Get("X-Callrecordd-Event"), body)
	}))
	s.t.Cleanup(server.Close)
	answer := c.ask(s.t, "POST", path+"/subscriptions", map[string]any{
		"name": "test", "service": "http", "events": []string{"*"}, "config": map[string]string{"url": server.URL, "method": "post"},
	}, http.StatusCreated, "")
	var made struct{ Secret string }
	must(s.t, json.Unmarshal([]byte(answer), &made))
	mu.Lock()
	secret = made.Secret
	mu.Unlock()
	return out
}

// A call that is recorded, paused, resumed and stopped is told of in that order,
// by the stream, the websocket and a webhook; each of them sees what its tenant
// and its ACL allow.
func TestEventsOfARecordedCall(t *testing.T) {
	t.Parallel()
	s := newCalldStageWith(t, func(c *config.Config) {
		ownPorts(c)
		c.HTTP.ListenWebhookd, c.HTTP.ListenWebsocketd = []string{"127.0.0.1:0"}, []string{"127.0.0.1:0"}
		c.Webhooks.AllowPrivate = true
	})
	var other directory.Tenant
	s.do("POST", "tenants", directory.Tenant{Name: "other"}, &other)
	everything := []string{"call-logd.#", "websocketd", "webhookd.#", "events.#"}
	admin := s.clientOf(api.Webhookd, "", "", everything...)
	stranger := s.clientOf(api.Webhookd, other.UUID, "", everything...)
	alice := s.clientOf(api.Webhookd, "", s.users["alice"].UUID, "call-logd.events.read", "events.calls."+s.users["alice"].UUID,
		"events.call_log.user."+s.users["alice"].UUID+".created")
	told := map[string]*heard{
		"stream": s.streamOf(admin, ""), "websocket": s.websocketOf(admin), "webhook": s.hookOf(admin, "/1.0"),
	}
	mine := s.streamOf(alice, "")
	nobody := []*heard{s.streamOf(stranger, "&recurse=true"), s.websocketOf(stranger), s.hookOf(stranger, "/1.0")}

	s.rules("alice", dialplan.Flags{OnDemand: true})
	caller, callee := s.meet("alice", "1002", "bob")
	s.mine("alice", recorder.OpStart, 204, "")
	uuid := s.runs("alice", recorder.Live).UUID
	s.mine("alice", recorder.OpPause, 204, "")
	s.mine("alice", recorder.OpResume, 204, "")
	s.say(caller)
	s.mine("alice", recorder.OpStop, 204, "")
	call := s.callOf("alice").CallID
	s.eventually("the recording is ready", func() error {
		if told["stream"].last("recording_ready") == nil {
			return fmt.Errorf("told of %q", told["stream"].all())
		}
		return nil
	})
	s.over(caller)
	s.gone(callee)
	cdr := s.waitCDRs(1)[0]

	recording := []string{"recording_started", "recording_paused", "recording_resumed", "recording_stopped", "recording_ready"}
	want := append(slices.Clone(recording), "call_log_created", "call_log_user_created", "call_log_user_created")
	for name, h := range told {
		s.eventually("all is told by the "+name, func() error {
			if got := h.all(); !slices.Equal(got, want) {
				return fmt.Errorf("told of %q", got)
			}
			return nil
		})
		started, ready, ended := h.last("recording_started"), h.last("recording_ready"), h.last("call_log_created")
		if started["call_id"] != call || started["recording_uuid"] != uuid || started["record_state"] != "active" ||
			started["user_uuid"] != s.users["alice"].UUID || ready["state"] != "ready" || ready["media_duration"] == nil {
			t.Errorf("%s: started %v, ready %v", name, started, ready)
		}
		if ended["id"] != float64(cdr.ID) || ended["source_user_uuid"] != s.users["alice"].UUID || fmt.Sprint(ended["recordings"]) == "[]" {
			t.Errorf("%s: ended %v", name, ended)
		}
	}
	s.eventually("alice is told of what is hers", func() error {
		if got := mine.all(); !slices.Equal(got, append(slices.Clone(recording), "call_log_user_created")) {
			return fmt.Errorf("told of %q", got)
		}
		return nil
	})
	for _, h := range nobody {
		if got := h.all(); len(got) > 0 {
			t.Errorf("another tenant is told of %q", got)
		}
	}
	// The past is there for who comes later.
	late := s.streamOf(admin, "&last_event_id=0-0")
	s.eventually("the past is told", func() error {
		if got := late.all(); !slices.Equal(got, want) {
			return fmt.Errorf("told of %q", got)
		}
		return nil
	})

	logd := admin
	logd.service = api.CallLogd
	logd.ask(t, "POST", "/1.0/cdr/recordings/media/export", map[string]any{"cdr_ids": []int64{cdr.ID}}, http.StatusAccepted, "uuid")
	for name, h := range told {
		s.eventually("the export is told by the "+name, func() error {
			got := h.all()[len(want):]
			if !slices.Equal(got, []string{"call_logd_export_created", "call_logd_export_updated", "call_logd_export_updated"}) ||
				h.last("call_logd_export_updated")["status"] != "finished" {
				return fmt.Errorf("told of %q", got)
			}
			return nil
		})
	}
}
