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

// eventOf is an event on the wire, of either kind (see channelOf).
type eventOf[S ~string, N ~float64] struct {
	Type        S                `json:"type"`
	Application S                `json:"application"`
	AsteriskID  S                `json:"asterisk_id"`
	Timestamp   S                `json:"timestamp"`
	Channel     *channelOf[S, N] `json:"channel"`
	Peer        *channelOf[S, N] `json:"peer"`
	Caller      *channelOf[S, N] `json:"caller"`
	Forwarded   *channelOf[S, N] `json:"forwarded"`
	Replace     *channelOf[S, N] `json:"replace_channel"`
	Bridge      *bridgeOf[S]     `json:"bridge"`
	DialStatus  S                `json:"dialstatus"`
	DialString  S                `json:"dialstring"`
	Cause       N                `json:"cause"`
	Digit       S                `json:"digit"`
	EventName   S                `json:"eventname"`
	UserEvent   map[string]S     `json:"userevent"`
	Args        []S              `json:"args"`
	Playback    *playbackOf[S]   `json:"playback"`
}

// DecodeEvent decodes one event. Missing and oddly typed fields never fail;
// only text that is no JSON object does. The result's Raw is raw itself, not a copy.
func DecodeEvent(raw []byte) (Event, error) {
	var plain eventOf[string, float64]
	if json.Unmarshal(raw, &plain) == nil {
		return plain.event(raw), nil
	}
	var odd eventOf[text, number]
	if err := unmarshal(raw, &odd); err != nil {
		return Event{}, fmt.Errorf("decode event of %d bytes: %w", len(raw), err)
	}
	return odd.event(raw), nil
}

func (w *eventOf[S, N]) event(raw []byte) Event {
	e := Event{
		Type:           string(w.Type),
		Application:    string(w.Application),
		AsteriskID:     string(w.AsteriskID),
		Timestamp:      readTime(w.Timestamp),
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
	return e
}
