package main

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"callrecordd/dialplan"
	"callrecordd/internal/app"
	"callrecordd/internal/control"
	"callrecordd/internal/recorder"
)

func TestRecordingLive(t *testing.T) {
	h := newHost(t)
	for _, args := range [][]string{{"recording", "live"}, {"recording", "stop", "alice"}} {
		h.fails("the daemon is not running: nobody listens on "+h.state.Socket, args...)
	}
	leg := func(name, user string, kind dialplan.EndpointKind, role dialplan.Role, state recorder.PartyState) app.LiveLeg {
		return app.LiveLeg{ID: "17." + name[len(name)-1:], Channel: name, Endpoint: name[:len(name)-9], Kind: kind, Role: role, UserName: user, RecordState: state}
	}
	talks := []app.LiveTalk{
		{
			Legs: []app.LiveLeg{
				leg("PJSIP/alice-00000001", "Alice Arc", "user", "caller", recorder.Active),
				leg("PJSIP/bob-00000002", "Bob", "user", "peer", recorder.Inactive),
			},
			Recording: &app.LiveRecording{UUID: "11111111-1111-4111-8111-111111111111", State: recorder.Live},
		},
		{
			Legs: []app.LiveLeg{
				leg("PJSIP/carol-00000003", "Carol", "user", "caller", recorder.PartyPaused),
				leg("PJSIP/trunk-a-00000004", "", "trunk", "peer", recorder.Inactive),
			},
			Recording: &app.LiveRecording{UUID: "22222222-2222-4222-8222-222222222222", State: recorder.Paused},
			PausedBy:  &app.LivePause{Leg: "17.3"},
		},
		{
			Legs: []app.LiveLeg{
				leg("PJSIP/bob-00000005", "Bob", "user", "caller", recorder.PartyPaused),
				leg("PJSIP/trunk-a-00000006", "", "trunk", "peer", recorder.Inactive),
			},
			PausedBy: &app.LivePause{Leg: "17.5"}, // no recorder runs until that ends
		},
	}
	var asked []string
	h.daemon(func(o *control.Options) {
		o.Live = func(context.Context) (any, error) { return talks, nil }
		o.Request = func(_ context.Context, channel, op, _ string) (any, error) {
			asked = append(asked, op+" "+channel)
			if channel == "zoe" {
				return nil, &control.Failure{Status: http.StatusNotFound, Message: "stop the recording of zoe: there is no such telephone in a call"}
			}
			if op == "stop" {
				return app.LiveAnswer{State: recorder.Inactive, Released: []app.LiveWish{
					{Channel: "PJSIP/bob-00000002", Who: "Bob", Reason: dialplan.OnDemand},
				}}, nil
			}
			return app.LiveAnswer{State: recorder.Active}, nil
		}
	})
	table := "CALL  CHANNEL  WHO  ROLE  WISH  RECORDING  STATE\n" +
		"1  PJSIP/alice-00000001  Alice Arc  caller  active  U  recording\n" +
		"1  PJSIP/bob-00000002  Bob  peer  inactive  U  recording\n" +
		"2  PJSIP/carol-00000003  Carol  caller  paused  U  paused by Carol\n" +
		"2  PJSIP/trunk-a-00000004  trunk  peer  inactive  U  paused by Carol\n" +
		"3  PJSIP/bob-00000005  Bob  caller  paused  -  paused by Bob\n" +
		"3  PJSIP/trunk-a-00000006  trunk  peer  inactive  -  paused by Bob\n"
	if diff := cmp.Diff(table, squeeze(h.run("recording", "live"))); diff != "" {
		t.Errorf("live (-want +got):\n%s", diff)
	}
	var got []app.LiveTalk
	if err := json.Unmarshal([]byte(h.run("recording", "live", "-o", "json")), &got); err != nil || cmp.Diff(talks, got) != "" {
		t.Errorf("as JSON: %v\n%s", err, cmp.Diff(talks, got))
	}

	// A person names whom they see: a channel, its uniqueid, the only call of
	// an endpoint or of a user.
	for _, word := range []string{"PJSIP/alice-00000001", "17.1", "pjsip/Alice", "alice", "alice arc"} {
		asked = nil
		if out := squeeze(h.run("recording", "pause", word)); out != "CHANNEL  STATE\nPJSIP/alice-00000001  active\n" {
			t.Errorf("pause %s prints %s", word, out)
		}
		if diff := cmp.Diff([]string{"pause PJSIP/alice-00000001"}, asked); diff != "" {
			t.Errorf("pause %s (-want +got):\n%s", word, diff)
		}
	}
	// Whoever stops for everybody is told whose wishes that ended.
	if diff := cmp.Diff("CHANNEL  STATE\nPJSIP/alice-00000001  inactive\nPJSIP/bob-00000002  ended the wish of Bob (on_demand)\n",
		squeeze(h.run("recording", "stop", "alice"))); diff != "" {
		t.Errorf("stop (-want +got):\n%s", diff)
	}
	asked = nil
	h.fails(`"bob" may be any of PJSIP/bob-00000002, PJSIP/bob-00000005: name the one you mean`, "recording", "stop", "bob")
	h.fails("the name of the channel is empty", "recording", "start", "")
	h.fails("accepts 1 arg(s), received 0", "recording", "resume")
	if len(asked) != 0 {
		t.Errorf("asked all the same: %v", asked)
	}
	h.fails("there is no such telephone in a call", "recording", "stop", "zoe")
}
