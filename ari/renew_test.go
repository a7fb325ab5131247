package ari

import (
	"errors"
	"testing"
)

// A session that its user gives up ends with the reason, and the next follows.
func TestSessionThatIsGivenUpIsFollowedByAnother(t *testing.T) {
	f := newFakeARI(t)
	sink := newSink()
	r := start(t, f.client(), sink, nil)
	recv(t, "session", sink.connected)
	r.await(t, StateConnected)
	cause := errors.New("another is quicker")
	r.Renew(cause)
	if err := recv(t, "disconnect", sink.disconnected); !errors.Is(err, cause) {
		t.Errorf("disconnected: %v", err)
	}
	if s := recv(t, "second session", sink.connected); s.Reconnects != 1 {
		t.Errorf("session %+v", s)
	}
}

func TestGlobalVariables(t *testing.T) {
	f := newFakeARI(t)
	c := f.client()
	if v, err := c.GlobalVar(t.Context(), "UNSET"); v != "" || err != nil {
		t.Errorf("%q, %v", v, err)
	}
	f.on("GET /asterisk/variable", answer(200, `{"value":"me 17"}`))
	if v, err := c.GlobalVar(t.Context(), "X"); v != "me 17" || err != nil {
		t.Errorf("%q, %v", v, err)
	}
	f.on("POST /asterisk/variable", answer(204, ``))
	if err := c.SetGlobalVar(t.Context(), "X", "me 18"); err != nil {
		t.Error(err)
	}
	f.on("GET /asterisk/variable", answer(500, `{"message":"Allocation failed"}`))
	if _, err := c.GlobalVar(t.Context(), "X"); err == nil {
		t.Error("a fault is taken for an empty variable")
	}
}
