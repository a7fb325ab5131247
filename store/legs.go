package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	model "callrecordd/internal/call"
	"callrecordd/internal/recorder"
)

// legState is the stored form of recorder.LegState.
type legState struct {
	Name    string      `json:"name"`
	At      int64       `json:"at"`
	Role    string      `json:"role"`
	Via     []model.Hop `json:"via,omitempty"`
	Claim   *claim      `json:"claim,omitempty"`
	Talking bool        `json:"talking,omitempty"`
	Stopped bool        `json:"stopped,omitempty"`
	Pause   *legPause   `json:"pause,omitempty"`
	Misled  bool        `json:"misled,omitempty"`
	Told    bool        `json:"told,omitempty"`
}

type legPause struct {
	Owner string `json:"owner"`
	Actor string `json:"actor,omitempty"`
	From  int64  `json:"from"`
}

// SaveLegs stores the states of legs, and forgets those that are gone.
func (t *Tx) SaveLegs(legs []recorder.LegState) error {
	for _, s := range legs {
		err := t.saveLeg(s)
		if err != nil {
			return fmt.Errorf("store the state of leg %s: %w", s.Leg, err)
		}
	}
	return nil
}

func (t *Tx) saveLeg(s recorder.LegState) error {
	if s.Gone {
		return t.exec("DELETE FROM live_legs WHERE leg = ?", s.Leg)
	}
	doc := legState{
		Name: s.Name, At: micros(s.At), Role: s.Role.String(), Via: s.Via,
		Talking: s.Talking, Stopped: s.Stopped, Misled: s.Misled, Told: s.Told,
	}
	if c := s.Claim; c.Leg != "" {
		doc.Claim = &claim{c.Leg, c.UserUUID, c.Reason, micros(c.At)}
	}
	if p := s.Pause; !p.From.IsZero() {
		doc.Pause = &legPause{p.Owner, p.Actor, micros(p.From)}
	}
	js, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	return t.exec("INSERT OR REPLACE INTO live_legs VALUES (?, ?, ?)", s.Leg, micros(s.Boot), string(js))
}

// Legs returns the states of all legs that were alive when the last daemon was.
func (s *Store) Legs(ctx context.Context) (out []recorder.LegState, err error) {
	err = s.read(ctx, func(q querier) error {
		out, err = collect(ctx, q, scanLeg, "SELECT leg, boot, doc FROM live_legs ORDER BY leg")
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the states of legs: %w", err)
	}
	return out, nil
}

func scanLeg(rows *sql.Rows) (s recorder.LegState, err error) {
	var boot int64
	var js string
	if err := rows.Scan(&s.Leg, &boot, &js); err != nil {
		return s, err
	}
	var doc legState
	if err := json.Unmarshal([]byte(js), &doc); err != nil {
		return s, fmt.Errorf("leg %s: %w", s.Leg, err)
	}
	s.Boot, s.At, s.Name = fromMicros(boot), fromMicros(doc.At), doc.Name
	s.Role, s.Via = model.ParseRole(doc.Role), doc.Via
	s.Talking, s.Stopped, s.Misled, s.Told = doc.Talking, doc.Stopped, doc.Misled, doc.Told
	if c := doc.Claim; c != nil {
		s.Claim = recorder.Claim{Leg: c.Leg, UserUUID: c.User, Reason: c.Reason, At: fromMicros(c.At)}
	}
	if p := doc.Pause; p != nil {
		s.Pause = recorder.Pause{Owner: p.Owner, Actor: p.Actor, From: fromMicros(p.From)}
	}
	return s, nil
}
