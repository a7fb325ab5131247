package app

import (
	"cmp"
	"context"
	"errors"
	"sync/atomic"

	"github.com/google/uuid"

	"callrecordd/ari"
	"callrecordd/config"
	"callrecordd/dialplan"
	"callrecordd/internal/call"
	"callrecordd/internal/recorder"
	"callrecordd/internal/tones"
)

// presses finds presses of the code in events. There is exactly one source:
// with both, one press would count twice (design 2.5).
type presses struct {
	collector *dialplan.Collector // nil: Asterisk's feature line tells
	ignored   atomic.Int64        // from legs that are nobody's telephone
}

func newPresses(cfg config.OnDemand) (*presses, error) {
	p := new(presses)
	var err error
	if cfg.Source == config.SourceDTMF {
		p.collector, err = dialplan.NewCollector(cfg.Code, dialplan.DigitTimeout)
	}
	return p, err
}

// by returns the channel on which the event completes a press.
func (p *presses) by(ev ari.Event) (channel string, ok bool) {
	switch {
	case ev.Channel == nil:
	case p.collector == nil:
		return ev.Channel.ID, ev.Type == "ChannelUserevent" && ev.UserEventName == dialplan.ToggleEvent
	case ev.Type == "ChannelDtmfReceived":
		return ev.Channel.ID, p.collector.Digit(ev.Channel.ID, ev.Digit, ev.Timestamp)
	case ev.Type == "ChannelDestroyed":
		p.collector.Forget(ev.Channel.ID)
	}
	return "", false
}

// machineConfig is what an administrator chooses about recording on demand.
func machineConfig(cfg config.Config) recorder.Config {
	return recorder.Config{
		Cut:            cfg.Recordings.Pause == config.PauseCut,
		ToggleStops:    cfg.OnDemand.Cycle == config.CycleStop,
		FollowTransfer: cfg.OnDemand.FollowTransfer,
		Digits:         cfg.OnDemand.Source == config.SourceDTMF,
	}
}

// pressed asks the machine for what the press on a channel means. That of a
// trunk is asked for as well: it is refused, and the refusal is on record.
func (r *reducer) pressed(channel string) {
	leg, ok := r.model.Leg(channel)
	if !ok || r.machine == nil {
		r.presses.ignored.Add(1)
		return
	}
	p := r.party(leg)
	if p.Kind != dialplan.KindUser {
		r.presses.ignored.Add(1)
	}
	r.request(recorder.Request{
		Op: recorder.OpToggle, Party: p, By: dialplan.OnDemand, Actor: cmp.Or(p.UserUUID, p.Endpoint),
		Conference: r.model.Confers(channel),
	})
}

// party resolves a leg with the directory as it is now.
func (r *reducer) party(leg call.Leg) dialplan.Party {
	return parties(r.book(), []call.Leg{leg})[0]
}

func (r *reducer) request(q recorder.Request) recorder.Outcome {
	outcome, effects := r.machine.Request(r.now(), q)
	if len(effects) > 0 {
		r.perform(effects)
	}
	r.log.Debug("recording on demand", "op", string(q.Op), "leg", q.Party.Leg, "by", string(q.By), "actor", q.Actor,
		"done", outcome.Done, "reason", string(outcome.Reason), "state", string(outcome.State))
	return outcome
}

// playbackFailed is the state of a sound that Asterisk does not have, and of one
// whose channel has hung up.
const playbackFailed = "failed"

// whispered tells the tones what became of their channels.
func whispered(w *tones.Whisperer, ev ari.Event) {
	switch {
	case ev.Type == "StasisStart" && ev.Channel != nil:
		w.Ready(ev.Channel.ID)
	case ev.Type == "PlaybackStarted" && ev.Playback != nil:
		w.Began(ev.Playback.ID)
	case ev.Type == "PlaybackFinished" && ev.Playback != nil && ev.Playback.State == playbackFailed:
		w.Failed(ev.Playback.ID)
	case ev.Type == "PlaybackFinished" && ev.Playback != nil:
		w.Over(ev.Playback.ID)
	case ev.Type == "ChannelDestroyed" && ev.Channel != nil:
		w.Failed(ev.Channel.ID) // unless its playback was over before
	}
}

