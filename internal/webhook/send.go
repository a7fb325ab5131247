package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"callrecordd/internal/events"
)

// sender makes single attempts.
type sender struct {
	strict, lax *http.Client // by whether certificates are verified
	agent       string
	now         func() time.Time
}

func newSender(timeout time.Duration, allowInner bool, agent string, now func() time.Time) *sender {
	return &sender{
		strict: newClient(timeout, allowInner, true), lax: newClient(timeout, allowInner, false), agent: agent, now: now,
	}
}

func (s *sender) close() {
	s.strict.CloseIdleConnections()
	s.lax.CloseIdleConnections()
}

// maxAnswer is how much of an answer is read, so that its connection can be
// used again; nobody looks at it.
const maxAnswer = 16 << 10

// send makes one attempt. status is 0 if there was no answer; the error is for
// people who run the target, and says nothing of what the target has sent.
func (s *sender) send(ctx context.Context, h Head) (status int, err error) {
	req, err := s.request(ctx, h)
	if err != nil {
		return 0, err
	}
	client := s.strict
	if h.Subscription.Config.VerifyCertificate == "false" {
		client = s.lax
	}
	resp, err := client.Do(req)
	if err != nil {
		// Not the address, which for many targets is the key to them.
		if of, ok := errors.AsType[*url.Error](err); ok {
			err = of.Err
		}
		if errors.Is(err, ErrAddress) {
			return 0, err
		}
		return 0, fmt.Errorf("no answer: %w", err)
	}
	_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer)
	_ = resp.Body.Close() // what matters has been read
	switch {
	case resp.StatusCode >= 200 && resp.StatusCode < 300:
		return resp.StatusCode, nil
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		return resp.StatusCode, fmt.Errorf("answered %d: redirects are not followed, change the subscription's url", resp.StatusCode)
	}
	return resp.StatusCode, fmt.Errorf("answered %d", resp.StatusCode)
}

// request is signed anew for each attempt: a receiver refuses old ones.
func (s *sender) request(ctx context.Context, h Head) (*http.Request, error) {
	var e events.Event
	if err := json.Unmarshal(h.Delivery.Payload, &e); err != nil {
		return nil, fmt.Errorf("read the event: %w", err)
	}
	c := h.Subscription.Config
	body, contentType := []byte(e.Data), "application/json"
	if c.Body != "" {
		body, contentType = []byte(c.Body), "text/plain; charset=utf-8"
	}
	if c.ContentType != "" {
		contentType = c.ContentType
	}
	method := strings.ToUpper(c.Method)
	if method == http.MethodHead || method == http.MethodGet {
		body = nil
	}
	at := s.now()
	signature, err := Sign(h.Subscription.Secret, h.Delivery.UUID, at, body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, c.URL, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", contentType)
	}
	req.Header.Set("User-Agent", s.agent)
	req.Header.Set(headerEvent, e.Name)
	req.Header.Set(headerID, h.Delivery.UUID)
	req.Header.Set(headerTimestamp, strconv.FormatInt(at.Unix(), 10))
	req.Header.Set(headerSignature, signature)
	return req, nil
}
