package api

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"time"
)

// problem is an error as clients see it (cdr-api 1.10): message and details
// are for them, internal text goes to the log. Without an id only the message
// is sent (1.12).
type problem struct {
	status  int
	id      string
	message string
	details map[string]any
}

func (p *problem) Error() string { return p.id + ": " + p.message }

func unauthorized(reason, access, tenant string) *problem {
	details := map[string]any{"invalid_token": true, "reason": reason, "required_access": access}
	if reason == "missing_permission_or_invalid_tenant" {
		details["tenant_uuid"] = nil
		if tenant != "" {
			details["tenant_uuid"] = tenant
		}
	}
	return &problem{http.StatusUnauthorized, "unauthorized", "Unauthorized", details}
}

// tokensUnreachable is what clients know of an auth service that is down. Ours
// is in the same process and has no address of its own; why it cannot answer is
// in the log.
func tokensUnreachable() *problem {
	return &problem{
		http.StatusServiceUnavailable, "authentication-server-unreachable", "Authentication server unreachable",
		map[string]any{"auth_server_host": "localhost", "auth_server_port": nil, "original_error": "tokens cannot be checked now"},
	}
}

func unauthorizedTenant(tenant string) *problem {
	return &problem{
		http.StatusUnauthorized, "unauthorized-tenant", "Unauthorized tenant", map[string]any{"tenant_uuid": tenant},
	}
}

func invalidData(details map[string]any) *problem {
	return &problem{http.StatusBadRequest, "invalid-data", "Sent data is invalid", details}
}

func cdrNotFound(id int64) *problem {
	return &problem{
		http.StatusNotFound, "cdr-not-found-with-given-id", "No CDR found matching this ID",
		map[string]any{"cdr_id": id},
	}
}

func recordingNotFound(uuid string) *problem {
	return &problem{
		http.StatusNotFound, "recording-not-found", "No recording found",
		map[string]any{"recording_uuid": uuid},
	}
}

// mediaProblem never discloses the path on the server (design 7).
func mediaProblem(status int, id, message, uuid string) *problem {
	return &problem{status, id, message, map[string]any{"recording_uuid": uuid}}
}

// problemJSON has the four keys in the order in which clients know them.
type problemJSON struct {
	Message   string         `json:"message"`
	ErrorID   string         `json:"error_id"`
	Details   map[string]any `json:"details"`
	Timestamp float64        `json:"timestamp"`
}

func (p *problem) write(w http.ResponseWriter, now time.Time) {
	if p.id == "" {
		writeMessage(w, p.status, p.message)
		return
	}
	details := p.details
	if details == nil {
		details = map[string]any{}
	}
	writeJSON(w, p.status, problemJSON{p.message, p.id, details, float64(now.UnixMicro()) / 1e6})
}

// writeNoRoute is the answer for a path that does not exist: upstream's is a
// page too (cdr-api 1.12), and clients tell it from a known kind of error.
func writeNoRoute(w http.ResponseWriter) {
	const page = "<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n" +
		"<p>There is nothing at this address.</p>\n"
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(page)))
	w.WriteHeader(http.StatusNotFound)
	_, _ = io.WriteString(w, page) // the client may be gone, which is its own affair
}

// messageBody is the shape of errors without an id (cdr-api 1.12).
type messageBody struct {
	Message string `json:"message"`
}

func writeMessage(w http.ResponseWriter, status int, message string) {
	writeJSON(w, status, messageBody{message})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		// Only values of our own types come here; a failure is a bug.
		http.Error(w, `{"message": "Internal Server Error"}`, http.StatusInternalServerError)
		return
	}
	data = append(data, '\n')
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(status)
	_, _ = w.Write(data) // the client may be gone, which is its own affair
}
