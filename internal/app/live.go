package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"callrecordd/dialplan"
	"callrecordd/internal/call"
	"callrecordd/internal/control"
	"callrecordd/internal/recorder"
)

// LiveTalk is a talk that goes on, for people and the API.
type LiveTalk struct {
	Legs []LiveLeg `json:"legs"`
	// Recording is nil if there is none that runs.
	Recording *LiveRecording `json:"recording"`
	// PausedBy is nil unless the talk is paused. A talk is that too while no
	// recorder runs: none starts before the pause ends.
	PausedBy *LivePause `json:"paused_by"`
}

// LiveLeg is one party of it.
type LiveLeg struct {
	ID       string                `json:"id"`      // uniqueid
	Channel  string                `json:"channel"` // its name
	Endpoint string                `json:"endpoint"`
	Kind     dialplan.EndpointKind `json:"kind"`
	Role     dialplan.Role         `json:"role"`
	UserUUID string                `json:"user_uuid,omitempty"`
	UserName string                `json:"user_name,omitempty"`
	// RecordState is that of the party's own claim (design 6).
	RecordState recorder.PartyState `json:"record_state"`
}

// LiveRecording is the recording of a talk.
type LiveRecording struct {
	UUID   string           `json:"uuid"`
	State  recorder.State   `json:"state"`
	Claims []recorder.Claim `json:"claims"`
}

// LivePause is a pause that lasts.
type LivePause struct {
	Leg   string    `json:"leg"`   // uniqueid of the leg that paused, empty if an administrator did
	Actor string    `json:"actor"` // who did
	From  time.Time `json:"from"`
}

