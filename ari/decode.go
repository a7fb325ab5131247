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

// time reads a point in time: Asterisk writes milliseconds and a zone without
// colon. Anything else that is no time gives the zero time.
func (t text) time() time.Time {
	for _, layout := range []string{"2006-01-02T15:04:05.999-0700", time.RFC3339Nano} {
		if at, err := time.Parse(layout, string(t)); err == nil {
			return at
		}
	}
	return time.Time{}
}

// words turns texts into strings.
func words(in []text) []string {
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
func table(in map[string]text) map[string]string {
	if len(in) == 0 {
		return nil
	}
	out := make(map[string]string, len(in))
	for k, t := range in {
		out[k] = string(t)
	}
	return out
}

type wireCaller struct {
	Name   text `json:"name"`
	Number text `json:"number"`
}

type wireChannel struct {
	ID          text       `json:"id"`
	Name        text       `json:"name"`
	State       text       `json:"state"`
	Caller      wireCaller `json:"caller"`
	Connected   wireCaller `json:"connected"`
	AccountCode text       `json:"accountcode"`
	Dialplan    struct {
		Context  text   `json:"context"`
		Exten    text   `json:"exten"`
		Priority number `json:"priority"`
		AppName  text   `json:"app_name"`
		AppData  text   `json:"app_data"`
	} `json:"dialplan"`
	CreationTime text            `json:"creationtime"`
	ChannelVars  map[string]text `json:"channelvars"`
	TenantID     text            `json:"tenantid"`
}

func (w *wireChannel) channel() Channel {
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
		CreationTime: w.CreationTime.time(),
		ChannelVars:  table(w.ChannelVars),
		TenantID:     string(w.TenantID),
	}
}

// optional is nil for a missing channel and for objects that are none, such as
// the "peer" of PeerStatusChange.
func (w *wireChannel) optional() *Channel {
	if w == nil || w.ID == "" {
		return nil
	}
	c := w.channel()
	return &c
}

type wireBridge struct {
	ID         text   `json:"id"`
	Technology text   `json:"technology"`
	Type       text   `json:"bridge_type"`
	Class      text   `json:"bridge_class"`
	Creator    text   `json:"creator"`
	Name       text   `json:"name"`
	Channels   []text `json:"channels"`
}

func (w *wireBridge) bridge() Bridge {
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

type wirePlayback struct {
	ID     text `json:"id"`
	Media  text `json:"media_uri"`
	Target text `json:"target_uri"`
	State  text `json:"state"`
}

func (w *wirePlayback) playback() Playback {
	return Playback{ID: string(w.ID), MediaURI: string(w.Media), TargetURI: string(w.Target), State: string(w.State)}
}