// startTones makes the Whisperer, which startReducer has closed; its channels
// enter our own application.
func (a *App) startTones() *tones.Whisperer {
	app := a.opt.Config.Asterisk.App
	w := tones.New(tones.Config{
		ARI: tonesARI{a.ari, app}, Prefix: app + "-tone-", NewUUID: uuid.NewString, Now: a.opt.Now, Log: a.log.With("part", "tones"),
		Early: func(err error) bool { return errors.Is(err, ari.ErrNotInStasis) },
		Gone:  func(err error) bool { return errors.Is(err, ari.ErrNotFound) },
	})
	return w
}

// startReducer starts what notes how announcements end, so they end first: one
// that an orderly stop cuts short has its end in the events, too.
func (a *App) startReducer(w *tones.Whisperer) {
	a.stack.goStep("reducer", a.failed, a.reducer.run)
	a.stack.push("tones", func(ctx context.Context) error {
		return errors.Join(w.Close(ctx), a.reducer.do(ctx, a.reducer.takeResults))
	})
}

// perform whispers the tones, if they are wanted, and hands the rest to exec.
func (a *App) perform(w *tones.Whisperer, apply func([]recorder.Effect)) func([]recorder.Effect) {
	return func(effects []recorder.Effect) {
		rest := make([]recorder.Effect, 0, len(effects))
		for _, e := range effects {
			if tone, ok := e.(recorder.Tone); ok {
				a.reducer.whisper(w, tone)
				continue
			}
			rest = append(rest, e)
		}
		apply(rest)
	}
}

// whisper plays a tone or an announcement to its legs. An announcement is the
// tenant's choice and needs no beeps to be wanted, nor does what replaces it.
func (r *reducer) whisper(w *tones.Whisperer, tone recorder.Tone) {
	for _, leg := range tone.Legs {
		if tone.Replaces {
			w.Cut(leg)
		}
		switch {
		case tone.Else != "":
			w.Announce(leg, tones.Announcement{
				Sound: string(tone.Sound), Else: string(tone.Else), Tell: func(o tones.Outcome) { r.told(tone, leg, o) },
			})
		case r.beeps:
			w.Play(leg, string(tone.Sound))
		}
	}
}

// told hands on what has become of an announcement.
func (r *reducer) told(tone recorder.Tone, leg string, o tones.Outcome) {
	kind := recorder.EventAnnounced
	switch {
	case o.Over:
		kind = recorder.EventAnnouncementEnded
	case o.Failed:
		kind = recorder.EventAnnouncementFailed
	}
	r.deliver(recorder.Announced{Tone: tone, Leg: leg, Kind: kind, At: o.At, Detail: o.Detail})
	if o.Over || o.Failed {
		r.deliver(recorder.Whispered{Leg: leg})
	}
}

// announcements are those of a tenant, as the directory has them now.
func (a *App) announcements(tenant string) recorder.Announcements {
	t, _ := a.directory.Book().Tenant(tenant)
	return recorder.Announcements{Start: recorder.Sound(t.Announce.Start), Stop: recorder.Sound(t.Announce.Stop)}
}

// tonesARI is what the tones ask of ARI.
type tonesARI struct {
	client *ari.Client
	app    string
}

// toneArgs tell our snoop channels in Stasis from callers of *26.
const toneArgs = "tone"

func (t tonesARI) Snoop(ctx context.Context, leg, id string) error {
	_, err := t.client.Snoop(ctx, leg, ari.SnoopOptions{ID: id, Spy: "none", Whisper: "out", App: t.app, AppArgs: toneArgs})
	return err
}

func (t tonesARI) Play(ctx context.Context, channel, playback, sound string) error {
	_, err := t.client.Play(ctx, channel, playback, "sound:"+sound)
	return err
}

func (t tonesARI) Hangup(ctx context.Context, channel string) error {
	return t.client.Hangup(ctx, channel, "")
}
