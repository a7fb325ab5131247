package ari

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

func TestDecodeEvent(t *testing.T) {
	e, err := DecodeEvent([]byte(`{"type":"Dial","timestamp":"2026-11-22T10:00:00.123+0100","application":"callrecordd",
		"asterisk_id":"aa:bb","dialstatus":"ANSWER","dialstring":"PJSIP/b","caller":{"id":"1.1"},"peer":{"id":"1.2","name":"PJSIP/b-1"},
		"forwarded":{"id":"1.3"},"replace_channel":{"id":"1.4"},"cause":"16","args":["toggle",1],
		"bridge":{"id":"b","channels":["1.1"]},"eventname":"CallRecordToggle","userevent":{"eventname":"CallRecordToggle","n":1},
		"playback":{"id":"p","media_uri":"sound:beep","target_uri":"channel:1.1","language":"en","state":"done"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if e.Type != "Dial" || e.Caller.ID != "1.1" || e.Peer.Name != "PJSIP/b-1" || e.Forwarded.ID != "1.3" ||
		e.ReplaceChannel.ID != "1.4" || e.Cause != 16 || e.Channel != nil || e.Bridge.Channels[0] != "1.1" ||
		e.UserEvent["n"] != "1" || *e.Playback != (Playback{ID: "p", MediaURI: "sound:beep", TargetURI: "channel:1.1", State: "done"}) || !reflect.DeepEqual(e.Args, []string{"toggle", "1"}) ||
		!e.Timestamp.Equal(time.Date(2026, 11, 22, 9, 0, 0, 123e6, time.UTC)) {
		t.Errorf("event %+v", e)
	}
}

func TestDecodeEventForgives(t *testing.T) {
	for name, raw := range map[string]string{
		"empty object":    `{}`,
		"unknown type":    `{"type":"FromTheFuture","thing":{"a":[1,2]}}`,
		"peer no channel": `{"type":"PeerStatusChange","peer":{"peer_status":"Reachable"}}`,
		"wrong kinds":     `{"type":"X","channel":"17.1","bridge":[],"cause":{},"args":"a","userevent":7,"timestamp":12}`,
		"nulls":           `{"type":"X","channel":null,"bridge":null,"args":null,"playback":null}`,
	} {
		t.Run(name, func(t *testing.T) {
			e, err := DecodeEvent([]byte(raw))
			if err != nil || e.Peer != nil || e.Channel != nil || e.Bridge != nil {
				t.Errorf("event %+v, %v", e, err)
			}
		})
	}
	for _, raw := range []string{``, `{`, `[]`, `"x"`, `7`} {
		if e, err := DecodeEvent([]byte(raw)); err == nil {
			t.Errorf("%q decodes to %+v", raw, e)
		}
	}
}

func FuzzDecodeEvent(f *testing.F) {
	f.Add([]byte(`{"type":"ChannelCreated","channel":{"id":"17.1","caller":{"number":"1"},"channelvars":{"a":"b"}}}`))
	f.Add([]byte(`{"type":"ChannelUserevent","userevent":{"a":null},"cause":1e400,"timestamp":"x"}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := DecodeEvent(raw)
		trimmed := bytes.TrimLeft(raw, " \t\r\n")
		if json.Valid(raw) && len(trimmed) > 0 && trimmed[0] == '{' && err != nil {
			t.Fatalf("valid object fails: %v", err)
		}
		if err != nil {
			return
		}
		again, err := DecodeEvent(e.Raw)
		if err != nil || !reflect.DeepEqual(e, again) {
			t.Fatalf("raw decodes differently: %+v, %+v, %v", e, again, err)
		}
	})
}

func TestDecodePlayback(t *testing.T) {
	e, err := DecodeEvent([]byte(`{"type":"PlaybackFinished","playback":{"id":"p1","media_uri":"sound:beep","target_uri":"channel:1.2","state":"failed"}}`))
	if want := (Playback{ID: "p1", MediaURI: "sound:beep", TargetURI: "channel:1.2", State: "failed"}); err != nil || e.Playback == nil || *e.Playback != want {
		t.Errorf("playback %+v, %v", e.Playback, err)
	}
	if e, err = DecodeEvent([]byte(`{"type":"PlaybackFinished","playback":"odd"}`)); err != nil || e.Playback != nil {
		t.Errorf("odd playback %+v, %v", e.Playback, err)
	}
}
