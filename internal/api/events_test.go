package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"

	"callrecordd/internal/events"
)

// memoryLog is what was stored.
type memoryLog struct {
	mu   sync.Mutex
	rows []events.Entry
}

func (m *memoryLog) After(_ context.Context, row int64, limit int) ([]events.Entry, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rest := m.rows[min(int(row), len(m.rows)):]
	return slices.Clone(rest[:min(limit, len(rest))]), false, nil
}

func (m *memoryLog) Last(context.Context) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return int64(len(m.rows)), nil
}

// happens stores a row with events of those names in a tenant, about a user or
// none.
func (w *town) happens(tenant, user string, names ...string) {
	w.log.mu.Lock()
	row := events.Entry{Row: int64(len(w.log.rows) + 1)}
	for i, name := range names {
		row.Events = append(row.Events, events.Event{
			ID: events.Position{Row: row.Row, Part: i}, Name: name, TenantUUID: w.tenants[tenant], UserUUID: user,
			RequiredACL: events.Access(name, user), Data: json.RawMessage(`{"of": "` + tenant + `"}`),
		})
	}
	w.log.rows = append(w.log.rows, row)
	w.log.mu.Unlock()
	w.feed.Wake()
}

// sse is a client of the stream.
type sse struct {
	t    testing.TB
	body *bufio.Reader
	end  context.CancelFunc
}

func (w *town) follow(token, query string, headers ...string) *sse {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	w.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, "GET", w.url+"/1.0/events?"+query, nil)
	w.must(err)
	req.Header.Set("X-Auth-Token", token)
	for pair := range slices.Chunk(headers, 2) {
		req.Header.Set(pair[0], pair[1])
	}
	resp, err := http.DefaultClient.Do(req)
	w.must(err)
	w.t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != eventStream {
		w.t.Fatalf("the stream answers %s %s", resp.Status, resp.Header)
	}
	return &sse{w.t, bufio.NewReader(resp.Body), cancel}
}

// next is the next event's id, name and data; all empty at the end.
func (s *sse) next() (id, name, data string) {
	s.t.Helper()
	for {
		line, err := s.body.ReadString('\n')
		if err != nil {
			return "", "", ""
		}
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch key {
		case "id":
			id = value
		case "event":
			name = value
		case "data":
			return id, name, value
		}
	}
}

func (s *sse) wants(names ...string) {
	s.t.Helper()
	for _, want := range names {
		id, name, data := s.next()
		if id+" "+name != want {
			s.t.Fatalf("got %s %s %s, want %s", id, name, data, want)
		}
	}
}

// TestEventStream: who follows sees the events of its tenant that its ACL
// allows, from where it is or behind the last it has seen, and nothing else.
func TestEventStream(t *testing.T) {
	w := newTown(t, CallLogd, nil)
	alice := uuid.NewString()
	const read = "call-logd.events.read"
	all := w.follow(w.hostToken("mid", read, "events.#"), "")
	below := w.follow(w.hostToken("mid", read, "events.#"), "recurse=true&event=recording_ready,call_log_created")
	w.happens("side", "", events.RecordingReady)
	w.happens("low", "", events.RecordingReady, events.RecordingPaused)
	w.happens("mid", alice, events.RecordingStarted)
	w.happens("mid", "", events.CallLogCreated, events.CallLogUpdated)
	all.wants("3-0 recording_started", "4-0 call_log_created", "4-1 call_log_updated")
	below.wants("2-0 recording_ready", "4-0 call_log_created")
	all.end()
	below.end()

	for range 9 { // others take nine of the twelve places
		if _, ok := w.feed.Join(uuid.NewString()); !ok {
			t.Fatal("no place")
		}
	}
	// A room for three more is full again when two have gone.
	again := w.follow(w.hostToken("mid", read, "events.#"), "", "Last-Event-ID", "4-0")
	again.wants("4-1 call_log_updated")
	mine := w.follow(w.hostToken("mid", read, "events.calls."+alice), "last_event_id=0-0")
	mine.wants("3-0 recording_started")
	denied := w.follow(w.hostToken("top", read, "events.#", "!events.call_log.#"), "last_event_id=0-0&tenant="+w.tenants["mid"])
	denied.wants("3-0 recording_started")
	w.happens("mid", alice, events.RecordingPaused)
	denied.wants("5-0 recording_paused")
	mine.wants("5-0 recording_paused")

	w.problemID(w.ask("GET", "/1.0/events", "", "X-Auth-Token", w.hostToken("mid", read)), 503, "too-many-streams")
	w.problemID(w.ask("GET", "/1.0/events?last_event_id=x", "", "X-Auth-Token", w.hostToken("mid", read)), 400, "invalid-data")
	w.feed.Close()
	if _, name, data := mine.next(); name != "end" || !strings.Contains(data, "stops") {
		t.Errorf("the end is told as %s %s", name, data)
	}
}

