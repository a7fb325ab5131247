package ami

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestClientReconnects(t *testing.T) {
	f := newFakeAMI(t, func(c *fakeConn, m Message) { c.ok(m, "Value: 1\n") })
	r := f.run(nil)
	if s := r.await(t, StateConnected); s.Reconnects != 0 {
		t.Errorf("state %+v", s)
	}
	recv(t, "connection", f.conns).Close()
	if s := r.await(t, StateUnreachable); len(s.Detail) < 40 {
		t.Errorf("state %+v", s)
	}
	if s := r.await(t, StateConnected); s.Reconnects != 1 {
		t.Errorf("state %+v", s)
	}
	if v, err := r.Getvar(t.Context(), "", "X"); err != nil || v != "1" {
		t.Errorf("getvar %q, %v", v, err)
	}
	r.cancel()
	if err := recv(t, "result", r.result); !errors.Is(err, context.Canceled) {
		t.Errorf("run: %v", err)
	}
	if _, err := r.Do(t.Context(), Action{Name: "Ping"}); !errors.Is(err, ErrDisconnected) {
		t.Errorf("after the end: %v", err)
	}
}

func TestClientMisconfigured(t *testing.T) {
	f := newFakeAMI(t, nil)
	f.login = "Authentication failed"
	r := f.run(nil)
	s := r.await(t, StateMisconfigured)
	if d := recv(t, "delay", r.delays); d != 30*time.Second {
		t.Errorf("delay %v", d)
	}
	if shown := fmt.Sprintf("%+v %+v", s, NewClient(f.config())); strings.Contains(shown, testSecret) {
		t.Errorf("secret shown: %s", shown)
	}
	if _, err := r.List(t.Context(), Action{Name: "Ping"}); !errors.Is(err, ErrDisconnected) {
		t.Errorf("list while disconnected: %v", err)
	}
}

func TestTypedActions(t *testing.T) {
	f := newFakeAMI(t, func(c *fakeConn, m Message) { c.ok(m, "MixMonitorID: 0x1\nValue: v\n") })
	r := f.run(nil)
	r.await(t, StateConnected)
	ctx := t.Context()
	id, err := r.MixMonitor(ctx, "17.1", "/r/u.wav", "i(CALLRECORD_u)")
	if err != nil || id != "0x1" {
		t.Errorf("start %q, %v", id, err)
	}
	err = errors.Join(r.StopMixMonitor(ctx, "17.1", "0x1"), r.MixMonitorMute(ctx, "17.1", "0x1", true), r.MixMonitorMute(ctx, "17.1", "0x1", false),
		r.Setvar(ctx, "", "DEVICE_STATE(Custom:x)", "INUSE"), r.Reload(ctx, "pbx_config"))
	if err != nil {
		t.Error(err)
	}
	want := []Message{
		{{"Action", "MixMonitor"}, {"Channel", "17.1"}, {"File", "/r/u.wav"}, {"options", "i(CALLRECORD_u)"}},
		{{"Action", "StopMixMonitor"}, {"Channel", "17.1"}, {"MixMonitorID", "0x1"}},
		{{"Action", "MixMonitorMute"}, {"Channel", "17.1"}, {"Direction", "both"}, {"State", "1"}, {"MixMonitorID", "0x1"}},
		{{"Action", "MixMonitorMute"}, {"Channel", "17.1"}, {"Direction", "both"}, {"State", "0"}, {"MixMonitorID", "0x1"}},
		{{"Action", "Setvar"}, {"Variable", "DEVICE_STATE(Custom:x)"}, {"Value", "INUSE"}},
		{{"Action", "Reload"}, {"Module", "pbx_config"}},
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, w := range want {
		got := f.seen[2+i]
		if got = append(got[:1:1], got[2:]...); !reflect.DeepEqual(got, w) {
			t.Errorf("sent %v, want %v", got, w)
		}
	}
	for _, bad := range [][3]string{
		{"17.1", "/r/u.wav,,touch /x", ""},
		{"17.1", "/r/u.wav", "b,touch /x"},
		{"17.1", "/r/u.wav\r\nCommand: touch /x", ""},
		{"17.1", "", ""},
		{"", "/r/u.wav", ""},
	} {
		if _, err := r.MixMonitor(ctx, bad[0], bad[1], bad[2]); !errors.Is(err, ErrInvalidField) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
