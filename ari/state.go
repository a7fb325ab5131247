package ari

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// StateKind is the closed enumeration of the stream's conditions.
type StateKind string

// The conditions of a Stream.
const (
	StateConnecting    StateKind = "connecting"
	StateConnected     StateKind = "connected"
	StateMisconfigured StateKind = "misconfigured"
	StateUnreachable   StateKind = "unreachable"
	StateReplaced      StateKind = "replaced"
	StateAppInUse      StateKind = "app_in_use"
	StateMissing       StateKind = "ari_missing"
)

// State is the condition of a Stream, for readiness, metrics and `check`.
type State struct {
	Kind StateKind
	// Since is when Kind began.
	Since time.Time
	// LastEvent is when the last event arrived, zero before the first.
	LastEvent time.Time
	// Reconnects counts connections after the first.
	Reconnects int
	// Gaps counts the spans in which events may have been missed.
	Gaps int
	// Detail is a sentence that says what to do.
	Detail string
}

// State returns the present condition.
func (s *Stream) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// setState enters a condition, logs it if it is new and tells the observer.
func (s *Stream) setState(kind StateKind, detail string) {
	s.mu.Lock()
	changed := s.state.Kind != kind
	fresh := changed || s.state.Detail != detail
	if changed {
		s.state.Kind, s.state.Since = kind, s.cfg.Now()
	}
	s.state.Detail = detail
	now := s.state
	s.mu.Unlock()
	if fresh {
		switch kind {
		case StateConnected, StateConnecting:
			s.cfg.Logger.Info("ari state", "state", string(kind), "detail", detail)
		default:
			s.cfg.Logger.Warn("ari state", "state", string(kind), "detail", detail)
		}
	}
	if s.cfg.OnState != nil {
		s.cfg.OnState(now)
	}
}

// diagnose says what the end of a session means and what to do about it.
func (s *Stream) diagnose(err error) (StateKind, string) {
	host := s.client.base.Host
	var e *Error
	errors.As(err, &e)
	switch {
	case errors.Is(err, ErrReplaced):
		return StateReplaced, fmt.Sprintf("another client took the ARI application %q: only one callrecordd may run "+
			"per Asterisk, stop the other one and start this one again", s.cfg.App)
	case errors.Is(err, ErrAppInUse):
		return StateAppInUse, fmt.Sprintf("another client holds the ARI application %q: stop the other callrecordd or "+
			"wait until Asterisk drops its websocket, this one retries by itself", s.cfg.App)
	case errors.Is(err, ErrUnauthorized) && e.Status == http.StatusForbidden:
		return StateMisconfigured, fmt.Sprintf("Asterisk at %s forbids our ARI user to change anything (%v): set "+
			"read_only=no for it in ari.conf and reload res_ari", host, err)
	case errors.Is(err, ErrUnauthorized):
		return StateMisconfigured, fmt.Sprintf("Asterisk at %s refuses our ARI user: make user and password in ari.conf "+
			"and in callrecordd's configuration the same, then reload res_ari", host)
	case errors.Is(err, ErrMissing):
		return StateMissing, fmt.Sprintf("the HTTP server at %s has no ARI (%v): set enabled=yes in ari.conf and http.conf "+
			"and load res_ari, res_ari_events, res_ari_applications, res_ari_asterisk and res_http_websocket", host, err)
	}
	return StateUnreachable, fmt.Sprintf("no event stream from Asterisk at %s (%v): see that Asterisk runs and that "+
		"http.conf has enabled=yes and this address", host, err)
}
