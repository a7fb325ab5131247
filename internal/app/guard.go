package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"callrecordd/ari"
	"callrecordd/config"
	"callrecordd/dialplan"
	"callrecordd/internal/alarm"
	"callrecordd/internal/recorder"
	"callrecordd/internal/tones"
)

// What is done about a call that is to be on file and is not: nothing but an
// alarm, unless the administrator wants a tone, or the call of a user who must
// be recorded ended. We never end a call for any other reason (design 1).

// failTone is what a user hears whose recording fails.
const failTone = "beeperr"

// lastWord is how long the tone is heard before a call is ended.
const lastWord = 2 * time.Second

// bareTalk is one, with what was done about it.
type bareTalk struct {
	alarmed, toned bool
	ends           time.Time // when it is hung up; zero: it is not
	hung           bool
}

// guard is owned by the goroutine that looks at states.
type guard struct {
	talks map[string]*bareTalk // by the leg that is spoken to
	tones *tones.Whisperer
}

// action is what is to be done about a talk now.
type action struct {
	leg    string // uniqueid
	must   bool   // its user must be recorded
	alarm  bool
	tone   bool
	hangUp bool
	bare   recorder.Bare
	user   string // uuid
	tenant string
}

// bareLegs asks which legs talk and are on no file though they are to be. ok is
// false if that is not known: without events we may not see that a call is over.
func (a *App) bareLegs(ctx context.Context) (list []recorder.Bare, ok bool) {
	if a.stream.State().Kind != ari.StateConnected {
		return nil, false
	}
	ctx, cancel := context.WithTimeout(ctx, alarmsEvery)
	defer cancel()
	list, err := ask(ctx, a.reducer, func() []recorder.Bare {
		if a.reducer.machine == nil {
			return nil
		}
		return a.reducer.machine.Bare(a.opt.Now())
	})
	return list, err == nil
}

// guardCalls does what is to be done, once for each talk.
func (a *App) guardCalls(ctx context.Context) {
	list, ok := a.bareLegs(ctx)
	if !ok {
		return
	}
	book := a.directory.Book()
	must := func(user string) bool {
		u, ok := book.User(user)
		return ok && u.MustRecord
	}
	for _, x := range a.guard.decide(a.opt.Now(), a.config.Load().Alarms, list, must) {
		a.act(ctx, x)
	}
}

// decide is pure but for what it remembers.
func (g *guard) decide(now time.Time, c config.Alarms, list []recorder.Bare, must func(user string) bool) (out []action) {
	open := map[string]bool{}
	for _, b := range list {
		if now.Sub(b.Since) < c.HangUpAfter {
			continue
		}
		for _, p := range b.Parties {
			if p.Kind != dialplan.KindUser {
				continue
			}
			open[p.Leg] = true
			t := g.talks[p.Leg]
			if t == nil {
				t = &bareTalk{}
				g.talks[p.Leg] = t
			}
			x := action{leg: p.Leg, must: must(p.UserUUID), bare: b, user: p.UserUUID, tenant: p.Tenant}
			x.alarm = x.must && !t.alarmed
			x.tone = !t.toned && (c.Tone || x.must && c.HangUp)
			if x.must && c.HangUp {
				if t.ends.IsZero() {
					t.ends = now.Add(lastWord)
				}
				x.hangUp = !t.hung && !now.Before(t.ends)
			}
			t.alarmed, t.toned, t.hung = t.alarmed || x.alarm, t.toned || x.tone, t.hung || x.hangUp
			if x.alarm || x.tone || x.hangUp {
				out = append(out, x)
			}
		}
	}
	for leg := range g.talks {
		if !open[leg] {
			delete(g.talks, leg)
		}
	}
	return out
}

func (a *App) act(ctx context.Context, x action) {
	since := a.opt.Now().Sub(x.bare.Since).Round(time.Second)
	if x.alarm {
		a.alarms.Happened(alarm.MustRecord, x.tenant, x.bare.Recording,
			fmt.Sprintf("user %s has talked for %s without being recorded", x.user, since))
	}
	if x.tone {
		a.guard.tones.Play(x.leg, failTone)
	}
	if !x.hangUp {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, alarmsEvery)
	defer cancel()
	err := a.ari.Hangup(ctx, x.leg, "normal")
	if errors.Is(err, ari.ErrNotFound) {
		return // it is over
	}
	a.alarms.log.Warn("the call of a user who must be recorded was ended, because it was not recorded (alarms.hang_up)",
		"channel", x.leg, "user", x.user, "since", since, "err", err)
	event := recorder.Event{
		At: a.opt.Now(), Kind: "call_ended_unrecorded", Recording: x.bare.Recording, Call: x.leg, Actor: "callrecordd",
		Data: map[string]string{"user_uuid": x.user, "since": since.String(), "error": errorText(err)},
	}
	select {
	case a.alarms.queue <- event:
	default: // it is in the log
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
