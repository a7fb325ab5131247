package ari

import (
	"context"
	"net/http"
	"net/url"
)

// CreateChannel creates a channel in the Stasis application app without dialling
// it. id becomes its uniqueid and otherID that of a Local channel's other half,
// so that both are known whatever happens to the answer.
func (c *Client) CreateChannel(ctx context.Context, endpoint, app, id, otherID string) (Channel, error) {
	query := url.Values{"endpoint": {endpoint}, "app": {app}, "channelId": {id}}
	if otherID != "" {
		query.Set("otherChannelId", otherID)
	}
	var w wireChannel
	err := c.do(ctx, request{op: "create channel", method: http.MethodPost, path: []string{"channels", "create"}, query: query}, &w)
	if unanswered(err) {
		err = c.settle(ctx, err, []string{"channels", id}, &w)
	}
	if err != nil {
		return Channel{}, err
	}
	return w.channel(), nil
}