// problemID checks an error's status and id.
func (w *town) problemID(r reply, status int, id string) {
	w.t.Helper()
	if r.status != status || !strings.Contains(r.body, `"error_id":"`+id+`"`) {
		w.t.Errorf("got %d %s, want %d %s", r.status, r.body, status, id)
	}
}

// TestRevokedTokenEndsStream: no event goes out after it, and the client is told.
func TestRevokedTokenEndsStream(t *testing.T) {
	w := newTown(t, CallLogd, nil)
	secret := w.hostToken("mid", "#")
	token, err := w.tokens.Check(t.Context(), secret)
	w.must(err)
	s := w.follow(secret, "")
	ws := w.dial("?version=2", secret)
	ws.says("init")
	ws.tells(`{"op": "subscribe", "data": {"event_name": "*"}}`, "subscribe")
	ws.tells(`{"op": "start"}`, "start")
	w.happens("mid", "", events.RecordingReady)
	s.wants("1-0 recording_ready")
	ws.says("event")
	w.must(w.tokens.Revoke(t.Context(), "test", token.ID))
	w.happens("mid", "", events.RecordingReady)
	if _, name, data := s.next(); name != "end" || !strings.Contains(data, "revoked") {
		t.Errorf("the end is told as %s %s", name, data)
	}
	ws.closed(closeAuthExpired)
}

// TestHeadOfTheStreamEnds: there is nothing to follow, and the connection is
// needed for what comes next.
func TestHeadOfTheStreamEnds(t *testing.T) {
	w := newTown(t, CallLogd, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}}
	t.Cleanup(client.CloseIdleConnections)
	secret := w.hostToken("mid", "#")
	for range 2 {
		req, err := http.NewRequestWithContext(ctx, "HEAD", w.url+"/1.0/events", nil)
		w.must(err)
		req.Header.Set("X-Auth-Token", secret)
		resp, err := client.Do(req)
		w.must(err)
		w.must(resp.Body.Close())
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != eventStream {
			t.Errorf("%s %s", resp.Status, resp.Header)
		}
	}
}

// wsClient is a client of the websocket.
type wsClient struct {
	t    testing.TB
	ctx  context.Context
	conn *websocket.Conn
}

func (w *town) dial(query, token string) *wsClient {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	w.t.Cleanup(cancel)
	conn, resp, err := websocket.Dial(ctx, strings.Replace(w.url, "http", "ws", 1)+"/api/websocketd/"+query,
		&websocket.DialOptions{HTTPHeader: http.Header{"X-Auth-Token": {token}}})
	if err != nil {
		w.t.Fatalf("connect: %v %+v", err, resp)
	}
	w.t.Cleanup(func() { _ = conn.CloseNow() })
	return &wsClient{w.t, ctx, conn}
}

