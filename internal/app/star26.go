package app

import (
	"context"
	"errors"
	"strings"
	"time"

	"callrecordd/ari"
	"callrecordd/ari/ami"
	"callrecordd/dialplan"
	"callrecordd/internal/call"
	"callrecordd/internal/directory"
	"callrecordd/internal/lamp"
	"callrecordd/internal/toggle"
)

// star26 hands events of calls of *26 over; others it leaves alone.
func (a *App) star26(ev ari.Event) {
	switch {
	case ev.Type == "StasisStart" && ev.Channel != nil && len(ev.Args) > 0 && ev.Args[0] == dialplan.SwitchArgument:
		c := toggle.Call{Channel: ev.Channel.ID, Endpoint: call.Endpoint(ev.Channel.Name), At: ev.Timestamp}
		if len(ev.Args) > 1 {
			c.Key = ev.Args[1]
		}
		a.desk.Enter(c)
	case ev.Type == "PlaybackFinished" && ev.Playback != nil:
		a.desk.Played(ev.Playback.ID)
	}
}

func (a *App) startDesk() {
	a.desk = toggle.New(toggle.Config{
		Phones: switchPhones{a.ari}, Directory: switchDirectory{a.directory},
		NoChannel: noChannel, NewUUID: a.opt.NewUUID, Log: a.log.With("part", "toggle"),
	})
}

// switchPhones is what internal/toggle asks of ARI.
type switchPhones struct{ *ari.Client }

func (p switchPhones) Play(ctx context.Context, channel, playback, sound string) error {
	_, err := p.Client.Play(ctx, channel, playback, "sound:"+sound)
	return err
}

func (p switchPhones) Hangup(ctx context.Context, channel string) error {
	return p.Client.Hangup(ctx, channel, "")
}

// switchDirectory is what internal/toggle asks of the directory.
type switchDirectory struct{ *directory.Service }

func (d switchDirectory) Enabled() bool {
	f, ok := d.Book().Feature(dialplan.FeatureSwitch)
	return ok && f.Enabled
}

func (d switchDirectory) Owner(endpoint string) (toggle.User, bool) {
	w := d.Book().Endpoint(endpoint)
	return toggle.User{UUID: w.User.UUID, Keys: lampKeys(w.User)}, w.Kind == dialplan.KindUser
}

func (d switchDirectory) Flip(ctx context.Context, user string) (bool, error) {
	u, err := d.EditUser(ctx, user, user, func(u *directory.User) error {
		u.Flags = dialplan.Flip(u.Flags)
		return ctx.Err() // it may have waited its turn for too long
	})
	return dialplan.Lit(u.Flags), err
}

func lampKeys(u directory.User) []string {
	var extens []string
	for _, l := range u.Lines {
		extens = append(extens, l.Exten)
	}
	return dialplan.LampKeys(u.ID, extens...)
}

// lampUsers is what internal/lamp needs to know of the directory.
func (a *App) lampUsers() []lamp.User {
	users := a.directory.Book().Contents().Users
	out := make([]lamp.User, len(users))
	for i, u := range users {
		out[i] = lamp.User{Keys: lampKeys(u), Lit: dialplan.Lit(u.Flags)}
	}
	return out
}

// lampBoard is what internal/lamp asks of AMI: ARI keeps only device states of
// its own kind.
type lampBoard struct{ client *ami.Client }

const lampLit = "INUSE"

func (b lampBoard) Lamps(ctx context.Context) (map[string]bool, error) {
	lamps := make(map[string]bool)
	list, err := b.client.List(ctx, ami.Action{Name: "DeviceStateList"})
	if errors.Is(err, ami.ErrUnknownAction) {
		// Without res_manager_devicestate.so all are set anew, and the lamp of a
		// user who was deleted while we were away stays as it is.
		return lamps, nil
	}
	if err != nil {
		return nil, err
	}
	for _, m := range list {
		if key, ok := dialplan.LampKey(m.Get("Device")); ok {
			lamps[key] = strings.EqualFold(m.Get("State"), lampLit)
		}
	}
	return lamps, nil
}

func (b lampBoard) Set(ctx context.Context, key string, lit bool) error {
	state := "NOT_INUSE"
	if lit {
		state = lampLit
	}
	return b.client.Setvar(ctx, "", "DEVICE_STATE("+dialplan.LampDevice(key)+")", state)
}

// directoryChanged has tokens, the dialplan of *26 and the lamps follow.
func (a *App) directoryChanged(before, after *directory.Book) {
	a.forgetUsers(before, after)
	if a.lamps == nil {
		return // the directory is filled for the first time; all follows
	}
	a.features.again()
	a.lamps.Changed()
}

// connected is told of each session of the event stream. Asterisk takes
// managers before its modules are loaded, so what AMI was asked then is asked
// again.
func (a *App) connected(boot time.Time) {
	a.follower.Restarted(boot)
	a.features.again()
	if a.ami.State().Kind == ami.StateConnected {
		a.lamps.Connected()
	}
}
