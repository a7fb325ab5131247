package ari

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// settleTimeout bounds the question whether a POST without answer took effect.
const settleTimeout = time.Second

// Info describes the running Asterisk.
func (c *Client) Info(ctx context.Context) (Info, error) {
	var w struct {
		System struct {
			Version  text `json:"version"`
			EntityID text `json:"entity_id"`
		} `json:"system"`
		Config struct {
			Name text `json:"name"`
		} `json:"config"`
		Status struct {
			Startup text `json:"startup_time"`
			Reload  text `json:"last_reload_time"`
		} `json:"status"`
	}
	err := c.do(ctx, request{op: "read asterisk info", method: http.MethodGet, path: []string{"asterisk", "info"}}, &w)
	if err != nil {
		return Info{}, err
	}
	return Info{
		Version:     string(w.System.Version),
		EntityID:    string(w.System.EntityID),
		SystemName:  string(w.Config.Name),
		StartupTime: w.Status.Startup.time(),
		LastReload:  w.Status.Reload.time(),
	}, nil
}

// Module describes the module name, such as "app_mixmonitor.so". A module that
// is not loaded is ErrNotFound or ErrNotInStasis (Asterisk says 409 for one
// that exists but does not run).
func (c *Client) Module(ctx context.Context, name string) (Module, error) {
	var w struct {
		Name         text   `json:"name"`
		Description  text   `json:"description"`
		Status       text   `json:"status"`
		SupportLevel text   `json:"support_level"`
		UseCount     number `json:"use_count"`
	}
	err := c.do(ctx, request{op: "read module", method: http.MethodGet, path: []string{"asterisk", "modules", name}}, &w)
	if err != nil {
		return Module{}, err
	}
	return Module{
		Name: string(w.Name), Description: string(w.Description), Status: string(w.Status),
		SupportLevel: string(w.SupportLevel), UseCount: int(w.UseCount),
	}, nil
}

// Channels lists all channels of the system.
func (c *Client) Channels(ctx context.Context) ([]Channel, error) {
	var w []wireChannel
	if err := c.do(ctx, request{op: "list channels", method: http.MethodGet, path: []string{"channels"}}, &w); err != nil {
		return nil, err
	}
	out := make([]Channel, len(w))
	for i := range w {
		out[i] = w[i].channel()
	}
	return out, nil
}

// Channel reads one channel.
func (c *Client) Channel(ctx context.Context, id string) (Channel, error) {
	var w wireChannel
	if err := c.do(ctx, request{op: "read channel", method: http.MethodGet, path: []string{"channels", id}}, &w); err != nil {
		return Channel{}, err
	}
	return w.channel(), nil
}

// ChannelVar reads a variable or function of any channel, in Stasis or not. An
// unset variable, an unknown channel and a function that has nothing to say,
// such as MIXMONITOR of a recorder that has ended, are all ErrNotFound.
func (c *Client) ChannelVar(ctx context.Context, id, name string) (string, error) {
	var w struct {
		Value text `json:"value"`
	}
	err := c.do(ctx, request{
		op: "read channel variable", method: http.MethodGet, path: []string{"channels", id, "variable"},
		query: url.Values{"variable": {name}},
	}, &w)
	if e, ok := errors.AsType[*Error](err); ok {
		e.noFunction = e.Status == http.StatusInternalServerError && strings.HasPrefix(e.Message, "Unable to read provided function")
	}
	return string(w.Value), err
}