// read is the next message.
func (c *wsClient) read() string {
	c.t.Helper()
	_, data, err := c.conn.Read(c.ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(data)
}

// says checks a message's op, and that it is no failure.
func (c *wsClient) says(op string) string {
	c.t.Helper()
	text := c.read()
	var f frame
	if err := json.Unmarshal([]byte(text), &f); err != nil || f.Op != op || f.Code != 0 {
		c.t.Fatalf("got %s, want %s", text, op)
	}
	return text
}

// tells sends a command and checks the op of the answer; none is expected for "".
func (c *wsClient) tells(command, op string) {
	c.t.Helper()
	if err := c.conn.Write(c.ctx, websocket.MessageText, []byte(command)); err != nil {
		c.t.Fatal(err)
	}
	if op != "" {
		c.says(op)
	}
}

func (c *wsClient) closed(code websocket.StatusCode) {
	c.t.Helper()
	for {
		_, data, err := c.conn.Read(c.ctx)
		if err == nil {
			c.t.Logf("also got %s", data)
			continue
		}
		if websocket.CloseStatus(err) != code {
			c.t.Errorf("closed with %v, want %d", err, code)
		}
		return
	}
}

// TestWebsocketd speaks Wazo's protocol in both versions.
func TestWebsocketd(t *testing.T) {
	w := newTown(t, CallLogd, nil)
	secret := w.hostToken("mid", "websocketd", "events.calls.*")
	two := w.dial("?version=2&token="+secret, "")
	if got := two.says("init"); got != `{"op":"init","code":0,"data":{"version":2}}` {
		t.Error(got)
	}
	w.happens("mid", "", events.RecordingStarted) // before the start: nobody is told
	two.tells(`{"op": "ping", "data": {"payload": "abc"}}`, "pong")
	two.tells(`{"op": "subscribe", "data": {"event_name": "recording_ready"}}`, "subscribe")
	two.tells(`{"op": "start"}`, "start")
	w.happens("mid", "", events.CallLogCreated)   // not allowed
	w.happens("side", "", events.RecordingReady)  // another tenant's
	w.happens("low", "", events.RecordingReady)   // one below
	w.happens("mid", "", events.RecordingStarted) // not asked for
	w.happens("mid", "", events.RecordingReady)   // this one
	want := `{"op":"event","code":0,"data":{"id":"6-0","name":"recording_ready","origin_uuid":"","tenant_uuid":"` + w.tenants["mid"] +
		`","timestamp":"0001-01-01T00:00:00Z","required_acl":"events.calls.unknown","data":{"of":"mid"}}}`
	if got := two.says("event"); got != want {
		t.Errorf("got\n%s want\n%s", got, want)
	}
	two.tells(`{"op": "subscribe", "data": {"event_name": "*"}}`, "subscribe")
	w.happens("mid", "", events.RecordingPaused)
	if got := two.says("event"); !strings.Contains(got, "recording_paused") {
		t.Error(got)
	}
	two.tells(`{"op": "token", "data": {"token": "`+w.hostToken("side", "#")+`"}}`, "token")
	w.happens("mid", "", events.RecordingPaused)
	w.happens("side", "", events.CallLogCreated)
	if got := two.says("event"); !strings.Contains(got, "call_log_created") {
		t.Error(got)
	}
	two.tells(`{"op": "token", "data": {"token": "nobody's"}}`, "")
	two.closed(closeAuthFailed)

	// The master tenant's sees all, as upstream; version 1 sends bare events and
	// answers nothing once it has started.
	one := w.dial("", w.hostToken("master", "#"))
	one.says("init")
	one.tells(`{"op": "subscribe", "data": {"event_name": "call_log_created"}}`, "subscribe")
	one.tells(`{"op": "start"}`, "start")
	one.tells(`{"op": "subscribe", "data": {"event_name": "recording_ready"}}`, "")
	one.tells(`{"op": "ping", "data": {"payload": "abc"}}`, "")
	w.happens("low", "", events.CallLogCreated)
	if got := one.read(); !strings.HasPrefix(got, `{"id":"10-0","name":"call_log_created"`) {
		t.Error(got)
	}
	w.feed.Close()
	one.closed(websocket.StatusGoingAway)
}

// TestWebsocketdRefuses: clients that are pages see nothing but close codes.
func TestWebsocketdRefuses(t *testing.T) {
	w := newTown(t, Websocketd, nil)
	secret := w.hostToken("mid", "#")
	w.dial("", "").closed(closeNoToken)
	w.dial("?token=nobody", "").closed(closeAuthFailed)
	w.dial("", w.hostToken("mid", "events.#")).closed(closeAuthFailed)
	w.dial("?version=3", secret).closed(closeProtocol)
	for _, bad := range []string{"", "{", "[]", `{"op": 1}`, `{"op": "dance"}`, `{"op": "subscribe"}`, `{"op": "token", "data": {}}`, `{"op": "ping", "data": {"payload": 1}}`} {
		c := w.dial("?version=2", secret)
		c.says("init")
		c.tells(bad, "")
		c.closed(closeProtocol)
	}
	c := w.dial("?version=2", secret)
	c.says("init")
	c.tells(`{"op": "ping", "data": {"payload": "`+strings.Repeat("x", maxCommand)+`"}}`, "")
	c.closed(websocket.StatusMessageTooBig)
	w.problemID(w.ask("GET", "/", "", "X-Auth-Token", secret), http.StatusUpgradeRequired, "websocket-required")
	w.problemID(w.ask("GET", "/?token=nobody", ""), http.StatusUnauthorized, "unauthorized")
}

// TestStuckReaderHoldsUpNobody: a client that takes nothing is cut off, the
// others go on meanwhile.
func TestStuckReaderHoldsUpNobody(t *testing.T) {
	w := newTown(t, CallLogd, nil)
	secret := w.hostToken("mid", "#")
	start := func() *wsClient {
		c := w.dial("?version=2", secret)
		c.conn.SetReadLimit(1 << 20)
		c.says("init")
		c.tells(`{"op": "subscribe", "data": {"event_name": "*"}}`, "subscribe")
		c.tells(`{"op": "start"}`, "start")
		return c
	}
	stuck, quick := start(), start()
	big := json.RawMessage(`"` + strings.Repeat("x", 256<<10) + `"`)
	const n = 64 // more than any socket takes
	go func() {
		for range n {
			w.log.mu.Lock()
			row := int64(len(w.log.rows) + 1)
			w.log.rows = append(w.log.rows, events.Entry{Row: row, Events: []events.Event{{
				ID: events.Position{Row: row}, Name: events.RecordingReady, TenantUUID: w.tenants["mid"], RequiredACL: "events.x", Data: big,
			}}})
			w.log.mu.Unlock()
			w.feed.Wake()
		}
	}()
	for range n {
		quick.says("event")
	}
	// The stuck one loses its place: three fit, and one more would not.
	third := start()
	deadline := time.After(2 * slowReader)
	for {
		conn, resp, err := websocket.Dial(t.Context(), strings.Replace(w.url, "http", "ws", 1)+"/api/websocketd?version=2&token="+secret, nil)
		if err == nil {
			_ = conn.CloseNow()
			break
		}
		if resp == nil || resp.StatusCode != http.StatusServiceUnavailable {
			t.Fatal(err)
		}
		select {
		case <-deadline:
			t.Fatal("the stuck client was not cut off")
		case <-time.After(50 * time.Millisecond):
		}
	}
	w.happens("mid", "", events.RecordingReady)
	quick.says("event")
	third.says("event")
	for {
		if _, _, err := stuck.conn.Read(stuck.ctx); err != nil {
			if errors.Is(err, context.DeadlineExceeded) {
				t.Error("its connection is open")
			}
			break
		}
	}
}

func FuzzCommand(f *testing.F) {
	for _, seed := range []string{"", "{}", `{"op":"start"}`, `{"op":"subscribe","data":{"event_name":"x"}}`, `{"op":"token","data":null}`, `{"op":"ping","data":{"payload":"\u0000"}}`} {
		f.Add(true, []byte(seed))
	}
	f.Fuzz(func(t *testing.T, text bool, data []byte) {
		c, err := parseCommand(text, data)
		if err != nil {
			if !errors.Is(err, errProtocol) {
				t.Errorf("%q: %v", data, err)
			}
			return
		}
		if !text || c.Op != "start" && c.Data == nil {
			t.Errorf("%q is taken for %+v", data, c)
		}
	})
}
