package ari

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"callrecordd/ari/internal/backoff"
)

const (
	defaultTimeout = 5 * time.Second
	// maxAnswer bounds an answer: a channel takes about 700 bytes, so this is
	// some forty thousand channels.
	maxAnswer = 32 << 20
	// maxMessage bounds what an error keeps of an answer that is no JSON.
	maxMessage = 200
)

// Credentials are an ARI user of ari.conf. They print as "***".
type Credentials struct{ User, Password string }

// String hides both parts.
func (Credentials) String() string { return "***" }

// GoString hides both parts.
func (Credentials) GoString() string { return "***" }

// LogValue hides both parts.
func (Credentials) LogValue() slog.Value { return slog.StringValue("***") }

// MarshalJSON hides both parts.
func (Credentials) MarshalJSON() ([]byte, error) { return []byte(`"***"`), nil }

// Client makes ARI's REST calls. It is safe for concurrent use.
type Client struct {
	base    url.URL
	http    *http.Client
	timeout time.Duration
	// authorize is a closure so that no print of a Client shows the secret.
	authorize func(http.Header)
}

// Option changes how a Client works.
type Option func(*Client)

// WithTimeout sets the deadline of calls whose context has none, 5 s by default.
func WithTimeout(d time.Duration) Option { return func(c *Client) { c.timeout = d } }

// WithHTTPClient sets the HTTP client, for TLS settings or another dialer.
// Redirects are not followed whatever it says: they would carry the credentials away.
func WithHTTPClient(h *http.Client) Option {
	return func(c *Client) {
		own := *h
		c.http = &own
	}
}

// New returns a client of the Asterisk at base, such as http://127.0.0.1:8088;
// "/ari" is appended. A user in base is ignored.
func New(base *url.URL, creds Credentials, opts ...Option) *Client {
	token := "Basic " + base64.StdEncoding.EncodeToString([]byte(creds.User+":"+creds.Password))
	c := &Client{
		base:      url.URL{Scheme: base.Scheme, Host: base.Host, Path: strings.TrimSuffix(base.Path, "/")},
		http:      &http.Client{Transport: transport()},
		timeout:   defaultTimeout,
		authorize: func(h http.Header) { h.Set("Authorization", token) },
	}
	for _, o := range opts {
		o(c)
	}
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c
}

// transport keeps few connections and drops idle ones before Asterisk does:
// its session limit is 100 and its keep-alive 15 s (asterisk-facts 2). A
// connection reused just as Asterisk closes it would make a POST fail.
func transport() *http.Transport {
	return &http.Transport{
		DialContext:         (&net.Dialer{Timeout: defaultTimeout}).DialContext,
		MaxConnsPerHost:     8,
		MaxIdleConnsPerHost: 4,
		IdleConnTimeout:     10 * time.Second,
	}
}

// CloseIdleConnections closes the connections that carry no call.
func (c *Client) CloseIdleConnections() { c.http.CloseIdleConnections() }

// address is base + /ari + segments, each escaped.
func (c *Client) address(segments []string, query url.Values) *url.URL {
	u := c.base
	escaped := make([]string, len(segments))
	for i, s := range segments {
		escaped[i] = url.PathEscape(s)
	}
	u.RawPath = u.EscapedPath() + "/ari/" + strings.Join(escaped, "/")
	u.Path += "/ari/" + strings.Join(segments, "/")
	u.RawQuery = query.Encode()
	return &u
}

// request is one REST call.
type request struct {
	op, method string
	path       []string
	query      url.Values
	body       any
}

// do makes the call and decodes the answer into out, which may be nil.
func (c *Client) do(ctx context.Context, r request, out any) error {
	ctx, cancel := backoff.Bound(ctx, c.timeout)
	defer cancel()
	u := c.address(r.path, r.query)
	fail := &Error{Op: r.op, Method: r.method, Path: u.EscapedPath()}
	if slices.Contains(r.path, "") {
		// DELETE /channels/ is another call than the one that was meant.
		fail.Status, fail.Message = http.StatusBadRequest, "not sent: empty identifier"
		return fail
	}
	req, err := c.newRequest(ctx, r, u)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return transportError(fail, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	fail.Status = resp.StatusCode
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		fail.Message, fail.html = explain(raw)
		return fail
	}
	if err == nil && len(raw) > maxAnswer {
		err = fmt.Errorf("longer than %d bytes", maxAnswer)
	}
	if err == nil && out != nil {
		err = unmarshal(raw, out)
	}
	if err != nil {
		fail.Message, fail.err = "unreadable answer: "+err.Error(), err
		return fail
	}
	return nil
}

// newRequest builds the HTTP request with the credentials in its header.
func (c *Client) newRequest(ctx context.Context, r request, u *url.URL) (*http.Request, error) {
	var body io.Reader
	if r.body != nil {
		raw, err := json.Marshal(r.body)
		if err != nil {
			return nil, fmt.Errorf("%s: encode body: %w", r.op, err)
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, u.String(), body)
	if err != nil {
		return nil, fmt.Errorf("%s: build request: %w", r.op, err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	c.authorize(req.Header)
	return req, nil
}

// transportError completes e for a request without answer. The wrapper of
// net/http is taken off because it repeats address and query.
func transportError(e *Error, err error) *Error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	e.Message, e.err = err.Error(), err
	return e
}

// explain takes the message out of ARI's answer; html is true if ARI did not write it.
func explain(raw []byte) (message string, html bool) {
	var answer struct {
		Message text `json:"message"`
		Error   text `json:"error"`
	}
	if err := unmarshal(raw, &answer); err == nil {
		if answer.Message == "" {
			answer.Message = answer.Error
		}
		return string(answer.Message), false
	}
	message = strings.Join(strings.Fields(string(raw)), " ")
	if len(message) > maxMessage {
		message = message[:maxMessage] + "…"
	}
	return strings.ToValidUTF8(message, ""), true
}