// RTPStatistics reads the counters of a channel's audio; channels without RTP
// are ErrNotFound.
func (c *Client) RTPStatistics(ctx context.Context, id string) (RTPStats, error) {
	var w struct {
		Channel  text   `json:"channel_uniqueid"`
		RxCount  number `json:"rxcount"`
		TxCount  number `json:"txcount"`
		RxOctets number `json:"rxoctetcount"`
		TxOctets number `json:"txoctetcount"`
		RxLost   number `json:"rxploss"`
		TxLost   number `json:"txploss"`
		RxJitter number `json:"rxjitter"`
		TxJitter number `json:"txjitter"`
		RTT      number `json:"rtt"`
	}
	err := c.do(ctx, request{
		op: "read rtp statistics", method: http.MethodGet, path: []string{"channels", id, "rtp_statistics"},
	}, &w)
	if e, ok := errors.AsType[*Error](err); ok {
		e.noRTP = e.Status == http.StatusForbidden && strings.HasPrefix(e.Message, "Unsupported channel")
	}
	if err != nil {
		return RTPStats{}, err
	}
	return RTPStats{
		ChannelID: string(w.Channel),
		RxCount:   int64(w.RxCount), TxCount: int64(w.TxCount),
		RxOctets: int64(w.RxOctets), TxOctets: int64(w.TxOctets),
		RxLost: int64(w.RxLost), TxLost: int64(w.TxLost),
		RxJitter: float64(w.RxJitter), TxJitter: float64(w.TxJitter), RTT: float64(w.RTT),
	}, nil
}

// Bridges lists all bridges of the system.
func (c *Client) Bridges(ctx context.Context) ([]Bridge, error) {
	var w []wireBridge
	if err := c.do(ctx, request{op: "list bridges", method: http.MethodGet, path: []string{"bridges"}}, &w); err != nil {
		return nil, err
	}
	out := make([]Bridge, len(w))
	for i := range w {
		out[i] = w[i].bridge()
	}
	return out, nil
}

// Endpoints lists all endpoints of all technologies.
func (c *Client) Endpoints(ctx context.Context) ([]Endpoint, error) {
	var w []struct {
		Technology text   `json:"technology"`
		Resource   text   `json:"resource"`
		State      text   `json:"state"`
		Channels   []text `json:"channel_ids"`
	}
	if err := c.do(ctx, request{op: "list endpoints", method: http.MethodGet, path: []string{"endpoints"}}, &w); err != nil {
		return nil, err
	}
	out := make([]Endpoint, len(w))
	for i, e := range w {
		out[i] = Endpoint{
			Technology: string(e.Technology), Resource: string(e.Resource),
			State: string(e.State), Channels: words(e.Channels),
		}
	}
	return out, nil
}

// Application reads a registered Stasis application; ErrNotFound if nobody
// holds the name.
func (c *Client) Application(ctx context.Context, app string) (App, error) {
	type filter []struct {
		Type text `json:"type"`
	}
	var w struct {
		Name       text   `json:"name"`
		Channels   []text `json:"channel_ids"`
		Allowed    filter `json:"events_allowed"`
		Disallowed filter `json:"events_disallowed"`
	}
	err := c.do(ctx, request{op: "read application", method: http.MethodGet, path: []string{"applications", app}}, &w)
	if err != nil {
		return App{}, err
	}
	out := App{Name: string(w.Name), Channels: words(w.Channels)}
	for _, f := range w.Allowed {
		out.EventsAllowed = append(out.EventsAllowed, string(f.Type))
	}
	for _, f := range w.Disallowed {
		out.EventsDisallowed = append(out.EventsDisallowed, string(f.Type))
	}
	return out, nil
}

// Subscribe has app told of the named event sources too, separated by commas; a
// kind without an id, such as "channel:", is all of that kind. Like the filter
// it dies with the websocket.
func (c *Client) Subscribe(ctx context.Context, app, sources string) error {
	return c.do(ctx, request{
		op: "subscribe to events", method: http.MethodPost, path: []string{"applications", app, "subscription"},
		query: url.Values{"eventSource": {sources}},
	}, nil)
}

