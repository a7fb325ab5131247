package ari

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestErrorsByStatus(t *testing.T) {
	all := []error{ErrNotFound, ErrNotInStasis, ErrInvalid, ErrUnauthorized, ErrUnavailable}
	for status, want := range map[int]error{
		400: ErrInvalid, 401: ErrUnauthorized, 403: ErrUnauthorized, 404: ErrNotFound, 409: ErrNotInStasis,
		422: ErrInvalid, 500: ErrUnavailable, 503: ErrUnavailable, 302: nil,
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			f := newFakeARI(t)
			f.on("DELETE /channels/17.1", answer(status, `{"message":"because"}`))
			err := f.client().Hangup(t.Context(), "17.1", "normal")
			var e *Error
			if !errors.As(err, &e) || e.Status != status || e.Message != "because" || e.Path != "/ari/channels/17.1" {
				t.Fatalf("error %#v", err)
			}
			for _, kind := range all {
				if errors.Is(err, kind) != errors.Is(want, kind) {
					t.Errorf("is %v: %v", kind, errors.Is(err, kind))
				}
			}
		})
	}
}

func TestRefusedAndStalledAreUnavailable(t *testing.T) {
	refused := New(&url.URL{Scheme: "http", Host: "127.0.0.1:1"}, Credentials{testUser, testPass})
	if _, err := refused.Info(t.Context()); !errors.Is(err, ErrUnavailable) || strings.Contains(err.Error(), testPass) {
		t.Errorf("refused: %v", err)
	}
	f := newFakeARI(t)
	f.on("GET /channels", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	_, err := f.client(WithTimeout(20 * time.Millisecond)).Channels(t.Context())
	if !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("stalled: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.client().Channels(ctx); errors.Is(err, ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestReadCalls(t *testing.T) {
	f := newFakeARI(t)
	c := f.client()
	f.on("GET /channels", answer(200, `[{"id":"17.1","name":"PJSIP/a-1","state":"Up","caller":{"name":"A","number":101},
		"connected":{},"accountcode":"x","dialplan":{"context":"c","exten":"e","priority":"3","app_name":"Dial","app_data":"d"},
		"creationtime":"2026-11-22T10:00:00.123+0100","channelvars":{"CALLRECORD_USER":"u"},"tenantid":"t"}]`))
	f.on("GET /channels/17.1", answer(200, `{"id":"17.1","dialplan":7}`))
	f.on("GET /channels/17.1/variable", answer(200, `{"value":"yes"}`))
	f.on("GET /channels/17.1/rtp_statistics", answer(200, `{"rxcount":12,"txcount":"13","rxjitter":0.5,"channel_uniqueid":"17.1"}`))
	f.on("GET /bridges", answer(200, `[{"id":"b","technology":"simple_bridge","bridge_type":"mixing","bridge_class":"basic",
		"creator":"","name":"","channels":["17.1","17.2"]}]`))
	f.on("GET /endpoints", answer(200, `[{"technology":"PJSIP","resource":"a","state":"online","channel_ids":["17.1"]}]`))
	f.on("GET /asterisk/modules/app_mixmonitor.so", answer(200, `{"name":"app_mixmonitor.so","status":"Running","use_count":2}`))
	ctx := t.Context()

	info, err := c.Info(ctx)
	if err != nil || info.Version != "22.4.1" || info.SystemName != "pbx" ||
		!info.StartupTime.Equal(time.Date(2026, 11, 22, 9, 0, 0, 123e6, time.UTC)) || info.LastReload.IsZero() {
		t.Errorf("info %+v, %v", info, err)
	}
	channels, err := c.Channels(ctx)
	if err != nil || len(channels) != 1 || channels[0].Caller.Number != "101" || channels[0].Dialplan.Priority != 3 ||
		channels[0].ChannelVars["CALLRECORD_USER"] != "u" || channels[0].TenantID != "t" || channels[0].CreationTime.IsZero() {
		t.Errorf("channels %+v, %v", channels, err)
	}
	if ch, err := c.Channel(ctx, "17.1"); err != nil || ch.ID != "17.1" {
		t.Errorf("channel %+v, %v", ch, err)
	}
	if v, err := c.ChannelVar(ctx, "17.1", "MIXMONITOR(0x1,filename)"); err != nil || v != "yes" {
		t.Errorf("variable %q, %v", v, err)
	}
	if _, err := c.ChannelVar(ctx, "17.2", "UNSET"); !errors.Is(err, ErrNotFound) {
		t.Errorf("unset variable: %v", err)
	}
	f.on("GET /channels/17.3/variable", answer(500, `{"message":"Unable to read provided function"}`))
	if _, err := c.ChannelVar(ctx, "17.3", "MIXMONITOR(0x1,filename)"); !errors.Is(err, ErrNotFound) || errors.Is(err, ErrUnavailable) {
		t.Errorf("a recorder that has ended: %v", err)
	}
	f.on("GET /channels/17.2/rtp_statistics", answer(403, `{"message":"Unsupported channel type"}`))
	if _, err := c.RTPStatistics(ctx, "17.2"); !errors.Is(err, ErrNotFound) || errors.Is(err, ErrUnauthorized) {
		t.Errorf("rtp of a Local channel: %v", err)
	}
	if s, err := c.RTPStatistics(ctx, "17.1"); err != nil || s.RxCount != 12 || s.TxCount != 13 || s.RxJitter != 0.5 {
		t.Errorf("rtp %+v, %v", s, err)
	}
	if b, err := c.Bridges(ctx); err != nil || len(b) != 1 || b[0].Type != "mixing" || len(b[0].Channels) != 2 {
		t.Errorf("bridges %+v, %v", b, err)
	}
	if e, err := c.Endpoints(ctx); err != nil || len(e) != 1 || e[0].Resource != "a" || e[0].State != "online" {
		t.Errorf("endpoints %+v, %v", e, err)
	}
	if m, err := c.Module(ctx, "app_mixmonitor.so"); err != nil || m.UseCount != 2 {
		t.Errorf("module %+v, %v", m, err)
	}
}

func TestWriteCallsAndEscaping(t *testing.T) {
	f := newFakeARI(t)
	c := f.client()
	f.on("POST /channels/17.1/snoop/s1", answer(200, `{"id":"s1"}`))
	f.on("POST /channels/17.1/play/p1", answer(201, `{"id":"p1","state":"queued"}`))
	f.on("POST /channels/a%2Fb/answer", answer(204, ``))
	f.on("POST /channels/17.1/continue", answer(204, ``))
	ctx := t.Context()
	if ch, err := c.Snoop(ctx, "17.1", SnoopOptions{ID: "s1", Whisper: "both", App: testApp}); err != nil || ch.ID != "s1" {
		t.Errorf("snoop %+v, %v", ch, err)
	}
	if p, err := c.Play(ctx, "17.1", "p1", "sound:beep"); err != nil || p.State != "queued" {
		t.Errorf("play %+v, %v", p, err)
	}
	if err := c.Answer(ctx, "a/b"); err != nil {
		t.Errorf("answer: %v", err)
	}
	if err := c.ContinueInDialplan(ctx, "17.1", Dialplan{Context: "c", Exten: "T", Priority: 1}); err != nil {
		t.Errorf("continue: %v", err)
	}
	before := len(f.seen)
	if err := c.Hangup(ctx, "", ""); !errors.Is(err, ErrInvalid) || len(f.seen) != before {
		t.Errorf("hang up nothing: %v", err)
	}
	for _, want := range []string{
		"POST /ari/channels/17.1/snoop/s1?app=callrecordd&whisper=both",
		"POST /ari/channels/17.1/play/p1?media=sound%3Abeep",
		"POST /ari/channels/17.1/continue?context=c&extension=T&priority=1",
	} {
		if !slices.Contains(f.seen, want) {
			t.Errorf("not sent: %s, but %q", want, f.seen)
		}
	}
}

func TestSnoopWithLostAnswerIsSettled(t *testing.T) {
	f := newFakeARI(t)
	f.on("POST /channels/17.1/snoop/s1", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	c := f.client(WithTimeout(20 * time.Millisecond))
	if _, err := c.Snoop(t.Context(), "17.1", SnoopOptions{ID: "s1", App: testApp}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("snoop that did not happen: %v", err)
	}
	f.on("GET /channels/s1", answer(200, `{"id":"s1"}`))
	if ch, err := c.Snoop(t.Context(), "17.1", SnoopOptions{ID: "s1", App: testApp}); err != nil || ch.ID != "s1" {
		t.Errorf("snoop that did happen: %+v, %v", ch, err)
	}
}

func TestEventFilterIsReadBack(t *testing.T) {
	f := newFakeARI(t)
	f.foreign = true
	if err := f.client().SetEventFilter(t.Context(), testApp, []string{"B", "A"}); err != nil {
		t.Errorf("set filter: %v", err)
	}
	f.on("PUT /applications/callrecordd/eventFilter", answer(200, `{}`))
	if err := f.client().SetEventFilter(t.Context(), testApp, []string{"C"}); err == nil {
		t.Error("a filter that did not stick passes")
	}
}

func TestCredentialsAreNeverShown(t *testing.T) {
	f := newFakeARI(t)
	creds := Credentials{testUser, testPass}
	base := *f.base
	base.User = url.UserPassword(testUser, testPass)
	c := New(&base, creds)
	f.on("GET /bridges", answer(500, "<html>boom</html>"))
	_, failed := c.Bridges(t.Context())
	c.CloseIdleConnections()
	asJSON, err := json.Marshal(creds)
	if err != nil {
		t.Fatal(err)
	}
	shown := fmt.Sprintf("%v %+v %#v %s %v %+v", creds, creds, creds, asJSON, failed, c)
	shown += strings.Join(f.seen, " ")
	if strings.Contains(shown, testPass) || strings.Contains(shown, testUser) {
		t.Errorf("credentials shown: %s", shown)
	}
}
