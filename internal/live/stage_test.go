package live_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"callrecordd/ari"
	"callrecordd/internal/lab"

	_ "github.com/mattn/go-sqlite3" // the driver of Asterisk's journal
)

// patience bounds every wait: nothing waits that long unless it is broken.
const patience = 20 * time.Second

// A second queue, whose members are reached through the dialplan: bob through
// a Local channel that stays, carol through one that is optimised away.
const (
	extenLocalQueue = "3001"
	localQueue      = "locals"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits for a state; the last reason is the failure.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not within %s: %v", what, patience, err)
		}
	}
}

// disallowed is what internal/app lets Asterisk not send.
func disallowed() []string {
	return []string{
		"ChannelVarset", "ChannelDtmfReceived", "DeviceStateChanged", "ContactStatusChange", "PeerStatusChange",
		"EndpointStateChange", "TextMessageReceived", "ChannelTalkingStarted", "ChannelTalkingFinished",
		"ChannelToneDetected", "RecordingStarted", "RecordingFinished",
	}
}

// observer is a PBX whose events and journal rows are collected.
type observer struct {
	pbx     *lab.PBX
	journal *sql.DB

	mu        sync.Mutex
	connected chan struct{}
	events    []json.RawMessage
	alive     map[string]bool // channels created and not yet destroyed
}

// newObserver starts a PBX. A run that cannot get an Asterisk fails.
func newObserver(t *testing.T) *observer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute) // the first run downloads
	defer cancel()
	install, err := lab.Ensure(ctx, lab.EnsureOptions{})
	must(t, err)
	pbx, err := lab.Start(ctx, install, lab.Config{
		Dir: t.TempDir(),
		ExtraFiles: map[string]string{"queues.conf": "[general]\nautofill=yes\n" +
			"[" + lab.QueueName + "]\nstrategy=ringall\ntimeout=30\nmember => PJSIP/bob\nmember => PJSIP/carol\n" +
			"[" + localQueue + "]\nstrategy=ringall\ntimeout=30\nmember => Local/1002@users/n\nmember => Local/1003@users\n"},
		ExtraDialplan: "[" + lab.ContextUsers + "]\nexten => " + extenLocalQueue + ",1,Answer()\n" +
			" same => n,Queue(" + localQueue + ",tT,,,60)\n same => n,Hangup()\n",
	})
	must(t, err)
	o := &observer{pbx: pbx, connected: make(chan struct{}), alive: map[string]bool{}}
	t.Cleanup(func() {
		stop, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := pbx.Stop(stop); err != nil {
			t.Errorf("stop asterisk: %v", err)
		}
		if log := pbx.Log(); t.Failed() {
			t.Logf("asterisk log:\n%s", log[max(0, len(log)-8000):])
		}
	})
	o.journal, err = sql.Open("sqlite3", "file:"+pbx.JournalPath+"?mode=rw&_busy_timeout=5000")
	must(t, err)
	t.Cleanup(func() { _ = o.journal.Close() })
	o.listen(t)
	return o
}

func (o *observer) listen(t *testing.T) {
	t.Helper()
	base, err := url.Parse(strings.TrimSuffix(o.pbx.ARIURL, "/ari"))
	must(t, err)
	client := ari.New(base, ari.Credentials{User: o.pbx.ARIUser, Password: o.pbx.ARIPassword})
	stream := ari.NewStream(client, ari.StreamConfig{App: "shapes", Disallow: disallowed()})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = stream.Run(ctx, o) // ends with ctx
	}()
	t.Cleanup(func() { cancel(); <-done; client.CloseIdleConnections() })
	select {
	case <-o.connected:
	case <-time.After(patience):
		t.Fatalf("no event stream: %+v", stream.State())
	}
}

// Connected implements ari.Sink.
func (o *observer) Connected(context.Context, ari.Session) error { close(o.connected); return nil }

// Disconnected implements ari.Sink; a second Connected would panic.
func (o *observer) Disconnected(error) {}

