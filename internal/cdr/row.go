package cdr

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Event types of CEL rows (asterisk-facts 4).
const (
	eventChanStart      = "CHAN_START"
	eventChanEnd        = "CHAN_END"
	eventHangup         = "HANGUP"
	eventAnswer         = "ANSWER"
	eventAppStart       = "APP_START"
	eventAppEnd         = "APP_END"
	eventBridgeEnter    = "BRIDGE_ENTER"
	eventBridgeExit     = "BRIDGE_EXIT"
	eventParkStart      = "PARK_START"
	eventParkEnd        = "PARK_END"
	eventBlindTransfer  = "BLINDTRANSFER"
	eventAttTransfer    = "ATTENDEDTRANSFER"
	eventPickup         = "PICKUP"
	eventForward        = "FORWARD"
	eventOptimize       = "LOCAL_OPTIMIZE"
	eventOptimizeBegin  = "LOCAL_OPTIMIZE_BEGIN"
	eventLinkedIDEnd    = "LINKEDID_END"
	eventUserDefined    = "USER_DEFINED"
	eventStreamBegin    = "STREAM_BEGIN"
	eventStreamEnd      = "STREAM_END"
	maxEpochSeconds     = 1 << 34 // year 2514: beyond it the text is no epoch
	microsecondsDigits  = 6
	holdingTechnology   = "holding_bridge"
	appDial             = "dial"
	appQueue            = "queue"
	appConference       = "confbridge"
	appVoicemail        = "voicemail"
	localPrefix         = "Local/"
	localSecondHalf     = ";2"
	localFirstHalf      = ";1"
	zombieSuffix        = "<ZOMBIE>"
	anonymousExtension  = "s" // where the dialplan goes on without a number
	hangupExtension     = "h"
	transientNameMarker = "<" // <MASQ> and <ZOMBIE> are no names
)

// ErrMalformed marks a row that lacks what every row must have.
var ErrMalformed = errors.New("malformed journal row")

// ErrUnknownEvent marks a row of a type that derivation has no use for, such
// as the free names of CELGenUserEvent.
var ErrUnknownEvent = errors.New("unknown event type")

// RawRow is a journal row as it is stored: text, whatever the column held.
type RawRow struct {
	ID        int64 // AcctId
	EventType string
	EventTime string // seconds.microseconds since the epoch
	CIDName   string
	CIDNum    string
	CIDANI    string
	CIDRDNIS  string
	CIDDNID   string
	Exten     string
	Context   string
	ChanName  string
	AppName   string
	AppData   string
	Account   string
	UniqueID  string
	LinkedID  string
	UserField string
	Peer      string
	Extra     string // JSON, possibly cut at 2047 bytes (asterisk-facts 4)
}

// Row is one CEL row.
type Row struct {
	ID       int64 // AcctId: the position in the journal
	Type     string
	At       time.Time // UTC, microseconds
	CIDName  string
	CIDNum   string
	Exten    string
	Context  string
	Channel  string // channel name
	App      string
	AppData  string
	UniqueID string
	LinkedID string
	Peers    []string // names of the other channels in the bridge
	Extra    Extra
}

// Extra is what derivation needs of a row's ${eventextra}.
type Extra struct {
	BridgeID         string
	BridgeTechnology string
	HangupCause      int // Q.850, 0 if unknown
	DialStatus       string
	PickedUpBy       string // uniqueid of the channel that picked up
	Retriever        string // name of the channel that took a parked call
	Broken           bool   // the text was no JSON object: everything else is empty
}

