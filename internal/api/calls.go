package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/recorder"
)

// Call is a telephone's part in what goes on: one of Asterisk's channels.
type Call struct {
	ID, TenantUUID         string // uniqueid
	UserUUID               string // empty if it is nobody's
	LineID                 int64  // 0 if there is none
	Name, Number           string // the party's own caller id
	PeerName, PeerNumber   string // of the first of those it talks to
	Dialled                string // the extension that it called or that was called
	Created                time.Time
	Up, Caller             bool
	TalkingTo              map[string]string // uniqueid → uuid of the user
	State                  recorder.PartyState
	RecordingUUID, PauseBy string // of its talk
	RecordingTenant        string // whose the recording is: a talk may be of two
}

// What CallRequest may be answered, for errors.Is. CallRefused is one more.
var (
	ErrNoCall           = errors.New("there is no such call")
	ErrRecordingNotOn   = errors.New("there is no recording to change")
	ErrCallsUnavailable = errors.New("the calls are not known now")
)

// CallRefused is a request that a rule forbids.
type CallRefused struct{ Reason dialplan.Reason }

// Error implements error.
func (e *CallRefused) Error() string { return "refused: " + string(e.Reason) }

// CallRequest asks for a change of a call's recording.
type CallRequest struct {
	ID    string
	Op    recorder.Op
	Actor string
	// Others says that it is somebody else's call: stop ends the recording
	// whoever wants it, resume ends anybody's pause (design 6).
	Others bool
}

// Calls are those that go on.
type Calls interface {
	// Calls returns them in the order in which they began.
	Calls(ctx context.Context) ([]Call, error)
	Request(ctx context.Context, q CallRequest) error
}

// recordOps are the operations of the routes.
func recordOps() []recorder.Op {
	return []recorder.Op{recorder.OpStart, recorder.OpStop, recorder.OpPause, recorder.OpResume}
}

// callRoutes are the rows of calld (recording-rules 4).
func (s *Server) callRoutes() []route {
	out := []route{
		{
			path: "/calls", method: "GET", acl: "calld.calls.read",
			summary: "List the calls that go on",
			query:   []param{{name: "recurse", kind: boolean, about: "The tenants below as well."}},
			answers: []answerRow{{status: http.StatusOK, about: "The calls", body: callList{}}},
			handle:  s.listCalls,
		},
		{
			path: "/calls/{call_id}", method: "GET", acl: "calld.calls.{call_id}.read",
			summary: "Get a call",
			answers: []answerRow{{status: http.StatusOK, about: "The call", body: callJSON{}}},
			handle:  s.getCall,
		},
		{
			path: "/users/me/calls", method: "GET", acl: "calld.users.me.calls.read",
			summary: "List one's own calls",
			answers: []answerRow{{status: http.StatusOK, about: "The calls", body: callList{}}},
			handle:  s.listMyCalls,
		},
	}
	for _, op := range recordOps() {
		rest := "/calls/{call_id}/record/" + string(op)
		changed := []answerRow{{status: http.StatusNoContent, about: "It is so, or was before"}}
		out = append(out, route{
			path: rest, method: "PUT", acl: "calld.calls.{call_id}.record." + string(op) + ".update",
			summary: "Recording of a call: " + string(op), answers: changed,
			handle: func(w http.ResponseWriter, r *http.Request, rc request) error { return s.putRecord(w, r, rc, op) },
		}, route{
			path: "/users/me" + rest, method: "PUT", acl: "calld.users.me.calls.{call_id}.record." + string(op) + ".update",
			also:    []string{"/users/me" + rest, "/user/me" + rest},
			summary: "Recording of one's own call: " + string(op), answers: changed,
			handle: func(w http.ResponseWriter, r *http.Request, rc request) error { return s.putMyRecord(w, r, rc, op) },
		})
	}
	for i := range out {
		out[i].service = Calld
	}
	return out
}

// callList has no total: Wazo's has none.
type callList struct {
	Items []callJSON `json:"items"`
}

// callJSON has the fields of Wazo's call object that are known here; a client
// that reads others finds none rather than a guess.
type callJSON struct {
	CallID           string              `json:"call_id"`
	CallerIDName     string              `json:"caller_id_name"`
	CallerIDNumber   string              `json:"caller_id_number"`
	PeerCallerName   string              `json:"peer_caller_id_name"`
	PeerCallerNumber string              `json:"peer_caller_id_number"`
	CreationTime     *string             `json:"creation_time"`
	Status           string              `json:"status"`
	IsCaller         bool                `json:"is_caller"`
	DialedExtension  string              `json:"dialed_extension"`
	LineID           *int64              `json:"line_id"`
	TalkingTo        map[string]string   `json:"talking_to"`
	TenantUUID       string              `json:"tenant_uuid"`
	UserUUID         *string             `json:"user_uuid"`
	RecordState      recorder.PartyState `json:"record_state"`
	// RecordingUUID and PausedBy are beyond Wazo: those of the talk, whichever
	// party wanted them. The recording of another tenant is not named.
	RecordingUUID *string `json:"recording_uuid"`
	PausedBy      *string `json:"paused_by"`
}