// Live lists the talks that go on, in the order in which they began.
func (a *App) Live(ctx context.Context) ([]LiveTalk, error) {
	type answer struct {
		talks []LiveTalk
		err   error
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	said, err := ask(ctx, a.reducer, func() answer {
		talks, err := a.reducer.live()
		return answer{talks, err}
	})
	if err != nil {
		return nil, fmt.Errorf("ask for the live calls: %w", err)
	}
	return said.talks, said.err
}

func (r *reducer) live() ([]LiveTalk, error) {
	if r.machine == nil {
		return nil, ErrNoAsterisk
	}
	out := []LiveTalk{}
	hooked := make(map[string]recorder.Recording)
	for _, rec := range r.machine.Recordings() {
		if rec.State != recorder.Closing {
			hooked[rec.Hook] = rec
		}
	}
	for _, t := range r.model.Talks() {
		out = append(out, r.liveTalk(t, hooked))
	}
	return out, nil
}

func (r *reducer) liveTalk(t call.Talk, hooked map[string]recorder.Recording) LiveTalk {
	var out LiveTalk
	book := r.book()
	for i, p := range parties(book, t.Legs) {
		u, _ := book.User(p.UserUUID)
		out.Legs = append(out.Legs, LiveLeg{
			ID: p.Leg, Channel: t.Legs[i].Name, Endpoint: p.Endpoint, Kind: p.Kind, Role: p.Role,
			UserUUID: p.UserUUID, UserName: u.Name(), RecordState: r.machine.PartyState(p.Leg),
		})
		if rec, ok := hooked[p.Leg]; ok {
			out.Recording = &LiveRecording{UUID: rec.UUID, State: rec.State, Claims: rec.Claims}
		}
		if pause, ok := r.machine.TalkPause(p.Leg); ok {
			out.PausedBy = &LivePause{Leg: pause.Owner, Actor: pause.Actor, From: pause.From}
		}
	}
	return out
}

// What RequestLive may answer, for errors.Is; Refused is one more.
var (
	ErrNoAsterisk   = errors.New("asterisk has not been seen yet")
	ErrNoChannel    = errors.New("there is no such telephone in a call")
	ErrNoTalk       = errors.New("nobody talks there now")
	ErrNotRecording = errors.New("that talk is not being recorded")
)

// Refused is a request that a rule forbids.
type Refused struct{ Reason dialplan.Reason }

// Error implements error.
func (r *Refused) Error() string { return "refused: " + string(r.Reason) }

// LiveRequest asks for a change of a talk's recording.
type LiveRequest struct {
	Channel  string // uniqueid or name
	Op       recorder.Op
	Actor    string // who asks, for the events
	Override bool   // with permission over other people's calls
	Reach    bool   // see recorder.Request
}

// RequestLive starts, stops, pauses or resumes the recording of the talk that a
// channel is in, as the party at that channel, with the reason api. The answer
// comes at once; files follow. To stop what is not recorded is no error, but
// the outcome says so.
func (a *App) RequestLive(ctx context.Context, q LiveRequest) (LiveOutcome, error) {
	type answer struct {
		outcome LiveOutcome
		err     error
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	said, err := ask(ctx, a.reducer, func() answer {
		outcome, err := a.reducer.requestLive(q)
		return answer{outcome, err}
	})
	if err = errors.Join(err, said.err); err != nil {
		return said.outcome, fmt.Errorf("%s the recording of %s: %w", q.Op, q.Channel, err)
	}
	if q.Op == recorder.OpStop {
		a.awaitStored(q)
	}
	return said.outcome, nil
}

// storedTime is how long the answer to a stop waits for the database.
const storedTime = time.Second

// awaitStored keeps the answer to a stop until it is stored: a daemon that dies
// after it must not be followed by one that goes on recording. What the database
// does not take in time is stopped all the same.
func (a *App) awaitStored(q LiveRequest) {
	ctx, cancel := context.WithTimeout(context.Background(), storedTime)
	defer cancel()
	if err := a.stored(ctx); err != nil {
		a.log.Warn("a stop is not stored yet", "channel", q.Channel, "err", err)
	}
}

func (r *reducer) requestLive(q LiveRequest) (LiveOutcome, error) {
	if r.machine == nil {
		return LiveOutcome{}, ErrNoAsterisk
	}
	leg, ok := r.leg(q.Channel)
	if !ok {
		return LiveOutcome{}, ErrNoChannel
	}
	outcome := LiveOutcome{}
	outcome.Outcome = r.request(recorder.Request{
		Op: q.Op, Party: r.party(leg), By: dialplan.API, Actor: q.Actor, Override: q.Override, Reach: q.Reach,
		Conference: r.model.Confers(leg.ID),
	})
	switch {
	case outcome.Done:
		outcome.Wishes = r.wishes(leg.ID, outcome.Released)
		return outcome, nil
	case outcome.NoTalk:
		return outcome, ErrNoTalk
	case outcome.NotRecording:
		return outcome, ErrNotRecording
	}
	return outcome, &Refused{outcome.Reason}
}

// LiveOutcome is what became of a LiveRequest.
type LiveOutcome struct {
	recorder.Outcome
	Wishes []LiveWish // of others, that were ended
}

// wishes names those whose claims were released, but for the leg that was named.
func (r *reducer) wishes(own string, claims []recorder.Claim) []LiveWish {
	var out []LiveWish
	for _, c := range claims {
		if c.Leg == own {
			continue
		}
		w := LiveWish{Channel: c.Leg, Who: c.Leg, Reason: c.Reason}
		if leg, ok := r.model.Leg(c.Leg); ok {
			w.Channel, w.Who = leg.Name, leg.Endpoint()
		}
		if u, ok := r.book().User(c.UserUUID); ok && u.Name() != "" {
			w.Who = u.Name()
		}
		out = append(out, w)
	}
	return out
}

// leg finds a leg by uniqueid or name.
func (r *reducer) leg(channel string) (call.Leg, bool) {
	if leg, ok := r.model.Leg(channel); ok {
		return leg, true
	}
	for id := range r.model.Channels() {
		if leg, ok := r.model.Leg(id); ok && leg.Name == channel {
			return leg, true
		}
	}
	return call.Leg{}, false
}

// askTime bounds a question to the reducer.
const askTime = 5 * time.Second

// LiveAnswer is what the command line is told of a request that was done.
type LiveAnswer struct {
	State recorder.PartyState `json:"record_state"`
	// Released are the wishes of others that a stop has ended.
	Released []LiveWish `json:"released,omitempty"`
}

// LiveWish is a party's wish that its call be recorded.
type LiveWish struct {
	Channel string          `json:"channel"`
	Who     string          `json:"who"` // the user's name, else the endpoint
	Reason  dialplan.Reason `json:"reason"`
}

// liveControl is what the control socket asks: whoever may open it may do
// everything (design 8).
type liveControl struct{ app *App }

func (l liveControl) list(ctx context.Context) (any, error) {
	talks, err := l.app.Live(ctx)
	return talks, controlFailure(err)
}

func (l liveControl) request(ctx context.Context, channel, op, actor string) (any, error) {
	outcome, err := l.app.RequestLive(ctx, LiveRequest{Channel: channel, Op: recorder.Op(op), Actor: actor, Override: true})
	if err == nil && outcome.NotRecording {
		err = fmt.Errorf("%s the recording of %s: %w", op, channel, ErrNotRecording) // a person expects one
	}
	return LiveAnswer{outcome.State, outcome.Wishes}, controlFailure(err)
}

// controlFailure gives errors that are the asker's affair their status.
func controlFailure(err error) error {
	statuses := []struct {
		err    error
		status int
	}{
		{ErrNoChannel, http.StatusNotFound},
		{ErrNoTalk, http.StatusConflict},
		{ErrNotRecording, http.StatusConflict},
		{ErrNoAsterisk, http.StatusServiceUnavailable},
	}
	if _, ok := errors.AsType[*Refused](err); ok {
		return &control.Failure{Status: http.StatusForbidden, Message: err.Error()}
	}
	for _, s := range statuses {
		if errors.Is(err, s.err) {
			return &control.Failure{Status: s.status, Message: err.Error()}
		}
	}
	return err
}