// ParseRow decodes a row tolerantly: what may be missing or broken without
// harm (extra, caller id, application) is left empty. It returns ErrMalformed
// without time, type, channel or linkedid, also if cel.conf sets a dateformat,
// and ErrUnknownEvent for other event types.
func ParseRow(raw RawRow) (Row, error) {
	kind := strings.ToUpper(strings.TrimSpace(raw.EventType))
	if kind == "" || raw.LinkedID == "" {
		return Row{}, fmt.Errorf("row %d: no event type or no linkedid: %w", raw.ID, ErrMalformed)
	}
	if !knownEvent(kind) {
		return Row{}, fmt.Errorf("row %d: %q: %w", raw.ID, kind, ErrUnknownEvent)
	}
	if kind != eventLinkedIDEnd && (raw.UniqueID == "" || raw.ChanName == "") {
		return Row{}, fmt.Errorf("row %d: no channel: %w", raw.ID, ErrMalformed)
	}
	at, err := parseEventTime(raw.EventTime)
	if err != nil {
		return Row{}, fmt.Errorf("row %d: %w", raw.ID, err)
	}
	return Row{
		ID: raw.ID, Type: kind, At: at, CIDName: raw.CIDName, CIDNum: raw.CIDNum,
		Exten: raw.Exten, Context: raw.Context, Channel: raw.ChanName,
		App: raw.AppName, AppData: raw.AppData, UniqueID: raw.UniqueID, LinkedID: raw.LinkedID,
		Peers: splitPeers(raw.Peer), Extra: parseExtra(raw.Extra),
	}, nil
}

func knownEvent(kind string) bool {
	switch kind {
	case eventChanStart, eventChanEnd, eventHangup, eventAnswer, eventAppStart, eventAppEnd,
		eventBridgeEnter, eventBridgeExit, eventParkStart, eventParkEnd, eventBlindTransfer,
		eventAttTransfer, eventPickup, eventForward, eventOptimize, eventOptimizeBegin,
		eventLinkedIDEnd, eventUserDefined, eventStreamBegin, eventStreamEnd:
		return true
	}
	return false
}

// parseEventTime reads seconds.microseconds. Text is split, not parsed as a
// float: 1700000000.123457 has more digits than a float64 keeps.
func parseEventTime(text string) (time.Time, error) {
	text = strings.TrimSpace(text)
	whole, fraction, _ := strings.Cut(text, ".")
	seconds, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || strings.ContainsAny(fraction, "eE+-") {
		return parseRealTime(text)
	}
	if seconds <= 0 || seconds >= maxEpochSeconds {
		return time.Time{}, fmt.Errorf("event time %q out of range: %w", text, ErrMalformed)
	}
	if len(fraction) > microsecondsDigits {
		fraction = fraction[:microsecondsDigits]
	}
	fraction += strings.Repeat("0", microsecondsDigits-len(fraction))
	micros, err := strconv.ParseInt(fraction, 10, 64)
	if err != nil || micros < 0 {
		return time.Time{}, fmt.Errorf("event time %q is no epoch time: %w", text, ErrMalformed)
	}
	return time.UnixMicro(seconds*1_000_000 + micros).UTC(), nil
}

// parseRealTime reads a time from a column that was declared REAL, which
// database/sql renders as 1.7e+09.
func parseRealTime(text string) (time.Time, error) {
	value, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(value) || value <= 0 || value >= maxEpochSeconds {
		return time.Time{}, fmt.Errorf("event time %q is no epoch time: %w", text, ErrMalformed)
	}
	return time.UnixMicro(int64(math.Round(value * 1e6))).UTC(), nil
}

func splitPeers(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

// parseExtra reads the object's members one by one, so that a member of an
// unexpected type costs only itself.
func parseExtra(text string) Extra {
	if strings.TrimSpace(text) == "" {
		return Extra{}
	}
	var members map[string]any
	if err := json.Unmarshal([]byte(text), &members); err != nil || members == nil {
		return Extra{Broken: true}
	}
	str := func(key string) string { s, _ := members[key].(string); return s }
	extra := Extra{
		BridgeID: str("bridge_id"), BridgeTechnology: str("bridge_technology"),
		DialStatus: str("dialstatus"), PickedUpBy: str("pickup_channel_uniqueid"), Retriever: str("retriever"),
	}
	switch cause := members["hangupcause"].(type) {
	case float64:
		if cause >= 0 && cause <= math.MaxUint8 {
			extra.HangupCause = int(cause)
		}
	case string:
		extra.HangupCause, _ = strconv.Atoi(cause)
	}
	return extra
}
