package api

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"callrecordd/internal/auth"
	"callrecordd/internal/directory"
)

// reasoned is an error in the second form of the auth service, that of tokens
// and policies (auth-and-clients 5, form B).
type reasoned struct {
	status int
	reason string
	wait   time.Duration // when to come back, for 429
}

func (e *reasoned) Error() string { return e.reason }

func (e *reasoned) write(w http.ResponseWriter, now time.Time) {
	if e.wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(e.wait/time.Second)+1))
	}
	writeJSON(w, e.status, struct {
		Reason     []string  `json:"reason"`
		Timestamp  []float64 `json:"timestamp"`
		StatusCode int       `json:"status_code"`
	}{[]string{e.reason}, []float64{float64(now.UnixMicro()) / 1e6}, e.status})
}

// bare is an error without an id (form D).
type bare struct {
	status  int
	message string
}

func (e *bare) Error() string { return e.message }

func (e *bare) write(w http.ResponseWriter, _ time.Time) { writeMessage(w, e.status, e.message) }

// badList is what is wrong with the parameters of a list. Its message is an
// object.
type badList struct{ wrong map[string]any }

func (e *badList) Error() string { return "invalid list parameters" }

func (e *badList) write(w http.ResponseWriter, now time.Time) {
	writeJSON(w, http.StatusBadRequest, struct {
		Message   map[string]any `json:"message"`
		ErrorID   string         `json:"error_id"`
		Details   map[string]any `json:"details"`
		Timestamp float64        `json:"timestamp"`
		Resource  string         `json:"resource"`
	}{e.wrong, "invalid-list-param", e.wrong, float64(now.UnixMicro()) / 1e6, "users"})
}

// about is a problem that says what it is about, as the auth service does.
type about struct {
	problem
	resource string
}

func (e *about) write(w http.ResponseWriter, now time.Time) {
	details := e.details
	if details == nil {
		details = map[string]any{}
	}
	writeJSON(w, e.status, struct {
		problemJSON
		Resource string `json:"resource"`
	}{problemJSON{e.message, e.id, details, float64(now.UnixMicro()) / 1e6}, e.resource})
}

func noUser(id string) error {
	return &about{problem{
		status: http.StatusNotFound, id: "unknown-user", message: fmt.Sprintf("No such user: %q", id),
		details: map[string]any{"uuid": id},
	}, "users"}
}

func noTenant(id string) error {
	return &about{problem{
		status: http.StatusNotFound, id: "unknown-tenant", message: fmt.Sprintf("No such tenant: %q", id),
		details: map[string]any{"uuid": id},
	}, "tenants"}
}

func noPolicy(id string) error {
	return &reasoned{status: http.StatusNotFound, reason: "No such policy " + id}
}

// badField is a value of a body that cannot be accepted.
func badField(resource, field, text, constraintID string, constraint any) error {
	return &about{problem{
		status: http.StatusBadRequest, id: "invalid-data", message: text,
		details: map[string]any{field: map[string]any{
			"message": text, "constraint_id": constraintID, "constraint": constraint,
		}},
	}, resource}
}

func conflict(resource, field, text string) error {
	return &about{problem{
		status: http.StatusConflict, id: "conflict", message: "Conflict detected",
		details: map[string]any{field: map[string]any{"constraint_id": "unique", "message": text}},
	}, resource}
}

// told puts the errors of package auth into the words of clients: users have
// their form, policies and tokens the other.
func told(err error, rc request, resource string) error {
	var (
		invalid *auth.ErrInvalid
		taken   *auth.ErrTaken
		more    *auth.ErrEscalation
		many    *auth.ErrTooManySessions
	)
	wait, throttled := auth.Throttled(err)
	policy := resource == "policies"
	switch {
	case err == nil:
		return nil
	case errors.As(err, &more):
		return unauthorized("missing_permission_or_invalid_tenant", more.Access, rc.tenant)
	case throttled:
		return &reasoned{status: http.StatusTooManyRequests, reason: "Too many failed logins", wait: wait}
	case errors.As(err, &many):
		return &reasoned{status: http.StatusTooManyRequests, reason: many.Error()}
	case errors.Is(err, auth.ErrLogin):
		return &reasoned{status: http.StatusUnauthorized, reason: "Authentication Failed"}
	case errors.Is(err, auth.ErrReadOnly):
		return &reasoned{status: http.StatusForbidden, reason: "Forbidden policy modification: it comes with the program"}
	case errors.As(err, &invalid) && policy:
		return &reasoned{status: http.StatusBadRequest, reason: "Invalid value supplied for field: " + invalid.Field}
	case errors.As(err, &invalid):
		return badField(resource, invalid.Field, invalid.Text, invalid.ConstraintID, invalid.Constraint)
	case errors.As(err, &taken) && policy:
		return &reasoned{status: http.StatusConflict, reason: fmt.Sprintf("Policy %q already exists", taken.Value)}
	case errors.As(err, &taken):
		return conflict(resource, taken.Field, fmt.Sprintf("The login %q is already used", taken.Value))
	}
	return err
}

// toldTenant does the same for tenants, which the directory has.
func toldTenant(err error, uuid string) error {
	var invalid *directory.ErrInvalid
	switch {
	case err == nil:
		return nil
	case errors.As(err, &invalid):
		return badField("tenants", invalid.Field, invalid.Text, "regex", nil)
	case errors.Is(err, directory.ErrNotFound):
		return noTenant(uuid)
	case errors.Is(err, directory.ErrConflict):
		return &about{problem{
			status: http.StatusConflict, id: "conflict", message: "Conflict detected: " + err.Error(),
			details: map[string]any{"uuid": uuid},
		}, "tenants"}
	}
	return err
}