func callBody(c Call, visible []string) callJSON {
	out := callJSON{
		CallID: c.ID, CallerIDName: c.Name, CallerIDNumber: c.Number,
		PeerCallerName: c.PeerName, PeerCallerNumber: c.PeerNumber, Status: "Up", IsCaller: c.Caller,
		DialedExtension: c.Dialled, TalkingTo: c.TalkingTo, TenantUUID: c.TenantUUID, UserUUID: orNull(c.UserUUID),
		RecordState: c.State, PausedBy: orNull(c.PauseBy),
	}
	if slices.Contains(visible, c.RecordingTenant) {
		out.RecordingUUID = orNull(c.RecordingUUID)
	}
	if out.TalkingTo == nil {
		out.TalkingTo = map[string]string{}
	}
	if !c.Created.IsZero() {
		out.CreationTime = orNull(c.Created.UTC().Format("2006-01-02T15:04:05.000000-07:00"))
	}
	if c.LineID != 0 {
		out.LineID = &c.LineID
	}
	switch {
	case c.Up:
	case c.Caller:
		out.Status = "Ring"
	default:
		out.Status = "Ringing"
	}
	return out
}

// callsOf returns those that fit, or the problem that clients are told.
func (s *Server) callsOf(ctx context.Context, fits func(Call) bool) ([]Call, error) {
	list, err := s.calls.Calls(ctx)
	if errors.Is(err, ErrCallsUnavailable) {
		return nil, noAsterisk()
	}
	return slices.DeleteFunc(list, func(c Call) bool { return !fits(c) }), err
}

func (s *Server) writeCalls(ctx context.Context, w http.ResponseWriter, rc request, fits func(Call) bool) error {
	list, err := s.callsOf(ctx, fits)
	if err != nil {
		return err
	}
	out := callList{Items: make([]callJSON, 0, len(list))}
	for _, c := range list {
		out.Items = append(out.Items, callBody(c, rc.visible))
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

func (s *Server) listCalls(w http.ResponseWriter, r *http.Request, rc request) error {
	tenants := []string{rc.tenant}
	// calld compares with true and takes everything else for false.
	if strings.EqualFold(r.URL.Query().Get("recurse"), "true") {
		tenants = rc.visible
	}
	return s.writeCalls(r.Context(), w, rc, func(c Call) bool { return slices.Contains(tenants, c.TenantUUID) })
}

func (s *Server) listMyCalls(w http.ResponseWriter, r *http.Request, rc request) error {
	user, err := rc.user()
	if err != nil {
		return err
	}
	return s.writeCalls(r.Context(), w, rc, func(c Call) bool { return c.UserUUID == user })
}

// call is that of the path if fits lets it be seen.
func (s *Server) call(r *http.Request, fits func(Call) bool) (Call, error) {
	id := r.PathValue("call_id")
	list, err := s.callsOf(r.Context(), func(c Call) bool { return c.ID == id && fits(c) })
	if err != nil {
		return Call{}, err
	}
	if len(list) == 0 {
		return Call{}, noSuchCall(id)
	}
	return list[0], nil
}

// inTenant: there is no way into the tenants below but the header
// (recording-rules 4.1).
func (rc request) inTenant(c Call) bool { return c.TenantUUID == rc.tenant }

func (s *Server) getCall(w http.ResponseWriter, r *http.Request, rc request) error {
	c, err := s.call(r, rc.inTenant)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, callBody(c, rc.visible))
	return nil
}

func (s *Server) putRecord(w http.ResponseWriter, r *http.Request, rc request, op recorder.Op) error {
	c, err := s.call(r, rc.inTenant)
	if err != nil {
		return err
	}
	mine := c.UserUUID != "" && c.UserUUID == rc.token.UserUUID
	// What another tenant's party of the talk has wanted is that tenant's to end.
	theirs := c.RecordingTenant != "" && !slices.Contains(rc.visible, c.RecordingTenant)
	return s.changeRecord(w, r, CallRequest{ID: c.ID, Op: op, Actor: rc.token.AuthID, Others: !mine && !theirs})
}

// putMyRecord does not ask for the tenant: a user's call is the user's in
// whatever tenant (design 5).
func (s *Server) putMyRecord(w http.ResponseWriter, r *http.Request, rc request, op recorder.Op) error {
	user, err := rc.user()
	if err != nil {
		return err
	}
	c, err := s.call(r, func(c Call) bool { return c.UserUUID == user || rc.inTenant(c) })
	if err != nil {
		return err
	}
	if c.UserUUID != user {
		return &problem{
			http.StatusForbidden, "user-permission-denied",
			"User does not have permission to handle objects of other users",
			map[string]any{"call": c.ID, "user": user},
		}
	}
	return s.changeRecord(w, r, CallRequest{ID: c.ID, Op: op, Actor: user})
}

func (s *Server) changeRecord(w http.ResponseWriter, r *http.Request, q CallRequest) error {
	err := s.calls.Request(r.Context(), q)
	_, refused := errors.AsType[*CallRefused](err)
	switch {
	case refused:
		return &problem{
			http.StatusForbidden, "recording-unauthorized", "Recording unauthorized", map[string]any{"call_id": q.ID},
		}
	case errors.Is(err, ErrNoCall):
		return noSuchCall(q.ID)
	case errors.Is(err, ErrRecordingNotOn):
		return &problem{
			http.StatusBadRequest, "recording-not-started", "Recording not started", map[string]any{"call_id": q.ID},
		}
	case errors.Is(err, ErrCallsUnavailable):
		return noAsterisk()
	case err != nil:
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func noSuchCall(id string) *problem {
	return &problem{http.StatusNotFound, "no-such-call", "No such call", map[string]any{"call_id": id}}
}

func noAsterisk() *problem {
	return &problem{http.StatusServiceUnavailable, "asterisk-ari-unreachable", "Asterisk cannot be reached", nil}
}
