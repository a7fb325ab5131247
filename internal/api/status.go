package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"callrecordd/internal/auth"
)

// Health is how the parts are on which the services depend.
type Health struct {
	Asterisk bool // its events arrive
	Journal  bool // calls become CDRs
	Database bool // it takes writes
}

// component is a part in the answers to /status.
type component struct {
	Status string `json:"status"`
}

func health(ok bool) component {
	if ok {
		return component{"ok"}
	}
	return component{"fail"}
}

// The answers to /status have the keys that clients know (cdr-api 9.1). We have
// neither a message bus nor a service token: what stands for them is where the
// news comes from and where tokens are kept.
type callLogdStatus struct {
	BusConsumer  component `json:"bus_consumer"`
	ServiceToken component `json:"service_token"`
	TaskQueue    component `json:"task_queue"`
}

type calldStatus struct {
	ARI          component `json:"ari"`
	BusConsumer  component `json:"bus_consumer"`
	ServiceToken component `json:"service_token"`
}

type confdStatus struct {
	RESTAPI      component `json:"rest_api"`
	ServiceToken component `json:"service_token"`
}

// infosJSON says which system this is and what it speaks (auth-and-clients 1.9).
type infosJSON struct {
	UUID        string `json:"uuid"`
	WazoVersion string `json:"wazo_version"`
}

// wazoVersion is that of the platform whose API ours is: clients compare it with
// what they need.
const wazoVersion = "26.08"

// configPatch is one step of a change of the configuration. Upstream knows a
// single one (cdr-api 9.2), and so do we: debug messages in the log or not, until
// the next restart or reload.
type configPatch struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value bool   `json:"value"`
}

// serviceRoutes are the rows that every service has of its own kind.
func (s *Server) serviceRoutes() []route {
	status := func(of Service, body any, answer func(Health) any) route {
		return route{
			service: of, method: "GET", path: "/status", acl: string(of) + ".status.read",
			summary: "Say whether the parts work", answers: []answerRow{{status: http.StatusOK, about: "The parts", body: body}},
			handle: func(w http.ResponseWriter, _ *http.Request, _ request) error {
				writeJSON(w, http.StatusOK, answer(s.health()))
				return nil
			},
		}
	}
	rows := []route{
		status(CallLogd, callLogdStatus{}, func(h Health) any {
			return callLogdStatus{health(h.Asterisk && h.Journal), health(h.Database), health(h.Database)}
		}),
		status(Calld, calldStatus{}, func(h Health) any {
			return calldStatus{health(h.Asterisk), health(h.Asterisk), health(h.Database)}
		}),
		status(Confd, confdStatus{}, func(h Health) any { return confdStatus{health(true), health(h.Database)} }),
		status(Webhookd, confdStatus{}, func(h Health) any { return confdStatus{health(true), health(h.Database)} }),
		{
			service: Auth, method: "HEAD", path: "/status", summary: "Say whether tokens can be checked",
			answers: []answerRow{{status: http.StatusOK, about: "They can"}, {status: http.StatusServiceUnavailable, about: "They cannot"}},
			handle:  s.authStatus,
		},
		{
			service: Confd, method: "GET", path: "/infos", acl: "confd.infos.read", summary: "Say which system this is",
			answers: []answerRow{{status: http.StatusOK, about: "Its uuid and the version of its API", body: infosJSON{}}},
			handle: func(w http.ResponseWriter, _ *http.Request, _ request) error {
				writeJSON(w, http.StatusOK, infosJSON{s.accounts.StackUUID, wazoVersion})
				return nil
			},
		},
	}
	for _, of := range Services() {
		acl := string(of)
		if of == CallLogd {
			acl = "call_logd" // upstream's spelling, so that call-logd.# is not enough (cdr-api 2)
		}
		rows = append(rows, route{
			service: of, method: "GET", path: "/config", acl: acl + ".config.read", master: true,
			summary: "Get the configuration in force, without passwords",
			answers: []answerRow{{status: http.StatusOK, about: "Sections with their keys", body: map[string]any{}}},
			handle:  s.getConfig,
		}, route{
			service: of, method: "PATCH", path: "/config", acl: acl + ".config.update", master: true,
			summary: "Switch debug messages in the log on or off", body: []configPatch{},
			answers: []answerRow{{status: http.StatusOK, about: "The configuration afterwards", body: map[string]any{}}},
			handle:  s.patchConfig,
		})
	}
	return rows
}

// authStatus fails if readers of tokens would, or who logs in.
func (s *Server) authStatus(w http.ResponseWriter, r *http.Request, _ request) error {
	if !s.health().Database {
		w.WriteHeader(http.StatusServiceUnavailable)
		return nil
	}
	_, err := s.tokens.Check(r.Context(), "00000000-0000-0000-0000-000000000000")
	if err != nil && !errors.Is(err, auth.ErrInvalidToken) {
		s.log.Error("tokens cannot be checked", "err", err)
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	return nil
}

func (s *Server) getConfig(w http.ResponseWriter, _ *http.Request, _ request) error {
	writeJSON(w, http.StatusOK, s.config())
	return nil
}

// patchConfig does all of its steps or none.
func (s *Server) patchConfig(w http.ResponseWriter, r *http.Request, rc request) error {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxConfBody))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return fmt.Errorf("read the body: %w", err)
	}
	var steps []struct {
		Op, Path string
		Value    any
	}
	if err != nil || !json.Valid(data) {
		return malformed()
	}
	if json.Unmarshal(data, &steps) != nil || steps == nil {
		return invalidData(map[string]any{"_schema": []any{"Invalid input type."}})
	}
	var on []bool
	for i, step := range steps {
		v, ok := step.Value.(bool)
		if step.Op != "replace" || step.Path != "/debug" || !ok {
			return invalidData(map[string]any{strconv.Itoa(i): []any{"Only op replace of path /debug with true or false is possible."}})
		}
		on = append(on, v)
	}
	for _, v := range on {
		s.debug(v, rc.token.AuthID)
	}
	return s.getConfig(w, r, rc)
}
