package ari

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"time"
	"unicode/utf8"
)

// unmarshal decodes raw and forgives fields of another type than expected:
// encoding/json skips those and decodes the rest, and one odd field must not
// cost us an event. Only JSON that is broken, or no object or list at all, fails.
func unmarshal(raw []byte, out any) error {
	err := json.Unmarshal(raw, out)
	var odd *json.UnmarshalTypeError
	if errors.As(err, &odd) && odd.Field != "" {
		return nil
	}
	return err
}

// text is a string that may come as number or boolean; other kinds give "".
type text string

// UnmarshalJSON implements json.Unmarshaler and never fails.
func (t *text) UnmarshalJSON(raw []byte) error {
	*t = ""
	switch raw[0] {
	case '"':
		if plain := raw[1 : len(raw)-1]; bytes.IndexByte(plain, '\\') < 0 && utf8.Valid(plain) {
			*t = text(plain) // nearly all of them: nothing to decode
			return nil
		}
		var s string
		if json.Unmarshal(raw, &s) == nil {
			*t = text(s)
		}
	case '{', '[', 'n':
	default:
		*t = text(raw)
	}
	return nil
}

// number is a number that may come as string; other kinds give 0.
type number float64

// UnmarshalJSON implements json.Unmarshaler and never fails.
func (n *number) UnmarshalJSON(raw []byte) error {
	*n = 0
	if f, err := strconv.ParseFloat(string(bytes.Trim(raw, `"`)), 64); err == nil {
		*n = number(f)
	}
	return nil
}

// time is readTime.
func (t text) time() time.Time { return readTime(t) }

// readTime reads a point in time: Asterisk writes milliseconds and a zone
// without colon. Anything else that is no time gives the zero time.
func readTime[S ~string](s S) time.Time {
	for _, layout := range []string{"2006-01-02T15:04:05.999-0700", time.RFC3339Nano} {
		if at, err := time.Parse(layout, string(s)); err == nil {
			return at
		}
	}
	return time.Time{}
}

// words turns texts into strings.
func words[S ~string](in []S) []string {
	if len(in) == 0 {
		return nil
	}
	out := make([]string, len(in))
	for i, t := range in {
		out[i] = string(t)
	}
	return out
}

// table turns a map of texts into one of strings.
func table[S ~string](in map[string]S) map[string]string {
	if len(in) == 0 {
		return nil
	}
	out := make(map[string]string, len(in))
	for k, t := range in {
		out[k] = string(t)
	}
	return out
}

// The wire types come in two kinds: with plain strings and numbers, which is
// what Asterisk sends and twice as fast, and with text and number for whatever
// comes otherwise.

type wireCaller[S ~string] struct {
	Name   S `json:"name"`
	Number S `json:"number"`
}

// wireChannel and the like are the forgiving kind.
type (
	wireChannel  = channelOf[text, number]
	wireBridge   = bridgeOf[text]
	wirePlayback = playbackOf[text]
)

type channelOf[S ~string, N ~float64] struct {
	ID          S             `json:"id"`
	Name        S             `json:"name"`
	State       S             `json:"state"`
	Caller      wireCaller[S] `json:"caller"`
	Connected   wireCaller[S] `json:"connected"`
	AccountCode S             `json:"accountcode"`
	Dialplan    struct {
		Context  S `json:"context"`
		Exten    S `json:"exten"`
		Priority N `json:"priority"`
		AppName  S `json:"app_name"`
		AppData  S `json:"app_data"`
	} `json:"dialplan"`
	CreationTime S            `json:"creationtime"`
	ChannelVars  map[string]S `json:"channelvars"`
	TenantID     S            `json:"tenantid"`
}

func (w *channelOf[S, N]) channel() Channel {
	return Channel{
		ID:          string(w.ID),
		Name:        string(w.Name),
		State:       string(w.State),
		Caller:      CallerID{Name: string(w.Caller.Name), Number: string(w.Caller.Number)},
		Connected:   CallerID{Name: string(w.Connected.Name), Number: string(w.Connected.Number)},
		AccountCode: string(w.AccountCode),
		Dialplan: Dialplan{
			Context:  string(w.Dialplan.Context),
			Exten:    string(w.Dialplan.Exten),
			Priority: int(w.Dialplan.Priority),
			AppName:  string(w.Dialplan.AppName),
			AppData:  string(w.Dialplan.AppData),
		},
		CreationTime: readTime(w.CreationTime),
		ChannelVars:  table(w.ChannelVars),
		TenantID:     string(w.TenantID),
	}
}

// optional is nil for a missing channel and for objects that are none, such as
// the "peer" of PeerStatusChange.
func (w *channelOf[S, N]) optional() *Channel {
	if w == nil || w.ID == "" {
		return nil
	}
	c := w.channel()
	return &c
}

type bridgeOf[S ~string] struct {
	ID         S   `json:"id"`
	Technology S   `json:"technology"`
	Type       S   `json:"bridge_type"`
	Class      S   `json:"bridge_class"`
	Creator    S   `json:"creator"`
	Name       S   `json:"name"`
	Channels   []S `json:"channels"`
}

func (w *bridgeOf[S]) bridge() Bridge {
	return Bridge{
		ID:         string(w.ID),
		Technology: string(w.Technology),
		Type:       string(w.Type),
		Class:      string(w.Class),
		Creator:    string(w.Creator),
		Name:       string(w.Name),
		Channels:   words(w.Channels),
	}
}

type playbackOf[S ~string] struct {
	ID     S `json:"id"`
	Media  S `json:"media_uri"`
	Target S `json:"target_uri"`
	State  S `json:"state"`
}

func (w *playbackOf[S]) playback() Playback {
	return Playback{ID: string(w.ID), MediaURI: string(w.Media), TargetURI: string(w.Target), State: string(w.State)}
}