// SetEventFilter makes Asterisk withhold events of the disallowed types from
// app, and reads the filter back. It must be repeated after every connect
// because the filter dies with the websocket. A list of allowed types is never
// used: it would withhold ApplicationReplaced (asterisk-facts 2).
func (c *Client) SetEventFilter(ctx context.Context, app string, disallowed []string) error {
	type item struct {
		Type string `json:"type"`
	}
	body := struct {
		Disallowed []item `json:"disallowed"`
	}{[]item{}}
	for _, t := range disallowed {
		body.Disallowed = append(body.Disallowed, item{t})
	}
	err := c.do(ctx, request{
		op: "set event filter", method: http.MethodPut, path: []string{"applications", app, "eventFilter"}, body: body,
	}, nil)
	if err != nil {
		return err
	}
	got, err := c.Application(ctx, app)
	if err != nil {
		return fmt.Errorf("read back event filter: %w", err)
	}
	if !sameSet(got.EventsDisallowed, disallowed) || len(got.EventsAllowed) > 0 {
		return fmt.Errorf("set event filter of application %q: asterisk kept disallowed %v and allowed %v",
			app, got.EventsDisallowed, got.EventsAllowed)
	}
	return nil
}

func sameSet(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(slices.Compact(a), slices.Compact(b))
}

// Snoop creates a snoop channel on channelID. If the answer is lost it asks
// whether the channel exists before it reports failure.
func (c *Client) Snoop(ctx context.Context, channelID string, o SnoopOptions) (Channel, error) {
	query := url.Values{"app": {o.App}}
	for key, value := range map[string]string{"spy": o.Spy, "whisper": o.Whisper, "appArgs": o.AppArgs} {
		if value != "" {
			query.Set(key, value)
		}
	}
	var w wireChannel
	err := c.do(ctx, request{
		op: "snoop on channel", method: http.MethodPost, path: []string{"channels", channelID, "snoop", o.ID}, query: query,
	}, &w)
	if unanswered(err) {
		err = c.settle(ctx, err, []string{"channels", o.ID}, &w)
	}
	if err != nil {
		return Channel{}, err
	}
	return w.channel(), nil
}

// Play plays media, such as "sound:beep", on a channel in Stasis. playbackID is
// chosen by the caller; if the answer is lost it asks for that playback before
// it reports failure.
func (c *Client) Play(ctx context.Context, channelID, playbackID string, media ...string) (Playback, error) {
	var w wirePlayback
	err := c.do(ctx, request{
		op: "play on channel", method: http.MethodPost, path: []string{"channels", channelID, "play", playbackID},
		query: url.Values{"media": media},
	}, &w)
	if unanswered(err) {
		err = c.settle(ctx, err, []string{"playbacks", playbackID}, &w)
	}
	if err != nil {
		return Playback{}, err
	}
	return w.playback(), nil
}

// settle finds out whether a POST whose answer was lost took effect; if so it
// fills out and returns nil, otherwise cause. It has a deadline of its own
// because that of ctx has usually passed.
func (c *Client) settle(ctx context.Context, cause error, path []string, out any) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	if c.do(ctx, request{op: "settle lost answer", method: http.MethodGet, path: path}, out) != nil {
		return cause
	}
	return nil
}

// Answer answers a channel in Stasis.
func (c *Client) Answer(ctx context.Context, id string) error {
	return c.do(ctx, request{op: "answer channel", method: http.MethodPost, path: []string{"channels", id, "answer"}}, nil)
}

// Hangup ends a channel. reason is one of Asterisk's words (normal, busy,
// congestion, no_answer …), "" for normal. A channel that is gone is ErrNotFound.
func (c *Client) Hangup(ctx context.Context, id, reason string) error {
	r := request{op: "hang up channel", method: http.MethodDelete, path: []string{"channels", id}}
	if reason != "" {
		r.query = url.Values{"reason": {reason}}
	}
	return c.do(ctx, r, nil)
}

// ContinueInDialplan makes a channel leave Stasis. Of to only Context, Exten
// and Priority count; the zero Dialplan goes on behind Stasis().
func (c *Client) ContinueInDialplan(ctx context.Context, id string, to Dialplan) error {
	query := url.Values{}
	if to.Context != "" {
		query.Set("context", to.Context)
	}
	if to.Exten != "" {
		query.Set("extension", to.Exten)
	}
	if to.Priority != 0 {
		query.Set("priority", strconv.Itoa(to.Priority))
	}
	return c.do(ctx, request{
		op: "continue channel in dialplan", method: http.MethodPost, path: []string{"channels", id, "continue"}, query: query,
	}, nil)
}