// Event implements ari.Sink.
func (o *observer) Event(ev ari.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.events = append(o.events, append(json.RawMessage(nil), ev.Raw...))
	switch {
	case ev.Channel == nil:
	case ev.Type == "ChannelCreated":
		o.alive[ev.Channel.ID] = true
	case ev.Type == "ChannelDestroyed":
		delete(o.alive, ev.Channel.ID)
	}
}

// observe places a call and returns what ARI and the journal said of it.
func (o *observer) observe(t *testing.T, play func(*stage)) (events, rows []byte) {
	t.Helper()
	o.mu.Lock()
	o.events = nil
	o.mu.Unlock()
	var newest int64
	must(t, o.journal.QueryRowContext(within(t), "SELECT coalesce(max(AcctId),0) FROM cel").Scan(&newest))
	t.Cleanup(func() {
		if t.Failed() { // or the next call meets what is left of this one
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			_, _ = o.pbx.Console(ctx, "channel request hangup all")
			_ = o.pbx.WaitIdle(ctx)
		}
	})
	s := &stage{t: t, pbx: o.pbx}
	play(s)
	must(t, o.pbx.WaitIdle(within(t)))
	eventually(t, "both have told the end of every channel", func() error {
		o.mu.Lock()
		defer o.mu.Unlock()
		var open int
		must(t, o.journal.QueryRowContext(within(t), "SELECT count(*) FILTER (WHERE eventtype='CHAN_START')"+
			"-count(*) FILTER (WHERE eventtype='CHAN_END') FROM cel WHERE AcctId>?", newest).Scan(&open))
		if len(o.events) == 0 || len(o.alive) > 0 || open != 0 {
			return fmt.Errorf("%d events, channels alive %v, open in the journal %d", len(o.events), o.alive, open)
		}
		return nil
	})
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, raw := range o.events {
		events = append(append(events, o.line(t, trim(t, raw))...), '\n')
	}
	return events, o.rows(t, newest)
}

// line renders without the machine's paths.
func (o *observer) line(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	must(t, err)
	return strings.ReplaceAll(string(text), o.pbx.Dir, "/lab")
}

// trim leaves what the ari package reads of an event and its channels; ids of
// machine, application and SIP dialog go.
func trim(t *testing.T, raw json.RawMessage) map[string]any {
	t.Helper()
	var ev map[string]any
	must(t, json.Unmarshal(raw, &ev))
	for _, key := range []string{"asterisk_id", "application"} {
		delete(ev, key)
	}
	for _, part := range ev {
		if object, ok := part.(map[string]any); ok {
			for _, key := range []string{"language", "protocol_id", "creationtime", "accountcode", "caller_rdnis", "tenantid", "video_mode"} {
				delete(object, key)
			}
		}
	}
	return ev
}

func (o *observer) rows(t *testing.T, after int64) (out []byte) {
	t.Helper()
	rows, err := o.journal.QueryContext(within(t), "SELECT * FROM cel WHERE AcctId>? ORDER BY AcctId", after)
	must(t, err)
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	must(t, err)
	for rows.Next() {
		texts, into := make([]sql.NullString, len(columns)), make([]any, len(columns))
		for i := range texts {
			into[i] = &texts[i]
		}
		must(t, rows.Scan(into...))
		row := map[string]string{}
		for i, text := range texts {
			if text.String != "" && !strings.EqualFold(columns[i], "AcctId") {
				row[columns[i]] = text.String
			}
		}
		out = append(append(out, o.line(t, row)...), '\n')
	}
	must(t, rows.Err())
	return out
}

// stage has the telephones of one call.
type stage struct {
	t   *testing.T
	pbx *lab.PBX
}

// party is a telephone with the tone it plays.
type party struct {
	*lab.Phone
	hz float64
}

