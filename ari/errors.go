package ari

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// What an *Error may be, for errors.Is.
var (
	// ErrNotFound is status 404: no such channel, variable, bridge or application.
	ErrNotFound = errors.New("not found")
	// ErrNotInStasis is status 409: the channel is not in a Stasis application.
	ErrNotInStasis = errors.New("channel not in stasis")
	// ErrInvalid is status 400 or 422: Asterisk refuses the parameters.
	ErrInvalid = errors.New("invalid request")
	// ErrUnauthorized is status 401 or 403: wrong credentials or read_only=yes.
	ErrUnauthorized = errors.New("unauthorized")
	// ErrUnavailable is a status from 500 on, or no answer at all. After a
	// time-out of a POST the outcome is unknown.
	ErrUnavailable = errors.New("unavailable")
)

// What ends a session of the Stream or the Stream itself.
var (
	// ErrAppInUse says that another client holds our application name.
	ErrAppInUse = errors.New("ari application name in use")
	// ErrReplaced says that another client took our application name while we held it.
	ErrReplaced = errors.New("ari application replaced by another client")
	// ErrMissing says that Asterisk's HTTP server answers but has no ARI.
	ErrMissing = errors.New("ari not loaded")
	// ErrOverflow says that events came faster than the sink took them.
	ErrOverflow = errors.New("event queue overflow")
	// ErrSilent says that Asterisk left two pings unanswered.
	ErrSilent = errors.New("asterisk answers no ping")
)

// Error is a call to ARI that failed. It never contains credentials or query
// parameters.
type Error struct {
	// Op is what was attempted, such as "hang up channel".
	Op string
	// Method and Path are those of the request, without query.
	Method, Path string
	// Status is the HTTP status, 0 if there was no answer.
	Status int
	// Message is Asterisk's explanation or the cause of the failed transport.
	Message string

	err error
	// html marks an answer that did not come from ARI: Asterisk's HTTP server
	// itself says 404 in HTML when res_ari is not loaded.
	html bool
	// noRTP marks the 403 by which ARI says that a channel has no RTP
	// (measured with 22.10): no question of rights.
	noRTP bool
	// noFunction marks the 500 by which ARI says that a function has no value
	// (measured with 22.10): no fault of Asterisk.
	noFunction bool
}

// Error implements error.
func (e *Error) Error() string {
	if e.Status == 0 {
		return fmt.Sprintf("%s: %s %s: %s", e.Op, e.Method, e.Path, e.Message)
	}
	return fmt.Sprintf("%s: %s %s: status %d: %s", e.Op, e.Method, e.Path, e.Status, e.Message)
}

// Unwrap returns the error of the transport, such as context.DeadlineExceeded.
func (e *Error) Unwrap() error { return e.err }

// Is relates the status to this package's sentinel errors.
func (e *Error) Is(target error) bool {
	switch target {
	case ErrNotFound:
		return e.Status == http.StatusNotFound || e.noRTP || e.noFunction
	case ErrNotInStasis:
		return e.Status == http.StatusConflict
	case ErrInvalid:
		return e.Status == http.StatusBadRequest || e.Status == http.StatusUnprocessableEntity
	case ErrUnauthorized:
		return !e.noRTP && (e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden)
	case ErrUnavailable:
		if e.Status == 0 {
			return !errors.Is(e.err, context.Canceled)
		}
		return e.Status >= http.StatusInternalServerError && !e.noFunction
	}
	return false
}

// unanswered reports whether the request may have been carried out although no
// answer came.
func unanswered(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Status == 0
}
