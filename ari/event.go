package ari

import (
	"encoding/json"
	"fmt"
	"time"
)

// Event is one event of ARI. Fields that its type does not have are zero;
// types this package does not know pass through with what can be read of them.
type Event struct {
	// Type is Asterisk's name, such as "ChannelEnteredBridge".
	Type, Application, AsteriskID string
	// Timestamp is Asterisk's, in milliseconds.
	Timestamp time.Time
	// Arrived is when we read it, by our clock; DecodeEvent leaves it zero.
	Arrived time.Time
	// Raw is the whole event as it came.
	Raw json.RawMessage

	Channel, Peer, Caller, Forwarded, ReplaceChannel *Channel
	Bridge                                           *Bridge
	// Playback is the sound that PlaybackStarted, PlaybackFinished … tell of.
	Playback *Playback
	// DialStatus is "" when a Dial begins, then RINGING, ANSWER, BUSY …
	DialStatus, DialString string
	// Cause is the Q.850 hangup cause.
	Cause                int
	Digit, UserEventName string
	// UserEvent are all fields of a ChannelUserevent.
	UserEvent map[string]string
	// Args are the arguments of Stasis() in StasisStart.
	Args []string
}

// DecodeEvent decodes one event. Missing and oddly typed fields never fail;
// only text that is no JSON object does. The result's Raw is raw itself, not a copy.
func DecodeEvent(raw []byte) (Event, error) {
	var w struct {
		Type        text            `json:"type"`
		Application text            `json:"application"`
		AsteriskID  text            `json:"asterisk_id"`
		Timestamp   text            `json:"timestamp"`
		Channel     *wireChannel    `json:"channel"`
		Peer        *wireChannel    `json:"peer"`
		Caller      *wireChannel    `json:"caller"`
		Forwarded   *wireChannel    `json:"forwarded"`
		Replace     *wireChannel    `json:"replace_channel"`
		Bridge      *wireBridge     `json:"bridge"`
		DialStatus  text            `json:"dialstatus"`
		DialString  text            `json:"dialstring"`
		Cause       number          `json:"cause"`
		Digit       text            `json:"digit"`
		EventName   text            `json:"eventname"`
		UserEvent   map[string]text `json:"userevent"`
		Args        []text          `json:"args"`
		Playback    *wirePlayback   `json:"playback"`
	}
	if err := unmarshal(raw, &w); err != nil {
		return Event{}, fmt.Errorf("decode event of %d bytes: %w", len(raw), err)
	}
	e := Event{
		Type:           string(w.Type),
		Application:    string(w.Application),
		AsteriskID:     string(w.AsteriskID),
		Timestamp:      w.Timestamp.time(),
		Raw:            raw,
		Channel:        w.Channel.optional(),
		Peer:           w.Peer.optional(),
		Caller:         w.Caller.optional(),
		Forwarded:      w.Forwarded.optional(),
		ReplaceChannel: w.Replace.optional(),
		DialStatus:     string(w.DialStatus),
		DialString:     string(w.DialString),
		Cause:          int(w.Cause),
		Digit:          string(w.Digit),
		UserEventName:  string(w.EventName),
		UserEvent:      table(w.UserEvent),
		Args:           words(w.Args),
	}
	if w.Playback != nil && w.Playback.ID != "" {
		p := w.Playback.playback()
		e.Playback = &p
	}
	if w.Bridge != nil && w.Bridge.ID != "" {
		b := w.Bridge.bridge()
		e.Bridge = &b
	}
	return e, nil
}
