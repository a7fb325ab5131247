package ami

import (
	"context"
	"fmt"
	"strings"
)

// MixMonitor starts a recorder on channel, a name or uniqueid, into file with
// options, and returns its id, which is "" unless options have i(). Success
// proves nothing: Asterisk answers before it opens the file (asterisk-facts 1).
// A comma in file or options is ErrInvalidField: Asterisk joins file, options
// and command with commas, so it would inject a shell command.
func (c *Client) MixMonitor(ctx context.Context, channel, file, options string) (id string, err error) {
	if file == "" || strings.Contains(file, ",") || strings.Contains(options, ",") {
		return "", fmt.Errorf("ami action MixMonitor: %w: file is empty, or file or options have a comma", ErrInvalidField)
	}
	fields := []Field{{"File", file}}
	if options != "" {
		fields = append(fields, Field{"options", options})
	}
	r, err := c.onChannel(ctx, "MixMonitor", channel, "", fields)
	return r.Get("MixMonitorID"), err
}

// StopMixMonitor stops the recorder id of channel. The file is complete when it
// returns. Send none to a channel in hangup (asterisk#1673).
func (c *Client) StopMixMonitor(ctx context.Context, channel, id string) error {
	if id == "" { // Asterisk would stop the first one, whosever it is
		return fmt.Errorf("ami action StopMixMonitor: %w: no recorder", ErrInvalidField)
	}
	_, err := c.onChannel(ctx, "StopMixMonitor", channel, id, nil)
	return err
}

// MixMonitorMute mutes or unmutes both directions of the recorder id of
// channel.
func (c *Client) MixMonitorMute(ctx context.Context, channel, id string, on bool) error {
	if id == "" { // Asterisk would mute all of them, whosever they are
		return fmt.Errorf("ami action MixMonitorMute: %w: no recorder", ErrInvalidField)
	}
	state := "0"
	if on {
		state = "1"
	}
	_, err := c.onChannel(ctx, "MixMonitorMute", channel, id, []Field{{"Direction", "both"}, {"State", state}})
	return err
}

// onChannel sends an action for a channel, which must be named: Asterisk would
// take none for another request.
func (c *Client) onChannel(ctx context.Context, name, channel, id string, fields []Field) (Response, error) {
	if channel == "" {
		return Response{}, fmt.Errorf("ami action %s: %w: no channel", name, ErrInvalidField)
	}
	a := Action{name, append([]Field{{"Channel", channel}}, fields...)}
	if id != "" {
		a.Fields = append(a.Fields, Field{"MixMonitorID", id})
	}
	return c.Do(ctx, a)
}

// Setvar sets a variable or function of channel, or with "" a global one.
func (c *Client) Setvar(ctx context.Context, channel, name, value string) error {
	_, err := c.Do(ctx, Action{"Setvar", variable(channel, name, Field{"Value", value})})
	return err
}

// Getvar reads a variable or function of channel, or with "" a global one; an
// unset one is "".
func (c *Client) Getvar(ctx context.Context, channel, name string) (string, error) {
	r, err := c.Do(ctx, Action{"Getvar", variable(channel, name)})
	return r.Get("Value"), err
}

func variable(channel, name string, more ...Field) []Field {
	var fields []Field
	if channel != "" {
		fields = []Field{{"Channel", channel}}
	}
	return append(append(fields, Field{"Variable", name}), more...)
}

// Reload reloads a module, such as "pbx_config".
func (c *Client) Reload(ctx context.Context, module string) error {
	_, err := c.Do(ctx, Action{"Reload", []Field{{"Module", module}}})
	return err
}
