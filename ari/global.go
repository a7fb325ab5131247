package ari

import (
	"context"
	"errors"
	"net/http"
	"net/url"
)

// GlobalVar reads a global variable, empty if it is not set.
func (c *Client) GlobalVar(ctx context.Context, name string) (string, error) {
	var w struct {
		Value text `json:"value"`
	}
	err := c.do(ctx, request{
		op: "read global variable", method: http.MethodGet, path: []string{"asterisk", "variable"},
		query: url.Values{"variable": {name}},
	}, &w)
	if errors.Is(err, ErrNotFound) {
		err = nil
	}
	return string(w.Value), err
}

// SetGlobalVar sets a global variable; it lives as long as Asterisk.
func (c *Client) SetGlobalVar(ctx context.Context, name, value string) error {
	return c.do(ctx, request{
		op: "set global variable", method: http.MethodPost, path: []string{"asterisk", "variable"},
		query: url.Values{"variable": {name}, "value": {value}},
	}, nil)
}