func (s *stage) phone(user string, in lab.Incoming) party {
	s.t.Helper()
	p, err := lab.NewPhone(within(s.t), s.pbx, lab.Account{User: user})
	must(s.t, err)
	p.OnIncoming(in)
	s.t.Cleanup(p.Close)
	return party{p, map[string]float64{"alice": 440, "bob": 740, "carol": 1040, "dave": 1340}[user]}
}

// trio is alice, who calls by hand, and what bob and carol do when called.
func (s *stage) trio(bob, carol lab.Incoming) (a, b, c party) {
	s.t.Helper()
	return s.phone("alice", lab.Manual()), s.phone("bob", bob), s.phone("carol", carol)
}

func (s *stage) trunk(in lab.Incoming) party {
	s.t.Helper()
	p, err := lab.NewTrunk(within(s.t), s.pbx, "trunk-a")
	must(s.t, err)
	p.OnIncoming(in)
	s.t.Cleanup(p.Close)
	return party{p, 1640}
}

func (s *stage) dial(from party, exten string) *lab.Call {
	s.t.Helper()
	c, err := from.Dial(within(s.t), exten)
	must(s.t, err)
	c.Play(from.hz)
	return c
}

// join fetches the call that reached to and lets it talk with the other one.
func (s *stage) join(from party, a *lab.Call, to party) *lab.Call {
	s.t.Helper()
	b, err := to.WaitCall(within(s.t))
	must(s.t, err)
	must(s.t, b.WaitAnswered(within(s.t)))
	b.Play(to.hz)
	s.hear(a, to)
	s.hear(b, from)
	return b
}

// talk lets from dial exten; to answers by itself.
func (s *stage) talk(from, to party, exten string) (a, b *lab.Call) {
	s.t.Helper()
	a = s.dial(from, exten)
	return a, s.join(from, a, to)
}

func (s *stage) hear(c *lab.Call, whom party) {
	s.t.Helper()
	must(s.t, c.WaitTone(within(s.t), whom.hz))
}

func (s *stage) pass(c *lab.Call, d time.Duration) {
	s.t.Helper()
	must(s.t, c.Talk(within(s.t), d))
}

// redirect sends a user's only channel to an extension, as an operator does.
func (s *stage) redirect(user, exten string) {
	s.t.Helper()
	list, err := s.pbx.Console(within(s.t), "core show channels concise")
	must(s.t, err)
	for line := range strings.Lines(list) {
		if name, _, _ := strings.Cut(line, "!"); strings.HasPrefix(name, "PJSIP/"+user+"-") {
			s.manager("Redirect", "Channel: "+name, "Context: "+lab.ContextUsers, "Exten: "+exten, "Priority: 1")
			return
		}
	}
	s.t.Fatalf("%s has no channel: %s", user, list)
}

// manager performs an action over AMI.
func (s *stage) manager(action string, headers ...string) {
	s.t.Helper()
	conn, err := (&net.Dialer{Timeout: patience}).DialContext(within(s.t), "tcp", s.pbx.AMIAddr)
	must(s.t, err)
	defer func() { _ = conn.Close() }()
	must(s.t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = fmt.Fprintf(conn, "Action: Login\r\nUsername: %s\r\nSecret: %s\r\nEvents: off\r\n\r\nAction: %s\r\n%s\r\n\r\nAction: Logoff\r\n\r\n",
		s.pbx.AMIUser, s.pbx.AMIPassword, action, strings.Join(headers, "\r\n"))
	must(s.t, err)
	said, err := io.ReadAll(conn)
	must(s.t, err)
	if strings.Count(string(said), "Response: Success") != 2 {
		s.t.Fatalf("%s %v: %s", action, headers, said)
	}
}

// hangup ends the calls and waits until Asterisk has forgotten everything.
func (s *stage) hangup(calls ...*lab.Call) {
	s.t.Helper()
	for _, c := range calls {
		must(s.t, c.Hangup(within(s.t)))
	}
	must(s.t, s.pbx.WaitIdle(within(s.t)))
}
